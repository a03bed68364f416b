//! What goes into a [`Server`](super::Server) and what comes out.
//!
//! Owns: the vocabulary of inputs, outputs, events and commands. Must never know: how any of it is carried out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use super::config::EndpointId;
use super::fault::PeerError;
use crate::socket_io::Args;
use crate::time::WallTime;
use crate::websocket::CloseCode;

crate::slab_key! {
    /// A WebSocket's byte stream. Ends with [`Output::Close`] or [`Input::WsEnded`].
    pub struct ConnId;
}

crate::slab_key! {
    /// An HTTP request that is being answered. Ends with [`Output::Respond`] or [`Input::HttpAborted`].
    pub struct RequestId;
}

crate::slab_key! {
    /// A peer, over whatever transport: an Engine.IO session or a bare WebSocket.
    pub struct SessionId;
}

crate::slab_key! {
    /// A session's presence in one Socket.IO namespace.
    pub struct SocketId;
}

/// The world, to the machine.
#[derive(Debug)]
pub enum Input<'a> {
    /// Bytes came from a WebSocket.
    WsBytes {
        /// Which.
        conn: ConnId,
        /// Any cut of the stream.
        bytes: &'a [u8],
    },
    /// A WebSocket's stream has ended or broken. Its [`ConnId`] is free.
    WsEnded {
        /// Which.
        conn: ConnId,
    },
    /// The client of an HTTP request went away before the answer.
    HttpAborted {
        /// Which.
        request: RequestId,
    },
    /// What the calendar says now; to be told every few seconds and after a clock step. Tokens end by it.
    WallClock(WallTime),
    /// The application wants something.
    Command(Command),
}

/// The machine, to the world.
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
    /// Close this WebSocket's stream now, whatever is unsent. Its [`ConnId`] is free.
    Close(ConnId),
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

/// What happened, for the application. Each `Received` and `Message` is to be followed by one [`Command::Handled`].
#[derive(Debug)]
pub enum Event {
    /// A peer of a bare Engine.IO or bare WebSocket endpoint is there.
    Opened {
        /// The peer.
        session: SessionId,
        /// Where.
        endpoint: EndpointId,
        /// The request it came with.
        request: Arc<Handshake>,
    },
    /// A message of such a peer.
    Message {
        /// The peer.
        session: SessionId,
        /// What it sent.
        message: Message,
    },
    /// Such a peer is gone.
    Closed {
        /// The peer; the handle is stale.
        session: SessionId,
        /// Why.
        reason: Reason,
    },
    /// Somebody asks to come into a namespace of [`Admission::Ask`](super::config::Admission::Ask). Answer with
    /// [`Command::Accept`] or [`Command::Refuse`] within the connect timeout; events of the socket come after that.
    Connecting(Box<Connect>),
    /// Somebody came into a namespace, asked for or open.
    Connected(Box<Connect>),
    /// A socket sent an event.
    Received {
        /// Its session, for [`Command::Handled`].
        session: SessionId,
        /// The socket.
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
        /// Who answers.
        socket: SocketId,
        /// What it answers.
        args: Args,
    },
    /// An emit will get no (further) acks: everybody answered, the deadline passed, or those left are gone.
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
        /// Why.
        reason: Reason,
    },
    /// A session's queue has fallen below the soft limit again, after an [`Server::is_congested`](super::Server::is_congested) that said yes.
    Relieved {
        /// The peer.
        session: SessionId,
    },
}

/// Who comes, and with what.
#[derive(Clone, Debug)]
pub struct Connect {
    /// The new socket.
    pub socket: SocketId,
    /// Its session.
    pub session: SessionId,
    /// Its Socket.IO id, which the client learns: also the name of a room of its own.
    pub sid: Sid,
    /// Where it connects.
    pub endpoint: EndpointId,
    /// The namespace.
    pub namespace: ByteString,
    /// The auth payload: a JSON object, or empty if the client gave none.
    pub auth: ByteString,
    /// The request that opened the session.
    pub request: Arc<Handshake>,
}

/// The request that opened a session, as text: what an application may want to look at, in one small allocation that
/// lives as long as the session.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Handshake {
    text: Box<[u8]>,
}

impl std::fmt::Debug for Handshake {
    /// Not its fields: cookies and tokens do not belong into a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handshake({} bytes)", self.text.len())
    }
}

impl Handshake {
    /// Keeps the target and the header fields of a request.
    pub fn of<T>(request: &http::Request<T>) -> Self {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let fields = request.headers();
        let bytes =
            target.len() + 1 + fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 2).sum::<usize>();
        let mut text = Vec::with_capacity(bytes);
        text.extend_from_slice(target.as_bytes());
        text.push(b'\n');
        for (name, value) in fields {
            text.extend_from_slice(name.as_str().as_bytes());
            text.push(b':');
            text.extend_from_slice(value.as_bytes());
            text.push(b'\n');
        }
        Self { text: text.into_boxed_slice() }
    }

    /// Path and query.
    pub fn target(&self) -> &str {
        let line = self.text.split(|byte| *byte == b'\n').next().unwrap_or(&[]);
        std::str::from_utf8(line).unwrap_or("/")
    }

    /// The header fields, names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.text.split(|byte| *byte == b'\n').skip(1).filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at(colon);
            Some((std::str::from_utf8(name).ok()?, value.get(1..)?))
        })
    }

    /// The first header field of this name (in lower case), if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers().find(|(other, _)| *other == name)?;
        std::str::from_utf8(value).ok()
    }
}

/// A message of a bare Engine.IO or WebSocket peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(ByteString),
    /// Bytes.
    Binary(Bytes),
}

