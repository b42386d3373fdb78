//! A clean end leaves one complete database file, and damage to a data folder is noticed: at the start, while a server runs, and
//! on a full disk.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use rustix::process::Signal;

use crate::process::{Done, Folder, PATIENCE, text};

/// An action that changes a database or a data folder.
type Damage = fn(&Path);

/// Returns the names of all files in a folder.
fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Asserts that copies of `chatcamp.db` and `keys` contain these apps and users.
fn assert_whole(folder: &Folder, apps: usize, users: u64, after: &str) {
    let beside = |name: &String| name.starts_with("chatcamp.db") && name != "chatcamp.db";
    let names = names(&folder.path());
    assert!(!names.iter().any(beside), "after {after}: {names:?}");
    let elsewhere = Folder::new();
    fs::create_dir(elsewhere.path()).unwrap();
    for name in ["chatcamp.db", "keys"] {
        fs::copy(folder.path().join(name), elsewhere.path().join(name)).unwrap();
    }
    let listed = elsewhere.run(&["app", "list"]).objects();
    let found: u64 = listed.iter().map(|app| app["users"].as_u64().unwrap()).sum();
    assert_eq!((listed.len(), found), (apps, users), "after {after}");
}

fn ask(address: &str, target: &str, headers: &str) -> String {
    let mut tcp = TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(tcp, "GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Connects a user as the published SDK does over long-poll. Returns the first response.
fn sign_up(address: &str, app: &str, user: &str) -> String {
    static POLLS: AtomicUsize = AtomicUsize::new(0);
    let poll = POLLS.fetch_add(1, Ordering::Relaxed);
    let headers = format!("iflychat-token: PollIdOfThePublishedSdk{poll}\r\n");
    ask(address, &format!("/chat/2.0?app_id={app}&user_id={user}"), &headers)
}

#[test]
fn after_every_command_and_every_server_the_database_is_one_complete_file() {
    let folder = Folder::new();
    let app = folder.ok(&["app", "create", "demo", "--auth", "token"]);
    let app = text(&app, "app_id").to_owned();
    assert_whole(&folder, 1, 0, "app create");
    let users = folder.file("users");
    fs::write(&users, "{\"id\":\"bob\"}\n{\"id\":\"carol\"}\n").unwrap();
    let (users, backup) = (users.to_str().unwrap(), folder.file("backup"));
    folder.ok(&["user", "create", "alice", "--app", &app]);
    folder.ok(&["user", "import", users, "--app", &app]);
    for command in [
        &["app", "list"][..],
        &["app", "policy", "--app", &app, "--auth", "open"],
        &["app", "key", "list", "--app", &app],
        &["app", "key", "create", "--app", &app],
        &["user", "show", "alice", "--app", &app],
        &["user", "list", "--app", &app],
        &["user", "export", "--app", &app],
        &["user", "suspend", "alice", "--app", &app],
        &["user", "show", "nobody", "--app", &app],
        &["admin", "password"],
        &["backup", backup.to_str().unwrap(), "--with-keys"],
        &["backup", backup.to_str().unwrap()],
        &["restore", backup.to_str().unwrap(), "--force"],
    ] {
        folder.run(command);
        assert_whole(&folder, 1, 3, &command.join(" "));
    }

    for signal in [Signal::TERM, Signal::INT] {
        let serve = folder.start(&["serve", "--listen", "127.0.0.1:0", "--dashboard"]);
        let address = text(&serve.line(), "listening").to_owned();
        let user = if signal == Signal::TERM { "dave" } else { "erin" };
        assert!(sign_up(&address, &app, user).contains("session_key"));
        serve.signal(signal);
        assert_eq!(serve.wait().code, 0);
        assert_whole(&folder, 1, if signal == Signal::TERM { 4 } else { 5 }, "serve");
    }
    let (dev, _) = folder.dev();
    dev.signal(Signal::TERM);
    assert_eq!(dev.wait().code, 0);
    assert_whole(&folder, 2, 5, "dev");

    // A command that outlives the server closes the database last.
    let serve = folder.start(&["serve", "--listen", "127.0.0.1:0"]);
    serve.line();
    let mut import = folder.start(&["user", "import", "-", "--app", &app]);
    import.write("{\"id\":\"frank\"}\n");
    serve.signal(Signal::TERM);
    assert_eq!(serve.wait().code, 0);
    import.end_stdin();
    assert_eq!(import.wait().code, 0);
    assert_whole(&folder, 2, 6, "serve, then an import");
}

#[test]
fn valid_keys_without_a_database_are_not_a_new_folder() {
    let damages: [(&str, Damage); 3] = [
        ("is missing", |database| fs::remove_file(database).unwrap()),
        ("contains no ChatCamp data", |database| fs::write(database, "").unwrap()),
        // A database copied without its log: its first page refers to a log that is missing.
        ("contains no ChatCamp data", |database| {
            let mut page = fs::read(database).unwrap();
            page.truncate(4096);
            page[28..32].copy_from_slice(&1u32.to_be_bytes());
            page[60..64].fill(0);
            page[100..].fill(0);
            page[100] = 13;
            page[105..107].copy_from_slice(&4096u16.to_be_bytes());
            fs::write(database, page).unwrap();
        }),
    ];
    for (said, damage) in damages {
        let folder = Folder::new();
        folder.ok(&["app", "create", "demo", "--auth", "open"]);
        damage(&folder.path().join("chatcamp.db"));
        let (before, keys) = (names(&folder.path()), fs::read(folder.path().join("keys")).unwrap());
        let backup = folder.file("backup");
        for command in [
            &["serve", "--listen", "127.0.0.1:0"][..],
            &["dev", "--listen", "127.0.0.1:0"],
            &["app", "create", "demo", "--auth", "open"],
            &["app", "list"],
            &["user", "list", "--app", "demo"],
            &["user", "delete", "alice", "--app", "demo"],
            &["admin", "password"],
            &["backup", backup.to_str().unwrap()],
        ] {
            let done = folder.run(command);
            assert_eq!((done.code, done.stdout.as_str()), (1, ""), "{command:?}, {said}");
            for expected in [said, "chatcamp.db", "restore", "--new-database"] {
                assert!(done.stderr.contains(expected), "{command:?}, {expected}: {}", done.stderr);
            }
        }
        assert!(!backup.exists());
        let mut after = names(&folder.path());
        after.retain(|name| name != "server.lock");
        assert_eq!(after, before, "nothing was created");

        let serve = folder.start(&["serve", "--listen", "127.0.0.1:0", "--new-database"]);
        serve.line();
        serve.signal(Signal::TERM);
        assert_eq!(serve.wait().code, 0);
        assert_eq!(fs::read(folder.path().join("keys")).unwrap(), keys, "the keys are unchanged");
        folder.ok(&["app", "create", "demo", "--auth", "open"]);
        let refused = folder.run(&["serve", "--listen", "127.0.0.1:0", "--new-database"]);
        assert_eq!(refused.code, 1);
        assert!(refused.stderr.contains("leave out --new-database"), "{}", refused.stderr);
        assert_eq!(folder.run(&["app", "list"]).objects().len(), 1, "a database with content is kept");
    }
}

#[test]
fn keys_outside_the_folder_show_whether_it_is_new_or_has_lost_its_database() {
    let folder = Folder::new();
    let keys = folder.file("mounted");
    fs::write(&keys, "ab".repeat(32)).unwrap();
    let run = |args: &[&str]| Done::of(folder.command(args).arg("--json").env("CHATCAMP_KEYS_FILE", &keys));
    assert_eq!(run(&["app", "create", "demo", "--auth", "open"]).code, 0, "a new folder");
    assert_eq!(run(&["admin", "password"]).code, 0);
    fs::remove_file(folder.path().join("chatcamp.db")).unwrap();
    let lost = run(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(lost.code == 1 && lost.stderr.contains("--new-database"), "{}", lost.stderr);
}

#[test]
fn a_data_folder_damaged_while_in_use_is_noticed_and_no_users_are_created_in_it() {
    let damages: [(&str, Damage, &str); 7] = [
        ("folder deleted", |data| fs::remove_dir_all(data).unwrap(), "missing"),
        (
            "database deleted",
            |data| fs::remove_file(data.join("chatcamp.db")).unwrap(),
            "chatcamp.db is missing",
        ),
        ("log deleted", |data| fs::remove_file(data.join("chatcamp.db-wal")).unwrap(), "-wal is missing"),
        (
            "log emptied",
            |data| drop(fs::File::create(data.join("chatcamp.db-wal")).unwrap()),
            "-wal was truncated",
        ),
        (
            "database replaced",
            |data| {
                fs::copy(data.join("chatcamp.db"), data.join("copy")).unwrap();
                fs::rename(data.join("copy"), data.join("chatcamp.db")).unwrap();
            },
            "chatcamp.db was replaced",
        ),
        ("lock deleted", |data| fs::remove_file(data.join("server.lock")).unwrap(), "server.lock is missing"),
        ("keys deleted", |data| fs::remove_file(data.join("keys")).unwrap(), "keys is missing"),
    ];
    for (name, damage, said) in damages {
        let folder = Folder::new();
        let app = folder.ok(&["app", "create", "demo", "--auth", "open"]);
        let app = text(&app, "app_id").to_owned();
        let mut serve = folder.start(&["serve", "--listen", "127.0.0.1:0"]);
        let address = text(&serve.line(), "listening").to_owned();
        assert!(sign_up(&address, &app, "alice").contains("session_key"), "{name}");
        assert!(ask(&address, "/healthz", "").contains("200 OK"), "{name}");
        damage(&folder.path());

        let deadline = Instant::now() + PATIENCE;
        let health = loop {
            let health = ask(&address, "/healthz", "");
            if !health.contains("200 OK") {
                break health;
            }
            assert!(Instant::now() < deadline, "{name}: {health}");
            thread::yield_now();
        };
        assert!(health.contains(" 503 ") && health.contains(said), "{name}: {health}");
        serve.logs(said);
        let refused = sign_up(&address, &app, "bob");
        assert!(
            !refused.contains("session_key") && refused.contains("cannot reach its store now"),
            "{name}: {refused}"
        );
        let again = sign_up(&address, &app, "alice");
        assert!(again.contains("session_key"), "{name}: a known user connects: {again}");
        serve.signal(Signal::TERM);
        let is_whole = ["lock deleted", "keys deleted"].contains(&name);
        assert_eq!(serve.wait().code, i32::from(!is_whole), "{name}");
    }
}

#[test]
fn a_dash_is_stdin_or_stdout() {
    let folder = Folder::new();
    let app = folder.ok(&["app", "create", "demo", "--auth", "open"]);
    let app = text(&app, "app_id").to_owned();
    folder.ok(&["user", "create", "alice", "--app", &app]);
    let in_folder = |args: &[&str]| {
        let mut command = folder.command(args);
        command.current_dir(folder.file("."));
        command
    };
    let before = names(&folder.file("."));
    let exported = Done::of(&mut in_folder(&["user", "export", "-", "--app", &app]));
    assert!(exported.code == 0 && exported.stdout.contains("\"id\":\"alice\""), "{}", exported.stdout);
    let refused = Done::of(&mut in_folder(&["user", "import", "-", "--app", &app, "--errors", "-"]));
    assert!(refused.code == 2 && refused.stderr.contains("--errors"), "{}", refused.stderr);
    let refused = Done::of(&mut in_folder(&["backup", "-", "--with-keys"]));
    assert!(refused.code == 2 && refused.stderr.contains("--with-keys"), "{}", refused.stderr);

    let backup = in_folder(&["backup", "-"]).output().unwrap();
    let said = String::from_utf8(backup.stderr).unwrap();
    assert!(backup.status.success() && backup.stdout.starts_with(b"SQLite format 3\0"), "{said}");
    assert!(said.contains("1 users"), "the summary is beside the data: {said}");
    let other = Folder::new();
    let keys = folder.path().join("keys");
    let mut restore = other.command(&["restore", "-", "--keys", keys.to_str().unwrap()]);
    let mut restore = restore.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    restore.stdin.take().unwrap().write_all(&backup.stdout).unwrap();
    assert!(restore.wait().unwrap().success());
    assert_eq!(other.ok(&["user", "list", "--app", &app])["id"], "alice");
    assert_eq!(names(&folder.file(".")), before, "no file of that name was created");
}

/// A user of the operating system, which needs no name.
const SERVICE: u32 = 64_321;

/// Asserts that everything in the folder belongs to the service user.
fn assert_owned(folder: &Path, after: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let found = entry.metadata().unwrap();
        assert_eq!((found.uid(), found.gid()), (SERVICE, SERVICE), "{after}: {:?}", entry.file_name());
    }
}

#[test]
#[ignore = "needs root: gives a folder to another user"]
fn files_that_root_creates_in_another_users_folder_belong_to_that_user() {
    let folder = Folder::new();
    fs::create_dir(folder.path()).unwrap();
    std::os::unix::fs::chown(folder.path(), Some(SERVICE), Some(SERVICE)).unwrap();
    let app = folder.ok(&["app", "create", "demo", "--auth", "open"]);
    assert_owned(&folder.path(), "app create");
    folder.ok(&["admin", "password"]);
    assert_owned(&folder.path(), "admin password");
    let (outside, inside) = (folder.file("backup"), folder.path().join("backup"));
    folder.ok(&["backup", outside.to_str().unwrap(), "--with-keys"]);
    assert_eq!(outside.metadata().unwrap().uid(), 0, "outside the folder it stays root's");
    folder.ok(&["backup", inside.to_str().unwrap(), "--with-keys"]);
    assert_owned(&folder.path(), "backup");
    fs::remove_file(folder.path().join("keys")).unwrap();
    folder.ok(&["restore", outside.to_str().unwrap(), "--force"]);
    assert_owned(&folder.path(), "restore");
    for command in ["serve", "dev"] {
        let server = folder.start(&[command, "--listen", "127.0.0.1:0"]);
        let address = text(&server.line(), "listening").to_owned();
        assert!(sign_up(&address, text(&app, "app_id"), command).contains("session_key"));
        assert!(folder.path().join("chatcamp.db-wal").exists());
        assert_owned(&folder.path(), command);
        server.signal(Signal::TERM);
        assert_eq!(server.wait().code, 0);
    }
    let within = folder.path().join("new/data");
    let mut command = folder.command(&["app", "create", "demo", "--auth", "open"]);
    let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let program = command.get_program().to_owned();
    command = std::process::Command::new(program);
    for arg in args {
        command.arg(if arg == folder.path() { within.clone().into_os_string() } else { arg });
    }
    assert_eq!(Done::of(&mut command).code, 0);
    assert_owned(&folder.path().join("new"), "a folder in it");
    assert_owned(&within, "a folder in it");
}

#[test]
#[ignore = "needs namespaces: unshare --map-root-user --mount, to mount a small tmpfs"]
fn a_full_disk_is_reported_and_commands_that_only_read_work() {
    let folder = Folder::new();
    let app = folder.ok(&["app", "create", "demo", "--auth", "open"]);
    let app = text(&app, "app_id").to_owned();
    folder.ok(&["user", "create", "alice", "--app", &app]);
    let (binary, data, disk) = (env!("CARGO_BIN_EXE_chatcamp"), folder.path(), folder.file("disk"));
    fs::create_dir(&disk).unwrap();
    let script = format!(
        "set -e; mount -t tmpfs -o size=2m none '{disk}'; mkdir -m 700 '{disk}/data'; \
         cp -p '{data}/chatcamp.db' '{data}/keys' '{disk}/data'; cat /dev/zero > '{disk}/fill' 2>/dev/null || true; set +e; \
         run() {{ '{binary}' \"$@\" --data '{disk}/data' 2>&1; echo \"code $?\"; }}; \
         run serve --listen 127.0.0.1:0; run user create bob --app {app}; echo ---; \
         run user list --app {app}; run user export --app {app}; run app list; run user show alice --app {app}; \
         run backup '{backup}'",
        disk = disk.display(),
        data = data.display(),
        backup = folder.file("backup").display(),
    );
    let mut unshare = std::process::Command::new("unshare");
    let done = Done::of(unshare.args(["--map-root-user", "--mount", "sh", "-c", &script]));
    assert_eq!(done.code, 0, "{}{}", done.stdout, done.stderr);
    let (writes, reads) = done.stdout.split_once("---").unwrap();
    let failed: Vec<_> = writes.lines().filter(|line| line.starts_with("error:")).collect();
    assert_eq!(failed.len(), 2, "{writes}");
    for line in failed {
        let is_said = line.contains("disk is full") || line.contains("No space left");
        assert!(is_said && line.contains(&*disk.join("data").to_string_lossy()), "{line}");
    }
    assert_eq!(reads.matches("code 0").count(), 5, "{reads}");
    assert!(reads.contains("alice"), "{reads}");
}
