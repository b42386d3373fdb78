//! The server's handshake: the one place where a connection becomes a session.

use std::{sync::Arc, time::Duration};

use chatcamp_auth::{
    Verdict,
    directory::Admission,
    server::{self, AwaitVerdict, Dialect, Ended, Opening},
    session_key,
};
use chatcamp_protocol::{
    Code,
    handshake::{Continuity, FreshReason, Offer},
    limits,
};
use chatcamp_transport::{Close, Connection, Message};

use crate::{
    lobby::Guest,
    random, review,
    server::Shared,
    session::{Driver, Session, SessionId},
    tasks::Task,
};

/// How long a client is asked to wait when this server cannot take it now; spread up to twice this.
const RETRY: Duration = Duration::from_secs(2);

/// Runs the handshake on an open connection; no session comes of a refusal, an end, or the guest's time running out.
///
/// ```text
///  published   open(query) ------------------------> question -> directory -> verdict -> ack
///  native      open(none) -> first message --------> question -> directory -> verdict -> ack
/// ```
///
/// The task is the first to come and the last to go: a server is at rest when it has none.
pub(crate) async fn run(
    task: Task,
    shared: Arc<Shared>,
    mut connection: Connection,
    guest: Guest,
) -> Option<Driver> {
    let (connection, ended) = match judge(&shared, &mut connection, &guest).await {
        Ok((half, admission)) => match attach(&shared, connection, half, admission) {
            Ok(session) => {
                drop(guest);
                // From here on dropping the driver ends the session.
                let driver = Driver::new(shared.clone(), session.clone(), task);
                settle(&shared, &session).await;
                return Some(driver);
            }
            Err(refused) => *refused,
        },
        Err(ended) => (connection, ended?),
    };
    take_leave(connection, ended, &guest).await;
    None
}

/// From the opening to an admission; nothing as an error when the connection is gone.
async fn judge(
    shared: &Shared,
    connection: &mut Connection,
    guest: &Guest,
) -> Result<(AwaitVerdict, Admission), Option<Ended>> {
    let now = shared.clock.now();
    let half = match server::open(connection.facts().query.as_deref(), &shared.keyring, now)? {
        Opening::Published(half) => half,
        Opening::Native(half) => {
            let request = tokio::select! {
                biased;
                request = connection.recv() => request.map_err(|_| None)?,
                _ = shared.unless_draining(guest.must_leave()) => return Err(Some(late(shared, Dialect::Native))),
            };
            half.on_message(request.as_str(), &shared.keyring, now)?
        }
    };
    if shared.is_draining() {
        return Err(Some(half.defer(Code::ShuttingDown, random::spread(RETRY))));
    }
    let dialect = half.dialect();
    let verdict = tokio::select! {
        biased;
        verdict = shared.directory.admit(half.question(), now) => verdict,
        _ = shared.unless_draining(guest.must_leave()) => return Err(Some(late(shared, dialect))),
    };
    match verdict {
        Verdict::Admit(admission) => Ok((half, *admission)),
        Verdict::Refuse(code) => {
            tracing::debug!(code = code.as_str(), "refused a connection");
            Err(Some(half.refuse(code)))
        }
        Verdict::Defer(code, after) => Err(Some(half.defer(code, after))),
    }
}

/// Makes the session, and the acknowledgement the first thing said on it.
fn attach(
    shared: &Shared,
    connection: Connection,
    half: AwaitVerdict,
    admission: Admission,
) -> Result<Arc<Session>, Box<(Connection, Ended)>> {
    let now = shared.clock.now();
    let had = earlier_session(shared, &half, &admission);
    let fresh = match half.resume() {
        None => FreshReason::New,
        Some(hint) if hint.claims.as_ref().is_some_and(|claims| claims.app == admission.app) => {
            FreshReason::TooLate
        }
        Some(_) => FreshReason::UnknownKey,
    };
    let mut connection = Some(connection);
    let (app, user, most) = (&admission.app, &admission.user.id, shared.limits.sessions_per_user);
    // One that is about to be replaced does not count.
    let most = most + usize::from(had.is_some());
    let inserted = shared.registry.insert(app, user, most, |id| {
        let connection = connection.take().expect("sessions are made once");
        Session::new(id, half.dialect(), &admission, connection, shared.wheel.now(), now)
    });
    let Ok(session) = inserted else {
        let connection = connection.take().expect("no session was made");
        return Err(Box::new((connection, half.refuse(Code::SessionLimit))));
    };
    shared.wheel.schedule(session.id, shared.wheel.now() + Session::FIRST_LOOK);
    if let Some(had) = had {
        shared.end(&had, Code::Replaced, None);
    }
    let claims = session.claims(shared.incarnation, now);
    let offer = Offer {
        key: session_key::seal(&shared.keyring, &claims),
        expires_in: claims.expires_at.saturating_sub(now),
        continuity: Continuity::Fresh(fresh),
        heartbeat: limits::HEARTBEAT.as_secs(),
    };
    let (established, ack) = half.admit(admission, &offer, now);
    session.greet(&established, ack);
    Ok(session)
}

/// The live session this connection takes over, by its key.
fn earlier_session(shared: &Shared, half: &AwaitVerdict, admission: &Admission) -> Option<Arc<Session>> {
    let claims = match half.question().proof {
        chatcamp_auth::directory::Proof::SessionKey(claims) => claims,
        _ => half.resume()?.claims.as_ref()?,
    };
    if claims.incarnation != shared.incarnation {
        return None;
    }
    let session = shared.registry.get(SessionId::from_number(claims.session))?;
    (session.app == admission.app && session.user == admission.user.id).then_some(session)
}

/// What changed between the verdict and the session's entry into the registry was heard by nobody: look again.
async fn settle(shared: &Shared, session: &Session) {
    if let Err(error) = review::review(shared, session).await {
        tracing::warn!(%error, "the store failed while a session was opened");
        shared.end(session, Code::StoreUnavailable, Some(random::spread(RETRY)));
    }
    if shared.is_draining() {
        shared.end(session, Code::ShuttingDown, Some(random::spread(RETRY)));
    }
}

/// Says the last words and closes; a peer that does not agree in time is cut off, and one whose place is needed at once.
async fn take_leave(mut connection: Connection, ended: Ended, guest: &Guest) {
    let close = Close::new(ended.code.number(), ended.code.reason());
    let goodbye = async {
        if let Some(words) = ended.last_words {
            connection.send(Message::from(words)).await.ok()?;
        }
        Some(connection.close(close).await)
    };
    // It is polled once at least, which is as much as a peer gets whose place is needed.
    tokio::select! {
        biased;
        _ = tokio::time::timeout(limits::CLOSING, goodbye) => {}
        () = guest.must_leave() => {}
    }
}

/// Why a guest must leave.
fn late(shared: &Shared, dialect: Dialect) -> Ended {
    let code = if shared.is_draining() { Code::ShuttingDown } else { Code::HandshakeTimeout };
    server::farewell(dialect, code, Some(random::spread(RETRY)))
}
