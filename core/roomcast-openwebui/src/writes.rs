//! Writes that are coalesced, asked one after the other for each row, and tried again until they are done.
//!
//! Owns: what is not written yet, in which order, when next, and how much of it there may be. Must never know: why
//! something is written, or how a question reaches a store.
//!
//! At least once: a store that writes and then fails to say so is asked again. What only keeps the latest time does not
//! mind; a text that is appended may be there twice, which was judged better than not at all.

use std::collections::VecDeque;
use std::time::Duration;

use bytestring::ByteString;

use super::query::{MessageChange, QueryId, Question, StoreError};
use super::settings::Settings;
use roomcast_core::rng::{KeyedHash, KeyedMap};
use roomcast_core::slab::Slab;
use roomcast_core::time::Instant;
use roomcast_core::timer::{TimerKey, Timers};

roomcast_core::slab_key! {
    /// A row that something is written to.
    pub struct WriteId;
}

/// A row that something is written to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Row {
    /// When a user last read a channel, in nanoseconds.
    Channel { channel: ByteString, user: ByteString },
    /// When a user last read a chat, in seconds.
    Chat { chat: ByteString, user: ByteString },
    /// The messages of a chat.
    Messages(ByteString),
}

/// Writes that are not done yet, by the row that they change.
#[derive(Debug)]
pub(crate) struct Writes {
    entries: Slab<WriteId, PendingWrite>,
    by_row: KeyedMap<Row, WriteId>,
    timers: Timers<WriteId>,
    change_bytes: usize,
    lost: u64,
    /// Rows that something is yet to be written to.
    unwritten: usize,
    pace: WritePace,
    outputs: VecDeque<Output>,
    settings: WriteTerms,
}

/// What [`Writes`] wants of the questions.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Ask this, and say under which number by [`Writes::handle_asked`]. A late answer counts.
    Ask(WriteId, Question),
    /// The answer to this is no longer needed.
    Forget(QueryId),
}

/// The part of the settings that writes depend on.
#[derive(Debug)]
struct WriteTerms {
    read_span: Duration,
    message_span: Duration,
    retry_first: Duration,
    retry_max: Duration,
    age_max: Duration,
    rows_max: usize,
    change_bytes_max: usize,
    change_bytes_per_chat_max: usize,
}

/// How soon after one write to a row the next may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WritePace {
    /// After its span.
    Spaced,
    /// As soon as the one before is done.
    Hurried,
}

impl Writes {
    pub(crate) fn new(settings: &Settings, hash: KeyedHash) -> Self {
        let limits = &settings.limits;
        let settings = WriteTerms {
            read_span: settings.read_span,
            message_span: settings.message_span,
            retry_first: settings.write_retry_first,
            retry_max: settings.write_retry_max,
            age_max: settings.write_age_max,
            rows_max: limits.writes_max,
            change_bytes_max: limits.change_bytes_max,
            change_bytes_per_chat_max: limits.change_bytes_per_chat_max,
        };
        Self {
            entries: Slab::new(),
            by_row: KeyedMap::with_hasher(hash),
            timers: Timers::new(),
            change_bytes: 0,
            lost: 0,
            unwritten: 0,
            pace: WritePace::Spaced,
            outputs: VecDeque::new(),
            settings,
        }
    }

