//! After the storm: everything must come right, and in the end nothing must be left.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{World, application::Application, house::AT_REST};
use crate::{Invariant, network::Weather};

/// Time for what went wrong to be noticed, and for clients to come back of themselves.
const RECOVERY: Duration = Duration::from_secs(100);
/// Time for clients to be connected that have been told to.
const CONNECTING: Duration = Duration::from_secs(45);
/// Time for what is said in calm weather to arrive.
const ARRIVAL: Duration = Duration::from_secs(5);
/// Longer than anything is kept of a client that has gone.
const KEPT: Duration = Duration::from_secs(150);

pub(super) async fn follow(world: &Arc<World>, applications: Vec<Arc<Application>>) {
    world.machine.note(format_args!("it is calm"));
    *world.is_calm.lock() = true;
    world.network.set_weather(Weather::CALM);
    world.house.store().set_up(true);
    world.house.start();
    world.backend.relent().await;
    world.process.sleep(RECOVERY).await;

    for application in &applications {
        if application.is_idle.load(Ordering::Relaxed) {
            application.connect(true, None).await;
        }
    }
    world.process.sleep(CONNECTING).await;
    for application in applications.iter().filter(|application| !application.is_connected()) {
        let (client, state) = (application.client, application.chat().map(|chat| chat.state()));
        world.ledger.violate(Invariant::CalmRecovers, format_args!("client {client} is {state:?}"));
    }

    world.ledger.set_settled();
    for _ in 0..3 {
        for (user, _) in world.backend.users() {
            world.publish(&user).await;
        }
        applications.iter().for_each(Application::edit);
    }
    world.process.sleep(ARRIVAL).await;
    world.ledger.check_arrived();
    applications.iter().for_each(Application::edit);
    world.process.sleep(ARRIVAL).await;
    world.ledger.check_all_kept();
    leave(world, applications).await;
}

/// Some say goodbye, some just go; and then the server.
async fn leave(world: &Arc<World>, applications: Vec<Arc<Application>>) {
    for application in &applications {
        if world.draw(|random| random.chance(500)) {
            application.disconnect();
        } else {
            application.let_go();
        }
    }
    world.process.sleep(KEPT).await;
    applications.iter().for_each(|application| application.let_go());
    world.process.sleep(ARRIVAL).await;
    let leave = |what: std::fmt::Arguments<'_>| world.ledger.violate(Invariant::NothingLeft, what);
    if let Some(load) = world.house.server().map(|server| server.load()).filter(|load| *load != AT_REST) {
        leave(format_args!("the server keeps {load:?}"));
    }
    for application in &applications {
        let tasks = world.machine.tasks_of(&application.process);
        if tasks > 0 {
            leave(format_args!("client {} keeps {tasks} tasks", application.client));
        }
    }
    let wires = world.network.len();
    if wires > 0 || world.ledger.open_wires() > 0 {
        leave(format_args!("{wires} connections are open"));
    }
    world.house.close().await;
}
