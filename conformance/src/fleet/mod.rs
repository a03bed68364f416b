//! Several nodes, their clients and a bus, from one seed.
//!
//! The bus honours its real contract: each message reaches each subscriber at most once and late, in order for each pair of
//! nodes, or not at all; a publisher that reconnects may publish its last messages again; a node may lose the bus, or
//! crash and come back under another name. Clients are connected directly: what networks do to them is the other
//! simulation's.
//!
//! Checked at each step: an emit reaches no client twice, and none that is not in the room. Checked once the weather is
//! fair: an emit reaches every client whose join has been acknowledged, acks are complete, losses and duplicates are
//! counted exactly, and nothing is left when all have gone.
//!
//! Owns: the bus, the model and the verdict. Must never know: how nodes do it.

mod bus_kind;
mod node;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use roomcast_core::cluster::{
    BusChannel, BusState, ClusterMessage, ClusterSettings, Codec, Origin, Python, RoomChannels, Shards, Strangers,
    Subscriptions,
};
use roomcast_core::rng::Rng;
use roomcast_core::server::{
    AckEnd, AckRequest, Audit, ClusterConfig, ClusterInput, Command, Config, Delivery, Emit, EmitId, Endpoint,
    EndpointId, Extent, Input, Scope, Server, Stack, Start, Target, Upgrade,
};
use roomcast_core::socket_io::Args;
use roomcast_core::time::{Instant, WallTime};
use roomcast_core::websocket::ClientHandshake;
use roomcast_testkit::Kit;

use self::bus_kind::{BusKind, Parcel};
use self::node::{Client, Node, frame, packets};

/// What became of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FleetOutcome {
    /// Events that reached clients.
    pub delivered: u64,
    /// Messages that the bus has lost.
    pub lost: u64,
    /// Messages that were published again.
    pub repeated: u64,
    /// Emits with ack that ended.
    pub asks_ended: u64,
    /// Nodes that crashed.
    pub crashes: u64,
    /// Joins that waited for the bus.
    pub subscribed: u64,
}

/// Plays a seed.
///
/// # Errors
///
/// What went wrong, and when.
pub fn run(seed: u64) -> Result<FleetOutcome, String> {
    let mut fleet = Fleet::new(seed);
    match fleet.play() {
        Ok(()) => Ok(fleet.outcome),
        Err(fault) => {
            let millis = fleet.now.as_nanos() / 1_000_000;
            Err(format!("seed {seed} ({:?}) at {millis} ms: {fault}", fleet.kind))
        }
    }
}

type NodeKit = Kit<(), Node>;

struct Fleet {
    kind: BusKind,
    codec: Python,
    rng: Rng,
    now: Instant,
    epoch: WallTime,
    nodes: Vec<Option<NodeKit>>,
    /// Changes with each start of a node, so that parcels for the one before are dropped.
    starts: Vec<u8>,
    channels: Vec<BTreeSet<String>>,
    is_up: Vec<bool>,
    clients: Vec<Client>,
    bus: BTreeMap<(Instant, u64), (usize, u8, Parcel)>,
    /// When the last parcel of a pair arrives.
    last: BTreeMap<(usize, usize), Instant>,
    recent: Vec<Vec<ClusterMessage>>,
    sequence: u64,
    emits: u64,
    is_storm: bool,
    /// Members that an emit or an ask must reach.
    due: BTreeMap<u64, BTreeSet<usize>>,
    /// Since when an ask is open, and how many members it must reach, if that is certain.
    asks: BTreeMap<u64, (Instant, Option<u32>)>,
    /// Rooms whose join was acknowledged just now, and a node that is to emit there.
    joined: Vec<(usize, String)>,
    lost_by: Vec<u64>,
    /// What was addressed to a node: a loss is noticed when the next comes, if there is a next.
    answers_lost_by: Vec<u64>,
    outcome: FleetOutcome,
}

