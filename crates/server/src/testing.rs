//! A server for the tests of an application.

use std::{net::Ipv4Addr, sync::Arc};

use chatcamp_auth::Keyring;
use chatcamp_protocol::{AccessToken, AppId, UserId};
use chatcamp_store::{AuthPolicy, memory::Store};
use chatcamp_transport::memory;

use crate::{Accounts, FrontDoor, NewUser, Server, random};

/// A server with one open app and a store in memory, for the tests of an application.
///
/// Clients reach it in memory over [`transport`](Self::transport), without a socket, or over the network at [`url`](Self::url):
/// WebSocket, long-poll and the Platform API, on a free port of this machine. It ends with the runtime of the test, or by
/// [`Server::shutdown`].
///
/// The README has a test of a client.
///
/// # Examples
/// ```
/// use chatcamp_server::testing::TestServer;
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let test = TestServer::start().await;
/// let token = test.create_user("bob").await; // bob must present it from now on
/// assert!(test.server().sessions(test.app_id(), None).await?.is_empty());
/// # drop(token);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct TestServer {
    server: Server,
    accounts: Accounts,
    app: AppId,
    api_key: String,
    transport: memory::Transport,
    url: String,
}

impl TestServer {
    /// Starts a server. Users of its app connect with a user id alone, until they are given a token.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time, or if no port of the loopback address is free.
    pub async fn start() -> Self {
        let store = Arc::new(Store::new());
        let keyring = Keyring::new(vec![random::bytes()]).expect("one key makes a keyring");
        let accounts = Accounts::new(store.clone(), keyring.clone());
        let app = accounts.create_app("test", AuthPolicy::Open, None).await.expect("a store in memory works");
        let server = Server::builder(store, keyring).start();

        let (transport, listener) = memory::network();
        let accepting = server.clone();
        tokio::spawn(async move { accepting.listen(listener).await });
        let door = FrontDoor::bind(server.clone(), (Ipv4Addr::LOCALHOST, 0).into());
        let door = door.expect("a port of the loopback address is free");
        let url = format!("http://{}", door.local_addr().expect("a listening port has an address"));
        tokio::spawn(door.run());

        Self { server, accounts, app: app.id, api_key: app.api_key.key, transport, url }
    }

    /// Returns the id of the app.
    #[must_use]
    pub fn app_id(&self) -> &AppId {
        &self.app
    }

    /// Returns an API key of the app, for tests of a backend.
    #[must_use]
    pub fn api_key(&self) -> &str {
        &self.api_key
    }

    /// Returns a transport that connects to the server in memory.
    #[must_use]
    pub fn transport(&self) -> memory::Transport {
        self.transport.clone()
    }

    /// Returns the URL of the server, such as `http://127.0.0.1:41234`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the server, for example to publish events, to end sessions or to shut it down.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Returns the apps, users and tokens of the server.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Creates a user who must present a token, as a backend does, and returns the token.
    ///
    /// # Panics
    /// If the id is invalid or the user exists.
    pub async fn create_user(&self, id: &str) -> AccessToken {
        let id = UserId::new(id).unwrap_or_else(|error| panic!("{error}"));
        let created = self.accounts.create_user(&self.app, &id, NewUser::default()).await;
        created.unwrap_or_else(|error| panic!("{error}"))
    }
}
