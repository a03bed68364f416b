//! What every roomcast adapter shares: the driver that runs the core, handlers, the handle, and HTTP by hyper.
//!
//! A program depends on the adapter for its runtime (`roomcast-tokio`, `roomcast-async-std`), which re-exports all of
//! this. See [`Builder`] for how a server is set up.
//!
//! Owns: the driver loop over a [`Runtime`]. Must never know: a particular runtime, what handlers do.
#![deny(unsafe_code)]

mod acks;
mod args;
mod broadcast;
mod builder;
mod clock;
mod driver;
mod flow;
mod handle;
mod handler;
mod http;
mod lane;
mod mailbox;
mod peer;
mod promise;
mod registry;
mod runtime;
mod server;
mod socket;
mod view;

pub use roomcast_core as core;
pub use roomcast_core::server::{
    AckEnd, Delivery, Extent, Handshake, Message, Reach, Reason, Sid, SocketId,
    config::{EngineIo, ErrorStyle, Origins, PathMatch, Pattern, ServerLimits, Transports},
};
pub use roomcast_core::socket_io::{Args, ArgsBuilder, ArgsError, Attachment};

pub use crate::acks::{AckError, AckFuture, Acks, AcksFuture};
pub use crate::args::{IntoArgs, Raw, Typed};
pub use crate::broadcast::Broadcast;
pub use crate::builder::{Builder, EngineIoRoutes, Namespace, PeerHandlers, SocketIoRoutes, WebSocketRoutes};
pub use crate::clock::wall_now;
pub use crate::flow::Sent;
pub use crate::handle::Handle;
pub use crate::handler::{
    Ack, Closed, Connected, Connecting, Data, Disconnected, EventName, Extract, Handler, Happening, Incoming,
    IntoAnswer, NoAck, Opened, Received, Refusal, Rejection,
};
pub use crate::http::{Limits as HttpLimits, Responding, Service, read_with};
pub use crate::peer::Peer;
pub use crate::runtime::Runtime;
pub use crate::server::{AppHandle, AppLink, Server, StartError};
pub use crate::socket::Socket;
pub use crate::view::View;

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
