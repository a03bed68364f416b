//! Nodes with their members, a bus that loses, delays and repeats, and a store that is late and fails, from one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use roomcast_core::rng::Rng;
use roomcast_core::time::Instant;
use roomcast_documents::yjs::journal::Writers;
use roomcast_documents::yjs::{Document, DocumentLimits, ProtocolMessage, Source, StateVector, Verdict};
use roomcast_documents::{
    Access, Beginning, Brings, Close, DocumentAnswer, DocumentId, DocumentNotice, DocumentQuestion, DocumentStoreError,
    Documents, DocumentsConfig, Flow, Form, Joining, MayBegin, Output, Pace, QuestionKind, read_stored,
};
use roomcast_testkit::yjs_update::text_update;

use crate::log::LogOfAll;

pub const NAME: &str = "plan";

/// How bad the bus and the store are, in parts of a thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Conditions {
    pub lost: u64,
    pub repeated: u64,
    pub bus_delay_max_ms: u64,
    pub store_fails: u64,
    pub store_delay_max_ms: u64,
}

pub struct World {
    pub rng: Rng,
    pub now: Instant,
    pub weather: Conditions,
    pub log: LogOfAll,
    pub nodes: Vec<Node>,
    pub clients: BTreeMap<u32, Client>,
    events: BTreeMap<(Instant, u64), ScheduledStep>,
    last_event: u64,
    last_node: u64,
    last_client: u8,
    /// Clients whose edits have to be there at the end, and how far.
    pub kept: BTreeMap<u8, u32>,
    /// Yjs clients that have loaded the first content.
    pub seeds: BTreeSet<u8>,
    pub published: u64,
    pub dropped: u64,
    pub conflicts: u64,
    pub acked: u64,
}

pub struct Node {
    /// Differs from that of every earlier process.
    pub number: u64,
    pub machine: Documents<u32>,
    is_to_begin: bool,
    seeder: Option<u32>,
    /// Edits that are acknowledged once so many changes are stored: the Yjs client, and how far.
    unacked: Vec<(u64, u8, u32)>,
    pub notices: Vec<DocumentNotice>,
}

pub struct Client {
    pub node: usize,
    pub doc: Document,
    pub yjs: u8,
    pub clock: u32,
    form: Form,
    /// Updates that miss something.
    late: Vec<Bytes>,
}

impl Client {
    fn apply(&mut self, update: &[u8]) {
        self.late.push(Bytes::copy_from_slice(update));
        let mut is_news = true;
        while std::mem::take(&mut is_news) {
            let doc = &mut self.doc;
            self.late.retain(|update| match doc.apply(update, Source::Stored) {
                Verdict::Applied => {
                    is_news = true;
                    false
                }
                Verdict::Missing(_) => true,
                Verdict::NothingNew | Verdict::Bad(_) => false,
            });
        }
    }
}

enum ScheduledStep {
    Heard {
        node: u64,
        message: Bytes,
    },
    Asked {
        node: u64,
        document: DocumentId,
        question: DocumentQuestion,
        answer: Option<StoreTrouble>,
    },
    Answered {
        node: u64,
        document: DocumentId,
        asked: QuestionKind,
        answer: Result<DocumentAnswer, DocumentStoreError>,
    },
}

/// What goes wrong with a question.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StoreTrouble {
    Before,
    After,
}

