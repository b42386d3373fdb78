//! `users.*`: the users of the key's app, and their tokens.

use chatcamp_protocol::{AccessToken, User, UserId, user::ProfileUpdate};
use chatcamp_store::TokenRecord;
use serde::Serialize;

use super::{
    Call, Done,
    answer::{Code, Refusal},
    body::Fields,
};
use crate::{UserFields, Written, WrittenUser, directory::standing, server::own_user};

/// Users in a page, unless the caller says otherwise, and at most.
const PAGE: usize = 100;
const LONGEST_PAGE: u64 = 1000;
/// The longest times a caller may give, in seconds: a hundred years.
const LONGEST: u64 = 100 * 365 * 24 * 60 * 60;

/// A user, with its token beside it.
#[derive(Serialize)]
pub(super) struct UserBody {
    user: User,
    /// The token, where it can be known: one of the caller's choice is shown to whoever just gave it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "AccessToken::expose_optional")]
    access_token: Option<AccessToken>,
    /// Whether there is one that is good.
    access_token_set: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token_expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed: Option<bool>,
}

#[derive(Serialize)]
pub(super) struct PageBody {
    users: Vec<User>,
    /// Where the next page begins, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<UserId>,
}

/// `users.create`: a new user with a token, or one that merely came by, claimed.
pub(super) async fn create(call: &Call<'_>, mut fields: Fields) -> Result<UserBody, Refusal> {
    let (id, fields) = (id(&mut fields)?, user_fields(&mut fields)?);
    let created = call.shared.accounts.create_user_with(&call.app.id, &id, fields).await?;
    Ok(call.written(created))
}

/// `users.upsert`: as `users.create`, and where that is a conflict as `users.update`.
pub(super) async fn upsert(call: &Call<'_>, mut fields: Fields) -> Result<UserBody, Refusal> {
    let (id, fields) = (id(&mut fields)?, user_fields(&mut fields)?);
    let _turn = call.shared.turns.of(&call.app.id, &id).await;
    let written = call.shared.accounts.upsert_user(&call.app.id, &id, fields).await?;
    call.tell(&written);
    Ok(call.written(written))
}

/// `users.update`: the fields that are given, and no others.
pub(super) async fn update(call: &Call<'_>, mut fields: Fields) -> Result<UserBody, Refusal> {
    let (id, fields) = (id(&mut fields)?, user_fields(&mut fields)?);
    let _turn = call.shared.turns.of(&call.app.id, &id).await;
    let written = call.shared.accounts.update_user(&call.app.id, &id, fields).await?;
    call.tell(&written);
    Ok(call.written(written))
}

/// `users.get`: one user, with its token where that can be computed.
pub(super) async fn get(call: &Call<'_>, mut fields: Fields) -> Result<UserBody, Refusal> {
    call.user(&id(&mut fields)?).await
}

/// `users.list`: a page of users in the byte order of their ids.
pub(super) async fn list(call: &Call<'_>, mut fields: Fields) -> Result<PageBody, Refusal> {
    let limit = fields.number("limit", 1..=LONGEST_PAGE)?;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE);
    let reference = match fields.text("reference")? {
        None => None,
        Some(text) => Some(UserId::new(text).map_err(|why| Refusal::invalid("reference", why))?),
    };
    // One more tells whether there is a next page.
    let mut users = call.shared.accounts.users(&call.app.id, reference.as_ref(), limit + 1).await?;
    let is_last = users.len() <= limit;
    users.truncate(limit);
    let reference = users.last().filter(|_| !is_last).map(|user| user.id.clone());
    Ok(PageBody { users: users.iter().map(|user| call.show(user)).collect(), reference })
}

/// `users.delete`: forgets a user and ends its sessions.
pub(super) async fn delete(call: &Call<'_>, mut fields: Fields) -> Result<Done, Refusal> {
    call.shared.accounts.delete_user(&call.app.id, &id(&mut fields)?).await?;
    Ok(Done {})
}

