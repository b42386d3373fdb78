//! Calls over TLS.

#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use chatcamp_backend::{Backend, BuildError, Disconnect, Error, RootsError, Tls, TlsError, UserFields};
use chatcamp_tls::testing::{Authority, Fault, FaultyServer, Proxy};
use common::World;

#[tokio::test]
async fn a_call_is_made_over_tls_with_a_root_certificate_or_a_shared_configuration() {
    let world = World::new().await;
    let authority = Authority::new("trusted");
    let proxy = Proxy::start(authority.server(&["localhost", "127.0.0.1"]), world.address).await;
    let builder = |host| {
        let url = format!("https://{host}:{}", proxy.address().port());
        Backend::builder(url, world.key.as_str())
    };
    let backend = builder("localhost").root_certificate(authority.pem()).build().unwrap();
    backend.create_user("alice", UserFields::default()).await.unwrap();
    let tls = Tls::with_roots(authority.pem()).unwrap();
    let backend = builder("127.0.0.1").tls(&tls).build().unwrap();
    assert_eq!(backend.app().await.unwrap().id, world.app);
    let seen = proxy.handshakes();
    assert!(seen.iter().all(|handshake| handshake.alpn.as_deref() == Some("http/1.1")), "{seen:?}");
}

/// A wrong certificate does not become right within the time of a call.
#[tokio::test]
async fn only_a_handshake_that_was_cut_is_retried() {
    for fault in Fault::ALL {
        let server = FaultyServer::start(fault).await;
        let backend = Backend::builder(server.url("https"), "ck1_key").root_certificate(server.root());
        let error = backend.retries(1).build().unwrap().disconnect("alice", Disconnect::default()).await;
        let error = error.unwrap_err();
        let Error::Tls(cause) = &error else { panic!("{fault:?}: {error:?}") };
        assert!(fault.is_reported_as(cause), "{fault:?}: {cause:?}");
        assert!(error.to_string().contains(fault.text()) && !error.may_have_run());
        assert_eq!(error.is_retryable(), fault == Fault::Cut);
        assert_eq!(server.connections(), if fault == Fault::Cut { 2 } else { 1 }, "{fault:?}");
    }
}

#[tokio::test]
async fn a_server_that_expects_tls_is_named_without_a_retry() {
    let server = FaultyServer::expecting_tls().await;
    let backend = Backend::builder(server.url("http"), "ck1_key").retries(1).build().unwrap();
    let error = backend.app().await.unwrap_err();
    assert!(matches!(error, Error::Tls(TlsError::Required)), "{error:?}");
    assert!(!error.is_retryable() && !error.may_have_run() && server.connections() == 1);
}

#[tokio::test]
async fn unusable_roots_are_reported_by_the_builder() {
    for url in ["https://chat.example", "http://127.0.0.1:1"] {
        let built = Backend::builder(url, "ck1_key").root_certificate("not PEM").build();
        assert_eq!(built.unwrap_err(), BuildError::Roots(RootsError::NoCertificate));
    }
}