impl World {
    pub fn new(seed: u64, nodes: usize, is_to_begin: bool) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut world = Self {
            rng: Rng::from_seed(bytes),
            now: Instant::from_millis(1000),
            weather: Conditions::default(),
            log: LogOfAll::default(),
            nodes: Vec::new(),
            clients: BTreeMap::new(),
            events: BTreeMap::new(),
            last_event: 0,
            last_node: 0,
            last_client: 0,
            kept: BTreeMap::new(),
            seeds: BTreeSet::new(),
            published: 0,
            dropped: 0,
            conflicts: 0,
            acked: 0,
        };
        for _ in 0..nodes {
            let node = world.process(is_to_begin);
            world.nodes.push(node);
        }
        world
    }

    fn process(&mut self, is_to_begin: bool) -> Node {
        self.last_node += 1;
        let config = DocumentsConfig { writers: Writers::Several, ..DocumentsConfig::default() };
        let machine = Documents::new(config, self.rng.keyed_hash());
        Node { number: self.last_node, machine, is_to_begin, seeder: None, unacked: Vec::new(), notices: Vec::new() }
    }

    pub fn chance(&mut self, of_thousand: u64) -> bool {
        self.rng.below(1000) < of_thousand
    }

    /// A browser opens the document at a node.
    pub fn join(&mut self, node: usize) -> u32 {
        self.last_client += 1;
        let id = u32::from(self.last_client);
        let form = if self.nodes[node].is_to_begin { Form::Application } else { Form::Protocol };
        let doc = Document::new(DocumentLimits::default());
        self.clients.insert(id, Client { node, doc, yjs: self.last_client, clock: 0, form, late: Vec::new() });
        self.enter(id, node);
        id
    }

    /// A browser comes back, perhaps at another node.
    pub fn rejoin(&mut self, id: u32, node: usize) {
        self.part(id);
        self.clients.get_mut(&id).unwrap().node = node;
        self.enter(id, node);
    }

    /// A browser is closed.
    pub fn leave(&mut self, id: u32) {
        self.part(id);
        self.clients.remove(&id);
    }

    fn part(&mut self, id: u32) {
        let Client { node, form, .. } = self.clients[&id];
        let (machine, now) = (&mut self.nodes[node].machine, self.now);
        match form {
            Form::Protocol => machine.handle_closed(id, now),
            Form::Application | Form::Silent => {
                if let Some(document) = machine.named(NAME) {
                    machine.leave(document, id, now);
                }
            }
        }
        self.nodes[node].seeder.take_if(|seeder| *seeder == id);
        self.run();
    }

    fn enter(&mut self, id: u32, node: usize) {
        let (now, form) = (self.now, self.clients[&id].form);
        let machine = &mut self.nodes[node].machine;
        match form {
            Form::Protocol => {
                machine.handle_opened(id, NAME.into());
                machine.let_in(id, format!("user {id}").into(), Access::Write, now);
                let vector = self.clients[&id].doc.clone().state_vector();
                machine.handle_message(id, ProtocolMessage::SyncStep1(&vector).encode().into(), Flow::Free, now);
            }
            Form::Application | Form::Silent => {
                let joining = Joining { member: id, user: "user".into(), access: Access::Write, form };
                if let roomcast_documents::Entered::Now(document) = machine.enter(&NAME.into(), joining.clone(), now) {
                    machine.admit(document, joining, now);
                    self.told_state(node, document, id);
                }
            }
        }
        self.run();
    }

    /// As a front end does: a browser takes the state, and gives back all that it has.
    fn told_state(&mut self, node: usize, document: DocumentId, id: u32) {
        let now = self.now;
        let Some(state) = self.nodes[node].machine.state(document) else { return };
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.apply(&state);
        if !client.doc.store().is_empty() {
            let own = client.doc.state();
            self.nodes[node].machine.handle_update(document, id, own, Brings::Everything, now);
        } else if self.nodes[node].is_to_begin {
            self.choose_seeder(node, document);
        }
    }

    /// One browser of all loads the first content.
    fn choose_seeder(&mut self, node: usize, document: DocumentId) {
        let now = self.now;
        let process = &mut self.nodes[node];
        let Some(open) = process.machine.get(document) else { return };
        let is_empty = open.content().is_some_and(|content| content.store().is_empty());
        let Some(first) = open.members().first().map(|member| member.id()) else { return };
        if !is_empty || process.seeder.is_some() || process.machine.begin(document, now) == MayBegin::Later {
            return;
        }
        process.seeder = Some(first);
        let client = self.clients.get_mut(&first).unwrap();
        if client.clock == 0 {
            self.seeds.insert(client.yjs);
            self.edit(first, SEED);
        }
    }

    /// A browser types something.
    pub fn edit(&mut self, id: u32, said: &str) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(&id) else { return };
        if client.form == Form::Application && client.doc.store().is_empty() && said != SEED {
            return;
        }
        let update = Bytes::from(text_update(client.yjs, client.clock, said));
        assert_eq!(client.doc.apply(&update, Source::Stored), Verdict::Applied);
        client.clock += u32::try_from(said.len()).unwrap();
        let (node, form, edited) = (client.node, client.form, (client.yjs, client.clock));
        let machine = &mut self.nodes[node].machine;
        match form {
            Form::Protocol => {
                machine.handle_message(id, ProtocolMessage::Update(&update).encode().into(), Flow::Free, now)
            }
            Form::Application | Form::Silent => {
                if let Some(document) = machine.named(NAME) {
                    machine.handle_update(document, id, update, Brings::Edit, now);
                }
            }
        }
        self.edited(node, edited);
        self.run();
    }

    /// An edit that a node has taken is acknowledged when the node says that it is stored.
    fn edited(&mut self, node: usize, (yjs, clock): (u8, u32)) {
        let Node { machine, unacked, .. } = &mut self.nodes[node];
        let Some(open) = machine.named(NAME).and_then(|document| machine.get(document)) else { return };
        let vector = open.content().map(|content| content.store().state_vector());
        if vector.is_some_and(|vector| vector.iter().any(|(id, known)| id.as_u64() == u64::from(yjs) && known >= clock))
        {
            unacked.push((open.changes(), yjs, clock));
        }
    }

    fn acknowledge(&mut self, node: usize, stored: u64) {
        for (_, yjs, clock) in
            self.nodes[node].unacked.extract_if(.., |(changes, ..)| *changes <= stored).collect::<Vec<_>>()
        {
            self.acked += 1;
            self.keep(yjs, clock);
        }
    }

    /// A provider sends these bytes, which may be no message.
    pub fn say(&mut self, id: u32, message: &[u8]) {
        let Some(client) = self.clients.get(&id) else { return };
        let (node, now) = (client.node, self.now);
        self.nodes[node].machine.handle_message(id, Bytes::copy_from_slice(message), Flow::Free, now);
        self.run();
    }

    /// A process ends without a word, with all its browsers. Another one takes its place.
    pub fn crash(&mut self, node: usize) {
        self.clients.retain(|_, client| client.node != node);
        let is_to_begin = self.nodes[node].is_to_begin;
        self.nodes[node] = self.process(is_to_begin);
    }

    /// A process ends in order: its browsers' connections are closed, and it stores what it has.
    pub fn end(&mut self, node: usize) {
        let ids: Vec<u32> = self.clients.iter().filter(|(_, client)| client.node == node).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.leave(id));
        let now = self.now;
        self.nodes[node].machine.set_pace(Pace::Final, now);
        self.run();
    }

    /// All that a node says it has stored has to be there at the end.
    pub fn note_stored(&mut self, node: usize) {
        let Some(document) = self.nodes[node].machine.named(NAME) else { return };
        if self.nodes[node].machine.unstored().next().is_some() {
            return;
        }
        let Some(content) = self.nodes[node].machine.get(document).and_then(|open| open.content()) else { return };
        for (client, clock) in content.store().state_vector().iter() {
            self.keep(u8::try_from(client.as_u64()).unwrap(), clock);
        }
    }

    fn keep(&mut self, client: u8, clock: u32) {
        let kept = self.kept.entry(client).or_default();
        *kept = clock.max(*kept);
    }

    /// A message comes over the bus.
    pub fn hear_node(&mut self, node: usize, message: &[u8]) {
        let now = self.now;
        self.nodes[node].machine.handle_node_message(Bytes::copy_from_slice(message), now);
        self.run();
    }

    pub fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let event = self.events.keys().next().map(|(at, _)| *at);
            let deadlines = self.nodes.iter().filter_map(|node| node.machine.next_deadline());
            let Some(next) = deadlines.chain(event).min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            while let Some(entry) = self.events.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let step = entry.remove();
                self.take_step(step);
                self.run();
            }
            for node in 0..self.nodes.len() {
                let now = self.now;
                self.nodes[node].machine.handle_timeout(now);
            }
            self.run();
        }
        self.now = end;
    }

    fn take_step(&mut self, step: ScheduledStep) {
        let now = self.now;
        match step {
            ScheduledStep::Heard { node, message } => {
                if let Some(node) = self.nodes.iter_mut().find(|other| other.number == node) {
                    node.machine.handle_node_message(message, now);
                }
            }
            ScheduledStep::Asked { node, document, question, answer: fault } => {
                let asked = question.asked();
                let answer = match fault {
                    Some(StoreTrouble::Before) => Err(DocumentStoreError::Unavailable),
                    Some(StoreTrouble::After) => {
                        self.log.answer(node, question, now).and(Err(DocumentStoreError::Unavailable))
                    }
                    None => self.log.answer(node, question, now),
                };
                self.conflicts += u64::from(answer == Err(DocumentStoreError::Conflict));
                let delay = self.rng.below(self.weather.store_delay_max_ms + 1);
                self.later(delay, ScheduledStep::Answered { node, document, asked, answer });
            }
            ScheduledStep::Answered { node, document, asked, answer } => {
                if let Some(node) = self.nodes.iter_mut().find(|other| other.number == node) {
                    node.machine.handle_answer(document, asked, answer, now);
                }
            }
        }
    }

    fn later(&mut self, delay_ms: u64, step: ScheduledStep) {
        self.last_event += 1;
        let at = self.now + Duration::from_millis(delay_ms);
        self.events.insert((at, self.last_event), step);
    }

    fn run(&mut self) {
        loop {
            let mut is_quiet = true;
            for node in 0..self.nodes.len() {
                while let Some(output) = self.nodes[node].machine.poll_output() {
                    is_quiet = false;
                    self.carry_out(node, output);
                }
                while let Some((document, work)) = self.nodes[node].machine.poll_work() {
                    is_quiet = false;
                    let now = self.now;
                    self.nodes[node].machine.handle_worked(document, work.run(), now);
                }
            }
            if is_quiet {
                return;
            }
        }
    }

    fn carry_out(&mut self, node: usize, output: Output<u32>) {
        let now = self.now;
        match output {
            Output::Ask { document, question } => {
                let fault = match (self.chance(self.weather.store_fails), self.chance(500)) {
                    (true, true) => Some(StoreTrouble::Before),
                    (true, false) => Some(StoreTrouble::After),
                    (false, _) => None,
                };
                let delay = self.rng.below(self.weather.store_delay_max_ms + 1);
                let number = self.nodes[node].number;
                self.later(delay, ScheduledStep::Asked { node: number, document, question, answer: fault });
            }
            Output::Publish { message } => self.publish(node, &message),
            Output::Loaded { document, waiting } => {
                let is_to_begin = self.nodes[node].is_to_begin;
                let beginning = if is_to_begin { Beginning::ByApplication } else { Beginning::ByAnyone };
                self.nodes[node].machine.set_beginning(document, beginning);
                for joining in waiting {
                    if self.clients.get(&joining.member).is_some_and(|client| client.node == node) {
                        let (id, form) = (joining.member, joining.form);
                        self.nodes[node].machine.admit(document, joining, now);
                        if form == Form::Application {
                            self.told_state(node, document, id);
                        }
                    }
                }
                self.nodes[node].machine.settle(document, now);
            }
            Output::NotLoaded { waiting, .. } => {
                for id in waiting.into_iter().map(|joining| joining.member) {
                    // It tries again.
                    if self.clients.get(&id).is_some_and(|client| client.node == node && client.form != Form::Protocol)
                    {
                        self.enter(id, node);
                    }
                }
            }
            Output::Send { to, message } => to.into_iter().for_each(|id| self.hear(node, id, &message)),
            Output::Updated { document, by, update, .. } => self.relay(node, document, by, &update),
            Output::Resync { document, member } => self.told_state(node, document, member),
            Output::MayBegin { document } => self.choose_seeder(node, document),
            Output::Idle { document } => {
                if self.nodes[node].machine.drop_idle(document) {
                    assert!(self.nodes[node].unacked.is_empty(), "everything is stored");
                }
            }
            Output::Close { member, close } => {
                assert_eq!(close, Close::Again);
                if self.clients.get(&member).is_some_and(|client| client.node == node) {
                    self.rejoin(member, node);
                }
            }
            Output::Stored { changes, .. } => self.acknowledge(node, changes),
            Output::Notice(notice) => self.nodes[node].notices.push(notice),
            Output::Left { .. } | Output::Joined { .. } => {}
            Output::Handled { .. }
            | Output::Taken { .. }
            | Output::State { .. }
            | Output::Refused { .. }
            | Output::Authorize { .. }
            | Output::Annotated { .. }
            | Output::Tagged { .. }
            | Output::Renumbered { .. } => {}
            Output::Expelled { .. } => panic!("no member is at fault"),
        }
    }

    /// The browsers of the application at a node hear of an update. What comes from another node is in the log.
    fn relay(&mut self, node: usize, document: DocumentId, by: Option<u32>, update: &Bytes) {
        let members = self.nodes[node].machine.get(document).map_or(&[][..], |open| open.members());
        let ids: Vec<u32> =
            members.iter().filter(|member| member.form() == Form::Application).map(|m| m.id()).collect();
        for id in ids.into_iter().filter(|id| Some(*id) != by) {
            if let Some(client) = self.clients.get_mut(&id) {
                client.apply(update);
            }
        }
        if by.is_none() {
            let mut only = Document::new(DocumentLimits::default());
            only.apply(update, Source::Stored);
            for (client, clock) in only.store().state_vector().iter() {
                self.keep(u8::try_from(client.as_u64()).unwrap(), clock);
            }
        }
    }

    fn publish(&mut self, node: usize, message: &Bytes) {
        let others: Vec<u64> =
            self.nodes.iter().enumerate().filter(|(other, _)| *other != node).map(|(_, other)| other.number).collect();
        for other in others {
            self.published += 1;
            if self.chance(self.weather.lost) {
                self.dropped += 1;
                continue;
            }
            let times = 1 + u64::from(self.chance(self.weather.repeated));
            for _ in 0..times {
                let delay = self.rng.below(self.weather.bus_delay_max_ms + 1);
                self.later(delay, ScheduledStep::Heard { node: other, message: message.clone() });
            }
        }
    }

    fn hear(&mut self, node: usize, id: u32, message: &[u8]) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(&id).filter(|client| client.node == node) else { return };
        match ProtocolMessage::decode(message).unwrap() {
            ProtocolMessage::SyncStep2(update) | ProtocolMessage::Update(update) => client.apply(update),
            ProtocolMessage::SyncStep1(vector) => {
                let known = StateVector::decode(vector).unwrap();
                let answer = ProtocolMessage::SyncStep2(&client.doc.difference(&known)).encode();
                self.nodes[node].machine.handle_message(id, answer.into(), Flow::Free, now);
            }
            ProtocolMessage::Awareness(_) | ProtocolMessage::PermissionDenied(_) | ProtocolMessage::QueryAwareness => {}
        }
    }

    /// What the store would give a process that starts now.
    pub fn stored(&mut self) -> Document {
        let load = DocumentQuestion::Load { document: NAME.into() };
        let Ok(DocumentAnswer::Loaded(stored)) = self.log.answer(0, load, self.now) else { panic!() };
        read_stored(stored.into(), &DocumentsConfig::default()).unwrap().content().clone()
    }
}

const SEED: &str = "the first content";
