//! Sessions without a server: plain data and a connection in memory.

use std::sync::Arc;

use chatcamp_auth::{
    authenticator::{Admission, SessionLimit},
    server::Dialect,
    session_key::ProvenBy,
    token::Stamp,
};
use chatcamp_protocol::{AppId, Profile, User, UserId};
use chatcamp_transport::memory;

use super::{Budget, Detached, Detachment, NotResumed, PushOutcome, ResumePoint, Session, SessionId};

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
            assert_eq!(away.session.push(&text.into(), &away.budget), Ok(PushOutcome::Queued));
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
