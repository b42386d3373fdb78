//! `chatcamp serve`: a server on a data folder, until it is told to stop.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    process,
};

use chatcamp_server::{DataDir, FrontDoor, Limits, Server};
use clap::Args;
use serde::Serialize;
use tokio::task::JoinHandle;

use crate::{context::Context, dev_file::DevFile, failure::Failure, signals::Signals};

/// How to serve.
#[derive(Args)]
pub(crate) struct Serve {
    /// The address to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDR", env = "CHATCAMP_LISTEN", default_value = "127.0.0.1:9080")]
    pub(crate) listen: SocketAddr,
}

/// Serves.
pub(crate) async fn run(options: Serve, context: Context) -> Result<(), Failure> {
    let signals = Signals::install()?;
    let data = context.open_to_serve().await?;
    let serving = Serving::start(data, options.listen)?;
    if let Some(dev) = context.dev()? {
        DevFile { url: Some(serving.url()), ..dev }.write(&context.folder)?;
    }
    if serving.data.accounts().apps().await?.is_empty() {
        tracing::warn!("there is no app yet; `chatcamp app create NAME --auth token` makes one");
    }
    read_or_not(context.out.print(&Listening { listening: serving.address }))?;
    serving.until_told(signals).await
}

/// A server in operation.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) data: DataDir,
    pub(crate) address: SocketAddr,
    server: Server,
    door: JoinHandle<()>,
}

impl Serving {
    /// Starts on a data folder that this process has locked; once this returns, connections are accepted.
    pub(crate) fn start(mut data: DataDir, listen: SocketAddr) -> Result<Self, Failure> {
        let cannot = |e| {
            Failure::because(format!("cannot listen on {listen}; choose another address with --listen"), e)
        };
        let server = Server::start(data.store(), data.keyring(), Limits::default());
        let door = FrontDoor::bind(server.clone(), listen).map_err(cannot)?;
        let address = door.local_addr().map_err(cannot)?;
        data.announce(&format!("process {} on {address}", process::id()))?;
        Ok(Self { data, address, server, door: tokio::spawn(door.run()) })
    }

    /// The address as somebody on this machine would dial it.
    pub(crate) fn url(&self) -> String {
        let ip = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        format!("http://{}", SocketAddr::new(ip, self.address.port()))
    }

    /// Serves until a signal comes, then shuts down.
    pub(crate) async fn until_told(mut self, mut signals: Signals) -> Result<(), Failure> {
        tokio::select! {
            () = signals.next() => {}
            ended = &mut self.door => {
                let why = ended.err().map_or_else(|| "it ended".into(), |e| e.to_string());
                return Err(Failure::failed(format!("the server stopped accepting connections: {why}")));
            }
        }
        self.shut_down(signals).await;
        Ok(())
    }

    /// Shuts down; a second signal ends the process at once.
    pub(crate) async fn shut_down(self, mut signals: Signals) {
        tracing::info!("shutting down; once more ends it at once");
        tokio::select! {
            () = self.server.shutdown() => {}
            () = signals.next() => process::exit(1),
        }
    }
}

/// A server goes on when nobody reads what it prints.
pub(crate) fn read_or_not(printed: Result<(), Failure>) -> Result<(), Failure> {
    match printed {
        Err(Failure::Unread) => Ok(()),
        printed => printed,
    }
}

#[derive(Serialize)]
struct Listening {
    listening: SocketAddr,
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChatCamp listens on {}", self.listening)
    }
}
