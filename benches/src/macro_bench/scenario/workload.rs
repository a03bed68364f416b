//! What a scenario is to the rounds.
//!
//! Owns: the trait alone. Must never know: which scenarios there are.

use std::io;

/// Clients at work on one process.
pub(crate) trait Workload {
    /// Sends `messages` messages (or connections, or requests) in total and waits for all that they cause. Returns the
    /// number of units.
    fn round(&mut self, messages: usize) -> io::Result<usize>;
}
