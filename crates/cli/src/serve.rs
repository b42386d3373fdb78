//! `chatcamp serve`: runs a server on a data folder until a signal arrives.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    process,
    sync::Arc,
    time::Duration,
};

use chatcamp_dashboard::{AdminPassword, HostName};
use chatcamp_server::{Builder, DataDir, FrontDoor, Limits, Pages, Proxies, PublicUrl, Server, Tls};
use clap::{ArgAction, Args, builder::BoolishValueParser, value_parser};
use ipnet::IpNet;
use serde::Serialize;
use tokio::task::JoinHandle;

use crate::{
    admin,
    certificates::{self, CertificateOptions},
    context::Context,
    dev_file::DevFile,
    failure::Failure,
    network::parse_network,
    proxies::{Preface, ProxyOptions},
    signals::{Hangups, Signals},
};

/// Arguments that `dev` and `serve` share.
#[derive(Args)]
pub(crate) struct Listen {
    /// The address to listen on; port 0 picks a free one.
    #[arg(long, value_name = "ADDR", env = "CHATCAMP_LISTEN", default_value = "127.0.0.1:9080")]
    pub(crate) listen: SocketAddr,
    /// The address at which browsers and apps reach the server: https://chat.example.com, or https://example.com/talk if a proxy
    /// serves it under a path. Code to copy and printed links begin with it. The proxy may remove the path from requests or leave it.
    #[arg(long, value_name = "URL", env = "CHATCAMP_PUBLIC_URL")]
    pub(crate) public_url: Option<PublicUrl>,
    /// A name under which the dashboard is reached, in addition to localhost, its address and the name in --public-url:
    /// chat.example.com, or https://chat.example.com behind a TLS proxy. May be given several times, or as a list with commas.
    #[arg(long, value_name = "NAME", env = "CHATCAMP_DASHBOARD_HOST", value_delimiter = ',')]
    pub(crate) dashboard_host: Vec<HostName>,
    /// Creates an empty database in a data folder whose database is missing or empty. Refused if the folder has a database. Has no
    /// environment variable: one that stays set would replace a lost database at every start.
    #[arg(long)]
    pub(crate) new_database: bool,
}

/// Arguments of `chatcamp serve`.
#[derive(Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    listen: Listen,
    #[command(flatten)]
    certificates: CertificateOptions,
    #[command(flatten)]
    proxies: ProxyOptions,
    /// Serves the dashboard, at /dashboard.
    #[arg(long, env = "CHATCAMP_DASHBOARD", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    dashboard: bool,
    /// Serves the dashboard only on this separate address; port 0 picks a free one.
    #[arg(long, value_name = "ADDR", env = "CHATCAMP_ADMIN_LISTEN")]
    admin_listen: Option<SocketAddr>,
    /// How long an HTTP connection may be idle between two requests, in seconds. A proxy in front must close its idle
    /// connections sooner, or it answers 502 now and then.
    #[arg(long, value_name = "SECONDS", env = "CHATCAMP_KEEP_ALIVE", default_value_t = 75, value_parser = value_parser!(u64).range(1..=86_400))]
    keep_alive: u64,
    /// An address or a network without rates per address, such as an office with many users behind one address: 192.0.2.7, or
    /// 192.0.2.0/24. May be given several times, or as a list with commas.
    #[arg(long, value_name = "CIDR", env = "CHATCAMP_RATE_EXEMPT", value_delimiter = ',', value_parser = parse_network)]
    rate_exempt: Vec<IpNet>,
}

/// Runs a server until a signal arrives.
pub(crate) async fn run(options: Serve, context: &Context) -> Result<(), Failure> {
    let wants_dashboard = options.dashboard || options.admin_listen.is_some();
    if !wants_dashboard && !options.listen.dashboard_host.is_empty() {
        return Err(Failure::usage(
            "--dashboard-host needs a dashboard; add --dashboard or --admin-listen ADDR",
        ));
    }
    let proxies = options.proxies.proxies()?;
    let admin_preface = options.proxies.admin_listen(options.admin_listen.is_some())?;
    let signals = Signals::install()?;
    let mut hangups = Hangups::install()?;
    let tls = options.certificates.load()?;
    let is_encrypted = tls.is_some();
    let data = context.open_to_serve(options.listen.new_database).await?;
    let password_file =
        if wants_dashboard { AdminPassword::at(data.path()).generate_unless_set()? } else { None };
    let Listen { listen, public_url, dashboard_host: names, .. } = options.listen;
    let mut limits = Limits::default();
    limits.keep_alive = Duration::from_secs(options.keep_alive);
    limits.rate_exempt = options.rate_exempt;
    let settings =
        Settings { public_url, limits, proxies, preface: options.proxies.listen(), tls: tls.clone() };
    let mut dashboard = None;
    let serving = match options.admin_listen {
        None => Serving::start_with(data, listen, settings, |server, data, address| {
            if !wants_dashboard {
                return Vec::new();
            }
            dashboard = Some(shown_url(server, address, is_encrypted));
            vec![Arc::new(admin::dashboard(server, data, address, names, None, is_encrypted))]
        })?,
        Some(separate) => {
            let serving = Serving::start_with(data, listen, settings, |_, _, _| Vec::new())?;
            let separate = serving.listen_separately(separate, admin_preface, names)?;
            dashboard = Some(url(separate, is_encrypted));
            serving
        }
    };
    if let Some(dev) = context.dev()? {
        DevFile { url: Some(serving.url()), ..dev }.write(&context.folder)?;
    }
    if serving.data.accounts().apps().await?.is_empty() {
        tracing::warn!("there are no apps yet; create one with `chatcamp app create NAME --auth token`");
    }
    ignore_unread(context.out.print(&Listening {
        listening: serving.address,
        dashboard: dashboard.map(|url| format!("{url}/dashboard/")),
        admin_password_file: password_file,
    }))?;
    tokio::select! {
        ended = serving.run_until_signal(signals) => ended,
        never = certificates::keep_current(tls, &mut hangups) => match never {},
    }
}

