//! The rates of connects and of failed credentials, by network address and by user.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chatcamp_protocol::{AppId, Code, UserId};
use chatcamp_runtime::{Runtime, after, spread};
use ipnet::IpNet;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::{Limits, Proxies, network::canonical, rate::Rate, rate_map::RateMap, shutdown::Shutdown};

/// TLS handshakes have this many times the rate and the burst of new connections of an address: most connections over the rate are told
/// when to return, and only an address that keeps on is closed without a word.
const HANDSHAKES: u32 = 4;
/// The longest delay of the answer to a failed credential; half of the time for a handshake if that is shorter.
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// The maximum number of answers that are delayed at the same time. Further ones are refused at once, so that guessing costs no memory.
const DELAYED: usize = 1024;
/// The interval at which idle addresses and users are forgotten.
const FORGET: Duration = Duration::from_secs(10);
/// The shortest time between two warnings that the rates refuse something.
const WARNINGS: Duration = Duration::from_secs(60);

/// The rates of connects and of failed credentials.
#[derive(Debug)]
pub(crate) struct Rates {
    /// Of new connections, by network.
    connections: Option<RateMap>,
    /// Of TLS handshakes, by network.
    handshakes: Option<RateMap>,
    /// Of accepted connects, by user.
    connects: Option<RateMap>,
    /// Of failed credentials, by network.
    failures: Option<RateMap>,
    /// Of failed credentials, by user.
    user_failures: Option<RateMap>,
    longest_delay: Duration,
    delayed: Semaphore,
    /// Networks without rates by network.
    exempt: Box<[IpNet]>,
    proxies: Proxies,
    runtime: Arc<dyn Runtime>,
    shutdown: Arc<Shutdown>,
    began: Instant,
    refused: Refused,
    due: Mutex<Due>,
}

/// What was refused or delayed since the last warning.
#[derive(Debug, Default)]
struct Refused {
    connections: AtomicU64,
    connects: AtomicU64,
    failures: AtomicU64,
}

#[derive(Debug)]
struct Due {
    forget: Instant,
    warn: Instant,
}

impl Rates {
    pub(crate) fn new(
        limits: &Limits,
        proxies: Proxies,
        runtime: Arc<dyn Runtime>,
        shutdown: Arc<Shutdown>,
    ) -> Self {
        let map = |rate: Option<Rate>| rate.map(|rate| RateMap::new(rate, 0));
        let handshakes = limits.connections_per_address.map(|rate| Rate {
            per_second: rate.per_second.saturating_mul(HANDSHAKES),
            burst: rate.burst.saturating_mul(HANDSHAKES),
        });
        let began = runtime.now();
        Self {
            connections: map(limits.connections_per_address),
            handshakes: map(handshakes),
            connects: map(limits.connects_per_user),
            failures: map(limits.failed_credentials),
            user_failures: map(limits.failed_credentials),
            longest_delay: LONGEST_DELAY.min(limits.handshake / 2),
            delayed: Semaphore::new(DELAYED),
            exempt: limits.rate_exempt.iter().copied().map(canonical).collect(),
            proxies,
            runtime,
            shutdown,
            began,
            refused: Refused::default(),
            due: Mutex::new(Due { forget: after(began, FORGET), warn: began }),
        }
    }

    /// Counts a connection that is about to begin a TLS handshake. Returns `false` if it is to be closed. A connection without an address,
    /// such as one of a trusted proxy, is allowed.
    #[cfg(feature = "tls")]
    pub(crate) fn allows_handshake(&self, address: Option<IpAddr>) -> bool {
        let Some((handshakes, network)) = self.handshakes.as_ref().zip(self.limited(address)) else {
            return true;
        };
        let is_allowed = handshakes.take(&network, self.now()).is_ok();
        if !is_allowed {
            count(&self.refused.connections);
        }
        is_allowed
    }

    /// Counts a new connection.
    ///
    /// # Errors
    /// After what time its client may return.
    pub(crate) fn open(&self, address: Option<IpAddr>) -> Result<(), Duration> {
        let Some((connections, network)) = self.connections.as_ref().zip(self.limited(address)) else {
            return Ok(());
        };
        connections.take(&network, self.now()).inspect_err(|_| count(&self.refused.connections))
    }

    /// Returns the error that [`open`](Self::open) would return, without counting a new connection.
    ///
    /// # Errors
    /// After what time its client may return.
    pub(crate) fn may_open(&self, address: Option<IpAddr>) -> Result<(), Duration> {
        let Some((connections, network)) = self.connections.as_ref().zip(self.limited(address)) else {
            return Ok(());
        };
        match connections.wait(&network, self.now()) {
            None => Ok(()),
            Some(wait) => {
                count(&self.refused.connections);
                Err(wait)
            }
        }
    }

