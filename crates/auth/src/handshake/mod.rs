//! The handshake: `client` and `server` are its two halves.

pub mod client;
pub mod server;

#[cfg(test)]
mod tests;
