//! How connections end.

use std::task::{Context, Poll, Waker};

use tokio::{join, task::yield_now};

use super::{numbered, send};
use crate::{Close, Closed, Connection};

pub(super) async fn close(mut near: Connection, mut far: Connection) {
    let why = Close::new(4001, "über");
    let (ours, theirs) = join!(near.close(why.clone()), far.recv());
    assert_eq!(ours, Closed::ByUs(why.clone()), "the closing side reports its own close");
    assert_eq!(theirs, Err(Closed::ByPeer(why)), "a close reaches the peer with its code and reason");
}

pub(super) async fn messages_before_a_close(near: Connection, mut far: Connection) {
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

pub(super) async fn sticky_end(mut near: Connection, mut far: Connection) {
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

pub(super) async fn dropped_while_receiving(mut near: Connection, mut far: Connection) {
    send(&mut near, numbered(0)).await;
    drop(near);
    assert_eq!(far.recv().await, Ok(numbered(0)), "messages before a drop are received before the end");
    let end = far.recv().await;
    assert!(end.is_err(), "dropping a connection ends it for the peer");
    assert!(
        !matches!(&end, Err(Closed::ByUs(_)) | Err(Closed::ByPeer(Close { code: 1000, .. }))),
        "the end of a dropped connection is not reported as a normal close: {end:?}"
    );
}

pub(super) async fn dropped_while_sending(near: Connection, mut far: Connection) {
    drop(near);
    while far.send(numbered(0)).await.is_ok() {
        yield_now().await;
    }
}
