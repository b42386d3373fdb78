//! Sessions without a server: plain data and a connection in memory.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use chatcamp_auth::{
    authenticator::{Admission, SessionLimit},
    server::Dialect,
    session_key::ProvenBy,
    token::Stamp,
};
use chatcamp_protocol::{AppId, Profile, User, UserId};
use chatcamp_transport::{Carrier, Close, Closed, Connection, ConnectionInfo, Message, Sent, memory};
use parking_lot::Mutex;

use super::{
    Budget, Detached, Detachment, NotResumed, Overflow, PushOutcome, ResumePoint, Session, SessionId,
};

/// A session without a connection, with two queued messages.
struct Away {
    session: Arc<Session>,
    detached: Detached,
    budget: Budget,
}

impl Away {
    fn new(dialect: Dialect) -> Self {
        let (connection, _peer) = memory::pair();
        let id = SessionId { slot: 0, generation: 1 };
        let session = Session::new(id, dialect, &admission(), connection, 0, 0, 0);
        let away = Self { session, detached: Detached::default(), budget: Budget::new(10_000) };
        away.session.open("{}".to_owned());
        let (detachment, _) = away.session.detach(None, 0, &away.detached, &away.budget);
        assert_eq!(detachment, Detachment::Detached);
        for text in ["{}", r#"{"t":"n"}"#] {
            let mut messages: &[Message] = &[text.into()];
            assert_eq!(away.session.push(&mut messages, &away.budget), Ok(PushOutcome::Queued));
        }
        away
    }
}

fn admission() -> Admission {
    let user = User {
        id: UserId::new("alice").unwrap(),
        profile: Profile::default(),
        last_seen: 0,
        is_online: false,
        is_suspended: false,
        check_access_token: false,
        access_token: None,
    };
    Admission {
        app: AppId::new("app").unwrap(),
        user,
        stamp: Stamp([1; 16]),
        proven_by: ProvenBy::UserId,
        valid_until: None,
        sessions: SessionLimit::default(),
    }
}

/// A carrier that takes at most `room` messages at a time, and records how many it was offered and took.
#[derive(Debug)]
struct Recorder {
    room: usize,
    is_flushed: bool,
    record: Arc<Mutex<Record>>,
}

#[derive(Debug, Default)]
struct Record {
    offered: Vec<usize>,
    taken: Vec<String>,
}

impl Carrier for Recorder {
    fn poll_recv(&mut self, _: &mut Context<'_>) -> Poll<Result<Message, Closed>> {
        Poll::Pending
    }

    fn try_send(&mut self, batch: &[Message]) -> Sent {
        let taken = batch.len().min(self.room);
        let mut record = self.record.lock();
        record.offered.push(batch.len());
        record.taken.extend(batch[..taken].iter().map(|message| message.as_str().to_owned()));
        Sent { taken, flushed: self.is_flushed }
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        Poll::Pending
    }

    fn close(&mut self, _: Close) {}

    fn arrivals(&self) -> u32 {
        0
    }
}

/// Pushes five messages to a session with such a carrier. Returns what the carrier recorded, and the numbers of messages that the session
/// keeps and that the carrier has taken of them.
fn push_five(dialect: Dialect, room: usize, is_flushed: bool) -> (Record, usize, usize) {
    let record = Arc::new(Mutex::new(Record::default()));
    let carrier = Recorder { room, is_flushed, record: record.clone() };
    let connection = Connection::from_parts(Box::new(carrier), ConnectionInfo::new("recorder"));
    let id = SessionId { slot: 0, generation: 1 };
    let session = Session::new(id, dialect, &admission(), connection, 0, 0, 0);
    session.open("{}".to_owned());
    *record.lock() = Record::default();
    let five: Vec<Message> = (0..5).map(|n| format!("{{\"n\":{n}}}").into()).collect();
    let mut messages = &five[..];
    assert_eq!(session.push(&mut messages, &Budget::new(10_000)), Ok(PushOutcome::Delivered));
    assert!(messages.is_empty());
    let state = session.state.lock();
    let record = std::mem::take(&mut *record.lock());
    (record, state.outbox.len(), state.outbox.taken())
}

