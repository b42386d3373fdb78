//! The master keys, and the authentication codes computed with them.

use std::fmt;

use chatcamp_protocol::secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A list of 256-bit master keys: the first one signs, all of them verify.
///
/// If the keyring is lost, every token, digest and API key made with it becomes invalid.
#[derive(Clone)]
pub struct Keyring(Zeroizing<Vec<[u8; 32]>>);

/// An authentication code of full length.
pub type Digest = [u8; 32];

/// What a code authenticates. Each domain has its own label, so that a code of one domain is invalid in another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// Derived access tokens.
    AccessToken,
    /// Digests of access tokens that a backend chose.
    TokenDigest,
    /// Session keys.
    SessionKey,
    /// Digests of API keys.
    ApiKeyDigest,
    /// The value by which a store recognises its keyring.
    KeyringCheck,
}

/// The text is not a valid keyring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyring {
    /// The keyring has no key.
    #[error("the keyring has no key; it needs a line of 64 hexadecimal digits")]
    Empty,
    /// A line is not a key. Contains the number of the line, not its text.
    #[error("line {0} of the keyring is not a key of 64 hexadecimal digits")]
    BadLine(usize),
}

impl Domain {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::AccessToken => b"chatcamp access token 1",
            Self::TokenDigest => b"chatcamp token digest 1",
            Self::SessionKey => b"chatcamp session key 1",
            Self::ApiKeyDigest => b"chatcamp api key digest 1",
            Self::KeyringCheck => b"chatcamp keyring check 1",
        }
    }
}

impl Keyring {
    /// Creates a keyring from these keys; the first one signs.
    ///
    /// # Errors
    /// [`InvalidKeyring::Empty`] if there is no key.
    pub fn new(keys: Vec<[u8; 32]>) -> Result<Self, InvalidKeyring> {
        if keys.is_empty() { Err(InvalidKeyring::Empty) } else { Ok(Self(Zeroizing::new(keys))) }
    }

    /// Reads a keyring file: one key of 64 hexadecimal digits per line. Skips empty lines, lines that begin with `#`, white space
    /// around a line, and a byte order mark.
    ///
    /// # Errors
    /// [`InvalidKeyring`] if there is no key, or with the number of the first line that is not a key.
    pub fn parse(text: &str) -> Result<Self, InvalidKeyring> {
        let mut keys = Zeroizing::new(Vec::new());
        for (number, line) in (1..).zip(text.lines()) {
            let line = secret::trim(line);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(line.as_bytes()).map(Zeroizing::new);
            let key = bytes.ok().and_then(|b| <[u8; 32]>::try_from(b.as_slice()).ok());
            keys.push(key.ok_or(InvalidKeyring::BadLine(number))?);
        }
        Self::new(std::mem::take(&mut *keys))
    }

    /// Writes a keyring file that [`parse`](Self::parse) reads.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::from(
            "# ChatCamp master keys: the first signs, all verify. Back this file up beside the database.\n",
        ));
        for key in self.0.iter() {
            text.push_str(&Zeroizing::new(data_encoding::HEXLOWER.encode(key)));
            text.push('\n');
        }
        text
    }

    /// Returns whether there is one key only. With more, a code that was signed by an older key cannot be computed again.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.0.len() == 1
    }

    /// Computes the code of `parts` with the signing key. The length of each part is included.
    #[must_use]
    pub fn sign(&self, domain: Domain, parts: &[&[u8]]) -> Digest {
        mac(&self.0[0], domain, parts)
    }

    /// Returns whether `code` is the code of `parts` with any key, compared in constant time. Accepts a truncated code of at
    /// least 16 bytes.
    #[must_use]
    pub fn verify(&self, domain: Domain, parts: &[&[u8]], code: &[u8]) -> bool {
        (16..=32).contains(&code.len())
            && self.candidates(domain, parts).any(|digest| digest[..code.len()].ct_eq(code).into())
    }

    /// Computes the code of `parts` with every key, for finding a stored digest.
    pub fn candidates(&self, domain: Domain, parts: &[&[u8]]) -> impl Iterator<Item = Digest> {
        self.0.iter().map(move |key| mac(key, domain, parts))
    }

    /// Returns the value by which a store recognises its keyring.
    #[must_use]
    pub fn check_value(&self) -> Digest {
        self.sign(Domain::KeyringCheck, &[])
    }

    /// Returns whether a store with this check value was written with one of these keys.
    #[must_use]
    pub fn matches(&self, check_value: &[u8]) -> bool {
        check_value.len() == 32 && self.verify(Domain::KeyringCheck, &[], check_value)
    }

    /// Returns the digest under which a store keeps an API key.
    #[must_use]
    pub fn api_key_digest(&self, key: &str) -> Digest {
        self.sign(Domain::ApiKeyDigest, &[key.as_bytes()])
    }

    /// Returns every digest under which a store may keep an API key.
    pub fn api_key_candidates(&self, key: &str) -> Vec<Digest> {
        self.candidates(Domain::ApiKeyDigest, &[key.as_bytes()]).collect()
    }
}

