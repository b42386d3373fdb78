//! What follows from an attempt.

use tracing::debug;

use super::{
    Driver,
    attempt::{Opened, Outcome},
    link::Link,
};
use crate::{ConnectError, EndReason, Event, Interruption, State, login::Source};

impl Driver {
    pub(super) fn on_attempted(&mut self, outcome: Outcome) {
        let Some(goal) = &mut self.goal else { return };
        goal.offered(outcome.credential);
        match outcome.result {
            Ok(opened) => self.on_established(opened),
            Err(ConnectError::Refused(refusal)) => {
                debug!(code = refusal.code, "refused");
                match goal.may_offer_another(&refusal) {
                    true => self.attempt(),
                    false => self.refuse(refusal),
                }
            }
            Err(error) => {
                debug!(%error, "not connected");
                match error.is_retryable() && (goal.established || self.config.reconnect.is_patient()) {
                    true => self.on_failed(error),
                    false => self.end(EndReason::Failed(error.clone()), &error),
                }
            }
        }
    }

    /// Another attempt follows; whether the calls that wait for this one wait on, the policy says.
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
        let (user, now) = (established.user, self.config.now());
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
