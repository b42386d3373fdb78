//! The task that owns the session: it waits for the next input and changes the state of the goal.
//!
//! Every input is a variant of one closed enum, [`Input`]. The application's wish is a [`Goal`]: a user to keep connected, in
//! one of three phases.
//!
//! ```text
//!              connect                 established
//!   (no goal) ---------> Attempting ----------------> Live
//!       ^                   ^  | failed                | lost
//!       | end               |  v                       |
//!       +---------------- Paused <---------------------+
//! ```
//!
//! The parts import only downwards:
//!
//! ```text
//!   mod                             the loop: waits for the next input, handles commands and deadlines
//!    `-> attempted, inbound, renewal    handle the result of an attempt, a message, a refreshed credential
//!         `-> lifecycle                 begins attempts, pauses, ends, closes; tells the handles
//!              `-> goal                 one user to keep connected, as plain data
//!                   `-> link, refresh   the live connection; the refresh of a credential
//!                        `-> attempt    credential, dial and handshake within one time limit
//!                             `-> config
//! ```

mod attempt;
mod attempted;
mod config;
mod goal;
mod inbound;
mod lifecycle;
mod link;
mod refresh;
mod renewal;

use std::{
    future::poll_fn,
    sync::Arc,
    time::{Duration, Instant},
};

use chatcamp_auth::credential::CredentialReason;
use chatcamp_protocol::UserId;
use tokio::{select, sync::mpsc};
use tracing::debug;

use self::{
    config::Waiter,
    goal::{Goal, Phase, Step},
    lifecycle::Lifecycle,
};
use crate::{ConnectError, EndReason, Interruption, RequestError, login::Source, shared::Shared};

pub(crate) use self::config::{Command, Config};

/// A deadline that comes this late shows that the process did not run: it was stopped or suspended, or its machine was.
const STOPPED: Duration = Duration::from_secs(5);
/// Maximum number of `disconnect` calls that wait for one close; further calls return at once.
const MAX_CLOSE_WAITERS: usize = 256;

/// What can happen.
enum Input {
    /// A command, or `None` after the last handle was dropped.
    Command(Option<Command>),
    Goal(Step),
    /// The connection that was being closed is gone.
    Closed,
    /// This deadline has passed.
    Alarm(Instant),
}

/// The task of one client.
pub(crate) struct Driver {
    commands: mpsc::Receiver<Command>,
    lifecycle: Lifecycle,
}

impl Driver {
    pub(crate) fn new(config: Config, commands: mpsc::Receiver<Command>, shared: Arc<Shared>) -> Self {
        Self { commands, lifecycle: Lifecycle::new(config, shared) }
    }

    /// Runs until the last handle is dropped.
    pub(crate) async fn run(mut self) {
        loop {
            let input = self.next().await;
            let lifecycle = &mut self.lifecycle;
            match input {
                Input::Command(Some(command)) => self.on_command(command),
                Input::Command(None) => break,
                Input::Goal(Step::Attempted(outcome)) => lifecycle.on_attempted(outcome),
                Input::Goal(Step::Received(Ok(message))) => lifecycle.on_message(&message),
                Input::Goal(Step::Received(Err(closed))) => lifecycle.on_closed(closed),
                Input::Goal(Step::Refreshed(refreshed)) => lifecycle.on_refreshed(refreshed),
                Input::Goal(Step::Abandoned) => lifecycle.end(EndReason::ByUs, &ConnectError::Disconnected),
                // Dropping the replies answers them.
                Input::Closed => lifecycle.closing = None,
                Input::Alarm(due) => self.on_alarm(due),
            }
        }
        self.lifecycle.end(EndReason::ByUs, &ConnectError::Disconnected);
        self.lifecycle.shared.end();
        if let Some(closing) = self.lifecycle.closing.take() {
            closing.done.await;
        }
    }

