//! Users as their backend writes them: created, claimed, changed, with the fields that are given.

use std::sync::Arc;

use chatcamp_auth::{Keyring, token};
use chatcamp_protocol::{AccessToken, AppId, Profile, UserId, user::ProfileUpdate};
use chatcamp_store::{Created, Edited, TokenRecord, User};

use super::{AccountError, Accounts, NewUser};
use crate::random;

/// What a backend says of a user; what is absent stays as it is, or has its default in a new user.
#[derive(Debug, Clone, Default)]
pub struct UserFields {
    /// What the user may change too.
    pub profile: ProfileUpdate,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Phone number.
    pub phone_number: Option<String>,
    /// Whether the user must present its token to connect; default true.
    pub check_access_token: Option<bool>,
    /// Whether the user is shut out; default false.
    pub is_suspended: Option<bool>,
    /// A token of the caller's choice, in place of any there is; a new user without one gets one derived.
    pub access_token: Option<AccessToken>,
}

/// A user as it is after it was written.
#[derive(Debug, Clone)]
pub struct WrittenUser {
    /// The user.
    pub user: Arc<User>,
    /// Its token: the one just given, or the derived one it has.
    pub access_token: Option<AccessToken>,
    /// What came of the call.
    pub written: Written,
}

/// What came of writing a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// There was none of that id.
    Created,
    /// It had merely come by, by id alone, and is the backend's now.
    Claimed,
    /// Something of it is no longer as it was.
    Changed,
    /// It was so already.
    Unchanged,
}

/// Fields within their limits, with what is drawn and computed before the store's thread applies them.
pub(super) struct Change {
    pub(super) fields: UserFields,
    stamp: [u8; 16],
    token: Option<TokenRecord>,
    keyring: Keyring,
}

impl Accounts {
    /// Creates a user with an access token and returns that.
    ///
    /// A user who merely came by, by id alone, and never had a token is claimed; its sessions end unless they may go on.
    ///
    /// # Errors
    /// [`AccountError::UserExists`] for any other existing id, [`AccountError::NoApp`], [`AccountError::InvalidToken`],
    /// [`AccountError::OverLimit`].
    pub async fn create_user(
        &self,
        app: &AppId,
        id: &UserId,
        new: NewUser,
    ) -> Result<AccessToken, AccountError> {
        let created = self.create_user_with(app, id, new.into()).await?;
        Ok(created.access_token.expect("the token of a new user was given or derived"))
    }

    /// Creates a user from the fields that are given, or claims it, as [`create_user`](Self::create_user) does.
    ///
    /// # Errors
    /// Those of [`create_user`](Self::create_user).
    pub async fn create_user_with(
        &self,
        app: &AppId,
        id: &UserId,
        fields: UserFields,
    ) -> Result<WrittenUser, AccountError> {
        self.create_or(app, id, fields, |_, _| None).await
    }

    /// Creates a user, or claims it, or else changes what is given of it: there is no conflict.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::InvalidToken`], [`AccountError::OverLimit`].
    pub async fn upsert_user(
        &self,
        app: &AppId,
        id: &UserId,
        fields: UserFields,
    ) -> Result<WrittenUser, AccountError> {
        self.create_or(app, id, fields, |change, user| Some(change.apply(user))).await
    }

    /// Changes what is given of a user, in one step.
    ///
    /// A token that is not the one the user has voids that, and ends the sessions it opened. A user who merely came by,
    /// by id alone, must present its first token from then on, unless `check_access_token` says otherwise.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::NoUser`], [`AccountError::InvalidToken`], [`AccountError::OverLimit`].
    pub async fn update_user(
        &self,
        app: &AppId,
        id: &UserId,
        fields: UserFields,
    ) -> Result<WrittenUser, AccountError> {
        let app = self.app(app).await?;
        let given = fields.access_token.clone();
        let change = self.change_to(&app.id, id, fields)?;
        let (user, written) = self
            .edit(&app.id, id, move |user| {
                let written = change.apply(user);
                (written.edited(), written)
            })
            .await?;
        Ok(self.written(user, given, written))
    }

