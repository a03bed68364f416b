//! What one peer cannot do to the others: floods, ghosts and answers that never come. Against a server without a driver.
#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows the test functions only")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a test fails at the first event that it does not expect")]

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use http::{Method, Request, Response};
use roomcast_core::cluster::{ClusterMessage, RoomChannel};
use roomcast_core::server::config::{Admission, AdmittedBy, EndpointKind, HeadersKept, NamespaceRule, Pattern};
use roomcast_core::server::{
    AckRequest, Audit, ClusterCommand, ClusterEvent, Command, Config, ConnId, Delivery, Emit, EmitId, Endpoint,
    EndpointId, Event, Extent, FetchId, Head, Input, PeerError, Reason, RequestId, RoomEvents, Server, SocketId, Stack,
    Start, Target, TimerKind, Transmit, Upgrade,
};
use roomcast_core::socket_io::Args;
use roomcast_core::time::{Instant, WallTime};
use roomcast_core::websocket::{ClientHandshake, Decoder, Fin, FrameLimits, Opcode, Role, encode_frame};
use roomcast_testkit::{Hooks, Kit, Reading};

#[test]
fn a_post_of_two_million_packets_is_taken_as_it_is_dealt_with() {
    let mut config = engine_io();
    let EndpointKind::EngineIo(engine) = &mut config.endpoints[0].kind else { panic!("bare") };
    engine.max_payload_bytes = 1 << 24;
    let mut world = World::new(config);
    let sid = world.open_polling();
    let body = ["4a"; 2_000_000].join("\x1e");
    let post = world.request(Method::POST, &sid, body);
    let mut count = 0;
    loop {
        let events = world.settle();
        assert!(events.len() <= 257, "one over the limit at once: {}", events.len());
        if events.is_empty() {
            break;
        }
        count += events.len();
        for event in events {
            let Event::Message { session, .. } = event else { panic!("{event:?}") };
            world.command(Command::Handled { session });
        }
        if count > 20_000 {
            return assert_eq!(world.answer(post), None, "there is more of it");
        }
    }
    panic!("{count} packets only");
}

