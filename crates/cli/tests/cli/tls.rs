//! Tests of `chatcamp connect` over TLS.

use std::{fs, net::TcpStream, process::Command};

use chatcamp_tls::testing::{Authority, Fault, FaultyServer, Proxy};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustix::process::Signal;

use crate::process::{Done, Folder, Running, text};

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

/// Writes a certificate that trusts itself, with its key; returns the paths.
fn certificate(folder: &Folder, name: &str) -> [String; 2] {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    [("crt", cert.pem()), ("key", signing_key.serialize_pem())].map(|(end, pem)| {
        let file = folder.file(&format!("{name}.{end}"));
        fs::write(&file, pem).unwrap();
        file.to_str().unwrap().to_owned()
    })
}

/// Starts `chatcamp serve` with a certificate; returns its URL too.
fn serve_encrypted(folder: &Folder, [certificate, key]: &[String; 2], more: &[&str]) -> (Running, String) {
    let args = ["serve", "--listen", "127.0.0.1:0", "--tls-cert-file", certificate, "--tls-key-file", key];
    let serve = folder.start(&[&args[..], more].concat());
    let url = format!("https://{}", text(&serve.line(), "listening"));
    (serve, url)
}

#[test]
fn serve_accepts_tls_and_only_tls() {
    let folder = Folder::new();
    let app = folder.ok(&["app", "create", "test", "--auth", "open"]);
    let app = text(&app, "app_id");
    let files = certificate(&folder, "one");
    let (_serve, url) = serve_encrypted(&folder, &files, &["--dashboard"]);
    for transport in TRANSPORTS {
        let args =
            ["connect", "alice", "--app", app, "--url", &url, "--ca", &files[0], "--transport", transport];
        let done = folder.run(&args);
        assert_eq!(done.code, 0, "{transport}: {}", done.stderr);
    }
    let curl = |url: &str| {
        let args = ["--silent", "--show-error", "--include", "--max-time", "20", "--cacert", &files[0], url];
        let output = Command::new("curl").args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(curl(&format!("{url}/healthz")).starts_with("HTTP/1.1 200 OK"));
    let sign_in = curl(&format!("{url}/dashboard/sign-in"));
    assert!(sign_in.starts_with("HTTP/1.1 200 OK"), "{sign_in}");
    let plain_url = url.replace("https", "http");
    for transport in TRANSPORTS {
        let args = ["connect", "alice", "--app", app, "--url", &plain_url, "--transport", transport];
        let done = folder.run(&args);
        assert_eq!(done.code, 1, "{transport}: {}", done.stdout);
        let said = done.stderr.trim_end();
        assert!(said.ends_with("expects TLS on this port: begin the URL with https:// or wss://"), "{said}");
    }
    let plain = curl(&format!("{plain_url}/healthz"));
    assert!(plain.starts_with("HTTP/1.1 400 ") && plain.ends_with("https:// or wss:// URL"), "{plain}");
}

#[test]
fn certificates_are_loaded_again_on_sighup() {
    let folder = Folder::new();
    let app = folder.ok(&["app", "create", "test", "--auth", "open"]);
    let app = text(&app, "app_id");
    let files = certificate(&folder, "one");
    let (mut serve, url) = serve_encrypted(&folder, &files, &[]);
    let old = fs::read(&files[0]).unwrap();
    let kept = folder.file("old.crt");
    fs::write(&kept, old).unwrap();
    let connect = |ca: &str| folder.run(&["connect", "alice", "--app", app, "--url", &url, "--ca", ca]);
    assert_eq!(connect(&files[0]).code, 0);

    certificate(&folder, "one");
    serve.signal(Signal::HUP);
    serve.logs("the certificates were replaced");
    let done = connect(&files[0]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    assert!(connect(kept.to_str().unwrap()).stderr.contains("not signed by a trusted authority"));

    fs::write(&files[1], "half of a pair").unwrap();
    serve.signal(Signal::HUP);
    serve.logs("the certificates stay as they were");
    assert_eq!(connect(&files[0]).code, 0);
    serve.signal(Signal::TERM);
    assert_eq!(serve.wait().code, 0);
}

#[test]
fn sighup_does_not_end_serve_and_ends_dev_in_order() {
    let folder = Folder::new();
    let mut serve = folder.start(&["serve", "--listen", "127.0.0.1:0"]);
    let line = serve.line();
    serve.signal(Signal::HUP);
    serve.logs("there are no certificates to load again");
    TcpStream::connect(text(&line, "listening")).unwrap();
    serve.signal(Signal::TERM);
    assert_eq!(serve.wait().code, 0);
    let (dev, _) = folder.dev();
    dev.signal(Signal::HUP);
    assert_eq!(dev.wait().code, 0);
}

#[test]
fn options_for_certificates_that_do_not_fit_are_refused() {
    let folder = Folder::new();
    let [one, two] = ["one", "two"].map(|name| certificate(&folder, name));
    for (args, code, expected) in [
        (vec!["--tls-cert-file", &one[0]], 2, "certificates: 1, keys: 0"),
        (vec!["--tls-key-file", &one[1]], 2, "certificates: 0, keys: 1"),
        (
            vec!["--tls-cert-file", &one[0], "--tls-key-file", &two[1]],
            1,
            "does not belong to the certificate",
        ),
        (vec!["--tls-cert-file", "missing.crt", "--tls-key-file", &two[1]], 1, "cannot read missing.crt"),
    ] {
        let done = folder.run(&[&["serve", "--listen", "127.0.0.1:0"][..], &args].concat());
        assert_eq!(done.code, code, "{}", done.stderr);
        assert!(done.stderr.contains(expected), "{}", done.stderr);
    }
}
