//! The server's handshake: it turns a connection into a session, and nothing else does.

use std::{net::IpAddr, sync::Arc, time::Duration};

use chatcamp_auth::{
    Verdict,
    authenticator::{Admission, OriginHeader, Proof, Question},
    server::{self, AwaitVerdict, Dialect, Ended, Opening},
    session_key::{self, Claims, ProvenBy},
};
use chatcamp_protocol::{
    AccessToken, AppId, Code, UserId,
    handshake::{Continuity, FreshReason, Offer},
    limits,
};
use chatcamp_transport::Connection;

use super::{Admitter, pending::PendingGuard, rates::is_guess};
use crate::{
    activity,
    session::{AuthState, Driver, NotResumed, Resumable, ResumePoint, Session, SessionId},
    sessions::{Full, close_connection},
    shutdown::Task,
};

/// The wait of a client that the server cannot admit now; spread up to twice this.
const RETRY: Duration = Duration::from_secs(2);
/// Seconds until the first check of the deadlines of a session with a new connection.
const FIRST_CHECK: u32 = limits::HEARTBEAT.as_secs() as u32;

/// Runs the handshake of an open connection. Returns the driver of its session; `None` if the connection was refused, closed or
/// evicted.
///
/// ```text
///  published   open(query) ------------------------> question -> authenticator -> verdict -> ack
///  native      open(none) -> first message --------> question -> authenticator -> verdict -> ack
/// ```
///
/// `task` counts the connection until everything else of it is dropped: the server is idle when no task is left.
pub(crate) async fn run(
    task: Task,
    admitter: Arc<Admitter>,
    mut connection: Connection,
    guard: PendingGuard,
) -> Option<Driver> {
    let transport = connection.info().transport;
    let mut user = None;
    let (connection, ended) = match authenticate(&admitter, &mut connection, &guard, &mut user).await {
        Ok((half, admission)) => match attach(&admitter, connection, half, admission) {
            Ok((session, epoch)) => {
                drop(guard);
                // From here on, dropping the driver detaches the connection from its session.
                let driver = Driver::new(admitter.handler.clone(), session.clone(), epoch, task);
                _ = admitter.sessions.shutdown.unless_begun(recheck(&admitter, &session)).await;
                if admitter.sessions.shutdown.has_begun() {
                    admitter.sessions.end(
                        &session,
                        Code::ShuttingDown,
                        Some(admitter.sessions.spread(RETRY)),
                    );
                }
                return Some(driver);
            }
            Err(refused) => *refused,
        },
        Err(ended) => (connection, ended?),
    };
    activity::refused(user.as_ref(), transport, ended.code);
    // The close is polled at least once, also if the connection was evicted.
    tokio::select! {
        biased;
        () = close_connection(&*admitter.sessions.runtime, connection, ended) => {}
        () = guard.evicted() => {}
    }
    None
}

