//! What other parts of the program ask of the application, and what they are answered.
//!
//! Owns: the vocabulary of requests, answers and notices, and their fields. Must never know: HTTP, or how a
//! request is carried out.

use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use super::documents::{AppDocumentCounters, AppDocumentCounts};
use super::query::User;
use super::refusals::{TokenRefusal, TokenRefusals};
use roomcast_core::server::{Extent, Sid, SocketId};
use roomcast_core::socket_io::Args;
use roomcast_yjs::{BadUpdate, Id};

/// A request. Requests are trusted: an HTTP route checks its caller before it makes one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Request {
    /// Send an event. Answered by [`Response::Emitted`], [`Response::Gone`], [`Response::Malformed`],
    /// [`Response::Reserved`] or [`Response::Overloaded`].
    Emit {
        /// The sockets that it is sent to.
        to: To,
        /// Sids, or names of rooms, whose sockets do not get it.
        skip: Vec<ByteString>,
        /// The event's name.
        event: ByteString,
        /// Its arguments.
        args: Args,
        /// Whether the store is changed as well.
        change: StoreChange,
    },
    /// Send an event to one socket and wait for its ack. Answered by [`Response::Called`], [`Response::Gone`] at once when
    /// the socket has no login, [`Response::NotOwner`], [`Response::TimedOut`], [`Response::Malformed`],
    /// [`Response::Reserved`] or [`Response::Overloaded`].
    Call {
        /// The socket's Socket.IO id, as its client announced it.
        sid: ByteString,
        /// The user that the socket must be logged in as. `None`: any, for callers that have checked it.
        user: Option<ByteString>,
        /// The event's name.
        event: ByteString,
        /// Its arguments. A `session_id` in the first one must equal `sid`.
        args: Args,
        /// How long to wait, at most [`Settings::call_timeout_max`](super::Settings::call_timeout_max); longer is answered
        /// by [`Response::TimeoutTooLong`].
        timeout: Duration,
    },
    /// End sockets, on all nodes. Answered by [`Response::Done`].
    Disconnect {
        /// The sockets to end.
        to: To,
        /// Whether the whole connection ends. After a DISCONNECT, which both send, the front end of 0.6.41 stays away.
        extent: Extent,
    },
    /// Put sockets into a room, on all nodes. Answered by [`Response::Done`] or [`Response::Malformed`].
    Enter {
        /// The sockets that enter.
        to: To,
        /// Name of the room.
        room: ByteString,
    },
    /// Take sockets out of a room, on all nodes. Answered by [`Response::Done`].
    Leave {
        /// The sockets that leave.
        to: To,
        /// Name of the room.
        room: ByteString,
    },
    /// The sockets that are meant, on all nodes, with the users of those here. Answered by [`Response::Members`].
    Members {
        /// The sockets to look up.
        to: To,
    },
    /// Something about a user has changed: role, permissions, tokens, whether there is one. The user's logins and their
    /// rooms are checked with the store. Answered by [`Response::Done`].
    Refresh {
        /// Id of the user.
        user: ByteString,
    },
    /// A token has been revoked. Logins by it are checked with the store. Answered by [`Response::Done`].
    RefreshToken {
        /// `jti` of the token.
        jti: ByteString,
    },
    /// A user's channels have changed. Answered by [`Response::Done`].
    ReadChannels {
        /// Id of the user.
        user: ByteString,
    },
    /// The login of a socket. Answered by [`Response::Login`].
    Login {
        /// The socket to look up.
        socket: SocketId,
    },
    /// The users who have a logged-in socket in a room, in order. Answered by [`Response::Users`].
    RoomUsers {
        /// Name of the room.
        room: ByteString,
    },
    /// The users with an active login on any node that answers in time, in order. Answered by [`Response::Users`].
    ActiveUsers,
    /// The models that are in use. Answered by [`Response::Models`].
    ModelsInUse,
    /// Sizes and counters, for metrics. Answered by [`Response::Counts`].
    Counts,
    /// A document as it is now, live or stored. Answered by [`Response::Document`].
    DocumentState {
        /// Which: `note:` and the note's id.
        document: ByteString,
        /// The user that must be allowed to read it. `None`: no check, for callers that have done it.
        user: Option<ByteString>,
    },
    /// Change a document, live or stored, as a member does who joins, sends an update and leaves: members are told, and
    /// it is stored at the document's own pace. Answered by [`Response::DocumentUpdated`].
    DocumentUpdate {
        /// Which: `note:` and the note's id.
        document: ByteString,
        /// The user that must be allowed to write it, and that members are told of. `None`: no check, for callers that
        /// have done it.
        user: Option<ByteString>,
        /// A Yjs update, version 1. At most [`DocumentLimits::resync_bytes_max`](roomcast_yjs::DocumentLimits::resync_bytes_max).
        update: Bytes,
        /// The note's content as it reads from then on, a JSON object as front ends render it. `None`, and one that says
        /// nothing: the note keeps what it has, until a front end renders the document.
        content: Option<ByteString>,
        /// Which document it is meant for.
        intent: Intent,
    },
    /// Write all that waits to be written now: documents, the notes' contents, changes to messages, when users were
    /// active and what they have read. Before the program ends, or the store does. Answered by [`Response::Flushed`] once
    /// that is done; until then nothing that comes meanwhile waits either.
    Flush {
        /// How long to wait for it.
        timeout: Duration,
    },
}

