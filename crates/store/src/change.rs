//! Changes, which a store announces after an edit or a deletion.

use chatcamp_protocol::{AppId, UserId};

/// A function that is called with every change, on any thread; must not wait or panic, and must not own the store.
pub type ChangeListener = Box<dyn Fn(&Change) + Send + Sync>;

/// What a store does with an edited record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edited {
    /// Saves it, which is a change.
    Save,
    /// Leaves the stored record unchanged.
    Keep,
}

/// A record was edited or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The app that the record belongs to.
    pub app: AppId,
    /// The user that was edited or deleted; `None` if the app was edited, or if any of its users may have changed.
    pub user: Option<UserId>,
}
