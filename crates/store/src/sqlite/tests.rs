//! Tests that need the inside of the store: races, a full disk, a writer that panicked.

use std::{
    sync::{Arc, Weak, mpsc},
    task::{Context, Poll, Waker},
    thread,
};

use chatcamp_protocol::AppId;
use parking_lot::Mutex;
use tempfile::TempDir;

use super::{
    cache::{UserKey, UserKeyRef},
    *,
};
use crate::{
    AuthPolicy, Edited, UserEdit,
    prelude::*,
    testing::{open_app, plain_user, user_id},
};

fn open(dir: &TempDir) -> Store {
    Store::open(dir.path().join("store.db")).unwrap()
}

fn suspend() -> UserEdit {
    Box::new(|user| {
        user.is_suspended = true;
        Edited::Save
    })
}

/// Makes the writer wait inside a transaction until the returned sender is used.
fn keep_busy(store: &Store) -> mpsc::SyncSender<()> {
    let (running, runs) = mpsc::sync_channel(1);
    let (go_on, wait) = mpsc::sync_channel(1);
    let hold = std::pin::pin!(store.submit(move |_| {
        running.send(()).unwrap();
        wait.recv().unwrap();
        Ok(())
    }));
    assert!(hold.poll(&mut Context::from_waker(Waker::noop())).is_pending());
    runs.recv().unwrap();
    go_on
}

/// Limits the size of the file, in pages; to its current size if that is larger.
async fn limit_pages(store: &Store, pages: u32) {
    let limit = move |batch: &mut Batch<'_>| {
        Ok(batch.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?)
    };
    store.submit(limit).await.unwrap();
}

#[tokio::test]
async fn a_commit_waits_for_the_disk() {
    let dir = TempDir::new().unwrap();
    let pragma = |name: &'static str| {
        move |batch: &mut Batch<'_>| -> Result<String, Fault> {
            let sql = format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}");
            Ok(batch.connection.query_row(&sql, [], |row| row.get(0))?)
        }
    };
    let store = open(&dir);
    assert_eq!(store.submit(pragma("synchronous")).await.unwrap(), "2", "FULL");
    assert_eq!(store.submit(pragma("journal_mode")).await.unwrap(), "wal");
}

#[tokio::test]
async fn a_file_of_the_first_schema_is_migrated() {
    let dir = TempDir::new().unwrap();
    let old = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    old.execute_batch(schema::STEPS[0]).unwrap();
    old.execute_batch(
        "PRAGMA user_version = 1;
         INSERT INTO apps(key, id, name, auth, directory, max_users, users, created_at)
             VALUES (7, 'demo', 'Demo', 0, 0, 10, 2, 1);
         INSERT INTO users(app, id, display_name, created_at, last_seen, is_suspended, check_access_token,
             auto_created, stamp, token)
             VALUES (7, 'alice', 'Alice', 1, 5, 0, 0, 0, zeroblob(16), 0),
                    (7, 'bob', 'Bob', 1, 0, 1, 0, 0, zeroblob(16), 0);",
    )
    .unwrap();
    drop(old);

    let (app, alice, bob) = (AppId::new("demo").unwrap(), user_id("alice"), user_id("bob"));
    for _ in 0..2 {
        let store = open(&dir);
        let version: u32 = store
            .readers
            .read(|connection| connection.pragma_query_value(None, "user_version", |row| row.get(0)))
            .unwrap();
        assert_eq!(version as usize, schema::STEPS.len());
        assert_eq!(texts(&store, "SELECT CAST(compatible AS TEXT) FROM schema"), ["8"]);
        let user = store.user(&app, &alice).await.unwrap().unwrap();
        assert_eq!((user.profile.display_name.as_str(), user.last_seen), ("Alice", 5));
        assert!(!store.app(&app).await.unwrap().unwrap().directory);
        assert_eq!(store.active_user_count(&app).await.unwrap(), 1);
        let named = store.users_by_name(&app, "BO", None, 10).await.unwrap();
        assert_eq!(named.iter().map(|user| &user.id).collect::<Vec<_>>(), [&bob]);
        assert!(store.block(&app, &alice, &bob).await.unwrap());
        let blocked = store.blocked(&app, &alice, None, 10).await.unwrap();
        assert_eq!(blocked.iter().map(|user| &user.id).collect::<Vec<_>>(), [&bob]);
    }
}

