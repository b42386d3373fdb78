//! TLS for the clients of ChatCamp: which certificates they trust, and why a handshake failed.
//!
//! [`Tls`] is one configuration for every way in which a program reaches its server, so that trust cannot differ between them.
//! By default it asks the verifier of the operating system; [`Tls::with_roots`] trusts only the authorities it is given. The
//! crate has no option that accepts any certificate.
//!
//! The cryptography is that of aws-lc-rs, passed explicitly. The default provider of the process is neither installed nor read.
//!
//! [`TlsError`] says why a handshake failed, in the terms of the caller. [`Trust`] is for builders.
//!
//! ```
//! # fn main() -> Result<(), chatcamp_tls::RootsError> {
//! use chatcamp_tls::Tls;
//!
//! # let pem = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate").cert.pem();
//! let tls = Tls::with_roots(&pem)?; // instead of `Tls::platform()?`
//! assert_eq!(tls.config().alpn_protocols, [b"http/1.1"]);
//! # Ok(())
//! # }
//! ```

mod config;
mod error;
#[cfg(feature = "test-util")]
pub mod testing;
mod trust;

pub use config::{RootsError, Tls};
pub use error::TlsError;
pub use trust::Trust;
