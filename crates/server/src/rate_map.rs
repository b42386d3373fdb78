//! Rates by key: one for each address, user or API key, in bounded memory.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, Hash, RandomState},
    time::Duration,
};

use parking_lot::Mutex;

use crate::rate::{Meter, Rate};

/// The maximum number of keys with a state of their own. Further keys share one.
const KEYS: usize = 65_536;
/// The shortest time between two searches for room in a full map, in milliseconds.
const SEARCH: u32 = 1000;
/// The longest wait that is advised. More clients than return within this time get a wait in its second half.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// The states of one rate, by key.
///
/// Times are milliseconds of a clock that may wrap.
#[derive(Debug)]
pub(crate) struct RateMap {
    rate: Rate,
    hasher: RandomState,
    states: Mutex<States>,
}

/// What is known of one key.
#[derive(Debug, Clone, Copy)]
struct State {
    /// Counts what is allowed.
    meter: Meter,
    /// Counts what is refused, so that each refused client is advised another time to return.
    queue: Meter,
}

/// What a key has left after one more was counted.
#[cfg(feature = "api")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    /// How long to wait if it was refused; `None` if it was allowed.
    pub(crate) refused: Option<Duration>,
    /// How many are allowed at once now.
    pub(crate) remaining: u32,
    /// The time until the whole burst is available.
    pub(crate) until_full: Duration,
}

#[derive(Debug)]
struct States {
    /// By the hash of the key, so that its length does not matter.
    by_key: HashMap<u64, State>,
    most: usize,
    /// The state of keys for which `by_key` has no room.
    shared: State,
    searched: u32,
}

impl RateMap {
    /// Creates a map without keys.
    pub(crate) fn new(rate: Rate, now: u32) -> Self {
        Self::with_room(rate, KEYS, now)
    }

    fn with_room(rate: Rate, most: usize, now: u32) -> Self {
        let searched = now.wrapping_sub(SEARCH);
        let states = States { by_key: HashMap::new(), most, shared: State::full(now), searched };
        Self { rate, hasher: RandomState::new(), states: Mutex::new(states) }
    }

    /// Counts one more for a key.
    ///
    /// # Errors
    /// How long to wait, at most [`LONGEST_WAIT`]: until one more is allowed, and longer if others of this key were refused before. A
    /// refused one is not counted.
    pub(crate) fn take(&self, key: &impl Hash, now: u32) -> Result<(), Duration> {
        self.with(key, now, |state| state.take(self.rate, now))
    }

    /// Does the same, and returns what the key has left.
    #[cfg(feature = "api")]
    pub(crate) fn take_and_tell(&self, key: &impl Hash, now: u32) -> Quota {
        let rate = self.rate;
        self.with(key, now, |state| Quota {
            refused: state.take(rate, now).err(),
            remaining: state.meter.remaining(rate, now),
            until_full: state.meter.until_full(rate, now),
        })
    }

    /// Returns how long to wait until one more is allowed for a key, without counting it. Returns `None` if one is allowed now.
    pub(crate) fn wait(&self, key: &impl Hash, now: u32) -> Option<Duration> {
        let key = self.hasher.hash_one(key);
        let states = self.states.lock();
        let mut meter = states.known(key)?.meter;
        drop(states);
        meter.take(self.rate, now).err()
    }

    /// Counts one more for a key, also above the rate. Returns how long to delay it: zero within the burst, at most `longest`.
    ///
    /// A map is used with one value of `longest`, and not with [`take`](Self::take).
    pub(crate) fn delay(&self, key: &impl Hash, longest: Duration, now: u32) -> Duration {
        let rate = self.rate;
        self.with(key, now, |state| state.meter.delay(rate, longest, now))
    }

    /// Removes the keys whose whole burst is available again.
    pub(crate) fn forget_idle(&self, now: u32) {
        self.states.lock().forget_idle(self.rate, now);
    }

    /// Returns the number of keys with a state of their own.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.states.lock().by_key.len()
    }

    fn with<T>(&self, key: &impl Hash, now: u32, f: impl FnOnce(&mut State) -> T) -> T {
        let key = self.hasher.hash_one(key);
        let mut states = self.states.lock();
        f(states.of(key, self.rate, now))
    }
}

impl States {
    /// Returns the state of a key; `None` if the map has none and has room for one.
    fn known(&self, key: u64) -> Option<State> {
        let shared = (self.by_key.len() >= self.most).then_some(self.shared);
        self.by_key.get(&key).copied().or(shared)
    }

    /// Returns the state to count a key with.
    fn of(&mut self, key: u64, rate: Rate, now: u32) -> &mut State {
        if self.by_key.len() >= self.most && !self.by_key.contains_key(&key) {
            if now.wrapping_sub(self.searched) >= SEARCH {
                self.searched = now;
                self.forget_idle(rate, now);
            }
            if self.by_key.len() >= self.most {
                return &mut self.shared;
            }
        }
        self.by_key.entry(key).or_insert_with(|| State::full(now))
    }

    fn forget_idle(&mut self, rate: Rate, now: u32) {
        self.by_key.retain(|_, state| !state.is_idle(rate, now));
        if self.shared.is_idle(rate, now) {
            self.shared = State::full(now);
        }
        // Give memory back after an attack.
        if self.by_key.capacity() > 1024.max(4 * self.by_key.len()) {
            let twice = 2 * self.by_key.len();
            self.by_key.shrink_to(twice);
        }
    }
}

impl State {
    fn full(now: u32) -> Self {
        Self { meter: Meter::full(now), queue: Meter::full(now) }
    }

