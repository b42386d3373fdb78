//! What must work in every way.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    process::{Done, text},
    raw,
    site::{Site, Variant, runtime},
    way::{PathStyle, Way},
};

pub(crate) use crate::browser::{pages_connect, pages_connect_below_a_path};

/// Longer than the longest idle time-out of the configurations, 60 s.
const SILENCE: Duration = Duration::from_secs(100);

const TRANSPORTS: [&str; 2] = ["websocket", "long-poll"];

pub(crate) fn users_connect_with_their_token(way: Way) {
    let site = Site::start(way);
    for (transport, used) in [("auto", "websocket"), ("websocket", "websocket"), ("long-poll", "long-poll")] {
        let done = Done::of(&mut site.connect(transport, &site.token));
        assert_eq!(done.code, 0, "{transport}: {}", done.stderr);
        let connected = &done.objects()[0];
        assert_eq!((text(connected, "event"), text(connected, "transport")), ("connected", used));
        let refused = Done::of(&mut site.connect(transport, "another token"));
        assert_eq!(refused.code, 1, "{transport}: {}", refused.stdout);
        assert!(refused.stderr.contains("the server refused"), "{transport}: {}", refused.stderr);
    }
}

pub(crate) fn events_of_the_backend_arrive(way: Way) {
    let site = Site::start(way);
    let users = TRANSPORTS.map(|transport| site.stay(transport));
    let order = json!({ "order": 17 });
    assert_eq!(site.publish("order.shipped", &order), 2);
    for user in &users {
        let event = user.event("app.event");
        assert_eq!((text(&event, "type"), &event["data"]), ("order.shipped", &order));
    }
    let sessions = site.sessions();
    assert_eq!(sessions.len(), 2);
}

pub(crate) fn a_new_proxy_resumes_the_sessions(way: Way) {
    let mut site = Site::start(way);
    let users = TRANSPORTS.map(|transport| site.stay(transport));
    site.restart_proxy();
    for user in &users {
        assert_eq!(text(&user.line(), "event"), "reconnecting");
        user.event("resumed");
    }
    assert_eq!(site.publish("still.there", &Value::Null), 2);
    for user in &users {
        user.event("app.event");
    }
}

pub(crate) fn users_return_after_a_restart_of_the_server(way: Way) {
    let mut site = Site::start(way);
    let users = TRANSPORTS.map(|transport| site.stay(transport));
    site.stop_server();
    for user in &users {
        assert_eq!(text(&user.line(), "event"), "reconnecting");
    }
    // Nothing answers for the server: a proxy says 502 or 503.
    let away = Done::of(&mut site.connect("auto", &site.token));
    assert_eq!(away.code, 1, "{}", away.stdout);
    site.start_server();
    for user in &users {
        user.event("connected");
    }
    assert_eq!(site.publish("back.again", &Value::Null), 2);
    for user in &users {
        user.event("app.event");
    }
}

/// Headers that clients send in the hope to appear as 198.51.100.7.
const FORGED: [&str; 6] = [
    "",
    "X-Forwarded-For: 198.51.100.7\r\n",
    "X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-For: 198.51.100.7, 127.0.0.1\r\n",
    "x-forwarded-for: 198.51.100.7,\r\nX-Real-IP: 198.51.100.7\r\nX-Forwarded-Host: 198.51.100.7\r\n",
    "Forwarded: for=198.51.100.7;proto=https, for=127.0.0.1\r\nVia: 1.1 198.51.100.7\r\n",
    "X-Forwarded-For: unknown, \"198.51.100.7\"\r\nX-Client-IP: 198.51.100.7\r\n",
];

/// Whatever a client claims, its address is the one from which it reached the proxy.
pub(crate) fn forged_addresses_are_not_believed(way: Way) {
    assert_addresses(&Site::start(way), raw::client());
}

/// Without `--trusted-proxy`, every client has the address of the proxy.
pub(crate) fn headers_of_an_untrusted_proxy_are_ignored(way: Way) {
    let variant = Variant { trusts_nobody: true, ..Variant::default() };
    assert_addresses(&Site::start_as(way, variant), Ipv4Addr::LOCALHOST.into());
}

fn assert_addresses(site: &Site, expected: IpAddr) {
    let runtime = runtime();
    let mut connections = Vec::new();
    for transport in TRANSPORTS {
        for headers in FORGED {
            connections.push(runtime.block_on(raw::connect(site, transport, headers)));
        }
        let sessions = site.sessions();
        assert_eq!(sessions.len(), connections.len());
        for session in sessions {
            assert_eq!(session.address, Some(expected), "{session:?}");
        }
    }
}

/// The published SDK sends the token in the query, which the logs of requests and of errors leave out.
pub(crate) fn no_log_contains_a_token(way: Way) {
    let mut site = Site::start(way);
    let runtime = runtime();
    for transport in TRANSPORTS {
        drop(runtime.block_on(raw::connect(&site, transport, "")));
    }
    site.stop_server();
    for transport in TRANSPORTS {
        runtime.block_on(raw::fail_to_connect(&site, transport));
    }
    let logs = site.logs_with(&[&["/chat/2.0"], &[" 502 ", " 503 ", ":502,"]]);
    assert!(!logs.contains(&site.token), "{logs}");
}