/// How a server serves, besides its data and its address.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) public_url: Option<PublicUrl>,
    pub(crate) limits: Limits,
    pub(crate) proxies: Proxies,
    pub(crate) preface: Preface,
    pub(crate) tls: Option<Tls>,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Serving {
    pub(crate) data: DataDir,
    pub(crate) address: SocketAddr,
    server: Server,
    tls: Option<Tls>,
    door: JoinHandle<()>,
}

impl Serving {
    /// Starts a server on a data folder that this process has locked. Accepts connections once it returns.
    ///
    /// `pages` creates the pages to serve as well as the chat, for the server and the address it listens on.
    pub(crate) fn start_with(
        mut data: DataDir,
        listen: SocketAddr,
        settings: Settings,
        pages: impl FnOnce(&Server, &DataDir, SocketAddr) -> Vec<Arc<dyn Pages>>,
    ) -> Result<Self, Failure> {
        let Settings { public_url, limits, proxies, preface, tls } = settings;
        let builder = Server::builder(data.store(), data.keyring()).limits(limits).behind(proxies);
        let server = public_url.into_iter().fold(builder, Builder::public_url).start();
        let (door, address) = bind(&server, listen, "--listen", tls.as_ref())?;
        let door = preface.apply(door);
        let door = pages(&server, &data, address).into_iter().fold(door, FrontDoor::mount);
        data.announce(&format!("process {} on {address}", process::id()))?;
        Ok(Self { data, address, server, tls, door: tokio::spawn(door.run()) })
    }

    /// Also listens on another address, which serves only the dashboard, until the server shuts down.
    fn listen_separately(
        &self,
        listen: SocketAddr,
        preface: Preface,
        names: Vec<HostName>,
    ) -> Result<SocketAddr, Failure> {
        let (door, address) = bind(&self.server, listen, "--admin-listen", self.tls.as_ref())?;
        let chat_url = Some(self.url());
        let dashboard =
            admin::dashboard(&self.server, &self.data, address, names, chat_url, self.tls.is_some());
        tokio::spawn(preface.apply(door).pages_only().mount(Arc::new(dashboard)).run());
        Ok(address)
    }

    /// Returns the URL under which this machine reaches the server.
    pub(crate) fn url(&self) -> String {
        url(self.address, self.tls.is_some())
    }

    /// Returns the URL to show to people: the public one if it is known.
    pub(crate) fn shown_url(&self) -> String {
        shown_url(&self.server, self.address, self.tls.is_some())
    }

    /// Waits for a signal, then shuts down.
    pub(crate) async fn run_until_signal(mut self, mut signals: Signals) -> Result<(), Failure> {
        tokio::select! {
            () = signals.next() => {}
            ended = &mut self.door => {
                let why = ended.err().map_or_else(|| "its task ended".into(), |e| e.to_string());
                return Err(Failure::failed(format!("the server stopped accepting connections: {why}")));
            }
        }
        self.shut_down(signals).await
    }

    /// Shuts down and closes the data folder; a second signal ends the process at once.
    pub(crate) async fn shut_down(self, mut signals: Signals) -> Result<(), Failure> {
        tracing::info!("shutting down; another signal ends the process at once");
        tokio::select! {
            () = self.server.shutdown() => {}
            () = signals.next() => process::exit(1),
        }
        Ok(self.data.close()?)
    }
}

fn bind(
    server: &Server,
    listen: SocketAddr,
    option: &str,
    tls: Option<&Tls>,
) -> Result<(FrontDoor, SocketAddr), Failure> {
    let cannot =
        |e| Failure::because(format!("cannot listen on {listen}; choose another address with {option}"), e);
    let door = FrontDoor::bind(server.clone(), listen).map_err(cannot)?;
    let address = door.local_addr().map_err(cannot)?;
    let door = tls.cloned().into_iter().fold(door, FrontDoor::tls);
    Ok((door, address))
}

/// Returns the public URL of a server, or the URL of an address if it has none.
fn shown_url(server: &Server, address: SocketAddr, is_encrypted: bool) -> String {
    server.public_url().map_or_else(|| url(address, is_encrypted), PublicUrl::to_string)
}

/// Returns the URL under which this machine reaches an address.
fn url(address: SocketAddr, is_encrypted: bool) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let scheme = if is_encrypted { "https" } else { "http" };
    format!("{scheme}://{}", SocketAddr::new(ip, address.port()))
}

/// Ignores a closed stdout: a server keeps running.
pub(crate) fn ignore_unread(printed: Result<(), Failure>) -> Result<(), Failure> {
    match printed {
        Err(Failure::Unread) => Ok(()),
        printed => printed,
    }
}

#[derive(Serialize)]
struct Listening {
    listening: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    dashboard: Option<String>,
    /// The file with the generated password.
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_password_file: Option<PathBuf>,
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChatCamp listens on {}", self.listening)?;
        if let Some(dashboard) = &self.dashboard {
            write!(f, "\nThe dashboard is at {dashboard}")?;
        }
        if let Some(path) = &self.admin_password_file {
            write!(f, "\nIts password is in {}; store it elsewhere and delete the file", path.display())?;
        }
        Ok(())
    }
}
