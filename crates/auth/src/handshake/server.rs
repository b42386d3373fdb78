//! The server's half: hear who it is, await the verdict, say it in the client's dialect.

use std::time::Duration;

use chatcamp_protocol::{
    AccessToken, AppId, Code, Envelope, SessionKey, UserId, envelope,
    event::SessionClose,
    handshake::{self, Accepted, AuthRequest, Offer, Rejected, Rejection},
    limits,
};

use crate::{
    directory::{Admission, Proof, Question},
    keyring::Keyring,
    query,
    session_key::{self, Claims},
};

/// How a connection speaks, fixed by how its credentials arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Credentials in the URL: the published SDK.
    Published,
    /// Credentials in the first message: ours.
    Native,
}

/// What a connection is to begin with.
#[derive(Debug)]
pub enum Opening {
    /// The URL named an app or a session: the server speaks first, after the verdict.
    Published(AwaitVerdict),
    /// It named nothing: the client speaks first.
    Native(AwaitRequest),
}

/// Waits for `users.auth`.
#[derive(Debug)]
pub struct AwaitRequest(());

/// Waits for the directory's verdict on [`question`](Self::question).
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

/// The session a native client would go on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResumeHint {
    /// What its key says, expired or not; `None` when the key is not ours, or another user's.
    pub claims: Option<Claims>,
    /// The highest sequence number the client has.
    pub seen: u64,
    /// The highest request number the client has sent.
    pub sent: u64,
}

/// An accepted connection: the only way to a server session.
#[derive(Debug)]
#[non_exhaustive]
pub struct Established {
    /// How it speaks.
    pub dialect: Dialect,
    /// Who it is.
    pub admission: Admission,
}

/// An end: say the last words, if any, then close with the code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", .code.as_str(), .code.reason())]
pub struct Ended {
    /// Why.
    pub code: Code,
    /// The text to send before the close.
    pub last_words: Option<String>,
}

/// Looks at the query string of the request that opened the connection.
///
/// # Errors
/// [`Ended`] when it names an app or a session in a way that cannot be asked about.
pub fn open(query: Option<&str>, keyring: &Keyring, now: u64) -> Result<Opening, Ended> {
    let refuse = |code| farewell_unverified(Dialect::Published, code);
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

/// Whether a query names an app or a session, so that the server speaks first.
///
/// One that cannot be read does: its refusal is said in the published dialect.
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
    /// [`Ended`] when it is not a `users.auth` that can be asked about.
    pub fn on_message(self, text: &str, keyring: &Keyring) -> Result<AwaitVerdict, Ended> {
        let refuse = |code| farewell_unverified(Dialect::Native, code);
        let malformed = || refuse(Code::Malformed);
        let envelope = Envelope::parse(text).map_err(|_| malformed())?;
        if envelope.t != handshake::TYPE {
            // A poll of a connection that another server had: its client is well, and comes back.
            return Err(refuse(Code::ConnectionUnknown));
        }
        if envelope.r != Some(handshake::REQUEST) {
            return Err(malformed());
        }
        // The version is read first: another version's body may look like anything.
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
        // The credential is checked by itself: a native key says which session is meant, for as long as there is that one.
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
    /// An empty token counts as none, as in the published SDK.
    fn new(dialect: Dialect, app: &str, user: &str, token: Option<AccessToken>) -> Result<Self, Ended> {
        let refuse = |code| farewell_unverified(dialect, code);
        Ok(Self {
            dialect,
            app_id: AppId::new(app).map_err(|_| refuse(Code::AppIdInvalid))?,
            user_id: UserId::new(user).map_err(|_| refuse(Code::UserIdInvalid))?,
            proof: token.filter(|t| !t.expose().is_empty()).map_or(Presented::Nothing, Presented::Token),
            resume: None,
        })
    }

    /// What to ask the directory.
    #[must_use]
    pub fn question(&self) -> Question<'_> {
        let proof = match &self.proof {
            Presented::Nothing => Proof::None,
            Presented::Token(token) => Proof::Token(token),
            Presented::SessionKey(claims) => Proof::SessionKey(claims),
        };
        Question { app_id: &self.app_id, user_id: &self.user_id, proof }
    }

    /// How the connection speaks.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The session the client would go on with.
    #[must_use]
    pub fn resume(&self) -> Option<&ResumeHint> {
        self.resume.as_ref()
    }

    /// Admitted: the acknowledgement to send, with the session on offer; `now` in Unix seconds.
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

    /// Refused: what to say, and the code to close with.
    #[must_use]
    pub fn refuse(self, code: Code) -> Ended {
        farewell_unverified(self.dialect, code)
    }

    /// Not now: what to say, and the code to close with.
    #[must_use]
    pub fn defer(self, code: Code, after: Duration) -> Ended {
        farewell(self.dialect, code, Some(after))
    }
}

/// How an end is said before the verdict: as a negative acknowledgement, or not at all.
#[must_use]
pub fn farewell_unverified(dialect: Dialect, code: Code) -> Ended {
    let Dialect::Native = dialect else { return farewell(dialect, code, None) };
    let error = Rejection {
        code: code.as_str().into(),
        message: code.reason().into(),
        advice: Some(code.advice().as_str().into()),
        reason: None,
    };
    let text = envelope::ack(handshake::TYPE, Some(handshake::REQUEST), &Rejected { ok: false, error });
    Ended { code, last_words: Some(text) }
}

/// How an end is said to a client that has been accepted, or is to come back later.
#[must_use]
pub fn farewell(dialect: Dialect, code: Code, retry_after: Option<Duration>) -> Ended {
    let last_words = match dialect {
        Dialect::Native => {
            let millis = retry_after.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
            Some(envelope::push(SessionClose::TYPE, &SessionClose::new(code, millis)))
        }
        Dialect::Published => published_ack(code),
    };
    Ended { code, last_words }
}

/// The published SDK goes quiet on these two codes only, and comes back with its token on this one message
/// (wire document, section 4.2).
fn published_ack(code: Code) -> Option<String> {
    let published = code.published();
    let error = Rejection {
        code: published.code()?.into(),
        message: published.message().unwrap_or(code.reason()).into(),
        advice: None,
        reason: Some(code.as_str().into()),
    };
    Some(envelope::ack(handshake::TYPE, None, &Rejected { ok: false, error }))
}
