//! Arguments, exit codes and output streams.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use chatcamp_protocol::{AppId, UserId};
use chatcamp_server::{DataDir, NewUser};

use crate::process::{Folder, head, text};

#[test]
fn invalid_arguments_exit_with_two_and_create_nothing() {
    let folder = Folder::new();
    let long = "x".repeat(256);
    for args in [
        &[] as &[&str],
        &["fly"],
        &["dev", "--listen", "nowhere"],
        &["serve", "--listen", "127.0.0.1:99999"],
        &["app", "create", "demo"],
        &["app", "create", "demo", "--auth", "maybe"],
        &["app", "create", "demo", "--auth", "open", "--id", "a b"],
        &["user", "create", "", "--app", "demo"],
        &["user", "create", "a\nb", "--app", "demo"],
        &["user", "create", &long, "--app", "demo"],
        &["user", "create", "alice", "--app", "a/b"],
        &["user", "create", "alice", "--app", "demo", "--token", "t", "--token-file", "f"],
        &["user", "create", "alice", "--app", "demo", "--token", ""],
        &["user", "list", "--app", "demo", "--limit", "few"],
        &["user", "token", "alice", "--app", "demo", "--expires-in", "5"],
        &["user", "list"],
        &["connect", "alice"],
        &["connect", "alice", "--app", "demo"],
        &["connect", "alice", "--url", "http://127.0.0.1:1"],
        &["connect", "alice", "--app", "demo", "--url", "ftp://127.0.0.1"],
        &["connect", "alice", "--app", "demo", "--url", "http://127.0.0.1:1/?room=1"],
        &["connect", "alice", "--app", "demo", "--url", "http://127.0.0.1:1/#top"],
        &[
            "connect",
            "alice",
            "--app",
            "demo",
            "--url",
            "http://127.0.0.1:1/api/2.0",
            "--transport",
            "long-poll",
        ],
        &["serve", "--listen", "127.0.0.1:0", "--dashboard", "--public-url", "http://127.0.0.1:1/?room=1"],
        &["connect", "alice", "--app", "demo", "--url", "http://127.0.0.1:1", "--transport", "pigeon"],
    ] {
        let done = folder.run(args);
        assert_eq!((done.code, done.stdout.as_str()), (2, ""), "{args:?}: {}", done.stderr);
        assert!(done.stderr.contains("error: ") || args.is_empty(), "{args:?}: {}", done.stderr);
    }
    assert!(!folder.path().exists());
}

#[test]
fn an_invalid_token_or_name_exits_with_two() {
    let folder = Folder::new();
    let app = folder.ok(&["app", "create", "demo", "--auth", "open"]);
    let app = text(&app, "app_id");
    let long = "x".repeat(256);
    for args in [
        &["user", "create", "alice", "--app", app, "--token", "short"] as &[&str],
        &["user", "create", "alice", "--app", app, "--token", "ct1_looks_like_a_derived_one"],
        &["user", "create", "alice", "--app", app, "--display-name", &long],
        &["app", "create", "", "--auth", "open"],
        &["app", "key", "create", app, "--name", ""],
    ] {
        let done = folder.run(args);
        assert_eq!(done.code, 2, "{args:?}: {}", done.stderr);
        assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
    }
}

#[test]
fn refusals_and_failures_exit_with_one() {
    let folder = Folder::new();
    let listed = folder.run(&["user", "list", "--app", "demo"]);
    assert!(listed.code == 1 && !folder.path().exists(), "{}", listed.stderr);
    folder.ok(&["app", "create", "demo", "--auth", "open", "--id", "demo"]);
    for args in [
        &["app", "create", "demo", "--auth", "open", "--id", "demo"] as &[&str],
        &["app", "policy", "other", "--auth", "open"],
        &["app", "key", "list", "other"],
        &["user", "list", "--app", "other"],
        &["user", "create", "alice", "--app", "other"],
        &["user", "create", "alice", "--app", "demo", "--token-file", "no/such/file"],
        &["user", "show", "nobody", "--app", "demo"],
    ] {
        let done = folder.run(args);
        assert_eq!((done.code, done.stdout.as_str()), (1, ""), "{args:?}: {}", done.stderr);
        assert!(done.stderr.starts_with("error: ") && done.stderr.lines().count() == 1, "{}", done.stderr);
    }
}

#[test]
fn help_goes_to_stdout_and_succeeds() {
    for args in [&["--help"] as &[&str], &["user", "--help"], &["connect", "--help"], &["--version"]] {
        let done = Folder::new().run(args);
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{args:?}");
        assert!(!done.stdout.is_empty());
    }
}

#[test]
fn closing_stdout_early_is_not_a_failure() {
    let folder = Folder::new();
    let app = folder.ok(&["app", "create", "demo", "--auth", "open"]);
    // More than fits into a pipe or a page.
    const USERS: usize = 600;
    create_users(&folder, text(&app, "app_id"), USERS);
    let list = &["user", "list", "--app", text(&app, "app_id")];
    assert_eq!(folder.run(list).objects().len(), USERS);
    let (code, stderr) = head(folder.command(list).arg("--json"));
    assert_eq!((code, stderr.as_str()), (0, ""));
}

#[test]
fn a_server_keeps_running_when_stdout_is_closed() {
    let folder = Folder::new();
    let mut command = folder.command(&["dev", "--listen", "127.0.0.1:0", "--json"]);
    command.env("CHATCAMP_LOG", "chatcamp_cli=debug").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    log.find(|line| line.as_ref().unwrap().contains("the self-check has ended")).unwrap().unwrap();
    let connected = folder.run(&["connect", "alice"]);
    let still_running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(connected.code == 0 && still_running, "{}", connected.stderr);
}

/// Creates users within this process, which is faster than one process for each.
fn create_users(folder: &Folder, app: &str, users: usize) {
    let app = AppId::new(app).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    runtime.block_on(async {
        let accounts = DataDir::open(folder.path(), None).await.unwrap().accounts();
        let mut tasks = Vec::new();
        for n in 0..users {
            let (accounts, app) = (accounts.clone(), app.clone());
            let id = UserId::new(format!("user-{n}")).unwrap();
            tasks
                .push(tokio::spawn(async move { accounts.create_user(&app, &id, NewUser::default()).await }));
        }
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    });
}