/// Which document an update is meant for: the one that a note's content has been loaded into, or the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Intent {
    /// One that is not empty, or whose note is. Front ends load a note into an empty document, and never into one
    /// that holds anything.
    Edit,
    /// An empty one, which begins with this: the note's content.
    Initialize,
}

/// Whether an emit changes what is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StoreChange {
    /// It does not: the requester has stored it already, as Open WebUI's own process does.
    #[default]
    Nothing,
    /// An `events` to a user with the id of a chat and of a message in it changes that message, as its type says: what
    /// Open WebUI's event emitter does besides emitting.
    Message,
}

/// The sockets that a request means.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum To {
    /// All sockets, logged in or not.
    All,
    /// All sockets in any of these rooms, each once.
    Rooms(Vec<ByteString>),
    /// All logged-in sockets of a user.
    User(ByteString),
    /// All sockets in a room.
    Room(ByteString),
    /// One socket, by its Socket.IO id.
    Socket(ByteString),
}

/// An answer to a [`Request`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Response {
    /// The event has been sent to all sockets that were meant, of which there may be none.
    Emitted,
    /// The socket acknowledged with these arguments.
    Called(Args),
    /// There is no such socket, it has no login, or that ended before it answered.
    Gone,
    /// The socket is logged in as another user.
    NotOwner,
    /// The socket did not acknowledge in time.
    TimedOut,
    /// A call may not wait for so long. It was not made.
    TimeoutTooLong {
        /// How long a call may wait at most: [`Settings::call_timeout_max`](super::Settings::call_timeout_max).
        max: Duration,
    },
    /// The event's name, the data, or an id in them cannot be.
    Malformed,
    /// The event's name is one that Socket.IO keeps for itself
    /// ([`is_reserved_event`](roomcast_core::socket_io::is_reserved_event)).
    Reserved,
    /// There is too much under way already.
    Overloaded,
    /// It is done, or under way, for so many sockets.
    Done {
        /// Number of sockets and of y-websocket providers.
        sockets: usize,
    },
    /// The login, if the socket has one.
    Login(Option<Box<LoginInfo>>),
    /// Sockets and their users.
    Members(Vec<SocketInfo>),
    /// Ids of users, in order.
    Users(Vec<ByteString>),
    /// Ids of models, in order.
    Models(Vec<ByteString>),
    /// Sizes and counters, for metrics.
    Counts(Box<LiveCounts>),
    /// The document, or why it cannot be had.
    Document(Result<DocumentState, DocumentRefusal>),
    /// What became of the update.
    DocumentUpdated(Result<DocumentChange, DocumentRefusal>),
    /// Everything is stored, or the time is over.
    Flushed {
        /// How many documents and rows are not stored. They are kept, and it is tried on.
        unstored: usize,
    },
}

/// A document as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentState {
    /// All of it, as one Yjs update, version 1.
    pub state: Bytes,
    /// `content` of the note's data as last read or received, as JSON. `None` if it has no text.
    pub content: Option<ByteString>,
}

/// What an update has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DocumentChange {
    /// It was applied, and members have been told.
    Applied,
    /// The document had all of it.
    NothingNew,
}

/// Why a document was neither told nor changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DocumentRefusal {
    /// There is no such document.
    NoSuchDocument,
    /// The user is not there, or may not.
    Forbidden,
    /// A store has not answered.
    Unavailable,
    /// There is too much under way already.
    Overloaded,
    /// The document is empty and its note is not: an edit would stand in the way of the note's content.
    Unseeded,
    /// The document has begun already.
    Seeded,
    /// The update builds on this, which the document does not have.
    Missing(Id),
    /// It is no update, or over a limit.
    Bad(BadUpdate),
}

