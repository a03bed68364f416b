//! Engine.IO v4, Socket.IO v5 and rooms as pure state machines.
//!
//! Nothing in here opens a socket, reads a clock, draws a random number, starts a thread or awaits: time, seed and
//! bytes are arguments.
//!
//! # The contract
//!
//! [`server::Server`] is the machine, and its example is the loop of a driver:
//!
//! * `handle_*` tells it what happened, with the time last: request heads, bytes, commands, timeouts. Each runs to
//!   completion and never fails because of a peer; any number may be called before draining.
//! * `poll_output`, `poll_transmit` and `poll_timeout` say what to do: report an event, answer a request, write to a
//!   socket, stop reading one, close one, wake up at a time. After any `handle_*`, every `poll_*` may have something new.
//! * Handles are `{index, generation}`: a stale one is ignored and counted.
//! * The same inputs give the same outputs, byte for byte. Everything that peers can make grow has a limit, in
//!   [`ServerLimits`](server::config::ServerLimits).
//!
//! An application in the same style is a [`server::App`]; [`server::Stack`] runs it together with the server.
//!
//! | module | what |
//! |---|---|
//! | [`websocket`] | frames, messages and handshakes of RFC 6455, for both roles |
//! | [`engine_io`] | packets and payloads of Engine.IO v4, and the table of session states |
//! | [`socket_io`] | packets of Socket.IO v5, arguments with attachments, JSON checked in one pass |
//! | [`rooms`] | members of rooms, and the members that a target selects |
//! | [`cluster`] | what nodes tell each other over a bus |
//! | [`server`] | sessions, namespaces, acks, heartbeats, queues, as one machine |
//! | [`id`], [`slab`], [`queue`], [`timer`], [`rng`], [`time`] | handles, tables, timers, keyed hashing, the two clocks |
//!
//! Types of other crates in this API: [`bytes::Bytes`] and [`bytestring::ByteString`] (shared buffers), [`http`] 1
//! (requests, responses, header maps), the traits of [`serde`] for arguments, and `roomcast_time`, re-exported as [`time`].
#![forbid(unsafe_code)]

pub mod cluster;
pub mod engine_io;
pub mod id;
pub mod queue;
pub mod rng;
pub mod rooms;
pub mod server;
pub mod slab;
pub mod socket_io;
pub mod timer;
pub mod websocket;

pub use roomcast_time as time;

/// The examples of the README are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
