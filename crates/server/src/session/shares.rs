//! Which sessions free their memory when the budget of all sessions is nearly full (docs/decisions, page 8).

use std::{cmp::Reverse, collections::HashMap, hash::Hash, net::IpAddr};

use chatcamp_protocol::{AppId, UserId};

/// The sessions of one user may hold a 32nd of the budget while others need memory.
const USER: usize = 32;
/// The sessions of one network address may hold an eighth.
const ADDRESS: usize = 8;
/// The sessions of one app may hold a half.
const APP: usize = 2;

/// The memory that one session holds, and for whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holding<'a> {
    pub(crate) app: &'a AppId,
    pub(crate) user: &'a UserId,
    /// The network of its newest connection; `None` if that does not tell clients apart.
    pub(crate) address: Option<IpAddr>,
    pub(crate) bytes: usize,
    /// Whether no message waits for its client: it holds only unacknowledged messages, or it is ending.
    pub(crate) is_spare: bool,
}

/// A user, or the network address of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Holder<'a> {
    User(&'a AppId, &'a UserId),
    Address(IpAddr),
}

impl<'a> Holding<'a> {
    fn user(&self) -> Holder<'a> {
        Holder::User(self.app, self.user)
    }

    fn holder(&self) -> Holder<'a> {
        self.address.map_or_else(|| self.user(), Holder::Address)
    }
}

/// Returns the indices of the sessions to free, so that the others hold at most three quarters of `total`.
///
/// First users, then addresses, then apps are cut down to their shares, as far as needed. If that is not enough, the largest
/// holders are cut down to one level; holders below that level lose nothing. Spare memory is freed first.
pub(crate) fn choose(holdings: &[Holding<'_>], total: usize) -> Vec<usize> {
    let held: usize = holdings.iter().map(|holding| holding.bytes).sum();
    let mut cut = Cut::new(holdings, held.saturating_sub(total - total / 4));
    let any = |_: &Holding<'_>| true;
    cut.down_to(total / USER, any, Holding::user);
    cut.down_to(total / ADDRESS, |holding| holding.address.is_some(), Holding::holder);
    for spare_only in [true, false] {
        let of_class = |holding: &Holding<'_>| holding.is_spare || !spare_only;
        for (app, bytes) in cut.sums(any, |holding| holding.app) {
            let excess = bytes.saturating_sub(total / APP);
            cut.level(excess, |holding| holding.app == app && of_class(holding));
        }
    }
    for spare_only in [true, false] {
        cut.level(usize::MAX, |holding| holding.is_spare || !spare_only);
    }
    cut.chosen
}

/// The sessions chosen so far, and those that are left.
struct Cut<'a> {
    holdings: &'a [Holding<'a>],
    /// The sessions not chosen yet: spare ones first, of these the largest first.
    rest: Vec<usize>,
    chosen: Vec<usize>,
    /// Bytes that are still to be freed.
    wanted: usize,
}

