//! The server's half: reads who connects, waits for the verdict, and writes it in the client's dialect.

use std::time::Duration;

use chatcamp_protocol::{
    AccessToken, AppId, Code, Envelope, SessionKey, UserId, envelope,
    event::SessionClose,
    handshake::{self, Accepted, AuthRequest, Offer, Rejected, Rejection},
    limits,
};

use crate::{
    authenticator::{Admission, OriginHeader, Proof, Question},
    keyring::Keyring,
    query,
    session_key::{self, Claims},
};

/// The dialect of a connection, which depends on how its credentials arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Credentials in the URL: the published SDK.
    Published,
    /// Credentials in the first message: clients of this project.
    Native,
}

/// How a connection begins.
#[derive(Debug)]
pub enum Opening {
    /// The URL has credentials. The server sends the first message, after the verdict.
    Published(AwaitVerdict),
    /// The URL has no credentials. The client sends the first message.
    Native(AwaitRequest),
}

/// Waits for `users.auth`.
#[derive(Debug)]
pub struct AwaitRequest(());

/// Waits for the verdict of an [`Authenticator`](crate::Authenticator) on [`question`](Self::question).
#[derive(Debug)]
pub struct AwaitVerdict {
    dialect: Dialect,
    app_id: AppId,
    user_id: UserId,
    proof: Presented,
    resume: Option<ResumeHint>,
}

#[derive(Debug)]
enum Presented {
    Nothing,
    Token(AccessToken),
    SessionKey(Box<Claims>),
}

/// The session that a native client asks to resume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumeHint {
    /// The claims of its key, which may have expired; `None` if the key is invalid or another user's.
    pub claims: Option<Claims>,
    /// The highest sequence number that the client has received.
    pub seen: u64,
    /// The highest request number that the client has sent.
    pub sent: u64,
}

/// An accepted connection. Server sessions begin with this value only.
#[derive(Debug)]
#[non_exhaustive]
pub struct Established {
    /// The dialect of the connection.
    pub dialect: Dialect,
    /// The admitted user.
    pub admission: Admission,
}

/// The end of a connection: send the final message, if any, then close with the code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", .code.as_str(), .code.reason())]
pub struct Ended {
    /// The reason.
    pub code: Code,
    /// The message to send before the close.
    pub final_message: Option<String>,
}

/// Reads the query string of the request that opened the connection.
///
/// # Errors
/// [`Ended`] if the query has credentials that are invalid without a look-up.
pub fn open(query: Option<&str>, keyring: &Keyring, now: u64) -> Result<Opening, Ended> {
    let refuse = |code| refused(Dialect::Published, code);
    let names = ["app_id", "user_id", "access_token", "session_key"];
    let [app, user, token, key] =
        query::values(query.unwrap_or(""), names).map_err(|query::Invalid| refuse(Code::QueryInvalid))?;
    if let Some(key) = key {
        let claims =
            session_key::open(keyring, &SessionKey::new(key), now).filter(|claims| !claims.is_native);
        let claims = claims.ok_or_else(|| refuse(Code::SessionKeyInvalid))?;
        return Ok(Opening::Published(AwaitVerdict {
            dialect: Dialect::Published,
            app_id: claims.app.clone(),
            user_id: claims.user.clone(),
            proof: Presented::SessionKey(Box::new(claims)),
            resume: None,
        }));
    }
    let Some(app) = app else {
        return Ok(Opening::Native(AwaitRequest(())));
    };
    let token = token.map(AccessToken::new);
    AwaitVerdict::new(Dialect::Published, &app, user.as_deref().unwrap_or(""), token).map(Opening::Published)
}

/// Returns whether a query has credentials, so that the server sends the first message.
///
/// Returns `true` for a query that is invalid: it is refused in the published dialect.
#[must_use]
pub fn names_credentials(query: Option<&str>) -> bool {
    match query::values(query.unwrap_or(""), ["app_id", "session_key"]) {
        Ok(values) => values.iter().any(Option::is_some),
        Err(query::Invalid) => true,
    }
}

impl AwaitRequest {
    /// Reads the client's first message.
    ///
    /// # Errors
    /// [`Ended`] if the message is not a valid `users.auth`.
    pub fn on_message(self, text: &str, keyring: &Keyring) -> Result<AwaitVerdict, Ended> {
        let refuse = |code| refused(Dialect::Native, code);
        let malformed = || refuse(Code::Malformed);
        let envelope = Envelope::parse(text).map_err(|_| malformed())?;
        if envelope.t != handshake::TYPE {
            // The client continues a long-poll connection of another server process, and reconnects.
            return Err(refuse(Code::ConnectionUnknown));
        }
        if envelope.r != Some(handshake::REQUEST) {
            return Err(malformed());
        }
        // The version is read first, because the rest of the body depends on it.
        #[derive(serde::Deserialize)]
        struct Version {
            v: u32,
        }
        let version: Version = envelope.body().map_err(|_| malformed())?;
        if version.v != handshake::VERSION {
            return Err(refuse(Code::UnsupportedVersion));
        }
        let body: AuthRequest<'_> = envelope.body().map_err(|_| malformed())?;
        if body.client.len() > limits::CLIENT_NAME {
            return Err(malformed());
        }
        // The key only names the session. It may have expired (hence 0 as the time), because the credential is checked anyway.
        let mut verdict = AwaitVerdict::new(Dialect::Native, &body.app_id, &body.user_id, body.access_token)?;
        verdict.resume = body.resume.map(|resume| ResumeHint {
            claims: session_key::open(keyring, &resume.key, 0)
                .filter(|claims| claims.user == verdict.user_id),
            seen: resume.seen,
            sent: resume.sent,
        });
        Ok(verdict)
    }
}

