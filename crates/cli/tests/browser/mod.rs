//! Scenarios in a real browser, against the real binary.
//!
//! `driver.mjs` runs every scenario of a suite over every transport, in one browser; each test of a suite reports one.
//! For long-poll, a proxy prevents WebSockets, as some networks do.
//! npm packages are fetched by `npm ci` and never committed.

mod packages;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use packages::{folder, install_packages, on_path};

/// A token chosen by the backend, with characters that query strings must escape.
const OWN_TOKEN: &str = "open+sesame/100%&a=b~(1)";

/// An app id of the hosted service, which JavaScript rounds if a page writes it as a number.
const MOVED_APP: &str = "6399747348821438464";

/// How long the server may take to print its address.
const START: Duration = Duration::from_secs(30);

/// Defines one test for each scenario of a suite, over the named transport.
macro_rules! scenarios {
    (
        $suite:literal,
        both: [$($both:ident),* $(,)?],
        web_socket: [$($framed:ident),* $(,)?],
        long_poll: [$($polled:ident),* $(,)?] $(,)?
    ) => {
        static RUN: std::sync::LazyLock<Result<browser::Run, browser::Failure>> =
            std::sync::LazyLock::new(|| browser::drive($suite));
        scenarios!(over web_socket: $($both,)* $($framed,)*);
        scenarios!(over long_poll: $($both,)* $($polled,)*);

        #[test]
        #[ignore = "needs chromium and npm: apt-get install chromium npm"]
        fn every_scenario_of_the_driver_is_a_test_here() {
            browser::assert_driven(&RUN, &[web_socket::SCENARIOS, long_poll::SCENARIOS].concat());
        }

        #[test]
        #[ignore = "needs chromium and npm: apt-get install chromium npm"]
        fn the_most_detailed_server_log_contains_no_secret() {
            browser::assert_log_holds_no_secret(&RUN);
        }
    };
    (over $transport:ident: $($name:ident),* $(,)?) => {
        mod $transport {
            pub(super) const SCENARIOS: &[&str] = &[$(concat!(stringify!($transport), "::", stringify!($name))),*];
            $(
                #[test]
                #[ignore = "needs chromium and npm: apt-get install chromium npm"]
                fn $name() {
                    super::browser::assert_passes(&super::RUN, concat!(stringify!($transport), "::", stringify!($name)));
                }
            )*
        }
    };
}

/// The outcome of a suite.
pub(crate) struct Run {
    outcomes: BTreeMap<String, Result<(), String>>,
    tokens: Vec<String>,
    log: String,
}

pub(crate) use packages::Failure;

pub(crate) fn assert_passes(run: &Result<Run, Failure>, scenario: &str) {
    let outcome = of(run).outcomes.get(scenario).expect("the driver reports every scenario");
    if let Err(why) = outcome {
        panic!("{why}");
    }
}

pub(crate) fn assert_driven(run: &Result<Run, Failure>, tested: &[&str]) {
    let driven: Vec<&str> = of(run).outcomes.keys().map(String::as_str).collect();
    let mut tested = tested.to_vec();
    tested.sort_unstable();
    assert_eq!(driven, tested);
}

pub(crate) fn assert_log_holds_no_secret(run: &Result<Run, Failure>) {
    let run = of(run);
    assert!(run.log.contains("a connection ended"), "the server logs what it does: {}", run.log);
    let carriers = ["access_token=", "session_key=", "\"access_token\":", "\"session_key\":", "ct1_", "cs1."];
    for secret in run.tokens.iter().map(String::as_str).chain(carriers) {
        let line = run.log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "a secret stands in the server's log");
    }
}

fn of(run: &Result<Run, Failure>) -> &Run {
    run.as_ref().unwrap_or_else(|why| panic!("the scenarios could not run: {why}"))
}

/// Starts a server and runs a suite against it.
pub(crate) fn drive(suite: &str) -> Result<Run, Failure> {
    let chromium = on_path("chromium")?;
    install_packages()?;

    let data = tempfile::tempdir()?;
    let server = Server::start(data.path())?;
    let strict_app =
        text(&chatcamp(data.path(), &["app", "create", "strict", "--auth", "token"])?, "app_id")?;
    chatcamp(data.path(), &["app", "create", "moved", "--auth", "token", "--id", MOVED_APP])?;
    // Each scenario changes the origins of its own app.
    let shops = ["web_socket", "long_poll", "screenshots"].map(|id| shop(data.path(), id));
    let shops = shops.into_iter().collect::<Result<serde_json::Map<_, _>, _>>()?;
    let own = user(data.path(), &server.app, "tess", Some(OWN_TOKEN))?;
    let issued = user(data.path(), &server.app, "ines", None)?;
    let strict = user(data.path(), &strict_app, "theo", None)?;
    let moved = ["molly", "mona", "moses"].map(|id| user(data.path(), MOVED_APP, id, None));
    let moved = moved.into_iter().collect::<Result<Vec<_>, _>>()?;

    let dev: Value = serde_json::from_slice(&fs::read(data.path().join("dev.json"))?)?;
    let dashboard_password = text(&dev, "dashboard_password")?;
    let given = json!({
        "suite": suite,
        "server": server.address,
        "chromium": chromium,
        "binary": env!("CARGO_BIN_EXE_chatcamp"),
        "openApp": server.app,
        "apiKey": server.api_key,
        "dashboardLink": server.dashboard,
        "dashboardPassword": dashboard_password,
        "ownToken": own,
        "issuedToken": issued,
        "strictUser": strict,
        "movedUsers": moved,
        "shops": shops,
    });
    let driver = Command::new("node")
        .arg(folder().join("driver.mjs"))
        .arg(given.to_string())
        .stderr(Stdio::inherit())
        .output()?;
    let outcomes = outcomes(&driver.stdout)?;
    if !driver.status.success() {
        return Err(format!("node driver.mjs: {}", driver.status).into());
    }
    let users = [&own, &issued, &strict].into_iter().chain(&moved);
    let mut tokens = users.map(|user| text(user, "token")).collect::<Result<Vec<_>, _>>()?;
    tokens.extend(shops.values().map(|shop| text(shop, "apiKey")).collect::<Result<Vec<_>, _>>()?);
    tokens.extend([server.api_key.clone(), server.dashboard.clone(), dashboard_password]);
    Ok(Run { outcomes, tokens, log: server.stop()? })
}

