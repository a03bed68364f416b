//! What is asked about the conversations of encrypted channels.
//!
//! Owns: the vocabulary between the machine and what keeps these conversations. Must never know: what is in one.

use std::fmt;

use bytestring::ByteString;

/// A question about the conversation of an encrypted channel, which all nodes and Open WebUI's processes share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EncryptionQuestion {
    /// Count a call, and lock the conversation, for 10 s at most. Answered by
    /// [`StoreAnswer::Conversation`](super::query::StoreAnswer::Conversation); the lock is held until
    /// [`End`](Self::End).
    Begin {
        /// Id of the channel.
        channel: ByteString,
        /// What it counts as; `None` if it is no call of a user.
        charge: Option<TalkCharge>,
    },
    /// Store the conversation, if the lock is still held, and give the lock back. Answered by
    /// [`StoreAnswer::Done`](super::query::StoreAnswer::Done); an error if it was not held any more, and then nothing is
    /// stored.
    End {
        /// Id of the channel.
        channel: ByteString,
        /// The lock, as [`ConversationBegun::Locked`] named it.
        lock: u64,
        /// What becomes of the conversation.
        change: ConversationChange,
    },
}

/// A call of a user, whose calls are rationed over all nodes and processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TalkCharge {
    /// Id of the user.
    pub user: ByteString,
    /// By which ration.
    pub ration: TalkRation,
    /// Bytes of the call.
    pub bytes: u64,
}

/// How many calls a user has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TalkRation {
    /// To take part: 10 in 60 s.
    Admission,
    /// Everything else: 100 a second. The bytes of both are 4 MiB in their span.
    Traffic,
}

impl TalkRation {
    /// Seconds of a span, and the calls in it.
    pub const fn calls(self) -> (u64, u64) {
        match self {
            Self::Admission => (60, 10),
            Self::Traffic => (1, 100),
        }
    }

    /// Bytes in a span.
    pub const fn bytes_max(self) -> u64 {
        4 << 20
    }
}

/// What a conversation begins with.
#[derive(Clone, PartialEq, Eq)]
pub enum ConversationBegun {
    /// The user has called too often, or too much. Nothing is locked.
    OverRation,
    /// It is locked.
    Locked {
        /// Names the lock.
        lock: u64,
        /// The conversation as JSON, if there is one.
        conversation: Option<ByteString>,
    },
}

impl fmt::Debug for ConversationBegun {
    /// Not its users.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OverRation => f.write_str("OverRation"),
            Self::Locked { lock, conversation } => write!(f, "Locked({lock}, {})", conversation.is_some()),
        }
    }
}

/// What becomes of a conversation.
#[derive(Clone, PartialEq, Eq)]
pub enum ConversationChange {
    /// It is as it was.
    None,
    /// It is this JSON object, for 90 s.
    Put(ByteString),
    /// There is none any more.
    Remove,
}

impl fmt::Debug for ConversationChange {
    /// Not its users.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Put(_) => "Put",
            Self::Remove => "Remove",
        })
    }
}