/// A session id as it goes over the wire: 20 base64url characters. A bearer secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid([u8; Sid::LEN]);

impl Sid {
    /// Characters.
    pub const LEN: usize = 20;

    /// From 15 bytes.
    pub(crate) fn from_bytes(raw: [u8; 15]) -> Self {
        use base64::Engine as _;
        let mut text = [0; Self::LEN];
        let written = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode_slice(raw, &mut text);
        debug_assert_eq!(written, Ok(Self::LEN), "15 bytes are 20 characters");
        Self(text)
    }

    /// From text, if it has the length.
    pub fn parse(text: &str) -> Option<Self> {
        text.as_bytes().try_into().ok().map(Self)
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
    /// Only the first characters: whoever knows a sid can speak for the session.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sid({}…)", self.as_str().get(..6).unwrap_or(""))
    }
}

/// The number by which a client will know the ack of its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AckId(pub u64);

/// An emit with ack, as the application names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmitId(pub u64);

/// Why an emit with ack ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckEnd {
    /// Everybody who was asked answered.
    Complete,
    /// The deadline passed.
    TimedOut,
    /// The last of those who had not answered disconnected, or there was nobody to ask.
    Gone,
}

/// Why a peer is gone. `Display` gives the texts that Socket.IO servers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// The application, to the machine. A command with a stale handle is ignored and counted.
#[derive(Debug)]
pub enum Command {
    /// Let a connecting socket in.
    Accept {
        /// Who.
        socket: SocketId,
    },
    /// Answer a connecting socket with CONNECT_ERROR.
    Refuse {
        /// Who.
        socket: SocketId,
        /// A JSON object, by custom with a string `message`.
        data: ByteString,
    },
    /// Send an event.
    Emit(Emit),
    /// Answer an event that asked for an ack.
    Ack {
        /// Who asked.
        socket: SocketId,
        /// As it came with the event.
        ack: AckId,
        /// The answer.
        args: Args,
    },
    /// Send a message to a peer of a bare endpoint.
    Send {
        /// Who.
        session: SessionId,
        /// What.
        message: Message,
    },
    /// An event or message has been dealt with: one for each.
    Handled {
        /// Whose.
        session: SessionId,
    },
    /// Put sockets into a room.
    Join {
        /// Who.
        target: Target,
        /// Where.
        room: ByteString,
    },
    /// Take sockets out of a room.
    Leave {
        /// Who.
        target: Target,
        /// Where.
        room: ByteString,
    },
    /// End sockets' presence in their namespace, or their whole connection.
    Disconnect {
        /// Who.
        target: Target,
        /// How much.
        extent: Extent,
    },
    /// End a peer of any endpoint.
    Close {
        /// Who.
        session: SessionId,
    },
    /// End a peer of any endpoint, with a close code of the application's own if it has a WebSocket.
    CloseWith {
        /// Who.
        session: SessionId,
        /// Why: [`CloseCode::new`] of 4000 to 4999.
        code: CloseCode,
    },
    /// Close every transport so that clients come back (polling `1`, WebSocket 1001), and accept nobody any more. No
    /// Socket.IO DISCONNECT is sent: after one, clients would stay away.
    Shutdown,
}

/// How much a [`Command::Disconnect`] ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The presence in this namespace: DISCONNECT is sent, the transport stays.
    Namespace,
    /// DISCONNECT for each namespace, then the transport.
    Connection,
}

/// An event to send.
#[derive(Clone, Debug)]
pub struct Emit {
    /// To whom.
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

/// Whether an event may be lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// Queued until the peer takes it or is closed as too slow.
    #[default]
    Reliable,
    /// Dropped where the queue is over its soft limit, or no poll of a long-polling client waits.
    Volatile,
}

/// What is asked of those who get an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AckRequest {
    /// Comes back with [`Event::Acked`] and [`Event::AcksEnded`].
    pub emit: EmitId,
    /// How long to wait.
    pub timeout: Duration,
}

/// Who is meant.
#[derive(Clone, Debug)]
pub enum Target {
    /// One socket.
    Socket(SocketId),
    /// The members of one room of a namespace; nobody if there is no such room. A socket's sid is such a room.
    Room {
        /// Where.
        namespace: Scope,
        /// The room's name.
        room: ByteString,
    },
    /// A selection.
    Select(Box<Selection>),
}

impl Target {
    /// Everybody in a namespace.
    pub fn everyone(namespace: Scope) -> Self {
        Self::Select(Box::new(Selection::of(namespace)))
    }
}

/// A namespace of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// Which namespace there.
    pub namespace: ByteString,
}

/// The union of rooms and sockets, or everybody, less exceptions. Each socket is meant once.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The namespace.
    pub scope: Scope,
    /// Members of any of these; with `sockets` empty too, everybody.
    pub rooms: Vec<ByteString>,
    /// These, whatever their rooms; those of another namespace are passed over.
    pub sockets: Vec<SocketId>,
    /// Not the members of these.
    pub except_rooms: Vec<ByteString>,
    /// Not these.
    pub except_sockets: Vec<SocketId>,
    /// Whether other nodes are meant too.
    pub reach: Reach,
}

impl Selection {
    /// Everybody in a namespace.
    pub fn of(scope: Scope) -> Self {
        Self {
            scope,
            rooms: Vec::new(),
            sockets: Vec::new(),
            except_rooms: Vec::new(),
            except_sockets: Vec::new(),
            reach: Reach::default(),
        }
    }
}

/// How far an emit goes. A server without a cluster has nobody beyond itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// All nodes.
    #[default]
    Cluster,
    /// This node alone.
    Local,
}
