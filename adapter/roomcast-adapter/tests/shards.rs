//! One server on two threads: clients and handlers see one.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "helpers of tests")]
#![allow(clippy::wildcard_enum_match_arm, reason = "what is not a text is a failure, whatever it is")]

mod nodes;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use nodes::{Client, builder};
use roomcast_adapter::core::cluster::{BusState, ClusterMessage, ClusterSettings, RoomChannel, Strangers};
use roomcast_adapter::core::server::config::PathMatch;
use roomcast_adapter::{
    AckEnd, Builder, ClusterBus, ClusterInbox, Extent, Handle, MemoryBus, MemoryLink, Message, Peer, Server, Socket,
    StartError,
};
use roomcast_tokio::{TokioThread, start_shards};

/// A server in two shards, and the thread that accepts its connections.
struct ShardedServer {
    address: SocketAddr,
    handle: Handle,
    ended: Receiver<()>,
}

impl ShardedServer {
    fn start(build: impl FnMut(u16) -> Builder + Send + 'static) -> Self {
        Self::serve(|| start_shards(2.try_into().unwrap(), build).unwrap().0)
    }

    fn serve(start: impl FnOnce() -> Server<TokioThread> + Send + 'static) -> Self {
        let (started, starting) = channel();
        let (ending, ended) = channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                let server = start();
                started.send((listener.local_addr().unwrap(), server.handle())).unwrap();
                server.serve(listener).await;
            });
            let _ = ending.send(());
        });
        let (address, handle) = starting.recv().unwrap();
        let sharded = Self { address, handle, ended };
        // Before they know each other, an emit that asks for acks does not wait for the others.
        while sharded.known().contains(&0) {}
        sharded
    }

    /// How many other nodes each shard knows.
    fn known(&self) -> Vec<usize> {
        self.ask(|view| view.server.nodes().count())
    }

    fn sessions(&self) -> Vec<usize> {
        self.ask(|view| view.server.audit().sessions)
    }

    fn ask<T: Send + 'static>(
        &self,
        look: impl Fn(&roomcast_adapter::View<'_>) -> T + Copy + Send + 'static,
    ) -> Vec<T> {
        self.handle.shards().iter().map(|shard| smol::block_on(shard.query(move |view| look(view))).unwrap()).collect()
    }

    /// Two clients, one on each shard, in the room `hall`.
    fn in_hall(&self) -> [Client; 2] {
        let mut clients = [(); 2].map(|()| Client::connect(self.address));
        assert_eq!(self.sessions(), [1, 1], "connections are spread in turn");
        for client in &mut clients {
            assert_eq!(client.ask(r#"421["join","hall"]"#), "431[]");
        }
        clients
    }

    fn end(self) {
        smol::block_on(self.handle.shutdown(Duration::ZERO));
        self.ended.recv_timeout(PATIENCE).unwrap();
        assert_eq!(smol::block_on(self.handle.audit()), None);
    }
}

#[test]
fn clients_of_both_shards_hear_every_handle_and_each_other() {
    let server = ShardedServer::start(|_| builder());
    let [mut one, mut two] = server.in_hall();
    for shard in server.handle.shards() {
        smol::block_on(shard.of("/").to("hall").emit("news", "dinner"));
        assert_eq!([one.next(), two.next()], [r#"42["news","dinner"]"#; 2]);
        smol::block_on(shard.of("/").emit("all", 1));
        assert_eq!([one.next(), two.next()], [r#"42["all",1]"#; 2]);
        for client in [&mut one, &mut two] {
            smol::block_on(shard.of("/").to(client.sid.clone()).emit("you", 2));
            assert_eq!(client.next(), r#"42["you",2]"#);
        }
    }
    one.send(r#"42["say","hall","hi"]"#);
    assert_eq!(two.next(), r#"42["said","hi"]"#);
    two.send(r#"42["say","hall","ho"]"#);
    assert_eq!(one.next(), r#"42["said","ho"]"#, "and not what it has said itself");
    assert_eq!(smol::block_on(server.handle.of("/").to("hall").sockets()).len(), 2);
    assert_eq!(smol::block_on(server.handle.audit()).unwrap().sessions, 2);
    server.end();
}

/// Each shard is a server to the other, which has handlers of its own.
#[test]
fn applications_of_shards_hear_each_other() {
    let server = ShardedServer::start(|_| builder());
    let mut clients = server.in_hall();
    let shards = server.handle.shards();
    for (asking, client) in [0, 1].into_iter().zip([1, 0]) {
        let all = shards[asking].of("/");
        let answer = smol::block_on(all.clone().server_side_emit_with_ack("double", 21, PATIENCE)).unwrap();
        let replies: Vec<&str> = answer.replies.iter().map(|(_, args)| args.json()).collect();
        assert_eq!((replies, answer.asked, answer.end), (vec![r#""double",42"#], 1, AckEnd::Complete));
        smol::block_on(all.clone().server_side_emit("tell", "news"));
        assert_eq!(clients[client].next(), r#"42["told","news"]"#);
        smol::block_on(all.emit("end", ()));
        for client in &mut clients {
            assert_eq!(client.next(), r#"42["end"]"#, "the shard's own application does not hear it");
        }
    }
    server.end();
}

#[test]
fn a_socket_is_found_and_left_out_by_any_shard() {
    let server = ShardedServer::start(|_| builder());
    let [mut one, mut two] = server.in_hall();
    for shard in server.handle.shards() {
        let sids = [one.sid.clone(), two.sid.clone()];
        for (sid, other) in sids.into_iter().zip([&mut two, &mut one]) {
            let socket: Socket = smol::block_on(shard.socket("/", sid.clone())).unwrap();
            assert_eq!(socket.sid().as_str(), sid);
            smol::block_on(shard.of("/").to("hall").except_socket(&socket).emit("others", 1));
            assert_eq!(other.next(), r#"42["others",1]"#);
        }
        // Nothing else has come.
        smol::block_on(shard.of("/").emit("end", ()));
        assert_eq!([one.next(), two.next()], [r#"42["end"]"#; 2]);
    }
    server.end();
}

#[test]
fn acks_come_from_both_shards_and_rooms_are_joined_left_and_disconnected_on_both() {
    let server = ShardedServer::start(|_| builder());
    let [mut one, mut two] = server.in_hall();
    for shard in server.handle.shards() {
        let asking = shard.of("/").to("hall").emit_with_ack("well?", (), PATIENCE);
        let asking = thread::spawn(move || smol::block_on(asking).unwrap());
        for client in [&mut one, &mut two] {
            let asked = client.next();
            let id = asked.strip_prefix("42").unwrap().strip_suffix(r#"["well?"]"#).unwrap();
            client.send(&format!(r#"43{id}["yes"]"#));
        }
        let acks = asking.join().unwrap();
        assert_eq!((acks.asked, acks.answers.len(), acks.remote.len()), (2, 1, 1));
        shard.of("/").to("hall").join("loft");
        smol::block_on(shard.of("/").to("loft").emit("up", ()));
        assert_eq!([one.next(), two.next()], [r#"42["up"]"#; 2]);
        shard.of("/").to("loft").leave("loft");
        smol::block_on(shard.of("/").to("loft").emit("nobody", ()));
    }
    server.handle.of("/").to("hall").disconnect(Extent::Namespace);
    assert_eq!([one.next(), two.next()], ["41"; 2]);
    server.end();
}

#[test]
fn an_emit_to_a_room_does_not_reach_shards_without_members() {
    let server = ShardedServer::start(|_| builder());
    let [mut one, mut two] = server.in_hall();
    let received = || server.ask(|view| view.server.cluster_counters().unwrap().received);
    assert_eq!(one.ask(r#"421["leave","hall"]"#), "431[]");
    assert_eq!(one.ask(r#"421["join","attic"]"#), "431[]");
    let before = received();
    let shards = server.handle.shards();
    for _ in 0..10 {
        smol::block_on(shards[0].of("/").to("attic").emit("a", ()));
        smol::block_on(shards[1].of("/").to("hall").emit("h", ()));
        assert_eq!([one.next(), two.next()], [r#"42["a"]"#, r#"42["h"]"#]);
    }
    // Heartbeats apart, of which there is one in five seconds.
    assert!(received().iter().zip(before).all(|(now, before)| now - before < 10));
    smol::block_on(shards[1].of("/").to("attic").emit("far", ()));
    assert_eq!(one.next(), r#"42["far"]"#);
    assert!(server.ask(|view| view.server.cluster_counters().unwrap().lost).iter().all(|lost| *lost == 0));
    server.end();
}

#[test]
fn a_session_is_polled_by_connections_of_both_shards() {
    let server = ShardedServer::start(|_| builder());
    let polling: Vec<_> = (0..2).map(|_| PollingClient::open(server.address)).collect();
    let mut client = Client::connect(server.address);
    assert_eq!(client.ask(r#"421["join","hall"]"#), "431[]");
    for client in &polling {
        client.post("40");
        assert!(client.poll().starts_with("40{"));
        client.post(r#"421["join","hall"]"#);
        assert_eq!(client.poll(), "431[]");
    }
    // Each poll comes by a connection of its own, and so by one of each shard in turn.
    for round in 0..4 {
        smol::block_on(server.handle.of("/").to("hall").emit("round", round));
        let expected = format!(r#"42["round",{round}]"#);
        assert_eq!(client.next(), expected);
        for client in &polling {
            assert_eq!(client.poll(), expected);
        }
    }
    polling[0].post(r#"42["say","hall","hi"]"#);
    assert_eq!([client.next(), polling[1].poll()], [r#"42["said","hi"]"#; 2]);
    let unknown = request(server.address, "GET /socket.io/?EIO=4&transport=polling&sid=AAEAAAAAAAAAAAAAAAAA", "");
    assert!(unknown.starts_with("HTTP/1.1 400 ") && unknown.contains("Session ID unknown"), "{unknown}");
    server.end();
}

#[test]
fn a_session_is_upgraded_by_a_connection_of_the_other_shard() {
    let server = ShardedServer::start(|_| builder());
    for _ in 0..2 {
        let client = PollingClient::open(server.address);
        client.post("40");
        assert!(client.poll().starts_with("40{"));
        let path = format!("/socket.io/?EIO=4&transport=websocket&sid={}", client.sid);
        let mut upgraded = Client::raw(nodes::connect_to(server.address, &path));
        assert_eq!(upgraded.ask("2probe"), "3probe");
        upgraded.send("5");
        assert_eq!(upgraded.ask(r#"421["join","hall"]"#), "431[]");
        smol::block_on(server.handle.of("/").to("hall").emit("up", ()));
        assert_eq!(upgraded.next(), r#"42["up"]"#);
        assert_eq!(upgraded.ask(r#"421["leave","hall"]"#), "431[]");
        // The next one comes by a connection of the other shard.
        drop(TcpStream::connect(server.address).unwrap());
    }
    server.end();
}

#[test]
fn bare_websockets_of_one_path_meet_on_one_shard() {
    let server = ShardedServer::start(|shard| {
        builder().web_socket("/notes", |ws| {
            ws.path_match = PathMatch::Below;
            ws.peers.on_open(move |peer: Peer| async move {
                peer.send(Message::Text(shard.to_string().into())).await;
            });
        })
    });
    let shard_of = |path: &str| Client::raw(nodes::connect_to(server.address, path)).next();
    let mut seen = std::collections::BTreeSet::new();
    for name in 0..16 {
        let first = shard_of(&format!("/notes/n%20{name}"));
        assert_eq!(
            [shard_of(&format!("/notes/n%20{name}?x")), shard_of(&format!("/notes//%6e%20{name}"))],
            [first.as_str(); 2]
        );
        seen.insert(first);
    }
    assert_eq!(seen.len(), 2, "different paths are spread");
    server.end();
}

#[test]
fn the_end_of_one_shard_is_the_end_of_all() {
    let server = ShardedServer::start(|_| builder());
    let [mut one, mut two] = server.in_hall();
    let broken = smol::block_on(server.handle.shards()[1].query(|_| panic!("planted")));
    assert!(broken.is_none());
    assert_eq!([one.ends(), two.ends()], [true; 2]);
    drop((one, two));
    server.ended.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn a_server_ends_with_its_last_handle() {
    let server = ShardedServer::start(|_| builder());
    let (mut one, handle) = (Client::connect(server.address), server.handle.clone());
    // `serve` has one of its own, which it gives back with the others.
    let other = handle.shards().pop().unwrap();
    drop((handle, server.handle));
    smol::block_on(other.of("/").emit("still", ()));
    assert_eq!(one.next(), r#"42["still"]"#);
    smol::block_on(other.shutdown(Duration::ZERO));
    server.ended.recv_timeout(PATIENCE).unwrap();
}

#[test]
fn shards_must_be_alike_and_there_must_be_one() {
    let threads = |count: usize| (0..count).map(|_| TokioThread::start("test").unwrap()).collect::<Vec<_>>();
    let different = |shard: u16| Builder::new().socket_io(format!("/{shard}"), |io| io.namespace("/", |_| {}));
    assert_eq!(Server::start_shards(threads(2), different).err(), Some(StartError::ShardsDiffer));
    assert_eq!(Server::start_shards(threads(0), different).err(), Some(StartError::ShardCount));
    assert_eq!(Server::start_shards(threads(2), |_| builder().node(u16::MAX)).err(), Some(StartError::ShardCount));
}

/// A bus to other processes that a test switches off.
#[derive(Clone, Default)]
struct Outer(Arc<Mutex<Vec<ClusterInbox>>>);

struct OuterSide(MemoryLink);

impl Outer {
    fn tell(&self, state: BusState) {
        self.0.lock().unwrap().iter().for_each(|inbox| inbox.bus(state));
    }
}

impl ClusterBus for OuterSide {
    fn publish(&mut self, message: ClusterMessage) {
        self.0.publish(message);
    }

    fn subscribe(&mut self, channel: RoomChannel) {
        self.0.subscribe(channel);
    }

    fn unsubscribe(&mut self, channel: RoomChannel) {
        self.0.unsubscribe(channel);
    }
}

#[test]
fn shards_of_two_processes_are_one_server_and_each_message_comes_once() {
    let (bus, outer) = (MemoryBus::new(), Outer::default());
    let process = || {
        let (bus, outer) = (bus.clone(), outer.clone());
        ShardedServer::start(move |_| {
            let (bus, outer) = (bus.clone(), outer.clone());
            let mut settings = ClusterSettings::default();
            settings.strangers = Strangers::Ignore;
            builder().cluster(settings, move |_, inbox| {
                outer.0.lock().unwrap().push(inbox.clone());
                Ok(OuterSide(bus.join(inbox)))
            })
        })
    };
    let processes = [process(), process()];
    while processes.iter().any(|process| process.known() != [3, 3]) {}
    let mut clients: Vec<_> = processes.iter().flat_map(ShardedServer::in_hall).collect();
    for shard in processes.iter().flat_map(|process| process.handle.shards()) {
        smol::block_on(shard.of("/").to("hall").emit("one", ()));
        smol::block_on(shard.of("/").emit("two", ()));
        for client in &mut clients {
            assert_eq!([client.next(), client.next()], [r#"42["one"]"#, r#"42["two"]"#]);
        }
        let asking = shard.of("/").to("hall").emit_with_ack("well?", (), PATIENCE);
        let asking = thread::spawn(move || smol::block_on(asking).unwrap());
        for client in &mut clients {
            let asked = client.next();
            let id = asked.strip_prefix("42").unwrap().strip_suffix(r#"["well?"]"#).unwrap();
            client.send(&format!(r#"43{id}["yes"]"#));
        }
        let acks = asking.join().unwrap();
        assert_eq!((acks.asked, acks.answers.len(), acks.remote.len()), (4, 1, 3));
    }
    // Without the bus, the shards of a process have each other.
    outer.tell(BusState::Down);
    let shards = processes[0].handle.shards();
    for shard in &shards {
        smol::block_on(shard.of("/").to("hall").emit("within", ()));
        for client in &mut clients[..2] {
            assert_eq!(client.next(), r#"42["within"]"#);
        }
    }
    outer.tell(BusState::Up);
    assert_eq!(processes[0].known(), [3, 3]);
    for process in processes {
        process.end();
    }
}

/// A client by long polling, each of whose requests comes by a connection of its own.
struct PollingClient {
    address: SocketAddr,
    sid: String,
}

impl PollingClient {
    fn open(address: SocketAddr) -> Self {
        let opened = request(address, "GET /socket.io/?EIO=4&transport=polling", "");
        let sid = opened.split(r#""sid":""#).nth(1).unwrap().split('"').next().unwrap().to_owned();
        Self { address, sid }
    }

    fn poll(&self) -> String {
        let answer = request(self.address, &format!("GET {}", self.target()), "");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    fn post(&self, packet: &str) {
        let answer = request(self.address, &format!("POST {}", self.target()), packet);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }

    fn target(&self) -> String {
        format!("/socket.io/?EIO=4&transport=polling&sid={}", self.sid)
    }
}

fn request(address: SocketAddr, line: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let text =
        format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Only a test that fails waits as long.
const PATIENCE: Duration = Duration::from_secs(30);
