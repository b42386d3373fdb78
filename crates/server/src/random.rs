//! Random numbers from the operating system.

/// Returns random bytes.
///
/// # Panics
/// If the operating system fails to provide them: without randomness no key or stamp is safe.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system provides random bytes");
    bytes
}
