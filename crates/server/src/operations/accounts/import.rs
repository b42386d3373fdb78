//! Imports many users in one call.

use chatcamp_auth::token::{self, Derived, Form, Stamp};
use chatcamp_protocol::{AppId, UserId};
use chatcamp_store::{StoreError, TokenRecord, Upsert, Upserted, User};

use super::{AccountError, Accounts, UserFields, Written};

/// A user to create, or to change if it exists.
#[derive(Debug, Clone)]
pub struct ImportedUser {
    /// The user's id.
    pub id: UserId,
    /// The user's fields; the rules are those of [`Accounts::upsert_user`].
    ///
    /// Here the access token may also be the derived token that the user already has. It then stays unchanged.
    pub fields: UserFields,
    /// Whether the user was created automatically, by connecting with its id alone. Then it gets no token, and its backend can claim
    /// it later.
    ///
    /// Ignored if `fields` has an access token.
    pub auto_created: bool,
}

impl Accounts {
    /// Creates users, or changes those of their fields that are given. Returns the outcome for each user, in the same order.
    ///
    /// The store writes the users in batches of some hundreds, with a pause after each for the other work of a running server. A
    /// claimed user counts as changed.
    ///
    /// # Errors
    /// [`AccountError::NoApp`]. [`AccountError::Store`] if the store failed: some users may have been written, and the call can be
    /// repeated.
    ///
    /// The outcome of one user can be [`AccountError::InvalidToken`], [`AccountError::ForeignToken`], [`AccountError::OverLimit`],
    /// or [`AccountError::Store`] if the app has the maximum number of users. The other users are written anyway.
    ///
    /// # Cancel safety
    /// If the future is dropped after it was first polled, either no user is written or all valid ones are.
    ///
    /// # Examples
    /// ```
    /// # use std::sync::Arc;
    /// use chatcamp_protocol::UserId;
    /// # use chatcamp_server::{Accounts, AuthPolicy, Keyring};
    /// use chatcamp_server::{ImportedUser, UserFields};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// # let store = Arc::new(chatcamp_store::memory::Store::new());
    /// # let accounts = Accounts::new(store, Keyring::new(vec![[7; 32]])?);
    /// # let app = accounts.create_app("shop", AuthPolicy::Open, None).await?.id;
    /// let alice = ImportedUser { id: UserId::new("alice")?, fields: UserFields::default(), auto_created: false };
    /// for outcome in accounts.import_users(&app, vec![alice]).await? {
    ///     outcome?;
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn import_users(
        &self,
        app: &AppId,
        users: Vec<ImportedUser>,
    ) -> Result<Vec<Result<Written, AccountError>>, AccountError> {
        let app = self.app(app).await?;
        let mut upserts = Vec::with_capacity(users.len());
        let mut checked = Vec::with_capacity(users.len());
        for user in users {
            checked.push(self.upsert(&app.id, user).await.map(|upsert| upserts.push(upsert)));
        }
        let mut outcomes = self.store.upsert_users(upserts).await?.into_iter();
        let mut outcome = || {
            let missing = || Err(StoreError::unavailable("the store did not return the outcome for a user"));
            Ok(match outcomes.next().unwrap_or_else(missing)? {
                Upserted::Created => Written::Created,
                Upserted::Saved => Written::Changed,
                Upserted::Kept => Written::Unchanged,
            })
        };
        Ok(checked.into_iter().map(|checked| checked.and_then(|()| outcome())).collect())
    }

    /// Checks a user to import and returns how the store writes it.
    async fn upsert(&self, app: &AppId, imported: ImportedUser) -> Result<Upsert, AccountError> {
        let ImportedUser { id, mut fields, auto_created } = imported;
        if let Some(Form::Derived(given)) = fields.access_token.as_ref().map(token::form) {
            if !self.is_token_of(app, &id, given).await? {
                return Err(AccountError::ForeignToken);
            }
            fields.access_token = None;
        }
        let stays_unclaimed = auto_created && fields.access_token.is_none();
        let change = self.change_to(app, &id, fields)?;
        let now = self.clock.now();
        let mut new = change.new_user(app, &id, now);
        if stays_unclaimed {
            new.token = TokenRecord::None;
            new.check_access_token = change.fields.check_access_token.unwrap_or(false);
            new.auto_created = true;
        }
        let edit = Box::new(move |user: &mut User| {
            let written = if !stays_unclaimed && user.auto_created && user.token == TokenRecord::None {
                let new = change.new_user(&user.app, &user.id, now);
                change.claim(user, new)
            } else {
                change.apply(user)
            };
            written.edited()
        });
        Ok(Upsert { new, edit })
    }

    /// Returns whether the derived token is the current token of this user.
    async fn is_token_of(&self, app: &AppId, id: &UserId, given: Derived) -> Result<bool, AccountError> {
        let Some(user) = self.store.user(app, id).await? else { return Ok(false) };
        let token = TokenRecord::Derived { expires_at: given.expires_at() };
        Ok(user.token == token && given.is_of(&self.keyring, app, id, &Stamp(user.stamp)))
    }
}