/// The check of a packet stops after a slice, in numbers, strings and objects alike, and others have their turns in between.
#[test]
fn a_long_packet_is_checked_in_slices() {
    const BYTES: usize = 4 << 20;
    for filling in ["12,", r#"{"a":[true,null]},"#, r#""\n\n\n","#, "1.25e-7,"] {
        let mut world = World::new(socket_io(1 << 24));
        let (conn, _) = world.join("/");
        let event = format!(r#"42["long",[{}0]]"#, filling.repeat(BYTES / filling.len()));
        for bytes in [client_frame(&event), client_frame(r#"42["behind"]"#)].concat().chunks(16 << 10) {
            world.feed(conn, bytes);
        }
        assert!(world.drain().is_empty() && world.is_paused(conn));
        let mut slices = 0;
        let events = loop {
            assert_eq!(world.server().poll_timeout().unwrap(), (NOW, TimerKind::Intake));
            world.server().handle_timeout(NOW);
            slices += 1;
            let events = world.drain();
            if !events.is_empty() {
                break events;
            }
        };
        assert!((30..40).contains(&slices), "{slices} slices");
        let names = events.iter().map(|event| if let Event::Received { name, .. } = event { &**name } else { "" });
        assert_eq!(names.collect::<Vec<_>>(), ["long", "behind"]);
        assert!(!world.is_paused(conn));
    }
}

#[test]
fn a_long_packet_is_taken_although_its_sender_has_gone() {
    let mut world = World::new(socket_io(1 << 24));
    let (conn, socket) = world.join("/");
    world.feed(conn, &client_frame(&format!(r#"42["long",[{}0]]"#, "12,".repeat(1 << 20))));
    world.end(conn);
    assert!(world.drain().is_empty());
    let events = world.settle();
    assert!(
        matches!(&events[..], [Event::Received { .. }, Event::Disconnected { socket: gone, .. }] if *gone == socket)
    );
    let Event::Received { session, .. } = events[0] else { panic!("{events:?}") };
    world.command(Command::Handled { session });
    assert_eq!(world.server().audit(), Audit::default());
    // One that ends in the middle of its check for another reason leaves nothing either.
    let (conn, socket) = world.join("/");
    world.feed(conn, &client_frame(&format!(r#"42["long",[{}0]]"#, "12,".repeat(1 << 20))));
    world.command(Command::Disconnect { target: Target::Socket(socket), extent: Extent::Connection });
    world.end(conn);
    assert!(matches!(&world.settle()[..], [Event::Disconnected { .. }]));
    assert_eq!(world.server().audit(), Audit::default());
}

#[test]
fn a_long_packet_that_is_none_ends_its_session_when_the_check_comes_there() {
    let mut world = World::new(socket_io(1 << 24));
    let (conn, _) = world.join("/");
    world.feed(conn, &client_frame(&format!(r#"42["long",[{}0}}]"#, "12,".repeat(1 << 20))));
    let [Event::Disconnected { reason, .. }] = &world.settle()[..] else { panic!("not the end") };
    assert_eq!(*reason, Reason::Fault(PeerError::BadSocketPacket));
}

#[test]
fn a_long_packet_of_a_post_is_checked_in_slices() {
    let mut world = World::new(socket_io(1 << 24));
    let sid = world.open_polling();
    world.request(Method::POST, &sid, "40".into());
    assert!(matches!(&world.drain()[..], [Event::Connected(_)]));
    let event = format!(r#"42["long",[{}0]]"#, "12,".repeat(1 << 20));
    let post = world.request(Method::POST, &sid, format!("{event}\x1e42[\"behind\"]"));
    let names = |events: Vec<Event>| {
        let name = |event| if let Event::Received { name, .. } = event { name } else { "other".into() };
        events.into_iter().map(name).collect::<Vec<ByteString>>()
    };
    assert!(world.drain().is_empty() && world.answer(post).is_none());
    assert_eq!(names(world.settle()), ["long", "behind"]);
    assert_eq!(world.answer(post).as_deref(), Some("ok"));
    let post = world.request(Method::POST, &sid, event.replace(']', "}"));
    assert!(matches!(&world.settle()[..], [Event::Disconnected { .. }]));
    assert_ne!(world.answer(post).as_deref(), Some("ok"));
}

#[test]
fn packets_that_ask_for_nothing_are_taken_in_slices() {
    let mut world = World::new(engine_io());
    let sid = world.open_polling();
    let post = world.request(Method::POST, &sid, ["6"; 100_000].join("\x1e"));
    assert_eq!(world.server().counters().packets_received, 512, "a slice at once");
    assert_eq!(world.server().poll_timeout().unwrap(), (NOW, TimerKind::Intake), "the rest is due");
    world.server().handle_timeout(NOW);
    assert_eq!(world.server().counters().packets_received, 1024);
    world.settle();
    assert_eq!(world.server().counters().packets_received, 100_000);
    assert_eq!(world.answer(post).as_deref(), Some("ok"));
}

#[test]
fn events_of_one_read_stop_at_the_limit() {
    let mut world = World::new(open());
    let (conn, _) = world.join("/");
    let frame = client_frame(r#"42["tiny"]"#);
    world.feed(conn, &frame.repeat(5000));
    let events = world.drain();
    assert_eq!(events.len(), 257);
    assert!(world.is_paused(conn));
    let mut count = 0;
    let mut waiting = events;
    while !waiting.is_empty() {
        count += waiting.len();
        for event in waiting {
            let Event::Received { session, .. } = event else { panic!("{event:?}") };
            world.command(Command::Handled { session });
        }
        waiting = world.settle();
        assert!(waiting.len() <= 257, "{}", waiting.len());
    }
    assert_eq!(count, 5000, "none is lost");
    assert!(!world.is_paused(conn), "read again when all is taken");
}

#[test]
fn bytes_that_are_not_dealt_with_stop_reading_too() {
    let mut config = engine_io();
    config.limits.unanswered_bytes_max = 1000;
    let mut world = World::new(config);
    let conn = world.open_web_socket();
    world.drain();
    world.feed(conn, &client_frame(&format!("4{}", "x".repeat(300))).repeat(20));
    assert_eq!(world.drain().len(), 4, "1,200 bytes are the first that are more than 1,000");
    assert!(world.is_paused(conn));
}

/// The hard limit is judged only where a socket refuses bytes, which it has had no occasion for within one turn.
#[test]
fn cheap_requests_with_big_answers_wait_until_the_answers_are_taken() {
    let mut config = open();
    config.limits.queue_soft_bytes = 100_000;
    config.limits.queue_bytes_max = 1_000_000;
    let mut world = World::new(config);
    let (conn, socket) = world.join("/");
    world.drain();
    world.feed(conn, &client_frame(r#"42["state"]"#).repeat(200));
    let big = format!("\"{}\"", "x".repeat(90_000));
    let mut asked = 0;
    let mut round = |world: &mut World| {
        // As a stack does: each event is dealt with before the next output is polled.
        while world.kit.drain_one() {
            for event in world.take_events() {
                let Event::Received { session, .. } = event else { panic!("{event:?}") };
                asked += 1;
                world.command(emit(Target::Socket(socket), &big));
                world.command(Command::Handled { session });
                let queued = world.server().audit().queued_bytes;
                assert!(queued <= 200_000, "the soft limit and one answer: {queued}");
            }
        }
        asked
    };
    assert_eq!(round(&mut world), 2, "then it has to take what it asked for");
    for _ in 0..300 {
        world.flush(conn);
        world.server().handle_timeout(NOW);
        round(&mut world);
    }
    assert_eq!(round(&mut world), 200, "each is answered, none twice");
}

#[test]
fn a_disconnect_waits_behind_the_events_that_are_held_back() {
    let mut config = open();
    config.limits.queue_soft_bytes = 1000;
    let mut world = World::new(config);
    let big = format!("\"{}\"", "x".repeat(2000));
    for end in [true, false] {
        let (conn, socket) = world.join("/");
        world.drain();
        world.feed(conn, &client_frame(r#"42["first"]"#));
        world.command(emit(Target::Socket(socket), &big));
        assert!(world.poll_events().is_empty(), "it must take what it was sent before");
        if end {
            world.end(conn);
        } else {
            world.command(Command::Disconnect { target: Target::Socket(socket), extent: Extent::Namespace });
            assert!(world.poll_events().is_empty());
            world.flush(conn);
        }
        let events = world.poll_events();
        assert!(matches!(&events[..], [Event::Received { .. }, Event::Disconnected { .. }]), "{events:?}");
    }
}

/// socket.io 4.8 answers each of them as well: 500 times CONNECT_ERROR. It decides them side by side; here one is decided
/// after the other.
#[test]
fn every_connect_is_answered_though_an_earlier_one_is_being_decided() {
    let mut world = World::new(asking());
    let conn = world.open_web_socket();
    world.feed(conn, &client_frame(r#"40{"token":"bad"}"#).repeat(500));
    let mut refused = 0;
    loop {
        let events = world.settle();
        if events.is_empty() {
            break;
        }
        for event in events {
            let Event::Connecting(connect) = event else { panic!("{event:?}") };
            assert_eq!(&*connect.auth, r#"{"token":"bad"}"#);
            world.command(Command::Refuse { socket: connect.socket, data: r#"{"message":"no"}"#.into() });
            refused += 1;
        }
    }
    assert_eq!(refused, 500);
    let texts = world.texts(conn);
    assert_eq!(texts.iter().filter(|text| *text == r#"44{"message":"no"}"#).count(), 500);
    assert!(!world.is_paused(conn));
}

#[test]
fn a_connect_behind_one_that_is_let_in_is_answered_with_the_same_socket() {
    let mut world = World::new(asking());
    let conn = world.open_web_socket();
    world.feed(conn, &client_frame("40").repeat(3));
    let [Event::Connecting(connect)] = &world.drain()[..] else { panic!("asked once") };
    let sid = connect.sid;
    world.command(Command::Accept { socket: connect.socket });
    assert!(matches!(&world.drain()[..], [Event::Connected(_)]));
    assert_eq!(world.texts(conn)[1..], vec![format!(r#"40{{"sid":"{sid}"}}"#); 3]);
    // Once it is in, another CONNECT changes nothing.
    world.feed(conn, &client_frame("40"));
    assert!(world.drain().is_empty() && world.texts(conn).is_empty());
}

/// Their payloads are held until the first one is decided.
#[test]
fn payloads_of_connects_that_wait_stop_reading() {
    let mut config = asking();
    config.limits.unanswered_bytes_max = 1000;
    let mut world = World::new(config);
    let conn = world.open_web_socket();
    let connect = format!(r#"40{{"token":"{}"}}"#, "x".repeat(200));
    world.feed(conn, &client_frame(&connect).repeat(20));
    let [Event::Connecting(first)] = &world.drain()[..] else { panic!("asked once") };
    assert!(world.is_paused(conn));
    world.command(Command::Accept { socket: first.socket });
    while !world.settle().is_empty() {}
    assert!(!world.is_paused(conn));
}

#[test]
fn those_who_wait_behind_a_connect_leave_with_it() {
    let mut config = asking();
    config.limits.unanswered_max = 4;
    let mut world = World::new(config);
    let conn = world.open_web_socket();
    for _ in 0..5 {
        world.feed(conn, &client_frame("40").repeat(4));
        assert!(matches!(&world.drain()[..], [Event::Connecting(_)]));
        world.feed(conn, &client_frame("41"));
        assert!(matches!(&world.drain()[..], [Event::Disconnected { .. }]));
    }
    assert!(!world.is_paused(conn), "none of them is counted any more");
}

/// The application would keep a ghost for ever that it hears of after its end.
#[test]
fn connected_comes_before_disconnected_though_the_socket_is_too_slow() {
    let mut config = asking();
    config.limits.queue_soft_bytes = 10;
    config.limits.queue_bytes_max = 400;
    let mut world = World::new(config);
    let sid = world.open_polling();
    // Without a poll the queue is over its hard limit with the answer to the last CONNECT.
    let mut body = vec!["40/none,"; 12];
    body.push("40");
    world.request(Method::POST, &sid, body.join("\x1e"));
    let mut told = Vec::new();
    loop {
        let events = world.settle();
        if events.is_empty() {
            break;
        }
        for event in events {
            match event {
                Event::Connecting(connect) => world.command(Command::Accept { socket: connect.socket }),
                Event::Connected(_) => told.push("connected"),
                Event::Disconnected { .. } => told.push("disconnected"),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(told.last(), Some(&"disconnected"));
    assert!(told.iter().position(|what| *what == "connected") < Some(told.len() - 1), "{told:?}");
    assert_eq!(world.server().counters().too_slow, 1);
}

/// The same where a namespace is open: nothing is said of a socket before it is let in.
#[test]
fn connected_comes_before_disconnected_though_the_queue_was_full_before() {
    let mut config = open();
    let EndpointKind::SocketIo(_, settings) = &mut config.endpoints[0].kind else { panic!("Socket.IO") };
    settings.namespaces = vec![NamespaceRule { pattern: Pattern::Prefix("/".into()), admission: Admission::Open }];
    config.limits.queue_soft_bytes = 10;
    config.limits.queue_bytes_max = 400;
    let mut world = World::new(config);
    let sid = world.open_polling();
    // The answers that no poll takes: the last of them are those to sockets that are let in.
    let body: Vec<_> = (0..12).map(|n| format!("40/{n},")).collect();
    world.request(Method::POST, &sid, body.join("\x1e"));
    let (mut connected, mut gone) = (Vec::new(), Vec::new());
    for event in world.settle() {
        match event {
            Event::Connected(connect) => connected.push(connect.socket),
            Event::Disconnected { socket, .. } => {
                assert!(connected.contains(&socket), "{socket:?} is gone before it came");
                gone.push(socket);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((connected.len(), world.server().counters().too_slow), (gone.len(), 1));
}

#[test]
fn no_disconnect_is_sent_to_a_socket_that_was_never_let_in() {
    let mut world = World::new(asking());
    let conn = world.open_web_socket();
    world.feed(conn, &client_frame("40"));
    let [Event::Connecting(root)] = &world.drain()[..] else { panic!("asked") };
    world.command(Command::Accept { socket: root.socket });
    world.feed(conn, &client_frame("40/b,"));
    let events = world.drain();
    let [Event::Connected(_), Event::Connecting(_)] = &events[..] else { panic!("{events:?}") };
    world.texts(conn);
    world.command(Command::Disconnect { target: Target::Socket(root.socket), extent: Extent::Connection });
    world.drain();
    assert_eq!(world.texts(conn), ["41"], "of the namespace that it is in");
}

#[test]
fn event_names_that_clients_reserve_are_refused_both_ways() {
    for name in ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"] {
        let mut world = World::new(open());
        let (conn, socket) = world.join("/");
        world.drain();
        world.texts(conn);
        let args = Args::from_json_values("1").unwrap();
        let target = Target::Socket(socket);
        let ack = Some(AckRequest { emit: EmitId(3), timeout: Duration::from_secs(1) });
        let event = |ack| Emit {
            target: target.clone(),
            name: name.into(),
            args: args.clone(),
            delivery: Delivery::Reliable,
            ack,
        };
        world.command(Command::Emit(event(None)));
        world.command(Command::Emit(event(ack)));
        let events = world.drain();
        assert!(matches!(&events[..], [Event::AcksEnded { asked: 0, .. }]), "{events:?}");
        assert_eq!((world.texts(conn).len(), world.server().counters().reserved_refused), (0, 2));
        world.feed(conn, &client_frame(&format!(r#"42["{name}",1]"#)));
        let events = world.drain();
        assert!(matches!(&events[..], [Event::Disconnected { .. }]), "{name}: {events:?}");
    }
}

#[test]
fn what_a_peer_begins_must_be_whole_in_time() {
    let attachment = client_frame(r#"451-["file",{"_placeholder":true,"num":0}]"#);
    let half_a_frame = client_frame(r#"42["half"]"#)[..8].to_vec();
    for begun in [attachment, half_a_frame, vec![0x81]] {
        let mut config = open();
        config.limits.partial_timeout = Duration::from_secs(10);
        let mut world = World::new(config);
        let (conn, _) = world.join("/");
        world.drain();
        world.feed(conn, &begun);
        let due = NOW + Duration::from_secs(10);
        assert_eq!(world.server().poll_timeout(), Some((due, TimerKind::Partial)));
        world.server().handle_timeout(due - Duration::from_nanos(1));
        assert!(world.drain().is_empty());
        world.server().handle_timeout(due);
        let events = world.drain();
        let [Event::Disconnected { reason, .. }] = &events[..] else { panic!("{events:?}") };
        assert_eq!(*reason, Reason::Fault(PeerError::Unfinished));
    }
}

#[test]
fn a_message_that_is_whole_gives_the_next_one_its_own_time() {
    let mut config = open();
    config.limits.partial_timeout = Duration::from_secs(10);
    let mut world = World::new(config);
    let (conn, _) = world.join("/");
    world.drain();
    let frame = client_frame(r#"42["half"]"#);
    let (first, second) = frame.split_at(5);
    world.feed(conn, first);
    for seconds in [6, 12, 18] {
        world.server().handle_timeout(NOW + Duration::from_secs(seconds));
        assert!(world.drain().is_empty(), "{seconds}");
        let bytes = [second, first].concat();
        world.server().handle_input(Input::WsBytes { conn, bytes: &bytes }, NOW + Duration::from_secs(seconds));
        let events = world.drain();
        let [Event::Received { session, .. }] = &events[..] else { panic!("{events:?}") };
        world.command(Command::Handled { session: *session });
    }
    world.server().handle_timeout(NOW + Duration::from_secs(28));
    assert!(matches!(&world.drain()[..], [Event::Disconnected { .. }]));
}

#[test]
fn a_peer_that_is_not_read_is_not_blamed_for_what_it_cannot_finish() {
    let mut config = open();
    config.limits.partial_timeout = Duration::from_secs(10);
    config.limits.unanswered_max = 1;
    let mut world = World::new(config);
    let (conn, _) = world.join("/");
    world.drain();
    world.feed(conn, &client_frame(r#"451-["file",{"_placeholder":true,"num":0}]"#));
    let mut bytes = client_frame(r#"42["a"]"#);
    bytes.truncate(4);
    // Two whole events, then half of one: reading stops behind them.
    let (conn, _) = world.join("/");
    world.drain();
    world.feed(conn, &[client_frame(r#"42["a"]"#).repeat(2), bytes].concat());
    assert_eq!(world.drain().len(), 2);
    assert!(world.is_paused(conn));
    world.server().handle_timeout(NOW + Duration::from_secs(10));
    let events = world.drain();
    assert!(matches!(&events[..], [Event::Disconnected { .. }]), "the other one, which is read: {events:?}");
    assert_eq!(world.server().audit().sessions, 1);
}

#[test]
fn messages_are_small_until_a_peer_is_admitted() {
    let large = format!(r#"42["large","{}"]"#, "x".repeat(100_000));
    let mut world = World::new(open());
    let conn = world.open_web_socket();
    world.feed(conn, &client_frame(&format!(r#"40{{"token":"{}"}}"#, "x".repeat(100_000))));
    world.drain();
    world.server().handle_timeout(NOW);
    world.drain();
    assert_eq!(world.server().audit().sessions, 0, "too long for a stranger");
    let (conn, _) = world.join("/");
    world.drain();
    world.feed(conn, &client_frame(&large));
    assert_eq!(world.drain().len(), 1, "a namespace admits it");

    let mut config = open();
    config.limits.unadmitted.admitted_by = AdmittedBy::Application;
    let mut world = World::new(config);
    let (conn, socket) = world.join("/");
    world.drain();
    let session = world.server().session(socket).unwrap();
    world.command(Command::Admit { session });
    world.feed(conn, &client_frame(&large));
    assert_eq!(world.drain().len(), 1, "the application admits it");
    let (conn, _) = world.join("/");
    world.drain();
    world.feed(conn, &client_frame(&large));
    world.server().handle_timeout(NOW);
    assert!(matches!(&world.drain()[..], [Event::Disconnected { .. }]), "a namespace does not");
    let sid = world.open_polling();
    let post = world.request(Method::POST, &sid, large);
    world.drain();
    assert!(world.answer(post).unwrap().contains("Payload too large"));
}

#[test]
fn unadmitted_peers_together_pin_no_more_than_their_budget() {
    let mut config = open();
    config.limits.unadmitted.admitted_by = AdmittedBy::Application;
    config.limits.unadmitted.pinned_bytes_max = 100_000;
    let mut world = World::new(config);
    let frame = client_frame(&"x".repeat(30_000));
    let mut conns = Vec::new();
    for _ in 0..10 {
        let (conn, socket) = world.join("/");
        conns.push((conn, world.server().session(socket).unwrap()));
        world.feed(conn, &frame[..frame.len() - 1]);
        world.drain();
    }
    let audit = world.server().audit();
    assert_eq!((audit.sessions, audit.unadmitted_bytes <= 100_000), (3, true), "{audit:?}");
    world.command(Command::Admit { session: conns[0].1 });
    assert!(world.server().audit().unadmitted_bytes <= 70_000, "an admitted peer has left the budget");
}

#[test]
fn a_session_keeps_the_header_fields_that_are_asked_for() {
    let mut config = open();
    config.limits.handshake_headers = HeadersKept::Listed(vec!["cookie".into()]);
    let mut world = World::new(config);
    let request = Request::get("/io?EIO=4&transport=polling")
        .header("cookie", "a=b")
        .header("x-large", "x".repeat(30_000))
        .body(())
        .unwrap();
    let Head::Continue(id) = world.server().handle_http_head(ENDPOINT, request, NOW) else { panic!("refused") };
    world.server().handle_http_body(id, Bytes::new(), NOW);
    world.drain();
    let sid = world.answer(id).unwrap().split('"').nth(3).unwrap().to_owned();
    world.request(Method::POST, &sid, "40".into());
    let events = world.drain();
    let [Event::Connected(connect)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((connect.request.header("cookie"), connect.request.header("x-large")), (Some("a=b"), None));
    assert!(connect.request.len() < 100);
}

#[test]
fn what_is_read_behind_a_rest_is_kept_behind_it() {
    let mut world = World::new(open());
    let (conn, _) = world.join("/");
    let bytes: Vec<u8> = (0..1000).flat_map(|n| client_frame(&format!(r#"42["n",{n}]"#))).collect();
    // A driver may have read more than once before it hears that it should not.
    bytes.chunks(3000).for_each(|chunk| world.feed(conn, chunk));
    let mut received = Vec::new();
    loop {
        let events = world.settle();
        if events.is_empty() {
            break;
        }
        for event in events {
            let Event::Received { session, args, .. } = event else { panic!("{event:?}") };
            received.push(args.json().parse::<usize>().unwrap());
            world.command(Command::Handled { session });
        }
    }
    assert_eq!(received, (0..1000).collect::<Vec<_>>());
}

#[test]
fn the_rest_of_a_peer_is_due_at_the_time_of_the_last_input_whatever_it_was() {
    let mut world = World::new(engine_io());
    let sid = world.open_polling();
    world.request(Method::POST, &sid, ["6"; 100_000].join("\x1e"));
    let due = |world: &mut World| world.server().poll_timeout().unwrap();
    let later = |millis: u64| NOW + Duration::from_millis(millis);
    world.server().handle_timeout(later(1));
    assert_eq!(due(&mut world), (later(1), TimerKind::Intake));
    let get = || Request::get("/io?EIO=4&transport=polling").body(()).unwrap();
    let Head::Continue(id) = world.server().handle_http_head(ENDPOINT, get(), later(2)) else { panic!("refused") };
    assert_eq!(due(&mut world), (later(2), TimerKind::Intake));
    world.server().handle_http_body(id, Bytes::new(), later(3));
    world.drain();
    assert_eq!(due(&mut world), (later(3), TimerKind::Intake));
    world.server().handle_upgrade(ENDPOINT, &get(), later(4));
    assert_eq!(due(&mut world), (later(4), TimerKind::Intake));
    world.server().handle_input(Input::WallClock(WallTime::default()), later(5));
    assert_eq!(due(&mut world), (later(5), TimerKind::Intake));
    world.settle();
}

#[test]
fn attachments_count_together_and_with_their_packet() {
    let announcement =
        r#"453-["f",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},{"_placeholder":true,"num":2}]"#;
    let text_bytes = announcement.len() - 1;
    for (excess, count) in [(0, 1), (1, 0)] {
        let mut config = open();
        config.limits.packet_bytes_max = text_bytes + 900;
        let mut world = World::new(config);
        let (conn, _) = world.join("/");
        world.drain();
        world.feed(conn, &client_frame(announcement));
        for bytes in [300, 300, 300 + excess] {
            world.feed(conn, &client_binary(bytes));
        }
        let events = world.drain();
        assert_eq!(events.iter().filter(|event| matches!(event, Event::Received { .. })).count(), count, "{excess}");
        assert_eq!(world.server().audit().sessions, count, "{excess}");
    }
}

#[test]
fn attachments_and_unread_bytes_of_unadmitted_peers_are_in_their_budget() {
    let mut config = open();
    config.limits.unadmitted.admitted_by = AdmittedBy::Application;
    config.limits.unadmitted.pinned_bytes_max = 20_000;
    let mut world = World::new(config);
    let (conn, _) = world.join("/");
    world.drain();
    let announcement = r#"452-["f",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#;
    world.feed(conn, &client_frame(announcement));
    let begun = world.server().audit().unadmitted_bytes;
    assert_eq!(begun, announcement.len() - 1);
    world.feed(conn, &client_binary(7_000));
    assert_eq!(world.server().audit().unadmitted_bytes, begun + 7_000);
    let half = client_binary(9_000);
    world.feed(conn, &half[..5_008]);
    assert_eq!(world.server().audit().unadmitted_bytes, begun + 12_000, "with half of a message behind them");
    world.feed(conn, &half[5_008..]);
    let events = world.drain();
    assert!(matches!(&events[..], [Event::Received { .. }]), "{events:?}");
    assert_eq!(world.server().audit().unadmitted_bytes, 0);
}

#[test]
fn namespaces_may_have_long_names() {
    let name = format!("/{}", "n".repeat(60));
    let data = format!(r#"{{"message":"{}"}}"#, "no".repeat(100));
    let mut world = World::new(asking());
    let conn = world.open_web_socket();
    world.drain();
    world.texts(conn);
    let ask = |world: &mut World| {
        world.feed(conn, &client_frame(&format!("40{name},")));
        let events = world.drain();
        let [Event::Connecting(connect)] = &events[..] else { panic!("{events:?}") };
        connect.socket
    };
    let socket = ask(&mut world);
    world.command(Command::Refuse { socket, data: data.clone().into() });
    assert_eq!(world.texts(conn), [format!("44{name},{data}")]);
    let socket = ask(&mut world);
    world.command(Command::Accept { socket });
    let sid = world.server().sid(socket).unwrap();
    assert_eq!(world.texts(conn), [format!(r#"40{name},{{"sid":"{}"}}"#, sid.as_str())]);
    world.command(Command::Disconnect { target: Target::Socket(socket), extent: Extent::Namespace });
    assert_eq!(world.texts(conn), [format!("41{name},")]);
}

#[test]
fn events_that_are_held_back_are_in_the_audit() {
    let mut config = open();
    config.limits.queue_soft_bytes = 1000;
    let mut world = World::new(config);
    let (conn, socket) = world.join("/");
    world.drain();
    world.feed(conn, &client_frame(r#"42["first"]"#).repeat(3));
    world.command(emit(Target::Socket(socket), &format!("\"{}\"", "x".repeat(2000))));
    assert_eq!(world.server().audit().unread, 0, "they are outputs still");
    assert!(world.poll_events().is_empty());
    assert_eq!(world.server().audit().unread, 3);
    world.flush(conn);
    assert_eq!(world.poll_events().len(), 3);
    assert_eq!((world.server().audit().unread, world.server().audit().conns), (0, 1));
}

#[test]
fn what_is_under_way_is_in_the_audit() {
    let mut world = World::new(open());
    let (conn, socket) = world.join("/");
    world.drain();
    assert_eq!((world.server().audit().timers, world.server().audit().outputs), (1, 0), "a ping");
    let (timeout, args) = (Duration::from_secs(1), Args::empty());
    let ack = Some(AckRequest { emit: EmitId(1), timeout });
    let target = Target::Socket(socket);
    world.command(Command::Emit(Emit { target, name: "event".into(), args, delivery: Delivery::Reliable, ack }));
    assert_eq!((world.server().audit().timers, world.server().audit().acks), (2, 1));
    world.feed(conn, &client_frame(r#"42["one"]"#));
    world.feed(conn, &client_frame(r#"42["two"]"#));
    assert_eq!(world.server().audit().outputs, 3, "two events, and that there is something to write");
    world.drain();
    world.server().handle_timeout(NOW + timeout);
    assert!(matches!(&world.drain()[..], [Event::AcksEnded { .. }]));
    assert_eq!((world.server().audit().timers, world.server().audit().outputs), (1, 0));
}

#[test]
fn what_is_not_sent_and_not_answered_is_in_the_audit() {
    let mut world = World::new(open());
    let (conn, socket) = world.join("/");
    world.drain();
    let Audit { conns, session_sids, sockets, socket_sids, namespaces, rooms, .. } = world.server().audit();
    assert_eq!((conns, session_sids, sockets, socket_sids, namespaces, rooms), (1, 1, 1, 1, 1, 0));
    world.command(Command::Join { target: Target::Socket(socket), room: "red".into() });
    world.command(emit(Target::Socket(socket), &format!("\"{}\"", "x".repeat(90))));
    let bytes = "42[\"event\",\"\"]".len() + 90 + 2;
    assert_eq!((world.server().audit().queued_bytes, world.server().audit().rooms), (bytes, 1));
    // What a socket did not take waits in front of the queue.
    let mut transmit = Transmit::new();
    assert!(world.server().poll_transmit(conn, &mut transmit));
    transmit.advance(10);
    world.server().handle_refused(conn, &mut transmit, NOW);
    assert_eq!(world.server().audit().queued_bytes, bytes - 10);
    let poll = world.open_polling();
    let poll = world.request(Method::GET, &poll, String::new());
    assert_eq!((world.server().audit().requests, world.server().audit().session_sids), (1, 2));
    world.kit.input(Input::HttpAborted { request: poll });
    assert_eq!(world.server().audit().requests, 0);
}

#[test]
fn a_socket_that_refuses_bytes_may_be_too_slow_and_one_whose_bytes_are_postponed_is_not() {
    for (is_postponed, too_slow) in [(true, 0), (false, 1)] {
        let mut config = open();
        config.limits.queue_soft_bytes = 1000;
        config.limits.queue_bytes_max = 1500;
        let mut world = World::new(config);
        let (conn, socket) = world.join("/");
        world.drain();
        world.command(emit(Target::Socket(socket), "\"first\""));
        let mut transmit = Transmit::new();
        assert!(world.server().poll_transmit(conn, &mut transmit));
        let rest = transmit.single().unwrap()[10..].to_vec();
        transmit.advance(10);
        if is_postponed {
            world.server().handle_postponed(conn, &mut transmit, NOW);
        } else {
            world.server().handle_refused(conn, &mut transmit, NOW);
        }
        assert_eq!(world.server().audit().queued_bytes, rest.len());
        for _ in 0..20 {
            world.command(emit(Target::Socket(socket), &format!("\"{}\"", "x".repeat(90))));
        }
        assert_eq!(world.server().counters().too_slow, too_slow);
        assert!(world.server().poll_transmit(conn, &mut transmit));
        assert!(transmit.single().unwrap().starts_with(&rest), "before what came after it");
        transmit.discard();
    }
}

// RFC 6455 section 5.5.3: of several pings only the last needs its pong.
#[test]
fn a_pong_is_left_out_where_more_than_the_soft_limit_waits() {
    let mut ping = Vec::new();
    encode_frame(&mut ping, Fin::Final, Opcode::Ping, &[], Some([1, 2, 3, 4]));
    for (queued, pong) in [(1000, 2), (1001, 0)] {
        let mut config = open();
        config.limits.queue_soft_bytes = 1000;
        let mut world = World::new(config);
        let (conn, socket) = world.join("/");
        world.drain();
        // The event and the four bytes of its frame's header.
        let text = "x".repeat(queued - 4 - "42[\"event\",\"\"]".len());
        world.command(emit(Target::Socket(socket), &format!("\"{text}\"")));
        assert_eq!(world.server().audit().queued_bytes, queued);
        world.feed(conn, &ping);
        world.poll_events();
        assert_eq!(world.server().audit().queued_bytes, queued + pong);
    }
}

#[test]
fn who_joins_and_leaves_is_said_where_it_is_asked_for() {
    let mut world = World::new(open());
    let (_, socket) = world.join("/");
    world.drain();
    for (events, said) in [(RoomEvents::Off, 0), (RoomEvents::On, 1), (RoomEvents::Off, 0)] {
        world.server().set_room_events(events);
        for _ in 0..2 {
            world.command(Command::Join { target: Target::Socket(socket), room: "red".into() });
        }
        let joined = world.drain();
        assert_eq!(joined.len(), said, "once: {joined:?}");
        assert!(joined.iter().all(|event| matches!(event, Event::RoomJoined { room, .. } if room == "red")));
        for _ in 0..2 {
            world.command(Command::Leave { target: Target::Socket(socket), room: "red".into() });
        }
        let left = world.drain();
        assert_eq!(left.len(), said, "once: {left:?}");
        assert!(left.iter().all(|event| matches!(event, Event::RoomLeft { room, .. } if room == "red")));
    }
}

/// A session that polls is told of its end by the next poll. Until then it is there, but says nothing any more.
#[test]
fn a_long_packet_of_a_session_that_has_ended_is_not_taken() {
    let mut world = World::new(socket_io(1 << 24));
    let sid = world.open_polling();
    world.request(Method::POST, &sid, "40".into());
    let [Event::Connected(connect)] = &world.drain()[..] else { panic!("not connected") };
    let session = connect.session;
    world.request(Method::POST, &sid, format!(r#"42["long",[{}0]]"#, "12,".repeat(1 << 20)));
    world.command(Command::Close { session });
    let events = world.settle();
    assert!(matches!(&events[..], [Event::Disconnected { reason: Reason::ForcedClose, .. }]), "{events:?}");
    assert!(world.settle().is_empty());
}

#[test]
fn a_long_request_counts_for_an_unadmitted_peer() {
    let mut config = open();
    config.limits.unadmitted.admitted_by = AdmittedBy::Application;
    let mut world = World::new(config);
    let request = Request::get("/io?EIO=4&transport=polling").header("x-large", "x".repeat(30_000)).body(()).unwrap();
    let Head::Continue(id) = world.server().handle_http_head(ENDPOINT, request, NOW) else { panic!("refused") };
    world.server().handle_http_body(id, Bytes::new(), NOW);
    world.drain();
    let sid = world.answer(id).unwrap().split('"').nth(3).unwrap().to_owned();
    world.request(Method::POST, &sid, "40".into());
    let pinned = world.server().audit().unadmitted_bytes;
    assert!((27_000..30_100).contains(&pinned), "an ordinary head is free: {pinned}");
    world.drain();
}

#[test]
fn without_a_cluster_what_concerns_other_nodes_ends_at_once() {
    let mut world = World::new(open());
    let (_, socket) = world.join("/");
    world.drain();
    let (fetch, timeout) = (FetchId(3), Duration::from_secs(1));
    world.command(Command::Cluster(ClusterCommand::FetchSockets { fetch, target: Target::Socket(socket), timeout }));
    let ack = Some(AckRequest { emit: EmitId(4), timeout });
    let (namespace, name, args) = ("/".into(), "question".into(), Args::empty());
    world.command(Command::Cluster(ClusterCommand::ServerEmit { namespace, name, args, ack }));
    let events = world.drain();
    let [Event::Cluster(fetched), Event::Cluster(replies)] = &events[..] else { panic!("{events:?}") };
    let ClusterEvent::SocketsFetched { fetch: FetchId(3), sockets, nodes_missing: 0 } = &**fetched else {
        panic!("{fetched:?}")
    };
    assert_eq!(sockets.len(), 1, "this node's own");
    let ClusterEvent::ServerRepliesEnded { emit: EmitId(4), asked: 0, answered: 0, .. } = &**replies else {
        panic!("{replies:?}")
    };
}

/// WebSocket and polling clients of one endpoint, and no network.
struct World {
    kit: Kit<(), Clients>,
}

/// What the server says to them, and how much of it they take.
#[derive(Default)]
struct Clients {
    events: Vec<Event>,
    answers: Vec<(RequestId, String)>,
    paused: Vec<ConnId>,
    streams: Vec<(ConnId, Vec<u8>)>,
    /// Whether streams take bytes.
    takes: bool,
}

impl Hooks<()> for Clients {
    fn event(&mut self, event: Event, _stack: &mut Stack<()>, _now: Instant) {
        self.events.push(event);
    }

    fn respond(&mut self, request: RequestId, response: Response<Bytes>) {
        self.answers.push((request, String::from_utf8(response.body().to_vec()).unwrap()));
    }

    fn is_writable(&mut self, _conn: ConnId) -> bool {
        self.takes
    }

    fn write(&mut self, conn: ConnId, transmit: &Transmit) -> usize {
        let (_, stream) = self.streams.iter_mut().find(|(other, _)| *other == conn).unwrap();
        let mut slices = [std::io::IoSlice::new(&[]); 16];
        let count = transmit.slices(&mut slices);
        slices[..count].iter().map(|slice| stream.write(slice).unwrap()).sum()
    }

    fn read(&mut self, conn: ConnId, reading: Reading) {
        match reading {
            Reading::Paused => self.paused.push(conn),
            Reading::Resumed => self.paused.retain(|other| *other != conn),
        }
    }

    fn close(&mut self, _conn: ConnId) {}

    fn publish(&mut self, message: ClusterMessage) {
        panic!("there is no cluster: {message:?}");
    }

    fn subscribe(&mut self, channel: RoomChannel) {
        panic!("there is no cluster: {channel:?}");
    }

    fn unsubscribe(&mut self, channel: RoomChannel) {
        panic!("there is no cluster: {channel:?}");
    }
}

impl World {
    fn new(config: Config) -> Self {
        let start = Start { node: 0, now: NOW, wall: WallTime::default(), seed: [1; 32] };
        let server = Server::new(config, start).unwrap();
        Self { kit: Kit::new(Stack::new(server, ()), Clients::default(), NOW) }
    }

    fn server(&mut self) -> &mut Server {
        self.kit.server()
    }

    fn open_web_socket(&mut self) -> ConnId {
        let target = "/io?EIO=4&transport=websocket".parse().unwrap();
        let request = ClientHandshake::new([0; 16]).request(&"localhost".parse().unwrap(), &target);
        let Upgrade::Accept(conn, _) = self.server().handle_upgrade(ENDPOINT, &request, NOW) else { panic!("refused") };
        self.kit.hooks.streams.push((conn, Vec::new()));
        conn
    }

    /// A WebSocket client in a namespace that is open.
    fn join(&mut self, namespace: &str) -> (ConnId, SocketId) {
        let conn = self.open_web_socket();
        let prefix = if namespace == "/" { "40".to_owned() } else { format!("40{namespace},") };
        self.feed(conn, &client_frame(&prefix));
        let events = self.drain();
        let Some(Event::Connected(connect)) = events.last() else { panic!("{events:?}") };
        (conn, connect.socket)
    }

    /// The sid of a polling client.
    fn open_polling(&mut self) -> String {
        let request = Request::get("/io?EIO=4&transport=polling").body(()).unwrap();
        let Head::Continue(id) = self.server().handle_http_head(ENDPOINT, request, NOW) else { panic!("refused") };
        self.server().handle_http_body(id, Bytes::new(), NOW);
        self.drain();
        let open = self.answer(id).unwrap();
        open.split('"').nth(3).unwrap().to_owned()
    }

    fn request(&mut self, method: Method, sid: &str, body: String) -> RequestId {
        let target = format!("/io?EIO=4&transport=polling&sid={sid}");
        let request = Request::builder().method(method).uri(target).body(()).unwrap();
        let Head::Continue(id) = self.server().handle_http_head(ENDPOINT, request, NOW) else { panic!("refused") };
        self.server().handle_http_body(id, body.into(), NOW);
        id
    }

    fn answer(&self, request: RequestId) -> Option<String> {
        self.kit.hooks.answers.iter().find(|(id, _)| *id == request).map(|(_, body)| body.clone())
    }

    fn feed(&mut self, conn: ConnId, bytes: &[u8]) {
        self.kit.input(Input::WsBytes { conn, bytes });
    }

    fn end(&mut self, conn: ConnId) {
        self.kit.input(Input::WsEnded { conn });
    }

    fn command(&mut self, command: Command) {
        self.kit.command(command);
    }

    fn is_paused(&self, conn: ConnId) -> bool {
        self.kit.hooks.paused.contains(&conn)
    }

    fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.kit.hooks.events)
    }

    /// The events, with everything else carried out, but nothing written.
    fn poll_events(&mut self) -> Vec<Event> {
        self.kit.drain();
        self.take_events()
    }

    /// The events, with everything written.
    fn drain(&mut self) -> Vec<Event> {
        let mut events = self.poll_events();
        for index in 0..self.kit.hooks.streams.len() {
            self.flush(self.kit.hooks.streams[index].0);
        }
        events.extend(self.poll_events());
        events
    }

    /// The events until nothing is due, of as many turns as it takes to see one.
    fn settle(&mut self) -> Vec<Event> {
        loop {
            let events = self.drain();
            match self.kit.next_deadline() {
                Some((at, TimerKind::Intake)) if events.is_empty() => self.server().handle_timeout(at),
                Some(_) | None => return events,
            }
        }
    }

    fn flush(&mut self, conn: ConnId) {
        self.kit.hooks.takes = true;
        self.kit.transmit(conn);
        self.kit.hooks.takes = false;
    }

    /// The texts that a client was sent since the last time.
    fn texts(&mut self, conn: ConnId) -> Vec<String> {
        self.flush(conn);
        let streams = &mut self.kit.hooks.streams;
        let (_, stream) = streams.iter_mut().find(|(other, _)| *other == conn).unwrap();
        let bytes = std::mem::take(stream);
        let (mut decoder, mut rest, mut texts) = (Decoder::new(Role::Client), &bytes[..], Vec::new());
        let limits = FrameLimits { message_bytes_max: 1 << 24, fragments_max: 1 };
        while let Some(message) = decoder.decode(&limits, &mut rest).unwrap() {
            if let roomcast_core::websocket::WsMessage::Text(text) = message {
                texts.push(text.to_string());
            }
        }
        texts
    }
}

impl Drop for World {
    /// After any course of events, nothing stays behind.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.command(Command::Shutdown);
        for index in 0..self.kit.hooks.streams.len() {
            self.end(self.kit.hooks.streams[index].0);
        }
        self.poll_events();
        self.server().handle_timeout(NOW + Duration::from_secs(3600));
        self.poll_events();
        assert_eq!(self.server().audit(), Audit::default());
    }
}

fn open() -> Config {
    Config::new([Endpoint::socket_io("/io")])
}

fn socket_io(message_bytes_max: usize) -> Config {
    let mut config = open();
    let EndpointKind::SocketIo(engine, _) = &mut config.endpoints[0].kind else { panic!("Socket.IO") };
    engine.max_payload_bytes = message_bytes_max;
    config
}

fn engine_io() -> Config {
    Config::new([Endpoint::engine_io("/io")])
}

/// A configuration in which `/none` is closed and the application decides on every CONNECT to another namespace.
fn asking() -> Config {
    let mut config = open();
    let EndpointKind::SocketIo(_, settings) = &mut config.endpoints[0].kind else { panic!("Socket.IO") };
    let rule = |pattern, admission| NamespaceRule { pattern, admission };
    settings.namespaces = vec![
        rule(Pattern::Exact("/none".into()), Admission::Closed),
        rule(Pattern::Prefix("/".into()), Admission::Ask),
    ];
    config
}

fn emit(target: Target, json: &str) -> Command {
    let args = Args::from_json_values(ByteString::from(json)).unwrap();
    Command::Emit(Emit { target, name: "event".into(), args, delivery: Delivery::Reliable, ack: None })
}

fn client_frame(text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    encode_frame(&mut frame, Fin::Final, Opcode::Text, text.as_bytes(), Some([1, 2, 3, 4]));
    frame
}

fn client_binary(bytes: usize) -> Vec<u8> {
    let mut frame = Vec::new();
    encode_frame(&mut frame, Fin::Final, Opcode::Binary, &vec![7; bytes], Some([1, 2, 3, 4]));
    frame
}

const ENDPOINT: EndpointId = EndpointId::new(0);
const NOW: Instant = Instant::from_millis(1000);
