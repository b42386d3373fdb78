//! The progress of an import, shown on a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The time between two steps of the spinner.
const TICK: Duration = Duration::from_millis(200);

/// A progress bar on stderr, hidden if stderr is not a terminal; removed on drop.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Creates a bar for this many bytes, or a spinner if the number is unknown.
    pub(super) fn new(bytes: Option<u64>) -> Self {
        let bar = ProgressBar::with_draw_target(bytes, ProgressDrawTarget::stderr());
        let template = match bytes {
            Some(_) => "{bar:30} {percent:>3}%  {msg}  {eta} left",
            None => "{spinner} {msg}",
        };
        bar.set_style(ProgressStyle::with_template(template).expect("the template is one of two constants"));
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    /// Updates the numbers of bytes and users.
    pub(super) fn at(&self, bytes: u64, users: u64, rate: u64) {
        if !self.0.is_hidden() {
            self.0.set_position(bytes);
            self.0.set_message(format!("{users} users, {rate}/s"));
        }
    }

    /// Calls `print` while the bar is hidden.
    pub(super) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