    /// From now on nothing waits for its span, and what failed is tried again now.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.pace = WritePace::Hurried;
        let waiting: Vec<WriteId> =
            self.entries.iter().filter(|(_, entry)| entry.is_waiting()).map(|(id, _)| id).collect();
        for id in waiting {
            self.send(id, now);
        }
    }

    pub(crate) fn set_pace(&mut self, pace: WritePace) {
        self.pace = pace;
    }

    /// Let this be the latest time of a row. The first is written at once, the next ones a span apart.
    pub(crate) fn put_time(&mut self, row: Row, time: u64, now: Instant) -> Option<WriteId> {
        let id = self.entry(row, now)?;
        if let Some(PendingWrite { body: RowChanges::Time { next, .. }, .. }) = self.entries.get_mut(id) {
            *next = Some(next.map_or(time, |known| known.max(time)));
        }
        self.count(id);
        self.send_if_fresh(id, now);
        Some(id)
    }

    /// Whether so many bytes of changes to a chat may be put.
    pub(crate) fn has_room(&self, chat: &ByteString, bytes: usize) -> bool {
        let known = self.by_row.get(&Row::Messages(chat.clone())).and_then(|id| self.entries.get(*id));
        let (is_known, held) = match known.map(|entry| &entry.body) {
            Some(RowChanges::Changes { bytes, .. }) => (true, *bytes),
            Some(RowChanges::Time { .. }) | None => (false, 0),
        };
        let settings = &self.settings;
        held + bytes <= settings.change_bytes_per_chat_max
            && self.change_bytes + bytes <= settings.change_bytes_max
            && (is_known || self.entries.len() < settings.rows_max)
    }

    /// Changes to a message, behind all that were put for this chat before.
    pub(crate) fn put_change(&mut self, chat: &ByteString, message: &ByteString, change: MessageChange, now: Instant) {
        let added = bytes_of(&change);
        let Some(id) = self.entry(Row::Messages(chat.clone()), now) else { return };
        if let Some(PendingWrite { body: RowChanges::Changes { groups, bytes }, flying, doubtful, .. }) =
            self.entries.get_mut(id)
        {
            // The first group may be, or become, written as it was sent.
            let first_free = usize::from(*flying != WriteStage::No || doubtful.is_some());
            let is_free = groups.len() > first_free;
            let removed = match groups.back_mut().filter(|group| is_free && group.message == *message) {
                Some(group) => merge(&mut group.changes, change),
                None => {
                    groups.push_back(MessageChanges { message: message.clone(), changes: vec![change] });
                    0
                }
            };
            *bytes = (*bytes + added).saturating_sub(removed);
            self.change_bytes = (self.change_bytes + added).saturating_sub(removed);
        }
        self.count(id);
        self.send_if_fresh(id, now);
    }

    /// Writes what waits for its span at once, or as soon as the write under way is done.
    pub(crate) fn flush(&mut self, id: WriteId, now: Instant) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        if entry.failing_since.is_some() {
            return;
        }
        match entry.flying {
            WriteStage::Asking | WriteStage::Asked(_) => entry.flush = Flush::Wanted,
            WriteStage::No if entry.body.is_empty() => {}
            WriteStage::No => self.send(id, now),
        }
    }

    /// A store answered. What has been written, if it was a time.
    pub(crate) fn handle_result(
        &mut self,
        id: WriteId,
        query: QueryId,
        result: Result<(), StoreError>,
        now: Instant,
    ) -> Option<(Row, u64)> {
        let entry = self.entries.get_mut(id)?;
        if entry.flying != WriteStage::Asked(query) && entry.doubtful != Some(query) {
            return None;
        }
        if let Some(timer) = entry.timer.take() {
            self.timers.cancel(timer);
        }
        match result {
            Err(StoreError::Unavailable) => {
                if entry.doubtful == Some(query) {
                    entry.doubtful = None;
                }
                self.failed(id, now);
                None
            }
            Ok(()) | Err(StoreError::NotFound | StoreError::Corrupt | StoreError::Conflict) => {
                (entry.flying, entry.doubtful, entry.failing_since, entry.failures) = (WriteStage::No, None, None, 0);
                let (written, freed) = entry.body.written();
                let row = entry.row.clone();
                let flush = std::mem::replace(&mut entry.flush, Flush::No);
                let is_empty = entry.body.is_empty();
                let due = entry.sent_at + self.settings.span(&entry.row);
                self.change_bytes = self.change_bytes.saturating_sub(freed);
                self.count(id);
                match (flush, self.pace) {
                    (Flush::Wanted, _) | (_, WritePace::Hurried) if !is_empty => self.send(id, now),
                    (Flush::Wanted | Flush::No, WritePace::Spaced | WritePace::Hurried) => self.arm(id, due.max(now)),
                }
                result.is_ok().then_some(row).zip(written)
            }
        }
    }

    /// The deadline of a write has passed: it may be done or not.
    pub(crate) fn handle_overdue(&mut self, id: WriteId, query: QueryId, now: Instant) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        if entry.flying == WriteStage::Asked(query) {
            entry.doubtful = Some(query);
            self.failed(id, now);
        }
    }

    /// Asks for the writes whose span is over, and forgets rows without any.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(id) = self.timers.pop_due(now) {
            let Some(entry) = self.entries.get_mut(id) else { continue };
            entry.timer = None;
            if entry.body.is_empty() {
                self.remove(id);
            } else {
                self.send(id, now);
            }
        }
    }

    /// A question has been asked, under this number.
    pub(crate) fn handle_asked(&mut self, id: WriteId, query: QueryId) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.flying = WriteStage::Asked(query);
        }
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub(crate) fn contains(&self, id: WriteId) -> bool {
        self.entries.contains(id)
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    pub(crate) fn armed(&self) -> usize {
        self.timers.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn change_bytes(&self) -> usize {
        self.change_bytes
    }

    /// Rows that something is yet to be written to.
    pub(crate) fn unwritten(&self) -> usize {
        self.unwritten
    }

    /// Rows that could not be written for too long, or that there was no room for.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    fn entry(&mut self, row: Row, now: Instant) -> Option<WriteId> {
        if let Some(id) = self.by_row.get(&row) {
            return Some(*id);
        }
        if self.entries.len() >= self.settings.rows_max {
            self.lost += 1;
            return None;
        }
        let body = match &row {
            Row::Channel { .. } | Row::Chat { .. } => RowChanges::Time { next: None, sent: None },
            Row::Messages(_) => RowChanges::Changes { groups: VecDeque::new(), bytes: 0 },
        };
        let id = self.entries.insert(PendingWrite {
            row: row.clone(),
            body,
            flying: WriteStage::No,
            doubtful: None,
            sent_at: now,
            timer: None,
            flush: Flush::No,
            failing_since: None,
            failures: 0,
            is_counted: false,
        });
        self.by_row.insert(row, id);
        Some(id)
    }

    /// Counts whether something is yet to be written to a row.
    fn count(&mut self, id: WriteId) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let is_unwritten = entry.flying != WriteStage::No || entry.is_waiting();
        match (std::mem::replace(&mut entry.is_counted, is_unwritten), is_unwritten) {
            (false, true) => self.unwritten += 1,
            (true, false) => self.unwritten -= 1,
            (false, false) | (true, true) => {}
        }
    }

    /// A new row waits for nothing.
    fn send_if_fresh(&mut self, id: WriteId, now: Instant) {
        let Some(entry) = self.entries.get(id).filter(|entry| entry.is_waiting()) else { return };
        let is_due = match self.pace {
            WritePace::Spaced => entry.timer.is_none(),
            WritePace::Hurried => entry.failing_since.is_none(),
        };
        if is_due {
            self.send(id, now);
        }
    }

    fn send(&mut self, id: WriteId, now: Instant) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        if let Some(timer) = entry.timer.take() {
            self.timers.cancel(timer);
        }
        self.outputs.extend(entry.doubtful.take().map(Output::Forget));
        let Some(question) = entry.body.question(&entry.row) else { return };
        entry.sent_at = now;
        entry.flush = Flush::No;
        entry.flying = WriteStage::Asking;
        self.outputs.push_back(Output::Ask(id, question));
    }

    fn failed(&mut self, id: WriteId, now: Instant) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.flying = WriteStage::No;
        entry.body.unsent();
        let since = *entry.failing_since.get_or_insert(now);
        if now.saturating_since(since) >= self.settings.age_max {
            self.lost += 1;
            let freed = entry.body.clear();
            self.change_bytes = self.change_bytes.saturating_sub(freed);
            self.count(id);
            return self.arm(id, now);
        }
        let doubled = self.settings.retry_first * 2u32.saturating_pow(entry.failures.min(16));
        entry.failures += 1;
        self.arm(id, now + doubled.min(self.settings.retry_max));
    }

    fn arm(&mut self, id: WriteId, due: Instant) {
        let timer = self.timers.arm(due, id);
        if let Some(entry) = self.entries.get_mut(id) {
            entry.timer = Some(timer);
        }
    }

    fn remove(&mut self, id: WriteId) {
        if let Some(entry) = self.entries.remove(id) {
            self.by_row.remove(&entry.row);
            self.outputs.extend(entry.doubtful.map(Output::Forget));
        }
    }
}

