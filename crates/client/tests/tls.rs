//! The client over TLS.

#![cfg(all(feature = "tls", feature = "websocket", feature = "long-poll"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod support;

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use chatcamp_client::{
    BuildError, ChatCamp, ConnectError, Event, Interruption, RootsError, Tls, TlsError,
    transport::{self, Connection, Transport, long_poll, memory, websocket},
};
use chatcamp_tls::testing::{Authority, Fault, FaultyServer, Proxy};
use support::{Peer, Server};
use tokio::join;

/// A WebSocket server behind a TLS proxy with a certificate for `name`.
async fn behind_tls(name: &str) -> (websocket::Listener, Proxy, Authority) {
    let listener = websocket::Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let authority = Authority::new("trusted");
    let proxy = Proxy::start(authority.server(&[name]), listener.local_addr().unwrap()).await;
    (listener, proxy, authority)
}

#[tokio::test]
async fn a_user_connects_over_tls_with_a_root_certificate() {
    let (mut listener, proxy, authority) = behind_tls("localhost").await;
    let url = format!("https://localhost:{}", proxy.address().port());
    let chat = ChatCamp::builder("demo").url(url).root_certificate(authority.pem()).build().unwrap();
    let mut events = chat.events();
    let (user, peer) = join!(chat.connect(("alice", "token")), async {
        Peer::accepted_by(&mut listener).await.asked().await.admit().await
    });
    assert_eq!(user.unwrap().id.as_str(), "alice");
    assert!(matches!(events.next().await, Some(Event::Connected { transport: "websocket", .. })));
    let ((), end) = join!(chat.disconnect(), peer.ended());
    assert_eq!(end.code(), 1000);
}

/// Linux connects to itself at 0.0.0.0, which the client does not count as loopback.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_token_leaves_this_machine_only_over_tls() {
    let (mut listener, proxy, authority) = behind_tls("0.0.0.0").await;
    let url = format!("wss://0.0.0.0:{}", proxy.address().port());
    let chat = ChatCamp::builder("demo").url(url).root_certificate(authority.pem()).build().unwrap();
    let (user, _peer) = join!(chat.connect(("alice", "token")), async {
        Peer::accepted_by(&mut listener).await.asked().await.admit().await
    });
    user.unwrap();

    for scheme in ["ws", "http"] {
        let url = format!("{scheme}://0.0.0.0:{}", listener.local_addr().unwrap().port());
        let chat = ChatCamp::builder("demo").url(url).build().unwrap();
        let refused = chat.connect(("alice", "token")).await;
        assert!(matches!(refused, Err(ConnectError::TokenExposed)), "{refused:?}");
    }
}

#[tokio::test]
async fn the_cause_of_a_failed_handshake_is_named_over_every_transport() {
    for fault in Fault::ALL {
        let server = FaultyServer::start(fault).await;
        let tls = Tls::with_roots(server.root()).unwrap();
        let (wss, https) = (server.url("wss"), server.url("https"));
        let builder = || ChatCamp::builder("demo");
        for (over, client) in [
            ("both", builder().url(&https).root_certificate(server.root())),
            ("websocket", builder().transport(websocket::Transport::with_tls(&wss, &tls).unwrap())),
            ("long-poll", builder().transport(long_poll::Transport::with_tls(&https, &tls).unwrap())),
        ] {
            let chat = client.build().unwrap();
            let error = chat.connect(("alice", "token")).await.unwrap_err();
            let cause = error.tls().unwrap_or_else(|| panic!("{fault:?} over {over}: {error:?}"));
            assert!(fault.is_reported_as(cause), "{fault:?} over {over}: {cause:?}");
            assert!(error.is_retryable());
        }
    }
}

/// A transport that fails with these errors before it connects.
#[derive(Debug)]
struct Failing {
    inner: memory::Transport,
    errors: Vec<TlsError>,
    failed: AtomicUsize,
    /// The number of connections that open before the errors.
    opens_first: AtomicUsize,
}

#[async_trait]
impl Transport for Failing {
    async fn connect(&self) -> Result<Connection, transport::ConnectError> {
        let opens = self.opens_first.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        if opens.is_err() {
            if let Some(error) = self.errors.get(self.failed.fetch_add(1, Ordering::Relaxed)) {
                return Err(transport::ConnectError::Tls(error.clone()));
            }
        }
        self.inner.connect().await
    }

    fn is_exposed(&self) -> bool {
        false
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_outlives_an_expired_certificate_and_a_network_that_intercepts_connections() {
    let errors = [
        TlsError::Expired { not_after: None },
        TlsError::UnknownAuthority,
        TlsError::WrongName { expected: None, names: Vec::new() },
        TlsError::NotTls,
        TlsError::Cut,
    ];
    let (inner, listener) = memory::network();
    let transport = Failing {
        inner,
        errors: errors.to_vec(),
        failed: AtomicUsize::new(0),
        opens_first: AtomicUsize::new(1),
    };
    let chat = ChatCamp::builder("demo").transport(transport).build().unwrap();
    let mut events = chat.events();
    let mut server = Server::of(listener);
    let (user, peer) = join!(chat.connect("alice"), server.admit());
    user.unwrap();
    assert!(matches!(events.next().await, Some(Event::Connected { .. })));
    drop(peer);
    assert!(matches!(events.next().await, Some(Event::Reconnecting { why: Interruption::Closed(_), .. })));
    for expected in errors {
        let event = events.next().await;
        let Some(Event::Reconnecting { why: Interruption::Attempt(error), after }) = &event else {
            panic!("{expected:?}: {event:?}")
        };
        assert_eq!(error.tls(), Some(&expected));
        assert!(*after <= Duration::from_secs(20));
    }
    let _peer = server.admit().await;
    assert!(matches!(events.next().await, Some(Event::Connected { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_first_connect_fails_at_once_unless_the_client_keeps_trying() {
    for keeps_trying in [false, true] {
        let (inner, listener) = memory::network();
        let errors = vec![TlsError::UnknownAuthority];
        let transport =
            Failing { inner, errors, failed: AtomicUsize::new(0), opens_first: AtomicUsize::new(0) };
        let mut builder = ChatCamp::builder("demo").transport(transport);
        if keeps_trying {
            builder = builder.reconnect(chatcamp_client::Reconnect::default().keep_trying());
        }
        let chat = builder.build().unwrap();
        let mut server = Server::of(listener);
        if keeps_trying {
            let (user, _peer) = join!(chat.connect("alice"), server.admit());
            user.unwrap();
        } else {
            let error = chat.connect("alice").await.unwrap_err();
            assert_eq!(error.tls(), Some(&TlsError::UnknownAuthority));
        }
    }
}

#[tokio::test]
async fn unusable_roots_are_reported_by_the_builder() {
    let root = Authority::new("a").pem();
    for url in ["https://chat.example", "http://127.0.0.1:1"] {
        let of = |pem: &str| ChatCamp::builder("demo").url(url).root_certificate(pem).build();
        assert!(matches!(of("not PEM"), Err(BuildError::Roots(RootsError::NoCertificate))));
        of(&root).unwrap();
    }
    let (transport, _listener) = memory::network();
    let unused = ChatCamp::builder("demo").root_certificate(&root).transport(transport).build();
    assert!(matches!(unused, Err(BuildError::UnusedTls)));
}
