//! The scenario: some minutes with faults, then a recovery phase without any, in which everything must recover.

mod application;
mod backend;
mod holders;
mod intruder;
mod provider;
mod published;
mod recovery;
mod server_host;
mod store;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use chatcamp_runtime::Runtime;
use chatcamp_server::Limits;
use chatcamp_store::SessionPolicy;
use parking_lot::Mutex;

use self::{
    application::{Application, Behaviour},
    backend::Backend,
    published::PublishedClient,
    server_host::ServerHost,
};
use crate::{
    Invariant, Planted, Violation,
    ledger::{Bounds, Ledger, Place},
    machine::{Machine, Process, Step},
    network::{ConnectionFault, Direction, FaultProfile, Network},
    random::Random,
};

/// Steps after which a simulation counts as endless.
const STEPS: u64 = 3_000_000;
/// Interval between two checks of deadlines and limits.
const LOOK: Duration = Duration::from_millis(500);

/// The result of a simulation.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The first violation.
    pub violation: Option<Violation>,
    /// The digest of the schedule, which differs if any step does.
    pub digest: u64,
    /// Steps taken.
    pub steps: u64,
    /// Simulated time.
    pub elapsed: Duration,
    /// The last steps, one per line.
    pub last_steps: Vec<String>,
}

/// All clients but the intruder.
#[derive(Debug, Default)]
struct Clients {
    applications: Vec<Arc<Application>>,
    published: Vec<Arc<PublishedClient>>,
}

impl Clients {
    /// Returns the clients of a user.
    fn of_user(&self, user: &str) -> Vec<usize> {
        let applications = self.applications.iter().filter(|one| one.user == user).map(|one| one.client);
        let published = self.published.iter().filter(|one| one.user == user).map(|one| one.client);
        applications.chain(published).collect()
    }
}

/// What all parts of the scenario share.
#[derive(Debug)]
struct World {
    machine: Arc<Machine>,
    ledger: Arc<Ledger>,
    network: Arc<Network>,
    host: Arc<ServerHost>,
    backend: Arc<Backend>,
    /// The process of the script, the backend and the host.
    process: Process,
    is_recovering: Mutex<bool>,
    planted: Option<Planted>,
    /// The only fault, if the schedule has just one.
    only_fault: Option<(Direction, ConnectionFault)>,
    /// Bytes that sessions may hold, if they are few.
    scarce: Option<usize>,
}

/// Default number of steps shown of a failure.
const SHOWN: usize = 400;

/// A simulation that has not run yet.
#[derive(Debug, Clone)]
pub struct Simulation {
    seed: u64,
    planted: Option<Planted>,
    only_fault: Option<(Direction, ConnectionFault)>,
    keep: usize,
}

impl Simulation {
    /// Creates the simulation of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, planted: None, only_fault: None, keep: SHOWN }
    }

    /// Plants a fault.
    #[must_use]
    pub fn plant(mut self, fault: Planted) -> Self {
        self.planted = Some(fault);
        self
    }

    /// Simulates one quiet user without faults, except this one on the first connection.
    #[must_use]
    pub fn first_connection(mut self, way: Direction, only_fault: ConnectionFault) -> Self {
        self.only_fault = Some((way, only_fault));
        self
    }

    /// Keeps this many of the last steps; 400 by default.
    #[must_use]
    pub fn keep_steps(mut self, steps: usize) -> Self {
        self.keep = steps;
        self
    }

    /// Runs the simulation to its end or to the first violation.
    #[must_use]
    pub fn run(self) -> Outcome {
        run(self)
    }
}