impl std::fmt::Display for DocumentRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoSuchDocument => "there is no such document",
            Self::Forbidden => "the user may not",
            Self::Unavailable => "the store is unavailable",
            Self::Overloaded => "there is too much under way",
            Self::Unseeded => "the document is empty and its note is not",
            Self::Seeded => "the document has begun already",
            Self::Missing(_) => "the update builds on what the document does not have",
            Self::Bad(_) => "it is no update, or over a limit",
        })
    }
}

impl std::error::Error for DocumentRefusal {}

/// A logged-in socket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LoginInfo {
    /// Its Socket.IO id.
    pub sid: ByteString,
    /// Its user, as of when the store was last asked.
    pub user: User,
}

/// A socket of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketInfo {
    /// Its Socket.IO id.
    pub sid: ByteString,
    /// Its user, if it is logged in here.
    pub user: Option<User>,
    /// Ids of the chats whose rooms it is in.
    pub chats: Vec<ByteString>,
    /// Whether it is on this node.
    pub place: SocketPlace,
}

/// Which node of the cluster a socket is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketPlace {
    /// On this node.
    Here,
    /// On another node of the cluster, which knows its user.
    Elsewhere {
        /// The rooms that it is in there.
        rooms: Vec<ByteString>,
    },
}

/// How much there is of everything, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct LiveCounts {
    /// Sockets in the application's namespace, logged in or not.
    pub sockets: usize,
    /// Logged-in sockets.
    pub logins: usize,
    /// Users with at least one login.
    pub users: usize,
    /// Users with at least one login that sent something within `idle_after`.
    pub active_users: usize,
    /// Models in use.
    pub models: usize,
    /// Questions to stores that are open.
    pub queries: usize,
    /// Events that wait for one of them.
    pub held_events: usize,
    /// Rows that are being written, wait to be, or have been just now.
    pub writes: usize,
    /// Bytes of changes to messages among them.
    pub change_bytes: usize,
    /// Calls that wait for their answer.
    pub calls: usize,
    /// Documents that are loaded or being loaded, and who is in them.
    pub documents: AppDocumentCounts,
    /// Totals of documents since startup.
    pub document_totals: AppDocumentCounters,
    /// Rows given up since the start: the store failed for too long, or there was no room.
    pub writes_lost: u64,
    /// Questions since startup that a store did not answer in time.
    pub queries_overdue: u64,
    /// Tokens refused since startup, by reason.
    pub token_refusals: TokenRefusals,
}

/// What the rest of the program is told unasked, if [`Settings::notices`](super::Settings::notices) says so.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A user has become active.
    UserActive {
        /// Id of the user.
        user: ByteString,
    },
    /// A user has no active login any longer: the last one ended, or nothing was received from it for `idle_after`.
    UserIdle {
        /// Id of the user.
        user: ByteString,
    },
    /// Something about documents that an operator should know. Sent regardless of the settings for other notices.
    Document(roomcast_documents::DocumentNotice),
    /// A socket has logged in.
    LoggedIn {
        /// The socket that has a login now.
        socket: SocketId,
        /// Its Socket.IO id.
        sid: Sid,
        /// Id of the user.
        user: ByteString,
    },
    /// A token was refused, or a login ended along with its token.
    TokenRefused {
        /// Socket.IO id of the socket that presented it; `None` for a provider of y-protocols.
        sid: Option<Sid>,
        /// Why the token was refused.
        refusal: TokenRefusal,
    },
    /// Tokens were presented whose signature is none of the verifier's keys: the secret may not be the one that tokens are
    /// signed with. At most one in 60 s; sent regardless of the settings for other notices.
    WrongSecret {
        /// How many there were since the last one.
        refused: u64,
    },
    /// A socket has lost its login, and has left all rooms.
    LoggedOut {
        /// The socket that was logged in.
        socket: SocketId,
        /// Id of the user of the login.
        user: ByteString,
        /// Why the login ended.
        why: LogoutReason,
    },
}

/// Why a login ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogoutReason {
    /// The socket is gone.
    Disconnected,
    /// The token has ended.
    Token,
    /// The store has no such user, the role may not log in, or the token is revoked.
    Revoked,
    /// The socket has authenticated as another user.
    Replaced,
}
