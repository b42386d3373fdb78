//! The admin password: an argon2 hash in a file of the data folder, and who guards the guessing.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use argon2::{
    Algorithm, Argon2, Block, Params, PasswordHasher as _, Version,
    password_hash::{self, phc},
};
use parking_lot::Mutex;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::secret;

/// The file of the hash.
const HASH_FILE: &str = "admin-password.hash";
/// The file of a password that was generated, for its owner to read, keep elsewhere and delete.
const TEXT_FILE: &str = "admin-password";
/// The file may be changed by another process; so often it is read again.
const FRESH: Duration = Duration::from_secs(1);
/// Shortest password, in characters.
const SHORTEST: usize = 12;
/// Longest password, in bytes.
pub(crate) const LONGEST: usize = 1024;

/// The admin password of a data folder.
///
/// Kept as an argon2id hash, in PHC form, in `admin-password.hash` (mode 0600). Another process may change it: a running
/// dashboard asks for the new one within a second, and its earlier visits are over.
pub struct AdminPassword {
    folder: PathBuf,
    read: Mutex<Option<(Instant, Hash)>>,
}

/// Why a password cannot be set or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// It is too short or too long.
    #[error("a password has {SHORTEST} characters or more, and at most {LONGEST} bytes")]
    Length,
    /// A file cannot be used.
    #[error("cannot use {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It could not be hashed.
    #[error("cannot hash the password")]
    Hash(#[source] password_hash::Error),
}

/// The hash of a password, in PHC form.
#[derive(Clone)]
pub(crate) struct Hash(Arc<str>);

/// The memory that argon2 works in, 19 MiB, kept from one password to the next.
///
/// argon2 would allocate it for each password, aligned to 64 bytes, on whichever thread checks it. glibc keeps an arena per
/// thread and does not reuse the gaps that aligned allocations leave: 429 wrong passwords took 1,875 MiB.
#[derive(Default)]
pub(crate) struct HashMemory(Vec<Block>);

impl AdminPassword {
    /// The password of a data folder, whether or not there is one yet.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), read: Mutex::new(None) }
    }

    /// Whether there is one.
    ///
    /// # Errors
    /// [`PasswordError::Io`].
    pub fn is_set(&self) -> Result<bool, PasswordError> {
        let path = self.folder.join(HASH_FILE);
        path.try_exists().map_err(|source| PasswordError::Io { path, source })
    }

    /// Sets it, hashing for some milliseconds; a generated one that lies in the folder is deleted.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub fn set(&self, password: &str) -> Result<(), PasswordError> {
        if password.chars().count() < SHORTEST || password.len() > LONGEST {
            return Err(PasswordError::Length);
        }
        let hash = Argon2::default().hash_password(password.as_bytes()).map_err(PasswordError::Hash)?;
        self.write(HASH_FILE, &hash.to_string())?;
        let text = self.folder.join(TEXT_FILE);
        match fs::remove_file(&text) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(PasswordError::Io { path: text, source })
            }
            _ => Ok(()),
        }
    }

    /// Sets a random one and returns it.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub fn generate(&self) -> Result<Zeroizing<String>, PasswordError> {
        let password = secret::random();
        self.set(&password)?;
        Ok(password)
    }

    /// Sets a random one, unless there is one, and writes it to a file that only its owner can read.
    ///
    /// The path of that file, for as long as it lies there.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub fn generate_unless_set(&self) -> Result<Option<PathBuf>, PasswordError> {
        if self.is_set()? {
            return Ok(Some(self.folder.join(TEXT_FILE)).filter(|path| path.exists()));
        }
        let password = self.generate()?;
        self.write(TEXT_FILE, &format!("{}\n", *password)).map(Some)
    }

    /// Whether this is the password; takes some milliseconds.
    ///
    /// # Errors
    /// [`PasswordError::Io`].
    pub fn is(&self, password: &str) -> Result<bool, PasswordError> {
        Ok(self.read()?.is_some_and(|hash| hash.is_of(password, &mut HashMemory::default())))
    }

    /// The hash as it is now, or was a second ago; nothing when there is no password.
    pub(crate) async fn hash(self: &Arc<Self>) -> Result<Option<Hash>, PasswordError> {
        if let Some((at, hash)) = &*self.read.lock()
            && at.elapsed() < FRESH
        {
            return Ok(Some(hash.clone()));
        }
        let this = self.clone();
        let read = tokio::task::spawn_blocking(move || this.read()).await;
        let hash = read.expect("reading a file does not panic, and nobody aborts it")?;
        *self.read.lock() = hash.clone().map(|hash| (Instant::now(), hash));
        Ok(hash)
    }

    fn read(&self) -> Result<Option<Hash>, PasswordError> {
        let path = self.folder.join(HASH_FILE);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(Hash::from_text(text.trim()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(PasswordError::Io { path, source }),
        }
    }

    /// Writes a file that only its owner can read, whole or not at all.
    fn write(&self, name: &str, text: &str) -> Result<PathBuf, PasswordError> {
        let path = self.folder.join(name);
        let draft = self.folder.join(format!("{name}.{}", *secret::random()));
        let written = write_new(&draft, text).and_then(|()| fs::rename(&draft, &path));
        match written {
            Ok(()) => Ok(path),
            Err(source) => {
                // It may be there in part.
                _ = fs::remove_file(&draft);
                Err(PasswordError::Io { path, source })
            }
        }
    }
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

impl Hash {
    pub(crate) fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns whether this is the hash of `password`, after some milliseconds of computing.
    pub(crate) fn is_of(&self, password: &str, memory: &mut HashMemory) -> bool {
        self.verify(password, memory).unwrap_or_else(|error| {
            tracing::error!(%error, "{HASH_FILE} is damaged; set another password with `chatcamp admin password`");
            false
        })
    }

    fn verify(&self, password: &str, memory: &mut HashMemory) -> Result<bool, password_hash::Error> {
        let hash = phc::PasswordHash::new(&self.0)?;
        let (Some(salt), Some(expected)) = (&hash.salt, &hash.hash) else {
            return Err(password_hash::Error::EncodingInvalid);
        };
        let algorithm = Algorithm::try_from(hash.algorithm.as_str())?;
        let version = hash.version.map(Version::try_from).transpose()?.unwrap_or_default();
        let params = Params::try_from(&hash)?;
        let blocks = memory.blocks(params.block_count())?;
        let mut computed = Zeroizing::new(vec![0; expected.len()]);
        let argon2 = Argon2::new(algorithm, version, params);
        argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut computed, &mut *blocks)?;
        // What is left there would let passwords be tried at little cost.
        blocks.fill(Block::default());
        Ok(computed.ct_eq(expected.as_bytes()).into())
    }
}

