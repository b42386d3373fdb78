//! The authenticator that the handshake uses, over the store.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chatcamp_auth::{
    Authenticator, Keyring, Question, Verdict,
    authenticator::{Admission, OriginHeader, Proof, SessionLimit},
    session_key::{Claims, ProvenBy},
    token::{self, Form, Stamp},
};
use chatcamp_protocol::{AccessToken, AppId, Code, UserId};
use chatcamp_runtime::{Runtime, spread};
use chatcamp_store::{App, AuthPolicy, Created, SessionPolicy, Store, StoreError, TokenRecord, User};

use super::RefusedOrigins;
use crate::{
    random,
    session::{AuthState, Session},
    user_view::own_user,
};

/// The wait of a client if the store fails; spread up to twice this.
const STORE_RETRY: Duration = Duration::from_secs(2);
/// The wait of a client if the app has the maximum number of users; spread up to twice this.
const ROOM_RETRY: Duration = Duration::from_secs(30);

/// An [`Authenticator`] over the store.
#[derive(Debug)]
pub(crate) struct StoreAuthenticator {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    runtime: Arc<dyn Runtime>,
    refused_origins: Arc<RefusedOrigins>,
    /// Checked instead of a user that does not exist, so that both answers take the same time.
    decoy: User,
}

impl StoreAuthenticator {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        keyring: Arc<Keyring>,
        runtime: Arc<dyn Runtime>,
        refused_origins: Arc<RefusedOrigins>,
    ) -> Self {
        let app = AppId::new("decoy").expect("`decoy` is a valid id");
        let id = UserId::new("decoy").expect("`decoy` is a valid id");
        let mut decoy = User::new(app, id, random::bytes(), 0);
        decoy.token = TokenRecord::Custom { digest: random::bytes() };
        Self { store, keyring, runtime, refused_origins, decoy }
    }

    async fn verdict(&self, question: Question<'_>, now: u64) -> Result<Verdict, StoreError> {
        let Some(app) = self.store.app(question.app_id).await? else {
            return Ok(Verdict::Refuse(Code::AppNotFound));
        };
        if !accepts_origin(&app, question.origin) {
            self.refused_origins.add(&app.id, question.origin, now);
            return Ok(Verdict::Refuse(Code::OriginRefused));
        }
        let known = self.store.user(&app.id, question.user_id).await?;
        let (user, checked) = match (known, question.proof) {
            (Some(user), proof) => {
                let checked = self.check_proof(&app, &user, proof, now);
                (user, checked)
            }
            (None, Proof::None) if app.auth == AuthPolicy::Open => {
                let user = match self.store.create_user(new_user(&app, question.user_id, now)).await? {
                    Created::New(user) | Created::Existing(user) => user,
                };
                let checked = self.check_proof(&app, &user, Proof::None, now);
                (user, checked)
            }
            (None, Proof::SessionKey(_)) => return Ok(Verdict::Refuse(Code::SessionKeyInvalid)),
            // A token for an unknown user is refused. It never creates the user.
            (None, proof) => {
                let refused = self.check_proof(&app, &self.decoy, proof, now).err();
                return Ok(Verdict::Refuse(refused.unwrap_or(Code::AccessTokenInvalid)));
            }
        };
        Ok(match checked {
            Err(code) => Verdict::Refuse(code),
            Ok(_) if user.is_suspended => Verdict::Refuse(Code::UserSuspended),
            Ok(auth) => Verdict::Admit(Box::new(Admission {
                app: app.id.clone(),
                user: own_user(&user, auth.token.as_ref(), true),
                stamp: auth.stamp,
                proven_by: auth.proven_by,
                valid_until: auth.valid_until,
                sessions: session_limit(app.sessions),
            })),
        })
    }

    /// Checks the proof of a user.
    ///
    /// # Errors
    /// The code that refuses the client. An app that always requires a token has one code for all failures.
    fn check_proof(&self, app: &App, user: &User, proof: Proof<'_>, now: u64) -> Result<AuthState, Code> {
        let refused = |code| if app.auth == AuthPolicy::Token { Code::CredentialRefused } else { code };
        match proof {
            Proof::None if needs_token(app, user) => Err(refused(Code::AccessTokenRequired)),
            Proof::None => Ok(AuthState {
                stamp: Stamp(user.stamp),
                proven_by: ProvenBy::UserId,
                valid_until: None,
                token: None,
            }),
            Proof::Token(token) => match self.check_token(user, token, now) {
                Err(Code::AccessTokenInvalid) => Err(refused(Code::AccessTokenInvalid)),
                other => other,
            },
            // The acknowledgement must contain the token. If that cannot be computed from the key, the published SDK connects again
            // with the token itself.
            Proof::SessionKey(claims) if !self.knows_token(claims) => Err(Code::SessionKeyInvalid),
            Proof::SessionKey(claims) => {
                let valid_until =
                    standing(app, Some(user), claims.stamp, claims.proven_by, now).map_err(|code| {
                        if code == Code::UserSuspended { code } else { Code::SessionKeyInvalid }
                    })?;
                let stamp = claims.stamp;
                let proven_by = claims.proven_by;
                let token = (proven_by == ProvenBy::DerivedToken).then(|| {
                    let expires_at = record_of(user, stamp).and_then(|(record, _)| expiry_of(record));
                    token::derive(&self.keyring, &user.app, &user.id, &stamp, expires_at)
                });
                Ok(AuthState { stamp, proven_by, valid_until, token })
            }
        }
    }

    /// Returns whether the token that the key's session presented can be computed from the key. Also true if it presented none.
    fn knows_token(&self, claims: &Claims) -> bool {
        match claims.proven_by {
            ProvenBy::UserId => true,
            ProvenBy::DerivedToken => self.keyring.is_single(),
            ProvenBy::CustomToken => false,
        }
    }

    /// Checks a presented token against the user's current token, and the previous token during its grace period.
    fn check_token(&self, user: &User, presented: &AccessToken, now: u64) -> Result<AuthState, Code> {
        let form = token::form(presented);
        let current = Some((Stamp(user.stamp), user.token, None));
        let previous = user.previous.as_deref().filter(|p| now <= p.grace_until);
        let previous = previous.map(|p| (Stamp(p.stamp), p.token, Some(p.grace_until)));
        for (stamp, record, grace_until) in current.into_iter().chain(previous) {
            // One MAC or digest is computed for each record, so that the time does not reveal which kind of token the user has.
            let app = &user.app;
            let id = &user.id;
            let (is_valid, proven_by, expires_at) = match form {
                Form::Derived(derived) => {
                    let is_valid = derived.is_of(&self.keyring, app, id, &stamp)
                        & matches!(record, TokenRecord::Derived { .. });
                    (is_valid, ProvenBy::DerivedToken, derived.expires_at())
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
            if !is_valid {
                continue;
            }
            if matches!(form, Form::Derived(derived) if derived.is_expired(now)) {
                return Err(Code::AccessTokenExpired);
            }
            let valid_until = earlier(expires_at, grace_until);
            return Ok(AuthState { stamp, proven_by, valid_until, token: Some(presented.clone()) });
        }
        Err(Code::AccessTokenInvalid)
    }
}

#[async_trait]
impl Authenticator for StoreAuthenticator {
    async fn admit<'a>(&self, question: Question<'a>, now: u64) -> Verdict {
        match self.verdict(question, now).await {
            Ok(verdict) => verdict,
            Err(StoreError::UserLimit) => {
                Verdict::Defer(Code::UserLimitReached, spread(&*self.runtime, ROOM_RETRY))
            }
            Err(error) => {
                tracing::warn!(%error, "the store failed during a handshake");
                Verdict::Defer(Code::StoreUnavailable, spread(&*self.runtime, STORE_RETRY))
            }
        }
    }
}

