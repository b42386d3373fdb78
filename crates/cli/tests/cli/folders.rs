//! Data folders of every earlier release, and folders restored from a backup, still work.
//!
//! `CHATCAMP_KEEP_FIXTURE=1 cargo test -p chatcamp-cli --test cli folders` writes a folder of this release to `tests/fixtures/`
//! for the tests of later releases. Run it once, before the release. The keys and tokens in it protect nothing.

use std::{
    env, fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
};

use chatcamp_client::{ChatCamp, Event};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::process::{Folder, mode, text};

/// An app id of the hosted service, which JavaScript rounds.
const APP: &str = "6399747348821438464";
const ROUNDED: &str = "6399747348821438000";
const CHOSEN: &str = "an access token of his own";
/// A hundred years, in seconds.
const LONG: &str = "3153600000";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Creates a folder with every kind of record. Returns the secrets of its users and backends.
async fn make(folder: &Folder) -> Value {
    let app = folder.ok(&["app", "create", "demo", "--auth", "open", "--id", APP]);
    folder.ok(&["app", "create", "strict", "--auth", "token"]);
    let key = folder.ok(&["app", "key", "create", "--app", APP, "--name", "revoked"]);
    folder.ok(&["app", "key", "revoke", "--app", APP, text(&key, "id")]);
    let user = |args: &[&str]| folder.ok(&[&["user"], args, &["--app", APP]].concat());
    let token = |object: Value| object["access_token"].clone();
    let alice = token(user(&["create", "alice", "--display-name", "Älice"]));
    user(&["create", "bob", "--token", CHOSEN]);
    let carol = token(user(&["create", "carol"]));
    user(&["suspend", "carol"]);
    let before = token(user(&["create", "dave"]));
    let dave = token(user(&["token", "dave", "--new", "--expires-in", LONG, "--grace", LONG]));
    let profile = folder.file("erin");
    let erin =
        json!({"id": "erin", "email": "erin@example.com", "metadata": {"k": [1, {"n": null}]}, "data": "d"});
    fs::write(&profile, erin.to_string()).unwrap();
    user(&["import", profile.to_str().unwrap()]);

    let serve = folder.start(&["serve", "--listen", "127.0.0.1:0"]);
    let url = format!("http://{}", text(&serve.line(), "listening"));
    assert_eq!(folder.run(&["connect", "passer-by", "--app", APP, "--url", &url]).code, 0);
    let chat = ChatCamp::builder(APP).url(&url).build().unwrap();
    chat.connect(("alice", alice.as_str().unwrap())).await.unwrap();
    chat.request("users.block", json!({ "block_id": "bob" })).await.unwrap();
    chat.disconnect().await;
    serve.signal(Signal::TERM);
    assert_eq!(serve.wait().code, 0);
    json!({
        "api_key": app["api_key"], "revoked_api_key": key["api_key"],
        "alice": alice, "bob": CHOSEN, "carol": carol, "dave": dave, "dave before": before,
    })
}

