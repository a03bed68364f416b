//! Handing out what takes long, and taking what comes back.
//!
//! Owns: when a copy of a document goes to work, and what becomes of the result. Must never know: a thread, or what is
//! computed.
//!
//! A document takes small updates while a copy of it is at work. What they brought is added to the copy afterwards, which
//! then takes the document's place: updates commute.

use bytes::Bytes;
use roomcast_core::time::Instant;
use roomcast_yjs::StateVector;

use crate::document::Stage;
use crate::machine::Documents;
use crate::output::Output;
use crate::provider::ProviderStage;
use crate::question::DocumentQuestion;
use crate::vocabulary::{DocumentId, Form};
use crate::work::{Caught, DocumentWork, EncodedState, Task, Trial, WantedEncoding, WorkOutcome, Worked, catch_up};
use crate::work_queue::{Asks, AtWork, NextWork, QueuedUpdate, UpdateFrom};

impl<M: Copy + Ord> Documents<M> {
    /// The next computation that takes long, for another thread. Its result goes to
    /// [`handle_worked`](Self::handle_worked). A document has one at a time.
    pub fn poll_work(&mut self) -> Option<(DocumentId, DocumentWork)> {
        self.work.pop_front()
    }

    /// A computation has come to its end.
    pub fn handle_worked(&mut self, document: DocumentId, worked: Worked, now: Instant) {
        match worked.0 {
            WorkOutcome::Read(opened) => return self.handle_loaded(document, *opened, now),
            WorkOutcome::Tried(tried) => {
                let (copy, trial) = *tried;
                self.update_tried(document, copy, trial, now);
            }
            WorkOutcome::Behind => {
                let Some(live) = self.live_mut(document) else { return };
                if let Some(AtWork::Update(queued)) = live.work_queue.at_work.take() {
                    live.work_queue.put_first(queued);
                }
            }
            WorkOutcome::Encoded(encoded) => self.state_encoded(document, *encoded),
        }
        self.advance(document, now);
    }

    /// The whole state for a member of the application; or `None`, if it takes long to encode or cannot be had: then
    /// [`Output::State`] brings it, if the member is still in.
    pub fn request_state(&mut self, document: DocumentId, member: M, now: Instant) -> Option<Bytes> {
        let config = self.config;
        let live = self.live_mut(document)?;
        if live.is_state_quick(&config) {
            return Some(live.document.state());
        }
        live.work_queue.ask(member, Asks::State);
        self.advance(document, now);
        None
    }

    /// Sends step 2 to a provider that knows this much, at once or when it is encoded.
    pub(crate) fn tell_step_2(&mut self, document: DocumentId, member: M, known: StateVector) {
        let config = self.config;
        let Some(live) = self.live_mut(document) else { return };
        if live.is_step_2_quick(&known, &config) {
            let message = live.step_2(&known);
            self.output(Output::Send { to: vec![member], message });
        } else {
            live.work_queue.ask(member, Asks::Step2(known));
        }
    }

    /// Starts what waits for its turn.
    pub(crate) fn start_work(&mut self, document: DocumentId, now: Instant) {
        // What an update leads to may come back here.
        match self.live_mut(document) {
            Some(live) if !live.work_queue.is_starting => live.work_queue.is_starting = true,
            Some(_) | None => return,
        }
        let mut quick_bytes_left = QUICK_BYTES_MAX;
        while let Some(live) = self.live_mut(document)
            && live.work_queue.at_work.is_none()
        {
            let is_update = live.work_queue.waiting() > 0
                && !(live.work_queue.turn == NextWork::State && live.work_queue.wants_state());
            if is_update {
                self.start_update(document, &mut quick_bytes_left, now);
            } else if live.work_queue.wants_state() {
                self.start_state(document);
            } else {
                break;
            }
        }
        if let Some(live) = self.live_mut(document) {
            live.work_queue.is_starting = false;
        }
    }

    fn start_update(&mut self, document: DocumentId, quick_bytes_left: &mut usize, now: Instant) {
        let config = self.config;
        let Some(mut queued) = self.live_mut(document).and_then(|live| live.work_queue.take()) else { return };
        let terms = match queued.from {
            UpdateFrom::Application | UpdateFrom::Provider => self.terms(document, queued.member),
            UpdateFrom::Pending(_) => None,
        };
        queued.terms = terms.unwrap_or(queued.terms);
        let Some(live) = self.live_mut(document) else { return };
        // What has only waited behind another one may be done at once.
        if *quick_bytes_left > 0 && live.is_quick(&queued.update, &config) {
            *quick_bytes_left = quick_bytes_left.saturating_sub(queued.update.len() + UPDATE_BYTES);
            let trial = Trial::of(&mut live.document, &queued.update, queued.terms);
            return self.end_update(document, queued, trial, now);
        }
        let (copy, update, terms) = (live.document.clone(), queued.update.clone(), queued.terms);
        live.work_queue.turn = NextWork::State;
        live.work_queue.start(AtWork::Update(queued));
        self.work.push_back((document, DocumentWork(Task::Try { document: copy, update, terms })));
    }