    /// Creates or claims the user; of any other that exists `or` decides, where none is a conflict.
    async fn create_or(
        &self,
        app: &AppId,
        id: &UserId,
        fields: UserFields,
        or: fn(&Change, &mut User) -> Option<Written>,
    ) -> Result<WrittenUser, AccountError> {
        let app = self.app(app).await?;
        let given = fields.access_token.clone();
        let change = self.change_to(&app.id, id, fields)?;
        let new = change.new_user(&app.id, id, self.clock.now());
        if let Created::New(user) = self.store.create_user(new.clone()).await? {
            return Ok(self.written(user, given, Written::Created));
        }
        let (user, written) = self
            .edit(&app.id, id, move |user| {
                let written = if user.auto_created && user.token == TokenRecord::None {
                    Some(change.claim(user, new))
                } else {
                    or(&change, user)
                };
                (written.map_or(Edited::Keep, Written::edited), written)
            })
            .await?;
        let written = written.ok_or_else(|| AccountError::UserExists(id.clone()))?;
        Ok(self.written(user, given, written))
    }

    pub(super) fn change_to(
        &self,
        app: &AppId,
        id: &UserId,
        fields: UserFields,
    ) -> Result<Change, AccountError> {
        let mut profile = Profile::default();
        fields.describe(&mut profile);
        profile.check()?;
        let digest = fields
            .access_token
            .as_ref()
            .map(|given| token::digest(&self.keyring, app, id, given))
            .transpose()?;
        Ok(Change {
            stamp: random::bytes(),
            token: digest.map(|digest| TokenRecord::Custom { digest }),
            keyring: self.keyring.clone(),
            fields,
        })
    }

    fn written(&self, user: Arc<User>, given: Option<AccessToken>, written: Written) -> WrittenUser {
        let access_token = given.or_else(|| self.token_of(&user));
        WrittenUser { user, access_token, written }
    }
}

impl Change {
    pub(super) fn new_user(&self, app: &AppId, id: &UserId, now: u64) -> User {
        let mut user = User::new(app.clone(), id.clone(), self.stamp, now);
        self.fields.describe(&mut user.profile);
        user.token = self.token.unwrap_or(TokenRecord::Derived { expires_at: None });
        user.check_access_token = self.fields.check_access_token.unwrap_or(true);
        user.is_suspended = self.fields.is_suspended.unwrap_or(false);
        user
    }

    /// Puts the new user in the place of one who came by; what that one said of itself is gone.
    pub(super) fn claim(&self, user: &mut User, new: User) -> Written {
        let is_suspended = self.fields.is_suspended.unwrap_or(user.is_suspended);
        *user = User { last_seen: user.last_seen, is_suspended, ..new };
        Written::Claimed
    }

    pub(super) fn apply(&self, user: &mut User) -> Written {
        let before = user.clone();
        self.fields.describe(&mut user.profile);
        if let Some(token) = self.token.filter(|_| !self.has_given_token(user)) {
            (user.token, user.stamp, user.previous) = (token, self.stamp, None);
            // Whoever came by first, by id alone, is not who the token is given to.
            user.check_access_token |= user.auto_created;
            user.auto_created = false;
        }
        user.check_access_token = self.fields.check_access_token.unwrap_or(user.check_access_token);
        user.is_suspended = self.fields.is_suspended.unwrap_or(user.is_suspended);
        if *user == before { Written::Unchanged } else { Written::Changed }
    }

    /// Whether the token given is the one the user has: to give it again must not end its sessions.
    fn has_given_token(&self, user: &User) -> bool {
        match (&self.fields.access_token, &user.token) {
            (Some(given), TokenRecord::Custom { digest }) => {
                token::is_digest_of(&self.keyring, &user.app, &user.id, given, digest)
            }
            _ => false,
        }
    }
}

impl UserFields {
    fn describe(&self, profile: &mut Profile) {
        profile.apply(self.profile.clone());
        for (value, given) in [
            (&mut profile.first_name, &self.first_name),
            (&mut profile.last_name, &self.last_name),
            (&mut profile.email, &self.email),
            (&mut profile.phone_number, &self.phone_number),
        ] {
            if let Some(given) = given {
                value.clone_from(given);
            }
        }
    }
}

impl From<NewUser> for UserFields {
    fn from(new: NewUser) -> Self {
        let Profile {
            display_name,
            first_name,
            last_name,
            email,
            phone_number,
            profile_url,
            avatar_url,
            data,
            metadata,
        } = new.profile;
        Self {
            profile: ProfileUpdate {
                display_name: Some(display_name),
                profile_url: Some(profile_url),
                avatar_url: Some(avatar_url),
                data: Some(data),
                metadata: Some(metadata),
            },
            first_name: Some(first_name),
            last_name: Some(last_name),
            email: Some(email),
            phone_number: Some(phone_number),
            check_access_token: Some(new.check_access_token),
            is_suspended: None,
            access_token: new.token,
        }
    }
}

impl Written {
    pub(super) fn edited(self) -> Edited {
        if self == Self::Unchanged { Edited::Keep } else { Edited::Save }
    }
}
