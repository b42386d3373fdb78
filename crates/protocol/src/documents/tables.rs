//! The tables of codes, errors and limits in `docs/PROTOCOL.md`.

use std::fmt::Write as _;

use super::{PROTOCOL, assert_generated};
use crate::{ApiCode, Code, ErrorCode, limits};

#[test]
fn every_end_is_documented() {
    let mut table =
        "| code | number | advice | a published SDK is told | reason |\n|---|---|---|---|---|\n".to_owned();
    for code in Code::ALL {
        let published = code.published().message().or_else(|| code.published().code());
        let published = published.map_or_else(|| "nothing".into(), |text| format!("`{text}`"));
        let (name, number, advice) = (code.as_str(), code.number(), code.advice().as_str());
        writeln!(table, "| `{name}` | {number} | {advice} | {published} | {} |", code.reason()).unwrap();
    }
    assert_generated(PROTOCOL, "codes", &table);
}

#[test]
fn every_error_is_documented() {
    let mut table = "| code | meaning |\n|---|---|\n".to_owned();
    for code in ErrorCode::ALL {
        writeln!(table, "| `{}` | {} |", code.as_str(), code.meaning()).unwrap();
    }
    assert_generated(PROTOCOL, "errors", &table);
}

#[test]
fn every_code_of_the_platform_api_is_documented() {
    let mut table = "| status | code | meaning |\n|---|---|---|\n".to_owned();
    for code in ApiCode::ALL {
        writeln!(table, "| {} | `{}` | {} |", code.status(), code.as_str(), code.meaning()).unwrap();
    }
    assert_generated(PROTOCOL, "api errors", &table);
}

#[test]
fn every_limit_is_documented() {
    let mut table = "| what | limit |\n|---|---|\n".to_owned();
    let (shortest, longest) = limits::CUSTOM_TOKEN.into_inner();
    for (what, limit) in [
        ("app id", format!("{} characters", limits::APP_ID)),
        ("user id", format!("{} bytes", limits::USER_ID)),
        ("`display_name`", format!("{} bytes", limits::DISPLAY_NAME)),
        (
            "`first_name`, `last_name`, `email`, `phone_number`, each",
            format!("{} bytes", limits::PROFILE_FIELD),
        ),
        ("`profile_url`, `avatar_url`, each", format!("{} bytes", limits::PROFILE_URL)),
        ("`metadata` as JSON, `data`, each", format!("{} bytes", limits::METADATA)),
        ("nesting of `metadata`", format!("{} levels", limits::METADATA_DEPTH)),
        ("access token of a backend's choice", format!("{shortest} to {longest} bytes")),
        ("message", format!("{} bytes", limits::MESSAGE)),
        ("published event", format!("{} bytes", limits::EVENT)),
        ("type of an event", format!("{} characters", limits::EVENT_TYPE)),
        ("message before the verdict", format!("{} bytes", limits::HANDSHAKE_MESSAGE)),
        ("request head", format!("{} bytes", limits::REQUEST_HEAD)),
        ("name and version of a native client", format!("{} bytes", limits::CLIENT_NAME)),
        (
            "messages kept for a session: waiting ones, and unacknowledged ones",
            format!("{} messages, {} bytes", limits::OUTBOX_MESSAGES, limits::OUTBOX_BYTES),
        ),
        ("from the first byte to the verdict", format!("{} s", limits::HANDSHAKE.as_secs())),
        ("silence before a ping", format!("{} s", limits::HEARTBEAT.as_secs())),
        ("silence that ends a connection", format!("{} s", limits::SILENCE.as_secs())),
        ("a client reads none of its waiting messages", format!("{} s", limits::STALLED.as_secs())),
        ("for the peer to confirm a close", format!("{} s", limits::CLOSING.as_secs())),
        (
            "a session without a connection is kept, native and published",
            format!("{} s, {} s", limits::KEPT_NATIVE.as_secs(), limits::KEPT_PUBLISHED.as_secs()),
        ),
        (
            "received before a ping",
            format!("{} messages, {} bytes", limits::ACKNOWLEDGE_MESSAGES, limits::ACKNOWLEDGE_BYTES),
        ),
        ("life of a session key", format!("{} h", limits::SESSION_KEY_LIFETIME.as_secs() / 3600)),
    ] {
        writeln!(table, "| {what} | {limit} |").unwrap();
    }
    assert_generated(PROTOCOL, "limits", &table);
}
