//! Connections: the credential presented on each, the messages on it, and how it ended.

use std::time::{Duration, Instant};

use chatcamp_protocol::{
    Advice, Code, Envelope,
    event::{APP_EVENT, SessionClose},
    handshake::{self, AuthRequest},
    request::{AckStatus, RefreshCredential, Request as _},
};
use chatcamp_transport::Closed;
use serde_json::Value;

use super::{
    Invariant, Ledger, Proof, Records,
    accounts::BOUND,
    applications::{ClientKind, LAG},
    sessions::{SessionNumber, session_of},
};
use crate::keys::claims_of;

/// Time for a client to react to an end.
const REACTION: Duration = Duration::from_secs(3);

/// How much earlier than the ledger a server may consider a token expired, because the server counts whole seconds.
const CLOCK_STEP: Duration = Duration::from_secs(1);

/// One connection.
#[derive(Debug)]
pub(super) struct Wire {
    client: usize,
    proof: Option<Proof>,
    /// A token offered by a refresh that the server has not answered.
    offered: Option<String>,
    /// When the server accepted the connection.
    accepted: Option<Instant>,
    /// The end that the server has announced.
    announced: Option<AnnouncedEnd>,
    /// The session of the connection, once accepted.
    session: Option<SessionNumber>,
    /// Whether the network closed the connection with a code of its own.
    closed_by_network: bool,
    /// Whether a session may begin on this connection without the ledger noticing.
    may_begin_unseen: bool,
}

/// An end that the server announced.
#[derive(Debug, Clone)]
pub(super) struct AnnouncedEnd {
    pub(super) code: String,
    pub(super) advice: Advice,
}

/// An end that the client knows of and has not reacted to.
#[derive(Debug, Clone)]
pub(super) struct PendingReaction {
    pub(super) announced: AnnouncedEnd,
    at: Instant,
}

impl Ledger {
    /// Records that a client opened a connection. If it is a long-poll connection, the answer that begins a session may be lost.
    pub(crate) fn opened(&self, wire: u64, client: usize, by_polls: bool) {
        let now = self.machine.now();
        let mut records = self.records.lock();
        let open = &mut records.clients[client].open;
        open.push(wire);
        let open = open.clone();
        let wires = &mut records.clients[client].wires;
        *wires = [wires[1], (wire, now)];
        let entry = Wire {
            client,
            proof: None,
            offered: None,
            accepted: None,
            announced: None,
            session: None,
            closed_by_network: false,
            may_begin_unseen: by_polls,
        };
        if by_polls {
            records.clients[client].holding.may_begin_unseen();
        }
        records.wires.insert(wire, entry);
        if open.len() > 1 {
            records.violate(
                Invariant::OneConnection,
                format_args!("client {client} has several connections open: {open:?}"),
            );
        }
    }

    /// Records what the URL of a published client presents: credentials, or a session key, which stands for the credential of its
    /// session.
    pub(crate) fn presented_in_url(&self, wire: u64, query: &str, proof: Option<Proof>) {
        let mut records = self.records.lock();
        let Records { wires, sessions, .. } = &mut *records;
        let Some(wire) = wires.get_mut(&wire) else { return };
        wire.proof = proof.or_else(|| sessions.proof_of(query.strip_prefix("session_key=")?));
    }

    /// Records that the network closed a connection with a code of its own, which says nothing about the server.
    pub(crate) fn closed_by_network(&self, wire: u64) {
        if let Some(wire) = self.records.lock().wires.get_mut(&wire) {
            wire.closed_by_network = true;
        }
    }

    /// Records that the server received the end of a connection.
    ///
    /// A WebSocket close with 1000, 1001 or no code ends a published session.
    pub(crate) fn server_saw_end(&self, wire: u64, how: &Closed) {
        let now = self.machine.now();
        let mut records = self.records.lock();
        let Some(client) = records.wires.get(&wire).map(|wire| wire.client) else { return };
        let client = &mut records.clients[client];
        if client.kind == ClientKind::Published
            && matches!(how, Closed::ByPeer(close) if matches!(close.code, 1000 | 1001 | 1005))
        {
            client.excuse(now);
        }
    }

