//! What a server keeps is given up when it is over: deadlines, lists of acks, limits that were stretched, and places in
//! namespaces.
#![expect(clippy::unwrap_used, reason = "a test may panic, its helpers too")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test fails at the first event that it does not expect")]

use std::time::Duration;

use roomcast_conformance::pair::{Conformance, Handling, Manual, Pair, Profile, Via, Ws};
use roomcast_core::server::config::{Config, EndpointKind};
use roomcast_core::server::{
    AckId, Command, Delivery, Emit, Event, Extent, Message, Reason, SocketId, Target, TimerKind,
};
use roomcast_core::socket_io::Args;
use roomcast_core::websocket::{Fin, Opcode};

// Engine.IO protocol, "Heartbeat" and "Upgrade": the deadlines of each stage.

#[test]
fn a_session_has_the_deadlines_of_its_stage_and_no_others() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let (polling, streaming) = pair.open_raw(ENGINE);
    assert_eq!(timers(&pair), 1, "a ping");
    let probe = pair.web_socket(&streaming);
    assert_eq!(timers(&pair), 2, "a ping, and the upgrade's");
    pair.ws_send(probe, "2probe");
    pair.ws_send(probe, "5");
    assert_eq!(timers(&pair), 1, "the upgrade is done");
    pair.hang_up(probe);
    assert_eq!(timers(&pair), 0, "the session is gone");
    let get = pair.get(&polling);
    assert_eq!(pair.answered(get).status, 400);
}

#[test]
fn an_upgrade_that_fails_has_no_deadline_any_more() {
    for how in ["the stream ends", "something else than a probe", "a broken frame", "a close frame"] {
        let mut pair = Pair::manual(Conformance::config(Profile::APP));
        let (_, streaming) = pair.open_raw(ENGINE);
        let probe = pair.web_socket(&streaming);
        break_probe(&mut pair, probe, how);
        pair.hang_up(probe);
        assert_eq!(timers(&pair), 1, "{how}: a ping");
        let second = pair.web_socket(&streaming);
        pair.ws_send(second, "2probe");
        assert_eq!(pair.ws_take(second), ["3probe"], "{how}: the session can upgrade still");
    }
}

#[test]
fn an_upgrade_that_the_server_or_a_fault_cuts_short_leaves_no_deadline() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let (_, streaming) = pair.open_raw(ENGINE);
    let session = pair.opened();
    let probe = pair.web_socket(&streaming);
    pair.command(Command::Close { session });
    pair.hang_up(probe);
    assert_eq!(timers(&pair), 1, "the time in which the client must fetch the end");

    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let (polling, streaming) = pair.open_raw(ENGINE);
    let get = pair.get(&polling);
    let probe = pair.web_socket(&streaming);
    pair.abort(get);
    pair.hang_up(probe);
    assert_eq!(timers(&pair), 0, "the session ended with its poll");
}

#[test]
fn a_client_that_fetches_the_end_takes_its_deadline_along() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let (polling, _) = pair.open_raw(ENGINE);
    let session = pair.opened();
    pair.command(Command::Close { session });
    assert_eq!(timers(&pair), 1);
    let get = pair.get(&polling);
    assert_eq!(pair.answered(get).brief(), (200, "1"));
    assert_eq!(timers(&pair), 0);
}

#[test]
fn a_stream_that_ends_while_it_is_closed_takes_its_deadline_along() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let peer = pair.open(ENGINE, Via::WebSocket);
    let session = pair.opened();
    let ws = pair.ws(peer);
    pair.block(ws);
    pair.command(Command::Close { session });
    assert_eq!(timers(&pair), 1, "the close frame's answer is awaited");
    pair.hang_up(ws);
    assert_eq!(timers(&pair), 0);
}

