//! The time from a revocation to the closed sockets.

use std::time::Instant;

use chatcamp_client::{
    ChatCamp, Code, EndReason, Event,
    builder::endpoint,
    transport::{memory, websocket},
};
use chatcamp_protocol::UserId;
use chatcamp_server::NewUser;
use serde_json::json;
use tokio::{task::JoinSet, time::timeout};

use crate::{PATIENCE, connected, figure, world};

/// The number of users who are revoked, one after another, while all are connected.
const REVOKED: u64 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_user_is_told_and_does_not_reconnect_while_many_others_are_connected() {
    let count = figure("CHATCAMP_SESSIONS", 400);
    let world = world().await;
    // The other users use the memory transport and need no sockets.
    let (network, listener) = memory::network();
    tokio::spawn({
        let server = world.server.clone();
        async move { server.listen(listener).await }
    });
    let accounts = world.data.accounts();
    let url = endpoint(&format!("http://{}", world.address)).unwrap();
    let (mut others, mut revoked) = (Vec::new(), Vec::new());
    for n in 0..count {
        let user = UserId::new(format!("user {n}")).unwrap();
        if n % (count / REVOKED) != 0 {
            let chat = ChatCamp::builder(&world.app).transport(network.clone()).build().unwrap();
            chat.connect(user.as_str()).await.unwrap();
            others.push(chat);
            continue;
        }
        let chat = ChatCamp::builder(&world.app).transport(websocket::Transport::new(&url).unwrap());
        let chat = chat.build().unwrap();
        let token = accounts.create_user(&world.app, &user, NewUser::default()).await.unwrap();
        let mut events = chat.events();
        chat.connect((user.as_str(), token)).await.unwrap();
        connected(&mut events).await;
        revoked.push((user, chat, events));
    }
    let mut ends = JoinSet::new();
    for (user, chat, mut events) in revoked {
        let begun = Instant::now();
        accounts.revoke_tokens(&world.app, &user).await.unwrap();
        ends.spawn(async move {
            let event = timeout(PATIENCE, events.next()).await.expect("an end in time").unwrap();
            let took = begun.elapsed();
            let Event::Disconnected { reason: EndReason::Refused(refusal) } = event else {
                panic!("{event:?}");
            };
            assert_eq!(refusal.known_code(), Some(Code::CredentialRevoked));
            drop(chat);
            took
        });
    }
    let mut times = Vec::new();
    while let Some(took) = ends.join_next().await {
        times.push(took.unwrap());
    }
    times.sort_unstable();
    let of = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)].as_secs_f64() * 1000.0;
    println!("{}", json!({ "sessions": count, "revoked": times.len(), "p50_ms": of(50), "p99_ms": of(99) }));
    // A session is counted until its client has confirmed the close.
    while world.server.load().sessions > others.len() {
        tokio::task::yield_now().await;
    }
    drop(others);
    world.server.shutdown().await;
}
