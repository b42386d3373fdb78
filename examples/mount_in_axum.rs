//! The chat endpoint and the Platform API mounted in an axum application, beside its own routes.
//!
//! `cargo run -p chatcamp-examples --bin mount_in_axum`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{error::Error, sync::Arc};

use axum::{Router, routing::get};
use chatcamp_backend::{Backend, UserFields};
use chatcamp_client::ChatCamp;
use chatcamp_server::{Accounts, ApiService, AuthPolicy, ChatService, Keyring, Server};
use chatcamp_store::memory::Store;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = Arc::new(Store::new());
    let keyring = Keyring::new(vec![[7; 32]])?;
    let app =
        Accounts::new(store.clone(), keyring.clone()).create_app("mounted", AuthPolicy::Open, None).await?;
    let server = Server::builder(store, keyring).start();

    let router = Router::new()
        .route("/", get(async || "an application of its own"))
        .route_service("/chat/2.0", ChatService::new(server.clone()))
        .route_service("/api/{*path}", ApiService::new(server.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });

    let backend = Backend::builder(format!("http://{address}"), app.api_key.key).build()?;
    let alice = backend.create_user("alice", UserFields::default()).await?;

    let chat = ChatCamp::builder(&app.id).url(format!("http://{address}")).build()?;
    let user = chat.connect(("alice", alice.access_token)).await?;
    println!("{} was created and is connected through axum", user.id);

    chat.disconnect().await;
    server.shutdown().await;
    Ok(())
}
