//! Acks that the server asks for, targets, and that the same inputs give the same outputs.
#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test fails at the first event that it does not expect")]

use std::time::Duration;

use bytestring::ByteString;
use roomcast_conformance::pair::{Conformance, Manual, Over, Pair, Peer, Profile, Via};
use roomcast_core::server::{
    AckEnd, AckRequest, Command, Delivery, Emit, EmitId, Event, Scope, Selection, SocketId, Target,
};
use roomcast_core::socket_io::Args;

#[test]
fn an_ack_comes_back_with_its_arguments_and_ends_the_emit() {
    let (mut pair, peers, sockets) = room(&[Via::WebSocket]);
    emit(&mut pair, Target::Socket(sockets[0]), Some(5));
    let asked = pair.take(peers[0]);
    assert_eq!(asked, [r#"420["x",1]"#]);
    pair.send(peers[0], r#"430["yes",{"a":[]}]"#);
    assert_eq!(briefs(&mut pair), [r#"acked 0 "yes",{"a":[]}"#, "ended 1 of 1 Complete"]);
    assert_eq!(pair.host.audit().acks, 0);
}

#[test]
fn a_broadcast_with_ack_has_one_id_for_all() {
    let (mut pair, peers, sockets) = room(&Via::ALL);
    let all = Target::everyone(scope(&mut pair));
    emit(&mut pair, all, Some(5));
    for peer in &peers {
        assert_eq!(pair.take(*peer), [r#"420["x",1]"#]);
    }
    for (n, peer) in peers.iter().enumerate() {
        pair.send(*peer, &format!("430[{n}]"));
    }
    assert_eq!(briefs(&mut pair), ["acked 0 0", "acked 1 1", "acked 2 2", "ended 3 of 3 Complete"]);
    emit(&mut pair, Target::Socket(sockets[1]), Some(5));
    assert_eq!(pair.take(peers[1]), [r#"421["x",1]"#], "the next has the next");
}

#[test]
fn a_deadline_ends_the_emit_and_a_late_ack_is_nothing() {
    let (mut pair, peers, _) = room(&[Via::WebSocket, Via::WebSocket]);
    let all = Target::everyone(scope(&mut pair));
    emit(&mut pair, all, Some(5));
    pair.send(peers[1], "430[]");
    pair.pass_with(Duration::from_secs(5), |pair| assert_eq!(briefs(pair), ["acked 1 "]));
    assert_eq!(briefs(&mut pair), ["ended 1 of 2 TimedOut"]);
    pair.send(peers[0], "430[]");
    assert_eq!(briefs(&mut pair), [""; 0]);
    assert_eq!(pair.over(peers[0]), None);
}

#[test]
fn those_who_are_gone_are_not_waited_for() {
    for how in ["vanish", "1", "41"] {
        let (mut pair, peers, _) = room(&[Via::WebSocket, Via::WebSocket]);
        let all = Target::everyone(scope(&mut pair));
        emit(&mut pair, all, Some(5));
        pair.send(peers[0], "430[]");
        assert_eq!(briefs(&mut pair), ["acked 0 "]);
        match how {
            "vanish" => pair.vanish(peers[1]),
            packet => pair.send(peers[1], packet),
        }
        let mut got = briefs(&mut pair);
        got.sort();
        assert_eq!(got, ["disconnected 1", "ended 1 of 2 Gone"], "{how}");
        assert_eq!(pair.host.audit().acks, 0);
    }
}

#[test]
fn an_ack_counts_once_and_for_who_was_asked() {
    let (mut pair, peers, sockets) = room(&[Via::WebSocket, Via::WebSocket]);
    emit(&mut pair, Target::Socket(sockets[0]), Some(5));
    pair.send(peers[1], "430[\"not asked\"]");
    assert_eq!(briefs(&mut pair), [""; 0]);
    pair.send_all(peers[0], &["430[1]", "430[2]"]);
    assert_eq!(briefs(&mut pair), ["acked 0 1", "ended 1 of 1 Complete"]);
}

#[test]
fn an_emit_that_asks_no_socket_ends_at_once() {
    let (mut pair, peers, sockets) = room(&[Via::WebSocket]);
    let namespace = scope(&mut pair);
    emit(&mut pair, Target::Room { namespace: namespace.clone(), room: "empty".into() }, Some(5));
    let elsewhere = Scope { namespace: "/custom".into(), ..namespace };
    emit(&mut pair, Target::everyone(elsewhere), Some(5));
    pair.vanish(peers[0]);
    emit(&mut pair, Target::Socket(sockets[0]), Some(5));
    let got: Vec<_> = briefs(&mut pair).into_iter().filter(|text| !text.starts_with("disc")).collect();
    assert_eq!(got, ["ended 0 of 0 Gone"; 3]);
}

#[test]
fn the_oldest_unanswered_ack_is_given_up_at_the_limit() {
    let mut config = Conformance::config(Profile::APP);
    config.limits.acks_per_socket_max = 2;
    let mut pair = Pair::manual(config);
    let (peer, _) = pair.join_namespace(Via::WebSocket, "/");
    let socket = sockets(&mut pair)[0];
    for _ in 0..4 {
        emit(&mut pair, Target::Socket(socket), Some(60));
    }
    assert_eq!(briefs(&mut pair), ["ended 0 of 1 Gone"; 2]);
    pair.send_all(peer, &["430[]", "431[]", "432[]", "433[]"]);
    assert_eq!(briefs(&mut pair).len(), 4, "the last two are answered");
}

#[test]
fn a_target_means_each_socket_once_less_exceptions() {
    let (mut pair, peers, who) = room(&[Via::WebSocket; 4]);
    for (socket, room) in [(0, "a"), (1, "a"), (1, "b"), (2, "b"), (3, "c")] {
        pair.command(Command::Join { target: Target::Socket(who[socket]), room: ByteString::from_static(room) });
    }
    let sid = |pair: &mut Pair<Manual>, n: usize| ByteString::from(pair.server().sid(who[n]).unwrap().as_str());
    let (sid_2, sid_3) = (sid(&mut pair, 2), sid(&mut pair, 3));
    let names = |names: &[&'static str]| names.iter().map(|name| ByteString::from_static(name)).collect::<Vec<_>>();
    let all = Selection::of(scope(&mut pair));
    for (selection, expected) in [
        (all.clone(), &[0, 1, 2, 3][..]),
        (Selection { rooms: names(&["a", "b"]), ..all.clone() }, &[0, 1, 2]),
        (Selection { rooms: names(&["a", "b"]), except_rooms: names(&["b"]), ..all.clone() }, &[0]),
        (Selection { except_rooms: names(&["a"]), ..all.clone() }, &[2, 3]),
        (Selection { except_sockets: vec![who[3]], ..all.clone() }, &[0, 1, 2]),
        (Selection { rooms: names(&["a"]), sockets: vec![who[1], who[3]], ..all.clone() }, &[0, 1, 3]),
        (Selection { rooms: vec![sid_2.clone(), "a".into()], ..all.clone() }, &[0, 1, 2]),
        (Selection { except_rooms: vec![sid_3.clone()], ..all.clone() }, &[0, 1, 2]),
        (Selection { rooms: names(&["nobody"]), ..all.clone() }, &[]),
    ] {
        let what = format!("{selection:?}");
        emit(&mut pair, Target::Select(Box::new(selection)), None);
        let got: Vec<_> = (0..4).filter(|n| pair.take(peers[*n]) == [r#"42["x",1]"#]).collect();
        assert_eq!(got, expected, "{what}");
    }
    let namespace = scope(&mut pair);
    emit(&mut pair, Target::Room { namespace, room: sid_3 }, None);
    assert_eq!(pair.take(peers[3]).len(), 1, "a sid is a room of its own");
}

#[test]
fn a_room_of_another_namespace_is_another_room() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let (peer, _) = pair.join_namespace(Via::WebSocket, "/");
    pair.connect(peer, "/custom", "");
    for socket in sockets(&mut pair) {
        pair.command(Command::Join { target: Target::Socket(socket), room: "r".into() });
    }
    assert_eq!(pair.host.audit().rooms, 2);
    let namespace = scope(&mut pair);
    emit(&mut pair, Target::Room { namespace, room: "r".into() }, None);
    assert_eq!(pair.take(peer), [r#"42["x",1]"#]);
}

#[test]
fn limits_on_rooms_and_names_hold() {
    let mut config = Conformance::config(Profile::APP);
    config.limits.rooms_per_socket_max = 3;
    config.limits.room_bytes_max = 5;
    config.limits.namespaces_per_session_max = 2;
    let mut pair = Pair::manual(config);
    let (peer, _) = pair.join_namespace(Via::WebSocket, "/");
    let socket = sockets(&mut pair)[0];
    for room in ["a", "b", "toolong", "c", "d"] {
        pair.command(Command::Join { target: Target::Socket(socket), room: ByteString::from_static(room) });
    }
    let mut rooms: Vec<_> = pair.server().rooms(socket).map(str::to_owned).collect();
    rooms.sort();
    assert_eq!(rooms, ["a", "b", "c"]);
    pair.connect(peer, "/custom", "");
    assert_eq!(pair.ask(peer, "40/dyn-1,"), [r#"44/dyn-1,{"message":"Too many namespaces"}"#]);
    assert_eq!(pair.over(peer), None::<Over>);
}

/// Everything that happens in a varied scene, as one number.
#[test]
fn the_same_inputs_give_the_same_outputs_byte_for_byte() {
    let play = |seed: u64| {
        let mut pair = Pair::seeded(Conformance::config(Profile::SUITE), Conformance::new(), seed);
        let peers: Vec<_> = Via::ALL.iter().map(|via| pair.join_namespace(*via, "/").0).collect();
        for peer in &peers {
            pair.send_all(
                *peer,
                &[r#"420["join","r"]"#, r#"42["broadcast",1]"#, r#"42["volatile",5]"#, r#"42["ask",2]"#],
            );
            pair.pass(Duration::from_millis(700));
        }
        pair.send(peers[0], "4abc");
        pair.vanish(peers[1]);
        pair.pass(Duration::from_secs(2));
        pair.command(Command::Shutdown);
        pair.pass(Duration::from_secs(2));
        pair.trace()
    };
    assert_eq!(play(1), play(1));
    assert_ne!(play(1), play(2), "the seed shows, in the sids at least");
}

#[test]
fn everyone_who_is_asked_can_answer_in_whatever_order_the_application_names_them() {
    let (mut pair, peers, sockets) = room(&[Via::WebSocket; 4]);
    let scope = scope(&mut pair);
    let named = vec![sockets[2], sockets[0], sockets[3], sockets[1]];
    emit(&mut pair, Target::Select(Box::new(Selection { sockets: named, ..Selection::of(scope) })), Some(5));
    for peer in &peers {
        pair.send(*peer, "430[]");
    }
    assert_eq!(briefs(&mut pair).last().unwrap(), "ended 4 of 4 Complete");
}

#[test]
fn an_ack_that_is_over_makes_room_for_another() {
    for over in ["answered", "timed out"] {
        let mut config = Conformance::config(Profile::APP);
        config.limits.acks_per_socket_max = 2;
        let mut pair = Pair::manual(config);
        let (peer, _) = pair.join_namespace(Via::WebSocket, "/");
        let socket = sockets(&mut pair)[0];
        emit(&mut pair, Target::Socket(socket), Some(60));
        let timers = pair.host.audit().timers;
        for n in 1..5 {
            emit(&mut pair, Target::Socket(socket), Some(1));
            if over == "answered" {
                pair.send(peer, &format!("43{n}[]"));
                assert_eq!(briefs(&mut pair), ["acked 0 ", "ended 1 of 1 Complete"]);
            } else {
                pair.pass(Duration::from_secs(1));
                assert_eq!(briefs(&mut pair), ["ended 0 of 1 TimedOut"], "and the first is awaited still");
            }
            assert_eq!(pair.host.audit().timers, timers, "{over}");
        }
        pair.vanish(peer);
        let mut got = briefs(&mut pair);
        got.sort();
        assert_eq!(got, ["disconnected 0", "ended 0 of 1 Gone"], "{over}");
        assert_eq!(pair.host.audit().timers, 0, "{over}");
    }
}

fn emit(pair: &mut Pair<Manual>, target: Target, ack_secs: Option<u64>) {
    let ack = ack_secs.map(|secs| AckRequest { emit: EmitId(9), timeout: Duration::from_secs(secs) });
    let args = Args::from_json_values("1").unwrap();
    pair.command(Command::Emit(Emit { target, name: "x".into(), args, delivery: Delivery::Reliable, ack }));
}

/// Clients in the root namespace, and their sockets.
fn room(vias: &[Via]) -> (Pair<Manual>, Vec<Peer>, Vec<SocketId>) {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let peers = vias.iter().map(|via| pair.join_namespace(*via, "/").0).collect();
    let sockets = sockets(&mut pair);
    (pair, peers, sockets)
}

fn sockets(pair: &mut Pair<Manual>) -> Vec<SocketId> {
    let socket = |event| match event {
        Event::Connected(connect) => connect.socket,
        other => panic!("{other:?}"),
    };
    pair.events().into_iter().map(socket).collect()
}

fn scope(pair: &mut Pair<Manual>) -> Scope {
    Scope { endpoint: pair.server().route("/socket.io").unwrap(), namespace: "/".into() }
}

/// Events in short: sockets by their slot, which is the order in which they came.
fn briefs(pair: &mut Pair<Manual>) -> Vec<String> {
    let brief = |event| match event {
        Event::Acked { emit: EmitId(9), socket, args } => format!("acked {} {}", socket.slot(), args.json()),
        Event::AcksEnded { emit: EmitId(9), asked, answered, end } => {
            let end: AckEnd = end;
            format!("ended {answered} of {asked} {end:?}")
        }
        Event::Disconnected { socket, .. } => format!("disconnected {}", socket.slot()),
        other => panic!("{other:?}"),
    };
    pair.events().into_iter().map(brief).collect()
}
