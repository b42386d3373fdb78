//! Ring 1: what the hub answers, with time passed in.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use chatcamp_transport::{
    Carrier, Close, Closed, ConnectionInfo, MESSAGE_LIMIT, Message,
    long_poll::{Answer, Held, Hub, Limits, Method, Opens, Reply, Request},
};

const PUBLISHED: &str = "/chat/2.0?app_id=a&user_id=u";
const NATIVE: &str = "/chat/2.0";
const ACK: &str = r#"{"t":"users.auth.ack","d":{"ok":true}}"#;

/// A hub and its time.
struct Bench {
    hub: Hub,
    began: Instant,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let bench = Self { hub: Hub::new(limits), began: Instant::now() };
        bench.at(0.0);
        bench
    }

    /// Sets the time, in seconds.
    fn at(&self, seconds: f64) {
        self.hub.expire(self.began + Duration::from_secs_f64(seconds));
    }

    fn request(&self, method: Method, id: &str, target: &str, body: impl Into<Bytes>) -> Reply {
        let opens = if target.contains('?') { Opens::Get } else { Opens::Post };
        self.hub.request(Request {
            method,
            id,
            target,
            opens,
            body: body.into(),
            info: ConnectionInfo::default(),
        })
    }

    fn get(&self, id: &str, target: &str) -> Reply {
        self.request(Method::Get, id, target, "")
    }

    fn post(&self, id: &str, target: &str, body: impl Into<Bytes>) -> Reply {
        self.request(Method::Post, id, target, body)
    }

    /// A published connection with its first GET held.
    fn published(&self, id: &str) -> (Box<dyn Carrier>, Held) {
        opened(self.get(id, PUBLISHED))
    }

    /// A native connection with its opening answered, so that it waits for a GET.
    fn native(&self, id: &str) -> Box<dyn Carrier> {
        let (mut carrier, mut held) = opened(self.post(id, NATIVE, "[]"));
        assert!(recv(&mut carrier).is_pending());
        assert_eq!(ready(&mut held), Some(ok("[]")));
        carrier
    }
}

impl Default for Bench {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

fn opened(reply: Reply) -> (Box<dyn Carrier>, Held) {
    match reply {
        Reply::Opened(connection, held) => (connection.into_parts().0, held),
        other => panic!("not opened: {other:?}"),
    }
}

fn held(reply: Reply) -> Held {
    match reply {
        Reply::Held(held) => held,
        other => panic!("not held: {other:?}"),
    }
}

fn now(reply: Reply) -> Answer {
    match reply {
        Reply::Now(answer) => answer,
        other => panic!("not answered: {other:?}"),
    }
}

fn ready(held: &mut Held) -> Option<Answer> {
    match Pin::new(held).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

fn recv(carrier: &mut Box<dyn Carrier>) -> Poll<Result<Message, Closed>> {
    carrier.poll_recv(&mut Context::from_waker(Waker::noop()))
}

fn received(carrier: &mut Box<dyn Carrier>) -> Vec<String> {
    let mut texts = Vec::new();
    while let Poll::Ready(Ok(message)) = recv(carrier) {
        texts.push(message.as_str().to_owned());
    }
    texts
}

fn send(carrier: &mut Box<dyn Carrier>, text: &str) {
    assert_eq!(carrier.try_send(&[Message::from(text)]).taken, 1);
}

fn answer(status: u16, body: impl Into<String>) -> Answer {
    Answer { status, body: Bytes::from(body.into()) }
}

fn ok(body: impl Into<String>) -> Answer {
    answer(200, body)
}

fn texts(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200);
    serde_json::from_slice(&answer.body).unwrap()
}

/// An error with a JSON body that is not a close.
fn assert_error(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status);
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["ok"], false);
}

#[test]
fn ids_are_1_to_128_visible_ascii_characters() {
    let bench = Bench::default();
    let long = "x".repeat(129);
    for id in ["", " ", "a b", "a\n", "é", "\u{7f}", &long] {
        assert_error(&now(bench.get(id, PUBLISHED)), 400);
        assert_error(&now(bench.post(id, NATIVE, "[]")), 400);
    }
    assert!(bench.hub.is_empty());
    for id in ["x", "!~", &long[1..]] {
        drop(opened(bench.get(id, PUBLISHED)));
    }
}