impl Fleet {
    fn new(seed: u64) -> Self {
        let mut bytes = [3; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = Rng::from_seed(bytes);
        let channels = if rng.below(2) == 0 { RoomChannels::Shared } else { RoomChannels::Own };
        let kind = match rng.below(4) {
            0 => BusKind::Memory,
            1 => BusKind::Lossy(channels),
            2 => BusKind::Repeating(channels),
            _ => BusKind::Crashing(channels),
        };
        let mut fleet = Self {
            kind,
            codec: Python::default().room_channels(kind.room_channels()),
            rng,
            now: Instant::from_millis(1),
            epoch: WallTime::from_unix_millis(1_700_000_000_000),
            nodes: (0..NODES).map(|_| None).collect(),
            starts: vec![0; NODES],
            channels: vec![BTreeSet::new(); NODES],
            is_up: vec![true; NODES],
            clients: Vec::new(),
            bus: BTreeMap::new(),
            last: BTreeMap::new(),
            recent: vec![Vec::new(); NODES],
            sequence: 0,
            emits: 0,
            is_storm: true,
            due: BTreeMap::new(),
            asks: BTreeMap::new(),
            joined: Vec::new(),
            lost_by: vec![0; NODES],
            answers_lost_by: vec![0; NODES],
            outcome: FleetOutcome::default(),
        };
        (0..NODES).for_each(|node| fleet.start(node));
        fleet
    }

    fn play(&mut self) -> Result<(), String> {
        self.pass(Duration::from_secs(1))?;
        for _ in 0..STORM_STEPS {
            self.act()?;
            let span = Duration::from_millis(self.rng.below(60));
            self.pass(span)?;
        }
        self.is_storm = false;
        for node in 0..NODES {
            self.recover(node);
        }
        // Joins are confirmed, nodes that were silent are heard again, what was lost is noticed.
        self.pass(Duration::from_secs(20))?;
        for _ in 0..FAIR_STEPS {
            self.act()?;
            let span = Duration::from_millis(self.rng.below(60));
            self.pass(span)?;
        }
        self.pass(Duration::from_secs(20))?;
        self.check_served()?;
        self.leave()
    }

    /// One thing that a client or an application does, or that befalls a node.
    fn act(&mut self) -> Result<(), String> {
        let node = self.index(NODES);
        if self.nodes[node].is_none() {
            if self.rng.below(20) == 0 {
                self.start(node);
            }
            return Ok(());
        }
        match self.rng.below(12) {
            0..2 if self.clients.len() < CLIENTS_MAX => self.connect(node),
            0..4 => self.join(),
            4 if self.is_storm && matches!(self.kind, BusKind::Crashing(_)) => self.befall(node),
            4 if self.is_storm && matches!(self.kind, BusKind::Repeating(_)) => self.repeat(node),
            5 => self.ask(node),
            6 => self.end_client(),
            _ => {
                let room = self.room();
                self.emit(node, &room);
            }
        }
        self.settle()
    }

    fn start(&mut self, node: usize) {
        let mut seed = [0; 32];
        self.rng.fill(&mut seed);
        let mut settings = ClusterSettings::default();
        settings.strangers = Strangers::Ignore;
        settings.subscriptions = match self.kind.room_channels() {
            RoomChannels::Shared | RoomChannels::Pattern => Subscriptions::Everything,
            RoomChannels::Own => Subscriptions::PerRoom,
        };
        let cluster = Some(ClusterConfig { settings, ..ClusterConfig::new(EndpointId::new(0)) });
        let config = Config { cluster, ..Config::new([Endpoint::socket_io("/socket.io")]) };
        let wall = self.epoch;
        let number = u16::try_from(node).unwrap_or(0);
        let Ok(server) = Server::new(config, Start { node: number, now: self.now, wall, seed }) else { return };
        let name = server.node_id().cloned();
        self.starts[node] += 1;
        self.recent[node].clear();
        self.is_up[node] = true;
        let channels = name.map(|name| self.codec.channels(&name)).unwrap_or_default();
        self.channels[node] = channels.iter().map(name_of).collect();
        let kit = Kit::new(Stack::new(server, ()), Node::default(), self.now);
        self.nodes[node] = Some(kit);
    }

    fn befall(&mut self, node: usize) {
        match self.rng.below(3) {
            0 => {
                self.outcome.crashes += 1;
                self.nodes[node] = None;
                self.clients.retain(|client| client.node != node);
            }
            1 => {
                self.is_up[node] = false;
                self.input(node, ClusterInput::Bus(BusState::Down));
            }
            _ => self.recover(node),
        }
    }

    fn recover(&mut self, node: usize) {
        if self.nodes[node].is_none() {
            return self.start(node);
        }
        if !std::mem::replace(&mut self.is_up[node], true) {
            self.input(node, ClusterInput::Bus(BusState::Up));
        }
    }

    /// A publisher has reconnected, and does not know whether its last messages went out.
    fn repeat(&mut self, node: usize) {
        let again: Vec<_> = self.recent[node].iter().rev().take(3).rev().cloned().collect();
        self.outcome.repeated += again.len() as u64;
        again.into_iter().for_each(|message| self.carry(node, message));
    }

    fn connect(&mut self, node: usize) {
        let Some(kit) = self.nodes[node].as_mut() else { return };
        let (Ok(host), Ok(target)) = ("localhost".parse(), "/socket.io?EIO=4&transport=websocket".parse()) else {
            return;
        };
        let request = ClientHandshake::new([0; 16]).request(&host, &target);
        let Upgrade::Accept(conn, _) = kit.stack.server.handle_upgrade(EndpointId::new(0), &request, self.now) else {
            return;
        };
        kit.input(Input::WsBytes { conn, bytes: &frame("40") });
        kit.drain();
        let Some(socket) = kit.hooks.connected.pop() else { return };
        let (rooms, live, asked) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        self.clients.push(Client { node, conn, socket, rooms, live, asked, got: BTreeSet::new() });
    }

    /// A client asks to join a room.
    fn join(&mut self) {
        if self.clients.is_empty() {
            return;
        }
        let (client, room) = (self.index(self.clients.len()), self.room());
        self.sequence += 1;
        let (number, client) = (self.sequence, &mut self.clients[client]);
        client.asked.insert(number, room.clone());
        client.rooms.insert(room.clone());
        if let Some(kit) = self.nodes[client.node].as_mut() {
            kit.input(Input::WsBytes { conn: client.conn, bytes: &frame(&format!("42{number}[\"join\",\"{room}\"]")) });
        }
    }

    fn end_client(&mut self) {
        if self.clients.len() < CLIENTS_MAX / 2 {
            return;
        }
        let client = self.index(self.clients.len());
        let Client { node, conn, .. } = self.clients.swap_remove(client);
        // Places have changed: what was due is checked at its time.
        self.due.clear();
        self.asks.values_mut().for_each(|(_, expected)| *expected = None);
        if let Some(kit) = self.nodes[node].as_mut() {
            kit.input(Input::WsEnded { conn });
        }
    }

    fn emit(&mut self, node: usize, room: &str) {
        if self.nodes[node].is_none() {
            return;
        }
        self.emits += 1;
        let number = self.emits;
        self.expect(number, room);
        let args = Args::from_serialize(&(number, room)).unwrap_or_default();
        self.command_emit(node, room.to_owned(), args, None);
    }

    fn ask(&mut self, node: usize) {
        let room = self.room();
        self.emits += 1;
        let number = self.emits;
        let members = self.expect(number, &room);
        self.asks.insert(number, (self.now, members));
        let args = Args::from_serialize(&(number, &room)).unwrap_or_default();
        let ack = Some(AckRequest { emit: EmitId(number), timeout: Duration::from_secs(5) });
        self.command_emit(node, room, args, ack);
    }

    /// Notes the clients that an emit must reach; how many, if that is certain.
    fn expect(&mut self, number: u64, room: &str) -> Option<u32> {
        if self.is_storm {
            return None;
        }
        let members = |which: fn(&Client) -> &BTreeSet<String>| -> BTreeSet<usize> {
            let clients = self.clients.iter().enumerate();
            clients.filter(|(_, client)| which(client).contains(room)).map(|(index, _)| index).collect()
        };
        let (live, all) = (members(|client| &client.live), members(|client| &client.rooms));
        let count = (live == all).then(|| u32::try_from(all.len()).unwrap_or(0));
        self.due.insert(number, live);
        count
    }

    fn command_emit(&mut self, node: usize, room: String, args: Args, ack: Option<AckRequest>) {
        let namespace = Scope { endpoint: EndpointId::new(0), namespace: "/".into() };
        let target = Target::Room { namespace, room: room.into() };
        let emit = Emit { target, name: "e".into(), args, delivery: Delivery::Reliable, ack };
        if let Some(kit) = self.nodes[node].as_mut() {
            kit.command(Command::Emit(emit));
        }
    }

    fn input(&mut self, node: usize, input: ClusterInput) {
        if let Some(kit) = self.nodes[node].as_mut() {
            kit.input(Input::Cluster(input));
        }
    }

    /// Runs all nodes until they are quiet, hands on what they publish, and reads what clients got.
    fn settle(&mut self) -> Result<(), String> {
        loop {
            let mut is_quiet = true;
            for node in 0..NODES {
                let Some(kit) = self.nodes[node].as_mut() else { continue };
                kit.drain();
                let published = std::mem::take(&mut kit.hooks.published);
                let subscriptions = std::mem::take(&mut kit.hooks.subscriptions);
                let ended = std::mem::take(&mut kit.hooks.ended);
                is_quiet &= published.is_empty() && subscriptions.is_empty();
                for message in published {
                    self.recent[node].push(message.clone());
                    self.carry(node, message);
                }
                for (channel, wanted) in subscriptions {
                    self.outcome.subscribed += u64::from(wanted);
                    self.plan(node, node, Parcel::Subscription(channel, wanted));
                }
                self.check_ended(ended)?;
            }
            self.read_clients()?;
            // The members of a room that was joined just now get what another node emits.
            for (node, room) in std::mem::take(&mut self.joined) {
                self.emit(node, &room);
                is_quiet = false;
            }
            if is_quiet {
                return Ok(());
            }
        }
    }

    /// Puts a message of a node on its way to the others.
    fn carry(&mut self, from: usize, message: ClusterMessage) {
        if !self.is_up[from] {
            return;
        }
        if self.kind == BusKind::Memory {
            let names = self.nodes.iter().flatten().filter_map(|kit| kit.stack.server.node_id().cloned());
            let route = Shards::new(names).route(Origin::Shard, &message);
            for to in route.shards {
                self.plan(from, to, Parcel::Typed(Box::new(message.clone())));
            }
            return;
        }
        let Ok(envelope) = self.codec.encode(&message) else { return };
        for to in 0..NODES {
            let (channel, payload) = (envelope.channel.clone(), envelope.payload.clone());
            self.plan(from, to, Parcel::Message { from, channel, payload });
        }
    }

    fn plan(&mut self, from: usize, to: usize, parcel: Parcel) {
        // Subscriptions take longer than messages, so that a join that is acknowledged too early shows.
        let micros_max = if self.is_storm || matches!(parcel, Parcel::Subscription(..)) { 40_000 } else { 2_000 };
        let delay = Duration::from_micros(100 + self.rng.below(micros_max));
        let last = self.last.entry((from, to)).or_insert(self.now);
        let at = (self.now + delay).max(*last);
        *last = at;
        self.sequence += 1;
        self.bus.insert((at, self.sequence), (to, self.starts[to], parcel));
    }

    fn arrive(&mut self, to: usize, start: u8, parcel: Parcel) {
        let heard = self.is_up[to] || matches!(parcel, Parcel::Subscription(..));
        if start != self.starts[to] || !heard || self.nodes[to].is_none() {
            return;
        }
        match parcel {
            Parcel::Typed(message) => self.input(to, ClusterInput::Message(message)),
            Parcel::Subscription(channel, wanted) => {
                let name = name_of(&self.codec.room_channel(&channel));
                if wanted {
                    self.channels[to].insert(name);
                    // While the bus is away the connection only remembers what is wanted.
                    if self.is_up[to] {
                        self.input(to, ClusterInput::Subscribed(channel));
                    }
                } else {
                    self.channels[to].remove(&name);
                }
            }
            Parcel::Message { from, channel, payload } => {
                if !self.channels[to].contains(&channel) {
                    return;
                }
                let Ok(Some(message)) = self.codec.decode(&channel, payload) else { return };
                let loses = self.is_storm && !matches!(self.kind, BusKind::Memory) && self.rng.below(8) == 0;
                if loses && from != to {
                    self.outcome.lost += 1;
                    let is_known = self.nodes[to]
                        .as_ref()
                        .is_some_and(|kit| kit.stack.server.nodes().any(|node| *node == message.from));
                    let own = self.nodes[to].as_ref().and_then(|kit| kit.stack.server.node_id());
                    match message.body.addressee() {
                        None => self.lost_by[to] += u64::from(is_known),
                        Some(addressee) => self.answers_lost_by[to] += u64::from(is_known && Some(addressee) == own),
                    }
                    return;
                }
                self.input(to, ClusterInput::Message(Box::new(message)));
            }
        }
    }

    fn pass(&mut self, span: Duration) -> Result<(), String> {
        let end = self.now + span;
        self.settle()?;
        loop {
            let parcel = self.bus.first_key_value().map(|((at, _), _)| *at);
            let deadline = self.nodes.iter().flatten().filter_map(|kit| kit.next_deadline()).map(|(at, _)| at).min();
            let Some(at) = [parcel, deadline].into_iter().flatten().min().filter(|at| *at <= end) else { break };
            self.now = at.max(self.now);
            if parcel.is_some_and(|parcel| parcel <= self.now)
                && let Some((_, (to, start, parcel))) = self.bus.pop_first()
            {
                self.arrive(to, start, parcel);
            }
            for kit in self.nodes.iter_mut().flatten() {
                kit.time(self.now);
            }
            self.settle()?;
        }
        self.now = end;
        self.nodes.iter_mut().flatten().for_each(|kit| kit.time(end));
        self.settle()
    }

    /// Reads what clients got: events, asks, which they acknowledge, and acks of their joins.
    fn read_clients(&mut self) -> Result<(), String> {
        for index in 0..self.clients.len() {
            let client = &mut self.clients[index];
            let Some(kit) = self.nodes[client.node].as_mut() else { continue };
            let bytes = kit.hooks.received.remove(&client.conn).unwrap_or_default();
            for packet in packets(&bytes) {
                if packet == "2" {
                    kit.input(Input::WsBytes { conn: client.conn, bytes: &frame("3") });
                } else if let Some(rest) = packet.strip_prefix("43") {
                    let number = rest.trim_end_matches("[]").parse().unwrap_or(0);
                    let joined = client.asked.remove(&number);
                    client.live.extend(joined.clone());
                    self.joined.extend(joined.map(|room| ((client.node + 1) % NODES, room)));
                } else if let Some(rest) = packet.strip_prefix("42") {
                    let (id, data) = rest.split_at(rest.find('[').unwrap_or(0));
                    let (_, number, room): (String, u64, String) =
                        serde_json::from_str(data).map_err(|error| format!("{packet}: {error}"))?;
                    self.outcome.delivered += 1;
                    if !client.got.insert(number) {
                        return Err(format!("client {index} got emit {number} twice"));
                    }
                    if !client.rooms.contains(&room) {
                        return Err(format!("client {index} got emit {number}, to {room}"));
                    }
                    if !id.is_empty() {
                        kit.input(Input::WsBytes { conn: client.conn, bytes: &frame(&format!("43{id}[]")) });
                    }
                }
            }
        }
        Ok(())
    }

    fn check_ended(&mut self, ended: Vec<(u64, u32, u32, AckEnd)>) -> Result<(), String> {
        for (number, asked, answered, end) in ended {
            self.outcome.asks_ended += 1;
            let Some((since, expected)) = self.asks.remove(&number) else {
                return Err(format!("ask {number} ended twice"));
            };
            if answered > asked {
                return Err(format!("ask {number}: {answered} of {asked} answered"));
            }
            if let Some(expected) = expected {
                let complete = if expected == 0 { AckEnd::Gone } else { AckEnd::Complete };
                let is_late = self.now.saturating_since(since) > ASK_SPAN_MAX;
                if is_late || (asked, answered, end) != (expected, expected, complete) {
                    return Err(format!("ask {number}: {answered} of {asked} {end:?}, {expected} members"));
                }
            }
        }
        Ok(())
    }

    fn check_served(&self) -> Result<(), String> {
        for (number, clients) in &self.due {
            if let Some(client) = clients.iter().find(|client| !self.clients[**client].got.contains(number)) {
                return Err(format!("client {client} has not got emit {number}"));
            }
        }
        // Those of a node that crashed ended with it.
        if !self.asks.is_empty() && !matches!(self.kind, BusKind::Crashing(_)) {
            return Err(format!("{} asks have not ended", self.asks.len()));
        }
        if let Some(client) = self.clients.iter().find(|client| !client.asked.is_empty()) {
            return Err(format!("{:?} was not told that it joined", client.socket));
        }
        let names: BTreeSet<_> = self.nodes.iter().flatten().filter_map(|kit| kit.stack.server.node_id()).collect();
        for (node, kit) in self.nodes.iter().enumerate() {
            let server = kit.as_ref().map(|kit| &kit.stack.server);
            let known: BTreeSet<_> =
                server.into_iter().flat_map(|server| server.nodes().chain(server.node_id())).collect();
            if known != names {
                return Err(format!("node {node} knows {known:?}, and there are {names:?}"));
            }
            let Some(counters) = kit.as_ref().and_then(|kit| kit.stack.server.cluster_counters()) else { continue };
            let exact = matches!(self.kind, BusKind::Memory | BusKind::Lossy(RoomChannels::Shared));
            let lost = self.lost_by[node]..=self.lost_by[node] + self.answers_lost_by[node];
            if exact && !(lost.contains(&counters.lost) && counters.duplicates == 0) {
                return Err(format!("node {node} counts {counters:?}, and {lost:?} were lost"));
            }
        }
        Ok(())
    }

    fn leave(&mut self) -> Result<(), String> {
        for Client { node, socket, .. } in std::mem::take(&mut self.clients) {
            if let Some(kit) = self.nodes[node].as_mut() {
                let (target, extent) = (Target::Socket(socket), Extent::Connection);
                kit.command(Command::Disconnect { target, extent });
            }
        }
        self.pass(Duration::from_secs(30))?;
        for (kit, channels) in self.nodes.iter().zip(&self.channels) {
            let Some(kit) = kit else { continue };
            let own = kit.stack.server.node_id().map(|own| self.codec.channels(own)).unwrap_or_default();
            if channels.len() != own.len() {
                return Err(format!("still subscribed to {channels:?}"));
            }
            let audit = kit.stack.server.audit();
            if audit != Audit::default() {
                return Err(format!("{audit:?}"));
            }
        }
        Ok(())
    }

    fn room(&mut self) -> String {
        format!("room {}", self.index(ROOMS))
    }

    fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.rng.below(bound as u64)).unwrap_or(0)
    }
}

fn name_of(channel: &BusChannel) -> String {
    match channel {
        BusChannel::Exact(name) | BusChannel::Pattern(name) => name.clone(),
    }
}

/// In fair weather an ask ends long before its deadline.
const ASK_SPAN_MAX: Duration = Duration::from_secs(1);
const NODES: usize = 3;
const CLIENTS_MAX: usize = 12;
const ROOMS: usize = 4;
const STORM_STEPS: usize = 300;
const FAIR_STEPS: usize = 150;
