//! The order of the top-level modules of each crate.

/// The layers of every crate with two or more modules, by name, from top to bottom.
///
/// A module may import modules of the layers below its own, and no others. `lib` and `main` are what the root file itself defines.
pub(crate) const TABLE: &[(&str, &[&str])] = &[
    ("chatcamp-auth", &["handshake", "authenticator, credential, query", "session_key", "token", "keyring"]),
    (
        "chatcamp-backend",
        &[
            "builder",
            "app, pages, sessions",
            "users",
            "backend",
            "exchange, retry",
            "address, pause, secret",
            "error",
        ],
    ),
    (
        "chatcamp-cli",
        &[
            "lib",
            "command",
            "app, backup, completions, connect, dev, user",
            "event, self_check, serve, typed",
            "certificates",
            "admin, core_dumps, logs, open_files, proxies, signals, unix_time",
            "activity, context, rows, secret_input",
            "dev_file, output",
            "failure, invocation, private_file",
            "colour, escape, network",
        ],
    ),
    (
        "chatcamp-client",
        &[
            "builder, users",
            "chatcamp",
            "driver",
            "shared",
            "event",
            "handshake, session, state",
            "body, error, http_provider, login, reconnect, trace",
        ],
    ),
    (
        "chatcamp-dashboard",
        &[
            "dashboard, try_page",
            "router",
            "actions, body, sign_in",
            "pages",
            "assets, request, visible_text",
            "error, reply",
            "access, host",
            "flash",
            "fields, paths",
        ],
    ),
    (
        "chatcamp-protocol",
        &[
            "event",
            "request",
            "api_code, code, envelope, error, handshake, sequence",
            "user",
            "id, secret",
            "url",
            "limits, origin, text",
        ],
    ),
    ("chatcamp-runtime", &["tokio_runtime", "lib", "network_cause"]),
    (
        "chatcamp-server",
        &[
            "testing",
            "builder",
            "server",
            "http",
            "api, data_dir, requests",
            "admission, operations",
            "sessions, user_view",
            "bus, clock, limits, private_file, random, rate_map",
            "session",
            "activity, bodies, network, rate, shutdown",
        ],
    ),
    ("chatcamp-simulation", &["scenario", "network", "ledger", "keys, machine", "planted, random, trace"]),
    (
        "chatcamp-store",
        &[
            "testing",
            "memory, mock, sqlite",
            "prelude",
            "listeners, nul, rounding",
            "store",
            "block",
            "api_key, app, setting, user",
            "change, user_query",
            "error",
        ],
    ),
    ("chatcamp-tls", &["testing, trust", "config, error"]),
    (
        "chatcamp-transport",
        &[
            "testing",
            "fallback, long_poll, memory, websocket",
            "tls",
            "status, url",
            "lib",
            "connection",
            "carrier",
            "message",
        ],
    ),
    (
        "xtask",
        &[
            "main",
            "ci",
            "features, hygiene, layers, restart, simulate, test, tools",
            "git, graph",
            "cargo",
            "failure",
        ],
    ),
];
