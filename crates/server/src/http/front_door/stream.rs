//! The stream between hyper and the socket of a connection.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    answer,
    connection::{HttpConnection, Phase},
    head,
};
use crate::http::endpoint;

/// A stream for hyper that begins with the bytes read so far, and reports reads and writes to the connection.
///
/// If hyper refuses a head, it replaces hyper's empty answer with one of the chat endpoint.
#[derive(Debug)]
pub(super) struct HttpStream {
    connection: HttpConnection,
    read: Bytes,
    /// What was read of the current head, up to the limit of a head.
    head: Vec<u8>,
    /// Whether hyper has flushed everything that it wrote.
    is_flushed: bool,
    /// The rest of our answer to a refused head; `Some` from then on, and hyper's bytes are dropped.
    refusal: Option<Bytes>,
}

impl HttpStream {
    pub(super) fn new(read: Vec<u8>, connection: HttpConnection) -> Self {
        Self { connection, read: read.into(), head: Vec::new(), is_flushed: true, refusal: None }
    }

    fn received(&mut self, bytes: &[u8]) {
        self.connection.received();
        if self.connection.phase() == Phase::Head {
            let room = head::LIMIT.saturating_sub(self.head.len());
            self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    /// Prepares to write hyper's bytes. Returns `true` if they must be dropped.
    fn drops(&mut self, bytes: &[u8]) -> bool {
        if self.refusal.is_some() {
            return true;
        }
        let is_own = matches!(self.connection.phase(), Phase::Head | Phase::Idle) && self.is_flushed;
        self.connection.writes();
        self.is_flushed = false;
        let head = std::mem::take(&mut self.head);
        let Some(status) = status_of_error(bytes).filter(|_| is_own) else { return false };
        self.connection.refused();
        let answer = endpoint::refused_head(&head, status);
        self.refusal = Some(answer::encode(&answer, false).into());
        true
    }

    fn poll_write_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.refusal.as_mut().filter(|rest| !rest.is_empty()) {
            let socket = self.connection.socket();
            ready!(socket.poll_write_ready(cx))?;
            match socket.try_write(&[io::IoSlice::new(rest)]) {
                Ok(n) => rest.advance(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Returns the status of the answer that begins with these bytes if hyper may have made it itself, else `None`.
fn status_of_error(bytes: &[u8]) -> Option<u16> {
    let status = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    [400, 414, 431].into_iter().find(|known| known.to_string().as_bytes() == status)
}

impl AsyncRead for HttpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let filled = buffer.filled().len();
        if !this.read.is_empty() {
            let n = this.read.len().min(buffer.remaining());
            buffer.put_slice(&this.read.split_to(n));
        }
        while buffer.filled().len() == filled {
            let socket = this.connection.socket();
            ready!(socket.poll_read_ready(cx))?;
            match socket.try_read(buffer.initialize_unfilled()) {
                Ok(0) => return Poll::Ready(Ok(())),
                Ok(n) => buffer.advance(n),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        this.received(&buffer.filled()[filled..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for HttpStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.drops(bytes.first().map_or(&[], |first| first)) {
            return Poll::Ready(Ok(bytes.iter().map(|bytes| bytes.len()).sum()));
        }
        let socket = this.connection.socket();
        loop {
            ready!(socket.poll_write_ready(cx))?;
            match socket.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.is_flushed = true;
        ready!(this.poll_write_refusal(cx))?;
        this.connection.socket().poll_flushed(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_write_refusal(cx))?;
        this.connection.socket().poll_close_write(cx)
    }
}
