//! What the conformance server serves.
//!
//! Owns: its endpoints, namespaces and events. Must never know: the runtime, beyond its timers.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use roomcast_auth::{Claim, Claims, Key, Policy, Verifier};
use roomcast_core::cluster::{ClusterSettings, JavaScript, Python, Strangers};
use roomcast_tokio::redis::{RedisConfig, RedisUrl};
use roomcast_tokio::{
    AdminLogin, AdminPanel, Args, ArgsError, BadPasswordHash, Builder, Compression, ConnectionRecovery, Data, EngineIo,
    Extent, Handle, Message, Namespace, NoAck, Parser, Pattern, Peer, PeerHandlers, RedisNodes, Refusal, Runtime,
    SessionCookie, Socket, SocketIoRoutes, Transports, wall_now,
};
use serde::{Deserialize, Serialize};

use crate::fleet::{listed, of_fleet};
use crate::settings::{BusDialect, Settings};

/// Of all shards.
static RESPONSES: AtomicU64 = AtomicU64::new(0);

/// The dashboard's side of the server, if there is one. It is told of sockets by [`AdminPanel::watch`].
pub fn panel(settings: &Settings) -> Result<Option<AdminPanel>, BadPasswordHash> {
    let login = settings.admin.as_ref().map(|hash| AdminLogin::basic("ada", hash)).transpose()?;
    Ok(login.map(AdminPanel::new))
}

pub fn builder<R: Runtime>(
    runtime: R,
    settings: &Settings,
    panel: Option<&AdminPanel>,
) -> Result<Builder, Box<dyn Error>> {
    let policy = Policy { required: vec![Claim::Expiry, Claim::Subject], ..Policy::default() };
    let verifier = Verifier::new(policy, vec![Key::hmac(settings.jwt_secret.as_bytes())?])?;
    let compression = (settings.compression == "1").then(Compression::default);
    let engine = EngineIo {
        ping_interval: settings.ping_interval,
        ping_timeout: settings.ping_timeout,
        max_payload_bytes: settings.max_payload,
        compression,
        cookie: (settings.cookie == "1").then(SessionCookie::default),
        transports: if settings.upgrades == "0" { Transports::BothWithoutUpgrades } else { Transports::Both },
        ..EngineIo::default()
    };
    let with_parser = |io: &mut SocketIoRoutes, parser: Parser| {
        io.engine = engine.clone();
        io.parser = parser;
        let verifier = verifier.clone();
        namespaces(io, &runtime, verifier, settings);
    };
    let builder = Builder::new()
        .initial_headers(|request, headers| {
            let user = request.headers().get("x-user").cloned();
            headers.insert("x-initial", user.unwrap_or(HeaderValue::from_static("a guest")));
        })
        .headers(|_request, headers| {
            headers.insert("x-response", HeaderValue::from(RESPONSES.fetch_add(1, Ordering::Relaxed)));
        })
        .socket_io("/socket.io", |io| {
            with_parser(io, Parser::Json);
            panel.iter().for_each(|panel| panel.register(io));
        })
        .socket_io("/msgpack", |io| with_parser(io, Parser::MessagePack))
        .engine_io("/engine.io", |eio| {
            eio.engine = engine.clone();
            echo(&mut eio.peers);
        })
        .web_socket("/websocket", |ws| {
            ws.ws.message_bytes_max = 64 << 20;
            ws.ws.fragments_max = 100_000;
            ws.ws.compression = compression;
            echo(&mut ws.peers);
        })
        .serve_client("/socket.io")
        .page("/debug/audit", async |_request: http::Request<Bytes>, handle: Handle| {
            let body = handle.audit().await.and_then(|audit| serde_json::to_vec(&audit).ok());
            http::Response::new(Bytes::from(body.unwrap_or_default()))
        });
    let Some(url) = &settings.redis_url else { return Ok(builder) };
    let config = RedisConfig::new(RedisUrl::parse(url)?);
    let mut cluster = ClusterSettings::default();
    Ok(match settings.dialect {
        BusDialect::Python => builder.redis(cluster, RedisNodes::new(config, Python::default())),
        BusDialect::Javascript => {
            cluster.strangers = Strangers::Counted;
            builder.redis(cluster, RedisNodes::new(config, JavaScript::default()))
        }
        BusDialect::JavascriptSpecific => {
            cluster.strangers = Strangers::Counted;
            builder.redis(cluster, RedisNodes::new(config, JavaScript::default().specific_responses()))
        }
    })
}

