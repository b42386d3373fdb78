//! The task that owns the session: it waits for the next input and lets the goal move on.
//!
//! Everything that can happen is one closed enum, [`Input`]. What is wanted is a [`Goal`]: a user to be connected,
//! in one of three phases.
//!
//! ```text
//!              connect                 established
//!   (no goal) ---------> Attempting ----------------> Live
//!       ^                   ^  | failed                | lost
//!       | end               |  v                       |
//!       +---------------- Paused <---------------------+
//! ```

mod attempt;
mod ending;
mod goal;
mod inbound;
mod link;
mod opening;
mod refresh;

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use chatcamp_auth::credential::CredentialReason;
use chatcamp_protocol::{AppId, Code, User, UserId};
use chatcamp_runtime::Runtime;
use chatcamp_transport::{Close, Closed, Message, Transport};
use tokio::{
    select,
    sync::{mpsc, oneshot},
};
use tracing::debug;

use self::{
    attempt::Outcome,
    goal::{Goal, Phase},
    refresh::Refreshed,
};
use crate::{
    ConnectError, EndReason, Event, Interruption, Reconnect, RequestError, login::Source, session,
    shared::Shared, trace::Trace,
};

/// A deadline this late shows that the process did not run: stopped, suspended, or with its machine.
const STOPPED: Duration = Duration::from_secs(5);
/// Calls that wait for one end to be complete, at most; further ones return at once.
const ENDING: usize = 256;
/// What stays the same for the life of a client.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) app_id: AppId,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) reconnect: Reconnect,
    pub(crate) connect_timeout: Duration,
    pub(crate) expose_tokens: bool,
    pub(crate) trace: Trace,
    pub(crate) runtime: Arc<dyn Runtime>,
}

impl Config {
    fn now(&self) -> Instant {
        self.runtime.now()
    }
}

/// What a handle asks for.
pub(crate) enum Command {
    Connect { user_id: UserId, source: Source, reply: Waiter },
    Request(session::Waiting),
    NetworkChanged,
    Disconnect { reply: oneshot::Sender<()> },
}

/// Somebody who waits for a user to be connected.
pub(crate) type Waiter = oneshot::Sender<Result<User, ConnectError>>;

/// What can happen.
enum Input {
    Command(Option<Command>),
    Goal(Step),
    /// The connection being closed is gone.
    Closed,
    /// This deadline has come.
    Alarm(Instant),
}

/// What can happen to a goal.
enum Step {
    Attempted(Outcome),
    Arrived(Result<Message, Closed>),
    Refreshed(Refreshed),
    /// Nobody waits for the first connect any more.
    Abandoned,
}

/// The task.
pub(crate) struct Driver {
    config: Arc<Config>,
    commands: mpsc::Receiver<Command>,
    shared: Arc<Shared>,
    goal: Option<Goal>,
    closing: Option<Closing>,
}

/// A connection on its way out, and who waits for that.
struct Closing {
    done: Pin<Box<dyn Future<Output = ()> + Send>>,
    replies: Vec<oneshot::Sender<()>>,
}

impl Driver {
    pub(crate) fn new(config: Config, commands: mpsc::Receiver<Command>, shared: Arc<Shared>) -> Self {
        Self { config: Arc::new(config), commands, shared, goal: None, closing: None }
    }

