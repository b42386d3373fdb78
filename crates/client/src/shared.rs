//! The state, user and events that the task shares with the handles.

use std::sync::{Arc, Weak};

use chatcamp_protocol::User;
use parking_lot::Mutex;

use crate::{EndReason, Event, State, event::Queue};

/// Written by the task and read by the handles.
#[derive(Debug)]
pub(crate) struct Shared(Mutex<View>);

#[derive(Debug)]
struct View {
    state: State,
    user: Option<User>,
    readers: Vec<Weak<Queue>>,
    ended: bool,
}

impl Default for Shared {
    fn default() -> Self {
        let state = State::Disconnected(EndReason::NeverConnected);
        Self(Mutex::new(View { state, user: None, readers: Vec::new(), ended: false }))
    }
}

impl Shared {
    pub(crate) fn state(&self) -> State {
        self.0.lock().state.clone()
    }

    pub(crate) fn set_state(&self, state: State) {
        self.0.lock().state = state;
    }

    pub(crate) fn user(&self) -> Option<User> {
        self.0.lock().user.clone()
    }

    pub(crate) fn set_user(&self, user: Option<User>) {
        self.0.lock().user = user;
    }

    pub(crate) fn subscribe(&self) -> Arc<Queue> {
        let queue = Arc::<Queue>::default();
        let mut view = self.0.lock();
        if view.ended {
            queue.end();
        }
        view.readers.retain(|reader| reader.strong_count() > 0);
        view.readers.push(Arc::downgrade(&queue));
        queue
    }

    pub(crate) fn emit(&self, event: &Event) {
        let readers: Vec<_> = self.0.lock().readers.iter().filter_map(Weak::upgrade).collect();
        readers.iter().for_each(|reader| reader.push(event));
    }

    /// Ends all subscriptions: no event will follow.
    pub(crate) fn end(&self) {
        let readers = {
            let mut view = self.0.lock();
            view.ended = true;
            std::mem::take(&mut view.readers)
        };
        readers.iter().filter_map(Weak::upgrade).for_each(|reader| reader.end());
    }
}
