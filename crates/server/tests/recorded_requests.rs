//! Replays recorded requests in both dialects: the server's messages stay the same byte for byte.
//!
//! With `CHATCAMP_RECORD=1` the test writes the recording instead.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{env, fmt::Write as _, fs, path::Path};

use chatcamp_server::{NewUser, Recipients};
use chatcamp_store::{App, Edited};
use common::{Peer, World, user};
use serde_json::json;

/// The types and bodies of the requests, in order. Some bodies are invalid on purpose.
const REQUESTS: &[(&str, &str)] = &[
    ("users.get", "{}"),
    ("users.get", r#"{"id":null}"#),
    ("users.get", r#"{"id":"bob","unknown":1}"#),
    ("users.get", r#"{"id":"nobody"}"#),
    ("users.get", r#"{"id":""}"#),
    ("users.get", r#"{"id":7}"#),
    ("users.get", "[]"),
    ("users.get", r#"["bob"]"#),
    ("users.get", "null"),
    ("users.update", "{}"),
    (
        "users.update",
        r#"{"display_name":"A \"quoted\" name\n","data":"x","metadata":{"b":[1,2.50],"a":{"c":null}}}"#,
    ),
    ("users.update", r#"{"id":"me","avatar_url":"//x","email":"ignored"}"#),
    ("users.update", r#"{"id":"bob","avatar_url":"//x"}"#),
    ("users.update", r#"{"display_name":7}"#),
    ("users.update", r#"{"metadata":[]}"#),
    ("users.update", r#"{"display_name":null}"#),
    ("users.list", "{}"),
    ("users.list", r#"{"limit":1}"#),
    ("users.list", r#"{"limit":1,"reference":"bob"}"#),
    ("users.list", r#"{"limit":0}"#),
    ("users.list", r#"{"limit":1.0}"#),
    ("users.list", r#"{"limit":"1"}"#),
    ("users.list", r#"{"limit":null,"order":"name","custom_filter":{"a":1}}"#),
    ("users.list", r#"{"user_ids":["zoe","bob","nobody","bob"]}"#),
    ("users.list", r#"{"user_ids":[""]}"#),
    ("users.list", r#"{"display_name_search":"B"}"#),
    (
        "users.list",
        r#"{"is_online_filter":"ONLINE","is_active_filter":"ACTIVE","is_check_access_token_filter":"ALL"}"#,
    ),
    ("users.list", r#"{"is_online_filter":"online"}"#),
    ("users.list", r#"{"is_active_filter":"INACTIVE"}"#),
    ("users.list", r#"{"is_check_access_token_filter":"TRUE"}"#),
    ("users.list", r#"{"limit":1,"limit":2}"#),
    ("users.list", "[]"),
    ("users.list_count", "{}"),
    ("users.list_count", r#"{"is_online_filter":"OFFLINE"}"#),
    ("users.list_count", r#"{"is_online_filter":"ALL","is_online_filter":"ALL"}"#),
    ("users.list_count", "[]"),
    ("users.list_count", r#"["ONLINE","ALL","ALL"]"#),
    ("users.block", r#"{"block_id":"bob"}"#),
    ("users.block", r#"{"block_id":"bob"}"#),
    ("users.block", r#"{"block_id":"me"}"#),
    ("users.block", r#"{"block_id":"nobody"}"#),
    ("users.block", "{}"),
    ("users.block", r#"{"block_id":null}"#),
    ("users.block_list", "{}"),
    ("users.block_list", r#"{"limit":1,"reference":"bob"}"#),
    ("users.block_list", r#"{"limit":-1}"#),
    ("users.unblock", r#"{"unblock_id":"bob"}"#),
    ("users.unblock", r#"{"unblock_id":"bob"}"#),
    ("users.unblock", r#"{"unblock_id":"nobody"}"#),
    ("users.unblock", r#"{"block_id":"bob"}"#),
    ("users.refresh", "{}"),
    ("users.refresh", r#"{"access_token":"no such token"}"#),
    ("users.refresh", r#"{"access_token":"no such token","user_id":"bob"}"#),
    ("users.refresh", r#"{"access_token":"no such token","user_id":""}"#),
    ("users.refresh", r#"{"access_token":7}"#),
    ("no.such \"type\"", "{}"),
    ("ping.ack", "{}"),
];

/// Sends a request as text, and records it and the next message from the server.
async fn exchange(log: &mut String, peer: &mut Peer, message: String) {
    writeln!(log, "> {message}").unwrap();
    peer.send(message).await;
    let answer = peer.connection.recv().await.unwrap();
    writeln!(log, "< {}", answer.as_str()).unwrap();
}

async fn record_next(log: &mut String, peer: &mut Peer) {
    writeln!(log, "< {}", peer.connection.recv().await.unwrap().as_str()).unwrap();
}

async fn record() -> String {
    let world = World::open().await;
    let edit = |app: &mut App| {
        app.directory = true;
        Edited::Save
    };
    world.store.edit_app(&world.app, Box::new(edit)).await.unwrap().unwrap();
    for id in ["bob", "zoe"] {
        world.accounts.create_user(&world.app, &user(id), NewUser::default()).await.unwrap();
    }
    let mut log = String::new();
    for dialect in ["native", "published"] {
        writeln!(log, "# {dialect}").unwrap();
        let id = "me";
        let mut peer = if dialect == "native" {
            world.connect(id).await
        } else {
            let mut peer = world.published(&format!("app_id={}&user_id={id}", world.app)).await;
            peer.recv().await;
            peer
        };
        for ((t, d), r) in REQUESTS.iter().zip(1..) {
            let t = serde_json::to_string(t).unwrap();
            exchange(&mut log, &mut peer, format!(r#"{{"t":{t},"d":{d},"r":{r}}}"#)).await;
        }
        let r = REQUESTS.len() + 1;
        exchange(&mut log, &mut peer, format!(r#"{{"t":"users.get","r":{r}}}"#)).await;
        if dialect == "native" {
            for (d, r) in [r#","d":{}"#, r#","d":{"seen":3}"#, r#","d":{"seen":-1}"#, ""].iter().zip(r + 1..)
            {
                exchange(&mut log, &mut peer, format!(r#"{{"t":"ping"{d},"r":{r}}}"#)).await;
            }
        }
        let to = Recipients::Users(vec![user(id)]);
        world.server.publish(&world.app, &to, "a.b", &json!({"x": [1, null]})).await.unwrap();
        record_next(&mut log, &mut peer).await;
        let mut other = world.connect(id).await;
        let change = json!({"t": "users.update", "d": {"display_name": format!("by {dialect}")}, "r": 1});
        exchange(&mut log, &mut other, change.to_string()).await;
        record_next(&mut log, &mut peer).await;
        if dialect == "native" {
            let r = r + 5;
            exchange(&mut log, &mut peer, format!(r#"{{"t":"ping","d":{{"seen":9999}},"r":{r}}}"#)).await;
        }
    }
    world.server.shutdown().await;
    log
}

#[tokio::test(start_paused = true)]
async fn the_server_sends_the_recorded_messages() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded/requests.txt");
    let log = record().await;
    if env::var_os("CHATCAMP_RECORD").is_some() {
        fs::write(&path, log).unwrap();
        return;
    }
    let recorded = fs::read_to_string(path).unwrap();
    for (line, (now, then)) in (1..).zip(log.lines().zip(recorded.lines())) {
        assert_eq!(now, then, "line {line}");
    }
    assert_eq!(log.lines().count(), recorded.lines().count());
}
