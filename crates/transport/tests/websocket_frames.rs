//! Ring 2: the WebSocket carrier, byte by byte, over an in-memory stream.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use chatcamp_transport::{
    Carrier as _, Close, Closed, Connection, ConnectionInfo, MESSAGE_LIMIT, Message, Sent, websocket::Carrier,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex},
    time::timeout,
};

const FIN: u8 = 0x80;
const CONTINUE: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A frame as a client sends it; the mask shows on the wire.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x11, 0x22, 0x33, 0x44];
    let mut bytes = head(first, 0x80, payload.len());
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A frame as a server sends it.
fn plain(first: u8, payload: &[u8]) -> Vec<u8> {
    [head(first, 0, payload.len()), payload.to_vec()].concat()
}

fn head(first: u8, mask_bit: u8, length: usize) -> Vec<u8> {
    match length {
        0..=125 => vec![first, mask_bit | length as u8],
        126..=65_535 => [&[first, mask_bit | 126], &(length as u16).to_be_bytes()[..]].concat(),
        _ => [&[first, mask_bit | 127], &(length as u64).to_be_bytes()[..]].concat(),
    }
}

fn close_payload(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), reason].concat()
}

fn server(stream: DuplexStream) -> Connection {
    Connection::new(Carrier::server(stream, &[], Vec::new()), ConnectionInfo::default())
}

/// Writes `bytes`, reads what the carrier sends until it drops the stream.
async fn feed(mut wire: DuplexStream, bytes: Vec<u8>) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(&mut wire);
    let mut answer = Vec::new();
    // A carrier that has seen enough does not read the rest.
    let (_, read) = tokio::join!(writer.write_all(&bytes), reader.read_to_end(&mut answer));
    read.unwrap();
    answer
}

#[tokio::test]
async fn every_violation_has_its_code() {
    let table: Vec<(&str, Vec<u8>, u16)> = vec![
        ("not masked", plain(FIN | TEXT, b"hi"), 1002),
        ("first reserved bit", masked(FIN | 0x40 | TEXT, b"hi"), 1002),
        ("second reserved bit", masked(FIN | 0x20 | TEXT, b"hi"), 1002),
        ("third reserved bit", masked(FIN | 0x10 | PING, b""), 1002),
        ("unknown data opcode", masked(FIN | 3, b"hi"), 1002),
        ("unknown control opcode", masked(FIN | 11, b""), 1002),
        ("binary", masked(FIN | BINARY, b"hi"), 1003),
        ("binary in fragments", masked(BINARY, b"hi"), 1003),
        ("ping in fragments", masked(PING, b""), 1002),
        ("close in fragments", masked(CLOSE, b""), 1002),
        ("long ping", masked(FIN | PING, &[b'x'; 126]), 1002),
        ("long close", masked(FIN | CLOSE, &close_payload(1000, &[b'x'; 124])), 1002),
        ("nothing to continue", masked(FIN | CONTINUE, b"hi"), 1002),
        ("text within a text", [masked(TEXT, b"a"), masked(FIN | TEXT, b"b")].concat(), 1002),
        ("length in 16 bits for 2", vec![FIN | TEXT, 0x80 | 126, 0, 2, 0, 0, 0, 0, b'h', b'i'], 1002),
        (
            "length in 64 bits for 2",
            [&[FIN | TEXT, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 2][..], &[0; 6]].concat(),
            1002,
        ),
        ("not UTF-8", masked(FIN | TEXT, b"\xff"), 1007),
        ("half a character", masked(FIN | TEXT, &"é".as_bytes()[..1]), 1007),
        ("surrogate", masked(FIN | TEXT, b"\xed\xa0\x80"), 1007),
        ("not UTF-8 in the end", [masked(TEXT, b"a"), masked(FIN | CONTINUE, b"\xff")].concat(), 1007),
        ("too large", masked(FIN | TEXT, &vec![b'x'; MESSAGE_LIMIT + 1]), 1009),
        (
            "declared too large",
            head(FIN | TEXT, 0x80, MESSAGE_LIMIT + 1).into_iter().chain([0; 4]).collect(),
            1009,
        ),
        ("declared absurdly large", [&[FIN | TEXT, 0xff][..], &[0xff; 8], &[0; 4]].concat(), 1009),
        (
            "too large in fragments",
            [masked(TEXT, &vec![b'x'; MESSAGE_LIMIT]), masked(FIN | CONTINUE, b"x")].concat(),
            1009,
        ),
        ("half a close code", masked(FIN | CLOSE, &[3]), 1002),
        ("close code 999", masked(FIN | CLOSE, &close_payload(999, b"")), 1002),
        ("close code 1004", masked(FIN | CLOSE, &close_payload(1004, b"")), 1002),
        ("close code 1005", masked(FIN | CLOSE, &close_payload(1005, b"")), 1002),
        ("close code 1006", masked(FIN | CLOSE, &close_payload(1006, b"")), 1002),
        ("close code 2999", masked(FIN | CLOSE, &close_payload(2999, b"")), 1002),
        ("close code 5000", masked(FIN | CLOSE, &close_payload(5000, b"")), 1002),
        ("close reason not UTF-8", masked(FIN | CLOSE, &close_payload(1000, b"\xff")), 1007),
    ];
    for (name, bytes, code) in table {
        // Through a wide stream, and byte by byte.
        for width in [1024 * 1024, 1] {
            let (wire, stream) = duplex(width);
            let mut connection = server(stream);
            let ours = async move {
                let end = connection.recv().await;
                assert_eq!(connection.recv().await, end, "{name}");
                end
            };
            let done =
                timeout(Duration::from_secs(10), async { tokio::join!(feed(wire, bytes.clone()), ours) });
            let (answer, end) = done.await.unwrap_or_else(|_| panic!("{name}: no end"));
            let Err(Closed::Violated(why)) = end else { panic!("{name}: {end:?}") };
            assert_eq!(why.code, code, "{name}");
            assert_eq!(answer, plain(FIN | CLOSE, &close_payload(code, why.reason.as_bytes())), "{name}");
        }
    }
}

