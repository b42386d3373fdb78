//! What must work in every way.

use std::{thread, time::Duration};

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
        let site = Site::start_as(way, Variant { path: Some(style) });
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

/// A body larger than the default of some proxies is answered by the server.
pub(crate) fn the_largest_bodies_reach_the_server(way: Way) {
    let site = Site::start(way);
    let body = site.folder.file("body");
    std::fs::write(&body, vec![b' '; 512 * 1024]).unwrap();
    let body = format!("@{}", body.display());
    let mut curl = site.curl("/chat/2.0");
    curl.args(["--header", "content-type: application/json", "--header", "iflychat-token: an-id"]);
    curl.args(["--data-binary", &body]);
    let done = Done::of(&mut curl);
    assert!(done.stdout.starts_with("{\"ok\":false,"), "{} {}", done.stdout, done.stderr);
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
