//! How many files the process may open, and so how many connections.

/// Returns how many of the file descriptors pending connections may use: half, so that sessions and the store have the rest.
pub(crate) fn share() -> usize {
    #[cfg(unix)]
    if let Some(most) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        return usize::try_from(most / 2).unwrap_or(usize::MAX);
    }
    usize::MAX
}
