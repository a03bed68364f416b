//! Engine.IO v4, Socket.IO v5 and rooms as pure state machines.
//!
//! Nothing in here opens a socket, reads a clock, draws a random number, starts a thread or awaits: time, seed and
//! bytes are arguments. See [`server::Server`] for the contract.
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
