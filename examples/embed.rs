//! A server embedded in a program, and a client that connects to it in memory.
//!
//! `cargo run -p chatcamp-examples --bin embed`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{error::Error, sync::Arc};

use chatcamp_client::ChatCamp;
use chatcamp_server::{Accounts, AuthPolicy, Keyring, Server};
use chatcamp_store::memory::Store;
use chatcamp_transport::memory;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = Arc::new(Store::new());
    let keyring = Keyring::new(vec![[7; 32]])?;
    let app = Accounts::new(store.clone(), keyring.clone())
        .create_app("embedded", AuthPolicy::Open, None)
        .await?
        .id;

    let server = Server::builder(store, keyring).start();
    let (transport, listener) = memory::network();
    let accepting = server.clone();
    let accepting = tokio::spawn(async move { accepting.listen(listener).await });

    let chat = ChatCamp::builder(&app).transport(transport).build()?;
    let user = chat.connect("alice").await?;
    println!("{} is connected; the server holds {:?}", user.id, server.load());

    chat.disconnect().await;
    server.shutdown().await;
    accepting.await?;
    println!("afterwards it holds {:?}", server.load());
    Ok(())
}
