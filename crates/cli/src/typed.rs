//! Commands that a person types on a terminal while `chatcamp connect` runs.

use std::{
    io::{self, BufRead as _, IsTerminal as _},
    thread,
};

use chatcamp_client::{ChatCamp, ProfileUpdate, PublicUser, RequestError, UserId, UserQuery, Users};
use tokio::sync::mpsc;

use crate::{escape::field, failure::chain};

const HELP: &str = "\
/users       the users of the app, the first 100
/name NAME   change your display name
/block ID    block a user
/unblock ID  unblock a user
/blocked     the users whom you block
/quit        disconnect, as Ctrl-D does";

/// A typed command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    Users,
    Name(String),
    Block(UserId),
    Unblock(UserId),
    Blocked,
    Quit,
    /// Nothing to do but to print this text.
    Text(String),
}

/// Reads lines of stdin in a thread, because a read may block and must not keep the process from exiting. The channel is closed at the
/// end of stdin.
///
/// Lines are delivered only from a terminal; those of a file or a pipe are skipped.
pub(crate) fn read(is_json: bool) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(1);
    let is_terminal = io::stdin().is_terminal() && !is_json;
    thread::spawn(move || {
        if !is_terminal {
            // A read error counts as the end.
            _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
            return drop(sender);
        }
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

impl Typed {
    /// Parses a line. Returns `None` if it is empty.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let argument = argument.trim();
        let id = |typed: fn(UserId) -> Self| match UserId::new(argument) {
            Ok(id) => typed(id),
            Err(error) => Self::Text(error.to_string()),
        };
        Some(match name {
            "" => return None,
            "/help" => Self::Text(HELP.into()),
            "/users" => Self::Users,
            // An empty name would erase the current one.
            "/name" if argument.is_empty() => Self::Text("a name is missing: /name NAME".into()),
            "/name" => Self::Name(argument.into()),
            "/block" => id(Self::Block),
            "/unblock" => id(Self::Unblock),
            "/blocked" => Self::Blocked,
            "/quit" => Self::Quit,
            _ if name.starts_with('/') => {
                Self::Text(format!("unknown command {}; /help lists the commands", field(name)))
            }
            _ => Self::Text(
                "channels are not built yet, so nobody would read this; /help lists the commands".into(),
            ),
        })
    }

    /// Carries out the command. Returns the text to print, if there is any.
    pub(crate) async fn carry_out(self, chat: &ChatCamp) -> Option<String> {
        let done = match self {
            Self::Users => first_page(chat.users(UserQuery::default())).await,
            Self::Name(name) => {
                let update = ProfileUpdate { display_name: Some(name), ..ProfileUpdate::default() };
                let user = chat.update_user(update).await;
                user.map(|user| format!("your name is now {}", field(&user.profile.display_name)))
            }
            Self::Block(id) => {
                let blocked = chat.block(id.as_str()).await;
                blocked.map(|user| format!("you block {}", field(user.id.as_str())))
            }
            Self::Unblock(id) => {
                let unblocked = chat.unblock(id.as_str()).await;
                unblocked.map(|user| format!("you no longer block {}", field(user.id.as_str())))
            }
            Self::Blocked => first_page(chat.blocked()).await,
            Self::Quit => {
                // The event of it is printed.
                chat.disconnect().await;
                return None;
            }
            Self::Text(text) => Ok(text),
        };
        Some(done.unwrap_or_else(|error| field(&chain(&error))))
    }
}

/// Lists the first 100 users, which are one request.
async fn first_page(mut users: Users) -> Result<String, RequestError> {
    let mut page = Vec::new();
    while page.len() < 100
        && let Some(user) = users.try_next().await?
    {
        page.push(user);
    }
    Ok(list(&page))
}

/// Lists users, one a line.
fn list(users: &[PublicUser]) -> String {
    if users.is_empty() {
        return "no users".into();
    }
    let line = |user: &PublicUser| {
        let presence = if user.is_online { "online " } else { "offline" };
        format!("{presence}  {}  {}", field(user.id.as_str()), field(&user.display_name))
            .trim_end()
            .to_owned()
    };
    users.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_commands_or_say_what_to_do() {
        let bob = UserId::new("bob the builder").unwrap();
        for (line, typed) in [
            (" /users ", Typed::Users),
            ("/name  Alice A. ", Typed::Name("Alice A.".into())),
            ("/block bob the builder", Typed::Block(bob.clone())),
            ("/unblock bob the builder", Typed::Unblock(bob)),
            ("/quit", Typed::Quit),
        ] {
            assert_eq!(Typed::parse(line), Some(typed), "{line}");
        }
        assert_eq!(Typed::parse("  "), None);
        for (line, said) in [
            ("hello", "channels"),
            ("/fly", "/help"),
            ("/name ", "/name NAME"),
            ("/block", "user id"),
            ("/help", "/quit"),
        ] {
            let Some(Typed::Text(text)) = Typed::parse(line) else { panic!("{line}") };
            assert!(text.contains(said), "{text}");
        }
    }
}
