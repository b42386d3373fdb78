//! Ring 2: the client against a hub and against scripted answers, in paused time; then its HTTP on loopback.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod support;

use std::{
    collections::HashSet,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chatcamp_transport::{
    Close, Closed, ConnectError, Connection, Listener as _, MESSAGE_LIMIT, Message, Tls, Transport as _,
    long_poll::{Exchange, ExchangeAnswer, ExchangeError, ExchangeRequest, Limits, Method, Transport},
    testing::{ExchangeFault, FaultyExchange},
};
use support::{Accepted, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::{Instant, sleep},
};

/// The method and id of a request.
type Seen = (Method, Arc<str>);

/// A server behind a network that counts requests and fails on demand.
#[derive(Debug, Clone)]
struct Network {
    server: Server,
    faulty: Arc<FaultyExchange<Server>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    in_flight: Arc<[AtomicUsize; 2]>,
}

impl Network {
    fn new(fault: impl IntoIterator<Item = ExchangeFault>) -> (Self, Transport, Accepted) {
        let (server, accepted) = Server::start(Limits::default());
        let faulty = Arc::new(FaultyExchange::new(server.clone(), fault));
        let network = Self { server, faulty, seen: Arc::default(), in_flight: Arc::default() };
        (network.clone(), Transport::over(network, "/chat"), accepted)
    }

    fn count(&self, method: Method) -> usize {
        self.seen.lock().unwrap().iter().filter(|(seen, _)| *seen == method).count()
    }
}

#[async_trait]
impl Exchange for Network {
    async fn exchange(&self, request: ExchangeRequest) -> Result<ExchangeAnswer, ExchangeError> {
        let method = request.method;
        self.seen.lock().unwrap().push((method, request.id.clone()));
        // No other request is in flight with the opening POST, so it counts as a GET.
        let is_post = method == Method::Post && self.count(Method::Post) > 1;
        let in_flight = &self.in_flight[usize::from(is_post)];
        assert_eq!(in_flight.fetch_add(1, Ordering::Relaxed), 0, "one of each kind at a time");
        let answer = self.faulty.exchange(request).await;
        in_flight.fetch_sub(1, Ordering::Relaxed);
        answer
    }

    fn is_exposed(&self) -> bool {
        false
    }
}

async fn open(transport: &Transport, accepted: &mut Accepted) -> (Connection, Connection) {
    let mut client = transport.connect().await.unwrap();
    client.send("question".into()).await.unwrap();
    let mut server = accepted.accept().await.unwrap();
    assert_eq!(server.recv().await, Ok("question".into()));
    server.send("answer".into()).await.unwrap();
    assert_eq!(client.recv().await, Ok("answer".into()));
    (client, server)
}

#[tokio::test(start_paused = true)]
async fn connecting_sends_nothing() {
    let (network, transport, _accepted) = Network::new([]);
    let mut client = transport.connect().await.unwrap();
    assert_eq!(client.close(Close::NORMAL).await, Closed::ByUs(Close::NORMAL));
    drop((client, transport.connect().await.unwrap()));
    sleep(Duration::from_secs(60)).await;
    assert!(network.seen.lock().unwrap().is_empty());
    assert!(network.server.hub.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_ack_is_in_the_answer_of_the_first_post() {
    let (network, transport, mut accepted) = Network::new([]);
    let _open = open(&transport, &mut accepted).await;
    assert_eq!((network.count(Method::Post), network.count(Method::Get)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn ids_are_32_random_digits_and_stay() {
    let (network, transport, mut accepted) = Network::new([]);
    for n in 1..=10 {
        let (mut client, mut server) = open(&transport, &mut accepted).await;
        client.send("more".into()).await.unwrap();
        server.recv().await.unwrap();
        let seen = network.seen.lock().unwrap().clone();
        let ids: HashSet<_> = seen.into_iter().map(|(_, id)| id).collect();
        assert_eq!(ids.len(), n);
        assert!(ids.iter().all(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_before_a_flush_is_one_request() {
    let (network, transport, mut accepted) = Network::new([]);
    let (client, mut server) = open(&transport, &mut accepted).await;
    let before = network.count(Method::Post);
    let (mut carrier, info) = client.into_parts();
    for n in 0..100 {
        assert_eq!(carrier.try_send(&[Message::from(format!("{n}"))]).taken, 1);
    }
    let mut client = Connection::from_parts(carrier, info);
    let client = tokio::spawn(async move { client.recv().await });
    for n in 0..100 {
        assert_eq!(server.recv().await, Ok(Message::from(format!("{n}"))));
    }
    assert_eq!(network.count(Method::Post) - before, 1);
    server.close(Close::NORMAL).await;
    assert_eq!(client.await.unwrap(), Err(Closed::ByPeer(Close::NORMAL)));
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_lives_by_its_gets() {
    let (network, transport, mut accepted) = Network::new([]);
    let (mut client, mut server) = open(&transport, &mut accepted).await;
    let waiting = async {
        tokio::select! { end = client.recv() => Some(end), end = server.recv() => Some(end), () = sleep(Duration::from_secs(600)) => None }
    };
    assert_eq!(waiting.await, None);
    assert_eq!(network.count(Method::Get), 30, "each is held for 20 s");
    let (client, server) = (client.into_parts().0, server.into_parts().0);
    assert!(client.arrivals() >= 30 && server.arrivals() >= 30);
}

#[tokio::test(start_paused = true)]
async fn gets_that_are_broken_off_and_repeated_lose_nothing() {
    let (network, transport, mut accepted) =
        Network::new([ExchangeFault::RepeatGets(Duration::from_millis(5))]);
    let (mut client, mut server) = open(&transport, &mut accepted).await;
    let sender = async {
        for n in 0..50 {
            server.send(Message::from(format!("{n}"))).await.unwrap();
            sleep(Duration::from_millis(3)).await;
        }
    };
    let receiver = async {
        for n in 0..50 {
            assert_eq!(client.recv().await, Ok(Message::from(format!("{n}"))));
        }
    };
    tokio::join!(sender, receiver);
    assert!(network.count(Method::Get) > 5);
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_or_answer_ends_the_connection_on_both_sides() {
    use Method::{Get, Post};
    for (fault, arrives) in [
        (ExchangeFault::LoseRequest(Get, 1), None),
        (ExchangeFault::LoseAnswer(Get, 1), None),
        (ExchangeFault::LoseRequest(Get, 3), None),
        (ExchangeFault::LoseRequest(Post, 2), Some(false)),
        (ExchangeFault::LoseAnswer(Post, 2), Some(true)),
    ] {
        let (network, transport, mut accepted) = Network::new([fault]);
        let (mut client, mut server) = open(&transport, &mut accepted).await;
        let begun = Instant::now();
        if arrives.is_some() {
            client.send("posted".into()).await.ok();
        } else {
            server.send("event".into()).await.unwrap();
        }
        let client_end = async {
            loop {
                if let Err(end) = client.recv().await {
                    return end;
                }
            }
        };
        let server_end = async {
            let mut texts = Vec::new();
            loop {
                match server.recv().await {
                    Ok(message) => texts.push(message.as_str().to_owned()),
                    Err(end) => return (texts, end),
                }
            }
        };
        let (client_end, (texts, server_end)) = tokio::join!(client_end, server_end);
        assert_eq!(client_end, Closed::Lost("lost".into()), "{fault:?}");
        assert!(matches!(server_end, Closed::Lost(_)), "{fault:?}: {server_end}");
        assert_eq!(texts.len(), usize::from(arrives == Some(true)), "{fault:?}: never twice");
        assert!(begun.elapsed() < Duration::from_secs(60), "{fault:?}");
        drop((client, server));
        sleep(Duration::from_secs(31)).await;
        assert!(network.server.hub.is_empty(), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_opening_ends_the_connection() {
    for fault in [ExchangeFault::LoseRequest(Method::Post, 1), ExchangeFault::LoseAnswer(Method::Post, 1)] {
        let (_network, transport, _accepted) = Network::new([fault]);
        let mut client = transport.connect().await.unwrap();
        client.send("question".into()).await.unwrap();
        assert_eq!(client.recv().await, Err(Closed::Unreachable("lost".into())), "{fault:?}");
        assert!(client.send("more".into()).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_client_says_so() {
    let (network, transport, mut accepted) = Network::new([]);
    let (client, mut server) = open(&transport, &mut accepted).await;
    let (mut carrier, _) = client.into_parts();
    carrier.try_send(&["last".into()]);
    drop(carrier);
    assert_eq!(server.recv().await, Ok("last".into()));
    assert_eq!(server.recv().await, Err(Closed::ByPeer(Close::new(1001, ""))));
    sleep(Duration::from_secs(31)).await;
    assert!(network.server.hub.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_refused_post_lets_the_server_finish() {
    let (_network, transport, mut accepted) = Network::new([]);
    let (mut client, server) = open(&transport, &mut accepted).await;
    let (mut carrier, _) = server.into_parts();
    carrier.try_send(&["refusal".into()]);
    carrier.close(Close::new(4500, "no"));
    client.send("too late".into()).await.unwrap();
    assert_eq!(client.recv().await, Ok("refusal".into()));
    assert_eq!(client.recv().await, Err(Closed::ByPeer(Close::new(4500, "no"))));
}

/// Answers every request with the same answer, or not at all.
#[derive(Debug, Clone)]
struct Scripted(Option<ExchangeAnswer>);

#[async_trait]
impl Exchange for Scripted {
    async fn exchange(&self, _: ExchangeRequest) -> Result<ExchangeAnswer, ExchangeError> {
        match &self.0 {
            Some(answer) => Ok(answer.clone()),
            None => std::future::pending().await,
        }
    }

    fn is_exposed(&self) -> bool {
        true
    }
}

async fn first_end(answer: Option<(u16, &str)>) -> Closed {
    let answer = answer.map(|(status, body)| ExchangeAnswer { status, body: body.to_owned().into() });
    let transport = Transport::over(Scripted(answer), "/");
    let mut client = transport.connect().await.unwrap();
    client.send("question".into()).await.unwrap();
    loop {
        if let Err(end) = client.recv().await {
            assert_eq!(client.recv().await, Err(end.clone()));
            return end;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_end_a_connection() {
    let close = r#"{"close":{"code":4500,"reason":"no"}}"#;
    let by_peer = Closed::ByPeer(Close::new(4500, "no"));
    for status in [403, 410] {
        assert_eq!(first_end(Some((status, close))).await, by_peer);
    }
    for (status, body) in [(403, "{}"), (410, ""), (404, "Not Found"), (302, ""), (500, "[]"), (503, "[]")] {
        let end = first_end(Some((status, body))).await;
        let Closed::Refused(why) = &end else { panic!("{status}: {end}") };
        assert!(why.starts_with(&format!("status {status}")), "{why}");
    }
    for body in ["", "<html>", "null", "{}", "[1]", r#"["a""#, close] {
        let end = first_end(Some((200, body))).await;
        assert_eq!(end, Closed::Refused("the answer is not from a ChatCamp server".into()), "{body}");
    }
    let long = serde_json::to_string(&["x".repeat(MESSAGE_LIMIT + 1)]).unwrap();
    let end = first_end(Some((200, &long))).await;
    assert!(matches!(&end, Closed::Violated(why) if why.code == 1009), "{end}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_hold_polls_is_not_flooded() {
    #[derive(Debug)]
    struct Hasty(Arc<AtomicUsize>);

    #[async_trait]
    impl Exchange for Hasty {
        async fn exchange(&self, _: ExchangeRequest) -> Result<ExchangeAnswer, ExchangeError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(ExchangeAnswer { status: 200, body: "[]".into() })
        }

        fn is_exposed(&self) -> bool {
            false
        }
    }

    let count = Arc::<AtomicUsize>::default();
    let mut client = Transport::over(Hasty(count.clone()), "/").connect().await.unwrap();
    client.send("question".into()).await.unwrap();
    tokio::select! {
        end = client.recv() => panic!("{end:?}"),
        () = sleep(Duration::from_secs(60)) => {}
    }
    let count = count.load(Ordering::Relaxed);
    assert!((30..=62).contains(&count), "{count}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_lost_in_time() {
    let begun = Instant::now();
    assert_eq!(first_end(None).await, Closed::Unreachable("the server did not answer in time".into()));
    assert_eq!(begun.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_close_waits_no_longer_than_its_time_limit() {
    let mut client = Transport::over(Scripted(None), "/").connect().await.unwrap();
    client.send("question".into()).await.unwrap();
    let begun = Instant::now();
    assert_eq!(client.close(Close::NORMAL).await, Closed::ByUs(Close::NORMAL));
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_close_by_another_task_wakes_the_driver() {
    let client = Transport::over(Scripted(None), "/").connect().await.unwrap();
    let carrier = Arc::new(Mutex::new(client.into_parts().0));
    let driver = {
        let carrier = carrier.clone();
        tokio::spawn(std::future::poll_fn(move |cx| carrier.lock().unwrap().poll_recv(cx)))
    };
    tokio::task::yield_now().await;
    carrier.lock().unwrap().close(Close::NORMAL);
    assert_eq!(driver.await.unwrap(), Err(Closed::ByUs(Close::NORMAL)));
}

#[test]
fn urls_are_those_of_websocket() {
    for (url, flaw) in [
        ("ftp://a/", "does not begin"),
        ("http:///chat", "URL"),
        ("http://u:p@a/", "password"),
        ("chat", "begin"),
    ] {
        let error = Transport::new(url).unwrap_err();
        assert!(matches!(&error, ConnectError::Invalid(why) if why.contains(flaw)), "{url}: {error}");
    }
    for (url, is_exposed) in [
        ("http://localhost:1/chat?access_token=secret", false),
        ("ws://127.0.0.1/", false),
        ("http://[::1]:9/", false),
        ("http://example.com/chat", true),
        ("http://10.0.0.1/", true),
        ("https://example.com/chat?access_token=secret", false),
        ("wss://10.0.0.1/", false),
    ] {
        let transport = Transport::with_tls(url, &Tls::without_roots()).unwrap();
        assert_eq!(transport.is_exposed(), is_exposed, "{url}");
        assert!(!format!("{transport:?}").contains("secret"));
    }
}

/// Answers every connection with the same bytes. Returns the first request.
async fn canned(answer: String) -> (Transport, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/chat/2.0?access_token=secret", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"[\"question\"]") {
            assert_ne!(stream.read_buf(&mut request).await.unwrap(), 0);
        }
        stream.write_all(answer.as_bytes()).await.ok();
        String::from_utf8(request).unwrap()
    });
    (Transport::new(&url).unwrap(), asked)
}

#[tokio::test]
async fn http_is_as_the_wire_document_says() {
    let large = "x".repeat(1024 * 1024);
    for (answer, text) in [
        ("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n".to_owned(), "status 302"),
        (format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{large}", large.len()), "too large"),
        (format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{large}"), "too large"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[".to_owned(), ""),
        ("nonsense\r\n\r\n".to_owned(), ""),
        (String::new(), ""),
    ] {
        let (transport, asked) = canned(answer).await;
        let mut client = transport.connect().await.unwrap();
        client.send("question".into()).await.unwrap();
        let end = client.recv().await.unwrap_err();
        let (Closed::Unreachable(why) | Closed::Refused(why)) = &end else { panic!("{text}: {end}") };
        assert!(why.contains(text), "{text}: {why}");
        assert!(!format!("{end:?}").contains("secret"), "{end}");

        let request = asked.await.unwrap();
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        assert!(head.starts_with("post /chat/2.0?access_token=secret http/1.1\r\n"), "{head}");
        for header in ["content-type: application/json", "iflychat-token: ", "host: 127.0.0.1:"] {
            assert!(head.contains(header), "{header}: {head}");
        }
        assert_eq!(body, r#"["question"]"#);
    }
}

#[tokio::test]
async fn an_unreachable_server_is_named_without_the_query() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}/chat?access_token=secret", listener.local_addr().unwrap());
    drop(listener);
    let mut client = Transport::new(&url).unwrap().connect().await.unwrap();
    client.send("question".into()).await.unwrap();
    let end = client.recv().await.unwrap_err();
    assert_eq!(end, Closed::Unreachable("connection refused; is the server running?".into()));
    assert!(!format!("{end:?}").contains("secret"), "{end}");
}
