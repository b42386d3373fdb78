//! The SQLite store passes the conformance suite; its data last, and other processes can use them.
#![cfg(feature = "sqlite")]

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use chatcamp_store::{
    App, Change, Created, Edited, StoreError, Upsert, User, UserEdit,
    prelude::*,
    sqlite,
    testing::{self, app_id, open_app, plain_user, user_id},
};
use rusqlite::Connection;
use tempfile::TempDir;

/// How long a test waits for a change by another process.
const PATIENCE: Duration = Duration::from_secs(20);

fn suspend() -> UserEdit {
    Box::new(|user| {
        user.is_suspended = true;
        Edited::Save
    })
}

fn open(dir: &TempDir) -> sqlite::Store {
    sqlite::Store::open(file(dir)).expect("opens")
}

fn file(dir: &TempDir) -> std::path::PathBuf {
    dir.path().join("store.db")
}

/// Returns the changes that the store announces, in order.
fn changes(store: &sqlite::Store) -> mpsc::Receiver<Change> {
    let (tell, heard) = mpsc::sync_channel(100);
    store.on_change(Box::new(move |change| tell.send(change.clone()).expect("the test listens")));
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sqlite_store_passes_the_suite() {
    let (dir, count) = (TempDir::new().unwrap(), AtomicU32::new(0));
    testing::suite(async || {
        let name = format!("{}.db", count.fetch_add(1, Ordering::Relaxed));
        sqlite::Store::open(dir.path().join(name)).unwrap()
    })
    .await;
}

#[tokio::test]
async fn all_data_are_there_after_the_store_was_closed_and_opened() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let app = open_app(&store, "6399747348821438464").await;
    store.create_user(plain_user(&app, "alice")).await.unwrap();
    let alice = store.edit_user(&app, &user_id("alice"), suspend()).await.unwrap().unwrap();
    store.create_user(plain_user(&app, "bob")).await.unwrap();
    assert!(store.block(&app, &alice.id, &user_id("bob")).await.unwrap());
    store.setting_or_insert("check", b"value").await.unwrap();
    drop(store);

    let store = open(&dir);
    let blocked = store.blocked(&app, &alice.id, None, 10).await.unwrap();
    assert_eq!(blocked.iter().map(|user| user.id.as_str()).collect::<Vec<_>>(), ["bob"]);
    assert_eq!(store.user(&app, &alice.id).await.unwrap(), Some(alice));
    assert_eq!(store.user_count(&app).await.unwrap(), 2);
    assert_eq!(store.app(&app_id("6399747348821438000")).await.unwrap().unwrap().id, app);
    assert_eq!(store.setting("check").await.unwrap().unwrap(), b"value");
}

