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
        /// The member that sent the update; `None` if it came from another node.
        by: Option<M>,
        /// The sender's user; empty if it came from another node.
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
    /// More of a document's [changes](crate::OpenDocument::changes) are known to be stored.
    Stored {
        /// The document.
        document: DocumentId,
        /// How many are, from the first on. They survive a crash.
        changes: u64,
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
    /// Tell the other nodes that may have the same documents in memory. They hear of it by
    /// [`Documents::handle_node_message`](crate::Documents::handle_node_message), or not: what is lost costs time only.
    /// This and those below come only with [several writers](crate::yjs::journal::Writers::Several).
    Publish {
        /// What to publish: to a bus it is bytes.
        message: Bytes,
    },
    /// Another program has put an entry of the owner's own into the log, or this one has and did not hear of it.
    Annotated {
        /// The document.
        document: DocumentId,
        /// The number that the entry has in the log.
        sequence: u64,
        /// The entry, as it was given to [`Documents::annotate`](crate::Documents::annotate), or as it stood in front of the
        /// first change.
        entry: Bytes,
    },
    /// Another program has cut the log by a snapshot, which this one has read.
    Tagged {
        /// The document.
        document: DocumentId,
        /// What was stored with the snapshot.
        tag: Option<Bytes>,
        /// The last entry that it holds.
        up_to_sequence: u64,
    },
    /// Each entry of the owner's own that is not stored yet has the next number now, since another program was first.
    Renumbered {
        /// The document.
        document: DocumentId,
    },
    /// This program may write the first content of an empty document: see [`Documents::begin`](crate::Documents::begin).
    MayBegin {
        /// The document.
        document: DocumentId,
    },
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
    /// The store has lost the end of a document's log, as after a crash without its last writes. The document in memory is
    /// stored anew.
    LogLost {
        /// The document's name.
        name: ByteString,
    },
    /// A message of another node cannot be read: it runs another version. Said once; further ones are counted
    /// ([`DocumentCounters::node_messages_unreadable`](crate::DocumentCounters::node_messages_unreadable)). What they would
    /// have told of documents is found in their logs, some seconds later; cursors are not.
    NodeMessageUnreadable {
        /// The form that it names. This version's is 1.
        form: u8,
    },
    /// What another program has written to a document's log cannot be applied here. This program stores no snapshots of
    /// it any more.
    Unreadable {
        /// The document's name.
        name: ByteString,
    },
}

/// The WebSocket close code that goes with [`Close::Denied`]: as 403 of HTTP. Stock providers of y-websocket stay away
/// after 4400 to 4499.
pub const DENIED_CODE: u16 = 4403;
