//! Users many at a time, as whoever moves in brings them.

use chatcamp_auth::token::{self, Derived, Form, Stamp};
use chatcamp_protocol::{AppId, UserId};
use chatcamp_store::{StoreError, TokenRecord, Upsert, Upserted, User};

use super::{AccountError, Accounts, UserFields, Written};

/// A user to be created, or changed where it is there.
#[derive(Debug, Clone)]
pub struct ImportedUser {
    /// Whose fields they are.
    pub id: UserId,
    /// What is said of the user; the rules are those of [`Accounts::upsert_user`].
    ///
    /// Here the access token may also be the derived one that the user has, which changes nothing.
    pub fields: UserFields,
    /// Whether the user merely came by, by id alone: then it gets no token, and stays for its backend to claim.
    ///
    /// Does nothing beside a token.
    pub auto_created: bool,
}

impl Accounts {
    /// Creates users, or changes what is given of them, in order, and says what came of each, in the same order.
    ///
    /// The store writes them together: beside a running server, some hundreds at a time and then a pause for others.
    /// Whoever is claimed counts as changed. After [`AccountError::Store`] for all, some may have been written; to
    /// repeat the call is harmless.
    ///
    /// # Errors
    /// [`AccountError::NoApp`]. Of one user [`AccountError::InvalidToken`], [`AccountError::ForeignToken`],
    /// [`AccountError::OverLimit`], and [`AccountError::Store`] when the app is full; the others are written all the same.
    ///
    /// # Cancel safety
    /// Dropped after it was first polled, either all that can be written is, or nothing.
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
            let missing = || Err(StoreError::unavailable("the store did not say what came of a user"));
            Ok(match outcomes.next().unwrap_or_else(missing)? {
                Upserted::Created => Written::Created,
                Upserted::Saved => Written::Changed,
                Upserted::Kept => Written::Unchanged,
            })
        };
        Ok(checked.into_iter().map(|checked| checked.and_then(|()| outcome())).collect())
    }

    async fn upsert(&self, app: &AppId, imported: ImportedUser) -> Result<Upsert, AccountError> {
        let ImportedUser { id, mut fields, auto_created } = imported;
        if let Some(Form::Derived(given)) = fields.access_token.as_ref().map(token::form) {
            if !self.is_token_of(app, &id, given).await? {
                return Err(AccountError::ForeignToken);
            }
            fields.access_token = None;
        }
        let came_by = auto_created && fields.access_token.is_none();
        let change = self.change_to(app, &id, fields)?;
        let now = self.clock.now();
        let mut new = change.new_user(app, &id, now);
        if came_by {
            new.token = TokenRecord::None;
            new.check_access_token = change.fields.check_access_token.unwrap_or(false);
            new.auto_created = true;
        }
        let edit = Box::new(move |user: &mut User| {
            let written = if !came_by && user.auto_created && user.token == TokenRecord::None {
                let new = change.new_user(&user.app, &user.id, now);
                change.claim(user, new)
            } else {
                change.apply(user)
            };
            written.edited()
        });
        Ok(Upsert { new, edit })
    }

    async fn is_token_of(&self, app: &AppId, id: &UserId, given: Derived) -> Result<bool, AccountError> {
        let Some(user) = self.store.user(app, id).await? else { return Ok(false) };
        let token = TokenRecord::Derived { expires_at: given.expires_at() };
        Ok(user.token == token && given.is_of(&self.keyring, app, id, &Stamp(user.stamp)))
    }
}
