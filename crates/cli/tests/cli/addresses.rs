//! The addresses of clients behind the proxies of `serve`.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
};

use crate::process::{Done, Folder, Running, text};

/// Names a client at 198.51.100.7.
const PREFACE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\x07\xc0\0\x02\x01\x12\x67\x01\xbb";
const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Sends bytes and returns everything that the server answers; empty if it closes the connection.
fn answer(address: &str, bytes: &[u8]) -> String {
    let mut tcp = TcpStream::connect(address).unwrap();
    // Either fails if the connection is closed already.
    _ = tcp.write_all(bytes);
    let mut answer = String::new();
    _ = tcp.read_to_string(&mut answer);
    answer
}

/// Signs in to the dashboard through a proxy that adds these headers.
fn sign_in(address: &str, origin: &str, headers: &str, password: &str) -> String {
    let form = format!("password={password}");
    let request = format!(
        "POST /dashboard/sign-in HTTP/1.1\r\nHost: chat.example.com\r\nOrigin: {origin}\r\n{headers}Connection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    answer(address, request.as_bytes())
}

fn serve(folder: &Folder, options: &[&str], change: impl FnOnce(&mut Command) -> &mut Command) -> Running {
    let mut command = folder.command(&[&["serve", "--listen", "127.0.0.1:0", "--json"], options].concat());
    Running::start(change(&mut command))
}

#[test]
fn the_dashboard_behind_a_trusted_proxy_has_the_clients_address_and_scheme() {
    let folder = Folder::new();
    let options = ["--dashboard", "--dashboard-host", "chat.example.com"];
    for (more, environment, header) in [
        (
            &["--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "127.0.0.1"][..],
            "",
            "X-Forwarded-For: 192.0.2.66, 198.51.100.7",
        ),
        (&[], "10.0.0.0/8, 127.0.0.1", "X-Forwarded-For: 198.51.100.7, 10.0.0.9"),
        (
            &["--trusted-proxy=127.0.0.1,::1", "--proxy-header", "forwarded"],
            "",
            "Forwarded: for=198.51.100.7;proto=https",
        ),
    ] {
        let mut serve = serve(&folder, &[&options[..], more].concat(), |command| match environment {
            "" => command,
            list => command.env("CHATCAMP_TRUSTED_PROXY", list),
        });
        let ready = serve.line();
        let address = text(&ready, "listening");
        let made = text(&folder.ok(&["admin", "password"]), "password").to_owned();
        let headers = format!("{header}\r\nX-Forwarded-Proto: https\r\n");

        let refused = sign_in(address, "https://chat.example.com", &headers, "guessed-wrongly");
        assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
        serve.logs("wrong password for the dashboard peer=198.51.100.7");

        let signed_in = sign_in(address, "https://chat.example.com", &headers, &made);
        assert!(signed_in.starts_with("HTTP/1.1 303 ") && signed_in.contains("; Secure\r\n"), "{signed_in}");
        let plain = sign_in(address, "http://chat.example.com", "", &made);
        assert!(plain.starts_with("HTTP/1.1 303 ") && !plain.contains("; Secure\r\n"), "{plain}");
    }
}

#[test]
fn headers_of_peers_that_are_not_trusted_are_ignored() {
    let folder = Folder::new();
    let options = ["--dashboard", "--dashboard-host", "chat.example.com", "--trusted-proxy", "10.0.0.0/8"];
    let mut serve = serve(&folder, &options, |command| command);
    let ready = serve.line();
    let password = fs::read_to_string(text(&ready, "admin_password_file")).unwrap();
    let headers = "X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\n";
    let address = text(&ready, "listening");
    assert!(
        sign_in(address, "http://chat.example.com", headers, "guessed-wrongly").starts_with("HTTP/1.1 403 ")
    );
    serve.logs("wrong password for the dashboard peer=127.0.0.1");
    let signed_in = sign_in(address, "http://chat.example.com", headers, password.trim());
    assert!(signed_in.starts_with("HTTP/1.1 303 ") && !signed_in.contains("; Secure\r\n"), "{signed_in}");
}

#[test]
fn a_listener_with_the_proxy_protocol_serves_only_connections_with_a_preface() {
    let folder = Folder::new();
    let with_preface = [PREFACE, HEALTH.as_bytes()].concat();
    let admin = ["--admin-listen", "127.0.0.1:0"];
    for (options, variables, listen_has, admin_has) in [
        (&["--trusted-proxy", "127.0.0.1", "--proxy-protocol"][..], &[][..], true, false),
        (&["--trusted-proxy", "127.0.0.1", "--admin-proxy-protocol"], &[], false, true),
        (&[], &[("CHATCAMP_TRUSTED_PROXY", "127.0.0.1"), ("CHATCAMP_PROXY_PROTOCOL", "true")], true, false),
        (&["--trusted-proxy", "127.0.0.1"], &[("CHATCAMP_PROXY_PROTOCOL", "0")], false, false),
    ] {
        let mut serve = serve(&folder, &[&admin[..], options].concat(), |command| {
            command.env("CHATCAMP_LOG", "debug").envs(variables.iter().copied())
        });
        let ready = serve.line();
        let dashboard = text(&ready, "dashboard").strip_prefix("http://").unwrap();
        let separate = dashboard.strip_suffix("/dashboard/").unwrap();
        for (address, has_preface) in [(text(&ready, "listening"), listen_has), (separate, admin_has)] {
            let without = answer(address, HEALTH.as_bytes());
            let with = answer(address, &with_preface);
            let (served, refused) = if has_preface { (with, without) } else { (without, with) };
            assert!(served.starts_with("HTTP/1.1 200 "), "{options:?} at {address}: {served}");
            assert!(!refused.starts_with("HTTP/1.1 200 "), "{options:?} at {address}: {refused}");
        }
        if listen_has {
            let old = answer(text(&ready, "listening"), b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 443\r\n");
            assert_eq!(old, "");
            serve.logs("let the balancer send version 2, such as HAProxy's send-proxy-v2");
        }
    }

    // A stranger, even with a preface.
    let options = ["--trusted-proxy", "10.0.0.0/8", "--proxy-protocol"];
    let mut serve = serve(&folder, &options, |command| command.env("CHATCAMP_LOG", "debug"));
    let ready = serve.line();
    assert_eq!(answer(text(&ready, "listening"), &with_preface), "");
    serve.logs("does not come from a trusted proxy");
}

#[test]
fn options_that_need_others_and_invalid_networks_are_usage_errors() {
    let folder = Folder::new();
    let needs_proxy = "add --trusted-proxy CIDR with the address of the proxy, such as 127.0.0.1";
    for (options, said) in [
        (&["--proxy-protocol"][..], needs_proxy),
        (&["--admin-proxy-protocol", "--admin-listen", "127.0.0.1:0"], needs_proxy),
        (&["--proxy-header", "x-forwarded-for"], needs_proxy),
        (&["--trusted-proxy", "127.0.0.1", "--admin-proxy-protocol"], "needs --admin-listen ADDR"),
        (
            &["--trusted-proxy", "127.0.0.1", "--proxy-header", "x-real-ip"],
            "[possible values: x-forwarded-for, forwarded]",
        ),
        (&["--trusted-proxy", "10.1.2.3/8"], "write 10.0.0.0/8 or 10.1.2.3"),
        (&["--trusted-proxy", "proxy.example"], "an address or a network, such as 192.0.2.7, 10.0.0.0/8"),
    ] {
        let done = folder.run(&[&["serve", "--listen", "127.0.0.1:0"], options].concat());
        assert_eq!((done.code, &*done.stdout), (2, ""), "{options:?}: {}", done.stderr);
        assert!(done.stderr.contains(said), "{options:?}: {}", done.stderr);
    }
    assert!(!folder.path().exists(), "a usage error creates nothing");
    let mut by_environment = folder.command(&["serve", "--listen", "127.0.0.1:0"]);
    let done = Done::of(by_environment.env("CHATCAMP_PROXY_PROTOCOL", "yes"));
    assert!(done.code == 2 && done.stderr.contains(needs_proxy), "{}", done.stderr);
}

#[test]
fn trusting_every_peer_is_a_warning() {
    let folder = Folder::new();
    let mut serve = serve(&folder, &["--trusted-proxy", "0.0.0.0/0"], |command| command);
    serve.line();
    serve.logs("whoever reaches this server without a proxy can choose their address");
}