/// The proxy serves the server below a path, and passes the path on or removes it.
pub(crate) fn users_connect_below_a_path(way: Way) {
    for style in [PathStyle::PassesOn, PathStyle::Removes] {
        let site = Site::start_as(way, Variant { path: Some(style), ..Variant::default() });
        let users = TRANSPORTS.map(|transport| site.stay(transport));
        assert_eq!(site.publish("order.shipped", &Value::Null), 2, "{style:?}");
        for user in &users {
            user.event("app.event");
        }
    }
}

/// The server reads the replaced files, with OpenSSL as the client; connections stay.
pub(crate) fn a_renewed_certificate_is_used(way: Way) {
    let mut site = Site::start(way);
    let user = site.stay("websocket");
    for version in ["-tls1_2", "-tls1_3"] {
        let done = site.handshake(version);
        assert!(done.code == 0 && done.stderr.contains("Verification: OK"), "{version}: {}", done.stderr);
    }
    assert_ne!(site.handshake("-tls1_1").code, 0);

    site.renew_certificate();
    // Nothing else trusts the new certificate.
    assert_eq!(site.handshake("-tls1_3").code, 0);
    assert_eq!(site.publish("still.there", &Value::Null), 1);
    assert_eq!(text(&user.line(), "event"), "app.event");
}

/// Nothing is sent for longer than the idle time-outs of most proxies, except what keeps connections open.
pub(crate) fn silence_ends_no_connection() {
    let sites = Way::ALL.map(Site::start);
    let users: Vec<_> = sites.iter().map(|site| TRANSPORTS.map(|transport| site.stay(transport))).collect();
    thread::sleep(SILENCE);
    for (site, users) in sites.iter().zip(&users) {
        assert_eq!(site.publish("still.there", &Value::Null), 2, "{:?}", site.way);
        for user in users {
            // No event in between.
            assert_eq!(text(&user.line(), "event"), "app.event", "{:?}", site.way);
        }
    }
}

/// The sign-in form is accepted only from a page of the address that the browser sees, and the cookie is for TLS only.
pub(crate) fn an_operator_signs_in(way: Way) {
    let site = Site::start_as(way, Variant { has_dashboard: true, ..Variant::default() });
    let form = format!("password={}", site.password);
    for (scheme, is_let_in) in [("https", true), ("http", false)] {
        let origin = format!("origin: {scheme}://localhost:{}", site.port());
        let mut curl = site.curl("/dashboard/sign-in");
        let done = Done::of(curl.args(["--include", "--header", &origin, "--data", &form]));
        let cookie = done.stdout.lines().find(|line| line.to_ascii_lowercase().starts_with("set-cookie: "));
        assert_eq!(cookie.is_some_and(|cookie| cookie.ends_with("; Secure")), is_let_in, "{}", done.stdout);
    }
}

/// The server takes bodies of up to 512 KiB over long-poll.
pub(crate) fn the_largest_bodies_pass(way: Way) {
    let site = Site::start(way);
    let body = site.folder.file("body");
    let post = |text: &str| {
        fs::write(&body, text).unwrap();
        let mut curl = site.curl("/chat/2.0");
        curl.args(["--header", "content-type: application/json", "--header", "iflychat-token: an-id"]);
        let done = Done::of(curl.arg("--data-binary").arg(format!("@{}", body.display())));
        assert_eq!(done.code, 0, "{}", done.stderr);
        done.stdout
    };
    let user = json!({ "v": 1, "client": "test/1", "app_id": site.app, "user_id": "alice", "access_token": site.token });
    let auth = json!({ "t": "users.auth", "d": user, "r": 1 }).to_string();
    let answer = post(&json!([auth]).to_string());
    assert!(answer.contains("\\\"ok\\\":true"), "{answer}");
    assert_eq!(post(&format!("[{}]", " ".repeat(512 * 1024 - 2))), "[]");
    // Refused while it is being sent. A connection that is reset then would be answered 502 by a proxy.
    for _ in 0..20 {
        let answer = post(&" ".repeat(900 * 1024));
        assert!(answer.contains("\"TOO_LARGE\""), "{answer}");
    }
}

pub(crate) fn plain_http_on_the_port_for_tls_is_named(way: Way) {
    let mut site = Site::start(way);
    site.url = site.url.replace("https", "http");
    for transport in ["auto", "websocket", "long-poll"] {
        let args = ["connect", "bob", "--app", &site.app, "--url", &site.url, "--transport", transport];
        let done = site.folder.run(&args);
        assert_eq!(done.code, 1, "{}", done.stdout);
        assert!(done.stderr.contains("begin the URL with https://"), "{transport}: {}", done.stderr);
    }
}
