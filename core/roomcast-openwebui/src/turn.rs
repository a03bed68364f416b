//! What an event can be waiting for, and what becomes of it.
//!
//! Owns: the steps of the events that need a store, and which names are the application's. Must never know: how a step
//! is taken.

use bytestring::ByteString;

use super::chat::ChatRequest;
use super::documents::{FilesTurn, Joiner};
use super::encryption::{ConversationCall, TalkAction};
use super::query::{Question, StoreAnswer, StoreError, User};
use super::refusals::LoginRefused;
use super::token::TokenClaims;
pub(crate) use super::turns::HeldEvent;
use roomcast_core::socket_io::Args;
use roomcast_documents::DocumentId;

/// How far an event is, and what it needs to go on.
#[derive(Debug)]
pub(crate) enum TurnStep {
    /// The user of a CONNECT's token has been asked for.
    Connect(TokenClaims),
    /// The same where sockets without a login are refused.
    Admit(TokenClaims),
    /// The user has been found, and the session is being stored for other processes.
    Shared(Box<TurnStep>, User),
    /// The user of a `user-join` has been asked for.
    UserJoin(TokenClaims),
    /// And the channels.
    UserJoinChannels,
    /// The user of a token that came with `join-channels` has been asked for.
    JoinChannels(TokenClaims),
    /// And the channels.
    Channels,
    /// The user of a token that came with `join-note` has been asked for.
    JoinNote(TokenClaims, ByteString),
    /// And the note.
    Note(ByteString),
    /// The chat of an `events:chat` has been asked for.
    Chat(ChatRequest),
    /// The session pool is told that the socket is in this chat.
    ChatEntered(ByteString),
    /// The note of a document has been asked for.
    DocumentJoin(Joiner),
    /// The document is being loaded, for others too.
    DocumentLoad,
    /// A long update of a document is being tried.
    DocumentUpdate,
    /// The files of an update have been asked for.
    DocumentFiles(Box<FilesTurn>),
    /// It has been asked whether the user may take part in an encrypted channel's conversation.
    EncryptionUser(Box<TalkTurn>),
    /// The call waits for those before it in the conversation, and for what keeps it.
    Encryption,
    /// The user of the login's token has been asked for again, before this event.
    Confirm {
        event: HeldEvent,
        /// The login as it was then.
        epoch: u64,
    },
}

impl TurnStep {
    /// The token by which a login is about to begin.
    pub(crate) fn token(&self) -> Option<&TokenClaims> {
        match self {
            Self::Connect(token)
            | Self::Admit(token)
            | Self::UserJoin(token)
            | Self::JoinChannels(token)
            | Self::JoinNote(token, _) => Some(token),
            Self::Shared(step, _) => step.token(),
            Self::UserJoinChannels
            | Self::Channels
            | Self::Note(_)
            | Self::Chat(_)
            | Self::ChatEntered(_)
            | Self::DocumentJoin(_)
            | Self::DocumentLoad
            | Self::DocumentUpdate
            | Self::DocumentFiles(_)
            | Self::EncryptionUser(_)
            | Self::Encryption
            | Self::Confirm { .. } => None,
        }
    }

    /// Whether an event waits for its user's channels.
    pub(crate) fn is_of_channels(&self) -> bool {
        matches!(self, Self::UserJoinChannels | Self::Channels)
    }
}

/// A call about an encrypted channel's conversation.
#[derive(Debug)]
pub(crate) struct TalkTurn {
    pub(crate) action: TalkAction,
    pub(crate) call: ConversationCall,
    /// Bytes of the call.
    pub(crate) bytes: u64,
}

/// What became of an event, or of the answer to its query.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is done: acknowledge it with these.
    Done(Args),
    /// It waits for this.
    Ask(Question, TurnStep),
    /// It waits for what others wait for too.
    Wait(TurnStep),
    /// It was refused by [`TurnStep::Admit`], and the socket is gone.
    Gone,
    /// It is done: acknowledge it with these once the document is stored as it is now.
    Stored(DocumentId, Args),
    /// It is done, and is not acknowledged, as where Open WebUI's handler would have failed.
    Unanswered,
    /// The socket has to go, after this ack if there is one.
    Ended(Option<Args>),
    /// It was only looked at whose it is: it begins now.
    Again(HeldEvent),
}

impl Outcome {
    /// What a handler that returns nothing acknowledges with.
    pub(crate) const fn nothing() -> Self {
        Self::Done(Args::empty())
    }
}

/// The events that are the application's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BuiltIn {
    UserJoin,
    Heartbeat,
    Usage,
    JoinChannels,
    JoinNote,
    ChannelEvents,
    ChatEvents,
    DocumentJoin,
    DocumentState,
    DocumentUpdate,
    DocumentLeave,
    DocumentAwareness,
}

