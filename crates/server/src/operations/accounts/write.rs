//! Creates, claims and changes users with the fields that their backend gives.

use std::sync::Arc;

use chatcamp_auth::{Keyring, token};
use chatcamp_protocol::{AccessToken, AppId, Profile, UserId, user::ProfileUpdate};
use chatcamp_store::{Created, Edited, TokenRecord, User};

use super::{AccountError, Accounts, NewUser};
use crate::random;

/// The fields of a user that a backend gives. An absent field stays unchanged, or has its default in a new user.
#[derive(Debug, Clone, Default)]
pub struct UserFields {
    /// The fields that the user may change too.
    pub profile: ProfileUpdate,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// Phone number.
    pub phone_number: Option<String>,
    /// Whether the user must present its token to connect. Default true.
    pub check_access_token: Option<bool>,
    /// Whether the user is suspended: it cannot connect. Default false.
    pub is_suspended: Option<bool>,
    /// A custom token, which replaces the current one. A new user without a custom token gets a derived one.
    pub access_token: Option<AccessToken>,
}

/// A user as it is after it was written.
#[derive(Debug, Clone)]
pub struct WrittenUser {
    /// The user.
    pub user: Arc<User>,
    /// The user's token: the given one, or its derived one. `None` if it has no token, or a custom token that was given earlier.
    pub access_token: Option<AccessToken>,
    /// The outcome of the call.
    pub written: Written,
}

/// The outcome of writing a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// The user did not exist.
    Created,
    /// The user was created automatically, by connecting with its id alone, and now belongs to the backend.
    Claimed,
    /// At least one field has changed.
    Changed,
    /// All fields already had these values.
    Unchanged,
}

/// Fields that were checked, with the random stamp and the digest that the store's thread needs to apply them.
pub(super) struct Change {
    pub(super) fields: UserFields,
    stamp: [u8; 16],
    token: Option<TokenRecord>,
    keyring: Keyring,
}

