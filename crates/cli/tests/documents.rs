//! Follows the documents from top to bottom: every command as printed, one after another, in one folder.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

const README: &str = include_str!("../../../README.md");
const BACKENDS: &str = include_str!("../../../docs/BACKENDS.md");
const CONTRIBUTING: &str = include_str!("../../../docs/CONTRIBUTING.md");
const PROTOCOL: &str = include_str!("../../../docs/PROTOCOL.md");
const TRANSPORTS: &str = include_str!("../../../docs/TRANSPORTS.md");
const ARCHITECTURE: &str = include_str!("../../../docs/ARCHITECTURE.md");
const OPERATING: &str = include_str!("../../../docs/OPERATING.md");
const PROXIES: &str = include_str!("../../../docs/PROXIES.md");

/// Commands that continuous integration runs, but a test cannot, because it would run itself.
const OF_CI: [&str; 2] = ["cargo test --workspace", "cargo xtask ci"];
/// Installs what the tests have built already.
const INSTALL: &str = "cargo install --locked --path crates/cli";
/// Commands that other tests run.
const ELSEWHERE: [&str; 0] = [];

/// Returns the code blocks of a document, each with its language.
fn blocks(document: &str) -> impl Iterator<Item = (&str, &str)> {
    let odd = document.split("```").skip(1).step_by(2);
    odd.filter_map(|block| block.split_once('\n'))
}

/// Returns the commands in a block.
fn lines(block: &str) -> impl Iterator<Item = &str> {
    block.lines().map(|line| line.split(" #").next().unwrap().trim())
}

/// Returns the commands in a document's `sh` blocks.
fn commands(document: &str) -> Vec<&str> {
    blocks(document).filter(|(language, _)| *language == "sh").flat_map(|(_, block)| lines(block)).collect()
}

/// Returns a shell that will run a command as printed, in `folder`, with `chatcamp` installed and listening on a free port.
fn shell(command: &str, folder: &Path) -> Command {
    let bin = Path::new(env!("CARGO_BIN_EXE_chatcamp")).parent().unwrap();
    let path = [bin.to_str().unwrap(), &env::var("PATH").unwrap()].join(":");
    let command = command.replacen("cargo run -- ", "chatcamp ", 1);
    // `exec`, so that killing the shell kills the server.
    let mut shell = Command::new("sh");
    shell.args(["-euc", &format!("exec {command}")]).current_dir(folder).stdin(Stdio::null());
    shell.env("PATH", path).env("CHATCAMP_LISTEN", "127.0.0.1:0");
    shell
}

/// A server that is stopped on drop.
struct Server(Child);

impl Server {
    /// Starts a server and waits until it prints its address.
    fn start(command: Command) -> Self {
        Self::start_until(command, "127.0.0.1:").0
    }

    /// Starts a server and waits for a line with this text.
    fn start_until(mut command: Command, text: &str) -> (Self, String) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let server = Self(child);
        let line = stdout.lines().map_while(Result::ok).find(|line| line.contains(text));
        (server, line.expect("the server prints the line"))
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
fn the_readme_runs_from_top_to_bottom() {
    let mut reader = Reader::new();
    let connected = reader.follow(README);
    assert_eq!(connected, ["alice"; 2], "the snippets for Rust and for web pages connect");
    // And they still do: no section has given alice a token.
    reader.run("chatcamp connect alice");
}

#[test]
fn the_page_for_operators_runs_from_top_to_bottom() {
    Reader::new().follow(OPERATING);
}

/// A reader who does what a document says, in its order and in one folder.
struct Reader {
    folder: tempfile::TempDir,
    server: Option<Server>,
}

impl Reader {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(folder.path().join("chain.pem"), made.cert.pem()).unwrap();
        fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        Self { folder, server: None }
    }

