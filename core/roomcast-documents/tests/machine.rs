//! The document machine with providers, a store that a test answers for, and a clock of the test's.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use roomcast_core::rng::Rng;
use roomcast_core::time::Instant;
use roomcast_documents::yjs::{Document, DocumentLimits, Message, Source, StateVector, Verdict};
use roomcast_documents::{
    Access, Asked, Brings, Close, DocumentAnswer, DocumentCounts, DocumentId, DocumentNotice, DocumentQuestion,
    DocumentStoreError, Documents, DocumentsConfig, Entered, Flow, Form, Joining, NotLoaded, Output, StoredDocument,
    Taken,
};

#[test]
fn a_member_that_reads_slowly_is_told_one_state_whatever_it_asks() {
    let mut world = World::new(|_| {});
    world.join(1, "plan", Access::Write);
    world.edit(1, 1, 0, &"x".repeat(20_000));
    world.join(2, "plan", Access::Read);
    world.sent.clear();
    world.handled.clear();
    for _ in 0..5000 {
        world.machine.handle_message(2, step_1(), Flow::Congested, world.now);
        world.run();
    }
    assert!(world.sent.is_empty(), "nothing is sent to a connection that piles up");
    assert_eq!(world.handled[&2], 5000);
    world.machine.handle_relieved(2);
    world.run();
    assert_eq!(world.sent.len(), 1);
    assert_eq!(world.machine.counters().states_delayed, 5000);
    // Nor does it help to ask before one is let in.
    world.machine.handle_opened(3, "plan".into());
    for _ in 0..100 {
        world.machine.handle_message(3, step_1(), Flow::Free, world.now);
    }
    world.sent.clear();
    world.machine.let_in(3, "carol".into(), Access::Read, world.now);
    world.run();
    assert_eq!(world.steps_2(3), 1);
}

#[test]
fn all_who_join_share_one_encoding_of_the_state() {
    let mut world = World::new(|_| {});
    world.join(1, "plan", Access::Write);
    world.edit(1, 1, 0, &"x".repeat(20_000));
    world.sent.clear();
    for member in 2..50 {
        world.join(member, "plan", Access::Read);
    }
    let states: Vec<&Bytes> = world.sent.iter().map(|(_, message)| message).filter(|m| m.len() > 20_000).collect();
    assert_eq!(states.len(), 48);
    assert!(states.iter().all(|state| state.as_ptr() == states[0].as_ptr()));
}

/// What is known does not count: the document itself may be longer than what a member may bring.
#[test]
fn a_whole_document_over_the_limit_is_taken_if_little_of_it_is_new() {
    let mut world = World::new(|config| {
        (config.limits.update_bytes_max, config.limits.resync_bytes_max) = (1100, 3000);
    });
    world.join(1, "plan", Access::Write);
    for part in 0..4 {
        world.edit(1, 1, part * 1000, &"x".repeat(1000));
    }
    let mut offline = world.doc(1);
    assert!(offline.state().len() > 3000);
    assert_eq!(offline.apply(&text(2, 0, "typed offline"), Source::Live), Verdict::Applied);
    // A member of the application has no word for what it knows.
    let joining = Joining { member: 2, user: "bob".into(), access: Access::Write, form: Form::Application };
    let Entered::Now(document) = world.machine.enter(&"plan".into(), joining.clone(), world.now) else { panic!() };
    world.machine.admit(document, joining, world.now);
    let bring = |world: &mut World, update: Bytes| {
        let taken = world.machine.handle_update(document, 2, update, Brings::Everything, world.now);
        world.run();
        taken
    };
    assert_eq!(bring(&mut world, offline.state()), Taken::Applied);
    assert_eq!(world.doc(1).store().state_vector(), offline.store().state_vector());
    // And the edits behind it arrive.
    assert_eq!(bring(&mut world, text(2, 13, " and online").into()), Taken::Applied);
    assert_eq!(world.machine.counters().updates_refused, 0);
    // What is new is bounded as before.
    assert_eq!(offline.apply(&text(3, 0, &"y".repeat(9000)), Source::Stored), Verdict::Applied);
    assert_eq!(bring(&mut world, offline.state()), Taken::Refused);
}

#[test]
fn leaving_and_joining_does_not_load_a_document_again() {
    let mut world = World::new(|_| {});
    for round in 0..10 {
        world.join(round, "plan", Access::Write);
        world.edit(round, u8::try_from(round + 1).unwrap(), 0, "text");
        world.leave(round);
        world.pass(Duration::from_secs(1));
    }
    assert_eq!((world.asked(Asked::Load), world.machine.counters().kept_joins), (1, 9));
    world.pass(Duration::from_secs(5));
    assert_eq!(world.machine.audit(), DocumentCounts::default());
    world.join(11, "plan", Access::Write);
    assert_eq!(world.asked(Asked::Load), 2);
    assert_eq!(world.doc(11).store().state_vector().iter().count(), 10);
}

