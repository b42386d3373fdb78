//! The README's program: `cargo run -p chatcamp-examples --bin quickstart -- http://127.0.0.1:9080 APP_ID`.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use chatcamp_client::{ChatCamp, ProfileUpdate};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (url, app_id) = (args.next().expect("chat URL"), args.next().expect("app id"));

    let chat = ChatCamp::builder(app_id).url(url).build()?;
    let user = chat.connect("alice").await?; // or ("alice", "access-token")
    println!("connected as {}", user.id);

    let named = ProfileUpdate { display_name: Some("Alice".into()), ..ProfileUpdate::default() };
    println!("now called {}", chat.update_user(named).await?.profile.display_name);

    chat.disconnect().await;
    Ok(())
}
