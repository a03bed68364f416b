//! What a broadcast allocates, counted: a packet, and nothing per recipient.
#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows the test functions only")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytestring::ByteString;
use roomcast_core::server::{
    Command, Config, ConnId, Delivery, Emit, Endpoint, EndpointId, Event, Input, Output, Scope, Selection, Server,
    SocketId, Start, Target, Transmit, Upgrade,
};
use roomcast_core::socket_io::Args;
use roomcast_core::time::{Instant, WallTime};
use roomcast_core::websocket::{ClientHandshake, Fin, Opcode, encode_frame};

#[test]
fn to_a_room() {
    costs_the_same_for_ten_and_a_thousand(Delivery::Reliable, |_| Target::Room { namespace: scope(), room: ROOM });
}

#[test]
fn to_a_room_and_volatile() {
    costs_the_same_for_ten_and_a_thousand(Delivery::Volatile, |_| Target::Room { namespace: scope(), room: ROOM });
}

#[test]
fn to_a_room_except_the_sender() {
    costs_the_same_for_ten_and_a_thousand(Delivery::Reliable, |crowd| {
        let except_sockets = vec![crowd.sockets[3]];
        Target::Select(Box::new(Selection { rooms: vec![ROOM], except_sockets, ..Selection::of(scope()) }))
    });
}

#[test]
fn to_everyone() {
    costs_the_same_for_ten_and_a_thousand(Delivery::Reliable, |_| Target::everyone(scope()));
}

/// Also with several in the queues at once, as a driver that coalesces has them.
fn costs_the_same_for_ten_and_a_thousand(delivery: Delivery, target: fn(&Crowd) -> Target) {
    for in_flight in [1, 5] {
        let [ten, thousand] = [10, 1000].map(|members| {
            let mut crowd = Crowd::new(members);
            let target = target(&crowd);
            // Queues and scratch find their size in the first rounds, which are not counted.
            let mut counted = 0;
            for _ in 0..3 {
                counted = crowd.broadcast(&target, delivery, in_flight);
            }
            counted
        });
        assert_eq!(ten, thousand, "{in_flight} in flight");
        assert!(thousand <= in_flight * PACKET_ALLOCATIONS_MAX, "{thousand} for {in_flight} packets");
    }
}

/// WebSocket members of one room.
struct Crowd {
    server: Server,
    conns: Vec<ConnId>,
    sockets: Vec<SocketId>,
    transmit: Transmit,
}

impl Crowd {
    fn new(members: usize) -> Self {
        let config = Config::new([Endpoint::socket_io("/socket.io")]);
        let server =
            Server::new(config, Start { node: 0, now: NOW, wall: WallTime::default(), seed: [1; 32] }).unwrap();
        let mut crowd = Self { server, conns: Vec::new(), sockets: Vec::new(), transmit: Transmit::new() };
        for _ in 0..members {
            crowd.join();
        }
        assert_eq!((crowd.conns.len(), crowd.sockets.len()), (members, members));
        crowd
    }

    fn join(&mut self) {
        let target = "/socket.io?EIO=4&transport=websocket".parse().unwrap();
        let request = ClientHandshake::new([0; 16]).request(&"localhost".parse().unwrap(), &target);
        let Upgrade::Accept(conn, _) = self.server.handle_upgrade(EndpointId::new(0), &request, NOW) else {
            panic!("a good handshake")
        };
        self.conns.push(conn);
        let mut connect = Vec::new();
        encode_frame(&mut connect, Fin::Final, Opcode::Text, b"40", Some([1, 2, 3, 4]));
        self.server.handle_input(Input::WsBytes { conn, bytes: &connect }, NOW);
        while let Some(output) = self.server.poll_output() {
            if let Output::Event(Event::Connected(connect)) = output {
                let target = Target::Socket(connect.socket);
                self.sockets.push(connect.socket);
                self.server.handle_input(Input::Command(Command::Join { target, room: ROOM }), NOW);
            }
        }
        while self.server.poll_transmit(conn, &mut self.transmit) {
            self.transmit.advance(usize::MAX);
        }
    }

    /// How many allocations so many packets cost, from the command to the last byte.
    fn broadcast(&mut self, target: &Target, delivery: Delivery, packets: usize) -> usize {
        let emit = |n: usize| {
            let args = Args::from_json_values(format!("{n},\"text\"")).unwrap();
            Command::Emit(Emit { target: target.clone(), name: ByteString::from("event"), args, delivery, ack: None })
        };
        let commands: Vec<_> = (0..packets).map(emit).collect();
        let (mut recipients, mut bytes) = (0, 0);
        let before = ALLOCATIONS.get();
        for command in commands {
            self.server.handle_input(Input::Command(command), NOW);
        }
        while let Some(output) = self.server.poll_output() {
            let Output::Writable(conn) = output else { panic!("nothing else is due: {output:?}") };
            recipients += 1;
            while self.server.poll_transmit(conn, &mut self.transmit) {
                bytes += self.transmit.single().unwrap().len();
                self.transmit.advance(usize::MAX);
            }
        }
        let counted = ALLOCATIONS.get() - before;
        assert!(recipients + 1 >= self.conns.len() && bytes >= recipients * packets * br#"42["event",0,"text"]"#.len());
        counted
    }
}

fn scope() -> Scope {
    Scope { endpoint: EndpointId::new(0), namespace: ByteString::from_static("/") }
}

const NOW: Instant = Instant::from_millis(1);
const ROOM: ByteString = ByteString::from_static("room");
/// Its bytes, and what shares them.
const PACKET_ALLOCATIONS_MAX: usize = 2;

struct CountingAllocator;

// SAFETY: every call goes to the system's allocator unchanged; counting neither allocates nor unwinds, since the
// thread-local cell is a constant without a destructor.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;