    /// Counts a connect of a user whose credential was accepted.
    ///
    /// # Errors
    /// After what time the client may connect again.
    pub(crate) fn connect(&self, app: &AppId, user: &UserId) -> Result<(), Duration> {
        let Some(connects) = &self.connects else { return Ok(()) };
        connects.take(&(app, user), self.now()).inspect_err(|_| count(&self.refused.connects))
    }

    /// Counts a failed credential, and delays its answer so that the rates of its address and its user hold. At a shutdown the delay
    /// ends.
    ///
    /// # Errors
    /// Too many answers are being delayed. Refuse the client without telling it about its credential, and let it return after this time.
    ///
    /// # Cancel safety
    /// Dropping the future ends the delay; the failed credential is counted.
    pub(crate) async fn delay_failure(
        &self,
        address: Option<IpAddr>,
        user: Option<(&AppId, &UserId)>,
    ) -> Result<(), Duration> {
        let now = self.now();
        // Loopback counts too: a correct credential is not delayed, so clients that cannot be told apart do not harm each other.
        let network =
            address.filter(|address| !self.is_exempt(*address)).map(|a| self.proxies.network(a).unwrap_or(a));
        let delays = [
            self.failures.as_ref().zip(network).map(|(map, key)| map.delay(&key, self.longest_delay, now)),
            self.user_failures.as_ref().zip(user).map(|(map, key)| map.delay(&key, self.longest_delay, now)),
        ];
        let delay = delays.into_iter().flatten().max().unwrap_or_default();
        if delay.is_zero() {
            return Ok(());
        }
        count(&self.refused.failures);
        let Ok(_permit) = self.delayed.try_acquire() else {
            return Err(spread(&*self.runtime, self.longest_delay));
        };
        let until = after(self.runtime.now(), delay);
        _ = self.shutdown.unless_begun(self.runtime.sleep_until(until)).await;
        Ok(())
    }

    /// Forgets idle addresses and users when that is due, and warns at most once a minute that the rates have refused something.
    pub(crate) fn tick(&self, now: Instant) {
        let mut due = self.due.lock();
        if now >= due.forget {
            due.forget = after(now, FORGET);
            let maps =
                [&self.connections, &self.handshakes, &self.connects, &self.failures, &self.user_failures];
            let millis = self.millis(now);
            maps.into_iter().flatten().for_each(|map| map.forget_idle(millis));
        }
        if now >= due.warn && self.refused.warn() {
            due.warn = after(now, WARNINGS);
        }
    }

    /// Returns the network that an address counts for; `None` if it has no rates.
    fn limited(&self, address: Option<IpAddr>) -> Option<IpAddr> {
        address.filter(|address| !self.is_exempt(*address)).and_then(|a| self.proxies.network(a))
    }

    fn is_exempt(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.exempt.iter().any(|network| network.contains(&address))
    }

    /// Returns the current time of the maps, in milliseconds.
    fn now(&self) -> u32 {
        self.millis(self.runtime.now())
    }

    #[allow(clippy::cast_possible_truncation, reason = "the milliseconds of a rate may wrap")]
    fn millis(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.began).as_millis() as u32
    }
}

impl Refused {
    /// Writes what was refused to the log; returns `false` if nothing was.
    fn warn(&self) -> bool {
        let [connections, connects, failures] =
            [&self.connections, &self.connects, &self.failures].map(|count| count.swap(0, Ordering::Relaxed));
        let is_any = connections + connects + failures > 0;
        if is_any {
            tracing::warn!(
                connections,
                connects,
                failures,
                "rates were exceeded since the last such line: new connections refused by address, connects deferred by user, \
                 answers to failed credentials delayed; exempt an office with many users behind one address with --rate-exempt"
            );
        }
        is_any
    }
}

fn count(of: &AtomicU64) {
    of.fetch_add(1, Ordering::Relaxed);
}

/// Returns whether a refusal is that of a guessed credential, and not of one that was valid before.
///
/// An expired token is not a guess, and neither is the authentic key of a session that is gone. Their clients have to learn at once that they
/// need another credential, whoever guesses at the same time.
pub(crate) fn is_guess(code: Code) -> bool {
    matches!(code, Code::AccessTokenInvalid | Code::AccessTokenRequired | Code::CredentialRefused)
}
