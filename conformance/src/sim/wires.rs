//! What is under way between clients and the server.
//!
//! Owns: the records of streams and requests, and of what happens next. Must never know: why anything happens.

use http::Method;
use roomcast_core::server::{ConnId, RequestId};
use roomcast_core::websocket::Decoder;
use roomcast_testkit::StreamEnd;

/// What happens next on the network or with a client.
#[derive(Clone, Copy, Debug)]
pub(super) enum NetworkEvent {
    /// A client does something.
    Act { client: usize },
    /// A request for a WebSocket arrives.
    Dial { client: usize, epoch: u32, purpose: WsPurpose },
    /// Bytes arrive at the server.
    Up { wire: usize },
    /// Bytes arrive at the client.
    Down { wire: usize },
    /// The server's socket takes more.
    Space { wire: usize, bytes: usize },
    /// The server learns that a stream was cut.
    Ended { wire: usize },
    /// The server must have closed a second WebSocket by now.
    Expelled { wire: usize },
    /// A request's head arrives.
    Head { call: usize },
    /// A request's body arrives.
    Body { call: usize },
    /// An answer arrives.
    Answer { call: usize },
    /// The server learns that a client has given a request up.
    Abort { call: usize },
}

/// What a WebSocket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WsPurpose {
    Session,
    Upgrade,
    /// A second one of a session, which says its probe and no more.
    Intruder,
}

/// A WebSocket as both ends see it.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) client: usize,
    pub(super) conn: ConnId,
    pub(super) decoder: Decoder,
    pub(super) up: Vec<u8>,
    pub(super) down: Vec<u8>,
    pub(super) up_planned: bool,
    pub(super) down_planned: bool,
    /// The server has ended it.
    pub(super) server_end: Option<StreamEnd>,
    /// The client no longer listens.
    pub(super) cut: bool,
    /// The sockets whose session ends with this stream.
    pub(super) sids: Vec<String>,
    pub(super) done: bool,
}

/// An HTTP request and how far it is.
#[derive(Debug)]
pub(super) struct HttpCall {
    pub(super) client: usize,
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) body: String,
    pub(super) stage: CallStage,
    /// The client no longer listens.
    pub(super) cut: bool,
    /// The sockets whose session ends when this poll is given up.
    pub(super) sids: Vec<String>,
}

#[derive(Debug)]
pub(super) enum CallStage {
    /// Its head is on its way to the server.
    Sent,
    /// The server has its head.
    Begun(RequestId),
    /// The server has all of it.
    Running(RequestId),
    Answered(u16, String),
    Done,
}
