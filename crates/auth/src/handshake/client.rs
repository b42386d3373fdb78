//! The client's half: sends `users.auth` and waits for the acknowledgement.

use std::time::Duration;

use chatcamp_protocol::{
    AccessToken, Advice, AppId, Code, Envelope, User, UserId, envelope,
    event::SessionClose,
    handshake::{self, AuthAck, AuthRequest, Offer, Rejection, Resume},
    text::OneLine,
};

/// The user that connects, and its credential.
#[derive(Debug, Clone)]
pub struct Hello<'a> {
    /// The app.
    pub app_id: &'a AppId,
    /// The user.
    pub user_id: &'a UserId,
    /// The user's access token, if it has one.
    pub token: Option<&'a AccessToken>,
    /// The name and version of the client as `name/version`.
    pub client: &'a str,
    /// The session to resume.
    pub resume: Option<Resume>,
}

/// Waits for the server's first message, after `users.auth` was sent.
#[derive(Debug)]
pub struct AwaitAck {
    user_id: UserId,
}

/// The server's first message.
#[derive(Debug)]
pub enum ServerReply {
    /// The user is connected.
    Established(Box<Established>),
    /// The server refused; the advice says whether another credential can help.
    Refused(Refusal),
    /// The server asks the client to retry later.
    RetryLater {
        /// The reason.
        refusal: Refusal,
        /// How long to wait at least, if the server says so.
        after: Option<Duration>,
    },
}

/// An accepted connection. Client sessions begin with this value only.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Established {
    /// The user, as its owner sees it.
    pub user: User,
    /// The session.
    pub session: Offer,
    /// How long the token is valid from now; `None` if it does not expire.
    pub token_expires_in: Option<Duration>,
}

/// Why the server refused a client or ended its session.
///
/// Displayed on one line, whatever the server wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", OneLine(.code), OneLine(.message))]
#[non_exhaustive]
pub struct Refusal {
    /// The code as the server wrote it; may be unknown to this version.
    pub code: String,
    known: Option<Code>,
    /// The message for people.
    pub message: String,
    /// What the client should do.
    pub advice: Advice,
}

/// The server's first message did not answer `users.auth`. Does not contain the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// It is neither the acknowledgement nor `session.close`.
    #[error("the server did not answer users.auth as the protocol requires; check the address")]
    Answer,
    /// It accepts another user than the one that asked.
    #[error("the server answered for another user than the one that connects")]
    OtherUser,
}

/// Starts the handshake. Returns the state that waits for the reply, and the message to send first.
#[must_use]
pub fn start(hello: &Hello<'_>) -> (AwaitAck, String) {
    let body = AuthRequest {
        v: handshake::VERSION,
        client: hello.client.into(),
        app_id: hello.app_id.as_str().into(),
        user_id: hello.user_id.as_str().into(),
        access_token: hello.token.cloned(),
        resume: hello.resume.clone(),
    };
    let await_ack = AwaitAck { user_id: hello.user_id.clone() };
    (await_ack, envelope::request(handshake::TYPE, handshake::REQUEST, &body))
}

impl AwaitAck {
    /// Reads the server's first message.
    ///
    /// # Errors
    /// [`Violation`] if the message is neither the acknowledgement, for this user, nor `session.close`.
    pub fn on_message(self, text: &str) -> Result<ServerReply, Violation> {
        let envelope = Envelope::parse(text).map_err(|_| Violation::Answer)?;
        match envelope.t.as_ref() {
            handshake::ACK_TYPE if envelope.to == Some(handshake::REQUEST) => {
                self.on_ack(envelope.body().map_err(|_| Violation::Answer)?)
            }
            SessionClose::TYPE => Ok(on_close(envelope.body().map_err(|_| Violation::Answer)?)),
            _ => Err(Violation::Answer),
        }
    }

    fn on_ack(&self, ack: AuthAck<'_>) -> Result<ServerReply, Violation> {
        if !ack.ok {
            return Ok(ServerReply::Refused(ack.error.ok_or(Violation::Answer)?.into()));
        }
        let user = ack.user.ok_or(Violation::Answer)?;
        if user.id != self.user_id {
            return Err(Violation::OtherUser);
        }
        let session = ack.session.ok_or(Violation::Answer)?;
        let token_expires_in = ack.token_expires_in.map(Duration::from_secs);
        Ok(ServerReply::Established(Box::new(Established { user, session, token_expires_in })))
    }
}

fn on_close(close: SessionClose) -> ServerReply {
    let after = close.retry_after_ms.map(Duration::from_millis);
    let refusal = Refusal::from(close);
    match refusal.advice {
        Advice::Retry => ServerReply::RetryLater { refusal, after },
        Advice::Credential | Advice::Terminal => ServerReply::Refused(refusal),
    }
}

impl Refusal {
    /// Reads code and advice from the wire. An advice that is missing or unknown is terminal, so that a client does not
    /// keep connecting to a server that it does not understand.
    fn new(code: String, message: String, advice: Option<&str>) -> Self {
        let known = Code::from_wire(&code);
        Self { code, known, message, advice: advice.and_then(Advice::from_wire).unwrap_or(Advice::Terminal) }
    }

    /// Creates the refusal that the table has for `code`.
    #[must_use]
    pub fn of(code: Code) -> Self {
        SessionClose::new(code, None).into()
    }

    /// Returns the code; `None` if this version does not know it.
    #[must_use]
    pub fn known_code(&self) -> Option<Code> {
        self.known
    }
}

impl From<SessionClose> for Refusal {
    fn from(close: SessionClose) -> Self {
        Self::new(close.code, close.reason, Some(&close.advice))
    }
}

impl From<Rejection<'_>> for Refusal {
    fn from(rejection: Rejection<'_>) -> Self {
        let advice = rejection.advice.as_deref();
        Self::new(rejection.code.into_owned(), rejection.message.into_owned(), advice)
    }
}
