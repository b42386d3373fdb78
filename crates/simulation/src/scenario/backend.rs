//! The app's backend: publishes events, issues and revokes credentials, ends sessions.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chatcamp_protocol::{AccessToken, AppId, UserId};
use chatcamp_runtime::Runtime;
use chatcamp_server::{Accounts, AuthPolicy, Clock, NewUser, Recipients, UserFields};
use chatcamp_store::{SessionPolicy, memory};
use parking_lot::Mutex;
use serde_json::json;

use super::{World, application::Behaviour};
use crate::{Invariant, Planted, keys::keyring, ledger::Ledger, machine::Process};

/// Unix time at the start.
const BEGAN: u64 = 1_800_000_000;
/// The remaining lifetime that a token needs to be returned again.
const GOOD: Duration = Duration::from_secs(45);
/// The reason calls about sessions cannot fail.
const ONE_NODE: &str = "a server of one node asks no other node";
/// A number of events larger than a session can queue.
const FLOOD: usize = 1_100;

/// The backend.
#[derive(Debug)]
pub(super) struct Backend {
    process: Process,
    ledger: Arc<Ledger>,
    store: Arc<memory::Store>,
    accounts: Accounts,
    app: AppId,
    planted: Option<Planted>,
    users: Mutex<BTreeMap<String, User>>,
}

#[derive(Debug)]
struct User {
    behaviour: Behaviour,
    /// The newest token is the last.
    tokens: Vec<Token>,
}

/// A token that was issued.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) text: String,
    end: Option<Instant>,
}

impl Token {
    pub(super) fn lifetime(&self, now: Instant) -> Option<Duration> {
        self.end.map(|end| end.saturating_duration_since(now))
    }
}

impl Backend {
    pub(super) async fn new(process: Process, ledger: Arc<Ledger>, planted: Option<Planted>) -> Arc<Self> {
        let store = Arc::new(memory::Store::new());
        let machine = process.machine().clone();
        let clock = Clock::new(move || BEGAN + machine.elapsed().as_secs());
        let accounts = Accounts::new(store.clone(), keyring()).with_clock(clock);
        let app = AppId::new("simulated").expect("it is an app id");
        let created = accounts.create_app("simulated", AuthPolicy::Open, Some(app.clone())).await;
        created.expect("there is no other app");
        Arc::new(Self { process, ledger, store, accounts, app, planted, users: Mutex::default() })
    }

    pub(super) fn store(&self) -> Arc<memory::Store> {
        self.store.clone()
    }

    pub(super) fn app(&self) -> &AppId {
        &self.app
    }

    /// Creates an app in which every user may connect by id.
    pub(super) async fn create_app(&self, id: &str) -> AppId {
        let app = AppId::new(id).expect("it is an app id");
        let created = self.accounts.create_app(id, AuthPolicy::Open, Some(app.clone())).await;
        created.expect("there is no app of this id");
        app
    }

    /// Sets how many sessions a user may have.
    pub(super) async fn set_sessions(&self, policy: SessionPolicy) {
        self.accounts.set_sessions(&self.app, policy).await.expect("the app exists");
    }

    /// Sets a token that the backend chooses and that does not expire. Earlier tokens end at once.
    async fn choose(&self, user: &str) {
        let number = self.users.lock().get(user).map_or(0, |of| of.tokens.len());
        let token = format!("chosen-for-{user}-number-{number}");
        self.process.machine().note(format_args!("{user} is given a token of the backend's choice"));
        let fields =
            UserFields { access_token: Some(AccessToken::from(token.as_str())), ..UserFields::default() };
        let written = self.accounts.update_user(&self.app, &id(user), fields).await;
        written.expect("the user exists, and the token is long enough");
        self.remember(user, &token, None, Duration::ZERO);
    }

    /// Registers a user before it is created.
    pub(super) fn know(&self, user: &str, behaviour: Behaviour) {
        self.users.lock().entry(user.to_owned()).or_insert(User { behaviour, tokens: Vec::new() });
    }

    /// Creates a user with a token.
    pub(super) async fn create(&self, user: &str) {
        let created = self.accounts.create_user(&self.app, &id(user), NewUser::default()).await;
        let token = created.expect("the user is new");
        self.remember(user, token.expose(), None, Duration::ZERO);
        if self.process.machine().draw(|random| random.chance(250)) {
            self.choose(user).await;
        }
    }

