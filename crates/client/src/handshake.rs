//! The client's handshake: the only place that opens a connection and authenticates the user.

use std::sync::Arc;

use crate::{ConnectError, trace::Trace};
use chatcamp_auth::client::{self, Established, Hello, Refusal, ServerReply};
use chatcamp_protocol::{Advice, Code};
use chatcamp_transport::{Closed, Connection, Message, Transport};

/// Name and version of this client, sent to the server.
pub(crate) const CLIENT: &str = concat!("chatcamp-rust/", env!("CARGO_PKG_VERSION"));

/// Opens a connection, authenticates the user and waits for the answer. The caller sets the deadline.
///
/// ```text
///   connect ------------------------------>
///   users.auth  r:1, credential, resume? ->
///             <- users.auth.ack to:1, user, session | error        or instead: session.close, or a close
/// ```
pub(crate) async fn open(
    transport: &dyn Transport,
    hello: &Hello<'_>,
    trace: &Trace,
) -> Result<(Connection, Box<Established>), ConnectError> {
    let mut connection = transport.connect().await.map_err(|e| ConnectError::Transport(Arc::new(e)))?;
    let (await_ack, request) = client::start(hello);
    trace.sent(&request);
    // Receiving reports the end of the connection, after a message that may explain it.
    let _ = connection.send(Message::from(request)).await;
    let answer = connection.recv().await.map_err(ended)?;
    trace.received(answer.as_str());
    match await_ack.on_message(answer.as_str())? {
        ServerReply::Established(established) => Ok((connection, established)),
        ServerReply::Refused(refusal) => Err(refused(refusal)),
        ServerReply::RetryLater { refusal, after } => Err(ConnectError::NotNow { refusal, after }),
    }
}

/// Converts a refusal. A refusal that advises to retry is not final.
fn refused(refusal: Refusal) -> ConnectError {
    match refusal.advice {
        Advice::Retry => ConnectError::NotNow { refusal, after: None },
        Advice::Credential | Advice::Terminal => ConnectError::Refused(refusal),
    }
}

/// Converts an end that no message explained; only the close code can explain it.
fn ended(closed: Closed) -> ConnectError {
    match &closed {
        Closed::ByPeer(close) => match Code::from_number(close.code) {
            Code::Lost => ConnectError::Lost(closed),
            code => refused(Refusal::of(code)),
        },
        // Over long-poll, the first message opens the connection.
        #[cfg(feature = "tls")]
        Closed::Tls(cause) => {
            ConnectError::Transport(Arc::new(chatcamp_transport::ConnectError::Tls((**cause).clone())))
        }
        _ => ConnectError::Lost(closed),
    }
}
