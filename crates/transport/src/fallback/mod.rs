//! A transport that tries several transports in order and uses the first that opens a connection.

mod memory;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use chatcamp_runtime::network_cause;
use tokio::time::{Instant, timeout};

use self::memory::{Memory, Watched};

use crate::{ConnectError, Connection};

/// Default time limit of each attempt except the last.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Default time for which a later transport that worked is tried first.
pub const REMEMBERED: Duration = Duration::from_secs(5 * 60);

/// Dials several transports in order, until one opens a connection.
///
/// It tries the next transport only after a failure that may be due to the transport: the server did not answer, did not answer in
/// time, answered with another protocol, or was cut off during the TLS handshake. After another TLS failure, such as an expired
/// certificate, it does not, because the next transport would reach the same server. A connection that opened and then ended, for
/// example because a credential was refused, is the caller's concern. A transport that opens without contacting the server, such as
/// [`long_poll`](crate::long_poll), belongs at the end.
///
/// After something was received over a later transport, connects begin with that transport for [`REMEMBERED`]. After that
/// time, or after it failed, [`connect`](crate::Transport::connect) begins with the first transport again. Open connections
/// are not affected.
///
/// Needs a tokio runtime with an enabled timer.
#[derive(Debug)]
pub struct Transport {
    transports: Vec<Box<dyn crate::Transport>>,
    attempt_timeout: Duration,
    remembered: Duration,
    memory: Arc<Memory>,
}

impl Transport {
    /// Creates a transport that dials `transports`, the preferred one first.
    pub fn new(transports: impl IntoIterator<Item = Box<dyn crate::Transport>>) -> Self {
        Self {
            transports: transports.into_iter().collect(),
            attempt_timeout: ATTEMPT_TIMEOUT,
            remembered: REMEMBERED,
            memory: Arc::default(),
        }
    }

    /// Sets the time limit of each attempt except the last, which only the caller limits; 5 s by default.
    ///
    /// The limit leaves time for the next transport if the network drops the packets of one.
    #[must_use]
    pub fn attempt_timeout(mut self, limit: Duration) -> Self {
        self.attempt_timeout = limit;
        self
    }

    /// Sets for how long a later transport that worked is tried first; 5 minutes by default.
    #[must_use]
    pub fn remember_for(mut self, time: Duration) -> Self {
        self.remembered = time;
        self
    }

    /// Watches a connection over a later transport: it is remembered after something was received.
    fn watch(&self, connection: Connection, index: usize) -> Connection {
        if index == 0 {
            return connection;
        }
        let (carrier, info) = connection.into_parts();
        let watched = Watched::new(carrier, self.memory.clone(), index, self.remembered);
        Connection::new(watched, info)
    }

    async fn attempt(&self, transport: &dyn crate::Transport) -> Result<Connection, ConnectError> {
        let late = |_| Err(ConnectError::unreachable(Late(self.attempt_timeout)));
        timeout(self.attempt_timeout, transport.connect()).await.unwrap_or_else(late)
    }
}

#[async_trait]
impl crate::Transport for Transport {
    /// Opens one connection.
    ///
    /// # Errors
    /// The error of the last attempt, with the text of all attempts; a failure of TLS that is not transient, or
    /// [`ConnectError::Invalid`], at once. [`ConnectError::Invalid`] if the list of transports is empty.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the attempt.
    async fn connect(&self) -> Result<Connection, ConnectError> {
        let Some((last, others)) = self.transports.split_last() else {
            return Err(ConnectError::Invalid("the list of transports is empty".to_owned()));
        };
        #[cfg(any(feature = "websocket", feature = "long-poll"))]
        crate::needs_runtime()?;
        let first = self.memory.take(Instant::now()).min(others.len());
        let mut failed = Vec::new();
        for (index, transport) in others.iter().enumerate().skip(first) {
            match self.attempt(&**transport).await {
                Err(error) if !error.fails_on_every_transport() => failed.push(error),
                outcome => return outcome.map(|connection| self.watch(connection, index)),
            }
        }
        let connection = last.connect().await.map_err(|error| all(failed, error))?;
        Ok(self.watch(connection, others.len()))
    }

    fn is_exposed(&self) -> bool {
        self.transports.iter().any(|transport| transport.is_exposed())
    }

    fn url(&self) -> Option<String> {
        self.transports.iter().find_map(|transport| transport.url())
    }
}

/// Returns the last error with the text of the earlier ones.
fn all(mut failed: Vec<ConnectError>, last: ConnectError) -> ConnectError {
    // An error that every transport would meet is reported alone: it says what must be corrected.
    if failed.is_empty() || last.fails_on_every_transport() {
        return last;
    }
    let refused = matches!(last, ConnectError::Refused(_));
    failed.push(last);
    let attempts = Attempts(failed);
    if refused { ConnectError::Refused(attempts.to_string()) } else { ConnectError::unreachable(attempts) }
}

/// An attempt exceeded its time limit.
#[derive(Debug, thiserror::Error)]
#[error("the server did not answer within {0:?}")]
struct Late(Duration);

/// All attempts in order, numbered because transports have no names before they connect.
#[derive(Debug)]
struct Attempts(Vec<ConnectError>);

impl std::error::Error for Attempts {}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}attempt {}: ", index + 1)?;
            match error {
                ConnectError::Unreachable(cause) => network_cause(&**cause).fmt(f)?,
                ConnectError::Refused(why) | ConnectError::Invalid(why) => why.fmt(f)?,
                #[cfg(feature = "tls")]
                ConnectError::Tls(cause) => cause.fmt(f)?,
            }
        }
        Ok(())
    }
}

