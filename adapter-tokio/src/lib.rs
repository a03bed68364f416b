//! roomcast on tokio: a server that stands alone, or a tower `Service` in a server of yours.
//!
//! ```no_run
//! use roomcast_tokio::{Builder, Data, Socket, Tokio};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let builder = Builder::new().socket_io("/socket.io", |io| {
//!     io.namespace("/", |ns| {
//!         ns.on("message", async |socket: Socket, Data((text,)): Data<(String,)>| {
//!             socket.broadcast().emit("message", text).await;
//!         });
//!     });
//! });
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! builder.start(Tokio)?.serve(listener).await;
//! # Ok(())
//! # }
//! ```
//!
//! In axum, the service stands beside routes of your own; the plain TCP stream is taken out of axum's connection when a
//! client upgrades:
//!
//! ```no_run
//! # use roomcast_tokio::{Builder, Tokio};
//! # async fn run(builder: Builder) -> Result<(), Box<dyn std::error::Error>> {
//! let server = builder.start(Tokio)?;
//! let app = axum::Router::new()
//!     .route("/", axum::routing::get(async || "hello"))
//!     .fallback_service(server.service());
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! axum::serve(listener, app).await?;
//! # Ok(())
//! # }
//! ```
//!
//! On several threads, where one is not enough: [`start_shards`].
//!
//! Yjs documents for stock providers of y-websocket, with rights and a store:
//!
#![cfg_attr(all(feature = "documents", feature = "sqlite"), doc = "```no_run")]
#![cfg_attr(not(all(feature = "documents", feature = "sqlite")), doc = "```ignore")]
//! use roomcast_tokio::stores::SqliteDocuments;
//! use roomcast_tokio::{Builder, Rights, Tokio, Visitor};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let store = SqliteDocuments::open("documents.db").await?;
//! let builder = Builder::new().documents_with("/yjs", store, |documents| {
//!     documents.authorize(async |visitor: Visitor| match visitor.param("token").as_deref() {
//!         Some("secret") => Rights::Write("alice".into()),
//!         _ => Rights::Denied,
//!     });
//! });
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:1234").await?;
//! builder.start(Tokio)?.serve(listener).await;
//! # Ok(())
//! # }
//! ```
//!
//! # The contract
//!
//! * A client is a [`Socket`] in each namespace that it has joined, or a [`Peer`] of a bare endpoint. Both are cheap to
//!   clone; what is sent to one that has gone is dropped.
//! * **Order.** The events of one socket are handled in the order in which they were sent, one after the other, also by
//!   handlers that wait for something. Other sockets are not held up. What is emitted to one client arrives in the order
//!   of the calls.
//! * **Acks.** What a handler returns is the ack: the elements of a tuple, `()` for none, a `Result` by [`ErrorArgs`],
//!   [`NoAck`] for no ack at all. A handler that panics is logged and acks nothing.
//! * **Pace.** `emit` sends by the call. Awaiting it paces the caller: by a single client while that is behind, by a room
//!   never for a member. A client that does not read is closed above [`ServerLimits::queue_bytes_max`]; one whose events
//!   are not handled as fast as they come is not read above [`ServerLimits::unanswered_max`].
//! * **Fairness.** One task serves all connections, in turns of about 3 ms that are shared out by bytes. A handler that
//!   blocks its thread holds all clients up: what takes long belongs into a task or a thread pool.
//!   [`Handle::driver_load`] shows it.
//! * **Bounds.** Everything that clients can make grow has a limit: [`ServerLimits`], [`HttpLimits`].
//! * **End.** [`Handle::shutdown`] closes all transports in such a way that clients come back, and waits within the grace
//!   period for them and for handlers.
//!
//! # Features
//!
//! None is on by default. `documents` is [`Builder::documents`](Builder), Yjs for stock providers of y-websocket. `stores`
//! is the module [`stores`](https://docs.rs/roomcast-stores) with documents in memory, and `sqlite` adds documents in a
//! file. `openwebui` adds the stores of that application; `postgres` and `postgres-tls` its tables in PostgreSQL, and `yrs`
//! the content of documents and edits of them.
//!
//! Types of other crates in this API, beside those of `roomcast-adapter`, all of which is re-exported: tokio's
//! `TcpListener` and `TcpStream`, and `tower_service::Service`.
#![forbid(unsafe_code)]

mod shards;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

pub use crate::shards::{TokioThread, start_shards};
pub use roomcast_adapter::*;
#[cfg(feature = "stores")]
pub use roomcast_stores as stores;

/// The tokio runtime in whose context this is used, of one thread or of many. Its timers and IO must be enabled.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tokio;

impl Runtime for Tokio {
    type Stream = TokioIo<TcpStream>;
    type Listener = TcpListener;

    fn spawn<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        tokio::spawn(future);
    }

    /// Without tokio's budget, which would let a task do 128 operations on sockets at a time and say of the others that
    /// they are not ready.
    fn spawn_driver<F: Future<Output = ()> + Send + 'static>(&self, future: F) {
        tokio::spawn(tokio::task::unconstrained(future));
    }

    fn sleep(&self, span: Duration) -> impl Future<Output = ()> + Send + Sync + 'static {
        tokio::time::sleep(span)
    }

    async fn accept(&self, listener: &mut TcpListener) -> io::Result<(Self::Stream, SocketAddr)> {
        let (stream, address) = listener.accept().await?;
        // It fails on a connection that is broken already, which its first read will tell.
        let _ = stream.set_nodelay(true);
        Ok((TokioIo::new(stream), address))
    }

    /// tokio wakes the task after it has looked for events of sockets.
    fn yield_now(&self) -> impl Future<Output = ()> + Send + 'static {
        tokio::task::yield_now()
    }

    fn downcast(&self, upgraded: Upgraded) -> Result<(Self::Stream, Bytes), Upgraded> {
        let upgraded = match upgraded.downcast::<Self::Stream>() {
            Ok(parts) => return Ok((parts.io, parts.read_buf)),
            Err(upgraded) => upgraded,
        };
        // What `axum::serve` wraps around a stream while it finds out which version of HTTP is spoken.
        hyper_util::server::conn::auto::upgrade::downcast(upgraded).map(|parts| (parts.io, parts.read_buf))
    }
}

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
