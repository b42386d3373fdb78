//! The server's handshake: the one place where a connection becomes a session.

use std::{sync::Arc, time::Duration};

use chatcamp_auth::{
    Verdict,
    authenticator::{Admission, Proof, Question},
    server::{self, AwaitVerdict, Dialect, Ended, Opening},
    session_key::{self, Claims, ProvenBy},
};
use chatcamp_protocol::{
    AccessToken, Code,
    handshake::{Continuity, FreshReason, Offer},
    limits,
};
use chatcamp_transport::Connection;

use super::{Admission as Entrance, pending::Guest};
use crate::{
    session::{Driver, Hint, NotResumed, Session, SessionId, TakeUp, Vouched},
    sessions::{Full, close_connection},
    shutdown::Task,
};

/// How long a client is asked to wait when this server cannot take it now; spread up to twice this.
const RETRY: Duration = Duration::from_secs(2);
/// Seconds after which a session with a new connection is first asked about its deadlines.
const FIRST_LOOK: u32 = limits::HEARTBEAT.as_secs() as u32;

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
    entrance: Arc<Entrance>,
    mut connection: Connection,
    guest: Guest,
) -> Option<Driver> {
    let (connection, ended) = match judge(&entrance, &mut connection, &guest).await {
        Ok((half, admission)) => match attach(&entrance, connection, half, admission) {
            Ok((session, epoch)) => {
                drop(guest);
                // From here on dropping the driver takes the connection from its session.
                let driver = Driver::new(entrance.handler.clone(), session.clone(), epoch, task);
                _ = entrance.sessions.shutdown.unless_begun(settle(&entrance, &session)).await;
                if entrance.sessions.shutdown.has_begun() {
                    entrance.sessions.end(
                        &session,
                        Code::ShuttingDown,
                        Some(entrance.sessions.spread(RETRY)),
                    );
                }
                return Some(driver);
            }
            Err(refused) => *refused,
        },
        Err(ended) => (connection, ended?),
    };
    // It is polled once at least, which is as much as a peer gets whose place is needed.
    tokio::select! {
        biased;
        () = close_connection(&*entrance.sessions.runtime, connection, ended) => {}
        () = guest.must_leave() => {}
    }
    None
}

/// From the opening to an admission; nothing as an error when the connection is gone.
async fn judge(
    entrance: &Entrance,
    connection: &mut Connection,
    guest: &Guest,
) -> Result<(AwaitVerdict, Admission), Option<Ended>> {
    connection.limit_messages(limits::HANDSHAKE_MESSAGE);
    let now = entrance.sessions.clock.now();
    let half = match server::open(connection.info().query.as_deref(), &entrance.keyring, now)? {
        Opening::Published(half) => half,
        Opening::Native(half) => {
            let request = tokio::select! {
                biased;
                request = connection.recv() => request.map_err(|_| None)?,
                _ = entrance.sessions.shutdown.unless_begun(guest.must_leave()) => return Err(Some(late(entrance, Dialect::Native))),
            };
            half.on_message(request.as_str(), &entrance.keyring)?
        }
    };
    if entrance.sessions.shutdown.has_begun() {
        return Err(Some(half.defer(Code::ShuttingDown, entrance.sessions.spread(RETRY))));
    }
    let dialect = half.dialect();
    let verdict = tokio::select! {
        biased;
        verdict = ask(entrance, &half, now) => verdict,
        _ = entrance.sessions.shutdown.unless_begun(guest.must_leave()) => return Err(Some(late(entrance, dialect))),
    };
    match verdict {
        Verdict::Admit(admission) => {
            connection.limit_messages(limits::MESSAGE);
            Ok((half, *admission))
        }
        Verdict::Refuse(code) => {
            tracing::debug!(code = code.as_str(), "refused a connection");
            Err(Some(half.refuse(code)))
        }
        Verdict::Defer(code, after) => Err(Some(half.defer(code, after))),
    }
}

/// Asks the directory; where a session key stands for a session that presented a token, about that token.
///
/// Not every token can be computed again from the key alone, so a key is good for longer where its session is still there.
async fn ask(entrance: &Entrance, half: &AwaitVerdict, now: u64) -> Verdict {
    let question = half.question();
    let Some(token) = held_token(entrance, question.proof) else {
        return entrance.authenticator.admit(question, now).await;
    };
    match entrance.authenticator.admit(Question { proof: Proof::Token(&token), ..question }, now).await {
        Verdict::Refuse(code) if code != Code::UserSuspended => Verdict::Refuse(Code::SessionKeyInvalid),
        verdict => verdict,
    }
}