    fn start_state(&mut self, document: DocumentId) {
        let Some(live) = self.live_mut(document) else { return };
        let (askers, mut snapshot) = (std::mem::take(&mut live.work_queue.askers), live.work_queue.snapshot.take());
        // What others read of a shared log must be all that they find in a snapshot.
        if live.replica.is_some() && snapshot.is_some_and(|up_to| !live.journal.is_at(up_to)) {
            live.journal.put_snapshot_off();
            snapshot = None;
            if askers.is_empty() {
                return;
            }
        }
        let mut wanted = WantedEncoding::default();
        for (_, asks) in &askers {
            match asks {
                Asks::State => {}
                Asks::Step2(known) if known.iter().next().is_none() => wanted.whole = true,
                Asks::Step2(known) => wanted.differences.push(known.clone()),
            }
        }
        let copy = live.document.clone();
        live.work_queue.turn = NextWork::Update;
        live.work_queue.start(AtWork::State(askers, snapshot));
        self.work.push_back((document, DocumentWork(Task::Encode { document: copy, wanted })));
    }

    fn update_tried(&mut self, document: DocumentId, mut copy: roomcast_yjs::Document, trial: Trial, now: Instant) {
        let Some(live) = self.live_mut(document) else { return };
        let since = std::mem::take(&mut live.work_queue.since);
        if trial.news.is_some() {
            if since.iter().map(Bytes::len).sum::<usize>() > CATCH_UP_BYTES_MAX {
                let work = DocumentWork(Task::CatchUp { document: copy, trial, since });
                return self.work.push_back((document, work));
            }
            if catch_up(&mut copy, &since) == Caught::Behind {
                if let Some(AtWork::Update(queued)) = live.work_queue.at_work.take() {
                    live.work_queue.put_first(queued);
                }
                return;
            }
            live.document = copy;
        }
        match live.work_queue.at_work.take() {
            Some(AtWork::Update(queued)) => self.end_update(document, queued, trial, now),
            Some(AtWork::Logged) => self.end_logged(document, trial, now),
            Some(AtWork::State(..)) | None => {}
        }
    }

    /// An update that has waited was tried: the member that waits for the result is told.
    fn end_update(&mut self, document: DocumentId, queued: QueuedUpdate<M>, trial: Trial, now: Instant) {
        let member = queued.member;
        let told = match queued.from {
            UpdateFrom::Application => Some(Form::Application),
            UpdateFrom::Provider => Some(Form::Protocol),
            UpdateFrom::Pending(_) => None,
        };
        let taken = self.tried(document, queued, trial, now);
        match told {
            Some(Form::Application) => self.output(Output::Taken { document, member, taken }),
            Some(Form::Protocol) => self.output(Output::Handled { member }),
            Some(Form::Silent) | None => {}
        }
    }

    fn state_encoded(&mut self, document: DocumentId, encoded: EncodedState) {
        let EncodedState { document: copy, state, whole, differences } = encoded;
        let Some(open) = self.documents.get_mut(document) else { return };
        let name = open.name.clone();
        let Stage::Live(live) = &mut open.stage else { return };
        let Some(AtWork::State(askers, snapshot)) = live.work_queue.at_work.take() else { return };
        if std::mem::take(&mut live.work_queue.since).is_empty() {
            live.document = copy;
            live.whole = whole.clone().or(live.whole.take());
        }
        let (mut differences, mut members, mut providers) = (differences.into_iter(), Vec::new(), Vec::new());
        let mut others = Vec::new();
        for (member, asks) in askers {
            let is_in = live.member(member).is_some();
            let message = match asks {
                Asks::State => {
                    members.extend(is_in.then_some(member));
                    continue;
                }
                Asks::Step2(known) if known.iter().next().is_none() => {
                    providers.extend(is_in.then_some(member));
                    continue;
                }
                Asks::Step2(_) => differences.next(),
            };
            others.extend(message.filter(|_| is_in).map(|message| (member, message)));
        }
        if let Some(up_to_sequence) = snapshot {
            let question =
                DocumentQuestion::Snapshot { document: name, snapshot: state.clone(), tag: None, up_to_sequence };
            self.output(Output::Ask { document, question });
        }
        if !members.is_empty() {
            self.output(Output::State { document, to: members, state });
        }
        self.count_bytes(document);
        providers.retain(|provider| self.is_here(*provider, document));
        if let Some(message) = whole.filter(|_| !providers.is_empty()) {
            self.output(Output::Send { to: providers, message });
        }
        for (provider, message) in others {
            if self.is_here(provider, document) {
                self.output(Output::Send { to: vec![provider], message });
            }
        }
    }

    fn is_here(&self, provider: M, document: DocumentId) -> bool {
        self.providers.get(&provider).is_some_and(|provider| provider.stage == ProviderStage::In(document))
    }
}

/// Bytes of small updates that are tried at once behind one that took long. Those behind them go to work.
const QUICK_BYTES_MAX: usize = 32 << 10;
/// What a small update costs beside its bytes.
const UPDATE_BYTES: usize = 64;
/// Bytes of small updates that are added at once to a copy which comes back from work.
const CATCH_UP_BYTES_MAX: usize = 64 << 10;
