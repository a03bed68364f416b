//! The dialect of `@socket.io/redis-adapter` beside what it and the emitter publish and receive.
//! `conformance/bus/js/vectors.mjs` makes the vectors; `ROOMCAST_WRITE_VECTORS=1` writes what we publish for it.
#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows the test functions only")]

mod dialects;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use bytestring::ByteString;
use dialects::{args, emit_to, names, node, resolved, vectors};
use proptest::prelude::*;
use roomcast_core::cluster::{
    Beat, BusChannel, ClusterBody, ClusterEmit, ClusterMessage, Codec, DecodeError, JavaScript, NodeId, Recipients,
    RemoteSocket, RequestToken, RoomChannel, Subscriptions,
};
use roomcast_core::socket_io::{Args, ArgsBuilder, Delivery, Extent};
use serde_json::{Value, json};

#[test]
fn every_value_that_is_emitted_is_read() {
    let long = [json!("x".repeat(31)), json!("x".repeat(32)), json!("y".repeat(256)), json!("z".repeat(65_536))];
    let map: serde_json::Map<_, _> = (0..16).map(|n| (format!("k{n}"), json!(n))).collect();
    let long: Value = long.into_iter().chain([Value::from(vec![0; 16]), Value::from(map)]).collect();
    let numbers = [
        127,
        128,
        255,
        256,
        65_535,
        65_536,
        4_294_967_295,
        4_294_967_296,
        9_007_199_254_740_992,
        -32,
        -33,
        -128,
        -129,
        -32_769,
        -2_147_483_649_i64,
    ];
    for (call, expected) in [
        ("io.emit('event')", json!([])),
        (
            "io.emit('event', 1, -1, 1.5, 'é😀', null, undefined, true, [2], {a: {b: []}})",
            json!([1, -1, 1.5, "é😀", null, null, true, [2], {"a": {"b": []}}]),
        ),
        ("large numbers", json!(numbers)),
        ("long values", long),
        ("no numbers", json!([null, null])),
        ("a date", json!(["2026-11-21T20:30:00.123Z", "1970-01-01T00:00:00.000Z", "1969-12-31T23:59:59.999Z"])),
        ("emitter.emit('event', 1)", json!([1])),
    ] {
        let emit = emit(call);
        assert_eq!((&*emit.name, emit.recipients, emit.ack), ("event", Recipients::everyone("/".into()), None));
        assert_eq!(values(&emit.args.args().unwrap()), expected, "{call}");
    }
    let args = emit("bytes").args.args().unwrap();
    let at = |num: u32| json!({"_placeholder": true, "num": num});
    assert_eq!(values(&args), json!([at(0), {"x": at(1), "y": [at(2), at(3)]}]));
    assert_eq!(args.attachments(), [&b"\0\xff"[..], b"\x01", b"", b"\x07"]);
}

#[test]
fn whom_servers_and_the_emitter_mean_is_read() {
    for (call, namespace, rooms, except, delivery) in [
        ("io.to('red').emit('event', 1)", "/", &["red"][..], &[][..], Delivery::Reliable),
        ("io.to(5).emit('event', 1)", "/", &["5"], &[], Delivery::Reliable),
        (
            "io.to(['red', 'blue']).except('green').emit('event', 1)",
            "/",
            &["red", "blue"],
            &["green"],
            Delivery::Reliable,
        ),
        ("io.volatile.compress(true).emit('event', 1)", "/", &[], &[], Delivery::Volatile),
        ("io.of('/admin').emit('event', 1)", "/admin", &[], &[], Delivery::Reliable),
        (
            "emitter.of('admin').to('a').to('b').except('c').volatile.emit('event')",
            "/admin",
            &["a", "b"],
            &["c"],
            Delivery::Volatile,
        ),
        ("emitter.to('red').emit('event', Buffer)", "/", &["red"], &[], Delivery::Reliable),
    ] {
        let emit = emit(call);
        let expected = Recipients { namespace: namespace.into(), rooms: names(rooms), except: names(except) };
        assert_eq!((emit.recipients, emit.delivery, emit.ack), (expected, delivery, None), "{call}");
    }
    assert!(published("io.local.emit('event', 1)").is_empty());
    // Another server's namespaces, rooms and keys are not ours.
    let [(channel, payload)] = &published("io.of('/admin').emit('event', 1)")[..] else { panic!("one") };
    assert_eq!(JavaScript::default().decode(channel, payload.clone()), Ok(None));
    assert_eq!(JavaScript::new("other").decode("socket.io#/#", payload.clone()), Ok(None));
}

