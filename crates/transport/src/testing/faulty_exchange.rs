//! Faults below long-poll, at its one exchange: what is lost or repeated there is no message but a request or an answer.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::timeout;

use crate::long_poll::{Exchange, ExchangeAnswer, ExchangeError, ExchangeRequest, Method};

/// What goes wrong at an exchange, and when. Requests are counted from 1, those of each method by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExchangeFault {
    /// The n-th request of this method never reaches the server.
    LoseRequest(Method, usize),
    /// The n-th request of this method reaches the server, and its answer is lost.
    LoseAnswer(Method, usize),
    /// Every GET without an answer after this time is broken off and made again, as Chromium does when a kept-alive
    /// connection dies under it (wire document, section 2.3). By tokio's clock.
    RepeatGets(Duration),
}

/// An exchange that is faulty by plan.
#[derive(Debug)]
pub struct FaultyExchange<E> {
    inner: E,
    faults: Vec<ExchangeFault>,
    gets: AtomicUsize,
    posts: AtomicUsize,
}

impl<E> FaultyExchange<E> {
    /// Puts `faults` before `inner`.
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
