//! A message of the bus, from its bytes to the bytes for a client: to a room with one member here, and to one with none.
//!
//! `cargo bench -p roomcast-benches --bench bus`. python-socketio's form, as its 5.16 publishes it.
#![expect(clippy::unwrap_used, reason = "a bench may fail loudly")]

use std::hint::black_box;
use std::sync::Mutex;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http::Response;
use roomcast_core::cluster::{Codec, OccupiedRooms, Python, RoomChannel, Subscriptions};
use roomcast_core::server::*;
use roomcast_core::time::{Instant, WallTime};
use roomcast_core::websocket::{ClientHandshake, Fin, Opcode, encode_frame};
use roomcast_testkit::{Hooks, Kit};

criterion_group!(benches, bus);
criterion_main!(benches);

fn bus(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bus message");
    group.throughput(Throughput::Elements(1));
    for bytes in [100, 1_000, 100_000] {
        // The second is what a message without members costs that has to be decoded: one of many rooms, say.
        for (name, room, has_glance) in
            [("no member", "elsewhere", true), ("no member, decoded", "elsewhere", false), ("one member", "here", true)]
        {
            let mut node = Node::new(has_glance);
            let message = message(room, bytes);
            group.bench_function(BenchmarkId::new(name, bytes), |bencher| {
                bencher.iter(|| node.hear(black_box(&message)));
            });
            let counters = node.kit.server().cluster_counters().unwrap();
            let is_dropped = node.passed_over > 0 || counters.without_recipients > 0;
            let expected = (node.kit.hooks.sent > 0, is_dropped);
            assert_eq!((room == "here", room == "elsewhere"), expected);
        }
    }
    group.finish();
}

/// An emit as python-socketio publishes it.
fn message(room: &str, bytes: usize) -> Bytes {
    let text = "a word, ".repeat(bytes / 8);
    let host = "b".repeat(32);
    format!(
        r#"{{"method": "emit", "event": "events", "data": [{{"chat_id": "c", "data": {{"type": "message", "data": {{"content": "{text}"}}}}}}], "binary": false, "namespace": "/", "room": "{room}", "skip_sid": null, "callback": null, "host_id": "{host}"}}"#
    )
    .into()
}

/// A server with one client in the room `here`.
struct Node {
    kit: Kit<(), Client>,
    codec: Python,
    has_glance: bool,
    passed_over: u64,
}

/// A client that takes everything at once, and the rooms that the connection of the bus knows of.
struct Client {
    sent: usize,
    occupied: Mutex<OccupiedRooms>,
}

impl Hooks<()> for Client {
    fn event(&mut self, event: Event, stack: &mut Stack<()>, now: Instant) {
        if let Event::Connected(connect) = event {
            let (target, room) = (Target::Socket(connect.socket), "here".into());
            stack.server.handle_input(Input::Command(Command::Join { target, room }), now);
        }
    }

    fn respond(&mut self, _request: RequestId, _response: Response<Bytes>) {}

    #[inline]
    fn write(&mut self, _conn: ConnId, transmit: &Transmit) -> usize {
        self.sent += 1;
        transmit.len()
    }

    fn subscribe(&mut self, room: RoomChannel) {
        self.occupied.lock().unwrap().begin(room);
    }

    fn close(&mut self, conn: ConnId) {
        panic!("{conn:?} is closed");
    }
}

impl Node {
    fn new(has_glance: bool) -> Self {
        let endpoint = EndpointId::new(0);
        let mut cluster = ClusterConfig::new(endpoint);
        cluster.settings.subscriptions = Subscriptions::Filtered;
        let cluster = Some(cluster);
        let config = Config { cluster, ..Config::new([Endpoint::socket_io("/socket.io")]) };
        let start = Start { node: 0, now: NOW, wall: WallTime::default(), seed: [1; 32] };
        let server = Server::new(config, start).unwrap();
        let client = Client { sent: 0, occupied: Mutex::new(OccupiedRooms::new([1; 32])) };
        let mut kit = Kit::new(Stack::new(server, ()), client, NOW);
        let target = "/socket.io?EIO=4&transport=websocket".parse().unwrap();
        let request = ClientHandshake::new([0; 16]).request(&"localhost".parse().unwrap(), &target);
        let Upgrade::Accept(conn, _) = kit.server().handle_upgrade(endpoint, &request, NOW) else { panic!("accepted") };
        let mut connect = Vec::new();
        encode_frame(&mut connect, Fin::Final, Opcode::Text, b"40", Some([1, 2, 3, 4]));
        kit.input(Input::WsBytes { conn, bytes: &connect });
        kit.drain();
        kit.hooks.sent = 0;
        Self { kit, codec: Python::default(), has_glance, passed_over: 0 }
    }

    /// As the connection of a bus does.
    fn hear(&mut self, payload: &Bytes) {
        if self.has_glance
            && let Some(room) = self.codec.glance("socketio", payload)
            && !self.kit.hooks.occupied.lock().unwrap().concerns(room)
        {
            self.passed_over += 1;
            return;
        }
        let message = self.codec.decode("socketio", payload.clone()).unwrap().unwrap();
        self.kit.input(Input::Cluster(ClusterInput::Message(Box::new(message))));
        self.kit.drain();
    }
}

const NOW: Instant = Instant::from_millis(1);
