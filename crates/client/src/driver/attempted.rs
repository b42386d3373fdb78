//! Handles the result of an attempt.

use tracing::debug;

use super::{
    attempt::{Opened, Outcome},
    lifecycle::Lifecycle,
    link::Link,
};
use crate::{ConnectError, EndReason, Event, Interruption, State, login::Source};

impl Lifecycle {
    pub(super) fn on_attempted(&mut self, outcome: Outcome) {
        let Some(goal) = &mut self.goal else { return };
        goal.offered(outcome.credential);
        match outcome.result {
            Ok(opened) => self.on_established(opened),
            Err(ConnectError::Refused(refusal)) => {
                debug!(code = refusal.code, "the server refused the connection");
                if goal.may_offer_another(&refusal) {
                    self.attempt();
                } else {
                    self.refuse(refusal);
                }
            }
            Err(error) => {
                debug!(%error, "cannot connect");
                if error.is_retryable() && (goal.established || self.config.reconnect.is_patient()) {
                    self.on_failed(error);
                } else {
                    self.end(EndReason::Failed(error.clone()), &error);
                }
            }
        }
    }

    /// Schedules another attempt. The policy decides whether the waiting calls get the error or keep waiting.
    fn on_failed(&mut self, error: ConnectError) {
        let asked = match error {
            ConnectError::NotNow { after, .. } => after,
            _ => None,
        };
        self.pause(Interruption::Attempt(error.clone()), asked);
        if let Some(goal) = self.goal.as_mut().filter(|_| !self.config.reconnect.is_patient()) {
            goal.answer(&Err(error));
        }
    }

    fn on_established(&mut self, opened: Opened) {
        let Some(goal) = &mut self.goal else { return };
        let Opened { connection, established } = opened;
        let transport = connection.info().transport;
        debug!(user_id = %goal.user_id, transport, continuity = ?established.session.continuity, "connected");
        let user = established.user;
        let now = self.config.now();
        if let Some(expires_in) = established.token_expires_in {
            goal.expires(now, expires_in, self.config.runtime.random());
        }
        goal.session.begin(&established.session);
        goal.establish(Link::new(connection, &established.session, now));
        self.shared.set_user(Some(user.clone()));
        self.shared.set_state(State::Connected);
        let continuity = established.session.continuity;
        self.shared.emit(&Event::Connected { user: Box::new(user.clone()), continuity, transport });
        if let Some(expires_in) = established.token_expires_in {
            let refreshable = matches!(goal.source, Source::Provider(_));
            self.shared.emit(&Event::TokenExpires { expires_in, refreshable });
        }
        goal.answer(&Ok(user));
    }
}