/// Runs the handshake up to the verdict. Names the user if activity is reported.
///
/// # Errors
/// How to end the connection; `None` if it is lost.
async fn authenticate(
    admitter: &Admitter,
    connection: &mut Connection,
    guard: &PendingGuard,
    user: &mut Option<(AppId, UserId)>,
) -> Result<(AwaitVerdict, Admission), Option<Ended>> {
    connection.limit_messages(limits::HANDSHAKE_MESSAGE);
    let now = admitter.sessions.clock.now();
    let peer = connection.info().peer.map(|peer| peer.ip());
    let opening = server::open(connection.info().query.as_deref(), &admitter.keyring, now);
    if let Err(wait) = admitter.rates.open(peer) {
        // A native client is told at once: its first message need not be waited for.
        let dialect =
            if matches!(opening, Ok(Opening::Native(_))) { Dialect::Native } else { Dialect::Published };
        return Err(Some(server::ended(dialect, Code::RateLimited, Some(wait))));
    }
    let half = match opening {
        Ok(Opening::Published(half)) => half,
        // The key is forged, or it has expired.
        Err(ended) if ended.code == Code::SessionKeyInvalid => {
            return Err(delay_failure(admitter, guard, Dialect::Published, peer, None, ended).await);
        }
        Err(ended) => return Err(Some(ended)),
        Ok(Opening::Native(half)) => {
            let request = tokio::select! {
                biased;
                request = connection.recv() => request.map_err(|_| None)?,
                _ = admitter.sessions.shutdown.unless_begun(guard.evicted()) => return Err(Some(eviction_end(admitter, Dialect::Native))),
            };
            half.on_message(request.as_str(), &admitter.keyring)?
        }
    };
    if activity::is_reported() {
        let Question { app_id, user_id, .. } = half.question(OriginHeader::Absent);
        *user = Some((app_id.clone(), user_id.clone()));
    }
    if admitter.sessions.shutdown.has_begun() {
        return Err(Some(half.defer(Code::ShuttingDown, admitter.sessions.spread(RETRY))));
    }
    let dialect = half.dialect();
    let verdict = tokio::select! {
        biased;
        verdict = get_verdict(admitter, &half, connection.info().origin.as_deref(), now) => verdict,
        _ = admitter.sessions.shutdown.unless_begun(guard.evicted()) => return Err(Some(eviction_end(admitter, dialect))),
    };
    match verdict {
        Verdict::Admit(admission) => {
            if let Err(wait) = admitter.rates.connect(&admission.app, &admission.user.id) {
                return Err(Some(half.defer(Code::RateLimited, wait)));
            }
            connection.limit_messages(limits::MESSAGE);
            Ok((half, *admission))
        }
        Verdict::Refuse(code) => {
            if !is_guess(code) {
                return Err(Some(half.refuse(code)));
            }
            let Question { app_id, user_id, .. } = half.question(connection.info().origin.as_deref().into());
            let (app, user) = (app_id.clone(), user_id.clone());
            let ended = half.refuse(code);
            Err(delay_failure(admitter, guard, dialect, peer, Some((&app, &user)), ended).await)
        }
        Verdict::Defer(code, after) => Err(Some(half.defer(code, after))),
    }
}

/// Delays the end of a connection whose credential is wrong, so that guessing is slow. Returns how to end it.
async fn delay_failure(
    admitter: &Admitter,
    guard: &PendingGuard,
    dialect: Dialect,
    peer: Option<IpAddr>,
    user: Option<(&AppId, &UserId)>,
    ended: Ended,
) -> Option<Ended> {
    let delayed = tokio::select! {
        biased;
        delayed = admitter.rates.delay_failure(peer, user) => delayed,
        () = guard.evicted() => return Some(eviction_end(admitter, dialect)),
    };
    Some(match delayed {
        Ok(()) => ended,
        Err(wait) => server::ended(dialect, Code::RateLimited, Some(wait)),
    })
}

/// Gets the verdict of the authenticator. If the proof is the key of a session that still exists, the token which that session
/// presented is checked instead.
///
/// Not every token can be computed again from the key alone, so a key is valid longer while its session exists.
async fn get_verdict(admitter: &Admitter, half: &AwaitVerdict, origin: Option<&str>, now: u64) -> Verdict {
    let question = half.question(origin.into());
    let Some(token) = held_token(admitter, question.proof) else {
        return admitter.authenticator.admit(question, now).await;
    };
    match admitter.authenticator.admit(Question { proof: Proof::Token(&token), ..question }, now).await {
        verdict @ Verdict::Refuse(Code::UserSuspended | Code::OriginRefused) => verdict,
        Verdict::Refuse(_) => Verdict::Refuse(Code::SessionKeyInvalid),
        verdict => verdict,
    }
}

/// Returns the token that the session of a session key presented; `None` if the session does not exist or presented no token.
fn held_token(admitter: &Admitter, proof: Proof<'_>) -> Option<AccessToken> {
    let Proof::SessionKey(claims) = proof else { return None };
    let is_held = claims.proven_by != ProvenBy::UserId && claims.incarnation == admitter.sessions.incarnation;
    let session =
        is_held.then(|| admitter.sessions.registry.get(SessionId::from_number(claims.session)))??;
    let auth = session.auth();
    // An older key belongs to an older credential.
    (auth.stamp == claims.stamp).then_some(auth.token)?
}

/// A connection without a session, and how to end it.
type Refused = Box<(Connection, Ended)>;

