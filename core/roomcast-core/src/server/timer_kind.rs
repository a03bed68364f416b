//! The reasons for which machines arm deadlines.
//!
//! Owns: [`TimerKind`]. Must never know: a machine, a deadline.

/// Why a deadline was armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimerKind {
    /// More was read than was taken: due at once.
    Intake,
    /// A ping is due.
    Ping,
    /// A pong is overdue.
    Pong,
    /// A session must have joined a namespace, or the application must have answered a CONNECT.
    Connect,
    /// An upgrade must be done.
    Upgrade,
    /// A closing transport must be gone.
    Close,
    /// A frame, a message or a packet that has begun must be whole.
    Partial,
    /// An ack is overdue.
    Ack,
    /// What is kept for clients that may come back is too old.
    Recovery,
    /// A heartbeat or an answer of the cluster.
    Cluster,
    /// The application's.
    App,
}
