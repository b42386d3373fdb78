//! The `chatcamp` binary; see the library of this package.

use std::process::ExitCode;

#[cfg(all(feature = "jemalloc", unix))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    chatcamp_cli::run()
}
