//! A file that is deleted, replaced or truncated while it is open is noticed before a write is acknowledged.
#![cfg(all(feature = "sqlite", unix))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use chatcamp_store::{
    StoreError,
    prelude::*,
    sqlite::{FileFault, Snapshot, Store},
    testing::{app_id, open_app, plain_user, user_id},
};
use rusqlite::Connection;
use tempfile::TempDir;

const DATABASE: &str = "store.db";
const LOG: &str = "store.db-wal";

/// Damages the folder of a store.
type Damage = fn(&Path);

async fn filled(folder: &Path) -> Store {
    let store = Store::open(folder.join(DATABASE)).unwrap();
    let app = open_app(&store, "demo").await;
    for n in 0..50 {
        let mut user = plain_user(&app, &format!("user {n}"));
        user.profile.data = "x".repeat(2000);
        store.create_user(user).await.unwrap();
    }
    store
}

fn truncate(path: &Path, len: u64) {
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(len).unwrap();
}

/// Writes the log back into the file, as another process may at any time.
fn checkpoint(folder: &Path, mode: &str) {
    let beside = Connection::open(folder.join(DATABASE)).unwrap();
    let checkpoint = format!("PRAGMA wal_checkpoint({mode})");
    let busy: i64 = beside.query_row(&checkpoint, [], |row| row.get(0)).unwrap();
    assert_eq!(busy, 0);
}

fn missing(name: &str) -> FileFault {
    FileFault::Missing { name: name.into() }
}

fn truncated(name: &str) -> FileFault {
    FileFault::Truncated { name: name.into() }
}

#[tokio::test]
async fn no_write_to_a_missing_or_damaged_file_is_acknowledged() {
    let replaced = FileFault::Replaced { name: DATABASE.into() };
    let cases: [(&str, Damage, FileFault); 7] = [
        ("folder deleted", |folder| fs::remove_dir_all(folder).unwrap(), missing(LOG)),
        ("database deleted", |folder| fs::remove_file(folder.join(DATABASE)).unwrap(), missing(DATABASE)),
        ("log deleted", |folder| fs::remove_file(folder.join(LOG)).unwrap(), missing(LOG)),
        (
            "database replaced",
            |folder| {
                fs::copy(folder.join(DATABASE), folder.join("copy")).unwrap();
                fs::rename(folder.join("copy"), folder.join(DATABASE)).unwrap();
            },
            replaced,
        ),
        ("database truncated", |folder| truncate(&folder.join(DATABASE), 4096), truncated(DATABASE)),
        ("log emptied", |folder| truncate(&folder.join(LOG), 0), truncated(LOG)),
        ("log cut", |folder| truncate(&folder.join(LOG), 9000), truncated(LOG)),
    ];
    for (name, damage, expected) in cases {
        let dir = TempDir::new().unwrap();
        let folder = dir.path().join("data");
        fs::create_dir(&folder).unwrap();
        let store = filled(&folder).await;
        if name.starts_with("database") {
            checkpoint(&folder, "PASSIVE");
        }
        store.probe().await.unwrap();
        damage(&folder);
        let refused = store.create_user(plain_user(&app_id("demo"), "late")).await.unwrap_err();
        assert!(matches!(refused, StoreError::Unavailable(_)), "{name}: {refused:?}");
        assert_eq!(FileFault::of(&refused), Some(&expected), "{name}");
        let refused = store.probe().await.unwrap_err();
        assert_eq!(FileFault::of(&refused), Some(&expected), "{name}");
        assert!(store.close().is_err(), "{name}");
    }
}

#[tokio::test]
async fn a_truncated_log_is_not_written_back() {
    let dir = TempDir::new().unwrap();
    let store = filled(dir.path()).await;
    checkpoint(dir.path(), "PASSIVE");
    for n in 50..80 {
        store.create_user(plain_user(&app_id("demo"), &format!("user {n}"))).await.unwrap();
    }
    truncate(&dir.path().join(LOG), 9000);
    store.close().unwrap_err();
    let found = Snapshot::open(dir.path().join(DATABASE)).unwrap();
    found.check().unwrap();
    assert!((50..80).contains(&found.user_count().unwrap()), "the earlier checkpoint is intact");
}

