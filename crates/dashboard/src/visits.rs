//! Browsers that are signed in: a bounded table, known by the digest of a cookie.

use std::collections::HashMap;

use chatcamp_server::Clock;
use parking_lot::Mutex;
use zeroize::Zeroizing;

use crate::{
    note::Note,
    password::Hash,
    secret::{self, Mark},
};

/// How long a visit lasts, in seconds.
pub(crate) const LIFE: u64 = 12 * 60 * 60;
/// How long it lasts while nobody does anything, in seconds; a page that updates itself does not count.
const IDLE: u64 = 60 * 60;
/// Visits at one moment, at most; for one more, the one that was idle longest goes.
const MOST: usize = 64;
/// Notes that wait for their page, at most, of one visit; they may hold what was filled in.
const NOTES: usize = 4;

/// The browsers that are signed in.
pub(crate) struct Visits {
    open: Mutex<HashMap<Mark, Entry>>,
}

/// One that is, as a request of it is answered.
pub(crate) struct Visit {
    mark: Mark,
    /// What every form must bring along.
    pub(crate) form_token: Zeroizing<String>,
}

struct Entry {
    form_token: Zeroizing<String>,
    began: u64,
    last: u64,
    /// The password of that time: with another one, the visit is over.
    password: Hash,
    /// What pages are to say, once, and which.
    notes: Vec<(String, Note)>,
}

/// Who is asking: the person, or a page by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    Person,
    Page,
}

impl Visits {
    pub(crate) fn new() -> Self {
        Self { open: Mutex::new(HashMap::new()) }
    }

    /// Begins a visit; the value of its cookie.
    pub(crate) fn begin(&self, password: Hash, clock: &Clock) -> Zeroizing<String> {
        let (cookie, now) = (secret::random(), clock.now());
        let mut open = self.open.lock();
        open.retain(|_, entry| !entry.is_over(now));
        if open.len() >= MOST {
            let idlest = open.iter().min_by_key(|(_, entry)| entry.last).map(|(mark, _)| *mark);
            idlest.map(|mark| open.remove(&mark));
        }
        let form_token = secret::random();
        let entry = Entry { form_token, began: now, last: now, password, notes: Vec::new() };
        open.insert(secret::mark(&cookie), entry);
        cookie
    }

    /// The visit of a cookie, unless it is over.
    pub(crate) fn find(&self, cookie: &str, password: &Hash, asker: Asker, clock: &Clock) -> Option<Visit> {
        let (mark, now) = (secret::mark(cookie), clock.now());
        let mut open = self.open.lock();
        let entry = open.get_mut(&mark)?;
        if entry.is_over(now) || entry.password != *password {
            open.remove(&mark);
            return None;
        }
        if asker == Asker::Person {
            entry.last = now;
        }
        Some(Visit { mark, form_token: entry.form_token.clone() })
    }

    pub(crate) fn end(&self, visit: &Visit) {
        self.open.lock().remove(&visit.mark);
    }

    /// Keeps what a page is to say.
    pub(crate) fn leave_note(&self, visit: &Visit, page: &str, note: Note) {
        let mut open = self.open.lock();
        let Some(Entry { notes, .. }) = open.get_mut(&visit.mark) else { return };
        notes.retain(|(of, _)| of != page);
        if notes.len() == NOTES {
            notes.remove(0);
        }
        notes.push((page.to_owned(), note));
    }

    /// What a page is to say; it is said once.
    pub(crate) fn take_note(&self, visit: &Visit, page: &str) -> Option<Note> {
        let mut open = self.open.lock();
        let notes = &mut open.get_mut(&visit.mark)?.notes;
        let index = notes.iter().position(|(of, _)| of == page)?;
        Some(notes.remove(index).1)
    }
}

impl Entry {
    fn is_over(&self, now: u64) -> bool {
        now >= self.began.saturating_add(LIFE) || now >= self.last.saturating_add(IDLE)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use super::*;

    struct World {
        time: Arc<AtomicU64>,
        clock: Clock,
        visits: Visits,
        password: Hash,
    }

    impl World {
        fn new() -> Self {
            let time = Arc::new(AtomicU64::new(1000));
            let told = time.clone();
            let clock = Clock::new(move || told.load(Ordering::Relaxed));
            Self { time, clock, visits: Visits::new(), password: Hash::from_text("hash") }
        }

        fn after(&self, seconds: u64) -> &Self {
            self.time.fetch_add(seconds, Ordering::Relaxed);
            self
        }

        fn is_in(&self, cookie: &str, asker: Asker) -> bool {
            self.visits.find(cookie, &self.password, asker, &self.clock).is_some()
        }
    }

    #[test]
    fn a_visit_ends_when_nobody_does_anything_even_if_its_page_updates_itself() {
        let world = World::new();
        let cookie = world.visits.begin(world.password.clone(), &world.clock);
        assert!(world.after(IDLE - 1).is_in(&cookie, Asker::Page));
        assert!(!world.after(1).is_in(&cookie, Asker::Page));

        let cookie = world.visits.begin(world.password.clone(), &world.clock);
        assert!(world.after(IDLE - 1).is_in(&cookie, Asker::Person));
        assert!(world.after(IDLE - 1).is_in(&cookie, Asker::Person));
    }

    #[test]
    fn a_visit_ends_in_the_end() {
        let world = World::new();
        let cookie = world.visits.begin(world.password.clone(), &world.clock);
        for _ in 0..LIFE / (IDLE / 2) - 1 {
            assert!(world.after(IDLE / 2).is_in(&cookie, Asker::Person));
        }
        assert!(!world.after(IDLE / 2).is_in(&cookie, Asker::Person));
    }

    #[test]
    fn another_password_ends_every_visit() {
        let mut world = World::new();
        let cookie = world.visits.begin(world.password.clone(), &world.clock);
        assert!(world.is_in(&cookie, Asker::Person));
        world.password = Hash::from_text("another");
        assert!(!world.is_in(&cookie, Asker::Person));
        world.password = Hash::from_text("hash");
        assert!(!world.is_in(&cookie, Asker::Person), "and it does not come back");
    }

    #[test]
    fn a_note_is_said_once_by_its_own_page() {
        let world = World::new();
        let cookie = world.visits.begin(world.password.clone(), &world.clock);
        let visit = world.visits.find(&cookie, &world.password, Asker::Person, &world.clock).unwrap();
        for page in 0..=NOTES {
            world.visits.leave_note(&visit, &page.to_string(), Note::done("first"));
            world.visits.leave_note(&visit, &page.to_string(), Note::done(format!("of {page}")));
        }
        let said = |page: &str| world.visits.take_note(&visit, page).map(|note| note.text);
        assert_eq!(said("another"), None);
        assert_eq!((said("1").as_deref(), said("1")), (Some("of 1"), None));
        assert_eq!(said("0"), None, "only so many are kept");
    }

    #[test]
    fn the_idlest_makes_room_for_one_more() {
        let world = World::new();
        let first = world.visits.begin(world.password.clone(), &world.clock);
        let second = world.visits.begin(world.password.clone(), world.after(1).clock_of());
        assert!(world.after(1).is_in(&first, Asker::Person));
        for _ in 0..MOST - 1 {
            world.visits.begin(world.password.clone(), world.after(1).clock_of());
        }
        assert_eq!(world.visits.open.lock().len(), MOST);
        assert!(world.is_in(&first, Asker::Person) && !world.is_in(&second, Asker::Person));
    }

    impl World {
        fn clock_of(&self) -> &Clock {
            &self.clock
        }
    }
}
