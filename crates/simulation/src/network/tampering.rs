//! Planted faults of the network, which violate the contract of a transport.

use std::collections::BTreeMap;

use chatcamp_auth::session_key;
use chatcamp_protocol::{
    Code, SessionKey,
    event::{APP_EVENT, SessionClose},
    handshake,
};
use chatcamp_transport::{Close, Message};
use serde_json::{Value, json};

use super::{Network, wire::Side};
use crate::{
    keys::{claims_of, keyring},
    planted::Planted,
};

/// How many messages in a thousand are changed.
const OFTEN: usize = 250;

/// The state of planted faults.
#[derive(Debug)]
pub(super) struct Tampering {
    planted: Option<Planted>,
    wires: BTreeMap<u64, ChangedWire>,
    /// The latest final message to each client.
    final_messages: BTreeMap<usize, Message>,
    /// An event and the client that it was for.
    event: Option<(usize, Value)>,
    /// The incarnation in the server's latest keys.
    incarnation: Option<u64>,
}

#[derive(Debug, Default)]
struct ChangedWire {
    client: usize,
    /// How many messages were dropped, to renumber the rest.
    swallowed: u64,
    replays: bool,
    held: Option<Value>,
    has_spoken: bool,
}

impl Tampering {
    pub(super) fn new(planted: Option<Planted>) -> Self {
        Self {
            planted,
            wires: BTreeMap::new(),
            final_messages: BTreeMap::new(),
            event: None,
            incarnation: None,
        }
    }

    pub(super) fn opened(&mut self, wire: u64, client: usize) {
        if self.planted.is_some() {
            self.wires.insert(wire, ChangedWire { client, ..ChangedWire::default() });
        }
    }

    /// Returns the messages to send instead. `None` leaves the message alone.
    pub(super) fn message(
        &mut self,
        network: &Network,
        wire: u64,
        side: Side,
        message: &Message,
    ) -> Option<Vec<Message>> {
        let planted = self.planted?;
        let envelope: Value = serde_json::from_str(message.as_str()).ok()?;
        let often = network.process.machine().draw(|random| random.chance(OFTEN));
        match side {
            Side::Client => self.with_request(network, planted, often, envelope),
            Side::Server => self.with_message(planted, often, wire, envelope),
        }
    }

    fn with_request(
        &self,
        network: &Network,
        planted: Planted,
        often: bool,
        mut envelope: Value,
    ) -> Option<Vec<Message>> {
        let is_handshake = envelope["t"] == handshake::TYPE;
        match planted {
            Planted::RequestLost if often && !is_handshake => Some(Vec::new()),
            Planted::RepeatRenumbered if often && envelope["t"] == "users.update" => {
                let first = text(&envelope);
                let number = envelope["r"].as_u64()?;
                envelope["r"] = json!(number + 1);
                Some(vec![first, text(&envelope)])
            }
            Planted::OldKeyRenewed if is_handshake => {
                let key = envelope.pointer("/d/resume/key")?.as_str()?;
                let newest = network.ledger.newest_key_for(key)?;
                envelope["d"]["resume"]["key"] = json!(newest);
                Some(vec![text(&envelope)])
            }
            Planted::KeyOwnerAssumed if is_handshake => {
                let key = envelope.pointer("/d/resume/key")?.as_str()?;
                envelope["d"]["user_id"] = json!(claims_of(key)?.user);
                Some(vec![text(&envelope)])
            }
            Planted::OldIncarnation if is_handshake => {
                let key = envelope.pointer("/d/resume/key")?.as_str()?;
                let mut claims = session_key::open(&keyring(), &SessionKey::from(key), 0)?;
                claims.incarnation = self.incarnation?;
                let key = session_key::seal(&keyring(), &claims);
                envelope["d"]["resume"]["key"] = json!(key.expose());
                Some(vec![text(&envelope)])
            }
            _ => None,
        }
    }

