//! Nodes in threads of their own, on tokio and on smol, and clients of them.
#![allow(dead_code, reason = "each test file uses a part of this")]

pub mod attacker;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use roomcast_adapter::{AckEnd, Acks, Args, Builder, Data, EventName, Handle, NoAck, Runtime, ServerReplies, Socket};
use tungstenite::{Message, WebSocket};

/// A server with events to join and leave rooms, and to say something to one.
pub fn builder() -> Builder {
    Builder::new().socket_io("/socket.io", |io| {
        io.namespace("/", |ns| {
            ns.on("join", async |socket: Socket, Data((room,)): Data<(String,)>| socket.join(room));
            ns.on("leave", async |socket: Socket, Data((room,)): Data<(String,)>| socket.leave(room));
            ns.on("say", async |socket: Socket, Data((room, text)): Data<(String, String)>| {
                socket.to(room).emit("said", text).await;
            });
            ns.on_server_side("double", async |EventName(name): EventName, Data((number,)): Data<(u32,)>| {
                (name.to_string(), number * 2)
            });
            ns.on_server_side("tell", async |handle: Handle, text: Args| {
                handle.of("/").local().emit("told", text).await;
            });
            ns.on_server_side("silence", async |handle: Handle| {
                handle.of("/").local().emit("silent", ()).await;
                NoAck
            });
        });
    })
}

/// A server in a thread of its own.
pub struct Node {
    pub address: SocketAddr,
    pub handle: Handle,
    /// Tells when the server has ended.
    pub ended: Receiver<()>,
}

struct Starting {
    started: Sender<(SocketAddr, Handle)>,
    ended: Sender<()>,
}

impl Starting {
    async fn run<R: Runtime>(self, builder: Builder, runtime: R, address: SocketAddr, listener: R::Listener) {
        let server = builder.start(runtime).unwrap();
        self.started.send((address, server.handle())).unwrap();
        server.serve(listener).await;
        let _ = self.ended.send(());
    }
}

impl Node {
    pub fn on_tokio(builder: Builder) -> Self {
        Self::start(|starting| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                starting.run(builder, roomcast_tokio::Tokio, address, listener).await;
            });
        })
    }

    pub fn on_smol(builder: Builder) -> Self {
        Self::start(|starting| {
            smol::block_on(async {
                let listener = smol::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                starting.run(builder, roomcast_async_std::Smol, address, listener).await;
            });
        })
    }

    pub fn on_async_std(builder: Builder) -> Self {
        Self::start(|starting| {
            async_std::task::block_on(async {
                let listener = async_std::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                let address = listener.local_addr().unwrap();
                starting.run(builder, roomcast_async_std::AsyncStd, address, listener).await;
            });
        })
    }

    fn start(serve: impl FnOnce(Starting) + Send + 'static) -> Self {
        let (started, starting) = channel();
        let (ending, ended) = channel();
        thread::spawn(move || serve(Starting { started, ended: ending }));
        let (address, handle) = starting.recv().unwrap();
        Self { address, handle, ended }
    }

    pub fn emit(&self, room: &'static str, name: &'static str, text: &'static str) {
        smol::block_on(self.handle.of("/").to(room).emit(name, text));
    }

    pub fn emit_to_all(&self, name: &'static str, text: &'static str) {
        smol::block_on(self.handle.of("/").emit(name, text));
    }

    /// Asks a room for acks, in the background.
    pub fn ask(&self, room: &'static str, name: &'static str, timeout: Duration) -> JoinHandle<Acks> {
        let asking = self.handle.of("/").to(room).emit_with_ack(name, (), timeout);
        thread::spawn(move || smol::block_on(asking).unwrap())
    }

    /// The ids of the sockets of all nodes in a room, in order, and how many nodes have not answered.
    pub fn fetch(&self, room: &'static str) -> (Vec<String>, u32) {
        let fetched = smol::block_on(self.handle.of("/").to(room).fetch_sockets(PATIENCE)).unwrap();
        assert!(fetched.sockets.iter().all(|socket| socket.rooms.iter().any(|name| &**name == room)));
        assert!(fetched.sockets.first().is_none_or(|socket| socket.node.is_none()), "those of this node first");
        let mut sids: Vec<String> = fetched.sockets.into_iter().map(|socket| socket.sid.to_string()).collect();
        sids.sort();
        (sids, fetched.nodes_missing)
    }

    /// Asks the applications of the other nodes.
    pub fn ask_servers(&self, name: &'static str, args: u32) -> ServerReplies {
        smol::block_on(self.handle.of("/").server_side_emit_with_ack(name, args, PATIENCE)).unwrap()
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    pub fn end(self) {
        smol::block_on(self.handle.shutdown(Duration::ZERO));
        self.ended.recv_timeout(PATIENCE).unwrap();
    }
}

