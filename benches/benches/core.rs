//! The core's hot paths in memory: no socket, no clock, no application.
//!
//! `cargo bench -p roomcast-benches --bench core`. Of a broadcast, `emit` is the fan-out alone (a push per recipient) and
//! `drain` what a driver does about it, without the system calls; both are times of one broadcast to all.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench measures time, and may fail loudly")]

use std::hint::black_box;
use std::time::{Duration, Instant as Clock};

use bytes::Bytes;
use bytestring::ByteString;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http::{Request, Response};
use roomcast_core::engine_io::{self, PayloadWriter, decode_payload};
use roomcast_core::server::*;
use roomcast_core::socket_io::{self, Args, encode_event, split_event};
use roomcast_core::time::{Instant, WallTime};
use roomcast_core::timer::{Fifo, Timers};
use roomcast_core::websocket::{ClientHandshake, Decoder, Fin, FrameLimits, Opcode, Role, encode_frame};
use roomcast_testkit::{Hooks, Kit, Reading};

criterion_group!(benches, parse, encode, broadcast, rooms, timers);
criterion_main!(benches);

fn parse(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse");
    group.throughput(Throughput::Elements(1));
    let frame = client_frame(&format!("4{}", event_text()));
    let limits = FrameLimits { message_bytes_max: 1_000_000, fragments_max: u32::MAX };
    let mut decoder = Decoder::new(Role::Server);
    group.bench_function("websocket frame", |b| {
        b.iter(|| decoder.decode(&limits, &mut black_box(&frame[..])).unwrap());
    });
    let text = ByteString::from(event_text());
    let limits = socket_io::PacketLimits::default();
    group.bench_function("socket.io event", |b| {
        b.iter(|| split_event(&socket_io::Packet::decode(black_box(&text).clone(), &limits).unwrap().data).unwrap());
    });
    let mut writer = PayloadWriter::new();
    (0..16).for_each(|_| writer.push_packet(&engine_io::Packet::Message(text.clone())));
    let payload = writer.finish();
    group.throughput(Throughput::Elements(16));
    group.bench_function("polling payload of 16", |b| {
        b.iter(|| decode_payload(black_box(&payload).clone()).filter(Result::is_ok).count());
    });
    group.finish();
}

fn encode(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    let args = args();
    let mut out = Vec::new();
    group.bench_function("socket.io event", |b| {
        b.iter(|| {
            out.clear();
            encode_event(&mut out, "/", None, black_box("message"), &args);
        });
    });
    let packet = engine_io::Packet::Message(event_text().into());
    group.bench_function("polling payload of 16", |b| {
        b.iter(|| {
            let mut writer = PayloadWriter::new();
            (0..16).for_each(|_| writer.push_packet(black_box(&packet)));
            writer.finish()
        });
    });
    group.finish();
}

fn broadcast(c: &mut Criterion) {
    for transport in [Transport::WebSocket, Transport::Polling] {
        let mut group = c.benchmark_group(format!("broadcast by {transport:?}"));
        for members in [1, 100, 10_000] {
            let mut crowd = Crowd::new(transport, members);
            group.throughput(Throughput::Elements(members as u64));
            group.bench_function(BenchmarkId::new("emit", members), |b| {
                b.iter_custom(|rounds| crowd.rounds(rounds).emit);
            });
            group.bench_function(BenchmarkId::new("drain", members), |b| {
                b.iter_custom(|rounds| crowd.rounds(rounds).drain);
            });
        }
        group.finish();
    }
}

fn rooms(c: &mut Criterion) {
    let mut group = c.benchmark_group("rooms");
    for members in [1, 10_000] {
        let mut crowd = Crowd::new(Transport::WebSocket, members);
        let target = Target::Socket(crowd.kit.hooks.sockets[members / 2]);
        group.bench_function(BenchmarkId::new("join and leave", members), |b| {
            b.iter(|| {
                crowd.command(Command::Leave { target: target.clone(), room: ROOM });
                crowd.command(Command::Join { target: target.clone(), room: ROOM });
            });
        });
    }
    group.finish();
}

