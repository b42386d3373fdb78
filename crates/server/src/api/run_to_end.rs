//! Runs a request to its end, even if its connection ends first.

use std::{
    pin::Pin,
    task::{Context, Poll},
    thread,
};

use tokio::runtime::Handle;

type Request<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A request that continues in its own task if this future is dropped early, as HTTP servers drop it when the client closes
/// the connection.
pub(super) struct RunToEnd<T: Send + 'static> {
    request: Option<Request<T>>,
    runtime: Handle,
}

impl<T: Send + 'static> RunToEnd<T> {
    /// # Panics
    /// If it is called outside a tokio runtime.
    pub(super) fn new(request: impl Future<Output = T> + Send + 'static) -> Self {
        Self { request: Some(Box::pin(request)), runtime: Handle::current() }
    }
}

impl<T: Send + 'static> Future for RunToEnd<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let request = self.request.as_mut().expect("the future is not polled after it is ready");
        let polled = request.as_mut().poll(cx);
        if polled.is_ready() {
            self.request = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for RunToEnd<T> {
    fn drop(&mut self) {
        // A request that has panicked cannot continue.
        if let Some(request) = self.request.take().filter(|_| !thread::panicking()) {
            self.runtime.spawn(async move { drop(request.await) });
        }
    }
}