impl BuiltIn {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "user-join" => Self::UserJoin,
            "heartbeat" => Self::Heartbeat,
            "usage" => Self::Usage,
            "join-channels" => Self::JoinChannels,
            "join-note" => Self::JoinNote,
            "events:channel" => Self::ChannelEvents,
            "events:chat" => Self::ChatEvents,
            "ydoc:document:join" => Self::DocumentJoin,
            "ydoc:document:state" => Self::DocumentState,
            "ydoc:document:update" => Self::DocumentUpdate,
            "ydoc:document:leave" => Self::DocumentLeave,
            "ydoc:awareness:update" => Self::DocumentAwareness,
            _ => return None,
        })
    }

    /// Whether the event may carry a token, and so comes before a login.
    pub(crate) const fn brings_token(self) -> bool {
        matches!(self, Self::UserJoin | Self::JoinChannels | Self::JoinNote)
    }

    /// Whether a socket without a login that sends it has to go, with 0.12. The others are about a room, in which no such
    /// socket is, or bring a token.
    pub(crate) const fn ends_anonymous(self) -> bool {
        match self {
            Self::Heartbeat
            | Self::Usage
            | Self::ChatEvents
            | Self::DocumentJoin
            | Self::DocumentLeave
            | Self::DocumentAwareness => true,
            Self::UserJoin
            | Self::JoinChannels
            | Self::JoinNote
            | Self::ChannelEvents
            | Self::DocumentState
            | Self::DocumentUpdate => false,
        }
    }

    /// Whether Open WebUI's handler fails, and so does not acknowledge, if the payload is no object. Those of documents
    /// take their failures for themselves.
    pub(crate) const fn reads_object(self) -> bool {
        match self {
            Self::UserJoin
            | Self::JoinChannels
            | Self::JoinNote
            | Self::Usage
            | Self::ChannelEvents
            | Self::ChatEvents => true,
            Self::Heartbeat
            | Self::DocumentJoin
            | Self::DocumentState
            | Self::DocumentUpdate
            | Self::DocumentLeave
            | Self::DocumentAwareness => false,
        }
    }

    /// Whether the event carries what members have written, which has limits of its own.
    pub(crate) const fn is_update(self) -> bool {
        matches!(self, Self::DocumentUpdate | Self::DocumentAwareness)
    }

    /// Whether the event asks a store each time, or is told to a whole room.
    pub(crate) const fn is_dear(self) -> bool {
        matches!(self, Self::UserJoin | Self::JoinChannels | Self::JoinNote | Self::ChatEvents)
    }
}

/// A store's answer about a token's user: admitted, refused with a reason, or no answer.
pub(crate) fn judge(
    result: Result<StoreAnswer, StoreError>,
    token: &TokenClaims,
) -> Result<Result<User, LoginRefused>, StoreError> {
    judge_by(result, Some(token))
}

fn judge_by(
    result: Result<StoreAnswer, StoreError>,
    token: Option<&TokenClaims>,
) -> Result<Result<User, LoginRefused>, StoreError> {
    match result {
        Ok(StoreAnswer::User(Some(user))) => Ok(may_log_in(&user, token).map(|()| user)),
        Ok(StoreAnswer::User(None)) => Ok(Err(LoginRefused::Unknown)),
        Ok(StoreAnswer::Revoked) => Ok(Err(LoginRefused::Revoked)),
        Ok(_) => Err(StoreError::Corrupt),
        Err(error) => Err(error),
    }
}

/// The user that a store has admitted, if it is one.
pub(crate) fn admitted<'a>(result: &'a Result<StoreAnswer, StoreError>, token: &TokenClaims) -> Option<&'a User> {
    match result {
        Ok(StoreAnswer::User(user)) => user.as_ref().filter(|user| may_log_in(user, Some(token)).is_ok()),
        Ok(_) | Err(_) => None,
    }
}

/// The same without the reason. `token`: by which it asks, if it is by one.
pub(crate) fn user(
    result: Result<StoreAnswer, StoreError>,
    token: Option<&TokenClaims>,
) -> Result<Option<User>, StoreError> {
    judge_by(result, token).map(Result::ok)
}

/// In the order of Open WebUI 0.12: what the account says of the token, then the role.
fn may_log_in(user: &User, token: Option<&TokenClaims>) -> Result<(), LoginRefused> {
    if let Some((account, token)) = user.account.as_ref().zip(token) {
        token.origin.judge(account)?;
    }
    matches!(&*user.role, "admin" | "user").then_some(()).ok_or(LoginRefused::Role)
}
