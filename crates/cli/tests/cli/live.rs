//! Tests of `chatcamp user publish`, `sessions` and `disconnect`, which call the API of a running server.

use std::fs;

use serde_json::json;

use crate::{
    process::{Done, Folder, text},
    terminal::on_terminal,
};

#[test]
fn events_are_published_and_sessions_listed_and_ended() {
    let folder = Folder::new();
    let (_dev, _) = folder.dev();
    let stays = folder.start(&["connect", "alice", "--stay"]);
    stays.event("connected");
    let sessions = || folder.run(&["user", "sessions", "alice"]).objects();
    let id = text(&sessions()[0], "id").to_owned();
    assert_eq!(text(&sessions()[0], "transport"), "websocket");

    let published = folder.ok(&["user", "publish", "alice", "order.shipped", r#"{"order": 17}"#]);
    assert_eq!(published, json!({"delivered": 1, "queued": 0}));
    let event = stays.line();
    assert_eq!((text(&event, "type"), &event["data"]), ("order.shipped", &json!({"order": 17})), "{event}");
    let lost = folder.ok(&["user", "publish", "nobody", "news", "-1"]);
    assert_eq!(lost, json!({"delivered": 0, "queued": 0}));

    let list = ["user", "sessions", "alice"];
    let piped = Done::of(&mut folder.command(&list)).stdout;
    assert!(piped.starts_with(&format!("{id}\twebsocket\t127.0.0.1\t")), "{piped}");
    assert!(on_terminal(folder.command(&list)).1.starts_with("SESSION ID"));
    let publish = ["user", "publish", "alice", "news"];
    assert_eq!(Done::of(&mut folder.command(&publish)).stdout, "delivered\t1\nqueued\t0\n");
    assert_eq!(on_terminal(folder.command(&publish)).1, "delivered to 1 session\n");

    let bob = folder.start(&["connect", "bob", "--stay"]);
    bob.event("connected");
    bob.kill();
    let publish = |id| folder.command(&["user", "publish", id, "news"]);
    // Until the server has noticed that the connection is lost.
    let queued =
        std::iter::repeat_with(|| on_terminal(publish("bob")).1).find(|said| said.starts_with("queued"));
    assert_eq!(queued.unwrap(), "queued for 1 session that is detached and may come back\n");
    assert_eq!(on_terminal(publish("nobody")).1, "lost: the user has no session\n");

    let end = ["user", "disconnect", "alice", "--session"];
    assert_eq!(folder.ok(&[&end[..], &["another"]].concat())["ended"], 0);
    assert_eq!(Done::of(&mut folder.command(&[&end[..], &[&id]].concat())).stdout, "1\n");
    let ended = stays.wait();
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert_eq!(sessions(), [json!(null); 0]);
}

#[test]
fn a_key_and_a_url_reach_a_server_without_a_development_app() {
    let (folder, elsewhere) = (Folder::new(), Folder::new());
    let app = folder.ok(&["app", "create", "shop", "--auth", "open"]);
    folder.ok(&["user", "create", "alice"]);
    let serve = folder.start(&["serve", "--listen", "127.0.0.1:0"]);
    let url = format!("http://{}", text(&serve.line(), "listening"));
    let file = folder.file("key");
    fs::write(&file, format!("{}\n", text(&app, "api_key"))).unwrap();
    let args = ["user", "disconnect", "alice", "--url", &url, "--api-key-file", file.to_str().unwrap()];
    assert_eq!(elsewhere.ok(&args)["ended"], 0);
    fs::write(&file, Done::of(&mut folder.command(&["app", "key", "create"])).stdout).unwrap();
    assert_eq!(elsewhere.ok(&args)["ended"], 0);
    let mut by_environment = elsewhere.command(&["user", "sessions", "alice"]);
    by_environment.env("CHATCAMP_URL", &url).env("CHATCAMP_API_KEY", text(&app, "api_key"));
    assert_eq!(Done::of(&mut by_environment).code, 0);
    // `connect` takes the same URL, or a script would reach two servers.
    let mut connect = folder.command(&["connect", "bob"]);
    let connect = Done::of(connect.env("CHATCAMP_URL", &url));
    assert_eq!(connect.code, 0, "{}", connect.stderr);
    assert!(!elsewhere.path().exists());
}

#[test]
fn an_error_says_which_server_was_asked_and_what_to_do() {
    let (folder, none) = (Folder::new(), Folder::new());
    let (dev, ready) = folder.dev();
    let url = format!("http://{}", text(&ready, "listening"));
    let sessions = ["user", "sessions", "alice"];
    let wrong = |key: &str| {
        Done::of(folder.command(&[&sessions[..], &["--url", &url]].concat()).env("CHATCAMP_API_KEY", key))
    };
    let publish = |event: &str, data: &str| folder.run(&["user", "publish", "alice", event, data]);
    for (done, code, says) in [
        (none.run(&sessions), 2, "--url URL is missing, and".to_owned()),
        // The key of dev.json is not sent to the server of an option.
        (
            folder.run(&[&sessions[..], &["--url", &url]].concat()),
            2,
            format!("an API key for {url} is missing"),
        ),
        (wrong("ck1_wrong"), 1, format!("the server at {url} does not know the API key")),
        (wrong("ck1_a\nck1_b"), 2, "CHATCAMP_API_KEY has 2 lines; an API key is one line".to_owned()),
        (folder.run(&sessions), 1, "USER_NOT_FOUND".to_owned()),
        (publish("order shipped", "1"), 2, "INVALID_FIELD".to_owned()),
        (publish("order.shipped", "{17}"), 2, "this is not JSON".to_owned()),
    ] {
        assert_eq!((done.code, done.stdout.as_str()), (code, ""), "{}", done.stderr);
        assert!(done.stderr.contains(&says), "{says}: {}", done.stderr);
    }
    let mut exposed = folder.command(&[&sessions[..], &["--url", "http://chat.example"]].concat());
    let exposed = Done::of(exposed.env("CHATCAMP_API_KEY", "ck1_key"));
    assert!(exposed.code == 2 && exposed.stderr.contains("use https:// instead of http://chat.example"));

    drop(dev);
    let done = folder.run(&sessions);
    assert_eq!(done.code, 1);
    assert!(
        done.stderr.starts_with(&format!("error: no server runs at {url}; start one with")),
        "{}",
        done.stderr
    );
}