/// Asserts that every record of such a folder works.
async fn check(folder: &Folder, secrets: &Value) {
    let serve = folder.start(&["serve", "--listen", "127.0.0.1:0"]);
    let address = text(&serve.line(), "listening").to_owned();
    let url = format!("http://{address}");
    let secret = |name: &str| text(secrets, name);

    for (user, token, app, is_let_in) in [
        ("alice", secret("alice"), APP, true),
        ("alice", secret("alice"), ROUNDED, true),
        ("bob", secret("bob"), APP, true),
        ("dave", secret("dave"), APP, true),
        ("dave", secret("dave before"), APP, true),
        ("carol", secret("carol"), APP, false),
        ("bob", secret("alice"), APP, false),
        ("alice", "a token of nobody", APP, false),
    ] {
        for transport in ["websocket", "long-poll"] {
            let connect =
                ["connect", user, "--app", app, "--url", &url, "--token", token, "--transport", transport];
            assert_eq!(folder.run(&connect).code == 0, is_let_in, "{user} over {transport}");
        }
    }
    for (user, is_let_in) in [("passer-by", true), ("alice", false)] {
        let code = folder.run(&["connect", user, "--app", APP, "--url", &url]).code;
        assert_eq!(code == 0, is_let_in, "{user}, by id alone");
    }

    let chat = ChatCamp::builder(APP).url(&url).build().unwrap();
    let mut events = chat.events();
    chat.connect(("alice", secret("alice"))).await.unwrap();
    assert!(matches!(events.next().await, Some(Event::Connected { .. })));
    let blocked = chat.request("users.block_list", json!({})).await.unwrap().parse::<Value>().unwrap();
    assert_eq!((&blocked["users"][0]["id"], blocked["users"].as_array().unwrap().len()), (&json!("bob"), 1));
    chat.disconnect().await;

    let get = |key: &str, id: &str| {
        let body = json!({ "id": id }).to_string();
        let mut tcp = TcpStream::connect(&address).unwrap();
        write!(
            tcp,
            "POST /api/2.0/users.get HTTP/1.1\r\nhost: h\r\nconnection: close\r\nx-api-key: {key}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].to_owned(), serde_json::from_str::<Value>(body).unwrap())
    };
    let (status, alice) = get(secret("api_key"), "alice");
    assert_eq!((status.as_str(), &alice["access_token"]), ("200", &secrets["alice"]), "{alice}");
    assert_eq!(alice["user"]["display_name"], "Älice");
    let (_, erin) = get(secret("api_key"), "erin");
    assert_eq!(erin["user"]["metadata"], json!({"k": [1, {"n": null}]}), "{erin}");
    assert_ne!(get(secret("revoked_api_key"), "alice").0, "200");

    let apps = folder.run(&["app", "list"]).objects();
    let apps: Vec<_> = apps.iter().map(|app| (text(app, "name"), text(app, "auth"), &app["users"])).collect();
    assert_eq!(apps, [("demo", "open", &json!(6)), ("strict", "token", &json!(0))]);
    serve.signal(Signal::TERM);
    assert_eq!(serve.wait().code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_this_release_works_and_so_does_its_backup() {
    let (folder, other) = (Folder::new(), Folder::new());
    let secrets = make(&folder).await;
    let serve = folder.start(&["serve", "--listen", "127.0.0.1:0"]);
    serve.line();
    let backup = folder.file("chatcamp.db");
    let backup = backup.to_str().unwrap();
    let made = folder.ok(&["backup", backup, "--with-keys"]);
    assert_eq!((&made["users"], text(&made, "keys_copy")), (&json!(6), &*format!("{backup}.keys")));
    assert_eq!((mode(backup.as_ref()), mode(format!("{backup}.keys").as_ref())), (0o600, 0o600));
    let refused = folder.run(&["restore", backup, "--force"]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("already served"), "{}", refused.stderr);

    assert_eq!(other.ok(&["restore", backup])["users"], 6);
    check(&other, &secrets).await;
    drop(serve);
    check(&folder, &secrets).await;
    if env::var_os("CHATCAMP_KEEP_FIXTURE").is_some() {
        let place = fixtures().join(env!("CARGO_PKG_VERSION"));
        fs::create_dir_all(&place).unwrap();
        fs::copy(backup, place.join("chatcamp.db")).unwrap();
        fs::copy(format!("{backup}.keys"), place.join("keys")).unwrap();
        fs::write(place.join("secrets.json"), serde_json::to_string_pretty(&secrets).unwrap() + "\n")
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_of_all_earlier_releases_work() {
    let releases: Vec<_> = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!releases.is_empty());
    for release in releases {
        let folder = Folder::new();
        fs::create_dir(folder.path()).unwrap();
        for name in ["chatcamp.db", "keys"] {
            fs::copy(release.join(name), folder.path().join(name)).unwrap();
        }
        let secrets = fs::read_to_string(release.join("secrets.json")).unwrap();
        check(&folder, &serde_json::from_str(&secrets).unwrap()).await;
    }
}

#[test]
fn a_backup_says_that_the_keys_are_needed_and_where_they_are() {
    let folder = Folder::new();
    let missing = folder.run(&["backup", folder.file("backup").to_str().unwrap()]);
    assert!(missing.code == 1 && missing.stderr.contains("does not exist"), "{}", missing.stderr);
    folder.ok(&["app", "create", "demo", "--auth", "open"]);
    let backup = folder.file("backup");
    let done = crate::process::Done::of(&mut folder.command(&["backup", backup.to_str().unwrap()]));
    let keys = folder.path().join("keys").display().to_string();
    for said in [keys.as_str(), "not in the backup", "every access token and API key is void"] {
        assert!(done.stdout.contains(said), "{said}: {}", done.stdout);
    }
    let refused = Folder::new().run(&["restore", backup.to_str().unwrap()]);
    assert!(refused.code == 1 && refused.stderr.contains("--keys"), "{}", refused.stderr);
    let refused = folder.run(&["restore", backup.to_str().unwrap()]);
    assert!(refused.code == 1 && refused.stderr.contains("--force"), "{}", refused.stderr);
    assert_eq!(folder.run(&["restore", backup.to_str().unwrap(), "--force"]).code, 0);
}