fn timers(c: &mut Criterion) {
    let mut group = c.benchmark_group("timers");
    let (mut fifo, mut heap) = (Fifo::new(), Timers::new());
    let mut now = Instant::default();
    let mut keys: Vec<_> = (0..10_000).map(|n| (fifo.arm(now, n), heap.arm(now, n))).collect();
    let mut next = 0;
    group.bench_function("fifo: cancel and arm, of 10000", |b| {
        b.iter(|| {
            (now, next) = (now + Duration::from_nanos(100), (next + 7919) % keys.len());
            black_box(fifo.cancel(keys[next].0));
            keys[next].0 = fifo.arm(now, next);
        });
    });
    group.bench_function("heap: cancel and arm, of 10000", |b| {
        b.iter(|| {
            (now, next) = (now + Duration::from_nanos(100), (next + 7919) % keys.len());
            black_box(heap.cancel(keys[next].1));
            keys[next].1 = heap.arm(now, next);
        });
    });
    group.bench_function("a ping and its pong", |b| {
        let crowd = || Crowd::new(Transport::WebSocket, 100);
        b.iter_batched_ref(crowd, Crowd::beat, BatchSize::LargeInput);
    });
    group.finish();
}

/// Members of one room, on one transport.
struct Crowd {
    kit: Kit<(), Sinks>,
    conns: Vec<ConnId>,
    sids: Vec<String>,
}

/// Sockets that take everything at once.
#[derive(Default)]
struct Sinks {
    sockets: Vec<SocketId>,
    /// Whose poll a request is, by its slot.
    polls: Vec<usize>,
    /// Who has to poll again.
    answered: Vec<usize>,
    /// The answer to a request that is no poll of the crowd's.
    other: Option<Response<Bytes>>,
}

impl Hooks<()> for Sinks {
    fn event(&mut self, event: Event, _stack: &mut Stack<()>, _now: Instant) {
        let Event::Connected(connect) = event else { panic!("the crowd only comes: {event:?}") };
        self.sockets.push(connect.socket);
    }

    #[inline]
    fn respond(&mut self, request: RequestId, response: Response<Bytes>) {
        let response = black_box(response);
        match self.polls.get(request.slot()) {
            Some(who) => self.answered.push(*who),
            None => self.other = Some(response),
        }
    }

    #[inline]
    fn write(&mut self, _conn: ConnId, transmit: &Transmit) -> usize {
        transmit.single().map_or(transmit.len(), |bytes| black_box(bytes).len())
    }

    fn read(&mut self, conn: ConnId, reading: Reading) {
        panic!("{conn:?}: {reading:?}");
    }

