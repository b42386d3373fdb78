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
    dropped: u64,
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
        let wire = self.wires.get_mut(&wire)?;
        let is_first = !std::mem::replace(&mut wire.has_spoken, true);
        let is_event = envelope["t"] == APP_EVENT;
        let is_close = envelope["t"] == SessionClose::TYPE;
        match planted {
            Planted::AnswerDropped => {
                let is_answer = envelope["to"].is_u64() && envelope["s"].is_u64();
                wire.drop_or_renumber(is_answer && often && envelope["t"] != "ping.ack", envelope)
            }
            Planted::ReplayDropped => {
                let is_replayed = std::mem::take(&mut wire.replays) && envelope["s"].is_u64();
                let replayed = envelope.pointer("/d/session/resumed/replayed");
                wire.replays = is_first && replayed.is_some_and(|n| *n != json!(0));
                wire.drop_or_renumber(is_replayed, envelope)
            }
            Planted::MessageRepeated if is_event && often => {
                let first = text(&envelope);
                envelope.as_object_mut()?.remove("s");
                Some(vec![first, text(&envelope)])
            }
            Planted::MessagesSwapped => wire.swap(is_event, often, envelope),
            Planted::EventMisdelivered if is_event => {
                let client = wire.client;
                self.misdeliver(client, often, envelope)
            }
            Planted::CloseWithoutCode if is_close => Some(Vec::new()),
            Planted::CloseRepeated if is_close && envelope["d"]["advice"] != "retry" => {
                self.final_messages.insert(wire.client, text(&envelope));
                None
            }
            Planted::CloseRepeated => {
                let again = self.final_messages.remove(&wire.client).filter(|_| is_first)?;
                Some(vec![again, text(&envelope)])
            }
            Planted::OldIncarnation => {
                let key = envelope.pointer("/d/session/key")?.as_str()?;
                let claims = session_key::open(&keyring(), &SessionKey::from(key), 0);
                self.incarnation = claims.map(|claims| claims.incarnation);
                None
            }
            _ => with_other_body(planted, envelope),
        }
    }

    /// Replaces the body of an event by that of the event before it, if that was for another client.
    fn misdeliver(&mut self, client: usize, often: bool, mut envelope: Value) -> Option<Vec<Message>> {
        let (before, body) = self.event.replace((client, envelope["d"].clone()))?;
        if before == client || !often {
            return None;
        }
        envelope["d"] = body;
        Some(vec![text(&envelope)])
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

impl ChangedWire {
    /// Drops a message, or sends it with the number it has after the dropped ones.
    fn drop_or_renumber(&mut self, is_dropped: bool, mut envelope: Value) -> Option<Vec<Message>> {
        if is_dropped {
            self.dropped += 1;
            return Some(Vec::new());
        }
        let s = envelope["s"].as_u64()?;
        envelope["s"] = json!(s - self.dropped);
        Some(vec![text(&envelope)])
    }

    /// Holds an event until the next message, and swaps the bodies if that is an event too.
    fn swap(&mut self, is_event: bool, often: bool, mut envelope: Value) -> Option<Vec<Message>> {
        match self.held.take() {
            None if is_event && often => {
                self.held = Some(envelope);
                Some(Vec::new())
            }
            None => None,
            Some(mut held) => {
                if is_event {
                    std::mem::swap(&mut held["d"], &mut envelope["d"]);
                }
                Some(vec![text(&held), text(&envelope)])
            }
        }
    }
}

/// Changes what a message of the server says, for the faults that need nothing else.
fn with_other_body(planted: Planted, mut envelope: Value) -> Option<Vec<Message>> {
    match planted {
        Planted::RefusalEnds if envelope["t"] == "users.refresh.ack" && envelope["d"]["ok"] == false => {
            let code = Code::CredentialRevoked;
            let close = json!({ "code": code.as_str(), "reason": "", "advice": code.advice().as_str() });
            envelope = json!({ "t": SessionClose::TYPE, "d": close });
        }
        Planted::TokenOfAnother if envelope["t"] == handshake::ACK_TYPE && envelope["d"]["ok"] == true => {
            envelope["d"]["user"]["access_token"] = json!("the-token-of-another-user");
        }
        Planted::EvictionClaimed if envelope.pointer("/d/session/fresh").is_some_and(|why| why != "new") => {
            envelope["d"]["session"]["fresh"] = json!("evicted");
        }
        _ => return None,
    }
    Some(vec![text(&envelope)])
}

fn text(envelope: &Value) -> Message {
    Message::from(envelope.to_string())
}