#[test]
fn what_servers_and_the_emitter_request_is_read() {
    let (red, everyone) = (|| Recipients::room("/".into(), "red".into()), || Recipients::everyone("/".into()));
    let but_red = || Recipients { except: names(&["red"]), ..everyone() };
    let token = || RequestToken { key: "AAAAAA".into(), id: 0 };
    let server_emit = |args: &'static str, token| ClusterBody::ServerEmit {
        namespace: "/".into(),
        name: "event".into(),
        args: Args::from_json_values(args).unwrap().into(),
        token,
    };
    let namespace = || ByteString::from("/");
    for (call, body) in [
        ("io.in('red').socketsJoin('blue')", ClusterBody::Join { recipients: red(), room: "blue".into() }),
        (
            "io.except('red').socketsJoin(['blue', 'green'])",
            ClusterBody::JoinRooms { recipients: but_red(), rooms: names(&["blue", "green"]) },
        ),
        ("io.in('red').socketsLeave('blue')", ClusterBody::Leave { recipients: red(), room: "blue".into() }),
        (
            "io.socketsLeave(['blue', 'green'])",
            ClusterBody::LeaveRooms { recipients: everyone(), rooms: names(&["blue", "green"]) },
        ),
        ("io.in('red').disconnectSockets()", ClusterBody::Disconnect { recipients: red(), extent: Extent::Namespace }),
        (
            "io.in('red').disconnectSockets(true)",
            ClusterBody::Disconnect { recipients: red(), extent: Extent::Connection },
        ),
        (
            "io.in('red').except('blue').fetchSockets()",
            ClusterBody::FetchSockets { recipients: Recipients { except: names(&["blue"]), ..red() }, token: token() },
        ),
        ("io.serverSideEmit('event', 1, {a: 'é'})", server_emit(r#"1,{"a":"é"}"#, None)),
        ("io.serverSideEmit('event', callback)", server_emit("", Some(token()))),
        ("adapter.allRooms()", ClusterBody::FetchRooms { namespace: namespace(), token: token() }),
        ("emitter.in('red').socketsJoin('blue')", ClusterBody::Join { recipients: red(), room: "blue".into() }),
        (
            "emitter.in('red').socketsLeave(['blue', 'green'])",
            ClusterBody::LeaveRooms { recipients: red(), rooms: names(&["blue", "green"]) },
        ),
        (
            "emitter.in('red').disconnectSockets(true)",
            ClusterBody::Disconnect { recipients: red(), extent: Extent::Connection },
        ),
        ("emitter.serverSideEmit('event', 1)", server_emit("1", None)),
    ] {
        let message = decoded(call);
        let from = if !call.starts_with("emitter") {
            "AAAAAA"
        } else if call.contains("serverSide") {
            "emitter"
        } else {
            "-"
        };
        assert_eq!((message.from.as_str(), message.seq), (from, None));
        assert_eq!(resolved(message).body, body, "{call}");
    }
    let emit = emit("io.to('red').timeout(1).emit('event', 1, callback)");
    assert_eq!((emit.recipients, emit.ack), (red(), Some(token())));
}

#[test]
fn javascript_reads_what_we_publish() {
    let written: Vec<_> = cases()
        .into_iter()
        .map(|(name, bodies)| {
            let messages = bodies.into_iter().map(|body| {
                let envelope = codec().encode(&ClusterMessage { from: node('c'), seq: Some(7), body }).unwrap();
                json!({"channel": envelope.channel, "payload": STANDARD.encode(envelope.payload)})
            });
            json!({"name": name, "messages": messages.collect::<Vec<_>>()})
        })
        .collect();
    if std::env::var_os("ROOMCAST_WRITE_VECTORS").is_some() {
        let text = serde_json::to_string_pretty(&written).unwrap();
        std::fs::write(vectors("javascript-adapter", "roomcast"), format!("{text}\n")).unwrap();
    }
    assert_eq!(read_json("roomcast"), Value::from(written), "run with ROOMCAST_WRITE_VECTORS=1, then vectors.mjs");
    let received = read_json("received");
    let of = |name: &str| received.as_array().unwrap().iter().find(|case| case["name"] == name).unwrap().clone();
    let sent =
        |name: &str| of(name)["clients"].as_array().unwrap().iter().map(|client| client["sent"].clone()).collect();
    let event = json!([r#"2["event",1]"#]);
    let binary = json!([r#"51-["event",{"_placeholder":true,"num":0}]"#, {"base64": "AAE="}]);
    for (name, expected) in [
        ("values", json!([[], [r#"2["event",{"a":[1,"é\u0001",-2,0.5]},null,true]"#]])),
        ("bytes", json!([binary, binary])),
        ("volatile", json!([[r#"2["event",1]"#, "volatile"], [r#"2["event",1]"#, "volatile"]])),
        ("one socket", json!([event, []])),
        ("two rooms", json!([[], event])),
        ("except", json!([[], event])),
        ("heartbeat", json!([[], []])),
        ("with ack", json!([[r#"20["event",1]"#], [r#"20["event",1]"#]])),
    ] {
        let sent: Value = sent(name);
        assert_eq!(sent, expected, "{name}");
    }
    let rooms = |name: &str| -> Value {
        of(name)["clients"].as_array().unwrap().iter().map(|client| client["rooms"].clone()).collect()
    };
    assert_eq!(rooms("join"), json!([[FIRST, "blue"], [SECOND, "red"]]));
    assert_eq!(rooms("join rooms"), json!([[FIRST], [SECOND, "red", "a", "b"]]));
    assert_eq!(rooms("leave"), json!([[FIRST], [SECOND]]));
    assert_eq!(rooms("close room"), json!([[FIRST], [SECOND]]));
    let gone = |name: &str| json!([of(name)["clients"][0]["gone"], of(name)["clients"][1]["gone"]]);
    assert_eq!(gone("disconnect"), json!([null, {"close": false}]));
    assert_eq!(gone("disconnect all"), json!([{"close": true}, {"close": true}]));
    assert_eq!(of("server emit")["heard"], json!([[1, {"base64": "AAE="}]]));
    for (name, expected) in [
        ("answer: sockets", json!([[FIRST, [FIRST]], [SECOND, [SECOND, "red"]], ["third", ["third", "blue"]]])),
        ("answer: rooms", json!([FIRST, SECOND, "red", "third", "blue"])),
        ("answer: server reply", json!(["of roomcast"])),
        ("answer: count and acks", json!(["of javascript", {"type": "Buffer", "data": [0, 1]}, null])),
    ] {
        assert_eq!(of(name)["result"], expected, "{name}");
    }
}

#[test]
fn what_javascript_answers_us_is_read() {
    let token = || RequestToken { key: "".into(), id: 5 };
    let received = read_json("received");
    let answers = |name: &str| -> Vec<ClusterBody> {
        let case = received.as_array().unwrap().iter().find(|case| case["name"] == name).unwrap();
        let answer = |(channel, payload): (String, Bytes)| {
            let message = codec().decode(&channel, payload).unwrap().unwrap();
            assert_eq!((&message.from, message.seq), (&NodeId::unnamed(), None));
            resolved(message).body
        };
        publications(&case["published"]).into_iter().map(answer).collect()
    };
    let to = || node('c');
    let ack = || {
        let mut args = ArgsBuilder::new();
        let bytes = args.attach(Bytes::from_static(b"\x01"));
        args.push(&json!({ "bytes": bytes })).unwrap();
        let args = args.finish().unwrap().into();
        ClusterBody::Ack { to: to(), token: token(), namespace: "/".into(), args }
    };
    assert_eq!(answers("with ack"), [ClusterBody::AckCount { to: to(), token: token(), asked: 2 }, ack(), ack()]);
    let sockets = vec![
        RemoteSocket { sid: FIRST.into(), rooms: Vec::new() },
        RemoteSocket { sid: SECOND.into(), rooms: names(&["red"]) },
    ];
    assert_eq!(answers("fetch"), [ClusterBody::Sockets { to: to(), token: token(), sockets }]);
    let args = Args::from_json_values("\"replied\"").unwrap().into();
    assert_eq!(answers("server emit with reply"), [ClusterBody::ServerReply { to: to(), token: token(), args }]);
    // With another key, to the channel of the asker.
    let published = published("key: 'other', publishOnSpecificResponseChannel: true");
    let [_, (channel, payload)] = &published[..] else { panic!("{published:?}") };
    let other = JavaScript::new("other").specific_responses();
    assert!(other.channels(&node('b')).contains(&BusChannel::Exact(channel.clone())));
    let answer = other.decode(channel, payload.clone()).unwrap().unwrap();
    assert!(matches!(answer.body, ClusterBody::Sockets { to, .. } if to == node('b')));
    let token = RequestToken { key: "AAAAAA".into(), id: 0 };
    let body = ClusterBody::AckCount { to: node('b'), token, asked: 1 };
    assert_eq!(other.encode(&ClusterMessage { from: node('c'), seq: None, body }).unwrap().channel, *channel);
}

#[test]
fn answers_to_others_are_passed_over() {
    for answer in [
        &br#"{"requestId":"AAAAAA","sockets":[{"id":"x","rooms":["x"]}]}"#[..],
        br#"{"requestId":":1","type":8,"clientCount":1}"#,
        br#"{"requestId":"node:-1","type":8,"clientCount":1}"#,
        br#"{"requestId":"node:1"}"#,
        b"\x81\xa9requestId\xa6AAAAAA",
        b"\x80",
    ] {
        assert_eq!(codec().decode("socket.io-response#/#", Bytes::from_static(answer)), Ok(None));
    }
}

#[test]
fn channels_are_those_of_the_adapter() {
    let own = node('c');
    let exact = |name: &str| BusChannel::Exact(name.into());
    let specific = format!("socket.io-response#/#{own}#");
    assert_eq!(
        JavaScript::default().channels(&own),
        [
            BusChannel::Pattern("socket.io#/#*".into()),
            exact("socket.io-request#/#"),
            exact("socket.io-response#/#"),
            exact(&specific),
            exact("socket.io-roomcast#"),
        ]
    );
    let per_room = JavaScript::new("a*").namespaces(["/x"]).subscriptions(Subscriptions::PerRoom);
    assert_eq!(per_room.channels(&own)[0], exact("a*#/x#"));
    assert_eq!(JavaScript::new("a*").channels(&own)[0], BusChannel::Pattern("a\\*#/#*".into()));
    let room = RoomChannel { namespace: "/x".into(), room: "red".into() };
    assert_eq!(per_room.room_channel(&room), exact("a*#/x#red#"));
    let emit = emit_to(Recipients::room("/x".into(), "red".into()), Args::empty());
    let message = ClusterMessage { from: own, seq: None, body: emit };
    assert_eq!(BusChannel::Exact(per_room.encode(&message).unwrap().channel), per_room.room_channel(&room));
}

#[test]
fn hostile_messages_are_refused_in_time_and_space_of_their_length() {
    let broadcast = |payload: Vec<u8>| codec().decode("socket.io#/#", payload.into());
    let request = |payload: Vec<u8>| codec().decode("socket.io-request#/#", payload.into());
    let announced = b"\x93\xa1x\x83\xa4type\x02\xa4data\xdd\xff\xff\xff\xff\xa5event";
    assert!(broadcast(announced.to_vec()).is_err());
    let deep = [&b"\x93\xa1x\x82\xa4type\x02\xa4data\x92\xa5event"[..], &vec![0x91; 1_000_000], b"\xc0\x80"].concat();
    let Ok(Some(ClusterMessage { body: ClusterBody::Emit(emit), .. })) = broadcast(deep) else { panic!("an emit") };
    assert!(emit.args.args().is_err());
    assert!(request([b"{\"type\":2,\"opts\":".to_vec(), vec![b'['; 1_000_000]].concat()).is_err());
    assert!(request([b"\x82\xa4type\x02\xa4opts".to_vec(), vec![0x81; 1_000_000]].concat()).is_err());
    let id = "x".repeat(10_000);
    let long = format!(r#"{{"type":1,"requestId":"{id}"}}"#);
    assert_eq!(request(long.into_bytes()), Err(DecodeError::Field("requestId")), "it would go back with each answer");
    // JavaScript refuses it, too, and with an uncaught exception.
    let behind = [
        &codec()
            .encode(&ClusterMessage { from: node('c'), seq: None, body: cases().remove(0).1.remove(0) })
            .unwrap()
            .payload[..],
        b"\0",
    ]
    .concat();
    assert_eq!(broadcast(behind), Err(DecodeError::Malformed));
    assert_eq!(broadcast(b"{}".to_vec()), Err(DecodeError::Malformed));
    // Packets that are none of events, and words of other versions.
    assert_eq!(broadcast(b"\x93\xa1x\x82\xa4type\x01\xa4data\xc0\x80".to_vec()), Ok(None));
    assert_eq!(request(br#"{"type":77}"#.to_vec()), Ok(None));
}

proptest! {
    #[test]
    fn messages_come_back_as_they_went(body in body(), seq: Option<u64>) {
        let message = ClusterMessage { from: node('c'), seq, body };
        let envelope = codec().encode(&message).unwrap();
        let back = codec().decode(&envelope.channel, envelope.payload).unwrap().unwrap();
        prop_assert_eq!(known(resolved(back)), known(resolved(message)));
    }

    #[test]
    fn a_message_with_bytes_changed_is_read_or_refused(body in body(), at: prop::sample::Index, byte: u8, cut: bool) {
        let message = ClusterMessage { from: node('c'), seq: None, body };
        let envelope = codec().encode(&message).unwrap();
        let mut bytes = envelope.payload.to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(if cut { at } else { bytes.len() });
        if let Ok(Some(read)) = codec().decode(&envelope.channel, bytes.into()) {
            // Its payload, too.
            let _ = codec().encode(&read);
        }
    }
}

/// A request comes back with its whole id, by which it is answered.
fn known(mut message: ClusterMessage) -> ClusterMessage {
    let from = message.from.clone();
    if let ClusterBody::Emit(ClusterEmit { ack: Some(token), .. })
    | ClusterBody::FetchSockets { token, .. }
    | ClusterBody::FetchRooms { token, .. }
    | ClusterBody::ServerEmit { token: Some(token), .. } = &mut message.body
    {
        if !token.key.starts_with(from.as_str()) {
            token.key = format!("{from}:{}", token.id).into();
        }
        token.id = 0;
    }
    message
}

/// Each kind of message that JavaScript may come to see. The last ones answer what it has asked.
fn cases() -> Vec<(&'static str, Vec<ClusterBody>)> {
    let (red, everyone) = (|| Recipients::room("/".into(), "red".into()), || Recipients::everyone("/".into()));
    let args = |values: &'static str| Args::from_json_values(values).unwrap();
    let one = |recipients| emit_to(recipients, args("1"));
    let with = |change: fn(&mut ClusterEmit)| {
        let ClusterBody::Emit(mut emit) = emit_to(Recipients::everyone("/".into()), args("1")) else {
            panic!("an emit")
        };
        change(&mut emit);
        ClusterBody::Emit(emit)
    };
    let bytes = |first: &[u32]| {
        let mut bytes = ArgsBuilder::new();
        let attachment = bytes.attach(Bytes::from_static(b"\0\x01"));
        first.iter().for_each(|value| bytes.push(value).unwrap());
        bytes.push(&attachment).unwrap();
        bytes.finish().unwrap()
    };
    let ours = || RequestToken { key: "".into(), id: 5 };
    let theirs = || RequestToken { key: "AAAAAA".into(), id: 0 };
    let to = || NodeId::parse("AAAAAA").unwrap();
    let (namespace, name) = (|| ByteString::from("/"), || ByteString::from("event"));
    let but_first = || Recipients { except: names(&[FIRST]), ..everyone() };
    let server_emit =
        |args: Args, token| ClusterBody::ServerEmit { namespace: namespace(), name: name(), args: args.into(), token };
    let ack = |args: Args| ClusterBody::Ack { to: to(), token: theirs(), namespace: namespace(), args: args.into() };
    let third = RemoteSocket { sid: "third".into(), rooms: names(&["blue"]) };
    vec![
        ("values", vec![emit_to(red(), args("{\"a\":[1,\"é\\u0001\",-2,0.5]},null,true"))]),
        ("bytes", vec![emit_to(everyone(), bytes(&[]))]),
        ("volatile", vec![with(|emit| emit.delivery = Delivery::Volatile)]),
        ("one socket", vec![one(Recipients::room("/".into(), FIRST.into()))]),
        ("two rooms", vec![one(Recipients { rooms: names(&["red", "blue"]), ..red() })]),
        ("except", vec![one(but_first())]),
        ("with ack", vec![with(|emit| emit.ack = Some(RequestToken { key: "".into(), id: 5 }))]),
        (
            "join",
            vec![ClusterBody::Join {
                recipients: Recipients { except: names(&["red"]), ..everyone() },
                room: "blue".into(),
            }],
        ),
        ("join rooms", vec![ClusterBody::JoinRooms { recipients: red(), rooms: names(&["a", "b"]) }]),
        ("leave", vec![ClusterBody::Leave { recipients: but_first(), room: "red".into() }]),
        ("close room", vec![ClusterBody::CloseRoom { namespace: namespace(), room: "red".into() }]),
        ("disconnect", vec![ClusterBody::Disconnect { recipients: red(), extent: Extent::Namespace }]),
        ("disconnect all", vec![ClusterBody::Disconnect { recipients: everyone(), extent: Extent::Connection }]),
        ("fetch", vec![ClusterBody::FetchSockets { recipients: everyone(), token: ours() }]),
        ("server emit", vec![server_emit(bytes(&[1]), None)]),
        ("server emit with reply", vec![server_emit(args("1"), Some(ours()))]),
        ("heartbeat", vec![ClusterBody::Heartbeat(Beat::First), ClusterBody::Goodbye]),
        ("answer: sockets", vec![ClusterBody::Sockets { to: to(), token: theirs(), sockets: vec![third] }]),
        ("answer: rooms", vec![ClusterBody::Rooms { to: to(), token: theirs(), rooms: names(&["third", "blue"]) }]),
        (
            "answer: server reply",
            vec![ClusterBody::ServerReply { to: to(), token: theirs(), args: args("\"of roomcast\",2").into() }],
        ),
        (
            "answer: count and acks",
            vec![ClusterBody::AckCount { to: to(), token: theirs(), asked: 2 }, ack(bytes(&[])), ack(Args::empty())],
        ),
    ]
}

fn body() -> impl Strategy<Value = ClusterBody> {
    let emit = (recipients(), name(), args(), any::<bool>(), prop::option::of(token())).prop_map(
        |(recipients, name, args, is_volatile, ack)| {
            let delivery = if is_volatile { Delivery::Volatile } else { Delivery::Reliable };
            ClusterBody::Emit(ClusterEmit { recipients, name, args: args.into(), delivery, ack })
        },
    );
    let extent = prop_oneof![Just(Extent::Namespace), Just(Extent::Connection)];
    let socket = (name(), prop::collection::vec("[0-9]{1,9}".prop_map(ByteString::from), 0..3))
        .prop_map(|(sid, rooms)| RemoteSocket { sid: format!("s{sid}").into(), rooms });
    let to = || Just(node('d'));
    let rooms = || prop::collection::vec(name(), 2..20);
    prop_oneof![
        4 => emit,
        1 => (to(), token(), any::<u32>()).prop_map(|(to, token, asked)| ClusterBody::AckCount { to, token, asked }),
        1 => (to(), token(), args()).prop_map(|(to, token, args)| {
            ClusterBody::Ack { to, token, namespace: "/".into(), args: args.into() }
        }),
        1 => (recipients(), name()).prop_map(|(recipients, room)| ClusterBody::Join { recipients, room }),
        1 => (recipients(), rooms()).prop_map(|(recipients, rooms)| ClusterBody::JoinRooms { recipients, rooms }),
        1 => (recipients(), name()).prop_map(|(recipients, room)| ClusterBody::Leave { recipients, room }),
        1 => (recipients(), rooms()).prop_map(|(recipients, rooms)| ClusterBody::LeaveRooms { recipients, rooms }),
        1 => (recipients(), extent).prop_map(|(recipients, extent)| ClusterBody::Disconnect { recipients, extent }),
        1 => (recipients(), token()).prop_map(|(recipients, token)| ClusterBody::FetchSockets { recipients, token }),
        1 => token().prop_map(|token| ClusterBody::FetchRooms { namespace: "/".into(), token }),
        1 => (to(), token(), prop::collection::vec(socket, 0..3))
            .prop_map(|(to, token, sockets)| ClusterBody::Sockets { to, token, sockets }),
        1 => (name(), args(), prop::option::of(token())).prop_map(|(name, args, token)| {
            ClusterBody::ServerEmit { namespace: "/".into(), name, args: args.into(), token }
        }),
        1 => (to(), token(), args()).prop_map(|(to, token, args)| {
            ClusterBody::ServerReply { to, token, args: args.into() }
        }),
        1 => prop_oneof![Just(Beat::First), Just(Beat::Regular)].prop_map(ClusterBody::Heartbeat),
        1 => Just(ClusterBody::Goodbye),
    ]
}

fn recipients() -> impl Strategy<Value = Recipients> {
    let names = || prop::collection::vec(name(), 0..3);
    (names(), names()).prop_map(|(rooms, except)| Recipients { namespace: "/".into(), rooms, except })
}

fn name() -> impl Strategy<Value = ByteString> {
    r#"[a-z:\\"/\n\[\]{},#*é😀]{0,40}"#.prop_map(ByteString::from)
}

fn token() -> impl Strategy<Value = RequestToken> {
    any::<u64>().prop_map(|id| RequestToken { key: "".into(), id })
}

fn emit(call: &str) -> ClusterEmit {
    let message = decoded(call);
    assert_eq!(message.from.as_str(), if call.starts_with("emitter") { "emitter" } else { "AAAAAA" });
    let ClusterBody::Emit(emit) = message.body else { panic!("an emit: {call}") };
    emit
}

fn decoded(call: &str) -> ClusterMessage {
    let published = published(call);
    let [(channel, payload)] = &published[..] else { panic!("one message: {call}") };
    codec().decode(channel, payload.clone()).unwrap().unwrap()
}

fn published(call: &str) -> Vec<(String, Bytes)> {
    let all = read_json("published");
    let vector = all.as_array().unwrap().iter().find(|vector| vector["call"] == call);
    publications(&vector.unwrap_or_else(|| panic!("{call}"))["published"])
}

fn publications(list: &Value) -> Vec<(String, Bytes)> {
    let publication = |message: &Value| {
        let payload = STANDARD.decode(message["payload"].as_str().unwrap()).unwrap();
        (message["channel"].as_str().unwrap().to_owned(), payload.into())
    };
    list.as_array().unwrap().iter().map(publication).collect()
}

fn codec() -> JavaScript {
    JavaScript::default().namespaces(["/", "/admin"])
}

fn values(args: &Args) -> Value {
    serde_json::from_str(&format!("[{}]", args.json())).unwrap()
}

fn read_json(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(vectors("javascript-adapter", name)).unwrap()).unwrap()
}

/// What the clients are called, in the order in which they connect.
const FIRST: &str = "first-socket-AAAAAAA";
const SECOND: &str = "second-socket-BBBBBB";
