//! The operations behind the requests of clients and the calls of backends, with the rules that both share.
//!
//! [`Accounts`] creates and changes apps, users and tokens, also without a running server. [`Operations`] adds the operations that
//! need a running server: those on live sessions, through the bus.

mod accounts;
mod last_seen;
mod live;
mod per_user_locks;
mod users;

use std::sync::Arc;

use chatcamp_store::{Store, StoreError};

use crate::{
    bus::{Bus, BusError},
    sessions::Sessions,
};

#[cfg(feature = "api")]
pub(crate) use self::accounts::name;
pub(crate) use self::last_seen::write_last_seen;
use self::per_user_locks::PerUserLocks;
pub use self::{
    accounts::{
        AccountError, Accounts, AppFields, ImportedUser, NewApiKey, NewApp, NewUser, OriginChange,
        UserFields, Written, WrittenUser,
    },
    live::PublishError,
};

/// The operations of a running server.
#[derive(Debug)]
pub(crate) struct Operations {
    pub(crate) accounts: Accounts,
    pub(crate) store: Arc<dyn Store>,
    sessions: Arc<Sessions>,
    bus: Arc<dyn Bus>,
    locks: PerUserLocks,
}

/// An operation failed because the store or the bus failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unavailable {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl Operations {
    pub(crate) fn new(
        accounts: Accounts,
        store: Arc<dyn Store>,
        sessions: Arc<Sessions>,
        bus: Arc<dyn Bus>,
    ) -> Self {
        let locks = PerUserLocks::new(sessions.runtime.random());
        Self { accounts, store, sessions, bus, locks }
    }
}