fn namespaces(io: &mut SocketIoRoutes, runtime: &impl Runtime, verifier: Verifier, settings: &Settings) {
    io.connect_timeout = settings.connect_timeout;
    let max_age = settings.recovery;
    io.recovery = (!max_age.is_zero()).then(|| ConnectionRecovery { max_age, ..ConnectionRecovery::default() });
    for open in ["/", "/custom"] {
        io.namespace(open, |ns| open_to_all(ns, runtime.clone(), settings));
    }
    io.namespaces(Pattern::Digits("/dyn-".into()), |ns| open_to_all(ns, runtime.clone(), settings));
    io.namespace("/deny", |ns| {
        ns.admit(async || Err::<(), _>(Refusal::with_data("not authorized", &ErrorData { code: "E_AUTH" })));
    });
    io.namespace("/jwt", |ns| with_token(ns, runtime.clone(), verifier, settings));
}

fn echo(peers: &mut PeerHandlers) {
    peers.on_message(async |peer: Peer, message: Message| {
        peer.send(message).await;
    });
}

fn open_to_all(ns: &mut Namespace, runtime: impl Runtime, settings: &Settings) {
    let (timers, pause) = (runtime.clone(), greeting_pause(settings));
    ns.on_connect(move |socket: Socket| {
        let timers = timers.clone();
        async move {
            if let Some(pause) = pause {
                timers.sleep(pause).await;
            }
            let auth = if socket.auth().is_empty() { "{}" } else { socket.auth() };
            if let Ok(args) = Args::from_json_values(auth) {
                socket.emit("auth", args).await;
            }
        }
    });
    events(ns, runtime, settings);
}

fn with_token(ns: &mut Namespace, runtime: impl Runtime, verifier: Verifier, settings: &Settings) {
    ns.admit(move |socket: Socket, token: Result<Data<Token>, ArgsError>| {
        let claims = token.ok().and_then(|token| verifier.verify(&token.token, wall_now()).ok());
        async move {
            socket.extend(claims.ok_or_else(|| Refusal::new("unauthorized"))?);
            Ok::<(), Refusal>(())
        }
    });
    let (timers, pause) = (runtime.clone(), greeting_pause(settings));
    ns.on_connect(move |socket: Socket| {
        let timers = timers.clone();
        async move {
            if let Some(pause) = pause {
                timers.sleep(pause).await;
            }
            let Some(claims) = socket.extension::<Claims>() else { return };
            timers.spawn(until_expiry(timers.clone(), socket.clone(), claims.exp().unwrap_or_default()));
            socket.emit("auth", SubjectClaim { sub: claims.subject() }).await;
        }
    });
    events(ns, runtime, settings);
}

/// The official suites listen for one message at a time, with a `ws` (8.5) that emits all frames of one read in one tick:
/// an event that comes in the same segment as the answer to CONNECT is lost on them. Load generators count bytes.
fn greeting_pause(settings: &Settings) -> Option<Duration> {
    (settings.load != "1").then_some(Duration::from_millis(2))
}

/// Ends the socket's presence when its token does.
async fn until_expiry(runtime: impl Runtime, socket: Socket, expiry: roomcast_core::time::WallTime) {
    let left = Duration::from_millis(expiry.as_unix_millis().saturating_sub(wall_now().as_unix_millis()));
    let (mut timer, mut gone) = (std::pin::pin!(runtime.sleep(left)), std::pin::pin!(socket.disconnected()));
    std::future::poll_fn(|cx| {
        if gone.as_mut().poll(cx).is_ready() { std::task::Poll::Ready(()) } else { timer.as_mut().poll(cx) }
    })
    .await;
    socket.disconnect(Extent::Namespace);
}

fn events(ns: &mut Namespace, runtime: impl Runtime, settings: &Settings) {
    ns.on("message", async |socket: Socket, args: Args| {
        socket.emit("message-back", args).await;
        NoAck
    });
    ns.on("message-with-ack", async |args: Args| args);
    ns.on("echo", async |args: Args| args);
    ns.on("ask", move |socket: Socket, args: Args| {
        // In a task of its own: the client's next events need not wait for its answer.
        runtime.spawn(async move {
            if let Ok(answer) = socket.emit_with_ack("ask", args, ASK_TIMEOUT).await {
                socket.emit("ask-result", answer).await;
            }
        });
        async { NoAck }
    });
    // Of all nodes.
    ns.on("ask-room", async |socket: Socket, Data((room, question)): Data<(String, serde_json::Value)>| {
        let acks = socket.to(room).emit_with_ack("ask", question, ROOM_TIMEOUT).await.ok();
        let answers = acks
            .into_iter()
            .flat_map(|acks| acks.answers.into_iter().map(|(_, args)| args).chain(acks.remote).collect::<Vec<Args>>());
        let lists = answers.map(|args| serde_json::from_str(&format!("[{}]", args.json())).unwrap_or_default());
        (lists.collect::<Vec<Vec<serde_json::Value>>>(),)
    });
    // Of all nodes, with all of them: the answers, and whether as many came as were asked for.
    ns.on("ask-all", async |socket: Socket, Data((room, question)): Data<(String, serde_json::Value)>| {
        let acks = socket.everyone().to(room).emit_with_ack("question", question, ASK_TIMEOUT).await.ok()?;
        let answers = acks.answers.into_iter().map(|(_, args)| args).chain(acks.remote);
        Some(listed(&answers.collect::<Vec<_>>(), acks.asked))
    });
    ns.on("whoami", async |socket: Socket| WhoAmI {
        sid: socket.sid().to_string(),
        rooms: socket.rooms().await.len(),
        nsp: socket.namespace().to_owned(),
    });
    ns.on("kick", async |socket: Socket, Data((whole,)): Data<(bool,)>| {
        if whole {
            socket.close();
        } else {
            socket.disconnect(Extent::Namespace);
        }
        NoAck
    });
    in_rooms(ns);
    of_others(ns);
    of_fleet(ns);
    if settings.load != "1" {
        to_all(ns);
    }
    in_masses(ns);
    if settings.load == "1" {
        ns.on("join", async |socket: Socket, Data((room,)): Data<(String,)>| {
            socket.join(room);
            "ok"
        });
        ns.on("broadcast", async |socket: Socket, args: Args| {
            socket.everyone().to("r").emit("msg", args);
            NoAck
        });
    }
}

