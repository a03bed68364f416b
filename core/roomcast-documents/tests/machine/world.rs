//! A document machine with providers, a store in memory with faults in front of it, and a clock of the test's.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use roomcast_core::rng::Rng;
use roomcast_core::time::Instant;
use roomcast_documents::yjs::{Document, DocumentLimits, ProtocolMessage, Source, StateVector};
use roomcast_documents::{
    Access, Close, DocumentAnswer, DocumentId, DocumentNotice, DocumentQuestion, DocumentStoreError, DocumentWork,
    Documents, DocumentsConfig, Flow, Output, QuestionKind, StoredDocument, Taken,
};
use roomcast_stores::MemoryDocuments;
use roomcast_testkit::yjs_update::text_update;

/// A machine, providers, and a store in memory.
pub struct World {
    pub machine: Documents<u32>,
    pub now: Instant,
    /// Messages to providers that have not been looked at.
    pub sent: Vec<(u32, Bytes)>,
    pub docs: BTreeMap<u32, Document>,
    pub handled: BTreeMap<u32, usize>,
    pub closed: BTreeMap<u32, Close>,
    pub notices: Vec<DocumentNotice>,
    pub questions: Vec<QuestionKind>,
    pub store: MemoryDocuments,
    /// Answers to the next loads, in place of the store's.
    pub loads: VecDeque<Result<StoredDocument, DocumentStoreError>>,
    /// The answer to appends, in place of the store's.
    pub append_error: Option<DocumentStoreError>,
    /// Whether what takes long is done as soon as it is handed out.
    pub works: bool,
    /// What was handed out and is not done.
    pub work: VecDeque<(DocumentId, DocumentWork)>,
    /// Pieces of work that were done.
    pub worked: usize,
    /// What has become of updates of the application that were tried later.
    pub taken: Vec<(u32, Taken)>,
    /// States for members of the application.
    pub states: Vec<(u32, Bytes)>,
}

impl World {
    pub fn new(change: impl FnOnce(&mut DocumentsConfig)) -> Self {
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
            store: MemoryDocuments::new(),
            loads: VecDeque::new(),
            append_error: None,
            works: true,
            work: VecDeque::new(),
            worked: 0,
            taken: Vec::new(),
            states: Vec::new(),
        }
    }

    pub fn join(&mut self, member: u32, name: &str, access: Access) {
        self.docs.insert(member, Document::new(DocumentLimits::default()));
        self.machine.handle_opened(member, name.into());
        self.machine.let_in(member, format!("user {member}").into(), access, self.now);
        self.run();
        self.say(member, step_1());
    }

    pub fn leave(&mut self, member: u32) {
        self.machine.handle_closed(member, self.now);
        self.run();
    }

    pub fn say(&mut self, member: u32, message: Bytes) {
        self.machine.handle_message(member, message, Flow::Free, self.now);
        self.run();
    }

    pub fn edit(&mut self, member: u32, client: u8, clock: u32, said: &str) {
        let update = text_update(client, clock, said);
        self.docs.get_mut(&member).unwrap().apply(&update, Source::Stored);
        self.say(member, ProtocolMessage::Update(&update).encode().into());
    }

    /// Stores a snapshot, as another process would.
    pub fn put_snapshot(&self, name: &str, snapshot: Vec<u8>) {
        let (document, snapshot) = (name.into(), snapshot.into());
        self.store.answer(DocumentQuestion::Snapshot { document, snapshot, tag: None, up_to_sequence: 1 }).unwrap();
    }

    pub fn doc(&self, member: u32) -> Document {
        self.docs[&member].clone()
    }

    pub fn asked(&self, kind: QuestionKind) -> usize {
        self.questions.iter().filter(|asked| **asked == kind).count()
    }

    pub fn steps_2(&self, member: u32) -> usize {
        let to = self.sent.iter().filter(|(to, _)| *to == member);
        to.filter(|(_, message)| matches!(ProtocolMessage::decode(message), Ok(ProtocolMessage::SyncStep2(_)))).count()
    }

    pub fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(due) = self.machine.next_deadline().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.machine.handle_timeout(self.now);
            self.run();
        }
        self.now = end;
    }

    /// Does the first piece of work that was handed out.
    pub fn work_one(&mut self) -> bool {
        let Some((document, work)) = self.work.pop_front() else { return false };
        self.worked += 1;
        self.machine.handle_worked(document, work.run(), self.now);
        self.run();
        true
    }

    pub fn run(&mut self) {
        loop {
            self.run_outputs();
            self.work.extend(std::iter::from_fn(|| self.machine.poll_work()));
            if !self.works || !self.work_one() {
                return;
            }
        }
    }

    fn run_outputs(&mut self) {
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
                Output::Taken { member, taken, .. } => self.taken.push((member, taken)),
                Output::State { to, state, .. } => {
                    self.states.extend(to.into_iter().map(|member| (member, state.clone())));
                }
                Output::Authorize { .. }
                | Output::NotLoaded { .. }
                | Output::Joined { .. }
                | Output::Updated { .. }
                | Output::Resync { .. }
                | Output::Refused { .. }
                | Output::Expelled { .. }
                | Output::Publish { .. }
                | Output::Annotated { .. }
                | Output::Tagged { .. }
                | Output::Renumbered { .. }
                | Output::Stored { .. }
                | Output::MayBegin { .. }
                | Output::Left { .. } => {}
            }
        }
    }

    pub fn hear(&mut self, member: u32, message: &[u8]) {
        let Some(doc) = self.docs.get_mut(&member) else { return };
        match ProtocolMessage::decode(message).unwrap() {
            ProtocolMessage::SyncStep2(update) | ProtocolMessage::Update(update) => {
                doc.apply(update, Source::Stored);
            }
            ProtocolMessage::SyncStep1(vector) => {
                let known = StateVector::decode(vector).unwrap();
                let difference = doc.difference(&known);
                let answer = ProtocolMessage::SyncStep2(&difference).encode();
                self.machine.handle_message(member, answer.into(), Flow::Free, self.now);
            }
            ProtocolMessage::Awareness(_) | ProtocolMessage::PermissionDenied(_) | ProtocolMessage::QueryAwareness => {}
        }
    }

    pub fn answer(&mut self, document: DocumentId, question: DocumentQuestion) {
        let asked = question.asked();
        self.questions.push(asked);
        let fault = match &question {
            DocumentQuestion::Load { .. } => self.loads.pop_front().map(|load| load.map(DocumentAnswer::Loaded)),
            DocumentQuestion::Append { .. } => self.append_error.map(Err),
            DocumentQuestion::Snapshot { .. }
            | DocumentQuestion::Since { .. }
            | DocumentQuestion::Claim { .. }
            | DocumentQuestion::Release { .. } => None,
        };
        let answer = fault.unwrap_or_else(|| self.store.answer(question));
        self.machine.handle_answer(document, asked, answer, self.now);
    }
}

pub fn step_1() -> Bytes {
    ProtocolMessage::SyncStep1(&[0]).encode().into()
}
