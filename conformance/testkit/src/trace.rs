//! A hash of what went into a server and came out of it.
//!
//! Owns: how a sequence of byte strings becomes one number. Must never know: what they mean.

use roomcast_core::server::{Event, Server};

use crate::observed::Observer;

/// FNV-1a over a sequence of records, each part with its length: two runs with the same trace did the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace(u64);

impl Default for Trace {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Trace {
    /// Adds a record of this kind to the hash.
    pub fn say(&mut self, what: &str, parts: &[&[u8]]) {
        self.put(what.as_bytes());
        parts.iter().for_each(|part| self.put(part));
    }

    /// The hash of all records so far.
    pub const fn hash(self) -> u64 {
        self.0
    }

    fn put(&mut self, bytes: &[u8]) {
        let length = (bytes.len() as u64).to_le_bytes();
        for byte in length.iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

impl Observer for Trace {
    fn observe(&mut self, event: &Event, _server: &Server) {
        self.say("event", &[format!("{event:?}").as_bytes()]);
    }
}
