//! The order of the top-level modules of each crate.

use Order::{Circles, Layers};

/// How the top-level modules of a crate may import each other.
#[derive(Debug)]
pub(crate) enum Order {
    /// The layers from top to bottom. A module may import modules of the layers below its own, and no others.
    ///
    /// `lib` and `main` are what the root file itself defines.
    Layers(&'static [&'static str]),
    /// An exemption: this many modules import each other in circles. The number may only shrink.
    Circles(usize),
}

/// Every crate with two or more modules, by name.
pub(crate) const TABLE: &[(&str, Order)] = &[
    (
        "chatcamp-auth",
        Layers(&["handshake", "authenticator, credential, query", "session_key", "token", "keyring"]),
    ),
    (
        "chatcamp-backend",
        Layers(&[
            "builder",
            "app, pages, sessions",
            "users",
            "backend",
            "exchange, retry",
            "address, secret",
            "error",
        ]),
    ),
    (
        "chatcamp-cli",
        Layers(&[
            "lib",
            "command",
            "app, backup, connect, dev, user",
            "event, self_check, serve",
            "admin, core_dumps, logs, open_files, signals, unix_time",
            "context, secret_input",
            "dev_file, output",
            "failure, private_file",
            "escape",
        ]),
    ),
    (
        "chatcamp-client",
        Layers(&[
            "builder",
            "chatcamp",
            "driver",
            "shared",
            "event",
            "handshake, session, state",
            "body, error, http_provider, login, reconnect, trace",
        ]),
    ),
    (
        "chatcamp-dashboard",
        Layers(&[
            "dashboard, try_page",
            "router",
            "actions, body, sign_in",
            "pages",
            "assets, paths, request, visible_text",
            "error, reply",
            "access, host",
            "flash",
            "fields",
        ]),
    ),
    (
        "chatcamp-protocol",
        Layers(&[
            "event",
            "request",
            "code, envelope, error, handshake, sequence",
            "user",
            "id, secret",
            "limits, text, url",
        ]),
    ),
    ("chatcamp-runtime", Layers(&["tokio_runtime", "lib"])),
    (
        "chatcamp-server",
        Layers(&[
            "builder",
            "server",
            "http",
            "api, data_dir, requests",
            "admission, operations",
            "sessions, user_view",
            "bus, clock, limits, private_file, random",
            "session",
            "bodies, network, shutdown",
        ]),
    ),
    (
        "chatcamp-simulation",
        Layers(&["scenario", "network", "ledger", "keys, machine", "planted, random, trace"]),
    ),
    (
        "chatcamp-store",
        Layers(&[
            "testing",
            "memory, mock, sqlite",
            "prelude",
            "listeners, nul, rounding",
            "store",
            "block",
            "api_key, app, setting, user",
            "change",
            "error",
        ]),
    ),
    (
        "chatcamp-transport",
        Layers(&[
            "testing",
            "fallback, long_poll, memory, websocket",
            "url",
            "lib",
            "connection",
            "carrier",
            "message",
        ]),
    ),
    (
        "xtask",
        Layers(&[
            "main",
            "ci",
            "features, hygiene, layers, restart, simulate, test",
            "graph",
            "cargo",
            "failure",
        ]),
    ),
];