    fn take(&mut self, rate: Rate, now: u32) -> Result<(), Duration> {
        let wait = match self.meter.take(rate, now) {
            Ok(()) => return Ok(()),
            Err(wait) => wait,
        };
        let queued = self.queue.delay(Rate { burst: 1, ..rate }, LONGEST_WAIT, now);
        Err((wait + queued).min(LONGEST_WAIT))
    }

    fn is_idle(self, rate: Rate, now: u32) -> bool {
        self.meter.is_full_within(rate, LONGEST_WAIT, now)
            && self.queue.is_full_within(Rate { burst: 1, ..rate }, LONGEST_WAIT, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_second: 50, burst: 4 };

    fn millis(waits: impl IntoIterator<Item = Result<(), Duration>>) -> Vec<u128> {
        waits.into_iter().map(|wait| wait.err().unwrap_or_default().as_millis()).collect()
    }

    #[test]
    fn each_key_has_the_whole_burst() {
        let map = RateMap::new(RATE, 0);
        for key in 0..100 {
            assert_eq!(millis((0..4).map(|_| map.take(&key, 0))), [0; 4], "{key}");
            assert_eq!(map.wait(&key, 0), Some(Duration::from_millis(20)));
        }
        assert_eq!(map.wait(&"another", 0), None);
        assert_eq!(map.len(), 100, "looking counts nothing and keeps nothing");
    }

    #[test]
    fn refused_clients_are_advised_one_time_each_up_to_the_longest_wait() {
        let map = RateMap::new(RATE, 0);
        (0..4).for_each(|_| map.take(&"office", 0).unwrap());
        assert_eq!(millis((0..4).map(|_| map.take(&"office", 0))), [20, 40, 60, 80]);
        let last = (0..10_000).map(|_| map.take(&"office", 0)).last().unwrap();
        assert_eq!(last, Err(LONGEST_WAIT));
        // Those who return at their time are allowed: being refused costs nothing.
        for n in 1..=1000 {
            assert_eq!(map.take(&"office", 20 * n), Ok(()), "{n}");
        }
    }

    #[test]
    fn idle_keys_are_forgotten_and_others_are_kept() {
        let map = RateMap::new(RATE, 0);
        (0..50).for_each(|key| map.take(&key, 0).unwrap());
        (0..4).for_each(|_| map.take(&"busy", 0).unwrap());
        map.forget_idle(19);
        assert_eq!(map.len(), 51);
        map.forget_idle(20);
        assert_eq!(map.len(), 1);
        map.take(&"busy", 0).unwrap_err();
        map.forget_idle(80);
        assert_eq!(map.len(), 0);
    }

    #[test]
    fn a_full_map_shares_one_rate_among_new_keys_and_finds_room_within_a_second() {
        let slow = Rate { per_second: 1, burst: 4 };
        let map = RateMap::with_room(slow, 10, 0);
        (0..10).for_each(|key| map.take(&key, 0).unwrap());
        // The search at the first new key finds no room.
        assert_eq!(millis((10..15).map(|key| map.take(&key, 0))), [0, 0, 0, 0, 1000]);
        assert_eq!(map.wait(&15, 0), Some(Duration::from_secs(1)));
        assert_eq!(millis((0..10).map(|key| map.take(&key, 0))), [0; 10], "known keys have their own rate");
        assert_eq!(map.len(), 10);
        assert_eq!(map.take(&20, 2000), Ok(()), "room was found");
        assert_eq!(map.len(), 1);
    }

    /// Buckets that hold `burst` and gain one per interval decide in the same way, whatever is forgotten in between.
    #[test]
    fn it_decides_as_a_bucket_for_each_key_does() {
        let mut random = 7_u64;
        let mut below = |bound: u32| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as u32 % bound
        };
        for round in 0..100 {
            let rate = Rate { per_second: 1 + below(100), burst: 1 + below(10) };
            let interval = 1000 / rate.per_second;
            let full = rate.burst * interval;
            let begin = below(u32::MAX);
            let map = RateMap::with_room(rate, 8, begin);
            let mut buckets = [full; 8];
            let mut elapsed = 0;
            for _ in 0..500 {
                let pause = below(2) * below(interval);
                elapsed += pause;
                buckets.iter_mut().for_each(|bucket| *bucket = full.min(*bucket + pause));
                let key = below(8) as usize;
                let now = begin.wrapping_add(elapsed);
                let is_allowed = buckets[key] >= interval;
                assert_eq!(map.wait(&key, now).is_none(), is_allowed, "round {round}");
                assert_eq!(map.take(&key, now).is_ok(), is_allowed, "round {round}");
                if is_allowed {
                    buckets[key] -= interval;
                }
                if below(20) == 0 {
                    map.forget_idle(now);
                }
            }
        }
    }

    /// Prints the cost of one decision. Run it in a release build.
    #[test]
    #[ignore = "a measurement: cargo test --release -p chatcamp-server --lib rate_map -- --ignored --nocapture"]
    fn cost_of_a_decision() {
        use std::{net::IpAddr, time::Instant};

        for keys in [1, 1_000, 60_000, 200_000] {
            let map = RateMap::new(Rate { per_second: 50, burst: 200 }, 0);
            let addresses: Vec<IpAddr> =
                (0..keys).map(|n: u32| std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into()).collect();
            let rounds = 1_000_000 / addresses.len();
            let began = Instant::now();
            for now in 0..rounds as u32 {
                addresses.iter().for_each(|address| _ = map.take(address, 20 * now));
            }
            let each = began.elapsed() / (rounds * addresses.len()) as u32;
            println!("{keys} addresses: {each:?} each");
        }
    }
}
