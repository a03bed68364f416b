//! A message of the bus, from its bytes to the bytes for a client: to a room with one member here, and to one with none.
//!
//! `cargo bench -p roomcast-benches --bench bus`. python-socketio's form, as its 5.16 publishes it.
#![expect(clippy::unwrap_used, reason = "a bench may fail loudly")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use roomcast_core::cluster::{Codec, Python};
use roomcast_core::server::*;
use roomcast_core::time::{Instant, WallTime};
use roomcast_core::websocket::{ClientHandshake, Fin, Opcode, encode_frame};

criterion_group!(benches, bus);
criterion_main!(benches);

fn bus(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bus message");
    group.throughput(Throughput::Elements(1));
    for bytes in [100, 1_000, 100_000] {
        for (name, room) in [("no member", "elsewhere"), ("one member", "here")] {
            let mut node = Node::new();
            let message = message(room, bytes);
            group.bench_function(BenchmarkId::new(name, bytes), |bencher| {
                bencher.iter(|| node.hear(black_box(&message)));
            });
            let counters = node.server.cluster_counters().unwrap();
            assert_eq!((room == "here", room == "elsewhere"), (node.sent > 0, counters.without_recipients > 0));
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
    server: Server,
    codec: Python,
    transmit: Transmit,
    sent: usize,
}

impl Node {
    fn new() -> Self {
        let endpoint = EndpointId::new(0);
        let cluster = Some(ClusterConfig::new(endpoint));
        let config = Config { cluster, ..Config::new([Endpoint::socket_io("/socket.io")]) };
        let start = Start { node: 0, now: NOW, wall: WallTime::default(), seed: [1; 32] };
        let mut server = Server::new(config, start).unwrap();
        let target = "/socket.io?EIO=4&transport=websocket".parse().unwrap();
        let request = ClientHandshake::new([0; 16]).request(&"localhost".parse().unwrap(), &target);
        let Upgrade::Accept(conn, _) = server.handle_upgrade(endpoint, &request, NOW) else { panic!("accepted") };
        let mut connect = Vec::new();
        encode_frame(&mut connect, Fin::Final, Opcode::Text, b"40", Some([1, 2, 3, 4]));
        server.handle_input(Input::WsBytes { conn, bytes: &connect }, NOW);
        let mut node = Self { server, codec: Python::default(), transmit: Transmit::new(), sent: 0 };
        node.drain();
        node.sent = 0;
        node
    }

    fn hear(&mut self, payload: &Bytes) {
        let message = self.codec.decode("socketio", payload.clone()).unwrap().unwrap();
        self.server.handle_input(Input::Cluster(ClusterInput::Message(Box::new(message))), NOW);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.server.poll_output() {
            if let Output::Event(Event::Connected(connect)) = &output {
                let (target, room) = (Target::Socket(connect.socket), "here".into());
                self.server.handle_input(Input::Command(Command::Join { target, room }), NOW);
            }
            let Output::Writable(conn) = output else { continue };
            while self.server.poll_transmit(conn, &mut self.transmit) {
                self.sent += 1;
                self.transmit.advance(usize::MAX);
            }
        }
    }
}

const NOW: Instant = Instant::from_millis(1);
