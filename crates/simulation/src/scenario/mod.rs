//! Who is there and what they do: some minutes of storm, then calm, in which everything must come right.

mod application;
mod backend;
mod calm;
mod house;
mod provider;
mod store;

use std::{sync::Arc, time::Duration};

use chatcamp_auth::Keyring;
use chatcamp_runtime::Runtime;
use parking_lot::Mutex;

use self::{
    application::{Application, Manner},
    backend::Backend,
    house::House,
};
use crate::{
    Invariant, Planted, Violation,
    ledger::Ledger,
    machine::{Machine, Process, Step},
    network::{Fate, Network, Way, Weather},
    random::Random,
};

/// Steps after which a simulation is taken to go on for ever.
const STEPS: u64 = 3_000_000;
/// How often the ledger looks at what is due.
const LOOK: Duration = Duration::from_millis(500);

/// What came of a simulation.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What did not hold, if anything.
    pub violation: Option<Violation>,
    /// A number that differs when any step does.
    pub digest: u64,
    /// Steps taken.
    pub steps: u64,
    /// Time that passed within.
    pub elapsed: Duration,
    /// The last steps, one a line.
    pub last_steps: Vec<String>,
}

/// What everybody shares.
#[derive(Debug)]
struct World {
    machine: Arc<Machine>,
    ledger: Arc<Ledger>,
    network: Arc<Network>,
    house: Arc<House>,
    backend: Arc<Backend>,
    /// Those who act of themselves.
    process: Process,
    is_calm: Mutex<bool>,
    planted: Option<Planted>,
    /// All that happens, if only one thing is to happen.
    fate: Option<(Way, Fate)>,
}

/// The master keys of all servers.
pub(crate) fn keyring() -> Keyring {
    Keyring::new(vec![[7; 32]]).expect("there is a key")
}

/// Steps shown of a failure, unless told otherwise.
const SHOWN: usize = 400;

/// A simulation to be run.
#[derive(Debug, Clone)]
pub struct Simulation {
    seed: u64,
    planted: Option<Planted>,
    fate: Option<(Way, Fate)>,
    keep: usize,
}

impl Simulation {
    /// The simulation of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, planted: None, fate: None, keep: SHOWN }
    }

    /// Plants a fault.
    #[must_use]
    pub fn plant(mut self, fault: Planted) -> Self {
        self.planted = Some(fault);
        self
    }

    /// One quiet user in calm weather, but for what happens to the first connection.
    #[must_use]
    pub fn first_connection(mut self, way: Way, fate: Fate) -> Self {
        self.fate = Some((way, fate));
        self
    }

    /// Keeps so many of the last steps; 400 by default.
    #[must_use]
    pub fn keep_steps(mut self, steps: usize) -> Self {
        self.keep = steps;
        self
    }

    /// Runs it to its end, or to the first thing that does not hold.
    #[must_use]
    pub fn run(self) -> Outcome {
        run(self)
    }
}

fn run(Simulation { seed, planted, fate, keep }: Simulation) -> Outcome {
    let machine = Machine::new(seed, keep);
    let ledger = Ledger::new(machine.clone());
    let script = machine.process("script");
    let is_over = Arc::new(Mutex::new(false));
    {
        let (machine, ledger, is_over) = (machine.clone(), ledger.clone(), is_over.clone());
        script.run(async move {
            play(machine, ledger, planted, fate).await;
            *is_over.lock() = true;
        });
    }
    let mut looked = Duration::ZERO;
    let violation = loop {
        let step = machine.step();
        if machine.elapsed() >= looked + LOOK {
            looked = machine.elapsed();
            ledger.tick();
        }
        if let Some(text) = machine.panicked() {
            ledger.violate(Invariant::NoPanic, format_args!("{text}"));
        }
        if let Some(violation) = ledger.broken() {
            break Some(violation);
        }
        if *is_over.lock() {
            break None;
        }
        if step == Step::Dead || machine.trace().count() > STEPS {
            ledger.violate(Invariant::Ends, format_args!("{step:?} after {} steps", machine.trace().count()));
        }
    };
    machine.clear();
    let trace = machine.trace();
    Outcome {
        seed,
        violation,
        digest: trace.digest(),
        steps: trace.count(),
        elapsed: machine.elapsed(),
        last_steps: trace.last(),
    }
}

async fn play(
    machine: Arc<Machine>,
    ledger: Arc<Ledger>,
    planted: Option<Planted>,
    fate: Option<(Way, Fate)>,
) {
    let process = machine.process("world");
    let weather = match fate {
        None => machine.draw(Weather::storm),
        Some((way, fate)) => Weather::calm_but(way, fate),
    };
    let network = Network::new(machine.process("network"), ledger.clone(), weather, planted);
    let backend = Backend::new(process.clone(), ledger.clone(), planted).await;
    let house = House::new(process.clone(), ledger.clone(), network.clone(), backend.store(), planted);
    house.start();
    let is_calm = Mutex::new(false);
    let world = Arc::new(World { machine, ledger, network, house, backend, process, is_calm, planted, fate });
    let applications = populate(&world).await;
    let longest = if fate.is_some() { 60_000 } else { 240_000 };
    let minutes = world.machine.draw(|random| random.millis(60_000..=longest));
    world.process.run(backend::act(world.clone()));
    if fate.is_none() {
        world.process.run(house::act(world.clone()));
    }
    world.process.sleep(minutes).await;
    calm::follow(&world, applications).await;
}

/// A few users, most with one client, some with two.
async fn populate(world: &Arc<World>) -> Vec<Arc<Application>> {
    let mut applications = Vec::new();
    let users = if world.fate.is_some() { 1 } else { world.machine.draw(|random| random.within(2..=5)) };
    for n in 0..users {
        let manner = world.machine.draw(Manner::draw);
        let user = format!("{}-{n}", manner.name());
        world.backend.know(&user, manner);
        if manner != Manner::ById {
            world.backend.create(&user).await;
        }
        let two = world.fate.is_none() && world.machine.draw(|random| random.chance(300));
        let clients = if two { 2 } else { 1 };
        for _ in 0..clients {
            applications.push(Application::start(world, &user, manner));
        }
    }
    applications
}

impl World {
    fn draw<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        self.machine.draw(draw)
    }

    fn is_calm(&self) -> bool {
        *self.is_calm.lock()
    }
}

const _: fn(&Process) -> &dyn Runtime = |process| process;
