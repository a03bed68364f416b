//! Clients that send tiny events without pause, on each runtime: the others are answered, connections are accepted, and
//! the server ends when it is told to.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "helpers of tests; an ack's wait is measured")]
#![allow(clippy::wildcard_enum_match_arm, reason = "any message but a text is a failure")]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use roomcast_adapter::{Builder, Handle, Runtime};
use tungstenite::{Message, WebSocket};

#[test]
fn on_tokio() {
    for flood in FLOODS {
        let served = Served::start(|served| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                served.run(roomcast_tokio::Tokio, listener.local_addr().unwrap(), listener).await;
            });
        });
        served.withstands(flood);
    }
}

#[test]
fn on_smol() {
    for flood in FLOODS {
        let served = Served::start(|served| {
            smol::block_on(async {
                let listener = smol::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                served.run(roomcast_async_std::Smol, listener.local_addr().unwrap(), listener).await;
            });
        });
        served.withstands(flood);
    }
}

#[test]
fn on_async_std() {
    for flood in FLOODS {
        let served = Served::start(|served| {
            async_std::task::block_on(async {
                let listener = async_std::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                served.run(roomcast_async_std::AsyncStd, listener.local_addr().unwrap(), listener).await;
            });
        });
        served.withstands(flood);
    }
}

/// What attackers send, again and again, and whether they read what they are answered.
#[derive(Clone, Copy, Debug)]
struct Flood {
    event: &'static str,
    reads: bool,
}

const FLOODS: [Flood; 3] = [
    Flood { event: r#"42["usage"]"#, reads: true },
    Flood { event: r#"421["usage"]"#, reads: true },
    Flood { event: r#"421["usage"]"#, reads: false },
];

/// A server in a thread of its own.
struct Served {
    address: SocketAddr,
    handle: Handle,
    ended: Receiver<()>,
}

struct Starting {
    started: Sender<(SocketAddr, Handle)>,
    ended: Sender<()>,
}

impl Starting {
    async fn run<R: Runtime>(self, runtime: R, address: SocketAddr, listener: R::Listener) {
        let builder = Builder::new().socket_io("/socket.io", |io| {
            io.namespace("/", |ns| {
                ns.on("usage", async || {});
                ns.on("ask", async || "answer");
            });
        });
        let server = builder.start(runtime).unwrap();
        self.started.send((address, server.handle())).unwrap();
        server.serve(listener).await;
        self.ended.send(()).unwrap();
    }
}

impl Served {
    fn start(serve: impl FnOnce(Starting) + Send + 'static) -> Self {
        let (started, starting) = channel();
        let (ending, ended) = channel();
        thread::spawn(move || serve(Starting { started, ended: ending }));
        let (address, handle) = starting.recv().unwrap();
        Self { address, handle, ended }
    }

    fn withstands(self, flood: Flood) {
        let attackers: Vec<_> = (0..4).map(|_| Attacker::start(self.address, flood)).collect();
        for attacker in &attackers {
            attacker.is_at_it.recv_timeout(Duration::from_secs(20)).unwrap();
        }
        // A machine that has other things to do may be slow once; a server that starves its clients always is.
        let mut slowest = Vec::new();
        let is_quick = (0..10).any(|_| {
            let mut victim = Victim::connect(self.address);
            let waits = (0..20).map(|_| victim.ask());
            slowest.extend(waits.max());
            slowest.last().is_some_and(|wait| *wait < Duration::from_millis(250))
        });
        println!("{flood:?}: {slowest:?}");
        assert!(is_quick, "{flood:?}: {slowest:?}");
        let handle = self.handle.clone();
        let shutdown = thread::spawn(move || smol::block_on(handle.shutdown(Duration::from_millis(500))));
        assert_eq!(self.ended.recv_timeout(Duration::from_secs(20)), Ok(()), "{flood:?}: the server ends");
        shutdown.join().unwrap();
        drop(attackers);
    }
}

struct Attacker {
    stream: TcpStream,
    is_at_it: Receiver<()>,
}

impl Attacker {
    fn start(address: SocketAddr, flood: Flood) -> Self {
        let mut stream = connect(address);
        let mut reading = stream.try_clone().unwrap();
        let (tell, is_at_it) = channel();
        let attacker = Self { stream: stream.try_clone().unwrap(), is_at_it };
        if flood.reads {
            thread::spawn(move || while reading.read(&mut [0; 64 << 10]).is_ok_and(|read| read > 0) {});
        }
        thread::spawn(move || {
            let events = frame(flood.event).repeat(4000);
            stream.write_all(&frame("40")).unwrap();
            for round in 0.. {
                if stream.write_all(&events).is_err() {
                    break;
                }
                // The buffers of the two sockets are full by now, or have been emptied.
                if round == 0 {
                    let _ = tell.send(());
                }
            }
        });
        attacker
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

struct Victim(WebSocket<TcpStream>);

impl Victim {
    fn connect(address: SocketAddr) -> Self {
        let mut victim = Self(WebSocket::from_raw_socket(connect(address), tungstenite::protocol::Role::Client, None));
        assert!(victim.next().starts_with("0{"));
        victim.0.send(Message::text("40")).unwrap();
        assert!(victim.next().starts_with("40{"));
        victim
    }

    /// How long the answer takes.
    fn ask(&mut self) -> Duration {
        let asked = Instant::now();
        self.0.send(Message::text(r#"421["ask"]"#)).unwrap();
        assert_eq!(self.next(), r#"431["answer"]"#);
        asked.elapsed()
    }

    fn next(&mut self) -> String {
        match self.0.read().unwrap() {
            Message::Text(text) => text.to_string(),
            other => panic!("not text: {other:?}"),
        }
    }
}

/// A WebSocket whose handshake is done.
fn connect(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
                   Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                   Sec-WebSocket-Version: 13\r\n\r\n";
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

/// A text frame of a client, masked with zeros.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(text.as_bytes());
    frame
}