#[tokio::test]
async fn users_of_an_older_schema_get_keys_and_keep_their_blocks() {
    let dir = TempDir::new().unwrap();
    let old = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    old.execute_batch(&schema::STEPS[..4].concat()).unwrap();
    old.execute_batch(
        "PRAGMA user_version = 4;
         INSERT INTO apps(key, id, name, auth, directory, max_users, users, created_at)
             VALUES (3, 'one', '', 0, 1, 10, 3, 1), (2, 'two', '', 0, 1, 10, 2, 1);
         INSERT INTO users(app, id, display_name, created_at, last_seen, is_suspended, check_access_token,
             auto_created, stamp, token)
             SELECT app.value, id.value, 'Name of ' || id.value, 1, 5, id.value = 'c', 0, 0, zeroblob(16), 0
             FROM json_each('[3, 2]') app, json_each('[\"c\", \"a\", \"b\"]') id
             WHERE app.value = 3 OR id.value <> 'c';
         INSERT INTO blocks(app, user, blocked)
             VALUES (3, 'a', 'c'), (3, 'a', 'b'), (3, 'b', 'a'), (3, 'c', 'b'), (2, 'b', 'a');",
    )
    .unwrap();
    drop(old);

    let (one, two) = (AppId::new("one").unwrap(), AppId::new("two").unwrap());
    let store = open(&dir);
    let keys = "SELECT app || id || key FROM users ORDER BY key";
    assert_eq!(texts(&store, keys), ["2a1", "2b2", "3a3", "3b4", "3c5"], "in the order of apps and ids");
    let blocked = async |app, user| {
        let users = store.blocked(app, &user_id(user), None, 10).await.unwrap();
        users.iter().map(|user| user.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(blocked(&one, "a").await, ["b", "c"]);
    assert_eq!(blocked(&one, "b").await, ["a"]);
    assert_eq!(blocked(&two, "b").await, ["a"]);
    assert_eq!(store.active_user_count(&one).await.unwrap(), 2);
    let named = store.users_by_name(&one, "name of b", None, 10).await.unwrap();
    let named: Vec<_> = named.iter().map(|user| (user.id.as_str(), user.last_seen)).collect();
    assert_eq!(named, [("b", 5)]);

    assert!(store.delete_user(&one, &user_id("c")).await.unwrap());
    assert_eq!(blocked(&one, "a").await, ["b"]);
    store.create_user(plain_user(&one, "c")).await.unwrap();
    assert_eq!(texts(&store, keys), ["2a1", "2b2", "3a3", "3b4", "3c6"], "no key is used again");
    assert_eq!(blocked(&one, "c").await, [""; 0]);
    assert_eq!(texts(&store, "SELECT \"table\" FROM pragma_foreign_key_check"), [""; 0]);
    let indexes = "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql NOT NULL ORDER BY name";
    assert_eq!(texts(&store, indexes), ["apps_rounded", "blocks_blocked", "users_name", "users_suspended"]);
}

/// Returns the texts that a query selects.
fn texts(store: &Store, sql: &str) -> Vec<String> {
    let read = |connection: &rusqlite::Connection| {
        connection.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
    };
    store.readers.read(read).unwrap()
}

/// Returns the query plan of SQLite.
fn plan(store: &Store, sql: &str, params: impl rusqlite::Params) -> Vec<String> {
    let explain = format!("EXPLAIN QUERY PLAN {sql}");
    let read = |connection: &rusqlite::Connection| {
        connection.prepare(&explain)?.query_map(params, |row| row.get(3))?.collect()
    };
    store.readers.read(read).unwrap()
}

#[tokio::test]
async fn a_count_of_active_users_reads_only_suspended_users() {
    let dir = TempDir::new().unwrap();
    let plan = plan(&open(&dir), user_rows::ACTIVE_USER_COUNT, ["demo"]);
    let reads_index_only = |step: &String| step.contains("USING COVERING INDEX users_suspended");
    assert!(plan.iter().any(reads_index_only), "{plan:?}");
}

#[tokio::test]
async fn a_search_by_name_uses_the_index_of_names_and_does_not_sort() {
    let dir = TempDir::new().unwrap();
    let plan = plan(&open(&dir), user_rows::USERS_BY_NAME, rusqlite::params!["demo", "a", "", 10]);
    let walks = "SEARCH users USING INDEX users_name (app=? AND (display_name,id)>(?,?))";
    assert!(plan.iter().any(|step| step == walks), "{plan:?}");
    assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{plan:?}");
}

#[tokio::test]
async fn a_search_reads_users_in_the_order_of_their_ids() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let plan = plan(&store, user_query::SELECTED, rusqlite::params!["demo", "%a%", true, false]);
    let walks = "SEARCH users USING INDEX sqlite_autoindex_users_1 (app=?)";
    assert!(plan.iter().any(|step| step == walks), "{plan:?}");
    assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{plan:?}");
}

#[tokio::test]
async fn a_list_of_blocks_uses_an_index_of_every_table() {
    let dir = TempDir::new().unwrap();
    let plan = plan(&open(&dir), block::BLOCKED, rusqlite::params!["demo", "", 10, "alice"]);
    assert!(!plan.iter().any(|step| step.starts_with("SCAN")), "{plan:?}");
    let from_blocks = "SEARCH blocks USING PRIMARY KEY (user=?)";
    assert!(plan.iter().any(|step| step == from_blocks), "{plan:?}");
}

#[tokio::test]
async fn a_record_read_before_a_change_is_not_cached_after_it() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let app = open_app(&store, "demo").await;
    store.create_user(plain_user(&app, "alice")).await.unwrap();
    let alice = user_id("alice");
    let key = UserKeyRef { app: &app, id: &alice };

    store.shared.users.remove(&key);
    let ticket = store.shared.users.ticket(&key);
    let old = store.readers.read(|connection| user_rows::user(connection, &app, &alice)).unwrap().unwrap();
    store.edit_user(&app, &alice, suspend()).await.unwrap();
    store.shared.users.insert(ticket, UserKey::of(&old), Arc::new(old));
    assert!(store.user(&app, &alice).await.unwrap().unwrap().is_suspended);
}

