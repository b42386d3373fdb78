//! Backing up and restoring a data folder, and what each may overwrite.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use chatcamp_protocol::UserId;
use chatcamp_server::{AuthPolicy, BackedUp, DataDir, DataDirError, Keyring, NewUser, Restored};
use tempfile::TempDir;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Creates a data folder with one app and this user.
    async fn folder(&self, name: &str, user: &str) -> DataDir {
        let data = DataDir::open(self.path(name), None).await.unwrap();
        let app = data.accounts().create_app("demo", AuthPolicy::Open, None).await.unwrap().id;
        data.accounts().create_user(&app, &UserId::new(user).unwrap(), NewUser::default()).await.unwrap();
        data
    }

    fn back_up(&self, folder: &str, to: &str, with_keys: bool) -> Result<BackedUp, DataDirError> {
        DataDir::back_up(&self.path(folder), None, &self.path(to), with_keys)
    }

    fn restore(&self, from: &str, folder: &str, force: bool) -> Result<Restored, DataDirError> {
        DataDir::restore(&self.path(folder), None, &self.path(from), None, force)
    }

    /// Returns the only user of the only app in a folder.
    async fn user_in(&self, folder: &str) -> String {
        let accounts = DataDir::open(self.path(folder), None).await.unwrap().accounts();
        let app = accounts.apps().await.unwrap().remove(0).id.clone();
        accounts.users(&app, None, 10).await.unwrap().remove(0).id.as_str().to_owned()
    }

    /// Returns the names of the files in a subfolder.
    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_backup_of_a_running_server_is_restored_elsewhere() {
    let place = Place::new();
    drop(place.folder("data", "alice").await);
    let serving = DataDir::open_to_serve(place.path("data"), None).await.unwrap();
    let made = place.back_up("data", "backup", true).unwrap();
    assert_eq!((made.users, made.keys), (1, place.path("data/keys")));
    assert_eq!(made.bytes, fs::metadata(place.path("backup")).unwrap().len());
    assert_eq!(made.keys_copy, Some(place.path("backup.keys")));
    drop(serving);

    let restored = place.restore("backup", "new/data", false).unwrap();
    assert_eq!((restored.users, restored.keys), (1, place.path("new/data/keys")));
    assert_eq!(place.user_in("new/data").await, "alice");
    for file in ["backup", "backup.keys", "new/data/chatcamp.db", "new/data/keys"] {
        assert_eq!(mode(&place.path(file)), 0o600, "{file}");
    }
    assert_eq!(mode(&place.path("new/data")), 0o700);
    assert_eq!(place.names(""), ["backup", "backup.keys", "data", "new"], "no draft is left");
}

#[tokio::test]
async fn a_backup_contains_no_key_and_is_not_restored_without_the_keyring() {
    let place = Place::new();
    drop(place.folder("data", "alice").await);
    place.back_up("data", "backup", false).unwrap();
    let keys = fs::read_to_string(place.path("data/keys")).unwrap();
    let key = data_encoding::HEXLOWER.decode(keys.lines().last().unwrap().as_bytes()).unwrap();
    let backup = fs::read(place.path("backup")).unwrap();
    assert!(!backup.windows(key.len()).any(|window| window == key));

    let refused = place.restore("backup", "new", false).unwrap_err();
    assert!(matches!(refused, DataDirError::KeysNeeded { .. }), "{refused:?}");
    assert!(!DataDir::exists(&place.path("new")));
    let named = |keys: &str| {
        DataDir::restore(&place.path("new"), None, &place.path("backup"), Some(place.path(keys)), false)
    };
    fs::write(place.path("others"), &*Keyring::new(vec![[9; 32]]).unwrap().to_text()).unwrap();
    assert!(matches!(named("others"), Err(DataDirError::ForeignKeys { .. })));
    named("data/keys").unwrap();
    assert_eq!(place.user_in("new").await, "alice");
}

#[tokio::test]
async fn a_named_keyring_file_is_used_and_never_written() {
    let place = Place::new();
    let keys = place.path("mounted");
    fs::write(&keys, &*Keyring::new(vec![[9; 32]]).unwrap().to_text()).unwrap();
    drop(DataDir::open(place.path("data"), Some(keys.clone())).await.unwrap());
    let backup = place.path("backup");
    assert!(matches!(place.back_up("data", "backup", false), Err(DataDirError::NoKeyring { .. })));
    DataDir::back_up(&place.path("data"), Some(keys.clone()), &backup, true).unwrap();

    let other = place.path("other");
    fs::write(&other, &*Keyring::new(vec![[8; 32]]).unwrap().to_text()).unwrap();
    let before = fs::read(&other).unwrap();
    let refused = DataDir::restore(&place.path("new"), Some(other.clone()), &backup, None, true).unwrap_err();
    assert!(matches!(refused, DataDirError::ForeignKeys { .. }), "{refused:?}");
    assert_eq!(fs::read(&other).unwrap(), before);
    DataDir::restore(&place.path("new"), Some(keys.clone()), &backup, None, false).unwrap();
    DataDir::open(place.path("new"), Some(keys)).await.unwrap();
    assert!(!place.path("new/keys").exists());
}

