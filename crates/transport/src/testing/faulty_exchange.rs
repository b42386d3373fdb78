//! Injects faults below long-poll, where a request or an answer is lost or repeated.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::timeout;

use crate::long_poll::{Exchange, ExchangeAnswer, ExchangeError, ExchangeRequest, Method};

/// A fault of an exchange. Requests are counted from 1 for each method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExchangeFault {
    /// The n-th request of this method never reaches the server.
    LoseRequest(Method, usize),
    /// The n-th request of this method reaches the server, and its answer is lost.
    LoseAnswer(Method, usize),
    /// Every GET without an answer after this time is aborted and repeated, as Chromium does when a kept-alive connection
    /// breaks (`docs/PROTOCOL.md`, "Transports"). By tokio's clock.
    RepeatGets(Duration),
}

/// An exchange with planned faults.
#[derive(Debug)]
pub struct FaultyExchange<E> {
    inner: E,
    faults: Vec<ExchangeFault>,
    gets: AtomicUsize,
    posts: AtomicUsize,
}

impl<E> FaultyExchange<E> {
    /// Injects `faults` before `inner`.
    pub fn new(inner: E, faults: impl IntoIterator<Item = ExchangeFault>) -> Self {
        let (gets, posts) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { inner, faults: faults.into_iter().collect(), gets, posts }
    }
}

#[async_trait]
impl<E: Exchange> Exchange for FaultyExchange<E> {
    async fn exchange(&self, request: ExchangeRequest) -> Result<ExchangeAnswer, ExchangeError> {
        let method = request.method;
        let counter = if method == Method::Get { &self.gets } else { &self.posts };
        let number = counter.fetch_add(1, Ordering::Relaxed) + 1;
        let lost = || Err(ExchangeError::Failed("lost".to_owned()));
        if self.faults.contains(&ExchangeFault::LoseRequest(method, number)) {
            return lost();
        }
        for fault in &self.faults {
            if let (ExchangeFault::RepeatGets(after), Method::Get) = (fault, method) {
                if let Ok(answer) = timeout(*after, self.inner.exchange(request.clone())).await {
                    return answer;
                }
            }
        }
        let answer = self.inner.exchange(request).await;
        if self.faults.contains(&ExchangeFault::LoseAnswer(method, number)) { lost() } else { answer }
    }

    fn is_exposed(&self) -> bool {
        self.inner.is_exposed()
    }
}
