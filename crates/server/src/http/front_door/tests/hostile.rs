//! Requests and connections of clients that mean harm.

use super::*;

/// Returns a POST for the chat whose body has this length and does not follow.
fn post_of(host: &Host, length: usize) -> String {
    let headers = format!("\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
    host.poll(1).replace("GET", "POST").replace("\r\n\r\n", &headers)
}

#[tokio::test]
async fn a_length_that_overflows_is_refused() {
    let host = Host::new(Limits::default()).await;
    for length in [usize::MAX, usize::MAX - 1, usize::MAX - 100, usize::MAX / 2] {
        let request = post_of(&host, length);
        assert_eq!(host.connect_in_memory().ask(&request).await, Some(413), "{length}");
        let preflight = request.replace("POST", "OPTIONS");
        assert_eq!(host.connect_in_memory().ask(&preflight).await, Some(204), "{length}");
    }
}

/// Returns how many of the connections are open.
async fn open(clients: &mut [Client<DuplexStream>]) -> usize {
    let mut open = 0;
    for client in clients {
        let mut answer = Vec::new();
        let reading = client.0.read_to_end(&mut answer);
        // Time is paused: it passes only if all connections wait.
        open += usize::from(tokio::time::timeout(Duration::from_millis(1), reading).await.is_err());
    }
    open
}

#[tokio::test(start_paused = true)]
async fn evicted_connections_that_wait_for_a_body_are_few() {
    let expecting = |post: String| post.replace("Host: h", "Host: h\r\nExpect: 100-continue");
    // The second is read by hyper.
    for through in [|post: String| post, expecting] {
        let host = Host::new(Limits { unverified_per_address: 2, ..Limits::default() }).await;
        let request = through(post_of(&host, 1));
        let mut clients = Vec::new();
        for _ in 0..20 {
            let mut client = host.connect_in_memory();
            client.0.write_all(request.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            clients.push(client);
        }
        assert_eq!(host.door.http.admission.pending.len(), 2);
        assert!(
            open(&mut clients).await <= 2 + 2,
            "the limit of an address is 2, and 2 evicted ones may finish"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_read_its_answer_is_pending_and_evicted_for_others() {
    let host = Host::new(Limits { unverified: 2, ..Limits::default() }).await;
    let (client, server) = memory::unread_pair();
    host.door.receive(server, SocketAddr::new(ADDRESS.into(), 1));
    let mut unread = [Client(client)];
    unread[0].0.write_all(host.poll(1).replace("GET", "OPTIONS").as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(host.door.http.admission.pending.len(), 1);
    let _others = [host.connect_in_memory(), host.connect_in_memory()];
    assert_eq!(open(&mut unread).await, 0);
}

#[cfg(feature = "api")]
#[tokio::test(start_paused = true)]
async fn one_address_cannot_take_all_places_for_delayed_answers() {
    let rate = crate::Rate { per_second: 1, burst: 1 };
    let limits = Limits { failed_credentials: Some(rate), unverified_per_address: 2, ..Limits::default() };
    let host = Host::new(limits).await;
    let guess = host.call().replace(&host.key, "guess");
    let mut clients = Vec::new();
    // More than the places for delayed answers; most of these connections are evicted.
    for _ in 0..1100 {
        let mut client = host.connect_in_memory();
        client.0.write_all(guess.as_bytes()).await.unwrap();
        clients.push(client);
        // Time is paused: it passes once the server has read the request, and by less than one of the delays.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut other = host.connect_in_memory_from([198, 51, 100, 7]);
    assert_eq!(other.ask(&guess).await, Some(401), "within the burst");
    assert_eq!(other.ask(&guess).await, Some(401), "delayed");
}

#[tokio::test(start_paused = true)]
async fn a_chunked_body_before_the_credential_is_as_small_as_any_other() {
    let host = Host::new(Limits::default()).await;
    let chunked = post_of(&host, 0).replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let unfinished = format!("{chunked}4400\r\n{}", "x".repeat(0x4400));
    let began = Instant::now();
    assert_eq!(host.connect_in_memory().ask(&unfinished).await, Some(413));
    assert!(began.elapsed() < Duration::from_secs(1), "it waits for the rest of 512 KiB");
}

#[cfg(feature = "api")]
#[tokio::test(start_paused = true)]
async fn the_backend_of_one_app_cannot_take_all_places_for_calls() {
    const HALF: usize = 2048;
    let host = Host::new(Limits { api_calls: None, ..Limits::default() }).await;
    let other = host.call();
    let app = host.accounts.create_app("other", AuthPolicy::Open, None).await.unwrap().id;
    let key = host.accounts.create_api_key(&app, "other").await.unwrap().key;
    let unfinished = host.call().replace(&host.key, &key).replace("Content-Length: 0", "Content-Length: 2");
    let mut calls = Vec::new();
    for _ in 0..HALF {
        let mut client = host.connect_in_memory();
        client.0.write_all(unfinished.as_bytes()).await.unwrap();
        calls.push(client);
        // Until its key is read, the connection is pending.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut client = host.connect_in_memory();
    assert_eq!(client.ask(&unfinished).await, Some(503), "one app has half of the places at most");
    assert_eq!(host.connect_in_memory().ask(&other).await, Some(200));
}

#[tokio::test]
async fn a_client_that_sends_a_refused_body_to_its_end_gets_the_answer() {
    let host = Host::new(Limits::default()).await;
    let too_long = post_of(&host, 70_000);
    let page = "POST /api/2.0/users.list HTTP/1.1\r\nHost: h\r\nContent-Length: 70000\r\n\r\n";
    for (request, status) in [
        (too_long.as_str(), 413),
        // Hyper reads the others.
        (&too_long.replace("Host: h", "Host: h\r\nExpect: 100-continue"), 413),
        (page, 401),
        ("GET / HTTP/1.1\r\nno header\r\n\r\n", 400),
    ] {
        let mut client = host.connect_in_memory();
        client.0.write_all(request.as_bytes()).await.unwrap();
        let answer = client.read_until("\r\n\r\n").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        client.0.write_all(&[b'x'; 70_000]).await.expect("the connection is not reset");
        client.0.shutdown().await.unwrap();
        client.0.read_to_end(&mut Vec::new()).await.unwrap();
    }
    host.pending(0).await;
    let mut endless = host.connect(ADDRESS).await;
    endless.0.write_all(too_long.as_bytes()).await.unwrap();
    while endless.0.write_all(&[b'x'; 70_000]).await.is_ok() {}
}
