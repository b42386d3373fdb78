//! Results for scripts: bare if stdout is not a terminal, with titles and labels on a terminal.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::{
    process::{Done, Folder, text},
    terminal::on_terminal,
};

/// Runs `args` with a pipe as stdout; they must succeed.
fn piped(folder: &Folder, args: &[&str]) -> String {
    let done = Done::of(&mut folder.command(args));
    assert_eq!(done.code, 0, "{args:?}: {}", done.stderr);
    done.stdout
}

#[test]
fn one_value_is_a_line_that_the_next_command_reads() {
    let folder = Folder::new();
    let (_dev, _) = folder.dev();
    let created = piped(&folder, &["user", "create", "zoe"]);
    assert!(created.starts_with("ct1_") && created.lines().count() == 1, "{created}");
    assert_eq!(piped(&folder, &["user", "token", "zoe"]), created);

    let mut token = folder.command(&["user", "token", "zoe"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut connect = folder.command(&["connect", "zoe", "--token-file", "-", "--json"]);
    let connected = Done::of(connect.stdin(token.stdout.take().unwrap()));
    assert!(token.wait().unwrap().success());
    assert_eq!(connected.code, 0, "{}", connected.stderr);
    assert_eq!(text(&connected.objects()[0], "event"), "connected");

    let password = piped(&folder, &["admin", "password"]);
    assert!(password.lines().count() == 1 && !password.contains(' '), "{password}");
    let file = folder.file("password");
    fs::write(&file, &password).unwrap();
    assert_eq!(folder.run(&["admin", "password", "--password-file", file.to_str().unwrap()]).code, 0);
}

#[test]
fn a_token_of_several_lines_is_refused() {
    let folder = Folder::new();
    let (_dev, _) = folder.dev();
    let file = folder.file("token");
    fs::write(&file, "user          zoe\naccess token  ct1_x\n").unwrap();
    let file = file.to_str().unwrap();
    for command in ["connect", "create"] {
        let begin: &[&str] = if command == "create" { &["user"] } else { &[] };
        let done = folder.run(&[begin, &[command, "zoe", "--token-file", file]].concat());
        assert_eq!(done.code, 2, "{}", done.stderr);
        let says = format!("error: the token file {file} has 2 lines; an access token is one line\n");
        assert_eq!(done.stderr, says);
    }
    let mut by_stdin = folder.command(&["connect", "zoe", "--token-file", "-"]);
    let done = Done::of(by_stdin.stdin(fs::File::open(file).unwrap()));
    assert!(done.code == 2 && done.stderr.contains("stdin has 2 lines"), "{}", done.stderr);
    let done = Done::of(folder.command(&["connect", "zoe"]).env("CHATCAMP_TOKEN", "a\nb"));
    assert!(done.code == 2 && done.stderr.contains("CHATCAMP_TOKEN has 2 lines"), "{}", done.stderr);
}

#[test]
fn lists_are_lines_of_values_with_tabs_and_other_results_lines_of_a_name_and_a_value() {
    let folder = Folder::new();
    let create =
        ["app", "create", "my shop", "--auth", "open", "--id", "shop", "--origin", "https://shop.example"];
    let created = piped(&folder, &create);
    let named = |text: &str, name: &str| -> Vec<String> {
        let values =
            text.lines().filter_map(|line| line.split_once('\t')).filter(|(found, _)| *found == name);
        values.map(|(_, value)| value.to_owned()).collect()
    };
    assert_eq!(named(&created, "app_id"), ["shop"]);
    assert!(named(&created, "api_key")[0].starts_with("ck1_"), "{created}");
    assert_eq!(named(&created, "name"), ["my shop"]);
    assert_eq!(named(&piped(&folder, &["app", "origins"]), "origins"), ["https://shop.example"]);
    let key = piped(&folder, &["app", "key", "create", "--name", "backend"]);
    assert!(named(&key, "api_key")[0].starts_with("ck1_"), "{key}");

    folder.ok(&["user", "create", "alice", "--display-name", "Alice\tA."]);
    assert_eq!(named(&piped(&folder, &["user", "show", "alice"]), "display_name"), ["Alice\\tA."], "escaped");
    for (list, fields) in [
        (&["user", "list"] as &[&str], &["alice", "never", "Alice\\tA.", "locked,token"] as &[&str]),
        (&["app", "list"], &["shop", "open", "1", "20", "my shop"]),
        (&["app", "key", "list"], &["", "20", "default"]),
    ] {
        let listed = piped(&folder, list);
        let cells: Vec<_> = listed.lines().next().unwrap().split('\t').collect();
        assert_eq!(cells.len(), fields.len(), "{list:?}: {listed}");
        for (cell, begin) in cells.iter().zip(fields) {
            assert!(cell.starts_with(begin), "{list:?}: {listed}");
        }
    }
}

#[test]
fn a_terminal_gets_titles_and_labels() {
    let folder = Folder::new();
    folder.ok(&["app", "create", "shop", "--auth", "open", "--id", "shop"]);
    folder.ok(&["user", "create", "alice", "--display-name", "Alice"]);
    for (args, titles) in [
        (&["user", "list"] as &[&str], &["ID", "LAST SEEN", "DISPLAY NAME", "STATUS"] as &[&str]),
        (&["app", "list"], &["APP ID", "AUTH", "USERS", "CREATED", "NAME"]),
        (&["app", "key", "list"], &["KEY ID", "CREATED", "NAME"]),
    ] {
        let (code, written) = on_terminal(folder.command(args));
        let [title, entry] = written.lines().collect::<Vec<_>>()[..] else { panic!("{args:?}: {written}") };
        assert_eq!(code, 0);
        let found: Vec<_> = title.split("  ").map(str::trim).filter(|title| !title.is_empty()).collect();
        assert_eq!(found, titles);
        let starts_column = |title: &&str| entry[..written.find(*title).unwrap()].ends_with("  ");
        assert!(titles[1..].iter().all(starts_column), "{written}");
        let (_, json) = on_terminal(folder.command(&[args, &["--json"]].concat()));
        assert!(json.starts_with('{'), "{json}");
    }
    let (_, token) = on_terminal(folder.command(&["user", "token", "alice"]));
    assert!(token.starts_with("user          alice\naccess token  ct1_"), "{token}");
    let (_, shown) = on_terminal(folder.command(&["user", "show", "alice"]));
    assert!(shown.contains("display name  Alice\n"), "{shown}");

    for wrong in [&["usr"] as &[&str], &["user", "token", "nobody"]] {
        let mut refused: Command = folder.command(wrong);
        refused.env("TERM", "xterm").env_remove("NO_COLOR");
        assert!(on_terminal(refused).1.contains('\u{1b}'), "errors have colours: {wrong:?}");
        let mut refused: Command = folder.command(wrong);
        refused.env("TERM", "xterm").env("NO_COLOR", "1");
        assert!(!on_terminal(refused).1.contains('\u{1b}'), "no colours with NO_COLOR: {wrong:?}");
    }
}
