//! Arguments, exit codes and output streams.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use chatcamp_protocol::{AppId, UserId};
use chatcamp_server::{DataDir, NewUser};
use rustix::process::Signal;

use crate::process::{Done, Folder, Running, head, text};

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
        &["app", "policy", "demo", "--auth", "open"],
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
        &["app", "key", "create", "--app", app, "--name", ""],
    ] {
        let done = folder.run(args);
        assert_eq!(done.code, 2, "{args:?}: {}", done.stderr);
        assert_eq!(done.stderr.lines().count(), 1, "{}", done.stderr);
    }
}

#[test]
fn refusals_and_failures_exit_with_one() {
    let folder = Folder::new();
    for args in [&["user", "list", "--app", "demo"] as &[&str], &["user", "list"]] {
        let listed = folder.run(args);
        assert!(listed.code == 1 && !folder.path().exists(), "{}", listed.stderr);
        assert!(listed.stderr.contains("does not exist; create it"), "{}", listed.stderr);
    }
    folder.ok(&["app", "create", "demo", "--auth", "open", "--id", "demo"]);
    for args in [
        &["app", "create", "demo", "--auth", "open", "--id", "demo"] as &[&str],
        &["app", "policy", "--app", "other", "--auth", "open"],
        &["app", "key", "list", "--app", "other"],
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

/// Returns the page that `--help` prints in a terminal of this width.
fn help(args: &[&str], columns: &str) -> String {
    let done = Done::of(Folder::new().command(args).arg("--help").env("COLUMNS", columns));
    assert_eq!(done.code, 0, "{args:?}: {}", done.stderr);
    done.stdout
}

#[test]
fn help_breaks_lines_between_words() {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    for args in [&[] as &[&str], &["dev"], &["serve"], &["user", "import"], &["app", "origins"], &["connect"]]
    {
        let narrow = help(args, "60");
        assert_eq!(words(&narrow), words(&help(args, "100")), "{args:?}");
        for line in narrow.lines().filter(|line| !line.contains("Usage:")) {
            // A word may be longer than the width.
            assert!(line.chars().count() <= 60 || line.trim().split(' ').count() == 1, "{line}");
        }
    }
}

#[test]
fn a_mistyped_word_is_answered_with_the_nearest_one() {
    for (args, nearest) in [
        (&["conect", "alice"] as &[&str], "'connect'"),
        (&["user", "lst"], "'list'"),
        (&["serve", "--dashbord"], "'--dashboard'"),
        (&["app", "create", "shop", "--auth", "tokn"], "'token'"),
    ] {
        let done = Folder::new().run(args);
        assert!(done.code == 2 && done.stderr.contains(nearest), "{args:?}: {}", done.stderr);
        assert!(!done.stderr.contains('\u{1b}'), "no colour without a terminal: {}", done.stderr);
    }
}

#[test]
fn every_option_of_a_server_has_an_environment_variable_except_the_one_that_replaces_a_database() {
    for command in ["dev", "serve"] {
        let help = help(&[command], "100");
        let options = help.split_once("\nOptions:\n").unwrap().1;
        let mut options: Vec<_> = options.split("      --").skip(1).collect();
        options.retain(|option| !option.starts_with("help") && !option.starts_with("new-database"));
        assert!(options.len() >= 5, "{help}");
        for option in options {
            let name = option.split([' ', '\n']).next().unwrap();
            let variable = format!("[env: CHATCAMP_{}=]", name.to_uppercase().replace('-', "_"));
            let text = option.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(text.contains(&variable), "--{name} has no {variable}: {text}");
        }
        assert!(!help.contains("CHATCAMP_NEW_DATABASE"));
    }
}

#[test]
fn options_are_read_from_the_environment_and_an_empty_variable_counts_as_unset() {
    let folder = Folder::new();
    folder.ok(&["app", "create", "demo", "--auth", "open", "--id", "demo"]);
    folder.ok(&["app", "create", "other", "--auth", "open", "--id", "other"]);
    let mut list = folder.command(&["user", "create", "alice"]);
    let created = Done::of(list.env("CHATCAMP_APP", "demo").env("CHATCAMP_JSON", "1"));
    assert_eq!((created.code, text(&created.objects()[0], "id")), (0, "alice"), "{}", created.stderr);
    let mut list = Command::new(env!("CARGO_BIN_EXE_chatcamp"));
    list.args(["user", "list", "--app", "demo"]).env("CHATCAMP_DATA", folder.path());
    let listed = Done::of(list.env("CHATCAMP_JSON", "").env("CHATCAMP_APP", ""));
    assert!(listed.code == 0 && listed.stdout.starts_with("alice\t"), "{}{}", listed.stdout, listed.stderr);

    let mut serve = folder.command(&["serve"]);
    for (variable, value) in [
        ("CHATCAMP_LISTEN", "127.0.0.1:0"),
        ("CHATCAMP_ADMIN_LISTEN", ""),
        ("CHATCAMP_DASHBOARD", "true"),
        ("CHATCAMP_DASHBOARD_HOST", "chat.example,https://admin.example"),
        ("CHATCAMP_JSON", "true"),
    ] {
        serve.env(variable, value);
    }
    let serve = Running::start(&mut serve);
    assert!(serve.line().get("dashboard").is_some());
    serve.signal(Signal::TERM);
    assert_eq!(serve.wait().code, 0);
}

#[test]
fn completions_are_printed_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let done = Folder::new().run(&["completions", shell]);
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{shell}");
        for word in ["publish", "trusted-proxy", "keep-alive"] {
            assert!(done.stdout.contains(word), "{shell} does not complete {word}");
        }
    }
}

#[test]
#[ignore = "needs bash: apt-get install bash"]
fn bash_completes_commands_options_and_values() {
    let folder = Folder::new();
    let file = folder.file("completions");
    fs::write(&file, folder.run(&["completions", "bash"]).stdout).unwrap();
    for (words, completed) in [
        (&["chatcamp", "us"] as &[&str], "user"),
        (&["chatcamp", "user", "sus"], "suspend"),
        (&["chatcamp", "serve", "--keep"], "--keep-alive"),
        (&["chatcamp", "connect", "alice", "--transport", "long"], "long-poll"),
    ] {
        let script = format!(
            "source '{}'; COMP_WORDS=({}); COMP_CWORD={}; _chatcamp chatcamp '{}' '{}'; echo \"${{COMPREPLY[@]}}\"",
            file.display(),
            words.join(" "),
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2],
        );
        let done = Done::of(Command::new("bash").args(["--norc", "-c", &script]));
        assert_eq!(done.stdout.trim(), completed, "{words:?}: {}", done.stderr);
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
