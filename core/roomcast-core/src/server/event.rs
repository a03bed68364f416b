//! What goes into a [`Server`](super::Server) and what comes out.
//!
//! Owns: the vocabulary of inputs, outputs, events and commands. Must never know: how any of it is carried out.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use super::cluster_event::{ClusterCommand, ClusterEvent, ClusterInput};
use super::config::EndpointId;
use super::fault::PeerError;
pub use super::handles::{AckId, ConnId, EmitId, RequestId, SessionId, SocketId};
pub use super::handshake::{ClientAddress, Handshake};
pub use super::target::{AckEnd, AckRequest, Reach, Scope, Selection, Target};
use crate::cluster::{ClusterMessage, RoomChannel};
use crate::socket_io::Args;
pub use crate::socket_io::{Delivery, Extent};
use crate::time::WallTime;
use crate::websocket::CloseCode;

/// What the driver feeds to the server.
#[derive(Debug)]
#[non_exhaustive]
pub enum Input<'a> {
    /// Bytes came from a WebSocket.
    WsBytes {
        /// The stream that was read.
        conn: ConnId,
        /// Any cut of the stream.
        bytes: &'a [u8],
    },
    /// A WebSocket's stream has ended or broken. Its [`ConnId`] is free.
    WsEnded {
        /// The stream that ended.
        conn: ConnId,
    },
    /// The client of an HTTP request went away before the answer.
    HttpAborted {
        /// The request without a client.
        request: RequestId,
    },
    /// The current calendar time, given every few seconds and after a clock step. Tokens expire by it.
    WallClock(WallTime),
    /// What the bus of a cluster has to say, see [`Config::cluster`](super::Config::cluster). Ignored without one.
    Cluster(ClusterInput),
    /// A command of the application.
    Command(Command),
}

/// What the server asks the driver to do.
///
/// Not `#[non_exhaustive]`: a driver that passed over a new variant would leave something undone.
#[derive(Debug)]
pub enum Output {
    /// For the application.
    Event(Event),
    /// Answer an HTTP request. Its [`RequestId`] is free.
    Respond(RequestId, Box<http::Response<Bytes>>),
    /// A WebSocket has something to send: poll its transmits while its socket takes bytes.
    Writable(ConnId),
    /// Stop reading this WebSocket: its application or its own reading is behind.
    ReadPaused(ConnId),
    /// Read it again.
    ReadResumed(ConnId),
    /// Close this WebSocket's stream now; what is unsent is lost. Its [`ConnId`] is free.
    Close(ConnId),
    /// Tell all other nodes. Only in a cluster, as the next two.
    Publish(Box<ClusterMessage>),
    /// Have the bus bring the messages of this channel from now on, and say [`ClusterInput::Subscribed`] once it does.
    /// Not with [`Subscriptions::Everything`](crate::cluster::Subscriptions::Everything), as the next.
    Subscribe(Box<RoomChannel>),
    /// Have it bring them no more.
    Unsubscribe(Box<RoomChannel>),
}

const _: () = assert!(size_of::<Output>() <= 128);

/// The answer to a request that asked for a WebSocket.
#[derive(Debug)]
pub enum Upgrade {
    /// Send this 101, then raw bytes are [`Input::WsBytes`] of this connection.
    Accept(ConnId, http::Response<()>),
    /// Send this and no more.
    Refuse(Box<http::Response<Bytes>>),
}

/// Whether the server says who joins and leaves rooms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RoomEvents {
    /// It does not, which costs nothing.
    #[default]
    Off,
    /// By [`Event::RoomJoined`] and [`Event::RoomLeft`], in the order of the commands.
    On,
}

