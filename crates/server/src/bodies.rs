//! The memory of HTTP bodies, bounded in total and for each holder.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use parking_lot::Mutex;

/// A budget of bytes for bodies. Each holder, such as a network address or an app, may use at most a share of it.
///
/// The last quarter is only for holders that use at most a 4096th of the budget. So few holders, each with its whole share, do not use up the
/// budget for all others.
#[derive(Debug)]
pub(crate) struct Bodies<K: Eq + Hash> {
    total: usize,
    share: usize,
    used: Mutex<Used<K>>,
}

#[derive(Debug)]
struct Used<K> {
    bytes: usize,
    per_holder: HashMap<K, usize>,
}

/// Bytes reserved for a body; given back when dropped.
#[derive(Debug)]
pub(crate) struct BodyRoom<K: Eq + Hash> {
    bodies: Arc<Bodies<K>>,
    holder: Option<K>,
    bytes: usize,
}

impl<K: Eq + Hash + Clone> Bodies<K> {
    /// Returns a budget of `total` bytes, of which one holder may have `share`.
    pub(crate) fn new(total: usize, share: usize) -> Arc<Self> {
        let used = Used { bytes: 0, per_holder: HashMap::new() };
        Arc::new(Self { total, share, used: Mutex::new(used) })
    }

    /// Reserves memory for a body of `holder`. If the holder is `None`, only the total applies. Returns `None` if too little is left, in
    /// total or for that holder.
    pub(crate) fn reserve(self: &Arc<Self>, holder: Option<K>, bytes: usize) -> Option<BodyRoom<K>> {
        let mut used = self.used.lock();
        let held = holder.as_ref().and_then(|holder| used.per_holder.get(holder)).copied().unwrap_or(0);
        let is_small = held + bytes <= self.total / 4096;
        let most = if is_small { self.total } else { self.total - self.total / 4 };
        if used.bytes + bytes > most || (holder.is_some() && held + bytes > self.share) {
            return None;
        }
        used.bytes += bytes;
        if let Some(holder) = &holder {
            used.per_holder.insert(holder.clone(), held + bytes);
        }
        Some(BodyRoom { bodies: self.clone(), holder, bytes })
    }
}

impl<K: Eq + Hash> Drop for BodyRoom<K> {
    fn drop(&mut self) {
        let mut used = self.bodies.used.lock();
        used.bytes -= self.bytes;
        if let Some(holder) = &self.holder
            && let Some(bytes) = used.per_holder.get_mut(holder)
        {
            *bytes -= self.bytes;
            if *bytes == 0 {
                used.per_holder.remove(holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_bounded_by_its_share_and_all_by_the_total() {
        let bodies = Bodies::new(80 * 4096, 10 * 4096);
        let one = bodies.reserve(Some(1), 10 * 4096).unwrap();
        assert!(bodies.reserve(Some(1), 1).is_none());
        let unknown = bodies.reserve(None, 50 * 4096).unwrap();
        assert!(bodies.reserve(None, 81).is_none() && bodies.reserve(Some(9), 81).is_none());
        let small: Vec<_> = (0..1024).map(|n| bodies.reserve(Some(100 + n), 80).unwrap()).collect();
        assert!(bodies.reserve(None, 1).is_none() && bodies.reserve(Some(9), 1).is_none());
        drop(one);
        assert!(bodies.reserve(Some(1), 1).is_some());
        drop((unknown, small));
        assert!(bodies.used.lock().per_holder.is_empty() && bodies.used.lock().bytes == 0);
    }

    #[test]
    fn holders_that_take_all_they_can_leave_room_for_small_bodies_of_others() {
        let bodies = Bodies::new(64 << 20, 8 << 20);
        let taken: Vec<_> = (0..64)
            .flat_map(|holder| (0..16).map(move |_| holder))
            .filter_map(|holder| bodies.reserve(Some(holder), 512 << 10))
            .collect();
        assert_eq!(taken.len(), 6 * 16);
        let small: Vec<_> = (100..1100).map(|holder| bodies.reserve(Some(holder), 16 << 10)).collect();
        assert!(small.iter().all(Option::is_some));
    }
}
