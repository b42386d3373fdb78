//! An application: connects its user, makes calls, listens to events, and cancels calls.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use chatcamp_client::{
    ChatCamp, Event, Events, Login, ProfileUpdate, Reconnect, RequestError, State, request::GetUser,
};
use chatcamp_runtime::timeout;
use parking_lot::Mutex;
use serde_json::Value;

use super::{World, provider::Provider};
use crate::{
    Invariant, Planted,
    ledger::{CallKind, ClientKind, event_data},
    machine::Process,
    network::SimulatedTransport,
    random::Random,
};

/// How a user authenticates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// With the user id alone.
    ById,
    /// With a token that the application sets once.
    Constant,
    /// With tokens from a provider.
    Provider,
}

impl Behaviour {
    pub(super) fn draw(random: &mut Random) -> Self {
        match random.below(4) {
            0 => Self::ById,
            1 => Self::Constant,
            _ => Self::Provider,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ById => "by-id",
            Self::Constant => "constant",
            Self::Provider => "provider",
        }
    }
}

/// One application with one client.
#[derive(Debug)]
pub(super) struct Application {
    world: Arc<World>,
    pub(super) process: Process,
    pub(super) client: usize,
    pub(super) user: String,
    behaviour: Behaviour,
    chat: Mutex<Option<ChatCamp>>,
    login: Mutex<Option<Login>>,
    is_patient: bool,
    /// Whether its client does not reconnect by itself.
    pub(super) is_idle: AtomicBool,
    calls: AtomicUsize,
}

impl Application {
    pub(super) fn start(world: &Arc<World>, user: &str, behaviour: Behaviour) -> Arc<Self> {
        let has_provider = behaviour == Behaviour::Provider;
        let client = world.ledger.add_client(user, has_provider, ClientKind::Native, world.draw_place());
        let planted = world.planted.filter(|&planted| planted == Planted::TimersNeverFire);
        let process = world.machine.process(format!("client {client}")).with(planted);
        let is_patient = world.draw(|random| random.chance(500));
        let policy = if is_patient { Reconnect::default().keep_trying() } else { Reconnect::default() };
        let builder = ChatCamp::builder(world.backend.app().as_str())
            .transport(SimulatedTransport::new(world.network.clone(), client))
            .reconnect(policy)
            .runtime(process.clone());
        let chat = builder.build().expect("app id, transport and runtime are given");
        let events = chat.events();
        let application = Arc::new(Self {
            world: world.clone(),
            process: process.clone(),
            client,
            user: user.to_owned(),
            behaviour,
            chat: Mutex::new(Some(chat)),
            login: Mutex::default(),
            is_patient,
            is_idle: AtomicBool::new(true),
            calls: AtomicUsize::new(0),
        });
        process.run(application.clone().listen(events));
        process.run(application.clone().live());
        application
    }

    pub(super) fn chat(&self) -> Option<ChatCamp> {
        self.chat.lock().clone()
    }

    /// Drops the last handle of the client.
    pub(super) fn drop_client(&self) {
        self.world.machine.note(format_args!("client {} is dropped", self.client));
        self.world.ledger.gone(self.client);
        *self.chat.lock() = None;
        *self.login.lock() = None;
    }

    pub(super) fn is_connected(&self) -> bool {
        self.chat.lock().as_ref().is_some_and(|chat| matches!(chat.state(), State::Connected))
    }

    /// Returns the user's login, or a new one with another credential if `fresh`.
    async fn login(&self, fresh: bool) -> Login {
        if let Some(login) = self.login.lock().clone().filter(|_| !fresh) {
            return login;
        }
        let login = match self.behaviour {
            Behaviour::ById => Login::new(&self.user),
            Behaviour::Constant => {
                let token = self.world.backend.token_for(&self.user, None).await;
                Login::new(&self.user).token(token.text.as_str())
            }
            Behaviour::Provider => {
                let (world, process) = (self.world.clone(), self.process.clone());
                Login::new(&self.user).provider(Provider::new(world, process, self.client, &self.user))
            }
        };
        *self.login.lock() = Some(login.clone());
        login
    }

    async fn listen(self: Arc<Self>, mut events: Events) {
        let (ledger, machine, client) = (&self.world.ledger, &self.world.machine, self.client);
        while let Some(event) = events.next().await {
            match event {
                Event::Connected { continuity, transport, .. } => {
                    machine.note(format_args!("client {client} connected over {transport}: {continuity:?}"));
                    self.is_idle.store(false, Ordering::Relaxed);
                    ledger.connected(client, &continuity);
                }
                Event::Reconnecting { why, after } => {
                    machine.note(format_args!("client {client} reconnects in {after:?}: {why}"));
                    self.is_idle.store(false, Ordering::Relaxed);
                    ledger.reconnecting(client, &why);
                }
                Event::Disconnected { reason } => {
                    machine.note(format_args!("client {client} disconnected: {reason:?}"));
                    self.is_idle.store(true, Ordering::Relaxed);
                    ledger.disconnected(client, &reason);
                }
                Event::App { data, .. } => match data.parse::<Value>().ok().as_ref().and_then(event_data) {
                    Some((user, n)) => {
                        machine.note(format_args!("client {client} has event {n} of {user}"));
                        ledger.event(client, &user, n);
                    }
                    None => ledger.violate(
                        Invariant::OwnEvents,
                        format_args!("a client got an event that was not published"),
                    ),
                },
                Event::Lagged { missed } => {
                    machine.note(format_args!("client {client} missed {missed}"));
                    ledger.lagged(client);
                }
                _ => {}
            }
        }
    }