#[tokio::test]
async fn a_created_user_is_in_the_file_when_the_call_returns() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let app = open_app(&store, "demo").await;
    let beside = Connection::open(file(&dir)).unwrap();
    for n in 0..20 {
        store.create_user(plain_user(&app, &format!("user {n}"))).await.unwrap();
        let rows: u32 = beside.query_row("SELECT COUNT(*) FROM users", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, n + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn simultaneous_creations_share_a_transaction() {
    let dir = TempDir::new().unwrap();
    let store = Arc::new(open(&dir));
    let app = open_app(&*store, "demo").await;
    let before = store.commits();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..1000 {
        let (store, user) = (store.clone(), plain_user(&app, &format!("user {n}")));
        tasks.spawn(async move { store.create_user(user).await.unwrap() });
    }
    let created = tasks.join_all().await;
    assert!(created.iter().all(|created| matches!(created, Created::New(_))));
    let commits = store.commits() - before;
    assert!((1..=500).contains(&commits), "{commits} commits for 1000 users");
    assert_eq!(store.user_count(&app).await.unwrap(), 1000);
}

#[tokio::test]
async fn many_users_in_one_call_are_one_transaction_and_much_faster_than_single_calls() {
    const USERS: usize = 400;
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let app = open_app(&store, "demo").await;
    let upserts = (0..USERS).map(|n| {
        let new = plain_user(&app, &format!("bulk {n}"));
        Upsert { new, edit: suspend() }
    });
    let (before, began) = (store.commits(), Instant::now());
    store.upsert_users(upserts.collect()).await.unwrap();
    let (commits, bulk) = (store.commits() - before, began.elapsed());
    assert_eq!(commits, 1);

    let began = Instant::now();
    for n in 0..USERS {
        store.create_user(plain_user(&app, &format!("single {n}"))).await.unwrap();
    }
    let single = began.elapsed();
    println!("{:.1} times the rate of one by one", single.as_secs_f64() / bulk.as_secs_f64());
    assert!(single > 2 * bulk, "{USERS} at a time took {bulk:?}, one by one {single:?}");
}

#[tokio::test]
async fn a_writer_waits_for_another_process_and_uses_the_gaps_between_its_transactions() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let app = open_app(&store, "demo").await;
    let beside = Connection::open(file(&dir)).unwrap();
    let (stop, stopped) = mpsc::sync_channel::<()>(1);
    let busy = thread::spawn(move || {
        let mut turns = 0_u32;
        // Holds the lock for 40 ms at a time, with gaps of 5 ms, most of which SQLite's own waiting would miss.
        while stopped.try_recv().is_err() {
            beside.execute_batch("BEGIN IMMEDIATE").unwrap();
            thread::sleep(Duration::from_millis(40));
            beside.execute_batch("COMMIT").unwrap();
            thread::sleep(Duration::from_millis(5));
            turns += 1;
        }
        turns
    });
    for n in 0..10 {
        store.create_user(plain_user(&app, &format!("user {n}"))).await.unwrap();
    }
    stop.send(()).unwrap();
    let turns = busy.join().unwrap();
    assert!(turns <= 30, "ten writes waited for {turns} turns of the other");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_simultaneous_creations_in_two_processes_creates_the_user() {
    let dir = TempDir::new().unwrap();
    let stores = [Arc::new(open(&dir)), Arc::new(open(&dir))];
    let app = open_app(&*stores[0], "demo").await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..100 {
        let (store, user) = (stores[n % 2].clone(), plain_user(&app, "alice"));
        tasks.spawn(async move { store.create_user(user).await.unwrap() });
    }
    let created = tasks.join_all().await;
    assert_eq!(created.iter().filter(|created| matches!(created, Created::New(_))).count(), 1);
    assert_eq!(stores[1].user_count(&app).await.unwrap(), 1);
}

#[tokio::test]
async fn a_change_by_another_process_is_announced_and_removed_from_the_cache() {
    let dir = TempDir::new().unwrap();
    let (server, command) = (open(&dir), open(&dir));
    let app = open_app(&server, "6399747348821438464").await;
    let rounded = app_id("6399747348821438000");
    let alice = user_id("alice");
    server.create_user(plain_user(&app, "alice")).await.unwrap();
    server.app(&rounded).await.unwrap();
    let heard = changes(&server);
    let user = Change { app: app.clone(), user: Some(alice.clone()) };

    command.edit_user(&app, &alice, suspend()).await.unwrap();
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), user);
    assert!(server.user(&app, &alice).await.unwrap().unwrap().is_suspended);

    command.delete_user(&app, &alice).await.unwrap();
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), user);
    assert_eq!(server.user(&app, &alice).await.unwrap(), None);

    command.create_user(plain_user(&app, "alice")).await.unwrap();
    assert!(server.user(&app, &alice).await.unwrap().is_some(), "absence is not cached");

    let edit = command.edit_app(
        &app,
        Box::new(|app| {
            app.directory = false;
            Edited::Save
        }),
    );
    edit.await.unwrap();
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), Change { app: app.clone(), user: None });
    for id in [&app, &rounded] {
        assert!(!server.app(id).await.unwrap().unwrap().directory, "{id}");
    }

    open_app(&command, rounded.as_str()).await;
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), Change { app: rounded.clone(), user: None });
    assert_eq!(server.app(&rounded).await.unwrap().unwrap().id, rounded, "the exact id wins here too");
}

#[tokio::test]
async fn own_changes_are_announced_once() {
    let dir = TempDir::new().unwrap();
    let (server, command) = (open(&dir), open(&dir));
    let app = open_app(&server, "demo").await;
    for id in ["alice", "bob"] {
        server.create_user(plain_user(&app, id)).await.unwrap();
    }
    let heard = changes(&server);
    server.edit_user(&app, &user_id("alice"), suspend()).await.unwrap();
    // The follower reads in order, so if it announced the first change, it would do so before the second.
    command.edit_user(&app, &user_id("bob"), suspend()).await.unwrap();
    let users: Vec<_> = [heard.recv_timeout(PATIENCE), heard.recv_timeout(PATIENCE)]
        .map(|change| change.unwrap().user.unwrap().as_str().to_owned())
        .into();
    assert_eq!(users, ["alice", "bob"]);
}