/// Polls a future once.
fn poll_once<T>(future: impl Future<Output = T>) -> Poll<T> {
    std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn lists_searches_and_counts_are_not_read_in_the_thread_of_the_caller() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let app = open_app(&store, "demo").await;
    store.create_user(plain_user(&app, "alice")).await.unwrap();
    let alice = user_id("alice");
    let busy = store.readers.keep_busy();
    assert!(poll_once(store.apps()).is_pending());
    assert!(poll_once(store.api_keys(&app)).is_pending());
    assert!(poll_once(store.users(&app, None, 10)).is_pending());
    assert!(poll_once(store.users_by_name(&app, "a", None, 10)).is_pending());
    assert!(poll_once(store.active_user_count(&app)).is_pending());
    assert!(poll_once(store.blocked(&app, &alice, None, 10)).is_pending());

    assert!(poll_once(store.user(&app, &alice)).is_ready(), "from the cache");
    store.shared.users.clear();
    store.shared.apps.clear();
    let assert_short = |is_ready: bool| {
        assert!(is_ready, "one row is read in the thread of the caller");
        store.readers.set_slow(false);
    };
    store.readers.set_slow(false);
    assert_short(poll_once(store.user(&app, &alice)).is_ready());
    assert_short(poll_once(store.app(&app)).is_ready());
    assert_short(poll_once(store.api_key_by_digest(&[1; 32])).is_ready());
    assert_short(poll_once(store.user_count(&app)).is_ready());
    drop(busy);
    assert_eq!(store.users(&app, None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_slow_disk_sends_the_next_short_reads_to_another_thread() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let app = open_app(&store, "demo").await;
    store.create_user(plain_user(&app, "alice")).await.unwrap();
    let alice = user_id("alice");
    store.readers.set_slow(true);
    let busy = store.readers.keep_busy();
    assert!(poll_once(store.user(&app, &alice)).is_ready(), "from the cache");
    store.shared.users.clear();
    store.shared.apps.clear();
    assert!(poll_once(store.user(&app, &alice)).is_pending());
    assert!(poll_once(store.app(&app)).is_pending());
    assert!(poll_once(store.api_key_by_digest(&[1; 32])).is_pending());
    assert!(poll_once(store.user_count(&app)).is_pending());
    assert!(poll_once(store.setting("name")).is_pending());
    drop(busy);
    assert_eq!(store.user(&app, &alice).await.unwrap().unwrap().id, alice);
    assert!(
        store.shared.users.get(&UserKeyRef { app: &app, id: &alice }).is_some(),
        "it enters the cache too"
    );
}

#[tokio::test]
async fn a_read_that_panics_does_not_affect_other_reads() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    open_app(&store, "demo").await;
    for _ in 0..4 {
        let failed = store.readers.read_long::<(), _>(|_| panic!("a bug, on purpose")).await.unwrap_err();
        assert!(failed.is_retryable(), "{failed:?}");
    }
    assert_eq!(store.apps().await.unwrap().len(), 1, "the threads go on");
}

#[tokio::test]
async fn a_listener_reads_the_changed_record() {
    let dir = TempDir::new().unwrap();
    let store = Arc::new(open(&dir));
    let app = open_app(&*store, "demo").await;
    store.create_user(plain_user(&app, "alice")).await.unwrap();
    assert!(!store.user(&app, &user_id("alice")).await.unwrap().unwrap().is_suspended);

    let (seen, weak) = (Arc::new(Mutex::new(None)), Arc::downgrade(&store));
    let see = seen.clone();
    store.on_change(Box::new(move |change| {
        let store = weak.upgrade().unwrap();
        store.readers.set_slow(false);
        let mut read = store.user(&change.app, change.user.as_ref().unwrap());
        let Poll::Ready(user) = read.as_mut().poll(&mut Context::from_waker(Waker::noop())) else { panic!() };
        *see.lock() = Some(user.unwrap().unwrap().is_suspended);
    }));
    store.edit_user(&app, &user_id("alice"), suspend()).await.unwrap();
    assert_eq!(*seen.lock(), Some(true));
}

#[tokio::test]
async fn a_full_disk_is_unavailable_until_there_is_space() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let app = open_app(&store, "demo").await;
    let big = |n: u32| {
        let mut user = plain_user(&app, &format!("user {n}"));
        user.profile.data = "x".repeat(4000);
        user
    };
    limit_pages(&store, 40).await;
    let mut created = 0;
    let full = loop {
        match store.create_user(big(created)).await {
            Ok(_) => created += 1,
            Err(error) => break error,
        }
        assert!(created < 1000, "the limit is never reached");
    };
    assert!(matches!(full, StoreError::Unavailable(_)) && full.is_retryable(), "{full:?}");
    assert_eq!(store.user(&app, &big(created).id).await.unwrap(), None, "the user is not cached");
    assert_eq!(store.user_count(&app).await.unwrap(), u64::from(created));
    assert!(store.user(&app, &user_id("user 0")).await.unwrap().is_some(), "reads still work");

    limit_pages(&store, 1_000_000).await;
    store.create_user(big(created)).await.unwrap();
    assert_eq!(store.user_count(&app).await.unwrap(), u64::from(created) + 1);
    assert_eq!(store.users(&app, None, 1000).await.unwrap().len(), created as usize + 1);
}

