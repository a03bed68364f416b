//! A server under the testkit's loop, its application observed.
//!
//! Owns: how a server of a test is started. Must never know: what clients are.

use roomcast_core::server::{Config, Server, Stack, Start};
use roomcast_core::time::{Instant, WallTime};
use roomcast_testkit::{Kit, Network, Observed, Trace};

/// A server, its application, and the far ends of their sockets.
pub type Host<A, O = Trace> = Kit<Observed<A, O>, Network>;

/// Starts a server at time zero of the monotonic clock. `seed` is all that differs between two of the same
/// configuration.
///
/// # Panics
///
/// If the configuration is refused.
pub fn host<A, O>(config: Config, observed: Observed<A, O>, seed: u64, wall: WallTime) -> Host<A, O>
where
    Observed<A, O>: roomcast_core::server::App,
{
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let now = Instant::default();
    let server = match Server::new(config, Start { node: 7, now, wall, seed: bytes }) {
        Ok(server) => server,
        Err(error) => panic!("{error}"),
    };
    Kit::new(Stack::new(server, observed), Network::default(), now)
}