/// Rooms and ends of sockets anywhere.
fn of_others(ns: &mut Namespace) {
    ns.on("move", async |socket: Socket, Data((whom, from, to)): Data<(String, String, String)>| {
        socket.everyone().to(whom.as_str()).join(to);
        socket.everyone().to(whom).leave(from);
        "moved"
    });
    ns.on("disconnect-room", async |socket: Socket, Data((room, whole)): Data<(String, bool)>| {
        socket.everyone().to(room).disconnect(if whole { Extent::Connection } else { Extent::Namespace });
        NoAck
    });
    ns.on("cast-volatile", async |socket: Socket, Data((room,)): Data<(String,)>, args: Args| {
        socket.everyone().to(room).volatile().emit("volatile", args.slice_from(1)).await;
        NoAck
    });
}

/// Joins and broadcasts; a load generator has a dialect of its own for these.
fn to_all(ns: &mut Namespace) {
    ns.on("join", async |socket: Socket, room: Result<Data<(String,)>, ArgsError>| match room {
        Ok(Data((room,))) => {
            socket.join(room.as_str());
            Args::from_serialize(&("joined", room)).ok()
        }
        Err(_) => Args::from_serialize("error").ok(),
    });
    ns.on("broadcast", async |socket: Socket, args: Args| {
        socket.everyone().emit("broadcast", args).await;
        NoAck
    });
}

fn in_rooms(ns: &mut Namespace) {
    ns.on("leave", async |socket: Socket, Data((room,)): Data<(String,)>| {
        socket.leave(room.as_str());
        ("left", room)
    });
    ns.on("room-cast", async |socket: Socket, Data((room,)): Data<(String,)>, args: Args| {
        if !socket.is_in(room.as_str()).await {
            return "denied";
        }
        socket.everyone().to(room).emit("room-event", args).await;
        "sent"
    });
    ns.on("typing", async |socket: Socket, Data((room,)): Data<(String,)>, args: Args| {
        socket.to(room).emit("typing", args.slice_from(1)).await;
        NoAck
    });
}

fn in_masses(ns: &mut Namespace) {
    ns.on("burst", async |socket: Socket, Data((count,)): Data<(u32,)>| {
        for number in 0..count.min(BURST_MAX) {
            socket.emit("seq", number).await;
        }
        NoAck
    });
    ns.on("volatile", async |socket: Socket, Data((count,)): Data<(u32,)>| {
        for number in 0..count.min(BURST_MAX) {
            socket.emit_volatile("vol", number).await;
        }
        socket.emit("vol-done", count).await;
        NoAck
    });
    ns.on("flood", async |socket: Socket, Data((room, count, size)): Data<(String, u32, usize)>| {
        let text = "x".repeat(size.min(FLOOD_BYTES_MAX));
        let room = socket.everyone().to(room);
        for number in 0..count.min(FLOOD_MAX) {
            room.clone().emit("flood", (number, &text)).await;
        }
        count
    });
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

#[derive(Serialize)]
struct SubjectClaim<'a> {
    sub: Option<&'a str>,
}

#[derive(Serialize)]
struct ErrorData {
    code: &'static str,
}

#[derive(Serialize)]
struct WhoAmI {
    sid: String,
    rooms: usize,
    nsp: String,
}

/// Other servers on the bus do not say how many sockets they ask: the answers are those that come within this.
const ROOM_TIMEOUT: Duration = Duration::from_secs(1);
const ASK_TIMEOUT: Duration = Duration::from_secs(30);
const BURST_MAX: u32 = 100_000;
const FLOOD_MAX: u32 = 20_000;
const FLOOD_BYTES_MAX: usize = 200_000;
