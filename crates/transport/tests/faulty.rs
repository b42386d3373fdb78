//! Ring 2: faults occur at the planned messages, over memory.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::{
    future::Future,
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};

use chatcamp_transport::{
    Close, Closed, Connection, Listener as _, Message, Transport as _, memory,
    testing::{self, At, Fault, Faulty},
};
use tokio::time::Instant;

fn pair(fault: Fault) -> (Connection, Connection) {
    let (near, far) = memory::pair();
    (Faulty::wrap(near, vec![fault]), far)
}

/// Sends five messages, or as many as possible. Returns what is received until the end.
async fn carried(mut from: Connection, mut to: Connection) -> (Vec<String>, Closed) {
    for n in 1..=5 {
        if from.send(Message::from(format!("{n}"))).await.is_err() {
            break;
        }
    }
    drop(from);
    let mut received = Vec::new();
    loop {
        match to.recv().await {
            Ok(message) => received.push(message.as_str().to_owned()),
            Err(end) => return (received, end),
        }
    }
}

#[tokio::test]
async fn a_cut_carries_exactly_what_came_before_it() {
    for (fault, expected) in [
        (Fault::CutBefore(At::Sent(1)), &[][..]),
        (Fault::CutBefore(At::Sent(3)), &["1", "2"]),
        (Fault::CutAfter(At::Sent(3)), &["1", "2", "3"]),
        (Fault::CutAfter(At::Sent(6)), &["1", "2", "3", "4", "5"]),
    ] {
        let (near, far) = pair(fault);
        let (received, end) = carried(near, far).await;
        assert_eq!(received, expected, "{fault:?}");
        assert!(matches!(end, Closed::Lost(_)));
    }
    for (fault, expected) in
        [(Fault::CutBefore(At::Received(2)), &["1"][..]), (Fault::CutAfter(At::Received(2)), &["1", "2"])]
    {
        let (near, far) = pair(fault);
        let (received, end) = carried(far, near).await;
        assert_eq!(received, expected, "{fault:?}");
        assert!(matches!(end, Closed::Lost(_)));
    }
}

#[tokio::test]
async fn a_stall_is_silence_without_an_end() {
    let (mut near, mut far) = pair(Fault::Stall(At::Sent(2)));
    for n in 1..=100 {
        near.send(Message::from(format!("{n}"))).await.expect("a half-open connection takes everything");
    }
    assert_eq!(far.recv().await, Ok(Message::from("1")));
    far.send(Message::from("unheard")).await.unwrap();
    assert!(waits(far.recv()), "nothing leaves");
    assert!(waits(near.recv()), "nothing arrives");
    assert!(waits(near.close(Close::NORMAL)), "nothing ends");
    assert!(waits(far.recv()), "the peer sees no end");

    let (mut near, mut far) = pair(Fault::Stall(At::Received(1)));
    far.send(Message::from("unheard")).await.unwrap();
    assert!(waits(near.recv()));
}

#[tokio::test(start_paused = true)]
async fn a_delay_holds_messages_back_and_keeps_their_order() {
    let (mut near, mut far) = pair(Fault::Delay(2, Duration::from_secs(3)));
    for n in 1..=3 {
        far.send(Message::from(format!("{n}"))).await.unwrap();
    }
    let begun = Instant::now();
    for (n, seconds) in [(1, 0), (2, 3), (3, 6)] {
        assert_eq!(near.recv().await, Ok(Message::from(format!("{n}"))));
        assert_eq!(begun.elapsed().as_secs(), seconds);
    }
}

#[tokio::test]
async fn connections_of_a_faulty_transport_follow_the_plan() {
    let (transport, mut listener) = memory::network();
    let transport = Faulty::new(transport, [vec![Fault::CutBefore(At::Sent(1))], Vec::new()]);
    for expected in [false, true, true] {
        let (client, server) = tokio::join!(transport.connect(), listener.accept());
        let (mut client, _server) = (client.unwrap(), server.unwrap());
        client.send(Message::from("hello")).await.ok();
        assert_eq!(waits(client.recv()), expected, "an end only where it was planned");
    }
}

fn waits(future: impl Future) -> bool {
    pin!(future).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

#[test]
fn a_seed_is_a_plan() {
    let plan = |seed| testing::plan(seed, 200, 10);
    assert_eq!(plan(1), plan(1));
    assert_ne!(plan(1), plan(2));
    assert_eq!(
        plan(7)[..2],
        [[Fault::Stall(At::Sent(8))], [Fault::CutAfter(At::Sent(4))]],
        "on every machine"
    );
    for kind in ["CutBefore", "CutAfter", "Stall", "Delay"] {
        assert!(plan(3).iter().any(|faults| format!("{faults:?}").contains(kind)), "{kind}");
    }
}
