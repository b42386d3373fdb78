//! The data folder: what it creates, what it refuses, and with which error.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    error::Error as _,
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use chatcamp_server::{AuthPolicy, DataDir, DataDirError, Keyring};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_new_folder_is_private_and_keeps_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b");
    let first = DataDir::open(&path, None).await.unwrap();
    let app = first.accounts().create_app("x", AuthPolicy::Open, None).await.unwrap().id;
    assert_eq!(
        (mode(&path), mode(&path.join("keys")), mode(&path.join("chatcamp.db"))),
        (0o700, 0o600, 0o600)
    );
    let names: Vec<_> = fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!names.iter().any(|n| n.to_string_lossy().starts_with("keys.")), "no draft is left: {names:?}");
    drop(first);
    let again = DataDir::open(&path, None).await.unwrap();
    assert_eq!(again.accounts().apps().await.unwrap()[0].id, app);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_opens_of_a_new_folder_get_the_same_keyring() {
    let folder = tempfile::tempdir().unwrap();
    let opens: Vec<_> = (0..8)
        .map(|_| {
            let path = folder.path().to_owned();
            tokio::spawn(async move { DataDir::open(path, None).await.unwrap().keyring().check_value() })
        })
        .collect();
    let mut seen = Vec::new();
    for open in opens {
        seen.push(open.await.unwrap());
    }
    seen.dedup();
    assert_eq!(seen.len(), 1);
}

#[tokio::test]
async fn a_wrong_keyring_is_refused_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (right, wrong) = (folder.path().join("keys"), folder.path().join("other-keys"));
    drop(DataDir::open(folder.path(), None).await.unwrap());
    fs::write(&wrong, &*Keyring::new(vec![[9; 32]]).unwrap().to_text()).unwrap();
    let error = DataDir::open(folder.path(), Some(wrong.clone())).await.unwrap_err();
    assert!(matches!(error, DataDirError::WrongKeyring { .. }), "{error:?}");
    assert!(error.to_string().contains("CHATCAMP_KEYS_FILE"), "{error}");

    // One more key beside the old one is a rotation.
    let rotated = format!("{}{}", fs::read_to_string(&wrong).unwrap(), fs::read_to_string(&right).unwrap());
    fs::write(&wrong, rotated).unwrap();
    DataDir::open(folder.path(), Some(wrong)).await.unwrap();
}

#[tokio::test]
async fn an_invalid_keyring_is_named_with_its_line_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("k");
    fs::write(&keys, "# keys\nhunter2\n").unwrap();
    let error = DataDir::open(folder.path(), Some(keys)).await.unwrap_err();
    let source = error.source().unwrap().to_string();
    assert!(source.contains("line 2") && !source.contains("hunter2"), "{source}");
    let missing = DataDir::open(folder.path(), Some(folder.path().join("missing"))).await.unwrap_err();
    assert!(missing.to_string().contains("missing"), "{missing}");
}

#[tokio::test]
async fn the_error_of_a_second_server_names_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = DataDir::open_to_serve(folder.path(), None).await.unwrap();
    first.announce("process 7 at 127.0.0.1:9080").unwrap();
    let error = DataDir::open_to_serve(folder.path(), None).await.unwrap_err();
    assert!(error.to_string().contains("process 7 at 127.0.0.1:9080"), "{error}");
    DataDir::open(folder.path(), None).await.expect("beside the server there is room for others");
    drop(first);
    DataDir::open_to_serve(folder.path(), None).await.unwrap();
}

#[tokio::test]
async fn a_lost_keyring_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    drop(DataDir::open(folder.path(), None).await.unwrap());
    fs::remove_file(folder.path().join("keys")).unwrap();
    let error = DataDir::open(folder.path(), None).await.unwrap_err();
    assert!(matches!(error, DataDirError::NoKeyring { .. }), "{error:?}");
    assert!(!folder.path().join("keys").exists(), "a backup must not contain a wrong keyring");
}

#[tokio::test]
async fn a_newer_or_damaged_database_is_refused_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chatcamp.db");
    drop(DataDir::open(folder.path(), None).await.unwrap());
    let database = rusqlite::Connection::open(&path).unwrap();
    database.pragma_update(None, "user_version", 9999).unwrap();
    database.execute("UPDATE schema SET compatible = 9998", []).unwrap();
    drop(database);
    let error = DataDir::open(folder.path(), None).await.unwrap_err();
    let text = error.source().unwrap().to_string();
    assert!(text.contains("9999") && text.contains("9998"), "{text}");

    fs::write(&path, "this is no database, and long enough to be looked at".repeat(100)).unwrap();
    assert!(DataDir::open(folder.path(), None).await.is_err());
}

/// Copies the data folder of release 0.1.0, whose database has an older schema.
fn copy_first_release(folder: &Path) {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cli/tests/fixtures/0.1.0");
    for name in ["chatcamp.db", "keys"] {
        fs::copy(fixture.join(name), folder.join(name)).unwrap();
    }
}

