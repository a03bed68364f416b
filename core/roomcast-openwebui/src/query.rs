//! What the application asks its stores, and what they answer.
//!
//! A store answers for the release of Open WebUI whose tables it has. Where the releases differ, the docs say which one
//! gives what; a store of roomcast's own answers as 0.6 does.
//!
//! Owns: the vocabulary between the machine and every store. Must never know: SQL, Redis, or how an answer is found.

use std::any::Any;
use std::fmt::{Debug, Formatter};

use bytes::Bytes;
use bytestring::ByteString;

use roomcast_documents::{DocumentAnswer, DocumentQuestion};

pub use super::encryption_query::{ConversationBegun, ConversationChange, EncryptionQuestion, TalkCharge, TalkRation};
use super::rules::AccessControl;

/// The number of a question: its answer carries it back. A late answer, after the question's deadline, is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub u64);

/// A question to a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The number that its reply carries.
    pub id: QueryId,
    /// What is asked.
    pub question: Question,
}

/// What only a store knows, or must keep. Ids are those of Open WebUI's tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A user whose token has been verified, unless the token is revoked. Answered by [`StoreAnswer::User`] or
    /// [`StoreAnswer::Revoked`].
    Authenticate {
        /// `id` of the token.
        user: ByteString,
        /// `jti` of the token.
        jti: Option<ByteString>,
        /// `iat` of the token, in seconds: a user's tokens may be revoked up to a moment.
        issued_at_secs: Option<u64>,
        /// `exp` of the token, in seconds. Of a token without `iat`, as Open WebUI 0.6.41 issues them, it is the only
        /// sign of when it was issued.
        ends_at_secs: Option<u64>,
    },
    /// The channels whose rooms users belong into, and whether each may use channels at all. Answered by
    /// [`StoreAnswer::Channels`]. One question for many users, who may all come back at once.
    Channels {
        /// Ids of users, each once, at most [`AppLimits::users_per_question_max`](crate::AppLimits).
        users: Vec<ByteString>,
    },
    /// A note's owner and access rules, and the asker's groups. Answered by [`StoreAnswer::Note`].
    Note {
        /// Id of the note.
        note: ByteString,
        /// Id of the user.
        user: ByteString,
    },
    /// Store who is logged in on a socket where other processes look for it, in place of who was before. With
    /// [`SessionSharing::On`](crate::SessionSharing) alone; answered by [`StoreAnswer::Done`], once it is stored or cannot be: the login
    /// waits for that.
    ShareSession {
        /// The socket's Socket.IO id.
        sid: ByteString,
        /// The user's [`profile`](User::profile).
        profile: ByteString,
    },
    /// Remove it again, and what the socket uses. Answered by [`StoreAnswer::Done`].
    UnshareSession {
        /// The socket's Socket.IO id.
        sid: ByteString,
    },
    /// Store that a socket uses a model, where other processes look for it. Answered by [`StoreAnswer::Done`].
    ShareUse {
        /// The socket's Socket.IO id.
        sid: ByteString,
        /// Id of the model.
        model: ByteString,
        /// Seconds since the epoch.
        at_secs: u64,
    },
    /// Something about the session pool that Open WebUI's processes share. With
    /// [`SessionSharing::WithPool`](crate::SessionSharing) alone.
    SessionPool(PoolQuestion),
    /// Something about the conversation of an encrypted channel, which is nowhere in the tables. Of 0.12 alone.
    Encryption(EncryptionQuestion),
    /// Which of these users may take part in the conversation of an encrypted channel: those who are active members of it,
    /// if it is a direct message or a private group, and may use channels and encrypted ones. Answered by
    /// [`StoreAnswer::EncryptionUsers`]; none in 0.6.
    EncryptionUsers {
        /// Id of the channel.
        channel: ByteString,
        /// Ids of the users.
        users: Vec<ByteString>,
    },
    /// A chat's owner, and what others have shared of it with a user. Answered by [`StoreAnswer::Chat`].
    Chat {
        /// Id of the chat.
        chat: ByteString,
        /// Id of the user.
        user: ByteString,
    },
    /// Which files a user may read, its own among them. Answered by [`StoreAnswer::Files`].
    Files {
        /// Id of the user.
        user: ByteString,
        /// Ids of the files.
        files: Vec<ByteString>,
    },
    /// Write `user.last_active_at` of several users, in one transaction; users that are not there are passed over.
    /// Answered by [`StoreAnswer::Done`].
    TouchUsers {
        /// Each user once, in order of their ids.
        touches: Vec<Touch>,
    },
    /// Write `channel_member.last_read_at`, where there is such a row. Answered by [`StoreAnswer::Done`].
    ReadChannel {
        /// Id of the channel.
        channel: ByteString,
        /// Id of the user.
        user: ByteString,
        /// Nanoseconds since the epoch.
        at_nanos: u64,
    },
    /// Write when a user last read a chat of its own, where the table has a place for it, and cancel the timers that wait
    /// for that, in one transaction. Answered by [`StoreAnswer::ChatRead`], and by [`StoreAnswer::Done`] in 0.6. Asked
    /// again after a failure, when the first time may have been carried out after all: then it was not unread any more.
    ReadChat {
        /// Id of the chat.
        chat: ByteString,
        /// Id of the user, who owns the chat.
        user: ByteString,
        /// Seconds since the epoch.
        at_secs: u64,
    },
    /// Change `chat.history.messages[message]`, all changes of one question in one transaction. Answered by
    /// [`StoreAnswer::Done`]; [`StoreError::NotFound`] if there is no such chat.
    ChangeMessage {
        /// Id of the chat.
        chat: ByteString,
        /// Id of the message. If it is missing, a status and appended text come to nothing and another change makes it,
        /// as the chat's current one.
        message: ByteString,
        /// What to do, in order.
        changes: Vec<MessageChange>,
    },
    /// `content` of a note's data. Answered by [`StoreAnswer::NoteContent`].
    NoteContent {
        /// Id of the note.
        note: ByteString,
    },
    /// Ids of the files that are attached to a note: those of `files` of its data whose type is `file`. Answered by
    /// [`StoreAnswer::NoteFiles`].
    NoteFiles {
        /// Id of the note.
        note: ByteString,
    },
    /// Let these be members of a note's data; the rest of the data stays as it is. Where they are there already, nothing
    /// is written. One that comes late, behind one of these with a later time, is passed over; when others wrote to the
    /// row does not matter. Answered by [`StoreAnswer::Done`]; [`StoreError::NotFound`] if there is no such note.
    SaveNoteData {
        /// Id of the note.
        note: ByteString,
        /// A JSON object of the members, `content` among them or not. A content is an object.
        data: ByteString,
        /// For `updated_at`: nanoseconds since the Unix epoch, greater than in every earlier save even if the wall
        /// clock is set back.
        at_nanos: u64,
    },
    /// A document's snapshot and the updates that came after it, from roomcast's own store. Answered by
    /// [`StoreAnswer::Document`].
    LoadDocument {
        /// Name of the document: `note:` and the id of its note.
        document: ByteString,
    },
    /// Append updates to a document's log. Answered by [`StoreAnswer::Done`] once they survive a crash. Asked again after a
    /// failure with the same numbers; numbers that the log has already are passed over.
    AppendUpdates {
        /// Name of the document: `note:` and the id of its note.
        document: ByteString,
        /// The number of the first; the others follow.
        first_sequence: u64,
        /// Yjs updates, version 1, and marks among them that are none: bytes to a store.
        updates: Vec<Bytes>,
    },
    /// Store a snapshot, and then cut from the log what it holds. One that comes late, behind one with a higher number,
    /// is passed over. Answered by [`StoreAnswer::Done`].
    SaveSnapshot {
        /// Name of the document: `note:` and the id of its note.
        document: ByteString,
        /// The whole state as one Yjs update, version 1.
        snapshot: Bytes,
        /// What [`StoreAnswer::Document`] gives back with it.
        content_hash: Option<ContentHash>,
        /// The last update of the log that the snapshot holds.
        up_to_sequence: u64,
    },
    /// What nodes ask only where several share the documents: what is behind an entry, who may begin a document, and that
    /// one is not in memory any more. Answered by [`StoreAnswer::SharedDocument`].
    SharedDocument(DocumentQuestion),
}

