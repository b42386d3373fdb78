//! The dashboard behind a real front door, with a plain HTTP client.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod fixture;
mod forms;
mod pages;
