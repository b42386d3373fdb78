//! Programs of others, as unprivileged processes.

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::process::PATIENCE;

/// The user and group `nobody` and `nogroup` of Debian.
const NOBODY: u32 = 65534;

/// A server in the foreground, killed on drop.
pub(crate) struct Outside {
    child: Child,
    log: PathBuf,
}

impl Outside {
    /// Starts a command, which may read and write `folder`, and waits until it accepts connections at `address`. Returns its
    /// output if it ends instead, for example because another process took the port.
    pub(crate) fn start(command: &mut Command, folder: &Path, address: SocketAddr) -> Result<Self, String> {
        let log = folder.join("log");
        command.current_dir(folder).stdin(Stdio::null());
        command.stdout(File::create(&log).unwrap()).stderr(File::options().append(true).open(&log).unwrap());
        if rustix::process::geteuid().is_root() {
            give_away(folder);
            command.uid(NOBODY).gid(NOBODY);
        }
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut outside = Self { child, log };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = outside.child.try_wait().unwrap() {
                return Err(format!("{command:?}: {status}: {}", outside.log()));
            }
            assert!(Instant::now() < deadline, "{command:?} does not listen: {}", outside.log());
            thread::sleep(Duration::from_millis(10));
        }
        Ok(outside)
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("log of the proxy: {}", self.log());
        }
    }
}

/// Gives a folder and the files in it to `nobody`.
fn give_away(folder: &Path) {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for path in files.chain([folder.to_owned()]) {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// Returns an address on loopback with a port that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
