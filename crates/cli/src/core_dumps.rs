//! Keeps the memory of the process, including the master keys, out of core dumps.

use std::env;

/// The environment variable that allows core dumps and debuggers if it is `1`.
const ALLOWED: &str = "CHATCAMP_CORE_DUMPS";

/// Prevents core dumps and debuggers of the same user from reading the memory of this process, unless the environment allows it.
pub(crate) fn forbid() {
    if env::var_os(ALLOWED).is_some_and(|allowed| allowed == "1") {
        return;
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};

        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::warn!(%error, "cannot disable core dumps, which would contain the master keys");
        }
    }
}
