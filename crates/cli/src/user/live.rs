//! `chatcamp user publish`, `sessions` and `disconnect`: over the Platform API, because only the running server knows its sessions.

use std::{env, fmt, fs, net::IpAddr, path::PathBuf};

use chatcamp_backend::{Backend, BuildError, Disconnect, Error, PublishOutcome, Session, code};
use chatcamp_protocol::UserId;
use clap::Args;
use serde::Serialize;
use serde_json::Value;

use crate::{
    context::Context, escape::field, failure::Failure, rows::Column, secret_input, unix_time::UnixTime,
};

/// The environment variable with the API key, used without `--api-key-file`.
const API_KEY: &str = "CHATCAMP_API_KEY";
/// The columns of `chatcamp user sessions`.
const COLUMNS: &[Column] =
    &[("SESSION ID", 28), ("TRANSPORT", 10), ("ADDRESS", 15), ("SINCE", 20), ("LAST SEEN", 20)];

/// The server whose API is called.
#[derive(Args)]
pub(crate) struct Remote {
    /// The URL of the server. By default the URL in DIR/dev.json, which `chatcamp dev` writes.
    #[arg(long, value_name = "URL", env = "CHATCAMP_URL")]
    url: Option<String>,
    /// A file with an API key, which also names the app, or with the output of `chatcamp app key create`; `-` is stdin. By default
    /// CHATCAMP_API_KEY, or the key in DIR/dev.json if the URL is from there.
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// A PEM file with the certificate of the authority to trust for https://, instead of those of this system.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// Arguments of `chatcamp user publish`.
#[derive(Args)]
pub(crate) struct Publish {
    /// The user id.
    id: UserId,
    /// The type of the event, such as order.shipped: 1 to 64 characters of a-z, 0-9, `.`, `_` and `-`.
    r#type: String,
    /// The data of the event, as JSON; null by default.
    #[arg(value_name = "JSON", value_parser = json, allow_negative_numbers = true)]
    payload: Option<Value>,
    #[command(flatten)]
    remote: Remote,
}

/// Arguments of `chatcamp user sessions`.
#[derive(Args)]
pub(crate) struct Sessions {
    /// The user id.
    id: UserId,
    #[command(flatten)]
    remote: Remote,
}

/// Arguments of `chatcamp user disconnect`.
#[derive(Args)]
pub(crate) struct End {
    /// The user id.
    id: UserId,
    /// Ends only the session with this id, from `chatcamp user sessions`.
    #[arg(long, value_name = "SESSION_ID")]
    session: Option<String>,
    /// Lets the clients reconnect by themselves.
    #[arg(long)]
    come_back: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Publish {
    /// Publishes the event to the sessions of the user.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = self.remote.open(context)?;
        let data = self.payload.unwrap_or_default();
        let outcome = server.backend.publish(&self.id, &self.r#type, &data).await;
        context.out.print_fields(&Published::from(outcome.map_err(|error| server.explain(error))?))
    }
}

impl Sessions {
    /// Lists the sessions of the user.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = self.remote.open(context)?;
        let sessions = server.backend.sessions(&self.id).await.map_err(|error| server.explain(error))?;
        let table = context.out.table(COLUMNS)?;
        for session in sessions {
            let listed = ListedSession::from(session);
            table.print(&listed, listed.cells())?;
        }
        Ok(())
    }
}

impl End {
    /// Ends sessions of the user.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let server = self.remote.open(context)?;
        let which = Disconnect { session: self.session, come_back: self.come_back };
        let ended = server.backend.disconnect(&self.id, which).await;
        let ended = ended.map_err(|error| server.explain(error))?;
        context.out.print_value(&Ended { id: self.id, ended }, ended)
    }
}

/// A client of the API, and the URL for errors.
struct RemoteServer {
    backend: Backend,
    url: String,
}