/// What happened, for the application. Each `Received` and `Message` is to be followed by one [`Command::Handled`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A peer of a bare Engine.IO or bare WebSocket endpoint is there.
    Opened {
        /// The session of the new peer.
        session: SessionId,
        /// The endpoint that it connected to.
        endpoint: EndpointId,
        /// The request it came with.
        request: Arc<Handshake>,
    },
    /// A message of such a peer.
    Message {
        /// The session that sent it.
        session: SessionId,
        /// What it sent.
        message: Message,
    },
    /// Such a peer is gone.
    Closed {
        /// The peer; the handle is stale.
        session: SessionId,
        /// Why the session ended.
        reason: Reason,
    },
    /// A client asks to join a namespace of [`Admission::Ask`](super::config::Admission::Ask). Answer with
    /// [`Command::Accept`] or [`Command::Refuse`] within the connect timeout; events of the socket come after that.
    ///
    /// A client that repeats its CONNECT meanwhile is asked about again if the first is refused, and answered with the same
    /// socket if it is accepted: a client is in a namespace once. (socket.io 4.8 decides all of them side by side and makes
    /// a socket of each, of which only the last is heard.)
    Connecting(Box<Connect>),
    /// A client has joined a namespace, by [`Command::Accept`] or because it is open.
    Connected(Box<Connect>),
    /// A socket sent an event.
    Received {
        /// Its session, for [`Command::Handled`].
        session: SessionId,
        /// The socket that sent it.
        socket: SocketId,
        /// The event's name.
        name: ByteString,
        /// Its arguments: the client's own bytes.
        args: Args,
        /// Given if the client waits for an ack.
        ack: Option<AckId>,
    },
    /// A socket acknowledged an emit that asked for it.
    Acked {
        /// The emit, as the application named it.
        emit: EmitId,
        /// The socket that acknowledged.
        socket: SocketId,
        /// What it answers.
        args: Args,
    },
    /// An emit gets no further acks: all recipients answered, the deadline passed, or the remaining ones disconnected.
    AcksEnded {
        /// The emit, as the application named it.
        emit: EmitId,
        /// How many were asked.
        asked: u32,
        /// How many answered.
        answered: u32,
        /// Why it ended.
        end: AckEnd,
    },
    /// A socket is gone from its namespace, after `Connected`, or after `Connecting` without an answer.
    Disconnected {
        /// The socket; the handle is stale, and it has left its rooms.
        socket: SocketId,
        /// Why the socket left.
        reason: Reason,
        /// The rooms that it was in by joining until now, in no particular order.
        rooms: Box<[ByteString]>,
    },
    /// A socket is in a room from now on. Said where [`Server::set_room_events`](super::Server::set_room_events) asks for it,
    /// for logs.
    RoomJoined {
        /// The socket that joined.
        socket: SocketId,
        /// The room's name.
        room: ByteString,
    },
    /// A socket has left a room by a command. Said as `RoomJoined` is. A socket that is gone leaves its rooms without it.
    RoomLeft {
        /// The socket that left.
        socket: SocketId,
        /// The room's name.
        room: ByteString,
    },
    /// A session's queue has fallen below the soft limit again, after an [`Server::is_congested`](super::Server::is_congested) that said yes.
    Relieved {
        /// The session whose queue was drained.
        session: SessionId,
    },
    /// Other nodes answered, came or went, or their applications said something.
    Cluster(Box<ClusterEvent>),
}

/// A client that joins a namespace, and the handshake it came with.
#[derive(Clone, Debug)]
pub struct Connect {
    /// The new socket.
    pub socket: SocketId,
    /// The session that carries the socket.
    pub session: SessionId,
    /// Its Socket.IO id, which the client learns: also the name of a room of its own.
    pub sid: Sid,
    /// Where it connects.
    pub endpoint: EndpointId,
    /// The namespace.
    pub namespace: ByteString,
    /// The auth payload: a JSON object, or empty if the client gave none.
    pub auth: ByteString,
    /// Given if the client is back after its connection was lost: it has its sid and is in its rooms, once it is let in, and
    /// it is sent what it missed. See [`ConnectionRecovery`](super::config::ConnectionRecovery).
    pub recovered: Option<RecoveredState>,
    /// The request that opened the session.
    pub request: Arc<Handshake>,
}

/// What the application kept with a socket that is back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveredState {
    /// As [`Command::KeepData`] gave it last; empty if it did not.
    pub data: Bytes,
}

/// A message of a bare Engine.IO or WebSocket peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A message of UTF-8 text.
    Text(ByteString),
    /// A message of arbitrary bytes.
    Binary(Bytes),
}

/// A session id as it goes over the wire: 20 base64url characters. A bearer secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid([u8; Sid::LEN]);

impl Sid {
    /// The length in characters, all of them ASCII.
    pub const LEN: usize = 20;

    /// From 15 bytes.
    pub(crate) fn from_bytes(raw: [u8; 15]) -> Self {
        use base64::Engine as _;
        let mut text = [0; Self::LEN];
        let written = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode_slice(raw, &mut text);
        debug_assert_eq!(written, Ok(Self::LEN), "15 bytes are 20 characters");
        Self(text)
    }

    /// From text, if it has the length and the characters: a name of a room that is as long is no session id.
    pub fn parse(text: &str) -> Option<Self> {
        let characters: [u8; Self::LEN] = text.as_bytes().try_into().ok()?;
        let is_base64url = |character: &u8| character.is_ascii_alphanumeric() || matches!(character, b'-' | b'_');
        characters.iter().all(is_base64url).then_some(Self(characters))
    }

    /// The number of the node that has made it, see [`Start::node`](super::Start::node). `None` if no node makes such ids.
    ///
    /// ```
    /// # use roomcast_core::server::Sid;
    /// assert_eq!(Sid::parse("AAEAAAAAAAAAAAAAAAAA").and_then(|sid| sid.node()), Some(1));
    /// assert_eq!(Sid::parse("********************").and_then(|sid| sid.node()), None);
    /// ```
    pub fn node(&self) -> Option<u16> {
        use base64::Engine as _;
        let mut raw = [0; 3];
        let head = self.0.get(..4)?;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode_slice(head, &mut raw).ok()?;
        let [high, low, _] = raw;
        Some(u16::from_be_bytes([high, low]))
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("")
    }
}

