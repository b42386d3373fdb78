//! One WebSocket connection as a state machine over any stream.

use std::{
    fmt,
    future::{Future, poll_fn},
    io,
    mem::{self, MaybeUninit},
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::unconstrained,
};

use super::frame::{self, Decoder, Incoming, Role};
use crate::{Buffered, Close, Closed, Message, Sent};

/// Size of one read, in bytes, on the stack.
const READ_CHUNK: usize = 4 * 1024;
/// Maximum number of reads that discard input after a violation.
const DISCARDED_READS: usize = 64;
/// With this many unsent bytes no further message is taken. A peer that does not read occupies this, and one more message.
const OUTPUT_LIMIT: usize = 16 * 1024;

/// A WebSocket over `S` after its handshake; allocates nothing while idle.
///
/// [`Transport`](super::Transport), [`connect_over`](super::connect_over), [`accept`](super::accept) and
/// [`Listener`](super::Listener) create it. Create it directly if another HTTP library has done the handshake.
pub struct Carrier<S> {
    stream: S,
    role: Role,
    decoder: Decoder,
    /// Whole frames, after the opening bytes that are held back, without what has been written.
    output: BytesMut,
    /// The payload of the latest Ping, if it is unanswered.
    pong: Option<Box<[u8]>>,
    ping: bool,
    /// Whether the stream was written to since it was last flushed.
    written: bool,
    ending: Option<Box<Ending>>,
    /// The driver's waker. A write by another task registers this waker with the stream, not that task's.
    driver: Option<Waker>,
    arrivals: u32,
}

