//! Messages: order, size, back-pressure.

use std::future::poll_fn;

use tokio::{join, task::yield_now, time::timeout};

use super::{DEADLINE, flood, numbered, poll_once, send};
use crate::{Closed, Connection, MESSAGE_LIMIT, Message};

pub(super) async fn order(mut near: Connection, mut far: Connection) {
    for round in 0..100 {
        let (there, back) = (numbered(2 * round), numbered(2 * round + 1));
        send(&mut near, there.clone()).await;
        assert_eq!(far.recv().await.as_ref(), Ok(&there), "messages arrive whole and in order");
        send(&mut far, back.clone()).await;
        assert_eq!(near.recv().await.as_ref(), Ok(&back), "messages arrive whole and in order");
    }
}

pub(super) async fn sizes(mut near: Connection, mut far: Connection) {
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

pub(super) async fn beyond_the_limit(mut near: Connection, mut far: Connection) {
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

pub(super) async fn lower_limit(mut near: Connection, mut far: Connection) {
    const LIMIT: usize = 100;
    far.limit_messages(LIMIT);
    let (fits, too_large) = (Message::from("x".repeat(LIMIT)), Message::from("x".repeat(LIMIT + 1)));
    let (_, received) = join!(send(&mut near, fits.clone()), far.recv());
    assert_eq!(received, Ok(fits), "a message within a lower limit arrives unchanged");
    let (_, received) = join!(near.send(too_large.clone()), far.recv());
    assert!(
        received.as_ref() == Ok(&too_large)
            || matches!(&received, Err(Closed::Violated(why)) if why.code == 1009),
        "a message beyond a lower limit arrives unchanged or is a violation with code 1009, not {received:?}"
    );
}

pub(super) async fn flushed(near: Connection, mut far: Connection) {
    let (mut near, _) = near.into_parts();
    for n in 0..10 {
        let sent = near.try_send(&[numbered(n)]);
        assert_eq!(sent.taken, 1, "an idle connection takes a message");
        if !sent.flushed {
            let flushed = poll_fn(|cx| near.poll_flush(cx)).await;
            assert_eq!(flushed, Ok(()), "taken messages can be flushed");
        }
        let received = timeout(DEADLINE / 2, far.recv()).await;
        assert_eq!(
            received,
            Ok(Ok(numbered(n))),
            "a message reported as flushed arrives without further calls"
        );
    }
}

pub(super) async fn back_pressure(near: Connection, mut far: Connection) {
    let (mut near, _) = near.into_parts();
    let batch = flood();
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

pub(super) async fn dropped_waits(mut near: Connection, mut far: Connection) {
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
