//! `chatcamp connect`: a user at the terminal, until told to leave.

use std::{env, io, thread};

use chatcamp_client::{
    BuildError, Builder, ChatCamp, Event, Login,
    builder::endpoint,
    transport::{self, long_poll, websocket},
};
use chatcamp_protocol::{AccessToken, AppId, UserId};
use clap::{Args, ValueEnum};
use tokio::sync::oneshot;

use crate::{
    context::Context,
    event::{Printed, Traced, failure},
    failure::Failure,
    output::Output,
    secret_input::{self, TokenInput},
    signals::Signals,
};

/// Holds the access token, where neither option does.
const TOKEN: &str = "CHATCAMP_TOKEN";

/// Who connects, where to, and how.
#[derive(Args)]
pub(crate) struct Connect {
    /// The user id.
    id: UserId,
    /// The app; that of `chatcamp dev` in the data folder otherwise.
    #[arg(long, value_name = "APP_ID")]
    app: Option<AppId>,
    /// The server; that of `chatcamp dev` in the data folder otherwise.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    token: TokenInput,
    /// Over what to connect.
    #[arg(long, default_value = "auto")]
    transport: Transport,
    /// Shows every message, its secrets blotted out.
    #[arg(long)]
    trace: bool,
    /// Stays connected at the end of stdin.
    #[arg(long)]
    stay: bool,
}

/// The transports to choose from.
#[derive(Clone, Copy, ValueEnum)]
enum Transport {
    /// WebSocket, or long-poll where that does not get through.
    Auto,
    /// WebSocket.
    Websocket,
    /// HTTP requests, some of which wait.
    LongPoll,
}

impl Transport {
    /// Lets a client dial `url`.
    fn dial(self, builder: Builder, url: &str) -> Result<Builder, transport::ConnectError> {
        Ok(match self {
            Self::Auto => builder.url(url),
            Self::Websocket => builder.transport(websocket::Transport::new(&endpoint(url)?)?),
            Self::LongPoll => builder.transport(long_poll::Transport::new(&endpoint(url)?)?),
        })
    }
}

impl Connect {
    /// Connects, prints what happens, and disconnects at a signal or the end of stdin.
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let signals = Signals::install()?;
        let url = match self.url {
            Some(url) => url,
            None => context.dev()?.and_then(|dev| dev.url).ok_or_else(|| context.no_dev("--url URL"))?,
        };
        let mut login = Login::new(&self.id);
        let token = match self.token.read()? {
            None => in_environment()?,
            given => given,
        };
        if let Some(token) = token {
            login = login.token(token);
        }
        let out = context.out;
        let mut builder = ChatCamp::builder(context.app(self.app)?);
        builder = self.transport.dial(builder, &url).map_err(BuildError::Url).map_err(Failure::usage)?;
        if self.trace {
            // Where nobody reads any more, the next event notices.
            builder = builder.trace(move |way, text| drop(out.note(&Traced::new(way, text))));
        }
        let chat = builder.build().map_err(Failure::usage)?;
        attend(chat, login, out, signals, self.stay).await
    }
}

/// Reads the access token from the environment, where one is there.
fn in_environment() -> Result<Option<AccessToken>, Failure> {
    match env::var(TOKEN) {
        Ok(token) if !token.is_empty() => secret_input::token(&token, TOKEN).map(Some),
        Ok(_) | Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(Failure::usage(format!("{TOKEN} is not UTF-8"))),
    }
}

/// Prints every event of one connect to its end.
async fn attend(
    chat: ChatCamp,
    login: Login,
    out: Output,
    mut signals: Signals,
    stay: bool,
) -> Result<(), Failure> {
    let mut events = chat.events();
    // Its outcome is among the events.
    let connecting = tokio::spawn({
        let chat = chat.clone();
        async move { drop(chat.connect(login).await) }
    });
    let mut stdin = None;
    loop {
        tokio::select! {
            biased;
            event = events.next() => {
                let Some(event) = event else { return Ok(()) };
                match &event {
                    Event::Connected { .. } if !stay && stdin.is_none() => stdin = Some(end_of_stdin()),
                    Event::Disconnected { reason } => return end(out, &event, failure(reason)),
                    _ => {}
                }
                print(out, &event)?;
            }
            () = signals.next() => break,
            _ = async { stdin.as_mut().expect("guarded").await }, if stdin.is_some() => break,
        }
    }
    connecting.abort();
    tokio::select! {
        () = chat.disconnect() => {}
        () = signals.next() => return Ok(()),
    }
    // What was said before the end, and the end.
    drop(chat);
    while let Some(event) = events.next().await {
        print(out, &event)?;
    }
    Ok(())
}

fn print(out: Output, event: &Event) -> Result<(), Failure> {
    Printed::of(event).map_or(Ok(()), |printed| out.print(&printed))
}

/// The last event. People read of a failure once, on stderr; programs find it among the events, too.
fn end(out: Output, event: &Event, failure: Option<Failure>) -> Result<(), Failure> {
    if out.is_json() || failure.is_none() {
        print(out, event)?;
    }
    failure.map_or(Ok(()), Err)
}

/// Resolves at the end of stdin. A thread of its own reads: it may wait for ever, and must not keep the process.
fn end_of_stdin() -> oneshot::Receiver<()> {
    let (end, ended) = oneshot::channel();
    thread::spawn(move || {
        // A stdin that cannot be read has ended, too.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        end.send(())
    });
    ended
}