#[tokio::test]
async fn existing_files_are_overwritten_only_on_request() {
    let place = Place::new();
    drop(place.folder("a", "alice").await);
    drop(place.folder("b", "bob").await);
    place.back_up("a", "backup", true).unwrap();
    for (to, with_keys) in [("backup", false), ("backup", true), ("b/chatcamp.db", false)] {
        let refused = place.back_up("a", to, with_keys).unwrap_err();
        assert!(matches!(refused, DataDirError::Exists { .. }), "{refused:?}");
    }
    fs::write(place.path("c.keys"), "mine").unwrap();
    assert!(matches!(place.back_up("a", "c", true), Err(DataDirError::Exists { .. })));
    assert_eq!(fs::read_to_string(place.path("c.keys")).unwrap(), "mine");
    assert!(!place.path("c").exists());

    assert!(matches!(place.restore("backup", "b", false), Err(DataDirError::Occupied { .. })));
    assert_eq!(place.user_in("b").await, "bob");
    let restored = place.restore("backup", "b", true).unwrap();
    assert_eq!(place.user_in("b").await, "alice");
    let kept = Keyring::parse(&fs::read_to_string(restored.replaced_keys.unwrap()).unwrap());
    assert!(kept.is_ok(), "the keyring of a database is never deleted");
    assert_eq!(place.restore("backup", "b", true).unwrap().replaced_keys, None, "now the keyring matches");
}

#[tokio::test]
async fn a_keyring_without_a_database_is_replaced_only_on_request() {
    let place = Place::new();
    drop(place.folder("a", "alice").await);
    place.back_up("a", "backup", true).unwrap();
    fs::create_dir(place.path("b")).unwrap();
    fs::write(place.path("b/keys"), &*Keyring::new(vec![[9; 32]]).unwrap().to_text()).unwrap();
    assert!(matches!(place.restore("backup", "b", false), Err(DataDirError::ForeignKeys { .. })));
    place.restore("backup", "b", true).unwrap();
    assert_eq!(place.user_in("b").await, "alice");
}

#[tokio::test]
async fn a_folder_that_is_served_or_in_use_is_not_overwritten() {
    let place = Place::new();
    drop(place.folder("a", "alice").await);
    place.back_up("a", "backup", true).unwrap();
    let serving = DataDir::open_to_serve(place.path("a"), None).await.unwrap();
    assert!(matches!(place.restore("backup", "a", true), Err(DataDirError::AlreadyServed { .. })));
    drop(serving);
    let command = DataDir::open(place.path("a"), None).await.unwrap();
    assert!(matches!(place.restore("backup", "a", true), Err(DataDirError::Store { .. })));
    assert!(command.accounts().apps().await.is_ok());
    drop(command);
    place.restore("backup", "a", true).unwrap();
}

#[tokio::test]
async fn a_damaged_database_or_a_remaining_log_is_replaced() {
    let place = Place::new();
    drop(place.folder("a", "alice").await);
    place.back_up("a", "backup", true).unwrap();
    let garbage = "no database, but long enough to be taken for one. ".repeat(200);
    fs::write(place.path("a/chatcamp.db"), &garbage).unwrap();
    fs::write(place.path("a/chatcamp.db-wal"), &garbage).unwrap();
    place.restore("backup", "a", true).unwrap();
    assert_eq!(place.user_in("a").await, "alice");

    let log = place.path("b/chatcamp.db-wal");
    let other = place.folder("b", "bob").await;
    let written = fs::read(&log).unwrap();
    drop(other);
    fs::remove_file(place.path("b/chatcamp.db")).unwrap();
    fs::write(&log, written).unwrap();
    place.restore("backup", "b", true).unwrap();
    assert_eq!(place.user_in("b").await, "alice", "bob's log is not applied to it");
}

#[tokio::test]
async fn an_invalid_backup_is_refused_and_the_database_stays() {
    let place = Place::new();
    drop(place.folder("a", "alice").await);
    place.back_up("a", "backup", true).unwrap();
    let whole = fs::read(place.path("backup")).unwrap();
    let mut damaged = whole.clone();
    damaged[8192..].fill(0xff);
    fs::write(place.path("garbage"), "no backup").unwrap();
    fs::write(place.path("damaged"), damaged).unwrap();
    fs::write(place.path("half"), &whole[..whole.len() / 2]).unwrap();
    fs::copy(place.path("backup.keys"), place.path("damaged.keys")).unwrap();
    for name in ["garbage", "damaged", "half", "missing", "backup.keys"] {
        let refused = place.restore(name, "a", true).unwrap_err();
        assert!(matches!(refused, DataDirError::Backup { .. }), "{name}: {refused:?}");
        assert!(refused.to_string().contains(name), "{refused}");
        assert_eq!(place.user_in("a").await, "alice", "{name}");
    }
    let drafts = |name: &String| name.starts_with("chatcamp.db.");
    assert!(!place.names("a").iter().any(drafts), "{:?}", place.names("a"));
}

