//! A run from its seed to its verdict.
//!
//! Owns: the clock, the parts of a run, and what is checked when. Must never know: how clients and the network behave.

use std::collections::BTreeMap;
use std::time::Duration;

use roomcast_core::rng::Rng;
use roomcast_core::server::config::{Config, EndpointKind};
use roomcast_core::server::{Audit, Command, Counters};
use roomcast_core::time::{Instant, WallTime};
use roomcast_testkit::Observed;

use super::client::{Client, Stage};
use super::coverage::Coverage;
use super::model::{ACKS_MAX, Model, NAMESPACES_MAX, PACKET_BYTES_MAX, ROOM_BYTES_MAX, ROOMS_MAX};
use super::weather::Weather;
use super::wires::{HttpCall, NetworkEvent, Wire};
use crate::pair::{Conformance, Host, Profile, Via, WALL_MS, host};

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunOutcome {
    /// A hash of all that went into the server and came out of it, in order.
    pub trace: u64,
    /// Events on the network.
    pub steps: u64,
    /// Socket.IO packets that reached their client and were the ones due.
    pub delivered: u64,
    /// The server's own count.
    pub counters: Counters,
    /// What the run has met.
    pub coverage: Coverage,
}

/// Runs the simulation that `seed` determines, and compares the server with the model.
///
/// # Errors
///
/// What went wrong, and when.
pub fn run(seed: u64) -> Result<RunOutcome, String> {
    World::new(seed).judge(seed)
}

/// Plays a seed on a server with a bug.
///
/// # Errors
///
/// How the bug has shown, and when.
#[cfg(feature = "test-hooks")]
pub fn run_with_bug(seed: u64, bug: roomcast_core::server::test_hooks::Bug) -> Result<RunOutcome, String> {
    let mut world = World::new(seed);
    world.host.server().plant(bug);
    world.judge(seed)
}

/// The command that plays a seed again.
pub fn replay_command(seed: u64) -> String {
    format!("cargo run -p roomcast-conformance --bin sim -- --first {seed} --count 1 --verbose")
}

/// The whole simulated world.
#[derive(Debug)]
pub(super) struct World {
    pub(super) host: Host<Conformance, Model>,
    pub(super) rng: Rng,
    pub(super) weather: Weather,
    pub(super) queue: BTreeMap<(Instant, u64), NetworkEvent>,
    pub(super) sequence: u64,
    pub(super) clients: Vec<Client>,
    pub(super) ties: Vec<Ties>,
    pub(super) wires: Vec<Wire>,
    pub(super) calls: Vec<HttpCall>,
    pub(super) live_wires: Vec<usize>,
    pub(super) live_calls: Vec<usize>,
    pub(super) steps: u64,
    pub(super) fault: Option<String>,
    /// Sockets that must be gone by the end of this step: their transport has ended.
    pub(super) gone: Vec<String>,
}

/// What a client has out on the network.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ties {
    pub(super) wire: Option<usize>,
    pub(super) get: Option<usize>,
    pub(super) post: Option<usize>,
}

