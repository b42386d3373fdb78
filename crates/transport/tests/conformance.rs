//! Ring 4: every built-in transport passes the conformance suite, and so does a WebSocket over a custom stream.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod pairs;
mod support;

use std::{io, net::Ipv4Addr, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use chatcamp_transport::{
    Carrier, Close, ConnectError, Connection, MESSAGE_LIMIT, Message, Transport,
    carrier::{self, Frame},
    memory,
    testing::{self, Faulty},
    websocket,
};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{
    io::{DuplexStream, duplex},
    sync::mpsc,
};
use tokio_util::codec::LengthDelimitedCodec;

use self::pairs::{Accepted, adapted};

#[tokio::test(start_paused = true)]
async fn memory_conforms() {
    testing::conformance(async || memory::network()).await;
}

#[tokio::test(start_paused = true)]
async fn carriers_from_channels_conform() {
    for capacity in [4, 64] {
        testing::conformance(async || {
            adapted(move || {
                let ((near, far_in), (far, near_in)) = (mpsc::channel(capacity), mpsc::channel(capacity));
                (carrier::from_channels(near, near_in), carrier::from_channels(far, far_in))
            })
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn carriers_from_a_stream_and_a_sink_conform() {
    testing::conformance(async || {
        adapted(|| {
            let (near, far) = duplex(1024);
            (framed(near), framed(far))
        })
    })
    .await;
}

#[tokio::test]
async fn websocket_over_loopback_conforms() {
    testing::conformance(loopback).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websocket_over_loopback_conforms_on_many_threads() {
    testing::conformance(loopback).await;
}

#[tokio::test(start_paused = true)]
async fn websocket_over_a_narrow_custom_stream_conforms() {
    testing::conformance(async || {
        let (dial, accept) = mpsc::channel(16);
        (Narrow { dial }, Accepted { accept })
    })
    .await;
}

#[tokio::test]
async fn long_poll_over_loopback_conforms() {
    testing::conformance(support::loopback).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_poll_over_loopback_conforms_on_many_threads() {
    testing::conformance(support::loopback).await;
}

/// Runs without sockets in paused time, so that no check has to wait.
#[tokio::test(start_paused = true)]
async fn long_poll_without_sockets_conforms() {
    let begun = tokio::time::Instant::now();
    testing::conformance(async || support::direct()).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "nothing waits for a deadline: {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_faulty_transport_without_faults_conforms() {
    testing::conformance(async || {
        let (transport, listener) = memory::network();
        (Faulty::new(transport, []), listener)
    })
    .await;
}

/// Frames with a length prefix, over a stream of bytes.
fn framed(stream: DuplexStream) -> impl Carrier {
    let codec = LengthDelimitedCodec::builder().max_frame_length(MESSAGE_LIMIT + 1024).new_framed(stream);
    let (sink, stream) = codec.split();
    let frames = stream.map(|bytes| {
        let mut bytes = bytes?.freeze();
        let code = bytes.split_to(2);
        let text = Message::try_from(bytes).map_err(io::Error::other)?;
        Ok::<_, io::Error>(match u16::from_be_bytes([code[0], code[1]]) {
            0 => Frame::Message(text),
            code => Frame::Close(Close::new(code, text.as_str().to_owned())),
        })
    });
    let sink = sink.with(async |frame| {
        let (code, text) = match &frame {
            Frame::Message(message) => (0, message.as_str()),
            Frame::Close(close) => (close.code, &*close.reason),
        };
        Ok::<_, io::Error>(Bytes::from([&code.to_be_bytes(), text.as_bytes()].concat()))
    });
    carrier::from_stream_sink(frames, sink)
}

async fn loopback() -> (websocket::Transport, websocket::Listener) {
    let listener = websocket::Listener::bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let url = format!("ws://{}/chat", listener.local_addr().unwrap());
    (websocket::Transport::new(&url).unwrap(), listener)
}

/// Dials over streams that take few bytes at a time, so that every write is cut short.
#[derive(Debug)]
struct Narrow {
    dial: mpsc::Sender<Connection>,
}

#[async_trait]
impl Transport for Narrow {
    async fn connect(&self) -> Result<Connection, ConnectError> {
        let (ours, theirs) = duplex(100);
        let dial = self.dial.clone();
        tokio::spawn(async move {
            if let Ok(connection) = websocket::accept(theirs, None).await {
                dial.send(connection).await.ok();
            }
        });
        websocket::connect_over(ours, "localhost", "/").await
    }

    fn is_exposed(&self) -> bool {
        false
    }
}
