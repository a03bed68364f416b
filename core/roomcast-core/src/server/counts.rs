//! What a server counts.
//!
//! Owns: the names of its counts. Must never know: who counts.

/// Counts of live state, all of which must be zero once every session has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Audit {
    /// Sessions on endpoints of every kind.
    pub sessions: usize,
    /// WebSocket streams.
    pub conns: usize,
    /// HTTP requests under way.
    pub requests: usize,
    /// Presences in namespaces.
    pub sockets: usize,
    /// Namespaces with at least one socket.
    pub namespaces: usize,
    /// Rooms with at least one socket.
    pub rooms: usize,
    /// Engine.IO session ids that are known.
    pub session_sids: usize,
    /// Socket.IO ids that are known.
    pub socket_sids: usize,
    /// Emits whose acks are awaited.
    pub acks: usize,
    /// Armed deadlines.
    pub timers: usize,
    /// Bytes that wait to be sent.
    pub queued_bytes: usize,
    /// Bytes of memory pinned by peers that are not admitted yet.
    pub unadmitted_bytes: usize,
    /// Outputs that have not been polled.
    pub outputs: usize,
    /// Peers with bytes that were read and not processed, and events that are held back.
    pub unread: usize,
    /// Requests to other nodes and of other nodes, subscriptions, and answers that wait for them.
    pub cluster: usize,
    /// Sockets that can be recovered, connected or not, and packets that are kept for them. Zero when the last could have
    /// come back.
    pub recovery: usize,
    /// Bytes of memory that packets and sockets that are away take.
    pub recovery_bytes: usize,
}

/// Totals since startup, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Sessions opened.
    pub sessions_opened: u64,
    /// Sockets connected to a namespace.
    pub sockets_connected: u64,
    /// Engine.IO packets and bare messages received.
    pub packets_received: u64,
    /// Packets put into queues, once per recipient.
    pub packets_queued: u64,
    /// Volatile packets dropped, once per recipient.
    pub volatile_dropped: u64,
    /// Upgrades from polling to WebSocket that were completed.
    pub upgrades: u64,
    /// Sessions closed as too slow.
    pub too_slow: u64,
    /// Sessions ended for a missing pong.
    pub pings_unanswered: u64,
    /// Sessions and requests ended for a fault of the peer.
    pub peer_faults: u64,
    /// Emits of an event name that clients reserve, which were not sent.
    pub reserved_refused: u64,
    /// Inputs and commands with a stale handle.
    pub stale_handles: u64,
    /// Sockets that came back as they were.
    pub sockets_recovered: u64,
    /// Sockets that asked for it and came back as new ones.
    pub recoveries_failed: u64,
    /// Packets sent to sockets that had missed them.
    pub packets_replayed: u64,
}
