//! Compiles and runs every piece of Rust in the documents, as documentation tests.

#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../README.md")]
    mod readme {}
    #[doc = include_str!("../docs/ARCHITECTURE.md")]
    mod architecture {}
    #[doc = include_str!("../docs/CONTRIBUTING.md")]
    mod contributing {}
    #[doc = include_str!("../docs/PROTOCOL.md")]
    mod protocol {}
    #[doc = include_str!("../docs/TRANSPORTS.md")]
    mod transports {}
}
