//! What a server is told about connection state recovery before it starts.
//!
//! Owns: these settings and their defaults. Must never know: how a connection is lost, what is kept.

use std::time::Duration;

/// Connection state recovery (Socket.IO 4.6): a client whose transport broke comes back as the same socket, in its rooms,
/// and is sent the events that it missed, in order, each once.
///
/// It costs memory for every event without ack that is not volatile, up to the limits here, and an argument more in each:
/// the offset, a string behind the last argument. Clients that do not know it (socket.io-client before 4.6, those of other
/// languages) hand it to the application. Sockets that left, or were told to, do not come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionRecovery {
    /// How long a client may be away. 2 minutes.
    pub max_age: Duration,
    /// Bytes of the packets that are kept for clients that are away, all of them together; the oldest go first. 16 MiB.
    pub packet_bytes_max: usize,
    /// Packets that are kept. 100,000.
    pub packets_max: usize,
    /// Clients that are away and can come back; the first that went is forgotten first. 100,000.
    pub sessions_max: usize,
    /// Bytes that are kept of them: names of rooms, and what the application keeps with a socket. 64 MiB.
    pub session_bytes_max: usize,
    /// Whether the application decides on them again.
    pub readmission: Readmission,
}

impl Default for ConnectionRecovery {
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(120),
            packet_bytes_max: 16 << 20,
            packets_max: 100_000,
            sessions_max: 100_000,
            session_bytes_max: 64 << 20,
            readmission: Readmission::Ask,
        }
    }
}

/// What happens to a client that comes back to a namespace of [`Admission::Ask`](super::config::Admission::Ask).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Readmission {
    /// The application is asked as for a new one, and sees that it is recovered. If it is refused, what is known of it is
    /// forgotten.
    #[default]
    Ask,
    /// It is let in: it was admitted before.
    Skip,
}