/// What is asked of the session pool of 0.12: which session is in which chats, and what else the processes are told of
/// sessions. Answered by [`StoreAnswer::Done`] if nothing else is said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PoolQuestion {
    /// The front end of a socket says that it is there.
    Seen {
        /// The socket's Socket.IO id.
        sid: ByteString,
    },
    /// A socket is in a chat now.
    EnterChat {
        /// The socket's Socket.IO id.
        sid: ByteString,
        /// Id of the chat.
        chat: ByteString,
    },
    /// A socket is in a chat no more.
    LeaveChat {
        /// The socket's Socket.IO id.
        sid: ByteString,
        /// Id of the chat.
        chat: ByteString,
    },
    /// Who is in a chat, by any node or process. Answered by [`StoreAnswer::Present`]; the answer is told under a lock of
    /// the chat, until [`PoolQuestion::Told`].
    Present {
        /// Id of the chat.
        chat: ByteString,
    },
    /// It has been told who is in a chat.
    Told {
        /// Id of the chat.
        chat: ByteString,
    },
    /// Remove sessions that were left behind. Answered by [`StoreAnswer::Reaped`].
    Reap,
    /// Give a line of a direct connection to the process that waits for it, behind all earlier ones.
    Line {
        /// The event's name.
        event: ByteString,
        /// Its first argument, as JSON.
        data: ByteString,
    },
}