fn schema(folder: &Path) -> u32 {
    let database = rusqlite::Connection::open(folder.join("chatcamp.db")).unwrap();
    database.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_command_does_not_migrate_the_database_under_a_running_server() {
    let folder = tempfile::tempdir().unwrap();
    copy_first_release(folder.path());
    let old = schema(folder.path());
    let server = File::create(folder.path().join("server.lock")).unwrap();
    server.try_lock().unwrap();
    fs::write(folder.path().join("server.lock"), "process 7 at 127.0.0.1:9080").unwrap();

    for refused in [
        DataDir::open(folder.path(), None).await,
        DataDir::open_existing(folder.path(), None).await,
        DataDir::open_to_read(folder.path(), None).await,
    ] {
        let error = refused.unwrap_err();
        assert!(matches!(error, DataDirError::NotMigrated { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("process 7 at 127.0.0.1:9080") && text.contains("stop the server"), "{text}");
    }
    assert_eq!(schema(folder.path()), old);
    let backup = folder.path().join("backup");
    DataDir::back_up(folder.path(), None, &backup, false).expect("a backup does not migrate");

    drop(server);
    DataDir::open_to_read(folder.path(), None).await.unwrap();
    assert!(schema(folder.path()) > old);
}

#[tokio::test]
async fn a_command_that_migrates_the_database_does_not_keep_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    copy_first_release(folder.path());
    let command = DataDir::open_existing(folder.path(), None).await.unwrap();
    DataDir::open_to_serve(folder.path(), None).await.unwrap();
    drop(command);
}

#[tokio::test]
async fn a_folder_that_cannot_be_created_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = DataDir::open(file.join("data"), None).await.unwrap_err();
    assert!(error.to_string().contains("file/data"), "{error}");
}

/// Returns the names of all files in the folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_closed_folder_is_one_file_and_free_for_the_next_server() {
    let folder = tempfile::tempdir().unwrap();
    let whole = ["chatcamp.db", "keys", "server.lock"];
    let first = DataDir::open_to_serve(folder.path(), None).await.unwrap();
    let accounts = first.accounts();
    accounts.create_app("x", AuthPolicy::Open, None).await.unwrap();
    assert!(names(folder.path()).len() > whole.len(), "the log exists beside the database");
    first.close().unwrap();
    assert_eq!(names(folder.path()), whole);
    assert!(accounts.create_app("y", AuthPolicy::Open, None).await.is_err(), "the store is closed");

    let second = DataDir::open_to_serve(folder.path(), None).await.unwrap();
    let store = second.store();
    assert_eq!(store.apps().await.unwrap().len(), 1);
    drop(second);
    assert_eq!(names(folder.path()), whole, "dropping it does the same");
    assert!(store.apps().await.is_err());
}

#[tokio::test]
async fn a_lost_database_is_named_and_replaced_only_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chatcamp.db");
    let check = DataDir::open(folder.path(), None).await.unwrap().keyring().check_value();
    for is_empty in [false, true] {
        fs::remove_file(&path).unwrap();
        if is_empty {
            fs::write(&path, "").unwrap();
            fs::write(folder.path().join("chatcamp.db-wal"), "all that is left").unwrap();
        }
        let before = names(folder.path());
        for refused in [
            DataDir::open(folder.path(), None).await.map(drop),
            DataDir::open_existing(folder.path(), None).await.map(drop),
            DataDir::open_to_read(folder.path(), None).await.map(drop),
            DataDir::back_up(folder.path(), None, &folder.path().join("backup"), false).map(drop),
        ] {
            let error = refused.unwrap_err();
            assert!(matches!(error, DataDirError::NoDatabase { .. }), "{error:?}");
        }
        assert_eq!(names(folder.path()), before);
        let kept = DataDir::begin_anew(folder.path(), None).await.unwrap();
        assert_eq!(kept.is_some(), is_empty);
        if let Some(kept) = kept {
            let mut log = kept.into_os_string();
            log.push("-wal");
            assert_eq!(fs::read(log).unwrap(), b"all that is left");
        }
        let again = DataDir::open(folder.path(), None).await.unwrap();
        assert_eq!(again.keyring().check_value(), check, "the keys stay");
        drop(again);
        let refused = DataDir::begin_anew(folder.path(), None).await.unwrap_err();
        assert!(matches!(refused, DataDirError::HasDatabase { .. }), "{refused:?}");
    }
}

#[tokio::test]
async fn a_log_without_a_database_is_replaced_only_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let backup = folder.path().join("backup");
    let data = folder.path().join("data");
    drop(DataDir::open(&data, None).await.unwrap());
    DataDir::back_up(&data, None, &backup, true).unwrap();
    fs::remove_file(data.join("chatcamp.db")).unwrap();
    fs::write(data.join("chatcamp.db-wal"), "all that is left").unwrap();
    let restore = |replace| DataDir::restore(&data, None, &backup, None, replace);
    assert!(matches!(restore(false), Err(DataDirError::Occupied { .. })));
    restore(true).unwrap();
    DataDir::open(&data, None).await.unwrap();
}
