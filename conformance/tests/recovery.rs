//! Connection state recovery: who comes back as the same socket, and what it is sent.
#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test fails at the first event that it does not expect")]

use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use roomcast_conformance::pair::{Conformance, Manual, Pair, Peer, Profile, Via};
use roomcast_core::rng::Rng;
use roomcast_core::server::config::{Admission, ConnectionRecovery, EndpointKind, Readmission};
use roomcast_core::server::{
    AckEnd, AckRequest, Command, Config, Connect, Delivery, Emit, EmitId, EndpointId, Event, Extent, Reason, Scope,
    Selection, SocketId, Target,
};
use roomcast_core::socket_io::Args;

#[test]
fn a_client_that_comes_back_gets_what_it_missed_in_order_and_once_and_is_in_its_rooms() {
    for via in Via::ALL {
        let mut world = World::new();
        let (mut one, mut other) = (world.join(via), world.join(Via::WebSocket));
        world.enter(&one, "r");
        world.emit(one.socket, "before");
        assert_eq!(world.take(&mut one), ["before"]);
        world.pair.vanish(one.peer);
        assert_eq!(world.gone(), [Reason::TransportClose, Reason::TransportError][usize::from(via == Via::Polling)]);
        let (room, all) = (world.room("r"), Target::everyone(world.scope()));
        world.emit_to(room.clone(), "to the room", Delivery::Reliable);
        world.emit_to(all.clone(), "volatile", Delivery::Volatile);
        world.emit_to(world.room("elsewhere"), "to another room", Delivery::Reliable);
        world.emit_to(world.room(&one.sid), "to its sid", Delivery::Reliable);
        world.emit_to(all, "to all", Delivery::Reliable);
        world.pair.pass(Duration::from_secs(100));
        let sid = one.sid.clone();
        let connect = world.come_back(&mut one, via);
        assert!(connect.recovered.is_some(), "{via:?}");
        assert_eq!((&one.sid, world.pair.server().rooms(one.socket).collect::<Vec<_>>()), (&sid, vec!["r"]));
        assert_eq!(world.take(&mut one), ["to the room", "to its sid", "to all"]);
        world.emit_to(room, "after", Delivery::Reliable);
        assert_eq!(
            (world.take(&mut one), world.take(&mut other)),
            (vec!["after".to_owned()], strings(&["volatile", "to all"]))
        );
        let counters = world.pair.server().counters();
        assert_eq!((counters.sockets_recovered, counters.recoveries_failed, counters.packets_replayed), (1, 0, 3));
    }
}

#[test]
fn what_was_on_its_way_when_the_connection_broke_is_sent_again() {
    let mut world = World::new();
    let mut one = world.join(Via::WebSocket);
    ["a", "b", "c", "d"].iter().for_each(|text| world.emit(one.socket, text));
    assert_eq!(world.take_some(&mut one, 2), ["a", "b"], "the others are lost");
    world.pair.vanish(one.peer);
    world.gone();
    world.emit_to(world.room(&one.sid), "e", Delivery::Reliable);
    world.come_back(&mut one, Via::WebSocket);
    assert_eq!(world.take(&mut one), ["c", "d", "e"]);
}

#[test]
fn a_client_that_was_never_sent_anything_comes_back_without_an_offset() {
    let mut world = World::new();
    let mut one = world.join(Via::WebSocket);
    world.pair.vanish(one.peer);
    world.gone();
    world.emit_to(world.room(&one.sid), "first", Delivery::Reliable);
    assert!(world.come_back(&mut one, Via::WebSocket).recovered.is_some());
    assert_eq!(world.take(&mut one), ["first"]);
}

#[test]
fn it_is_not_sent_what_was_said_before_it_joined_a_room_or_after_it_left() {
    let mut world = World::new();
    let (mut one, other) = (world.join(Via::WebSocket), world.join(Via::WebSocket));
    world.enter(&other, "r");
    world.emit_to(world.room("r"), "before it joined", Delivery::Reliable);
    world.enter(&one, "r");
    world.emit_to(world.room("r"), "inside", Delivery::Reliable);
    world.pair.command(Command::Leave { target: Target::Socket(one.socket), room: "r".into() });
    world.emit_to(world.room("r"), "after it left", Delivery::Reliable);
    assert_eq!(world.take_some(&mut one, 0), [""; 0], "all of it is lost");
    world.pair.vanish(one.peer);
    world.gone();
    assert!(world.come_back(&mut one, Via::WebSocket).recovered.is_some());
    assert_eq!(world.take(&mut one), ["inside"]);
    assert_eq!(world.pair.server().rooms(one.socket).count(), 0);
}

