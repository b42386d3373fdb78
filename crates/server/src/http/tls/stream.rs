//! The server's end of a TLS connection.

use std::{
    fmt,
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use parking_lot::Mutex;
use rustls::{
    ServerConfig,
    server::UnbufferedServerConnection,
    unbuffered::{
        ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus, WriteTraffic,
    },
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::front_door::Socket;

/// Bytes read from the socket at once, on the stack.
const CHUNK: usize = 4096;
/// Plaintext encrypted at once: one TLS record.
const RECORD: usize = 16 * 1024;
/// Bytes that encryption adds to a record, at most.
const OVERHEAD: usize = 64;
/// The first byte of a TLS connection.
const HANDSHAKE: u8 = 0x16;
/// The response to a client that sends HTTP without TLS.
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 52\r\nconnection: close\r\n\r\n\
    this port expects TLS: use an https:// or wss:// URL";

/// A socket whose bytes are encrypted.
///
/// A connection that waits owns no buffer: a record is decrypted from the stack, and only the rest of an incomplete one is copied.
pub(in crate::http) struct Stream<S: Socket> {
    socket: S,
    /// Boxed, because futures that own the stream are moved.
    state: Box<Mutex<State>>,
}

struct State {
    connection: UnbufferedServerConnection,
    /// The beginning of an incomplete record.
    received: Vec<u8>,
    /// Decrypted bytes that are not read yet.
    plaintext: Vec<u8>,
    /// Encrypted bytes that are not written yet.
    unsent: Vec<u8>,
    /// Whether a byte has arrived.
    has_begun: bool,
    /// Whether application data can be sent: the handshake is over.
    is_open: bool,
    /// Whether the peer has closed its half, by an alert or by closing the socket.
    is_at_end: bool,
    /// Whether our alert of the end is sent.
    is_closed: bool,
}

/// What to send when the connection can take application data.
#[derive(Clone, Copy)]
enum Outgoing<'a> {
    Nothing,
    Bytes(&'a [u8]),
    Close,
}

impl<S: Socket> Stream<S> {
    /// Performs the handshake. Has no deadline: the caller sets one.
    ///
    /// # Errors
    /// If the client does not speak TLS, the handshake fails or the socket does. The client has been sent the reason.
    ///
    /// # Cancel safety
    /// Dropping the future drops the socket.
    pub(in crate::http) async fn accept(socket: S, config: Arc<ServerConfig>) -> io::Result<Self> {
        let state = State {
            connection: UnbufferedServerConnection::new(config).map_err(invalid)?,
            received: Vec::new(),
            plaintext: Vec::new(),
            unsent: Vec::new(),
            has_begun: false,
            is_open: false,
            is_at_end: false,
            is_closed: false,
        };
        let stream = Self { socket, state: Box::new(Mutex::new(state)) };
        loop {
            poll_fn(|cx| stream.socket.poll_read_ready(cx)).await?;
            match stream.state.lock().receive(&stream.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                received => received?,
            }
            poll_fn(|cx| stream.poll_flushed(cx)).await?;
            let state = stream.state.lock();
            if state.is_open {
                break;
            }
            if state.is_at_end {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(stream)
    }
}

impl State {
    /// Reads once from the socket and decrypts what is complete.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if nothing has arrived.
    fn receive(&mut self, socket: &impl Socket) -> io::Result<()> {
        let mut chunk = [0; CHUNK];
        let n = socket.try_read(&mut chunk)?;
        if n == 0 {
            self.is_at_end = true;
            return Ok(());
        }
        if !std::mem::replace(&mut self.has_begun, true) && chunk[0] != HANDSHAKE {
            let _ = socket.try_write(&[IoSlice::new(NOT_TLS)]);
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the client does not speak TLS"));
        }
        self.accept(socket, &mut chunk[..n])
    }

    /// Decrypts received bytes, and sends what TLS itself has to answer.
    fn accept(&mut self, socket: &impl Socket, bytes: &mut [u8]) -> io::Result<()> {
        let processed = if self.received.is_empty() {
            self.process(bytes, Outgoing::Nothing).map(|(used, _)| self.received = bytes[used..].to_vec())
        } else {
            self.received.extend_from_slice(bytes);
            self.process_received(Outgoing::Nothing).map(|_| ())
        };
        if let Err(error) = processed {
            // The alert that tells the client why.
            let _ = self.process(&mut [], Outgoing::Nothing);
            let _ = self.flush(socket);
            return Err(error);
        }
        match self.flush(socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            flushed => flushed,
        }
    }

    /// Processes the incomplete record, and sends; returns how much plaintext was taken.
    fn process_received(&mut self, send: Outgoing<'_>) -> io::Result<usize> {
        let mut received = std::mem::take(&mut self.received);
        let (used, sent) = self.process(&mut received, send)?;
        if used < received.len() {
            received.drain(..used);
            self.received = received;
        }
        Ok(sent)
    }

    /// Processes records until more bytes are needed, then sends; returns how many bytes of records were used up and how many
    /// bytes of plaintext were taken.
    fn process(&mut self, records: &mut [u8], send: Outgoing<'_>) -> io::Result<(usize, usize)> {
        let mut used = 0;
        let mut sent = 0;
        loop {
            let UnbufferedStatus { discard, state } =
                self.connection.process_tls_records(&mut records[used..]);
            let is_waiting = match state.map_err(invalid)? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        self.plaintext.extend_from_slice(record.map_err(invalid)?.payload);
                    }
                    false
                }
                ConnectionState::EncodeTlsData(mut data) => {
                    append(&mut self.unsent, 0, |out| data.encode(out))?;
                    false
                }
                ConnectionState::TransmitTlsData(data) => {
                    data.done();
                    false
                }
                ConnectionState::PeerClosed => {
                    self.is_at_end = true;
                    false
                }
                ConnectionState::WriteTraffic(traffic) => {
                    self.is_open = true;
                    sent = send.into_records(traffic, &mut self.unsent)?;
                    true
                }
                ConnectionState::Closed => {
                    self.is_at_end = true;
                    true
                }
                ConnectionState::BlockedHandshake => true,
                state => return Err(io::Error::other(format!("unexpected state of TLS: {state:?}"))),
            };
            used += discard;
            if is_waiting {
                return Ok((used, sent));
            }
        }
    }

    /// Writes encrypted bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if some remain.
    fn flush(&mut self, socket: &impl Socket) -> io::Result<()> {
        let mut written = 0;
        let flushed = loop {
            let rest = &self.unsent[written..];
            if rest.is_empty() {
                break Ok(());
            }
            match socket.try_write(&[IoSlice::new(rest)]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => written += n,
                Err(error) => break Err(error),
            }
        };
        // A copy of the rest frees the memory of what has left.
        if written > 0 {
            self.unsent = self.unsent[written..].to_vec();
        }
        flushed
    }

    /// Appends the alert of the end, once.
    fn close(&mut self) -> io::Result<()> {
        if !std::mem::replace(&mut self.is_closed, true) {
            self.process_received(Outgoing::Close)?;
        }
        Ok(())
    }
}

impl Outgoing<'_> {
    /// Appends the encrypted bytes to `unsent`; returns how much plaintext was taken.
    fn into_records<Data>(
        self,
        mut traffic: WriteTraffic<'_, Data>,
        unsent: &mut Vec<u8>,
    ) -> io::Result<usize> {
        match self {
            Outgoing::Nothing => Ok(0),
            Outgoing::Bytes(bytes) => {
                append(unsent, bytes.len() + OVERHEAD, |out| traffic.encrypt(bytes, out))?;
                Ok(bytes.len())
            }
            Outgoing::Close => append(unsent, OVERHEAD, |out| traffic.queue_close_notify(out)).map(|()| 0),
        }
    }
}

