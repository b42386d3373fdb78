//! The client's handshake: the only place that opens a connection and authenticates the user.

use std::sync::Arc;

use crate::{ConnectError, trace::Trace};
use chatcamp_auth::client::{self, Established, Hello, Refusal, ServerReply};
use chatcamp_protocol::{Advice, Code};
use chatcamp_transport::{self as transport, Closed, Connection, Message, Transport};

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
    let url = transport.url();
    let mut connection = match transport.connect().await {
        Ok(connection) => connection,
        Err(cause) => return Err(ConnectError::Unreachable { url, cause: Arc::new(cause) }),
    };
    let (await_ack, request) = client::start(hello);
    trace.sent(&request);
    // Receiving reports the end of the connection, after a message that may explain it.
    let _ = connection.send(Message::from(request)).await;
    let answer = match connection.recv().await {
        Ok(answer) => answer,
        Err(closed) => return Err(ended(url, closed)),
    };
    trace.received(answer.as_str());
    match await_ack.on_message(answer.as_str()) {
        Ok(ServerReply::Established(established)) => Ok((connection, established)),
        Ok(ServerReply::Refused(refusal)) => Err(refused(refusal)),
        Ok(ServerReply::RetryLater { refusal, after }) => Err(ConnectError::NotNow { refusal, after }),
        Err(violation) => Err(ConnectError::Violation { url, violation }),
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
fn ended(url: Option<String>, closed: Closed) -> ConnectError {
    // Over long-poll, the first message opens the connection.
    let cause = match closed {
        Closed::ByPeer(ref close) => {
            return match Code::from_number(close.code) {
                Code::Lost => ConnectError::Lost { url, closed },
                code => refused(Refusal::of(code)),
            };
        }
        Closed::Unreachable(why) => transport::ConnectError::unreachable(why),
        Closed::Refused(why) => transport::ConnectError::Refused(why.into_owned()),
        #[cfg(feature = "tls")]
        Closed::Tls(cause) => transport::ConnectError::Tls(*cause),
        closed => return ConnectError::Lost { url, closed },
    };
    ConnectError::Unreachable { url, cause: Arc::new(cause) }
}
