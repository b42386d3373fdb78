//! What follows when a connection, or a goal, comes to its end.

use std::{sync::Arc, time::Duration};

use chatcamp_auth::client::Refusal;
use chatcamp_protocol::{Advice, Code, limits};
use chatcamp_runtime::{after, timeout};
use chatcamp_transport::{Close, Closed};
use tracing::debug;

use super::{Closing, Driver, goal::Phase, link::Link};
use crate::{ConnectError, EndReason, Event, Interruption, State};

/// Longest time a server can ask for before the next attempt.
const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

impl Driver {
    /// The connection ended without `session.close`, so its code is all there is.
    pub(super) fn on_closed(&mut self, closed: Closed) {
        match &closed {
            Closed::ByPeer(close) if Code::from_number(close.code) != Code::Lost => {
                self.on_close(Refusal::of(Code::from_number(close.code)), None);
            }
            _ => self.interrupt(Interruption::Closed(closed), None),
        }
    }

    /// The server has ended a live connection, and said why.
    pub(super) fn on_close(&mut self, refusal: Refusal, asked: Option<Duration>) {
        let Some(goal) = &mut self.goal else { return };
        debug!(code = refusal.code, "ended by the server");
        let goes_on = match refusal.advice {
            Advice::Retry => true,
            Advice::Credential => goal.may_offer_another(&refusal),
            Advice::Terminal => false,
        };
        match goes_on {
            true => {
                self.leave(Close::NORMAL);
                self.pause(Interruption::Server(refusal), asked);
            }
            false => self.refuse(refusal),
        }
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) {
        self.end(EndReason::Refused(refusal.clone()), &ConnectError::Refused(refusal));
    }

    /// The connection is useless; the peer is told with this code, if there still is one.
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

    /// Waits before the next attempt, and on top for what the server asked.
    pub(super) fn pause(&mut self, why: Interruption, asked: Option<Duration>) {
        let Some(goal) = &mut self.goal else { return };
        let wait =
            asked.unwrap_or_default().min(LONGEST_WAIT) + goal.backoff.next(self.config.runtime.random());
        goal.phase = Phase::Paused(after(self.config.now(), wait));
        self.shared.set_state(goal.away());
        self.shared.emit(&Event::Reconnecting { why, after: wait });
    }

    /// Gives the goal up: everything that waits for it ends.
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

    /// Closes a connection beside whatever comes next; an older one is left to itself.
    pub(super) fn close(&mut self, link: Link, why: Close) {
        let mut connection = link.into_connection();
        let runtime = Arc::clone(&self.config.runtime);
        let done = Box::pin(async move {
            // An error means that the peer did not agree in time; dropping the connection ends it all the same.
            let _ = timeout(&*runtime, limits::CLOSING, connection.close(why)).await;
        });
        self.closing = Some(Closing { done, replies: Vec::new() });
    }
}
