//! The client's handshake: the one place that opens a connection and says who connects.

use std::sync::Arc;

use crate::{ConnectError, trace::Trace};
use chatcamp_auth::client::{self, Established, Hello, Refusal, ServerReply};
use chatcamp_protocol::{Advice, Code};
use chatcamp_transport::{Closed, Connection, Message, Transport};

/// Name and version of this client, as the server is told.
pub(crate) const CLIENT: &str = concat!("chatcamp-rust/", env!("CARGO_PKG_VERSION"));

/// Opens a connection, presents the user and waits for the verdict. The caller has the deadline.
///
/// ```text
///   connect ------------------------------>
///   users.auth  r:1, credential, resume? ->
///             <- users.auth.ack to:1, user, session | error        or, instead: session.close, or the end
/// ```
pub(crate) async fn open(
    transport: &dyn Transport,
    hello: &Hello<'_>,
    trace: &Trace,
) -> Result<(Connection, Box<Established>), ConnectError> {
    let mut connection = transport.connect().await.map_err(|e| ConnectError::Transport(Arc::new(e)))?;
    let (await_ack, request) = client::start(hello);
    trace.sent(&request);
    // The end of the connection is reported when receiving, after what may explain it.
    let _ = connection.send(Message::from(request)).await;
    let answer = connection.recv().await.map_err(ended)?;
    trace.received(answer.as_str());
    match await_ack.on_message(answer.as_str())? {
        ServerReply::Established(established) => Ok((connection, established)),
        ServerReply::Refused(refusal) => Err(refused(refusal)),
        ServerReply::RetryLater { refusal, after } => Err(ConnectError::NotNow { refusal, after }),
    }
}

/// A refusal may still say: come back.
fn refused(refusal: Refusal) -> ConnectError {
    match refusal.advice {
        Advice::Retry => ConnectError::NotNow { refusal, after: None },
        Advice::Credential | Advice::Terminal => ConnectError::Refused(refusal),
    }
}

/// Where no message explained the end, a code of the table does.
fn ended(closed: Closed) -> ConnectError {
    match &closed {
        Closed::ByPeer(close) => match Code::from_number(close.code) {
            Code::Lost => ConnectError::Lost(closed),
            code => refused(Refusal::of(code)),
        },
        _ => ConnectError::Lost(closed),
    }
}