    fn remember(&self, user: &str, token: &str, lifetime: Option<Duration>, grace: Duration) {
        let end = lifetime.map(|lifetime| self.process.now() + lifetime);
        let mut users = self.users.lock();
        let of = users.get_mut(user).expect("the user is known");
        let older: Vec<_> = of.tokens.iter().rev().skip(1).map(|token| token.text.clone()).collect();
        let before = of.tokens.last().map(|token| token.text.as_str());
        self.ledger.issued(user, token, before, end, grace);
        if !older.is_empty() {
            self.ledger.revoked(user, &older);
        }
        of.tokens.push(Token { text: token.to_owned(), end });
    }

    /// Issues a token. Earlier credentials end after `grace`.
    async fn issue(&self, user: &str, lifetime: Option<Duration>, grace: Duration) -> Token {
        let machine = self.process.machine();
        machine.note(format_args!("{user} is issued a token for {lifetime:?}, grace {grace:?}"));
        let lifetime_s = lifetime.map(|lifetime| lifetime.as_secs());
        let issued = self.accounts.issue_token(&self.app, &id(user), lifetime_s, grace.as_secs()).await;
        let token = issued.expect("the user is there");
        self.remember(user, token.expose(), lifetime, grace);
        self.newest(user).expect("it was just issued")
    }

    fn newest(&self, user: &str) -> Option<Token> {
        self.users.lock().get(user)?.tokens.last().cloned()
    }

    /// Returns a valid token other than `other_than`.
    pub(super) async fn token_for(&self, user: &str, other_than: Option<&str>) -> Token {
        let now = self.process.now();
        let newest = self.newest(user);
        let is_good = |token: &Token| {
            other_than != Some(token.text.as_str()) && token.lifetime(now).is_none_or(|left| left > GOOD)
        };
        match newest.filter(is_good) {
            Some(token) => token,
            None => {
                let seconds = self.process.machine().draw(|random| random.within(60..=200)) as u64;
                let is_constant =
                    self.users.lock().get(user).is_some_and(|of| of.behaviour == Behaviour::Constant);
                let lifetime = (!is_constant).then_some(Duration::from_secs(seconds));
                self.issue(user, lifetime, Duration::from_secs(20)).await
            }
        }
    }

    async fn revoke(&self, user: &str) {
        if self.accounts.revoke_tokens(&self.app, &id(user)).await.is_ok() {
            self.process.machine().note(format_args!("the tokens of {user} are revoked"));
            let tokens = self.users.lock().get_mut(user).map(|of| std::mem::take(&mut of.tokens));
            let tokens: Vec<_> = tokens.into_iter().flatten().map(|token| token.text).collect();
            self.ledger.revoked(user, &tokens);
        }
    }

    async fn suspend(&self, user: &str, suspended: bool) {
        if self.accounts.set_suspended(&self.app, &id(user), suspended).await.is_ok() {
            self.process.machine().note(format_args!("{user} suspended: {suspended}"));
            self.ledger.suspended(user, suspended);
        }
    }

    async fn lock(&self, user: &str, locked: bool) {
        if self.accounts.set_locked(&self.app, &id(user), locked).await.is_ok() {
            self.process.machine().note(format_args!("{user} locked: {locked}"));
            self.ledger.locked(user, locked);
        }
    }

    /// Lifts all suspensions and locks.
    pub(super) async fn lift_restrictions(&self) {
        let users: Vec<_> = self.users.lock().iter().map(|(id, of)| (id.clone(), of.behaviour)).collect();
        for (user, behaviour) in users {
            self.suspend(&user, false).await;
            if behaviour == Behaviour::ById {
                self.lock(&user, false).await;
            }
        }
    }

    pub(super) fn users(&self) -> Vec<(String, Behaviour)> {
        self.users.lock().iter().map(|(id, of)| (id.clone(), of.behaviour)).collect()
    }
}

impl World {
    /// Publishes the next event of a user.
    pub(super) async fn publish(&self, user: &str) {
        let Some(server) = self.host.server() else { return };
        let n = self.ledger.publish(user, 0);
        let (app, to) = (self.backend.app(), Recipients::Users(vec![id(user)]));
        let event = json!({ "user": user, "n": n });
        let told = server.publish(app, &to, "n", &event).await;
        self.machine.note(format_args!("event {n} of {user} is published: {told:?}"));
        if self.backend.planted == Some(Planted::PublishRepeated) {
            let again = server.publish(app, &to, "n", &event).await;
            self.machine.note(format_args!("event {n} of {user} is published again: {again:?}"));
        }
    }

