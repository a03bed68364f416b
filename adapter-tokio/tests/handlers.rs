//! What handlers can do, and what they cannot break.

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{Client, Running};
use roomcast_tokio::{
    AckEnd, AckError, Args, ArgsError, Builder, Data, EmitError, ErrorArgs, EventName, Extent, Handle, Namespace,
    NoAck, Reason, Refusal, ServerLimits, Socket, StartError, Tokio,
};
use tokio::sync::{Notify, mpsc};

#[test]
fn what_is_returned_is_the_ack() {
    let server = root(|ns| {
        ns.on("nothing", async || {});
        ns.on("one", async || 7);
        ns.on("several", async |Data((a, b)): Data<(u32, Option<String>)>| (a + 1, b, [1, 2]));
        ns.on("raw", async |args: Args| args);
        ns.on("maybe", async |args: Args| (args.len() > 1).then_some(args));
        ns.on("never", async || NoAck);
        ns.on_any(async |name: EventName| name.0.to_string());
    });
    let mut client = server.client();
    assert_eq!(client.ask(r#"421["nothing"]"#), "431[]");
    assert_eq!(client.ask(r#"422["one",1,2]"#), "432[7]");
    assert_eq!(client.ask(r#"423["several",1]"#), "433[2,null,[1,2]]");
    assert_eq!(client.ask(r#"424["raw", {"b":1, "a":[]} ]"#), r#"434[{"b":1, "a":[]}]"#);
    client.send(r#"425["never"]"#);
    client.send(r#"426["maybe",1]"#);
    client.send(r#"42["one"]"#);
    assert_eq!(client.ask(r#"427["else"]"#), r#"437["else"]"#, "no ack where none is given or asked for");
}

#[test]
fn arguments_that_do_not_fit() {
    let server = root(|ns| {
        ns.on("strict", async |Data(number): Data<u32>| number);
        ns.on("lenient", async |number: Result<Data<u32>, ArgsError>| match number {
            Ok(Data(number)) => number,
            Err(_) => 0,
        });
    });
    let mut client = server.client();
    let why = r#"{"error":"invalid arguments: invalid type: string \"x\", expected u32 at line 1 column 3"}"#;
    assert_eq!(client.ask(r#"421["strict","x"]"#), format!("431[{why}]"), "it was not called, and says so");
    assert_eq!(client.ask(r#"422["lenient","x"]"#), "432[0]");
    assert_eq!(client.ask(r#"423["strict",3]"#), "433[3]");
}

#[test]
fn the_events_of_one_socket_stay_in_order() {
    let gate = Arc::new(Notify::new());
    let (waits, opens) = (gate.clone(), gate);
    let server = root(move |ns| {
        ns.on("slow", move || {
            let gate = waits.clone();
            async move {
                gate.notified().await;
                "slow"
            }
        });
        ns.on("fast", async || "fast");
        ns.on("open", move || {
            opens.notify_one();
            async {}
        });
    });
    let (mut one, mut other) = (server.client(), server.client());
    one.send(r#"421["slow"]"#);
    one.send(r#"422["fast"]"#);
    assert_eq!(other.ask(r#"423["fast"]"#), r#"433["fast"]"#, "others go on");
    other.send(r#"42["open"]"#);
    assert_eq!(one.next(), r#"431["slow"]"#);
    assert_eq!(one.next(), r#"432["fast"]"#);
}

#[test]
fn a_handler_that_panics_harms_nobody() {
    let server = root(|ns| {
        ns.on("boom", async |args: Args| -> NoAck { panic!("at {}", args.json()) });
        ns.on("later", async |socket: Socket| -> NoAck {
            socket.rooms().await;
            panic!("later")
        });
        ns.on("echo", async |args: Args| args);
    });
    let mut client = server.client();
    assert_eq!(client.ask(r#"421["boom"]"#), r#"431[{"error":"internal error"}]"#);
    assert_eq!(client.ask(r#"422["later"]"#), r#"432[{"error":"internal error"}]"#);
    client.send(r#"42["boom"]"#);
    assert_eq!(client.ask(r#"423["echo",1]"#), "433[1]");
    assert_eq!(server.client().ask(r#"424["echo",2]"#), "434[2]");
}

#[test]
fn who_may_come_in() {
    #[derive(serde::Deserialize)]
    struct Auth {
        name: String,
    }
    let server = root(|ns| {
        ns.admit(async |socket: Socket, Data(auth): Data<Auth>| {
            if auth.name == "mallory" {
                return Err(Refusal::with_data("no", &("E_NAME", 7)));
            }
            socket.extend(auth.name);
            Ok(())
        });
        ns.on_connect(async |socket: Socket| {
            let name = socket.extension::<String>().unwrap();
            socket.emit("hello", name.as_str()).await;
        });
    });
    let open = || Client::open(server.address, "/socket.io/");
    assert_eq!(open().ask(r#"40{"name":"mallory"}"#), r#"44{"message":"no","data":["E_NAME",7]}"#);
    assert_eq!(open().ask("40"), r#"44{"message":"not admitted"}"#);
    assert_eq!(open().ask("40/other,"), r#"44/other,{"message":"Invalid namespace"}"#);
    assert_eq!(open().joined(r#"40{"name":"ada"}"#, r#"40{"sid":""#).next(), r#"42["hello","ada"]"#);
}

#[test]
fn acks_of_clients() {
    let server = root(|ns| {
        ns.on("ask me", async |socket: Socket| {
            let answer = socket.emit_with_ack("question", ("a", 1), Duration::from_secs(20)).await;
            answer.map(|args| args.json().to_owned()).unwrap_or_default()
        });
        ns.on("join", async |socket: Socket| socket.join("r"));
    });
    let mut client = server.client();
    let question = client.ask(r#"421["ask me"]"#);
    let id =
        question.strip_prefix("42").and_then(|rest| rest.strip_suffix(r#"["question","a",1]"#)).unwrap().to_owned();
    assert_eq!(client.ask(&format!("43{id}[true,2]")), r#"431["true,2"]"#);

    let mut other = server.client();
    assert_eq!((client.ask(r#"422["join"]"#), other.ask(r#"422["join"]"#)), ("432[]".into(), "432[]".into()));
    let asking = server.handle.of("/").to("r").emit_with_ack("all", (), Duration::from_secs(20));
    for member in [&mut client, &mut other] {
        let id = member.next().strip_prefix("42").and_then(|rest| rest.strip_suffix(r#"["all"]"#)).unwrap().to_owned();
        member.send(&format!("43{id}[\"yes\"]"));
    }
    let acks = server.runtime.block_on(asking).unwrap();
    assert_eq!((acks.asked, acks.end), (2, AckEnd::Complete));
    assert!(acks.answers.iter().all(|(_, args)| args.json() == r#""yes""#));

    let sockets = server.runtime.block_on(server.handle.of("/").to("r").sockets());
    let answered = |socket: &Socket| acks.answers.iter().filter(|(sid, _)| *sid == socket.sid()).count();
    assert_eq!(sockets.iter().map(answered).collect::<Vec<_>>(), [1, 1], "by sid");
    let asking = sockets[0].emit_with_ack("gone", (), Duration::from_secs(20));
    drop((client, other));
    assert_eq!(server.runtime.block_on(asking), Err(AckError::Disconnected));
}

/// A JavaScript client closes its connection at such a name (socket.io-parser 4.2, `RESERVED_EVENTS`), so that a relay by
/// name has to hear of it.
#[test]
fn a_reserved_name_is_refused_to_the_sender_and_reaches_nobody() {
    let server = root(|ns| {
        ns.on("relay", async |socket: Socket, Data((name,)): Data<(String,)>| {
            let refused = |sent: roomcast_tokio::Sent| sent.checked().err().map(|error| error.to_string());
            let told = [
                refused(socket.emit(name.as_str(), 1)),
                refused(socket.emit_volatile(name.as_str(), 2)),
                refused(socket.everyone().emit(name.as_str(), 3)),
            ];
            let asked = [
                socket.emit_with_ack(name.as_str(), 4, Duration::from_millis(1)).await.map(drop),
                socket.everyone().emit_with_ack(name.as_str(), 5, Duration::from_millis(1)).await.map(drop),
            ];
            assert_eq!(asked, [Err(AckError::Emit(EmitError::ReservedName)); 2]);
            told
        });
        ns.on("echo", async |args: Args| args);
    });
    let mut client = server.client();
    for name in ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"] {
        let refused = r#""the event name is reserved by clients""#;
        let ack = format!("431[{refused},{refused},{refused}]");
        assert_eq!(client.ask(&format!(r#"421["relay","{name}"]"#)), ack);
        let sent = server.handle.of("/").emit(name, ());
        assert_eq!(sent.checked().err(), Some(EmitError::ReservedName));
    }
    assert!(server.handle.of("/").emit("free", ()).checked().is_ok());
    assert_eq!(client.next(), r#"42["free"]"#, "nothing came before it");
    assert_eq!(client.ask(r#"422["echo",1]"#), "432[1]");
}

#[test]
fn the_handle_reaches_sockets_from_elsewhere() {
    let (sids, mut came) = mpsc::unbounded_channel();
    let (reasons, mut left) = mpsc::unbounded_channel();
    let server = root(move |ns| {
        ns.on_connect(move |socket: Socket| {
            sids.send(socket.sid().to_string()).unwrap();
            async {}
        });
        ns.on_disconnect(move |reason: Reason| {
            reasons.send(reason).unwrap();
            async {}
        });
    });
    let (mut one, mut two) = (server.client(), server.client());
    let (sid_one, sid_two) = (came.blocking_recv().unwrap(), came.blocking_recv().unwrap());
    let handle = server.handle.clone();
    let found = server.runtime.block_on(async {
        handle.of("/").to(sid_one.as_str()).join("r");
        handle.of("/").except("r").emit("not r", 1).await;
        handle.of("/").to("r").emit("r", 1).await;
        let socket = handle.socket("/", sid_two.as_str()).await.unwrap();
        assert!(!socket.is_in("r").await);
        assert_eq!(handle.of("/").to("r").sockets().await[0].sid().to_string(), sid_one);
        assert!(handle.socket("/", "x".repeat(20)).await.is_none());
        assert_eq!(handle.audit().await.unwrap().sockets, 2);
        socket
    });
    assert_eq!(one.next(), r#"42["r",1]"#);
    assert_eq!(two.next(), r#"42["not r",1]"#);

    found.disconnect(Extent::Namespace);
    assert_eq!(two.next(), "41");
    assert_eq!(left.blocking_recv(), Some(Reason::ServerDisconnect));
    server.runtime.block_on(found.disconnected());
    assert!(!found.is_connected());
    found.emit("nobody", 1);
    one.send("41");
    assert_eq!(left.blocking_recv(), Some(Reason::ClientDisconnect));
}

#[test]
fn a_sender_waits_for_who_reads_slowly() {
    let limits = ServerLimits { queue_soft_bytes: 64 << 10, queue_bytes_max: 1 << 20, ..ServerLimits::default() };
    let server = start(Builder::new().limits(limits), |ns| {
        ns.on("much", async |socket: Socket, Data(count): Data<u32>| {
            let text = "x".repeat(10_000);
            for number in 0..count {
                socket.emit("piece", (number, &text)).await;
            }
            count
        });
    });
    let mut client = server.client();
    client.send(r#"421["much",2000]"#);
    for number in 0..2000 {
        assert!(client.next().starts_with(&format!(r#"42["piece",{number},"x"#)));
    }
    assert_eq!(client.next(), "431[2000]", "20 MB went by, above the limit that closes who is too slow");
}

#[test]
fn a_sender_to_a_room_waits_for_nobody() {
    let server = root(|ns| {
        ns.on("cast", async |socket: Socket| {
            socket.join("r");
            for number in 0..3 {
                // A question first: the message is sent in the middle of a turn.
                assert!(socket.is_in("r").await);
                socket.everyone().to("r").emit("cast", number).await;
            }
        });
    });
    let mut client = server.client();
    client.send(r#"421["cast"]"#);
    for number in 0..3 {
        assert_eq!(client.next(), format!(r#"42["cast",{number}]"#));
    }
    assert_eq!(client.next(), "431[]", "at once: nothing else happens on this server");
}

#[test]
fn the_server_ends_so_that_clients_come_back() {
    let server = root(|_| {});
    let mut client = server.client();
    let Running { handle, serving, runtime, .. } = server;
    let ending = runtime.spawn(async move { handle.shutdown(Duration::from_secs(20)).await });
    assert_eq!(client.close_code(), 1001);
    // Answers the close frame, and sees the end of the stream.
    assert!(client.0.read().is_err());
    runtime.block_on(async {
        ending.await.unwrap();
        serving.await.unwrap();
    });
}

#[test]
fn a_server_that_nobody_holds_ends() {
    let Running { address, handle, serving, runtime } = root(|_| {});
    let mut client = Client::open(address, "/socket.io/");
    serving.abort();
    drop(handle);
    assert_eq!(client.close_code(), 1001);
    drop(runtime);
}

#[test]
fn after_the_end_nothing_hangs() {
    let server = root(|_| {});
    let handle: Handle = server.handle.clone();
    server.runtime.block_on(async {
        handle.shutdown(Duration::from_secs(20)).await;
        handle.shutdown(Duration::from_secs(20)).await;
        handle.stopped().await;
        handle.of("/").emit("nobody", 1).await;
        assert!(handle.audit().await.is_none());
        assert!(handle.of("/").emit_with_ack("nobody", 1, Duration::from_secs(20)).await.is_err());
    });
}

#[test]
fn a_result_is_acked_by_its_value_or_by_what_its_error_says() {
    struct OutOfRange;
    impl ErrorArgs for OutOfRange {
        fn error_args(&self) -> Args {
            Args::from_serialize(&("out of range", 416)).unwrap()
        }
    }
    let server = root(|ns| {
        ns.on("half", async |Data((number,)): Data<(u32,)>| {
            number.is_multiple_of(2).then_some(number / 2).ok_or("an odd number")
        });
        ns.on("twice", async |Data((number,)): Data<(u8,)>| number.checked_mul(2).ok_or(OutOfRange));
        ns.on("both", async |args: Args| if args.is_empty() { Err(OutOfRange) } else { Ok(args) });
        ns.on("nothing", async || Ok::<(), String>(()));
        ns.on("several", async || Ok::<_, String>((1, "two")));
        ns.on("maybe", async || Some(1));
    });
    let mut client = server.client();
    for (event, ack) in [
        (r#"421["half",8]"#, "431[4]"),
        (r#"421["half",7]"#, r#"431[{"error":"an odd number"}]"#),
        (r#"421["twice",7]"#, "431[14]"),
        (r#"421["twice",200]"#, r#"431["out of range",416]"#),
        (r#"421["both",1,2]"#, "431[1,2]"),
        (r#"421["both"]"#, r#"431["out of range",416]"#),
        (r#"421["nothing"]"#, "431[]"),
        (r#"421["several"]"#, r#"431[1,"two"]"#),
        (r#"421["maybe"]"#, "431[1]"),
    ] {
        assert_eq!(client.ask(event), ack, "{event}");
    }
}

#[test]
fn what_is_registered_twice_is_an_error_at_the_start() {
    let root = |set_up: fn(&mut Namespace)| Builder::new().socket_io("/io", |io| io.namespace("/", set_up));
    let peers = Builder::new().engine_io("/engine.io", |eio| {
        eio.peers.on_open(async || {});
        eio.peers.on_open(async || {});
    });
    let pages = Builder::new()
        .page("/p", async |_: http::Request<Bytes>, _: Handle| http::Response::new(Bytes::new()))
        .page("/p", async |_: http::Request<Bytes>, _: Handle| http::Response::new(Bytes::new()));
    let namespaces = Builder::new().socket_io("/io", |io| {
        io.namespace("/", |_| {});
        io.namespace("/", |_| {});
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    for (builder, what) in [
        (
            root(|ns| {
                ns.on("x", async || {});
                ns.on("x", async || 1);
            }),
            "\"x\"",
        ),
        (
            root(|ns| {
                ns.on_any(async || {});
                ns.on_any(async || {});
            }),
            "on_any",
        ),
        (peers, "on_open"),
        (pages, "/p"),
        (namespaces, "namespace"),
    ] {
        match builder.start(Tokio) {
            Err(error @ StartError::RegisteredTwice(_)) => assert!(error.to_string().contains(what), "{error}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn rooms_that_admit_joins_are_joined_once_the_client_is_let_in() {
    let server = root(|ns| {
        ns.admit(async |socket: Socket| {
            socket.join("kept");
            socket.join("left");
            socket.leave("left");
            socket.handle().audit().await;
            socket.join("kept");
            socket.join("late");
        });
        ns.on("rooms", async |socket: Socket| {
            let mut rooms = socket.rooms().await;
            rooms.retain(|room| room.len() < 10);
            rooms.sort();
            rooms
        });
    });
    assert_eq!(server.client().ask(r#"421["rooms"]"#), r#"431[["kept","late"]]"#);
}

/// Reading pauses at 256 events that no handler has dealt with; the ack comes behind more than that.
#[test]
fn an_ack_is_read_though_many_events_wait_before_it() {
    let server = root(|ns| {
        ns.on("ask me", async |socket: Socket| {
            let answer = socket.emit_with_ack("question", (), Duration::from_secs(20)).await;
            answer.map(|args| args.json().to_owned()).map_err(|error| error.to_string())
        });
        ns.on("count", async |number: Data<u32>| number.0);
    });
    let mut client = server.client();
    for round in 0..3 {
        client.send(r#"421["ask me"]"#);
        for number in 0..2000 {
            client.send(&format!(r#"42{}["count",{number}]"#, 10 + number));
        }
        let question = client.next();
        let id = question.strip_prefix("42").and_then(|rest| rest.strip_suffix(r#"["question"]"#)).unwrap().to_owned();
        client.send(&format!("43{id}[\"yes\"]"));
        assert_eq!(client.next(), r#"431["\"yes\""]"#, "round {round}");
        for number in 0..2000 {
            assert_eq!(client.next(), format!("43{}[{number}]", 10 + number));
        }
    }
}

#[test]
fn shutdown_waits_for_handlers_of_disconnects_within_the_grace_period() {
    let (left, mut leaving) = mpsc::unbounded_channel();
    let gate = Arc::new(Notify::new());
    let waits = gate.clone();
    let server = root(move |ns| {
        ns.on_disconnect(move |socket: Socket| {
            let (left, gate) = (left.clone(), waits.clone());
            async move {
                left.send("began").unwrap();
                gate.notified().await;
                // The server still answers.
                socket.handle().audit().await.unwrap();
                left.send("finished").unwrap();
            }
        });
    });
    let mut client = server.client();
    let handle = server.handle.clone();
    let ending = server.runtime.spawn(async move { handle.shutdown(Duration::from_secs(20)).await });
    assert_eq!(client.close_code(), 1001);
    assert!(client.0.read().is_err());
    assert_eq!(leaving.blocking_recv(), Some("began"));
    assert!(!ending.is_finished());
    gate.notify_one();
    server.runtime.block_on(ending).unwrap();
    assert_eq!(leaving.try_recv(), Ok("finished"));
}

fn root(set_up: impl FnOnce(&mut Namespace)) -> Running {
    start(Builder::new(), set_up)
}

fn start(builder: Builder, set_up: impl FnOnce(&mut Namespace)) -> Running {
    Running::start(builder.socket_io("/socket.io", |io| io.namespace("/", set_up)))
}