/// Computes HMAC-SHA256 over the label of the domain and `parts`, each preceded by its length in four bytes.
fn mac(key: &[u8; 32], domain: Domain, parts: &[&[u8]]) -> Digest {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in std::iter::once(&domain.label()).chain(parts) {
        let len = u32::try_from(part.len()).expect("parts are far below 4 GiB");
        mac.update(&len.to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} keys)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(keys: &[u8]) -> Keyring {
        Keyring::new(keys.iter().map(|&k| [k; 32]).collect()).unwrap()
    }

    #[test]
    fn codes_are_hmac_sha256_over_length_prefixed_parts() {
        // printf '\0\0\0\x18chatcamp keyring check 1' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0707…07
        let check = data_encoding::HEXLOWER.encode(&ring(&[7]).check_value());
        assert_eq!(check, "5a1bbda53b862632f5a1c9199645b9de2046775ffe279899404e605b6f705288");
        // … '\0\0\0\x16chatcamp session key 1\0\0\0\x02ab\0\0\0\x01c'
        let code = ring(&[7]).sign(Domain::SessionKey, &[b"ab", b"c"]);
        assert_eq!(
            data_encoding::HEXLOWER.encode(&code),
            "18e03cdb6f92607a07f542b11bd1a302b08a363eb9a0840c37bc11903c2cb54c"
        );
    }

    #[test]
    fn the_first_key_signs_and_all_verify() {
        let (old, rotated, new) = (ring(&[1]), ring(&[2, 1]), ring(&[2]));
        let code = old.sign(Domain::AccessToken, &[b"x"]);
        assert!(rotated.verify(Domain::AccessToken, &[b"x"], &code));
        assert!(!new.verify(Domain::AccessToken, &[b"x"], &code));
        assert_eq!(rotated.sign(Domain::AccessToken, &[b"x"]), new.sign(Domain::AccessToken, &[b"x"]));
        assert!(rotated.matches(&old.check_value()) && !new.matches(&old.check_value()));
    }

    #[test]
    fn domains_and_part_boundaries_change_the_code() {
        let ring = ring(&[1]);
        let code = ring.sign(Domain::AccessToken, &[b"ab", b"c"]);
        assert!(!ring.verify(Domain::SessionKey, &[b"ab", b"c"], &code));
        assert!(!ring.verify(Domain::AccessToken, &[b"a", b"bc"], &code));
        assert!(ring.verify(Domain::AccessToken, &[b"ab", b"c"], &code[..24]));
    }

    #[test]
    fn a_code_that_is_too_short_or_too_long_is_invalid() {
        let ring = ring(&[1]);
        let mut long = ring.check_value().to_vec();
        assert!(ring.matches(&long));
        assert!(!ring.verify(Domain::KeyringCheck, &[], &[]));
        long.push(0);
        assert!(!ring.matches(&long) && !ring.matches(&[]));
    }

    #[test]
    fn a_written_file_is_read_back_and_errors_name_the_line() {
        let text = ring(&[1, 2]).to_text();
        assert_eq!(*Keyring::parse(&text).unwrap().0, vec![[1; 32], [2; 32]]);
        assert_eq!(Keyring::parse("# nothing\n\n").unwrap_err(), InvalidKeyring::Empty);
        assert_eq!(Keyring::parse(&format!("{}\nab", &*text)).unwrap_err(), InvalidKeyring::BadLine(5));
    }

    #[test]
    fn debug_shows_no_key() {
        assert_eq!(format!("{:?}", ring(&[1, 2])), "Keyring(2 keys)");
    }

    #[test]
    fn a_keyring_file_may_have_been_edited_on_another_system() {
        let keyring = Keyring::new(vec![[7; 32]]).unwrap();
        let edited = format!("\u{feff}{}", keyring.to_text().replace('\n', " \r\n"));
        let read = Keyring::parse(&edited).unwrap();
        assert_eq!(read.to_text(), keyring.to_text());
    }
}