#[test]
fn a_heartbeat_ends_with_its_session_at_every_stage() {
    for pings in 0..4 {
        for pong in [true, false] {
            let mut pair = Pair::manual(Conformance::config(Profile::APP));
            let peer = pair.open(ENGINE, Via::WebSocket);
            pair.pass(Duration::from_secs(25) * pings + Duration::from_secs(1));
            if !pong {
                pair.keep_pongs(peer);
                pair.pass(Duration::from_secs(25));
            }
            assert_eq!(timers(&pair), 1, "{pings} pings, {pong}");
            pair.vanish(peer);
            assert_eq!(timers(&pair), 0, "{pings} pings, {pong}");
        }
    }
}

/// The time for a packet with attachments ends with the packet: none of it is left for the next one.
#[test]
fn a_packet_with_attachments_has_a_deadline_until_it_is_whole_or_its_session_ends() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let (peer, _) = pair.join_namespace(Via::WebSocket, "/");
    let (ws, idle) = (pair.ws(peer), timers(&pair));
    for _ in 0..2 {
        pair.send(peer, r#"451-["a",{"_placeholder":true,"num":0}]"#);
        assert_eq!(timers(&pair), idle + 1);
        pair.frame(ws, Fin::Final, Opcode::Binary, b"x");
        assert_eq!(timers(&pair), idle);
    }
    pair.send(peer, r#"451-["a",{"_placeholder":true,"num":0}]"#);
    assert_eq!(timers(&pair), idle + 1);
    pair.vanish(peer);
    assert_eq!(timers(&pair), 0);
}

#[test]
fn joining_a_namespace_ends_the_time_for_it() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let (polling, _) = pair.open_raw(SOCKET);
    assert_eq!(timers(&pair), 2, "a ping, and the time to join");
    pair.post(&polling, "40/jwt,");
    let socket = connecting(&mut pair).unwrap();
    assert_eq!(timers(&pair), 3, "the application must answer");
    pair.command(Command::Refuse { socket, data: r#"{"message":"no"}"#.into() });
    assert_eq!(timers(&pair), 2);
    pair.post(&polling, "40");
    assert_eq!(timers(&pair), 1);
    pair.post(&polling, "40/jwt,");
    assert_eq!(timers(&pair), 2);
    pair.post(&polling, "41/jwt,");
    assert_eq!(timers(&pair), 1, "no answer is awaited any more");
}

#[test]
fn a_session_that_is_told_to_end_need_not_join_any_more() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    pair.open_raw(SOCKET);
    pair.command(Command::Shutdown);
    assert_eq!(timers(&pair), 1, "the time in which the client must fetch the end");
}

#[test]
fn a_pong_counts_where_pings_come_faster_than_they_time_out() {
    let profile =
        Profile { ping_interval: Duration::from_secs(1), ping_timeout: Duration::from_secs(3), ..Profile::APP };
    for via in Via::ALL {
        let mut pair = Pair::manual(Conformance::config(profile));
        let peer = pair.open(ENGINE, via);
        pair.pass(Duration::from_secs(20));
        assert_eq!(pair.over(peer), None, "{via:?}");
        assert_eq!(timers(&pair), 1);
    }
}

#[test]
fn a_driver_that_was_held_up_leaves_its_clients_half_of_the_time() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let peer = pair.open(ENGINE, Via::WebSocket);
    pair.keep_pongs(peer);
    let late = pair.now() + Duration::from_secs(100);
    pair.host.time(late);
    pair.settle();
    pair.pass_with(Duration::from_secs(10), |pair| assert_eq!(pair.over(peer), None));
    assert!(pair.over(peer).is_some());
}

#[test]
fn messages_of_a_bare_client_are_as_good_as_pongs() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let ws = pair.web_socket("/websocket");
    pair.pass(Duration::from_secs(30));
    assert_eq!(pair.ws_take(ws), ["ping "]);
    pair.ws_send(ws, "a message");
    pair.pass(Duration::from_secs(24));
    assert!(!pair.ws_ended(ws), "45 s after the start a pong would have been overdue");
    pair.pass(Duration::from_secs(60));
    assert_eq!(pair.ws_take(ws).last().unwrap(), "end", "and then it said nothing more");
}

