//! The last published JavaScript SDK, unmodified, in a real browser, against the real binary.
//!
//! `published_sdk/driver.mjs` runs every scenario over every transport, in one browser; each test here reports one.
//! For the long poll a proxy lets no WebSocket open, as in networks that know none.
//! The SDK is fetched by `npm ci` and never committed.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::Duration;
use std::{env, thread};

use serde_json::{Value, json};

/// A token of the backend's choice, made of what query strings must escape.
const OWN_TOKEN: &str = "open+sesame/100%&a=b~(1)";

/// An app id of the hosted service, which JavaScript rounds where a page writes it as a number.
const MOVED_APP: &str = "6399747348821438464";

/// How long the server may take to say where it listens.
const START: Duration = Duration::from_secs(30);

macro_rules! over {
    ($transport:ident: $($name:ident),+ $(,)?) => {
        mod $transport {
            pub(super) const SCENARIOS: &[&str] = &[$(concat!(stringify!($transport), "::", stringify!($name))),+];
            $(
                #[test]
                #[ignore = "needs chromium: apt-get install chromium"]
                fn $name() {
                    super::passes(concat!(stringify!($transport), "::", stringify!($name)));
                }
            )+
        }
    };
}

macro_rules! scenarios {
    (
        both: [$($both:ident),+ $(,)?],
        web_socket: [$($framed:ident),+ $(,)?],
        long_poll: [$($polled:ident),+ $(,)?] $(,)?
    ) => {
        over!(web_socket: $($both,)+ $($framed),+);
        over!(long_poll: $($both,)+ $($polled),+);
    };
}

scenarios! {
    both: [
        connects_by_user_id,
        runs_the_readmes_snippet,
        connects_by_token,
        keeps_ids_byte_for_byte,
        disconnects_and_connects_again,
        connects_another_user_after_disconnect,
        a_page_that_names_no_host_connects_through_the_compat_script,
        a_page_that_names_no_host_presents_its_token,
        keeps_a_19_digit_app_id_quoted_or_as_a_number,
        refuses_a_wrong_token,
        refuses_a_missing_token,
        refuses_a_token_for_an_unknown_user,
        refuses_an_unknown_user_where_tokens_are_required,
        refuses_an_unknown_app,
        updates_the_display_name_and_keeps_the_token,
        blocks_lists_and_unblocks_a_user,
        lists_the_users_page_by_page,
        answers_a_request_that_nobody_implements,
        survives_the_heartbeat,
        a_cut_connection_comes_back_by_session_key,
        a_cut_connection_keeps_its_token,
        an_outage_of_some_seconds_ends_by_itself,
        an_unknown_session_key_falls_back_to_the_user_id,
        an_unknown_session_key_falls_back_to_the_token,
    ],
    web_socket: [
        two_tabs_of_one_user_do_not_wait_for_each_other,
    ],
    long_poll: [
        a_poll_without_news_is_answered_and_another_follows,
        after_disconnect_the_held_poll_ends_and_none_follows,
        a_connection_cut_under_a_held_poll_goes_unnoticed,
        the_browser_asks_for_leave_once_and_not_before_every_poll,
    ],
}

#[test]
#[ignore = "needs chromium: apt-get install chromium"]
fn every_scenario_of_the_driver_is_a_test_here() {
    let driven: Vec<&str> = run().outcomes.keys().map(String::as_str).collect();
    let mut tested = [web_socket::SCENARIOS, long_poll::SCENARIOS].concat();
    tested.sort_unstable();
    assert_eq!(driven, tested);
}

#[test]
#[ignore = "needs chromium: apt-get install chromium"]
fn the_most_detailed_server_log_holds_no_secret() {
    let run = run();
    assert!(run.log.contains("refused a connection"), "the server logs what it does: {}", run.log);
    let carriers = ["access_token=", "session_key=", "\"access_token\":", "\"session_key\":"];
    for secret in run.tokens.iter().map(String::as_str).chain(carriers) {
        let line = run.log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "a secret stands in the server's log");
    }
}

struct Run {
    outcomes: BTreeMap<String, Result<(), String>>,
    tokens: Vec<String>,
    log: String,
}

type Failure = Box<dyn Error + Send + Sync>;

fn passes(scenario: &str) {
    let outcome = run().outcomes.get(scenario).expect("the driver reports every scenario");
    if let Err(why) = outcome {
        panic!("{why}");
    }
}

fn run() -> &'static Run {
    static RUN: LazyLock<Result<Run, Failure>> = LazyLock::new(drive);
    RUN.as_ref().unwrap_or_else(|why| panic!("the scenarios could not run: {why}"))
}

fn drive() -> Result<Run, Failure> {
    let chromium = on_path("chromium")?;
    install_packages()?;

    let data = tempfile::tempdir()?;
    let server = Server::start(data.path())?;
    let strict_app =
        text(&chatcamp(data.path(), &["app", "create", "strict", "--auth", "token"])?, "app_id")?;
    chatcamp(data.path(), &["app", "create", "moved", "--auth", "token", "--id", MOVED_APP])?;
    let own = user(data.path(), &server.app, "tess", Some(OWN_TOKEN))?;
    let issued = user(data.path(), &server.app, "ines", None)?;
    let strict = user(data.path(), &strict_app, "theo", None)?;
    let moved = ["molly", "mona", "moses"].map(|id| user(data.path(), MOVED_APP, id, None));
    let moved = moved.into_iter().collect::<Result<Vec<_>, _>>()?;

    let given = json!({
        "server": server.address,
        "chromium": chromium,
        "openApp": server.app,
        "ownToken": own,
        "issuedToken": issued,
        "strictUser": strict,
        "movedUsers": moved,
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
    let tokens = users.map(|user| text(user, "token")).collect::<Result<_, _>>()?;
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
        let mut server = Self { process, log, address: String::new(), app: String::new() };
        let first = server.first_line()?;
        server.address = text(&first, "listening")?;
        server.app = text(&first, "app_id")?;
        Ok(server)
    }

    fn first_line(&mut self) -> Result<Value, Failure> {
        let mut stdout = BufReader::new(self.process.stdout.take().expect("stdout is piped"));
        let (tell, told) = mpsc::sync_channel(1);
        thread::spawn(move || {
            let mut line = String::new();
            let read = stdout.read_line(&mut line).map(|_| line);
            // Whoever asked may have given up; what else the server prints must still be read.
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

fn on_path(program: &str) -> Result<PathBuf, Failure> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .ok_or_else(|| format!("{program} is not on PATH: apt-get install {program}").into())
}

/// Fetches the npm packages of the lock file, unless they are there; one process at a time.
fn install_packages() -> Result<(), Failure> {
    let installing = File::create(folder().join(".installing"))?;
    installing.lock()?;
    let wanted = fs::read(folder().join("package-lock.json"))?;
    let installed = folder().join("node_modules/.installed");
    if fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let done = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(folder())
        .output()?;
    if !done.status.success() {
        return Err(format!("npm ci: {}: {}", done.status, String::from_utf8_lossy(&done.stderr)).into());
    }
    Ok(fs::write(installed, wanted)?)
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/published_sdk"))
}