#[tokio::test]
async fn more_changes_than_are_kept_count_as_a_change_of_all_records() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let app = open_app(&store, "demo").await;
    store.create_user(plain_user(&app, "alice")).await.unwrap();
    let heard = changes(&store);
    let beside = Connection::open(file(&dir)).unwrap();
    beside
        .execute_batch(
            "BEGIN IMMEDIATE; UPDATE users SET is_suspended = 1;
             INSERT INTO changes(seq, writer, app, user) VALUES (90000, 0, 'demo', 'bob');
             DELETE FROM changes WHERE seq < 90000; COMMIT;",
        )
        .unwrap();
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), Change { app: app.clone(), user: None });
    assert!(store.user(&app, &user_id("alice")).await.unwrap().unwrap().is_suspended);
}

/// Replaces the data of an open file, as `.restore` of SQLite's command line does.
fn restore(from: &Path, to: &Path) {
    let from = Connection::open(from).expect("opens");
    let mut to = Connection::open(to).expect("opens");
    let backup = rusqlite::backup::Backup::new(&from, &mut to).expect("the backup is copied");
    assert_eq!(backup.step(-1).expect("the backup is copied"), rusqlite::backup::StepResult::Done);
}

#[tokio::test]
async fn replaced_data_count_as_a_change_of_all_records() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let app = open_app(&store, "demo").await;
    let alice = user_id("alice");
    store.create_user(plain_user(&app, "alice")).await.unwrap();
    let backup = dir.path().join("backup.db");
    sqlite::Snapshot::open(file(&dir)).unwrap().copy_to(&backup).unwrap();
    store.edit_user(&app, &alice, suspend()).await.unwrap();
    let gone = open_app(&store, "gone").await;
    assert!(store.app(&gone).await.unwrap().is_some());
    // Changes are announced in order: after this one, the follower has read the edit too.
    let heard = changes(&store);
    open(&dir).create_user(plain_user(&app, "bob")).await.unwrap();
    open(&dir).edit_user(&app, &user_id("bob"), suspend()).await.unwrap();
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap().user, Some(user_id("bob")));
    assert!(store.user(&app, &alice).await.unwrap().unwrap().is_suspended);

    // The backup gets as many changes as were lost, so that the numbers are the same and only the tags differ.
    let other = sqlite::Store::open(&backup).unwrap();
    for _ in 0..3 {
        let edit = Box::new(|user: &mut User| {
            user.profile.data.push('+');
            Edited::Save
        });
        other.edit_user(&app, &alice, edit).await.unwrap();
    }
    other.close().unwrap();
    restore(&backup, &file(&dir));
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), Change { app: app.clone(), user: None });
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), Change { app: gone.clone(), user: None });
    assert_eq!(store.app(&gone).await.unwrap(), None);
    let user = store.user(&app, &alice).await.unwrap().unwrap();
    assert_eq!((user.is_suspended, user.profile.data.as_str()), (false, "+++"));

    open(&dir).edit_user(&app, &alice, suspend()).await.unwrap();
    let change = Change { app: app.clone(), user: Some(alice.clone()) };
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), change, "the new history is followed");
}

#[tokio::test]
async fn old_changes_are_pruned() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let app = open_app(&store, "demo").await;
    store.create_user(plain_user(&app, "alice")).await.unwrap();
    let beside = Connection::open(file(&dir)).unwrap();
    beside.execute("INSERT INTO changes(seq, writer, app) VALUES (20000, 0, 'x')", []).unwrap();
    store.edit_user(&app, &user_id("alice"), suspend()).await.unwrap();
    let kept: (i64, i64) = beside
        .query_row("SELECT MIN(seq), MAX(seq) FROM changes", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(kept, (20_000, 20_001));
}

