//! The Platform API over real sockets: requests of published callers, bad input, and the effects on clients.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api_backend;
mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use api_backend::{Backend, receive};
use chatcamp_protocol::{AccessToken, Code};
use chatcamp_server::{AuthPolicy, Clock, Limits};
use chatcamp_store::{MockStore, StoreError};
use chatcamp_transport::{Transport, websocket};
use common::{Peer, World};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

fn token(body: &Value) -> AccessToken {
    AccessToken::from(body["access_token"].as_str().unwrap())
}

#[tokio::test]
async fn the_requests_of_the_wordpress_plugin_succeed() {
    let backend = Backend::new().await;
    let get = "POST /api/2.0/users.get HTTP/1.1\r\nUser-Agent: WordPress/5.8; https://blog.example\r\n\
        Host: chat.example\r\nAccept: */*\r\nAccept-Encoding: deflate, gzip\r\nx-api-key: {KEY}\r\n\
        content-type: application/json\r\nContent-Length: 11\r\nConnection: close\r\n\r\n{\"id\":\"17\"}";
    let create = "POST /api/2.0/users.create HTTP/1.1\r\nUser-Agent: WordPress/5.8; https://blog.example\r\n\
        Host: chat.example\r\nAccept: */*\r\nAccept-Encoding: deflate, gzip\r\nx-api-key: {KEY}\r\n\
        content-type: application/json\r\nContent-Length: 132\r\nConnection: close\r\n\r\n\
        {\"id\":\"17\",\"display_name\":\"Ann\",\"avatar_url\":\"\\/\\/img.example\\/a.png\",\
        \"profile_url\":\"javascript:void(0)\",\"email\":\"ann@blog.example\"}";

    let unknown = backend.send(get).await;
    assert_eq!(unknown.refused(), (404, "USER_NOT_FOUND"));
    let created = backend.send(create).await.ok();
    let got = backend.send(get).await.ok();
    assert_eq!(created["claimed"], false);
    assert_eq!(got["access_token"], created["access_token"]);
    assert_eq!(got["access_token_set"], true);
    assert_eq!(got["user"], created["user"]);
    let user = json!({
        "id": "17", "display_name": "Ann", "first_name": "", "last_name": "", "email": "ann@blog.example",
        "phone_number": "", "profile_url": "javascript:void(0)", "avatar_url": "//img.example/a.png", "data": "",
        "metadata": {}, "last_seen": 0, "is_online": false, "is_suspended": false, "check_access_token": true,
    });
    assert_eq!(got["user"], user);

    // The page can connect with the token, but not without it.
    let native = websocket::Transport::new(&format!("ws://{}/chat/2.0", backend.address)).unwrap();
    for (token, let_in) in [(Some(token(&got)), true), (None, false)] {
        let connection = native.connect().await.unwrap();
        let peer = Peer::native(connection, &backend.world.app, "17", token.as_ref()).await;
        assert_eq!(peer.is_ok(), let_in);
    }
    let peer = backend.world.connect_with("17", &token(&got)).await;
    assert_eq!(backend.send(get).await.ok()["user"]["is_online"], true);
    drop(peer);
    backend.world.close().await;
}

#[tokio::test]
async fn the_requests_of_php_callers_succeed() {
    let backend = Backend::new().await;
    let form = |method: &str, body: &str| {
        let length = body.len();
        format!(
            "POST //api/1.0/{method} HTTP/1.1\r\nHost: chat.example\r\nAccept: */*\r\nx-app-id: {{APP}}\r\n\
             x-api-key: {{KEY}}\r\nContent-Length: {length}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}"
        )
    };
    let ann = "id=ann%40shop.example&display_name=Ann+Lee&avatar_url=%2F%2Fimg.example%2Fa.png&check_access_token=1";
    let created = backend.send(&form("users.create", ann)).await.ok();
    assert_eq!(created["user"]["id"], "ann@shop.example");
    assert_eq!(created["user"]["avatar_url"], "//img.example/a.png");
    let ben = "id=ben&display_name=Ben&check_access_token=false&foo[]=ignored";
    assert_eq!(backend.send(&form("users.create", ben)).await.ok()["user"]["check_access_token"], false);

    let update =
        "id=ann%40shop.example&display_name=Ann&metadata=%7B%22plan%22%3A%22pro%22%7D&is_suspended=0";
    let updated = backend.send(&form("users.update", update)).await.ok();
    assert_eq!(updated["access_token"], created["access_token"]);
    assert_eq!(updated["user"]["display_name"], "Ann");
    assert_eq!(updated["user"]["metadata"], json!({"plan": "pro"}));
    assert_eq!(updated["user"]["avatar_url"], "//img.example/a.png", "absent fields stay unchanged");

    // Without a body and a content type.
    let list = "POST //api/1.0/users.list HTTP/1.1\r\nHost: chat.example\r\nAccept: */*\r\nx-app-id: {APP}\r\n\
        x-api-key: {KEY}\r\n";
    for length in ["", "Content-Length: 0\r\n", "Content-Length: 0\r\nContent-Type: application/json\r\n"] {
        let listed = backend.send(&format!("{list}{length}\r\n")).await.ok();
        let ids: Vec<_> = listed["users"].as_array().unwrap().iter().map(|user| &user["id"]).collect();
        assert_eq!(ids, ["ann@shop.example", "ben"]);
        assert!(!listed.to_string().contains("access_token\":\""), "a list contains no token");
    }
    backend.send(&form("users.delete", "id=ben")).await.ok();
    assert_eq!(backend.send(&form("users.get", "id=ben")).await.refused(), (404, "USER_NOT_FOUND"));
    backend.world.close().await;
}

