//! Every example runs to its end and prints what it promises.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path, process::Command, sync::Arc};

use chatcamp_server::{Accounts, AuthPolicy, FrontDoor, Keyring, Server};
use chatcamp_store::memory::Store;

fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_embedded_server_ends_without_connections_and_sessions() {
    let said = run(env!("CARGO_BIN_EXE_embed"), &[]);
    assert!(said.contains(
        "alice is connected; the server holds Load { connections: 1, unverified: 0, sessions: 1, detached: 0 }"
    ));
    assert!(
        said.contains("afterwards it holds Load { connections: 0, unverified: 0, sessions: 0, detached: 0 }")
    );
}

#[test]
fn the_endpoint_is_mounted_in_axum() {
    assert_eq!(
        run(env!("CARGO_BIN_EXE_mount_in_axum"), &[]),
        "alice was created and is connected through axum\n"
    );
}

#[test]
fn the_network_of_messages_passes_the_suite_and_carries_a_login() {
    let said = run(env!("CARGO_BIN_EXE_message_network"), &[]);
    assert_eq!(said, "the network passes the suite\nalice is connected over a network of messages\n");
}

#[test]
fn the_unix_socket_transport_passes_the_suite_and_carries_a_login() {
    let said = run(env!("CARGO_BIN_EXE_unix_socket"), &[]);
    assert_eq!(said, "the transport passes the suite\nalice is connected over a Unix domain socket\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quickstart_is_the_program_in_the_readme_and_runs() {
    let quickstart = include_str!("../quickstart.rs");
    let readme = include_str!("../../README.md");
    let program = quickstart.split_once("\n\n").unwrap().1;
    assert!(readme.contains(&format!("```rust,no_run\n{program}```\n")), "README.md shows another program");

    let store = Arc::new(Store::new());
    let keyring = Keyring::new(vec![[7; 32]]).unwrap();
    let accounts = Accounts::new(store.clone(), keyring.clone());
    let app = accounts.create_app("quickstart", AuthPolicy::Open, None).await.unwrap().id;
    let server = Server::builder(store, keyring).start();
    let door = FrontDoor::bind(server.clone(), ([127, 0, 0, 1], 0).into()).unwrap();
    let url = format!("http://{}", door.local_addr().unwrap());
    tokio::spawn(door.run());
    let said =
        tokio::task::spawn_blocking(move || run(env!("CARGO_BIN_EXE_quickstart"), &[&url, app.as_str()]));
    assert_eq!(said.await.unwrap(), "connected as alice\nnow called Alice\n");
    server.shutdown().await;
}

/// Cargo resolves the crate, so the paths and the features exist.
#[test]
fn the_dependencies_in_the_readme_resolve() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let lines = include_str!("../../README.md").split("```toml\n").nth(1).expect("lines of Cargo.toml");
    let lines =
        lines.split("```").next().expect("their end").replace("../chatcamp", &root.display().to_string());
    assert!(lines.contains("chatcamp-client") && lines.contains("chatcamp-server"));

    let folder = tempfile::tempdir().expect("a folder");
    let manifest =
        format!("[package]\nname = \"app\"\nedition = \"2024\"\n\n{lines}\n[lib]\npath = \"lib.rs\"\n");
    fs::write(folder.path().join("Cargo.toml"), manifest).expect("a manifest");
    fs::write(folder.path().join("lib.rs"), "").expect("a source file");
    fs::copy(root.join("Cargo.lock"), folder.path().join("Cargo.lock")).expect("the lock file");

    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--offline"]).current_dir(folder.path());
    let cargo = cargo.output().expect("cargo runs");
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
}
