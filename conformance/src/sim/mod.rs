//! Many clients, one server, an unreliable network, and one seed.
//!
//! Owns: a run from its seed to its verdict. Must never know: how the server does what it should do.
//!
//! | file | what |
//! |---|---|
//! | [`model`] | what should happen: rooms and deliveries as plain sets and lists |
//! | `client` | what a client knows and answers by itself |
//! | `world` | the run from its seed to its verdict |
//! | `weather`, `wires` | the parts of a run, and what is under way |
//! | `network` | streams that are delayed, cut, re-chunked and full; requests that take their time or get lost |
//! | `habits` | what clients do, and what faults hit them |
//! | `ledger` | what a client has sent, against which the server's reports are held |
//! | [`coverage`] | what a run has met, and what many runs must meet |
//!
//! A run has three parts. In the first, everything happens that a seed can think of. At each step the server's rooms are
//! compared with the model's, and each packet that reaches a client must be the one that the model has next for it:
//! nothing else, nothing twice, nothing out of order; and each event that the server reports must be the next that its
//! client has sent. Then the weather clears: clients that were cut off come back, no
//! session that begins now may be lost, and what is due must arrive. Last, all clients leave (or the server ends), and the audit must come to all zeros.

mod client;
pub mod coverage;
mod habits;
mod ledger;
pub mod model;
mod network;
mod weather;
mod wires;
mod world;

#[cfg(feature = "test-hooks")]
pub use self::world::run_with_bug;
pub use self::world::{RunOutcome, replay_command, run};