impl<S: Socket> Socket for Stream<S> {
    fn is_encrypted(&self) -> bool {
        true
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = self.state.lock();
        if !state.plaintext.is_empty() || state.is_at_end {
            return Poll::Ready(Ok(()));
        }
        drop(state);
        self.socket.poll_read_ready(cx)
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state.lock();
        while state.plaintext.is_empty() && !state.is_at_end {
            state.receive(&self.socket)?;
        }
        let n = state.plaintext.len().min(buffer.len());
        buffer[..n].copy_from_slice(&state.plaintext[..n]);
        if n == state.plaintext.len() {
            state.plaintext = Vec::new();
        } else {
            state.plaintext.drain(..n);
        }
        Ok(n)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flushed(cx))?;
        self.socket.poll_write_ready(cx)
    }

    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.state.lock();
        state.flush(&self.socket)?;
        if state.is_closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let sent = match bytes {
            [bytes] => state.process_received(Outgoing::Bytes(&bytes[..bytes.len().min(RECORD)]))?,
            bytes => {
                let mut record = Vec::with_capacity(RECORD.min(bytes.iter().map(|bytes| bytes.len()).sum()));
                for bytes in bytes {
                    let room = RECORD - record.len();
                    record.extend_from_slice(&bytes[..bytes.len().min(room)]);
                }
                state.process_received(Outgoing::Bytes(&record))?
            }
        };
        match state.flush(&self.socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(sent),
            flushed => flushed.map(|()| sent),
        }
    }

    fn poll_flushed(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.state.lock().flush(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                flushed => return Poll::Ready(flushed),
            }
            ready!(self.socket.poll_write_ready(cx))?;
        }
    }

    fn poll_peer_end(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut state = self.state.lock();
            if !state.plaintext.is_empty() {
                return Poll::Pending;
            }
            if state.is_at_end {
                return Poll::Ready(());
            }
            if ready!(self.socket.poll_read_ready(cx)).is_err() {
                return Poll::Ready(());
            }
            match state.receive(&self.socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Poll::Ready(()),
                Ok(()) => {}
            }
        }
    }

    fn poll_close_write(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state.lock().close()?;
        ready!(self.poll_flushed(cx))?;
        self.socket.poll_close_write(cx)
    }
}

