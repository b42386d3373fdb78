//! Both halves of the handshake, connected by function calls.

use std::time::Duration;

use chatcamp_protocol::{
    AccessToken, Advice, AppId, Code, Profile, SessionKey, User, UserId,
    handshake::{Continuity, FreshReason, Offer, Resume},
};
use serde_json::{Value, json};

use super::{client, server};
use crate::{
    Keyring,
    authenticator::{Admission, OriginHeader, Proof, SessionLimit},
    session_key::{self, Claims, ProvenBy},
    token::Stamp,
};

const NOW: u64 = 1_800_000_000;

fn keyring() -> Keyring {
    Keyring::new(vec![[7; 32]]).unwrap()
}

fn app() -> AppId {
    AppId::new("demo").unwrap()
}

fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

fn admission(id: &str, token: Option<&str>) -> Admission {
    let user = User {
        id: user(id),
        profile: Profile { display_name: "Alice".into(), ..Profile::default() },
        last_seen: 0,
        is_online: true,
        is_suspended: false,
        check_access_token: token.is_some(),
        access_token: token.map(AccessToken::from),
    };
    let proven_by = if token.is_some() { ProvenBy::DerivedToken } else { ProvenBy::UserId };
    Admission {
        app: app(),
        user,
        stamp: Stamp([1; 16]),
        proven_by,
        valid_until: Some(NOW + 60),
        sessions: SessionLimit::default(),
    }
}

fn claims(id: &str) -> Claims {
    Claims {
        app: app(),
        user: user(id),
        stamp: Stamp([1; 16]),
        session: 1,
        incarnation: 2,
        node: 0,
        serial: 1,
        expires_at: NOW + 60,
        proven_by: ProvenBy::UserId,
        is_native: false,
    }
}

fn offer() -> Offer {
    Offer {
        key: SessionKey::from("the-key"),
        expires_in: 86_400,
        continuity: Continuity::Fresh(FreshReason::New),
        heartbeat: 25,
    }
}

fn native(request: &str) -> Result<server::AwaitVerdict, server::Ended> {
    match server::open(None, &keyring(), NOW).unwrap() {
        server::Opening::Native(half) => half.on_message(request, &keyring()),
        server::Opening::Published(_) => panic!("no query is native"),
    }
}

fn published(query: &str) -> Result<server::AwaitVerdict, server::Ended> {
    match server::open(Some(query), &keyring(), NOW)? {
        server::Opening::Published(half) => Ok(half),
        server::Opening::Native(_) => panic!("{query} is published"),
    }
}

fn start(token: Option<&AccessToken>, resume: Option<Resume>) -> (client::AwaitAck, String) {
    let hello = client::Hello { app_id: &app(), user_id: &user("alice"), token, client: "test/1", resume };
    client::start(&hello)
}

fn final_message(ended: &server::Ended) -> Value {
    serde_json::from_str(ended.final_message.as_deref().expect("a final message")).unwrap()
}

#[test]
fn a_native_client_is_admitted_with_its_token() {
    let token = AccessToken::from("secret");
    let (await_ack, request) = start(Some(&token), None);
    let verdict = native(&request).unwrap();
    assert_eq!(verdict.proof(), Proof::Token(&token));

    let (established, ack) = verdict.admit(admission("alice", Some("secret")), &offer(), NOW);
    assert_eq!(established.dialect, server::Dialect::Native);
    let client::ServerReply::Established(session) = await_ack.on_message(&ack).unwrap() else {
        panic!("{ack}")
    };
    assert_eq!(session.user, admission("alice", Some("secret")).user);
    assert_eq!(session.session, offer());
    assert_eq!(session.token_expires_in, Some(Duration::from_secs(60)));
}

#[test]
fn every_code_reaches_a_native_client_with_its_advice() {
    for &code in Code::ALL {
        let (await_ack, request) = start(None, None);
        let ended = native(&request).unwrap().refuse(code);
        assert_eq!(ended.code, code);
        let verdict = await_ack.on_message(&ended.final_message.unwrap()).unwrap();
        let client::ServerReply::Refused(refusal) = verdict else { panic!("{code:?}") };
        assert_eq!((refusal.known_code(), refusal.advice), (Some(code), code.advice()));
    }
}