#[tokio::test]
async fn a_server_that_masks_is_a_violation() {
    let (wire, stream) = duplex(1024);
    let mut client =
        Connection::new(Carrier::client(stream, &masked(FIN | TEXT, b"hi")), ConnectionInfo::default());
    assert!(matches!(client.recv().await, Err(Closed::Violated(why)) if why.code == 1002));
    drop(wire);
}

#[tokio::test]
async fn messages_arrive_however_the_bytes_are_cut() {
    let long: &str = &"x".repeat(65_000);
    let bytes = [
        masked(FIN | TEXT, b""),
        masked(TEXT, "é".as_bytes().split_at(1).0),
        masked(FIN | PONG, b"unasked"),
        masked(FIN | CONTINUE, "é".as_bytes().split_at(1).1),
        masked(FIN | TEXT, &[b'y'; 126]),
        masked(FIN | TEXT, long.as_bytes()),
        masked(FIN | CLOSE, b""),
    ]
    .concat();
    for width in [1, 2, 3, 7, 4096, 4097, 1024 * 1024] {
        let (wire, stream) = duplex(width);
        let mut connection = server(stream);
        let ours = async move {
            for expected in ["", "é", &"y".repeat(126), long] {
                assert_eq!(connection.recv().await, Ok(Message::from(expected)), "{width}");
            }
            assert_eq!(connection.recv().await, Err(Closed::ByPeer(Close::new(1005, ""))), "{width}");
        };
        let (answer, ()) = tokio::join!(feed(wire, bytes.clone()), ours);
        assert_eq!(answer, plain(FIN | CLOSE, b""), "{width}");
    }
}

