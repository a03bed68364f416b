//! A server in the background, and clients that talk to it by blocking reads with a time limit.
#![allow(dead_code, reason = "each test file uses a part of this")]
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a helper of tests fails as a test does")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use roomcast_tokio::core::server::App;
use roomcast_tokio::{Builder, Handle, Tokio};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tungstenite::{Message, WebSocket};

/// A server on a port of its own, for as long as this lives.
pub struct Running {
    pub address: SocketAddr,
    pub handle: Handle,
    pub serving: JoinHandle<()>,
    pub runtime: Runtime,
}

impl Running {
    pub fn start<A: App + Send + 'static>(builder: Builder<A>) -> Self {
        Self::start_with(builder, |server, listener| server.serve(listener))
    }

    pub fn start_with<A: App + Send + 'static, F: Future<Output = ()> + Send + 'static>(
        builder: Builder<A>,
        serve: impl FnOnce(roomcast_tokio::Server<Tokio>, TcpListener) -> F,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (address, handle, serving) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = builder.start(Tokio).unwrap();
            let handle = server.handle();
            (address, handle, tokio::spawn(serve(server, listener)))
        });
        Self { address, handle, serving, runtime }
    }

    pub fn client(&self) -> Client {
        Client::open(self.address, "/socket.io/").joined("40", "40{")
    }

    pub fn raw(&self) -> RawTcp {
        RawTcp(connect(self.address))
    }
}

/// A WebSocket client of Engine.IO.
pub struct Client(pub WebSocket<TcpStream>);

impl Client {
    /// After the open packet.
    pub fn open(address: SocketAddr, path: &str) -> Self {
        let url = format!("ws://{address}{path}?EIO=4&transport=websocket");
        let (socket, _) = tungstenite::client(url, connect(address)).unwrap();
        let mut client = Self(socket);
        assert!(client.next().starts_with("0{"));
        client
    }

    /// Sends what joins a namespace, and takes the answer.
    pub fn joined(mut self, packet: &str, answer: &str) -> Self {
        self.send(packet);
        let got = self.next();
        assert!(got.starts_with(answer), "{got}");
        self
    }

    pub fn send(&mut self, packet: &str) {
        self.0.send(Message::text(packet)).unwrap();
    }

    pub fn next(&mut self) -> String {
        match self.0.read().unwrap() {
            Message::Text(text) => text.to_string(),
            other => panic!("not text: {other:?}"),
        }
    }

    /// Sends one packet and takes one.
    pub fn ask(&mut self, packet: &str) -> String {
        self.send(packet);
        self.next()
    }

    /// The code of the close frame that comes next.
    pub fn close_code(&mut self) -> u16 {
        match self.0.read().unwrap() {
            Message::Close(Some(frame)) => frame.code.into(),
            other => panic!("not a close frame: {other:?}"),
        }
    }
}

/// A TCP connection whose bytes the test makes itself.
pub struct RawTcp(pub TcpStream);

impl RawTcp {
    pub fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// The status line of an answer.
    pub fn status(&mut self) -> u16 {
        let line = self.until(b"\r\n");
        line.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// What comes up to this, and this.
    pub fn until(&mut self, end: &[u8]) -> String {
        let mut got = Vec::new();
        while !got.ends_with(end) {
            let mut byte = [0];
            self.0.read_exact(&mut byte).unwrap();
            got.push(byte[0]);
        }
        String::from_utf8(got).unwrap()
    }

    /// The payload of a frame of the server, which must be short.
    pub fn frame(&mut self) -> Vec<u8> {
        let mut header = [0; 2];
        self.0.read_exact(&mut header).unwrap();
        let length = match header[1] {
            126 => {
                let mut length = [0; 2];
                self.0.read_exact(&mut length).unwrap();
                usize::from(u16::from_be_bytes(length))
            }
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).unwrap();
        payload
    }

    /// Everything until the server closes.
    pub fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).unwrap();
        rest
    }
}

/// A text frame of a client, masked with zeros.
pub fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
    assert!(text.len() < 126, "one byte of length");
    frame.extend_from_slice(text.as_bytes());
    frame
}

pub fn handshake(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}