fn outcomes(reported: &[u8]) -> Result<BTreeMap<String, Result<(), String>>, Failure> {
    let mut outcomes = BTreeMap::new();
    for line in reported.lines() {
        let report: Value = serde_json::from_str(&line?)?;
        let outcome = match report["ok"].as_bool() {
            Some(true) => Ok(()),
            _ => Err(text(&report, "error")?),
        };
        outcomes.insert(text(&report, "scenario")?, outcome);
    }
    Ok(outcomes)
}

/// `chatcamp dev`, killed when dropped.
struct Server {
    process: Child,
    log: PathBuf,
    address: String,
    app: String,
    api_key: String,
    /// The link that signs in to the dashboard, once.
    dashboard: String,
}

impl Server {
    fn start(data: &Path) -> Result<Self, Failure> {
        let log = data.with_extension("log");
        let process = Command::new(env!("CARGO_BIN_EXE_chatcamp"))
            .args(["dev", "--listen", "127.0.0.1:0", "--json", "--data"])
            .arg(data)
            .env("CHATCAMP_LOG", "trace")
            .stdout(Stdio::piped())
            .stderr(File::create(&log)?)
            .spawn()?;
        let mut server = Self {
            process,
            log,
            address: String::new(),
            app: String::new(),
            api_key: String::new(),
            dashboard: String::new(),
        };
        let first = server.first_line()?;
        server.address = text(&first, "listening")?;
        server.app = text(&first, "app_id")?;
        server.api_key = text(&first, "api_key")?;
        server.dashboard = text(&first, "dashboard")?;
        Ok(server)
    }

    fn first_line(&mut self) -> Result<Value, Failure> {
        let mut stdout = BufReader::new(self.process.stdout.take().expect("stdout is piped"));
        let (tell, told) = mpsc::sync_channel(1);
        thread::spawn(move || {
            let mut line = String::new();
            let read = stdout.read_line(&mut line).map(|_| line);
            // The receiver may be gone, but the output of the server must still be read.
            let _ = tell.send(read);
            io::copy(&mut stdout, &mut io::sink())
        });
        let line = told.recv_timeout(START).map_err(|_| "the server did not say where it listens")??;
        serde_json::from_str(&line).map_err(|why| {
            format!("first line of the server, {line:?}: {why}; log: {}", self.logged()).into()
        })
    }

    fn logged(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends a server that is still running, and returns its log.
    fn stop(mut self) -> Result<String, Failure> {
        if let Some(status) = self.process.try_wait()? {
            return Err(format!("the server ended by itself, {status}; log: {}", self.logged()).into());
        }
        Ok(self.logged())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(&self.log);
    }
}

/// Creates an app that accepts only pages of a shop. Returns its id, and the app for the scenarios.
fn shop(data: &Path, id: &str) -> Result<(String, Value), Failure> {
    let origin = ["--origin", "https://shop.example"];
    let app = chatcamp(data, &[&["app", "create", id, "--auth", "open", "--id", id][..], &origin].concat())?;
    Ok((id.to_owned(), json!({ "app": id, "apiKey": text(&app, "api_key")? })))
}

fn user(data: &Path, app: &str, id: &str, token: Option<&str>) -> Result<Value, Failure> {
    let mut args = vec!["user", "create", id, "--app", app];
    args.extend(token.into_iter().flat_map(|token| ["--token", token]));
    let created = chatcamp(data, &args)?;
    Ok(json!({ "app": app, "id": id, "token": text(&created, "access_token")? }))
}

fn chatcamp(data: &Path, args: &[&str]) -> Result<Value, Failure> {
    let done = Command::new(env!("CARGO_BIN_EXE_chatcamp"))
        .args(args)
        .arg("--data")
        .arg(data)
        .arg("--json")
        .output()?;
    if !done.status.success() {
        let why = String::from_utf8_lossy(&done.stderr);
        return Err(format!("chatcamp {args:?}: {}: {why}", done.status).into());
    }
    Ok(serde_json::from_slice(&done.stdout)?)
}

fn text(object: &Value, field: &str) -> Result<String, Failure> {
    let value = object[field].as_str().ok_or_else(|| format!("no text `{field}` in {object}"))?;
    Ok(value.to_owned())
}
