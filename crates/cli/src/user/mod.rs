//! `chatcamp user …`: users and their access tokens.

mod export;
mod import;
mod live;
mod row;
mod shown_user;

use chatcamp_protocol::{Profile, UserId};
use chatcamp_server::NewUser;
use chatcamp_store::TokenRecord;
use clap::{Args, Subcommand};

use self::{
    export::Export,
    import::Import,
    live::{End, Publish, Sessions},
    shown_user::{COLUMNS, Change, Changed, ListedUser, ShownUser, UserToken},
};
use crate::{
    context::{Context, InApp},
    failure::Failure,
    secret_input::TokenInput,
};

/// The number of users read at once.
const PAGE: usize = 500;

/// Subcommands of `chatcamp user`.
#[derive(Subcommand)]
pub(crate) enum UserCommand {
    /// Creates a user with an access token: the given one, of 16 to 512 bytes, or a generated one.
    Create {
        #[command(flatten)]
        whom: Whom,
        #[command(flatten)]
        token: TokenInput,
        /// The name that other users see.
        #[arg(long, value_name = "NAME")]
        display_name: Option<String>,
        /// Also lets the user connect by user id alone.
        #[arg(long)]
        no_lock: bool,
    },
    /// Lists users in the byte order of their ids.
    List {
        #[command(flatten)]
        of: InApp,
        /// The most users to list; by default all.
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
        /// Begins after this id.
        #[arg(long, value_name = "ID")]
        after: Option<UserId>,
    },
    /// Shows what is stored about a user.
    Show(Whom),
    /// Shows a user's access token, or generates a new one.
    Token {
        #[command(flatten)]
        whom: Whom,
        /// Generates a new token; the previous one becomes void.
        #[arg(long)]
        new: bool,
        /// How long the new token is valid; by default without end.
        #[arg(long, value_name = "SECONDS", requires = "new", value_parser = clap::value_parser!(u64).range(1..))]
        expires_in: Option<u64>,
        /// How long the previous token stays valid.
        #[arg(long, value_name = "SECONDS", requires = "new", default_value_t = 0)]
        grace: u64,
    },
    /// Requires an access token from a user; ends the sessions that were opened by user id alone.
    Lock(Whom),
    /// Lets a user connect by user id alone, if the app allows it.
    Unlock(Whom),
    /// Suspends a user and ends all of its sessions.
    Suspend(Whom),
    /// Lets a suspended user connect again.
    Restore(Whom),
    /// Revokes a user's access tokens and ends the sessions they opened.
    Revoke(Whom),
    /// Deletes a user and ends all of its sessions.
    Delete(Whom),
    /// Publishes an event to the live sessions of a user of a running server.
    ///
    /// Prints how many sessions it was delivered to, because they have an open connection, and for how many it is queued, because
    /// they are detached and may come back. A user without a session does not get the event later.
    Publish(Publish),
    /// Lists the live sessions of a user of a running server.
    Sessions(Sessions),
    /// Ends live sessions of a user of a running server: all, or one; prints how many.
    Disconnect(End),
    /// Creates or changes many users; works while a server runs.
    ///
    /// Fields: id, display_name, first_name, last_name, email, phone_number, profile_url, avatar_url, data, metadata,
    /// check_access_token, is_suspended, access_token (16 to 512 bytes). A line with an unknown field is not
    /// imported, unless --ignore-unknown is given. Fields that a line does not contain stay unchanged. A new user gets a token and must present it, unless its line says otherwise.
    ///
    /// A user who already is as its line says is skipped. If an import ends early, run it again.
    Import(Import),
    /// Writes all users, one JSON object per line, for `import`.
    Export(Export),
}

/// One user of an app.
#[derive(Args)]
pub(crate) struct Whom {
    /// The user id.
    id: UserId,
    #[command(flatten)]
    of: InApp,
}

impl UserCommand {
    /// Runs the command.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let out = context.out;
        match self {
            Self::Create { whom, token, display_name, no_lock } => {
                let token = token.read()?;
                let display_name = display_name.unwrap_or_default();
                let profile = Profile { display_name, ..Profile::default() };
                let new = NewUser { profile, token, check_access_token: !no_lock };
                let Whom { id, of } = whom;
                let (app, accounts) = context.open_app(of).await?;
                let access_token = accounts.create_user(&app, &id, new).await?;
                UserToken { id, access_token }.print(out)
            }
            Self::List { of, limit, after } => list(context, of, limit.unwrap_or(usize::MAX), after).await,
            Self::Show(whom) => {
                let (app, accounts) = context.open_app_to_read(whom.of).await?;
                out.print_fields(&ShownUser((&*accounts.user(&app, &whom.id).await?).into()))
            }
            Self::Token { whom, new, expires_in, grace } => {
                let Whom { id, of } = whom;
                let access_token = if new {
                    let (app, accounts) = context.open_app(of).await?;
                    accounts.issue_token(&app, &id, expires_in, grace).await?
                } else {
                    let (app, accounts) = context.open_app_to_read(of).await?;
                    let user = accounts.user(&app, &id).await?;
                    accounts.token_of(&user).ok_or_else(|| no_token(&id, user.token))?
                };
                UserToken { id, access_token }.print(out)
            }
            Self::Lock(whom) => change(context, whom, Change::Locked(true)).await,
            Self::Unlock(whom) => change(context, whom, Change::Locked(false)).await,
            Self::Suspend(whom) => change(context, whom, Change::Suspended(true)).await,
            Self::Restore(whom) => change(context, whom, Change::Suspended(false)).await,
            Self::Revoke(whom) => change(context, whom, Change::Revoked(true)).await,
            Self::Publish(command) => command.run(context).await,
            Self::Sessions(command) => command.run(context).await,
            Self::Disconnect(command) => command.run(context).await,
            Self::Import(command) => command.run(context).await,
            Self::Export(command) => command.run(context).await,
            Self::Delete(whom) => change(context, whom, Change::Deleted(true)).await,
        }
    }
}

async fn change(context: &Context, whom: Whom, change: Change) -> Result<(), Failure> {
    let Whom { id, of } = whom;
    let (app, accounts) = context.open_app(of).await?;
    match change {
        Change::Locked(locked) => accounts.set_locked(&app, &id, locked).await?,
        Change::Suspended(suspended) => accounts.set_suspended(&app, &id, suspended).await?,
        Change::Revoked(_) => accounts.revoke_tokens(&app, &id).await?,
        Change::Deleted(_) => accounts.delete_user(&app, &id).await?,
    }
    context.out.print(&Changed { id, change })
}

async fn list(
    context: &Context,
    of: InApp,
    mut limit: usize,
    mut after: Option<UserId>,
) -> Result<(), Failure> {
    let (app, accounts) = context.open_app_to_read(of).await?;
    let table = context.out.table(COLUMNS)?;
    while limit > 0 {
        let page = accounts.users(&app, after.as_ref(), limit.min(PAGE)).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        limit -= page.len();
        for user in &page {
            let listed = ListedUser((&**user).into());
            table.print(&listed, listed.cells())?;
        }
    }
    Ok(())
}

fn no_token(id: &UserId, token: TokenRecord) -> Failure {
    Failure::failed(match token {
        TokenRecord::Custom { .. } => format!(
            "the access token of {id} cannot be shown, because you chose it and only its digest is stored; use --new to \
             generate another"
        ),
        _ => format!("{id} has no access token; use --new to generate one"),
    })
}
