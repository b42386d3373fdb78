//! The recovery phase: faults stop, everything must recover, and nothing may be left at the end.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{Clients, World, application::Application, server_host::AT_REST};
use crate::{Invariant, network::FaultProfile};

/// Time for clients to notice faults and to reconnect.
const RECOVERY: Duration = Duration::from_secs(100);
/// Time for disconnected clients to connect when told to.
const CONNECTING: Duration = Duration::from_secs(45);
/// Time for messages to arrive.
const ARRIVAL: Duration = Duration::from_secs(5);
/// Longer than a session is kept without a connection.
const KEPT: Duration = Duration::from_secs(340);

pub(super) async fn run(world: &Arc<World>, clients: Clients) {
    let applications = &clients.applications;
    world.machine.note(format_args!("the recovery phase starts"));
    *world.is_recovering.lock() = true;
    world.network.set_faults(FaultProfile::NONE);
    world.host.store().set_up(true);
    world.host.start();
    world.backend.lift_restrictions().await;
    world.process.sleep(RECOVERY).await;
    world.ledger.check_held();

    for application in applications {
        if application.is_idle.load(Ordering::Relaxed) {
            application.connect(true, None).await;
        }
    }
    world.process.sleep(CONNECTING).await;
    check_connected(world, &clients);

    world.ledger.set_settled();
    for _ in 0..3 {
        for (user, _) in world.backend.users() {
            world.publish(&user).await;
        }
        applications.iter().filter(|one| one.is_connected()).for_each(Application::edit);
    }
    world.process.sleep(ARRIVAL).await;
    world.ledger.check_arrived(&connected(world, &clients));
    applications.iter().filter(|one| one.is_connected()).for_each(Application::edit);
    world.process.sleep(ARRIVAL).await;
    world.ledger.check_all_answered();
    leave(world, &clients).await;
}

/// Returns the clients that are connected and have no reason to lose their sessions.
fn connected(world: &World, clients: &Clients) -> Vec<usize> {
    let applications = clients.applications.iter().filter(|one| one.is_connected());
    let published = clients.published.iter().filter(|one| one.is_connected());
    let applications = applications.map(|one| (one.client, &one.user));
    let published = published.map(|one| (one.client, &one.user));
    let all = applications.chain(published).filter(|(_, user)| !is_changing(world, clients, user));
    all.map(|(client, _)| client).collect()
}

/// Returns whether another client of the user may have replaced its credential recently.
fn is_changing(world: &World, clients: &Clients, user: &str) -> bool {
    clients.of_user(user).len() > 1 && world.ledger.has_changed_lately(user)
}

/// Checks that each user has as many clients connected as its app allows.
fn check_connected(world: &Arc<World>, clients: &Clients) {
    let connected = connected(world, clients);
    let users = world.backend.users().into_iter().map(|(user, _)| user);
    for user in users.filter(|user| !is_changing(world, clients, user)) {
        let of_user: Vec<_> = clients.of_user(&user);
        let most = world.ledger.most_live().min(of_user.len());
        let there = of_user.iter().filter(|client| connected.contains(client)).count();
        if there < most {
            let states: Vec<_> = clients.applications.iter().filter(|one| one.user == user).collect();
            let states: Vec<_> = states.iter().map(|one| one.chat().map(|chat| chat.state())).collect();
            world.ledger.violate(
                Invariant::Recovers,
                format_args!("only {there} of clients {of_user:?} of {user} are connected: {states:?}"),
            );
        }
    }
}

/// Disconnects some clients, drops the others, then shuts the server down.
async fn leave(world: &Arc<World>, clients: &Clients) {
    let applications = &clients.applications;
    clients.published.iter().for_each(|one| one.leave());
    for application in applications {
        if world.draw(|random| random.chance(500)) {
            application.disconnect();
        } else {
            application.drop_client();
        }
    }
    world.process.sleep(KEPT).await;
    applications.iter().for_each(|application| application.drop_client());
    world.process.sleep(ARRIVAL).await;
    let leave = |what: std::fmt::Arguments<'_>| world.ledger.violate(Invariant::NoLeaks, what);
    if let Some(load) = world.host.server().map(|server| server.load()).filter(|load| *load != AT_REST) {
        leave(format_args!("at rest the server still has {load:?}"));
    }
    let of_applications = applications.iter().map(|one| (one.client, &one.process));
    let of_published = clients.published.iter().map(|one| (one.client, &one.process));
    for (client, process) in of_applications.chain(of_published) {
        let tasks = world.machine.tasks_of(process);
        if tasks > 0 {
            leave(format_args!("{tasks} tasks of client {client} are still running"));
        }
    }
    let wires = world.network.len();
    if wires > 0 || world.ledger.open_wires() > 0 {
        leave(format_args!("{wires} connections are still open"));
    }
    world.host.close().await;
}
