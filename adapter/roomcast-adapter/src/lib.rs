//! What every roomcast adapter shares: the driver that runs the core, handlers, the handle, and HTTP by hyper.
//!
//! A program depends on the adapter for its runtime (`roomcast-tokio`, `roomcast-async-std`), which re-exports all of
//! this. See [`Builder`] for how a server is set up.
//!
//! Owns: the driver loop over a [`Runtime`]. Must never know: a particular runtime, what handlers do.
#![deny(unsafe_code)]

mod ack_result;
mod acks;
mod addresses;
mod app;
mod args;
mod broadcast;
mod builder;
mod clock;
#[cfg(feature = "documents")]
mod documents;
mod driver;
mod endpoints;
mod flow;
mod handle;
mod handler;
mod handler_queue;
mod http;
mod http_limits;
mod load;
mod mailbox;
mod peer;
mod presence;
mod registry;
mod runtime;
mod sent;
mod server;
mod socket;
mod sync;
mod view;

pub use roomcast_core as core;
pub use roomcast_core::server::{
    AckEnd, Delivery, Extent, Handshake, Message, Reach, Reason, Sid, SocketId,
    config::{EngineIo, ErrorStyle, Origins, PathMatch, Pattern, ServerLimits, Transports},
};
pub use roomcast_core::socket_io::{Args, ArgsBuilder, ArgsError, Attachment};

pub use crate::ack_result::ErrorArgs;
pub use crate::acks::{AckError, AckFuture, Acks, AcksFuture};
pub use crate::addresses::{ClientAddress, TrustedProxies};
pub use crate::app::{AppHandle, AppLink};
pub use crate::args::{Fallible, IntoArgs, Raw, Typed};
pub use crate::broadcast::Broadcast;
pub use crate::builder::{Builder, EngineIoRoutes, Namespace, PeerHandlers, SocketIoRoutes, WebSocketRoutes};
pub use crate::clock::wall_now;
#[cfg(feature = "documents")]
pub use crate::documents::DocumentRoutes;
pub use crate::handle::Handle;
pub use crate::handler::{
    Ack, Closed, Connected, Connecting, Data, Disconnected, EventName, Extract, Handler, HandlerInput, IntoOutcome,
    MessageReceived, NoAck, Opened, Received, Refusal, Rejection,
};
pub use crate::http::service::{Responding, Service};
pub use crate::http::tally::read_with;
pub use crate::http_limits::HttpLimits;
pub use crate::load::DriverLoad;
pub use crate::peer::Peer;
pub use crate::runtime::Runtime;
pub use crate::sent::Sent;
pub use crate::server::{Server, StartError};
pub use crate::socket::Socket;
pub use crate::view::View;
#[cfg(feature = "documents")]
pub use roomcast_documents::{
    DocumentStore, DocumentsApp, DocumentsConfig, DocumentsRequest, DocumentsResponse, Rights, Visitor,
};

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
