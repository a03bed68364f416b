//! What the tests of single machines share.

use roomcast_core::id::SlabKey;
use roomcast_core::server::{SessionId, SocketId};

/// A socket, without a server.
pub(crate) fn socket(number: u32) -> SocketId {
    SocketId::from_parts(number, 1)
}

/// An Engine.IO session, without a server.
pub(crate) fn peer(number: u32) -> SessionId {
    SessionId::from_parts(number, 1)
}
