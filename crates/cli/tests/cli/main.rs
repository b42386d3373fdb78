//! Tests of the real binary, run as separate processes: output, exit codes and stored data.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "all of it is test code, helpers included")]

mod accounts;
mod addresses;
mod connecting;
mod crowd;
mod dashboard;
mod folders;
mod interactive;
mod live;
mod moving;
mod process;
mod scripts;
mod secrets;
mod serving;
mod terminal;
mod tls;
mod usage;
mod whole_files;