/// A client of each node, in the room `hall`.
pub fn in_hall(nodes: &[Node; 2]) -> [Client; 2] {
    let mut clients = [nodes[0].client(), nodes[1].client()];
    for client in &mut clients {
        assert_eq!(client.ask(r#"421["join","hall"]"#), "431[]");
    }
    clients
}

/// An emit of a node reaches the members on both, and one of a client all but that client.
pub fn hear_each_other(nodes: &[Node; 2], [one, two]: [&mut Client; 2]) {
    nodes[1].emit("hall", "news", "dinner");
    assert_eq!(one.next(), r#"42["news","dinner"]"#);
    assert_eq!(two.next(), r#"42["news","dinner"]"#);
    one.send(r#"42["say","hall","hi"]"#);
    assert_eq!(two.next(), r#"42["said","hi"]"#);
}

/// Each node finds the sockets of both.
pub fn find_each_other(nodes: &[Node; 2], clients: &[Client; 2]) {
    let mut sids = clients.each_ref().map(|client| client.sid.clone());
    sids.sort();
    for node in nodes {
        assert_eq!(node.fetch("hall"), (sids.to_vec(), 0));
        assert_eq!(node.fetch("nowhere"), (Vec::new(), 0));
    }
}

/// The applications of both tell each other something, and ask each other. They know each other already.
pub fn servers_hear_each_other(nodes: &[Node; 2], clients: &mut [Client; 2]) {
    for (here, other) in [(0, 1), (1, 0)] {
        let told = nodes[here].handle.of("/").server_side_emit("tell", ("news", here));
        smol::block_on(told.checked().unwrap());
        assert_eq!(clients[other].next(), format!(r#"42["told","news",{here}]"#));
        let ServerReplies { replies, asked, end, .. } = nodes[here].ask_servers("double", 21);
        let texts: Vec<&str> = replies.iter().map(|(_, args)| args.json()).collect();
        assert_eq!((texts, asked, end), (vec![r#""double",42"#], 1, AckEnd::Complete));
        // Its own application has not heard it.
        nodes[here].emit_to_all("end", "");
        for client in &mut *clients {
            assert_eq!(client.next(), r#"42["end",""]"#);
        }
    }
}

/// A WebSocket client in the namespace `/`.
pub struct Client {
    socket: WebSocket<TcpStream>,
    pub sid: String,
}

impl Client {
    /// Over a WebSocket whose handshake is done.
    pub fn raw(stream: TcpStream) -> Self {
        let socket = WebSocket::from_raw_socket(stream, tungstenite::protocol::Role::Client, None);
        Self { socket, sid: String::new() }
    }

    pub fn connect(address: SocketAddr) -> Self {
        let mut client = Self::raw(connect(address));
        assert!(client.next().starts_with("0{"));
        let joined = client.ask("40");
        client.sid = joined.split('"').nth(3).unwrap().to_owned();
        client
    }

    pub fn send(&mut self, packet: &str) {
        self.socket.send(Message::text(packet)).unwrap();
    }

    /// Sends a packet and takes the next one that comes.
    pub fn ask(&mut self, packet: &str) -> String {
        self.send(packet);
        self.next()
    }

    /// The next packet; pings are answered.
    pub fn next(&mut self) -> String {
        loop {
            match self.socket.read().unwrap() {
                Message::Text(text) if text.as_str() == "2" => self.send("3"),
                Message::Text(text) => return text.to_string(),
                other => panic!("not text: {other:?}"),
            }
        }
    }

    /// Until the connection is over, and what comes before is passed over.
    pub fn ends(&mut self) -> bool {
        while self.socket.read().is_ok() {}
        true
    }

    pub fn next_binary(&mut self) -> Vec<u8> {
        match self.socket.read().unwrap() {
            Message::Binary(bytes) => bytes.to_vec(),
            other => panic!("not binary: {other:?}"),
        }
    }
}

/// A WebSocket whose handshake is done.
pub fn connect(address: SocketAddr) -> TcpStream {
    connect_to(address, "/socket.io/?EIO=4&transport=websocket")
}

/// The same at another path.
pub fn connect_to(address: SocketAddr, target: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    stream
}

/// Only a test that fails waits as long.
pub const PATIENCE: Duration = Duration::from_secs(30);
