//! Checks the duties of a transport; a failure names the duty.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::{join, task::yield_now, time::timeout};

use crate::{Close, Closed, Connection, Listener, MESSAGE_LIMIT, Message, Transport};

/// Time limit of one check: generous, so that only a transport that hangs exceeds it.
const DEADLINE: Duration = Duration::from_secs(30);
/// Number of messages in the check of back-pressure.
const FLOOD: usize = 1000;
/// Size of each message in that check, in bytes: together more than a system buffers for a peer that does not read.
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
    both_ways("messages arrive whole and in order", &make, order).await;
    both_ways("messages of every size up to the limit arrive unchanged", &make, sizes).await;
    both_ways("a message beyond the limit ends the connection with 1009", &make, beyond_the_limit).await;
    both_ways("a slow reader holds the sender back and loses nothing", &make, back_pressure).await;
    both_ways("a close reaches the peer with its code and reason", &make, close).await;
    both_ways("messages before a close are received before it", &make, messages_before_a_close).await;
    both_ways("an ended connection always reports the same end", &make, sticky_end).await;
    both_ways("dropped receive futures lose nothing", &make, dropped_waits).await;
    both_ways("dropping a connection ends it for a receiving peer", &make, dropped_while_receiving).await;
    both_ways("dropping a connection ends it for a sending peer", &make, dropped_while_sending).await;
    within("connections are independent", independent(&make)).await;
    within("a silent peer does not block accept", silent_peer(&make)).await;
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

async fn order(mut near: Connection, mut far: Connection) {
    for round in 0..100 {
        let (there, back) = (numbered(2 * round), numbered(2 * round + 1));
        send(&mut near, there.clone()).await;
        assert_eq!(far.recv().await.as_ref(), Ok(&there), "messages arrive whole and in order");
        send(&mut far, back.clone()).await;
        assert_eq!(near.recv().await.as_ref(), Ok(&back), "messages arrive whole and in order");
    }
}

async fn sizes(mut near: Connection, mut far: Connection) {
    let texts = [
        String::new(),
        "x".to_owned(),
        "\0 \r\n \u{feff} é 漢字 🦀 \u{10ffff}".to_owned(),
        "x".repeat(125),
        "x".repeat(126),
        "x".repeat(4096),
        "x".repeat(MESSAGE_LIMIT - 1),
        "x".repeat(MESSAGE_LIMIT),
        "é".repeat(MESSAGE_LIMIT / 2),
    ];
    for text in texts {
        let message = Message::from(text);
        let (_, received) = join!(send(&mut near, message.clone()), far.recv());
        let size = message.len();
        assert!(received == Ok(message), "a message of {size} bytes arrives unchanged");
    }
}

async fn beyond_the_limit(mut near: Connection, mut far: Connection) {
    let sender = async {
        // The send may fail or not: it depends on when the peer rejects the message.
        let _ = near.send(Message::from("x".repeat(MESSAGE_LIMIT + 1))).await;
        near.recv().await
    };
    let receiver = async move { far.recv().await };
    let (told, received) = join!(sender, receiver);
    assert!(
        matches!(&received, Err(Closed::Violated(why)) if why.code == 1009),
        "the receiver of a message beyond the limit reports a violation with code 1009, not {received:?}"
    );
    assert!(
        matches!(&told, Err(Closed::Lost(_)))
            || matches!(&told, Err(Closed::ByPeer(why)) if why.code == 1009),
        "the sender of a message beyond the limit receives code 1009 or loses the connection, not {told:?}"
    );
}

async fn back_pressure(near: Connection, mut far: Connection) {
    let (mut near, _) = near.into_parts();
    let batch: Vec<_> = (0..FLOOD).map(|n| Message::from(format!("{n:0FLOOD_SIZE$}"))).collect();
    let mut rest = &batch[..];
    loop {
        let sent = near.try_send(rest);
        assert!(sent.taken <= rest.len(), "try_send takes at most the offered messages");
        rest = &rest[sent.taken..];
        assert!(!rest.is_empty(), "try_send is bounded while the peer does not read");
        assert!(!sent.flushed, "a carrier that did not take the whole batch is not flushed");
        if sent.taken == 0 {
            break;
        }
    }
    let sender = async {
        while !rest.is_empty() {
            let flushed = poll_fn(|cx| near.poll_flush(cx)).await;
            assert_eq!(flushed, Ok(()), "a slow reader does not end the connection");
            let sent = near.try_send(rest);
            assert!(sent.taken > 0, "try_send takes a message when nothing is buffered");
            rest = &rest[sent.taken..];
        }
        let flushed = poll_fn(|cx| near.poll_flush(cx)).await;
        assert_eq!(flushed, Ok(()), "taken messages can be flushed");
    };
    let receiver = async {
        for (n, expected) in batch.iter().enumerate() {
            yield_now().await;
            let received = far.recv().await;
            assert!(received.as_ref() == Ok(expected), "message {n} of many arrives in order");
        }
    };
    join!(sender, receiver);
}