    /// Follows a document. Returns the users that its snippets connect.
    fn follow<'a>(&mut self, document: &'a str) -> Vec<&'a str> {
        let mut connected = Vec::new();
        for (language, block) in blocks(document) {
            match language {
                "sh" => lines(block).for_each(|command| self.run(command)),
                "http" => self.request(block),
                // A snippet for a server of its own says nothing about this one.
                _ if block.contains("TestServer::start()") => {}
                _ => {
                    for id in
                        block.split("chat.connect(\"").skip(1).map(|rest| rest.split('"').next().unwrap())
                    {
                        self.run(&format!("chatcamp connect {id}"));
                        connected.push(id);
                    }
                }
            }
        }
        connected
    }

    /// Runs a command. A server replaces the one before it.
    fn run(&mut self, command: &str) {
        if OF_CI.contains(&command) || ELSEWHERE.contains(&command) || command == INSTALL {
            return;
        }
        let is_server = [" dev", " serve"].iter().any(|name| command.contains(name));
        if is_server {
            self.server = None;
            self.server = Some(Server::start(shell(command, self.folder.path())));
            return;
        }
        let output = shell(command, self.folder.path()).output().unwrap();
        assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(!output.stdout.is_empty(), "{command} prints a result");
    }

    /// Sends a request of a backend. Its response must contain a token.
    fn request(&self, request: &str) {
        let dev = dev_file(self.folder.path());
        let text = |name: &str| dev[name].as_str().unwrap();
        let (head, body) = request.trim_end().split_once("\n\n").unwrap();
        let head = head.replace("API_KEY", text("api_key")).replace('\n', "\r\n");
        let length = body.len();
        let mut tcp = TcpStream::connect(text("url").trim_start_matches("http://")).unwrap();
        write!(tcp, "{head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"access_token\":\"ct1_"),
            "{answer}"
        );
    }
}

/// Returns the file that `chatcamp dev` has written.
fn dev_file(folder: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(folder.join("chatcamp-data/dev.json")).unwrap()).unwrap()
}

/// A development server, and a folder for a backend.
struct Backend {
    folder: tempfile::TempDir,
    _dev: Server,
    url: String,
    api_key: String,
}