#[test]
fn messages_are_sent_in_one_write_and_in_order() {
    for (dialect, kept) in [(Dialect::Native, 5), (Dialect::Published, 0)] {
        let (record, len, taken) = push_five(dialect, 5, true);
        assert_eq!((record.offered, len, taken), (vec![5], kept, kept), "{dialect:?}");
        let expected = (0..5).map(|n| match dialect {
            Dialect::Native => format!("{{\"s\":{},\"n\":{n}}}", n + 1),
            Dialect::Published => format!("{{\"n\":{n}}}"),
        });
        assert_eq!(record.taken, expected.collect::<Vec<_>>(), "{dialect:?}");
    }
}

#[test]
fn a_carrier_that_has_sent_what_it_took_is_offered_the_rest() {
    let (record, len, taken) = push_five(Dialect::Native, 2, true);
    assert_eq!((record.offered, len, taken), (vec![5, 3, 1], 5, 5));
}

#[test]
fn messages_are_queued_if_the_carrier_has_ended() {
    for dialect in [Dialect::Native, Dialect::Published] {
        let (record, len, taken) = push_five(dialect, 0, true);
        assert_eq!((record.offered, len, taken), (vec![5], 5, 0), "{dialect:?}");
    }
}

#[test]
fn messages_that_the_carrier_does_not_take_are_queued() {
    for (dialect, kept, taken_of_them) in [(Dialect::Native, 5, 2), (Dialect::Published, 3, 0)] {
        let (record, len, taken) = push_five(dialect, 2, false);
        assert_eq!((record.offered, len, taken), (vec![5], kept, taken_of_them), "{dialect:?}");
    }
}

#[test]
fn messages_before_the_overflow_are_queued_and_keep_their_numbers() {
    let Away { session, budget, .. } = Away::new(Dialect::Native);
    let large = "x".repeat(budget.left() / 2);
    let three: Vec<Message> = (0..3).map(|n| format!("{{\"n\":{n},\"x\":\"{large}\"}}").into()).collect();
    let mut messages = &three[..];
    assert_eq!(session.push(&mut messages, &budget), Err(Overflow::Process));
    let queued = 3 - messages.len();
    assert_eq!(session.state.lock().sent.last(), 2 + queued as u64);
    assert_eq!(session.push(&mut messages, &Budget::new(100_000)), Ok(PushOutcome::Queued));
    let mut state = session.state.lock();
    let numbers = (1..).zip(state.outbox.waiting());
    for (number, message) in numbers {
        assert!(message.as_str().starts_with(&format!("{{\"s\":{number}")), "{message:?}");
    }
    assert_eq!(state.outbox.len(), 5);
}

#[test]
fn a_detached_session_gives_back_its_memory_when_it_ends() {
    for dialect in [Dialect::Native, Dialect::Published] {
        let Away { session, detached, budget } = Away::new(dialect);
        assert!(budget.left() < budget.total());
        assert!(session.end_detached(&detached, &budget));
        assert_eq!((budget.left(), detached.len()), (budget.total(), 0), "{dialect:?}");
    }
}

#[test]
fn a_key_of_the_other_dialect_does_not_resume_a_session() {
    for dialect in [Dialect::Native, Dialect::Published] {
        let away = Away::new(dialect);
        for numbers in [None, Some((0, 0))] {
            let resumed = away.session.check_resume(ResumePoint { serial: 1, numbers });
            let is_same = numbers.is_some() == (dialect == Dialect::Native);
            let expected = if is_same { None } else { Some(NotResumed::UnknownKey) };
            assert_eq!(resumed.err(), expected, "{dialect:?} {numbers:?}");
        }
    }
}