#[test]
fn a_native_client_is_told_when_to_retry_and_the_published_sdk_gets_the_close_alone() {
    let (await_ack, request) = start(None, None);
    let ended = native(&request).unwrap().defer(Code::Overloaded, Duration::from_millis(1500));
    let verdict = await_ack.on_message(&ended.final_message.unwrap()).unwrap();
    let client::ServerReply::RetryLater { refusal, after } = verdict else { panic!("retry later") };
    assert_eq!((refusal.advice, after), (Advice::Retry, Some(Duration::from_millis(1500))));

    let ended = published("app_id=demo&user_id=alice").unwrap().defer(Code::Overloaded, Duration::ZERO);
    assert_eq!(ended.final_message, None);
}

#[test]
fn a_published_client_is_admitted_with_the_token_that_it_presented() {
    let verdict = published("app_id=demo&user_id=a%40b.example&access_token=s%2B%20+").unwrap();
    assert_eq!(verdict.question(OriginHeader::Absent).user_id.as_str(), "a@b.example");
    assert_eq!(verdict.proof(), Proof::Token(&AccessToken::from("s+ +")));

    let (_, ack) = verdict.admit(admission("a@b.example", Some("s+ +")), &offer(), NOW);
    let ack: Value = serde_json::from_str(&ack).unwrap();
    assert_eq!(ack["t"], "users.auth.ack");
    assert_eq!(ack["to"], Value::Null);
    assert_eq!(ack["d"]["user"]["access_token"], "s+ +");
    assert_eq!(ack["d"]["session_key"], "the-key");
    assert_eq!(ack["d"].get("session"), None);
}

#[test]
fn the_published_dialect_knows_two_codes_and_one_message() {
    for (code, expected) in [
        (
            Code::AppNotFound,
            json!({"code": "NOT_FOUND", "message": Code::AppNotFound.reason(), "reason": "APP_NOT_FOUND"}),
        ),
        (
            Code::UserSuspended,
            json!({"code": "NOT_AUTHORIZED", "message": "this user is suspended", "reason": "USER_SUSPENDED"}),
        ),
        (
            Code::SessionKeyInvalid,
            json!({"code": "NOT_AUTHORIZED", "message": "Session Key Invalid", "reason": "SESSION_KEY_INVALID"}),
        ),
    ] {
        let ended = published("app_id=demo&user_id=alice").unwrap().refuse(code);
        assert_eq!(
            final_message(&ended),
            json!({"t": "users.auth.ack", "to": null, "d": {"ok": false, "error": expected}})
        );
    }
}

#[test]
fn an_invalid_published_query_is_refused_in_band() {
    for (query, code) in [
        ("app_id=&user_id=alice", Code::AppIdInvalid),
        ("app_id=a%20b&user_id=alice", Code::AppIdInvalid),
        ("app_id=demo", Code::UserIdInvalid),
        ("app_id=demo&user_id=", Code::UserIdInvalid),
        ("app_id=demo&user_id=a%0Ab", Code::UserIdInvalid),
        ("app_id=demo&user_id=alice&user_id=bob", Code::QueryInvalid),
        ("app_id=demo&user_id=%FF", Code::QueryInvalid),
        ("session_key=forged", Code::SessionKeyInvalid),
        ("session_key=", Code::SessionKeyInvalid),
    ] {
        let ended = published(query).unwrap_err();
        assert_eq!(ended.code, code, "{query}");
        assert!(final_message(&ended)["d"]["error"]["code"].is_string(), "{query}");
    }
    let long = format!("app_id=demo&user_id={}", "x".repeat(256));
    assert_eq!(published(&long).unwrap_err().code, Code::UserIdInvalid);
}

#[test]
fn an_empty_token_counts_as_absent() {
    assert_eq!(published("app_id=demo&user_id=alice&access_token=").unwrap().proof(), Proof::None);
    let (_, request) = start(Some(&AccessToken::from("")), None);
    assert_eq!(native(&request).unwrap().proof(), Proof::None);
}

#[test]
fn a_session_key_alone_identifies_app_and_user() {
    let key = session_key::seal(&keyring(), &claims("名前"));
    let verdict = published(&format!("session_key={}", key.expose())).unwrap();
    assert_eq!(verdict.question(OriginHeader::Absent).app_id, &app());
    assert_eq!(verdict.question(OriginHeader::Absent).user_id, &user("名前"));
    assert_eq!(verdict.proof(), Proof::SessionKey(&claims("名前")));
}

#[test]
fn the_key_of_a_native_session_is_not_a_credential() {
    let key = session_key::seal(&keyring(), &Claims { is_native: true, ..claims("alice") });
    let ended = published(&format!("session_key={}", key.expose())).unwrap_err();
    assert_eq!(ended.code, Code::SessionKeyInvalid);
}