    /// Acts for the user until the recovery phase.
    async fn live(self: Arc<Self>) {
        let world = self.world.clone();
        let restless = match world.only_fault {
            None => world.draw(|random| random.within(0..=200)),
            Some(_) => 0,
        };
        self.connect(false, None).await;
        loop {
            world.process.sleep(world.draw(|random| random.millis(1..=5_000))).await;
            if world.is_recovering() {
                return;
            }
            let (what, patience) = world
                .draw(|random| (random.chance(restless).then(|| random.below(6)), random.millis(0..=4_000)));
            match what {
                _ if self.is_idle.load(Ordering::Relaxed) => self.connect(true, None).await,
                None | Some(0) => self.edit(),
                Some(1) => self.look(),
                Some(2) => self.connect(false, Some(patience)).await,
                Some(3) => self.connect(true, None).await,
                Some(4) => self.disconnect(),
                _ => (0..4).for_each(|_| self.edit()),
            }
        }
    }

    /// Connects, waiting no longer than `patience`.
    pub(super) async fn connect(self: &Arc<Self>, fresh: bool, patience: Option<Duration>) {
        let Some(chat) = self.chat() else { return };
        let login = self.login(fresh).await;
        let this = self.clone();
        self.process.run(async move {
            let kind = if this.is_patient { CallKind::PatientConnect } else { CallKind::Connect };
            let call = this.world.ledger.call_started(this.client, kind);
            let connect = chat.connect(login);
            let connected = match patience {
                None => Some(connect.await),
                Some(patience) => timeout(&this.process, patience, connect).await,
            };
            this.world.ledger.call_finished(call);
            let shown = connected.map(|connected| connected.map(|_| ()));
            this.world.machine.note(format_args!("client {} connect: {shown:?}", this.client));
        });
    }

    pub(super) fn disconnect(self: &Arc<Self>) {
        let Some(chat) = self.chat() else { return };
        let this = self.clone();
        self.process.run(async move {
            let call = this.world.ledger.call_started(this.client, CallKind::Disconnect);
            chat.disconnect().await;
            this.world.ledger.call_finished(call);
            this.world.machine.note(format_args!("client {} has disconnected", this.client));
        });
    }

    /// Changes the user's name to one that no other edit uses.
    pub(super) fn edit(self: &Arc<Self>) {
        let Some(chat) = self.chat() else { return };
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}/{number}", self.client);
        let this = self.clone();
        self.process.run(async move {
            let ledger = &this.world.ledger;
            let call = ledger.call_started(this.client, CallKind::Request);
            let update = ProfileUpdate { display_name: Some(name.clone()), ..ProfileUpdate::default() };
            let answer = chat.update_user(update).await;
            ledger.call_finished(call);
            this.world.machine.note(format_args!("edit {name}: {:?}", answer.as_ref().map(|_| ())));
            if let Ok(user) = &answer
                && user.profile.display_name != name
            {
                let shown = &user.profile.display_name;
                ledger.violate(Invariant::ExactlyOnce, format_args!("edit {name} is answered with {shown}"));
            }
            ledger.told(&name, answer.as_ref().map(|_| ()));
            this.check_answer(answer.err());
        });
    }

    fn look(self: &Arc<Self>) {
        let Some(chat) = self.chat() else { return };
        let this = self.clone();
        self.process.run(async move {
            let call = this.world.ledger.call_started(this.client, CallKind::Request);
            let answer = chat.send(GetUser::default()).await;
            this.world.ledger.call_finished(call);
            this.world.machine.note(format_args!(
                "client {} gets its user: {:?}",
                this.client,
                answer.is_ok()
            ));
        });
    }

    /// Checks that a request was answered in the recovery phase. Exception: another client of the user renewed the token,
    /// and this client's session ended with the grace period of the old one.
    fn check_answer(&self, error: Option<RequestError>) {
        let ledger = &self.world.ledger;
        let is_settled = ledger.is_settled() && !ledger.has_changed_lately(&self.user);
        if let Some(error) = error.filter(|_| is_settled) {
            let client = self.client;
            ledger.violate(Invariant::Recovers, format_args!("a request of client {client}: {error}"));
        }
    }
}