/// A user as others in a chat or channel see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatUser {
    /// Id of the user.
    pub id: ByteString,
    /// Name of the user, as others see it.
    pub name: ByteString,
}

/// A session that was left behind, and is removed from the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReapedSession {
    /// The socket's Socket.IO id.
    pub sid: ByteString,
    /// Ids of the chats that it was in.
    pub chats: Vec<ByteString>,
}

/// When a user was last active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// Id of the user.
    pub user: ByteString,
    /// Seconds since the epoch.
    pub at_secs: u64,
}

/// The channels of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserChannels {
    /// Ids of the channels whose rooms the user belongs into, by membership and access rules alone.
    pub channels: Vec<ByteString>,
    /// What groups and defaults say of `features.channels`; where they say nothing, it is allowed. Admins are not bound
    /// by it, which the application knows.
    pub permission: Permission,
}

/// What tells whether a note's content is one that its document has rendered: the last ones, and those before them. Bytes
/// to a store, 1 KiB or a little more at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentHash(pub Bytes);

/// A change to a message of a chat. JSON is text, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageChange {
    /// Append this object to `statusHistory`.
    AppendStatus(ByteString),
    /// Append this text to `content`.
    AppendContent(ByteString),
    /// Let this text be `content`.
    ReplaceContent(ByteString),
    /// Put these values (a JSON array) in front of those of `embeds`.
    ExtendEmbeds(ByteString),
    /// Let these values (a JSON array) be `embeds`.
    ReplaceEmbeds(ByteString),
    /// Put these values (a JSON array) in front of those of `files`.
    ExtendFiles(ByteString),
    /// Append this object to `sources`.
    AppendSource(ByteString),
}

/// A store's answer to a [`Query`], or the result of [work](roomcast_core::server::App::poll_work) that the application has
/// handed out.
#[derive(Debug)]
pub struct Reply {
    /// The question's number.
    pub id: QueryId,
    /// What was found, or why nothing.
    pub result: Result<StoreAnswer, StoreError>,
}

/// What a store found.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreAnswer {
    /// The user, or that there is none.
    User(Option<User>),
    /// The token, or all tokens of its user, have been revoked.
    Revoked,
    /// The channels of each user that was asked for, in the order of the question.
    Channels(Vec<UserChannels>),
    /// The note, or that there is none.
    Note(Option<Note>),
    /// The chat, or that there is none.
    Chat(Option<Chat>),
    /// Of each file that was asked for, in the order of the question, whether it may be read. A file that is not there may
    /// not. In 0.6, which does not look at files, all may.
    Files(Vec<bool>),
    /// The chat is marked as read, if there is such a chat of that user. In 0.12.
    ChatRead(ReadOutcome),
    /// `note.data.content` as JSON text; `None` if there is no such note, or it has none.
    NoteContent(Option<ByteString>),
    /// Ids of the files that are attached to the note; none if there is no such note.
    NoteFiles(Vec<ByteString>),
    /// What is stored of a document; empty if nothing is.
    Document(StoredNoteDocument),
    /// To [`Question::SharedDocument`].
    SharedDocument(DocumentAnswer),
    /// Who is in a chat, each user once, in order of their ids.
    Present(Vec<ChatUser>),
    /// A conversation of an encrypted channel.
    Conversation(ConversationBegun),
    /// Those who may take part in one, in order of their ids.
    EncryptionUsers(Vec<ChatUser>),
    /// The sessions that were removed from the pool.
    Reaped(Vec<ReapedSession>),
    /// It is written.
    Done,
    /// No store gives this: it is the result of work that the application has handed out.
    Computed(Computed),
}

/// The result of work, of which the application alone knows what it is.
pub struct Computed(Box<dyn Any + Send>);

