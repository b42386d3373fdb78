//! Carriers from channels, and from a stream and a sink.

use std::{
    fmt,
    future::{Future as _, poll_fn},
    mem,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use futures_util::{Sink, Stream, stream};
use tokio::{sync::mpsc, task::unconstrained};
use tokio_util::sync::PollSender;

use super::{Carrier, Close, Closed, Sent};
use crate::{MESSAGE_LIMIT, Message};

/// What a network of messages carries for [`from_channels`] and [`from_stream_sink`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// One message of the application.
    Message(Message),
    /// The end of the connection. The peer answers with a `Close` too, and no other frame follows.
    Close(Close),
}

/// Makes a carrier from two bounded channels: frames to the peer, and frames from the peer.
///
/// The capacity of the channels bounds what is on its way; four frames are the least with which the conformance suite passes.
/// For everything else see [`from_stream_sink`].
///
/// # Examples
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use chatcamp_transport::{Connection, ConnectionInfo, Message, carrier};
/// use tokio::sync::mpsc;
///
/// let (to_bob, from_alice) = mpsc::channel(16);
/// let (to_alice, from_bob) = mpsc::channel(16);
/// let mut alice = Connection::new(carrier::from_channels(to_bob, from_bob), ConnectionInfo::default());
/// let mut bob = Connection::new(carrier::from_channels(to_alice, from_alice), ConnectionInfo::default());
///
/// alice.send(Message::from("hello")).await?;
/// assert_eq!(bob.recv().await?.as_str(), "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn from_channels(
    sender: mpsc::Sender<Frame>,
    mut receiver: mpsc::Receiver<Frame>,
) -> impl Carrier + 'static {
    let frames = stream::poll_fn(move |cx| receiver.poll_recv(cx).map(|frame| frame.map(Ok::<_, &str>)));
    from_stream_sink(frames, PollSender::new(sender))
}

/// Makes a carrier from a stream of frames from the peer and a sink of frames to the peer.
///
/// The network must deliver frames whole, once and in order while it lives, and tell each [`Frame`] from the other kind. The
/// sink bounds what is buffered: the carrier takes messages while the sink is ready. If the stream ends or fails, or the sink
/// fails, without a [`Frame::Close`] from the peer, the connection ends with [`Closed::Lost`]. A message larger than
/// [`MESSAGE_LIMIT`] ends it with [`Closed::Violated`], code 1009.
///
/// Dropping the carrier drops both: the peer's stream must end then.
///
/// # Examples
/// Bytes of any framed network become frames with the combinators of the `futures` crate:
/// ```
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// use chatcamp_transport::{Close, Connection, ConnectionInfo, Message, carrier, carrier::Frame};
/// use futures_util::{SinkExt, StreamExt, sink, stream};
///
/// let lines = stream::iter([Ok::<_, std::io::Error>("hello"), Ok("")]);
/// let frames = lines.map(|line| match line? {
///     "" => Ok::<_, std::io::Error>(Frame::Close(Close::NORMAL)),
///     line => Ok(Frame::Message(Message::from(line))),
/// });
/// let carrier = carrier::from_stream_sink(frames, sink::drain());
///
/// let mut connection = Connection::new(carrier, ConnectionInfo::default());
/// assert_eq!(connection.recv().await?.as_str(), "hello");
/// assert_eq!(connection.recv().await.unwrap_err().code(), 1000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn from_stream_sink<R, W, E>(stream: R, sink: W) -> impl Carrier + 'static
where
    R: Stream<Item = Result<Frame, E>> + Send + 'static,
    W: Sink<Frame, Error: fmt::Display> + Send + 'static,
    E: fmt::Display,
{
    StreamSink {
        stream: Box::pin(stream),
        sink: Box::pin(sink),
        ending: Ending::None,
        close: None,
        is_full: false,
        driver: None,
        arrivals: 0,
        limit: MESSAGE_LIMIT,
    }
}

struct StreamSink<R, W> {
    stream: Pin<Box<R>>,
    sink: Pin<Box<W>>,
    ending: Ending,
    /// The close to put into the sink, once it is ready.
    close: Option<Close>,
    /// Whether messages were left because the sink was not ready. A channel is full although it has nothing to flush.
    is_full: bool,
    /// The driver's waker: sends by other tasks leave it, not theirs, with the sink.
    driver: Option<Waker>,
    arrivals: u32,
    /// Largest message that is accepted, in bytes.
    limit: usize,
}

#[derive(Debug)]
enum Ending {
    None,
    /// This side closes; the peer's close is awaited.
    AwaitClose(Close),
    /// The sink failed; what had arrived is still received.
    Drain(Closed),
    /// Nothing more is received; this side's close is leaving.
    Flush(Closed),
    Over(Closed),
}

