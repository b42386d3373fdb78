//! Several connections of one transport and its listener.

use std::{future::poll_fn, pin::pin, task::Poll};

use tokio::join;

use super::{numbered, open, poll_once, ready_now, send};
use crate::{Close, Listener, Transport};

pub(super) async fn independent<T: Transport, L: Listener>(make: &impl AsyncFn() -> (T, L)) {
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

pub(super) async fn silent_peer<T: Transport, L: Listener>(make: &impl AsyncFn() -> (T, L)) {
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
