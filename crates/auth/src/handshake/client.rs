//! The client's half: say who it is, await the acknowledgement.

use std::time::Duration;

use chatcamp_protocol::{
    AccessToken, Advice, AppId, Code, Envelope, User, UserId, envelope,
    event::SessionClose,
    handshake::{self, AuthAck, AuthRequest, Offer, Rejection, Resume},
};

/// Who connects, and with what.
#[derive(Debug, Clone)]
pub struct Hello<'a> {
    /// The app.
    pub app_id: &'a AppId,
    /// The user.
    pub user_id: &'a UserId,
    /// The user's token, where it has one.
    pub token: Option<&'a AccessToken>,
    /// Name and version of the client, `name/version`.
    pub client: &'a str,
    /// The session to go on with.
    pub resume: Option<Resume>,
}

/// The request is on its way; waits for the server's first message.
#[derive(Debug)]
pub struct AwaitAck(());

/// What the server's first message says.
#[derive(Debug)]
pub enum Verdict {
    /// Accepted.
    Established(Box<Established>),
    /// Not accepted: whether another credential would help, its advice says.
    Refused(Refusal),
    /// Not now.
    ComeBack {
        /// Why.
        refusal: Refusal,
        /// How long to wait first, where the server says.
        after: Option<Duration>,
    },
}

/// An accepted connection: the only way to a client session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Established {
    /// The user, as its owner sees it.
    pub user: User,
    /// The session.
    pub session: Offer,
    /// How long the token is good from now, where it ends.
    pub token_expires_in: Option<Duration>,
}

/// Why the server does not go on with a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
#[non_exhaustive]
pub struct Refusal {
    /// The code as the server wrote it, which a newer server may have added.
    pub code: String,
    known: Option<Code>,
    /// For people.
    pub message: String,
    /// What to do.
    pub advice: Advice,
}

/// The server's first message was no answer to `users.auth`. The text is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server did not answer users.auth as the protocol asks for")]
pub struct Violation;

/// Starts: the text to send first, and the state that awaits its answer.
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
    (AwaitAck(()), envelope::request(handshake::TYPE, handshake::REQUEST, &body))
}

impl AwaitAck {
    /// Reads the server's first message.
    ///
    /// # Errors
    /// [`Violation`] when it is neither the acknowledgement nor `session.close`.
    pub fn on_message(self, text: &str) -> Result<Verdict, Violation> {
        let envelope = Envelope::parse(text).map_err(|_| Violation)?;
        match envelope.t.as_ref() {
            handshake::ACK_TYPE if envelope.to == Some(handshake::REQUEST) => {
                on_ack(envelope.body().map_err(|_| Violation)?)
            }
            SessionClose::TYPE => Ok(on_close(envelope.body().map_err(|_| Violation)?)),
            _ => Err(Violation),
        }
    }
}

fn on_ack(ack: AuthAck<'_>) -> Result<Verdict, Violation> {
    if !ack.ok {
        return Ok(Verdict::Refused(ack.error.ok_or(Violation)?.into()));
    }
    Ok(Verdict::Established(Box::new(Established {
        user: ack.user.ok_or(Violation)?,
        session: ack.session.ok_or(Violation)?,
        token_expires_in: ack.token_expires_in.map(Duration::from_secs),
    })))
}

fn on_close(close: SessionClose) -> Verdict {
    let after = close.retry_after_ms.map(Duration::from_millis);
    let refusal = Refusal::from(close);
    match refusal.advice {
        Advice::Retry => Verdict::ComeBack { refusal, after },
        Advice::Credential | Advice::Terminal => Verdict::Refused(refusal),
    }
}

impl Refusal {
    /// Reads code and advice from the wire. An advice that is missing or unknown is terminal, so that a client does not
    /// keep connecting to a server that it does not understand.
    fn new(code: String, message: String, advice: Option<&str>) -> Self {
        let known = Code::from_wire(&code);
        Self { code, known, message, advice: advice.and_then(Advice::from_wire).unwrap_or(Advice::Terminal) }
    }

    /// The refusal this version's table gives `code`.
    #[must_use]
    pub fn of(code: Code) -> Self {
        SessionClose::new(code, None).into()
    }

    /// The code, where this version knows it.
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