impl HashMemory {
    fn blocks(&mut self, count: usize) -> Result<&mut [Block], argon2::Error> {
        let missing = count.saturating_sub(self.0.len());
        self.0.try_reserve_exact(missing).map_err(|_| argon2::Error::OutOfMemory)?;
        self.0.resize(count, Block::default());
        Ok(&mut self.0)
    }
}

impl PartialEq for Hash {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl fmt::Debug for AdminPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminPassword").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_password_is_written_once_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let password = AdminPassword::at(folder.path());
        assert!(!password.is_set().unwrap() && !password.is("").unwrap());
        let path = password.generate_unless_set().unwrap().expect("there was none");
        assert_eq!(password.generate_unless_set().unwrap().as_ref(), Some(&path), "it still lies there");

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
    async fn a_new_password_takes_the_place_of_the_old_one_and_of_its_text() {
        let folder = tempfile::tempdir().unwrap();
        let password = Arc::new(AdminPassword::at(folder.path()));
        let path = password.generate_unless_set().unwrap().unwrap();
        let before = password.hash().await.unwrap().unwrap();
        for (bad, _) in [("too short", 0), ("", 0), (&*"x".repeat(LONGEST + 1), 0)] {
            assert!(matches!(password.set(bad), Err(PasswordError::Length)));
        }
        assert!(path.exists());
        AdminPassword::at(folder.path()).set("correct horse battery").unwrap();
        assert!(!path.exists() && password.is("correct horse battery").unwrap());
        assert_eq!(password.generate_unless_set().unwrap(), None);

        *password.read.lock() = None;
        assert!(password.hash().await.unwrap().is_some_and(|hash| hash != before));
        assert!(!format!("{password:?} {before:?}").contains("argon2"));
    }

    #[test]
    fn a_damaged_hash_lets_nobody_in() {
        let folder = tempfile::tempdir().unwrap();
        for text in [
            "",
            "hunter2hunter2",
            "$argon2id$v=19$m=19456",
            "$argon2id$v=19$m=19456,t=2,p=1",
            "$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ$0123456789012345678901",
            "$2b$12$abc",
        ] {
            fs::write(folder.path().join(HASH_FILE), text).unwrap();
            for guess in ["", text] {
                assert!(!AdminPassword::at(folder.path()).is(guess).unwrap(), "{text}");
            }
        }
    }

    #[test]
    fn one_memory_serves_hashes_of_different_cost() {
        let mut memory = HashMemory::default();
        for cost in [8, 64, 16] {
            let argon2 = Argon2::from(Params::new(cost, 1, 1, Some(16)).unwrap());
            let hash = Hash::from_text(&argon2.hash_password(b"correct horse").unwrap().to_string());
            assert!(
                hash.is_of("correct horse", &mut memory) && !hash.is_of("another", &mut memory),
                "{cost}"
            );
            assert!(
                memory.0.iter().all(|block| *block.as_ref() == [0; 128]),
                "nothing of the password is left"
            );
        }
    }
}
