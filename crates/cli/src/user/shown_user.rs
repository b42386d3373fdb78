//! Users as the command line shows them, without secrets except a requested token.

use std::fmt;

use chatcamp_protocol::{AccessToken, AppId, Profile, UserId};
use chatcamp_store::{TokenRecord, User};
use serde::{Serialize, Serializer};

use crate::{escape::field, failure::Failure, output::Output, rows::Column, unix_time::UnixTime};

/// The columns of `chatcamp user list`.
pub(super) const COLUMNS: &[Column] = &[("ID", 24), ("LAST SEEN", 20), ("DISPLAY NAME", 24), ("STATUS", 22)];

/// A user with every field.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct ShownUser<'a>(pub(super) Record<'a>);

/// A user in one line.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct ListedUser<'a>(pub(super) Record<'a>);

/// The stored fields of a user, without stamps and digests.
#[derive(Serialize)]
pub(super) struct Record<'a> {
    app_id: &'a AppId,
    id: &'a UserId,
    #[serde(flatten)]
    profile: &'a Profile,
    created_at: UnixTime,
    last_seen: UnixTime,
    is_suspended: bool,
    check_access_token: bool,
    auto_created: bool,
    access_token_set: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token_expires_at: Option<UnixTime>,
}

/// A user's access token.
#[derive(Serialize)]
pub(super) struct UserToken {
    pub(super) id: UserId,
    #[serde(serialize_with = "expose")]
    pub(super) access_token: AccessToken,
}

/// The result of changing a user.
#[derive(Serialize)]
pub(super) struct Changed {
    pub(super) id: UserId,
    #[serde(flatten)]
    pub(super) change: Change,
}

/// The changed field and its new value.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Change {
    #[serde(rename = "check_access_token")]
    Locked(bool),
    #[serde(rename = "is_suspended")]
    Suspended(bool),
    Revoked(bool),
    Deleted(bool),
}

impl<'a> From<&'a User> for Record<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            app_id: &user.app,
            id: &user.id,
            profile: &user.profile,
            created_at: UnixTime(user.created_at),
            last_seen: UnixTime(user.last_seen),
            is_suspended: user.is_suspended,
            check_access_token: user.check_access_token,
            auto_created: user.auto_created,
            access_token_set: user.token != TokenRecord::None,
            access_token_expires_at: match user.token {
                TokenRecord::Derived { expires_at } => expires_at.map(UnixTime),
                TokenRecord::None | TokenRecord::Custom { .. } => None,
            },
        }
    }
}

impl ListedUser<'_> {
    /// Returns the values of [`COLUMNS`].
    pub(super) fn cells(&self) -> [String; COLUMNS.len()] {
        let Self(user) = self;
        let mut status = Vec::new();
        for (is, word) in [
            (user.is_suspended, "suspended"),
            (user.check_access_token, "locked"),
            (user.access_token_set, "token"),
        ] {
            if is {
                status.push(word);
            }
        }
        [user.id.to_string(), user.last_seen.to_string(), user.profile.display_name.clone(), status.join(",")]
    }
}

impl UserToken {
    /// Prints the token; bare if stdout is not a terminal.
    pub(super) fn print(&self, out: Output) -> Result<(), Failure> {
        out.print_value(self, self.access_token.expose())
    }
}

impl fmt::Display for ShownUser<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(user) = self;
        writeln!(f, "id            {}", field(user.id.as_str()))?;
        writeln!(f, "app           {}", user.app_id)?;
        for text in user.profile.texts().iter().filter(|text| !text.text.is_empty()) {
            let label = text.field.replace('_', " ");
            writeln!(f, "{label:<12}  {}", field(text.text))?;
        }
        if !user.profile.metadata.is_empty() {
            let metadata = serde_json::to_string(&user.profile.metadata).map_err(|_| fmt::Error)?;
            writeln!(f, "metadata      {}", field(&metadata))?;
        }
        writeln!(
            f,
            "created       {}{}",
            user.created_at,
            if user.auto_created { ", by its first connect" } else { "" }
        )?;
        writeln!(f, "last seen     {}", user.last_seen)?;
        writeln!(f, "suspended     {}", yes(user.is_suspended))?;
        writeln!(f, "locked        {}", yes(user.check_access_token))?;
        write!(f, "access token  {}", if user.access_token_set { "set" } else { "none" })?;
        user.access_token_expires_at.map_or(Ok(()), |at| write!(f, ", until {at}"))
    }
}

impl fmt::Display for UserToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user          {}\naccess token  {}", field(self.id.as_str()), self.access_token.expose())
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = match self.change {
            Change::Locked(true) => "must present an access token",
            Change::Locked(false) => "need not present an access token",
            Change::Suspended(true) => "is suspended",
            Change::Suspended(false) => "may connect again",
            Change::Revoked(_) => "no longer has an access token",
            Change::Deleted(_) => "is deleted",
        };
        write!(f, "{} {now}", field(self.id.as_str()))
    }
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

fn expose<S: Serializer>(token: &AccessToken, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(token.expose())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_shows_no_secret() {
        let (app, id) = (AppId::new("demo").unwrap(), UserId::new("alice").unwrap());
        let mut user = User::new(app, id, [211; 16], 1);
        user.token = TokenRecord::Custom { digest: [212; 32] };
        let record = || Record::from(&user);
        let shown = serde_json::to_string(&ShownUser(record())).unwrap() + &ShownUser(record()).to_string();
        assert!(shown.contains("\"access_token_set\":true") && !shown.contains("21"), "{shown}");
    }

    #[test]
    fn values_cannot_imitate_another_line() {
        let (app, id) = (AppId::new("demo").unwrap(), UserId::new("alice\u{202e}").unwrap());
        let mut user = User::new(app, id, [1; 16], 1);
        let lines = |user: &User| {
            let shown = ShownUser(user.into()).to_string();
            (shown.lines().count(), shown)
        };
        user.profile.display_name = "A".into();
        user.profile.data = "d".into();
        let (before, _) = lines(&user);
        user.profile.display_name = "A\nsuspended     no\u{202e}".into();
        user.profile.data = "d\r\nlocked        no".into();
        let (after, shown) = lines(&user);
        assert_eq!(after, before, "{shown}");
        assert!(!shown.contains('\u{202e}'), "{shown}");
    }

    #[test]
    fn a_change_names_the_field_that_it_set() {
        for (change, json) in [
            (Change::Locked(true), r#"{"id":"a","check_access_token":true}"#),
            (Change::Suspended(false), r#"{"id":"a","is_suspended":false}"#),
            (Change::Revoked(true), r#"{"id":"a","revoked":true}"#),
            (Change::Deleted(true), r#"{"id":"a","deleted":true}"#),
        ] {
            let id = UserId::new("a").unwrap();
            assert_eq!(serde_json::to_string(&Changed { id, change }).unwrap(), json);
        }
    }
}