    fn with_message(
        &mut self,
        planted: Planted,
        often: bool,
        wire: u64,
        mut envelope: Value,
    ) -> Option<Vec<Message>> {
        let Self { wires, final_messages, event, incarnation, .. } = self;
        let changed = wires.get_mut(&wire)?;
        let is_event = envelope["t"] == APP_EVENT;
        let is_answer = envelope["to"].is_u64() && envelope["s"].is_u64();
        let begins = !std::mem::replace(&mut changed.has_spoken, true);
        match planted {
            Planted::AnswerDropped | Planted::ReplayDropped => {
                let swallow = match planted {
                    Planted::AnswerDropped => is_answer && often && envelope["t"] != "ping.ack",
                    _ => std::mem::take(&mut changed.replays) && envelope["s"].is_u64(),
                };
                changed.replays =
                    begins && envelope.pointer("/d/session/resumed/replayed").is_some_and(|n| *n != json!(0));
                if swallow {
                    changed.swallowed += 1;
                    return Some(Vec::new());
                }
                let s = envelope["s"].as_u64()?;
                envelope["s"] = json!(s - changed.swallowed);
                Some(vec![text(&envelope)])
            }
            Planted::MessageRepeated if is_event && often => {
                let first = text(&envelope);
                envelope.as_object_mut()?.remove("s");
                Some(vec![first, text(&envelope)])
            }
            Planted::MessagesSwapped => match (changed.held.take(), is_event) {
                (None, true) if often => {
                    changed.held = Some(envelope);
                    Some(Vec::new())
                }
                (Some(mut held), true) => {
                    let (first, second) = (held["d"].take(), envelope["d"].take());
                    (held["d"], envelope["d"]) = (second, first);
                    Some(vec![text(&held), text(&envelope)])
                }
                (Some(held), false) => Some(vec![text(&held), text(&envelope)]),
                (None, _) => None,
            },
            Planted::EventMisdelivered if is_event => {
                let (client, body) = event.replace((changed.client, envelope["d"].clone()))?;
                if client == changed.client || !often {
                    return None;
                }
                envelope["d"] = body;
                Some(vec![text(&envelope)])
            }
            Planted::CloseWithoutCode if envelope["t"] == SessionClose::TYPE => Some(Vec::new()),
            Planted::RefusalEnds if envelope["t"] == "users.refresh.ack" && envelope["d"]["ok"] == false => {
                let code = Code::CredentialRevoked;
                let close = json!({ "code": code.as_str(), "reason": "", "advice": code.advice().as_str() });
                Some(vec![text(&json!({ "t": SessionClose::TYPE, "d": close }))])
            }
            Planted::TokenOfAnother
                if envelope["t"] == handshake::ACK_TYPE && envelope["d"]["ok"] == true =>
            {
                envelope["d"]["user"]["access_token"] = json!("the-token-of-another-user");
                Some(vec![text(&envelope)])
            }
            Planted::EvictionClaimed
                if envelope.pointer("/d/session/fresh").is_some_and(|why| why != "new") =>
            {
                envelope["d"]["session"]["fresh"] = json!("evicted");
                Some(vec![text(&envelope)])
            }
            Planted::CloseRepeated => {
                if envelope["t"] == SessionClose::TYPE && envelope["d"]["advice"] != "retry" {
                    final_messages.insert(changed.client, text(&envelope));
                    return None;
                }
                let again = final_messages.remove(&changed.client).filter(|_| begins)?;
                Some(vec![again, text(&envelope)])
            }
            Planted::OldIncarnation => {
                let key = envelope.pointer("/d/session/key")?.as_str()?;
                *incarnation =
                    session_key::open(&keyring(), &SessionKey::from(key), 0).map(|c| c.incarnation);
                None
            }
            _ => None,
        }
    }

    /// Returns the code that the reader of `side` receives when the network closes a connection with `code`.
    pub(super) fn close_between(&self, side: Side, code: u16) -> u16 {
        match (self.planted, side) {
            // The server reads what the client's side sends.
            (Some(Planted::CloseBecomesNormal), Side::Client) => 1000,
            _ => code,
        }
    }

    /// Returns the close that the client receives.
    pub(super) fn close(&self, why: Close) -> Close {
        match self.planted {
            Some(Planted::CloseWithoutCode) => Close::new(1005, ""),
            _ => why,
        }
    }
}

fn text(envelope: &Value) -> Message {
    Message::from(envelope.to_string())
}
