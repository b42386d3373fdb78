//! The file of the admin password's hash.

use std::{
    fmt, fs, io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use argon2::password_hash;
use chatcamp_server::write_private_file;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::{
    password_hash::{HashMemory, PasswordHash},
    secret,
};

/// The file of the hash.
const HASH_FILE: &str = "admin-password.hash";
/// The file of a generated password, for its owner to read, keep elsewhere and delete.
const TEXT_FILE: &str = "admin-password";
/// How long a hash that was read is used. Another process may change the file.
const REREAD_AFTER: Duration = Duration::from_secs(1);
/// Minimum length of a password, in characters.
const MIN_CHARS: usize = 12;
/// Maximum length of a password, in bytes.
pub(crate) const MAX_BYTES: usize = 1024;

/// The admin password of a data folder.
///
/// It is stored as an argon2id hash, in PHC form, in `admin-password.hash` (mode 0600). Another process may change it: a
/// running dashboard then ends its sessions and requires the new password within a second.
pub struct AdminPassword {
    folder: PathBuf,
    last_read: Mutex<Option<(Instant, PasswordHash)>>,
}

/// Why a password cannot be set or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// The password is too short or too long.
    #[error("the password must have at least {MIN_CHARS} characters and at most {MAX_BYTES} bytes")]
    Length,
    /// A file cannot be read, written or deleted.
    #[error("cannot access {}", path.display())]
    Io {
        /// The path of the file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The password cannot be hashed.
    #[error("cannot hash the password")]
    Hash(#[source] password_hash::Error),
}

impl AdminPassword {
    /// Returns the password of a data folder. It need not be set yet.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), last_read: Mutex::new(None) }
    }

    /// Returns whether a password is set.
    ///
    /// # Errors
    /// [`PasswordError::Io`] if the file's existence cannot be checked.
    pub fn is_set(&self) -> Result<bool, PasswordError> {
        let path = self.folder.join(HASH_FILE);
        path.try_exists().map_err(|source| PasswordError::Io { path, source })
    }

    /// Sets the password, and deletes the file of a generated one. Hashing takes some milliseconds.
    ///
    /// # Errors
    /// [`PasswordError::Length`] if the password is too short or too long, another [`PasswordError`] if it cannot be hashed
    /// or written.
    pub fn set(&self, password: &str) -> Result<(), PasswordError> {
        if password.chars().count() < MIN_CHARS || password.len() > MAX_BYTES {
            return Err(PasswordError::Length);
        }
        let hash = PasswordHash::of(password).map_err(PasswordError::Hash)?;
        self.write(HASH_FILE, hash.as_text())?;
        let generated = self.folder.join(TEXT_FILE);
        match fs::remove_file(&generated) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(PasswordError::Io { path: generated, source })
            }
            _ => Ok(()),
        }
    }

    /// Sets a random password and returns it.
    ///
    /// # Errors
    /// [`PasswordError`] if it cannot be hashed or written.
    pub fn generate(&self) -> Result<Zeroizing<String>, PasswordError> {
        let password = secret::random();
        self.set(&password)?;
        Ok(password)
    }

    /// Sets a random password unless one is set, and writes it to a file that only its owner can read.
    ///
    /// Returns the path of that file, or `None` if a password is set and the file does not exist.
    ///
    /// # Errors
    /// [`PasswordError`] if the password cannot be hashed or written.
    pub fn generate_unless_set(&self) -> Result<Option<PathBuf>, PasswordError> {
        if self.is_set()? {
            return Ok(Some(self.folder.join(TEXT_FILE)).filter(|path| path.exists()));
        }
        let password = self.generate()?;
        self.write(TEXT_FILE, &format!("{}\n", *password)).map(Some)
    }

    /// Returns whether this is the password, after some milliseconds of computing.
    ///
    /// # Errors
    /// [`PasswordError::Io`] if the hash cannot be read.
    pub fn is(&self, password: &str) -> Result<bool, PasswordError> {
        Ok(self.read()?.is_some_and(|hash| hash.matches(password, &mut HashMemory::default())))
    }

    /// Returns the hash, at most a second old, or `None` if no password is set.
    pub(crate) async fn hash(self: &Arc<Self>) -> Result<Option<PasswordHash>, PasswordError> {
        if let Some((at, hash)) = &*self.last_read.lock()
            && at.elapsed() < REREAD_AFTER
        {
            return Ok(Some(hash.clone()));
        }
        let this = self.clone();
        let read = tokio::task::spawn_blocking(move || this.read()).await;
        let hash = read.expect("reading a file does not panic, and nothing aborts it")?;
        *self.last_read.lock() = hash.clone().map(|hash| (Instant::now(), hash));
        Ok(hash)
    }

    fn read(&self) -> Result<Option<PasswordHash>, PasswordError> {
        let path = self.folder.join(HASH_FILE);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(PasswordHash::from_text(text.trim()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(PasswordError::Io { path, source }),
        }
    }

    /// Writes a file that only its owner can read, completely or not at all.
    fn write(&self, name: &str, text: &str) -> Result<PathBuf, PasswordError> {
        let path = self.folder.join(name);
        match write_private_file(&path, text.as_bytes()) {
            Ok(()) => Ok(path),
            Err(source) => Err(PasswordError::Io { path, source }),
        }
    }
}

impl fmt::Debug for AdminPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminPassword").field("folder", &self.folder).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_password_is_written_once_and_only_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let password = AdminPassword::at(folder.path());
        assert!(!password.is_set().unwrap() && !password.is("").unwrap());
        let path = password.generate_unless_set().unwrap().expect("no password was set");
        assert_eq!(password.generate_unless_set().unwrap().as_ref(), Some(&path), "the file still exists");

        let text = fs::read_to_string(&path).unwrap();
        assert!(password.is(text.trim()).unwrap() && !password.is("another password").unwrap());
        #[cfg(unix)]
        for file in fs::read_dir(folder.path()).unwrap() {
            use std::os::unix::fs::MetadataExt as _;
            assert_eq!(file.unwrap().metadata().unwrap().mode() & 0o777, 0o600);
        }
        let hash = fs::read_to_string(folder.path().join(HASH_FILE)).unwrap();
        assert!(hash.starts_with("$argon2id$") && !hash.contains(text.trim()));
    }

    #[tokio::test]
    async fn a_new_password_replaces_the_generated_one_and_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let password = Arc::new(AdminPassword::at(folder.path()));
        let path = password.generate_unless_set().unwrap().unwrap();
        let before = password.hash().await.unwrap().unwrap();
        for invalid in ["too short", "", &*"x".repeat(MAX_BYTES + 1)] {
            assert!(matches!(password.set(invalid), Err(PasswordError::Length)));
        }
        assert!(path.exists());
        AdminPassword::at(folder.path()).set("correct horse battery").unwrap();
        assert!(!path.exists() && password.is("correct horse battery").unwrap());
        assert_eq!(password.generate_unless_set().unwrap(), None);

        *password.last_read.lock() = None;
        assert!(password.hash().await.unwrap().is_some_and(|hash| hash != before));
        assert!(!format!("{password:?} {before:?}").contains("argon2"));
    }

    #[test]
    fn a_damaged_file_accepts_no_password() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(HASH_FILE), "hunter2hunter2").unwrap();
        for guess in ["", "hunter2hunter2"] {
            assert!(!AdminPassword::at(folder.path()).is(guess).unwrap());
        }
    }
}