#[test]
fn a_new_file_may_be_opened_many_times_at_once() {
    let dir = TempDir::new().unwrap();
    let file = file(&dir);
    thread::scope(|scope| {
        for opening in [(); 8].map(|()| scope.spawn(|| sqlite::Store::open(&file).map(drop))) {
            opening.join().unwrap().unwrap();
        }
    });
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_file_is_accessible_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    open_app(&store, "demo").await;
    let files: Vec<_> = fs::read_dir(dir.path()).unwrap().map(Result::unwrap).collect();
    assert!(files.len() > 1, "the log lies beside it");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_the_file_is_not_changed() {
    let dir = TempDir::new().unwrap();
    let newer = Connection::open(file(&dir)).unwrap();
    newer
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA user_version = 99; CREATE TABLE users(everything TEXT);",
        )
        .unwrap();
    drop(newer);
    let before = fs::read(file(&dir)).unwrap();
    let refused = sqlite::Store::open(file(&dir)).unwrap_err();
    assert!(matches!(refused, StoreError::SchemaTooNew { found: 99, compatible: 99, .. }), "{refused:?}");
    assert_eq!(fs::read(file(&dir)).unwrap(), before);
}

/// Gives a file the schema of a later release, which also adds a column and a table.
///
/// Returns two schema numbers: the new one, and the oldest that a release must know to use the file.
fn make_newer(path: &Path, is_compatible: bool) -> (u32, u32) {
    let later = Connection::open(path).expect("opens");
    let known: u32 = later.pragma_query_value(None, "user_version", |row| row.get(0)).expect("a number");
    let (newer, compatible) = (known + 2, if is_compatible { known } else { known + 1 });
    later
        .execute_batch(
            "ALTER TABLE users ADD COLUMN later INTEGER NOT NULL DEFAULT 7;
             CREATE TABLE later(user INTEGER PRIMARY KEY REFERENCES users(key) ON DELETE CASCADE) STRICT;
             INSERT INTO later SELECT key FROM users;",
        )
        .expect("is written");
    later.pragma_update(None, "user_version", newer).expect("is written");
    assert_eq!(later.execute("UPDATE schema SET compatible = ?1", [compatible]).expect("is written"), 1);
    (newer, compatible)
}

#[tokio::test]
async fn a_newer_schema_is_used_if_it_is_compatible() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let app = open_app(&store, "demo").await;
    store.create_user(plain_user(&app, "alice")).await.unwrap();
    drop(store);
    let (newer, compatible) = make_newer(&file(&dir), true);

    let store = sqlite::Store::open_migrated(file(&dir)).unwrap();
    assert!(store.edit_user(&app, &user_id("alice"), suspend()).await.unwrap().unwrap().is_suspended);
    store.create_user(plain_user(&app, "bob")).await.unwrap();
    assert!(store.delete_user(&app, &user_id("alice")).await.unwrap());
    drop(store);
    let reader = sqlite::Store::open_to_read(file(&dir)).unwrap();
    assert_eq!(reader.users(&app, None, 10).await.unwrap().len(), 1);
    drop(reader);
    let (snapshot, copy) = (sqlite::Snapshot::open(file(&dir)).unwrap(), dir.path().join("copy.db"));
    snapshot.copy_to(&copy).unwrap();
    assert_eq!(sqlite::Snapshot::open(&copy).unwrap().user_count().unwrap(), 1);
    drop(snapshot);

    for path in [file(&dir), copy] {
        drop(sqlite::Store::open(&path).unwrap());
        let later = Connection::open(path).unwrap();
        let numbers =
            later.query_row("SELECT user_version, compatible FROM pragma_user_version, schema", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            });
        assert_eq!(numbers.unwrap(), (newer, compatible), "no migration");
        let later: u32 = later.query_row("SELECT SUM(later) FROM users", [], |row| row.get(0)).unwrap();
        assert_eq!(later, 7, "what the later release added is as it was");
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_with_both_numbers_if_it_is_incompatible() {
    let dir = TempDir::new().unwrap();
    drop(open(&dir));
    let (newer, compatible) = make_newer(&file(&dir), false);
    let before = fs::read(file(&dir)).unwrap();
    for refused in [
        sqlite::Store::open(file(&dir)).map(drop),
        sqlite::Store::open_existing(file(&dir)).map(drop),
        sqlite::Store::open_migrated(file(&dir)).map(drop),
        sqlite::Store::open_to_read(file(&dir)).map(drop),
        sqlite::Snapshot::open(file(&dir)).map(drop),
    ] {
        let refused = refused.unwrap_err();
        assert!(matches!(refused, StoreError::SchemaTooNew { .. }), "{refused:?}");
        let text = refused.to_string();
        assert!(text.contains(&format!("schema {newer}")), "{text}");
        assert!(text.contains(&format!("schema {compatible} or later")), "{text}");
    }
    assert_eq!(fs::read(file(&dir)).unwrap(), before);
}

