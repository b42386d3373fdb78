//! Random texts that let somebody in, and how they are kept: by digest, so that a look-up tells nothing by its timing.

use data_encoding::BASE64URL_NOPAD;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

/// The digest of a secret.
pub(crate) type Mark = [u8; 32];

/// A new secret of 192 bits, as text for URLs, cookies and forms.
///
/// # Panics
/// When the operating system has no randomness to give, without which nothing here is safe.
pub(crate) fn random() -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; 24]);
    getrandom::fill(&mut *bytes).expect("the operating system gives random bytes");
    Zeroizing::new(BASE64URL_NOPAD.encode(&*bytes))
}

/// The digest by which a secret is known again.
pub(crate) fn mark(secret: &str) -> Mark {
    Sha256::digest(secret.as_bytes()).into()
}

/// Whether two texts are the same, in a time that does not depend on where they differ.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    mark(one).ct_eq(&mark(other)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_and_need_no_escaping() {
        let (one, other) = (random(), random());
        assert_ne!(*one, *other);
        assert_eq!(one.len(), 32);
        assert!(one.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)), "{}", *one);
        assert!(is_same(&one, &one) && !is_same(&one, &other) && !is_same(&one, &one[1..]));
    }
}
