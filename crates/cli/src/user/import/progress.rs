//! How far an import has come: on a terminal, and nowhere else.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Between two turns of the wheel, where there is no bar.
const TICK: Duration = Duration::from_millis(200);

/// A bar on stderr, or nothing where that is no terminal; gone when dropped.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// A bar for so many bytes, or a wheel where nobody knows how many there are.
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

    /// Shows how many bytes and users are done.
    pub(super) fn at(&self, bytes: u64, users: u64, rate: u64) {
        if !self.0.is_hidden() {
            self.0.set_position(bytes);
            self.0.set_message(format!("{users} users, {rate}/s"));
        }
    }

    /// Lets `print` write to the terminal, the bar out of the way.
    pub(super) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