#[tokio::test]
async fn garbage_is_corrupt_and_the_file_is_not_changed() {
    let dir = TempDir::new().unwrap();
    let garbage = b"no database, but long enough to be taken for one. ".repeat(100);
    fs::write(file(&dir), &garbage).unwrap();
    let refused = sqlite::Store::open(file(&dir)).unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt(_)), "{refused:?}");
    assert_eq!(fs::read(file(&dir)).unwrap(), garbage);
}

#[tokio::test]
async fn a_path_that_cannot_be_opened_is_unavailable() {
    let dir = TempDir::new().unwrap();
    for path in [dir.path(), &dir.path().join("missing/store.db"), Path::new("/dev/null/store.db")] {
        let refused = sqlite::Store::open(path).unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable(_)), "{}: {refused:?}", path.display());
    }
}

#[tokio::test]
async fn an_invalid_row_is_corrupt_and_does_not_affect_others() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let app = open_app(&store, "demo").await;
    for id in ["alice", "bob"] {
        store.create_user(plain_user(&app, id)).await.unwrap();
    }
    drop(store);
    let corrupt = |error: StoreError| matches!(error, StoreError::Corrupt(_));
    for damage in ["profile = '{'", "stamp = x'00'", "token = 9", "token = 2", "previous_stamp = x'00'"] {
        let beside = Connection::open(file(&dir)).unwrap();
        let sound = "profile = NULL, stamp = zeroblob(16), token = 0, previous_stamp = NULL";
        beside.execute(&format!("UPDATE users SET {sound}"), []).unwrap();
        beside.execute(&format!("UPDATE users SET {damage} WHERE id = 'alice'"), []).unwrap();
        let store = open(&dir);
        let alice = user_id("alice");
        assert!(corrupt(store.user(&app, &alice).await.unwrap_err()), "{damage}");
        assert!(corrupt(store.edit_user(&app, &alice, suspend()).await.unwrap_err()), "{damage}");
        assert!(corrupt(store.users(&app, None, 10).await.unwrap_err()), "{damage}");
        assert!(store.edit_user(&app, &user_id("bob"), suspend()).await.unwrap().is_some(), "{damage}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_writes_are_committed_when_the_store_is_dropped() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let app = open_app(&store, "demo").await;
    let (running, runs) = mpsc::sync_channel(1);
    let (go_on, wait) = mpsc::sync_channel::<()>(1);
    let mut held = Box::pin(store.edit_app(
        &app,
        Box::new(move |_| {
            running.send(()).unwrap();
            wait.recv().unwrap();
            Edited::Keep
        }),
    ));
    let mut queued = Box::pin(store.create_user(plain_user(&app, "alice")));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(held.as_mut().poll(&mut context).is_pending());
    runs.recv().unwrap();
    assert!(queued.as_mut().poll(&mut context).is_pending());
    drop((held, queued));
    go_on.send(()).unwrap();
    drop(store);

    let stored: User = User::clone(&*open(&dir).user(&app, &user_id("alice")).await.unwrap().unwrap());
    assert_eq!(stored, plain_user(&app, "alice"));
}

#[tokio::test]
async fn a_listener_or_an_edit_that_panics_affects_no_other_call() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let app = open_app(&store, "demo").await;
    store.create_user(plain_user(&app, "alice")).await.unwrap();
    store.on_change(Box::new(|_| panic!("a listener, on purpose")));
    let heard = changes(&store);
    let failed = store.edit_user(&app, &user_id("alice"), Box::new(|_| panic!("an edit, on purpose"))).await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    store.edit_user(&app, &user_id("alice"), suspend()).await.unwrap();
    assert_eq!(heard.try_recv().unwrap().user, Some(user_id("alice")));
}

#[tokio::test]
async fn an_invalid_id_is_corrupt() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    assert!(
        store
            .create_app(App::new(app_id("demo"), "Demo", chatcamp_store::AuthPolicy::Token, 1))
            .await
            .unwrap()
    );
    let beside = Connection::open(file(&dir)).unwrap();
    beside.execute("UPDATE apps SET id = 'not an id'", []).unwrap();
    let refused = store.apps().await.unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt(_)), "{refused:?}");
}