#[test]
fn exceptions_hold_for_those_who_are_away() {
    let mut world = World::new();
    let (mut one, other) = (world.join(Via::WebSocket), world.join(Via::WebSocket));
    world.enter(&one, "quiet");
    world.pair.vanish(one.peer);
    world.gone();
    let all = Selection::of(world.scope());
    for selection in [
        Selection { except_rooms: vec!["quiet".into()], ..all.clone() },
        Selection { except_rooms: vec![ByteString::from(one.sid.as_str())], ..all.clone() },
        Selection { except_sockets: vec![one.socket], ..all.clone() },
        Selection { sockets: vec![other.socket], ..all.clone() },
    ] {
        world.emit_to(Target::Select(Box::new(selection)), "not for it", Delivery::Reliable);
    }
    for selection in [
        Selection { except_sockets: vec![other.socket], ..all.clone() },
        Selection { sockets: vec![one.socket], ..all },
    ] {
        world.emit_to(Target::Select(Box::new(selection)), "for it", Delivery::Reliable);
    }
    world.come_back(&mut one, Via::WebSocket);
    assert_eq!(world.take(&mut one), ["for it", "for it"]);
}

/// A handler goes on with the socket that it was called with, and does not know that the connection is another.
#[test]
fn an_emit_by_the_handle_of_the_lost_connection_arrives() {
    let mut world = World::new();
    let mut one = world.join(Via::WebSocket);
    let first = one.socket;
    world.pair.vanish(one.peer);
    world.gone();
    world.emit(first, "while it is away");
    world.come_back(&mut one, Via::WebSocket);
    assert_ne!(one.socket, first);
    world.emit(first, "once it is back");
    assert_eq!(world.take(&mut one), ["while it is away", "once it is back"]);
    world.pair.command(Command::Disconnect { target: Target::Socket(one.socket), extent: Extent::Namespace });
    let stale = world.pair.server().counters().stale_handles;
    world.emit(first, "after its end");
    assert_eq!(world.pair.server().counters().stale_handles, stale + 1);
}

/// By the handles of the lost connections, among those who are meant and among those who are not.
#[test]
fn handles_of_lost_connections_are_meant_and_excepted_as_those_that_came_after() {
    let mut world = World::new();
    let mut members = [(); 2].map(|()| world.join(Via::WebSocket));
    let first = [members[0].socket, members[1].socket];
    for member in &mut members {
        world.pair.vanish(member.peer);
        world.gone();
        world.come_back(member, Via::WebSocket);
    }
    for (sockets, except, got) in
        [(vec![first[0]], vec![], [1, 0]), (vec![], vec![first[0]], [0, 1]), (first.into(), vec![first[1]], [1, 0])]
    {
        let selection = Selection { sockets, except_sockets: except, ..Selection::of(world.scope()) };
        world.emit_to(Target::Select(Box::new(selection)), "to some", Delivery::Reliable);
        assert_eq!([0, 1].map(|at| world.take(&mut members[at]).len()), got);
    }
}