    /// Runs until the last handle is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            match self.next().await {
                Input::Command(Some(command)) => self.on_command(command),
                Input::Command(None) => break,
                Input::Goal(Step::Attempted(outcome)) => self.on_attempted(outcome),
                Input::Goal(Step::Arrived(Ok(message))) => self.on_message(&message),
                Input::Goal(Step::Arrived(Err(closed))) => self.on_closed(closed),
                Input::Goal(Step::Refreshed(refreshed)) => self.on_refreshed(refreshed),
                Input::Goal(Step::Abandoned) => self.end(EndReason::ByUs, &ConnectError::Disconnected),
                // Dropping the replies answers them.
                Input::Closed => self.closing = None,
                Input::Alarm(due) => self.on_alarm(due, self.config.now()),
            }
        }
        self.end(EndReason::ByUs, &ConnectError::Disconnected);
        self.shared.end();
        if let Some(closing) = self.closing.take() {
            closing.done.await;
        }
    }

    async fn next(&mut self) -> Input {
        let Self { config, commands, goal, closing, .. } = self;
        let alarm = goal.as_ref().and_then(Goal::alarm);
        let happens = async {
            select! {
                biased;
                command = commands.recv() => Input::Command(command),
                step = poll_fn(|cx| goal.as_mut().expect("the branch runs only while there is one").poll(cx, &config.trace, config.now())), if goal.is_some() => Input::Goal(step),
                () = async { (&mut closing.as_mut().expect("the branch runs only while there is one").done).await }, if closing.is_some() => Input::Closed,
            }
        };
        select! {
            // What has arrived counts before the deadline that waited for it.
            biased;
            input = happens => input,
            due = async {
                let due = alarm.expect("the branch runs only with one");
                config.runtime.sleep_until(due).await;
                due
            }, if alarm.is_some() => Input::Alarm(due),
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Connect { user_id, source, reply } => self.on_connect(user_id, source, reply),
            Command::Request(waiting) => match &mut self.goal {
                Some(goal) => goal.session.accept(waiting),
                None => drop(waiting.reply.send(Err(RequestError::NotConnected))),
            },
            Command::NetworkChanged => self.on_network_changed(),
            Command::Disconnect { reply } => {
                self.end(EndReason::ByUs, &ConnectError::Disconnected);
                match &mut self.closing {
                    Some(closing) if closing.replies.len() < ENDING => closing.replies.push(reply),
                    // Dropping it answers: there is nothing to wait for.
                    _ => {}
                }
            }
        }
    }

    fn on_connect(&mut self, user_id: UserId, source: Source, reply: Waiter) {
        match &mut self.goal {
            Some(goal) if goal.user_id == user_id => {
                let same = goal.source.is_continued_by(&source);
                if same {
                    goal.source = source.clone();
                }
                match self.shared.user().filter(|_| same && matches!(goal.phase, Phase::Live(_))) {
                    Some(user) => drop(reply.send(Ok(user))),
                    None => {
                        goal.join(reply);
                        match goal.phase {
                            _ if !same => self.replace_credential(source),
                            // The pause is for attempts that nobody asks for.
                            Phase::Paused(_) => self.attempt(),
                            Phase::Attempting(_) | Phase::Live(_) => {}
                        }
                    }
                }
            }
            _ => {
                self.end(EndReason::Superseded, &ConnectError::Superseded);
                let goal = self.goal.insert(Goal::new(
                    user_id,
                    source,
                    self.config.reconnect.clone(),
                    self.config.now(),
                ));
                goal.join(reply);
                self.attempt();
            }
        }
    }

    /// Makes sure of a connection, or of the next attempt, at once.
    fn on_network_changed(&mut self) {
        let now = self.config.now();
        let Some(goal) = &mut self.goal else { return };
        match &mut goal.phase {
            Phase::Paused(_) => self.attempt(),
            Phase::Live(link) => {
                link.doubt(now);
                goal.session.ping();
            }
            Phase::Attempting(_) => {}
        }
    }

    fn replace_credential(&mut self, source: Source) {
        let Some(goal) = &mut self.goal else { return };
        goal.replace(source);
        if let Some(link) = goal.pause(self.config.now()) {
            self.shared
                .emit(&Event::Reconnecting { why: Interruption::CredentialReplaced, after: Duration::ZERO });
            // Any code but 1000, with which the session would be over.
            self.close(link, Close::new(Code::Reconnect.number(), ""));
        }
        self.attempt();
    }

    /// Begins an attempt; one that runs is dropped.
    fn attempt(&mut self) {
        let Some(goal) = &mut self.goal else { return };
        debug!(user_id = %goal.user_id, attempt = goal.backoff.attempt(), "connecting");
        self.shared.set_state(goal.away());
        goal.attempt(&self.config);
    }

    fn on_alarm(&mut self, due: Instant, now: Instant) {
        let Some(goal) = &mut self.goal else { return };
        goal.session.expire(now);
        if let Phase::Live(link) = &mut goal.phase {
            if now.saturating_duration_since(due) >= STOPPED && link.forgive(now) {
                debug!("the process did not run for a while; asking the server whether it is still there");
                goal.session.ping();
            }
        }
        let renews = goal.renewal().is_some_and(|at| at <= now);
        match &mut goal.phase {
            Phase::Paused(until) if *until <= now => self.attempt(),
            Phase::Live(link) if link.is_silent(now) => self.interrupt(Interruption::Silent, None),
            Phase::Live(link) => {
                if link.is_idle(now) {
                    goal.session.ping();
                }
                if renews {
                    goal.ask(CredentialReason::Expiring, &self.config);
                }
            }
            _ => {}
        }
    }
}

/// The task may also end with its runtime.
impl Drop for Driver {
    fn drop(&mut self) {
        self.end(EndReason::ByUs, &ConnectError::Ended);
        self.shared.end();
    }
}
