//! What other parts of the program ask of the application, and what they are answered.
//!
//! Owns: the vocabulary of requests, answers and notices, and who asks for what. Must never know: HTTP, or whoever
//! asks.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use super::OpenWebUi;
use super::documents::Task;
use super::query::User;
use super::wire;
use roomcast_core::server::{AppRequestId, Command, Cx, Extent, SocketId, Target};
use roomcast_core::socket_io::Args;
use roomcast_yjs::{BadUpdate, Id};

/// A request. Whoever makes one is trusted: an HTTP route checks its caller before.
#[derive(Clone, Debug)]
pub enum Request {
    /// Send an event. Answered by [`Response::Emitted`], [`Response::Gone`], [`Response::Malformed`] or
    /// [`Response::Overloaded`].
    ///
    /// This is the event emitter: an `events` to a user with the id of a chat and of a message in it also changes that
    /// message in the store, as its type says.
    Emit {
        /// To whom.
        to: To,
        /// The event's name.
        event: ByteString,
        /// Its one argument, as JSON.
        data: ByteString,
    },
    /// Send an event to one socket and wait for its ack. Answered by [`Response::Called`], [`Response::Gone`] at once when
    /// the socket has no login, [`Response::NotOwner`], [`Response::TimedOut`], [`Response::Malformed`] or
    /// [`Response::Overloaded`].
    Call {
        /// The socket's Socket.IO id, as its client announced it.
        sid: ByteString,
        /// The user that the socket must be logged in as. `None`: any, for callers that have checked it.
        user: Option<ByteString>,
        /// The event's name.
        event: ByteString,
        /// Its one argument, as JSON. A `session_id` in it must equal `sid`.
        data: ByteString,
        /// How long to wait.
        timeout: Duration,
    },
    /// End sockets. Answered by [`Response::Done`].
    Disconnect {
        /// Whose.
        to: To,
        /// How much of them. After a DISCONNECT, which both send, the front end of 0.6.41 stays away.
        extent: Extent,
    },
    /// Something about a user has changed: role, permissions, tokens, whether there is one. Live sessions and their
    /// rooms are asked of the store again. Answered by [`Response::Done`].
    Refresh {
        /// Who.
        user: ByteString,
    },
    /// A token has been revoked. Live sessions by it are asked of the store again. Answered by [`Response::Done`].
    RefreshToken {
        /// Its `jti`.
        jti: ByteString,
    },
    /// A user's channels have changed. Answered by [`Response::Done`].
    ReadChannels {
        /// Who.
        user: ByteString,
    },
    /// The login of a socket. Answered by [`Response::Login`].
    Login {
        /// The socket to look up.
        socket: SocketId,
    },
    /// The users who have sessions in a room. Answered by [`Response::Users`].
    RoomUsers {
        /// Which.
        room: ByteString,
    },
    /// The users with a session that has been heard of lately. Answered by [`Response::Users`].
    ActiveUsers,
    /// The models that are in use. Answered by [`Response::Models`].
    ModelsInUse,
    /// How much there is of everything. Answered by [`Response::Pool`].
    Pool,
    /// A document as it is now, live or stored. Answered by [`Response::Document`].
    DocumentState {
        /// Which: `note:` and the note's id.
        document: ByteString,
        /// Who must be allowed to read it. `None`: nobody, for callers who have checked that.
        user: Option<ByteString>,
    },
    /// Change a document, live or stored, as a member does who joins, sends an update and leaves: members are told, and
    /// it is stored at the document's own pace. Answered by [`Response::DocumentUpdated`].
    DocumentUpdate {
        /// Which: `note:` and the note's id.
        document: ByteString,
        /// Who must be allowed to write it, and is told to have done so. `None`: nobody, for callers who have checked
        /// that.
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
pub enum Intent {
    /// One that is not empty, or whose note is. Front ends load a note into an empty document, and never into one
    /// that somebody has written into.
    Edit,
    /// An empty one, which begins with this: the note's content.
    Initialize,
}

/// Whom a request means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// All logged-in sockets of a user.
    User(ByteString),
    /// All sockets in a room.
    Room(ByteString),
    /// One socket, by its Socket.IO id.
    Socket(ByteString),
}

/// An answer to a [`Request`].
#[derive(Clone, Debug)]
pub enum Response {
    /// It has been sent, to whoever was there.
    Emitted,
    /// The session acknowledged with these arguments.
    Called(Args),
    /// There is no such session, or it ended before it answered.
    Gone,
    /// The session is somebody else's.
    NotOwner,
    /// The session did not answer in time.
    TimedOut,
    /// The event's name, the data, or an id in them cannot be.
    Malformed,
    /// There is too much under way already.
    Overloaded,
    /// It is done, or under way, for so many sockets.
    Done {
        /// How many.
        sockets: usize,
    },
    /// The login, if the socket has one.
    Login(Option<Box<LoginInfo>>),
    /// Ids of users, in order.
    Users(Vec<ByteString>),
    /// Ids of models, in order.
    Models(Vec<ByteString>),
    /// The sizes.
    Pool(Box<Pool>),
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
    /// `content` of the note's data as last heard of, as JSON. `None` if it says nothing.
    pub content: Option<ByteString>,
}

/// What an update has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentChange {
    /// It was applied, and members have been told.
    Applied,
    /// The document had all of it.
    NothingNew,
}

/// Why a document was neither told nor changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
pub struct LoginInfo {
    /// Its Socket.IO id.
    pub sid: ByteString,
    /// Its user, as of when the store was last asked.
    pub user: User,
}

