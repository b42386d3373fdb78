//! Handshakes with a server, good and failing ones.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::{io, net::Ipv4Addr};

use chatcamp_tls::{
    Tls, TlsError,
    testing::{Authority, Fault, FaultyServer, Handshake, Proxy},
};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

async fn handshake(tls: &Tls, port: u16, host: &str) -> io::Result<()> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let name = ServerName::try_from(host.to_owned()).unwrap();
    TlsConnector::from(tls.config().clone()).connect(name, stream).await.map(drop)
}

#[tokio::test]
async fn every_failed_handshake_is_explained() {
    for fault in Fault::ALL {
        let server = FaultyServer::start(fault).await;
        let tls = Tls::with_roots(server.root()).unwrap();
        let error = handshake(&tls, server.port(), "localhost").await.unwrap_err();
        let found = TlsError::of_handshake(&error).unwrap();
        assert!(fault.is_reported_as(&found), "{fault:?}: {found:?}");
        assert!(found.to_string().contains(fault.text()), "{fault:?}: {found}");
    }
}

#[tokio::test]
async fn names_and_addresses_are_verified_and_only_names_are_sent() {
    let authority = Authority::new("trusted");
    let upstream = (Ipv4Addr::LOCALHOST, 9).into();
    let proxy = Proxy::start(authority.server(&["localhost", "127.0.0.1", "::1"]), upstream).await;
    let tls = Tls::with_roots(authority.pem()).unwrap();
    for host in ["localhost", "127.0.0.1", "::1"] {
        handshake(&tls, proxy.address().port(), host).await.unwrap();
    }
    let error = handshake(&tls, proxy.address().port(), "192.0.2.1").await.unwrap_err();
    assert!(matches!(TlsError::of_handshake(&error), Some(TlsError::WrongName { .. })), "{error}");
    let shaken = |name: Option<&str>| Handshake {
        server_name: name.map(str::to_owned),
        alpn: Some("http/1.1".to_owned()),
    };
    let mut seen = proxy.handshakes();
    // With TLS 1.3 the client is done before the server has noted it.
    while seen.len() < 3 {
        tokio::task::yield_now().await;
        seen = proxy.handshakes();
    }
    seen.sort_by(|a, b| b.server_name.cmp(&a.server_name));
    assert_eq!(seen, [shaken(Some("localhost")), shaken(None), shaken(None)]);
}

#[tokio::test]
async fn an_authority_with_the_name_of_a_trusted_one_is_unknown() {
    let (trusted, other) = (Authority::new("trusted"), Authority::new("trusted"));
    let proxy = Proxy::start(other.server(&["localhost"]), (Ipv4Addr::LOCALHOST, 9).into()).await;
    let tls = Tls::with_roots(trusted.pem()).unwrap();
    let error = handshake(&tls, proxy.address().port(), "localhost").await.unwrap_err();
    assert_eq!(TlsError::of_handshake(&error), Some(TlsError::UnknownAuthority));
}

#[tokio::test]
async fn a_client_that_trusts_the_platform_refuses_an_unknown_authority() {
    // A system without root certificates is an error, and not the subject of this test.
    let Ok(tls) = Tls::platform() else { return };
    let server = FaultyServer::start(Fault::UnknownAuthority).await;
    let error = handshake(&tls, server.port(), "localhost").await.unwrap_err();
    assert_eq!(TlsError::of_handshake(&error), Some(TlsError::UnknownAuthority));
}

#[test]
fn the_default_provider_of_the_process_is_not_installed() {
    Tls::with_roots(Authority::new("trusted").pem()).unwrap();
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
}
