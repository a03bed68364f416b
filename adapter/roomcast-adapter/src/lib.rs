//! What every roomcast adapter shares: the driver that runs the core, handlers, the handle, and HTTP by hyper.
//!
//! A program depends on the adapter for its runtime (`roomcast-tokio`, `roomcast-async-std`), which re-exports all of
//! this. [`Builder`] says what is served; [`Builder::start`] starts it and gives a [`Server`]; the [`Handle`] of that
//! reaches clients from anywhere in the program. Another runtime takes an implementation of [`Runtime`].
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
//! Types of other crates in this API: [`bytes::Bytes`] and [`bytestring::ByteString`]; requests and responses of
//! the crate `http`, version 1; the traits of [`hyper::rt`] in [`Runtime`] and of [`serde`] for arguments; [`IpNet`];
//! `roomcast-core`, re-exported as [`core`].
//!
//! This crate knows no runtime and no application: an [`App`](core::server::App) below the handlers is a type parameter.
#![deny(unsafe_code)]

mod ack_result;
mod ack_sender;
mod acks;
mod addresses;
#[cfg(feature = "admin")]
mod admin;
mod app;
mod args;
mod broadcast;
mod builder;
#[cfg(feature = "serve-client")]
mod client_files;
mod clock;
mod cluster;
#[cfg(feature = "documents")]
mod documents;
mod driver;
mod emit_error;
mod endpoints;
mod fetched;
mod flow;
mod handle;
mod handler;
mod handler_arguments;
mod handler_queue;
mod http;
mod http_limits;
mod load;
mod mailbox;
mod own_handlers;
mod peer;
mod presence;
#[cfg(feature = "redis")]
mod redis_nodes;
mod registry;
mod runtime;
mod sent;
mod server;
mod server_replies;
mod server_side;
mod shard_group;
mod shard_hub;
mod siblings;
mod socket;
mod state;
mod states;
mod sync;
mod view;
mod worker;

pub use ipnet::IpNet;
pub use roomcast_core as core;
pub use roomcast_core::cluster::NodeId;
pub use roomcast_core::server::{
    AckEnd, ClientAddress, Delivery, Extent, FetchedSocket, Handshake, Message, Reason, Sid, SocketId,
    config::{
        Compression, ConnectionRecovery, EngineIo, ErrorStyle, Origins, PathMatch, Pattern, ServerLimits,
        SessionCookie, Transports,
    },
};
pub use roomcast_core::socket_io::{Args, ArgsBuilder, ArgsError, Attachment, PacketParser, Parser};

pub use crate::ack_result::ErrorArgs;
pub use crate::ack_sender::AckSender;
pub use crate::acks::{AckError, AckFuture, Acks, AcksFuture};
pub use crate::addresses::TrustedProxies;
#[cfg(feature = "admin")]
pub use crate::admin::{AdminDetail, AdminLogin, AdminPanel, AdminRights, BadPasswordHash};
pub use crate::app::{AppHandle, AppLink};
pub use crate::args::{Fallible, IntoArgs, Raw, Typed};
pub use crate::broadcast::Broadcast;
pub use crate::builder::{Builder, EngineIoRoutes, Namespace, PeerHandlers, SocketIoRoutes, WebSocketRoutes};
pub use crate::clock::wall_now;
pub use crate::cluster::{ClusterBus, ClusterInbox, MemoryBus, MemoryLink};
#[cfg(feature = "documents")]
pub use crate::documents::DocumentRoutes;
pub use crate::emit_error::EmitError;
pub use crate::fetched::FetchedSockets;
pub use crate::handle::Handle;
pub use crate::handler::{
    Ack, Arriving, Closed, Connected, Connecting, Data, Disconnected, EventName, Extract, Handler, HandlerInput,
    IntoOutcome, MessageReceived, NoAck, Opened, Received, Refusal, Rejection, RoomsLeft,
};
pub use crate::handler_arguments::HandlerArguments;
pub use crate::http::head_watch::read_with;
pub use crate::http::layer::{Layer, Layered, Layering};
pub use crate::http::service::{Responding, Service};
pub use crate::http_limits::HttpLimits;
pub use crate::load::DriverLoad;
pub use crate::peer::Peer;
#[cfg(feature = "redis")]
pub use crate::redis_nodes::{RedisMonitor, RedisNodes};
pub use crate::runtime::Runtime;
pub use crate::sent::Sent;
pub use crate::server::{Server, StartError};
pub use crate::server_replies::{ServerReplies, ServerRepliesFuture};
pub use crate::server_side::ServerSideReceived;
pub use crate::socket::Socket;
pub use crate::state::{Extension, State};
pub use crate::view::View;
#[cfg(feature = "redis")]
pub use roomcast_redis as redis;

#[cfg(feature = "documents")]
pub use roomcast_documents::{
    DocumentStore, DocumentsApp, DocumentsConfig, DocumentsRequest, DocumentsResponse, Rights, Visitor,
};

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
