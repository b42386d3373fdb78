//! Requests that go on when their connections break.

use std::{
    pin::Pin,
    task::{Context, Poll},
    thread,
};

use tokio::runtime::Handle;

type Request<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A request that goes on in a task of its own if this is dropped before its end, as HTTP servers do when a client closes its
/// connection.
pub(super) struct CarriedOut<T: Send + 'static> {
    request: Option<Request<T>>,
    runtime: Handle,
}

impl<T: Send + 'static> CarriedOut<T> {
    /// # Panics
    /// Outside a tokio runtime.
    pub(super) fn new(request: impl Future<Output = T> + Send + 'static) -> Self {
        Self { request: Some(Box::pin(request)), runtime: Handle::current() }
    }
}

impl<T: Send + 'static> Future for CarriedOut<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let request = self.request.as_mut().expect("a request has one answer");
        let polled = request.as_mut().poll(cx);
        if polled.is_ready() {
            self.request = None;
        }
        polled
    }
}

impl<T: Send + 'static> Drop for CarriedOut<T> {
    fn drop(&mut self) {
        // One that has panicked cannot go on.
        if let Some(request) = self.request.take().filter(|_| !thread::panicking()) {
            self.runtime.spawn(async move { drop(request.await) });
        }
    }
}
