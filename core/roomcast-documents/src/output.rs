//! What the machine says.
//!
//! Owns: the vocabulary of outputs. Must never know: how any of it is carried out.

use bytes::Bytes;
use bytestring::ByteString;
use roomcast_yjs::Unsound;

use crate::question::DocumentQuestion;
use crate::vocabulary::{DocumentId, Joining, Taken};

/// Something for the owner of [`Documents`](crate::Documents) to carry out, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<M> {
    /// Ask the store. Answer with [`Documents::handle_answer`](crate::Documents::handle_answer).
    Ask {
        /// The document.
        document: DocumentId,
        /// The question.
        question: DocumentQuestion,
    },
    /// A provider wants into a document. Answer with [`Documents::let_in`](crate::Documents::let_in),
    /// [`Documents::deny`](crate::Documents::deny) or [`Documents::close`](crate::Documents::close).
    Authorize {
        /// The provider.
        member: M,
        /// The document's name, as the provider gave it.
        name: ByteString,
    },
    /// A document is loaded. Let each of those who waited in by [`Documents::admit`](crate::Documents::admit), if they
    /// are still welcome, and then call [`Documents::settle`](crate::Documents::settle).
    Loaded {
        /// The document.
        document: DocumentId,
        /// Members in the order in which they came.
        waiting: Vec<Joining<M>>,
    },
    /// A document could not be loaded. It is not treated as empty: the members that wait for it are refused. Providers
    /// among them have already been closed.
    NotLoaded {
        /// The document's name.
        name: ByteString,
        /// The reason, which is the same for all of them.
        why: NotLoaded,
        /// Members in the order in which they came.
        waiting: Vec<Joining<M>>,
    },
    /// A member is in a document from now on, and was not before.
    Joined {
        /// The document.
        document: DocumentId,
        /// The member that has joined.
        member: M,
        /// The id of the member's user.
        user: ByteString,
    },
    /// A document has changed by an update. Members of [`Form::Application`](crate::Form::Application) but the sender
    /// are to be told of it.
    Updated {
        /// The document.
        document: DocumentId,
        /// The member that sent the update.
        by: M,
        /// The sender's user.
        user: ByteString,
        /// A Yjs update, version 1: the sender's own bytes where that is possible.
        update: Bytes,
        /// Whether there is another member of [`Form::Application`](crate::Form::Application).
        relay: Relay,
    },
    /// Tell a member of [`Form::Application`](crate::Form::Application) the state, and ask it for all that it has.
    Resync {
        /// The document.
        document: DocumentId,
        /// The member to be asked.
        member: M,
    },
    /// The whole state for members of [`Form::Application`](crate::Form::Application) that have
    /// [requested](crate::Documents::request_state) it.
    State {
        /// The document.
        document: DocumentId,
        /// The members. All of them are in the document.
        to: Vec<M>,
        /// The state as one Yjs update, version 1: it has all that was in the document when it was requested.
        state: Bytes,
    },
    /// What has become of an update of a member of [`Form::Application`](crate::Form::Application) of which
    /// [`Documents::handle_update`](crate::Documents::handle_update) has said [`Taken::Later`].
    Taken {
        /// The document.
        document: DocumentId,
        /// The member that sent the update. It may have left meanwhile.
        member: M,
        /// Not [`Taken::Later`].
        taken: Taken,
    },
    /// An update of a member of [`Form::Application`](crate::Form::Application) was refused.
    Refused {
        /// The document.
        document: DocumentId,
        /// The member that sent the update.
        member: M,
    },
    /// A member of [`Form::Application`](crate::Form::Application) has sent too much that is bad: end its connection.
    Expelled {
        /// The member whose connection is to be closed.
        member: M,
    },
    /// A member has left, for any reason.
    Left {
        /// The document.
        document: DocumentId,
        /// The member that has left.
        member: M,
        /// The id of the member's user.
        user: ByteString,
    },
    /// A document has no members, is stored, and has been kept for its while. Call
    /// [`Documents::drop_idle`](crate::Documents::drop_idle) once nothing else needs it.
    Idle {
        /// The document.
        document: DocumentId,
    },
    /// Send a message of y-protocols to these members. One encoding serves all.
    Send {
        /// Providers, all of the same document.
        to: Vec<M>,
        /// One whole binary message.
        message: Bytes,
    },
    /// A message of a provider has been dealt with: it may be given another.
    Handled {
        /// The provider.
        member: M,
    },
    /// End a provider's connection.
    Close {
        /// The provider.
        member: M,
        /// Whether the provider is to come back.
        close: Close,
    },
    /// Something that an operator should hear of.
    Notice(DocumentNotice),
}

/// Whether an update has to be relayed by the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relay {
    /// There are other members of the application.
    Wanted,
    /// There are none.
    Needless,
}

/// How a provider's connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// In the ordinary way: the provider comes back by itself.
    Again,
    /// With a code after which stock providers stay away, as the member may not read: [`DENIED_CODE`].
    Denied,
}

/// Why a document could not be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotLoaded {
    /// The store has no answer.
    Unavailable,
    /// What is stored cannot be read.
    Corrupt,
    /// The documents in memory leave no room: see
    /// [`DocumentsConfig::documents_bytes_max`](crate::DocumentsConfig::documents_bytes_max).
    Full,
}

impl std::fmt::Display for NotLoaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unavailable => "the store is unavailable",
            Self::Corrupt => "what is stored cannot be read",
            Self::Full => "the documents in memory leave no room",
        })
    }
}

/// Something that an operator should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DocumentNotice {
    /// A document could not be loaded, and joins were refused.
    NotLoaded {
        /// The document's name.
        name: ByteString,
        /// The reason that its members were refused for.
        why: NotLoaded,
    },
    /// What is stored of a document would be refused of a member today: it has come in before such things were looked at.
    /// The document is served as it is; members may throw at it, or not agree on what it says.
    Unsound {
        /// The document's name.
        name: ByteString,
        /// What the first such update does.
        why: Unsound,
    },
    /// Changes could not be stored, since another program writes the same document. They are kept in memory.
    Conflict {
        /// The document's name.
        name: ByteString,
    },
}

/// The WebSocket close code that goes with [`Close::Denied`]: as 403 of HTTP. Stock providers of y-websocket stay away
/// after 4400 to 4499.
pub const DENIED_CODE: u16 = 4403;