impl Backend {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dev = Server::start(shell("chatcamp dev", folder.path()));
        let written = dev_file(folder.path());
        let text = |name: &str| written[name].as_str().unwrap().to_owned();
        Self { folder, _dev: dev, url: text("url"), api_key: text("api_key") }
    }

    /// Writes the program in this language, and the file that the app provides, into the backend's folder.
    fn program(&self, language: &str, name: &str, sign_in: (&str, &str)) {
        let code = BACKENDS.split(&format!("```{language}\n")).nth(1).unwrap().split("```\n").next().unwrap();
        for (name, text) in [(name, code), sign_in] {
            let path = self.folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn command(&self, line: &str) -> Command {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap());
        command.args(words).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("CHATCAMP_URL", &self.url).env("CHATCAMP_API_KEY", &self.api_key).env("PORT", "0");
        command
    }

    /// Runs a program and returns its output.
    fn run(&self, line: &str) -> String {
        let output = self.command(line).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Reads a file, and asserts that only its owner can read it.
    fn private_file(&self, name: &str) -> serde_json::Value {
        let path = self.folder.path().join(name);
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "{name}");
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    }

    /// Asserts that Alice connects with the token in an answer.
    fn assert_connects(&self, answer: &serde_json::Value) {
        let token = answer["access_token"].as_str().unwrap();
        let mut connect = shell("chatcamp connect alice", self.folder.path());
        let output = connect.env("CHATCAMP_TOKEN", token).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
#[ignore = "needs curl: apt-get install curl"]
fn the_three_steps_in_curl_run_as_printed() {
    let backend = Backend::start();
    backend.program("sh", "backend.sh", ("unused", ""));
    backend.run("sh -eu backend.sh");
    let [first, again] = ["alice.json", "again.json"].map(|name| backend.private_file(name));
    assert_eq!(first["access_token"], again["access_token"]);
    backend.assert_connects(&first);
}

#[test]
#[ignore = "needs node: apt-get install nodejs"]
fn the_three_steps_in_node_run_as_printed() {
    let sign_in = "export const signedIn = (request) => request.headers.cookie?.replace('user=', '');";
    let (backend, token) = serve_the_token("js", "node backend.mjs", ("sign-in.mjs", sign_in));
    assert_eq!(backend.private_file("tokens.json")[0][1], token);
}

#[test]
#[ignore = "needs python3: apt-get install python3"]
fn the_three_steps_in_python_run_as_printed() {
    let sign_in =
        "def signed_in(headers):\n    return headers.get('cookie', '').replace('user=', '') or None\n";
    let (backend, token) = serve_the_token("python", "python3 backend.py", ("sign_in.py", sign_in));
    assert_eq!(backend.private_file("tokens.json")["alice"], token);
}

/// Runs a program that is a server, twice, and connects with the token that it serves. Returns the token.
fn serve_the_token(language: &str, command: &str, sign_in: (&str, &str)) -> (Backend, serde_json::Value) {
    let backend = Backend::start();
    backend.program(language, command.split(' ').next_back().unwrap(), sign_in);
    let get = |port: &str, headers: &str| {
        let mut tcp = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        write!(tcp, "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{headers}\r\n").unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).unwrap();
        answer
    };
    let mut answers = Vec::new();
    // The second run finds the token that the first run stored.
    for _ in 0..2 {
        let (_server, line) = Server::start_until(backend.command(command), "listening on ");
        let port = line.strip_prefix("listening on ").unwrap();
        assert!(get(port, "").split_once(' ').unwrap().1.starts_with("401 "));
        let answer = get(port, "cookie: user=alice\r\n");
        assert!(answer.contains(" 200 ") && answer.contains("no-store"), "{answer}");
        let body = answer.lines().find(|line| line.starts_with('{')).unwrap();
        answers.push(serde_json::from_str::<serde_json::Value>(body).unwrap());
    }
    assert_eq!(answers[0], answers[1]);
    backend.assert_connects(&answers[0]);
    (backend, answers[0]["access_token"].clone())
}

#[test]
#[ignore = "needs php: apt-get install php-cli"]
fn the_three_steps_in_php_run_as_printed() {
    let backend = Backend::start();
    let sign_in = "<?php function signed_in(): ?string { return getenv('SIGNED_IN') ?: null; }";
    backend.program("php", "public/backend.php", ("public/sign-in.php", sign_in));
    assert_eq!(backend.run("php public/backend.php"), "", "no user is signed in");
    let [first, again] =
        [(); 2].map(|()| backend.run("env SIGNED_IN=alice php -d error_reporting=-1 public/backend.php"));
    assert_eq!(first, again);
    let answer = serde_json::from_str::<serde_json::Value>(&first).unwrap();
    assert_eq!(backend.private_file("tokens.json")["alice"], answer["access_token"]);
    backend.assert_connects(&answer);
}

#[test]
fn the_other_documents_contain_no_untested_command() {
    for document in [CONTRIBUTING, PROTOCOL, ARCHITECTURE, TRANSPORTS] {
        for command in commands(document) {
            assert!(OF_CI.contains(&command), "no test runs `{command}`");
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

/// Returns the files and folders that a document names: words such as `docs/PROTOCOL.md`, `server.rs` and `http/web/`.
fn named_files(document: &str) -> impl Iterator<Item = &str> {
    let is_separator = |c: char| c.is_whitespace() || "`(),;:|".contains(c);
    document.split(is_separator).map(|word| word.trim_end_matches('.')).filter(|word| {
        word.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.')
            && [".rs", ".md", ".svg", ".toml", "/"].iter().any(|end| word.ends_with(end))
    })
}

#[test]
fn every_file_that_the_documents_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (name, document) in [
        ("README", README),
        ("ARCHITECTURE", ARCHITECTURE),
        ("CONTRIBUTING", CONTRIBUTING),
        ("PROTOCOL", PROTOCOL),
        ("OPERATING", OPERATING),
        ("PROXIES", PROXIES),
    ] {
        let named: Vec<&str> = named_files(document).collect();
        assert!(!named.is_empty(), "{name} names files");
        for file in named {
            // docs/ARCHITECTURE.md names files of the server without their crate; links are relative to docs/.
            let exists =
                ["", "crates/server/src", "docs"].iter().any(|folder| root.join(folder).join(file).exists());
            assert!(exists, "{name}.md names `{file}`, which does not exist");
        }
    }
}
