//! The byte stream of a connection, such as a TCP socket.

use std::{
    fmt,
    io::{self, IoSlice},
    net::Shutdown,
    task::{Context, Poll, ready},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// The operations that the front door needs from a stream.
///
/// Waiting is separate from reading and writing, so that a connection that waits owns no buffer. All methods take `&self`,
/// because hyper and a held poll share the stream. Only the last task that waited to read is woken, and likewise the last
/// that waited to write, because a connection has one task.
///
/// The supertraits are for WebSocket carriers, which own the stream.
pub(in crate::http) trait Socket:
    AsyncRead + AsyncWrite + fmt::Debug + Send + Sync + Unpin + 'static
{
    /// Returns whether the bytes are encrypted on the network.
    fn is_encrypted(&self) -> bool {
        false
    }

    /// Waits until `try_read` may have something: bytes, the end or an error.
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Reads what has arrived; returns 0 at the end.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if nothing has arrived.
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Waits until `try_write` may succeed.
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Writes as much as can be written now; returns how many bytes were written.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if nothing can be written now.
    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Waits until everything that `try_write` has taken is on its way.
    fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Waits until the peer has closed its half of the connection, or the connection has failed.
    ///
    /// Never ready while bytes are unread, even if the end follows them.
    fn poll_peer_end(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Closes our half of the connection.
    fn poll_close_write(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Socket for TcpStream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.try_read(buffer)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_write_ready(cx)
    }

    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        match bytes {
            [bytes] => self.try_write(bytes),
            bytes => self.try_write_vectored(bytes),
        }
    }

    fn poll_flushed(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_peer_end(&self, cx: &mut Context<'_>) -> Poll<()> {
        match ready!(self.poll_peek(cx, &mut ReadBuf::new(&mut [0]))) {
            Ok(1..) => Poll::Pending,
            Ok(0) | Err(_) => Poll::Ready(()),
        }
    }

    fn poll_close_write(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(self).shutdown(Shutdown::Write))
    }
}