/// `users.issue_token`: a new token; the one before stays good for as long as `grace` says.
pub(super) async fn issue_token(call: &Call<'_>, mut fields: Fields) -> Result<UserBody, Refusal> {
    let id = id(&mut fields)?;
    let lifetime = fields.number("expires_in", 1..=LONGEST)?;
    let grace = fields.number("grace", 0..=LONGEST)?.unwrap_or(0);
    call.shared.accounts.issue_token(&call.app.id, &id, lifetime, grace).await?;
    call.user(&id).await
}

/// `users.revoke_tokens`: voids every token and session key of a user, and ends the sessions they opened.
pub(super) async fn revoke_tokens(call: &Call<'_>, mut fields: Fields) -> Result<UserBody, Refusal> {
    let id = id(&mut fields)?;
    call.shared.accounts.revoke_tokens(&call.app.id, &id).await?;
    call.user(&id).await
}

/// The user a request is about.
pub(super) fn id(fields: &mut Fields) -> Result<UserId, Refusal> {
    let text =
        fields.text("id")?.ok_or_else(|| Refusal::new(Code::MissingField, "id: the user's id is missing"))?;
    UserId::new(text).map_err(|why| Refusal::invalid("id", why))
}

fn user_fields(fields: &mut Fields) -> Result<UserFields, Refusal> {
    Ok(UserFields {
        profile: ProfileUpdate {
            display_name: fields.text("display_name")?,
            profile_url: fields.text("profile_url")?,
            avatar_url: fields.text("avatar_url")?,
            data: fields.text("data")?,
            metadata: fields.object("metadata")?,
        },
        first_name: fields.text("first_name")?,
        last_name: fields.text("last_name")?,
        email: fields.text("email")?,
        phone_number: fields.text("phone_number")?,
        check_access_token: fields.flag("check_access_token")?,
        is_suspended: fields.flag("is_suspended")?,
        access_token: fields.text("access_token")?.map(AccessToken::new),
    })
}

impl Call<'_> {
    /// The user as its owner sees it; its token goes beside it.
    fn show(&self, user: &chatcamp_store::User) -> User {
        own_user(user, None, self.shared.registry.is_online(&user.app, &user.id))
    }

    async fn user(&self, id: &UserId) -> Result<UserBody, Refusal> {
        let user = self.shared.accounts.user(&self.app.id, id).await?;
        let access_token = self.shared.accounts.token_of(&user);
        Ok(self.body(&user, access_token))
    }

    fn written(&self, written: WrittenUser) -> UserBody {
        let claimed = match written.written {
            Written::Created => Some(false),
            Written::Claimed => Some(true),
            Written::Changed | Written::Unchanged => None,
        };
        UserBody { claimed, ..self.body(&written.user, written.access_token) }
    }

    /// A token past its end is none: whoever was handed it could not connect.
    fn body(&self, user: &chatcamp_store::User, access_token: Option<AccessToken>) -> UserBody {
        let (is_set, expires_at) = match user.token {
            TokenRecord::None => (false, None),
            TokenRecord::Custom { .. } => (true, None),
            TokenRecord::Derived { expires_at } => {
                (expires_at.is_none_or(|end| self.shared.clock.now() <= end), expires_at)
            }
        };
        UserBody {
            user: self.show(user),
            access_token: access_token.filter(|_| is_set),
            access_token_set: is_set,
            access_token_expires_at: expires_at,
            claimed: None,
        }
    }

    /// Tells the user's sessions, but for those that the same change ends: they may be somebody else's.
    fn tell(&self, written: &WrittenUser) {
        if written.written != Written::Changed {
            return;
        }
        let (user, now) = (&written.user, self.shared.clock.now());
        self.shared.tell_user(user, |session| {
            let vouched = session.vouched();
            standing(&self.app, Some(user), vouched.stamp, vouched.proven_by, now).is_ok()
        });
    }
}