impl<R, W, E> StreamSink<R, W>
where
    R: Stream<Item = Result<Frame, E>>,
    W: Sink<Frame, Error: fmt::Display>,
    E: fmt::Display,
{
    /// Returns the message to hand out, if the frame is one.
    fn received(&mut self, frame: Frame) -> Option<Message> {
        self.arrivals = self.arrivals.wrapping_add(1);
        let was_open = matches!(self.ending, Ending::None);
        match (frame, &self.ending) {
            // The peer answers this side's close, or closed at the same time.
            (Frame::Close(_), Ending::AwaitClose(ours)) => {
                self.ending = Ending::Flush(Closed::ByUs(ours.clone()))
            }
            (Frame::Close(theirs), _) => {
                self.close = was_open.then(|| theirs.clone());
                self.ending = Ending::Flush(Closed::ByPeer(theirs));
            }
            (Frame::Message(_), Ending::AwaitClose(_)) => {}
            (Frame::Message(message), _) if message.len() <= self.limit => return Some(message),
            (Frame::Message(_), _) => {
                let why = Close::new(1009, "message too large");
                self.close = was_open.then(|| why.clone());
                self.ending = Ending::Flush(Closed::Violated(why));
            }
        }
        None
    }

    /// Ends the connection because the stream brings nothing more.
    fn lost(&mut self, why: impl fmt::Display) {
        let how = match &self.ending {
            Ending::AwaitClose(ours) if self.close.is_none() => Closed::ByUs(ours.clone()),
            Ending::Drain(how) => how.clone(),
            _ => Closed::Lost(why.to_string().into()),
        };
        self.ending = Ending::Over(how);
    }

    fn sink_failed(&mut self, why: impl fmt::Display) {
        self.close = None;
        self.ending = match mem::replace(&mut self.ending, Ending::None) {
            Ending::None | Ending::AwaitClose(_) => Ending::Drain(Closed::Lost(why.to_string().into())),
            Ending::Flush(how) => Ending::Over(how),
            ending => ending,
        };
    }

    /// Returns `Ready` if everything taken and a close have left, or if the sink failed.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Err(why) = ready!(self.poll_sink(cx)) {
            self.sink_failed(why);
        }
        Poll::Ready(())
    }

    fn poll_sink(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), W::Error>> {
        if self.close.is_some() {
            ready!(self.sink.as_mut().poll_ready(cx))?;
        }
        if let Some(close) = self.close.take() {
            self.sink.as_mut().start_send(Frame::Close(close))?;
        }
        ready!(self.sink.as_mut().poll_flush(cx))?;
        if self.is_full && matches!(self.ending, Ending::None) {
            ready!(self.sink.as_mut().poll_ready(cx))?;
            self.is_full = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Puts messages into the sink while it is ready, then flushes it.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        batch: &[Message],
        taken: &mut usize,
    ) -> Poll<Result<(), W::Error>> {
        while let Some(message) = batch.get(*taken) {
            let Poll::Ready(ready) = self.sink.as_mut().poll_ready(cx) else {
                self.is_full = true;
                // What was taken so far starts to leave now.
                return self.sink.as_mut().poll_flush(cx).map_ok(drop);
            };
            ready?;
            self.sink.as_mut().start_send(Frame::Message(message.clone()))?;
            *taken += 1;
        }
        self.sink.as_mut().poll_flush(cx)
    }

    fn remember(&mut self, driver: &Waker) {
        match &mut self.driver {
            Some(known) => known.clone_from(driver),
            None => self.driver = Some(driver.clone()),
        }
    }
}

impl<R, W, E> Carrier for StreamSink<R, W>
where
    R: Stream<Item = Result<Frame, E>> + Send,
    W: Sink<Frame, Error: fmt::Display> + Send,
    E: fmt::Display,
{
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, Closed>> {
        self.remember(cx.waker());
        loop {
            match &self.ending {
                Ending::None | Ending::Drain(_) => {}
                Ending::AwaitClose(_) => {
                    // A failure is reported once nothing more arrives.
                    let _ = self.poll_output(cx);
                }
                Ending::Flush(how) => {
                    let how = how.clone();
                    ready!(self.poll_output(cx));
                    self.ending = Ending::Over(how);
                    continue;
                }
                Ending::Over(how) => return Poll::Ready(Err(how.clone())),
            }
            match self.stream.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Some(message) = self.received(frame) {
                        return Poll::Ready(Ok(message));
                    }
                }
                Poll::Ready(Some(Err(why))) => self.lost(why),
                Poll::Ready(None) => self.lost("the peer dropped the connection"),
                Poll::Pending if matches!(self.ending, Ending::Drain(_)) => self.lost(""),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn try_send(&mut self, batch: &[Message]) -> Sent {
        let mut taken = 0;
        if !matches!(self.ending, Ending::None) {
            return Sent { taken, flushed: false };
        }
        let driver = self.driver.take();
        let waker = driver.as_ref().unwrap_or(Waker::noop());
        // With a budget, the many sends of one publisher would soon look like a full sink.
        let send = pin!(unconstrained(poll_fn(|cx| self.poll_send(cx, batch, &mut taken))));
        let sent = send.poll(&mut Context::from_waker(waker));
        if let Poll::Ready(Err(why)) = &sent {
            self.sink_failed(why);
            waker.wake_by_ref();
        }
        self.driver = driver;
        Sent { taken, flushed: taken == batch.len() && matches!(sent, Poll::Ready(Ok(()))) }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        self.remember(cx.waker());
        if !matches!(self.ending, Ending::Over(_) | Ending::Drain(_)) {
            ready!(self.poll_output(cx));
        }
        Poll::Ready(match &self.ending {
            Ending::None | Ending::AwaitClose(_) => Ok(()),
            Ending::Drain(how) | Ending::Flush(how) | Ending::Over(how) => Err(how.clone()),
        })
    }

    fn close(&mut self, why: Close) {
        if let Ending::None = self.ending {
            let why = why.fitted();
            self.close = Some(why.clone());
            self.ending = Ending::AwaitClose(why);
            if let Some(driver) = &self.driver {
                driver.wake_by_ref();
            }
        }
    }

    fn arrivals(&self) -> u32 {
        self.arrivals
    }

    fn limit_messages(&mut self, bytes: usize) {
        self.limit = bytes.min(MESSAGE_LIMIT);
    }
}

impl<R, W> fmt::Debug for StreamSink<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamSink").field("ending", &self.ending).finish_non_exhaustive()
    }
}