#[tokio::test]
async fn a_checkpoint_or_vacuum_by_another_process_is_not_taken_for_damage() {
    let dir = TempDir::new().unwrap();
    let store = filled(dir.path()).await;
    let app = app_id("demo");
    checkpoint(dir.path(), "TRUNCATE");
    assert_eq!(fs::metadata(dir.path().join(LOG)).unwrap().len(), 0);
    store.create_user(plain_user(&app, "after a checkpoint")).await.unwrap();

    for n in 0..50 {
        store.delete_user(&app, &user_id(&format!("user {n}"))).await.unwrap();
    }
    checkpoint(dir.path(), "TRUNCATE");
    store.probe().await.unwrap();
    let len = || fs::metadata(dir.path().join(DATABASE)).unwrap().len();
    let before = len();
    Connection::open(dir.path().join(DATABASE)).unwrap().execute_batch("VACUUM").unwrap();
    store.probe().await.unwrap();
    checkpoint(dir.path(), "TRUNCATE");
    assert!(len() < before, "the file became shorter");
    store.create_user(plain_user(&app, "after a vacuum")).await.unwrap();
    store.close().unwrap();
}

#[tokio::test]
async fn a_write_fails_while_a_required_file_is_missing() {
    let dir = TempDir::new().unwrap();
    let store = filled(dir.path()).await;
    let (lock, keys) = (dir.path().join("lock"), dir.path().join("keys"));
    let refused = store.require(&lock, true).unwrap_err();
    assert_eq!(FileFault::of(&refused), Some(&missing("lock")));
    for path in [&lock, &keys] {
        fs::write(path, "").unwrap();
    }
    store.require(&lock, true).unwrap();
    store.require(&keys, false).unwrap();
    store.probe().await.unwrap();

    fs::remove_file(&keys).unwrap();
    assert_eq!(FileFault::of(&store.probe().await.unwrap_err()), Some(&missing("keys")));
    fs::write(&keys, "another file").unwrap();
    store.probe().await.expect("a file of that name is enough");

    fs::rename(&lock, dir.path().join("elsewhere")).unwrap();
    fs::write(&lock, "").unwrap();
    let replaced = FileFault::Replaced { name: "lock".into() };
    assert_eq!(FileFault::of(&store.probe().await.unwrap_err()), Some(&replaced));
    fs::rename(dir.path().join("elsewhere"), &lock).unwrap();
    store.probe().await.unwrap();
}

#[tokio::test]
async fn a_database_can_be_read_if_its_shared_memory_file_cannot_be_created() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(DATABASE);
    drop(filled(dir.path()).await);
    // SQLite does not follow a link to this file, so it cannot create it, as on a full disk.
    std::os::unix::fs::symlink("nowhere", dir.path().join("store.db-shm")).unwrap();
    assert!(Store::open(&path).is_err(), "writing needs the shared-memory file");
    let store = Store::open_to_read(&path).unwrap();
    assert_eq!(store.users(&app_id("demo"), None, 100).await.unwrap().len(), 50);
    let refused = store.create_user(plain_user(&app_id("demo"), "late")).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    store.close().unwrap();
    assert_eq!(Snapshot::open(&path).unwrap().user_count().unwrap(), 50);
}

#[tokio::test]
async fn a_store_that_must_exist_is_not_created_and_its_log_is_not_lost() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(DATABASE);
    let refused = |expected: &FileFault| {
        for refused in [
            Store::open_existing(&path).unwrap_err(),
            Store::open_to_read(&path).unwrap_err(),
            Snapshot::open(&path).unwrap_err(),
        ] {
            assert_eq!(FileFault::of(&refused), Some(expected), "{refused:?}");
        }
    };
    refused(&missing(DATABASE));
    assert!(!path.exists());
    let no_data = FileFault::NoData { name: DATABASE.into() };
    fs::write(&path, "").unwrap();
    fs::write(dir.path().join(LOG), "all that is left").unwrap();
    refused(&no_data);
    assert_eq!(fs::read(dir.path().join(LOG)).unwrap(), b"all that is left");
    fs::remove_file(dir.path().join(LOG)).unwrap();
    Connection::open(&path).unwrap().execute_batch("PRAGMA journal_mode = WAL").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 4096, "one bare page");
    refused(&no_data);
}
