//! A user to keep connected, and the phase this is in.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use chatcamp_auth::{
    client::Refusal,
    credential::{CredentialReason, Unavailable},
};
use chatcamp_protocol::{Advice, Code, User, UserId};
use chatcamp_runtime::timeout;
use chatcamp_transport::{Closed, Message};
use tracing::debug;

use super::{
    attempt::{Attempt, Offered, Outcome, Rejected},
    config::{Config, Waiter},
    link::Link,
    refresh::{Refresh, Refreshed},
};
use crate::{
    ConnectError, Reconnect, State, login::Source, reconnect::Backoff, session::Session, trace::Trace,
};

/// Maximum number of calls that wait for one user to be connected.
const MAX_WAITERS: usize = 256;

/// A user to keep connected.
pub(super) struct Goal {
    pub(super) user_id: UserId,
    pub(super) source: Source,
    pub(super) session: Session,
    pub(super) backoff: Backoff,
    pub(super) phase: Phase,
    /// Whether the user has been connected once.
    pub(super) established: bool,
    waiters: Vec<Waiter>,
    /// The last credential of the provider.
    pub(super) offered: Option<Offered>,
    /// The refused credential, until the provider offers another.
    rejected: Option<Rejected>,
    /// Whether the current credential replaces a refused one: a second refusal in a row is final.
    second_chance: bool,
    pub(super) refresh: Refresh,
}

pub(super) enum Phase {
    Attempting(Pin<Box<dyn Future<Output = Outcome> + Send>>),
    Paused(Instant),
    Live(Box<Link>),
}

/// What can happen to a goal.
pub(super) enum Step {
    Attempted(Outcome),
    Received(Result<Message, Closed>),
    Refreshed(Refreshed),
    /// All calls that waited for the first connect were dropped.
    Abandoned,
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
                Poll::Pending => link.poll(cx, &mut self.session, trace, now).map(Step::Received),
            },
            Phase::Paused(_) => Poll::Pending,
        }
    }

    /// Returns the next deadline.
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

    /// Returns the state to report while disconnected.
    pub(super) fn away(&self) -> State {
        if self.established {
            State::Reconnecting { attempt: self.backoff.attempt().max(1) }
        } else {
            State::Connecting
        }
    }

    /// Adds a call that waits for the user to be connected, or answers it if too many wait.
    pub(super) fn join(&mut self, waiter: Waiter) {
        self.waiters.retain(|waiter| !waiter.is_closed());
        if self.waiters.len() < MAX_WAITERS {
            self.waiters.push(waiter);
        } else {
            drop(waiter.send(Err(ConnectError::TooManyWaiting)));
        }
    }

    /// Answers all waiting calls.
    pub(super) fn answer(&mut self, answer: &Result<User, ConnectError>) {
        for waiter in mem::take(&mut self.waiters) {
            let _ = waiter.send(answer.clone());
        }
    }

    /// Replaces the source of credentials and forgets what the old one offered.
    pub(super) fn replace(&mut self, source: Source) {
        self.source = source;
        self.offered = None;
        self.rejected = None;
        self.second_chance = false;
        self.refresh = Refresh::Idle;
        self.session.forget_refreshes();
    }

    /// Begins an attempt.
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

    /// Remembers the credential of an attempt; the provider is not asked again while it is valid.
    pub(super) fn offered(&mut self, offered: Option<Offered>) {
        if offered.is_some() {
            self.offered = offered;
            self.second_chance |= self.rejected.take().is_some();
        }
    }

    /// Records a refusal; returns `true` if the provider should be asked for another credential.
    pub(super) fn may_offer_another(&mut self, refusal: &Refusal) -> bool {
        let askable = matches!(self.source, Source::Provider(_)) && refusal.advice == Advice::Credential;
        if !askable || self.second_chance || self.rejected.is_some() {
            return false;
        }
        self.rejected = Some(Rejected {
            refusal: refusal.clone(),
            // An unknown code, of a newer server, at least tells the provider that the credential was refused.
            code: refusal.known_code().unwrap_or(Code::CredentialRefused),
            credential: self.offered.take().map(|offered| offered.credential),
        });
        true
    }

    /// Returns when to renew the credential of a live session.
    pub(super) fn renewal(&self) -> Option<Instant> {
        match (&self.refresh, &self.source) {
            (Refresh::Idle, Source::Provider(_)) => self.offered.as_ref()?.renewal(),
            _ => None,
        }
    }

    /// Asks the provider for another credential.
    pub(super) fn ask(&mut self, why: CredentialReason, config: &Arc<Config>) {
        let Source::Provider(provider) = &self.source else { return };
        let provider = provider.clone();
        let after_rejection = matches!(why, CredentialReason::Rejected(_));
        debug!(?why, "asking the credential provider");
        let config = Arc::clone(config);
        let credential = Box::pin(async move {
            // The same limit as in an attempt. A provider that hangs would otherwise never be asked again.
            let answer = timeout(&*config.runtime, config.connect_timeout, provider.credential(why)).await;
            answer.unwrap_or_else(|| Err(Unavailable("it did not answer in time".into())))
        });
        self.refresh = Refresh::Asking { credential, after_rejection };
    }

    /// Sets the remaining lifetime of the token, as the server states it.
    pub(super) fn expires(&mut self, now: Instant, lifetime: Duration, random: u64) {
        if let Some(offered) = &mut self.offered {
            offered.expires(now, lifetime, random);
        }
    }

    /// Does not renew the credential before it expires.
    pub(super) fn give_up_renewal(&mut self, now: Instant) {
        if let Some(offered) = &mut self.offered {
            offered.keep(now);
        }
    }

    /// Takes over the connection of a successful attempt.
    pub(super) fn establish(&mut self, link: Link) {
        self.established = true;
        self.second_chance = false;
        self.phase = Phase::Live(Box::new(link));
    }

    /// Ends the current phase; returns the connection if it was live.
    pub(super) fn pause(&mut self, now: Instant) -> Option<Link> {
        if let Refresh::Checking { credential, .. } = mem::take(&mut self.refresh) {
            // The newest credential: the next attempt presents it without asking the provider. The jitter does not matter here.
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
