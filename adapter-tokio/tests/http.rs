//! Requests as they stand on the wire, and the ways in which a stream comes to the server.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as a test does")]

mod common;

use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use common::{Client, RawTcp, Running, frame, handshake};
use hyper_util::rt::TokioIo;
use roomcast_tokio::{
    Args, Builder, Data, Handle, HttpLimits, IpNet, Message, PathMatch, Peer, Runtime, Socket, Tokio, TrustedProxies,
    start_shards,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

#[test]
fn bytes_right_behind_the_handshake_are_not_lost() {
    let server = Running::start(echo());
    let mut raw = server.raw();
    let mut bytes = handshake("/socket.io/?EIO=4&transport=websocket").into_bytes();
    bytes.extend(frame("40"));
    bytes.extend(frame(r#"421["echo","early"]"#));
    raw.send(&bytes);
    assert_echoes(&mut raw);
}

#[test]
fn axum_serves_it_beside_other_routes() {
    let server = Running::start_with(echo(), |server, listener| async move {
        let nested = server.service().endpoint("/engine.io").unwrap();
        let app = Router::new()
            .route("/hello", get(async || "hello"))
            .nest_service("/inner/engine", nested)
            .fallback_service(server.service());
        axum::serve(listener, app).await.unwrap();
    });
    let mut raw = server.raw();
    raw.send(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(raw.status(), 200);
    assert!(raw.until(b"hello").ends_with("\r\n\r\nhello"));
    raw.send(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(raw.status(), 404);

    let mut bytes = handshake("/socket.io/?EIO=4&transport=websocket").into_bytes();
    bytes.extend(frame("40"));
    bytes.extend(frame(r#"421["echo","early"]"#));
    let mut raw = server.raw();
    raw.send(&bytes);
    assert_echoes(&mut raw);
    assert_eq!(server.client().ask(r#"422["echo",1]"#), "432[1]");
    assert_eq!(Client::open(server.address, "/inner/engine/").ask("4hi"), "4hi");
}

/// Sessions are spread over the shards, and found from any connection that axum has accepted.
#[test]
fn axum_serves_the_shards_of_one_server() {
    let build = |_| {
        Builder::new().socket_io("/socket.io", |io| {
            io.namespace("/", |ns| {
                ns.on("join", async |socket: Socket, Data((room,)): Data<(String,)>| socket.join(room));
                ns.on("say", async |socket: Socket, text: Args| {
                    socket.to("hall").emit("said", text).await;
                });
            });
        })
    };
    let (sharded, _apps) = start_shards(2.try_into().unwrap(), build).unwrap();
    let handle = sharded.handle();
    let server = Running::start_with(echo(), move |_, listener| async move {
        let app = Router::new().route("/hello", get(async || "hello")).fallback_service(sharded.service());
        axum::serve(listener, app).await.unwrap();
    });
    let mut clients = [(); 4].map(|()| server.client());
    let on_shard = |shard: Handle| {
        server.runtime.block_on(async move { shard.query(|view| view.server.audit().sessions).await.unwrap() })
    };
    assert_eq!(handle.shards().into_iter().map(on_shard).collect::<Vec<_>>(), [2, 2]);
    for client in &mut clients {
        assert_eq!(client.ask(r#"421["join","hall"]"#), "431[]");
    }
    for speaker in 0..clients.len() {
        clients[speaker].send(r#"42["say","hi"]"#);
        for (place, client) in clients.iter_mut().enumerate() {
            if place != speaker {
                assert_eq!(client.next(), r#"42["said","hi"]"#, "{place} of {speaker}");
            }
        }
    }
    // Long polling, each request on a connection of its own.
    let poll = |request: &str, body: &str| {
        let mut raw = server.raw();
        let length = body.len();
        let head = format!("Host: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        raw.send(format!("{request} HTTP/1.1\r\n{head}").as_bytes());
        raw.rest()
    };
    for _ in 0..4 {
        let open = poll("GET /socket.io/?EIO=4&transport=polling", "");
        let sid = open.split(r#""sid":""#).nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
        let target = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
        assert!(poll(&format!("POST {target}"), "40").ends_with("ok"));
        assert!(poll(&format!("GET {target}"), "").contains("40{"));
    }
    server.runtime.block_on(handle.shutdown(Duration::ZERO));
}

#[test]
fn an_endpoint_may_serve_the_paths_below_it() {
    let server = Running::start(Builder::new().web_socket("/echo", |ws| {
        ws.path_match = PathMatch::Below;
        ws.peers.on_message(async |peer: Peer, message: Message| {
            peer.send(message).await;
        });
    }));
    for (target, status) in [("/echo/a?b", 101), ("/echo/a/b", 101), ("/echo", 404), ("/echoes/a", 404)] {
        let mut raw = server.raw();
        raw.send(handshake(target).as_bytes());
        assert_eq!(raw.status(), status, "{target}");
    }
}

#[test]
fn an_echo_goes_out_before_the_pong_for_a_ping_behind_it() {
    let server = Running::start(Builder::new().web_socket("/echo", |ws| {
        ws.peers.on_message(async |peer: Peer, message: Message| {
            peer.send(message).await;
        });
    }));
    let mut raw = server.raw();
    raw.send(handshake("/echo").as_bytes());
    raw.until(b"\r\n\r\n");
    let ping = [0x89, 0x81, 0, 0, 0, 0, b'p'];
    for _ in 0..20 {
        raw.send(&[&frame("first")[..], &ping, &frame("second")].concat());
        assert_eq!([raw.frame(), raw.frame(), raw.frame()], [&b"first"[..], b"p", b"second"]);
    }
}

#[test]
fn the_plain_stream_is_taken_out_of_axum() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (found, early) = tokio::sync::oneshot::channel();
        let found = Arc::new(Mutex::new(Some(found)));
        let upgrade = move |mut request: axum::extract::Request| {
            let found = found.lock().unwrap().take();
            tokio::spawn(async move {
                let upgraded = hyper::upgrade::on(&mut request).await.unwrap();
                let early = Tokio.downcast(upgraded).map(|(_stream, early)| early).map_err(|_| "another stream");
                found.unwrap().send(early).unwrap();
            });
            async { (http::StatusCode::SWITCHING_PROTOCOLS, [("upgrade", "x"), ("connection", "upgrade")]) }
        };
        tokio::spawn(axum::serve(listener, Router::new().route("/", get(upgrade))).into_future());
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nearly").await.unwrap();
        assert_eq!(early.await.unwrap(), Ok(Bytes::from_static(b"early")));
    });
}

#[test]
fn any_stream_that_carries_http_will_do() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = echo().start(Tokio).unwrap();
        // So narrow that both sides have to wait for each other.
        let (mut client, stream) = tokio::io::duplex(16);
        let conn = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), server.service())
            .with_upgrades();
        tokio::spawn(conn);
        client.write_all(handshake("/engine.io/?EIO=4&transport=websocket").as_bytes()).await.unwrap();
        let (mut reading, mut writing) = tokio::io::split(client);
        let writer = tokio::spawn(async move {
            for number in 0..100 {
                writing.write_all(&frame(&format!("4message {number}"))).await.unwrap();
            }
            writing
        });
        let mut got = Vec::new();
        while !got.ends_with(b"4message 99") {
            let mut some = [0; 64];
            let read = reading.read(&mut some).await.unwrap();
            assert_ne!(read, 0, "the stream stays open: {}", String::from_utf8_lossy(&got));
            got.extend_from_slice(&some[..read]);
        }
        writer.await.unwrap();
    });
}

/// Two members of a room take all that they are given: each gets a part in turn.
#[test]
fn a_long_message_to_one_does_not_hold_up_the_other() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = echo().start(Tokio).unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let mut clients = Vec::new();
        for who in 0..2 {
            let (mut client, stream) = tokio::io::duplex(16 << 20);
            let stream = TokioIo::new(Insatiable { stream, who, log: log.clone() });
            let conn = hyper::server::conn::http1::Builder::new().serve_connection(stream, server.service());
            tokio::spawn(conn.with_upgrades());
            client.write_all(handshake("/socket.io/?EIO=4&transport=websocket").as_bytes()).await.unwrap();
            client.write_all(&frame("40")).await.unwrap();
            read_past(&mut client, b"40{").await;
            clients.push(client);
        }
        log.lock().unwrap().clear();
        server.handle().of("/").emit("long", ("x".repeat(LONG), "the end")).await;
        for client in &mut clients {
            read_past(client, b"the end").await;
        }
        let log = log.lock().unwrap();
        let both_write = log.iter().rposition(|who| *who != log[log.len() - 1]).unwrap();
        let longest = log[..=both_write].chunk_by(|one, next| one == next).map(<[_]>::len).max();
        assert!(longest < Some(LONG / WRITE / 4), "{longest:?} of {} writes in a row", log.len());
    });
}

/// A stream that takes every write, up to so many bytes.
struct Insatiable {
    stream: tokio::io::DuplexStream,
    who: usize,
    log: Arc<Mutex<Vec<usize>>>,
}

const WRITE: usize = 64 << 10;
const LONG: usize = 4 << 20;

impl AsyncRead for Insatiable {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Insatiable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.log.lock().unwrap().push(self.who);
        Pin::new(&mut self.stream).poll_write(cx, &bytes[..bytes.len().min(WRITE)])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

async fn read_past(client: &mut tokio::io::DuplexStream, what: &[u8]) {
    let mut got = Vec::new();
    while !got.windows(what.len()).any(|window| window == what) {
        // What was looked at is not needed again, but for its end.
        got.drain(..got.len().saturating_sub(what.len()));
        assert_ne!(client.read_buf(&mut got).await.unwrap(), 0, "the stream stays open");
    }
}

#[test]
fn requests_that_are_framed_in_two_ways_are_refused() {
    let server = Running::start(echo());
    let chunked = "Transfer-Encoding: chunked\r\n";
    for (headers, status) in [
        ("Host: x\r\nContent-Length: 2\r\n", 400),
        (&format!("Host: x\r\n{chunked}Content-Length: 3\r\n"), 400),
        (&format!("Host: x\r\nContent-Length: 3\r\n{chunked}"), 400),
        ("Host: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n", 400),
        ("Host: x\r\nHost: x\r\nContent-Length: 2\r\n", 400),
        ("Content-Length: 2\r\n", 400),
        ("Host: x\r\nContent-Length: 5000\r\n", 413),
        (&format!("Host: x\r\nX: {}\r\nContent-Length: 2\r\n", "y".repeat(40_000)), 431),
    ] {
        let mut raw = server.raw();
        raw.send(format!("POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n{headers}\r\n").as_bytes());
        if status == 400 {
            raw.send(b"0\r\n\r\n");
        }
        assert_eq!(raw.status(), status, "{headers:.80}");
    }
}

#[test]
fn a_body_is_read_however_it_comes() {
    let server = Running::start(echo());
    let open = |raw: &mut RawTcp| {
        raw.send(b"GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n");
        raw.until(b"\"sid\":\"");
        let sid = raw.until(b"\"").trim_end_matches('"').to_owned();
        raw.until(b"}");
        format!("/engine.io/?EIO=4&transport=polling&sid={sid}")
    };
    let mut raw = server.raw();
    let path = open(&mut raw);
    raw.send(format!("POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n4a\r\n").as_bytes());
    raw.send(b"3\r\nbc\x1e\r\n2\r\n4d\r\n0\r\n\r\n");
    assert_eq!(raw.status(), 200);
    raw.until(b"\r\n\r\nok");
    raw.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    raw.until(b"\r\n\r\n4abc\x1e4d");

    raw.send(
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n").as_bytes(),
    );
    raw.until(b"HTTP/1.1 100 Continue\r\n\r\n");
    raw.send(b"4e");
    raw.until(b"\r\n\r\nok");

    // What is refused by its head is not waited for, and not asked for with `100 Continue`.
    let mut raw = server.raw();
    raw.send(b"POST /engine.io/?EIO=4&transport=polling&sid=unknown HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(raw.status(), 400);
    let mut raw = server.raw();
    raw.send(b"POST /engine.io/?EIO=4&transport=polling&sid=unknown HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(raw.status(), 400);
}

#[test]
fn a_poll_that_is_given_up_ends_its_session() {
    let server = Running::start(echo());
    let mut raw = server.raw();
    raw.send(b"GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n\r\n");
    raw.until(b"\"sid\":\"");
    let sid = raw.until(b"\"").trim_end_matches('"').to_owned();
    raw.until(b"}");
    raw.send(format!("GET /engine.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    let audit = |wanted: fn(&roomcast_tokio::core::server::Audit) -> bool| {
        let handle = server.handle.clone();
        server.runtime.block_on(async move {
            while !wanted(&handle.audit().await.unwrap()) {
                tokio::task::yield_now().await;
            }
        });
    };
    audit(|audit| audit.requests == 1);
    drop(raw);
    audit(|audit| audit.requests == 0 && audit.sessions == 0);
}

#[test]
fn pages_answer_beside_the_endpoints() {
    let limits = HttpLimits { page_body_bytes_max: 10, ..HttpLimits::default() };
    let builder = echo().http_limits(limits).page("/page", async |request: http::Request<Bytes>, handle: Handle| {
        let sessions = handle.audit().await.unwrap().sessions;
        http::Response::new(Bytes::from(format!("{} {sessions}!", request.body().len())))
    });
    let server = Running::start(builder);
    let mut raw = server.raw();
    raw.send(b"POST /page HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
    assert!(raw.until(b"!").ends_with("\r\n\r\n3 0!"));
    raw.send(b"POST /page HTTP/1.1\r\nHost: x\r\nContent-Length: 11\r\n\r\n");
    assert_eq!(raw.status(), 413);
}

#[test]
fn an_address_has_no_more_connections_than_it_may() {
    let limits = HttpLimits { conns_per_address_max: 2, ..HttpLimits::default() };
    let server = Running::start(echo().http_limits(limits));
    let first = Client::open(server.address, "/engine.io/");
    let mut second = Client::open(server.address, "/engine.io/");
    assert_eq!(second.ask("4hi"), "4hi");
    assert_eq!(server.raw().rest(), "", "one more is closed");
    drop(first);
    // Until the server has seen that the first one is gone.
    let is_answered = |mut stream: std::net::TcpStream| {
        let asked = stream.write_all(b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n");
        asked.is_ok() && stream.read(&mut [0]).is_ok_and(|read| read > 0)
    };
    while !is_answered(server.raw().0) {}
}

/// From the address that the proxy has added; what the client itself wrote before proves nothing.
#[test]
fn behind_a_proxy_the_clients_addresses_count() {
    let limits = HttpLimits { conns_per_address_max: 2, ..HttpLimits::default() };
    let proxies =
        TrustedProxies { networks: vec![IpNet::from(IpAddr::from([127, 0, 0, 1]))], ..TrustedProxies::default() };
    let server = Running::start(echo().http_limits(limits).trusted_proxies(proxies));
    let open = |forwarded: &str| {
        let mut raw = server.raw();
        let request = handshake("/engine.io/?EIO=4&transport=websocket");
        let request = request.replacen("\r\n", &format!("\r\nX-Forwarded-For: {forwarded}\r\n"), 1);
        raw.send(request.as_bytes());
        (raw.status(), raw)
    };
    let (first, second) = (open("203.0.113.9"), open("1.1.1.1, 203.0.113.9"));
    assert_eq!((first.0, second.0), (101, 101));
    assert_eq!(open("2.2.2.2, 203.0.113.9").0, 429);
    assert_eq!(open("203.0.113.10").0, 101);
    drop(first);
    while open("203.0.113.9").0 == 429 {}
}

#[test]
fn what_does_not_arrive_in_time_or_takes_too_much_together_is_refused() {
    let span = std::time::Duration::from_millis(50);
    let limits = HttpLimits {
        head_timeout: span,
        body_timeout: span,
        partial_bodies_bytes_max: 10_000,
        ..HttpLimits::default()
    };
    let page = async |_: http::Request<Bytes>, _: Handle| http::Response::new(Bytes::new());
    let server = Running::start(echo().http_limits(limits).page("/page", page));
    let mut raw = server.raw();
    raw.send(b"POST /page HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na");
    assert_eq!(raw.status(), 408);
    let mut raw = server.raw();
    raw.send(b"POST /page HTTP/1.1\r\nHost: x\r\n");
    assert!(!raw.rest().contains("200"), "a head that is never complete");
    let mut raw = server.raw();
    raw.send(b"POST /page HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n");
    raw.send(&[b'x'; 15_000]);
    assert_eq!(raw.status(), 503);
    let mut raw = server.raw();
    raw.send(b"POST /page HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n");
    raw.send(&[b'x'; 9_000]);
    assert_eq!(raw.status(), 200, "what was refused counts no more");
}

#[test]
fn the_driver_says_how_busy_it_is() {
    let server = Running::start(echo());
    assert_eq!(Client::open(server.address, "/engine.io/").ask("4hi"), "4hi");
    let load = server.handle.driver_load();
    assert!(load.turns > 0 && load.busy >= load.longest_turn && !load.longest_turn.is_zero(), "{load:?}");
}

fn echo() -> Builder {
    Builder::new()
        .socket_io("/socket.io", |io| {
            io.engine.max_payload_bytes = 1000;
            io.namespace("/", |ns| ns.on("echo", async |args: Args| args));
        })
        .engine_io("/engine.io", |eio| {
            eio.peers.on_message(async |peer: Peer, message: Message| {
                peer.send(message).await;
            });
        })
}

fn assert_echoes(raw: &mut RawTcp) {
    assert_eq!(raw.status(), 101);
    raw.until(b"\r\n\r\n");
    assert!(raw.frame().starts_with(b"0{"));
    assert!(raw.frame().starts_with(b"40{"));
    assert_eq!(raw.frame(), br#"431["early"]"#);
}
