//! The argon2id hash of the admin password, and the memory to compute it in.

use std::{fmt, sync::Arc};

use argon2::{
    Algorithm, Argon2, Block, Params, PasswordHasher as _, Version,
    password_hash::{self, phc},
};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The hash of a password, in PHC form.
#[derive(Clone)]
pub(crate) struct PasswordHash(Arc<str>);

/// The memory that argon2 works in, 19 MiB, kept from one password to the next.
///
/// argon2 would allocate it for each password, aligned to 64 bytes, on whichever thread checks it. glibc keeps an arena per
/// thread and does not reuse the gaps that aligned allocations leave: 429 wrong passwords took 1,875 MiB.
#[derive(Default)]
pub(crate) struct HashMemory(Vec<Block>);

impl PasswordHash {
    /// Hashes a password with a random salt, which takes some milliseconds and 19 MiB.
    pub(super) fn of(password: &str) -> Result<Self, password_hash::Error> {
        let hash = Argon2::default().hash_password(password.as_bytes())?;
        Ok(Self::from_text(&hash.to_string()))
    }

    pub(crate) fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    pub(super) fn as_text(&self) -> &str {
        &self.0
    }

    /// Returns whether this is the hash of `password`, after some milliseconds of computing.
    pub(crate) fn matches(&self, password: &str, memory: &mut HashMemory) -> bool {
        self.verify(password, memory).unwrap_or_else(|error| {
            tracing::error!(
                %error,
                "the hash of the admin password is damaged; set a new password with `chatcamp admin password`"
            );
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
        // The blocks could be used to test passwords without the cost of argon2.
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

impl PartialEq for PasswordHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_memory_serves_hashes_of_different_cost() {
        let mut memory = HashMemory::default();
        for cost in [8, 64, 16] {
            let argon2 = Argon2::from(Params::new(cost, 1, 1, Some(16)).unwrap());
            let hash = argon2.hash_password(b"correct horse").unwrap();
            let hash = PasswordHash::from_text(&hash.to_string());
            assert!(
                hash.matches("correct horse", &mut memory) && !hash.matches("another", &mut memory),
                "{cost}"
            );
            assert!(memory.0.iter().all(|block| *block.as_ref() == [0; 128]), "the memory is overwritten");
        }
    }

    #[test]
    fn a_damaged_hash_matches_no_password() {
        for text in [
            "",
            "hunter2hunter2",
            "$argon2id$v=19$m=19456",
            "$argon2id$v=19$m=19456,t=2,p=1",
            "$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ$0123456789012345678901",
            "$2b$12$abc",
        ] {
            for guess in ["", text] {
                assert!(!PasswordHash::from_text(text).matches(guess, &mut HashMemory::default()), "{text}");
            }
        }
    }
}