impl Accounts {
    /// Creates a user and returns its access token.
    ///
    /// A user that was created automatically, by connecting with its id alone, and never had a token is claimed: it is replaced, and
    /// its sessions end if they are no longer allowed.
    ///
    /// # Errors
    /// [`AccountError::UserExists`] for any other existing user, [`AccountError::NoApp`], [`AccountError::InvalidToken`],
    /// [`AccountError::OverLimit`], [`AccountError::Store`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the user may have been created or not.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// use chatcamp_protocol::UserId;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring};
    /// use chatcamp_server::NewUser;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Token, None).await?.id;
    /// let alice = UserId::new("alice")?;
    /// let token = accounts.create_user(&app, &alice, NewUser::default()).await?;
    /// # drop(token);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn create_user(
        &self,
        app: &AppId,
        id: &UserId,
        new: NewUser,
    ) -> Result<AccessToken, AccountError> {
        let created = self.create_user_with(app, id, new.into()).await?;
        Ok(created.access_token.expect("the token of a new user was given or derived"))
    }

    /// Creates or claims a user like [`create_user`](Self::create_user), from the fields that are given.
    ///
    /// # Errors
    /// Those of [`create_user`](Self::create_user).
    ///
    /// # Cancel safety
    /// If the future is dropped, the user may have been created or not.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring};
    /// use chatcamp_protocol::UserId;
    /// use chatcamp_server::UserFields;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Token, None).await?.id;
    /// let fields = UserFields { email: Some("alice@shop.example".into()), ..UserFields::default() };
    /// let created = accounts.create_user_with(&app, &UserId::new("alice")?, fields).await?;
    /// assert!(created.access_token.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn create_user_with(
        &self,
        app: &AppId,
        id: &UserId,
        fields: UserFields,
    ) -> Result<WrittenUser, AccountError> {
        self.create_or(app, id, fields, |_, _| None).await
    }

    /// Creates or claims a user like [`create_user`](Self::create_user). Changes the given fields of any other existing user.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::InvalidToken`], [`AccountError::OverLimit`], [`AccountError::Store`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the user may have been written or not. The call can be repeated.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring};
    /// use chatcamp_protocol::UserId;
    /// use chatcamp_server::{UserFields, Written};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Token, None).await?.id;
    /// let alice = UserId::new("alice")?;
    /// let fields = UserFields { email: Some("alice@shop.example".into()), ..UserFields::default() };
    /// assert_eq!(accounts.upsert_user(&app, &alice, fields.clone()).await?.written, Written::Created);
    /// assert_eq!(accounts.upsert_user(&app, &alice, fields).await?.written, Written::Unchanged);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn upsert_user(
        &self,
        app: &AppId,
        id: &UserId,
        fields: UserFields,
    ) -> Result<WrittenUser, AccountError> {
        self.create_or(app, id, fields, |change, user| Some(change.apply(user))).await
    }

    /// Changes the given fields of a user, atomically.
    ///
    /// A token that differs from the current one revokes that, and ends the sessions that were opened with it. A user that was
    /// created automatically must present its first token from then on, unless `check_access_token` is given as false.
    ///
    /// # Errors
    /// [`AccountError::NoApp`], [`AccountError::NoUser`], [`AccountError::InvalidToken`], [`AccountError::OverLimit`],
    /// [`AccountError::Store`].
    ///
    /// # Cancel safety
    /// If the future is dropped, the user may have been changed or not. The call can be repeated.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// # use chatcamp_protocol::UserId;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring, NewUser};
    /// use chatcamp_server::UserFields;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Token, None).await?.id;
    /// # let alice = UserId::new("alice")?;
    /// # accounts.create_user(&app, &alice, NewUser::default()).await?;
    /// let fields = UserFields { email: Some("alice@shop.example".into()), ..UserFields::default() };
    /// let written = accounts.update_user(&app, &alice, fields).await?;
    /// assert_eq!(written.user.profile.email, "alice@shop.example");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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

    /// Creates or claims the user. For any other existing user, calls `or`; if that returns `None`, fails with `UserExists`.
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

    /// Checks the fields against their limits and prepares the change.
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
    /// Returns a new user with the given fields.
    pub(super) fn new_user(&self, app: &AppId, id: &UserId, now: u64) -> User {
        let mut user = User::new(app.clone(), id.clone(), self.stamp, now);
        self.fields.describe(&mut user.profile);
        user.token = self.token.unwrap_or(TokenRecord::Derived { expires_at: None });
        user.check_access_token = self.fields.check_access_token.unwrap_or(true);
        user.is_suspended = self.fields.is_suspended.unwrap_or(false);
        user
    }

    /// Replaces an automatically created user with the new one. Profile fields that its client set are lost.
    pub(super) fn claim(&self, user: &mut User, new: User) -> Written {
        let is_suspended = self.fields.is_suspended.unwrap_or(user.is_suspended);
        *user = User { last_seen: user.last_seen, is_suspended, ..new };
        Written::Claimed
    }

    /// Changes the given fields of a user.
    pub(super) fn apply(&self, user: &mut User) -> Written {
        let before = user.clone();
        self.fields.describe(&mut user.profile);
        if let Some(token) = self.token.filter(|_| !self.has_given_token(user)) {
            user.token = token;
            user.stamp = self.stamp;
            user.previous = None;
            // The client that connected by id alone first may not be the one that gets the token.
            user.check_access_token |= user.auto_created;
            user.auto_created = false;
        }
        user.check_access_token = self.fields.check_access_token.unwrap_or(user.check_access_token);
        user.is_suspended = self.fields.is_suspended.unwrap_or(user.is_suspended);
        if *user == before { Written::Unchanged } else { Written::Changed }
    }

    /// Returns whether the given token is the user's current one. Giving that again must not end the user's sessions.
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
    /// Writes the given fields into a profile.
    fn describe(&self, profile: &mut Profile) {
        // Names every field, so that a new field does not compile until it is written.
        let Self {
            profile: update,
            first_name,
            last_name,
            email,
            phone_number,
            check_access_token: _,
            is_suspended: _,
            access_token: _,
        } = self;
        profile.apply(update.clone());
        for (value, given) in [
            (&mut profile.first_name, first_name),
            (&mut profile.last_name, last_name),
            (&mut profile.email, email),
            (&mut profile.phone_number, phone_number),
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
