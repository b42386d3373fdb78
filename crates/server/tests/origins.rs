//! Which web pages an app accepts, by the header `Origin`: in both dialects, over both transports, through both adapters.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{net::SocketAddr, time::Duration};

use chatcamp_protocol::{Code, OriginPattern, OriginPolicy};
use chatcamp_server::{AccountError, AppFields, AuthPolicy, ClientOrigin, Limits, OriginChange};
use chatcamp_transport::{Connection, ConnectionInfo, websocket};
use common::{ADAPTERS, Adapter, PATIENCE, Peer, World, eventually, listen};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const SHOP: &str = "https://shop.example";
const REFUSED: &str = "ORIGIN_REFUSED";

/// How a client connects.
#[derive(Debug, Clone, Copy)]
enum Way {
    WebSocket,
    LongPoll,
}

const WAYS: [Way; 2] = [Way::WebSocket, Way::LongPoll];

fn patterns(texts: &[&str]) -> Vec<OriginPattern> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

impl World {
    async fn set_origins(&self, texts: &[&str], is_required: bool) {
        let fields = AppFields {
            origins: Some(patterns(texts)),
            require_origin: Some(is_required),
            ..AppFields::default()
        };
        self.accounts.update_app(&self.app, fields).await.unwrap();
    }

    fn query(&self) -> String {
        format!("?app_id={}&user_id=alice", self.app)
    }

    fn hello(&self) -> Value {
        let body = json!({ "v": 1, "client": "test/1", "app_id": self.app, "user_id": "alice" });
        json!({ "t": "users.auth", "r": 1, "d": body })
    }

    fn refused(&self) -> Vec<(String, u64)> {
        let shown = |origin| match origin {
            ClientOrigin::Page(origin) => origin.to_string(),
            other => format!("{other:?}"),
        };
        let refused = self.server.refused_origins(&self.app);
        refused.into_iter().map(|refused| (shown(refused.origin), refused.count)).collect()
    }
}

async fn token_world() -> World {
    let mut limits = Limits::default();
    limits.drain = Duration::from_millis(250);
    World::new(AuthPolicy::Token, limits).await
}

fn origin_header(origin: &[u8]) -> Vec<u8> {
    [b"Origin: ", origin, b"\r\n"].concat()
}

/// Sends a request with raw headers. Returns the connection, the head of the answer, and what was received after it.
async fn request(
    address: SocketAddr,
    head: &str,
    headers: &[u8],
    body: &str,
) -> (TcpStream, String, Vec<u8>) {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let bytes = [head.as_bytes(), b"Host: h\r\n", headers, b"\r\n", body.as_bytes()].concat();
    tcp.write_all(&bytes).await.unwrap();
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|end| end == b"\r\n\r\n") {
            let rest = read.split_off(end + 4);
            return (tcp, String::from_utf8_lossy(&read).into_owned(), rest);
        }
        let n = timeout(PATIENCE, tcp.read_buf(&mut read)).await.expect("an answer").unwrap();
        assert_ne!(n, 0, "closed instead of an answer");
    }
}