#[test]
fn all_documents_together_are_bounded() {
    let mut world = World::new(|config| config.documents_bytes_max = 10_000);
    world.join(1, "left", Access::Write);
    world.edit(1, 1, 0, &"x".repeat(6000));
    world.leave(1);
    world.join(2, "plan", Access::Write);
    world.edit(2, 1, 0, &"x".repeat(6000));
    // The document without members makes room.
    world.join(3, "another", Access::Write);
    assert_eq!((world.machine.named("left"), world.machine.counts().open), (None, 2));
    world.edit(3, 1, 0, &"x".repeat(6000));
    assert!(world.machine.counts().bytes > 10_000);
    world.machine.handle_opened(4, "one more".into());
    world.machine.let_in(4, "carol".into(), Access::Write, world.now);
    world.run();
    let full = DocumentNotice::NotLoaded { name: "one more".into(), why: NotLoaded::Full };
    assert_eq!((world.closed.get(&4), world.notices.pop()), (Some(&Close::Again), Some(full)));
    // Nor does a document grow any more, and its member is not punished for it.
    let before = world.machine.counts().bytes;
    for _ in 0..20 {
        world.say(3, Message::Update(&text(9, 0, "more")).encode().into());
    }
    assert_eq!((world.machine.counts().bytes, world.closed.get(&3)), (before, None));
}

#[test]
fn a_failed_load_closes_counts_and_is_told() {
    for (answer, why) in [
        (Err(DocumentStoreError::Unavailable), NotLoaded::Unavailable),
        (Err(DocumentStoreError::Corrupt), NotLoaded::Corrupt),
        (Ok(StoredDocument { updates: vec![Bytes::from_static(&[9, 9])], ..Default::default() }), NotLoaded::Corrupt),
    ] {
        let mut world = World::new(|_| {});
        world.loads.push_back(answer);
        world.join(1, "plan", Access::Write);
        assert_eq!(world.notices, [DocumentNotice::NotLoaded { name: "plan".into(), why }]);
        assert_eq!((world.closed.get(&1), world.machine.counters().loads_failed), (Some(&Close::Again), 1));
        world.machine.handle_closed(1, world.now);
        world.run();
        assert_eq!(world.machine.audit(), DocumentCounts::default());
        // The next one tries again.
        world.join(2, "plan", Access::Write);
        assert_eq!(world.closed.get(&2), None);
    }
}

#[test]
fn a_conflict_is_told_and_nothing_is_dropped() {
    let mut world = World::new(|_| {});
    world.join(1, "plan", Access::Write);
    world.append_error = Some(DocumentStoreError::Conflict);
    world.edit(1, 1, 0, "kept");
    world.pass(Duration::from_millis(100));
    assert_eq!(world.notices, [DocumentNotice::Conflict { name: "plan".into() }]);
    assert_eq!((world.machine.counters().conflicts, world.machine.unstored().count()), (1, 1));
    world.append_error = None;
    world.pass(Duration::from_secs(10));
    assert_eq!(world.machine.unstored().count(), 0);
}

#[test]
fn who_says_too_much_before_it_is_let_in_is_closed() {
    let mut world = World::new(|config| config.held_messages_max = 3);
    world.machine.handle_opened(1, "plan".into());
    for count in 0..5 {
        world.run();
        assert_eq!(world.closed.contains_key(&1), count == 4);
        world.machine.handle_message(1, step_1(), Flow::Free, world.now);
    }
    world.run();
    assert_eq!(world.handled[&1], 5, "each message is handled once");
    world.machine.let_in(1, "alice".into(), Access::Write, world.now);
    world.machine.handle_closed(1, world.now);
    world.run();
    assert_eq!(world.machine.audit(), DocumentCounts::default());
}

/// A machine, providers, and a store in memory.
struct World {
    machine: Documents<u32>,
    now: Instant,
    /// Messages to providers that have not been looked at.
    sent: Vec<(u32, Bytes)>,
    docs: BTreeMap<u32, Document>,
    handled: BTreeMap<u32, usize>,
    closed: BTreeMap<u32, Close>,
    notices: Vec<DocumentNotice>,
    questions: Vec<Asked>,
    /// Answers to the next loads, in place of the store's.
    loads: VecDeque<Result<StoredDocument, DocumentStoreError>>,
    append_error: Option<DocumentStoreError>,
    stored: BTreeMap<String, StoredDocument>,
}

impl World {
    fn new(change: impl FnOnce(&mut DocumentsConfig)) -> Self {
        let mut config = DocumentsConfig::default();
        change(&mut config);
        Self {
            machine: Documents::new(config, Rng::from_seed([3; 32]).keyed_hash()),
            now: Instant::from_millis(1000),
            sent: Vec::new(),
            docs: BTreeMap::new(),
            handled: BTreeMap::new(),
            closed: BTreeMap::new(),
            notices: Vec::new(),
            questions: Vec::new(),
            loads: VecDeque::new(),
            append_error: None,
            stored: BTreeMap::new(),
        }
    }

