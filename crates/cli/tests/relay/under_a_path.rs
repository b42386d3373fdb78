//! A server that clients reach under a path.

use chatcamp_backend::Backend;
use chatcamp_client::{
    ChatCamp,
    builder::endpoint,
    transport::{long_poll, websocket},
};
use chatcamp_server::{FrontDoor, Server};

use crate::world;

#[tokio::test]
async fn clients_and_backends_keep_the_path_of_their_url() {
    let world = world().await;
    let server = Server::builder(world.data.store(), world.data.keyring());
    let server = server.public_url("https://example.com/talk".parse().unwrap()).start();
    let door = FrontDoor::bind(server.clone(), "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = door.local_addr().unwrap();
    tokio::spawn(door.run());
    for path in ["", "/talk", "/talk/", "/talk/chat/2.0"] {
        let url = endpoint(&format!("http://{address}{path}")).unwrap();
        let builders = [
            ChatCamp::builder(&world.app).transport(websocket::Transport::new(&url).unwrap()),
            ChatCamp::builder(&world.app).transport(long_poll::Transport::new(&url).unwrap()),
        ];
        for builder in builders {
            let chat = builder.build().unwrap();
            assert_eq!(chat.connect("alice").await.unwrap().id.as_str(), "alice", "{url}");
            chat.disconnect().await;
        }
    }
    let key = world.data.accounts().create_api_key(&world.app, "test").await.unwrap().key;
    let backend = Backend::builder(format!("http://{address}/talk"), key).build().unwrap();
    assert_eq!(backend.app().await.unwrap().id, world.app);
    server.shutdown().await;
}