#[test]
fn a_client_that_takes_bytes_is_there_although_its_pong_cannot_be_read() {
    for takes in [true, false] {
        let mut config = Conformance::config(Profile::APP);
        config.limits.unanswered_max = 2;
        config.limits.queue_soft_bytes = 1_000_000;
        config.limits.queue_bytes_max = 2_000_000;
        let mut pair = Pair::manual(config);
        pair.app().handling = Handling::ByHand;
        let peer = pair.open(ENGINE, Via::WebSocket);
        let session = pair.opened();
        let ws = pair.ws(peer);
        let conn = pair.conn(ws);
        pair.keep_pongs(peer);
        pair.send_all(peer, &["4a", "4b", "4c"]);
        assert!(pair.host.stream(conn).is_paused());
        pair.block(ws);
        pair.command(Command::Send { session, message: Message::Text("x".repeat(10_000).into()) });
        pair.pass(Duration::from_secs(30));
        if takes {
            pair.unblock(ws, 100);
        } else {
            // The socket says that it is ready, and takes nothing.
            pair.host.stream(conn).write_bytes_max = 0;
            pair.unblock(ws, 100);
        }
        pair.pass(Duration::from_secs(20));
        assert_eq!(pair.host.audit().sessions, usize::from(takes), "it was asked at 25 s, and 20 s are over");
        pair.pass(Duration::from_secs(20));
        assert_eq!(pair.host.audit().sessions, 0, "since then it has taken nothing");
        assert!(pair.events().iter().any(|event| matches!(event, Event::Closed { reason: Reason::PingTimeout, .. })));
    }
}

#[test]
fn a_stream_that_failed_or_that_its_peer_closed_must_be_gone_in_time() {
    for how in ["a broken frame", "a close frame"] {
        let mut pair = Pair::manual(Conformance::config(Profile::APP));
        let ws = pair.web_socket(&format!("{ENGINE}?EIO=4&transport=websocket"));
        pair.ws_take(ws);
        pair.block(ws);
        break_probe(&mut pair, ws, how);
        assert_eq!((timers(&pair), pair.host.audit().conns), (1, 1), "{how}: what is to be sent does not go out");
        pair.pass(Duration::from_secs(6));
        assert_eq!((timers(&pair), pair.host.audit().conns), (0, 0), "{how}");
    }
}

#[test]
fn a_stream_that_the_server_closes_has_one_deadline_whatever_its_peer_does() {
    for how in ["a broken frame", "a close frame"] {
        let mut pair = Pair::manual(Conformance::config(Profile::APP));
        let ws = pair.web_socket(&format!("{ENGINE}?EIO=4&transport=websocket"));
        let session = pair.opened();
        pair.ws_take(ws);
        pair.block(ws);
        pair.command(Command::Close { session });
        assert_eq!(timers(&pair), 1);
        pair.pass(Duration::from_secs(3));
        break_probe(&mut pair, ws, how);
        assert_eq!(timers(&pair), 1, "{how}");
        pair.pass(Duration::from_secs(3));
        assert_eq!((timers(&pair), pair.host.audit().conns), (0, 0), "{how}: not put off");
    }
}

#[test]
fn a_message_under_way_gives_up_its_deadline_with_its_stream() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let ws = pair.web_socket(&format!("{ENGINE}?EIO=4&transport=websocket"));
    pair.ws_take(ws);
    pair.block(ws);
    pair.frame(ws, Fin::More, Opcode::Text, b"4half");
    pair.settle();
    assert_eq!(timers(&pair), 2, "a ping, and the message");
    // RFC 6455 section 5.4: the next must be a continuation.
    pair.frame(ws, Fin::Final, Opcode::Text, b"4whole");
    pair.settle();
    assert_eq!(timers(&pair), 1, "the stream must be gone");
}