#[test]
fn an_unknown_id_opens_a_connection_only_by_the_opening_request() {
    let bench = Bench::default();
    let large = serde_json::to_string(&["x".repeat(MESSAGE_LIMIT + 1)]).unwrap();
    for (method, target, body, status) in [
        (Method::Post, PUBLISHED, r#"{"t":"ping"}"#, 410),
        (Method::Get, NATIVE, "", 410),
        (Method::Post, NATIVE, r#"{"close":{"code":1000,"reason":""}}"#, 410),
        (Method::Post, NATIVE, "", 400),
        (Method::Post, NATIVE, r#"{"t":"ping"}"#, 400),
        (Method::Post, NATIVE, &large, 413),
    ] {
        assert_error(&now(bench.request(method, "id", target, body.to_owned())), status);
        assert!(bench.hub.is_empty(), "{method:?} {target} made state");
    }
    let (mut carrier, _held) = opened(bench.post("native", NATIVE, r#"["one","two"]"#));
    assert_eq!(received(&mut carrier), ["one", "two"]);
    let _opened = opened(bench.get("published", PUBLISHED));
    assert_eq!(bench.hub.len(), 2);
}

#[test]
fn the_connection_info_is_that_of_the_opening_request() {
    let hub = Hub::new(Limits::default());
    let mut info = ConnectionInfo::default();
    info.query = Some("app_id=a".into());
    info.origin = Some("https://a".into());
    let (id, target, body) = ("id", "/?app_id=a", Bytes::new());
    let request = Request { method: Method::Get, id, target, opens: Opens::Get, body, info: info.clone() };
    let Reply::Opened(connection, _held) = hub.request(request) else { panic!("not opened") };
    info.transport = "long-poll";
    assert_eq!(*connection.info(), info);
}

#[test]
fn the_first_get_is_answered_by_the_first_message() {
    let bench = Bench::default();
    let (mut carrier, mut held) = bench.published("id");
    assert!(recv(&mut carrier).is_pending());
    assert_eq!(ready(&mut held), None, "a driver that waits does not release a GET");
    send(&mut carrier, ACK);
    assert_eq!(ready(&mut held), Some(ok(r#"["{\"t\":\"users.auth.ack\",\"d\":{\"ok\":true}}"]"#)));
}

#[test]
fn the_opening_post_is_answered_by_the_first_message_or_when_more_is_wanted() {
    let bench = Bench::default();
    let (mut carrier, mut held) = opened(bench.post("answered", NATIVE, r#"["auth"]"#));
    assert_eq!(recv(&mut carrier), Poll::Ready(Ok("auth".into())));
    assert_eq!(ready(&mut held), None);
    send(&mut carrier, "ack");
    assert!(recv(&mut carrier).is_pending());
    assert_eq!(ready(&mut held), Some(ok(r#"["ack"]"#)));

    let (mut carrier, mut held) = opened(bench.post("more", NATIVE, r#"["auth"]"#));
    assert_eq!(received(&mut carrier), ["auth"]);
    assert_eq!(ready(&mut held), Some(ok("[]")));

    let (_carrier, mut held) = opened(bench.post("slow", NATIVE, r#"["auth"]"#));
    bench.at(1.9);
    assert_eq!(ready(&mut held), None);
    bench.at(2.0);
    assert_eq!(ready(&mut held), Some(ok("[]")));
}

#[test]
fn everything_queued_is_in_one_array_of_strings() {
    let bench = Bench::default();
    let mut carrier = bench.native("id");
    let sent =
        ["", "a", "\"\\/\u{8}\u{c}\n\r\t", "\0\u{1f}\u{7f}", "é漢🦀\u{2028}\u{10ffff}", r#"{"t":"\"x\""}"#];
    let batch: Vec<_> = sent.iter().map(|text| Message::from(*text)).collect();
    assert_eq!(carrier.try_send(&batch).taken, batch.len());
    assert_eq!(texts(&now(bench.get("id", NATIVE))), sent);
    assert_eq!(ready(&mut held(bench.get("id", NATIVE))), None, "nothing comes twice");
}

#[test]
fn an_answer_is_bounded_and_the_rest_is_in_the_next() {
    let bench = Bench::default();
    let mut carrier = bench.native("id");
    // Six bytes for each character.
    let batch: Vec<_> = (0..5).map(|_| Message::from("\u{1}".repeat(16_000))).collect();
    assert_eq!(carrier.try_send(&batch).taken, batch.len());
    let counts = [(); 3].map(|()| {
        let answer = now(bench.get("id", NATIVE));
        assert!(answer.body.len() <= 256 * 1024);
        texts(&answer).len()
    });
    assert_eq!(counts, [2, 2, 1]);

    send(&mut carrier, &"\u{1}".repeat(MESSAGE_LIMIT));
    let answer = now(bench.get("id", NATIVE));
    assert_eq!(texts(&answer).len(), 1, "a message always fits");
    assert!(answer.body.len() < 512 * 1024, "and clients read it");
}

#[test]
fn what_is_taken_is_bounded_and_room_wakes_the_driver() {
    let bench = Bench::default();
    let mut carrier = bench.native("id");
    let batch = vec![Message::from("x".repeat(MESSAGE_LIMIT / 4)); 100];
    let sent = carrier.try_send(&batch);
    assert_eq!((sent.taken, sent.flushed), (4, false));
    let flag = std::sync::Arc::new(Woken::default());
    let waker = Waker::from(flag.clone());
    assert!(carrier.poll_flush(&mut Context::from_waker(&waker)).is_pending());
    assert!(!flag.is_set());
    assert_eq!(texts(&now(bench.get("id", NATIVE))).len(), 4);
    assert!(flag.is_set());
    assert!(carrier.poll_flush(&mut Context::from_waker(&waker)).is_ready());
}

#[derive(Default)]
struct Woken(std::sync::atomic::AtomicBool);

impl Woken {
    fn is_set(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl std::task::Wake for Woken {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

#[test]
fn another_target_is_refused_and_changes_nothing() {
    let bench = Bench::default();
    let (mut carrier, mut first) = bench.published("id");
    let arrivals = carrier.arrivals();
    for target in [NATIVE, "/chat/2.0?app_id=a&user_id=v", "/chat/2.0?app_id=a&user_id=u&", ""] {
        assert_error(&now(bench.get("id", target)), 403);
        assert_error(&now(bench.post("id", target, r#"{"t":"ping"}"#)), 403);
        assert_error(&now(bench.post("id", target, r#"{"close":{"code":1000,"reason":""}}"#)), 403);
    }
    assert_eq!(carrier.arrivals(), arrivals);
    assert!(recv(&mut carrier).is_pending());
    assert_eq!(ready(&mut first), None);
    send(&mut carrier, "mine");
    assert_eq!(ready(&mut first), Some(ok(r#"["mine"]"#)));
    assert_eq!(bench.hub.len(), 1);
}

#[test]
fn a_newer_get_replaces_the_held_one_and_gets_the_messages() {
    let bench = Bench::default();
    let (mut carrier, mut first) = bench.published("id");
    assert_eq!(ready(&mut first), None);
    let mut second = held(bench.get("id", PUBLISHED));
    send(&mut carrier, "event");
    assert_eq!(ready(&mut first), Some(ok("[]")));
    assert_eq!(ready(&mut second), Some(ok(r#"["event"]"#)));
    drop(first);

    let mut third = held(bench.get("id", PUBLISHED));
    drop(second);
    send(&mut carrier, "later");
    assert_eq!(ready(&mut third), Some(ok(r#"["later"]"#)), "a late drop of an older one changes nothing");
}

#[test]
fn messages_wait_for_the_next_get() {
    let bench = Bench::default();
    let (mut carrier, held_get) = bench.published("id");
    send(&mut carrier, "1");
    drop(held_get);
    send(&mut carrier, "2");
    assert_eq!(now(bench.get("id", PUBLISHED)), ok(r#"["1","2"]"#));
}

#[test]
fn published_bodies_are_one_object_or_refused_without_an_end() {
    let bench = Bench::default();
    let (mut carrier, _held) = bench.published("id");
    let long = format!(r#"{{"d":"{}"}}"#, "x".repeat(MESSAGE_LIMIT));
    let fits = &format!(r#"{{"d":"{}"}}"#, "x".repeat(MESSAGE_LIMIT - 8));
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let deep = format!(r#"{{"d":{deep}}}"#);
    for (body, status) in [
        (&b""[..], 400),
        (b" ", 400),
        (b"null", 400),
        (b"false", 400),
        (b"0", 400),
        (b"\"\"", 400),
        (b"[]", 400),
        (br#"["{}"]"#, 400),
        (b"{", 400),
        (b"{}{}", 400),
        (b"{\"a\":\"\xff\"}", 400),
        (b"app_id=a", 400),
        (long.as_bytes(), 413),
    ] {
        assert_error(&now(bench.post("id", PUBLISHED, body.to_vec())), status);
    }
    for body in [r#"{"t":"ping","r":1}"#, "{}", r#"{"close":{"code":1000,"reason":""}}"#, fits, &deep] {
        assert_eq!(now(bench.post("id", PUBLISHED, body.to_owned())), ok("[]"));
        assert_eq!(received(&mut carrier), [body]);
    }
    assert!(recv(&mut carrier).is_pending(), "it goes on");
}

#[test]
fn native_bodies_are_arrays_of_strings() {
    let bench = Bench::default();
    let mut carrier = bench.native("id");
    for body in [
        "",
        "null",
        "{}",
        r#"{"t":"ping"}"#,
        "[1]",
        "[[]]",
        "[\"a\"",
        r#"["\ud800"]"#,
        r#"{"close":{}}"#,
        r#"["a"]x"#,
    ] {
        assert_error(&now(bench.post("id", NATIVE, body)), 400);
    }
    assert_error(&now(bench.post("id", NATIVE, serde_json::to_string(&vec![""; 4097]).unwrap())), 400);
    assert!(recv(&mut carrier).is_pending(), "it goes on");
    assert_eq!(now(bench.post("id", NATIVE, "[]")), ok("[]"));
    assert_eq!(now(bench.post("id", NATIVE, r#" [ "a\n\u00e9" , "" ] "#)), ok("[]"));
    assert_eq!(received(&mut carrier), ["a\né", ""]);
}

#[test]
fn a_native_message_beyond_the_limit_is_a_violation() {
    let bench = Bench::default();
    let mut carrier = bench.native("id");
    let mut get = held(bench.get("id", NATIVE));
    now(bench.post("id", NATIVE, r#"["before"]"#));
    let body = serde_json::to_string(&["x".repeat(MESSAGE_LIMIT + 1)]).unwrap();
    let told = answer(403, r#"{"close":{"code":1009,"reason":"message too large"}}"#);
    assert_eq!(now(bench.post("id", NATIVE, body)), told);
    assert_eq!(ready(&mut get), Some(told));
    assert_eq!(recv(&mut carrier), Poll::Ready(Ok("before".into())));
    assert!(matches!(recv(&mut carrier), Poll::Ready(Err(Closed::Violated(why))) if why.code == 1009));
}

#[test]
fn a_full_inbox_holds_one_post_and_refuses_the_next() {
    let bench = Bench::default();
    for (id, target, fill, one) in [
        ("native", NATIVE, serde_json::to_string(&vec!["x"; 256]).unwrap(), r#"["y"]"#),
        ("published", PUBLISHED, format!(r#"{{"d":"{}"}}"#, "x".repeat(60_000)), r#"{"y":1}"#),
    ] {
        let mut carrier = if target == NATIVE { bench.native(id) } else { bench.published(id).0 };
        let mut posts = 0;
        let mut waiting = loop {
            posts += 1;
            match bench.post(id, target, fill.clone()) {
                Reply::Now(answer) => assert_eq!(answer, ok("[]")),
                reply => break held(reply),
            }
            assert!(posts < 10, "what is not read is bounded");
        };
        assert_eq!(ready(&mut waiting), None);
        assert_error(&now(bench.post(id, target, one)), 503);
        assert!(recv(&mut carrier).is_ready());
        assert_eq!(ready(&mut waiting), Some(ok("[]")));
        assert_eq!(received(&mut carrier).len(), posts * if target == NATIVE { 256 } else { 1 } - 1);
        assert_eq!(now(bench.post(id, target, one)), ok("[]"), "it goes on");
        assert_eq!(received(&mut carrier).len(), 1);
    }
}

#[test]
fn a_held_get_is_answered_when_its_time_is_over() {
    let bench = Bench::default();
    let (_carrier, mut get) = bench.published("id");
    for seconds in [0.0, 1.0, 15.0, 19.9] {
        bench.at(seconds);
        assert_eq!(ready(&mut get), None);
    }
    bench.at(20.0);
    assert_eq!(ready(&mut get), Some(ok("[]")));
    bench.at(30.0);
    let mut get = held(bench.get("id", PUBLISHED));
    bench.at(49.9);
    assert_eq!(ready(&mut get), None, "each has its own time");
    bench.at(50.0);
    assert_eq!(ready(&mut get), Some(ok("[]")));
}

#[test]
fn a_peer_that_stops_polling_is_lost() {
    // When the GET ends, when the next one comes, and when the peer is lost.
    for (ended, lost) in [(1.0, 16.0), (6.0, 21.0), (14.9, 29.9), (15.0, 30.0), (19.0, 34.0)] {
        let bench = Bench::default();
        let (mut carrier, get) = bench.published("id");
        bench.at(ended);
        drop(get);
        now(bench.post("id", PUBLISHED, r#"{"t":"ping"}"#));
        bench.at(lost - 0.1);
        assert_eq!(received(&mut carrier), [r#"{"t":"ping"}"#]);
        assert!(recv(&mut carrier).is_pending(), "not yet: {ended}");
        bench.at(lost);
        assert!(matches!(recv(&mut carrier), Poll::Ready(Err(Closed::Lost(_)))), "now: {ended}");
        assert_error(&now(bench.get("id", PUBLISHED)), 403);
    }
}

#[test]
fn arrivals_count_every_request() {
    let bench = Bench::default();
    let (carrier, _get) = bench.published("id");
    let mut expected = carrier.arrivals();
    for body in ["", r#"{"t":"ping"}"#] {
        now(bench.post("id", PUBLISHED, body));
        expected += 1;
        assert_eq!(carrier.arrivals(), expected);
    }
    let _get = held(bench.get("id", PUBLISHED));
    assert_eq!(carrier.arrivals(), expected + 1);
}

#[test]
fn keep_alive_answers_a_get_that_has_been_held_for_a_while() {
    let bench = Bench::default();
    let (mut carrier, mut get) = bench.published("id");
    bench.at(4.0);
    carrier.keep_alive();
    assert_eq!(ready(&mut get), None);
    bench.at(5.0);
    carrier.keep_alive();
    assert_eq!(ready(&mut get), Some(ok("[]")));
    carrier.keep_alive();
    assert_eq!(ready(&mut held(bench.get("id", PUBLISHED))), None, "nothing of it is left for the next");
}

#[test]
fn messages_that_no_get_has_fetched_are_returned_once() {
    for is_lost in [false, true] {
        let bench = Bench::default();
        let (mut carrier, mut get) = bench.published("id");
        send(&mut carrier, "fetched");
        assert_eq!(ready(&mut get), Some(ok(r#"["fetched"]"#)));
        for text in ["one", "two"] {
            send(&mut carrier, text);
        }
        if is_lost {
            bench.at(60.0);
            assert!(matches!(recv(&mut carrier), Poll::Ready(Err(Closed::Lost(_)))));
        }
        assert_eq!(carrier.take_back(), ["one".into(), "two".into()], "lost: {is_lost}");
        assert_eq!(carrier.take_back(), []);
    }
}

#[test]
fn a_close_follows_the_sent_messages_and_is_remembered_for_30_s() {
    for (target, after) in [(NATIVE, 410), (PUBLISHED, 0)] {
        let bench = Bench::default();
        let mut carrier = if target == NATIVE { bench.native("id") } else { bench.published("id").0 };
        bench.at(1.0);
        send(&mut carrier, "last");
        carrier.close(Close::new(4001, "ü\""));
        carrier.close(Close::new(4002, "second"));
        let how = Closed::ByUs(Close::new(4001, "ü\""));
        assert_eq!(recv(&mut carrier), Poll::Ready(Err(how.clone())));
        assert_eq!(carrier.try_send(&[Message::from("late")]).taken, 0);
        drop(carrier);
        let told = answer(403, r#"{"close":{"code":4001,"reason":"ü\""}}"#);
        assert_eq!(now(bench.post("id", target, "x")), told, "nothing more is taken");
        assert_eq!(now(bench.get("id", target)), ok(r#"["last"]"#));
        for seconds in [1.0, 20.0, 30.9] {
            bench.at(seconds);
            assert_eq!(now(bench.get("id", target)), told);
            assert_eq!(now(bench.post("id", target, "[]")), told);
            assert_error(&now(bench.get("id", "/other")), 403);
        }
        bench.at(31.0);
        assert!(bench.hub.is_empty());
        match after {
            0 => drop(opened(bench.get("id", target))),
            status => assert_error(&now(bench.get("id", target)), status),
        }
    }
}

#[test]
fn an_end_answers_the_held_requests() {
    let bench = Bench::default();
    let (mut carrier, mut get) = bench.published("closed");
    assert_eq!(ready(&mut get), None);
    carrier.close(Close::new(4500, "no"));
    assert_eq!(ready(&mut get), Some(answer(403, r#"{"close":{"code":4500,"reason":"no"}}"#)));

    let (mut carrier, mut get) = bench.published("refused");
    send(&mut carrier, "refusal");
    carrier.close(Close::new(4500, "no"));
    assert_eq!(ready(&mut get), Some(ok(r#"["refusal"]"#)));
    assert_eq!(now(bench.get("refused", PUBLISHED)).status, 403);

    let (mut carrier, mut get) = bench.published("dropped");
    send(&mut carrier, "last");
    drop(carrier);
    assert_eq!(ready(&mut get), Some(ok(r#"["last"]"#)));
    assert_error(&now(bench.get("dropped", PUBLISHED)), 403);

    let (carrier, _get) = bench.published("full");
    let body = format!(r#"{{"d":"{}"}}"#, "x".repeat(60_000));
    let mut post = loop {
        if let Reply::Held(held) = bench.post("full", PUBLISHED, body.clone()) {
            break held;
        }
    };
    assert_eq!(ready(&mut post), None);
    drop(carrier);
    assert_error(&ready(&mut post).unwrap(), 403);
}

#[test]
fn the_peer_closes_by_post() {
    let bench = Bench::default();
    let mut carrier = bench.native("id");
    let mut get = held(bench.get("id", NATIVE));
    send(&mut carrier, "unread");
    now(bench.post("id", NATIVE, r#"["1","2"]"#));
    let body = r#"{"close":{"code":4009,"reason":"bye"}}"#;
    assert_eq!(now(bench.post("id", NATIVE, body)), ok("[]"));
    assert_eq!(ready(&mut get).map(|answer| answer.status), Some(403));
    assert_eq!(received(&mut carrier), ["1", "2"], "what came before is received before the end");
    let how = Closed::ByPeer(Close::new(4009, "bye"));
    assert_eq!(recv(&mut carrier), Poll::Ready(Err(how.clone())));
    assert_eq!(recv(&mut carrier), Poll::Ready(Err(how)));
    assert_eq!(now(bench.post("id", NATIVE, "[]")), answer(403, body));
    bench.at(30.0);
    assert!(bench.hub.is_empty(), "although the carrier is still there");
}

#[test]
fn a_hub_is_bounded() {
    let bench = Bench::new(Limits { connections: 2, remembered: 2, leftover_bytes: 10, ..Limits::default() });
    let (first, _first) = bench.published("1");
    let (second, _second) = bench.published("2");
    assert_error(&now(bench.get("3", PUBLISHED)), 503);
    drop((first, second));
    let third = bench.published("3");
    drop(third);
    assert_eq!(bench.hub.len(), 2, "the oldest end is forgotten");
    for id in ["2", "3"] {
        assert_error(&now(bench.get(id, PUBLISHED)), 403);
    }

    for id in ["4", "5"] {
        let (mut carrier, _get) = bench.published(id);
        send(&mut carrier, "eight by");
    }
    assert_eq!(bench.hub.len(), 1, "with the messages that waited for it");
    assert_eq!(now(bench.get("5", PUBLISHED)), ok(r#"["eight by"]"#));
}

#[test]
fn ids_abandoned_at_forty_a_second_leave_nothing_behind() {
    /// How an id is abandoned.
    type Abandon = fn(&Bench, &str) -> Option<Box<dyn Carrier>>;
    let ways: [(Abandon, usize); 4] = [
        // The server refuses it; the peer never comes back.
        (
            |bench, id| {
                bench.published(id).0.close(Close::NORMAL);
                None
            },
            40 * 31,
        ),
        // The peer disappears without a close.
        (|bench, id| Some(bench.published(id).0), 40 * 46),
        // The peer opens and sends, and never polls.
        (|bench, id| Some(opened(bench.post(id, NATIVE, r#"["hello"]"#)).0), 40 * 46),
        // The peer never reads.
        (
            |bench, id| {
                let (mut carrier, _get) = bench.published(id);
                carrier.try_send(&vec![Message::from("x".repeat(1000)); 1000]);
                Some(carrier)
            },
            40 * 46,
        ),
    ];
    for (abandon, most) in ways {
        let bench = Bench::default();
        let mut drivers = Vec::new();
        for second in 0..100 {
            bench.at(f64::from(second));
            for n in 0..40 {
                drivers.extend(abandon(&bench, &format!("{second}-{n}")));
            }
            drivers.retain_mut(|carrier| !matches!(recv(carrier), Poll::Ready(Err(_))));
            assert!(bench.hub.len() <= most, "{} at {second} s", bench.hub.len());
            assert!(drivers.len() <= 40 * 16, "{} drivers at {second} s", drivers.len());
        }
        // The gap of the last, then the time it is remembered.
        bench.at(99.0 + 15.0);
        drivers.retain_mut(|carrier| !matches!(recv(carrier), Poll::Ready(Err(_))));
        assert!(drivers.is_empty());
        bench.at(99.0 + 15.0 + 30.0);
        assert_eq!(bench.hub.len(), 0);
    }
}

#[test]
fn debug_shows_no_secret() {
    let bench = Bench::default();
    let (mut carrier, get) = opened(bench.get("secret-id", "/chat/2.0?access_token=secret"));
    send(&mut carrier, "secret text");
    let (id, target, body) = ("secret-id", "/?access_token=secret", Bytes::from_static(b"secret"));
    let mut info = ConnectionInfo::default();
    info.query = Some("access_token=secret".into());
    let request = Request { method: Method::Post, id, target, opens: Opens::Get, body, info };
    let shown = format!("{:?} {carrier:?} {get:?} {request:?}", bench.hub);
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn messages_are_small_until_the_driver_allows_more() {
    let bench = Bench::new(Limits { message: 100, ..Limits::default() });
    let body = |bytes: usize| format!("[\"{}\"]", "x".repeat(bytes));
    assert_eq!(now(bench.post("large", NATIVE, body(101))).status, 413);
    let (mut carrier, _held) = opened(bench.post("small", NATIVE, body(100)));
    assert_eq!((bench.hub.message_limit("small"), bench.hub.message_limit("none")), (100, 100));
    carrier.limit_messages(1000);
    assert_eq!((bench.hub.message_limit("small"), bench.hub.message_limit("none")), (1000, 100));
    assert_eq!(now(bench.post("small", NATIVE, body(1000))).status, 200);
    assert!(carrier.buffered().incoming >= 1100);
    assert_eq!(now(bench.post("small", NATIVE, body(1001))).status, 403, "it has ended");
}

#[test]
fn the_ended_id_with_the_most_undelivered_bytes_is_forgotten_first() {
    let bench = Bench::new(Limits { leftover_bytes: 1000, ..Limits::default() });
    let ends = |id: &str, bytes: usize| {
        let mut carrier = bench.native(id);
        carrier.try_send(&["x".repeat(bytes).into()]);
        carrier.close(Close::new(4000, "over"));
    };
    ends("few", 10);
    for n in 0..5 {
        ends(&format!("many{n}"), 400);
    }
    assert_eq!(now(bench.get("few", NATIVE)).status, 200);
    assert_eq!(now(bench.get("many0", NATIVE)).status, 410);
    assert_eq!(now(bench.get("many4", NATIVE)).status, 200);
}