    fn join(&mut self, member: u32, name: &str, access: Access) {
        self.docs.insert(member, Document::new(DocumentLimits::default()));
        self.machine.handle_opened(member, name.into());
        self.machine.let_in(member, format!("user {member}").into(), access, self.now);
        self.run();
        self.say(member, step_1());
    }

    fn leave(&mut self, member: u32) {
        self.machine.handle_closed(member, self.now);
        self.run();
    }

    fn say(&mut self, member: u32, message: Bytes) {
        self.machine.handle_message(member, message, Flow::Free, self.now);
        self.run();
    }

    fn edit(&mut self, member: u32, client: u8, clock: u32, said: &str) {
        let update = text(client, clock, said);
        self.docs.get_mut(&member).unwrap().apply(&update, Source::Stored);
        self.say(member, Message::Update(&update).encode().into());
    }

    fn doc(&self, member: u32) -> Document {
        self.docs[&member].clone()
    }

    fn asked(&self, kind: Asked) -> usize {
        self.questions.iter().filter(|asked| **asked == kind).count()
    }

    fn steps_2(&self, member: u32) -> usize {
        let to = self.sent.iter().filter(|(to, _)| *to == member);
        to.filter(|(_, message)| matches!(Message::decode(message), Ok(Message::SyncStep2(_)))).count()
    }

    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(due) = self.machine.next_deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.machine.handle_timeout(self.now);
            self.run();
        }
        self.now = end;
    }

    fn run(&mut self) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Ask { document, question } => self.answer(document, question),
                Output::Loaded { document, waiting } => {
                    for joining in waiting {
                        self.machine.admit(document, joining, self.now);
                    }
                    self.machine.settle(document, self.now);
                }
                Output::Send { to, message } => {
                    for member in to {
                        self.hear(member, &message);
                        self.sent.push((member, message.clone()));
                    }
                }
                Output::Handled { member } => *self.handled.entry(member).or_default() += 1,
                Output::Close { member, close } => {
                    self.closed.insert(member, close);
                }
                Output::Idle { document } => {
                    assert!(self.machine.drop_idle(document));
                }
                Output::Notice(notice) => self.notices.push(notice),
                Output::Authorize { .. }
                | Output::NotLoaded { .. }
                | Output::Joined { .. }
                | Output::Updated { .. }
                | Output::Resync { .. }
                | Output::Refused { .. }
                | Output::Expelled { .. }
                | Output::Left { .. } => {}
            }
        }
    }

    fn hear(&mut self, member: u32, message: &[u8]) {
        let Some(doc) = self.docs.get_mut(&member) else { return };
        match Message::decode(message).unwrap() {
            Message::SyncStep2(update) | Message::Update(update) => {
                doc.apply(update, Source::Stored);
            }
            Message::SyncStep1(vector) => {
                let known = StateVector::decode(vector).unwrap();
                let difference = doc.difference(&known);
                let answer = Message::SyncStep2(&difference).encode();
                self.machine.handle_message(member, answer.into(), Flow::Free, self.now);
            }
            Message::Awareness(_) | Message::PermissionDenied(_) | Message::QueryAwareness => {}
        }
    }

    fn answer(&mut self, document: DocumentId, question: DocumentQuestion) {
        let asked = question.asked();
        self.questions.push(asked);
        let answer = match question {
            DocumentQuestion::Load { document } => {
                let own = || Ok(self.stored.get(&*document).cloned().unwrap_or_default());
                self.loads.pop_front().unwrap_or_else(own).map(DocumentAnswer::Loaded)
            }
            DocumentQuestion::Append { document, first_sequence, updates } => match self.append_error {
                Some(error) => Err(error),
                None => {
                    let stored = self.stored.entry(document.to_string()).or_default();
                    stored.last_sequence = first_sequence + u64::try_from(updates.len()).unwrap() - 1;
                    stored.updates.extend(updates);
                    Ok(DocumentAnswer::Done)
                }
            },
            DocumentQuestion::Snapshot { document, snapshot, tag, up_to_sequence } => {
                let stored = StoredDocument {
                    snapshot: Some(snapshot),
                    tag,
                    updates: Vec::new(),
                    last_sequence: up_to_sequence,
                };
                self.stored.insert(document.to_string(), stored);
                Ok(DocumentAnswer::Done)
            }
        };
        self.machine.handle_answer(document, asked, answer, self.now);
    }
}

fn step_1() -> Bytes {
    Message::SyncStep1(&[0]).encode().into()
}

/// An update in which `client` writes behind what it wrote before.
fn text(client: u8, clock: u32, said: &str) -> Vec<u8> {
    let mut update = vec![1, 1, client];
    integer(&mut update, clock);
    if clock == 0 {
        update.extend([4, 1, 1, b't']);
    } else {
        update.extend([0x84, client]);
        integer(&mut update, clock - 1);
    }
    integer(&mut update, u32::try_from(said.len()).unwrap());
    update.extend_from_slice(said.as_bytes());
    update.push(0);
    update
}

fn integer(out: &mut Vec<u8>, mut value: u32) {
    while value > 0x7f {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
}
