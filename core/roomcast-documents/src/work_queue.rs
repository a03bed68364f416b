//! What takes long about a document, one thing at a time.
//!
//! Owns: the records of what is being computed elsewhere from a copy of the document, and of what waits for its turn.
//! Must never know: what an update says, or when one is due.

use std::collections::VecDeque;

use bytes::Bytes;
use roomcast_yjs::{Held, StateVector};

use crate::vocabulary::Brings;
use crate::work::Terms;

/// The work on one document.
#[derive(Debug)]
pub(crate) struct WorkQueue<M> {
    /// What is being computed from a copy.
    pub(crate) at_work: Option<AtWork<M>>,
    /// Updates that take long, and what their senders sent behind them.
    updates: VecDeque<QueuedUpdate<M>>,
    update_bytes: usize,
    /// Members that are told the state once it is encoded.
    pub(crate) askers: Vec<(M, Asks)>,
    /// A snapshot that waits for the state, with the last change that it is to hold.
    pub(crate) snapshot: Option<u64>,
    /// What was applied since the copy was taken.
    pub(crate) since: Vec<Bytes>,
    /// What comes next if both an update and a state wait.
    pub(crate) turn: NextWork,
    /// Whether the next thing is being looked for.
    pub(crate) is_starting: bool,
}

/// What is being computed.
#[derive(Debug)]
pub(crate) enum AtWork<M> {
    Update(QueuedUpdate<M>),
    /// The state for these members and this snapshot. A snapshot names the last change that it is to hold.
    State(Vec<(M, Asks)>, Option<u64>),
    /// An entry of the log that another node has written.
    Logged,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NextWork {
    Update,
    State,
}

/// What a member asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// The owner tells it the whole state.
    State,
    /// It is sent step 2.
    Step2(StateVector),
}

/// An update on its way into the document.
#[derive(Debug)]
pub(crate) struct QueuedUpdate<M> {
    pub(crate) member: M,
    pub(crate) update: Bytes,
    pub(crate) brings: Brings,
    pub(crate) from: UpdateFrom<M>,
    /// As they were when it came.
    pub(crate) terms: Terms,
}

/// Where an update comes from, and who hears what has become of it.
#[derive(Debug)]
pub(crate) enum UpdateFrom<M> {
    /// A member of the application, whose owner is told.
    Application,
    /// A message of a provider, which is then dealt with.
    Provider,
    /// It has waited for something that was missing.
    Pending(Held<M>),
}

impl<M: Copy + Ord> WorkQueue<M> {
    pub(crate) const fn new() -> Self {
        Self {
            at_work: None,
            updates: VecDeque::new(),
            update_bytes: 0,
            askers: Vec::new(),
            snapshot: None,
            since: Vec::new(),
            turn: NextWork::Update,
            is_starting: false,
        }
    }

    /// Whether nothing is being computed, and nothing waits for it.
    pub(crate) fn is_clear(&self) -> bool {
        self.at_work.is_none() && self.updates.is_empty() && self.askers.is_empty() && self.snapshot.is_none()
    }

    /// Whether an update of this member is on its way, so that its later ones go behind it.
    pub(crate) fn holds(&self, member: M) -> bool {
        let at_work = match &self.at_work {
            Some(AtWork::Update(queued)) => queued.member == member,
            Some(AtWork::State(..) | AtWork::Logged) | None => false,
        };
        at_work || self.updates.iter().any(|queued| queued.member == member)
    }

    /// Something is being computed from a copy from now on.
    pub(crate) fn start(&mut self, at_work: AtWork<M>) {
        self.at_work = Some(at_work);
        self.since = Vec::new();
    }

    /// Puts an update behind the others. It comes back if there is no room for it.
    pub(crate) fn put(&mut self, queued: QueuedUpdate<M>, bytes_max: usize) -> Result<(), QueuedUpdate<M>> {
        if !self.updates.is_empty() && self.update_bytes.saturating_add(queued.update.len()) > bytes_max {
            return Err(queued);
        }
        self.put_last(queued);
        Ok(())
    }

    /// Puts an update behind the others, whose bytes have been counted elsewhere already.
    pub(crate) fn put_last(&mut self, queued: QueuedUpdate<M>) {
        self.update_bytes += queued.update.len();
        self.updates.push_back(queued);
    }

    /// Puts an update in front of the others: it has to be tried again.
    pub(crate) fn put_first(&mut self, queued: QueuedUpdate<M>) {
        self.update_bytes += queued.update.len();
        self.updates.push_front(queued);
    }

    /// Takes the next update.
    pub(crate) fn take(&mut self) -> Option<QueuedUpdate<M>> {
        let queued = self.updates.pop_front()?;
        self.update_bytes -= queued.update.len();
        if self.updates.is_empty() {
            self.updates = VecDeque::new();
        }
        Some(queued)
    }

    /// Updates that wait, without the one that is being tried.
    pub(crate) fn waiting(&self) -> usize {
        self.updates.len()
    }

    /// A member wants to be told the state. Only its last request counts.
    pub(crate) fn ask(&mut self, member: M, asks: Asks) {
        match self.askers.iter_mut().find(|(asker, _)| *asker == member) {
            Some((_, before)) => *before = asks,
            None => self.askers.push((member, asks)),
        }
    }

    /// Whether an encoded state is awaited.
    pub(crate) fn wants_state(&self) -> bool {
        !self.askers.is_empty() || self.snapshot.is_some()
    }

    /// A member that has left is told nothing any more. What it has sent counts.
    pub(crate) fn forget(&mut self, member: M) {
        self.askers.retain(|(asker, _)| *asker != member);
    }
}