impl World {
    fn new(seed: u64) -> Self {
        let wall = WallTime::from_unix_millis(WALL_MS);
        let mut bytes = [1; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut world = Self {
            host: host(config(), Observed::default(), seed, wall),
            rng: Rng::from_seed(bytes),
            weather: Weather::Storm,
            queue: BTreeMap::new(),
            sequence: 0,
            clients: (0..CLIENTS).map(|_| Client::new(Via::Polling)).collect(),
            ties: vec![Ties::default(); CLIENTS],
            wires: Vec::new(),
            calls: Vec::new(),
            live_wires: Vec::new(),
            live_calls: Vec::new(),
            steps: 0,
            fault: None,
            gone: Vec::new(),
        };
        for client in 0..CLIENTS {
            let delay = world.millis(0, 500);
            world.plan(delay, NetworkEvent::Act { client });
        }
        world
    }

    fn judge(&mut self, seed: u64) -> Result<RunOutcome, String> {
        self.play().map_err(|fault| format!("seed {seed} at {} ms: {fault}", self.host.now().as_nanos() / 1_000_000))
    }

    fn play(&mut self) -> Result<RunOutcome, String> {
        self.pass(STORM)?;
        self.weather = Weather::Fair;
        self.pass(FAIR)?;
        self.weather = Weather::Quiet;
        self.last_words();
        self.pass(QUIET)?;
        self.check_clients_are_served()?;
        self.weather = Weather::Ending;
        if self.rng.below(2) == 0 {
            self.host.command(Command::Shutdown);
            self.after_input()?;
        } else {
            self.clients_leave();
        }
        self.pass(ENDING)?;
        self.check_nothing_is_left()?;
        let counters = self.host.server().counters();
        let mut coverage = self.model().coverage.clone();
        for (name, count) in [
            ("limit: queue, soft", counters.volatile_dropped),
            ("limit: queue, hard", counters.too_slow),
            ("timeout: pong", counters.pings_unanswered),
            ("upgrade", counters.upgrades),
            ("stale handle", counters.stale_handles),
            ("reading paused", self.host.hooks.pauses),
        ] {
            coverage.add(name, count);
        }
        #[cfg(feature = "test-hooks")]
        for (name, count) in self.host.server().session_cells() {
            coverage.add(format!("cell: {name}"), count);
        }
        Ok(RunOutcome {
            trace: self.host.hooks.trace().hash() ^ self.model().events.hash(),
            steps: self.steps,
            delivered: self.model().delivered,
            counters,
            coverage,
        })
    }

    /// Lets happen what happens within `span`.
    fn pass(&mut self, span: Duration) -> Result<(), String> {
        let end = self.host.now() + span;
        loop {
            let next = self.queue.first_key_value().map(|((at, _), _)| *at);
            let deadline = self.host.next_deadline().map(|(at, _)| at);
            let Some(at) = [next, deadline].into_iter().flatten().min().filter(|at| *at <= end) else { break };
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return Err("it goes on for ever".into());
            }
            let at = at.max(self.host.now());
            self.host.time(at);
            if next.is_some_and(|next| next <= at)
                && let Some((_, next)) = self.queue.pop_first()
            {
                self.happen(next)?;
            }
            self.after_input()?;
        }
        self.host.time(end);
        self.after_input()
    }

    /// Runs the server until it is quiet, and compares it with the model.
    fn after_input(&mut self) -> Result<(), String> {
        self.host.run();
        self.collect();
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        for sid in std::mem::take(&mut self.gone) {
            if self.model().is_member(&sid) {
                return Err(format!("{sid} is there although its transport has ended"));
            }
        }
        self.model().check(&self.host.stack.server)
    }

    fn check_clients_are_served(&self) -> Result<(), String> {
        for (index, client) in self.clients.iter().enumerate() {
            if !matches!(client.stage, Stage::Polling | Stage::Streaming) {
                return Err(format!("client {index} is still {:?}", client.stage));
            }
            let upgrades = client.via == Via::Upgrade && client.begun != Weather::Storm && !client.probe_lost;
            if client.stage == Stage::Polling && upgrades {
                return Err(format!("client {index} could not upgrade"));
            }
            if !client.outbox.is_empty() {
                return Err(format!("client {index} cannot send {:?}", client.outbox));
            }
            for (name, sid) in &client.namespaces {
                let Some(sid) = sid else { return Err(format!("client {index} waits for {name}")) };
                if let Some(missing) = self.model().missing(sid) {
                    return Err(format!("client {index} ({:?}) has not got {missing}", client.stage));
                }
            }
        }
        let sids = self.clients.iter().flat_map(|client| client.namespaces.values().flatten().map(String::as_str));
        self.model().check_served(&sids.collect())
    }