impl AwaitVerdict {
    /// Treats an empty token as absent, as the published SDK does.
    fn new(dialect: Dialect, app: &str, user: &str, token: Option<AccessToken>) -> Result<Self, Ended> {
        let refuse = |code| refused(dialect, code);
        Ok(Self {
            dialect,
            app_id: AppId::new(app).map_err(|_| refuse(Code::AppIdInvalid))?,
            user_id: UserId::new(user).map_err(|_| refuse(Code::UserIdInvalid))?,
            proof: token.filter(|t| !t.expose().is_empty()).map_or(Presented::Nothing, Presented::Token),
            resume: None,
        })
    }

    /// Returns the question for the authenticator, with the header `Origin` of the connection.
    #[must_use]
    pub fn question<'a>(&'a self, origin: OriginHeader<'a>) -> Question<'a> {
        Question { app_id: &self.app_id, user_id: &self.user_id, proof: self.proof(), origin }
    }

    /// Returns what the client presents in addition to the user id.
    #[must_use]
    pub fn proof(&self) -> Proof<'_> {
        match &self.proof {
            Presented::Nothing => Proof::None,
            Presented::Token(token) => Proof::Token(token),
            Presented::SessionKey(claims) => Proof::SessionKey(claims),
        }
    }

    /// Returns the dialect of the connection.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Returns the session that the client asks to resume.
    #[must_use]
    pub fn resume(&self) -> Option<&ResumeHint> {
        self.resume.as_ref()
    }

    /// Admits the user at the time `now` in Unix seconds. Returns the acknowledgement to send, with the session.
    #[must_use]
    pub fn admit(self, admission: Admission, offer: &Offer, now: u64) -> (Established, String) {
        let native = self.dialect == Dialect::Native;
        let ack = Accepted {
            ok: true,
            user: &admission.user,
            session_key: (!native).then(|| offer.key.expose()),
            session: native.then_some(offer),
            token_expires_in: admission.valid_until.filter(|_| native).map(|end| end.saturating_sub(now)),
        };
        let to = native.then_some(handshake::REQUEST);
        let text = envelope::ack(handshake::TYPE, to, &ack);
        (Established { dialect: self.dialect, admission }, text)
    }

    /// Refuses the user.
    #[must_use]
    pub fn refuse(self, code: Code) -> Ended {
        refused(self.dialect, code)
    }

    /// Asks the client to retry after this time.
    #[must_use]
    pub fn defer(self, code: Code, after: Duration) -> Ended {
        ended(self.dialect, code, Some(after))
    }
}

/// Ends a connection before it is accepted: with a negative acknowledgement, or with the close alone.
#[must_use]
pub fn refused(dialect: Dialect, code: Code) -> Ended {
    let Dialect::Native = dialect else { return ended(dialect, code, None) };
    let error = Rejection {
        code: code.as_str().into(),
        message: code.reason().into(),
        advice: Some(code.advice().as_str().into()),
        reason: None,
    };
    let text = envelope::ack(handshake::TYPE, Some(handshake::REQUEST), &Rejected { ok: false, error });
    Ended { code, final_message: Some(text) }
}

/// Ends a connection that was accepted, or asks a client to retry later.
#[must_use]
pub fn ended(dialect: Dialect, code: Code, retry_after: Option<Duration>) -> Ended {
    let final_message = match dialect {
        Dialect::Native => {
            let millis = retry_after.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
            Some(envelope::push(SessionClose::TYPE, &SessionClose::new(code, millis)))
        }
        Dialect::Published => published_ack(code),
    };
    Ended { code, final_message }
}

/// Writes the negative acknowledgement for the published SDK; see [`Published`](chatcamp_protocol::code::Published).
fn published_ack(code: Code) -> Option<String> {
    let published = code.published();
    let error = Rejection {
        code: published.code()?.into(),
        message: published.message().unwrap_or_else(|| code.reason()).into(),
        advice: None,
        reason: Some(code.as_str().into()),
    };
    Some(envelope::ack(handshake::TYPE, None, &Rejected { ok: false, error }))
}
