//! `chatcamp connect`: connects a user and prints events until a signal or the end of stdin.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use chatcamp_client::{
    BuildError, Builder, ChatCamp, Event, Login, Tls,
    builder::endpoint,
    transport::{long_poll, websocket},
};
use chatcamp_protocol::{AccessToken, ServerUrl, UserId};
use clap::{Args, ValueEnum};
use tokio::sync::mpsc;

use crate::{
    context::{Context, InApp},
    escape::shell_word,
    event::{Printed, Traced, failure},
    failure::Failure,
    invocation::next_command,
    output::Output,
    secret_input::{self, TokenInput},
    signals::Signals,
    typed::{self, Typed},
};

/// The environment variable with the access token, used if neither option is given.
const TOKEN: &str = "CHATCAMP_TOKEN";

/// Arguments of `chatcamp connect`.
#[derive(Args)]
pub(crate) struct Connect {
    /// The user id.
    id: UserId,
    #[command(flatten)]
    of: InApp,
    /// The URL of the server. By default the URL in DIR/dev.json, which `chatcamp dev` writes.
    #[arg(long, value_name = "URL", env = "CHATCAMP_URL")]
    url: Option<String>,
    /// A PEM file with the certificate of the authority to trust for https:// and wss://, instead of those of this system.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    #[command(flatten)]
    token: TokenInput,
    /// The transport.
    #[arg(long, default_value = "auto")]
    transport: Transport,
    /// Prints every message with its secrets redacted.
    #[arg(long)]
    trace: bool,
    /// Stays connected at the end of stdin.
    #[arg(long)]
    stay: bool,
}

/// A transport to connect over.
#[derive(Clone, Copy, ValueEnum)]
enum Transport {
    /// WebSocket, or long-poll if WebSocket does not get through.
    Auto,
    /// WebSocket.
    Websocket,
    /// HTTP long-poll.
    LongPoll,
}

impl Transport {
    /// Sets the transport of a client that connects to `url` and trusts `tls`, or by default this system.
    fn dial(self, builder: Builder, url: &str, tls: Option<&Tls>) -> Result<Builder, BuildError> {
        let endpoint = endpoint(url)?;
        Ok(match (self, tls) {
            (Self::Auto, Some(tls)) => builder.url(url).tls(tls),
            (Self::Auto, None) => builder.url(url),
            (Self::Websocket, Some(tls)) => {
                builder.transport(websocket::Transport::with_tls(&endpoint, tls)?)
            }
            (Self::Websocket, None) => builder.transport(websocket::Transport::new(&endpoint)?),
            (Self::LongPoll, Some(tls)) => builder.transport(long_poll::Transport::with_tls(&endpoint, tls)?),
            (Self::LongPoll, None) => builder.transport(long_poll::Transport::new(&endpoint)?),
        })
    }
}

impl Connect {
    /// Connects, prints events, and disconnects at a signal or the end of stdin.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let signals = Signals::install()?;
        let url = match self.url {
            Some(url) => url,
            None => context.dev()?.and_then(|dev| dev.url).ok_or_else(|| context.no_dev("--url URL"))?,
        };
        let tls = self.ca.map(|file| trust(&file, &url)).transpose()?;
        let mut login = Login::new(&self.id);
        let token = match self.token.read()? {
            None => token_from_environment()?,
            given => given,
        };
        if let Some(token) = token {
            login = login.token(token);
        }
        let out = context.out;
        let token_command = format!("user token {}", shell_word(self.id.as_str()));
        let token_command = next_command(&token_command, &context.folder, self.of.app.as_ref());
        let mut builder = ChatCamp::builder(context.app(self.of).await?);
        let dialled = self.transport.dial(builder, &url, tls.as_ref());
        builder = dialled.map_err(Failure::usage)?;
        if self.trace {
            // If stdout is closed, printing the next event fails.
            builder = builder.trace(move |way, text| drop(out.note(&Traced::new(way, text))));
        }
        let chat = builder.build().map_err(Failure::usage)?;
        run_session(chat, login, out, signals, self.stay, &token_command).await
    }
}

/// Reads the authorities to trust for `url`.
fn trust(file: &Path, url: &str) -> Result<Tls, Failure> {
    if ServerUrl::parse(url).is_ok_and(|url| !url.is_tls()) {
        return Err(Failure::usage("--ca applies only to a URL that begins with https:// or wss://"));
    }
    let pem = fs::read(file).map_err(|error| {
        Failure::because(format!("cannot read a certificate from {}", file.display()), error)
    })?;
    Tls::with_roots(pem).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
}

/// Reads the access token from the environment. Returns `None` if it is unset or empty.
fn token_from_environment() -> Result<Option<AccessToken>, Failure> {
    match env::var(TOKEN) {
        Ok(token) if !token.is_empty() => secret_input::token(&token, TOKEN).map(Some),
        Ok(_) | Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(Failure::usage(format!("{TOKEN} is not UTF-8"))),
    }
}

/// Connects and prints every event until the client disconnects.
async fn run_session(
    chat: ChatCamp,
    login: Login,
    out: Output,
    mut signals: Signals,
    stay: bool,
    token_command: &str,
) -> Result<(), Failure> {
    let mut events = chat.events();
    // The outcome is reported as an event.
    let connecting = tokio::spawn({
        let chat = chat.clone();
        async move { drop(chat.connect(login).await) }
    });
    let mut stdin: Option<mpsc::Receiver<String>> = None;
    let mut has_ended = false;
    loop {
        tokio::select! {
            biased;
            event = events.next() => {
                let Some(event) = event else { return Ok(()) };
                match &event {
                    Event::Connected { .. } if stdin.is_none() => stdin = Some(typed::read(out.is_json())),
                    Event::Disconnected { reason } => return end(out, &event, failure(reason, token_command)),
                    _ => {}
                }
                print(out, &event)?;
            }
            () = signals.next() => break,
            line = async { stdin.as_mut().expect("guarded").recv().await }, if stdin.is_some() && !has_ended => {
                match line {
                    Some(line) => _ = tokio::spawn(answer(line, chat.clone(), out)),
                    None if stay => has_ended = true,
                    None => break,
                }
            }
        }
    }
    connecting.abort();
    tokio::select! {
        () = chat.disconnect() => {}
        () = signals.next() => return Ok(()),
    }
    // The remaining events, up to the disconnect.
    drop(chat);
    while let Some(event) = events.next().await {
        print(out, &event)?;
    }
    Ok(())
}

fn print(out: Output, event: &Event) -> Result<(), Failure> {
    let Some(printed) = Printed::of(event) else { return Ok(()) };
    let style = printed.style();
    out.print_styled(&printed, |line| (style, line.find(": ").unwrap_or(line.len())))
}

/// Carries out a typed line and prints the answer. If stdout is closed, printing the next event fails.
async fn answer(line: String, chat: ChatCamp, out: Output) {
    let Some(typed) = Typed::parse(&line) else { return };
    if let Some(text) = typed.carry_out(&chat).await {
        drop(out.print(&text));
    }
}

/// Prints the last event. A failure is printed only once for people, on stderr; with `--json` it is also printed as an event.
fn end(out: Output, event: &Event, failure: Option<Failure>) -> Result<(), Failure> {
    if out.is_json() || failure.is_none() {
        print(out, event)?;
    }
    failure.map_or(Ok(()), Err)
}
