//! A stream in memory whose server end receives one byte at a time.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    task::unconstrained,
};

use super::super::socket::Socket;

/// More than the tests write before the other end reads.
const BUFFER: usize = 256 * 1024;

/// The server's end.
#[derive(Debug)]
pub(in crate::http) struct ServerEnd {
    stream: Mutex<DuplexStream>,
    received: Mutex<Option<Received>>,
    /// Whether the client reads nothing, so that nothing can be written.
    is_full: bool,
}

#[derive(Debug, Clone, Copy)]
enum Received {
    Byte(u8),
    End,
}

/// Returns the client's end and the server's end.
pub(in crate::http) fn pair() -> (DuplexStream, ServerEnd) {
    let (client, server) = tokio::io::duplex(BUFFER);
    (client, ServerEnd { stream: Mutex::new(server), received: Mutex::default(), is_full: false })
}

/// Does the same for a client that never reads.
pub(in crate::http) fn unread_pair() -> (DuplexStream, ServerEnd) {
    let (client, server) = pair();
    (client, ServerEnd { is_full: true, ..server })
}

impl ServerEnd {
    fn poll_received(&self, cx: &mut Context<'_>) -> Poll<io::Result<Received>> {
        let mut received = self.received.lock();
        if received.is_none() {
            let mut byte = [0];
            let mut buffer = ReadBuf::new(&mut byte);
            ready!(Pin::new(&mut *self.stream.lock()).poll_read(cx, &mut buffer))?;
            *received = Some(buffer.filled().first().map_or(Received::End, |&byte| Received::Byte(byte)));
        }
        Poll::Ready(Ok(received.expect("a byte or the end was received above")))
    }
}

impl Socket for ServerEnd {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_received(cx).map_ok(|_| ())
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut received = self.received.lock();
        match *received {
            None => Err(io::ErrorKind::WouldBlock.into()),
            Some(Received::End) => Ok(0),
            Some(Received::Byte(byte)) => {
                buffer[0] = byte;
                *received = None;
                Ok(1)
            }
        }
    }

    fn poll_write_ready(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_full { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.is_full {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut cx = Context::from_waker(Waker::noop());
        let mut stream = self.stream.lock();
        // Otherwise a task that has read many single bytes must yield before it may write.
        let writing = unconstrained(poll_fn(|cx| Pin::new(&mut *stream).poll_write_vectored(cx, bytes)));
        match pin!(writing).poll(&mut cx) {
            Poll::Ready(written) => written,
            Poll::Pending => panic!("the tests write less than the buffer holds"),
        }
    }

    fn poll_flushed(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_peer_end(&self, cx: &mut Context<'_>) -> Poll<()> {
        match ready!(self.poll_received(cx)) {
            Ok(Received::Byte(_)) => Poll::Pending,
            Ok(Received::End) | Err(_) => Poll::Ready(()),
        }
    }

    fn poll_close_write(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream.lock()).poll_shutdown(cx)
    }
}

impl AsyncRead for ServerEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_read_ready(cx))?;
        let read = self.try_read(buffer.initialize_unfilled())?;
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ServerEnd {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.try_write(&[IoSlice::new(bytes)]))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_close_write(cx)
    }
}
