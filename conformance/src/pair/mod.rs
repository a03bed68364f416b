//! A server and its clients mouth to mouth under virtual time: no port, no thread, no clock.
//!
//! Owns: [`Pair`] and its clients, which speak with real client-side codecs. Must never know: what a test wants to see.
//!
//! | level | what it is for |
//! |---|---|
//! | [`Pair::get`], [`Pair::post`], [`Pair::web_socket`] | one request or one stream, in the hands of the test |
//! | [`Pair::open`], [`Pair::send`], [`Pair::take`] | a [`Peer`]: a client that polls, answers pings and can upgrade |
//!
//! Everything happens at once except time, which moves by [`Pair::pass`] from deadline to deadline. When a pair is
//! dropped, all clients leave and the server's audit must come to all zeros.

pub mod app;
pub mod host;
mod manual;
mod peer;
mod requests;
mod state;
mod web_socket;

pub use self::app::{Conformance, Profile, emit};
pub use self::host::{Host, host};
pub use self::manual::{Handling, Manual};
pub use self::requests::WALL_MS;
pub use self::state::{Over, Pair, Peer, TestRequest, TestResponse, Via, Ws, handshake};
