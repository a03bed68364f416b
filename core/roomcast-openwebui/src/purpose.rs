//! What a question was asked for.
//!
//! Owns: the words by which an answer finds the machine that asked. Must never know: what is done with it.

use bytestring::ByteString;

use super::documents::Aim;
use super::query::User;
use super::writes::WriteId;
use roomcast_core::server::SocketId;

/// Whose question it is.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    /// The event of this socket whose turn it is.
    Turn(SocketId),
    /// The periodic or requested check of a login, or of a token whose user could not be looked up.
    Recheck {
        socket: SocketId,
        /// The login as it was then.
        epoch: u64,
    },
    /// The session of a user that such a check has found is being stored for others.
    Shared { socket: SocketId, epoch: u64, user: User },
    /// Others are told something; nothing waits for that.
    Told,
    /// Reads of channels, by their flight.
    Channels(u64),
    /// Whether a socket may stay in a note's room.
    NoteRoom { socket: SocketId, epoch: u64, note: ByteString },
    /// Whether a socket may stay in a chat's room.
    ChatRoom { socket: SocketId, epoch: u64, chat: ByteString },
    /// The session pool is told that a socket has left a chat: then the others are.
    ChatLeft { chat: ByteString },
    /// Who is in a chat, by the session pool.
    Presence { chat: ByteString },
    /// The job about an encrypted channel's conversation that is under way.
    Talk { channel: ByteString },
    /// Sessions that were left behind.
    Reaped,
    /// A write to a row.
    Write(WriteId),
    /// A write of when users were active, by its flight.
    Touches(u64),
    /// Something about a document.
    Document(Aim),
}