/// Resumes the client's session or starts one, and sends the acknowledgement as its first message.
///
/// Returns the session and the number of this connection in it.
fn attach(
    admitter: &Admitter,
    connection: Connection,
    half: AwaitVerdict,
    admission: Admission,
) -> Result<(Arc<Session>, u32), Refused> {
    let (session, hint) = match find_session(admitter, &half, &admission) {
        Found::Session(session, hint) => (session, hint),
        Found::None(reason) => return start_session(admitter, connection, half, admission, reason),
    };
    if let Some(wait) = admitter.sessions.flood_wait(&session) {
        return Err(Box::new((connection, half.defer(Code::RateLimited, wait))));
    }
    // Do not evict for a connection that will be refused.
    if !session.is_live() && session.check_resume(hint).is_ok() && make_room(admitter, &admission).is_err() {
        return Err(Box::new((connection, half.refuse(Code::SessionLimit))));
    }
    let reason = match session.check_resume(hint) {
        Ok(resumable) => {
            let epoch = resume(admitter, resumable, connection, half, admission);
            return Ok((session.clone(), epoch));
        }
        Err(NotResumed::Ended(code)) => {
            admitter.sessions.end_detached(&session);
            return Err(Box::new((connection, half.refuse(code))));
        }
        Err(NotResumed::UnknownKey) if half.dialect() == Dialect::Published => {
            return Err(Box::new((connection, half.refuse(Code::SessionKeyInvalid))));
        }
        Err(NotResumed::UnknownKey) => FreshReason::UnknownKey,
        Err(NotResumed::TooLate) => FreshReason::TooLate,
    };
    if reason == FreshReason::TooLate {
        admitter.sessions.supersede(&session);
    }
    start_session(admitter, connection, half, admission, reason)
}

/// Resumes a session over another connection. Closes the connection that it replaces.
fn resume(
    admitter: &Admitter,
    resumable: Resumable<'_>,
    connection: Connection,
    half: AwaitVerdict,
    admission: Admission,
) -> u32 {
    let now = admitter.sessions.clock.now();
    let second = admitter.sessions.wheel.now();
    let claims = resumable.claims(&AuthState::by(&admission), admitter.sessions.incarnation, now);
    let until_check = first_check(admission.valid_until, now);
    let offer = offer(admitter, &claims, resumable.continuity(), now);
    let transport = connection.info().transport;
    let (established, ack) = half.admit(admission, &offer, now);
    let session = resumable.session();
    let (epoch, before) = resumable.attach(
        &established,
        connection,
        ack,
        second,
        &admitter.sessions.detached,
        &admitter.sessions.queued,
    );
    activity::resumed(&session.app, &session.user, transport);
    admitter.sessions.schedule_check(session, second + until_check);
    if let Some(before) = before {
        admitter.sessions.close_in_background(before, server::ended(session.dialect, Code::Replaced, None));
    }
    epoch
}

/// Starts a session.
fn start_session(
    admitter: &Admitter,
    connection: Connection,
    half: AwaitVerdict,
    admission: Admission,
    fresh: FreshReason,
) -> Result<(Arc<Session>, u32), Refused> {
    let now = admitter.sessions.clock.now();
    let transport = connection.info().transport;
    let mut connection = Some(connection);
    let (app, user) = (&admission.app, &admission.user.id);
    let mut insert = || {
        admitter.sessions.registry.insert(app, user, most_live(admitter, &admission), |id| {
            let connection = connection.take().expect("the session is created at most once");
            let sessions = &admitter.sessions;
            let (second, millis) = (sessions.wheel.now(), sessions.millis());
            Session::new(id, half.dialect(), &admission, connection, second, millis, now)
        })
    };
    let mut inserted = insert();
    // Another connect may use the room that was made. Then its session is among those that the next attempt may evict.
    while inserted.is_err() && admission.sessions.evict_oldest && make_room(admitter, &admission).is_ok() {
        inserted = insert();
    }
    let Ok(session) = inserted else {
        let connection = connection.take().expect("no session was created");
        return Err(Box::new((connection, half.refuse(Code::SessionLimit))));
    };
    admitter
        .sessions
        .schedule_check(&session, admitter.sessions.wheel.now() + first_check(admission.valid_until, now));
    let offer =
        offer(admitter, &session.claims(admitter.sessions.incarnation, now), Continuity::Fresh(fresh), now);
    admitter.sessions.last_seen.note_start(&session, admission.user.last_seen, now);
    let (_, ack) = half.admit(admission, &offer, now);
    session.open(ack);
    let epoch = session.epoch();
    activity::connected(&session.app, &session.user, transport);
    Ok((session, epoch))
}