/// What is written to one row.
#[derive(Debug)]
struct PendingWrite {
    row: Row,
    body: RowChanges,
    /// The write under way. Otherwise a timer runs.
    flying: WriteStage,
    /// The last write, if its deadline passed without an answer.
    doubtful: Option<QueryId>,
    sent_at: Instant,
    /// When to write what arrived since the last write, or to forget the row.
    timer: Option<TimerKey>,
    flush: Flush,
    failing_since: Option<Instant>,
    failures: u32,
    /// Whether it is one of the rows that something is yet to be written to.
    is_counted: bool,
}

impl PendingWrite {
    /// Whether there is something to send, and nothing under way.
    fn is_waiting(&self) -> bool {
        self.flying == WriteStage::No && !self.body.is_empty()
    }
}

/// Whether a write is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteStage {
    No,
    /// It has not been polled yet.
    Asking,
    Asked(QueryId),
}

/// Whether the next write need not wait for its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flush {
    No,
    Wanted,
}

#[derive(Debug)]
enum RowChanges {
    /// The latest counts.
    Time { next: Option<u64>, sent: Option<u64> },
    /// All count, in order; the first group is the one under way.
    Changes { groups: VecDeque<MessageChanges>, bytes: usize },
}

impl RowChanges {
    fn is_empty(&self) -> bool {
        match self {
            Self::Time { next, .. } => next.is_none(),
            Self::Changes { groups, .. } => groups.is_empty(),
        }
    }

