//! Runs the binary with a terminal as its stdout and stderr.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Read as _},
    process::Command,
};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Runs a command to its end. Returns its exit code, and what it wrote to the terminal, with `\n` as its line break.
pub(crate) fn on_terminal(mut command: Command) -> (i32, String) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap().into_string().unwrap();
    let end = OpenOptions::new().read(true).write(true).open(name).unwrap();
    let mut child = command.stdout(end.try_clone().unwrap()).stderr(end).spawn().unwrap();
    // Reading ends once no process has the terminal open.
    drop(command);
    let mut written = Vec::new();
    let mut terminal = std::fs::File::from(terminal);
    let mut part = [0; 4096];
    loop {
        match terminal.read(&mut part) {
            Ok(0) => break,
            Ok(read) => written.extend_from_slice(&part[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // EIO
            Err(_) => break,
        }
    }
    (child.wait().unwrap().code().unwrap(), String::from_utf8(written).unwrap().replace("\r\n", "\n"))
}