impl std::fmt::Display for Sid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::fmt::Debug for Sid {
    /// Prints the first characters only: a complete sid is enough to speak for the session.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sid({}…)", self.as_str().get(..6).unwrap_or(""))
    }
}

/// Why a peer is gone. `Display` gives the texts that Socket.IO servers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The transport ended: the tab was closed, the network broke.
    TransportClose,
    /// An HTTP request broke off, or came out of turn.
    TransportError,
    /// No pong in time.
    PingTimeout,
    /// The client left this namespace.
    ClientDisconnect,
    /// The application disconnected the socket, or refused it.
    ServerDisconnect,
    /// The application closed the whole connection.
    ForcedClose,
    /// The same, and it said why in a close code of its own.
    ClosedWith(CloseCode),
    /// The server is ending.
    ShuttingDown,
    /// No namespace was joined in time.
    ConnectTimeout,
    /// Its queue ran over the hard limit while its socket took nothing.
    TooSlow,
    /// It broke the protocol.
    Fault(PeerError),
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TransportClose => "transport close",
            Self::TransportError => "transport error",
            Self::PingTimeout => "ping timeout",
            Self::ClientDisconnect => "client namespace disconnect",
            Self::ServerDisconnect => "server namespace disconnect",
            Self::ForcedClose | Self::ClosedWith(_) => "forced server close",
            Self::ShuttingDown => "server shutting down",
            Self::ConnectTimeout => "connect timeout",
            Self::TooSlow => "too slow",
            Self::Fault(_) => "parse error",
        })
    }
}

impl Reason {
    /// The fault of the peer, if it was one.
    pub const fn fault(self) -> Option<PeerError> {
        match self {
            Self::Fault(fault) => Some(fault),
            Self::TransportClose
            | Self::TransportError
            | Self::PingTimeout
            | Self::ClientDisconnect
            | Self::ServerDisconnect
            | Self::ForcedClose
            | Self::ClosedWith(_)
            | Self::ShuttingDown
            | Self::ConnectTimeout
            | Self::TooSlow => None,
        }
    }

    /// Whether the client may come back as the same socket: the connection failed, or was closed as if it had. (The same as
    /// in socket.io 4.8, and `TooSlow`, which it does not know.)
    pub(super) const fn is_recoverable(self) -> bool {
        match self {
            Self::TransportClose
            | Self::TransportError
            | Self::PingTimeout
            | Self::ForcedClose
            | Self::ClosedWith(_)
            | Self::ShuttingDown
            | Self::TooSlow => true,
            Self::ClientDisconnect | Self::ServerDisconnect | Self::ConnectTimeout | Self::Fault(_) => false,
        }
    }

    /// What a close frame says then (RFC 6455 section 7.4.1).
    pub const fn close_code(self) -> CloseCode {
        match self {
            Self::ClosedWith(code) => code,
            Self::Fault(fault) => fault.verdict().close,
            Self::ShuttingDown => CloseCode::GOING_AWAY,
            Self::TooSlow => CloseCode::POLICY,
            Self::TransportClose
            | Self::TransportError
            | Self::PingTimeout
            | Self::ClientDisconnect
            | Self::ServerDisconnect
            | Self::ForcedClose
            | Self::ConnectTimeout => CloseCode::NORMAL,
        }
    }
}

