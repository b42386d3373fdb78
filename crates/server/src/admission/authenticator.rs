//! Who may in: the directory that the handshake asks, over the store.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chatcamp_auth::{
    Authenticator, Keyring, Question, Verdict,
    authenticator::{Admission, Proof, SessionLimit},
    session_key::{Claims, ProvenBy},
    token::{self, Form, Stamp},
};
use chatcamp_protocol::{AccessToken, AppId, Code, UserId};
use chatcamp_runtime::{Runtime, spread};
use chatcamp_store::{App, AuthPolicy, Created, SessionPolicy, Store, StoreError, TokenRecord, User};

use crate::{random, user_view::own_user};

/// How long a client is asked to wait when the store does not answer; spread up to twice this.
const STORE_RETRY: Duration = Duration::from_secs(2);
/// The same when the app has no room for a new user.
const ROOM_RETRY: Duration = Duration::from_secs(30);

/// An [`Authenticator`] over the store.
#[derive(Debug)]
pub(crate) struct StoreAuthenticator {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    runtime: Arc<dyn Runtime>,
    /// Checked in place of a user who does not exist, so that the answer takes the same work.
    decoy: User,
}

/// What vouches for a user: the stamp, how, and until when (Unix seconds).
struct Vouched {
    stamp: Stamp,
    proven_by: ProvenBy,
    valid_until: Option<u64>,
    token: Option<AccessToken>,
}

impl StoreAuthenticator {
    pub(crate) fn new(store: Arc<dyn Store>, keyring: Arc<Keyring>, runtime: Arc<dyn Runtime>) -> Self {
        let app = AppId::new("decoy").expect("`decoy` is a valid id");
        let id = UserId::new("decoy").expect("`decoy` is a valid id");
        let mut decoy = User::new(app, id, random::bytes(), 0);
        decoy.token = TokenRecord::Custom { digest: random::bytes() };
        Self { store, keyring, runtime, decoy }
    }

    async fn answer(&self, question: Question<'_>, now: u64) -> Result<Verdict, StoreError> {
        let Some(app) = self.store.app(question.app_id).await? else {
            return Ok(Verdict::Refuse(Code::AppNotFound));
        };
        let known = self.store.user(&app.id, question.user_id).await?;
        let (user, vouched) = match (known, question.proof) {
            (Some(user), proof) => {
                let vouched = self.vouch(&app, &user, proof, now);
                (user, vouched)
            }
            (None, Proof::None) if app.auth == AuthPolicy::Open => {
                let user = match self.store.create_user(new_user(&app, question.user_id, now)).await? {
                    Created::New(user) | Created::Existing(user) => user,
                };
                let vouched = self.vouch(&app, &user, Proof::None, now);
                (user, vouched)
            }
            (None, Proof::SessionKey(_)) => return Ok(Verdict::Refuse(Code::SessionKeyInvalid)),
            // A token for a user nobody knows is refused, never a reason to create the user.
            (None, proof) => {
                let refused = self.vouch(&app, &self.decoy, proof, now).err();
                return Ok(Verdict::Refuse(refused.unwrap_or(Code::AccessTokenInvalid)));
            }
        };
        Ok(match vouched {
            Err(code) => Verdict::Refuse(code),
            Ok(_) if user.is_suspended => Verdict::Refuse(Code::UserSuspended),
            Ok(vouched) => Verdict::Admit(Box::new(Admission {
                app: app.id.clone(),
                user: own_user(&user, vouched.token.as_ref(), true),
                stamp: vouched.stamp,
                proven_by: vouched.proven_by,
                valid_until: vouched.valid_until,
                sessions: session_limit(app.sessions),
            })),
        })
    }

    /// Whether the proof is this user's. In an app that always asks for a token every failure has one code.
    fn vouch(&self, app: &App, user: &User, proof: Proof<'_>, now: u64) -> Result<Vouched, Code> {
        let refused = |code| if app.auth == AuthPolicy::Token { Code::CredentialRefused } else { code };
        match proof {
            Proof::None if needs_token(app, user) => Err(refused(Code::AccessTokenRequired)),
            Proof::None => Ok(Vouched {
                stamp: Stamp(user.stamp),
                proven_by: ProvenBy::UserId,
                valid_until: None,
                token: None,
            }),
            Proof::Token(token) => match self.check(user, token, now) {
                Err(Code::AccessTokenInvalid) => Err(refused(Code::AccessTokenInvalid)),
                other => other,
            },
            // A token that cannot surely be computed again would be missing in the own user object: the published SDK
            // then comes back with the token itself.
            Proof::SessionKey(claims) if !self.knows_token(claims) => Err(Code::SessionKeyInvalid),
            Proof::SessionKey(claims) => {
                let valid_until =
                    standing(app, Some(user), claims.stamp, claims.proven_by, now).map_err(|code| {
                        if code == Code::UserSuspended { code } else { Code::SessionKeyInvalid }
                    })?;
                let (stamp, proven_by) = (claims.stamp, claims.proven_by);
                let token = (proven_by == ProvenBy::DerivedToken).then(|| {
                    let expires_at = record_of(user, stamp).and_then(|(record, _)| expiry_of(record));
                    token::derive(&self.keyring, &user.app, &user.id, &stamp, expires_at)
                });
                Ok(Vouched { stamp, proven_by, valid_until, token })
            }
        }
    }

