//! What a handler knows of the request that opened a connection, and of its namespace and rooms; and who may open one.
#![expect(clippy::unwrap_used, reason = "helpers of tests; clippy knows the test functions only")]

mod common;

use axum::Router;
use axum::extract::Request;
use axum::routing::get;
use common::{Client, RawTcp, Running, frame, handshake};
use roomcast_tokio::{
    Builder, ClientAddress, IpNet, Layer, Namespace, Origins, Pattern, RoomsLeft, Socket, TrustedProxies,
};
use tokio::sync::mpsc;
use tower_layer::Layer as _;

#[derive(Clone, Debug)]
struct LayerUser(&'static str);

fn telling(ns: &mut Namespace) {
    ns.on("address", async |socket: Socket| socket.address().map(|address| address.to_string()));
    ns.on("user", async |socket: Socket| socket.handshake().extension::<LayerUser>().map(|user| user.0));
    ns.on("param", async |socket: Socket| socket.handshake().param("token"));
}

fn root() -> Builder {
    Builder::new().socket_io("/socket.io", |io| io.namespace("/", telling))
}

const TARGET: &str = "/socket.io/?EIO=4&transport=websocket";

#[test]
fn address_and_query_are_there_without_a_framework() {
    let server = Running::start(root());
    let mut client = server.client();
    assert_eq!(client.ask(r#"421["address"]"#), r#"431["127.0.0.1"]"#);
    assert_eq!(client.ask(r#"422["user"]"#), "432[null]");
    let mut raw = server.raw();
    assert_eq!(answer(&mut raw, &handshake(&format!("{TARGET}&token=a%20b")), "param"), r#"431["a b"]"#);
}

/// What the server answers to an event without arguments behind this head.
fn answer(raw: &mut RawTcp, head: &str, event: &str) -> String {
    raw.send(head.as_bytes());
    raw.until(b"\r\n\r\n");
    raw.frame();
    raw.send(&[frame("40"), frame(&format!("421[\"{event}\"]"))].concat());
    raw.frame();
    String::from_utf8(raw.frame()).unwrap()
}

#[test]
fn the_address_is_what_a_trusted_proxy_says() {
    let networks = vec!["127.0.0.0/8".parse::<IpNet>().unwrap()];
    let trusting = root().trusted_proxies(TrustedProxies { networks, ..TrustedProxies::default() });
    for (builder, address) in [(trusting, "192.0.2.9"), (root(), "127.0.0.1")] {
        let server = Running::start(builder);
        let mut raw = server.raw();
        let head = handshake(TARGET).replace("Host:", "X-Forwarded-For: 203.0.113.1, 192.0.2.9\r\nHost:");
        assert_eq!(answer(&mut raw, &head, "address"), format!(r#"431["{address}"]"#));
    }
}

/// A layer in front says who the user is, by an extension of the request; so it is by polling and by WebSocket.
#[test]
fn a_layer_hands_its_user_over_and_the_server_is_one_itself() {
    let builder = root().page("/own", async |_request, _handle| http::Response::new(bytes::Bytes::from_static(b"own")));
    let server = Running::start_with(builder, |server, listener| async move {
        let known = axum::middleware::from_fn(async |mut request: Request, next: axum::middleware::Next| {
            request.extensions_mut().insert(LayerUser("alice"));
            request.extensions_mut().insert(ClientAddress([192, 0, 2, 7].into()));
            next.run(request).await
        });
        let inside = Router::new().route("/hello", get(async || "hello"));
        let app = Router::new().fallback_service(Layer::new(server.service()).layer(inside));
        axum::serve(listener, app.layer(known)).await.unwrap();
    });
    for (path, body) in [("/hello", "hello"), ("/own", "own")] {
        let mut raw = server.raw();
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
        assert_eq!(raw.status(), 200);
        raw.until(body.as_bytes());
    }
    let mut raw = server.raw();
    raw.send(b"GET /neither HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(raw.status(), 404);
    let mut client = server.client();
    assert_eq!(client.ask(r#"421["user"]"#), r#"431["alice"]"#);
    assert_eq!(client.ask(r#"422["address"]"#), r#"432["192.0.2.7"]"#);
}

#[test]
fn browsers_of_other_origins_are_refused_in_same_origin_mode() {
    let server = Running::start(Builder::new().socket_io("/socket.io", |io| {
        io.origins = Origins::Same;
        io.namespace("/", telling);
    }));
    for (origin, status) in [
        (None, 200),
        (Some("http://localhost"), 200),
        (Some("https://LOCALHOST"), 200),
        (Some("http://localhost:81"), 403),
        (Some("http://localhost.example"), 403),
        (Some("http://other"), 403),
        (Some("null"), 403),
    ] {
        let fields = origin.map_or_else(String::new, |origin| format!("Origin: {origin}\r\n"));
        let mut raw = server.raw();
        let target = "/socket.io/?EIO=4&transport=polling";
        raw.send(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").as_bytes());
        assert_eq!(raw.status(), status, "{origin:?}");
        let mut raw = server.raw();
        raw.send(handshake(TARGET).replace("Host:", &format!("{fields}Host:")).as_bytes());
        assert_eq!(raw.status(), if status == 200 { 101 } else { status }, "{origin:?}");
    }
}

#[test]
fn parameters_of_a_namespace_are_read_by_name() {
    let server = Running::start(Builder::new().socket_io("/socket.io", |io| {
        io.namespaces(Pattern::Segments("/projects/{project}/{room}".into()), |ns| {
            ns.on("which", async |socket: Socket| {
                let of = |key| socket.param(key).map(str::to_owned);
                (of("project"), of("room"), of("other"))
            });
        });
    }));
    let mut client = Client::open(server.address, "/socket.io/").joined("40/projects/7/chat,", "40/projects/7/chat,{");
    assert_eq!(client.ask(r#"42/projects/7/chat,1["which"]"#), r#"43/projects/7/chat,1["7","chat",null]"#);
    assert!(client.ask("40/projects/7,").starts_with("44/projects/7,"));
}

#[test]
fn a_client_that_leaves_is_announced_in_its_rooms() {
    let (left, mut rooms_left) = mpsc::unbounded_channel();
    let server = Running::start(Builder::new().socket_io("/socket.io", |io| {
        io.namespace("/", move |ns| {
            let left = left.clone();
            ns.on("join", async |socket: Socket| {
                socket.join("a");
                socket.join("b");
            });
            ns.on_disconnect(move |socket: Socket, RoomsLeft(rooms): RoomsLeft| {
                let left = left.clone();
                async move {
                    for room in &rooms {
                        socket.to(room.clone()).emit("left", room.to_string()).await;
                    }
                    left.send(rooms).unwrap();
                }
            });
        });
    }));
    let [mut stays, mut leaves] = [server.client(), server.client()];
    assert_eq!(stays.ask(r#"421["join"]"#), "431[]");
    assert_eq!(leaves.ask(r#"421["join"]"#), "431[]");
    leaves.send("41");
    let mut told = [stays.next(), stays.next()];
    told.sort();
    assert_eq!(told, [r#"42["left","a"]"#, r#"42["left","b"]"#]);
    let mut rooms = rooms_left.blocking_recv().unwrap();
    rooms.sort();
    assert_eq!(rooms.iter().map(|room| &**room).collect::<Vec<_>>(), ["a", "b"]);
}
