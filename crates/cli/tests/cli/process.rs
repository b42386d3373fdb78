//! Runs the binary, to its end or in the background.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, TrySendError, sync_channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The longest that a test waits for a line; reached only if the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The maximum number of unread lines of a process.
const LINES: usize = 4096;

/// A temporary data folder, not created yet.
pub(crate) struct Folder(tempfile::TempDir);

/// The exit code and output of a process.
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A process in the background, killed on drop.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    log_lines: Receiver<String>,
    log: String,
    reader: Option<JoinHandle<()>>,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.0.path().join("data")
    }

    /// Returns the command `args` on this folder, independent of the environment of the test.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chatcamp"));
        command.args(args).arg("--data").arg(self.path()).stdin(Stdio::null());
        for (variable, _) in env::vars_os() {
            // Cargo names the package whose tests run, as `cargo run` does.
            if variable == "CARGO_PKG_NAME" || variable.to_string_lossy().starts_with("CHATCAMP_") {
                command.env_remove(variable);
            }
        }
        command
    }

    /// Runs `args` with `--json` until it ends.
    pub(crate) fn run(&self, args: &[&str]) -> Done {
        Done::of(self.command(args).arg("--json"))
    }

    /// Runs `args` with `--json`; they must succeed and print one object.
    pub(crate) fn ok(&self, args: &[&str]) -> Value {
        let done = self.run(args);
        assert_eq!(done.code, 0, "{args:?}: {}", done.stderr);
        let mut objects = done.objects();
        assert_eq!(objects.len(), 1, "{args:?}: {objects:?}");
        objects.remove(0)
    }

    /// Starts `args` with `--json` in the background.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        Running::start(self.command(args).arg("--json").stdin(Stdio::piped()))
    }

    /// Starts `chatcamp dev` on a free port. Also returns its first line.
    pub(crate) fn dev(&self) -> (Running, Value) {
        let dev = self.start(&["dev", "--listen", "127.0.0.1:0"]);
        let ready = dev.line();
        (dev, ready)
    }

    /// Returns the command line of this binary that a command on this folder prints.
    pub(crate) fn next_command(&self, command: &str) -> String {
        format!("{} {command} --data {}", env!("CARGO_BIN_EXE_chatcamp"), self.path().display())
    }

    pub(crate) fn file(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }
}

impl Done {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self {
            code: output.status.code().expect("no signal ended it"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Returns every line of stdout; each must be an object.
    pub(crate) fn objects(&self) -> Vec<Value> {
        self.stdout.lines().map(object).collect()
    }
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (mut stdout, stderr) =
            (BufReader::new(child.stdout.take().unwrap()), BufReader::new(child.stderr.take().unwrap()));
        let (sender, lines) = sync_channel(LINES);
        let (log_sender, log_lines) = sync_channel(LINES);
        thread::spawn(move || {
            for line in (&mut stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let reader = thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // Drops lines that the test does not read, so that the process never waits for its log to be read.
                if let Err(TrySendError::Disconnected(_)) = log_sender.try_send(line) {
                    break;
                }
            }
        });
        Self { child, lines, log_lines, log: String::new(), reader: Some(reader) }
    }

    /// Returns the next line of stdout, which must be an object.
    pub(crate) fn line(&self) -> Value {
        self.line_before(Instant::now() + PATIENCE)
    }

    /// Returns the next line of stdout, which must arrive before the deadline.
    pub(crate) fn line_before(&self, deadline: Instant) -> Value {
        match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => object(&line),
            Err(why) => {
                let log: Vec<_> = self.log_lines.try_iter().collect();
                panic!("no line on stdout, {why}; stderr: {log:?}")
            }
        }
    }

    /// Returns the next event of this name and skips others.
    pub(crate) fn event(&self, name: &str) -> Value {
        self.event_before(name, Instant::now() + PATIENCE)
    }

    /// Returns the next event of this name, which must arrive before the deadline.
    pub(crate) fn event_before(&self, name: &str, deadline: Instant) -> Value {
        loop {
            let line = self.line_before(deadline);
            if line["event"] == name {
                return line;
            }
        }
    }

    /// Returns the lines of stdout up to the one that contains `text`.
    pub(crate) fn text_until(&self, text: &str) -> String {
        let mut all = String::new();
        while !all.contains(text) {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|why| panic!("{why}: {all}"));
            all += &format!("{line}\n");
        }
        all
    }

    /// Waits until a line of stderr contains `text`.
    pub(crate) fn logs(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let rest = deadline.saturating_duration_since(Instant::now());
            let line = self.log_lines.recv_timeout(rest).unwrap_or_else(|_| panic!("not logged: {text}"));
            self.log += &format!("{line}\n");
            if line.contains(text) {
                return;
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes to stdin; blocks while the process does not read.
    pub(crate) fn write(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Closes stdin.
    pub(crate) fn end_stdin(&mut self) {
        drop(self.child.stdin.take());
    }

    /// Waits until the process ends by itself. Returns its exit code and its unread output.
    pub(crate) fn wait(mut self) -> Done {
        let deadline = Instant::now() + PATIENCE;
        let mut stdout = String::new();
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => stdout += &format!("{line}\n"),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the process does not end"),
            }
        }
        self.finish(stdout)
    }

    /// Kills the process. Returns its unread stderr.
    pub(crate) fn kill(mut self) -> Done {
        self.child.kill().unwrap();
        self.finish(String::new())
    }

    fn finish(&mut self, stdout: String) -> Done {
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        let mut stderr = std::mem::take(&mut self.log);
        self.log_lines.iter().for_each(|line| stderr += &format!("{line}\n"));
        self.reader.take().map(JoinHandle::join).transpose().unwrap();
        Done { code, stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn object(line: &str) -> Value {
    match serde_json::from_str(line) {
        Ok(value @ Value::Object(_)) => value,
        _ => panic!("not an object: {line:?}"),
    }
}

/// Returns the text of a field.
pub(crate) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_else(|| panic!("no text `{field}` in {object}"))
}

/// Reads the first line of a process's stdout and closes the pipe. Returns its exit code and stderr.
pub(crate) fn head(command: &mut Command) -> (i32, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(!line.is_empty());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    (child.wait().unwrap().code().unwrap_or(-1), stderr)
}

/// Returns the permission bits of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions()) & 0o777
}
