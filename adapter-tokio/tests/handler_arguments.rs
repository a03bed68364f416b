//! What handlers take besides what a client sent, what stands before them, and handlers of single sockets.

mod common;

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use common::Running;
use roomcast_tokio::{
    AckSender, Builder, Data, EventName, Extension, Namespace, Refusal, Socket, StartError, State, Tokio,
};

#[derive(Default)]
struct HitCounter(AtomicU64);

struct LoggedIn(&'static str);

#[test]
fn a_state_is_shared_by_all_handlers() {
    let server = start(Builder::new().state(HitCounter::default()).state("a text"), |ns| {
        ns.on_connect(async |visits: State<HitCounter>| {
            visits.0.fetch_add(1, Ordering::Relaxed);
        });
        ns.on("visits", async |visits: State<HitCounter>, text: State<&'static str>| {
            (visits.0.load(Ordering::Relaxed), *text)
        });
    });
    let (mut one, _other) = (server.client(), server.client());
    assert_eq!(one.ask(r#"421["visits"]"#), r#"431[2,"a text"]"#);
}

#[test]
fn a_state_that_is_missing_or_given_twice_is_an_error_at_the_start() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    for set_up in [
        (|ns| ns.on("x", async |_: State<HitCounter>| {})) as fn(&mut Namespace),
        |ns| ns.admit(async |_: State<HitCounter>| {}),
        |ns| ns.before(async |_: State<HitCounter>| {}),
        |ns| ns.on_connect(async |_: State<HitCounter>| {}),
        |ns| ns.on_any(async |_: Socket, _: State<HitCounter>| {}),
        |ns| ns.on_disconnect(async |_: State<HitCounter>| {}),
    ] {
        let start = |builder: Builder| builder.socket_io("/io", |io| io.namespace("/", set_up)).start(Tokio);
        let missing = start(Builder::new().state(LoggedIn("of another type"))).err();
        assert!(matches!(missing, Some(StartError::StateMissing(name)) if name.ends_with("HitCounter")), "{missing:?}");
        assert!(start(Builder::new().state(HitCounter::default())).is_ok());
    }
    let twice = Builder::new().state(HitCounter::default()).state(HitCounter::default()).start(Tokio).err();
    assert!(matches!(twice, Some(StartError::RegisteredTwice(what)) if what.contains("HitCounter")));
    let peers = Builder::new().engine_io("/eio", |eio| eio.peers.on_open(async |_: State<HitCounter>| {}));
    assert!(matches!(peers.start(Tokio).err(), Some(StartError::StateMissing(_))));
}

#[test]
fn an_extension_of_the_socket_is_an_argument_and_a_missing_one_no_secret_of_the_server() {
    let server = root(|ns| {
        ns.admit(async |socket: Socket| socket.extend(LoggedIn("ada")));
        ns.on("whoami", async |user: Extension<LoggedIn>| user.0);
        ns.on("missing", async |_: Extension<HitCounter>| "called");
        ns.on("maybe", async |visits: Option<Extension<HitCounter>>| visits.is_some());
    });
    let mut client = server.client();
    assert_eq!(client.ask(r#"421["whoami"]"#), r#"431["ada"]"#);
    assert_eq!(client.ask(r#"422["missing"]"#), r#"432[{"error":"internal error"}]"#);
    assert_eq!(client.ask(r#"423["maybe"]"#), "433[false]");
}

#[test]
fn an_ack_is_sent_later_and_holds_nothing_up() {
    let kept: Arc<Mutex<Vec<AckSender>>> = Arc::default();
    let server = start(Builder::new().state(kept), |ns| {
        type Kept = State<Arc<Mutex<Vec<AckSender>>>>;
        ns.on("later", async |kept: Kept, ack: AckSender| {
            kept.lock().unwrap().push(ack);
            "not sent"
        });
        ns.on("now", async |kept: Kept| {
            let acks = std::mem::take(&mut *kept.lock().unwrap());
            let wanted = acks.iter().filter(|ack| ack.is_wanted()).count();
            for (number, ack) in acks.into_iter().enumerate() {
                ack.send(("number", number)).unwrap();
            }
            wanted
        });
        ns.on("never", async |ack: AckSender| drop(ack));
    });
    let mut client = server.client();
    client.send(r#"421["later"]"#);
    client.send(r#"42["later"]"#);
    client.send(r#"422["later"]"#);
    client.send(r#"423["never"]"#);
    assert_eq!(client.ask(r#"424["now"]"#), r#"431["number",0]"#);
    assert_eq!(client.next(), r#"432["number",2]"#, "the second asked for none");
    assert_eq!(client.next(), "434[2]");
}

#[test]
fn those_before_a_handler_are_asked_in_order_and_may_refuse() {
    let server = root(|ns| {
        ns.before(async |socket: Socket, EventName(name): EventName| socket.extend(format!("saw {name}")));
        ns.before(async |Data((word,)): Data<(Option<String>,)>| match word.as_deref() {
            Some("secret") => Err(Refusal::with_data("no", &7)),
            _ => Ok(()),
        });
        ns.before(async || if false { Err(Refusal::new("never")) } else { Ok(()) });
        ns.on("say", async |saw: Extension<String>| saw.to_string());
        ns.on_any(async |EventName(name): EventName| name.to_string());
    });
    let mut client = server.client();
    assert_eq!(client.ask(r#"421["say","hello"]"#), r#"431["saw say"]"#);
    assert_eq!(client.ask(r#"422["say","secret"]"#), r#"432[{"message":"no","data":7}]"#);
    client.send(r#"42["say","secret"]"#);
    assert_eq!(client.ask(r#"423["other"]"#), r#"433["other"]"#, "a refused event without ack says nothing");
    assert_eq!(client.ask(r#"424["say",5]"#).split(':').next(), Some(r#"434[{"message""#), "its own argument is wrong");
}

#[test]
fn several_decide_on_admission_and_the_first_refusal_counts() {
    #[derive(serde::Deserialize)]
    struct Auth {
        name: Option<String>,
    }
    let server = Running::start(Builder::new().socket_io("/socket.io", |io| {
        io.namespace("/", |_| {});
        io.namespace("/asked", |ns| {
            ns.admit(async |socket: Socket| socket.join("first"));
            ns.admit(async |Data(Auth { name }): Data<Auth>| name.map(drop).ok_or(Refusal::new("no name")));
            ns.admit(async || Err::<(), _>(Refusal::new("closed")));
        });
    }));
    let mut client = server.client();
    assert_eq!(client.ask(r#"40/asked,{"name":7}"#), r#"44/asked,{"message":"not admitted"}"#);
    assert_eq!(client.ask(r#"40/asked,{}"#), r#"44/asked,{"message":"no name"}"#);
    assert_eq!(client.ask(r#"40/asked,{"name":"ada"}"#), r#"44/asked,{"message":"closed"}"#);
}

#[test]
fn handlers_of_one_socket_come_and_go() {
    let server = root(|ns| {
        ns.on("begin", async |socket: Socket| {
            socket.on("answer", async |socket: Socket, Data((n,)): Data<(u32,)>| {
                socket.off("answer");
                n + 1
            });
        });
        ns.on("answer", async || "of all");
    });
    let (mut one, mut other) = (server.client(), server.client());
    assert_eq!(one.ask(r#"421["begin"]"#), "431[]");
    assert_eq!(other.ask(r#"421["answer",1]"#), r#"431["of all"]"#);
    assert_eq!(one.ask(r#"422["answer",1]"#), "432[2]");
    assert_eq!(one.ask(r#"423["answer",1]"#), r#"433["of all"]"#);
}

#[test]
fn sockets_are_equal_by_what_they_are_and_leave_all_rooms_at_once() {
    let server = root(|ns| {
        ns.on("rooms", async |socket: Socket| {
            for room in ["a", "b", "c"] {
                socket.join(room);
            }
            let joined = socket.rooms().await.len();
            socket.leave_all();
            (joined, socket.rooms().await)
        });
        ns.on("same", async |socket: Socket| {
            let found = socket.handle().socket("/", socket.sid().to_string()).await.unwrap();
            (socket == found, hash_of(&socket) == hash_of(&found))
        });
    });
    let mut client = server.client();
    assert_eq!(client.ask(r#"421["rooms"]"#), "431[3,[]]");
    assert_eq!(client.ask(r#"422["same"]"#), "432[true,true]");
}

fn hash_of(socket: &Socket) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(socket)
}

fn root(set_up: impl FnOnce(&mut Namespace)) -> Running {
    start(Builder::new(), set_up)
}

fn start(builder: Builder, set_up: impl FnOnce(&mut Namespace)) -> Running {
    Running::start(builder.socket_io("/socket.io", |io| io.namespace("/", set_up)))
}
