//! The task of a connection: flushes, receives, and runs requests one at a time.

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

/// The future of a connection after its handshake. It is small, because each idle connection keeps one.
///
/// A request in progress continues if the connection breaks, and its acknowledgement is queued for the client. Dropping the
/// future detaches the connection from its session.
#[derive(Debug)]
pub(crate) struct Driver {
    handler: Arc<dyn Handler>,
    session: Arc<Session>,
    epoch: u32,
    _task: Task,
}

/// The functions that a connection's driver needs from the layers above.
pub(crate) trait Handler: std::fmt::Debug + Send + Sync {
    /// Handles one message that arrived over connection `epoch`. Returns the work that remains; `None` if the message is handled.
    fn handle(self: Arc<Self>, session: &Arc<Session>, epoch: u32, text: &str) -> Option<Work>;

    /// Detaches the session from connection `epoch`, which is lost.
    fn lost(&self, session: &Session, epoch: u32);

    /// Returns the current second of the sessions' deadlines.
    fn now(&self) -> u32;

    /// Schedules a check of the session's deadlines at second `at`.
    fn schedule(&self, session: SessionId, at: u32);

    /// Returns the budget of the sessions' queues.
    fn queued(&self) -> &Budget;

    /// Frees memory of the sessions that hold most if that budget is nearly full.
    fn reclaim_if_nearly_full(&self);
}

/// A request in progress, with the waker of the driver that waits for it.
pub(crate) struct Work {
    request: Pin<Box<dyn Future<Output = ()> + Send>>,
    driver: Option<Waker>,
}

impl Work {
    pub(crate) fn new(request: impl Future<Output = ()> + Send + 'static) -> Self {
        Self { request: Box::pin(request), driver: None }
    }

    /// Wakes the driver that waits for this request, because it no longer has to wait.
    pub(super) fn wake_driver(&mut self) {
        self.driver.take().into_iter().for_each(Waker::wake);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Otherwise the driver of an earlier connection would never be woken.
        if !self.driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker())) {
            self.wake_driver();
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
    /// Creates the driver of connection `epoch` of the session.
    pub(crate) fn new(handler: Arc<dyn Handler>, session: Arc<Session>, epoch: u32, task: Task) -> Self {
        Self { handler, session, epoch, _task: task }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { handler, session, epoch, .. } = self.get_mut();
        // Locked during a whole poll, so that the session's next connection takes over between two requests.
        let mut work = session.work.lock();
        for _ in 0..BATCH {
            if let Some(running) = &mut *work {
                if session.is_for(*epoch) && running.poll(cx).is_ready() {
                    *work = None;
                } else {
                    drop(work);
                    // Checked again: a thread that ended the session during the poll could not lock the request to drop it.
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
                Poll::Ready(Next::Stop) => return Poll::Ready(()),
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
        // Without a driver the request will never finish. Its client would wait for the acknowledgement, so the session ends.
        let is_stranded = self.session.work.try_lock().is_some_and(|work| work.is_some());
        if is_stranded && self.session.is_for(self.epoch) {
            self.session.abort(self.handler.queued());
        }
        self.handler.lost(&self.session, self.epoch);
        if self.session.is_over() {
            self.session.drop_work();
        }
    }
}