    /// Whether the token that a session presented, if it did, is known from its key.
    fn knows_token(&self, claims: &Claims) -> bool {
        match claims.proven_by {
            ProvenBy::UserId => true,
            ProvenBy::DerivedToken => self.keyring.is_single(),
            ProvenBy::CustomToken => false,
        }
    }

    /// Checks a presented token against the user's current one, and the previous one while it has grace.
    fn check(&self, user: &User, presented: &AccessToken, now: u64) -> Result<Vouched, Code> {
        let form = token::form(presented);
        let current = Some((Stamp(user.stamp), user.token, None));
        let previous = user.previous.as_deref().filter(|p| now <= p.grace_until);
        let previous = previous.map(|p| (Stamp(p.stamp), p.token, Some(p.grace_until)));
        for (stamp, record, grace_until) in current.into_iter().chain(previous) {
            // One code is computed whatever is kept, so that the time taken does not tell what is.
            let (app, id) = (&user.app, &user.id);
            let (good, proven_by, expires_at) = match form {
                Form::Derived(derived) => {
                    let good = derived.is_of(&self.keyring, app, id, &stamp)
                        & matches!(record, TokenRecord::Derived { .. });
                    (good, ProvenBy::DerivedToken, derived.expires_at())
                }
                Form::Custom => {
                    let digest = if let TokenRecord::Custom { digest } = record { digest } else { [0; 32] };
                    (
                        token::is_digest_of(&self.keyring, app, id, presented, &digest),
                        ProvenBy::CustomToken,
                        None,
                    )
                }
                Form::Broken => return Err(Code::AccessTokenInvalid),
            };
            if !good {
                continue;
            }
            if matches!(form, Form::Derived(derived) if derived.is_expired(now)) {
                return Err(Code::AccessTokenExpired);
            }
            let valid_until = earlier(expires_at, grace_until);
            return Ok(Vouched { stamp, proven_by, valid_until, token: Some(presented.clone()) });
        }
        Err(Code::AccessTokenInvalid)
    }
}

#[async_trait]
impl Authenticator for StoreAuthenticator {
    async fn admit<'a>(&self, question: Question<'a>, now: u64) -> Verdict {
        match self.answer(question, now).await {
            Ok(verdict) => verdict,
            Err(StoreError::UserLimit) => {
                Verdict::Defer(Code::UserLimitReached, spread(&*self.runtime, ROOM_RETRY))
            }
            Err(error) => {
                tracing::warn!(%error, "the store failed a handshake");
                Verdict::Defer(Code::StoreUnavailable, spread(&*self.runtime, STORE_RETRY))
            }
        }
    }
}

/// Whether a session that was authenticated like this may still be, and until when (Unix seconds).
///
/// # Errors
/// The code to end it with.
pub(crate) fn standing(
    app: &App,
    user: Option<&User>,
    stamp: Stamp,
    proven_by: ProvenBy,
    now: u64,
) -> Result<Option<u64>, Code> {
    let user = user.ok_or(Code::UserDeleted)?;
    if user.is_suspended {
        return Err(Code::UserSuspended);
    }
    let by_id = proven_by == ProvenBy::UserId;
    if by_id && needs_token(app, user) {
        return Err(Code::AccessTokenRequired);
    }
    match record_of(user, stamp) {
        Some((record, grace_until)) if grace_until.is_none_or(|end| now <= end) => match (by_id, record) {
            (true, _) => Ok(grace_until),
            (false, TokenRecord::None) => Err(Code::CredentialRevoked),
            (false, record) => Ok(earlier(expiry_of(record), grace_until)),
        },
        _ if by_id => Err(Code::CredentialChanged),
        _ => Err(Code::CredentialRevoked),
    }
}

fn session_limit(policy: SessionPolicy) -> SessionLimit {
    match policy {
        SessionPolicy::Unlimited => SessionLimit::default(),
        SessionPolicy::RejectNew(most) => SessionLimit { most: most.into(), evict_oldest: false },
        SessionPolicy::EvictOldest(most) => SessionLimit { most: most.into(), evict_oldest: true },
    }
}

fn needs_token(app: &App, user: &User) -> bool {
    app.auth == AuthPolicy::Token || user.check_access_token
}

/// What went with `stamp`, and the end of its grace if it is the previous one.
fn record_of(user: &User, stamp: Stamp) -> Option<(TokenRecord, Option<u64>)> {
    if user.stamp == stamp.0 {
        return Some((user.token, None));
    }
    let previous = user.previous.as_deref().filter(|p| p.stamp == stamp.0)?;
    Some((previous.token, Some(previous.grace_until)))
}

/// When a kept token ends, in Unix seconds.
fn expiry_of(record: TokenRecord) -> Option<u64> {
    match record {
        TokenRecord::Derived { expires_at } => expires_at,
        TokenRecord::None | TokenRecord::Custom { .. } => None,
    }
}

fn new_user(app: &App, id: &UserId, now: u64) -> User {
    let mut user = User::new(app.id.clone(), id.clone(), random::bytes(), now);
    user.auto_created = true;
    user
}

fn earlier(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.into_iter().chain(b).min()
}
