//! Many clients, one server, a network that is no friend of theirs, and one seed.
//!
//! Owns: a run from its seed to its verdict. Must never know: how the server does what it ought to do.
//!
//! | file | what |
//! |---|---|
//! | [`model`] | what ought to happen: rooms and deliveries as plain sets and lists |
//! | `client` | what a client knows and answers by itself |
//! | `network` | streams that are delayed, cut, re-chunked and full; requests that take their time or get lost |
//! | `habits` | what clients want, and what befalls them |
//! | `ledger` | what a client has sent, against which the server's reports are held |
//! | [`coverage`] | what a run has met, and what many runs must meet |
//!
//! A run has three parts. In the first, everything happens that a seed can think of. At each step the server's rooms are
//! compared with the model's, and each packet that reaches a client must be the one that the model has next for it:
//! nothing else, nothing twice, nothing out of order; and each event that the server reports must be the next that its
//! client has sent. Then the weather clears: everybody who was cut off comes back, no
//! session that begins now may be lost, and what is due must arrive. Last, everybody leaves (or the server does), and the audit must come to all zeros.

mod client;
pub mod coverage;
mod habits;
mod ledger;
pub mod model;
mod network;

use std::collections::BTreeMap;
use std::time::Duration;

use roomcast_core::rng::Rng;
use roomcast_core::server::config::{Config, EndpointKind};
use roomcast_core::server::{Audit, Command, Counters};
use roomcast_core::time::{Instant, WallTime};
use roomcast_testkit::Observed;

use self::client::{Client, Stage};
use self::coverage::Coverage;
use self::model::Model;
use self::network::{Call, Next, Wire};
use crate::pair::{Conformance, Host, Profile, Via, WALL_MS, host};

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// A hash of all that went into the server and came out of it, in order.
    pub trace: u64,
    /// Happenings on the network.
    pub steps: u64,
    /// Socket.IO packets that reached their client and were the ones due.
    pub delivered: u64,
    /// The server's own count.
    pub counters: Counters,
    /// What the run has met.
    pub coverage: Coverage,
}

/// Plays a seed.
///
/// # Errors
///
/// What went wrong, and when.
pub fn run(seed: u64) -> Result<Outcome, String> {
    World::new(seed).judge(seed)
}

/// Plays a seed on a server with a bug.
///
/// # Errors
///
/// How the bug has shown, and when.
#[cfg(feature = "test-hooks")]
pub fn run_with_bug(seed: u64, bug: roomcast_core::server::test_hooks::Bug) -> Result<Outcome, String> {
    let mut world = World::new(seed);
    world.host.server().plant(bug);
    world.judge(seed)
}

/// The command that plays a seed again.
pub fn replay_command(seed: u64) -> String {
    format!("cargo run -p roomcast-conformance --bin sim -- --first {seed} --count 1 --verbose")
}

/// Everything there is.
#[derive(Debug)]
struct World {
    host: Host<Conformance, Model>,
    rng: Rng,
    weather: Weather,
    queue: BTreeMap<(Instant, u64), Next>,
    sequence: u64,
    clients: Vec<Client>,
    ties: Vec<Ties>,
    wires: Vec<Wire>,
    calls: Vec<Call>,
    live_wires: Vec<usize>,
    live_calls: Vec<usize>,
    steps: u64,
    fault: Option<String>,
    /// Sockets that must be gone by the end of this step: their transport has ended.
    gone: Vec<String>,
}

/// What a client has out on the network.
#[derive(Clone, Copy, Debug, Default)]
struct Ties {
    wire: Option<usize>,
    get: Option<usize>,
    post: Option<usize>,
}

/// What part of a run it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    /// Anything can happen.
    Storm,
    /// The network does its duty, and nobody means harm: a session that begins now lasts.
    Fair,
    /// Nobody wants anything any more but answers.
    Quiet,
    /// Who is gone stays away.
    Ending,
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
            world.plan(delay, Next::Act { client });
        }
        world
    }

    fn judge(&mut self, seed: u64) -> Result<Outcome, String> {
        self.play().map_err(|fault| format!("seed {seed} at {} ms: {fault}", self.host.now().as_nanos() / 1_000_000))
    }

    fn play(&mut self) -> Result<Outcome, String> {
        self.pass(STORM)?;
        self.weather = Weather::Fair;
        self.pass(FAIR)?;
        self.weather = Weather::Quiet;
        self.last_words();
        self.pass(QUIET)?;
        self.check_everybody_is_served()?;
        self.weather = Weather::Ending;
        if self.rng.below(2) == 0 {
            self.host.command(Command::Shutdown);
            self.after_input()?;
        } else {
            self.everybody_leaves();
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
        Ok(Outcome {
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

    /// The server says what it has to say, and is looked at.
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

    fn check_everybody_is_served(&self) -> Result<(), String> {
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
            return Err(format!("nobody has closed {conn:?}"));
        }
        if self.host.audit() != Audit::default() {
            return Err(format!("{:?}", self.host.audit()));
        }
        if !self.host.stack.app.app.is_idle() || !self.model().is_empty() {
            return Err("the application remembers somebody".into());
        }
        Ok(())
    }

    const fn model(&self) -> &Model {
        &self.host.stack.app.observer
    }

    const fn model_mut(&mut self) -> &mut Model {
        &mut self.host.stack.app.observer
    }

    fn plan(&mut self, delay: Duration, next: Next) {
        self.sequence += 1;
        self.queue.insert((self.host.now() + delay, self.sequence), next);
    }

    fn chance(&mut self, of: u64) -> bool {
        self.rng.below(of) == 0
    }

    fn millis(&mut self, least: u64, below: u64) -> Duration {
        Duration::from_micros(least * 1000 + self.rng.below((below - least) * 1000))
    }

    fn index_below(&mut self, bound: usize) -> usize {
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
    config
}

const CLIENTS: usize = 9;
const STORM: Duration = Duration::from_secs(15);
/// Those who were cut off find out and come back within the first half.
const FAIR: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_secs(10);
const ENDING: Duration = Duration::from_secs(20);
/// About ten times what a run needs.
const STEPS_MAX: u64 = 500_000;