    /// Records that the server's session read a message.
    pub(crate) fn server_read(&self, wire: u64, envelope: &Envelope<'_>) {
        let mut records = self.records.lock();
        let Some((session, client)) =
            records.wires.get(&wire).and_then(|wire| Some((wire.session?, wire.client)))
        else {
            return;
        };
        if envelope.t != handshake::TYPE {
            records.clients[client].request_heard = self.machine.now();
            records.sessions.request_heard(wire, session, envelope.r.unwrap_or_default());
            records.acknowledged(client, session, envelope);
        }
    }

    /// Records that a client received a message.
    pub(crate) fn client_received(&self, id: u64, envelope: &Envelope<'_>) {
        let mut records = self.records.lock();
        let Some(wire) = records.wires.get(&id) else { return };
        let client = wire.client;
        match envelope.t.as_ref() {
            handshake::ACK_TYPE => {
                let Ok(body) = envelope.body::<Value>() else { return };
                let presented = match &wire.proof {
                    Some(Proof::Token(token)) => Some(token.as_str()),
                    _ => None,
                };
                let shown = body.pointer("/user/access_token").and_then(Value::as_str);
                if body["ok"] == true && shown != presented {
                    records.violate(
                        Invariant::OwnToken,
                        format_args!(
                            "client {client} received a token other than the one it presented on wire {id}"
                        ),
                    );
                }
            }
            SessionClose::TYPE => {
                if let Ok(close) = envelope.body::<SessionClose>() {
                    records.check_justified(id, &close.code, self.machine.now());
                }
            }
            _ => {}
        }
    }

    /// Records that a client closed its connection or began to.
    pub(crate) fn left(&self, wire: u64, on_purpose: bool) {
        let mut records = self.records.lock();
        let Some(client) = records.wires.get(&wire).map(|wire| wire.client) else { return };
        let client = &mut records.clients[client];
        client.open.retain(|&open| open != wire);
        if on_purpose {
            client.excuse(self.machine.now());
        }
    }

