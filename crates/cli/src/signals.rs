//! Ctrl-C and, on Unix, SIGTERM and SIGHUP.

use std::io;

use crate::failure::Failure;

/// The signals that end a command.
#[derive(Debug)]
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    /// `None` if SIGHUP does not end the command.
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
}

/// SIGHUP, as a request to load files again.
#[derive(Debug)]
pub(crate) struct Hangups {
    #[cfg(unix)]
    hangup: tokio::signal::unix::Signal,
}

impl Signals {
    /// Replaces the default action of the signals. SIGHUP keeps its own.
    pub(crate) fn install() -> Result<Self, Failure> {
        Self::try_install(false).map_err(cannot_listen)
    }

    /// Replaces the default action of the signals; SIGHUP ends the command in order too, as when its terminal is closed.
    pub(crate) fn install_with_hangup() -> Result<Self, Failure> {
        Self::try_install(true).map_err(cannot_listen)
    }

    #[cfg(unix)]
    fn try_install(with_hangup: bool) -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: with_hangup.then(|| signal(SignalKind::hangup())).transpose()?,
        })
    }

    #[cfg(not(unix))]
    fn try_install(_: bool) -> io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for the next signal. Dropping the future loses no signal.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = recv(self.hangup.as_mut()) => {}
        }
    }

    /// Waits for the next signal.
    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Hangups {
    /// Replaces the default action of SIGHUP, which ends the process.
    pub(crate) fn install() -> Result<Self, Failure> {
        Self::try_install().map_err(cannot_listen)
    }

    #[cfg(unix)]
    fn try_install() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { hangup: signal(SignalKind::hangup())? })
    }

    #[cfg(not(unix))]
    fn try_install() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for the next SIGHUP. Dropping the future loses no signal.
    pub(crate) async fn next(&mut self) {
        #[cfg(unix)]
        recv(Some(&mut self.hangup)).await;
        #[cfg(not(unix))]
        std::future::pending::<()>().await;
    }
}

/// Waits for a signal; never returns for `None`.
#[cfg(unix)]
async fn recv(signal: Option<&mut tokio::signal::unix::Signal>) {
    match signal {
        Some(signal) => _ = signal.recv().await,
        None => std::future::pending().await,
    }
}

fn cannot_listen(error: io::Error) -> Failure {
    Failure::because("cannot listen to signals", error)
}
