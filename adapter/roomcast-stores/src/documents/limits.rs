//! The limits of reading and editing documents.
//!
//! Owns: the numbers and their defaults. Must never know: the threads that keep to them.

use std::time::Duration;

/// What reading and editing may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentLimits {
    /// Bytes of a document's state. 8 MiB; yrs takes some ten times as much.
    pub state_bytes_max: usize,
    /// From a call to its end, less what the stores take. 5 s.
    pub deadline: Duration,
    /// Threads at a time. They end when there is nothing to do. 2.
    pub threads_max: usize,
    /// Calls that wait for a thread. 64.
    pub waiting_max: usize,
    /// Bytes of a thread's stack, of which only what is used takes memory. 64 MiB.
    pub stack_bytes: usize,
}

impl Default for ContentLimits {
    fn default() -> Self {
        Self {
            state_bytes_max: 8 << 20,
            deadline: Duration::from_secs(5),
            threads_max: 2,
            waiting_max: 64,
            stack_bytes: 64 << 20,
        }
    }
}
