//! Checks the duties of a transport; a failure names the duty.

mod connections;
mod ends;
mod messages;
mod reports;

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{join, time::timeout};

use crate::{Connection, Listener, Message, Transport};

/// Time limit of one check: generous, so that only a transport that hangs exceeds it.
const DEADLINE: Duration = Duration::from_secs(30);
/// Number of messages for a peer that does not read.
const FLOOD: usize = 1000;
/// Least size of each of these messages, in bytes: together more than a system buffers for such a peer.
const FLOOD_SIZE: usize = 16 * 1024;

/// Checks the duties of [`Transport`], [`Listener`] and [`Carrier`](crate::Carrier) on pairs from `make`.
///
/// `make` returns a new transport and the listener it dials, once per check. Needs a tokio runtime whose clock runs: with a
/// paused clock, deadlines pass while real sockets work.
///
/// ```
/// # #[cfg(feature = "memory")]
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use chatcamp_transport::{memory, testing};
///
/// testing::conformance(async || memory::network()).await;
/// # });
/// ```
///
/// # Panics
/// Panics with the name of the first violated duty.
///
/// # Cancel safety
/// Dropping the future stops the suite.
pub async fn conformance<T: Transport, L: Listener>(make: impl AsyncFn() -> (T, L)) {
    both_ways("messages arrive whole and in order", &make, messages::order).await;
    both_ways("messages of every size up to the limit arrive unchanged", &make, messages::sizes).await;
    both_ways("a message beyond the limit ends the connection", &make, messages::beyond_the_limit).await;
    both_ways("a lower limit refuses messages or has no effect", &make, messages::lower_limit).await;
    both_ways("a slow reader holds the sender back and loses nothing", &make, messages::back_pressure).await;
    both_ways("what has left needs no further call", &make, messages::flushed).await;
    both_ways("dropped receive futures lose nothing", &make, messages::dropped_waits).await;
    both_ways("a close reaches the peer with its code and reason", &make, ends::close).await;
    both_ways("messages before a close are received before it", &make, ends::messages_before_a_close).await;
    both_ways("an ended connection always reports the same end", &make, ends::sticky_end).await;
    both_ways("dropping a connection ends it for a receiving peer", &make, ends::dropped_while_receiving)
        .await;
    both_ways("dropping a connection ends it for a sending peer", &make, ends::dropped_while_sending).await;
    both_ways("arrivals counts what arrives", &make, reports::arrivals).await;
    both_ways("keep_alive is not a message", &make, reports::keep_alive).await;
    both_ways("take_back returns what has not left", &make, reports::take_back).await;
    both_ways("buffered falls when messages have left", &make, reports::buffered).await;
    within("connections are independent", connections::independent(&make)).await;
    within("a silent peer does not block accept", connections::silent_peer(&make)).await;
}

/// Runs `check` from the client to the server, then from the server to the client.
async fn both_ways<T: Transport, L: Listener>(
    duty: &str,
    make: &impl AsyncFn() -> (T, L),
    check: impl AsyncFn(Connection, Connection),
) {
    let (transport, mut listener) = make().await;
    within(duty, async {
        let (client, server) = open(&transport, &mut listener).await;
        check(client, server).await;
        let (client, server) = open(&transport, &mut listener).await;
        check(server, client).await;
    })
    .await;
}

async fn within(duty: &str, check: impl Future<Output = ()>) {
    if timeout(DEADLINE, check).await.is_err() {
        panic!("no progress for {DEADLINE:?}: {duty}");
    }
}

/// Opens a connection and sends one message each way: some transports are open only then.
async fn open(transport: &impl Transport, listener: &mut impl Listener) -> (Connection, Connection) {
    let (question, answer) = (Message::from_static("question"), Message::from_static("answer"));
    let dial = async {
        let client = transport.connect().await;
        let mut client = client.unwrap_or_else(|error| panic!("connect opens a connection: {error}"));
        send(&mut client, question.clone()).await;
        assert_eq!(client.recv().await.as_ref(), Ok(&answer), "the first answer arrives");
        client
    };
    let accept = async {
        let server = listener.accept().await;
        let mut server = server.unwrap_or_else(|| panic!("accept returns the dialled connection"));
        assert_eq!(server.recv().await.as_ref(), Ok(&question), "the first message arrives");
        send(&mut server, answer.clone()).await;
        server
    };
    join!(dial, accept)
}

/// Returns the messages for a peer that does not read.
fn flood() -> Vec<Message> {
    let filling = "x".repeat(FLOOD_SIZE);
    (0..FLOOD).map(|n| Message::from(format!("{n} {filling}"))).collect()
}

fn numbered(n: usize) -> Message {
    Message::from(format!("message {n}"))
}

async fn send(connection: &mut Connection, message: Message) {
    let size = message.len();
    if let Err(end) = connection.send(message).await {
        panic!("a message of {size} bytes can be sent on an open connection: {end}");
    }
}

async fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| Poll::Ready(ready_now(future.as_mut(), cx))).await
}

/// Polls the future once and drops it.
fn ready_now<F: Future>(future: F, cx: &mut Context<'_>) -> Option<F::Output> {
    match pin!(future).poll(cx) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}