#[test]
fn acks_that_are_awaited_end_with_the_connection() {
    let mut world = World::new();
    let mut one = world.join(Via::WebSocket);
    let ack = Some(AckRequest { emit: EmitId(7), timeout: Duration::from_secs(60) });
    let args = Args::from_json_values("1").unwrap();
    let emit = Emit { target: Target::Socket(one.socket), name: "ask".into(), args, delivery: Delivery::Reliable, ack };
    world.pair.command(Command::Emit(emit));
    assert_eq!(world.pair.take(one.peer), [r#"420["ask",1]"#], "without an offset");
    world.pair.vanish(one.peer);
    let ended = |event: &Event| matches!(event, Event::AcksEnded { answered: 0, end: AckEnd::Gone, .. });
    assert!(world.pair.events().iter().any(ended));
    world.come_back(&mut one, Via::WebSocket);
    assert_eq!(world.take(&mut one), [""; 0], "and is not asked again");
}

#[test]
fn those_who_left_or_were_told_to_do_not_come_back() {
    type End = fn(&mut World, &Client);
    let ends: [End; 3] = [
        |world, client| world.pair.send(client.peer, "41"),
        |world, client| {
            let target = Target::Socket(client.socket);
            world.pair.command(Command::Disconnect { target, extent: Extent::Namespace });
        },
        |world, client| {
            let target = Target::Socket(client.socket);
            world.pair.command(Command::Disconnect { target, extent: Extent::Connection });
        },
    ];
    for end in ends {
        let mut world = World::new();
        let mut one = world.join(Via::WebSocket);
        end(&mut world, &one);
        world.pair.events();
        let sid = one.sid.clone();
        assert_eq!(world.come_back(&mut one, Via::WebSocket).recovered, None);
        assert_ne!(one.sid, sid);
    }
}

/// To the client, `Close` is as if the network had failed.
#[test]
fn a_connection_that_is_closed_or_too_slow_or_silent_can_be_recovered() {
    type End = fn(&mut World, &Client);
    let ends: [(End, Reason); 2] = [
        (
            |world, client| {
                let session = world.pair.server().session(client.socket).unwrap();
                world.pair.command(Command::Close { session });
            },
            Reason::ForcedClose,
        ),
        (
            |world, client| {
                world.pair.keep_pongs(client.peer);
                world.pair.pass(Duration::from_secs(60));
            },
            Reason::PingTimeout,
        ),
    ];
    for (end, reason) in ends {
        let mut world = World::new();
        let mut one = world.join(Via::WebSocket);
        end(&mut world, &one);
        assert_eq!(world.gone(), reason);
        assert!(world.come_back(&mut one, Via::WebSocket).recovered.is_some(), "{reason:?}");
    }
}

#[test]
fn who_is_away_for_too_long_is_new() {
    for (seconds, is_known) in [(119, true), (120, false)] {
        let mut world = World::new();
        let mut one = world.join(Via::WebSocket);
        world.pair.vanish(one.peer);
        world.gone();
        world.pair.pass(Duration::from_secs(seconds));
        assert_eq!(world.come_back(&mut one, Via::WebSocket).recovered.is_some(), is_known, "{seconds}");
        assert_eq!(world.pair.server().counters().recoveries_failed, u64::from(!is_known));
    }
}

#[test]
fn a_private_id_is_good_for_one_socket_of_its_own_namespace() {
    let mut world = World::new();
    let mut one = world.join(Via::WebSocket);
    for _ in ["connected", "away"] {
        let mut elsewhere = Client { namespace: "/custom", ..one.clone() };
        assert_eq!(world.come_back(&mut elsewhere, Via::WebSocket).recovered, None);
        assert_ne!((&elsewhere.sid, &elsewhere.pid), (&one.sid, &one.pid));
        if world.pair.server().sid(one.socket).is_some() {
            world.pair.vanish(one.peer);
            assert_eq!(world.gone(), Reason::TransportClose);
        }
    }
    assert!(world.come_back(&mut one, Via::WebSocket).recovered.is_some());
}

/// A network that has changed is noticed by the client at once, and by the server when a pong is missing.
#[test]
fn a_client_takes_over_from_its_old_connection_that_the_server_still_holds() {
    for (old_via, new_via) in
        [(Via::WebSocket, Via::WebSocket), (Via::Polling, Via::WebSocket), (Via::WebSocket, Via::Polling)]
    {
        let mut world = World::new();
        let (mut one, mut other) = (world.join(old_via), world.join(Via::WebSocket));
        world.enter(&one, "r");
        world.emit(one.socket, "received");
        assert_eq!(world.take(&mut one), ["received"]);
        world.emit_to(world.room("r"), "into the dead connection", Delivery::Reliable);
        let old = one.clone();
        assert!(world.come_back(&mut one, new_via).recovered.is_some());
        assert_eq!((&one.sid, &one.pid), (&old.sid, &old.pid));
        assert_ne!(one.peer, old.peer);
        assert_eq!(world.pair.server().sid(old.socket), None, "it is one socket");
        assert_eq!(world.take(&mut one), ["into the dead connection"]);
        world.emit_to(world.room("r"), "after", Delivery::Reliable);
        assert_eq!((world.take(&mut one), world.take(&mut other)), (vec!["after".to_owned()], vec![]));
        // Again, and with nothing left behind.
        assert!(world.come_back(&mut one, old_via).recovered.is_some());
        assert_eq!(world.take(&mut one), [""; 0]);
        assert_eq!(world.pair.server().counters().sockets_recovered, 2);
    }
}

#[test]
fn an_offset_that_was_never_given_out_makes_a_new_socket() {
    for offset in [r#""nonsense""#, r#""""#, "7", "null", r#"["a"]"#] {
        let mut world = World::new();
        let mut one = world.join(Via::WebSocket);
        world.emit(one.socket, "a");
        world.take(&mut one);
        world.pair.vanish(one.peer);
        world.gone();
        let beyond = one.offset.replace(".1", ".2");
        assert_ne!(beyond, one.offset);
        for offset in [offset.to_owned(), format!("{beyond:?}")] {
            let auth = format!(r#"{{"pid":"{}","offset":{offset}}}"#, one.pid);
            let recovered = world.come_back_with(&mut one.clone(), Via::WebSocket, &auth).recovered;
            // As if it had none: the client of JavaScript says nothing else by `null`.
            assert_eq!(recovered.is_some(), offset == "null", "{offset}");
            if recovered.is_some() {
                break;
            }
        }
    }
}

#[test]
fn the_application_decides_again_unless_it_was_told_not_to() {
    for (readmission, is_asked) in [(Readmission::Ask, true), (Readmission::Skip, false)] {
        let mut world = World::with(|recovery| recovery.readmission = readmission, Admission::Ask);
        let mut one = world.join(Via::WebSocket);
        world.pair.vanish(one.peer);
        world.gone();
        let connect = world.come_back(&mut one, Via::WebSocket);
        assert_eq!((connect.recovered.is_some(), world.asked), (true, 1 + u32::from(is_asked)));
    }
}

#[test]
fn who_is_refused_is_forgotten_and_who_breaks_off_before_the_decision_is_not() {
    let mut world = World::with(|_| {}, Admission::Ask);
    let mut one = world.join(Via::WebSocket);
    world.pair.vanish(one.peer);
    world.gone();
    world.pair.pass(Duration::from_secs(60));
    let auth = one.auth();
    let undecided = world.ask(&auth);
    world.pair.vanish(undecided.0);
    world.gone();
    world.pair.pass(Duration::from_secs(59));
    let refused = world.ask(&auth);
    world.pair.command(Command::Refuse { socket: refused.1, data: r#"{"message":"no"}"#.into() });
    assert_eq!(world.pair.take(refused.0), [r#"44{"message":"no"}"#]);
    assert_eq!(world.come_back(&mut one, Via::WebSocket).recovered, None);
}

#[test]
fn what_the_application_kept_with_a_socket_comes_back_with_it() {
    let mut world = World::new();
    let mut one = world.join(Via::WebSocket);
    for data in ["old", "new"] {
        world.pair.command(Command::KeepData { socket: one.socket, data: Bytes::from_static(data.as_bytes()) });
    }
    for _ in 0..2 {
        world.pair.vanish(one.peer);
        world.gone();
        assert_eq!(world.come_back(&mut one, Via::WebSocket).recovered.unwrap().data, "new");
    }
}

/// A volatile event whose last argument is a string would be taken for an offset by the client.
#[test]
fn no_event_makes_a_client_unable_to_come_back() {
    let mut world = World::new();
    let mut one = world.join(Via::WebSocket);
    world.emit_to(Target::Socket(one.socket), "volatile", Delivery::Volatile);
    assert_eq!(world.take(&mut one), ["volatile"]);
    world.pair.vanish(one.peer);
    world.gone();
    world.emit_to(Target::Socket(one.socket), "missed", Delivery::Reliable);
    assert!(world.come_back(&mut one, Via::WebSocket).recovered.is_some());
    assert_eq!(world.take(&mut one), ["missed"]);
    let args = Args::from_json_values("7").unwrap();
    let target = Target::Socket(one.socket);
    let emit = Emit { target, name: "x".into(), args, delivery: Delivery::Volatile, ack: None };
    world.pair.command(Command::Emit(emit));
    assert_eq!(world.pair.take(one.peer), [r#"42["x",7]"#], "no offset where none is taken for one");
}

#[test]
fn memory_is_bounded_and_who_has_missed_what_is_gone_is_new() {
    let mut world = World::with(|recovery| recovery.packets_max = 3, Admission::Open);
    let (mut one, mut other) = (world.join(Via::WebSocket), world.join(Via::WebSocket));
    for client in [&one, &other] {
        world.pair.vanish(client.peer);
        world.gone();
    }
    (0..3).for_each(|_| world.emit_to(Target::everyone(world.scope()), "x", Delivery::Reliable));
    assert!(world.come_back(&mut one, Via::WebSocket).recovered.is_some());
    world.emit_to(Target::everyone(world.scope()), "y", Delivery::Reliable);
    assert_eq!(world.come_back(&mut other, Via::WebSocket).recovered, None);
    assert_eq!(world.take(&mut one), ["x", "x", "x", "y"]);

    let mut world = World::with(|recovery| recovery.sessions_max = 1, Admission::Open);
    let (mut one, mut other) = (world.join(Via::WebSocket), world.join(Via::WebSocket));
    for client in [&one, &other] {
        world.pair.vanish(client.peer);
        world.gone();
    }
    assert_eq!(world.come_back(&mut one, Via::WebSocket).recovered, None, "it went first");
    assert!(world.come_back(&mut other, Via::WebSocket).recovered.is_some());
}

#[test]
fn a_client_with_many_rooms_and_much_data_is_bounded_in_bytes() {
    let mut world = World::with(|recovery| recovery.session_bytes_max = 20_000, Admission::Open);
    let clients = [(); 4].map(|()| world.join(Via::WebSocket));
    for client in &clients {
        world.pair.command(Command::KeepData { socket: client.socket, data: Bytes::from(vec![7; 6000]) });
        world.pair.vanish(client.peer);
        world.gone();
    }
    let audit = world.pair.host.audit();
    assert!((10_000..20_000).contains(&audit.recovery_bytes), "{audit:?}");
    for (mut client, is_known) in clients.into_iter().zip([false, true, true, true]) {
        assert_eq!(world.come_back(&mut client, Via::WebSocket).recovered.is_some(), is_known);
    }
}

/// What was said before a client's last sign of life, it has: that it is not kept any more is no reason to make it new.
#[test]
fn a_client_that_listens_for_long_comes_back_however_old_its_offset_is() {
    let mut world = World::with(|recovery| recovery.packets_max = 10, Admission::Open);
    let (mut one, other) = (world.join(Via::WebSocket), world.join(Via::WebSocket));
    world.emit(one.socket, "long ago");
    assert_eq!(world.take(&mut one), ["long ago"]);
    (0..100).for_each(|_| world.emit(other.socket, "not for it"));
    world.pair.pass(Duration::from_secs(600));
    world.pair.vanish(one.peer);
    world.gone();
    world.emit_to(Target::Socket(one.socket), "missed", Delivery::Reliable);
    assert!(world.come_back(&mut one, Via::WebSocket).recovered.is_some());
    assert_eq!(world.take(&mut one), ["missed"]);
}

/// It was there again, but not for long enough to say that it has what it was sent.
#[test]
fn a_client_that_breaks_off_again_and_again_misses_nothing_unnoticed() {
    let mut world = World::new();
    let mut one = world.join(Via::WebSocket);
    world.pair.vanish(one.peer);
    world.gone();
    world.emit_to(Target::Socket(one.socket), "missed", Delivery::Reliable);
    world.pair.pass(Duration::from_secs(100));
    assert!(world.come_back(&mut one, Via::WebSocket).recovered.is_some());
    assert_eq!(world.take_some(&mut one, 0), [""; 0], "which is lost again");
    world.pair.vanish(one.peer);
    world.gone();
    world.pair.pass(Duration::from_secs(110));
    let connect = world.come_back(&mut one, Via::WebSocket);
    assert_eq!(connect.recovered, None, "it is not there any more, and the client has to know");
}

/// More visits to rooms than are remembered: it comes back if it has what was said in those that are forgotten.
#[test]
fn a_client_that_walks_through_many_rooms_misses_nothing_unnoticed() {
    for (takes, is_known) in [(usize::MAX, true), (0, false)] {
        let mut world = World::new();
        let mut one = world.join(Via::WebSocket);
        for number in 0..300 {
            let room = ByteString::from(format!("room {number}"));
            world.pair.command(Command::Join { target: Target::Socket(one.socket), room: room.clone() });
            world.emit_to(world.room(&room), "x", Delivery::Reliable);
            world.pair.command(Command::Leave { target: Target::Socket(one.socket), room });
        }
        assert_eq!(world.take_some(&mut one, takes).len(), takes.min(300));
        world.pair.vanish(one.peer);
        world.gone();
        assert_eq!(world.come_back(&mut one, Via::WebSocket).recovered.is_some(), is_known, "{takes}");
        assert_eq!(world.take(&mut one), [""; 0]);
    }
}

#[test]
fn nothing_is_kept_without_clients_and_nothing_is_told_without_recovery() {
    let mut world = World::new();
    let one = world.join(Via::WebSocket);
    world.emit_to(Target::everyone(world.scope()), "x", Delivery::Reliable);
    assert_eq!(world.pair.host.audit().recovery, 2);
    world.pair.send(one.peer, "41");
    world.emit_to(Target::everyone(world.scope()), "x", Delivery::Reliable);
    assert_eq!((world.pair.host.audit().recovery, world.pair.host.audit().recovery_bytes), (0, 0));

    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let (peer, sid) = pair.join_namespace(Via::WebSocket, "/");
    let socket = pair.connected()[0];
    let namespace = pair.server().scope(socket).unwrap().clone();
    let args = Args::from_json_values("1").unwrap();
    let target = Target::Room { namespace, room: ByteString::from(sid.as_str()) };
    pair.command(Command::Emit(Emit { target, name: "x".into(), args, delivery: Delivery::Reliable, ack: None }));
    assert_eq!(pair.take(peer), [r#"42["x",1]"#]);
}

#[test]
fn the_server_that_ends_forgets() {
    let mut world = World::new();
    world.join(Via::WebSocket);
    world.pair.command(Command::Shutdown);
    world.pair.pass(Duration::from_secs(10));
    assert_eq!(world.pair.host.audit().recovery, 0);
}

/// Against a model: each client sees what was meant for it, in order and once, with any loss on its way.
#[test]
fn every_client_sees_what_a_model_says_through_any_number_of_losses() {
    let (mut recovered, mut seen) = (0, 0);
    for seed in 0..60 {
        let mut course = Course::new(seed);
        (0..150).for_each(|_| course.step());
        course.finish();
        recovered += course.recovered;
        seen += course.clients.iter().map(|member| member.seen.len()).sum::<usize>();
    }
    assert!(recovered > 500 && seen > 5000, "{recovered} recovered, {seen} seen");
}

/// A random course of events, and what should come of it.
struct Course {
    world: World,
    rng: Rng,
    clients: Vec<CourseClient>,
    next: u64,
    recovered: usize,
}

struct CourseClient {
    client: Client,
    via: Via,
    is_away: bool,
    rooms: Vec<&'static str>,
    /// Its handle before the last loss.
    former: Option<SocketId>,
    expected: Vec<String>,
    seen: Vec<String>,
}

impl Course {
    fn new(seed: u8) -> Self {
        let (mut world, rng) = (World::new(), Rng::from_seed([seed; 32]));
        let member = |client, via| CourseClient {
            client,
            via,
            is_away: false,
            rooms: Vec::new(),
            former: None,
            expected: Vec::new(),
            seen: Vec::new(),
        };
        let vias = [Via::WebSocket, Via::Polling, Via::Upgrade, Via::WebSocket];
        let clients = vias.map(|via| member(world.join(via), via)).into();
        Self { world, rng, clients, next: 0, recovered: 0 }
    }

    fn step(&mut self) {
        let index = self.pick(self.clients.len());
        match self.pick(14) {
            0..=5 => self.emit(index),
            6 | 7 => self.change_room(index),
            8 => {
                self.take_all();
                let seconds = self.pick(50) as u64;
                let is_longest = self.clients.iter().all(|member| !member.is_away);
                self.world.pair.pass(Duration::from_secs(if is_longest { seconds * 10 } else { 1 }));
            }
            9 => self.take_all(),
            _ if self.clients[index].is_away => self.come_back(index),
            _ => self.break_off(index),
        }
    }

    /// Emits one of many kinds, and notes which clients it is for.
    fn emit(&mut self, index: usize) {
        self.next += 1;
        let text = self.next.to_string();
        let (scope, room, other) = (self.world.scope(), self.room(), self.room());
        let name = |room: &'static str| ByteString::from_static(room);
        let member = &self.clients[index];
        let socket = member.former.filter(|_| self.rng.below(2) == 0).unwrap_or(member.client.socket);
        let sid = ByteString::from(member.client.sid.as_str());
        type Meant = Box<dyn Fn(usize, &CourseClient) -> bool>;
        let all = Selection::of(scope.clone());
        let select = |selection| Target::Select(Box::new(selection));
        let (target, meant): (Target, Meant) = match self.rng.below(7) {
            0 => (Target::Socket(socket), Box::new(move |at, _| at == index)),
            1 => (Target::Room { namespace: scope, room: sid }, Box::new(move |at, _| at == index)),
            2 => (
                Target::Room { namespace: scope, room: name(room) },
                Box::new(move |_, member| member.rooms.contains(&room)),
            ),
            3 => (
                select(Selection { rooms: vec![name(room), name(other), sid], ..all }),
                Box::new(move |at, member| {
                    at == index || member.rooms.contains(&room) || member.rooms.contains(&other)
                }),
            ),
            4 => (
                select(Selection { except_rooms: vec![name(room)], ..all }),
                Box::new(move |_, member| !member.rooms.contains(&room)),
            ),
            5 => (
                select(Selection { rooms: vec![name(room)], except_sockets: vec![socket], ..all }),
                Box::new(move |at, member| at != index && member.rooms.contains(&room)),
            ),
            _ => (select(all), Box::new(|_, _| true)),
        };
        if self.rng.below(5) == 0 {
            // Meant for those who are there, and may be lost.
            return self.world.emit_to(target, &format!("v{text}"), Delivery::Volatile);
        }
        self.world.emit_to(target, &text, Delivery::Reliable);
        for (at, member) in self.clients.iter_mut().enumerate() {
            if meant(at, member) {
                member.expected.push(text.clone());
            }
        }
    }

    fn change_room(&mut self, index: usize) {
        let room = self.room();
        let member = &mut self.clients[index];
        if member.is_away {
            return;
        }
        let target = Target::Socket(member.client.socket);
        if member.rooms.contains(&room) {
            member.rooms.retain(|other| *other != room);
            self.world.pair.command(Command::Leave { target, room: room.into() });
        } else {
            member.rooms.push(room);
            self.world.pair.command(Command::Join { target, room: room.into() });
        }
    }

    /// The last packets to this client are lost, and then its connection.
    fn break_off(&mut self, index: usize) {
        let kept = self.pick(6);
        let member = &mut self.clients[index];
        let seen = self.world.take_some(&mut member.client, kept);
        member.see(seen);
        self.world.pair.vanish(member.client.peer);
        self.world.gone();
        member.former = Some(member.client.socket);
        member.is_away = true;
    }

    fn come_back(&mut self, index: usize) {
        let member = &mut self.clients[index];
        let connect = self.world.come_back(&mut member.client, member.via);
        assert!(connect.recovered.is_some());
        let mut rooms: Vec<_> = self.world.pair.server().rooms(member.client.socket).map(str::to_owned).collect();
        rooms.sort();
        member.rooms.sort_unstable();
        assert_eq!(rooms, member.rooms);
        member.is_away = false;
        self.recovered += 1;
    }

    fn take_all(&mut self) {
        for member in self.clients.iter_mut().filter(|member| !member.is_away) {
            let seen = self.world.take(&mut member.client);
            member.see(seen);
        }
    }

    fn finish(&mut self) {
        for index in 0..self.clients.len() {
            if self.clients[index].is_away {
                self.come_back(index);
            }
        }
        self.take_all();
        for member in &self.clients {
            assert_eq!(member.seen, member.expected);
        }
    }

    fn pick(&mut self, bound: usize) -> usize {
        usize::try_from(self.rng.below(bound as u64)).unwrap()
    }

    fn room(&mut self) -> &'static str {
        ["a", "b", "c"][self.pick(3)]
    }
}

impl CourseClient {
    fn see(&mut self, texts: Vec<String>) {
        self.seen.extend(texts.into_iter().filter(|text| !text.starts_with('v')));
    }
}

/// A server with recovery, whose application is the test.
struct World {
    pair: Pair<Manual>,
    asked: u32,
}

/// What a client of JavaScript keeps.
#[derive(Clone, Debug)]
struct Client {
    peer: Peer,
    socket: SocketId,
    namespace: &'static str,
    sid: String,
    pid: String,
    offset: String,
    /// Not looked at yet.
    inbox: Vec<String>,
}

impl World {
    fn new() -> Self {
        Self::with(|_| {}, Admission::Open)
    }

    fn with(change: impl FnOnce(&mut ConnectionRecovery), admission: Admission) -> Self {
        let mut config = Conformance::config(Profile::APP);
        let mut recovery = ConnectionRecovery::default();
        change(&mut recovery);
        set_up(&mut config, recovery, admission);
        Self { pair: Pair::manual(config), asked: 0 }
    }

    fn join(&mut self, via: Via) -> Client {
        let (peer, connect) = self.connect("/", via, "");
        let (sid, socket) = (connect.sid.to_string(), connect.socket);
        let (pid, offset, inbox) = (String::new(), String::new(), self.pair.take(peer));
        let mut client = Client { peer, socket, namespace: "/", sid, pid, offset, inbox };
        client.read_answer();
        client
    }

    fn come_back(&mut self, client: &mut Client, via: Via) -> Connect {
        let auth = client.auth();
        self.come_back_with(client, via, &auth)
    }

    fn come_back_with(&mut self, client: &mut Client, via: Via, auth: &str) -> Connect {
        let (peer, connect) = self.connect(client.namespace, via, auth);
        (client.peer, client.sid, client.socket) = (peer, connect.sid.to_string(), connect.socket);
        client.inbox = self.pair.take(peer);
        client.read_answer();
        connect
    }

    fn connect(&mut self, namespace: &str, via: Via, auth: &str) -> (Peer, Connect) {
        let peer = self.pair.open("/socket.io/", via);
        let name = if namespace == "/" { String::new() } else { format!("{namespace},") };
        self.pair.send(peer, &format!("40{name}{auth}"));
        loop {
            match self.pair.events().pop().unwrap() {
                Event::Connected(connect) => return (peer, *connect),
                Event::Connecting(connect) => {
                    self.asked += 1;
                    self.pair.command(Command::Accept { socket: connect.socket });
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// A CONNECT that is not decided.
    fn ask(&mut self, auth: &str) -> (Peer, SocketId) {
        let peer = self.pair.open("/socket.io/", Via::WebSocket);
        self.pair.send(peer, &format!("40{auth}"));
        match self.pair.events().pop().unwrap() {
            Event::Connecting(connect) if connect.recovered.is_some() => (peer, connect.socket),
            other => panic!("{other:?}"),
        }
    }

    /// Why the only socket that is gone is gone.
    fn gone(&mut self) -> Reason {
        match self.pair.events().pop().unwrap() {
            Event::Disconnected { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    }

    /// The texts of the events that a client was sent. It learns its ids and the last offset, as the stock client does.
    fn take(&mut self, client: &mut Client) -> Vec<String> {
        self.take_some(client, usize::MAX)
    }

    /// The same of its first events alone; the others are lost on their way, and all that follows them.
    fn take_some(&mut self, client: &mut Client, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        let packets = std::mem::take(&mut client.inbox);
        for packet in packets.into_iter().chain(self.pair.take(client.peer)) {
            if texts.len() == count {
                break;
            }
            let json = packet.strip_prefix("42").unwrap_or_else(|| panic!("{packet}"));
            let strings: Vec<String> = serde_json::from_str(json).unwrap();
            client.offset = strings.last().unwrap().clone();
            texts.push(strings[1].clone());
        }
        texts
    }

    fn enter(&mut self, client: &Client, room: &'static str) {
        self.pair.command(Command::Join { target: Target::Socket(client.socket), room: room.into() });
    }

    fn emit(&mut self, socket: SocketId, text: &str) {
        self.emit_to(Target::Socket(socket), text, Delivery::Reliable);
    }

    fn emit_to(&mut self, target: Target, text: &str, delivery: Delivery) {
        let args = Args::from_json_values(format!("{text:?}")).unwrap();
        self.pair.command(Command::Emit(Emit { target, name: "x".into(), args, delivery, ack: None }));
    }

    fn room(&self, room: &str) -> Target {
        Target::Room { namespace: self.scope(), room: room.into() }
    }

    fn scope(&self) -> Scope {
        Scope { endpoint: ENDPOINT, namespace: "/".into() }
    }
}

impl Client {
    /// What it has missed comes behind the answer.
    fn read_answer(&mut self) {
        let answer = self.inbox.remove(0);
        self.learn(&answer);
    }

    fn learn(&mut self, packet: &str) {
        let json = packet.strip_prefix("40").unwrap().trim_start_matches("/custom,");
        let ids: serde_json::Value = serde_json::from_str(json).unwrap();
        (self.sid, self.pid) = (ids["sid"].as_str().unwrap().into(), ids["pid"].as_str().unwrap().into());
    }

    fn auth(&self) -> String {
        match self.offset.as_str() {
            "" => format!(r#"{{"pid":"{}"}}"#, self.pid),
            offset => format!(r#"{{"pid":"{}","offset":"{offset}"}}"#, self.pid),
        }
    }
}

fn set_up(config: &mut Config, recovery: ConnectionRecovery, admission: Admission) {
    let endpoint = &mut config.endpoints[ENDPOINT.index()];
    let EndpointKind::SocketIo(_, socket) = &mut endpoint.kind else { panic!("Socket.IO") };
    socket.recovery = Some(recovery);
    socket.namespaces[0].admission = admission;
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Where Socket.IO is spoken.
const ENDPOINT: EndpointId = EndpointId::new(1);
