//! Many users at once, half over WebSocket, half over long-poll.

use std::{collections::HashSet, time::Duration};

use chatcamp_client::{
    ChatCamp, Event,
    builder::endpoint,
    transport::{long_poll, websocket},
};
use rustix::process::{Resource, Signal, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinSet, time::sleep};

use crate::process::{Folder, text};

const TRANSPORTS: [&str; 2] = ["websocket", "long-poll"];
/// Users connected at once.
const CROWD: usize = 2000;
/// The open files they need in this process: one socket per user over WebSocket, two over long-poll, and a margin.
const OPEN_FILES: u64 = 4096;
/// The number of tasks in which new users connect, one after another, when the server is killed.
const STORM: usize = 32;
/// The number of acknowledged users per transport after which the server is killed.
const ENOUGH: usize = 100;

/// The time limit of a connect and of a request. How long they take depends on the load of the machine, so it limits nothing.
const UNLIMITED: Duration = Duration::from_secs(24 * 60 * 60);

/// Creates a client with its own transport.
fn client(transport: &str, app: &str, url: &str) -> ChatCamp {
    let builder = ChatCamp::builder(app).connect_timeout(UNLIMITED).request_timeout(UNLIMITED);
    let builder = match transport {
        "websocket" => builder.transport(websocket::Transport::new(&endpoint(url).unwrap()).unwrap()),
        _ => builder.transport(long_poll::Transport::new(&endpoint(url).unwrap()).unwrap()),
    };
    builder.build().unwrap()
}

/// Connects, and sends a request that the server must answer.
async fn connect_and_ask(transport: &'static str, app: String, url: String, user: String) -> ChatCamp {
    let chat = client(transport, &app, &url);
    let mut events = chat.events();
    assert_eq!(chat.connect(user.as_str()).await.unwrap().id.as_str(), user);
    let Some(Event::Connected { transport: carried, .. }) = events.next().await else { panic!("{user}") };
    assert_eq!(carried, transport);
    let answer = chat.request("users.get", json!({})).await.unwrap().parse::<Value>().unwrap();
    assert_eq!(answer["user"]["id"], user);
    chat
}

/// Returns the number of users who are online. If requests are sent too fast, waits as long as the server says.
async fn online(chat: &ChatCamp) -> u64 {
    loop {
        match chat.request("users.list_count", json!({ "is_online_filter": "ONLINE" })).await {
            Ok(count) => return count.parse::<Value>().unwrap()["users"]["count"].as_u64().unwrap(),
            Err(error) => sleep(error.retry_after().unwrap_or_else(|| panic!("{error}"))).await,
        }
    }
}

fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    assert!(limit.maximum.is_none_or(|most| most >= OPEN_FILES), "needs {OPEN_FILES} open files: ulimit -Hn");
    limit.current = limit.current.map(|current| current.max(OPEN_FILES));
    setrlimit(Resource::Nofile, limit).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_users_are_served_at_once() {
    raise_open_files();
    let folder = Folder::new();
    let app = folder.ok(&["app", "create", "crowd", "--auth", "open"]);
    let serve = folder.start(&["serve", "--listen", "127.0.0.1:0"]);
    let (app, url) = (text(&app, "app_id"), format!("http://{}", text(&serve.line(), "listening")));

    let connects: JoinSet<_> = (0..CROWD)
        .map(|n| connect_and_ask(TRANSPORTS[n % 2], app.to_owned(), url.clone(), format!("user{n}")))
        .collect();
    let crowd = connects.join_all().await;
    assert_eq!(online(&crowd[0]).await, CROWD as u64);

    let disconnects: JoinSet<_> =
        crowd.into_iter().map(|chat| async move { chat.disconnect().await }).collect();
    disconnects.join_all().await;
    let last = client("websocket", app, &url);
    last.connect("the last one").await.unwrap();
    while online(&last).await != 1 {}
    last.disconnect().await;
    serve.signal(Signal::TERM);
    assert_eq!(serve.wait().code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_acknowledged_before_the_server_is_killed_exist_afterwards() {
    let folder = Folder::new();
    let (dev, ready) = folder.dev();
    let (acknowledge, mut acknowledged) = mpsc::channel(STORM);
    for task in 0..STORM {
        let (app, url) = (text(&ready, "app_id").to_owned(), text(&ready, "url").to_owned());
        let acknowledge = acknowledge.clone();
        tokio::spawn(async move {
            let transport = TRANSPORTS[task % 2];
            for n in 0.. {
                let user = format!("{transport}-{task}-{n}");
                // The loop ends when the server is killed.
                if client(transport, &app, &url).connect(user.as_str()).await.is_err() {
                    break;
                }
                acknowledge.send((transport, user)).await.unwrap();
            }
        });
    }
    drop(acknowledge);

    let mut users = Vec::new();
    let has_enough = |users: &[(&str, String)]| {
        TRANSPORTS.iter().all(|name| users.iter().filter(|(over, _)| over == name).count() >= ENOUGH)
    };
    while !has_enough(&users) {
        users.push(acknowledged.recv().await.unwrap());
    }
    dev.kill();
    while let Some(user) = acknowledged.recv().await {
        users.push(user);
    }

    let (_dev, _) = folder.dev();
    let listed = folder.run(&["user", "list"]).objects();
    let listed: HashSet<_> = listed.iter().map(|user| text(user, "id")).collect();
    let lost: Vec<_> = users.iter().filter(|(_, user)| !listed.contains(user.as_str())).collect();
    assert!(lost.is_empty(), "of {} acknowledged, these are gone: {lost:?}", users.len());
    for (transport, user) in [users.first().unwrap(), users.last().unwrap()] {
        assert_eq!(folder.run(&["connect", user, "--transport", transport]).code, 0);
    }
}
