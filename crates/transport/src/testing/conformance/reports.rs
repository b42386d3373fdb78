//! What a carrier reports about itself: arrivals, memory, and what has not left.

use std::future::poll_fn;

use tokio::join;

use super::{flood, numbered, send};
use crate::{Carrier, Close, Closed, Connection, Message};

/// How often the check of silence is repeated: something may arrive during one of them.
const ATTEMPTS: usize = 10;

pub(super) async fn arrivals(mut near: Connection, far: Connection) {
    let (mut far, _) = far.into_parts();
    for n in 0..3 {
        let before = far.arrivals();
        let (_, received) = join!(send(&mut near, numbered(n)), recv(&mut *far));
        assert_eq!(received, Ok(numbered(n)), "a message arrives");
        assert_ne!(far.arrivals(), before, "arrivals changes when a message arrives");
    }
    assert!(
        (0..ATTEMPTS).any(|_| far.arrivals() == far.arrivals()),
        "arrivals does not change while nothing arrives"
    );
}

pub(super) async fn keep_alive(near: Connection, far: Connection) {
    let (mut near, near_info) = near.into_parts();
    let (mut far, far_info) = far.into_parts();
    near.keep_alive();
    far.keep_alive();
    let (mut near, mut far) =
        (Connection::from_parts(near, near_info), Connection::from_parts(far, far_info));
    for n in 0..2 {
        let (_, received) = join!(send(&mut near, numbered(n)), far.recv());
        assert_eq!(received, Ok(numbered(n)), "keep_alive is not received as a message");
        let (_, received) = join!(send(&mut far, numbered(n)), near.recv());
        assert_eq!(received, Ok(numbered(n)), "keep_alive is not received as a message");
    }
}

pub(super) async fn take_back(near: Connection, mut far: Connection) {
    let (mut near, _) = near.into_parts();
    let batch = flood();
    let taken = fill(&mut *near, &batch);
    let back = near.take_back();
    assert!(back.len() <= taken, "take_back returns only what was taken");
    let kept = taken - back.len();
    assert!(
        back == batch[kept..taken],
        "take_back returns the last messages that were taken, in their order"
    );

    near.close(Close::NORMAL);
    let sender = async { while recv(&mut *near).await.is_ok() {} };
    let receiver = async {
        let mut received = 0;
        while let Ok(message) = far.recv().await {
            assert!(received < kept, "what take_back returned does not arrive");
            assert!(message == batch[received], "what take_back did not return arrives in order");
            received += 1;
        }
    };
    join!(sender, receiver);
}

pub(super) async fn buffered(near: Connection, far: Connection) {
    let ((mut near, _), (mut far, _)) = (near.into_parts(), far.into_parts());
    let (near_idle, far_idle) = (near.buffered().outgoing, far.buffered().incoming);
    let batch = flood();
    let taken = fill(&mut *near, &batch);
    let sender = async {
        let flushed = poll_fn(|cx| near.poll_flush(cx)).await;
        assert_eq!(flushed, Ok(()), "taken messages can be flushed");
    };
    let receiver = async {
        for expected in &batch[..taken] {
            assert!(recv(&mut *far).await.as_ref() == Ok(expected), "taken messages arrive in order");
        }
    };
    join!(sender, receiver);
    assert!(
        near.buffered().outgoing <= near_idle,
        "buffered().outgoing falls when messages have left: {near_idle} bytes before, {} after",
        near.buffered().outgoing
    );
    assert!(
        far.buffered().incoming <= far_idle,
        "buffered().incoming falls when messages were received: {far_idle} bytes before, {} after",
        far.buffered().incoming
    );
}

/// Sends until the carrier takes nothing more. Returns the number of messages taken.
fn fill(carrier: &mut dyn Carrier, batch: &[Message]) -> usize {
    let mut taken = 0;
    loop {
        let sent = carrier.try_send(&batch[taken..]);
        taken += sent.taken;
        if sent.taken == 0 {
            return taken;
        }
    }
}

async fn recv(carrier: &mut dyn Carrier) -> Result<Message, Closed> {
    poll_fn(|cx| {
        let _ = carrier.poll_flush(cx);
        carrier.poll_recv(cx)
    })
    .await
}
