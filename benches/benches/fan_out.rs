//! Updates of one document to fifty members, from a writer's bytes to bytes for each socket: all that the core does,
//! and no system calls.
//!
//! `cargo bench -p roomcast-benches --bench fan_out`. A throughput element is an update that one member gets; `turn of
//! 16` feeds sixteen updates before anything is drained, which is what a busy driver does.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a bench measures time, and may fail loudly")]

use std::hint::black_box;
use std::io::IoSlice;
use std::time::{Duration, Instant as Clock};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http::Response;
use roomcast_auth::sign_hs256;
use roomcast_core::id::SlabKey;
use roomcast_core::server::{
    Config, ConnId, EndpointId, Event, Input, RequestId, Server, Stack, Start, Transmit, Upgrade,
};
use roomcast_core::time::{Instant, WallTime};
use roomcast_core::websocket::{ClientHandshake, Fin, Opcode, encode_frame};
use roomcast_openwebui::query::{Query, Question, Reply, StoreAnswer};
use roomcast_openwebui::{OpenWebUi, Settings};
use roomcast_stores::{Memory, NoteRow, Rows, UserRow};
use roomcast_testkit::{Hooks, Kit};
use roomcast_yjs::{ProtocolMessage, int_array, merge_updates};

criterion_group!(benches, fan_out);
criterion_main!(benches);

fn fan_out(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fan-out to 50");
    for updates in [1, 16] {
        group.throughput(Throughput::Elements(updates * MEMBERS));
        for members in [FanOutMembers::Browsers, FanOutMembers::Providers] {
            let name = format!("{members:?}, turn of {updates}");
            group.bench_function(BenchmarkId::new("relayed", name), |bencher| {
                bencher.iter_custom(|rounds| measure(members, updates, rounds));
            });
        }
    }
    group.throughput(Throughput::Elements(16));
    // What a turn would cost if its updates were made one for the members who speak y-protocols.
    group.bench_function("merged, providers, turn of 16", |bencher| {
        let updates: Vec<Vec<u8>> = (0..16).map(|at| letter(1, at)).collect();
        bencher.iter(|| merge_updates(black_box(&updates).iter().map(Vec::as_slice)).unwrap());
    });
    group.finish();
}

fn measure(members: FanOutMembers, updates: u64, rounds: u64) -> Duration {
    let mut world = World::new(members);
    let mut spent = Duration::ZERO;
    let mut clock = 0;
    for _ in 0..rounds {
        // Old worlds have long documents.
        if clock > 20_000 {
            (world, clock) = (World::new(members), 0);
        }
        let frames: Vec<Vec<u8>> = (0..updates).map(|at| members.frame(&letter(1, clock + at))).collect();
        clock += updates;
        let start = Clock::now();
        for frame in &frames {
            world.kit.input(Input::WsBytes { conn: world.writer, bytes: frame });
        }
        let delivered = world.run();
        spent += start.elapsed();
        assert!(delivered >= updates * MEMBERS * 10, "{delivered} bytes");
    }
    spent
}

#[derive(Clone, Copy, Debug)]
enum FanOutMembers {
    /// Members that speak the application protocol.
    Browsers,
    /// Members that speak y-protocols.
    Providers,
}

impl FanOutMembers {
    fn frame(self, update: &[u8]) -> Vec<u8> {
        match self {
            Self::Browsers => {
                let update = String::from_utf8(int_array::encode(update)).unwrap();
                text(&format!(
                    r#"42["ydoc:document:update",{{"document_id":"{NOTE}","user_id":"u","socket_id":"s","update":{update}}}]"#
                ))
            }
            Self::Providers => binary(&ProtocolMessage::Update(update).encode()),
        }
    }
}

struct World {
    kit: Kit<OpenWebUi, Outside>,
    writer: ConnId,
}

/// Sockets that take everything at once, and a store that knows one note.
struct Outside {
    written_bytes: u64,
    store: Memory,
}

impl Hooks<OpenWebUi> for Outside {
    fn event(&mut self, _event: Event, _stack: &mut Stack<OpenWebUi>, _now: Instant) {}

    fn respond(&mut self, _request: RequestId, _response: Response<Bytes>) {}

    #[inline]
    fn write(&mut self, _conn: ConnId, transmit: &Transmit) -> usize {
        let mut slices = [IoSlice::new(&[]); 16];
        let count = transmit.slices(&mut slices);
        let written = black_box(&slices[..count]).iter().map(|slice| slice.len()).sum();
        self.written_bytes += written as u64;
        written
    }

