//! The API's OpenAPI document, and a tester that generates requests from it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api_backend;
mod common;

use std::{
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use api_backend::Backend;
use bytes::Bytes;
use chatcamp_server::{ApiService, AuthPolicy, Limits};
use common::World;
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tower_service::Service;

/// The settings of the tester, each with its reason.
const SETTINGS: &str = "tests/api_document/schemathesis.toml";
/// The tester's check of requests that the document does not allow.
const HOOKS: &str = "tests/api_document/lenient.py";

/// Returns the document, as it is served without a key.
async fn document(backend: &Backend) -> Value {
    let mut api = ApiService::new(backend.world.server.clone());
    let get = http::Request::get("/api/openapi.json").body(Full::<Bytes>::default()).unwrap();
    let answer = api.call(get).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["x-request-id"].len(), 24);
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
    serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

#[tokio::test]
async fn the_document_is_served_without_a_key() {
    let backend = Backend::new().await;
    let document = document(&backend).await;
    assert_eq!(document["openapi"], "3.1.0");
    let mut api = ApiService::new(backend.world.server.clone());
    for (verb, path, status) in [
        ("GET", "//api/openapi.json", 200),
        ("HEAD", "/api/openapi.json", 200),
        ("POST", "/api/openapi.json", 405),
        ("GET", "/api/2.0/openapi.json", 405),
        ("GET", "/api/openapi.yaml", 404),
    ] {
        let request = http::Request::builder().method(verb).uri(path).body(Full::<Bytes>::default()).unwrap();
        let answer = api.call(request).await.unwrap();
        assert_eq!(answer.status(), status, "{verb} {path}");
        let allowed = answer.headers().get("allow").map(|allowed| allowed.to_str().unwrap());
        let expected =
            (status == 405).then_some(if path.ends_with("2.0/openapi.json") { "POST" } else { "GET, HEAD" });
        assert_eq!(allowed, expected, "{verb} {path}");
    }
    backend.world.close().await;
}

#[tokio::test]
async fn every_reference_in_the_document_resolves() {
    fn follow(document: &Value, part: &Value) -> usize {
        let reference = part.get("$ref").map(|to| {
            let to = to.as_str().unwrap().strip_prefix('#').unwrap();
            assert!(document.pointer(to).is_some(), "{to}");
        });
        let parts: Vec<_> = match part {
            Value::Array(parts) => parts.iter().collect(),
            Value::Object(parts) => parts.values().collect(),
            _ => Vec::new(),
        };
        parts.into_iter().map(|part| follow(document, part)).sum::<usize>() + usize::from(reference.is_some())
    }
    let backend = Backend::new().await;
    let document = document(&backend).await;
    assert!(follow(&document, &document) > 40);
    backend.world.close().await;
}

#[tokio::test]
async fn every_example_in_the_document_succeeds() {
    let backend = Backend::new().await;
    let document = document(&backend).await;
    for id in ["bob", "alice"] {
        backend.world.user(id).await;
    }
    let operations = document["paths"].as_object().unwrap();
    assert_eq!(operations.len(), 16);
    for (path, operation) in operations {
        let content = &operation["post"]["requestBody"]["content"]["application/json"];
        let method = path.strip_prefix("/api/2.0/").unwrap();
        let answer = backend.call(method, content["example"].clone()).await;
        let refused = match method {
            "users.create" => (409, "USER_EXISTS"),
            "app.keys.revoke" => (404, "API_KEY_NOT_FOUND"),
            _ => (200, "none"),
        };
        assert_eq!(answer.refused(), refused, "{method}");
        assert!(operation["post"]["responses"].get(refused.0.to_string()).is_some(), "{method}");
    }
    backend.world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs schemathesis: pip install schemathesis"]
async fn requests_generated_from_the_document_find_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(chatcamp_store::sqlite::Store::open(folder.path().join("store.db")).unwrap());
    let backend = Backend::of(World::over(store, AuthPolicy::Open, Limits::default()).await).await;
    for id in ["alice", "bob"] {
        backend.world.user(id).await;
    }
    let mut tester = Command::new("schemathesis");
    tester
        .arg("--config-file")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(SETTINGS))
        .args(["run", "--checks", "all", "--seed", "1"])
        // lenient.py has this check, for a server that accepts more than the schemas state.
        .args(["--exclude-checks", "negative_data_rejection"])
        .arg(format!("http://{}/api/openapi.json", backend.address))
        .current_dir(&folder)
        .env("SCHEMATHESIS_HOOKS", Path::new(env!("CARGO_MANIFEST_DIR")).join(HOOKS))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("CHATCAMP_API_KEY", &backend.key)
        .env("CHATCAMP_APP_ID", backend.world.app.as_str())
        .stdin(Stdio::null());
    let tested = tokio::task::spawn_blocking(move || tester.output()).await.unwrap();
    let tested = tested.expect("schemathesis is installed");
    let said = String::from_utf8_lossy(&tested.stdout) + String::from_utf8_lossy(&tested.stderr);
    println!("{said}");
    assert!(tested.status.success(), "{said}");
    backend.world.close().await;
}
