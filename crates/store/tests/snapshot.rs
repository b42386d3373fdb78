//! A snapshot is the state of a file at one moment, while others write.
#![cfg(all(feature = "sqlite", unix))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
};

use chatcamp_store::{
    Edited, StoreError, Upsert,
    prelude::*,
    sqlite::{Snapshot, Store, settle},
    testing::{open_app, plain_user},
};
use rusqlite::Connection;
use tempfile::TempDir;

fn file(dir: &TempDir, name: &str) -> PathBuf {
    dir.path().join(name)
}

fn users(numbers: std::ops::Range<usize>) -> Vec<Upsert> {
    let app = chatcamp_store::testing::app_id("demo");
    let new = |n: usize| plain_user(&app, &format!("user {n}"));
    numbers.map(|n| Upsert { new: new(n), edit: Box::new(|_| Edited::Keep) }).collect()
}

/// Counts the file and its companion files.
fn files_of(path: &Path) -> usize {
    let name = path.file_name().unwrap().to_str().unwrap();
    let names = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|found| found.to_str().unwrap().starts_with(name)).count()
}

#[tokio::test]
async fn a_copy_is_complete_and_opens_as_a_store() {
    let dir = TempDir::new().unwrap();
    let (from, to) = (file(&dir, "live.db"), file(&dir, "copy.db"));
    let store = Store::open(&from).unwrap();
    let app = open_app(&store, "demo").await;
    store.setting_or_insert("name", b"value").await.unwrap();
    store.upsert_users(users(0..100)).await.unwrap();

    let snapshot = Snapshot::open(&from).unwrap();
    store.upsert_users(users(100..200)).await.unwrap();
    assert_eq!(snapshot.user_count().unwrap(), 100, "the state is that of opening");
    snapshot.copy_to(&to).unwrap();
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(files_of(&to), 1, "without companion files");

    let copied = Snapshot::open(&to).unwrap();
    copied.check().unwrap();
    assert_eq!(copied.setting("name").unwrap().as_deref(), Some(&b"value"[..]));
    assert_eq!(copied.setting("none").unwrap(), None);
    assert_eq!(files_of(&to), 1, "reading does not create any");
    drop(copied);
    let copy = Store::open(&to).unwrap();
    assert_eq!(copy.user_count(&app).await.unwrap(), 100);
    assert!(matches!(snapshot.copy_to(&to), Err(StoreError::Unavailable(_))), "it exists already");
}

#[tokio::test]
async fn copying_and_writing_do_not_block_each_other() {
    let dir = TempDir::new().unwrap();
    let (from, to) = (file(&dir, "live.db"), file(&dir, "copy.db"));
    let store = Store::open(&from).unwrap();
    open_app(&store, "demo").await;
    for n in 0..40 {
        store.upsert_users(users(n * 500..(n + 1) * 500)).await.unwrap();
    }
    let (done, is_done) = mpsc::sync_channel(1);
    let copy = {
        let to = to.clone();
        thread::spawn(move || {
            let snapshot = Snapshot::open(&from).unwrap();
            let count = snapshot.user_count().unwrap();
            snapshot.copy_to(&to).unwrap();
            done.send(()).unwrap();
            count
        })
    };
    let mut n = 20_000;
    while is_done.try_recv().is_err() {
        store.upsert_users(users(n..n + 1)).await.unwrap();
        n += 1;
    }
    let count = copy.join().unwrap();
    let copied = Snapshot::open(&to).unwrap();
    copied.check().unwrap();
    assert_eq!(copied.user_count().unwrap(), count);
    let rows: u64 = Connection::open(&to)
        .unwrap()
        .query_row("SELECT COUNT(*) FROM users", [], |row| row.get::<_, i64>(0))
        .unwrap()
        .cast_unsigned();
    assert_eq!(rows, count, "counts and rows are of the same state");
}

#[tokio::test]
async fn a_file_that_is_not_the_database_of_a_store_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| file(&dir, name);
    fs::write(path("garbage"), "no database, but long enough to be taken for one. ".repeat(100)).unwrap();
    fs::write(path("empty"), "").unwrap();
    Connection::open(path("other")).unwrap().execute_batch("CREATE TABLE t(x)").unwrap();
    Connection::open(path("newer")).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    for (name, expected) in [
        ("garbage", "Corrupt"),
        ("empty", "Corrupt"),
        ("other", "Corrupt"),
        ("newer", "SchemaTooNew"),
        ("none", "Unavailable"),
    ] {
        let refused = Snapshot::open(path(name)).unwrap_err();
        assert!(format!("{refused:?}").starts_with(expected), "{name}: {refused:?}");
    }
    assert!(!path("none").exists());
}

#[tokio::test]
async fn damage_is_found() {
    let dir = TempDir::new().unwrap();
    let (from, to) = (file(&dir, "live.db"), file(&dir, "copy.db"));
    let store = Store::open(&from).unwrap();
    open_app(&store, "demo").await;
    store.upsert_users(users(0..2000)).await.unwrap();
    Snapshot::open(&from).unwrap().copy_to(&to).unwrap();
    let mut bytes = fs::read(&to).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0xff);
    fs::write(&to, bytes).unwrap();
    let refused = Snapshot::open(&to).unwrap().check().unwrap_err();
    assert!(matches!(refused, StoreError::Corrupt(_)), "{refused:?}");
}

#[tokio::test]
async fn a_file_is_settled_if_no_other_process_has_it_open() {
    let dir = TempDir::new().unwrap();
    let path = file(&dir, "live.db");
    let store = Store::open(&path).unwrap();
    open_app(&store, "demo").await;
    assert!(matches!(settle(&path), Err(StoreError::Unavailable(_))));
    drop(store);
    settle(&path).unwrap();
    assert_eq!(files_of(&path), 1);
}
