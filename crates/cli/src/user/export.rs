//! `chatcamp user export`: writes users to a file that `chatcamp user import` reads.

use std::{
    fmt, fs,
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use chatcamp_protocol::AppId;
use chatcamp_server::Accounts;
use chatcamp_store::TokenRecord;
use clap::Args;
use serde::Serialize;

use super::{PAGE, row::Row};
use crate::{
    context::{Context, InApp},
    failure::Failure,
    private_file,
};

/// Arguments of `chatcamp user export`.
#[derive(Args)]
pub(crate) struct Export {
    /// The file to create, which must not exist yet. By default, and for `-`, stdout.
    file: Option<PathBuf>,
    #[command(flatten)]
    of: InApp,
    /// Also writes the access tokens that the server generated. Tokens that you chose are stored only as digests.
    ///
    /// Tokens that begin with ct1_ are valid only on a server with the same keys. To move users with their tokens and keys, use
    /// `backup` and `restore`.
    #[arg(long)]
    with_tokens: bool,
}

/// An app whose users are exported.
struct Source {
    accounts: Accounts,
    app: AppId,
    with_tokens: bool,
}

/// The result of an export.
#[derive(Default, Serialize)]
struct Exported {
    users: u64,
    /// Tokens that the backend chose, which are stored only as digests.
    chosen_tokens: u64,
    /// Generated tokens that were left out because `--with-tokens` was not given.
    tokens_left_out: u64,
    /// Users whose tokens were revoked.
    revoked_tokens: u64,
}

impl Export {
    /// Exports all users of the app.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (app, accounts) = context.open_app_to_read(self.of).await?;
        let app = accounts.app(&app).await?.id.clone();
        let source = Source { accounts, app, with_tokens: self.with_tokens };
        if source.with_tokens {
            tracing::warn!("the access tokens are secrets: anyone who has them can connect as these users");
        }
        let Some(path) = self.file.filter(|path| path.as_os_str() != "-") else {
            return source.write(io::stdout().lock()).await.map(drop);
        };
        let cannot = |error| Failure::because(format!("cannot write {}", path.display()), error);
        let file = private_file::create_new(&path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Failure::failed(format!("{} already exists; choose another name", path.display()))
            }
            _ => cannot(error),
        })?;
        let written = match source.write(&file).await {
            Ok(exported) => file.sync_all().map(|()| exported).map_err(cannot),
            Err(failure) => Err(failure),
        };
        // A partial file could be taken for a complete one.
        let exported = written.inspect_err(|_| drop(fs::remove_file(&path)))?;
        context.out.print(&exported)
    }
}

impl Source {
    /// Writes a line for each user, in the byte order of their ids.
    async fn write(&self, to: impl Write) -> Result<Exported, Failure> {
        let mut to = BufWriter::new(to);
        let (mut exported, mut after) = (Exported::default(), None);
        loop {
            let page = self.accounts.users(&self.app, after.as_ref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            for user in &page {
                exported.users += 1;
                let token = self.accounts.token_of(user);
                exported.chosen_tokens += u64::from(matches!(user.token, TokenRecord::Custom { .. }));
                let is_revoked = user.token == TokenRecord::None && !user.auto_created;
                exported.revoked_tokens += u64::from(is_revoked);
                exported.tokens_left_out += u64::from(token.is_some() && !self.with_tokens);
                let row = Row::new(user, token.filter(|_| self.with_tokens));
                serde_json::to_writer(&mut to, &row).map_err(io::Error::from).map_err(cannot_write)?;
                to.write_all(b"\n").map_err(cannot_write)?;
            }
        }
        to.flush().map_err(cannot_write)?;
        Ok(exported)
    }
}

fn cannot_write(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Unread,
        _ => Failure::because("cannot write the users", error),
    }
}

impl fmt::Display for Exported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exported {} users", self.users)?;
        if self.tokens_left_out > 0 {
            write!(f, "\naccess tokens left out: {}; use --with-tokens to write them", self.tokens_left_out)?;
        }
        if self.chosen_tokens > 0 {
            write!(
                f,
                "\naccess tokens that you chose: {}; they are stored only as digests and cannot be written",
                self.chosen_tokens
            )?;
        }
        if self.revoked_tokens > 0 {
            write!(
                f,
                "\nusers whose access tokens were revoked: {}; an import elsewhere gives them new tokens",
                self.revoked_tokens
            )?;
        }
        Ok(())
    }
}
