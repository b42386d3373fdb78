//! Where the server runs: it crashes and starts again, drains, and loses its store for a while.

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

use super::{World, store::Distant};
use crate::{Invariant, Planted, keys::keyring, ledger::Ledger, machine::Process, network::Network};

/// Unix time at the beginning.
const BEGAN: u64 = 1_800_000_000;
/// Within which a server that drains is gone.
const DRAIN: Duration = Duration::from_secs(30);
pub(super) const AT_REST: Load = Load { connections: 0, unverified: 0, sessions: 0, detached: 0 };

/// The machine room.
#[derive(Debug)]
pub(super) struct House {
    process: Process,
    ledger: Arc<Ledger>,
    network: Arc<Network>,
    store: Arc<Distant>,
    limits: Limits,
    planted: Option<Planted>,
    running: Mutex<Option<(Server, Process)>>,
    started: AtomicUsize,
}

impl House {
    pub(super) fn new(
        process: Process,
        ledger: Arc<Ledger>,
        network: Arc<Network>,
        store: Arc<memory::Store>,
        limits: Limits,
        planted: Option<Planted>,
    ) -> Arc<Self> {
        let store = Arc::new(Distant::new(store, process.clone(), ledger.clone(), planted));
        let (running, started) = (Mutex::default(), AtomicUsize::new(0));
        Arc::new(Self { process, ledger, network, store, limits, planted, running, started })
    }

    /// The server that runs, if one does.
    pub(super) fn server(&self) -> Option<Server> {
        self.running.lock().as_ref().map(|(server, _)| server.clone())
    }

    pub(super) fn store(&self) -> &Distant {
        &self.store
    }

    /// Starts a server, unless one runs.
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

    /// The server's process ends between two instructions; with its machine, nobody is told.
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

    /// The server is asked to go.
    fn drain(self: &Arc<Self>) {
        let Some((server, process)) = self.running.lock().take() else { return };
        process.machine().note(format_args!("{} drains", process.name()));
        self.network.serve_by(None);
        self.ledger.excuse(None, "the server drained");
        let house = self.clone();
        self.process.run(async move { house.see_off(server, process).await });
    }

    /// Waits for a server to be gone, and for nothing to be left of it.
    pub(super) async fn see_off(&self, server: Server, process: Process) {
        if timeout(&self.process, DRAIN, server.shutdown()).await.is_none() {
            return self.ledger.violate(
                Invariant::NothingLeft,
                format_args!("{} does not shut down: {:?}", process.name(), server.load()),
            );
        }
        if server.load() != AT_REST {
            let load = server.load();
            self.ledger.violate(Invariant::NothingLeft, format_args!("{} keeps {load:?}", process.name()));
        }
        drop(server);
        // Its tasks notice that it has gone when they look next.
        self.process.sleep(Duration::from_secs(15)).await;
        let left = process.machine().tasks_of(&process);
        if left > 0 {
            self.ledger
                .violate(Invariant::NothingLeft, format_args!("{left} tasks of {} are left", process.name()));
        }
    }

    /// The last server is asked to go.
    pub(super) async fn close(&self) {
        let running = self.running.lock().take();
        let Some((server, process)) = running else { return };
        self.network.serve_by(None);
        self.see_off(server, process).await;
    }
}

/// What happens to the server, until it is calm.
pub(super) async fn act(world: Arc<World>) {
    let eventful = world.draw(|random| random.millis(8_000..=120_000)).as_millis() as usize;
    loop {
        let (wait, what, gap) = world.draw(|random| {
            let wait = random.millis(1_000..=eventful);
            (wait, random.below(10), random.millis(0..=15_000))
        });
        world.process.sleep(wait).await;
        if world.is_calm() {
            return;
        }
        match what {
            0 | 1 => {
                world.house.crash(what == 1);
                world.process.sleep(gap).await;
                world.house.start();
            }
            2 | 3 => {
                world.house.drain();
                // The next one may be there at once.
                world.process.sleep(if what == 2 { Duration::ZERO } else { gap }).await;
                world.house.start();
            }
            4 => {
                world.house.store().set_up(false);
                world.process.sleep(gap / 2).await;
                world.house.store().set_up(true);
            }
            5 => world.network.cut(None),
            6 => world.network.fall_silent(),
            _ => {}
        }
    }
}
