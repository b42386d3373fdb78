//! The client over real sockets.

#![cfg(feature = "websocket")]
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod support;

use chatcamp_client::{ChatCamp, Event, transport::websocket};
use serde_json::json;
use support::{Peer, ok};
use tokio::join;

#[tokio::test]
async fn a_user_connects_asks_and_disconnects_over_websocket() {
    let mut listener = websocket::Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let chat = ChatCamp::builder("demo").url(format!("http://{}", listener.local_addr().unwrap()));
    let chat = chat.build().unwrap();
    let mut events = chat.events();

    let (user, mut peer) = join!(chat.connect(("alice", "token")), async {
        Peer::accepted_by(&mut listener).await.asked().await.admit().await
    });
    assert_eq!(user.unwrap().id.as_str(), "alice");
    assert!(matches!(events.next().await, Some(Event::Connected { transport: "websocket", .. })));

    let (answered, ()) = join!(chat.request("users.get", json!({"id": "alice"})), async {
        let (t, r, _) = peer.request().await;
        peer.ack(&t, r, ok()).await;
    });
    answered.unwrap();

    let ((), end) = join!(chat.disconnect(), peer.ended());
    assert_eq!(end.code(), 1000);
}
