//! What a person sees and types: activity, colours, typed commands.

use std::io::Write as _;

use chatcamp_backend::Backend;
use serde_json::json;

use crate::{
    process::{Done, Folder, text},
    terminal::at_terminal,
};

#[test]
fn dev_prints_a_line_for_what_users_and_backends_do() {
    let folder = Folder::new();
    let (mut dev, ready) = folder.dev();
    folder.ok(&["user", "create", "bob"]);
    let mut alice = folder.start(&["connect", "alice", "--transport", "long-poll"]);
    alice.event("connected");
    dev.logs("  alice             connected over long-poll");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let publish = async |key: &str, user: &str| {
            let backend = Backend::builder(text(&ready, "url"), key).build().unwrap();
            backend.publish(user, "order.paid", &json!({})).await
        };
        let key = text(&ready, "api_key");
        publish(key, "alice").await.unwrap();
        publish(key, "bob").await.unwrap();
        publish("ck1_wrong", "alice").await.unwrap_err();
    });
    dev.logs("  alice             event order.paid: delivered to 1 session");
    dev.logs("  bob               event order.paid: lost, no recipient has a session");
    dev.logs("  a backend         request refused: API_KEY_INVALID: ");
    assert_eq!(folder.run(&["connect", "bob"]).code, 1);
    dev.logs("  bob               refused: ACCESS_TOKEN_REQUIRED: this user must present an access token; `");
    assert_eq!(folder.run(&["connect", "bob", "--app", "nosuchapp"]).code, 1);
    dev.logs("; the client named nosuchapp");
    let carl = folder.start(&["connect", "carl"]);
    carl.event("connected");
    folder.ok(&["user", "disconnect", "carl"]);
    assert_eq!(carl.wait().code, 1);
    dev.logs("  carl              session ended by the server: DISCONNECTED: ");
    alice.end_stdin();
    dev.logs("  alice             disconnected");
    let done = dev.kill();
    assert!(
        done.stderr.contains(&format!("{}` prints", folder.next_command("user token bob"))),
        "{}",
        done.stderr
    );
    assert!(!done.stderr.contains("can be resumed"), "Carl's session has ended: {}", done.stderr);
    assert!(!done.stderr.contains("grace"), "the self-check is not shown: {}", done.stderr);
}

#[test]
fn a_person_types_commands_and_a_pipe_does_not() {
    let folder = Folder::new();
    let (_dev, ready) = folder.dev();
    folder.ok(&["app", "directory", "--app", text(&ready, "app_id"), "on"]);
    let mut command = folder.command(&["connect", "alice"]);
    let (alice, mut person) = at_terminal(&mut command);
    alice.text_until("connected as alice");
    for (typed, answer) in [
        ("hello", "channels are not built yet"),
        ("/help", "/block ID"),
        ("/name", "a name is missing: /name NAME"),
        ("/name Alice A.", "your name is now Alice A."),
        ("/users", "online   alice  Alice A."),
        ("/block zoe", "USER_NOT_FOUND"),
        ("/blocked", "no users"),
    ] {
        person.write_all(format!("{typed}\n").as_bytes()).unwrap();
        alice.text_until(answer);
    }
    person.write_all(b"/quit\n").unwrap();
    let done = alice.wait();
    assert_eq!((done.code, done.stdout.as_str()), (0, "disconnected\n"), "{}", done.stderr);

    let mut piped = folder.start(&["connect", "alice"]);
    piped.write("/name Bob\n");
    piped.event("connected");
    piped.end_stdin();
    assert_eq!(piped.wait().objects(), [json!({ "event": "disconnected" })]);
}

#[test]
fn colours_are_for_terminals_and_can_be_turned_off() {
    let folder = Folder::new();
    let (_dev, _) = folder.dev();
    let connect = |environment: &[(&str, &str)]| {
        let mut command = folder.command(&["connect", "alice"]);
        Done::of(command.envs(environment.iter().copied())).stdout
    };
    assert_eq!(connect(&[]), "connected as alice over websocket\ndisconnected\n");
    assert!(connect(&[("CLICOLOR_FORCE", "1")]).starts_with("\u{1b}[32mconnected as alice"));
    assert!(!connect(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).contains('\u{1b}'));
}
