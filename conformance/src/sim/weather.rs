//! The parts of a run.
//!
//! Owns: what may happen in each. Must never know: when one follows the other.

/// The part of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    /// Faults of every kind.
    Storm,
    /// The network is reliable and clients behave: a session that begins now lasts.
    Fair,
    /// Clients send nothing new and wait for answers.
    Quiet,
    /// Clients that are gone stay away.
    Ending,
}