#[test]
fn half_a_frame_on_a_probing_stream_ends_the_probe_and_not_the_session() {
    let mut config = Conformance::config(Profile::APP);
    config.limits.partial_timeout = Duration::from_secs(2);
    let mut pair = Pair::manual(config);
    let (_, streaming) = pair.open_raw(ENGINE);
    let probe = pair.web_socket(&streaming);
    pair.raw(probe, b"\x81");
    pair.settle();
    assert_eq!(timers(&pair), 3, "a ping, the upgrade, and the frame");
    pair.pass(Duration::from_secs(3));
    assert!(pair.ws_take(probe).iter().any(|text| text.starts_with("close")));
    pair.hang_up(probe);
    assert_eq!((timers(&pair), pair.host.audit().sessions), (1, 1), "a ping");
    let second = pair.web_socket(&streaming);
    pair.ws_send(second, "2probe");
    assert_eq!(pair.ws_take(second), ["3probe"]);
}

#[test]
fn a_bare_client_that_takes_nothing_is_not_there_although_it_is_not_read() {
    let mut config = Conformance::config(Profile::APP);
    config.limits.unanswered_max = 2;
    let mut pair = Pair::manual(config);
    pair.app().handling = Handling::ByHand;
    let ws = pair.web_socket("/websocket");
    let session = pair.opened();
    for n in 0..5 {
        pair.command(Command::Send { session, message: Message::Text("taken".into()) });
        assert_eq!(pair.ws_take(ws), ["taken"], "{n}");
    }
    ["a", "b", "c"].into_iter().for_each(|text| pair.ws_send(ws, text));
    let conn = pair.conn(ws);
    assert!(pair.host.stream(conn).is_paused());
    pair.block(ws);
    pair.pass(Duration::from_secs(60));
    assert_eq!(pair.host.audit().sessions, 0, "it has taken things, but none since the ping");
}

// Limits of what waits to be sent.

#[test]
fn what_came_all_at_once_is_forgiven_until_it_is_read_and_no_longer() {
    let mut pair = Pair::manual(small_limits());
    let peer = pair.open(ENGINE, Via::WebSocket);
    let session = pair.opened();
    let ws = pair.ws(peer);
    pair.block(ws);
    // More than one write takes, so that a part of it waits in the queue when the socket refuses.
    for _ in 0..300 {
        pair.host.command(Command::Send { session, message: Message::Text("x".repeat(1000).into()) });
    }
    pair.settle();
    assert_eq!(pair.host.audit().sessions, 1, "300,000 bytes at once are forgiven");
    pair.unblock(ws, usize::MAX);
    assert_eq!(pair.take(peer).len(), 300);
    pair.block(ws);
    let mut sent = 0;
    while pair.host.audit().sessions == 1 {
        pair.command(Command::Send { session, message: Message::Text("x".repeat(1000).into()) });
        sent += 1;
        assert!(sent < 30, "the limit of 20,000 bytes holds again");
    }
    assert!(sent > 19, "{sent}");
}

#[test]
fn whatever_passes_the_hard_limit_ends_the_session_at_once() {
    type Say = fn(&mut Pair<Manual>, SocketId);
    let ways: [(&str, Say); 4] = [
        ("an emit", |pair, socket| emit(pair, Target::Socket(socket), "x")),
        ("an ack", |pair, socket| {
            let args = Args::from_serialize(&("x".repeat(2000),)).unwrap();
            pair.command(Command::Ack { socket, ack: AckId(1), args });
        }),
        ("a disconnect", |pair, socket| {
            pair.command(Command::Disconnect { target: Target::Socket(socket), extent: Extent::Namespace });
        }),
        ("a ping", |pair, _| pair.pass(Duration::from_secs(25))),
    ];
    for (way, say) in ways {
        let mut pair = Pair::manual(small_limits());
        let (peer, _) = pair.join_namespace(Via::WebSocket, "/");
        let socket = pair.connected()[0];
        pair.take(peer);
        let ws = pair.ws(peer);
        pair.block(ws);
        emit(&mut pair, Target::Socket(socket), "x");
        let before = pair.host.audit().queued_bytes;
        // The first is what was there when the socket refused, and is forgiven.
        let left = 20_000 - (pair.host.audit().queued_bytes - before);
        let overhead = event_len("");
        emit(&mut pair, Target::Socket(socket), &"x".repeat(left - overhead));
        assert_eq!(pair.host.audit().sessions, 1, "{way}: {} bytes", pair.host.audit().queued_bytes);
        say(&mut pair, socket);
        assert_eq!(pair.host.audit().sessions, 0, "{way}: {} bytes", pair.host.audit().queued_bytes);
        assert_eq!(pair.server().counters().too_slow, 1, "{way}");
    }
}