#[tokio::test]
async fn a_failed_restore_leaves_no_new_folder() {
    let place = Place::new();
    drop(place.folder("a", "alice").await);
    place.back_up("a", "backup", true).unwrap();
    let mut damaged = fs::read(place.path("backup")).unwrap();
    damaged[8192..].fill(0xff);
    fs::write(place.path("damaged"), damaged).unwrap();
    fs::copy(place.path("backup.keys"), place.path("damaged.keys")).unwrap();
    for from in ["missing", "damaged", "backup.keys"] {
        place.restore(from, "new/and/deep", false).unwrap_err();
        assert!(!place.path("new").exists(), "{from}");
    }
    fs::create_dir(place.path("new")).unwrap();
    place.restore("missing", "new/data", false).unwrap_err();
    assert_eq!(place.names("new"), [""; 0], "existing files stay");
    place.restore("backup", "new/data", false).unwrap();
    assert_eq!(place.user_in("new/data").await, "alice");
}

#[tokio::test]
async fn the_draft_of_a_killed_restore_is_removed_by_the_next_and_by_a_server() {
    let place = Place::new();
    drop(place.folder("a", "alice").await);
    place.back_up("a", "backup", true).unwrap();
    let leave = || {
        for name in ["chatcamp.db.unfinished", "chatcamp.db.unfinished-journal"] {
            fs::write(place.path("a").join(name), "half of it").unwrap();
        }
    };
    let is_left = || place.names("a").iter().any(|name| name.contains("unfinished"));
    leave();
    place.restore("backup", "a", true).unwrap();
    assert!(!is_left());
    leave();
    drop(DataDir::open_to_serve(place.path("a"), None).await.unwrap());
    assert!(!is_left());
}

#[tokio::test]
async fn an_unwritable_path_is_named_in_the_error() {
    let place = Place::new();
    drop(place.folder("a", "alice").await);
    let said = |error: DataDirError| format!("{error}: {}", std::error::Error::source(&error).unwrap());
    let refused = said(place.back_up("a", "nowhere/backup", false).unwrap_err());
    assert!(refused.contains("No such file") && !refused.contains("store"), "{refused}");

    std::os::unix::fs::symlink("gone", place.path("dangling")).unwrap();
    let refused = said(DataDir::open(place.path("dangling"), None).await.unwrap_err());
    assert!(refused.contains("symbolic link to gone, which does not exist"), "{refused}");
    fs::write(place.path("file"), "").unwrap();
    let refused = said(DataDir::open(place.path("file"), None).await.unwrap_err());
    assert!(refused.contains("not a folder"), "{refused}");
    place.back_up("a", "backup", true).unwrap();
    place.restore("backup", "dangling", false).unwrap_err();
    assert!(place.path("dangling").symlink_metadata().is_ok(), "existing files stay");
}

#[tokio::test]
async fn a_folder_of_a_newer_but_compatible_schema_is_used_backed_up_and_restored() {
    let place = Place::new();
    drop(place.folder("data", "alice").await);
    let path = place.path("data/chatcamp.db");
    let newer = "PRAGMA user_version = 1000; ALTER TABLE users ADD COLUMN later INTEGER NOT NULL DEFAULT 7";
    rusqlite::Connection::open(&path).unwrap().execute_batch(newer).unwrap();

    let data = DataDir::open_to_serve(place.path("data"), None).await.unwrap();
    assert_eq!(
        DataDir::open_to_read(place.path("data"), None).await.unwrap().accounts().apps().await.unwrap().len(),
        1
    );
    assert_eq!(place.back_up("data", "backup", true).unwrap().users, 1);
    drop(data);
    assert_eq!(place.restore("backup", "restored", false).unwrap().users, 1);
    DataDir::open_to_serve(place.path("restored"), None).await.unwrap();

    rusqlite::Connection::open(&path).unwrap().execute("UPDATE schema SET compatible = 999", []).unwrap();
    let refused = DataDir::open_to_serve(place.path("data"), None).await.unwrap_err();
    let text = std::error::Error::source(&refused).unwrap().to_string();
    assert!(text.contains("schema 1000") && text.contains("schema 999 or later"), "{text}");
    let refused = place.back_up("data", "other", true).unwrap_err();
    let text = std::error::Error::source(&refused).unwrap().to_string();
    assert!(text.contains("schema 1000") && text.contains("schema 999 or later"), "{text}");
}