/// Makes room for one more live session of the user: evicts the oldest ones if the app's policy says so.
///
/// # Errors
/// [`Full`] if there is no room and no session may be evicted.
fn make_room(admitter: &Admitter, admission: &Admission) -> Result<(), Full> {
    // Oldest first.
    let mut live = admitter.sessions.registry.of_user(&admission.app, &admission.user.id);
    live.retain(|session| session.is_live());
    let most = most_live(admitter, admission);
    let too_many = (live.len() + 1).saturating_sub(most);
    // If no session is allowed, evicting does not help.
    if too_many > 0 && (most == 0 || !admission.sessions.evict_oldest) {
        return Err(Full);
    }
    for session in live.iter().take(too_many) {
        admitter.sessions.end(session, Code::SessionEvicted, None);
    }
    Ok(())
}

/// Returns the seconds until the first check of the deadlines of a session with a new connection: fewer if its credential expires
/// sooner.
fn first_check(valid_until: Option<u64>, now: u64) -> u32 {
    let ends_in = valid_until.map_or(u64::MAX, |end| end.saturating_sub(now));
    u32::try_from(ends_in).unwrap_or(u32::MAX).min(FIRST_CHECK)
}

fn most_live(admitter: &Admitter, admission: &Admission) -> usize {
    admission.sessions.most.min(admitter.max_sessions_per_user)
}

fn offer(admitter: &Admitter, claims: &Claims, continuity: Continuity, now: u64) -> Offer {
    Offer {
        key: session_key::seal(&admitter.keyring, claims),
        expires_in: claims.expires_at.saturating_sub(now),
        continuity,
        heartbeat: limits::HEARTBEAT.as_secs(),
    }
}

/// The session that a client wants to resume.
enum Found {
    /// The session exists.
    Session(Arc<Session>, ResumePoint),
    /// A new session is started, for this reason.
    None(FreshReason),
}

fn find_session(admitter: &Admitter, half: &AwaitVerdict, admission: &Admission) -> Found {
    let (claims, numbers) = match (half.proof(), half.resume()) {
        (Proof::SessionKey(claims), _) => (claims, None),
        (_, Some(hint)) => match &hint.claims {
            Some(claims) => (claims, Some((hint.seen, hint.sent))),
            None => return Found::None(FreshReason::UnknownKey),
        },
        (_, None) => return Found::None(FreshReason::New),
    };
    let is_of_user = claims.app == admission.app && claims.user == admission.user.id;
    // The dialect of a session does not change.
    if !is_of_user || claims.is_native != (half.dialect() == Dialect::Native) {
        return Found::None(FreshReason::UnknownKey);
    }
    if claims.incarnation != admitter.sessions.incarnation {
        return Found::None(FreshReason::TooLate);
    }
    let id = SessionId::from_number(claims.session);
    match admitter.sessions.registry.get(id) {
        Some(session) => Found::Session(session, ResumePoint { serial: claims.serial, numbers }),
        None if admitter.sessions.detached.was_evicted(id) => Found::None(FreshReason::Evicted),
        None => Found::None(FreshReason::TooLate),
    }
}

/// Checks the credential again: a change between the verdict and the registration of the session did not reach the session.
async fn recheck(admitter: &Admitter, session: &Session) {
    if let Err(error) = admitter.revalidation.check(session).await {
        tracing::warn!(%error, "the store failed while a session was opened");
        // Only the connection ends. The session waits, because its queued messages do not depend on the store.
        admitter.sessions.end_connection(
            session,
            Code::StoreUnavailable,
            Some(admitter.sessions.spread(RETRY)),
        );
    }
}

/// Returns how to end a connection that is evicted before its verdict.
fn eviction_end(admitter: &Admitter, dialect: Dialect) -> Ended {
    let code =
        if admitter.sessions.shutdown.has_begun() { Code::ShuttingDown } else { Code::HandshakeTimeout };
    server::ended(dialect, code, Some(admitter.sessions.spread(RETRY)))
}
