//! What may be said of an emit or of a disconnection beyond the packet.
//!
//! Owns: these words, which servers and clusters share. Must never know: how either acts on them.

/// Whether an event may be lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// Queued until the peer takes it or is closed as too slow.
    #[default]
    Reliable,
    /// Dropped where the queue is over its soft limit, or no poll of a long-polling client waits.
    Volatile,
}

/// How much a disconnection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Extent {
    /// The presence in this namespace: DISCONNECT is sent, the transport stays.
    Namespace,
    /// DISCONNECT for each namespace, then the transport.
    Connection,
}