    /// Publishes the next event of a user of any app, with this many bytes of data besides.
    pub(super) async fn publish_bytes(&self, app: &AppId, user: &str, bytes: usize) {
        let Some(server) = self.host.server() else { return };
        let n = self.ledger.publish(user, bytes);
        let event = json!({ "user": user, "n": n, "bytes": "-".repeat(bytes) });
        let told = server.publish(app, &Recipients::Users(vec![id(user)]), "n", &event).await;
        self.machine.note(format_args!("event {n} of {user} is published, {bytes} bytes: {told:?}"));
    }
}

/// Checks that suspended users have no sessions.
async fn check_shut_out(world: &World) {
    let Some(server) = world.host.server() else { return };
    for user in world.ledger.suspended_since() {
        let sessions = server.sessions(world.backend.app(), Some(&id(&user))).await.expect(ONE_NODE).len();
        if sessions > 0 {
            world.ledger.violate(
                Invariant::AccessRevoked,
                format_args!("{user} is suspended and has {sessions} sessions"),
            );
        }
    }
}

/// Acts for the backend until the recovery phase.
pub(super) async fn act(world: Arc<World>) {
    let (harsh, mut floods) = match world.only_fault {
        None => world.draw(|random| (random.within(0..=300), usize::from(random.chance(120)))),
        Some(_) => (0, 0),
    };
    loop {
        world.process.sleep(world.draw(|random| random.millis(1..=4_000))).await;
        if world.is_recovering() {
            return;
        }
        check_shut_out(&world).await;
        let users = world.backend.users();
        let (user, behaviour) = &users[world.draw(|random| random.below(users.len()))];
        if world.draw(|random| random.chance(harsh)) {
            world.interfere(user, *behaviour).await;
        } else {
            world.publish_some(user, &mut floods).await;
        }
    }
}

impl World {
    /// Publishes a few events of a user, or more than a session can queue if `floods` allows it.
    async fn publish_some(&self, user: &str, floods: &mut usize) {
        let count = match self.draw(|random| random.below(100)) {
            0 if *floods > 0 => {
                *floods -= 1;
                self.ledger.excuse(Some(user), "more was published than is kept");
                self.ledger.flooded(user);
                FLOOD
            }
            0..10 => self.draw(|random| random.within(20..=60)),
            _ => self.draw(|random| random.within(1..=4)),
        };
        for _ in 0..count {
            self.publish(user).await;
        }
    }

    /// Changes a user's credentials or restrictions, or ends its sessions.
    async fn interfere(&self, user: &str, behaviour: Behaviour) {
        let (backend, ledger) = (&self.backend, &self.ledger);
        match self.draw(|random| random.below(8)) {
            0 | 1 if behaviour != Behaviour::ById => self.rotate_token(user, behaviour).await,
            2 => {
                ledger.excuse(Some(user), "its tokens were revoked");
                backend.revoke(user).await;
            }
            3 => {
                ledger.excuse(Some(user), "it was suspended");
                backend.suspend(user, true).await;
            }
            4 => backend.suspend(user, false).await,
            5 if behaviour == Behaviour::ById => {
                ledger.excuse(Some(user), "it was locked");
                let locked = self.draw(|random| random.chance(500));
                backend.lock(user, locked).await;
            }
            _ => self.end_sessions(user).await,
        }
    }

    async fn rotate_token(&self, user: &str, behaviour: Behaviour) {
        let grace = self.draw(|random| if random.chance(500) { random.within(3..=30) } else { 0 });
        self.ledger.excuse(Some(user), "its token was rotated");
        if self.draw(|random| random.chance(300)) {
            self.backend.choose(user).await;
            return;
        }
        let lifetime = (behaviour == Behaviour::Provider).then_some(Duration::from_secs(120));
        self.backend.issue(user, lifetime, Duration::from_secs(grace as u64)).await;
    }

    async fn end_sessions(&self, user: &str) {
        let come_back = self.draw(|random| random.chance(600));
        if !come_back {
            self.ledger.excuse(Some(user), "its sessions were ended");
        }
        let Some(server) = self.host.server() else { return };
        let ended = server.end_sessions(self.backend.app(), &id(user), come_back).await.expect(ONE_NODE);
        self.machine.note(format_args!("{ended} sessions of {user} end, coming back: {come_back}"));
    }
}

pub(super) fn id(user: &str) -> UserId {
    UserId::new(user).expect("it is a user id")
}
