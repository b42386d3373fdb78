//! Every command in the documents runs, as printed, one after another, in one folder.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

const README: &str = include_str!("../../../README.md");
const CONTRIBUTING: &str = include_str!("../../../docs/CONTRIBUTING.md");
const PROTOCOL: &str = include_str!("../../../docs/PROTOCOL.md");
const TRANSPORTS: &str = include_str!("../../../docs/TRANSPORTS.md");
const ARCHITECTURE: &str = include_str!("../../../docs/ARCHITECTURE.md");

/// What continuous integration runs, and a test cannot: it would run itself.
const OF_CI: [&str; 2] = ["cargo test --workspace", "cargo xtask ci"];

/// The commands in a document's blocks of kind `sh`.
fn commands(document: &str) -> Vec<&str> {
    let blocks = document.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.flat_map(str::lines).map(|line| line.split(" #").next().unwrap().trim()).collect()
}

/// The binary with the arguments of a printed command, in `folder`, on a free port.
fn binary(command: &str, folder: &Path) -> Option<Command> {
    let arguments = command.strip_prefix("cargo run -- ").or_else(|| command.strip_prefix("chatcamp "))?;
    let mut binary = Command::new(env!("CARGO_BIN_EXE_chatcamp"));
    binary.args(arguments.split(' ')).current_dir(folder).env("CHATCAMP_LISTEN", "127.0.0.1:0");
    binary.stdin(Stdio::null());
    Some(binary)
}

/// A server that is stopped when dropped.
struct Server(Child);

impl Server {
    /// Starts it and waits until it has said where it listens.
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let server = Self(child);
        let said = stdout.lines().map_while(Result::ok).find(|line| line.contains("127.0.0.1:"));
        assert!(said.is_some(), "it never said where it listens");
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn the_readme_begins_with_exactly_two_commands() {
    let first = README.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(first, "cargo run -- dev\ncargo test --workspace\n");
}

#[test]
fn every_command_of_the_readme_runs() {
    let folder = tempfile::tempdir().unwrap();
    let mut dev = None;
    for command in commands(README) {
        if OF_CI.contains(&command) {
            continue;
        }
        let place = folder.path().join(if command.contains(" serve ") { "elsewhere" } else { "here" });
        std::fs::create_dir_all(&place).unwrap();
        let mut binary = binary(command, &place).unwrap_or_else(|| panic!("who runs `{command}`?"));
        if command == "cargo run -- dev" {
            dev = Some(Server::start(binary));
        } else if command.contains(" serve ") {
            Server::start(binary);
        } else {
            let output = binary.output().unwrap();
            assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
            assert!(!output.stdout.is_empty(), "{command} says what it did");
        }
    }
    assert!(dev.is_some(), "the README starts a server");
}

/// The README's request, sent as printed to a development server.
#[test]
fn the_readmes_request_is_answered_with_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let _dev = Server::start(binary("cargo run -- dev", folder.path()).unwrap());
    let dev = std::fs::read_to_string(folder.path().join("chatcamp-data/dev.json")).unwrap();
    let dev: serde_json::Value = serde_json::from_str(&dev).unwrap();
    let text = |name: &str| dev[name].as_str().unwrap();

    let request = README.split("```http\n").nth(1).unwrap().split("```").next().unwrap();
    let (head, body) = request.trim_end().split_once("\n\n").unwrap();
    let head = head.replace("API_KEY", text("api_key")).replace('\n', "\r\n");
    let length = body.len();
    let mut tcp = TcpStream::connect(text("url").trim_start_matches("http://")).unwrap();
    write!(tcp, "{head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"access_token\":\"ct1_"), "{answer}");
}

#[test]
fn the_other_documents_print_no_command_that_nobody_runs() {
    for document in [CONTRIBUTING, PROTOCOL, ARCHITECTURE, TRANSPORTS] {
        for command in commands(document) {
            assert!(OF_CI.contains(&command), "who runs `{command}`?");
        }
    }
    for command in OF_CI {
        let run = [include_str!("../../../xtask/src/ci.rs"), include_str!("../../../.ci/run")];
        assert!(
            run.iter().any(|text| text.contains(command)),
            "continuous integration does not run `{command}`"
        );
    }
}