    /// Records that the server received a message.
    pub(crate) fn server_received(&self, wire: u64, envelope: &Envelope<'_>) {
        let now = self.machine.now();
        let mut records = self.records.lock();
        let Records { wires, clients, .. } = &mut *records;
        let Some(wire) = wires.get_mut(&wire) else { return };
        let client = wire.client;
        clients[client].server_received = now;
        match envelope.t.as_ref() {
            handshake::TYPE => {
                let token = envelope.body().ok().and_then(|request: AuthRequest<'_>| request.access_token);
                let proof = token.map(|token| Proof::Token(token.expose().to_owned()));
                wire.proof = Some(proof.unwrap_or(Proof::Id));
            }
            RefreshCredential::TYPE => {
                let refresh: Option<RefreshCredential> = envelope.body().ok();
                wire.offered = refresh.map(|refresh| refresh.access_token.expose().to_owned());
            }
            _ => {}
        }
        records.hold_answer(client, envelope);
    }

    /// Records that the server sent a message.
    pub(crate) fn server_sent(&self, id: u64, envelope: &Envelope<'_>) {
        let now = self.machine.now();
        let mut records = self.records.lock();
        let Some(wire) = records.wires.get(&id) else { return };
        if let (Some(session), Some(number)) = (wire.session, envelope.s) {
            records.sessions.sent(session, number);
        }
        match envelope.t.as_ref() {
            SessionClose::TYPE => {
                if let Ok(close) = envelope.body::<SessionClose>() {
                    let advice = Advice::from_wire(&close.advice).unwrap_or(Advice::Terminal);
                    self.ends(&mut records, id, AnnouncedEnd { code: close.code, advice });
                }
            }
            handshake::ACK_TYPE => match envelope.body::<handshake::AuthAck<'_>>() {
                Ok(ack) if ack.ok => records.accepted(id, envelope, now),
                Ok(handshake::AuthAck { error: Some(error), .. }) => {
                    let advice = error.advice.as_deref().and_then(Advice::from_wire);
                    // The published dialect puts the exact code into `reason`.
                    let body = envelope.body::<Value>().unwrap_or_default();
                    let exact = body.pointer("/error/reason").and_then(Value::as_str).map(str::to_owned);
                    let code = exact.unwrap_or_else(|| error.code.into_owned());
                    let announced = AnnouncedEnd { code, advice: advice.unwrap_or(Advice::Terminal) };
                    self.ends(&mut records, id, announced);
                }
                _ => {}
            },
            _ if envelope.acknowledges() == Some(RefreshCredential::TYPE) => {
                let ok = envelope.body().is_ok_and(|status: AckStatus<'_>| status.ok);
                records.refresh_answered(id, ok, now);
            }
            APP_EVENT => {
                records.event_sent(id, envelope, now);
                records.check_still_good(id, envelope);
            }
            _ => {}
        }
    }

    /// Records that the server closes a connection, with or without a final message.
    pub(crate) fn server_closes(&self, id: u64, number: u16) {
        let mut records = self.records.lock();
        let code = Code::from_number(number);
        if records.wires.get(&id).is_some_and(|wire| wire.announced.is_none()) && code != Code::Lost {
            self.ends(
                &mut records,
                id,
                AnnouncedEnd { code: code.as_str().to_owned(), advice: code.advice() },
            );
        }
    }

    fn ends(&self, records: &mut Records, id: u64, announced: AnnouncedEnd) {
        let Some(wire) = records.wires.get_mut(&id) else { return };
        let client = wire.client;
        self.machine.note(format_args!("server ends wire {id} of client {client}: {}", announced.code));
        wire.announced = Some(announced.clone());
        records.check_justified(id, &announced.code, self.machine.now());
        records.check_limit_code(client, &announced.code);
        match Code::from_wire(&announced.code) {
            // If the key was refused without a reason, the published client lost its session. A slow consumer loses only its
            // connection, unless memory is short and it holds more than its share.
            Some(Code::IdleTimeout | Code::Reconnect | Code::SessionKeyInvalid | Code::SlowConsumer) => {}
            Some(
                Code::OutOfSequence
                | Code::Malformed
                | Code::UnsupportedVersion
                | Code::AppIdInvalid
                | Code::UserIdInvalid
                | Code::ProtocolError,
            )
            | None => {
                records.violate(
                    Invariant::NoFalseViolations,
                    format_args!("the server reports a violation by client {client}: {}", announced.code),
                );
            }
            Some(_) => records.clients[client].excuse(self.machine.now()),
        }
    }

    /// Records that the client received the server's final message, or the close after it.
    pub(crate) fn client_saw_end(&self, wire: u64, closed: Option<&Closed>) {
        let now = self.machine.now();
        let mut records = self.records.lock();
        let Some(entry) = records.wires.get(&wire) else { return };
        if closed.is_some_and(|closed| !matches!(closed, Closed::ByPeer(_))) {
            return;
        }
        if closed.is_some() && entry.closed_by_network {
            return;
        }
        let (client, announced) = (entry.client, entry.announced.clone());
        let client = &mut records.clients[client];
        if client.kind != ClientKind::Native {
            return;
        }
        // Ends do not matter to a client that is disconnecting.
        if let Some(announced) = announced.filter(|_| client.open.contains(&wire)) {
            client.pending_reaction = Some(PendingReaction { announced, at: now });
        }
    }

    /// Returns the number of connections that clients hold open.
    pub(crate) fn open_wires(&self) -> usize {
        self.records.lock().clients.iter().map(|client| client.open.len()).sum()
    }
}

impl Records {
    /// Returns the ends announced on the client's latest connection, and on the previous one if that has just ended.
    pub(super) fn recent_ends(&self, client: usize, now: Instant) -> impl Iterator<Item = &AnnouncedEnd> {
        let [before, latest] = self.clients[client].wires;
        let before = (latest.1 + LAG > now).then_some(before);
        let wires = before.into_iter().chain([latest]);
        wires.filter_map(|(wire, _)| self.wires.get(&wire)?.announced.as_ref())
    }