    async fn next(&mut self) -> Input {
        let Self { commands, lifecycle: Lifecycle { config, goal, closing, .. } } = self;
        let alarm = goal.as_ref().and_then(Goal::alarm);
        let input = async {
            select! {
                biased;
                command = commands.recv() => Input::Command(command),
                step = poll_fn(|cx| goal.as_mut().expect("the branch runs only with a goal").poll(cx, &config.trace, config.now())), if goal.is_some() => Input::Goal(step),
                () = async { (&mut closing.as_mut().expect("the branch runs only while closing").done).await }, if closing.is_some() => Input::Closed,
            }
        };
        select! {
            // Handle what has arrived before the deadline that waited for it.
            biased;
            input = input => input,
            due = async {
                let due = alarm.expect("the branch runs only with a deadline");
                config.runtime.sleep_until(due).await;
                due
            }, if alarm.is_some() => Input::Alarm(due),
        }
    }

    fn on_command(&mut self, command: Command) {
        let lifecycle = &mut self.lifecycle;
        match command {
            Command::Connect { user_id, source, reply } => self.on_connect(user_id, source, reply),
            Command::Request(waiting) => match &mut lifecycle.goal {
                Some(goal) => goal.session.accept(waiting),
                None => drop(waiting.reply.send(Err(RequestError::NotConnected))),
            },
            Command::NetworkChanged => self.on_network_changed(),
            Command::Disconnect { reply } => {
                lifecycle.end(EndReason::ByUs, &ConnectError::Disconnected);
                match &mut lifecycle.closing {
                    Some(closing) if closing.replies.len() < MAX_CLOSE_WAITERS => closing.replies.push(reply),
                    // Dropping the reply answers it: no close to wait for.
                    _ => {}
                }
            }
        }
    }

    fn on_connect(&mut self, user_id: UserId, source: Source, reply: Waiter) {
        let lifecycle = &mut self.lifecycle;
        let Some(goal) = lifecycle.goal.as_mut().filter(|goal| goal.user_id == user_id) else {
            lifecycle.end(EndReason::Superseded, &ConnectError::Superseded);
            return lifecycle.start(user_id, source, reply);
        };
        let is_continued = goal.source.is_continued_by(&source);
        if !is_continued {
            goal.join(reply);
            return lifecycle.replace_credential(source);
        }
        goal.source = source;
        let is_live = matches!(goal.phase, Phase::Live(_));
        if let Some(user) = lifecycle.shared.user().filter(|_| is_live) {
            return drop(reply.send(Ok(user)));
        }
        goal.join(reply);
        // The delay applies only while no application waits.
        if let Phase::Paused(_) = goal.phase {
            lifecycle.attempt();
        }
    }

    /// Checks a live connection, or makes the next attempt at once.
    fn on_network_changed(&mut self) {
        let now = self.lifecycle.config.now();
        let Some(goal) = &mut self.lifecycle.goal else { return };
        match &mut goal.phase {
            Phase::Paused(_) => self.lifecycle.attempt(),
            Phase::Live(link) => {
                link.doubt(now);
                goal.session.ping();
            }
            Phase::Attempting(_) => {}
        }
    }

    fn on_alarm(&mut self, due: Instant) {
        let lifecycle = &mut self.lifecycle;
        let now = lifecycle.config.now();
        let Some(goal) = &mut lifecycle.goal else { return };
        goal.session.expire(now);
        if let Phase::Live(link) = &mut goal.phase {
            if now.saturating_duration_since(due) >= STOPPED && link.forgive(now) {
                debug!("the process was stopped or suspended; pinging the server");
                goal.session.ping();
            }
        }
        let must_renew = goal.renewal().is_some_and(|at| at <= now);
        match &mut goal.phase {
            Phase::Paused(until) if *until <= now => lifecycle.attempt(),
            Phase::Live(link) if link.is_silent(now) => lifecycle.interrupt(Interruption::Silent, None),
            Phase::Live(link) => {
                if link.is_idle(now) {
                    goal.session.ping();
                }
                if must_renew {
                    goal.ask(CredentialReason::Expiring, &lifecycle.config);
                }
            }
            _ => {}
        }
    }
}

/// Ends the session too if the task ends with its runtime.
impl Drop for Driver {
    fn drop(&mut self) {
        self.lifecycle.end(EndReason::ByUs, &ConnectError::Ended);
        self.lifecycle.shared.end();
    }
}
