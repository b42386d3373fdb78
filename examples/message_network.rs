//! A network of messages: a transport and a listener made from a stream and a sink, over a byte stream that frames messages by
//! their length. One call of the conformance suite tests it, then a client logs in over it.
//!
//! `cargo run -p chatcamp-examples --bin message_network`

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::{error::Error, io, sync::Arc};

use async_trait::async_trait;
use bytes::{BufMut as _, Bytes, BytesMut};
use chatcamp_client::ChatCamp;
use chatcamp_server::{Accounts, AuthPolicy, Keyring, Server};
use chatcamp_store::memory::Store;
use chatcamp_transport::{
    Close, ConnectError, Connection, ConnectionInfo, Listener, MESSAGE_LIMIT, Message, Transport,
    carrier::{self, Frame},
    testing,
};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::{
    io::{DuplexStream, duplex},
    sync::mpsc,
};
use tokio_util::codec::LengthDelimitedCodec;

/// The first byte of a network message: a text of the application, or the end of the connection.
const TEXT: u8 = b't';
const CLOSE: u8 = b'c';

/// Creates a connection from one end of the network.
fn connection(stream: DuplexStream) -> Connection {
    // Above the limit, so that the peer gets an error for a message that is too long instead of losing the connection.
    let framed = LengthDelimitedCodec::builder().max_frame_length(2 * MESSAGE_LIMIT).new_framed(stream);
    let (sink, stream) = framed.split();
    let stream = stream.map(|bytes| decode(bytes?.freeze()));
    let sink = sink.with(async |frame| Ok::<_, io::Error>(encode(&frame)));
    let info = ConnectionInfo::new("message-network");
    Connection::new(carrier::from_stream_sink(stream, sink), info)
}

fn encode(frame: &Frame) -> Bytes {
    let mut bytes = BytesMut::new();
    match frame {
        Frame::Message(message) => {
            bytes.put_u8(TEXT);
            bytes.put(message.as_bytes());
        }
        Frame::Close(close) => {
            bytes.put_u8(CLOSE);
            bytes.put_u16(close.code);
            bytes.put(close.reason.as_bytes());
        }
    }
    bytes.freeze()
}

fn decode(mut bytes: Bytes) -> io::Result<Frame> {
    let text = |bytes| Message::try_from(bytes).map_err(io::Error::other);
    match bytes.first() {
        Some(&TEXT) => Ok(Frame::Message(text(bytes.split_off(1))?)),
        Some(&CLOSE) if bytes.len() >= 3 => {
            let reason = text(bytes.split_off(3))?;
            let code = u16::from_be_bytes([bytes[1], bytes[2]]);
            Ok(Frame::Close(Close::new(code, reason.as_str().to_owned())))
        }
        _ => Err(io::Error::other("the message is neither a text nor a close")),
    }
}

/// Connects to the listener that it was created with.
#[derive(Debug)]
struct Dial(mpsc::Sender<DuplexStream>);

#[async_trait]
impl Transport for Dial {
    async fn connect(&self) -> Result<Connection, ConnectError> {
        // A pipe instead of a cable. It holds few bytes, so frames are split on the way.
        let (near, far) = duplex(1024);
        self.0.send(far).await.map_err(ConnectError::unreachable)?;
        Ok(connection(near))
    }

    fn is_exposed(&self) -> bool {
        false // It never leaves this process.
    }
}

#[derive(Debug)]
struct Accept(mpsc::Receiver<DuplexStream>);

#[async_trait]
impl Listener for Accept {
    async fn accept(&mut self) -> Option<Connection> {
        self.0.recv().await.map(connection)
    }
}

/// Creates a network: a transport, and the listener that it connects to.
fn network() -> (Dial, Accept) {
    let (dial, accept) = mpsc::channel(16);
    (Dial(dial), Accept(accept))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    testing::conformance(async || network()).await;
    println!("the network passes the suite");

    let store = Arc::new(Store::new());
    let keyring = Keyring::new(vec![[7; 32]])?;
    let accounts = Accounts::new(store.clone(), keyring.clone());
    let app = accounts.create_app("messages", AuthPolicy::Open, None).await?.id;
    let server = Server::builder(store, keyring).start();
    let (transport, listener) = network();
    let accepting = server.clone();
    tokio::spawn(async move { accepting.listen(listener).await });

    let chat = ChatCamp::builder(&app).transport(transport).build()?;
    println!("{} is connected over a network of messages", chat.connect("alice").await?.id);
    chat.disconnect().await;
    server.shutdown().await;
    Ok(())
}