/// Opens a WebSocket with raw headers.
async fn upgrade(address: SocketAddr, query: &str, headers: &[u8]) -> Peer {
    let head = format!(
        "GET /chat/2.0{query} HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    let (tcp, head, frames) = request(address, &head, headers, "").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let carrier = websocket::Carrier::client(tcp, &frames);
    Peer {
        connection: Connection::new(carrier, ConnectionInfo::new("websocket")),
        requests: 0,
        ack: Value::Null,
    }
}

/// Sends a poll with raw headers. Returns the head and the body of the answer.
async fn poll(address: SocketAddr, id: usize, query: &str, headers: &[u8], post: &str) -> (String, Value) {
    let method = if post.is_empty() { "GET" } else { "POST" };
    let length = post.len();
    let head = format!(
        "{method} /chat/2.0{query} HTTP/1.1\r\nConnection: close\r\niflychat-token: {id:038}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n"
    );
    let (mut tcp, head, mut body) = request(address, &head, headers, post).await;
    timeout(PATIENCE, tcp.read_to_end(&mut body)).await.expect("the whole answer").unwrap();
    (head, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// Connects alice with raw headers. Returns `None` if she is accepted, or else the code.
async fn connect(
    world: &World,
    address: SocketAddr,
    way: Way,
    is_native: bool,
    id: usize,
    headers: &[u8],
) -> Option<String> {
    let query = if is_native { String::new() } else { world.query() };
    let hello = if is_native { world.hello().to_string() } else { String::new() };
    let (ack, peer) = match way {
        Way::WebSocket => {
            let mut peer = upgrade(address, &query, headers).await;
            if is_native {
                peer.send(hello).await;
            }
            (peer.recv().await, Some(peer))
        }
        Way::LongPoll => {
            let post = if is_native { json!([hello]).to_string() } else { String::new() };
            let (head, body) = poll(address, id, &query, headers, &post).await;
            assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
            (serde_json::from_str(body[0].as_str().unwrap()).unwrap(), None)
        }
    };
    assert_eq!(ack["t"], "users.auth.ack", "{ack}");
    if ack["d"]["ok"] == true {
        return None;
    }
    let error = &ack["d"]["error"];
    let code = if is_native {
        assert_eq!(error["advice"], "terminal", "our clients do not try again");
        &error["code"]
    } else {
        assert_eq!(error["code"], "NOT_AUTHORIZED", "the published SDK does not try again");
        &error["reason"]
    };
    match peer {
        Some(mut peer) => peer.closed_with(Code::OriginRefused).await,
        None => {
            // The end of a long-poll connection: the next request is refused, and the page may read that.
            let (head, _) = poll(address, id, &query, headers, "").await;
            assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
            assert!(head.contains("access-control-allow-credentials: true") || headers.is_empty(), "{head}");
        }
    }
    Some(code.as_str().unwrap().to_owned())
}

#[tokio::test]
async fn an_app_refuses_other_origins_in_both_dialects_and_over_both_transports() {
    for adapter in ADAPTERS {
        let world = World::open().await;
        let address = listen(&world, adapter).await;
        world.set_origins(&[SHOP, "https://*.shop.example:8443", "http://[::1]:3000"], false).await;
        let mut id = 0;
        for (headers, is_accepted) in [
            (origin_header(b"https://shop.example"), true),
            (origin_header(b"HTTPS://SHOP.example:443"), true),
            (origin_header(b"https://a.b.shop.example:8443"), true),
            (origin_header(b"http://[0::1]:3000"), true),
            (Vec::new(), true),
            (origin_header(b"http://shop.example"), false),
            (origin_header(b"https://shop.example:8443"), false),
            (origin_header(b"https://evil.example"), false),
            (origin_header(b"null"), false),
            (origin_header(b""), false),
            (origin_header(b"https://shop.example\xff"), false),
        ] {
            for way in WAYS {
                for is_native in [true, false] {
                    id += 1;
                    let code = connect(&world, address, way, is_native, id, &headers).await;
                    let expected = (!is_accepted).then(|| REFUSED.to_owned());
                    let headers = String::from_utf8_lossy(&headers);
                    assert_eq!(code, expected, "{adapter:?} {way:?} {is_native} {headers:?}");
                }
            }
        }
        let mut refused = world.refused();
        refused.sort_unstable();
        let expected = [
            ("Invalid", 8),
            ("http://shop.example", 4),
            ("https://evil.example", 4),
            ("https://shop.example:8443", 4),
            ("null", 4),
        ];
        assert_eq!(refused, expected.map(|(origin, count)| (origin.to_owned(), count)));
        world.close().await;
    }
}

#[tokio::test]
async fn a_client_without_an_origin_is_refused_only_if_one_is_required() {
    let world = World::open().await;
    let address = listen(&world, Adapter::FrontDoor).await;
    for (texts, is_required, headers, is_accepted) in [
        (&[][..], false, Vec::new(), true),
        (&[], false, origin_header(b"null"), true),
        (&[], false, origin_header(b"no origin"), true),
        (&[], true, Vec::new(), false),
        (&[], true, origin_header(b"https://any.example"), true),
        (&[SHOP], true, Vec::new(), false),
        (&[SHOP, "null"], true, origin_header(b"null"), true),
    ] {
        world.set_origins(texts, is_required).await;
        let code = connect(&world, address, Way::WebSocket, true, 0, &headers).await;
        assert_eq!(code.is_none(), is_accepted, "{texts:?} {is_required} {headers:?}: {code:?}");
    }
    world.set_origins(&[SHOP], true).await;
    assert_eq!(
        world.try_connect("alice", None).await.unwrap_err(),
        REFUSED,
        "no transport vouches for a page"
    );
    assert_eq!(world.refused()[0], ("Missing".to_owned(), 3));
    world.close().await;
}

#[tokio::test]
async fn a_repeated_header_is_refused_before_any_app() {
    for adapter in ADAPTERS {
        let world = World::open().await;
        let address = listen(&world, adapter).await;
        world.set_origins(&[SHOP], false).await;
        let twice = origin_header(SHOP.as_bytes()).repeat(2);
        let (head, body) = poll(address, 1, &world.query(), &twice, "").await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{adapter:?}: {head}");
        assert_eq!(body["error"]["code"], "HEADER_REPEATED");
        world.close().await;
    }
}

#[tokio::test]
async fn a_refused_page_creates_no_user() {
    let world = World::open().await;
    let address = listen(&world, Adapter::FrontDoor).await;
    world.set_origins(&[SHOP], false).await;
    let evil = origin_header(b"https://evil.example");
    assert!(connect(&world, address, Way::WebSocket, false, 0, &evil).await.is_some());
    assert_eq!(world.store.user_count(&world.app).await.unwrap(), 0);
    assert_eq!(
        connect(&world, address, Way::WebSocket, false, 0, &origin_header(SHOP.as_bytes())).await,
        None
    );
    assert_eq!(world.store.user_count(&world.app).await.unwrap(), 1);
    world.close().await;
}

#[tokio::test]
async fn the_origin_is_checked_again_when_a_session_is_resumed() {
    let world = World::open().await;
    let address = listen(&world, Adapter::FrontDoor).await;
    let shop = origin_header(SHOP.as_bytes());
    let evil = origin_header(b"https://evil.example");

    // Sessions that are connected stay when the origins change.
    let mut published = upgrade(address, &world.query(), &shop).await;
    let key = published.recv().await["d"]["session_key"].as_str().unwrap().to_owned();
    let mut native = upgrade(address, "", &shop).await;
    native.send(world.hello().to_string()).await;
    native.ack = native.recv().await["d"].clone();
    world.set_origins(&["https://other.example"], true).await;
    assert_eq!(native.request("ping", json!({})).await["ok"], true);

    let resumed = format!("?session_key={key}");
    for headers in [&shop, &evil, &Vec::new()] {
        let mut again = upgrade(address, &resumed, headers).await;
        let ack = again.recv().await;
        assert_eq!(ack["d"]["error"]["reason"], REFUSED, "{ack}");
        assert_ne!(
            ack["d"]["error"]["message"], "Session Key Invalid",
            "the SDK would connect without its key"
        );
        again.closed_with(Code::OriginRefused).await;

        let mut again = upgrade(address, "", headers).await;
        let mut hello = world.hello();
        hello["d"]["resume"] = json!({ "key": native.ack["session"]["key"], "seen": 0, "sent": 1 });
        again.send(hello.to_string()).await;
        let ack = again.recv().await;
        assert_eq!(ack["d"]["error"]["code"], REFUSED, "{ack}");
    }
    // The sessions themselves were not touched.
    assert_eq!(native.request("ping", json!({})).await["ok"], true);
    world.set_origins(&[SHOP], true).await;
    let mut again = upgrade(address, &resumed, &shop).await;
    assert_eq!(again.recv().await["d"]["ok"], true);
    drop((again, native, published));
    world.close().await;
}

#[tokio::test]
async fn a_session_key_of_a_token_session_is_refused_for_its_origin_too() {
    let world = token_world().await;
    let address = listen(&world, Adapter::FrontDoor).await;
    let token = world.user("alice").await;
    let query = format!("{}&access_token={}", world.query(), token.expose());
    let mut peer = upgrade(address, &query, &origin_header(SHOP.as_bytes())).await;
    let key = peer.recv().await["d"]["session_key"].as_str().unwrap().to_owned();
    world.set_origins(&["https://other.example"], false).await;
    let mut again = upgrade(address, &format!("?session_key={key}"), &origin_header(SHOP.as_bytes())).await;
    assert_eq!(again.recv().await["d"]["error"]["reason"], REFUSED);
    world.close().await;
}

#[tokio::test]
async fn a_live_session_refreshes_its_token_although_an_origin_is_required() {
    let world = token_world().await;
    let token = world.user("alice").await;
    let mut alice = world.connect_with("alice", &token).await;
    world.set_origins(&[SHOP], true).await;
    let refreshed = alice.request("users.refresh", json!({ "access_token": token.expose() })).await;
    assert_eq!(refreshed["ok"], true, "{refreshed}");
    drop(alice);
    eventually(|| world.server.load().connections == 0).await;
    world.close().await;
}

#[tokio::test]
async fn origins_are_added_and_removed() {
    let world = World::open().await;
    let change = async |add: &[&str], remove: &[&str], require_origin| {
        let change = OriginChange { add: patterns(add), remove: patterns(remove), require_origin };
        let app = world.accounts.change_origins(&world.app, change).await?;
        let texts: Vec<_> = app.origins.patterns().iter().map(ToString::to_string).collect();
        Ok::<_, AccountError>((texts.join(" "), app.origins.is_required(), app.rev))
    };
    let is = |text: &str, is_required, rev| (text.to_owned(), is_required, rev);
    assert_eq!(change(&[], &[], Some(true)).await.unwrap(), is("", true, 2));
    assert_eq!(change(&[SHOP], &[], None).await.unwrap(), is(SHOP, true, 3));
    assert_eq!(change(&[SHOP], &[], None).await.unwrap(), is(SHOP, true, 3), "not added again");
    assert_eq!(change(&["null"], &[SHOP], Some(false)).await.unwrap(), is("null", false, 4));
    let missing = change(&[], &[SHOP], None).await.unwrap_err();
    assert!(matches!(&missing, AccountError::NoOrigin(origin) if origin.as_str() == SHOP), "{missing}");
    let last = change(&[], &["null"], None).await.unwrap_err();
    assert!(matches!(last, AccountError::LastOrigin), "{last}");
    let many: Vec<_> = (0..100).map(|n| format!("https://a{n}.example")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let too_many = change(&many, &[], None).await.unwrap_err();
    assert!(matches!(too_many, AccountError::TooManyOrigins(_)), "{too_many}");
    let app = world.accounts.app(&world.app).await.unwrap();
    assert_eq!(
        app.origins,
        OriginPolicy::new(patterns(&["null"]), false).unwrap(),
        "a refused change changes nothing"
    );

    let fields = AppFields { origins: Some(patterns(&many)), ..AppFields::default() };
    assert_eq!(world.accounts.update_app(&world.app, fields).await.unwrap().origins.patterns().len(), 100);
    let fields = AppFields { require_origin: Some(true), ..AppFields::default() };
    let app = world.accounts.update_app(&world.app, fields).await.unwrap();
    assert_eq!((app.origins.patterns().len(), app.origins.is_required()), (100, true), "the list stays");
    let too_many = patterns(&many).into_iter().chain(patterns(&["null"])).collect();
    let fields = AppFields { origins: Some(too_many), ..AppFields::default() };
    let refused = world.accounts.update_app(&world.app, fields).await.unwrap_err();
    assert!(matches!(refused, AccountError::TooManyOrigins(_)), "{refused}");
    world.close().await;
}
