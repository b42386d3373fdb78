use std::time::Duration;

use chatcamp_protocol::{handshake::FreshReason, request::Empty};
use tokio::sync::oneshot::Receiver;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn offer(continuity: Continuity) -> Offer {
    Offer { key: SessionKey::from("k"), expires_in: 60, continuity, heartbeat: 25 }
}

fn fresh() -> Offer {
    offer(Continuity::Fresh(FreshReason::New))
}

fn ask(session: &mut Session, t: &str, deadline: Instant) -> Receiver<Answer> {
    let (reply, answer) = oneshot::channel();
    let request = Request::new(t, &Empty {}).unwrap();
    session.accept(Waiting { request, deadline, reply });
    answer
}

fn later() -> Instant {
    Instant::now() + 60 * SECOND
}

/// Sends up to `most` messages; returns their texts.
fn send(session: &mut Session, most: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < most {
        let Some(outgoing) = session.outgoing() else { break };
        texts.push(outgoing.message.as_str().to_owned());
        session.taken(outgoing);
    }
    texts
}

fn ack(session: &mut Session, to: u64, body: &str) {
    let text = format!(r#"{{"t":"x.ack","to":{to},"d":{body}}}"#);
    session.answered(to, &Envelope::parse(&text).unwrap());
}

fn outcome(mut answer: Receiver<Answer>) -> String {
    match answer.try_recv() {
        Ok(Ok(body)) => body.as_str().to_owned(),
        Ok(Err(error)) => format!("{error:?}"),
        Err(_) => "none".to_owned(),
    }
}

#[test]
fn requests_are_numbered_from_one_when_a_carrier_takes_them() {
    let mut session = Session::default();
    session.begin(&fresh());
    let _answers = ["a", "b"].map(|t| ask(&mut session, t, later()));
    let untaken = session.outgoing().unwrap().message;
    assert_eq!(untaken.as_str(), r#"{"t":"a","d":{},"r":1}"#);
    assert_eq!(send(&mut session, 9), [untaken.as_str(), r#"{"t":"b","d":{},"r":2}"#]);
    session.ping();
    session.arrive(Some(1), 1);
    assert_eq!(send(&mut session, 9), [r#"{"t":"ping","d":{"seen":1},"r":3}"#]);
    assert_eq!(session.resume().map(|resume| (resume.seen, resume.sent)), Some((1, 3)));
}

#[test]
fn an_answer_is_what_the_acknowledgement_says() {
    for (body, expected) in [
        (r#"{"ok":true,"x":1}"#, r#"{"ok":true,"x":1}"#),
        (
            r#"{"ok":false,"error":{"code":"C","message":"m"}}"#,
            r#"Rejected { code: "C", known: None, message: "m", retry_after: None }"#,
        ),
        (
            r#"{"ok":false,"error":{"code":"OWN_USER"}}"#,
            r#"Rejected { code: "OWN_USER", known: Some(OwnUser), message: "", retry_after: None }"#,
        ),
        (
            r#"{"ok":false,"error":{"code":"RATE_LIMITED","retry_after_ms":50}}"#,
            r#"Rejected { code: "RATE_LIMITED", known: Some(RateLimited), message: "", retry_after: Some(50ms) }"#,
        ),
        (r#"{"ok":false}"#, "InvalidAnswer"),
        ("[]", "InvalidAnswer"),
    ] {
        let mut session = Session::default();
        let answer = ask(&mut session, "a", later());
        send(&mut session, 1);
        ack(&mut session, 7, r#"{"ok":true}"#);
        ack(&mut session, 1, body);
        ack(&mut session, 1, r#"{"ok":true}"#);
        assert_eq!(outcome(answer), expected);
        assert_eq!((session.sent.len(), session.sent_bytes), (0, 0));
    }
}

#[test]
fn a_fresh_session_fails_sent_requests_and_keeps_waiting_ones() {
    let mut session = Session::default();
    session.begin(&fresh());
    let [sent, unsent] = ["a", "b"].map(|t| ask(&mut session, t, later()));
    send(&mut session, 1);
    session.begin(&offer(Continuity::Fresh(FreshReason::TooLate)));
    assert_eq!(outcome(sent), "Unanswered { may_have_run: true }");
    assert_eq!(send(&mut session, 9), [r#"{"t":"b","d":{},"r":1}"#]);
    session.end();
    assert_eq!(outcome(unsent), "Unanswered { may_have_run: true }");
}

#[test]
fn a_resumed_session_resends_only_what_the_server_has_not_received() {
    let mut session = Session::default();
    session.begin(&fresh());
    let [a, b, c] = ["a", "b", "c"].map(|t| ask(&mut session, t, later()));
    send(&mut session, 2);
    session.begin(&offer(Continuity::Resumed { replayed: 1, received: 1 }));
    assert_eq!(send(&mut session, 9), [r#"{"t":"b","d":{},"r":2}"#, r#"{"t":"c","d":{},"r":3}"#]);
    for to in 1..=3 {
        ack(&mut session, to, r#"{"ok":true}"#);
    }
    assert_eq!([a, b, c].map(outcome), [r#"{"ok":true}"#; 3]);
}

#[test]
fn requests_time_out_and_report_whether_they_may_have_run() {
    let (mut session, start) = (Session::default(), Instant::now());
    let [first, second] = [1, 2].map(|n| ask(&mut session, "a", start + n * SECOND));
    let unsent = ask(&mut session, "b", start + SECOND);
    send(&mut session, 2);
    assert_eq!(session.alarm(), Some(start + SECOND));
    session.expire(start + SECOND);
    assert_eq!(outcome(first), "TimedOut { may_have_run: true }");
    assert_eq!(outcome(unsent), "TimedOut { may_have_run: false }");
    assert_eq!(session.alarm(), Some(start + 2 * SECOND));
    ack(&mut session, 2, r#"{"ok":true}"#);
    assert_eq!(outcome(second), r#"{"ok":true}"#);
}

#[test]
fn a_waiting_request_is_withdrawn_if_its_caller_stops_waiting() {
    let mut session = Session::default();
    drop(ask(&mut session, "a", later()));
    let _b = ask(&mut session, "b", later());
    assert_eq!(send(&mut session, 9), [r#"{"t":"b","d":{},"r":1}"#]);
}

#[test]
fn waiting_requests_are_bounded_and_withdrawn_ones_free_their_place() {
    let mut session = Session::default();
    let mut answers: Vec<_> = (0..WAITING).map(|_| ask(&mut session, "a", later())).collect();
    assert_eq!(outcome(ask(&mut session, "a", later())), "TooManyWaiting");
    answers.pop();
    assert_eq!(outcome(ask(&mut session, "a", later())), "none");
    session.end();
    for answer in answers {
        assert_eq!(outcome(answer), "Unanswered { may_have_run: false }");
    }
}

#[test]
fn unanswered_requests_are_bounded_and_the_next_ones_wait() {
    let mut session = Session::default();
    for _ in 0..UNANSWERED / WAITING {
        (0..WAITING).for_each(|_| std::mem::forget(ask(&mut session, "a", later())));
        assert_eq!(send(&mut session, WAITING).len(), WAITING);
    }
    let _next = ask(&mut session, "next", later());
    assert!(session.outgoing().is_none());
    session.ping();
    assert_eq!(send(&mut session, 9).len(), 1, "a ping does not count against the limit");
    ack(&mut session, 1, r#"{"ok":true}"#);
    ack(&mut session, 2, r#"{"ok":true}"#);
    assert_eq!(send(&mut session, 9).len(), 1);
}