#[test]
fn what_is_queued_goes_out_before_the_close_frame_of_a_broken_stream() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let ws = pair.web_socket(&format!("{ENGINE}?EIO=4&transport=websocket"));
    assert_eq!(pair.ws_take(ws).len(), 1);
    let session = pair.opened();
    pair.block(ws);
    for text in ["one", "two"] {
        pair.command(Command::Send { session, message: Message::Text(text.into()) });
    }
    // RFC 6455 section 5.1: a client masks its frames.
    pair.raw(ws, b"\x81\x01a");
    pair.settle();
    pair.unblock(ws, usize::MAX);
    assert_eq!(pair.ws_take(ws)[..3], ["4one", "4two", "close 1002"]);
}

#[test]
fn a_session_that_upgrades_while_its_reading_is_paused_stays_paused() {
    let mut config = Conformance::config(Profile::APP);
    config.limits.unanswered_max = 2;
    let mut pair = Pair::manual(config);
    pair.app().handling = Handling::ByHand;
    let (polling, streaming) = pair.open_raw(ENGINE);
    let session = pair.opened();
    let ws = pair.web_socket(&streaming);
    pair.ws_send(ws, "2probe");
    let post = pair.post(&polling, "4a\x1e4b\x1e4c");
    assert_eq!(pair.answer(post), None, "the application is behind");
    pair.ws_send(ws, "5");
    let conn = pair.conn(ws);
    assert!(pair.host.stream(conn).is_paused());
    for _ in 0..3 {
        pair.command(Command::Handled { session });
    }
    assert!(!pair.host.stream(conn).is_paused());
    assert_eq!(pair.answered(post).brief(), (200, "ok"));
}

// Socket.IO protocol, "Connection to a namespace" and "Disconnection from a namespace".

