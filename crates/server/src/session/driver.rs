//! The one task of a connection: flushes, listens, has requests carried out one after another.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::{Budget, Session, SessionId, link::Next};
use crate::shutdown::Task;

/// Messages handled before other tasks get their turn.
const BATCH: usize = 32;

/// Future of a connection after its handshake: small, since it is what an idle connection keeps.
///
/// A request that is being carried out when the connection breaks is carried out all the same; its answer waits for the
/// client. Dropping the future takes the connection from its session.
#[derive(Debug)]
pub(crate) struct Driver {
    handler: Arc<dyn Handler>,
    session: Arc<Session>,
    epoch: u32,
    _task: Task,
}

/// What a connection's driver asks of the layers above sessions.
pub(crate) trait Handler: std::fmt::Debug + Send + Sync {
    /// Handles one message of the client on connection `epoch`; returns the work that cannot be done at once.
    fn handle(self: Arc<Self>, session: &Arc<Session>, epoch: u32, text: &str) -> Option<Work>;

    /// Detaches the session from its connection `epoch`, which is lost.
    fn lost(&self, session: &Session, epoch: u32);

    /// Returns the current second of the sessions' deadlines.
    fn now(&self) -> u32;

    /// Has the session's deadlines looked at in second `at`.
    fn schedule(&self, session: SessionId, at: u32);

    /// Returns the budget of the sessions' queues.
    fn queued(&self) -> &Budget;

    /// Ends the sessions that hold most if that budget is nearly full.
    fn reclaim_if_nearly_full(&self);
}

/// A request being carried out, and the driver that waits for it.
pub(crate) struct Work {
    request: Pin<Box<dyn Future<Output = ()> + Send>>,
    driver: Option<Waker>,
}

impl Work {
    pub(crate) fn new(request: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { request: Box::pin(request), driver: None }
    }

    /// Tells the driver that waits that it need not.
    pub(super) fn dismiss(&mut self) {
        self.driver.take().into_iter().for_each(Waker::wake);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // The driver of a connection before this one would otherwise wait for ever.
        if !self.driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker())) {
            self.dismiss();
            self.driver = Some(cx.waker().clone());
        }
        self.request.as_mut().poll(cx)
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Work")
    }
}

impl Driver {
    /// Drives the connection that is the session's `epoch`th.
    pub(crate) fn new(handler: Arc<dyn Handler>, session: Arc<Session>, epoch: u32, task: Task) -> Self {
        Self { handler, session, epoch, _task: task }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { handler, session, epoch, .. } = self.get_mut();
        // Held over a whole turn, so that the session's next connection takes over between two requests.
        let mut work = session.work.lock();
        for _ in 0..BATCH {
            if let Some(running) = &mut *work {
                if session.is_for(*epoch) && running.poll(cx).is_ready() {
                    *work = None;
                } else {
                    drop(work);
                    // Asked again: whoever ended the session meanwhile could not get at the request.
                    if !session.is_for(*epoch) {
                        return Poll::Ready(());
                    }
                    session.poll_flush(*epoch, cx, &**handler);
                    return Poll::Pending;
                }
            }
            let next = session.poll_next(*epoch, cx, &**handler);
            handler.reclaim_if_nearly_full();
            match next {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Next::Go) => return Poll::Ready(()),
                Poll::Ready(Next::Message(message)) => {
                    *work = handler.clone().handle(session, *epoch, message.as_str());
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // A request that nobody carries out any more leaves its client without an answer, so the session cannot go on.
        let is_stranded = self.session.work.try_lock().is_some_and(|work| work.is_some());
        if is_stranded && self.session.is_for(self.epoch) {
            self.session.abandon(self.handler.queued());
        }
        self.handler.lost(&self.session, self.epoch);
        if self.session.is_over() {
            self.session.drop_work();
        }
    }
}
