//! The dashboard behind a real front door, asked by a plain HTTP client.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod forms;
mod gate;
mod pages;
mod world;
