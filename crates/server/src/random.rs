//! Random numbers from the operating system.

use std::time::Duration;

/// Random bytes.
///
/// # Panics
/// When the operating system has no randomness to give, without which nothing here is safe.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// A time between `base` and twice that, so that many who are told to come back do not come at once.
pub(crate) fn spread(base: Duration) -> Duration {
    base + base.mul_f64(f64::from(u16::from_le_bytes(bytes())) / f64::from(u16::MAX))
}
