//! The one task of a connection: flushes, listens, has requests carried out one after another.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{Session, requests};
use crate::{server::Shared, tasks::Task};

/// Messages handled before other tasks get their turn.
const BATCH: usize = 32;

/// Future of a connection after its handshake: small, since it is what an idle connection keeps.
///
/// Dropping it ends the session: the registry forgets it and the connection closes.
#[derive(Debug)]
pub(crate) struct Driver {
    shared: Arc<Shared>,
    session: Arc<Session>,
    work: Option<Work>,
    _task: Task,
}

/// A request being carried out.
pub(super) struct Work(pub(super) Pin<Box<dyn Future<Output = ()> + Send>>);

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Work")
    }
}

impl Driver {
    pub(crate) fn new(shared: Arc<Shared>, session: Arc<Session>, task: Task) -> Self {
        Self { shared, session, work: None, _task: task }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        for _ in 0..BATCH {
            if let Some(Work(work)) = &mut this.work {
                if work.as_mut().poll(cx).is_pending() {
                    this.session.poll_flush(cx, &this.shared.waiting);
                    return Poll::Pending;
                }
                this.work = None;
            }
            match this.session.poll_next(cx, this.shared.wheel.now(), &this.shared.waiting) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Ready(Some(message)) => {
                    this.work = requests::handle(&this.shared, &this.session, message.as_str());
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.session.abandon(&self.shared.waiting);
        self.shared.leave(&self.session);
    }
}
