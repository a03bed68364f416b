//! Documents for providers of y-websocket, over real sockets: rights, relaying, storing.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use roomcast_tokio::stores::{MemoryDocuments, SqliteDocuments};
use roomcast_tokio::{Builder, DocumentStore, Handle, Rights, Tokio, Visitor};
use roomcast_yjs::{Document, DocumentLimits, ProtocolMessage, Source, StateVector, Verdict};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message as Frame, WebSocket};

#[test]
fn providers_share_a_document_and_the_store_keeps_it() {
    let store = MemoryDocuments::new();
    let server = Running::start(store.clone());
    let mut alice = Provider::open(server.address, "plan?token=alice");
    let mut bob = Provider::open(server.address, "plan?token=bob");
    alice.write(1, "hello");
    bob.hear_until(|provider| provider.has(1));
    assert_eq!(bob.doc.state(), alice.doc.state());
    // What one announces the other hears, and hears it withdrawn.
    alice.send(&ProtocolMessage::Awareness(&[1, 1, 1, 7, b'{', b'"', b'a', b'"', b':', b'1', b'}']));
    bob.hear_until(|provider| provider.awareness.len() == 1);
    drop(alice);
    bob.hear_until(|provider| provider.awareness.last().is_some_and(|update| update.ends_with(b"null")));
    // Another document is another one.
    let mut other = Provider::open(server.address, "other?token=bob");
    assert_eq!(other.doc.state(), [0, 0][..]);
    let state = bob.doc.state();
    server.stop();
    let stored = store.stored("plan");
    assert_eq!((stored.snapshot, stored.updates.len()), (Some(state), 0));
}

#[test]
fn readers_write_nothing_and_strangers_stay_out() {
    let server = Running::start(MemoryDocuments::new());
    let mut alice = Provider::open(server.address, "plan?token=alice");
    alice.write(1, "by alice");
    // Behind that answer everything before it was handled.
    alice.ask();
    let mut guest = Provider::open(server.address, "plan");
    assert_eq!(guest.doc.state(), alice.doc.state());
    guest.write(2, "by a guest");
    guest.hear_until(|provider| provider.denied.as_deref() == Some("read-only"));
    alice.ask();
    assert!(!alice.has(2));
    let mut stranger = Provider::connect(server.address, "plan?token=wrong");
    assert_eq!(stranger.closed_with(), CloseCode::from(4403));
    // A name is at most a kilobyte, and never empty: without one there is no such path.
    let long = "x".repeat(1025);
    assert_eq!(Provider::connect(server.address, &long).closed_with(), CloseCode::from(4403));
    let stream = TcpStream::connect(server.address).unwrap();
    let refused = tungstenite::client(format!("ws://{}/yjs/", server.address), stream).unwrap_err();
    assert!(format!("{refused:?}").contains("status: 404"), "{refused:?}");
}

#[test]
fn a_document_in_a_file_outlives_the_server() {
    let folder = std::env::temp_dir().join(format!("roomcast-documents-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("documents.db");
    for (client, text) in [(1, "first"), (2, "second")] {
        let runtime = runtime();
        let store = runtime.block_on(SqliteDocuments::open(&path)).unwrap();
        let server = Running::start(store);
        let mut provider = Provider::open(server.address, "plan?token=alice");
        assert!((1..client).all(|earlier| provider.has(earlier)));
        provider.write(client, text);
        provider.ask();
        server.stop();
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

struct Running {
    address: SocketAddr,
    handle: Handle,
    serving: JoinHandle<()>,
    runtime: Runtime,
}

impl Running {
    fn start(store: impl DocumentStore) -> Self {
        let runtime = runtime();
        let builder = Builder::new().documents_with("/yjs", Arc::new(store), |documents| {
            documents.authorize(async |visitor: Visitor| match visitor.param("token").as_deref() {
                Some("wrong") => Rights::Denied,
                Some(user) => Rights::Write(user.into()),
                None => Rights::Read("guest".into()),
            });
        });
        let (address, handle, serving) = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = builder.start(Tokio).unwrap();
            (address, server.handle(), tokio::spawn(server.serve(listener)))
        });
        Self { address, handle, serving, runtime }
    }

    /// Ends once everything is stored.
    fn stop(self) {
        self.runtime.block_on(async {
            self.handle.shutdown(Duration::ZERO).await;
            self.serving.await.unwrap();
        });
    }
}

/// What a provider of y-websocket does.
struct Provider {
    socket: WebSocket<TcpStream>,
    doc: Document,
    awareness: Vec<Vec<u8>>,
    denied: Option<String>,
    steps_2: usize,
}

impl Provider {
    fn connect(address: SocketAddr, target: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let (socket, _) = tungstenite::client(format!("ws://{address}/yjs/{target}"), stream).unwrap();
        let doc = Document::new(DocumentLimits::default());
        Self { socket, doc, awareness: Vec::new(), denied: None, steps_2: 0 }
    }

    /// One that has what the server has.
    fn open(address: SocketAddr, target: &str) -> Self {
        let mut provider = Self::connect(address, target);
        provider.ask();
        provider
    }

    /// Asks for what it lacks, and waits for the answer.
    fn ask(&mut self) {
        let (vector, steps) = (self.doc.state_vector(), self.steps_2);
        self.send(&ProtocolMessage::SyncStep1(&vector));
        self.hear_until(|provider| provider.steps_2 > steps);
    }

    fn write(&mut self, client: u8, text: &str) {
        let mut update = vec![1, 1, client, 0, 4, 1, 1, b't', u8::try_from(text.len()).unwrap()];
        update.extend_from_slice(text.as_bytes());
        update.push(0);
        assert_eq!(self.doc.apply(&update, Source::Live), Verdict::Applied);
        self.send(&ProtocolMessage::Update(&update));
    }

    fn has(&self, client: u8) -> bool {
        self.doc.store().clock(roomcast_yjs::ClientId::new(client.into()).unwrap()) > 0
    }

    fn send(&mut self, message: &ProtocolMessage<'_>) {
        self.socket.send(Frame::Binary(message.encode().into())).unwrap();
    }

    fn hear_until(&mut self, is_enough: impl Fn(&Self) -> bool) {
        while !is_enough(self) {
            let Frame::Binary(bytes) = self.socket.read().unwrap() else { continue };
            match ProtocolMessage::decode(&bytes).unwrap() {
                ProtocolMessage::SyncStep1(vector) => {
                    let difference = self.doc.difference(&StateVector::decode(vector).unwrap());
                    self.send(&ProtocolMessage::SyncStep2(&difference));
                }
                ProtocolMessage::SyncStep2(update) => {
                    self.doc.apply(update, Source::Stored);
                    self.steps_2 += 1;
                }
                ProtocolMessage::Update(update) => {
                    self.doc.apply(update, Source::Stored);
                }
                ProtocolMessage::Awareness(update) => self.awareness.push(update.to_vec()),
                ProtocolMessage::PermissionDenied(reason) => self.denied = Some(reason.to_owned()),
                ProtocolMessage::QueryAwareness => {}
            }
        }
    }

    fn closed_with(&mut self) -> CloseCode {
        loop {
            if let Frame::Close(Some(frame)) = self.socket.read().unwrap() {
                return frame.code;
            }
        }
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}
