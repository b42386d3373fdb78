//! Clients generated from the API's OpenAPI document call a server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api_backend;
mod common;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use api_backend::Backend;
use tempfile::TempDir;

/// The programs that call the generated clients, and what they need.
const PROGRAMS: &str = "tests/api_clients";

/// A folder with the programs, and a server for them.
struct Fixture {
    backend: Backend,
    folder: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for file in fs::read_dir(programs()).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
        }
        Self { backend: Backend::new().await, folder }
    }

    fn document(&self) -> String {
        format!("http://{}/api/openapi.json", self.backend.address)
    }

    /// Runs a program in the folder, and asserts that it succeeds. Returns what it printed.
    async fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("CHATCAMP_URL", format!("http://{}", self.backend.address))
            .env("CHATCAMP_API_KEY", &self.backend.key)
            .stdin(Stdio::null());
        let done = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let printed = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{program} {arguments:?}: {printed}");
        printed.into_owned()
    }

    async fn close(self) {
        self.backend.world.close().await;
    }
}

/// Returns the interpreter of the environment that has openapi-python-client, which the generated client needs too.
fn python() -> PathBuf {
    let path = env::var_os("PATH").unwrap();
    let mut folders = env::split_paths(&path);
    folders.find(|folder| folder.join("openapi-python-client").is_file()).unwrap().join("python3")
}

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(PROGRAMS)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs openapi-python-client: pip install openapi-python-client"]
async fn a_generated_python_client_has_every_method_and_calls_the_server() {
    let fixture = Fixture::new().await;
    let document = fixture.document();
    let package = ["--meta", "none", "--output-path", "chatcamp_api", "--fail-on-warning"];
    let arguments = [&["generate", "--url", &document][..], &package].concat();
    fixture.run("openapi-python-client", &arguments).await;
    let mut methods = 0;
    for family in ["users", "app"] {
        let folder = fixture.folder.path().join("chatcamp_api/api").join(family);
        methods += fs::read_dir(folder).unwrap().count() - 1;
    }
    assert_eq!(methods, 16, "a module for each method, besides __init__.py");
    fixture.run(python().to_str().unwrap(), &["client.py"]).await;
    fixture.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs node and npm: apt-get install nodejs npm"]
async fn a_generated_typescript_client_has_plain_types_and_calls_the_server() {
    let fixture = Fixture::new().await;
    fixture.run("npm", &["ci", "--ignore-scripts", "--no-audit", "--no-fund"]).await;
    let bin = fixture.folder.path().join("node_modules/.bin");
    let generate = bin.join("openapi-typescript");
    fixture.run(generate.to_str().unwrap(), &[&fixture.document(), "--output", "schema.d.ts"]).await;
    let types = fs::read_to_string(fixture.folder.path().join("schema.d.ts")).unwrap();
    assert!(types.contains("display_name: string;"), "{types}");
    assert!(!types.contains("| null"), "no field is null: {types}");
    // It checks the types too.
    fixture.run(bin.join("tsc").to_str().unwrap(), &["--project", "."]).await;
    fixture.run("node", &["client.js"]).await;
    fixture.close().await;
}