fn held_token(entrance: &Entrance, proof: Proof<'_>) -> Option<AccessToken> {
    let Proof::SessionKey(claims) = proof else { return None };
    let is_held = claims.proven_by != ProvenBy::UserId && claims.incarnation == entrance.sessions.incarnation;
    let session =
        is_held.then(|| entrance.sessions.registry.get(SessionId::from_number(claims.session)))??;
    let vouched = session.vouched();
    // An older key was for an older credential.
    (vouched.stamp == claims.stamp).then_some(vouched.token)?
}

/// A connection that has no session, and what to say on it.
type Refused = Box<(Connection, Ended)>;

/// Goes on with the client's session, or makes one; the acknowledgement is the first thing said.
///
/// Answers which of the session's connections this is.
fn attach(
    entrance: &Entrance,
    connection: Connection,
    half: AwaitVerdict,
    admission: Admission,
) -> Result<(Arc<Session>, u32), Refused> {
    let (session, hint) = match known(entrance, &half, &admission) {
        Known::Session(session, hint) => (session, hint),
        Known::Nothing(why) => return begin(entrance, connection, half, admission, why),
    };
    // Nobody gives way to somebody who is refused.
    if !session.is_live() && session.take_up(hint).is_ok() && make_place(entrance, &admission).is_err() {
        return Err(Box::new((connection, half.refuse(Code::SessionLimit))));
    }
    let why = match session.take_up(hint) {
        Ok(taken) => {
            let epoch = go_on(entrance, taken, connection, half, admission);
            return Ok((session.clone(), epoch));
        }
        Err(NotResumed::Ended(code)) => {
            entrance.sessions.give_up(&session);
            return Err(Box::new((connection, half.refuse(code))));
        }
        Err(NotResumed::UnknownKey) if session.dialect == Dialect::Published => {
            return Err(Box::new((connection, half.refuse(Code::SessionKeyInvalid))));
        }
        Err(NotResumed::UnknownKey) => FreshReason::UnknownKey,
        Err(NotResumed::TooLate) => FreshReason::TooLate,
    };
    if why == FreshReason::TooLate {
        entrance.sessions.supersede(&session);
    }
    begin(entrance, connection, half, admission, why)
}

/// Goes on with a session over another connection; the one before is told.
fn go_on(
    entrance: &Entrance,
    taken: TakeUp<'_>,
    connection: Connection,
    half: AwaitVerdict,
    admission: Admission,
) -> u32 {
    let (now, second) = (entrance.sessions.clock.now(), entrance.sessions.wheel.now());
    let claims = taken.claims(&Vouched::by(&admission), entrance.sessions.incarnation, now);
    let look = first_look(admission.valid_until, now);
    let offer = offer(entrance, &claims, taken.continuity(), now);
    let (established, ack) = half.admit(admission, &offer, now);
    let session = taken.session();
    let (epoch, before) = taken.attach(
        &established,
        connection,
        ack,
        second,
        &entrance.sessions.detached,
        &entrance.sessions.queued,
    );
    entrance.sessions.watch(session, second + look);
    if let Some(before) = before {
        entrance.sessions.see_off(before, server::ended(session.dialect, Code::Replaced, None));
    }
    epoch
}

/// Makes a session.
fn begin(
    entrance: &Entrance,
    connection: Connection,
    half: AwaitVerdict,
    admission: Admission,
    fresh: FreshReason,
) -> Result<(Arc<Session>, u32), Refused> {
    let now = entrance.sessions.clock.now();
    let mut connection = Some(connection);
    let (app, user) = (&admission.app, &admission.user.id);
    let mut insert = || {
        entrance.sessions.registry.insert(app, user, most_live(entrance, &admission), |id| {
            let connection = connection.take().expect("sessions are made once");
            Session::new(id, half.dialect(), &admission, connection, entrance.sessions.wheel.now(), now)
        })
    };
    let mut inserted = insert();
    // Whoever takes the place that was made is the oldest then.
    while inserted.is_err() && admission.sessions.evict_oldest && make_place(entrance, &admission).is_ok() {
        inserted = insert();
    }
    let Ok(session) = inserted else {
        let connection = connection.take().expect("no session was made");
        return Err(Box::new((connection, half.refuse(Code::SessionLimit))));
    };
    entrance.sessions.watch(&session, entrance.sessions.wheel.now() + first_look(admission.valid_until, now));
    let offer =
        offer(entrance, &session.claims(entrance.sessions.incarnation, now), Continuity::Fresh(fresh), now);
    entrance.sessions.last_seen.arrived(&session, admission.user.last_seen, now);
    let (_, ack) = half.admit(admission, &offer, now);
    session.greet(ack);
    let epoch = session.epoch();
    Ok((session, epoch))
}