    fn check_nothing_is_left(&self) -> Result<(), String> {
        for (index, client) in self.clients.iter().enumerate() {
            if client.stage != Stage::Away {
                return Err(format!("client {index} does not know that it is over: {:?}", client.stage));
            }
        }
        if let Some(conn) = self.host.hooks.open_streams().next() {
            return Err(format!("{conn:?} was never closed"));
        }
        if self.host.audit() != Audit::default() {
            return Err(format!("{:?}", self.host.audit()));
        }
        if !self.host.stack.app.app.is_idle() || !self.model().is_empty() {
            return Err("the application still holds state of a client".into());
        }
        Ok(())
    }

    pub(super) const fn model(&self) -> &Model {
        &self.host.stack.app.observer
    }

    pub(super) const fn model_mut(&mut self) -> &mut Model {
        &mut self.host.stack.app.observer
    }

    pub(super) fn plan(&mut self, delay: Duration, next: NetworkEvent) {
        self.sequence += 1;
        self.queue.insert((self.host.now() + delay, self.sequence), next);
    }

    /// Counts something that this run has met.
    pub(super) fn meet(&mut self, name: &'static str) {
        self.model_mut().coverage.meet(name);
    }

    pub(super) fn chance(&mut self, of: u64) -> bool {
        self.rng.below(of) == 0
    }

    pub(super) fn millis(&mut self, least: u64, below: u64) -> Duration {
        Duration::from_micros(least * 1000 + self.rng.below((below - least) * 1000))
    }

    pub(super) fn index_below(&mut self, bound: usize) -> usize {
        usize::try_from(self.rng.below(bound as u64)).unwrap_or(0)
    }
}

/// Short times and small limits, so that everything is met often.
fn config() -> Config {
    let mut config = Conformance::config(Profile {
        ping_interval: Duration::from_secs(2),
        ping_timeout: Duration::from_millis(1500),
        connect_timeout: Duration::from_secs(3),
    });
    for endpoint in &mut config.endpoints {
        if let EndpointKind::SocketIo(engine, _) = &mut endpoint.kind {
            engine.upgrade_timeout = Duration::from_secs(3);
        }
    }
    config.limits.queue_soft_bytes = 800;
    config.limits.queue_bytes_max = 4_000;
    config.limits.unanswered_max = 2;
    config.limits.close_timeout = Duration::from_secs(2);
    config.limits.sessions_max = SESSIONS_MAX;
    config.limits.rooms_per_socket_max = ROOMS_MAX;
    config.limits.room_bytes_max = ROOM_BYTES_MAX;
    config.limits.namespaces_per_session_max = NAMESPACES_MAX;
    config.limits.attachments_max = 2;
    config.limits.json_depth_max = 6;
    config.limits.acks_per_socket_max = ACKS_MAX;
    config.limits.packet_bytes_max = PACKET_BYTES_MAX;
    config.limits.partial_timeout = PARTIAL_TIMEOUT;
    config.limits.unadmitted.message_bytes_max = UNADMITTED_MESSAGE_BYTES_MAX;
    config.limits.unadmitted.pinned_bytes_max = UNADMITTED_PINNED_BYTES_MAX;
    config
}

const CLIENTS: usize = 9;
/// Enough for all clients and a few of those whose end the server has not noticed.
const SESSIONS_MAX: usize = 11;
/// Shorter than a client without a pong lives.
const PARTIAL_TIMEOUT: Duration = Duration::from_millis(1200);
pub(super) const UNADMITTED_MESSAGE_BYTES_MAX: usize = 3000;
/// One client alone can exceed it.
pub(super) const UNADMITTED_PINNED_BYTES_MAX: usize = 2500;
const STORM: Duration = Duration::from_secs(15);
/// Those who were cut off find out and come back within the first half.
const FAIR: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_secs(10);
const ENDING: Duration = Duration::from_secs(20);
/// About ten times what a run needs.
const STEPS_MAX: u64 = 500_000;
