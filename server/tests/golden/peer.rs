//! A client that speaks Engine.IO and Socket.IO by hand, so that a frame is what went over the wire.

use std::io::Read;
use std::net::{SocketAddr, TcpStream};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tungstenite::{Message, WebSocket};

use crate::common::{POLLING, connect, get, http, string_field};
use crate::conversation::By;

/// A transport that is open.
pub struct Peer {
    transport: Transport,
    /// By polling, what came along with something else.
    waiting: std::collections::VecDeque<String>,
}

enum Transport {
    WebSocket(Box<WebSocket<TcpStream>>),
    Polling { address: SocketAddr, target: String },
}

/// One item that a peer has received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceivedFrame {
    Text(String),
    Binary(Vec<u8>),
    /// The server has closed the transport.
    End,
}

impl Peer {
    /// Opens a transport. The second value is the OPEN packet.
    pub fn open(address: SocketAddr, by: By) -> (Self, String) {
        match by {
            By::WebSocket => {
                let mut peer = Self::web_socket(address, WEB_SOCKET);
                let ReceivedFrame::Text(open) = peer.next() else { panic!("no OPEN") };
                (peer, open)
            }
            By::Polling | By::Upgrade => {
                let open = get(address, POLLING);
                assert_eq!(open.status, 200, "{open:?}");
                let target = format!("{POLLING}&sid={}", string_field(&open.body, "sid"));
                let transport = Transport::Polling { address, target };
                (Self { transport, waiting: Default::default() }, open.body)
            }
        }
    }

    /// From polling to a WebSocket, as the protocol has it: probe, and upgrade.
    pub fn upgrade(self) -> Self {
        let Transport::Polling { address, target } = self.transport else { panic!("no polling") };
        assert!(self.waiting.is_empty(), "{:?}", self.waiting);
        let (_, query) = target.split_once("polling").unwrap();
        let mut peer = Self::web_socket(address, &format!("{WEB_SOCKET}{query}"));
        peer.send("2probe");
        assert_eq!(peer.next(), ReceivedFrame::Text("3probe".to_owned()));
        peer.send("5");
        peer
    }

    pub fn send(&mut self, frame: &str) {
        match &mut self.transport {
            Transport::WebSocket(socket) => socket.send(Message::text(frame)).unwrap(),
            Transport::Polling { address, target } => {
                let answer = http(*address, &format!("POST {target}"), &[], frame);
                assert_eq!((answer.status, answer.body.as_str()), (200, "OK"), "{answer:?}");
            }
        }
    }

    pub fn send_binary(&mut self, bytes: Vec<u8>) {
        match &mut self.transport {
            Transport::WebSocket(socket) => socket.send(Message::binary(bytes)).unwrap(),
            Transport::Polling { .. } => self.send(&format!("b{}", BASE64_STANDARD.encode(bytes))),
        }
    }

    /// The next frame that is no ping, for which there is a time limit. Pings are answered.
    pub fn next(&mut self) -> ReceivedFrame {
        loop {
            match self.any() {
                ReceivedFrame::Text(text) if text == "2" => self.send("3"),
                frame @ (ReceivedFrame::Text(_) | ReceivedFrame::Binary(_) | ReceivedFrame::End) => return frame,
            }
        }
    }

    fn any(&mut self) -> ReceivedFrame {
        match &mut self.transport {
            Transport::WebSocket(socket) => match socket.read() {
                Ok(Message::Text(text)) => ReceivedFrame::Text(text.to_string()),
                Ok(Message::Binary(bytes)) => ReceivedFrame::Binary(bytes.to_vec()),
                Ok(Message::Close(_)) | Err(tungstenite::Error::ConnectionClosed) => ReceivedFrame::End,
                Ok(other) => panic!("{other:?}"),
                // By a signal, after which the next call goes on.
                Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::Interrupted => self.any(),
                Err(error) => panic!("nothing came: {error}"),
            },
            Transport::Polling { address, target } => {
                if self.waiting.is_empty() {
                    let answer = get(*address, target);
                    if answer.status != 200 {
                        return ReceivedFrame::End;
                    }
                    self.waiting.extend(answer.body.split('\x1e').map(str::to_owned));
                }
                ReceivedFrame::Text(self.waiting.pop_front().unwrap())
            }
        }
    }

    /// Cuts a WebSocket without a word, and waits until the server has noticed; says a word by polling.
    pub fn cut(mut self) {
        if matches!(self.transport, Transport::Polling { .. }) {
            return self.send("1");
        }
        match self.transport {
            Transport::WebSocket(socket) => {
                let mut stream = socket.into_inner();
                let _ = stream.shutdown(std::net::Shutdown::Write);
                // It ends when the server ends it.
                let _ = stream.read_to_end(&mut Vec::new());
            }
            Transport::Polling { .. } => {}
        }
    }

    fn web_socket(address: SocketAddr, target: &str) -> Self {
        let (socket, _) = tungstenite::client(format!("ws://{address}{target}"), connect(address)).unwrap();
        Self { transport: Transport::WebSocket(Box::new(socket)), waiting: Default::default() }
    }
}

const WEB_SOCKET: &str = "/ws/socket.io/?EIO=4&transport=websocket";