/// Sees to it that the user may have one more live session.
fn make_place(entrance: &Entrance, admission: &Admission) -> Result<(), Full> {
    // In the order they joined.
    let mut live = entrance.sessions.registry.of_user(&admission.app, &admission.user.id);
    live.retain(|session| session.is_live());
    let too_many = (live.len() + 1).saturating_sub(most_live(entrance, admission));
    if too_many > 0 && !admission.sessions.evict_oldest {
        return Err(Full);
    }
    for session in live.iter().take(too_many) {
        entrance.sessions.end(session, Code::SessionEvicted, None);
    }
    Ok(())
}

/// In how many seconds a session with a new connection is first asked about its deadlines: sooner where its credential ends.
fn first_look(valid_until: Option<u64>, now: u64) -> u32 {
    let ends_in = valid_until.map_or(u64::MAX, |end| end.saturating_sub(now));
    u32::try_from(ends_in).unwrap_or(u32::MAX).min(FIRST_LOOK)
}

fn most_live(entrance: &Entrance, admission: &Admission) -> usize {
    admission.sessions.most.min(entrance.max_sessions_per_user)
}

fn offer(entrance: &Entrance, claims: &Claims, continuity: Continuity, now: u64) -> Offer {
    Offer {
        key: session_key::seal(&entrance.keyring, claims),
        expires_in: claims.expires_at.saturating_sub(now),
        continuity,
        heartbeat: limits::HEARTBEAT.as_secs(),
    }
}

/// What is known of the session that a client would go on with.
enum Known {
    Session(Arc<Session>, Hint),
    Nothing(FreshReason),
}

fn known(entrance: &Entrance, half: &AwaitVerdict, admission: &Admission) -> Known {
    let (claims, numbers) = match (half.question().proof, half.resume()) {
        (Proof::SessionKey(claims), _) => (claims, None),
        (_, Some(hint)) => match &hint.claims {
            Some(claims) => (claims, Some((hint.seen, hint.sent))),
            None => return Known::Nothing(FreshReason::UnknownKey),
        },
        (_, None) => return Known::Nothing(FreshReason::New),
    };
    let is_theirs = claims.app == admission.app && claims.user == admission.user.id;
    // A session keeps to its dialect.
    if !is_theirs || claims.is_native != (half.dialect() == Dialect::Native) {
        return Known::Nothing(FreshReason::UnknownKey);
    }
    if claims.incarnation != entrance.sessions.incarnation {
        return Known::Nothing(FreshReason::TooLate);
    }
    let id = SessionId::from_number(claims.session);
    match entrance.sessions.registry.get(id) {
        Some(session) => Known::Session(session, Hint { serial: claims.serial, numbers }),
        None if entrance.sessions.detached.was_evicted(id) => Known::Nothing(FreshReason::Evicted),
        None => Known::Nothing(FreshReason::TooLate),
    }
}

/// What changed between the verdict and the session's entry into the registry was heard by nobody: look again.
async fn settle(entrance: &Entrance, session: &Session) {
    if let Err(error) = entrance.revalidation.check(session).await {
        tracing::warn!(%error, "the store failed while a session was opened");
        // The connection goes, its session waits: what is queued on it is not the store's.
        entrance.sessions.dismiss(session, Code::StoreUnavailable, Some(entrance.sessions.spread(RETRY)));
    }
}

/// Why a guest must leave.
fn late(entrance: &Entrance, dialect: Dialect) -> Ended {
    let code =
        if entrance.sessions.shutdown.has_begun() { Code::ShuttingDown } else { Code::HandshakeTimeout };
    server::ended(dialect, code, Some(entrance.sessions.spread(RETRY)))
}
