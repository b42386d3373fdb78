//! Ctrl-C and, on Unix, SIGTERM.

use std::io;

use crate::failure::Failure;

/// The signals that end a command.
#[derive(Debug)]
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Replaces the default action of the signals.
    pub(crate) fn install() -> Result<Self, Failure> {
        Self::try_install().map_err(|e| Failure::because("cannot listen to signals", e))
    }

    #[cfg(unix)]
    fn try_install() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    #[cfg(not(unix))]
    fn try_install() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for the next signal. Dropping the future loses no signal.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
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