fn run(Simulation { seed, planted, only_fault, keep }: Simulation) -> Outcome {
    let machine = Machine::new(seed, keep);
    let ledger = Ledger::new(machine.clone());
    let script = machine.process("script");
    let is_over = Arc::new(Mutex::new(false));
    let world = Arc::new(OnceLock::new());
    {
        let (machine, ledger) = (machine.clone(), ledger.clone());
        let (is_over, world) = (is_over.clone(), world.clone());
        script.run(async move {
            play(machine, ledger, planted, only_fault, &world).await;
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
        world.get().into_iter().for_each(World::observe);
        if let Some(text) = machine.panicked() {
            ledger.violate(Invariant::NoPanic, format_args!("{text}"));
        }
        if let Some(violation) = ledger.broken() {
            break Some(violation);
        }
        if *is_over.lock() {
            break None;
        }
        if step == Step::Deadlocked || machine.trace().count() > STEPS {
            ledger.violate(
                Invariant::Terminates,
                format_args!("{step:?} after {} steps", machine.trace().count()),
            );
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
    only_fault: Option<(Direction, ConnectionFault)>,
    shown: &OnceLock<Arc<World>>,
) {
    let world = Arc::new(World::start(machine, ledger, planted, only_fault).await);
    shown.get_or_init(|| world.clone());
    let clients = populate(&world).await;
    let longest = if only_fault.is_some() { 60_000 } else { 240_000 };
    let minutes = world.machine.draw(|random| random.millis(60_000..=longest));
    world.process.run(backend::act(world.clone()));
    if only_fault.is_none() {
        world.process.run(server_host::act(world.clone()));
        world.process.run(intruder::act(world.clone()));
        world.process.run(world.clone().observe_live());
        if let Some(total) = world.scarce {
            holders::start(&world, total).await;
        }
    }
    world.process.sleep(minutes).await;
    recovery::run(&world, clients).await;
}

/// Starts a few users, most with one client, some with two.
async fn populate(world: &Arc<World>) -> Clients {
    let mut all = Clients::default();
    let users =
        if world.only_fault.is_some() { 1 } else { world.machine.draw(|random| random.within(2..=5)) };
    for n in 0..users {
        let behaviour = world.machine.draw(Behaviour::draw);
        let user = format!("{}-{n}", behaviour.name());
        world.backend.know(&user, behaviour);
        if behaviour != Behaviour::ById {
            world.backend.create(&user).await;
        }
        let two = world.only_fault.is_none() && world.machine.draw(|random| random.chance(300));
        let clients = if two { 2 } else { 1 };
        for _ in 0..clients {
            if world.only_fault.is_none() && world.draw(|random| random.chance(300)) {
                all.published.push(PublishedClient::start(world, &user, behaviour));
            } else {
                all.applications.push(Application::start(world, &user, behaviour));
            }
        }
    }
    all
}

/// Draws the server's limits, and returns the app's session policy.
fn draw_bounds(random: &mut Random, limits: &mut Limits, planted: Option<Planted>) -> SessionPolicy {
    // Little memory, for clients that take more than their share of it.
    let is_scarce = random.chance(150);
    if is_scarce || planted.is_some_and(Planted::needs_little_memory) {
        limits.queued_bytes = random.within(1..=2) * 1024 * 1024;
    } else if random.chance(250) {
        limits.detached = random.within(1..=4);
    }
    if random.chance(250) {
        limits.detached_per_user = 1;
    }
    let most = u8::try_from(random.within(1..=2)).expect("it is 1 or 2");
    match random.below(5) {
        0 => SessionPolicy::RejectNew(most),
        1 | 2 => SessionPolicy::EvictOldest(most),
        _ => SessionPolicy::Unlimited,
    }
}

impl World {
    /// Creates the network and the backend, draws the limits, and starts the server.
    async fn start(
        machine: Arc<Machine>,
        ledger: Arc<Ledger>,
        planted: Option<Planted>,
        only_fault: Option<(Direction, ConnectionFault)>,
    ) -> Self {
        let process = machine.process("world");
        let faults = match only_fault {
            None => machine.draw(FaultProfile::draw),
            Some((way, only_fault)) => FaultProfile::only_first(way, only_fault),
        };
        let network = Network::new(machine.process("network"), ledger.clone(), faults, planted);
        let backend = Backend::new(process.clone(), ledger.clone(), planted).await;
        let mut limits = Limits::default();
        if only_fault.is_none() {
            let policy = machine.draw(|random| draw_bounds(random, &mut limits, planted));
            backend.set_sessions(policy).await;
            ledger.set_bounds(Bounds {
                sessions: policy,
                detached: limits.detached,
                detached_per_user: limits.detached_per_user,
                queued_bytes: limits.queued_bytes,
            });
        }
        let scarce = (limits.queued_bytes < Limits::default().queued_bytes).then_some(limits.queued_bytes);
        let host = ServerHost::new(
            process.clone(),
            ledger.clone(),
            network.clone(),
            backend.store(),
            limits,
            planted,
        );
        host.start();
        Self {
            machine,
            ledger,
            network,
            host,
            backend,
            process,
            is_recovering: Mutex::new(false),
            planted,
            only_fault,
            scarce,
        }
    }

    /// Checks the number of detached sessions.
    fn observe(self: &Arc<Self>) {
        if let Some(server) = self.host.server() {
            self.ledger.observe(server.load());
        }
    }

    /// Checks the number of live sessions of each user at every interval.
    async fn observe_live(self: Arc<Self>) {
        loop {
            self.process.sleep(LOOK).await;
            for (user, _) in self.backend.users() {
                let Some(server) = self.host.server() else { break };
                let of_user = backend::id(&user);
                let sessions = server.newest_sessions(self.backend.app(), Some(&of_user), 0).await;
                if let Ok(sessions) = sessions {
                    self.ledger.observe_live(&user, sessions.total);
                }
            }
        }
    }

    /// Draws where a client of the app counts: at one of a few addresses, or at none, as behind a proxy.
    fn draw_place(&self) -> Place {
        let address = match self.draw(|random| random.below(4)) {
            0 => Ipv4Addr::LOCALHOST,
            n => Ipv4Addr::new(192, 0, 2, u8::try_from(n).expect("it is below 4")),
        };
        Place { app: self.backend.app().clone(), address: IpAddr::V4(address) }
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        self.machine.draw(draw)
    }

    fn is_recovering(&self) -> bool {
        *self.is_recovering.lock()
    }
}

const _: fn(&Process) -> &dyn Runtime = |process| process;
