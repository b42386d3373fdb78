//! The end of a connection whose client may still be sending.

use std::{future::poll_fn, io, time::Duration};

use tokio::time::timeout;

use super::{super::Http, socket::Socket};
use crate::admission::PendingGuard;

/// The maximum number of bytes that are read and dropped: twice the largest body of a request that can succeed.
const BYTES: usize = 1024 * 1024;
/// How long the client may take to send them.
const TIME: Duration = Duration::from_secs(5);

/// Closes our half of a connection that has its last answer, then reads and drops what the client still sends, until it closes its half.
///
/// A socket that is closed with unread bytes resets the connection. A client that is still sending its body then loses the answer, and a
/// proxy answers 502 in its place.
pub(super) async fn linger(http: &Http, socket: &(impl Socket + ?Sized), guard: &PendingGuard) {
    let reading = http.shutdown.unless_begun(read_to_end(socket));
    tokio::select! {
        _ = timeout(TIME, reading) => {}
        () = guard.evicted() => {}
    }
}

/// Returns at the end, at an error, or after too many bytes.
async fn read_to_end(socket: &(impl Socket + ?Sized)) -> io::Result<()> {
    poll_fn(|cx| socket.poll_close_write(cx)).await?;
    let mut room = BYTES;
    while room > 0 {
        poll_fn(|cx| socket.poll_read_ready(cx)).await?;
        match drop_some(socket) {
            Ok(0) => return Ok(()),
            Ok(n) => room = room.saturating_sub(n),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads once and drops the bytes. The buffer is on this function's stack, so that a connection that waits owns none.
fn drop_some(socket: &(impl Socket + ?Sized)) -> io::Result<usize> {
    socket.try_read(&mut [0; 4096])
}
