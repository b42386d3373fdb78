//! The data folder: what is made, what is refused, and what the refusal says.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{error::Error as _, fs, os::unix::fs::PermissionsExt as _, path::Path};

use chatcamp_server::{AuthPolicy, DataDir, DataDirError, Keyring};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_new_folder_is_private_and_opens_again_with_what_was_put_in() {
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
async fn of_many_who_open_a_new_folder_at_once_all_have_one_keyring() {
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

    // One key more, the old one kept: that is a rotation.
    let rotated = format!("{}{}", fs::read_to_string(&wrong).unwrap(), fs::read_to_string(&right).unwrap());
    fs::write(&wrong, rotated).unwrap();
    DataDir::open(folder.path(), Some(wrong)).await.unwrap();
}

#[tokio::test]
async fn a_keyring_that_is_none_is_named_with_its_line_and_not_shown() {
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
async fn a_second_server_is_told_who_the_first_is() {
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
async fn a_lost_keyring_is_not_replaced_by_another() {
    let folder = tempfile::tempdir().unwrap();
    drop(DataDir::open(folder.path(), None).await.unwrap());
    fs::remove_file(folder.path().join("keys")).unwrap();
    let error = DataDir::open(folder.path(), None).await.unwrap_err();
    assert!(matches!(error, DataDirError::NoKeyring { .. }), "{error:?}");
    assert!(!folder.path().join("keys").exists(), "a backup must not save a wrong one");
}

#[tokio::test]
async fn a_newer_or_broken_database_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chatcamp.db");
    drop(DataDir::open(folder.path(), None).await.unwrap());
    let database = rusqlite::Connection::open(&path).unwrap();
    database.pragma_update(None, "user_version", 9999).unwrap();
    drop(database);
    let error = DataDir::open(folder.path(), None).await.unwrap_err();
    assert!(error.source().unwrap().to_string().contains("9999"), "{error:?}");

    fs::write(&path, "this is no database, and long enough to be looked at".repeat(100)).unwrap();
    assert!(DataDir::open(folder.path(), None).await.is_err());
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = DataDir::open(file.join("data"), None).await.unwrap_err();
    assert!(error.to_string().contains("file/data"), "{error}");
}
