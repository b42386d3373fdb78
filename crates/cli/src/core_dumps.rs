//! Keeps what is in memory, the master keys among it, out of core dumps.

use std::env;

/// Allows core dumps and debuggers where it is `1`.
const ALLOWED: &str = "CHATCAMP_CORE_DUMPS";

/// Lets neither a core dump nor a debugger of the same user read the memory of this process, unless the environment allows it.
pub(crate) fn forbid() {
    if env::var_os(ALLOWED).is_some_and(|allowed| allowed == "1") {
        return;
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};

        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::warn!(%error, "core dumps cannot be forbidden: they would hold the master keys");
        }
    }
}
