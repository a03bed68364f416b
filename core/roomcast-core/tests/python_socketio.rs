//! The dialect of python-socketio beside what its versions publish and receive. `python-socketio/vectors.py` makes the
//! vectors; `ROOMCAST_WRITE_VECTORS=1` writes what we publish for it.
#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows the test functions only")]

mod dialects;

use bytes::Bytes;
use bytestring::ByteString;
use dialects::{args, emit_to, names, node, resolved, vectors};
use proptest::prelude::*;
use roomcast_core::cluster::{
    Beat, BusChannel, ClusterBody, ClusterEmit, ClusterMessage, Codec, DecodeError, NodeId, Python, Recipients,
    RemoteSocket, RequestToken, RoomChannel, RoomChannels,
};
use roomcast_core::socket_io::{Args, ArgsBuilder, Delivery, Extent};
use serde_json::{Value, json};

#[test]
fn what_every_version_emits_is_read() {
    for version in ["5.15.0", "5.15.1", "5.16.2"] {
        let published = published(version);
        // A bare list is ambiguous: 5.15.0 means one argument.
        let is_old = version == "5.15.0";
        let list = |new: Value, old: Value| if is_old { old } else { new };
        for (data, args) in [
            (r#""text""#, json!(["text"])),
            ("1", json!([1])),
            ("1.5", json!([1.5])),
            ("True", json!([true])),
            ("None", json!([])),
            ("{}", json!([{}])),
            (r#"{"a": [1, {"b": None}], "é😀": "\n\"/"}"#, json!([{"a": [1, {"b": null}], "é😀": "\n\"/"}])),
            ("[]", list(json!([[]]), json!([]))),
            ("[7]", list(json!([[7]]), json!([7]))),
            ("[1, 2]", list(json!([[1, 2]]), json!([1, 2]))),
            ("()", json!([])),
            ("(1,)", json!([1])),
            (r#"(1, "two", [3])"#, json!([1, "two", [3]])),
            ("(None,)", json!([])),
        ] {
            let emit = emit(&published, &format!("emit('event', {data}, room='red')"));
            assert_eq!((&*emit.name, emit.recipients), ("event", Recipients::room("/".into(), "red".into())));
            assert_eq!((emit.ack, emit.delivery), (None, Delivery::Reliable));
            assert_eq!(values(&emit.args.args().unwrap()), args, "{version} {data}");
        }
        let at = |num: u32| json!({"_placeholder": true, "num": num});
        for (data, args, attachments) in [
            (r#"b"\x00\xff""#, json!([at(0)]), &[&b"\x00\xff"[..]][..]),
            (r#"{"file": b"abc", "more": [b""]}"#, json!([{"file": at(0), "more": [at(1)]}]), &[b"abc", b""]),
            (r#"[b"a"]"#, list(json!([[at(0)]]), json!([at(0)])), &[b"a"]),
        ] {
            let emit = emit(&published, &format!("emit('event', {data}, room='red')"));
            let read = emit.args.args().unwrap();
            assert_eq!((values(&read), read.attachments().len()), (args, attachments.len()), "{version} {data}");
            assert!(read.attachments().iter().zip(attachments).all(|(read, expected)| read == expected));
        }
    }
}

#[test]
fn whom_every_version_means_is_read() {
    for version in ["5.15.0", "5.15.1", "5.16.2"] {
        let published = published(version);
        for (keywords, rooms, except) in [
            ("room=None", &[][..], &[][..]),
            ("room=['red', 'blue']", &["red", "blue"], &[]),
            (r#"room='r\u00e9d "1"'"#, &["réd \"1\""], &[]),
            ("room='red', skip_sid='x'", &["red"], &["x"]),
            ("room='red', skip_sid=['x', 'y']", &["red"], &["x", "y"]),
            ("room='red', namespace='/admin'", &["red"], &[]),
            ("room='red', callback=ignore", &["red"], &[]),
            ("room='red', callback=ignore, namespace='/admin'", &["red"], &[]),
        ] {
            let emit = emit(&published, &format!("emit('event', 1, {keywords})"));
            let namespace = if keywords.contains("admin") { "/admin" } else { "/" };
            assert_eq!((emit.recipients.rooms, emit.recipients.except), (names(rooms), names(except)), "{keywords}");
            assert_eq!(emit.recipients.namespace, namespace);
            let token = keywords.contains("callback").then(|| RequestToken { key: "red".into(), id: 1 });
            assert_eq!(emit.ack, token);
        }
        let body = |call: &str| decoded(&published, call).body;
        let one = || Recipients::room("/".into(), "remote".into());
        assert_eq!(body("enter_room('remote', 'blue')"), ClusterBody::Join { recipients: one(), room: "blue".into() });
        assert_eq!(body("leave_room('remote', 'blue')"), ClusterBody::Leave { recipients: one(), room: "blue".into() });
        let (namespace, room) = ("/".into(), "blue".into());
        assert_eq!(body("close_room('blue')"), ClusterBody::CloseRoom { namespace, room });
        let extent = Extent::Namespace;
        assert_eq!(body("disconnect('remote')"), ClusterBody::Disconnect { recipients: one(), extent });
        for (args, expected) in
            [("[]", json!([])), ("[1]", json!([1])), (r#"["two", [2], {"a": None}]"#, json!(["two", [2], {"a": null}]))]
        {
            let ClusterBody::Ack { to, token, namespace, args } = body(&format!("ack of another host's emit: {args}"))
            else {
                panic!("a callback")
            };
            assert_eq!((to.as_str(), &*namespace), ("b".repeat(32).as_str(), "/"));
            assert_eq!(token, RequestToken { key: FIRST.into(), id: 9 });
            assert_eq!(values(&args.args().unwrap()), expected);
        }
    }
}

#[test]
fn pickles_are_refused() {
    let published = published("5.13.0");
    let pickles: Vec<_> = published.iter().filter_map(|vector| vector["pickle"].as_str()).collect();
    assert!(pickles.len() > 30);
    for pickle in pickles {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::STANDARD.decode(pickle).unwrap();
        assert_eq!(Python::default().decode("socketio", bytes.into()), Err(DecodeError::Pickle));
    }
}

#[test]
fn every_version_reads_what_we_publish() {
    let written: Vec<_> = cases()
        .into_iter()
        .map(|(name, body)| {
            let message = ClusterMessage { from: node('c'), seq: Some(7), body };
            let envelope = Python::default().encode(&message).unwrap();
            json!({"name": name, "channel": envelope.channel, "payload": text(&envelope.payload)})
        })
        .collect();
    let path = vectors("python-socketio", "roomcast");
    if std::env::var_os("ROOMCAST_WRITE_VECTORS").is_some() {
        std::fs::write(&path, format!("{:#}\n", Value::from(written.clone()))).unwrap();
    }
    assert_eq!(read_json("roomcast"), Value::from(written), "run with ROOMCAST_WRITE_VECTORS=1, then vectors.py");
    for version in ["5.13.0", "5.15.0", "5.15.1", "5.16.2"] {
        let received = read_json(version)["received"].clone();
        let is_old = version < "5.15.1";
        let of = |name: &str| received.as_array().unwrap().iter().find(|case| case["name"] == name).unwrap().clone();
        let both = |packets: &[Value]| -> Value {
            let to = |who: &'static str| packets.iter().map(move |packet| json!([who, packet]));
            to("e1").chain(to("e2")).collect()
        };
        for (name, new, old) in [
            ("nothing", r#"2["event"]"#, r#"2["event"]"#),
            ("null", r#"2["event"]"#, r#"2["event"]"#),
            ("object", r#"2["event",{"a":[1,"é\u0001"]}]"#, r#"2["event",{"a":[1,"é\u0001"]}]"#),
            ("list", r#"2["event",[1,2]]"#, r#"2["event",[[1,2]]]"#),
            ("several", r#"2["event",1,[2],"three"]"#, r#"2["event",[1,[2],"three"]]"#),
            ("volatile", r#"2["event",1]"#, r#"2["event",1]"#),
            ("everyone", r#"2["event",1]"#, r#"2["event",1]"#),
            ("two rooms", r#"2["event",1]"#, r#"2["event",1]"#),
        ] {
            let expected = both(&[json!(if is_old { old } else { new })]);
            assert_eq!(normalized(&of(name)["sent"]), normalized(&expected), "{version} {name}");
        }
        let attachment = json!({"base64": "AAE="});
        if version != "5.13.0" {
            // Which has no binary over JSON, and sends a list with base64 in it.
            let packet = json!(r#"51-["event",{"_placeholder":true,"num":0}]"#);
            assert_eq!(normalized(&sorted(&of("bytes")["sent"])), normalized(&sorted(&both(&[packet, attachment]))));
        }
        assert_eq!(normalized(&of("except")["sent"]), json!([["e2", "2[\"event\",1]"]]), "{version}");
        assert_eq!(normalized(&of("with ack")["sent"]), json!([["e1", "22[\"event\",1]"]]), "{version}");
        assert_eq!(of("callback")["called"], json!([["x", [2]]]), "{version}");
        assert_eq!(of("another's callback")["called"], json!([]));
        assert_eq!(of("join")["rooms"], json!({FIRST: ["blue", "red"], SECOND: ["red"]}));
        assert_eq!(of("leave")["rooms"], json!({FIRST: [], SECOND: ["red"]}));
        assert_eq!(of("close room")["rooms"], json!({FIRST: [], SECOND: []}));
        assert_eq!(of("disconnect")["sent"], json!([["e1", "1"]]));
        for name in ["join of many", "disconnect of many", "heartbeat", "goodbye", "fetch", "server emit"] {
            let case = of(name);
            assert_eq!(
                (&case["sent"], &case["rooms"]),
                (&json!([]), &json!({FIRST: ["red"], SECOND: ["red"]})),
                "{name}"
            );
        }
        let all = received.as_array().unwrap();
        assert!(all.iter().all(|case| case["published"] == json!([])), "nothing is passed on: no message goes round");
        assert_eq!(all.len(), cases().len());
    }
}

#[test]
fn channels_are_those_of_both_schemes() {
    let (shared, own) = (Python::default(), Python::default().room_channels(RoomChannels::Own));
    let pattern = Python::new("so[1]*").room_channels(RoomChannels::Pattern);
    let exact = |name: &str| BusChannel::Exact(name.into());
    assert_eq!(shared.channels(&node('c')), [exact("socketio"), exact("socketio#roomcast")]);
    assert_eq!(own.channels(&node('c')), shared.channels(&node('c')));
    assert_eq!(pattern.channels(&node('c')), [exact("so[1]*"), BusChannel::Pattern(r"so\[1\]\*#*".into())]);
    let room = RoomChannel { namespace: "/".into(), room: "user:42".into() };
    assert_eq!(own.room_channel(&room), exact("socketio#/#user:42"));
    let channels = |codec: &Python| -> Vec<String> {
        let to = |recipients| ClusterMessage { from: node('c'), seq: None, body: emit_to(recipients, Args::empty()) };
        let several = Recipients { rooms: names(&["a", "b"]), ..Recipients::everyone("/".into()) };
        let mut asking = to(Recipients::room("/".into(), "user:42".into()));
        if let ClusterBody::Emit(emit) = &mut asking.body {
            emit.ack = Some(RequestToken { key: "user:42".into(), id: 1 });
        }
        let bodies = [
            to(Recipients::room("/".into(), "user:42".into())),
            asking,
            to(several),
            ClusterMessage { from: node('c'), seq: None, body: ClusterBody::Goodbye },
        ];
        bodies.iter().map(|message| codec.encode(message).unwrap().channel).collect()
    };
    assert_eq!(channels(&shared), ["socketio", "socketio", "socketio", "socketio#roomcast"]);
    assert_eq!(channels(&own), ["socketio#/#user:42", "socketio", "socketio", "socketio#roomcast"]);
}

#[test]
fn what_is_no_message_is_refused_and_what_is_unknown_passed_over() {
    let decode = |text: &'static str| Python::default().decode("socketio", Bytes::from_static(text.as_bytes()));
    for (text, error) in [
        ("", DecodeError::Malformed),
        ("[]", DecodeError::Malformed),
        ("{}", DecodeError::Field("method")),
        (r#"{"method":1}"#, DecodeError::Field("method")),
        (r#"{"method":"emit","room":"a"}"#, DecodeError::Field("event")),
        (r#"{"method":"emit","event":"e","room":5}"#, DecodeError::Field("room")),
        (r#"{"method":"enter_room","sid":"a"}"#, DecodeError::Field("room")),
        (r#"{"method":"callback","host_id":"a b","sid":"a","id":1,"args":[]}"#, DecodeError::Field("host_id")),
        (r#"{"method":"callback","host_id":"a","sid":"a","id":-1,"args":[]}"#, DecodeError::Field("id")),
    ] {
        assert_eq!(decode(text), Err(error), "{text}");
    }
    assert_eq!(Python::default().decode("", Bytes::from_static(b"{\"\xff")), Err(DecodeError::NotUtf8));
    for text in [r#"{"method":"new"}"#, r#"{"method":"emit","event":"e","room":[]}"#] {
        assert_eq!(decode(text), Ok(None), "{text}");
    }
    let bare = decode(r#"{"method":"emit","event":"e","callback":["a","/"]}"#).unwrap().unwrap();
    assert_eq!((bare.from, bare.seq), (NodeId::unnamed(), None));
    let ClusterBody::Emit(emit) = bare.body else { panic!("an emit") };
    assert_eq!((emit.recipients, emit.ack), (Recipients::everyone("/".into()), None));
}

proptest! {
    #[test]
    fn messages_come_back_as_they_went(body in body(), seq: Option<u64>) {
        let message = ClusterMessage { from: node('c'), seq, body };
        let codec = Python::default();
        let envelope = codec.encode(&message).unwrap();
        let back = codec.decode(&envelope.channel, envelope.payload).unwrap().unwrap();
        prop_assert_eq!(resolved(back), resolved(message));
    }

    #[test]
    fn a_message_with_bytes_changed_is_read_or_refused(body in body(), at: prop::sample::Index, byte: u8, cut: bool) {
        let message = ClusterMessage { from: node('c'), seq: None, body };
        let codec = Python::default();
        let mut bytes = codec.encode(&message).unwrap().payload.to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(if cut { at } else { bytes.len() });
        if let Ok(Some(read)) = codec.decode("", bytes.into()) {
            // Its payload, too.
            let _ = codec.encode(&read);
        }
    }
}

/// Each kind of message that python-socketio may come to see.
fn cases() -> Vec<(&'static str, ClusterBody)> {
    let red = || Recipients::room("/".into(), "red".into());
    let args = |values: &'static str| Args::from_json_values(values).unwrap();
    let one = |recipients| emit_to(recipients, args("1"));
    let with = |change: fn(&mut ClusterEmit), recipients| {
        let ClusterBody::Emit(mut emit) = one(recipients) else { panic!("an emit") };
        change(&mut emit);
        ClusterBody::Emit(emit)
    };
    let first = || Recipients::room("/".into(), FIRST.into());
    let mut bytes = ArgsBuilder::new();
    let attachment = bytes.attach(Bytes::from_static(b"\0\x01"));
    bytes.push(&attachment).unwrap();
    let token = || RequestToken { key: FIRST.into(), id: 1 };
    let callback = |to| {
        let args = args(r#""x",[2]"#).into();
        ClusterBody::Ack { to, token: token(), namespace: "/".into(), args }
    };
    let many = || Recipients { except: names(&[SECOND]), ..Recipients::everyone("/".into()) };
    vec![
        ("nothing", emit_to(red(), Args::empty())),
        ("null", emit_to(red(), args("null"))),
        ("object", emit_to(red(), args("{\"a\":[1,\"é\\u0001\"]}"))),
        ("list", emit_to(red(), args("[1,2]"))),
        ("several", emit_to(red(), args(r#"1,[2],"three""#))),
        ("bytes", emit_to(red(), bytes.finish().unwrap())),
        ("volatile", with(|emit| emit.delivery = Delivery::Volatile, red())),
        ("everyone", one(Recipients::everyone("/".into()))),
        ("two rooms", one(Recipients { rooms: names(&["red", "blue"]), ..red() })),
        ("except", one(Recipients { except: names(&[FIRST]), ..red() })),
        ("with ack", with(|emit| emit.ack = Some(RequestToken { key: FIRST.into(), id: 3 }), first())),
        ("callback", callback(node('a'))),
        ("another's callback", callback(node('b'))),
        ("join", ClusterBody::Join { recipients: first(), room: "blue".into() }),
        ("leave", ClusterBody::Leave { recipients: first(), room: "red".into() }),
        ("close room", ClusterBody::CloseRoom { namespace: "/".into(), room: "red".into() }),
        ("disconnect", ClusterBody::Disconnect { recipients: first(), extent: Extent::Namespace }),
        ("join of many", ClusterBody::Join { recipients: many(), room: "blue".into() }),
        ("disconnect of many", ClusterBody::Disconnect { recipients: many(), extent: Extent::Connection }),
        ("heartbeat", ClusterBody::Heartbeat(Beat::First)),
        ("goodbye", ClusterBody::Goodbye),
        ("fetch", ClusterBody::FetchSockets { recipients: red(), token: token() }),
        (
            "server emit",
            ClusterBody::ServerEmit {
                namespace: "/".into(),
                name: "x".into(),
                args: args("1").into(),
                token: Some(token()),
            },
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
    let socket = (name(), prop::collection::vec(name(), 0..3)).prop_map(|(sid, rooms)| RemoteSocket { sid, rooms });
    let to = || Just(node('d'));
    prop_oneof![
        4 => emit,
        1 => (to(), token(), any::<u32>()).prop_map(|(to, token, asked)| ClusterBody::AckCount { to, token, asked }),
        1 => (to(), token(), name(), args()).prop_map(|(to, token, namespace, args)| {
            ClusterBody::Ack { to, token, namespace: format!("/{namespace}").into(), args: args.into() }
        }),
        1 => (recipients(), name()).prop_map(|(recipients, room)| ClusterBody::Join { recipients, room }),
        1 => (recipients(), name()).prop_map(|(recipients, room)| ClusterBody::Leave { recipients, room }),
        1 => name().prop_map(|room| ClusterBody::CloseRoom { namespace: "/n".into(), room }),
        1 => (recipients(), extent).prop_map(|(recipients, extent)| ClusterBody::Disconnect { recipients, extent }),
        1 => (recipients(), token()).prop_map(|(recipients, token)| ClusterBody::FetchSockets { recipients, token }),
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
    (name(), names(), names()).prop_map(|(namespace, rooms, except)| Recipients {
        namespace: format!("/{namespace}").into(),
        rooms,
        except,
    })
}

fn name() -> impl Strategy<Value = ByteString> {
    r#"[a-z:\\"/\n\[\]{},é😀]{0,8}"#.prop_map(ByteString::from)
}

fn token() -> impl Strategy<Value = RequestToken> {
    (name(), any::<u64>()).prop_map(|(key, id)| RequestToken { key, id })
}

fn published(version: &str) -> Vec<Value> {
    read_json(version)["published"].as_array().unwrap().clone()
}

fn decoded(published: &[Value], call: &str) -> ClusterMessage {
    let vector = published.iter().find(|vector| vector["call"] == call).unwrap_or_else(|| panic!("{call}"));
    let payload = vector["payload"].as_str().unwrap_or_else(|| panic!("{vector}")).to_owned();
    let message = Python::default().decode("socketio", payload.into()).unwrap().unwrap();
    let is_callback = matches!(message.body, ClusterBody::Ack { .. });
    assert_eq!(message.from, if is_callback { NodeId::unnamed() } else { node('a') });
    assert_eq!(message.seq, None);
    message
}

fn emit(published: &[Value], call: &str) -> ClusterEmit {
    let ClusterBody::Emit(emit) = decoded(published, call).body else { panic!("an emit: {call}") };
    emit
}

fn values(args: &Args) -> Value {
    args.iter().map(|value| serde_json::from_str::<Value>(value).unwrap()).collect()
}

/// Packets with their JSON as values: blanks and escapes do not matter.
fn normalized(sent: &Value) -> Value {
    let packet = |packet: &Value| -> Value {
        let Some(text) = packet.as_str() else { return packet.clone() };
        let data = text.find('[').unwrap_or(text.len());
        let json: Value = serde_json::from_str(&text[data..]).unwrap_or_default();
        format!("{}{json}", &text[..data]).into()
    };
    sent.as_array().unwrap().iter().map(|pair| json!([pair[0], packet(&pair[1])])).collect()
}

/// By recipient: which of two comes first does not matter.
fn sorted(sent: &Value) -> Value {
    let mut sent = sent.as_array().unwrap().clone();
    sent.sort_by_key(|pair| pair[0].as_str().unwrap().to_owned());
    sent.into()
}

fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn read_json(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(vectors("python-socketio", name)).unwrap()).unwrap()
}

const FIRST: &str = "first-socket-AAAAAAA";
const SECOND: &str = "second-socket-BBBBBB";
