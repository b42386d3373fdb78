//! The traits of all entities, for calls on a store whose type is known: `use chatcamp_store::prelude::*;`.
//!
//! A `&dyn Store` needs none of them.

pub use crate::{
    ApiKeyStore as _, AppStore as _, BlockStore as _, SettingStore as _, Store as _, UserStore as _,
};