    fn close(&mut self, conn: ConnId) {
        panic!("{conn:?} is closed");
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Transport {
    WebSocket,
    Polling,
}

#[derive(Default)]
struct Spent {
    emit: Duration,
    drain: Duration,
}

impl Crowd {
    fn new(transport: Transport, members: usize) -> Self {
        let config = Config::new([Endpoint::socket_io("/socket.io")]);
        let now = Instant::default();
        let server = Server::new(config, Start { node: 0, now, wall: WallTime::default(), seed: [1; 32] }).unwrap();
        let kit = Kit::new(Stack::new(server, ()), Sinks::default(), now);
        let mut crowd = Self { kit, conns: Vec::new(), sids: Vec::new() };
        for _ in 0..members {
            match transport {
                Transport::WebSocket => crowd.open_stream(),
                Transport::Polling => crowd.open_polling(),
            }
        }
        // In no order, as after some hours of coming and going: 7919 is a prime.
        for place in 0..members {
            let socket = crowd.kit.hooks.sockets[place * 7919 % members];
            crowd.command(Command::Join { target: Target::Socket(socket), room: ROOM });
        }
        assert_eq!(crowd.kit.stack.server.members(&scope(), &ROOM).count(), members);
        // Queues and scratch find their size.
        crowd.rounds(3);
        crowd
    }

    fn open_stream(&mut self) {
        let target = "/socket.io?EIO=4&transport=websocket".parse().unwrap();
        let request = ClientHandshake::new([0; 16]).request(&"localhost".parse().unwrap(), &target);
        let Upgrade::Accept(conn, _) = self.kit.stack.server.handle_upgrade(ENDPOINT, &request, self.kit.now()) else {
            panic!()
        };
        self.kit.stack.server.handle_input(Input::WsBytes { conn, bytes: &client_frame("40") }, self.kit.now());
        self.conns.push(conn);
        self.kit.drain();
    }

    fn open_polling(&mut self) {
        self.request("GET", "", Bytes::new());
        self.kit.drain();
        let response = self.kit.hooks.other.take().unwrap();
        let handshake = std::str::from_utf8(response.body()).unwrap();
        let sid = format!("&sid={}", handshake.split('"').nth(3).unwrap());
        self.request("POST", &sid, Bytes::from_static(b"40"));
        self.kit.drain();
        self.kit.hooks.answered = vec![self.sids.len()];
        self.sids.push(sid);
        self.poll_again();
        self.kit.drain();
        self.poll_again();
    }

    fn request(&mut self, method: &str, sid: &str, body: Bytes) -> RequestId {
        let uri = format!("/socket.io?EIO=4&transport=polling{sid}");
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        let Head::Continue(request) = self.kit.stack.server.handle_http_head(ENDPOINT, request, self.kit.now()) else {
            panic!()
        };
        self.kit.stack.server.handle_http_body(request, body, self.kit.now());
        request
    }

    /// Broadcasts, each drained before the next.
    fn rounds(&mut self, rounds: u64) -> Spent {
        let mut spent = Spent::default();
        for _ in 0..rounds {
            let target = Target::Room { namespace: scope(), room: ROOM };
            let emit = Emit { target, name: EVENT, args: args(), delivery: Delivery::Reliable, ack: None };
            let before = Clock::now();
            self.command(Command::Emit(emit));
            let between = Clock::now();
            self.kit.drain();
            spent.emit += between - before;
            spent.drain += between.elapsed();
            self.poll_again();
        }
        spent
    }

    fn poll_again(&mut self) {
        for who in std::mem::take(&mut self.kit.hooks.answered) {
            let sid = self.sids[who].clone();
            let slot = self.request("GET", &sid, Bytes::new()).slot();
            self.kit.hooks.polls.resize(self.kit.hooks.polls.len().max(slot + 1), who);
            self.kit.hooks.polls[slot] = who;
        }
    }

    /// A ping to every member, and the pong of each.
    fn beat(&mut self) {
        while let Some((deadline, TimerKind::Ping)) = self.kit.stack.server.poll_timeout() {
            self.kit.set_time(deadline);
            self.kit.stack.handle_timeout(deadline);
            if self.kit.stack.server.poll_timeout().is_none_or(|(_, kind)| kind != TimerKind::Ping) {
                break;
            }
        }
        self.kit.drain();
        let pong = client_frame("3");
        for conn in &self.conns {
            self.kit.stack.server.handle_input(Input::WsBytes { conn: *conn, bytes: &pong }, self.kit.now());
        }
    }

    fn command(&mut self, command: Command) {
        self.kit.stack.server.handle_input(Input::Command(command), self.kit.now());
    }
}

fn client_frame(text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    encode_frame(&mut frame, Fin::Final, Opcode::Text, text.as_bytes(), Some([1, 2, 3, 4]));
    frame
}

/// What chat sends most: 172 bytes as a frame.
fn args() -> Args {
    Args::from_json_values(r#"{"chat_id":"0c7d8bb0-5a2e-4e0c-8d5e-9b2b9a2f1f4e","message_id":"5d2c","data":{"type":"chat:completion","data":{"content":"and then","done":false}}}"#).unwrap()
}

fn event_text() -> String {
    format!("2[\"{EVENT}\",{}]", args().json())
}

fn scope() -> Scope {
    Scope { endpoint: ENDPOINT, namespace: ByteString::from_static("/") }
}

const ENDPOINT: EndpointId = EndpointId::new(0);
const ROOM: ByteString = ByteString::from_static("room");
const EVENT: ByteString = ByteString::from_static("events");