/// Counts writes.
#[derive(Clone)]
struct Counting<S> {
    stream: S,
    writes: Arc<AtomicUsize>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counting<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn the_opening_and_the_first_batch_leave_in_one_write() {
    let (mut wire, stream) = duplex(4096);
    let writes = Arc::new(AtomicUsize::new(0));
    let mut carrier =
        Carrier::server(Counting { stream, writes: writes.clone() }, &[], b"the opening".to_vec());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(carrier.poll_recv(&mut cx).is_pending());
    assert_eq!(writes.load(Ordering::SeqCst), 0, "receiving does not send the opening");

    let batch = [Message::from("a"), Message::from("b"), Message::from("c")];
    assert_eq!(carrier.try_send(&batch), Sent { taken: 3, flushed: true });
    assert_eq!(writes.load(Ordering::SeqCst), 1);
    let expected =
        [&b"the opening"[..], &plain(FIN | TEXT, b"a"), &plain(FIN | TEXT, b"b"), &plain(FIN | TEXT, b"c")]
            .concat();
    let mut arrived = vec![0; expected.len()];
    wire.read_exact(&mut arrived).await.unwrap();
    assert_eq!(arrived, expected);
    assert!(carrier.poll_flush(&mut cx).is_ready());
    assert_eq!(writes.load(Ordering::SeqCst), 1, "nothing is left to write");
}

#[tokio::test]
async fn the_opening_leaves_at_the_first_flush() {
    let (mut wire, stream) = duplex(4096);
    let mut carrier = Carrier::server(stream, &masked(FIN | TEXT, b"early"), b"the opening".to_vec());
    poll_fn(|cx| carrier.poll_flush(cx)).await.unwrap();
    let mut arrived = [0; 11];
    wire.read_exact(&mut arrived).await.unwrap();
    assert_eq!(&arrived, b"the opening");
    assert_eq!(poll_fn(|cx| carrier.poll_recv(cx)).await, Ok(Message::from("early")));
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_send_that_is_cut_short_wakes_the_driver_when_there_is_room() {
    let (mut wire, stream) = duplex(16);
    let mut carrier = Carrier::server(stream, &[], Vec::new());
    let wakes = Arc::new(Wakes::default());
    let driver = Waker::from(wakes.clone());
    let mut cx = Context::from_waker(&driver);
    assert!(carrier.poll_recv(&mut cx).is_pending());

    assert_eq!(carrier.try_send(&[Message::from("x".repeat(30))]), Sent { taken: 1, flushed: false });
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
    wire.read_exact(&mut [0; 16]).await.unwrap();
    assert!(wakes.0.load(Ordering::SeqCst) > 0, "the driver is woken to go on");
    assert!(carrier.poll_flush(&mut cx).is_ready());
    wire.read_exact(&mut [0; 16]).await.unwrap();
}

#[tokio::test]
async fn one_task_may_send_to_many_without_a_pause() {
    let (_wire, stream) = duplex(1024 * 1024);
    let mut carrier = Carrier::server(stream, &[], Vec::new());
    for n in 0..1000 {
        assert_eq!(carrier.try_send(&[Message::from("x")]), Sent { taken: 1, flushed: true }, "{n}");
    }
}

#[tokio::test]
async fn a_peer_that_pings_and_does_not_read_is_owed_the_latest_pong_only() {
    let (mut wire, stream) = duplex(64);
    let mut carrier = Carrier::server(stream, &[], Vec::new());
    let mut cx = Context::from_waker(Waker::noop());
    // Fills what the peer does not read, and the carrier's own buffer.
    while carrier.try_send(&vec![Message::from("x".repeat(1000)); 10]).taken > 0 {}
    for n in 0..100 {
        wire.write_all(&masked(FIN | PING, format!("{n:03}").as_bytes())).await.unwrap();
        assert!(carrier.poll_recv(&mut cx).is_pending());
    }
    let answer = async move {
        let mut answer = Vec::new();
        wire.read_to_end(&mut answer).await.unwrap();
        answer
    };
    let flush = async move {
        poll_fn(|cx| carrier.poll_flush(cx)).await.unwrap();
    };
    let (answer, ()) = tokio::join!(answer, flush);
    assert!(answer.ends_with(&plain(FIN | PONG, b"099")));
    let pongs = answer.windows(2).filter(|window| window == &[FIN | PONG, 3]).count();
    assert_eq!(pongs, 1);
}

#[tokio::test]
async fn received_messages_can_be_read_after_a_failed_write() {
    let (mut wire, stream) = duplex(1024);
    let mut carrier = Carrier::server(stream, &[], Vec::new());
    wire.write_all(&[masked(FIN | TEXT, b"one"), masked(FIN | TEXT, b"two")].concat()).await.unwrap();
    drop(wire);
    assert!(!carrier.try_send(&[Message::from("nobody hears it")]).flushed);
    assert!(matches!(poll_fn(|cx| carrier.poll_flush(cx)).await, Err(Closed::Lost(_))));
    for expected in ["one", "two"] {
        assert_eq!(poll_fn(|cx| carrier.poll_recv(cx)).await, Ok(Message::from(expected)));
    }
    assert!(matches!(poll_fn(|cx| carrier.poll_recv(cx)).await, Err(Closed::Lost(_))));
}

#[tokio::test]
async fn our_close_ends_as_ours_whatever_the_peer_does() {
    let why = Close::new(4000, "bye");
    for answer in [
        plain(FIN | CLOSE, &close_payload(1000, b"")),
        [plain(FIN | TEXT, b"late"), plain(FIN | CLOSE, b"")].concat(),
        plain(FIN | BINARY, b"nonsense"),
        Vec::new(),
    ] {
        let (mut wire, stream) = duplex(1024);
        let mut client = Connection::new(Carrier::client(stream, &[]), ConnectionInfo::default());
        wire.write_all(&answer).await.unwrap();
        wire.shutdown().await.unwrap();
        assert_eq!(client.close(why.clone()).await, Closed::ByUs(why.clone()));
    }
}

#[tokio::test]
async fn a_long_reason_is_cut_at_a_character() {
    let (wire, stream) = duplex(1024);
    let mut connection = server(stream);
    let ours = async move { connection.close(Close::new(4000, "é".repeat(100))).await };
    let (sent, end) = tokio::join!(feed(wire, masked(FIN | CLOSE, b"")), ours);
    let cut = "é".repeat(61);
    assert_eq!(sent, plain(FIN | CLOSE, &close_payload(4000, cut.as_bytes())));
    assert_eq!(end, Closed::ByUs(Close::new(4000, cut)));
}

#[test]
fn an_idle_carrier_is_small() {
    let size = size_of::<Carrier<()>>();
    assert!(size <= 200, "{size} bytes beside the stream");
}