#[tokio::test]
async fn a_transaction_that_cannot_commit_fails_all_its_jobs() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let app = open_app(&store, "demo").await;
    store.create_user(plain_user(&app, "alice")).await.unwrap();
    let heard = Arc::new(Mutex::new(0));
    let hear = heard.clone();
    store.on_change(Box::new(move |_| *hear.lock() += 1));
    let commits = store.commits();

    // They are queued while the writer is busy, so that they share one transaction.
    let go_on = keep_busy(&store);
    let alice = user_id("alice");
    let create = store.create_user(plain_user(&app, "bob"));
    let edit = store.edit_user(&app, &alice, suspend());
    // A foreign key that is only checked at the end makes the commit itself fail.
    let spoil = store.submit(|batch| {
        batch.connection.execute_batch(
            "PRAGMA defer_foreign_keys = ON; INSERT INTO api_keys(app, id, name, digest, created_at) \
             VALUES (999, 'k', 'k', x'00', 1)",
        )?;
        Ok(())
    });
    // Polled in this order.
    let (create, edit, spoil, ()) = tokio::join!(create, edit, spoil, async { go_on.send(()).unwrap() });
    assert!(matches!(create, Err(StoreError::Unavailable(_))), "{create:?}");
    assert!(matches!(edit, Err(StoreError::Unavailable(_))), "{edit:?}");
    assert!(matches!(spoil, Err(StoreError::Unavailable(_))), "{spoil:?}");
    assert_eq!(store.user(&app, &user_id("bob")).await.unwrap(), None);
    assert!(!store.user(&app, &user_id("alice")).await.unwrap().unwrap().is_suspended);
    assert_eq!(*heard.lock(), 0);
    assert_eq!(store.user_count(&app).await.unwrap(), 1);
    assert!(store.commits() <= commits + 1, "only the transaction that kept the writer busy");

    store.create_user(plain_user(&app, "bob")).await.unwrap();
}

