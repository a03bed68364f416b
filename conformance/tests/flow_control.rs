//! The law of flow control: limits, congestion, pausing, partial writes, coalescing.
#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test fails at the first event that it does not expect")]

use std::time::Duration;

use bytestring::ByteString;
use roomcast_conformance::pair::{Conformance, Manual, Over, Pair, Peer, Profile, Via, emit};
use roomcast_core::server::config::Config;
use roomcast_core::server::{Command, Delivery, Emit, Event, Message, Reason, Scope, SessionId, SocketId, Target};
use roomcast_core::socket_io::Args;

#[test]
fn limits_are_judged_only_after_the_socket_has_refused_bytes() {
    let mut there = There::with(small_limits());
    for _ in 0..100 {
        there.queue(&"x".repeat(1000));
    }
    there.pair.settle();
    assert_eq!(there.take().len(), 100, "far over the hard limit, and all of it taken");
    assert_eq!(there.pair.over(there.peer), None);
}

#[test]
fn a_member_that_reads_is_not_closed_for_what_one_handler_emits_at_once() {
    for via in [Via::WebSocket, Via::Polling] {
        let mut there = There::via(small_limits(), via);
        let ws = (via == Via::WebSocket).then(|| there.pair.ws(there.peer));
        ws.iter().for_each(|ws| there.pair.block(*ws));
        for _ in 0..400 {
            there.queue(&"x".repeat(1000));
        }
        let mut got = 0;
        for n in 0..400 {
            ws.iter().for_each(|ws| there.pair.unblock(*ws, 1500));
            got += there.take().len();
            if n < 20 {
                // Life goes on while it reads what has piled up.
                there.send("meanwhile");
            }
        }
        assert_eq!((got, there.pair.over(there.peer)), (420, None), "{via:?}");
    }
}

#[test]
fn a_member_that_reads_a_little_is_bounded_all_the_same() {
    let mut there = There::with(small_limits());
    let ws = there.pair.ws(there.peer);
    there.pair.block(ws);
    let mut queued = 0;
    while there.pair.host.audit().sessions == 1 {
        there.send(&"x".repeat(1000));
        there.pair.unblock(ws, 10);
        queued += 1;
        assert!(
            there.pair.host.audit().queued_bytes <= 42_000 + TRANSMIT_BYTES,
            "twice the hard limit, and a transmit"
        );
        assert!(queued < 250, "never closed");
    }
    assert_eq!(there.closed(), [Reason::TooSlow]);
}

#[test]
fn a_member_that_does_not_read_is_closed_as_too_slow() {
    let mut there = There::with(small_limits());
    let ws = there.pair.ws(there.peer);
    there.pair.block(ws);
    let mut queued = 0;
    while there.pair.host.audit().sessions == 1 {
        there.send(&"x".repeat(1000));
        queued += 1;
        assert!(there.pair.host.audit().queued_bytes <= 22_000, "bounded");
        assert!(queued < 100, "never closed");
    }
    assert_eq!(there.pair.server().counters().too_slow, 1);
    assert_eq!(there.closed(), [Reason::TooSlow]);
    there.pair.unblock(ws, usize::MAX);
    assert_eq!(there.pair.over(there.peer), Some(Over::Closed("close 1008".into())));
}

#[test]
fn a_polling_client_that_does_not_poll_is_closed_as_too_slow() {
    let mut pair = Pair::manual(small_limits());
    let get = pair.get("/engine.io/?EIO=4&transport=polling");
    assert_eq!(pair.answered(get).status, 200);
    let session = pair.opened();
    for _ in 0..30 {
        pair.command(Command::Send { session, message: Message::Text("x".repeat(1000).into()) });
    }
    assert_eq!(pair.server().counters().too_slow, 1);
    assert_eq!(pair.host.audit().sessions, 0);
}

#[test]
fn the_first_packet_of_an_empty_queue_is_never_refused() {
    for via in [Via::WebSocket, Via::Polling] {
        let mut there = There::via(small_limits(), via);
        if via == Via::WebSocket {
            let ws = there.pair.ws(there.peer);
            there.pair.block(ws);
        }
        there.send(&"x".repeat(100_000));
        assert_eq!(there.pair.over(there.peer), None, "{via:?}");
        if via == Via::WebSocket {
            let ws = there.pair.ws(there.peer);
            there.pair.unblock(ws, usize::MAX);
        }
        assert_eq!(there.take(), [format!("4{}", "x".repeat(100_000))]);
    }
}

