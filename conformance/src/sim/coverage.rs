//! What a run has met: reasons, faults, limits, statuses, and cells of the session table.
//!
//! Owns: counts by name, and the list of what a run of many seeds must meet. Must never know: what should have
//! happened.

use std::collections::BTreeMap;

/// How often each thing was met, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    met: BTreeMap<String, u64>,
}

impl Coverage {
    /// Counts one meeting.
    pub fn meet(&mut self, name: impl Into<String>) {
        self.add(name, 1);
    }

    /// Counts some meetings.
    pub fn add(&mut self, name: impl Into<String>, count: u64) {
        if count > 0 {
            *self.met.entry(name.into()).or_default() += count;
        }
    }

    /// Adds what another run has met.
    pub fn merge(&mut self, other: &Self) {
        for (name, count) in &other.met {
            *self.met.entry(name.clone()).or_default() += count;
        }
    }

    /// What was never met and must be met by [`SEEDS`] seeds.
    pub fn missing(&self) -> Vec<&'static str> {
        REACHABLE.iter().chain(CELLS).copied().filter(|name| !self.met.contains_key(*name)).collect()
    }

    /// Names and counts, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.met.iter().map(|(name, count)| (name.as_str(), *count))
    }
}

/// How many seeds are enough to meet everything that is listed as reachable.
pub const SEEDS: u64 = 120;

/// What a run of [`SEEDS`] seeds must meet: what as many seeds meet ten times on average, or more.
const REACHABLE: &[&str] = &[
    "acks: Complete",
    "acks: Gone",
    "acks: TimedOut",
    "close 1000",
    "close 1001",
    "close 1002",
    "close 1008",
    "fault: a fragmented message",
    "fault: a request is given up",
    "fault: a request is given up unnoticed",
    "fault: a second transport",
    "fault: a slow reader",
    "fault: a stream ends",
    "fault: a stream ends unnoticed",
    "fault: bytes in parts, to a client",
    "fault: bytes in parts, to the server",
    "fault: little room in a stream",
    "fault: probe lost",
    "fault: short writes",
    "fault: two requests at once",
    "habit: ends its session",
    "habit: floods a room",
    "habit: has its connection ended",
    "habit: has its socket ended",
    "habit: leaves a namespace",
    "habit: says goodbye and goes on",
    "limit: acks of a socket",
    "limit: attachments",
    "limit: bytes of a message, not admitted",
    "limit: bytes of a packet",
    "limit: bytes of all that are not admitted",
    "limit: depth of JSON",
    "limit: name of a room",
    "limit: namespaces of a session",
    "limit: queue, hard",
    "limit: queue, soft",
    "limit: rooms of a socket",
    "limit: sessions",
    "limit: time of a message",
    "limit: time of a message, not admitted",
    "nonsense: CONNECT_ERROR",
    "nonsense: a packet between attachments",
    "nonsense: a ping",
    "nonsense: an ack without a list",
    "nonsense: an attachment of nothing",
    "nonsense: an open packet",
    "nonsense: broken JSON",
    "nonsense: no packet of Socket.IO",
    "reading paused",
    "reason: BadEnginePacket",
    "reason: BadSocketPacket",
    "reason: client namespace disconnect",
    "reason: forced server close",
    "reason: ping timeout",
    "reason: server namespace disconnect",
    "reason: server shutting down",
    "reason: too slow",
    "reason: transport close",
    "reason: transport error",
    "stale handle",
    "status 400: {\"code\":1,\"message\":\"Session ID unknown\"}",
    "status 400: {\"code\":3,\"message\":\"Bad request\"}",
    "status 503: {\"code\":3,\"message\":\"Service unavailable\"}",
    "timeout: pong",
    "upgrade",
];

/// The cells of the session table that a run of [`SEEDS`] seeds must enter, where the core counts them.
const CELLS: &[&str] = if cfg!(feature = "test-hooks") {
    &[
        "cell: Closing × CloseDelivered",
        "cell: Polling × CloseCommand",
        "cell: Polling × ClosePacket",
        "cell: Polling × Fault",
        "cell: Polling × Poll",
        "cell: Polling × PollAborted",
        "cell: Polling × PollTwice",
        "cell: Polling × Post",
        "cell: Polling × PostTwice",
        "cell: Polling × WsArrived",
        "cell: Probing × Poll",
        "cell: Probing × Post",
        "cell: Probing × ProbeEnded",
        "cell: Probing × ProbePing",
        "cell: Upgrading × Fault",
        "cell: Upgrading × Poll",
        "cell: Upgrading × Post",
        "cell: Upgrading × ProbeEnded",
        "cell: Upgrading × UpgradePacket",
        "cell: Upgrading × WsArrived",
        "cell: WebSocket × CloseCommand",
        "cell: WebSocket × ClosePacket",
        "cell: WebSocket × Fault",
        "cell: WebSocket × Poll",
        "cell: WebSocket × Post",
        "cell: WebSocket × WsArrived",
        "cell: WebSocket × WsEnded",
    ]
} else {
    &[]
};