/// What the application asks the server to do. A command with a stale handle is ignored and counted.
#[derive(Debug)]
#[non_exhaustive]
pub enum Command {
    /// Let a connecting socket in.
    Accept {
        /// The socket of an [`Event::Connecting`].
        socket: SocketId,
    },
    /// Answer a connecting socket with CONNECT_ERROR.
    Refuse {
        /// The socket of an [`Event::Connecting`].
        socket: SocketId,
        /// A JSON object, by custom with a string `message`.
        data: ByteString,
    },
    /// Send an event.
    Emit(Emit),
    /// Answer an event that asked for an ack.
    Ack {
        /// The socket that asked for the ack.
        socket: SocketId,
        /// As it came with the event.
        ack: AckId,
        /// The arguments of the ack.
        args: Args,
    },
    /// Send a message to a peer of a bare endpoint.
    Send {
        /// The session of the recipient.
        session: SessionId,
        /// The text or bytes to send.
        message: Message,
    },
    /// Lift the limits on a peer that is not admitted yet, see
    /// [`UnadmittedLimits`](super::config::UnadmittedLimits).
    Admit {
        /// The session of the peer.
        session: SessionId,
    },
    /// Keep something with a connected socket, for when its connection is lost and it comes back. Only where
    /// [connection state recovery](super::config::ConnectionRecovery) is on.
    KeepData {
        /// The socket that it is about.
        socket: SocketId,
        /// Comes back in [`Connect::recovered`]. In place of what was kept before.
        data: Bytes,
    },
    /// An event or message has been dealt with: one for each.
    Handled {
        /// The session that sent the event or message.
        session: SessionId,
    },
    /// Put sockets into a room.
    Join {
        /// The sockets that join.
        target: Target,
        /// The room that they join.
        room: ByteString,
    },
    /// Take sockets out of a room.
    Leave {
        /// The sockets that leave.
        target: Target,
        /// The room that they leave.
        room: ByteString,
    },
    /// End sockets' presence in their namespace, or their whole connection.
    Disconnect {
        /// The sockets that are disconnected.
        target: Target,
        /// What ends: the presence in the namespace, or the connection.
        extent: Extent,
    },
    /// End a peer of any endpoint.
    Close {
        /// The session to end.
        session: SessionId,
    },
    /// End a peer of any endpoint, with a close code of the application's own if it has a WebSocket.
    CloseWith {
        /// The session to end.
        session: SessionId,
        /// The close code: [`CloseCode::new`] of 4000 to 4999.
        code: CloseCode,
    },
    /// Closes every transport so that clients reconnect elsewhere (polling `1`, WebSocket 1001), and accepts no new ones.
    /// No Socket.IO DISCONNECT is sent: after one, clients would not reconnect. Other nodes are told.
    Shutdown,
    /// What concerns other nodes beyond emits, joins, leaves and disconnections.
    Cluster(ClusterCommand),
}

/// An event to send.
#[derive(Clone, Debug)]
pub struct Emit {
    /// The recipients.
    pub target: Target,
    /// The event's name.
    pub name: ByteString,
    /// Its arguments.
    pub args: Args,
    /// Whether it may be lost.
    pub delivery: Delivery,
    /// Whether to ask for acks.
    pub ack: Option<AckRequest>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_is_told_from_other_names_by_its_length_and_characters() {
        for sid in ["abcdefghij0123456789", "ABCDEFGHIJ_-_-_-_-_-"] {
            assert_eq!(Sid::parse(sid).map(|sid| sid.as_str().to_owned()).as_deref(), Some(sid));
        }
        for name in ["lobby:0123456789abcd", "room.0123456789abcde", "a room with 20 signs", "äöüäöüäöüä", "abc", ""]
        {
            assert_eq!(Sid::parse(name), None, "{name}");
        }
    }

    #[test]
    fn each_reason_has_the_text_of_socket_io_servers() {
        let fault = PeerError::BadRequest;
        for (reason, text) in [
            (Reason::TransportClose, "transport close"),
            (Reason::TransportError, "transport error"),
            (Reason::PingTimeout, "ping timeout"),
            (Reason::ClientDisconnect, "client namespace disconnect"),
            (Reason::ServerDisconnect, "server namespace disconnect"),
            (Reason::ForcedClose, "forced server close"),
            (Reason::ClosedWith(CloseCode::NORMAL), "forced server close"),
            (Reason::ShuttingDown, "server shutting down"),
            (Reason::ConnectTimeout, "connect timeout"),
            (Reason::TooSlow, "too slow"),
            (Reason::Fault(fault), "parse error"),
        ] {
            assert_eq!(reason.to_string(), text);
            assert_eq!(reason.fault(), (reason == Reason::Fault(fault)).then_some(fault));
        }
    }

    #[test]
    fn a_sid_is_a_secret_of_which_a_log_has_the_beginning() {
        let sid = Sid::parse("abcdefghijklmnopqrst").unwrap();
        assert_eq!(
            (format!("{sid:?}"), sid.to_string()),
            ("Sid(abcdef\u{2026})".into(), "abcdefghijklmnopqrst".into())
        );
        assert_eq!((Sid::parse("abcdefghijklmnopqrs"), Sid::parse("abcdefghijklmnopqrstu")), (None, None));
        assert_eq!(Sid::from_bytes([0; 15]).as_str(), "AAAAAAAAAAAAAAAAAAAA");
    }

    #[test]
    fn a_close_frame_says_why_a_peer_is_gone() {
        for (reason, code) in [
            (Reason::ClosedWith(CloseCode::POLICY), CloseCode::POLICY),
            (Reason::ShuttingDown, CloseCode::GOING_AWAY),
            (Reason::TooSlow, CloseCode::POLICY),
            (Reason::ForcedClose, CloseCode::NORMAL),
            (Reason::Fault(PeerError::PayloadTooLarge), PeerError::PayloadTooLarge.verdict().close),
        ] {
            assert_eq!(reason.close_code(), code, "{reason:?}");
        }
    }
}
