//! Handles the messages of a live connection.

use std::time::Duration;

use chatcamp_auth::client::Refusal;
use chatcamp_protocol::{
    Code, Envelope,
    event::{self, AppEvent, SessionClose, UserChanged},
    sequence::Arrival,
};
use chatcamp_transport::Message;
use serde_json::value::RawValue;

use super::lifecycle::Lifecycle;
use crate::{Body, Event, Interruption};

impl Lifecycle {
    pub(super) fn on_message(&mut self, message: &Message) {
        self.config.trace.received(message.as_str());
        let Some(goal) = &mut self.goal else { return };
        let Ok(envelope) = Envelope::parse(message.as_str()) else {
            return self.interrupt(Interruption::Violation, Some(Code::Malformed));
        };
        match goal.session.arrive(envelope.s, message.len()) {
            Arrival::Next => {}
            Arrival::Repeated => return,
            Arrival::Gap => return self.interrupt(Interruption::Violation, Some(Code::OutOfSequence)),
        }
        match envelope.t.as_ref() {
            SessionClose::TYPE => match envelope.body::<SessionClose>() {
                Ok(close) => {
                    let asked = close.retry_after_ms.map(Duration::from_millis);
                    self.on_close(Refusal::from(close), asked);
                }
                Err(_) => self.interrupt(Interruption::Violation, Some(Code::Malformed)),
            },
            event::USER_CHANGED => self.on_own_user(&envelope),
            event::APP_EVENT => self.on_app_event(&envelope),
            _ if envelope.acknowledges().is_some() => self.on_ack(&envelope),
            _ => self.on_other(&envelope),
        }
    }

    fn on_ack(&mut self, ack: &Envelope<'_>) {
        if let (Some(to), Some(goal)) = (ack.to, &mut self.goal) {
            goal.session.answered(to, ack);
        }
    }

    /// Replaces the user object; emits an event if the change was not requested here.
    fn on_own_user(&mut self, ack: &Envelope<'_>) {
        let own = self.goal.as_ref().map(|goal| &goal.user_id);
        let changed = ack.body::<UserChanged>().ok().filter(|changed| Some(&changed.user.id) == own);
        if let Some(UserChanged { user }) = changed {
            self.shared.set_user(Some(user.clone()));
            if ack.to.is_none() {
                self.shared.emit(&Event::UserChanged(Box::new(user)));
            }
        }
        self.on_ack(ack);
    }

    fn on_app_event(&self, push: &Envelope<'_>) {
        match push.body::<AppEvent<'_, Option<&RawValue>>>() {
            Ok(AppEvent { kind, data }) => {
                let data = data.map_or_else(Body::null, Body::new);
                self.shared.emit(&Event::App { kind: kind.into_owned(), data });
            }
            Err(_) => self.on_other(push),
        }
    }

    fn on_other(&self, push: &Envelope<'_>) {
        self.shared.emit(&Event::Other { t: push.t.clone().into_owned(), d: Body::of(push) });
    }
}
