//! Changes: what is announced after an edit or a deletion.

use chatcamp_protocol::{AppId, UserId};

/// Hears of changes, on a thread of the store's choosing; must not wait, panic or own the store.
pub type ChangeListener = Box<dyn Fn(&Change) + Send + Sync>;

/// What happens to an edited record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edited {
    /// It is saved, which is a change.
    Save,
    /// It stays as it was.
    Keep,
}

/// A record is no longer as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The app that the record belongs to.
    pub app: AppId,
    /// The user that was edited or deleted; `None` if the app was, or if any of its users may have been.
    pub user: Option<UserId>,
}