    fn question(&mut self, row: &Row) -> Option<Question> {
        match (self, row) {
            (Self::Time { next, sent }, Row::Channel { channel, user }) => {
                *sent = Some(next.take()?);
                let (channel, user) = (channel.clone(), user.clone());
                sent.map(|at_nanos| Question::ReadChannel { channel, user, at_nanos })
            }
            (Self::Time { next, sent }, Row::Chat { chat, user }) => {
                *sent = Some(next.take()?);
                sent.map(|at_secs| Question::ReadChat { chat: chat.clone(), user: user.clone(), at_secs })
            }
            (Self::Changes { groups, .. }, Row::Messages(chat)) => {
                let group = groups.front()?;
                let (chat, message, changes) = (chat.clone(), group.message.clone(), group.changes.clone());
                Some(Question::ChangeMessage { chat, message, changes })
            }
            (Self::Time { .. }, Row::Messages(_)) | (Self::Changes { .. }, _) => None,
        }
    }

    /// What was sent is written: the time, and how many bytes are free.
    fn written(&mut self) -> (Option<u64>, usize) {
        match self {
            Self::Time { sent, .. } => (sent.take(), 0),
            Self::Changes { groups, bytes } => {
                let freed = groups.pop_front().map_or(0, |group| group.changes.iter().map(bytes_of).sum());
                *bytes = bytes.saturating_sub(freed);
                (None, freed)
            }
        }
    }

    /// What was sent may not be written.
    fn unsent(&mut self) {
        match self {
            Self::Time { next, sent } => *next = (*next).max(sent.take()),
            Self::Changes { .. } => {}
        }
    }

    fn clear(&mut self) -> usize {
        match self {
            Self::Time { next, sent } => {
                (*next, *sent) = (None, None);
                0
            }
            Self::Changes { groups, bytes } => {
                groups.clear();
                std::mem::take(bytes)
            }
        }
    }
}

/// Changes of one message, for one transaction.
#[derive(Debug)]
struct MessageChanges {
    message: ByteString,
    changes: Vec<MessageChange>,
}

/// Appends a change, made one with an earlier one where that says the same. How many bytes that saved.
///
/// Changes to `content` and to the lists do not see each other, so that one may be moved past the other.
fn merge(changes: &mut Vec<MessageChange>, change: MessageChange) -> usize {
    use MessageChange::{AppendContent, ReplaceContent};
    match &change {
        ReplaceContent(_) => {
            let before: usize = changes.iter().map(bytes_of).sum();
            changes.retain(|known| !matches!(known, AppendContent(_) | ReplaceContent(_)));
            let saved = before - changes.iter().map(bytes_of).sum::<usize>();
            changes.push(change);
            return saved;
        }
        AppendContent(more) => {
            let content = changes.iter_mut().rev().find_map(|known| match known {
                AppendContent(text) | ReplaceContent(text) => Some(text),
                MessageChange::AppendStatus(_)
                | MessageChange::ExtendEmbeds(_)
                | MessageChange::ReplaceEmbeds(_)
                | MessageChange::ExtendFiles(_)
                | MessageChange::AppendSource(_) => None,
            });
            // A long text is not copied for each word that is added to it.
            if let Some(text) = content
                && text.len() < MERGED_BYTES_MAX
            {
                *text = [&**text, &**more].concat().into();
                return CHANGE_BYTES;
            }
        }
        MessageChange::AppendStatus(_)
        | MessageChange::ExtendEmbeds(_)
        | MessageChange::ReplaceEmbeds(_)
        | MessageChange::ExtendFiles(_)
        | MessageChange::AppendSource(_) => {}
    }
    changes.push(change);
    0
}

/// What a change counts.
pub(crate) fn bytes_of(change: &MessageChange) -> usize {
    let (MessageChange::AppendStatus(text)
    | MessageChange::AppendContent(text)
    | MessageChange::ReplaceContent(text)
    | MessageChange::ExtendEmbeds(text)
    | MessageChange::ReplaceEmbeds(text)
    | MessageChange::ExtendFiles(text)
    | MessageChange::AppendSource(text)) = change;
    CHANGE_BYTES + text.len()
}

impl WriteTerms {
    /// How long after one write to a row the next one comes.
    fn span(&self, row: &Row) -> Duration {
        match row {
            Row::Channel { .. } | Row::Chat { .. } => self.read_span,
            Row::Messages(_) => self.message_span,
        }
    }
}

/// What a change counts besides its text.
const CHANGE_BYTES: usize = 64;
const MERGED_BYTES_MAX: usize = 4096;