impl Remote {
    fn open(self, context: &Context) -> Result<RemoteServer, Failure> {
        let given_key = match &self.api_key_file {
            Some(file) => Some(secret_input::read_api_key(file)?),
            None => key_from_environment()?,
        };
        let dev = if self.url.is_some() { None } else { context.dev()? };
        let (dev_url, dev_key) = dev.map_or((None, None), |dev| (dev.url, Some(dev.api_key)));
        let url = self.url.or(dev_url).ok_or_else(|| context.no_dev("--url URL"))?;
        // The key of the development app is not sent to another server.
        let key = given_key.or(dev_key).ok_or_else(|| {
            Failure::usage(format!("an API key for {url} is missing; use --api-key-file FILE or {API_KEY}"))
        })?;
        let mut builder = Backend::builder(&url, key).retries(0);
        if let Some(file) = self.ca {
            let pem = fs::read(&file).map_err(|error| {
                Failure::because(format!("cannot read a certificate from {}", file.display()), error)
            })?;
            builder = builder.root_certificate(pem);
        }
        let backend = builder.build().map_err(|error| match error {
            BuildError::KeyExposed => Failure::usage(format!(
                "the API key would cross the network in plaintext; use https:// instead of {url}"
            )),
            error => Failure::usage(error),
        })?;
        Ok(RemoteServer { backend, url })
    }
}

impl RemoteServer {
    /// Adds to an error what to do about it.
    fn explain(&self, error: Error) -> Failure {
        let url = &self.url;
        match error.code() {
            Some(code::API_KEY_INVALID) => Failure::failed(format!(
                "the server at {url} does not know the API key; create one with `chatcamp app key create`"
            )),
            Some(code::INVALID_FIELD | code::VALUE_TOO_LONG) => Failure::usage(error),
            None if matches!(error, Error::Unreachable(_)) => Failure::because(
                format!("no server runs at {url}; start one with `chatcamp dev`, or name another with --url"),
                error,
            ),
            _ => Failure::failed(error),
        }
    }
}

/// Reads the API key from the environment. Returns `None` if it is unset or empty.
fn key_from_environment() -> Result<Option<String>, Failure> {
    match env::var(API_KEY) {
        Ok(key) if !key.is_empty() => secret_input::api_key(&key, API_KEY).map(Some),
        Ok(_) | Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(Failure::usage(format!("{API_KEY} is not UTF-8"))),
    }
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("this is not JSON: {error}; text needs double quotes"))
}

/// The numbers of sessions that an event reached.
#[derive(Serialize)]
struct Published {
    delivered: u64,
    queued: u64,
}

#[derive(Serialize)]
struct ListedSession {
    id: String,
    transport: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    since: UnixTime,
    last_seen: UnixTime,
}

#[derive(Serialize)]
struct Ended {
    id: UserId,
    ended: u64,
}

impl From<PublishOutcome> for Published {
    fn from(outcome: PublishOutcome) -> Self {
        Self { delivered: outcome.delivered, queued: outcome.queued }
    }
}

impl From<Session> for ListedSession {
    fn from(session: Session) -> Self {
        Self {
            id: session.id,
            transport: session.transport,
            address: session.address,
            since: UnixTime(session.since),
            last_seen: UnixTime(session.last_seen),
        }
    }
}

impl ListedSession {
    /// Returns the values of [`COLUMNS`].
    fn cells(&self) -> [String; COLUMNS.len()] {
        [
            self.id.clone(),
            self.transport.clone(),
            self.address.map_or_else(String::new, |address| address.to_string()),
            self.since.to_string(),
            self.last_seen.to_string(),
        ]
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.delivered, self.queued) {
            (0, 0) => write!(f, "lost: the user has no session"),
            (0, 1) => write!(f, "queued for 1 session that is detached and may come back"),
            (0, queued) => write!(f, "queued for {queued} sessions that are detached and may come back"),
            (delivered, 0) => write!(f, "delivered to {}", sessions(delivered)),
            (delivered, queued) => write!(f, "delivered to {}, queued for {queued}", sessions(delivered)),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ended {} of {}", sessions(self.ended), field(self.id.as_str()))
    }
}

fn sessions(number: u64) -> String {
    if number == 1 { "1 session".into() } else { format!("{number} sessions") }
}
