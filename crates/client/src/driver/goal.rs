//! A user to be connected, and how far that is.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use chatcamp_auth::client::Refusal;
use chatcamp_protocol::{Advice, Code, User, UserId};

use super::{
    Config, Step, Waiter,
    attempt::{Attempt, Offered, Outcome, Rejected},
    link::Link,
    refresh::Refresh,
};
use crate::{
    ConnectError, Reconnect, State, login::Source, reconnect::Backoff, session::Session, trace::Trace,
};

/// Calls that wait for one user to be connected, at most.
const WAITERS: usize = 256;

/// A user to be connected.
pub(super) struct Goal {
    pub(super) user_id: UserId,
    pub(super) source: Source,
    pub(super) session: Session,
    pub(super) backoff: Backoff,
    pub(super) phase: Phase,
    /// Whether the user has been connected once.
    pub(super) established: bool,
    waiters: Vec<Waiter>,
    /// What the provider offered last.
    pub(super) offered: Option<Offered>,
    /// What the server refused, until the provider offers something else.
    rejected: Option<Rejected>,
    /// Whether what is offered replaces something refused: a second refusal in a row is final.
    second_chance: bool,
    pub(super) refresh: Refresh,
}

/// How far it is.
pub(super) enum Phase {
    Attempting(Pin<Box<dyn Future<Output = Outcome> + Send>>),
    Paused(Instant),
    Live(Box<Link>),
}

impl Goal {
    pub(super) fn new(user_id: UserId, source: Source, policy: Reconnect, now: Instant) -> Self {
        Self {
            user_id,
            source,
            session: Session::default(),
            backoff: Backoff::new(policy),
            phase: Phase::Paused(now),
            established: false,
            waiters: Vec::new(),
            offered: None,
            rejected: None,
            second_chance: false,
            refresh: Refresh::Idle,
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>, trace: &Trace, now: Instant) -> Poll<Step> {
        if !self.established {
            self.waiters.retain_mut(|waiter| waiter.poll_closed(cx).is_pending());
            if self.waiters.is_empty() {
                return Poll::Ready(Step::Abandoned);
            }
        }
        match &mut self.phase {
            Phase::Attempting(outcome) => outcome.as_mut().poll(cx).map(Step::Attempted),
            Phase::Live(link) => match self.refresh.poll(cx) {
                Poll::Ready(refreshed) => Poll::Ready(Step::Refreshed(refreshed)),
                Poll::Pending => link.poll(cx, &mut self.session, trace, now).map(Step::Arrived),
            },
            Phase::Paused(_) => Poll::Pending,
        }
    }

    /// When something is due.
    pub(super) fn alarm(&self) -> Option<Instant> {
        let phase = match &self.phase {
            Phase::Attempting(_) => None,
            Phase::Paused(until) => Some(*until),
            Phase::Live(link) => {
                let renewal = self.renewal();
                Some(link.alarm(self.session.has_ping())).into_iter().chain(renewal).min()
            }
        };
        [phase, self.session.alarm()].into_iter().flatten().min()
    }

    /// The state while there is no connection.
    pub(super) fn away(&self) -> State {
        match self.established {
            true => State::Reconnecting { attempt: self.backoff.attempt().max(1) },
            false => State::Connecting,
        }
    }

    /// Lets one more wait for the user to be connected.
    pub(super) fn join(&mut self, waiter: Waiter) {
        self.waiters.retain(|waiter| !waiter.is_closed());
        match self.waiters.len() < WAITERS {
            true => self.waiters.push(waiter),
            false => drop(waiter.send(Err(ConnectError::TooManyWaiting))),
        }
    }

    /// Answers all who wait.
    pub(super) fn answer(&mut self, answer: &Result<User, ConnectError>) {
        for waiter in mem::take(&mut self.waiters) {
            let _ = waiter.send(answer.clone());
        }
    }

    /// Takes another source of credentials; what the old one offered no longer counts.
    pub(super) fn replace(&mut self, source: Source) {
        self.source = source;
        (self.offered, self.rejected, self.second_chance) = (None, None, false);
        self.refresh = Refresh::Idle;
        self.session.forget_refreshes();
    }

    /// Begins an attempt with what is known.
    pub(super) fn attempt(&mut self, config: &Arc<Config>) {
        let attempt = Attempt {
            config: Arc::clone(config),
            user_id: self.user_id.clone(),
            source: self.source.clone(),
            offered: self.offered.clone(),
            rejected: self.rejected.clone(),
            resume: self.session.resume(),
        };
        self.phase = Phase::Attempting(Box::pin(attempt.run()));
    }

    /// Remembers what an attempt presented: while it is good, the provider is not asked again.
    pub(super) fn offered(&mut self, offered: Option<Offered>) {
        if offered.is_some() {
            self.offered = offered;
            self.second_chance |= self.rejected.take().is_some();
        }
    }

    /// The server refuses what was offered: whether it is worth asking for something else.
    pub(super) fn may_offer_another(&mut self, refusal: &Refusal) -> bool {
        let askable = matches!(self.source, Source::Provider(_)) && refusal.advice == Advice::Credential;
        if !askable || self.second_chance || self.rejected.is_some() {
            return false;
        }
        self.rejected = Some(Rejected {
            refusal: refusal.clone(),
            // A code of a newer server: the provider learns at least that it was the credential.
            code: refusal.known_code().unwrap_or(Code::CredentialRefused),
            credential: self.offered.take().map(|offered| offered.credential),
        });
        true
    }

    /// The server says how long the token is good from now.
    pub(super) fn expires(&mut self, now: Instant, lifetime: Duration, random: u64) {
        if let Some(offered) = &mut self.offered {
            offered.expires(now, lifetime, random);
        }
    }

    /// Asks for no other credential while this one lasts.
    pub(super) fn give_up_renewal(&mut self, now: Instant) {
        if let Some(offered) = &mut self.offered {
            offered.keep(now);
        }
    }

    /// The attempt has succeeded.
    pub(super) fn establish(&mut self, link: Link) {
        self.established = true;
        self.second_chance = false;
        self.phase = Phase::Live(Box::new(link));
    }

    /// Leaves the phase; gives back the connection, if there was one.
    pub(super) fn pause(&mut self, now: Instant) -> Option<Link> {
        if let Refresh::Judging(credential, ..) = mem::take(&mut self.refresh) {
            // It is the newest there is: the next attempt presents it, and asks for no other. Any share of its life will do.
            self.offered = Some(Offered::new(credential, now, 0));
        }
        match mem::replace(&mut self.phase, Phase::Paused(now)) {
            Phase::Live(link) => {
                self.backoff.lived(link.life(now));
                Some(*link)
            }
            _ => None,
        }
    }
}
