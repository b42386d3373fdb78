//! Web pages that connect over TLS.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::{
    packages::{folder, install_packages, on_path},
    process::text,
    site::{Site, Variant},
    way::{PATH, PathStyle, Way},
};

/// Computes what Chromium calls the SPKI of a certificate.
const SPKI: &str = "openssl x509 -pubkey -noout -in \"$0\" | openssl pkey -pubin -outform der \
    | openssl dgst -sha256 -binary | openssl base64";

/// The published SDK and `/chatcamp.js` connect over `wss://` and `https://`.
pub(crate) fn pages_connect(way: Way) {
    assert_pages_connect(way, "");
}

/// The same below a path. The published SDK reaches it by `/compat.js`.
pub(crate) fn pages_connect_below_a_path(way: Way) {
    assert_pages_connect(way, PATH);
}

fn assert_pages_connect(way: Way, path: &str) {
    let chromium = on_path("chromium").unwrap();
    install_packages().unwrap();
    let style = (path == PATH).then_some(PathStyle::PassesOn);
    let site = Site::start_as(way, Variant { path: style, ..Variant::default() });
    let spki = Command::new("sh").args(["-eu", "-c", SPKI, &site.ca]).output().unwrap();
    let given = json!({
        "chromium": chromium,
        "port": site.port(),
        "path": path,
        "spki": String::from_utf8(spki.stdout).unwrap().trim(),
        "app": site.app,
        "user": "alice",
        "token": site.token,
    });
    let mut node = Command::new("node");
    node.arg(folder().join("over_tls.mjs")).arg(given.to_string()).stderr(Stdio::inherit());
    let output = node.output().unwrap();
    assert!(output.status.success(), "node over_tls.mjs: {}", output.status);
    let outcomes = String::from_utf8(output.stdout).unwrap();
    let outcomes: Vec<Value> = outcomes.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let scenarios: Vec<_> = outcomes.iter().map(|outcome| text(outcome, "scenario")).collect();
    let both = ["publishedSdk", "chatcampJs"];
    let expected = ["web_socket", "long_poll"].map(|over| both.map(|with| format!("{over}::{with}")));
    assert_eq!(scenarios, expected.concat());
    for outcome in &outcomes {
        assert_eq!(outcome["ok"], true, "{outcome}");
    }
    // Over WebSocket the SDK makes no other request.
    let version = if way.ends_tls() { "h2" } else { "http/1.1" };
    assert!(outcomes[1..].iter().all(|outcome| outcome["protocols"] == json!([version])), "{outcomes:?}");
}
