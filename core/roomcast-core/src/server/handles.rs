//! The names by which a server, its driver and its application know what there is.
//!
//! Owns: handles of slabs and the numbers of acks and emits. Must never know: what they name.

crate::slab_key! {
    /// A WebSocket's byte stream. Ends with [`Output::Close`](super::Output::Close) or [`Input::WsEnded`](super::Input::WsEnded).
    pub struct ConnId;
}

crate::slab_key! {
    /// An HTTP request that is being answered. Ends with [`Output::Respond`](super::Output::Respond) or [`Input::HttpAborted`](super::Input::HttpAborted).
    pub struct RequestId;
}

crate::slab_key! {
    /// A peer over any transport: an Engine.IO session or a bare WebSocket.
    pub struct SessionId;
}

crate::slab_key! {
    /// A session's presence in one Socket.IO namespace.
    pub struct SocketId;
}

/// The number by which a client will know the ack of its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AckId(pub u64);

/// An emit with ack, as the application names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EmitId(pub u64);
