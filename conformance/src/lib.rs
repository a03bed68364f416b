//! The simulator, the reference model and the suite server of roomcast.
//!
//! | command | what it does |
//! |---|---|
//! | `cargo test -p roomcast-conformance` | scenarios by [`pair`], and the committed seeds of the simulator |
//! | `ROOMCAST_FLEET_SEEDS=0..1000 cargo test -p roomcast-conformance --test fleet` | these seeds of [`fleet`] |
//! | `cargo run -p roomcast-conformance --bin sim -- --seconds 60` | fresh seeds of [`sim`] for a minute; a failure prints the command that replays it |
//! | `cargo test -p roomcast-conformance --features test-hooks --test planted_bugs` | that the simulator finds every bug of the standing list, and meets every reachable cell of the session table |

pub mod fleet;
pub mod pair;
pub mod sim;
