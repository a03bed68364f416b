//! What a broadcast allocates, counted: a packet, and nothing per recipient.
#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows the test functions only")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use bytestring::ByteString;
use http::Response;
use roomcast_core::server::{
    Command, Config, ConnId, Delivery, Emit, Endpoint, EndpointId, Event, Input, RequestId, Scope, Selection, Server,
    SocketId, Stack, Start, Target, Transmit, Upgrade,
};
use roomcast_core::socket_io::Args;
use roomcast_core::time::{Instant, WallTime};
use roomcast_core::websocket::{ClientHandshake, Fin, Opcode, encode_frame};
use roomcast_testkit::{Hooks, Kit, Reading};

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
        let except_sockets = vec![crowd.kit.hooks.sockets[3]];
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
    kit: Kit<(), CountedWrites>,
    conns: Vec<ConnId>,
}

/// Sockets that take everything at once, and how much it was.
#[derive(Default)]
struct CountedWrites {
    sockets: Vec<SocketId>,
    /// Connections that were told that they have something to send.
    recipients: usize,
    bytes: usize,
    /// Writes of more than one piece.
    in_pieces: usize,
}

impl Hooks<()> for CountedWrites {
    fn event(&mut self, event: Event, stack: &mut Stack<()>, now: Instant) {
        let Event::Connected(connect) = event else { panic!("the crowd only comes: {event:?}") };
        self.sockets.push(connect.socket);
        let join = Command::Join { target: Target::Socket(connect.socket), room: ROOM };
        stack.server.handle_input(Input::Command(join), now);
    }

    fn respond(&mut self, request: RequestId, _response: Response<Bytes>) {
        panic!("there is no polling: {request:?}");
    }

    fn is_writable(&mut self, _conn: ConnId) -> bool {
        self.recipients += 1;
        true
    }

    fn write(&mut self, _conn: ConnId, transmit: &Transmit) -> usize {
        self.bytes += transmit.len();
        self.in_pieces += usize::from(transmit.single().is_none());
        transmit.len()
    }

    fn read(&mut self, conn: ConnId, reading: Reading) {
        panic!("{conn:?}: {reading:?}");
    }

    fn close(&mut self, conn: ConnId) {
        panic!("{conn:?} is closed");
    }
}

impl Crowd {
    fn new(members: usize) -> Self {
        let config = Config::new([Endpoint::socket_io("/socket.io")]);
        let server =
            Server::new(config, Start { node: 0, now: NOW, wall: WallTime::default(), seed: [1; 32] }).unwrap();
        let mut crowd =
            Self { kit: Kit::new(Stack::new(server, ()), CountedWrites::default(), NOW), conns: Vec::new() };
        for _ in 0..members {
            crowd.join();
        }
        assert_eq!((crowd.conns.len(), crowd.kit.hooks.sockets.len()), (members, members));
        crowd
    }

    fn join(&mut self) {
        let target = "/socket.io?EIO=4&transport=websocket".parse().unwrap();
        let request = ClientHandshake::new([0; 16]).request(&"localhost".parse().unwrap(), &target);
        let Upgrade::Accept(conn, _) = self.kit.server().handle_upgrade(EndpointId::new(0), &request, NOW) else {
            panic!("a good handshake")
        };
        self.conns.push(conn);
        let mut connect = Vec::new();
        encode_frame(&mut connect, Fin::Final, Opcode::Text, b"40", Some([1, 2, 3, 4]));
        self.kit.input(Input::WsBytes { conn, bytes: &connect });
        self.kit.drain();
    }

    /// How many allocations so many packets cost, from the command to the last byte.
    fn broadcast(&mut self, target: &Target, delivery: Delivery, packets: usize) -> usize {
        let emit = |n: usize| {
            let args = Args::from_json_values(format!("{n},\"text\"")).unwrap();
            Command::Emit(Emit { target: target.clone(), name: ByteString::from("event"), args, delivery, ack: None })
        };
        let commands: Vec<_> = (0..packets).map(emit).collect();
        let hooks = &mut self.kit.hooks;
        (hooks.recipients, hooks.bytes, hooks.in_pieces) = (0, 0, 0);
        let before = ALLOCATIONS.get();
        for command in commands {
            self.kit.command(command);
        }
        self.kit.drain();
        let counted = ALLOCATIONS.get() - before;
        let CountedWrites { sockets, recipients, bytes, in_pieces } = &self.kit.hooks;
        assert_eq!((sockets.len(), *in_pieces), (self.conns.len(), 0), "nothing else is due");
        assert!(
            recipients + 1 >= self.conns.len() && *bytes >= recipients * packets * br#"42["event",0,"text"]"#.len()
        );
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
