//! Runs the binary with a terminal as its stdout and stderr, or as its stdin.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read as _},
    process::Command,
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::process::Running;

/// Opens a terminal. Returns the end of a person, and the end of a process.
fn open() -> (File, File) {
    let person = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&person).unwrap();
    unlockpt(&person).unwrap();
    let name = ptsname(&person, Vec::new()).unwrap().into_string().unwrap();
    let process = OpenOptions::new().read(true).write(true).open(name).unwrap();
    (person.into(), process)
}

/// Starts a command whose stdin is a terminal. Returns it, and the end of the terminal at which a person types.
pub(crate) fn at_terminal(command: &mut Command) -> (Running, File) {
    let (person, process) = open();
    (Running::start(command.stdin(process)), person)
}

/// Runs a command to its end. Returns its exit code, and what it wrote to the terminal, with `\n` as its line break.
pub(crate) fn on_terminal(mut command: Command) -> (i32, String) {
    let (mut person, process) = open();
    let mut child = command.stdout(process.try_clone().unwrap()).stderr(process).spawn().unwrap();
    // Reading ends once no process has the terminal open.
    drop(command);
    let mut written = Vec::new();
    let mut part = [0; 4096];
    loop {
        match person.read(&mut part) {
            Ok(0) => break,
            Ok(read) => written.extend_from_slice(&part[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // EIO
            Err(_) => break,
        }
    }
    (child.wait().unwrap().code().unwrap(), String::from_utf8(written).unwrap().replace("\r\n", "\n"))
}
