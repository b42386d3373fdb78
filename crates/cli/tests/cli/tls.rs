//! Tests of `chatcamp connect` over TLS.

use std::fs;

use chatcamp_tls::testing::{Authority, Fault, FaultyServer, Proxy};

use crate::process::{Done, Folder, text};

const TRANSPORTS: [&str; 3] = ["auto", "websocket", "long-poll"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_connects_with_a_token_and_a_trusted_authority() {
    let folder = Folder::new();
    let (_dev, ready) = folder.dev();
    let created = folder.ok(&["user", "create", "alice"]);
    let token = text(&created, "access_token");
    let authority = Authority::new("trusted");
    let server = text(&ready, "listening").parse().unwrap();
    let proxy = Proxy::start(authority.server(&["localhost"]), server).await;
    let url = format!("https://localhost:{}", proxy.address().port());
    let file = folder.file("authority.pem");
    fs::write(&file, authority.pem()).unwrap();
    let file = file.to_str().unwrap();
    for transport in TRANSPORTS {
        let args = ["connect", "alice", "--url", &url, "--token", token, "--transport", transport, "--json"];
        let trusted = folder.run(&[&args[..8], &["--ca", file]].concat());
        assert_eq!(trusted.code, 0, "{transport}: {}", trusted.stderr);
        assert_eq!(text(&trusted.objects()[0], "event"), "connected");

        // Linux and the BSDs read the authorities of the system from a file that the environment can name.
        if cfg!(target_os = "linux") {
            let by_system = Done::of(folder.command(&args).env("SSL_CERT_FILE", file));
            assert_eq!(by_system.code, 0, "{transport}: {}", by_system.stderr);
        }

        let unknown = FaultyServer::start(Fault::UnknownAuthority).await;
        fs::write(folder.file("other.pem"), unknown.root()).unwrap();
        let other = folder.file("other.pem");
        let refused = folder.run(&[&args[..8], &["--ca", other.to_str().unwrap()]].concat());
        assert_eq!(refused.code, 1, "{transport}: {}", refused.stdout);
        assert!(refused.stderr.contains("not signed by a trusted authority"), "{}", refused.stderr);
        assert!(refused.stderr.trim_end().ends_with("--ca FILE"), "{}", refused.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_handshake_is_an_error_that_names_the_cause() {
    let folder = Folder::new();
    let file = folder.file("authority.pem");
    for fault in Fault::ALL {
        let server = FaultyServer::start(fault).await;
        fs::write(&file, server.root()).unwrap();
        for transport in TRANSPORTS {
            let url = server.url("https");
            let args = ["connect", "alice", "--app", "a", "--url", &url, "--transport", transport];
            let done = folder.run(&[&args[..], &["--ca", file.to_str().unwrap()]].concat());
            assert_eq!(done.code, 1, "{fault:?}: {}", done.stderr);
            assert!(done.stderr.contains(fault.text()), "{fault:?} over {transport}: {}", done.stderr);
            assert!(
                done.stderr.lines().count() == 1 && !done.stderr.contains("chatcamp dev"),
                "{}",
                done.stderr
            );
        }
    }
}

#[test]
fn https_to_a_server_without_tls_is_an_error_that_says_so() {
    let folder = Folder::new();
    let (_dev, ready) = folder.dev();
    let authority = folder.file("authority.pem");
    fs::write(&authority, Authority::new("trusted").pem()).unwrap();
    let url = format!("https://{}", text(&ready, "listening"));
    for transport in TRANSPORTS {
        let args = ["connect", "alice", "--url", &url, "--transport", transport];
        let done = folder.run(&[&args[..], &["--ca", authority.to_str().unwrap()]].concat());
        assert_eq!(done.code, 1, "{}", done.stdout);
        assert!(done.stderr.contains("does not use TLS on this port"), "{transport}: {}", done.stderr);
    }
}

#[test]
fn an_unusable_ca_file_is_an_error_that_says_what_to_do() {
    let folder = Folder::new();
    let file = folder.file("file.pem");
    fs::write(&file, "not PEM").unwrap();
    let file = file.to_str().unwrap();
    for (url, ca, code, expected) in [
        ("https://127.0.0.1:1", file, 2, "no certificate in PEM"),
        ("https://127.0.0.1:1", "/nonexistent", 1, "cannot read a certificate from /nonexistent"),
        ("http://127.0.0.1:1", file, 2, "--ca applies only to a URL that begins with https://"),
    ] {
        let done = folder.run(&["connect", "alice", "--app", "a", "--url", url, "--ca", ca]);
        assert_eq!(done.code, code, "{url} {ca}");
        assert!(done.stderr.contains(expected) && done.stderr.lines().count() == 1, "{}", done.stderr);
    }
}