async fn close(mut near: Connection, mut far: Connection) {
    let why = Close::new(4001, "über");
    let (ours, theirs) = join!(near.close(why.clone()), far.recv());
    assert_eq!(ours, Closed::ByUs(why.clone()), "the closing side reports its own close");
    assert_eq!(theirs, Err(Closed::ByPeer(why)), "a close reaches the peer with its code and reason");
}

async fn messages_before_a_close(near: Connection, mut far: Connection) {
    let (mut carrier, info) = near.into_parts();
    let batch: Vec<_> = (0..3).map(numbered).collect();
    assert_eq!(carrier.try_send(&batch).taken, batch.len(), "an idle connection takes three messages");
    carrier.close(Close::new(4002, "first"));
    carrier.close(Close::new(4003, "second"));
    assert_eq!(carrier.try_send(&batch).taken, 0, "nothing is taken after a close");
    let mut near = Connection::from_parts(carrier, info);

    let receiver = async {
        for message in batch {
            assert_eq!(far.recv().await, Ok(message), "messages before a close are received before it");
        }
        far.recv().await
    };
    let (ours, theirs) = join!(near.recv(), receiver);
    assert_eq!(ours, Err(Closed::ByUs(Close::new(4002, "first"))), "only the first close counts");
    assert_eq!(theirs, Err(Closed::ByPeer(Close::new(4002, "first"))), "only the first close counts");
}

async fn sticky_end(mut near: Connection, mut far: Connection) {
    let (ours, theirs) = join!(near.close(Close::NORMAL), far.recv());
    for (mut connection, end) in [(near, Err(ours)), (far, theirs)] {
        for _ in 0..3 {
            assert_eq!(connection.recv().await, end, "an ended connection reports the same end");
        }
        assert!(connection.send(numbered(0)).await.is_err(), "nothing can be sent on an ended connection");
        let (mut carrier, _) = connection.into_parts();
        carrier.keep_alive();
        carrier.close(Close::new(4004, "too late"));
        assert_eq!(carrier.try_send(&[numbered(0)]).taken, 0, "an ended carrier takes nothing");
        let mut cx = Context::from_waker(Waker::noop());
        assert!(carrier.poll_flush(&mut cx).is_ready(), "flushing an ended carrier is ready");
        assert_eq!(carrier.poll_recv(&mut cx), Poll::Ready(end), "an ended carrier reports the same end");
    }
}

async fn dropped_waits(mut near: Connection, mut far: Connection) {
    let sender = async {
        for n in 0..200 {
            send(&mut near, numbered(n)).await;
        }
    };
    let receiver = async {
        for n in 0..200 {
            let received = loop {
                match poll_once(far.recv()).await {
                    Some(received) => break received,
                    None => yield_now().await,
                }
            };
            assert_eq!(received, Ok(numbered(n)), "dropped receive futures lose nothing");
        }
    };
    join!(sender, receiver);
}

async fn dropped_while_receiving(mut near: Connection, mut far: Connection) {
    send(&mut near, numbered(0)).await;
    drop(near);
    assert_eq!(far.recv().await, Ok(numbered(0)), "messages before a drop are received before the end");
    assert!(far.recv().await.is_err(), "dropping a connection ends it for the peer");
}

async fn dropped_while_sending(near: Connection, mut far: Connection) {
    drop(near);
    while far.send(numbered(0)).await.is_ok() {
        yield_now().await;
    }
}

async fn independent<T: Transport, L: Listener>(make: &impl AsyncFn() -> (T, L)) {
    let (transport, mut listener) = make().await;
    let mut first = open(&transport, &mut listener).await;
    let mut second = open(&transport, &mut listener).await;
    let third = open(&transport, &mut listener).await;
    send(&mut second.0, numbered(2)).await;
    send(&mut first.0, numbered(1)).await;
    drop(third);
    assert_eq!(first.1.recv().await, Ok(numbered(1)), "a connection carries its own messages");
    join!(first.0.close(Close::NORMAL), first.1.close(Close::NORMAL));
    assert_eq!(second.1.recv().await, Ok(numbered(2)), "the end of one connection does not affect others");
    send(&mut second.1, numbered(3)).await;
    assert_eq!(second.0.recv().await, Ok(numbered(3)), "the end of one connection does not affect others");
}

async fn silent_peer<T: Transport, L: Listener>(make: &impl AsyncFn() -> (T, L)) {
    let (transport, mut listener) = make().await;
    // Polled once and then kept: either a pending dial or an open, unused connection, depending on the transport.
    let mut silent = pin!(transport.connect());
    let _silent = poll_once(silent.as_mut()).await;

    let client = async {
        let mut client = transport.connect().await.expect("a silent peer does not block connect");
        send(&mut client, numbered(7)).await;
        client
    };
    let mut accepted = Vec::new();
    let server = poll_fn(|cx| {
        while let Some(connection) = ready_now(listener.accept(), cx) {
            accepted.push(connection.expect("a silent peer does not end accept"));
        }
        let received = accepted.iter_mut().find_map(|connection| ready_now(connection.recv(), cx));
        received.map_or(Poll::Pending, Poll::Ready)
    });
    let (_client, received) = join!(client, server);
    assert_eq!(received, Ok(numbered(7)), "a silent peer does not block others");
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