#[test]
fn a_resume_hint_is_valid_for_its_own_user_only() {
    for (owner, counts) in [("alice", true), ("bob", false)] {
        let key = session_key::seal(&keyring(), &claims(owner));
        let (_, request) = start(None, Some(Resume { key, seen: 3, sent: 4 }));
        let verdict = native(&request).unwrap();
        let hint = verdict.resume().unwrap();
        assert_eq!((hint.claims.is_some(), hint.seen, hint.sent), (counts, 3, 4), "{owner}");
    }
}

#[test]
fn an_invalid_native_first_message_is_refused() {
    let body = |change: fn(&mut Value)| {
        let mut request = json!({"t": "users.auth", "r": 1, "d": {"v": 1, "client": "x/1", "app_id": "demo", "user_id": "alice"}});
        change(&mut request);
        request.to_string()
    };
    for (request, code) in [
        (String::new(), Code::Malformed),
        ("[]".into(), Code::Malformed),
        (body(|b| b["t"] = "ping".into()), Code::ConnectionUnknown),
        (body(|b| b["r"] = 2.into()), Code::Malformed),
        (body(|b| b["d"] = Value::Null), Code::Malformed),
        (body(|b| b["d"]["v"] = "1".into()), Code::Malformed),
        (body(|b| b["d"]["v"] = 2.into()), Code::UnsupportedVersion),
        (body(|b| b["d"] = json!({"v": 9, "other": true})), Code::UnsupportedVersion),
        (body(|b| b["d"]["user_id"] = 7.into()), Code::Malformed),
        (body(|b| b["d"]["access_token"] = 7.into()), Code::Malformed),
        (body(|b| b["d"]["client"] = "x".repeat(129).into()), Code::Malformed),
        (body(|b| b["d"]["app_id"] = "a b".into()), Code::AppIdInvalid),
        (body(|b| b["d"]["user_id"] = "".into()), Code::UserIdInvalid),
        (body(|b| b["d"]["user_id"] = "a\u{0}".into()), Code::UserIdInvalid),
    ] {
        let ended = native(&request).unwrap_err();
        assert_eq!(ended.code, code, "{request}");
        let (await_ack, _) = start(None, None);
        let verdict = await_ack.on_message(ended.final_message.as_deref().unwrap()).unwrap();
        assert!(
            matches!(verdict, client::ServerReply::Refused(r) if r.known_code() == Some(code)),
            "{request}"
        );
    }
    assert!(native(&body(|b| b["d"]["unknown"] = 1.into())).is_ok(), "unknown fields are ignored");
}

#[test]
fn a_reply_that_violates_the_protocol_is_an_error() {
    for text in [
        "",
        "{}",
        r#"{"t":"ping.ack"}"#,
        r#"{"t":"users.auth.ack","to":2,"d":{"ok":true}}"#,
        r#"{"t":"users.auth.ack","to":1}"#,
        r#"{"t":"users.auth.ack","to":1,"d":{"ok":true}}"#,
        r#"{"t":"users.auth.ack","to":1,"d":{"ok":false}}"#,
        r#"{"t":"session.close","d":{}}"#,
    ] {
        let (await_ack, _) = start(None, None);
        assert!(matches!(await_ack.on_message(text), Err(client::Violation::Answer)), "{text}");
    }
}

#[test]
fn unknown_advice_of_a_newer_server_is_terminal() {
    let text = r#"{"t":"session.close","d":{"code":"NEW","reason":"new","advice":"dance"}}"#;
    let (await_ack, _) = start(None, None);
    let client::ServerReply::Refused(refusal) = await_ack.on_message(text).unwrap() else {
        panic!("refused")
    };
    assert_eq!(
        (refusal.advice, refusal.known_code(), refusal.code.as_str()),
        (Advice::Terminal, None, "NEW")
    );
}

#[test]
fn no_state_prints_a_secret() {
    let token = AccessToken::from("hunter2");
    let key = session_key::seal(&keyring(), &claims("alice"));
    let (await_ack, request) = start(Some(&token), Some(Resume { key: key.clone(), seen: 0, sent: 0 }));
    let verdict = native(&request).unwrap();
    let printed = format!("{await_ack:?} {verdict:?} {:?}", verdict.question(OriginHeader::Absent));
    assert!(!printed.contains("hunter2") && !printed.contains(key.expose()), "{printed}");
}