#[tokio::test]
async fn a_failed_job_does_not_affect_other_jobs() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let app = open_app(&store, "demo").await;
    let nowhere = AppId::new("nowhere").unwrap();
    let (bob, carol, dave) = tokio::join!(
        store.create_user(plain_user(&app, "bob")),
        store.create_user(plain_user(&nowhere, "carol")),
        store.create_user(plain_user(&app, "dave")),
    );
    assert!(bob.is_ok() && dave.is_ok());
    assert!(matches!(carol, Err(StoreError::UnknownApp)));
    assert_eq!(store.user_count(&app).await.unwrap(), 2);
}

#[tokio::test]
async fn a_writer_that_panicked_is_unavailable() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let app = open_app(&store, "demo").await;
    let bug = |_: &mut Batch<'_>| -> Result<(), Fault> { panic!("a bug, on purpose") };
    for _ in 0..2 {
        let died = store.submit(bug).await.unwrap_err();
        assert!(matches!(died, StoreError::Unavailable(_)), "{died:?}");
    }
    let refused = store.create_user(plain_user(&app, "alice")).await.unwrap_err();
    assert!(refused.is_retryable());
    assert_eq!(store.app(&app).await.unwrap().unwrap().auth, AuthPolicy::Open, "reads still work");
}

#[tokio::test]
async fn a_full_queue_is_unavailable_at_once() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let go_on = keep_busy(&store);
    let mut context = Context::from_waker(Waker::noop());
    let mut queued = 0;
    let refused = loop {
        let mut more = Box::pin(store.submit(|_| Ok(())));
        match more.as_mut().poll(&mut context) {
            Poll::Ready(refused) => break refused.unwrap_err(),
            Poll::Pending => queued += 1,
        }
        assert!(queued < 100_000, "the queue is not bounded");
    };
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    go_on.send(()).unwrap();
}

#[tokio::test]
async fn a_dropped_store_leaves_no_thread_behind() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let shared: Weak<Shared> = Arc::downgrade(&store.shared);
    drop(store);
    assert_eq!(shared.strong_count(), 0, "both threads held it");
}

#[tokio::test]
async fn a_store_may_be_dropped_by_its_own_listener() {
    let dir = TempDir::new().unwrap();
    let store = Arc::new(open(&dir));
    let app = open_app(&*store, "demo").await;
    store.create_user(plain_user(&app, "alice")).await.unwrap();
    let last = Arc::new(Mutex::new(Some(store.clone())));
    let (done, is_done) = mpsc::sync_channel(1);
    let (given_up, wait) = mpsc::sync_channel::<()>(1);
    let wait = Mutex::new(wait);
    store.on_change(Box::new(move |_| {
        wait.lock().recv().unwrap();
        drop(last.lock().take());
        done.send(()).unwrap();
    }));
    let editing = thread::spawn({
        let app = app.clone();
        move || {
            let alice = user_id("alice");
            let mut edit = store.edit_user(&app, &alice, suspend());
            assert!(edit.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
    });
    editing.join().unwrap();
    given_up.send(()).unwrap();
    is_done.recv().unwrap();
}

/// A later release may write origins that this one does not know. The app must not accept all then.
#[tokio::test]
async fn an_app_with_unreadable_origins_is_not_read() {
    let dir = TempDir::new().unwrap();
    let app = open_app(&open(&dir), "demo").await;
    for (origins, is_read) in
        [("", true), ("https://a.example\nnull", true), ("https://a.example/[a-z]", false)]
    {
        let other = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
        other.execute("UPDATE apps SET origins = ?1", [origins]).unwrap();
        drop(other);
        let read = open(&dir).app(&app).await;
        assert_eq!(read.is_ok(), is_read, "{origins}: {read:?}");
        assert!(is_read || matches!(read, Err(StoreError::Corrupt(_))), "{read:?}");
    }
}