/// How much there is of everything, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Pool {
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
    pub documents: super::DocumentCounts,
    /// Totals of documents since startup.
    pub document_totals: super::DocumentCounters,
    /// Rows given up since the start: the store failed for too long, or there was no room.
    pub writes_lost: u64,
    /// Questions since the start that a store did not answer in time.
    pub queries_overdue: u64,
}

/// What the rest of the program is told unasked, if [`Settings::notices`](super::Settings::notices) says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A user has become active.
    UserActive {
        /// Who.
        user: ByteString,
    },
    /// A user is active no more: the last session has gone or has not been heard of for a while.
    UserIdle {
        /// Who.
        user: ByteString,
    },
    /// Something about documents that an operator should hear of. Made whatever the settings say of other notices.
    Document(roomcast_documents::DocumentNotice),
    /// A socket has lost its session, and has left all rooms.
    LoggedOut {
        /// Which.
        socket: SocketId,
        /// Whose it was.
        user: ByteString,
        /// Why.
        why: LogoutReason,
    },
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoutReason {
    /// The socket is gone.
    Disconnected,
    /// The token's time is over.
    Token,
    /// The store does not know the user any more, the role may have no session, or the token is revoked.
    Revoked,
    /// The socket has authenticated as another user.
    Replaced,
}

impl OpenWebUi {
    pub(super) fn request(&mut self, ticket: AppRequestId, request: Request, cx: &mut Cx<'_>) {
        let answer = match request {
            Request::Emit { to, event, data } => self.emit(&to, event, data, cx),
            Request::Call { sid, user, event, data, timeout } => {
                match self.call(ticket, (&sid, user.as_ref()), (event, data), timeout, cx) {
                    Ok(()) => return,
                    Err(refusal) => refusal,
                }
            }
            Request::Disconnect { to, extent } => self.disconnect(&to, extent, cx),
            Request::Refresh { user } => Response::Done { sockets: self.refresh(&user, cx) },
            Request::RefreshToken { jti } => Response::Done { sockets: self.refresh_token(&jti, cx) },
            Request::ReadChannels { user } => Response::Done { sockets: self.channels_changed(&user, cx) },
            Request::Login { socket } => Response::Login(self.login(socket).map(Box::new)),
            Request::RoomUsers { room } => Response::Users(self.users_in(&room, cx)),
            Request::ActiveUsers => Response::Users(self.active_users()),
            Request::ModelsInUse => Response::Models(self.models.keys().cloned().collect()),
            Request::Pool => Response::Pool(Box::new(self.pool())),
            Request::DocumentState { document, user } => {
                return self.visit_document(ticket, (&document, user), Task::Read, cx);
            }
            Request::DocumentUpdate { document, user, update, content, intent } => {
                let task = Task::Write { update, content, intent };
                return self.visit_document(ticket, (&document, user), task, cx);
            }
            Request::Flush { timeout } => return self.flush(ticket, timeout, cx),
        };
        self.answers.push_back((ticket, answer));
    }

    /// The login of a socket, if it has one.
    pub fn login(&self, socket: SocketId) -> Option<LoginInfo> {
        let user = self.user_of(socket)?.clone();
        let sid = self.sockets.get(socket)?.sid.as_str().into();
        Some(LoginInfo { sid, user })
    }

    /// The users with a session that has been heard of lately, in order.
    pub fn active_users(&self) -> Vec<ByteString> {
        let active: BTreeSet<_> =
            self.people.iter().filter(|person| person.active > 0).map(|person| &person.user.id).collect();
        active.into_iter().cloned().collect()
    }

    /// How much there is of everything.
    pub fn pool(&self) -> Pool {
        Pool {
            sockets: self.sockets.len(),
            logins: self.logins,
            users: self.people.len(),
            active_users: self.people.iter().filter(|person| person.active > 0).count(),
            models: self.models.len(),
            queries: self.queries.len(),
            held_events: self.held,
            writes: self.writes.len(),
            change_bytes: self.writes.change_bytes(),
            calls: self.calls.len(),
            documents: self.documents.counts(),
            document_totals: self.documents.counters(),
            writes_lost: self.writes.lost(),
            queries_overdue: self.queries_overdue,
        }
    }

    /// A user's channels have changed, somebody says. How many sockets that is about.
    pub(super) fn channels_changed(&mut self, user: &str, cx: &mut Cx<'_>) -> usize {
        let Some(id) = self.people.of_user(user) else { return 0 };
        self.read_channels(id, cx);
        self.people.get(id).map_or(0, |person| person.sockets.len())
    }

    /// Whom a request means. `None`: a session that is not there.
    pub(super) fn target(&self, to: &To, cx: &Cx<'_>) -> Option<Target> {
        let scope = &self.settings.scope;
        let room = match to {
            To::User(user) => wire::user_room(user),
            To::Room(room) => room.clone(),
            To::Socket(sid) => return cx.server.socket(scope, sid).map(Target::Socket),
        };
        Some(Target::Room { namespace: scope.clone(), room })
    }

    fn disconnect(&mut self, to: &To, extent: Extent, cx: &mut Cx<'_>) -> Response {
        let Some(target) = self.target(to, cx) else { return Response::Done { sockets: 0 } };
        let sockets = match &target {
            Target::Room { namespace, room } => cx.server.members(namespace, room).count(),
            Target::Socket(_) | Target::Select(_) => 1,
        };
        cx.command(Command::Disconnect { target, extent });
        Response::Done { sockets }
    }

    /// Sockets without a session are nobody.
    fn users_in(&self, room: &str, cx: &Cx<'_>) -> Vec<ByteString> {
        let members = cx.server.members(&self.settings.scope, room);
        let users: BTreeSet<_> =
            members.filter_map(|socket| self.user_of(socket)).map(|user| user.id.clone()).collect();
        users.into_iter().collect()
    }
}
