//! The host of the server: starts, crashes and drains it, and cuts it off from its store.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chatcamp_runtime::timeout;
use chatcamp_server::{Clock, Limits, Load, Server};
use chatcamp_store::memory;
use parking_lot::Mutex;

use super::{World, store::UnreliableStore};
use crate::{Invariant, Planted, keys::keyring, ledger::Ledger, machine::Process, network::Network};

/// Unix time at the start.
const BEGAN: u64 = 1_800_000_000;
/// Time limit for a drain.
const DRAIN: Duration = Duration::from_secs(30);
pub(super) const AT_REST: Load = Load { connections: 0, unverified: 0, sessions: 0, detached: 0 };

/// The host of the server.
#[derive(Debug)]
pub(super) struct ServerHost {
    process: Process,
    ledger: Arc<Ledger>,
    network: Arc<Network>,
    store: Arc<UnreliableStore>,
    limits: Limits,
    planted: Option<Planted>,
    running: Mutex<Option<(Server, Process)>>,
    started: AtomicUsize,
}

impl ServerHost {
    pub(super) fn new(
        process: Process,
        ledger: Arc<Ledger>,
        network: Arc<Network>,
        store: Arc<memory::Store>,
        limits: Limits,
        planted: Option<Planted>,
    ) -> Arc<Self> {
        let store = Arc::new(UnreliableStore::new(store, process.clone(), ledger.clone(), planted));
        let (running, started) = (Mutex::default(), AtomicUsize::new(0));
        Arc::new(Self { process, ledger, network, store, limits, planted, running, started })
    }

    /// Returns the running server.
    pub(super) fn server(&self) -> Option<Server> {
        self.running.lock().as_ref().map(|(server, _)| server.clone())
    }

    pub(super) fn store(&self) -> &UnreliableStore {
        &self.store
    }

    /// Starts a server unless one is running.
    pub(super) fn start(&self) {
        let mut running = self.running.lock();
        if running.is_some() {
            return;
        }
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let machine = self.process.machine().clone();
        machine.note(format_args!("server {number} starts"));
        let process = machine.process(format!("server {number}"));
        let process = process.with(self.planted.filter(|&planted| planted == Planted::TaskLost));
        let stopped = (self.planted == Some(Planted::ClockStopped)).then(|| machine.elapsed());
        let clock = Clock::new(move || BEGAN + stopped.unwrap_or_else(|| machine.elapsed()).as_secs());
        let runtime = Arc::new(process.clone());
        let limits = match self.planted {
            Some(Planted::BoundsForgotten) => Limits::default(),
            _ => self.limits.clone(),
        };
        let builder = Server::builder(self.store.clone(), keyring()).runtime(runtime).clock(clock);
        let server = builder.limits(limits).start();
        self.network.serve_by(Some((server.clone(), process.clone())));
        *running = Some((server, process));
    }

    /// Kills the server's process. If its machine goes too, its connections fall silent instead of breaking.
    fn crash(&self, with_its_machine: bool) {
        let Some((server, process)) = self.running.lock().take() else { return };
        process.machine().note(format_args!("{} crashes", process.name()));
        self.network.serve_by(None);
        self.ledger.excuse(None, "the server crashed");
        if with_its_machine {
            self.network.fall_silent();
        }
        process.machine().kill(&process);
        drop(server);
    }

    /// Shuts the server down in the background.
    fn drain(self: &Arc<Self>) {
        let Some((server, process)) = self.running.lock().take() else { return };
        process.machine().note(format_args!("{} drains", process.name()));
        self.network.serve_by(None);
        self.ledger.excuse(None, "the server drained");
        let host = self.clone();
        self.process.run(async move { host.await_shutdown(server, process).await });
    }

    /// Waits for a server to shut down, and checks that nothing is left of it.
    pub(super) async fn await_shutdown(&self, server: Server, process: Process) {
        if timeout(&self.process, DRAIN, server.shutdown()).await.is_none() {
            return self.ledger.violate(
                Invariant::NoLeaks,
                format_args!("{} did not shut down: {:?}", process.name(), server.load()),
            );
        }
        if server.load() != AT_REST {
            let load = server.load();
            self.ledger.violate(
                Invariant::NoLeaks,
                format_args!("{} still has {load:?} after its shutdown", process.name()),
            );
        }
        drop(server);
        // Its tasks notice at their next tick that the server was dropped.
        self.process.sleep(Duration::from_secs(15)).await;
        let left = process.machine().tasks_of(&process);
        if left > 0 {
            self.ledger.violate(
                Invariant::NoLeaks,
                format_args!("{left} tasks of {} are still running", process.name()),
            );
        }
    }

    /// Shuts the last server down.
    pub(super) async fn close(&self) {
        let running = self.running.lock().take();
        let Some((server, process)) = running else { return };
        self.network.serve_by(None);
        self.await_shutdown(server, process).await;
    }
}

/// Disturbs the server until the recovery phase.
pub(super) async fn act(world: Arc<World>) {
    // A server that is replaced often never holds much.
    let least = if world.scarce.is_some() { 60_000 } else { 8_000 };
    let eventful = world.draw(|random| random.millis(least..=120_000)).as_millis() as usize;
    loop {
        let (wait, what, gap) = world.draw(|random| {
            let wait = random.millis(1_000..=eventful);
            (wait, random.below(10), random.millis(0..=15_000))
        });
        world.process.sleep(wait).await;
        if world.is_recovering() {
            return;
        }
        match what {
            0 | 1 => {
                world.host.crash(what == 1);
                world.process.sleep(gap).await;
                world.host.start();
            }
            2 | 3 => {
                world.host.drain();
                // The next server may start at once.
                world.process.sleep(if what == 2 { Duration::ZERO } else { gap }).await;
                world.host.start();
            }
            4 => {
                world.host.store().set_up(false);
                world.process.sleep(gap / 2).await;
                world.host.store().set_up(true);
            }
            5 => world.network.cut(None),
            6 => world.network.fall_silent(),
            _ => {}
        }
    }
}