#[test]
fn volatile_packets_are_dropped_over_the_soft_limit_and_the_order_stays() {
    let (mut pair, peer, socket) = socket_there(small_limits(), Via::WebSocket);
    let ws = pair.ws(peer);
    pair.block(ws);
    let mut expected = Vec::new();
    for n in 0..40 {
        let delivery = if n % 2 == 0 { Delivery::Reliable } else { Delivery::Volatile };
        let before = pair.server().counters().volatile_dropped;
        emit_sized(&mut pair, socket, delivery, n, 400);
        let dropped = pair.server().counters().volatile_dropped - before;
        assert!(dropped == 0 || delivery == Delivery::Volatile);
        if dropped == 0 {
            expected.push(format!(r#"42["n",{n},"{}"]"#, "x".repeat(400)));
        }
    }
    let dropped = pair.server().counters().volatile_dropped;
    assert!((1..20).contains(&dropped), "some of them: {dropped}");
    pair.unblock(ws, usize::MAX);
    assert_eq!(pair.take(peer), expected);
    emit_sized(&mut pair, socket, Delivery::Volatile, 99, 1);
    assert_eq!(pair.take(peer), [r#"42["n",99,"x"]"#], "a peer that is not behind gets them");
}

#[test]
fn volatile_packets_are_dropped_where_no_poll_waits() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let (polling, socket) = polling_socket(&mut pair);
    emit_sized(&mut pair, socket, Delivery::Volatile, 1, 1);
    emit_sized(&mut pair, socket, Delivery::Reliable, 2, 1);
    let get = pair.get(&polling);
    assert_eq!(pair.answered(get).brief(), (200, r#"42["n",2,"x"]"#));
    let get = pair.get(&polling);
    emit_sized(&mut pair, socket, Delivery::Volatile, 3, 1);
    assert_eq!(pair.answered(get).brief(), (200, r#"42["n",3,"x"]"#));
}

#[test]
fn congestion_is_told_and_relieved_once() {
    for via in [Via::WebSocket, Via::Polling] {
        let mut pair = Pair::manual(small_limits());
        let (session, polling, ws) = if via == Via::WebSocket {
            let peer = pair.open("/engine.io/", via);
            let ws = pair.ws(peer);
            pair.block(ws);
            (pair.opened(), String::new(), Some(ws))
        } else {
            let target = pair.open_raw("/engine.io/").0;
            (pair.opened(), target, None)
        };
        assert!(!pair.server().is_congested(session));
        for _ in 0..6 {
            pair.command(Command::Send { session, message: Message::Text("x".repeat(1000).into()) });
        }
        assert!(pair.server().is_congested(session));
        assert!(pair.server().is_congested(session), "asking twice is asking once");
        assert_eq!(pair.events().len(), 0);
        match ws {
            Some(ws) => pair.unblock(ws, usize::MAX),
            None => {
                let get = pair.get(&polling);
                assert_eq!(pair.answered(get).status, 200);
            }
        }
        let events = pair.events();
        assert!(matches!(&events[..], [Event::Relieved { session: who }] if *who == session), "{via:?}: {events:?}");
        assert!(!pair.server().is_congested(session));
        pair.command(Command::Send { session, message: Message::Text("x".into()) });
        assert_eq!(pair.events().len(), 0, "reported once");
    }
}

/// A socket that takes one part, refuses, and takes the rest later, for every cut of the stream.
#[test]
fn a_rest_that_a_socket_refuses_goes_out_later_at_every_boundary() {
    let whole = written(usize::MAX, &[]);
    assert!(whole.len() > 1000);
    // Every byte where frames begin, end and are joined; some of those inside the large one.
    for cut in (0..whole.len()).filter(|cut| *cut < 400 || cut % 41 == 0 || whole.len() - cut < 100) {
        assert_eq!(written(cut, &[usize::MAX]), whole, "cut at {cut}");
    }
    for step in [1, 2, 3, 7, 100] {
        assert_eq!(written(0, &vec![step; whole.len()]), whole, "{step} bytes at a time");
    }
}

#[test]
fn small_writes_are_small_writes() {
    // Not refused, but taken in pieces: the driver goes on at once.
    let mut there = There::with(Conformance::config(Profile::APP));
    let ws = there.pair.ws(there.peer);
    let conn = there.pair.conn(ws);
    there.pair.host.stream(conn).write_bytes_max = 7;
    for n in 0..50 {
        there.queue(&format!("message {n}"));
    }
    there.pair.settle();
    let expected: Vec<_> = (0..50).map(|n| format!("4message {n}")).collect();
    assert_eq!(there.take(), expected);
}

#[test]
fn what_comes_out_of_one_turn_goes_out_in_one_write() {
    let mut there = There::with(Conformance::config(Profile::APP));
    let ws = there.pair.ws(there.peer);
    let conn = there.pair.conn(ws);
    there.pair.host.stream(conn).writes.clear();
    for n in 0..100 {
        there.queue(&format!("message {n}"));
    }
    there.pair.settle();
    assert_eq!(there.take().len(), 100);
    assert_eq!(there.pair.host.stream(conn).writes.len(), 1);
}

#[test]
fn events_come_before_writes_so_that_answers_go_along() {
    let mut pair = Pair::suite();
    let (ada, _) = pair.join_namespace(Via::WebSocket, "/");
    pair.take(ada);
    let ws = pair.ws(ada);
    let conn = pair.conn(ws);
    pair.host.stream(conn).writes.clear();
    for n in 0..10 {
        pair.ws_send_unsettled(ws, &format!(r#"42{n}["echo",{n}]"#));
    }
    assert_eq!(pair.take(ada).len(), 10);
    assert_eq!(pair.host.stream(conn).writes.len(), 1);
}

#[test]
fn a_poll_is_answered_with_all_that_one_turn_brings() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let polling = pair.open_raw("/engine.io/").0;
    let session = pair.opened();
    let get = pair.get(&polling);
    for n in 0..5 {
        pair.host.command(Command::Send { session, message: Message::Text(n.to_string().into()) });
    }
    pair.settle();
    assert_eq!(pair.answered(get).brief(), (200, "40\u{1e}41\u{1e}42\u{1e}43\u{1e}44"));
}

/// Inputs may be fed before all outputs are polled: an answer must not be empty for it.
#[test]
fn a_poll_between_two_outputs_is_not_answered_with_nothing() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let polling = pair.open_raw("/engine.io/").0;
    let session = pair.opened();
    pair.host.command(Command::Send { session, message: Message::Text("a".into()) });
    let first = pair.begin_unsettled(http::Method::GET, &polling, &[]);
    pair.finish_unsettled(first, "");
    while pair.answer(first).is_none() {
        assert!(pair.host.run_one());
    }
    let second = pair.begin_unsettled(http::Method::GET, &polling, &[]);
    pair.finish_unsettled(second, "");
    pair.settle();
    assert_eq!(pair.answer(second), None, "there is nothing to say");
    pair.command(Command::Send { session, message: Message::Text("b".into()) });
    assert_eq!(pair.answered(second).brief(), (200, "4b"));
}

#[test]
fn pings_of_rfc_6455_are_answered_within_bounds() {
    let mut pair = Pair::suite();
    let ws = pair.web_socket("/websocket");
    pair.block(ws);
    for _ in 0..10_000 {
        pair.frame(ws, roomcast_core::websocket::Fin::Final, roomcast_core::websocket::Opcode::Ping, &[b'x'; 125]);
    }
    pair.settle();
    assert!(pair.host.audit().queued_bytes < (1 << 20) + 1000, "{:?}", pair.host.audit());
}

#[test]
fn a_slow_member_does_not_hold_up_the_room() {
    let mut pair = Pair::manual(small_limits());
    let peers: Vec<_> = (0..5).map(|_| pair.join_namespace(Via::WebSocket, "/").0).collect();
    let sockets = pair.connected();
    let scope = Scope { endpoint: pair.server().route("/socket.io").unwrap(), namespace: "/".into() };
    for socket in &sockets {
        pair.command(Command::Join { target: Target::Socket(*socket), room: "r".into() });
    }
    let slow = pair.ws(peers[2]);
    pair.block(slow);
    for peer in &peers {
        pair.take(*peer);
    }
    for n in 0..50 {
        let target = Target::Room { namespace: scope.clone(), room: ByteString::from_static("r") };
        pair.command(emit(target, "n", Args::from_serialize(&(n, "x".repeat(1000))).unwrap()));
    }
    for (index, peer) in peers.iter().enumerate() {
        assert_eq!(pair.take(*peer).len(), if index == 2 { 0 } else { 50 });
    }
    let ends = pair.events();
    assert!(
        matches!(&ends[..], [Event::Disconnected { socket, reason: Reason::TooSlow, .. }] if *socket == sockets[2]),
        "{ends:?}"
    );
}

#[test]
fn a_peer_that_is_closed_as_too_slow_may_still_read_the_rest() {
    let mut there = There::with(small_limits());
    let ws = there.pair.ws(there.peer);
    there.pair.block(ws);
    for _ in 0..40 {
        there.send(&"x".repeat(1000));
    }
    assert_eq!(there.pair.host.audit().sessions, 0);
    there.pair.pass(Duration::from_secs(5));
    assert!(there.pair.ws_ended(ws), "not for ever");
    assert_eq!(there.pair.host.audit().queued_bytes, 0);
    assert!(matches!(there.pair.over(there.peer), Some(Over::Closed(_))));
}

/// What a client reads of a fixed conversation, where its socket takes `room` bytes at first, and more later.
fn written(room: usize, more: &[usize]) -> Vec<u8> {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let ws = pair.web_socket("/engine.io/?EIO=4&transport=websocket");
    let session = pair.opened();
    pair.ws_take(ws);
    let conn = pair.conn(ws);
    pair.host.stream(conn).room = room;
    let mut all = Vec::new();
    let sizes = [1, 0, 200, 3, 126, 5000, 10, 20, 1];
    for (n, size) in sizes.into_iter().enumerate() {
        let message =
            if n % 2 == 0 { Message::Text("x".repeat(size).into()) } else { Message::Binary(vec![7; size].into()) };
        pair.host.command(Command::Send { session, message });
        if n == 5 {
            pair.host.run();
        }
    }
    pair.host.run();
    all.append(&mut pair.host.stream(conn).sent);
    for room in more {
        pair.host.give_room(conn, *room);
        all.append(&mut pair.host.stream(conn).sent);
    }
    assert_eq!(pair.host.audit().queued_bytes, 0);
    all
}

/// A bare session with a client.
struct There {
    pair: Pair<Manual>,
    peer: Peer,
    session: SessionId,
}

impl There {
    fn with(config: Config) -> Self {
        Self::via(config, Via::WebSocket)
    }

    fn via(config: Config, via: Via) -> Self {
        let mut pair = Pair::manual(config);
        let peer = pair.open("/engine.io/", via);
        let session = pair.opened();
        Self { pair, peer, session }
    }

    /// Queues a message; the driver has not looked yet.
    fn queue(&mut self, text: &str) {
        self.pair.host.command(Command::Send { session: self.session, message: Message::Text(text.into()) });
    }

    fn send(&mut self, text: &str) {
        self.queue(text);
        self.pair.settle();
    }

    fn take(&mut self) -> Vec<String> {
        self.pair.take(self.peer)
    }

    fn closed(&mut self) -> Vec<Reason> {
        let reason = |event| match event {
            Event::Closed { reason, .. } => Some(reason),
            other => panic!("{other:?}"),
        };
        self.pair.events().into_iter().filter_map(reason).collect()
    }
}

/// What one transmit takes from the queue at most, if its packets are small.
const TRANSMIT_BYTES: usize = 130_000;

/// Soft 4,000, hard 20,000 bytes.
fn small_limits() -> Config {
    let mut config = Conformance::config(Profile::APP);
    config.limits.queue_soft_bytes = 4_000;
    config.limits.queue_bytes_max = 20_000;
    config
}

fn socket_there(config: Config, via: Via) -> (Pair<Manual>, Peer, SocketId) {
    let mut pair = Pair::manual(config);
    let (peer, _) = pair.join_namespace(via, "/");
    let socket = pair.connected()[0];
    (pair, peer, socket)
}

fn polling_socket(pair: &mut Pair<Manual>) -> (String, SocketId) {
    let polling = pair.open_raw("/socket.io/").0;
    let get = pair.get(&polling);
    pair.post(&polling, "40");
    assert_eq!(pair.answered(get).status, 200);
    (polling, pair.connected()[0])
}

fn emit_sized(pair: &mut Pair<Manual>, socket: SocketId, delivery: Delivery, n: u32, size: usize) {
    let args = Args::from_serialize(&(n, "x".repeat(size))).unwrap();
    let target = Target::Socket(socket);
    pair.command(Command::Emit(Emit { target, name: "n".into(), args, delivery, ack: None }));
}
