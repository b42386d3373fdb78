//! Ring 4: both sides against tungstenite's own, over loopback.

#![allow(clippy::unwrap_used, reason = "a test may")]

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
};

use chatcamp_transport::{
    Close, Closed, Connection, Listener as _, MESSAGE_LIMIT, Message, Transport as _, websocket,
};
use tungstenite::{
    Bytes, Error, Message as Frame, WebSocket,
    protocol::{
        CloseFrame,
        frame::{
            Frame as Raw,
            coding::{Data, OpCode},
        },
    },
};

type Oracle = WebSocket<TcpStream>;

/// Runs `oracle` in a thread against `ours`, once as the client of our listener, once as the server of our transport.
async fn against(oracle: impl FnOnce(Oracle) + Clone + Send + 'static, ours: impl AsyncFn(Connection)) {
    let mut listener = websocket::Listener::bind(any_port()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let script = oracle.clone();
    let client = thread::spawn(move || {
        let stream = TcpStream::connect(address).unwrap();
        script(tungstenite::client(format!("ws://{address}/chat"), stream).unwrap().0);
    });
    ours(listener.accept().await.unwrap()).await;
    client.join().expect("the oracle as a client is content");

    let tcp = TcpListener::bind(any_port()).unwrap();
    let transport = websocket::Transport::new(&format!("ws://{}", tcp.local_addr().unwrap())).unwrap();
    let server = thread::spawn(move || oracle(tungstenite::accept(tcp.accept().unwrap().0).unwrap()));
    ours(transport.connect().await.unwrap()).await;
    server.join().expect("the oracle as a server is content");
}

fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Answers every message until the end.
async fn echo(connection: &mut Connection) -> Closed {
    loop {
        match connection.recv().await {
            Ok(message) => connection.send(message).await.unwrap(),
            Err(end) => return end,
        }
    }
}

fn fragment(text: &'static str, opcode: Data, is_final: bool) -> Frame {
    Frame::Frame(Raw::message(Bytes::from_static(text.as_bytes()), OpCode::Data(opcode), is_final))
}

fn closing(code: u16, reason: &'static str) -> CloseFrame {
    CloseFrame { code: code.into(), reason: reason.into() }
}

/// Reads until the connection has ended as it should.
fn ended(mut oracle: Oracle) {
    loop {
        match oracle.read() {
            Ok(_) => {}
            Err(Error::ConnectionClosed) => return,
            Err(error) => panic!("the end is no clean one: {error}"),
        }
    }
}

#[tokio::test]
async fn texts_of_every_size_and_script_come_back_unchanged() {
    against(
        |mut oracle| {
            for size in [0, 1, 125, 126, 4095, 4096, 65_535, MESSAGE_LIMIT] {
                oracle.send(Frame::text("x".repeat(size))).unwrap();
                assert_eq!(oracle.read().unwrap().into_text().unwrap().len(), size);
            }
            let text = "\0 é 漢字 🦀";
            oracle.send(Frame::text(text)).unwrap();
            assert_eq!(oracle.read().unwrap(), Frame::text(text));
            oracle.close(None).unwrap();
            ended(oracle);
        },
        async |mut ours| {
            assert_eq!(echo(&mut ours).await, Closed::ByPeer(Close::new(1005, "")));
        },
    )
    .await;
}

#[tokio::test]
async fn bursts_keep_their_order() {
    against(
        |mut oracle| {
            for n in 0..500 {
                oracle.write(Frame::text(format!("{n}"))).unwrap();
            }
            oracle.flush().unwrap();
            for n in 0..500 {
                assert_eq!(oracle.read().unwrap(), Frame::text(format!("{n}")));
            }
            oracle.close(None).unwrap();
            ended(oracle);
        },
        async |mut ours| {
            echo(&mut ours).await;
        },
    )
    .await;
}

#[tokio::test]
async fn fragments_are_put_together_around_control_frames() {
    against(
        |mut oracle| {
            oracle.send(fragment("he", Data::Text, false)).unwrap();
            oracle.send(Frame::Ping("are you there?".into())).unwrap();
            oracle.send(fragment("", Data::Continue, false)).unwrap();
            oracle.send(Frame::Pong("unasked".into())).unwrap();
            assert_eq!(oracle.read().unwrap(), Frame::Pong("are you there?".into()));
            oracle.send(fragment("llo", Data::Continue, true)).unwrap();
            assert_eq!(oracle.read().unwrap(), Frame::text("hello"));
            oracle.close(None).unwrap();
            ended(oracle);
        },
        async |mut ours| {
            echo(&mut ours).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_close_of_the_peer_is_echoed_with_its_code() {
    for close in [None, Some(closing(1000, "")), Some(closing(1001, "bye")), Some(closing(4999, "ü"))] {
        let expected = match &close {
            None => Close::new(1005, ""),
            Some(close) => Close::new(close.code.into(), close.reason.to_string()),
        };
        against(
            move |mut oracle| {
                oracle.close(close.clone()).unwrap();
                match oracle.read().unwrap() {
                    Frame::Close(echo) => {
                        assert_eq!(echo.map(|echo| echo.code), close.map(|close| close.code));
                    }
                    other => panic!("{other:?} instead of a close"),
                }
                ended(oracle);
            },
            async |mut ours| {
                assert_eq!(ours.recv().await, Err(Closed::ByPeer(expected.clone())));
            },
        )
        .await;
    }
}

#[tokio::test]
async fn our_close_follows_what_was_sent_and_waits_for_the_peer() {
    against(
        |mut oracle| {
            assert_eq!(oracle.read().unwrap(), Frame::text("last words"));
            oracle.send(Frame::text("crosses the close")).unwrap();
            assert_eq!(oracle.read().unwrap(), Frame::Close(Some(closing(4001, "bye"))));
            ended(oracle);
        },
        async |ours| {
            let (mut carrier, info) = ours.into_parts();
            carrier.try_send(&[Message::from("last words")]);
            carrier.close(Close::new(4001, "bye"));
            let mut ours = Connection::from_parts(carrier, info);
            assert_eq!(ours.recv().await, Err(Closed::ByUs(Close::new(4001, "bye"))));
        },
    )
    .await;
}

#[tokio::test]
async fn codes_that_may_not_be_sent_become_an_empty_close() {
    for code in [0, 1005, 1006, 1015, 5000] {
        against(
            |mut oracle| {
                assert_eq!(oracle.read().unwrap(), Frame::Close(None));
                ended(oracle);
            },
            async |mut ours| {
                assert_eq!(ours.close(Close::new(code, "x")).await, Closed::ByUs(Close::new(code, "x")));
            },
        )
        .await;
    }
}

#[tokio::test]
async fn keep_alive_makes_a_live_peer_answer() {
    against(
        |mut oracle| {
            assert_eq!(oracle.read().unwrap(), Frame::Ping(Bytes::new()));
            oracle.flush().unwrap();
            assert_eq!(oracle.read().unwrap(), Frame::text("seen"));
            oracle.close(None).unwrap();
            ended(oracle);
        },
        async |ours| {
            let (mut carrier, info) = ours.into_parts();
            let before = carrier.arrivals();
            carrier.keep_alive();
            let seen = std::future::poll_fn(|cx| {
                assert!(carrier.poll_recv(cx).is_pending(), "a pong is no message");
                if carrier.arrivals() == before {
                    std::task::Poll::Pending
                } else {
                    std::task::Poll::Ready(())
                }
            });
            seen.await;
            let mut ours = Connection::from_parts(carrier, info);
            ours.send(Message::from("seen")).await.unwrap();
            echo(&mut ours).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_peer_that_disappears_is_lost() {
    against(drop, async |mut ours| {
        assert!(matches!(ours.recv().await, Err(Closed::Lost(_))));
    })
    .await;
}