    fn close(&mut self, conn: ConnId) {
        panic!("{conn:?} is closed");
    }

    fn query(&mut self, query: Query) -> Option<Reply> {
        Some(Reply { id: query.id, result: self.store.answer(query.question) })
    }
}

impl World {
    fn new(members: FanOutMembers) -> Self {
        let mut settings = Settings::new(EndpointId::new(0), SECRET).unwrap();
        settings.yjs_endpoint = Some(EndpointId::new(1));
        let now = Instant::from_millis(1000);
        let config = Config::new([settings.endpoint("/ws/socket.io"), settings.protocol_endpoint("/ws/yjs")]);
        let wall = WallTime::from_unix_millis(1_800_000_000_000);
        let server = Server::new(config, Start { node: 0, now, wall, seed: [1; 32] }).unwrap();
        let stack = Stack::new(server, OpenWebUi::new(settings, [2; 32]));
        let kit = Kit::new(stack, Outside { written_bytes: 0, store: store() }, now);
        let mut world = Self { kit, writer: SlabKey::from_parts(0, 0) };
        let conns: Vec<ConnId> = (0..=MEMBERS).map(|_| world.join(members)).collect();
        world.writer = conns[0];
        world
    }

    fn join(&mut self, members: FanOutMembers) -> ConnId {
        let token = sign_hs256(SECRET, r#"{"id":"alice"}"#);
        let target = match members {
            FanOutMembers::Browsers => "/ws/socket.io/?EIO=4&transport=websocket".to_owned(),
            FanOutMembers::Providers => format!("/ws/yjs/{NOTE}?token={token}"),
        };
        let endpoint = self.kit.stack.server.route(target.split('?').next().unwrap()).unwrap();
        let request = ClientHandshake::new([7; 16]).request(&"a.example".parse().unwrap(), &target.parse().unwrap());
        let Upgrade::Accept(conn, _) = self.kit.stack.server.handle_upgrade(endpoint, &request, self.kit.now()) else {
            panic!("refused");
        };
        self.run();
        let packets = match members {
            FanOutMembers::Browsers => vec![
                text("40{}"),
                text(&format!(r#"42["user-join",{{"auth":{{"token":"{token}"}}}}]"#)),
                text(&format!(r#"42["ydoc:document:join",{{"document_id":"{NOTE}"}}]"#)),
            ],
            FanOutMembers::Providers => vec![binary(&ProtocolMessage::SyncStep1(&[0]).encode())],
        };
        for packet in packets {
            self.kit.input(Input::WsBytes { conn, bytes: &packet });
            self.run();
        }
        conn
    }

    /// Runs until it is quiet. How many bytes went to sockets.
    fn run(&mut self) -> u64 {
        self.kit.settle();
        std::mem::take(&mut self.kit.hooks.written_bytes)
    }
}

/// Alice, her note, and a document for it with one letter.
fn store() -> Memory {
    let alice = UserRow {
        id: "alice".into(),
        name: "Alice".into(),
        email: "alice@a.example".into(),
        role: "admin".into(),
        last_active_at_secs: 0,
    };
    let plan = NoteRow {
        id: "plan".into(),
        owner: "alice".into(),
        title: "Plan".into(),
        access: None,
        data: None,
        updated_at_nanos: None,
    };
    let store = Memory::new(Rows { users: vec![alice], notes: vec![plan], ..Rows::default() });
    let (document, snapshot) = (NOTE.into(), Bytes::from(letter(2, 0)));
    let saved = store.answer(Question::SaveSnapshot { document, snapshot, content_hash: None, up_to_sequence: 1 });
    assert!(matches!(saved, Ok(StoreAnswer::Done)));
    store
}

/// An update in which a client writes one letter behind the last.
fn letter(client: u8, clock: u64) -> Vec<u8> {
    let mut update = vec![1, 1, client];
    integer(&mut update, clock);
    match clock.checked_sub(1) {
        None => update.extend([4, 1, 1, b't']),
        Some(before) => {
            update.extend([0x84, client]);
            integer(&mut update, before);
        }
    }
    update.extend([1, b'x', 0]);
    update
}

fn integer(out: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn text(packet: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    encode_frame(&mut frame, Fin::Final, Opcode::Text, packet.as_bytes(), Some([7; 4]));
    frame
}

fn binary(message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    encode_frame(&mut frame, Fin::Final, Opcode::Binary, message, Some([7; 4]));
    frame
}

const MEMBERS: u64 = 50;
const NOTE: &str = "note:plan";
const SECRET: &[u8] = b"a secret of the bench alone";