/// Returns a test of the sessions that may continue after a change of `user`. The changed user is not sent to the others: somebody else
/// may have opened them.
pub(crate) fn stays(app: &App, user: &User, now: u64) -> impl Fn(&Session) -> bool {
    move |session| {
        let auth = session.auth();
        standing(app, Some(user), auth.stamp, auth.proven_by, now).is_ok()
    }
}

/// Checks whether a session with this credential may continue. Returns the time its credential expires, in Unix seconds; `None` if it
/// does not expire.
///
/// # Errors
/// The code to end the session with.
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

/// Parses nothing if the app accepts all origins.
fn accepts_origin(app: &App, origin: OriginHeader<'_>) -> bool {
    match origin {
        OriginHeader::Present(header) => app.origins.accepts(Some(header)),
        OriginHeader::Absent => app.origins.accepts(None),
        OriginHeader::Checked => true,
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

/// Returns the token record that belongs to `stamp`, with the end of its grace period if it is the previous one. Returns `None` if
/// the stamp is neither the current nor the previous one.
fn record_of(user: &User, stamp: Stamp) -> Option<(TokenRecord, Option<u64>)> {
    if user.stamp == stamp.0 {
        return Some((user.token, None));
    }
    let previous = user.previous.as_deref().filter(|p| p.stamp == stamp.0)?;
    Some((previous.token, Some(previous.grace_until)))
}

/// Returns the time a token expires, in Unix seconds; `None` if it does not expire.
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