#[test]
fn a_namespace_can_be_joined_again_after_each_way_of_not_being_in_it() {
    for how in ["refused", "overdue", "disconnected", "left"] {
        let mut pair = Pair::manual(Conformance::config(Profile::APP));
        let first = pair.open(SOCKET, Via::WebSocket);
        // Another client is in the namespace, so that it stays.
        pair.send(first, "40/jwt,");
        let socket = connecting(&mut pair).unwrap();
        pair.command(Command::Accept { socket });
        let second = pair.open(SOCKET, Via::WebSocket);
        pair.send_all(second, &["40", "40/jwt,"]);
        let socket = connecting(&mut pair).unwrap();
        match how {
            "refused" => pair.command(Command::Refuse { socket, data: r#"{"message":"no"}"#.into() }),
            "overdue" => pair.pass(Duration::from_secs(46)),
            "disconnected" => {
                pair.command(Command::Accept { socket });
                pair.command(Command::Disconnect { target: Target::Socket(socket), extent: Extent::Namespace });
            }
            _ => pair.send(second, "41/jwt,"),
        }
        pair.events();
        pair.take(second);
        pair.send(second, "40/jwt,");
        let again = connecting(&mut pair).unwrap_or_else(|| panic!("{how}: the application is asked again"));
        pair.command(Command::Accept { socket: again });
        assert!(pair.take(second)[0].starts_with("40/jwt,{"), "{how}");
    }
}

#[test]
fn a_socket_is_found_by_its_id_in_its_namespace_once_it_is_in() {
    let mut pair = Pair::manual(Conformance::config(Profile::APP));
    let peer = pair.open(SOCKET, Via::WebSocket);
    pair.send_all(peer, &["40", "40/jwt,"]);
    let mut events = pair.events().into_iter();
    let (Some(Event::Connected(root)), Some(Event::Connecting(asking))) = (events.next(), events.next()) else {
        panic!("in the order of the packets")
    };
    let scope = |pair: &mut Pair<Manual>, socket| pair.server().scope(socket).cloned();
    let here = scope(&mut pair, root.socket).unwrap();
    assert_eq!(&*here.namespace, "/");
    let there = scope(&mut pair, asking.socket).unwrap();
    assert_eq!(&*there.namespace, "/jwt");
    assert_eq!(pair.server().socket(&here, root.sid.as_str()), Some(root.socket));
    assert_eq!(pair.server().socket(&there, root.sid.as_str()), None, "it is not in that one");
    assert_eq!(pair.server().socket(&there, asking.sid.as_str()), None, "it is not in yet");
    pair.command(Command::Accept { socket: asking.socket });
    assert_eq!(pair.server().socket(&there, asking.sid.as_str()), Some(asking.socket));
    pair.vanish(peer);
    assert_eq!(scope(&mut pair, root.socket), None);
}

#[test]
fn a_room_name_may_be_as_long_as_the_limit() {
    let mut config = Conformance::config(Profile::APP);
    config.limits.room_bytes_max = 4;
    let mut pair = Pair::manual(config);
    pair.join_namespace(Via::WebSocket, "/");
    let socket = pair.connected()[0];
    for (room, is_in) in [("four", true), ("fiver", false)] {
        pair.command(Command::Join { target: Target::Socket(socket), room: room.into() });
        assert_eq!(pair.server().is_in(socket, room), is_in, "{room}");
    }
}

fn break_probe(pair: &mut Pair<Manual>, probe: Ws, how: &str) {
    match how {
        "the stream ends" => pair.hang_up(probe),
        "something else than a probe" => pair.ws_send(probe, "4x"),
        "a broken frame" => {
            pair.raw(probe, b"\x81\x01a");
            pair.settle();
        }
        _ => {
            pair.frame(probe, Fin::Final, Opcode::Close, &[]);
            pair.settle();
        }
    }
}

/// Deadlines that are armed; for nothing that is due at once.
fn timers(pair: &Pair<Manual>) -> usize {
    assert_ne!(pair.next_deadline().map(|(_, kind)| kind), Some(TimerKind::Intake));
    pair.host.audit().timers
}

fn emit(pair: &mut Pair<Manual>, target: Target, text: &str) {
    let args = Args::from_serialize(&(text,)).unwrap();
    pair.command(Command::Emit(Emit { target, name: "x".into(), args, delivery: Delivery::Reliable, ack: None }));
}

/// The bytes of an event's frame in a queue, up to 64 KiB.
fn event_len(text: &str) -> usize {
    r#"42["x",""]"#.len() + text.len() + 4
}

/// The socket that asks to come in, if one does.
fn connecting(pair: &mut Pair<Manual>) -> Option<SocketId> {
    pair.events().into_iter().find_map(|event| match event {
        Event::Connecting(connect) => Some(connect.socket),
        _ => None,
    })
}

/// Soft 4,000, hard 20,000 bytes.
fn small_limits() -> Config {
    let mut config = Conformance::config(Profile::APP);
    config.limits.queue_soft_bytes = 4_000;
    config.limits.queue_bytes_max = 20_000;
    for endpoint in &mut config.endpoints {
        if let EndpointKind::EngineIo(engine) | EndpointKind::SocketIo(engine, _) = &mut endpoint.kind {
            engine.ping_timeout = Duration::from_secs(60);
        }
    }
    config
}

const ENGINE: &str = "/engine.io/";
const SOCKET: &str = "/socket.io/";
