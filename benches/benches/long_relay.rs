//! The longest piece of work that one long update of a document holds the driver's thread for, from a writer's bytes to
//! bytes for another member: the thread's CPU time of the longest single call, without system calls. Only the driver
//! decides between calls whether others have their turn.
//!
//! `cargo bench -p roomcast-benches --bench long_relay`. Linux alone: there is no portable CPU clock of a thread.
#![expect(clippy::unwrap_used, reason = "a bench may fail loudly")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::IoSlice;

use bytes::Bytes;
use roomcast_auth::sign_hs256;
use roomcast_core::id::SlabKey;
use roomcast_core::server::{
    Config, ConnId, EndpointId, Event, Input, Output, RequestId, Server, Stack, Start, Transmit, Upgrade,
};
use roomcast_core::time::{Instant, WallTime};
use roomcast_core::websocket::{ClientHandshake, Fin, Opcode, encode_frame};
use roomcast_openwebui::query::{Query, Reply};
use roomcast_openwebui::{OpenWebUi, Settings};
use roomcast_stores::{Memory, NoteRow, Rows, UserRow};
use roomcast_testkit::{Hooks, Kit};
use roomcast_yjs::int_array;

fn main() {
    println!("JSON of the array | longest piece of five rounds (median, most) | where the most was");
    for megabytes in [2, 5, 8, 14] {
        let rounds: Vec<_> = (0..5).map(|_| World::new().relay(megabytes * 1_000_000)).collect();
        let mut longest = rounds.clone();
        longest.sort_by(|one, other| one.0.total_cmp(&other.0));
        let (most, place) = longest[4];
        println!("{megabytes:>3} MB | {:.2} ms, {most:.2} ms | {place}", longest[2].0);
    }
}

struct World {
    kit: Kit<OpenWebUi, Outside>,
    writer: ConnId,
}

/// Sockets that take everything at once, and a store that knows one note.
struct Outside(Memory);

impl Hooks<OpenWebUi> for Outside {
    fn event(&mut self, _event: Event, _stack: &mut Stack<OpenWebUi>, _now: Instant) {}

    fn respond(&mut self, _request: RequestId, _response: http::Response<Bytes>) {}

    fn write(&mut self, _conn: ConnId, transmit: &Transmit) -> usize {
        let mut slices = [IoSlice::new(&[]); 16];
        let count = transmit.slices(&mut slices);
        black_box(&slices[..count]).iter().map(|slice| slice.len()).sum()
    }

    fn close(&mut self, conn: ConnId) {
        panic!("{conn:?} is closed");
    }

    fn query(&mut self, query: Query) -> Option<Reply> {
        Some(Reply { id: query.id, result: self.0.answer(query.question) })
    }
}

/// The longest piece so far, in milliseconds, and what it was.
#[derive(Default)]
struct LongestPiece(f64, &'static str);

impl LongestPiece {
    fn time<T>(&mut self, place: &'static str, work: impl FnOnce() -> T) -> T {
        let before = thread_cpu_ms();
        let result = work();
        let spent = thread_cpu_ms() - before;
        if spent > self.0 {
            *self = Self(spent, place);
        }
        result
    }
}

impl World {
    fn new() -> Self {
        let settings = Settings::new(EndpointId::new(0), SECRET).unwrap();
        let now = Instant::from_millis(1000);
        let config = Config::new([settings.endpoint("/ws/socket.io")]);
        let wall = WallTime::from_unix_millis(1_800_000_000_000);
        let server = Server::new(config, Start { node: 0, now, wall, seed: [1; 32] }).unwrap();
        let stack = Stack::new(server, OpenWebUi::new(settings, [2; 32]));
        let mut world = Self { kit: Kit::new(stack, Outside(store()), now), writer: SlabKey::from_parts(0, 0) };
        let conns = [world.join(), world.join()];
        world.writer = conns[0];
        world
    }

    fn join(&mut self) -> ConnId {
        let token = sign_hs256(SECRET, r#"{"id":"alice"}"#);
        let target = "/ws/socket.io/?EIO=4&transport=websocket".parse().unwrap();
        let request = ClientHandshake::new([7; 16]).request(&"a.example".parse().unwrap(), &target);
        let now = self.kit.now();
        let Upgrade::Accept(conn, _) = self.kit.stack.server.handle_upgrade(EndpointId::new(0), &request, now) else {
            panic!("refused");
        };
        let login = format!(r#"42["user-join",{{"auth":{{"token":"{token}"}}}}]"#);
        let join = format!(r#"42["ydoc:document:join",{{"document_id":"{NOTE}"}}]"#);
        for packet in ["40{}", &login, &join] {
            self.kit.settle();
            self.kit.input(Input::WsBytes { conn, bytes: &text(packet) });
        }
        self.kit.settle();
        conn
    }

    /// An update whose array is about so long as JSON.
    fn relay(mut self, json_bytes: usize) -> (f64, &'static str) {
        // One insertion of a text: three digits and a comma each.
        let letters = json_bytes / 4;
        let mut update = vec![1, 1, 1, 0, 4, 1, 1, b't'];
        integer(&mut update, letters as u64);
        update.resize(update.len() + letters, b'z');
        update.push(0);
        let mut packet = format!(r#"42["ydoc:document:update",{{"document_id":"{NOTE}","update":"#);
        packet.push_str(std::str::from_utf8(&int_array::encode(&update)).unwrap());
        let _ = packet.write_str("}]");
        let (frame, mut longest) = (text(&packet), LongestPiece::default());
        let mut delivered = 0;
        for bytes in frame.chunks(64 << 10) {
            let conn = self.writer;
            longest.time("read", || self.kit.input(Input::WsBytes { conn, bytes }));
            delivered += self.run(&mut longest);
        }
        assert!(delivered > json_bytes / 10 * 9, "{delivered} bytes of {json_bytes}");
        (longest.0, longest.1)
    }

    /// What a driver does until all is quiet, each call timed. How many bytes went to sockets.
    fn run(&mut self, longest: &mut LongestPiece) -> usize {
        let (now, mut transmit, mut delivered) = (self.kit.now(), Transmit::new(), 0);
        let Kit { stack, hooks, .. } = &mut self.kit;
        loop {
            if let Some(output) = longest.time("output", || stack.poll_output(now)) {
                let Output::Writable(conn) = output else { continue };
                while longest.time("transmit", || stack.poll_transmit(conn, &mut transmit)) {
                    while !transmit.is_empty() {
                        let written = hooks.write(conn, &transmit);
                        delivered += written;
                        longest.time("written", || transmit.advance(written));
                    }
                }
            } else if let Some(query) = longest.time("query", || stack.poll_query()) {
                if let Some(reply) = hooks.query(query) {
                    longest.time("reply", || stack.handle_reply(reply, now));
                }
            } else if let Some(work) = longest.time("work", || stack.poll_work()) {
                // Another thread does it.
                let reply = work.run();
                longest.time("worked", || stack.handle_reply(reply, now));
            } else if stack.poll_timeout().is_some_and(|(deadline, _)| deadline <= now) {
                longest.time("turn", || stack.handle_timeout(now));
            } else {
                return delivered;
            }
        }
    }
}

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
    Memory::new(Rows { users: vec![alice], notes: vec![plan], ..Rows::default() })
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

#[cfg(target_os = "linux")]
fn thread_cpu_ms() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

#[cfg(not(target_os = "linux"))]
fn thread_cpu_ms() -> f64 {
    0.0
}

const NOTE: &str = "note:plan";
const SECRET: &[u8] = b"a secret of the bench alone";