impl<'a> Cut<'a> {
    fn new(holdings: &'a [Holding<'a>], wanted: usize) -> Self {
        let mut rest: Vec<_> = (0..holdings.len()).collect();
        rest.sort_by_key(|&n| (!holdings[n].is_spare, Reverse(holdings[n].bytes)));
        Self { holdings, rest, chosen: Vec::new(), wanted }
    }

    /// Returns the bytes that the remaining sessions hold, by `key`, of those for which `which` holds.
    fn sums<K: Eq + Hash>(
        &self,
        which: impl Fn(&Holding<'a>) -> bool,
        key: impl Fn(&Holding<'a>) -> K,
    ) -> HashMap<K, usize> {
        let mut sums = HashMap::new();
        for holding in self.rest.iter().map(|&n| &self.holdings[n]).filter(|&holding| which(holding)) {
            *sums.entry(key(holding)).or_default() += holding.bytes;
        }
        sums
    }

    /// Chooses sessions of holders with more than `most` bytes, until each holds at most that or enough is freed.
    fn down_to(
        &mut self,
        most: usize,
        which: impl Fn(&Holding<'a>) -> bool,
        key: impl Fn(&Holding<'a>) -> Holder<'a>,
    ) {
        if self.wanted == 0 {
            return;
        }
        let mut sums = self.sums(&which, &key);
        let Self { holdings, rest, chosen, wanted } = self;
        rest.retain(|&n| {
            let holding = &holdings[n];
            if *wanted == 0 || !which(holding) {
                return true;
            }
            let sum = sums.get_mut(&key(holding)).expect("every holding is in its sum");
            if *sum <= most {
                return true;
            }
            *sum -= holding.bytes;
            *wanted = wanted.saturating_sub(holding.bytes);
            chosen.push(n);
            false
        });
    }

    /// Cuts the holders down to the highest level that frees `bytes`, or fewer if less is wanted.
    fn level(&mut self, bytes: usize, which: impl Fn(&Holding<'a>) -> bool) {
        let bytes = bytes.min(self.wanted);
        if bytes == 0 {
            return;
        }
        let sums = self.sums(&which, Holding::holder);
        let frees = |level: usize| sums.values().map(|sum| sum.saturating_sub(level)).sum::<usize>();
        let mut low = 0;
        let mut high = sums.values().copied().max().unwrap_or(0);
        while low < high {
            let middle = high - (high - low) / 2;
            if frees(middle) >= bytes { low = middle } else { high = middle - 1 }
        }
        self.down_to(low, which, Holding::holder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOTAL: usize = 3200;

    struct Users {
        apps: Vec<AppId>,
        users: Vec<UserId>,
    }

    impl Users {
        fn new() -> Self {
            let apps = ["one", "two"].map(|id| AppId::new(id).unwrap()).into();
            let users = (0..500).map(|n| UserId::new(format!("user{n}")).unwrap()).collect();
            Self { apps, users }
        }

        /// Returns the holding of a session of a user at `192.0.2.address`, or without an address if that is 0.
        fn holding(&self, app: usize, user: usize, address: u8, bytes: usize) -> Holding<'_> {
            let address = (address > 0).then(|| IpAddr::from([192, 0, 2, address]));
            let (app, user) = (&self.apps[app], &self.users[user]);
            Holding { app, user, address, bytes, is_spare: false }
        }
    }

    /// Asserts that at most three quarters are left. Returns the bytes of the holdings that are left and for which `which` holds.
    fn left(holdings: &[Holding<'_>], which: impl Fn(&Holding<'_>) -> bool) -> Vec<usize> {
        let chosen = choose(holdings, TOTAL);
        let rest: Vec<_> = (0..holdings.len()).filter(|n| !chosen.contains(n)).collect();
        let kept: usize = rest.iter().map(|&n| holdings[n].bytes).sum();
        assert!(kept <= TOTAL * 3 / 4, "{kept}");
        let bytes = |&n: &usize| Some(holdings[n].bytes).filter(|_| which(&holdings[n]));
        rest.iter().filter_map(bytes).collect()
    }

    #[test]
    fn few_users_with_many_sessions_are_cut_before_other_users() {
        let users = Users::new();
        let mut holdings: Vec<_> = (0..290).map(|n| users.holding(0, n % 6, 1, 10)).collect();
        // A user of another app, a user of the same app at another address, a user at the same address.
        holdings.push(users.holding(1, 10, 2, 50));
        holdings.push(users.holding(0, 11, 3, 50));
        holdings.push(users.holding(0, 12, 1, 50));
        assert_eq!(left(&holdings, |holding| holding.bytes == 50), [50; 3]);
    }

    #[test]
    fn one_address_with_many_users_is_cut_before_other_addresses() {
        let users = Users::new();
        let mut holdings: Vec<_> = (0..290).map(|n| users.holding(0, n, 1, 10)).collect();
        holdings.push(users.holding(0, 400, 2, 60));
        assert_eq!(left(&holdings, |holding| holding.bytes == 60), [60]);
    }

    #[test]
    fn one_app_with_many_users_at_many_addresses_is_cut_before_another_app() {
        let users = Users::new();
        let mut holdings: Vec<_> = (0..290).map(|n| users.holding(0, n, (n % 29) as u8 + 1, 10)).collect();
        holdings.push(users.holding(1, 400, 200, 100));
        assert_eq!(left(&holdings, |holding| holding.bytes == 100), [100]);
    }

    #[test]
    fn within_one_app_the_largest_holders_are_cut_first() {
        let users = Users::new();
        for addresses in [0, 1] {
            let at = |n: usize| (n % 200 + 1) as u8 * addresses;
            let mut holdings: Vec<_> = (0..29).map(|n| users.holding(0, n, at(n), 100)).collect();
            holdings.extend((100..150).map(|n| users.holding(0, n, at(n), 2)));
            assert_eq!(left(&holdings, |holding| holding.bytes == 2).len(), 50);
        }
    }

    #[test]
    fn spare_memory_is_freed_before_queued_messages() {
        let users = Users::new();
        let mut holdings: Vec<_> =
            (0..200).map(|n| Holding { is_spare: true, ..users.holding(0, n, 0, 5) }).collect();
        holdings.extend((200..400).map(|n| users.holding(0, n, 0, 10)));
        assert_eq!(left(&holdings, |holding| !holding.is_spare).len(), 200);
    }

    #[test]
    fn no_more_is_freed_than_needed() {
        let users = Users::new();
        let holdings: Vec<_> = (0..290).map(|n| users.holding(0, n, 0, 10)).collect();
        assert_eq!(left(&holdings, |_| true).iter().sum::<usize>(), TOTAL * 3 / 4);
        assert_eq!(choose(&holdings[..240], TOTAL), [0; 0]);
    }
}
