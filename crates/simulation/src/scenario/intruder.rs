//! A client that presents session keys to which it has no right: replaced ones, and those of other users.

use std::{sync::Arc, time::Duration};

use chatcamp_auth::client::{self, Hello};
use chatcamp_protocol::{SessionKey, UserId, handshake::Resume};
use chatcamp_runtime::timeout;
use chatcamp_transport::{Close, Message};
use serde_json::Value;

use super::{World, application::Behaviour};
use crate::{
    Invariant,
    ledger::{ClientKind, StolenKey},
};

/// Its own user, who may connect by id alone.
const NAME: &str = "intruder";
/// Time for each step of an attempt.
const STEP: Duration = Duration::from_secs(10);

/// Presents keys until the recovery phase.
pub(super) async fn act(world: Arc<World>) {
    let client = world.ledger.add_client(NAME, false, ClientKind::Intruder, world.draw_place());
    loop {
        world.process.sleep(world.draw(|random| random.millis(3_000..=20_000))).await;
        if world.is_recovering() {
            return;
        }
        let presents_replaced = world.draw(|random| random.chance(500));
        let by_id = |key: &StolenKey| {
            let users = world.backend.users();
            users.iter().any(|(user, behaviour)| *user == key.user && *behaviour == Behaviour::ById)
        };
        let keys = if presents_replaced { world.ledger.replaced_keys() } else { world.ledger.newest_keys() };
        let keys: Vec<_> = keys.into_iter().filter(by_id).collect();
        if keys.is_empty() {
            continue;
        }
        let stolen = &keys[world.draw(|random| random.below(keys.len()))];
        let user = if presents_replaced { stolen.user.as_str() } else { NAME };
        present(&world, client, user, stolen).await;
    }
}

/// Connects as `user`, and asks to go on with the session of a key.
async fn present(world: &Arc<World>, client: usize, user: &str, stolen: &StolenKey) {
    let owner = &stolen.user;
    world.machine.note(format_args!("the intruder presents a key of {owner} as {user}"));
    let opening = timeout(&world.process, STEP, world.network.open_native(client, None));
    let Some(mut connection) = opening.await.flatten() else { return };
    let resume = Resume { key: SessionKey::from(stolen.key.as_str()), seen: stolen.seen, sent: stolen.sent };
    let user_id = UserId::new(user).expect("user ids of the simulation are valid");
    let (_, hello) = client::start(&Hello {
        app_id: world.backend.app(),
        user_id: &user_id,
        token: None,
        client: "intruder/1",
        resume: Some(resume),
    });
    if timeout(&world.process, STEP, connection.send(Message::from(hello))).await.is_none() {
        return;
    }
    if let Some(Ok(answer)) = timeout(&world.process, STEP, connection.recv()).await {
        let answer: Value = serde_json::from_str(answer.as_str()).unwrap_or_default();
        if answer.pointer("/d/session/resumed").is_some() {
            world.ledger.violate(
                Invariant::KeysRefused,
                format_args!("{user} resumed a session of {owner} with a key that is not valid for it"),
            );
        }
    }
    _ = timeout(&world.process, STEP, connection.close(Close::NORMAL)).await;
}
