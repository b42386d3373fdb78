//! The self-check: runs the same scenarios over every transport, against a temporary server in memory.
//!
//! A [`Scenario`] works over any transport; a [`Subject`] supplies its client. [`run`] creates a server, tests it with a subject for
//! each built-in transport, and returns a report; [`check`] tests a subject of the caller.

mod report;
mod scenario;

use std::{fmt, net::Ipv4Addr, sync::Arc};

use chatcamp_client::{
    BuildError, Builder, ChatCamp, ConnectError, RequestError,
    builder::endpoint,
    transport::{long_poll, memory, websocket},
};
use chatcamp_protocol::{AccessToken, AppId, UserId};
use chatcamp_server::{AccountError, Accounts, AuthPolicy, FrontDoor, Keyring, Load, NewUser, Server};

use crate::activity::SELF_CHECK;

pub use report::Report;
pub use scenario::{Outcome, Scenario};

/// A server that is reached over one transport.
pub struct Subject {
    /// The name of the transport, as its connections report it.
    pub transport: &'static str,
    /// An open app.
    pub app: AppId,
    /// A user of the app who must present a token.
    pub user: UserId,
    /// That user's token.
    pub token: AccessToken,
    /// Sets the transport of a client.
    pub dial: Dial,
}

/// Sets the transport of a client.
pub type Dial = Box<dyn Fn(Builder) -> Builder + Send + Sync>;

/// Why a scenario failed, or the self-check could not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The client could not be built.
    #[error("cannot build a client")]
    Build(#[from] BuildError),
    /// The user could not connect.
    #[error("cannot connect")]
    Connect(#[from] ConnectError),
    /// The request failed.
    #[error("the request failed")]
    Request(#[from] RequestError),
    /// The scenario took too long.
    #[error("no result within {0:?}")]
    TimedOut(std::time::Duration),
    /// The server did not do what it should.
    #[error("{0}")]
    Unexpected(String),
    /// The temporary app could not be created.
    #[error("cannot create a temporary app")]
    Account(#[from] AccountError),
    /// No port or no random number is available.
    #[error("cannot start a temporary server")]
    System(#[source] std::io::Error),
    /// The server did not close its connections.
    #[error("the server kept connections after its shutdown: {0:?}")]
    Leak(Load),
}

/// Runs every scenario over every built-in transport.
///
/// # Errors
/// [`CheckError`] if the server cannot start, or does not close its connections. A failed scenario is in the report.
///
/// # Cancel safety
/// Dropping the future ends the server and its clients.
pub async fn run() -> Result<Report, CheckError> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|e| CheckError::System(e.into()))?;
    let keyring = Keyring::new(vec![key]).expect("one key");
    let store = Arc::new(chatcamp_store::memory::Store::new());
    let accounts = Accounts::new(store.clone(), keyring.clone());
    let id = AppId::new(SELF_CHECK).expect("an app id");
    let app = accounts.create_app(SELF_CHECK, AuthPolicy::Open, Some(id)).await?.id;
    let user = UserId::new("grace").expect("a user id");
    let token = accounts.create_user(&app, &user, NewUser::default()).await?;

    let server = Server::builder(store, keyring).start();
    let door =
        FrontDoor::bind(server.clone(), (Ipv4Addr::LOCALHOST, 0).into()).map_err(CheckError::System)?;
    let address = door.local_addr().map_err(CheckError::System)?;
    let url = endpoint(&format!("http://{address}")).map_err(BuildError::Url)?;
    let websocket = websocket::Transport::new(&url).map_err(BuildError::Transport)?;
    let long_poll = long_poll::Transport::new(&url).map_err(BuildError::Transport)?;
    let (memory, listener) = memory::network();

    let subject = |transport, dial: Dial| Subject {
        transport,
        app: app.clone(),
        user: user.clone(),
        token: token.clone(),
        dial,
    };
    let subjects = [
        subject("memory", Box::new(move |client: Builder| client.transport(memory.clone()))),
        subject("websocket", Box::new(move |client: Builder| client.transport(websocket.clone()))),
        subject("long-poll", Box::new(move |client: Builder| client.transport(long_poll.clone()))),
    ];
    let scenarios = async {
        let mut report = Report::default();
        for subject in subjects {
            report.add(subject.transport, check(&subject).await);
            // Closes the connections that its transport keeps for reuse; the shutdown would wait for them.
            drop(subject);
        }
        server.shutdown().await;
        report
    };
    let (report, (), ()) = tokio::join!(scenarios, server.listen(listener), door.run());
    match server.load() {
        Load { connections: 0, unverified: 0, sessions: 0, detached: 0 } => Ok(report),
        load => Err(CheckError::Leak(load)),
    }
}

/// Runs every scenario over one transport, one after another.
///
/// # Cancel safety
/// Dropping the future ends the connection of the current scenario.
pub async fn check(subject: &Subject) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for scenario in Scenario::ALL {
        outcomes.push(scenario.run(subject).await);
    }
    outcomes
}

impl Subject {
    /// Creates a client for one scenario.
    fn client(&self) -> Result<ChatCamp, CheckError> {
        Ok((self.dial)(ChatCamp::builder(&self.app)).build()?)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("transport", &self.transport).finish_non_exhaustive()
    }
}