impl<S: Socket> Drop for Stream<S> {
    /// Tells the peer that nothing was cut off, if that needs no waiting.
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if state.is_open && state.close().is_ok() {
            let _ = state.flush(&self.socket);
        }
    }
}

impl<S: Socket> AsyncRead for Stream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(Socket::poll_read_ready(&*self, cx))?;
            match self.try_read(buffer.initialize_unfilled()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => {
                    buffer.advance(read?);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl<S: Socket> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
            ready!(Socket::poll_write_ready(&*self, cx))?;
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flushed(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_close_write(cx)
    }
}

impl<S: Socket> fmt::Debug for Stream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("socket", &self.socket).finish_non_exhaustive()
    }
}

/// An error of `encode` or `encrypt` that may say how much room is needed.
trait NeedsRoom: std::error::Error + Send + Sync + 'static {
    fn required(&self) -> Option<usize>;
}

impl NeedsRoom for EncodeError {
    fn required(&self) -> Option<usize> {
        match self {
            Self::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            Self::AlreadyEncoded => None,
        }
    }
}

impl NeedsRoom for EncryptError {
    fn required(&self) -> Option<usize> {
        match self {
            Self::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            Self::EncryptExhausted => None,
        }
    }
}

/// Appends what `write` writes, with `room` at first and then with as much as it asks for.
fn append<E: NeedsRoom>(
    to: &mut Vec<u8>,
    room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> io::Result<()> {
    let filled = to.len();
    to.resize(filled + room, 0);
    let mut written = write(&mut to[filled..]);
    if let Some(room) = written.as_ref().err().and_then(NeedsRoom::required) {
        to.resize(filled + room, 0);
        written = write(&mut to[filled..]);
    }
    to.truncate(filled + *written.as_ref().unwrap_or(&0));
    written.map(|_| ()).map_err(io::Error::other)
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
