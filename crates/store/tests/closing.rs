//! The last to close leaves one complete file, and reports a log that cannot be written back.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::PathBuf, sync::Arc};

use chatcamp_store::{
    StoreError,
    prelude::*,
    sqlite::{Snapshot, Store},
    testing::{open_app, plain_user, user_id},
};
use tempfile::TempDir;

fn file(dir: &TempDir) -> PathBuf {
    dir.path().join("store.db")
}

/// Returns the names of all files in the folder.
fn names(dir: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(dir.path()).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Creates a store with one app and one user, whose data are in the log.
async fn filled(dir: &TempDir) -> Store {
    let store = Store::open(file(dir)).unwrap();
    let app = open_app(&store, "demo").await;
    store.create_user(plain_user(&app, "alice")).await.unwrap();
    assert!(store.user(&app, &user_id("alice")).await.unwrap().is_some(), "a reader is open too");
    assert_eq!(store.users(&app, None, 10).await.unwrap().len(), 1);
    store
}

/// Asserts that a copy of the file alone contains the user.
async fn assert_whole(dir: &TempDir) {
    assert_eq!(names(dir), ["store.db"]);
    let elsewhere = TempDir::new().unwrap();
    fs::copy(file(dir), file(&elsewhere)).unwrap();
    let copy = Store::open(file(&elsewhere)).unwrap();
    let app = chatcamp_store::testing::app_id("demo");
    assert!(copy.user(&app, &user_id("alice")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_dropped_store_leaves_one_complete_file() {
    let dir = TempDir::new().unwrap();
    drop(filled(&dir).await);
    assert_whole(&dir).await;
}

#[tokio::test]
async fn a_closed_store_leaves_one_complete_file_even_if_it_is_still_referenced() {
    let dir = TempDir::new().unwrap();
    let store = Arc::new(filled(&dir).await);
    let held = store.clone();
    store.close().unwrap();
    assert_whole(&dir).await;
    let app = chatcamp_store::testing::app_id("demo");
    for refused in [
        held.create_user(plain_user(&app, "bob")).await.map(drop),
        held.users(&app, None, 10).await.map(drop),
        held.probe().await,
    ] {
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    }
    held.close().unwrap();
    drop((store, held));
    assert_eq!(names(&dir), ["store.db"], "a late read does not create the companion files again");
}

#[tokio::test]
async fn a_snapshot_that_closes_last_leaves_one_complete_file() {
    let dir = TempDir::new().unwrap();
    let store = filled(&dir).await;
    let snapshot = Snapshot::open(file(&dir)).unwrap();
    store.close().unwrap();
    drop(snapshot);
    assert_whole(&dir).await;
    drop(Snapshot::open(file(&dir)).unwrap());
    assert_whole(&dir).await;
}

#[tokio::test]
async fn a_log_that_cannot_be_written_back_is_reported() {
    let dir = TempDir::new().unwrap();
    let store = filled(&dir).await;
    let log = dir.path().join("store.db-wal");
    // SQLite holds no locks on this file, so opening and closing it here releases none.
    fs::OpenOptions::new().write(true).open(log).unwrap().set_len(0).unwrap();
    let failed = store.close().unwrap_err();
    assert!(matches!(failed, StoreError::Unavailable(_)), "{failed:?}");
}
