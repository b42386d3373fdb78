//! HTTP exchanges with the current server, and the faults of the network on the way.

use std::future::pending;

use bytes::Bytes;
use chatcamp_protocol::{Envelope, handshake};
use chatcamp_runtime::timeout;
use chatcamp_server::{ChatService, Server};
use chatcamp_transport::long_poll::{ID_HEADER, Method};
use http::Request;
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower_service::Service;

use super::{Network, faults::ExchangeFault};
use crate::{machine::Process, planted::Planted};

/// The path of the chat endpoint.
const PATH: &str = "/chat/2.0";
/// The query field with which a published client resumes its session.
const KEY: &str = "session_key=";

/// An HTTP response: its status and body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

/// No response arrived.
#[derive(Debug)]
pub(super) struct Lost;

impl Network {
    /// Makes one request of a client on connection `wire`. `brings` tells whether the client reads messages from the response.
    pub(super) async fn exchange(
        &self,
        (wire, client): (u64, usize),
        query: Option<String>,
        method: Method,
        body: Bytes,
        brings: bool,
    ) -> Result<Answer, Lost> {
        let target = query.map_or_else(|| PATH.to_owned(), |query| format!("{PATH}?{query}"));
        let faults = self.state.lock().faults.clone();
        let machine = self.process.machine();
        let (there, back, fault) =
            machine.draw(|random| (faults.delay(random), faults.delay(random), faults.fault(random)));
        machine.note(format_args!("wire {wire} makes a {method:?} of {} bytes: {fault:?}", body.len()));
        self.process.sleep(there).await;
        match fault {
            ExchangeFault::RequestLost => return Err(Lost),
            ExchangeFault::Hangs => pending().await,
            ExchangeFault::Repeated(after) if method == Method::Get => {
                let (server, runs_on) = self.destination()?;
                let first =
                    self.ask((wire, client), &target, (&server, &runs_on), method, body.clone(), brings);
                if let Some(answer) = timeout(&self.process, after, first).await {
                    return answer;
                }
            }
            _ => {}
        }
        let (server, runs_on) = self.destination()?;
        let answer = self.ask((wire, client), &target, (&server, &runs_on), method, body, brings).await;
        self.process.sleep(back).await;
        if fault == ExchangeFault::AnswerLost { Err(Lost) } else { answer }
    }

    /// Returns the current server, which may differ from the one that holds the connection.
    fn destination(&self) -> Result<(Server, Process), Lost> {
        self.state.lock().server.clone().ok_or(Lost)
    }

    async fn ask(
        &self,
        (wire, client): (u64, usize),
        target: &str,
        (server, runs_on): (&Server, &Process),
        method: Method,
        body: Bytes,
        brings: bool,
    ) -> Result<Answer, Lost> {
        for message in messages(&body) {
            self.heard(wire, &message);
        }
        let request = Request::builder()
            .method(if method == Method::Get { "GET" } else { "POST" })
            .uri(target)
            .header(ID_HEADER, format!("wire-{wire}"))
            .header("content-type", "application/json")
            .body(Full::new(body))
            .expect("the request is well formed");
        let mut service = ChatService::new(server.clone()).for_peer(self.peer(client));
        let Ok(response) = service.call(request).await;
        if !runs_on.is_alive() {
            return Err(Lost);
        }
        let status = response.status().as_u16();
        let Ok(body) = response.into_body().collect().await;
        let body = match self.planted {
            Some(Planted::WaitingDropped) if target.contains(KEY) => without_second(&body.to_bytes()),
            _ => body.to_bytes(),
        };
        // Clients ignore the body of the response to a POST on an open connection.
        for message in messages(&body).into_iter().filter(|_| brings) {
            self.said(wire, &message);
        }
        Ok(Answer { status, body })
    }

    fn heard(&self, wire: u64, message: &str) {
        let Ok(envelope) = Envelope::parse(message) else { return };
        let number = envelope.r.unwrap_or_default();
        self.process.machine().note(format_args!("server gets {} {number} on wire {wire}", envelope.t));
        self.ledger.server_received(wire, &envelope);
    }

    fn said(&self, wire: u64, message: &str) {
        let Ok(envelope) = Envelope::parse(message) else { return };
        let (to, s) = (envelope.to.unwrap_or_default(), envelope.s.unwrap_or_default());
        self.process.machine().note(format_args!("server says {} {to} s {s} on wire {wire}", envelope.t));
        self.ledger.server_sent(wire, &envelope);
    }
}

/// Returns the messages in a body: an array of texts, or one envelope in the published form.
pub(super) fn messages(body: &Bytes) -> Vec<String> {
    serde_json::from_slice(body).unwrap_or_else(|_| {
        let text = std::str::from_utf8(body).unwrap_or_default();
        if Envelope::parse(text).is_ok() { vec![text.to_owned()] } else { Vec::new() }
    })
}

/// Planted: removes the message after the acknowledgement.
fn without_second(body: &Bytes) -> Bytes {
    let mut messages = messages(body);
    if messages.len() > 1 && messages[0].contains(handshake::ACK_TYPE) {
        messages.remove(1);
    }
    if messages.is_empty() { body.clone() } else { serde_json::json!(messages).to_string().into() }
}

/// Returns the close in a response body.
pub(super) fn close(body: &Bytes) -> Option<(u16, String)> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let close = body.get("close")?;
    Some((u16::try_from(close["code"].as_u64()?).ok()?, close["reason"].as_str()?.to_owned()))
}