#[tokio::test]
async fn the_requests_of_javascript_callers_succeed_on_one_connection() {
    let backend = Backend::new().await;
    let mut tcp = TcpStream::connect(backend.address).await.unwrap();
    for (method, body, status) in [
        ("users.get", r#"{"id":"zoe"}"#, 404),
        ("users.create", r#"{"id":"zoe","display_name":"Zoë","extra":{"ignored":[1]},"email":null}"#, 200),
        ("users.create", r#"{"id":"zoe","display_name":"Another"}"#, 409),
        ("users.get", r#"{"id":"zoe"}"#, 200),
        ("users.update", r#"{"id":"zoe","phone_number":"+49 1"}"#, 200),
    ] {
        let request = format!(
            "POST /api/2.0/{method} HTTP/1.1\r\nAccept: application/json, text/plain, */*\r\n\
             Content-Type: application/json;charset=utf-8\r\nx-api-key: {}\r\nUser-Agent: axios/0.21.1\r\n\
             Content-Length: {}\r\nHost: chat.example\r\nConnection: keep-alive\r\n\r\n{body}",
            backend.key,
            body.len(),
        );
        tcp.write_all(request.as_bytes()).await.unwrap();
        let answer = receive(&mut tcp).await;
        assert_eq!(answer.status, status, "{method}: {}", answer.body);
        if status == 200 {
            assert_eq!(answer.body["user"]["display_name"], "Zoë");
            assert!(answer.body["access_token"].as_str().unwrap().starts_with("ct1_"));
        }
    }
    drop(tcp);
    backend.world.close().await;
}

#[tokio::test]
async fn only_a_key_of_the_app_is_accepted() {
    let backend = Backend::new().await;
    let accounts = &backend.world.accounts;
    let other = accounts.create_app("other", AuthPolicy::Open, None).await.unwrap();
    let revoked = accounts.create_api_key(&backend.world.app, "old").await.unwrap();
    accounts.revoke_api_key(&backend.world.app, &revoked.id).await.unwrap();
    let (revoked, others) = (revoked.key, other.api_key.key);
    for (headers, refused) in [
        (String::new(), (401, "API_KEY_REQUIRED")),
        ("x-api-key: \r\n".into(), (401, "API_KEY_INVALID")),
        ("x-api-key: wrong\r\n".into(), (401, "API_KEY_INVALID")),
        ("x-api-key: \u{e9}\r\n".into(), (401, "API_KEY_INVALID")),
        (format!("x-api-key: {revoked}\r\n"), (401, "API_KEY_INVALID")),
        ("x-api-key: {KEY}\r\nx-api-key: {KEY}\r\n".into(), (401, "API_KEY_INVALID")),
        (format!("x-api-key: {others}\r\nx-app-id: {{APP}}\r\n"), (403, "APP_MISMATCH")),
        ("x-api-key: {KEY}\r\nx-app-id: unknown\r\n".into(), (403, "APP_MISMATCH")),
        ("x-api-key: {KEY}\r\nx-app-id: a b\r\n".into(), (403, "APP_MISMATCH")),
        ("x-api-key: {KEY}\r\nx-app-id: {APP}\r\nx-app-id: {APP}\r\n".into(), (403, "APP_MISMATCH")),
        ("x-api-key: {KEY}\r\nx-app-id: {APP}\r\n".into(), (200, "none")),
        ("x-api-key: {KEY}\r\n".into(), (200, "none")),
    ] {
        let answer = backend.post("/api/2.0/app.get", &headers, "").await;
        assert_eq!(answer.refused(), refused, "{headers}");
    }
    // A key gives access to the users of its own app only.
    backend.call("users.create", json!({"id": "ann"})).await.ok();
    let headers = format!("x-api-key: {others}\r\ncontent-type: application/json\r\n");
    let answer = backend.post("/api/2.0/users.get", &headers, r#"{"id":"ann"}"#).await;
    assert_eq!(answer.refused(), (404, "USER_NOT_FOUND"));
    backend.world.close().await;
}

#[tokio::test]
async fn an_invalid_request_gets_an_error_that_names_the_fault() {
    let backend = Backend::new().await;
    let key = "x-api-key: {KEY}\r\n";
    let get = "/api/2.0/users.get";
    let as_json = &format!("{key}content-type: application/json\r\n");
    let as_form = &format!("{key}content-type: application/x-www-form-urlencoded\r\n");
    for (path, headers, body, refused) in [
        ("/api/2.0/users.fly", key, "", (404, "UNKNOWN_METHOD")),
        ("/api/2.0/users.get/", key, "", (404, "UNKNOWN_METHOD")),
        ("/api/2.0/", key, "", (404, "NOT_FOUND")),
        ("/api/9.0/users.get", key, "", (404, "NOT_FOUND")),
        (get, key, "", (400, "MISSING_FIELD")),
        (get, as_json, "{}", (400, "MISSING_FIELD")),
        (get, as_json, r#"{"id":null}"#, (400, "MISSING_FIELD")),
        (get, as_json, r#"{"id":""}"#, (400, "INVALID_FIELD")),
        (get, as_json, r#"{"id":"a\u0000b"}"#, (400, "INVALID_FIELD")),
        (get, as_json, r#"{"id":["a"]}"#, (400, "INVALID_FIELD")),
        (get, as_json, &json!({"id": "x".repeat(256)}).to_string(), (400, "INVALID_FIELD")),
        (get, as_json, r#"{"id":"a""#, (400, "INVALID_BODY")),
        (get, as_json, "[]", (400, "INVALID_BODY")),
        (get, as_json, &"[".repeat(10_000), (400, "INVALID_BODY")),
        (get, key, r#"{"id":"a"}"#, (415, "UNSUPPORTED_CONTENT_TYPE")),
        (get, &format!("{key}content-type: text/xml\r\n"), "<id>a</id>", (415, "UNSUPPORTED_CONTENT_TYPE")),
        ("/api/2.0/users.list", as_json, r#"{"limit":0}"#, (400, "INVALID_FIELD")),
        ("/api/2.0/users.list", as_json, r#"{"limit":1001}"#, (400, "INVALID_FIELD")),
        ("/api/2.0/users.list", as_json, r#"{"limit":"ten"}"#, (400, "INVALID_FIELD")),
        ("/api/2.0/users.list", as_json, r#"{"reference":"\n"}"#, (400, "INVALID_FIELD")),
        ("/api/2.0/app.update", as_json, r#"{"policy":"closed"}"#, (400, "INVALID_FIELD")),
        ("/api/2.0/app.update", as_json, r#"{"origins":["https://a.example/"]}"#, (400, "INVALID_FIELD")),
        ("/api/2.0/app.update", as_json, r#"{"origins":"https://a.example"}"#, (400, "INVALID_FIELD")),
        ("/api/2.0/app.update", as_json, r#"{"name":""}"#, (400, "INVALID_FIELD")),
        ("/api/2.0/app.update", as_json, r#"{"name":"  "}"#, (400, "INVALID_FIELD")),
        ("/api/2.0/app.update", as_json, r#"{"name":"a\nb"}"#, (400, "INVALID_FIELD")),
        ("/api/2.0/app.keys.create", as_json, r#"{"name":"\u200b"}"#, (400, "INVALID_FIELD")),
        ("/api/2.0/users.publish", as_form, "type=x&id=a&data=hello", (400, "INVALID_FIELD")),
        ("/api/2.0/users.issue_token", as_json, r#"{"id":"a","expires_in":0}"#, (400, "INVALID_FIELD")),
        ("/api/2.0/users.issue_token", as_json, r#"{"id":"a","grace":-1}"#, (400, "INVALID_FIELD")),
        (
            "/api/2.0/users.issue_token",
            as_json,
            r#"{"id":"a","expires_in":18446744073709551615}"#,
            (400, "INVALID_FIELD"),
        ),
    ] {
        let answer = backend.post(path, headers, body).await;
        assert_eq!(answer.refused(), refused, "{path} {body}: {}", answer.body);
    }
    for method in [
        "users.update",
        "users.delete",
        "users.issue_token",
        "users.revoke_tokens",
        "users.sessions",
        "users.disconnect",
    ] {
        let answer = backend.call(method, json!({"id": "nobody"})).await;
        assert_eq!(answer.refused(), (404, "USER_NOT_FOUND"), "{method}");
    }
    for (fields, code) in [
        (json!({"display_name": "x".repeat(256)}), "VALUE_TOO_LONG"),
        (json!({"metadata": {"k": "x".repeat(5000)}}), "VALUE_TOO_LONG"),
        (json!({"metadata": [1]}), "INVALID_FIELD"),
        (json!({"check_access_token": "maybe"}), "INVALID_FIELD"),
        (json!({"access_token": "short"}), "INVALID_FIELD"),
        (json!({"access_token": "ct1_of-somebody-elses-making"}), "INVALID_FIELD"),
    ] {
        for method in ["users.create", "users.upsert", "users.update"] {
            let mut body = fields.clone();
            body["id"] = json!("bad");
            assert_eq!(backend.call(method, body).await.refused(), (400, code), "{method} {fields}");
        }
    }
    assert_eq!(backend.world.store.user_count(&backend.world.app).await.unwrap(), 0);
    backend.world.close().await;
}

#[tokio::test]
async fn a_mistyped_method_or_field_is_named_in_the_refusal() {
    let backend = Backend::new().await;
    for (method, body, message) in [
        (
            "user.create",
            json!({}),
            "this server does not know the method user.create; did you mean users.create?",
        ),
        (
            "users/create",
            json!({}),
            "this server does not know the method users/create; did you mean users.create?",
        ),
        (
            "fly",
            json!({}),
            "this server does not know the method fly; docs/PROTOCOL.md and /api/openapi.json list the methods",
        ),
        (
            "users.create",
            json!({"user_id": "ann", "display_name": "Ann"}),
            "id: this is missing; the field user_id of the request is unknown",
        ),
        (
            "users.publish",
            json!({"id": "ann", "typ": "x"}),
            "type: this is missing; the field typ of the request is unknown",
        ),
        ("users.create", json!({"display_name": "Ann"}), "id: this is missing"),
    ] {
        let answer = backend.call(method, body).await;
        assert_eq!(answer.body["error"]["message"], message);
    }
    backend.world.close().await;
}

#[tokio::test]
async fn nul_in_a_profile_is_refused_by_field_name() {
    let backend = Backend::new().await;
    backend.call("users.create", json!({"id": "ann"})).await.ok();
    for (field, value) in [
        ("display_name", json!("a\0b")),
        ("email", json!("\0")),
        ("data", json!("\0")),
        ("metadata", json!({"k": ["\0"]})),
        ("metadata", json!({"\0": 1})),
    ] {
        for (method, id) in [("users.create", "new"), ("users.upsert", "new"), ("users.update", "ann")] {
            let answer = backend.call(method, json!({"id": id, field: value})).await;
            assert_eq!(answer.refused(), (400, "INVALID_FIELD"), "{method} {field}: {}", answer.body);
            let named = format!("{field} contains the character NUL");
            assert!(answer.body.to_string().contains(&named), "{method}: {}", answer.body);
        }
    }
    assert_eq!(backend.world.store.user_count(&backend.world.app).await.unwrap(), 1);
    backend.world.close().await;
}

#[tokio::test]
async fn other_http_methods_and_long_bodies_are_refused() {
    let backend = Backend::new().await;
    for verb in ["GET", "PUT", "DELETE", "OPTIONS"] {
        let request = format!(
            "{verb} /api/2.0/app.get HTTP/1.1\r\nHost: h\r\nOrigin: http://page.example\r\nx-api-key: {{KEY}}\r\n\r\n"
        );
        let answer = backend.send(&request).await;
        assert_eq!(answer.refused(), (405, "METHOD_NOT_ALLOWED"), "{verb}");
        assert_eq!(answer.header("allow"), Some("POST"));
    }
    let head = "POST /api/2.0/users.get HTTP/1.1\r\nHost: h\r\nx-api-key: {KEY}\r\n\
        content-type: application/json\r\n";
    let chunk = format!("10001\r\n{}\r\n0\r\n\r\n", " ".repeat(0x10001));
    for rest in
        ["Content-Length: 65537\r\n\r\n".to_owned(), format!("Transfer-Encoding: chunked\r\n\r\n{chunk}")]
    {
        let answer = backend.send(&format!("{head}{rest}")).await;
        assert_eq!(answer.refused(), (413, "BODY_TOO_LARGE"));
    }
    let padded = format!(r#"{{"id":"a"{}}}"#, " ".repeat(64 * 1024 - 10));
    assert_eq!(padded.len(), 64 * 1024);
    let headers = "x-api-key: {KEY}\r\ncontent-type: application/json\r\n";
    assert_eq!(backend.post("/api/2.0/users.get", headers, &padded).await.refused(), (404, "USER_NOT_FOUND"));
    backend.world.close().await;
}

#[tokio::test]
async fn a_conflict_changes_nothing_and_an_auto_created_user_is_claimed() {
    let backend = Backend::new().await;
    let created = backend.call("users.create", json!({"id": "ann", "display_name": "Ann"})).await.ok();
    let conflict = backend
        .call(
            "users.create",
            json!({"id": "ann", "display_name": "Eve", "access_token": "a token of eve's own"}),
        )
        .await;
    assert_eq!(conflict.refused(), (409, "USER_EXISTS"));
    let got = backend.call("users.get", json!({"id": "ann"})).await.ok();
    assert_eq!((&got["user"], &got["access_token"]), (&created["user"], &created["access_token"]));

    for method in ["users.create", "users.upsert"] {
        let id = format!("guest of {method}");
        let mut squatter = backend.world.connect(&id).await;
        squatter.request("users.update", json!({"display_name": "Squatter"})).await;
        let known = backend.call("users.get", json!({"id": id})).await.ok();
        assert_eq!((known.get("access_token"), &known["access_token_set"]), (None, &json!(false)));
        let claimed = backend.call(method, json!({"id": id, "email": "guest@shop.example"})).await.ok();
        assert_eq!((&claimed["claimed"], &claimed["user"]["display_name"]), (&json!(true), &json!("")));
        // The next message is the end of the session: no message about the claimed user precedes it.
        squatter.ended_with(Code::AccessTokenRequired).await;
        backend.world.connect_with(&id, &token(&claimed)).await;
        let again = backend.call("users.create", json!({"id": id})).await;
        assert_eq!(again.refused(), (409, "USER_EXISTS"), "claimed once");
    }
    backend.world.close().await;
}

#[tokio::test]
async fn an_upsert_never_conflicts() {
    let backend = Backend::new().await;
    let first =
        backend.call("users.upsert", json!({"id": "ann", "display_name": "Ann", "data": "d"})).await.ok();
    assert_eq!(first["claimed"], false);
    let again = backend.call("users.upsert", json!({"id": "ann", "display_name": "Ann B"})).await.ok();
    assert_eq!((again.get("claimed"), &again["access_token"]), (None, &first["access_token"]));
    assert_eq!((&again["user"]["display_name"], &again["user"]["data"]), (&json!("Ann B"), &json!("d")));
    let shut_out = backend.call("users.upsert", json!({"id": "ben", "is_suspended": true})).await.ok();
    assert_eq!(shut_out["user"]["is_suspended"], true);
    let refused = backend.world.try_connect("ben", Some(&token(&shut_out))).await.unwrap_err();
    assert_eq!(refused, "USER_SUSPENDED");
    backend.world.close().await;
}

#[tokio::test]
async fn a_chosen_token_is_accepted_and_not_returned_again() {
    let backend = Backend::new().await;
    let (moved, next) = ("an old token of the hosted service", "the one after that one");
    let created = backend.call("users.create", json!({"id": "ann", "access_token": moved})).await.ok();
    assert_eq!(created["access_token"], moved);
    let got = backend.call("users.get", json!({"id": "ann"})).await.ok();
    assert_eq!((got.get("access_token"), &got["access_token_set"]), (None, &json!(true)));
    let mut session = backend.world.connect_with("ann", &AccessToken::from(moved)).await;

    // The same token again changes nothing, and the session continues.
    backend.call("users.update", json!({"id": "ann", "access_token": moved})).await.ok();
    assert_eq!(session.request("ping", json!({})).await["ok"], true);
    backend.call("users.update", json!({"id": "ann", "access_token": next})).await.ok();
    session.ended_with(Code::CredentialRevoked).await;
    for (token, let_in) in [(moved, false), (next, true)] {
        let peer = backend.world.try_connect("ann", Some(&AccessToken::from(token))).await;
        assert_eq!(peer.is_ok(), let_in);
    }

    // The first token of an auto-created user makes tokens required, unless the backend says otherwise.
    for (id, given, locked) in
        [("ben", json!({}), true), ("cai", json!({"check_access_token": false}), false)]
    {
        let mut guest = backend.world.connect(id).await;
        let mut fields = given;
        (fields["id"], fields["access_token"]) = (json!(id), json!(next));
        let updated = backend.call("users.update", fields).await.ok();
        assert_eq!(updated["user"]["check_access_token"], locked);
        guest.ended_with(if locked { Code::AccessTokenRequired } else { Code::CredentialChanged }).await;
    }
    backend.world.close().await;
}

#[tokio::test]
async fn tokens_are_issued_with_expiry_and_grace_and_revoked() {
    let now = Arc::new(AtomicU64::new(1_800_000_000));
    let clock = Clock::new({
        let now = now.clone();
        move || now.load(Ordering::Relaxed)
    });
    let backend = Backend::of(World::open_at(clock).await).await;
    let first = token(&backend.call("users.create", json!({"id": "ann"})).await.ok());
    let issue = json!({"id": "ann", "expires_in": 3600, "grace": "60"});
    let second = backend.call("users.issue_token", issue).await.ok();
    assert_eq!(second["access_token_expires_at"], 1_800_003_600_u64);
    for token in [&first, &token(&second)] {
        backend.world.connect_with("ann", token).await;
    }
    now.fetch_add(61, Ordering::Relaxed);
    assert_eq!(backend.world.try_connect("ann", Some(&first)).await.unwrap_err(), "ACCESS_TOKEN_INVALID");

    now.fetch_add(3600, Ordering::Relaxed);
    let expired = backend.call("users.get", json!({"id": "ann"})).await.ok();
    assert_eq!((expired.get("access_token"), &expired["access_token_set"]), (None, &json!(false)));
    let third = token(&backend.call("users.issue_token", json!({"id": "ann"})).await.ok());

    let mut live = backend.world.connect_with("ann", &third).await;
    let revoked = backend.call("users.revoke_tokens", json!({"id": "ann"})).await.ok();
    assert_eq!((revoked.get("access_token"), &revoked["access_token_set"]), (None, &json!(false)));
    timeout(Duration::from_secs(1), live.ended_with(Code::CredentialRevoked)).await.unwrap();
    assert!(backend.world.try_connect("ann", Some(&third)).await.is_err());
    let got = backend.call("users.get", json!({"id": "ann"})).await.ok();
    assert_eq!(got.get("access_token"), None, "only a request for a token creates one");
    backend.world.close().await;
}

#[tokio::test]
async fn live_sessions_receive_changes_and_their_end() {
    let backend = Backend::new().await;
    let created = backend.call("users.create", json!({"id": "ann"})).await.ok();
    let mut live = backend.world.connect_with("ann", &token(&created)).await;
    for (method, name) in [("users.update", "Ann"), ("users.upsert", "Ann B")] {
        backend.call(method, json!({"id": "ann", "display_name": name})).await.ok();
        let told = live.recv().await;
        assert_eq!(
            (&told["t"], &told["d"]["user"]["display_name"]),
            (&json!("users.update.ack"), &json!(name))
        );
        assert_eq!(
            told["d"]["user"]["access_token"], created["access_token"],
            "exactly the token that the session presented"
        );
    }
    // A write without a change is not sent to sessions: the next message is the answer.
    backend.call("users.update", json!({"id": "ann", "display_name": "Ann B"})).await.ok();
    assert_eq!(live.request("ping", json!({})).await["ok"], true);

    // Requiring tokens ends sessions opened by user id, and these do not receive what the backend wrote in the same step.
    let mut guest = backend.world.connect("ben").await;
    let lock = json!({"id": "ben", "check_access_token": true, "email": "ben@shop.example"});
    backend.call("users.update", lock).await.ok();
    guest.ended_with(Code::AccessTokenRequired).await;

    backend.call("users.update", json!({"id": "ann", "is_suspended": true})).await.ok();
    live.ended_with(Code::UserSuspended).await;
    backend.call("users.update", json!({"id": "ann", "is_suspended": false})).await.ok();
    let mut live = backend.world.connect_with("ann", &token(&created)).await;
    backend.call("users.delete", json!({"id": "ann"})).await.ok();
    live.ended_with(Code::UserDeleted).await;
    backend.world.close().await;
}

#[tokio::test]
async fn users_are_listed_page_by_page() {
    let backend = Backend::new().await;
    for n in 0..105 {
        backend.call("users.upsert", json!({"id": format!("user {n:03}")})).await.ok();
    }
    let first = backend.call("users.list", json!({})).await.ok();
    assert_eq!((first["users"].as_array().unwrap().len(), &first["reference"]), (100, &json!("user 099")));
    let rest = backend.call("users.list", json!({"reference": "user 099"})).await.ok();
    assert_eq!((rest["users"].as_array().unwrap().len(), rest.get("reference")), (5, None));
    for (limit, behind) in [(json!(105), None), (json!("104"), Some("user 103")), (json!(1000), None)] {
        let page = backend.call("users.list", json!({"limit": limit})).await.ok();
        assert_eq!(page.get("reference").and_then(Value::as_str), behind, "{limit}");
    }
    let none = backend.call("users.list", json!({"reference": "z"})).await.ok();
    assert_eq!((&none["users"], none.get("reference")), (&json!([]), None));
    backend.world.close().await;
}

#[tokio::test]
async fn an_app_is_read_and_changed() {
    let backend = Backend::new().await;
    let shown = backend.call("app.get", json!({})).await.ok();
    let app = &shown["app"];
    assert_eq!((&app["id"], &app["name"]), (&json!(backend.world.app.as_str()), &json!("test")));
    assert_eq!((&app["policy"], &app["directory"]), (&json!("open"), &json!(true)));

    let mut guest = backend.world.connect("ann").await;
    let changed = backend.call("app.update", json!({"name": " Shop ", "directory": false})).await.ok();
    assert_eq!((&changed["app"]["name"], &changed["app"]["policy"]), (&json!("Shop"), &json!("open")));
    assert_eq!(guest.request("users.list", json!({})).await["error"]["code"], "DIRECTORY_OFF");
    backend.call("app.update", json!({"policy": "token"})).await.ok();
    guest.ended_with(Code::AccessTokenRequired).await;
    let now = backend.call("app.get", json!({})).await.ok();
    assert_eq!((&now["app"]["policy"], &now["app"]["directory"]), (&json!("token"), &json!(false)));
    backend.world.close().await;
}

#[tokio::test]
async fn a_failed_store_is_a_retryable_error() {
    let mut store = MockStore::new();
    store.expect_create_app().returning(|_| Ok(true));
    store.expect_create_api_key().returning(|_| Ok(true));
    store.expect_on_change().returning(|_| ());
    store.expect_app().returning(|id| {
        Ok(Some(Arc::new(chatcamp_store::App::new(id.clone(), "test", AuthPolicy::Open, 0))))
    });
    store.expect_api_key_by_digest().returning(|_| Err(StoreError::unavailable("the disk is full")));
    let mut limits = Limits::default();
    limits.drain = Duration::from_millis(250);
    let backend = Backend::of(World::over(Arc::new(store), AuthPolicy::Open, limits).await).await;
    let answer = backend.call("users.get", json!({"id": "ann"})).await;
    assert_eq!(answer.refused(), (503, "STORE_UNAVAILABLE"));
    assert!(!answer.body.to_string().contains("disk"), "the cause is for the operator only");
    backend.world.close().await;
}

#[tokio::test]
async fn an_event_reaches_its_recipients_in_both_dialects() {
    let backend = Backend::new().await;
    let world = &backend.world;
    let mut alice = world.connect("alice").await;
    let mut sdk = world.published(&format!("app_id={}&user_id=alice", world.app)).await;
    sdk.recv().await;
    let mut bob = world.connect("bob").await;
    let data = json!({"n": [1, null]});
    for (to, delivered, to_bob) in [
        (json!({"id": "alice"}), 2, false),
        (json!({"ids": ["alice", "nobody", "alice"]}), 2, false),
        (json!({"to": {"all": true}}), 3, true),
    ] {
        let mut body = to.clone();
        body["type"] = "order.shipped".into();
        body["data"] = data.clone();
        let answer = backend.call("users.publish", body).await;
        assert_eq!((answer.status, &answer.body["delivered"]), (200, &json!(delivered)), "{answer:?}");
        for peer in [&mut alice, &mut sdk].into_iter().chain(to_bob.then_some(&mut bob)) {
            let event = peer.recv().await;
            assert_eq!(event["t"], "app.event.pub");
            assert_eq!(event["d"], json!({"ok": true, "type": "order.shipped", "data": data}), "{to}");
        }
    }
    assert_eq!(bob.request("ping", json!({})).await["ok"], true, "bob received nothing else");
    drop((alice, sdk, bob));
    backend.world.close().await;
}

#[tokio::test]
async fn an_answer_names_the_fields_that_were_ignored() {
    let backend = Backend::new().await;
    // The hosted service has `role`, which this server does not support.
    let user = json!({"id": "alice", "display_nam": "Alice", "displayName": "Alice", "email": null, "role": "admin"});
    let answer = backend.call("users.create", user).await.ok();
    let ignored = json!([
        {"name": "displayName", "did_you_mean": "display_name"},
        {"name": "display_nam", "did_you_mean": "display_name"},
        {"name": "role"},
    ]);
    assert_eq!(answer["ignored_fields"], ignored);
    assert_eq!(answer["user"]["display_name"], "", "the request is read as before");
    let form = "content-type: application/x-www-form-urlencoded\r\nx-api-key: {KEY}\r\n";
    let request = format!(
        "POST /api/1.0/users.get HTTP/1.1\r\nHost: h\r\n{form}Content-Length: 17\r\n\r\nid=alice&is_x=yes"
    );
    assert_eq!(backend.send(&request).await.ok()["ignored_fields"], json!([{"name": "is_x"}]));
    for (method, fields) in [("app.get", json!({})), ("users.get", json!({"id": "alice"}))] {
        let answer = backend.call(method, fields).await.ok();
        assert_eq!(answer.get("ignored_fields"), None, "{answer}");
    }
    backend.world.close().await;
}

#[tokio::test]
async fn an_event_is_delivered_to_connections_and_queued_for_detached_sessions() {
    let backend = Backend::new().await;
    let world = &backend.world;
    let publish = async |to: &str| {
        let body = backend.call("users.publish", json!({"id": to, "type": "x"})).await.ok();
        (body["delivered"].as_u64().unwrap(), body["queued"].as_u64().unwrap())
    };
    assert_eq!(publish("alice").await, (0, 0), "an unknown user");
    // It reads nothing, so that events wait in its session.
    let slow = world.connect("alice").await;
    for n in 1..=100 {
        assert_eq!(publish("alice").await, (1, 0), "event {n} for a client that does not read");
    }
    world.cut(slow).await;
    assert_eq!(publish("alice").await, (0, 1));
    let mut here = world.connect("alice").await;
    assert_eq!(publish("alice").await, (1, 1));
    assert_eq!(here.recv().await["t"], "app.event.pub");
    assert_eq!(backend.call("users.disconnect", json!({"id": "alice"})).await.ok()["ended"], 2);
    here.ended_with(Code::Disconnected).await;
    assert_eq!(publish("alice").await, (0, 0), "the detached session has ended too");
    backend.world.close().await;
}

#[tokio::test]
async fn an_invalid_event_is_refused_by_field_name() {
    let backend = Backend::new().await;
    let many: Vec<_> = (0..1001).map(|n| n.to_string()).collect();
    for (body, code) in [
        (json!({"id": "a"}), "MISSING_FIELD"),
        (json!({"type": "x"}), "MISSING_FIELD"),
        (json!({"type": "", "id": "a"}), "INVALID_FIELD"),
        (json!({"type": "Not", "id": "a"}), "INVALID_FIELD"),
        (json!({"type": "x".repeat(65), "id": "a"}), "INVALID_FIELD"),
        (json!({"type": "x", "id": "a\n"}), "INVALID_FIELD"),
        (json!({"type": "x", "ids": [["a"]]}), "INVALID_FIELD"),
        (json!({"type": "x", "ids": "a"}), "INVALID_FIELD"),
        (json!({"type": "x", "ids": many}), "INVALID_FIELD"),
        (json!({"type": "x", "to": {"all": false}}), "INVALID_FIELD"),
        (json!({"type": "x", "to": {"all": true}, "id": "a"}), "INVALID_FIELD"),
        (json!({"type": "x", "id": "a", "data": "x".repeat(33_000)}), "VALUE_TOO_LONG"),
    ] {
        let answer = backend.call("users.publish", body.clone()).await;
        assert_eq!(
            (answer.status, &answer.body["error"]["code"]),
            (400, &json!(code)),
            "{body:.100}: {answer:?}"
        );
    }
    backend.world.close().await;
}

#[tokio::test]
async fn sessions_are_ended_with_or_without_a_reconnect() {
    let backend = Backend::new().await;
    for (come_back, code) in
        [(None, Code::Disconnected), (Some(false), Code::Disconnected), (Some(true), Code::Reconnect)]
    {
        let mut alice = backend.world.connect("alice").await;
        let answer = backend.call("users.disconnect", json!({"id": "alice", "come_back": come_back})).await;
        assert_eq!((answer.status, &answer.body["ended"]), (200, &json!(1)), "{answer:?}");
        alice.ended_with(code).await;
    }
    backend.call("users.create", json!({"id": "bob"})).await.ok();
    assert_eq!(backend.call("users.disconnect", json!({"id": "bob"})).await.ok()["ended"], 0);
    backend.world.close().await;
}

#[tokio::test]
async fn live_sessions_are_listed_and_one_of_them_is_ended() {
    let now = 1_800_000_000;
    let backend = Backend::of(World::open_at(Clock::new(move || now)).await).await;
    let url = format!("ws://{}/chat/2.0", backend.address);
    let over_tcp = websocket::Transport::new(&url).unwrap().connect().await.unwrap();
    let mut far = Peer::native(over_tcp, &backend.world.app, "alice", None).await.unwrap();
    let mut near = backend.world.connect("alice").await;
    let mut bob = backend.world.connect("bob").await;
    let listed = backend.call("users.sessions", json!({"id": "alice"})).await.ok();
    let [first, second] = &listed["sessions"].as_array().unwrap()[..] else { panic!("{listed}") };
    assert_eq!((&first["transport"], &first["address"]), (&json!("websocket"), &json!("127.0.0.1")));
    assert_eq!((&second["transport"], second.get("address")), (&json!("memory"), None));
    for session in [first, second] {
        assert_eq!((&session["since"], &session["last_seen"]), (&json!(now), &json!(now)), "{session}");
    }
    let of_bob = backend.call("users.sessions", json!({"id": "bob"})).await.ok();
    let of_bob = &of_bob["sessions"][0]["id"];
    for (id, session, ended) in [
        ("alice", of_bob, 0),
        ("alice", &json!("gone"), 0),
        ("bob", &first["id"], 0),
        ("alice", &first["id"], 1),
    ] {
        let end = json!({"id": id, "session": session, "come_back": ended});
        assert_eq!(backend.call("users.disconnect", end).await.ok()["ended"], ended, "{id} {session}");
    }
    far.ended_with(Code::Reconnect).await;
    for peer in [&mut near, &mut bob] {
        assert_eq!(peer.request("ping", json!({})).await["ok"], true);
    }
    backend.call("users.create", json!({"id": "carol"})).await.ok();
    assert_eq!(backend.call("users.sessions", json!({"id": "carol"})).await.ok()["sessions"], json!([]));
    drop((near, bob));
    backend.world.close().await;
}
