//! The number of files, and therefore of connections, that the process may open.

/// Returns the number of file descriptors that pending connections may use: half of the limit. Sessions and the store use the rest.
pub(crate) fn share() -> usize {
    #[cfg(unix)]
    if let Some(most) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        return usize::try_from(most / 2).unwrap_or(usize::MAX);
    }
    usize::MAX
}
