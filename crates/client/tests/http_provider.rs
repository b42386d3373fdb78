//! The provider that asks a backend over HTTP.

#![cfg(feature = "http-provider")]
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

use std::{net::SocketAddr, time::Duration};

use chatcamp_auth::{Credential, CredentialProvider, credential::CredentialReason};
use chatcamp_client::{Code, HttpProvider, http_provider::InvalidProvider};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

/// Answers one request with this answer. Returns the request.
async fn backend(answer: &'static str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"}") {
            tcp.read_buf(&mut asked).await.unwrap();
        }
        tcp.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(asked).unwrap()
    });
    (address, asked)
}

async fn ask(why: CredentialReason, answer: &'static str) -> (Result<Credential, String>, String) {
    let (address, asked) = backend(answer).await;
    let provider = HttpProvider::new(&format!("http://{address}/chat")).unwrap();
    let provider = provider.header("authorization", "Bearer hunter2").unwrap();
    let shown = format!("{provider:?}");
    assert!(shown.contains("/chat") && !shown.contains("hunter2"), "{shown}");
    let answer = provider.credential(why).await.map_err(|error| error.to_string());
    (answer, asked.await.unwrap())
}

#[tokio::test]
async fn the_backend_is_told_why_and_its_token_is_taken() {
    let with_lifetime =
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"access_token\":\"token-1\",\"expires_in\":90}";
    let without = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"access_token\":\"token-1\",\"more\":[1]}";
    for (why, said, answer, lifetime) in [
        (CredentialReason::Initial, r#"{"why":"initial"}"#, with_lifetime, Some(90)),
        (CredentialReason::Expiring, r#"{"why":"expiring"}"#, without, None),
        (
            CredentialReason::Rejected(Code::AccessTokenExpired),
            r#"{"code":"ACCESS_TOKEN_EXPIRED","why":"rejected"}"#,
            without,
            None,
        ),
    ] {
        let (credential, asked) = ask(why, answer).await;
        assert!(asked.starts_with("POST /chat ") && asked.ends_with(said), "{asked}");
        assert!(asked.to_ascii_lowercase().contains("authorization: bearer hunter2"), "{asked}");
        let lifetime = lifetime.map(Duration::from_secs);
        assert_eq!(credential.unwrap(), Credential { token: Some("token-1".into()), lifetime });
    }
}

#[cfg(feature = "tls")]
#[tokio::test]
async fn a_backend_is_asked_over_tls_and_a_failed_handshake_is_named() {
    use chatcamp_client::Tls;
    use chatcamp_tls::testing::{Authority, Fault, FaultyServer, Proxy};

    let (address, asked) =
        backend("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"access_token\":\"token-1\"}").await;
    let authority = Authority::new("trusted");
    let proxy = Proxy::start(authority.server(&["localhost"]), address).await;
    let url = format!("https://localhost:{}/chat", proxy.address().port());
    let provider = HttpProvider::with_tls(&url, &Tls::with_roots(authority.pem()).unwrap()).unwrap();
    let credential = provider.credential(CredentialReason::Initial).await.unwrap();
    assert_eq!(credential.token, Some("token-1".into()));
    assert!(asked.await.unwrap().starts_with("POST /chat "));

    for fault in Fault::ALL {
        let server = FaultyServer::start(fault).await;
        let tls = Tls::with_roots(server.root()).unwrap();
        let provider = HttpProvider::with_tls(&server.url("https"), &tls).unwrap();
        let error = provider.credential(CredentialReason::Initial).await.unwrap_err().to_string();
        assert!(error.contains(fault.text()), "{fault:?}: {error}");
    }

    let server = FaultyServer::expecting_tls().await;
    let provider = HttpProvider::new(&server.url("http")).unwrap();
    let error = provider.credential(CredentialReason::Initial).await.unwrap_err().to_string();
    assert!(error.contains("expects TLS on this port"), "{error}");
}

#[tokio::test]
async fn an_answer_without_a_token_is_an_error_that_does_not_quote_it() {
    for (answer, expected) in [
        ("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n", "status 401"),
        ("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "status 302"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "not a JSON object"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n\"hunter2\"", "not a JSON object"),
        ("", "cannot reach the backend"),
    ] {
        let error = ask(CredentialReason::Initial, answer).await.0.unwrap_err();
        assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_abandoned() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut asked = Vec::new();
        while !asked.ends_with(b"}") {
            tcp.read_buf(&mut asked).await.unwrap();
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
        tcp.write_all(head.as_bytes()).await.unwrap();
        while tcp.write_all(&[b' '; 4096]).await.is_ok() {}
    });
    let provider = HttpProvider::new(&format!("http://{address}")).unwrap();
    let error = provider.credential(CredentialReason::Initial).await.unwrap_err().to_string();
    assert!(error.contains("larger than"), "{error}");
}

#[test]
fn only_encrypted_or_local_urls_are_accepted() {
    let of = |url| HttpProvider::new(url).err();
    assert_eq!(of("http://backend.example/chat"), Some(InvalidProvider::Exposed));
    assert!(matches!(of("ftp://127.0.0.1"), Some(InvalidProvider::Url(_))));
    assert!(matches!(of("chat"), Some(InvalidProvider::Url(_))));
    for url in ["http://127.0.0.1:1/chat", "http://localhost/chat", "http://[::1]/chat"] {
        assert_eq!(of(url), None, "{url}");
    }
    assert_eq!(of("https://backend.example/chat").is_none(), cfg!(feature = "tls"));
}

#[test]
fn invalid_options_are_reported_by_the_constructor() {
    let provider = || HttpProvider::new("http://127.0.0.1:1/chat?room=1").unwrap();
    assert!(provider().header("authorization", "Bearer hunter2\r\n").is_ok(), "the value is trimmed");
    let error = provider().header("authorization", "Bearer hunt\ner2").unwrap_err().to_string();
    assert!(error.contains("line break") && !error.contains("er2"), "{error}");
    assert!(matches!(HttpProvider::new("http://127.0.0.1:1/#top"), Err(InvalidProvider::Url(_))));
}

#[test]
fn outside_a_runtime_it_fails_and_does_not_panic() {
    let provider = HttpProvider::new("http://127.0.0.1:1/chat").unwrap();
    let error =
        futures_executor::block_on(provider.credential(CredentialReason::Initial)).unwrap_err().to_string();
    assert!(error.contains("tokio runtime"), "{error}");
}