    /// Records that the server accepted a connection.
    fn accepted(&mut self, id: u64, envelope: &Envelope<'_>, now: Instant) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        wire.accepted = Some(now);
        let proof = wire.proof.clone();
        let client = &mut self.clients[wire.client];
        if let Some(key) = key_in(envelope) {
            wire.session = claims_of(&key).map(|claims| session_of(&claims));
            let was_unseen = std::mem::take(&mut wire.may_begin_unseen);
            if let Some(session) = wire.session {
                client.holding.begins(session, was_unseen);
            }
            self.sessions.key_given(id, &key, proof.clone());
        }
        client.accepted = now;
        if let Some(proof) = proof {
            client.authenticated_with(proof, now);
        }
    }

    /// Records that the server accepted or refused the token of a refresh.
    fn refresh_answered(&mut self, id: u64, is_accepted: bool, now: Instant) {
        let Some(wire) = self.wires.get_mut(&id) else { return };
        let offered = wire.offered.take();
        if let Some(token) = offered.filter(|_| is_accepted) {
            let proof = Proof::Token(token);
            wire.proof = Some(proof.clone());
            self.clients[wire.client].authenticated_with(proof, now);
        }
    }

    /// Records that the server sent an event.
    fn event_sent(&mut self, id: u64, envelope: &Envelope<'_>, now: Instant) {
        let Some(wire) = self.wires.get(&id) else { return };
        let Some((user, n)) = super::applications::event_of(envelope) else { return };
        self.clients[wire.client].handed.insert(n);
        if let (Some(session), Some(number)) = (wire.session, envelope.s) {
            self.taken(session, number, &user, n, now);
        }
    }

    /// Checks that a session is ended because of its token only after the token has ended.
    fn check_justified(&mut self, id: u64, code: &str, now: Instant) {
        let Some(wire) = self.wires.get(&id) else { return };
        let (Some(proof @ Proof::Token(_)), Some(accepted)) = (&wire.proof, wire.accepted) else { return };
        let is_about_token = matches!(code, "ACCESS_TOKEN_EXPIRED" | "CREDENTIAL_REVOKED");
        let user = &self.clients[wire.client].user;
        let void = self.users.void_since(user, proof, accepted);
        if is_about_token && void.is_none_or(|void| void > now + CLOCK_STEP) {
            let client = wire.client;
            self.violate(
                Invariant::EndsJustified,
                format_args!("client {client} received {code} on wire {id} while its token was valid"),
            );
        }
    }

    /// Checks that the session's credential was valid when the event was published.
    fn check_still_good(&mut self, id: u64, envelope: &Envelope<'_>) {
        let Some((user, n)) = super::applications::event_of(envelope) else { return };
        let Some(wire) = self.wires.get(&id) else { return };
        let (Some(proof), Some(accepted), Some(store)) = (&wire.proof, wire.accepted, self.store_since)
        else {
            return;
        };
        let published = self.users.by_id.get(&user).and_then(|user| user.published.get(n - 1)).copied();
        let (Some(published), Some(void)) = (published, self.users.void_since(&user, proof, accepted)) else {
            return;
        };
        if published > void.max(store) + BOUND {
            let (client, late) = (wire.client, published - void);
            self.violate(
                Invariant::AccessRevoked,
                format_args!(
                    "event {n} goes to client {client} on wire {id}, {late:?} after its credential ended"
                ),
            );
        }
    }

    pub(super) fn check_reactions(&mut self, now: Instant) {
        let late = |client: &super::Client| {
            client
                .pending_reaction
                .clone()
                .filter(|pending_reaction| pending_reaction.at + REACTION < now && !client.is_gone)
        };
        if let Some((id, pending_reaction)) =
            self.clients.iter().enumerate().find_map(|(id, c)| Some((id, late(c)?)))
        {
            self.violate(
                Invariant::AdviceFollowed,
                format_args!(
                    "client {id} did not react to {} ({:?})",
                    pending_reaction.announced.code, pending_reaction.announced.advice
                ),
            );
        }
    }
}

/// Returns the session key in an acknowledgement of either dialect.
fn key_in(envelope: &Envelope<'_>) -> Option<String> {
    let body = envelope.body::<Value>().ok()?;
    let key = body.pointer("/session/key").or_else(|| body.get("session_key"))?;
    key.as_str().map(str::to_owned)
}
