//! The transitions of a goal: it begins attempts, pauses, ends, and closes connections, and tells the handles.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use chatcamp_auth::client::Refusal;
use chatcamp_protocol::{Advice, Code, UserId, limits};
use chatcamp_runtime::{after, timeout};
use chatcamp_transport::{Close, Closed};
use tokio::sync::oneshot;
use tracing::debug;

use super::{
    config::{Config, Waiter},
    goal::{Goal, Phase},
    link::Link,
};
use crate::{ConnectError, EndReason, Event, Interruption, State, login::Source, shared::Shared};

/// The longest time that a server can ask the client to wait before the next attempt.
const MAX_ASKED_WAIT: Duration = Duration::from_secs(60 * 60);

/// The goal, the connection being closed, and what the handles see of them.
pub(super) struct Lifecycle {
    pub(super) config: Arc<Config>,
    pub(super) shared: Arc<Shared>,
    pub(super) goal: Option<Goal>,
    pub(super) closing: Option<Closing>,
}

/// A connection being closed, and the calls of `disconnect` that wait for it.
pub(super) struct Closing {
    pub(super) done: Pin<Box<dyn Future<Output = ()> + Send>>,
    pub(super) replies: Vec<oneshot::Sender<()>>,
}

impl Lifecycle {
    pub(super) fn new(config: Config, shared: Arc<Shared>) -> Self {
        Self { config: Arc::new(config), shared, goal: None, closing: None }
    }

    /// Takes a user as the new goal and begins the first attempt.
    pub(super) fn start(&mut self, user_id: UserId, source: Source, reply: Waiter) {
        let policy = self.config.reconnect.clone();
        let goal = self.goal.insert(Goal::new(user_id, source, policy, self.config.now()));
        goal.join(reply);
        self.attempt();
    }

    /// Begins an attempt; drops a running one.
    pub(super) fn attempt(&mut self) {
        let Some(goal) = &mut self.goal else { return };
        debug!(user_id = %goal.user_id, attempt = goal.backoff.attempt(), "connecting");
        self.shared.set_state(goal.away());
        goal.attempt(&self.config);
    }

    /// Connects the same user again with another source of credentials.
    pub(super) fn replace_credential(&mut self, source: Source) {
        let Some(goal) = &mut self.goal else { return };
        goal.replace(source);
        if let Some(link) = goal.pause(self.config.now()) {
            self.shared
                .emit(&Event::Reconnecting { why: Interruption::CredentialReplaced, after: Duration::ZERO });
            // Any code but 1000, which would end the session.
            self.close(link, Close::new(Code::Reconnect.number(), ""));
        }
        self.attempt();
    }

    /// Handles a connection that ended without `session.close`: only the close code can explain the end.
    pub(super) fn on_closed(&mut self, closed: Closed) {
        match &closed {
            Closed::ByPeer(close) if Code::from_number(close.code) != Code::Lost => {
                self.on_close(Refusal::of(Code::from_number(close.code)), None);
            }
            _ => self.interrupt(Interruption::Closed(closed), None),
        }
    }

    /// Handles the end of a live connection for which the server gave a reason.
    pub(super) fn on_close(&mut self, refusal: Refusal, asked: Option<Duration>) {
        let Some(goal) = &mut self.goal else { return };
        debug!(code = refusal.code, "the server ended the connection");
        let is_retried = match refusal.advice {
            Advice::Retry => true,
            Advice::Credential => goal.may_offer_another(&refusal),
            Advice::Terminal => false,
        };
        if is_retried {
            self.leave(Close::NORMAL);
            self.pause(Interruption::Server(refusal), asked);
        } else {
            self.refuse(refusal);
        }
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) {
        self.end(EndReason::Refused(refusal.clone()), &ConnectError::Refused(refusal));
    }

    /// Abandons the connection and reconnects; closes it with `code` if the peer may still be there.
    pub(super) fn interrupt(&mut self, why: Interruption, code: Option<Code>) {
        debug!(%why, "connection lost");
        match code {
            Some(code) => self.leave(Close::new(code.number(), code.reason())),
            None => {
                let now = self.config.now();
                drop(self.goal.as_mut().and_then(|goal| goal.pause(now)));
            }
        }
        self.pause(why, None);
    }

    fn leave(&mut self, why: Close) {
        if let Some(link) = self.goal.as_mut().and_then(|goal| goal.pause(self.config.now())) {
            self.close(link, why);
        }
    }

    /// Waits before the next attempt: the back-off, plus the time the server asked for.
    pub(super) fn pause(&mut self, why: Interruption, asked: Option<Duration>) {
        let Some(goal) = &mut self.goal else { return };
        let asked = asked.unwrap_or_default().min(MAX_ASKED_WAIT);
        let wait = asked + goal.backoff.next(self.config.runtime.random());
        goal.phase = Phase::Paused(after(self.config.now(), wait));
        self.shared.set_state(goal.away());
        self.shared.emit(&Event::Reconnecting { why, after: wait });
    }

    /// Gives up the goal: ends its connection, its requests and the calls that wait for it.
    pub(super) fn end(&mut self, reason: EndReason, error: &ConnectError) {
        let Some(mut goal) = self.goal.take() else { return };
        debug!(user_id = %goal.user_id, ?reason, "disconnected");
        if let Some(link) = goal.pause(self.config.now()) {
            self.close(link, Close::NORMAL);
        }
        self.shared.set_user(None);
        self.shared.set_state(State::Disconnected(reason.clone()));
        self.shared.emit(&Event::Disconnected { reason });
        goal.answer(&Err(error.clone()));
        goal.session.end();
    }

    /// Closes a connection in the background; drops an older one that is still being closed.
    fn close(&mut self, link: Link, why: Close) {
        let mut connection = link.into_connection();
        let runtime = Arc::clone(&self.config.runtime);
        let done = Box::pin(async move {
            // An error means that the peer did not answer in time; dropping the connection closes it anyway.
            let _ = timeout(&*runtime, limits::CLOSING, connection.close(why)).await;
        });
        self.closing = Some(Closing { done, replies: Vec::new() });
    }
}
