//! Random numbers from the operating system.

/// Random bytes.
///
/// # Panics
/// When the operating system has no randomness to give, without which nothing here is safe.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
