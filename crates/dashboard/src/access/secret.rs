//! Random secrets for links, cookies and forms. They are stored as digests, so that the timing of a lookup reveals nothing.

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The SHA-256 digest of a secret.
pub(crate) type SecretDigest = [u8; 32];

/// Returns a new secret of 192 bits, as text for URLs, cookies and forms.
///
/// # Panics
/// If the operating system's random number generator fails: nothing here is safe without it.
pub(crate) fn random() -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; 24]);
    getrandom::fill(&mut *bytes).expect("the operating system provides random bytes");
    Zeroizing::new(BASE64URL_NOPAD.encode(&*bytes))
}

pub(crate) fn digest(secret: &str) -> SecretDigest {
    Sha256::digest(secret.as_bytes()).into()
}

/// Compares two texts in a time that does not depend on where they differ.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    digest(one).ct_eq(&digest(other)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_need_no_escaping() {
        let one = random();
        let other = random();
        assert_ne!(*one, *other);
        assert_eq!(one.len(), 32);
        assert!(one.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "{}", *one);
        assert!(is_same(&one, &one) && !is_same(&one, &other) && !is_same(&one, &one[1..]));
    }
}