impl Computed {
    pub(crate) fn new<T: Any + Send>(result: T) -> Self {
        Self(Box::new(result))
    }

    /// The result, if it is of this type.
    pub(crate) fn take<T: Any>(self) -> Option<T> {
        self.0.downcast().ok().map(|result| *result)
    }
}

impl Debug for Computed {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str("Computed")
    }
}

/// A document as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredNoteDocument {
    /// The last snapshot.
    pub snapshot: Option<Bytes>,
    /// As it was saved with the snapshot.
    pub content_hash: Option<ContentHash>,
    /// The updates after the snapshot, in the order of their numbers.
    pub updates: Vec<Bytes>,
    /// The number of the last update that was ever appended; 0 if there was none.
    pub last_sequence: u64,
    /// Whether another node has the document in memory. What was written into its note by others does not count then.
    pub is_held: bool,
}

/// Whether a feature may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// The feature may be used.
    Granted,
    /// The feature may not be used.
    Denied,
}

/// A row of `user`, as far as the real-time layer knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// `id` of the row.
    pub id: ByteString,
    /// `name` of the row, as others see it.
    pub name: ByteString,
    /// `admin`, `user` or `pending`.
    pub role: ByteString,
    /// The row as a JSON object, less the fields that a session pool leaves out.
    pub profile: ByteString,
    /// What tokens are judged by, and which features the user has. `None` in 0.6.
    pub account: Option<Account>,
}

/// A row of `auth` in 0.12, and what the configuration and the groups of its user add to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// `active` of the row; also `false` if there is no row.
    pub is_active: bool,
    /// `session_stamp` of the row, which the claim of that name must equal: `None` if the column is NULL.
    pub session_stamp: Option<ByteString>,
    /// Whether a second factor is needed.
    pub mfa: Mfa,
    /// Which features the user has by its groups and by default. Admins are not bound by them, which the application
    /// knows.
    pub features: Features,
}

/// Whether a login needs a second factor, and whether there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mfa {
    /// The configuration asks for one: `auth.mfa.enable`.
    pub is_required: bool,
    /// But not of logins by OAuth: `auth.mfa.allow_oauth_bypass`.
    pub oauth_is_exempt: bool,
    /// But not of logins by a trusted header: `auth.mfa.allow_trusted_header_bypass`.
    pub trusted_header_is_exempt: bool,
    /// The account has one: `auth.mfa` has a secret that is not empty, and does not ask for another (`reset_required`).
    pub is_set_up: bool,
}

/// Features whose use the real-time layer of 0.12 checks: `features.*` of the permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// `features.notes`.
    pub notes: Permission,
    /// `features.channels`.
    pub channels: Permission,
    /// `features.encrypted_channels`.
    pub encrypted_channels: Permission,
}

/// A row of `note`, as far as access goes, and the groups of the user that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Id of the user who owns it.
    pub owner: ByteString,
    /// `access_control` of the row, or the rows of `access_grant` about it: in 0.12 always [`AccessControl::Listed`].
    pub access: AccessControl,
    /// Ids of the groups of the user that asks; in 0.12 also of the groups above those.
    pub groups: Vec<ByteString>,
}

/// A row of `chat`, as far as access goes. What its owner and admins may do is not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chat {
    /// Id of the user who owns it.
    pub owner: ByteString,
    /// What others have shared of it with the user that asks. [`ChatShare::None`] in 0.6.
    pub share: ChatShare,
    /// `meta.internal` of the row: admins may read it in any case. `false` in 0.6.
    pub is_internal: bool,
}

/// What is shared of a chat with a user, by itself or by a folder that it is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChatShare {
    /// The user has no access but what its role gives.
    #[default]
    None,
    /// The user may read it.
    Read,
    /// The user may read it and go on with it: `share_mode` is `continue`.
    Write,
}

/// What became of a chat that its owner has read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadOutcome {
    /// Whether it was unread before.
    pub was_unread: bool,
    /// How many unread chats there are in each folder of the user: a JSON object, as `folder_unread_counts` of a
    /// `chat:list`. An empty object if the chat was not unread.
    pub folder_unread_counts: ByteString,
}

/// Why a store has no answer. The peer gets a refusal, and nothing is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreError {
    /// What was to be changed is not there.
    NotFound,
    /// The store cannot be reached, or took too long.
    Unavailable,
    /// The store holds something that cannot be read.
    Corrupt,
    /// Another program has written to the same document. Nothing was written.
    Conflict,
}