#[cfg(all(test, feature = "memory"))]
mod tests {
    use std::{
        error::Error as _,
        future::pending,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
    };

    use tokio::time::advance;

    use super::*;
    use crate::{Listener as _, Transport as _, memory};

    /// How a transport of these tests fails.
    #[derive(Debug, Clone, Copy)]
    enum Fails {
        Unreachable,
        Refused,
        Invalid,
        Hangs,
    }

    #[derive(Debug)]
    struct Failing {
        how: Fails,
        asked: Arc<AtomicUsize>,
        is_exposed: bool,
    }

    #[async_trait]
    impl crate::Transport for Failing {
        async fn connect(&self) -> Result<Connection, ConnectError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            Err(match self.how {
                Fails::Unreachable => ConnectError::unreachable("connection refused"),
                Fails::Refused => ConnectError::Refused("status 426".to_owned()),
                Fails::Invalid => ConnectError::Invalid("no host".to_owned()),
                Fails::Hangs => pending().await,
            })
        }

        fn is_exposed(&self) -> bool {
            self.is_exposed
        }
    }

    fn failing(how: Fails) -> (Box<dyn crate::Transport>, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        (Box::new(Failing { how, asked: Arc::clone(&asked), is_exposed: false }), asked)
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_is_tried_only_if_the_first_did_not_open() {
        for (how, opens, after) in [
            (Fails::Unreachable, true, Duration::ZERO),
            (Fails::Refused, true, Duration::ZERO),
            (Fails::Hangs, true, ATTEMPT_TIMEOUT),
            (Fails::Invalid, false, Duration::ZERO),
        ] {
            let (first, asked) = failing(how);
            let (second, _listener) = memory::network();
            let transport = Transport::new([first, Box::new(second)]);
            for attempt in 1..3 {
                let began = Instant::now();
                assert_eq!(transport.connect().await.is_ok(), opens, "{how:?}");
                assert_eq!(began.elapsed().as_secs(), after.as_secs(), "{how:?}");
                assert_eq!(
                    asked.load(Ordering::Relaxed),
                    attempt,
                    "{how:?}: nothing was received over the second"
                );
            }
        }
    }

    /// Connects four times over two transports, of which the first is refused. In the first `carry` rounds, a message arrives over the
    /// second. Returns how often the first was dialled after each round.
    #[allow(clippy::unwrap_used, reason = "a helper of tests may fail like a test")]
    async fn dials(carry: usize, pause: Duration) -> [usize; 4] {
        let (first, asked) = failing(Fails::Refused);
        let (second, mut listener) = memory::network();
        let transport = Transport::new([first, Box::new(second)]);
        let mut dials = [0; 4];
        for (round, dials) in dials.iter_mut().enumerate() {
            let mut connection = transport.connect().await.unwrap();
            let mut peer = listener.accept().await.unwrap();
            if round < carry {
                peer.send("hello".into()).await.unwrap();
                connection.recv().await.unwrap();
            }
            drop(peer);
            assert!(connection.recv().await.is_err());
            *dials = asked.load(Ordering::Relaxed);
            advance(pause).await;
        }
        dials
    }

    #[tokio::test(start_paused = true)]
    async fn a_transport_that_worked_is_tried_first_for_a_while_until_it_fails() {
        let short = Duration::from_secs(1);
        assert_eq!(dials(1, short).await, [1, 1, 2, 3], "nothing was received over the second connection");
        assert_eq!(dials(4, short).await, [1, 1, 1, 1]);
        assert_eq!(dials(4, REMEMBERED / 2).await, [1, 1, 2, 2], "the time is not extended");
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_that_opens_is_the_last_that_is_tried() {
        let (first, _listener) = memory::network();
        let (second, asked) = failing(Fails::Refused);
        Transport::new([Box::new(first), second]).connect().await.unwrap();
        assert_eq!(asked.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_attempt_takes_as_long_as_the_caller_lets_it() {
        let transports = [failing(Fails::Hangs).0, failing(Fails::Hangs).0];
        let transport = Transport::new(transports).attempt_timeout(Duration::from_secs(1));
        let began = Instant::now();
        assert!(timeout(Duration::from_secs(60), transport.connect()).await.is_err());
        assert_eq!(began.elapsed().as_secs(), 60);
    }

    #[tokio::test(start_paused = true)]
    async fn the_error_has_the_kind_of_the_last_attempt_and_names_all_attempts() {
        for (attempts, said) in [
            (&[Fails::Refused][..], "the server does not accept this transport: status 426"),
            (
                &[Fails::Hangs, Fails::Refused],
                "the server does not accept this transport: attempt 1: the server did not answer within 5s; \
                 attempt 2: status 426",
            ),
            (
                &[Fails::Refused, Fails::Unreachable],
                "cannot reach the server: attempt 1: status 426; attempt 2: connection refused",
            ),
            (&[Fails::Refused, Fails::Invalid], "cannot dial: no host"),
            (&[], "cannot dial: the list of transports is empty"),
        ] {
            let transport = Transport::new(attempts.iter().map(|how| failing(*how).0));
            let error = transport.connect().await.unwrap_err();
            assert_eq!(error.to_string(), said, "{attempts:?}");
            assert!(error.source().is_none(), "the text contains the cause");
        }
    }

    #[test]
    fn it_is_exposed_if_any_transport_is() {
        for (a, b) in [(false, false), (true, false), (false, true)] {
            let of = |is_exposed| -> Box<dyn crate::Transport> {
                Box::new(Failing { how: Fails::Hangs, asked: Arc::default(), is_exposed })
            };
            assert_eq!(Transport::new([of(a), of(b)]).is_exposed(), a || b);
        }
    }
}
