//! The self-check: the same scenarios over every transport, against a throw-away server in memory.
//!
//! A [`Scenario`] knows no transport: a [`Subject`] gives it a client that has one. [`run`] makes a server and a subject for
//! each transport there is, and reports; [`check`] is for a subject of your own.

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

pub use report::Report;
pub use scenario::{Outcome, Scenario};

/// A server as it is reached over one transport.
pub struct Subject {
    /// The name of the transport, as connections over it give it.
    pub transport: &'static str,
    /// An open app.
    pub app: AppId,
    /// A user of the app who must present a token.
    pub user: UserId,
    /// That user's token.
    pub token: AccessToken,
    /// How a client of it gets there.
    pub dial: Dial,
}

/// Gives a client its transport.
pub type Dial = Box<dyn Fn(Builder) -> Builder + Send + Sync>;

/// Why a scenario failed, or the self-check could not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// There is no client.
    #[error("cannot build a client")]
    Build(#[from] BuildError),
    /// The user is not connected.
    #[error("cannot connect")]
    Connect(#[from] ConnectError),
    /// The request is not answered.
    #[error("the request failed")]
    Request(#[from] RequestError),
    /// It took too long.
    #[error("no result within {0:?}")]
    TimedOut(std::time::Duration),
    /// The server did something else than it should.
    #[error("{0}")]
    Unexpected(String),
    /// The throw-away app cannot be made.
    #[error("cannot make a throw-away app")]
    Account(#[from] AccountError),
    /// No port can be had, or no randomness.
    #[error("cannot start a throw-away server")]
    System(#[source] std::io::Error),
    /// The server did not let go of its connections.
    #[error("the server kept connections after its shutdown: {0:?}")]
    Leak(Load),
}

/// Plays every scenario over every transport there is.
///
/// # Errors
/// [`CheckError`] when there is no server to play with, or it does not end as it should. A failed scenario is in the report.
///
/// # Cancel safety
/// Dropping the future ends what it started.
pub async fn run() -> Result<Report, CheckError> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|e| CheckError::System(e.into()))?;
    let keyring = Keyring::new(vec![key]).expect("one key");
    let store = Arc::new(chatcamp_store::memory::Store::new());
    let accounts = Accounts::new(store.clone(), keyring.clone());
    let app = accounts.create_app("self-check", AuthPolicy::Open, None).await?.id;
    let user = UserId::new("grace").expect("a user id");
    let token = accounts.create_user(&app, &user, NewUser::default()).await?;

    let server = Server::builder(store, keyring).start();
    let door =
        FrontDoor::bind(server.clone(), (Ipv4Addr::LOCALHOST, 0).into()).map_err(CheckError::System)?;
    let address = door.local_addr().map_err(CheckError::System)?;
    let url = endpoint(&format!("http://{address}")).map_err(BuildError::Url)?;
    let websocket = websocket::Transport::new(&url).map_err(BuildError::Url)?;
    let long_poll = long_poll::Transport::new(&url).map_err(BuildError::Url)?;
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
    let play = async {
        let mut report = Report::default();
        for subject in subjects {
            report.add(subject.transport, check(&subject).await);
            // With it go the connections that its transport keeps for later, or the server would wait for them.
            drop(subject);
        }
        server.shutdown().await;
        report
    };
    let (report, (), ()) = tokio::join!(play, server.listen(listener), door.run());
    match server.load() {
        Load { connections: 0, unverified: 0, sessions: 0, detached: 0 } => Ok(report),
        load => Err(CheckError::Leak(load)),
    }
}

/// Plays every scenario over one transport, one after the other.
///
/// # Cancel safety
/// Dropping the future ends the connection of the scenario it was at.
pub async fn check(subject: &Subject) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for scenario in Scenario::ALL {
        outcomes.push(scenario.play(subject).await);
    }
    outcomes
}

impl Subject {
    /// A client of its own for one scenario.
    fn client(&self) -> Result<ChatCamp, CheckError> {
        Ok((self.dial)(ChatCamp::builder(&self.app)).build()?)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("transport", &self.transport).finish_non_exhaustive()
    }
}