struct Ending {
    how: Closed,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Our Close was queued; waits for the peer's and drops its messages.
    AwaitClose,
    /// A write failed; returns what had arrived before.
    Drain,
    /// Reads nothing more; sends the last frames.
    Flush,
    Over,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Carrier<S> {
    /// Creates the server's side after an upgrade request. `already_read` are the bytes that followed the head of the request.
    ///
    /// `opening` is sent first, in one write with the first message if possible. It is the answer to the upgrade, or empty if
    /// another HTTP server has sent that.
    pub fn server(stream: S, already_read: &[u8], opening: Vec<u8>) -> Self {
        Self::new(stream, Role::Server, already_read, opening)
    }

    /// Creates the client's side after the server's answer. `already_read` are the bytes that followed the head of the answer.
    pub fn client(stream: S, already_read: &[u8]) -> Self {
        Self::new(stream, Role::Client, already_read, Vec::new())
    }

    fn new(stream: S, role: Role, already_read: &[u8], opening: Vec<u8>) -> Self {
        let mut decoder = Decoder::default();
        decoder.push(already_read);
        Self {
            stream,
            role,
            decoder,
            output: Bytes::from(opening).into(),
            pong: None,
            ping: false,
            written: false,
            ending: None,
            driver: None,
            arrivals: 0,
        }
    }

    fn phase(&self) -> Option<Phase> {
        self.ending.as_ref().map(|ending| ending.phase)
    }

    /// Enters a phase of the end. The first call sets how the connection ended.
    fn end(&mut self, how: Closed, phase: Phase) {
        match &mut self.ending {
            Some(ending) => ending.phase = phase,
            None => self.ending = Some(Box::new(Ending { how, phase })),
        }
        self.pong = None;
        self.ping = false;
        if phase != Phase::AwaitClose && phase != Phase::Drain {
            self.decoder = Decoder::default();
        }
        if phase == Phase::Over || phase == Phase::Drain {
            self.output = BytesMut::new();
        }
    }

    fn lost(&mut self, cause: &io::Error) {
        self.end(Closed::Lost(cause.to_string().into()), Phase::Over);
    }

    fn closed_by_peer(&mut self, close: Option<Close>) {
        let how = Closed::ByPeer(close.clone().unwrap_or_else(|| Close::new(1005, "")));
        match self.phase() {
            None => {
                let echo = close.map(|close| Close::new(close.code, ""));
                frame::encode_close(&mut self.output, self.role, echo.as_ref());
                self.end(how, Phase::Flush);
            }
            // The peer's Close explains the end better than the failed write.
            Some(Phase::Drain) => self.ending = Some(Box::new(Ending { how, phase: Phase::Over })),
            Some(_) => self.end(how, Phase::Flush),
        }
    }

    fn violated(&mut self, why: Close) {
        if self.ending.is_none() {
            frame::encode_close(&mut self.output, self.role, Some(&why));
        }
        self.end(Closed::Violated(why), Phase::Flush);
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [const { MaybeUninit::<u8>::uninit() }; READ_CHUNK];
        let mut chunk = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut chunk))?;
        if chunk.filled().is_empty() {
            let cause = io::Error::new(io::ErrorKind::UnexpectedEof, "the peer hung up without a close");
            return Poll::Ready(Err(cause));
        }
        self.arrivals = self.arrivals.wrapping_add(1);
        self.decoder.push(chunk.filled());
        Poll::Ready(Ok(()))
    }

    /// Writes until nothing is left. An error has already changed the state.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        let done = ready!(self.poll_write(cx));
        if self.output.is_empty() {
            self.output = BytesMut::new();
        }
        Poll::Ready(done.map_err(|cause| {
            let how = Closed::Lost(cause.to_string().into());
            // If the connection was ending already, nothing is left to wait for.
            let phase = if self.ending.is_none() { Phase::Drain } else { Phase::Over };
            self.end(how.clone(), phase);
            self.ending.as_ref().map_or(how, |ending| ending.how.clone())
        }))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut has_written = false;
        loop {
            self.encode_owed();
            if self.output.is_empty() {
                break;
            }
            let Poll::Ready(count) = Pin::new(&mut self.stream).poll_write(cx, &self.output)? else {
                if has_written {
                    // Copies the rest, to free the memory of what was sent.
                    self.output = BytesMut::from(&self.output[..]);
                }
                return Poll::Pending;
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(count);
            self.written = true;
            has_written = true;
        }
        if self.written {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.written = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Adds due control frames if there is room. A peer that pings and does not read costs one Pong.
    fn encode_owed(&mut self) {
        if self.output.len() < OUTPUT_LIMIT {
            if let Some(payload) = self.pong.take() {
                frame::encode_pong(&mut self.output, self.role, &payload);
            }
            if mem::take(&mut self.ping) {
                frame::encode_ping(&mut self.output, self.role);
            }
        }
    }

    /// Writes what it can for a task that is not the driver; returns whether everything was sent.
    fn write_now(&mut self) -> bool {
        let driver = self.driver.take();
        let waker = driver.as_ref().unwrap_or(Waker::noop());
        // With tokio's budget, many sends of one publisher would look like full sockets.
        let output = pin!(unconstrained(poll_fn(|cx| self.poll_output(cx))));
        let written = output.poll(&mut Context::from_waker(waker));
        if let Poll::Ready(Err(_)) = written {
            waker.wake_by_ref();
        }
        self.driver = driver;
        matches!(written, Poll::Ready(Ok(())))
    }

    /// Discards what has arrived, because closing a socket with unread input resets it and our Close would be lost.
    fn discard(&mut self, cx: &mut Context<'_>) {
        for _ in 0..DISCARDED_READS {
            let Poll::Ready(Ok(())) = self.poll_read(cx) else { break };
            self.decoder = Decoder::default();
        }
    }

    fn remember(&mut self, driver: &Waker) {
        match &mut self.driver {
            Some(known) => known.clone_from(driver),
            None => self.driver = Some(driver.clone()),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> crate::Carrier for Carrier<S> {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Closed>> {
        loop {
            if let Some(ending) = &self.ending {
                match ending.phase {
                    Phase::Over => return Poll::Ready(Err(ending.how.clone())),
                    Phase::Flush => {
                        let how = ending.how.clone();
                        // A failed write ends it too.
                        let _ = ready!(self.poll_output(cx));
                        if let Closed::Violated(_) = how {
                            self.discard(cx);
                        }
                        self.end(how, Phase::Over);
                        continue;
                    }
                    Phase::AwaitClose | Phase::Drain => {}
                }
            }
            match self.decoder.next(self.role) {
                Ok(Some(Incoming::Text(_))) if self.phase() == Some(Phase::AwaitClose) => {}
                Ok(Some(Incoming::Text(message))) => return Poll::Ready(Ok(message)),
                // Answers only while open, since nothing may follow our Close.
                Ok(Some(Incoming::Ping(payload))) => self.pong = self.ending.is_none().then_some(payload),
                Ok(Some(Incoming::Pong)) => {}
                Ok(Some(Incoming::Close(close))) => self.closed_by_peer(close),
                Err(why) => self.violated(why),
                Ok(None) => match self.poll_read(cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(cause)) => self.lost(&cause),
                    Poll::Pending if self.phase() == Some(Phase::Drain) => {
                        self.lost(&io::ErrorKind::BrokenPipe.into());
                    }
                    Poll::Pending => {
                        if self.pong.is_some() && matches!(self.poll_output(cx), Poll::Ready(Err(_))) {
                            continue;
                        }
                        self.remember(cx.waker());
                        return Poll::Pending;
                    }
                },
            }
        }
    }

    fn try_send(&mut self, batch: &[Message]) -> Sent {
        let mut taken = 0;
        loop {
            if self.ending.is_some() {
                return Sent { taken, flushed: self.output.is_empty() && !self.written };
            }
            while let Some(message) = batch.get(taken).filter(|_| self.output.len() < OUTPUT_LIMIT) {
                frame::encode_text(&mut self.output, self.role, message);
                taken += 1;
            }
            let flushed = self.write_now();
            if !flushed || taken == batch.len() {
                return Sent { taken, flushed };
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        match &self.ending {
            Some(ending) if matches!(ending.phase, Phase::Over | Phase::Drain) => {
                return Poll::Ready(Err(ending.how.clone()));
            }
            _ => {}
        }
        let Poll::Ready(flushed) = self.poll_output(cx) else {
            self.remember(cx.waker());
            return Poll::Pending;
        };
        match &self.ending {
            // The last frames were sent: the connection has ended for every later poll.
            Some(ending) if ending.phase == Phase::Flush => Poll::Ready(Err(ending.how.clone())),
            _ => Poll::Ready(flushed),
        }
    }

    fn close(&mut self, why: Close) {
        if self.ending.is_none() {
            let why = why.fitted();
            frame::encode_close(&mut self.output, self.role, Some(&why));
            self.end(Closed::ByUs(why), Phase::AwaitClose);
            self.write_now();
        }
    }

    fn keep_alive(&mut self) {
        if self.ending.is_none() {
            self.ping = true;
            self.write_now();
        }
    }

    fn arrivals(&self) -> u32 {
        self.arrivals
    }

    fn buffered(&self) -> Buffered {
        Buffered { incoming: self.decoder.capacity(), outgoing: self.output.capacity() }
    }

    fn limit_messages(&mut self, bytes: usize) {
        self.decoder.limit(bytes);
    }
}

impl<S> fmt::Debug for Carrier<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carrier")
            .field("role", &self.role)
            .field("ending", &self.ending.as_ref().map(|ending| (&ending.how, ending.phase)))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;
    use crate::{Carrier as _, MESSAGE_LIMIT};

    #[tokio::test]
    async fn nothing_is_held_while_idle() {
        let (ours, theirs) = duplex(1024 * 1024);
        let mut client = Carrier::client(ours, &[]);
        let mut server = Carrier::server(theirs, &[], Vec::new());
        let batch = vec![Message::from("x".repeat(5000)); 10];
        assert_eq!(client.try_send(&batch), Sent { taken: 10, flushed: true });
        for message in batch {
            assert_eq!(poll_fn(|cx| server.poll_recv(cx)).await, Ok(message));
        }
        assert!(server.poll_recv(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!((client.output.capacity(), server.decoder.capacity()), (0, 0));
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_holds_little_and_all_of_it_is_counted() {
        let (ours, mut theirs) = duplex(1024);
        let mut server = Carrier::server(ours, &[], Vec::new());
        let batch = vec![Message::from("x".repeat(1000)); 1000];
        let sent = server.try_send(&batch);
        assert!(!sent.flushed && sent.taken < 20, "{sent:?}");
        let most = server.buffered().outgoing;
        assert!((OUTPUT_LIMIT - 2048..=2 * OUTPUT_LIMIT).contains(&most), "{most}");
        let mut read = vec![0; 1024];
        let mut left = most;
        for _ in 0..10 {
            theirs.read_exact(&mut read).await.unwrap();
            assert!(server.poll_flush(&mut Context::from_waker(Waker::noop())).is_pending());
            let (now, rest) = (server.buffered().outgoing, server.output.len());
            assert!(now == rest && now < left, "{now} bytes of memory for {rest}, before {left}");
            left = now;
        }
    }

    #[tokio::test]
    async fn what_is_not_complete_is_counted_and_never_more_than_the_limit() {
        let (ours, theirs) = duplex(1024 * 1024);
        let mut client = Carrier::client(ours, &[]);
        let mut server = Carrier::server(theirs, &[], Vec::new());
        let received = |server: &mut Carrier<_>| {
            let mut cx = Context::from_waker(Waker::noop());
            crate::Carrier::poll_recv(server, &mut cx)
        };
        server.limit_messages(100);
        let small = Message::from("x".repeat(100));
        client.try_send(std::slice::from_ref(&small));
        assert_eq!(received(&mut server), Poll::Ready(Ok(small)));

        server.limit_messages(MESSAGE_LIMIT);
        let large = Message::from("x".repeat(MESSAGE_LIMIT));
        let mut bytes = BytesMut::new();
        frame::encode_text(&mut bytes, Role::Client, &large);
        bytes.extend_from_slice(&[0x81]);
        Pin::new(&mut client.stream).write_all(&bytes[..MESSAGE_LIMIT / 2]).await.unwrap();
        assert!(received(&mut server).is_pending());
        assert!(server.buffered().incoming >= MESSAGE_LIMIT / 2);
        Pin::new(&mut client.stream).write_all(&bytes[MESSAGE_LIMIT / 2..]).await.unwrap();
        assert_eq!(received(&mut server), Poll::Ready(Ok(large)));
        assert!(received(&mut server).is_pending());
        assert!(server.buffered().incoming < 64, "one byte of the next frame keeps {:?}", server.buffered());

        server.limit_messages(100);
        let mut next = BytesMut::new();
        frame::encode_text(&mut next, Role::Client, &Message::from("x".repeat(101)));
        Pin::new(&mut client.stream).write_all(&next[1..]).await.unwrap();
        let Poll::Ready(Err(Closed::Violated(why))) = received(&mut server) else {
            panic!("it was accepted")
        };
        assert_eq!(why.code, 1009);
    }
}
