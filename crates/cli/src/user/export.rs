//! `chatcamp user export`: users to a file that `chatcamp user import` reads.

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

use super::{InApp, PAGE, row::Row};
use crate::{context::Context, failure::Failure, private_file};

/// Where the users go.
#[derive(Args)]
pub(crate) struct Export {
    /// The file, which must not be there yet; `-`, or none, is stdout.
    file: Option<PathBuf>,
    #[command(flatten)]
    of: InApp,
    /// Writes the access tokens too, but for those of your own choice, which are kept as digests only.
    ///
    /// Tokens that begin with ct1_ mean something only to a server with the same keys, and any other refuses them: `backup`
    /// and `restore` move users with their tokens and the keys.
    #[arg(long)]
    with_tokens: bool,
}

/// An app whose users are exported.
struct Source {
    accounts: Accounts,
    app: AppId,
    with_tokens: bool,
}

/// How much was written.
#[derive(Default, Serialize)]
struct Exported {
    users: u64,
    /// Tokens that only whoever chose them knows.
    chosen_tokens: u64,
    /// Derived tokens that were not asked for.
    tokens_left_out: u64,
    /// Users whose tokens were revoked.
    revoked_tokens: u64,
}

impl Export {
    /// Exports all users of the app.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let app = context.app(self.of.app)?;
        let accounts = context.open_to_read().await?.accounts();
        let app = accounts.app(&app).await?.id.clone();
        let source = Source { accounts, app, with_tokens: self.with_tokens };
        if source.with_tokens {
            tracing::warn!("the access tokens are secrets: whoever reads them can connect as these users");
        }
        let Some(path) = self.file.filter(|path| path.as_os_str() != "-") else {
            return source.write(io::stdout().lock()).await.map(drop);
        };
        let cannot = |error| Failure::because(format!("cannot write {}", path.display()), error);
        let file = private_file::create_new(&path).map_err(cannot)?;
        let written = match source.write(&file).await {
            Ok(exported) => file.sync_all().map(|()| exported).map_err(cannot),
            Err(failure) => Err(failure),
        };
        // A part would pass for the whole.
        let exported = written.inspect_err(|_| drop(fs::remove_file(&path)))?;
        context.out.print(&exported)
    }
}

impl Source {
    /// Writes a line for each user, in the byte order of their ids, a page at a time.
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
            write!(f, "\naccess tokens left out: {}; --with-tokens writes them", self.tokens_left_out)?;
        }
        if self.chosen_tokens > 0 {
            write!(
                f,
                "\naccess tokens of your own choice: {}; kept as digests, so not written",
                self.chosen_tokens
            )?;
        }
        if self.revoked_tokens > 0 {
            write!(
                f,
                "\naccess tokens that were revoked: {}; an import elsewhere makes these users new ones",
                self.revoked_tokens
            )?;
        }
        Ok(())
    }
}
