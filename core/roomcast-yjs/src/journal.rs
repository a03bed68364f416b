//! When a document's changes go to a store: appended to a log soon, folded into a snapshot now and then.
//!
//! Owns: numbering, grouping, deadlines and retries of one document's writes. Must never know: the document, or how a
//! store writes.
//!
//! What was received is appended within [`JournalTimes::append_after`]; a snapshot follows quiet, comes every so often
//! while edits go on, and at the close. A snapshot that is stored lets the store cut the log up to its number, so that a
//! crash between the two costs nothing: an update that is applied twice changes nothing.
//!
//! Several programs may write to one log ([`Writers::Several`]). Then the numbers are the log's, and a change has its final
//! one only when it is appended: an append says which entry it expects to be the last one, and is refused if another
//! program was first. What that one wrote is read, and the own changes move behind it ([`Journal::handle_others`]).

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use roomcast_time::Instant;

/// The journal of one loaded document.
#[derive(Debug)]
pub struct Journal {
    times: JournalTimes,
    /// Changes that are not known to be stored, oldest first; their numbers end at `last`.
    unstored: VecDeque<UnstoredChange>,
    unstored_bytes: usize,
    /// The number of the last change.
    last: u64,
    /// Changes that were made here, stored or not.
    changes: u64,
    /// The last change that a stored snapshot holds.
    snapshot_at: u64,
    /// Changes of `unstored`, from its front, that an append under way carries.
    appending: usize,
    /// The last change that a snapshot under way holds.
    snapshotting: Option<u64>,
    append_due: Option<Instant>,
    /// The last change that was given up for a snapshot because appends failed. Until a snapshot holds it, nothing is
    /// appended: the log would have a gap.
    gap_end: Option<u64>,
    /// How many changes had been made here before the first of those that were given up.
    given_up_from: Option<u64>,
    /// When the first change since the last snapshot came.
    dirty_since: Option<Instant>,
    changed_at: Instant,
    append_retry: Retry,
    snapshot_retry: Retry,
    closing: Closing,
    writers: Writers,
    /// Whether the last entry of the log is known to be another program's.
    last_by: LastWriter,
    currency: Currency,
}

/// A change that is not known to be stored.
#[derive(Debug)]
struct UnstoredChange {
    /// How many changes had been made here before this one.
    before: u64,
    update: Bytes,
}

/// Who writes to the log of a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Writers {
    /// One program at a time, which numbers its changes itself.
    #[default]
    One,
    /// Several programs, between which the store decides.
    Several,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastWriter {
    Own,
    Other,
}

/// Whether the log is known to its end, as far as the store has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Currency {
    Current,
    /// An append was refused: nothing is appended until what others wrote has been read.
    Behind,
}

/// How long things may wait.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct JournalTimes {
    /// From a change to the append that carries it. 40 ms.
    pub append_after: Duration,
    /// From the last change to a snapshot. 2 s.
    pub snapshot_after_quiet: Duration,
    /// From the first change to a snapshot, while changes go on. 10 s.
    pub snapshot_after_most: Duration,
    /// From a failure to the next try, doubled at each further one up to thirty times as much. 1 s.
    pub retry_after: Duration,
    /// Bytes of unstored changes at which they are appended at once, without waiting for `append_after`. 4 MiB.
    ///
    /// It also bounds what a failing store costs in memory: above it, once an append has failed, the changes are given up
    /// for a snapshot, which holds them too and is then due before anything else is appended.
    pub unstored_bytes_max: usize,
}

impl Default for JournalTimes {
    fn default() -> Self {
        Self {
            append_after: Duration::from_millis(40),
            snapshot_after_quiet: Duration::from_secs(2),
            snapshot_after_most: Duration::from_secs(10),
            retry_after: Duration::from_secs(1),
            unstored_bytes_max: 4 << 20,
        }
    }
}

/// Something for the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Append these to the log. Answer with [`Journal::handle_appended`].
    Append {
        /// The number of the first.
        first_sequence: u64,
        /// Changes in the order of their numbers.
        updates: Vec<Bytes>,
    },
    /// Store the document's present state. Answer with [`Journal::handle_snapshotted`].
    Snapshot {
        /// The last change that it holds.
        up_to_sequence: u64,
    },
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It survives a crash.
    Stored,
    /// It may or may not be there: it is tried again.
    Failed,
    /// Nothing was written, since the log has entries of others: what others wrote is to be read first. Only with
    /// [`Writers::Several`].
    Behind,
}

/// Whether own changes that are not appended have got other numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// They have those that they had.
    No,
    /// Each has the next.
    ByOne,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closing {
    No,
    Yes,
}

impl Journal {
    /// The journal of a document that was just loaded.
    ///
    /// `last_sequence` is the number of the last change that the log ever had; `log_len` how many changes came after the
    /// snapshot: with any, a snapshot is due after a while.
    pub fn new(times: JournalTimes, last_sequence: u64, log_len: usize, now: Instant) -> Self {
        let log_len = u64::try_from(log_len).unwrap_or(u64::MAX);
        Self {
            times,
            unstored: VecDeque::new(),
            unstored_bytes: 0,
            last: last_sequence,
            changes: 0,
            snapshot_at: last_sequence.saturating_sub(log_len),
            appending: 0,
            snapshotting: None,
            append_due: None,
            gap_end: None,
            given_up_from: None,
            dirty_since: (log_len > 0).then_some(now),
            changed_at: now,
            append_retry: Retry::default(),
            snapshot_retry: Retry::default(),
            closing: Closing::No,
            writers: Writers::One,
            last_by: LastWriter::Own,
            currency: Currency::Current,
        }
    }

    /// The same for a log to which these write.
    #[must_use]
    pub fn with_writers(mut self, writers: Writers) -> Self {
        self.writers = writers;
        self
    }

    /// The document has changed by this update.
    pub fn handle_change(&mut self, update: Bytes, now: Instant) {
        self.last += 1;
        self.last_by = LastWriter::Own;
        self.changed_at = now;
        self.dirty_since.get_or_insert(now);
        self.unstored_bytes += update.len();
        self.unstored.push_back(UnstoredChange { before: self.changes, update });
        self.changes += 1;
        self.append_due.get_or_insert(now + self.times.append_after);
        if self.is_full() {
            self.append_due = Some(now);
        }
        self.give_up_if_failing();
    }

    /// Takes the result of an append.
    pub fn handle_appended(&mut self, written: Written, now: Instant) {
        let carried = std::mem::take(&mut self.appending).min(self.unstored.len());
        match written {
            Written::Stored => {
                self.append_retry = Retry::default();
                self.drop_front(carried);
                self.append_due = (!self.unstored.is_empty()).then_some(now);
            }
            Written::Failed => {
                self.append_retry.fail(self.times.retry_after, now);
                self.give_up_if_failing();
            }
            Written::Behind => self.currency = Currency::Behind,
        }
    }

    /// The entry of the log behind [`logged_sequence`](Self::logged_sequence), which the document holds now. Own changes
    /// that are not appended yet move behind it, unless it is the first of these, of which the answer was lost.
    ///
    /// No append may be [under way](Self::is_appending).
    pub fn handle_others(&mut self, entry: &[u8], now: Instant) -> Moved {
        debug_assert!(self.appending == 0, "numbers of an append under way are fixed");
        if self.unstored.front().is_some_and(|own| own.update == entry) {
            self.drop_front(1);
            return Moved::No;
        }
        self.last += 1;
        self.dirty_since.get_or_insert(now);
        if self.unstored.is_empty() {
            (self.last_by, self.changed_at) = (LastWriter::Other, now);
        }
        Moved::ByOne
    }

    /// A snapshot of another program has cut the log up to there, and the document holds what it holds.
    pub fn handle_others_cut(&mut self, up_to: u64, now: Instant) {
        debug_assert!(self.appending == 0, "numbers of an append under way are fixed");
        let moved = up_to.saturating_sub(self.logged_sequence());
        self.last += moved;
        if moved > 0 && self.unstored.is_empty() {
            (self.last_by, self.changed_at) = (LastWriter::Other, now);
        }
        self.handle_others_snapshot(up_to, now);
    }

    /// What others wrote is read up to the end of the log.
    pub fn handle_current(&mut self, now: Instant) {
        if std::mem::replace(&mut self.currency, Currency::Current) == Currency::Behind {
            self.append_due = (!self.unstored.is_empty()).then_some(now);
        }
    }

    /// Another program has stored a snapshot that holds the log up to there.
    pub fn handle_others_snapshot(&mut self, up_to: u64, now: Instant) {
        if up_to > self.snapshot_at && up_to <= self.logged_sequence() {
            self.snapshot_at = up_to;
            self.dirty_since = (self.last > up_to).then_some(now);
        }
    }

    /// The log ends before entries that were in it: the store has lost them. A snapshot takes their place, and nothing is
    /// appended before it is stored, so that no number is given twice.
    pub fn handle_lost(&mut self, now: Instant) {
        self.gap_end = Some(self.logged_sequence());
        self.snapshot_at = 0;
        (self.last_by, self.currency, self.dirty_since) = (LastWriter::Own, Currency::Current, Some(now));
    }

    /// Removes a change that was not appended.
    pub fn withdraw(&mut self, change: &[u8]) {
        if self.appending == 0
            && let Some(place) = self.unstored.iter().position(|own| own.update == change)
        {
            let gone = self.unstored.remove(place);
            self.unstored_bytes -= gone.map_or(0, |gone| gone.update.len());
            self.last -= 1;
        }
    }

    /// Takes the result of a snapshot.
    pub fn handle_snapshotted(&mut self, written: Written, now: Instant) {
        let Some(up_to) = self.snapshotting.take() else { return };
        match written {
            Written::Stored => {
                self.snapshot_retry = Retry::default();
                self.snapshot_at = up_to;
                self.dirty_since = (self.last > up_to).then_some(now);
                if self.gap_end.is_some_and(|end| end <= up_to) {
                    (self.gap_end, self.append_retry, self.given_up_from) = (None, Retry::default(), None);
                }
                self.drop_covered(up_to);
            }
            Written::Failed => self.snapshot_retry.fail(self.times.retry_after, now),
            Written::Behind => {
                self.snapshot_retry.fail(self.times.retry_after, now);
                self.currency = Currency::Behind;
            }
        }
    }

    /// The last member has left, or the server ends: store everything now.
    pub fn close(&mut self) {
        self.closing = Closing::Yes;
        (self.append_retry.at, self.snapshot_retry.at) = (None, None);
    }

    /// Goes on as before [`Self::close`]: a member joined again.
    pub fn reopen(&mut self) {
        self.closing = Closing::No;
    }

    /// The next write that is due. At most one append and one snapshot are under way at a time.
    pub fn poll_write(&mut self, now: Instant) -> Option<Write> {
        if self.snapshot_due().is_some_and(|due| due <= now) {
            self.snapshotting = Some(self.last);
            return Some(Write::Snapshot { up_to_sequence: self.last });
        }
        if self.append_due().is_some_and(|due| due <= now) {
            self.appending = self.unstored.len();
            let count = u64::try_from(self.appending).unwrap_or(0);
            let updates = self.unstored.iter().map(|change| change.update.clone()).collect();
            return Some(Write::Append { first_sequence: self.last + 1 - count, updates });
        }
        None
    }

    /// When [`poll_write`](Self::poll_write) will have something.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [self.snapshot_due(), self.append_due()].into_iter().flatten().min()
    }

    /// Whether a snapshot holds everything and nothing is under way.
    pub fn is_stored(&self) -> bool {
        let is_snapshotted = match self.writers {
            Writers::One => self.snapshot_at == self.last,
            Writers::Several => {
                self.unstored.is_empty() && (self.last_by == LastWriter::Other || self.snapshot_at == self.last)
            }
        };
        is_snapshotted && self.snapshotting.is_none() && self.appending == 0
    }

    /// A snapshot that [`poll_write`](Self::poll_write) has asked for is not made, since the document has changed.
    pub fn put_snapshot_off(&mut self) {
        self.snapshotting = None;
    }

    /// Whether the document as it is now is what the log has up to there.
    pub fn is_at(&self, sequence: u64) -> bool {
        self.last == sequence
    }

    /// The last entry that a stored snapshot holds.
    pub fn snapshot_sequence(&self) -> u64 {
        self.snapshot_at
    }

    /// Whether an append is under way.
    pub fn is_appending(&self) -> bool {
        self.appending > 0
    }

    /// Whether others have written what has not been read.
    pub fn is_behind(&self) -> bool {
        self.currency == Currency::Behind
    }

    /// The changes that an append under way carries, with the number of the first.
    pub fn appending(&self) -> (u64, Vec<Bytes>) {
        let carried = self.unstored.iter().take(self.appending).map(|change| change.update.clone());
        (self.logged_sequence() + 1, carried.collect())
    }

    /// The number of the last entry of the log that is known to be there. With [`Writers::Several`] alone.
    pub fn logged_sequence(&self) -> u64 {
        self.last.saturating_sub(u64::try_from(self.unstored.len()).unwrap_or(u64::MAX))
    }

    /// Whether more changes wait for the store than should, because it fails.
    pub fn is_overfull(&self) -> bool {
        self.is_full() && self.append_retry.failures > 0
    }

    /// The number of the last change, which may not be appended yet.
    pub fn last_sequence(&self) -> u64 {
        self.last
    }

    /// How many changes were made here since the document was loaded.
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// How many of these, from the first on, are known to be stored: they survive a crash.
    pub fn stored_changes(&self) -> u64 {
        let first_unstored = self.unstored.front().map(|change| change.before);
        self.given_up_from.or(first_unstored).unwrap_or(self.changes)
    }

    fn append_due(&self) -> Option<Instant> {
        let is_current = self.currency == Currency::Current && self.gap_end.is_none();
        let idle = self.appending == 0 && is_current && !self.unstored.is_empty();
        let due = self.append_due.filter(|_| idle)?;
        Some(self.append_retry.not_before(due))
    }

    fn snapshot_due(&self) -> Option<Instant> {
        let since = self.dirty_since.filter(|_| self.snapshotting.is_none())?;
        if self.writers == Writers::Several && !self.may_snapshot() {
            return None;
        }
        let due = match (self.closing, self.last_by) {
            // That one is to do it, which may be gone.
            (Closing::Yes, LastWriter::Other) => return None,
            (Closing::No, LastWriter::Other) => since + self.times.snapshot_after_most * 2,
            (Closing::Yes, LastWriter::Own) => Instant::default(),
            (Closing::No, LastWriter::Own) if self.gap_end.is_some() => Instant::default(),
            (Closing::No, LastWriter::Own) => {
                (self.changed_at + self.times.snapshot_after_quiet).min(since + self.times.snapshot_after_most)
            }
        };
        Some(self.snapshot_retry.not_before(due))
    }

    /// Of several writers, whether a snapshot would hold what the log has, and nothing else. Another program that has read
    /// the log must have all that the next one finds in the snapshot.
    fn may_snapshot(&self) -> bool {
        let is_same = self.unstored.is_empty() && self.currency == Currency::Current;
        self.gap_end.is_some() || (is_same && self.snapshot_at != self.last)
    }

    const fn is_full(&self) -> bool {
        self.unstored_bytes > self.times.unstored_bytes_max
    }

    /// Bounds what waits while the store refuses appends: the document, and so the next snapshot, holds it too.
    fn give_up_if_failing(&mut self) {
        let is_one = self.writers == Writers::One;
        if is_one && self.is_full() && self.appending == 0 && self.append_retry.failures > 0 {
            let first = self.unstored.front().map(|change| change.before);
            self.given_up_from = self.given_up_from.or(first);
            (self.unstored, self.unstored_bytes, self.append_due) = (VecDeque::new(), 0, None);
            self.gap_end = Some(self.last);
        }
    }

    /// Changes that a stored snapshot holds need not be appended any more.
    fn drop_covered(&mut self, up_to: u64) {
        if self.appending > 0 {
            return;
        }
        let after = usize::try_from(self.last - up_to).unwrap_or(usize::MAX);
        let covered = self.unstored.len().saturating_sub(after);
        self.drop_front(covered);
        if self.unstored.is_empty() {
            self.append_due = None;
        }
    }

    fn drop_front(&mut self, count: usize) {
        self.unstored_bytes -= self.unstored.drain(..count).map(|change| change.update.len()).sum::<usize>();
        if self.unstored.capacity() > CAPACITY_KEPT {
            self.unstored.shrink_to(self.unstored.len().max(CAPACITY_KEPT));
        }
    }
}

/// When a kind of write that failed is tried again. Each kind has its own: that appends work says nothing of snapshots,
/// which may be a thousand times as long.
#[derive(Clone, Copy, Debug, Default)]
struct Retry {
    at: Option<Instant>,
    failures: u32,
}

impl Retry {
    fn fail(&mut self, after: Duration, now: Instant) {
        let factor = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX).min(RETRY_FACTOR_MAX);
        self.failures = self.failures.saturating_add(1);
        self.at = Some(now + after * factor);
    }

    fn not_before(&self, due: Instant) -> Instant {
        self.at.map_or(due, |at| due.max(at))
    }
}

const RETRY_FACTOR_MAX: u32 = 30;
/// Places of the queue that are kept after a burst.
const CAPACITY_KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn changes_are_appended_soon_and_together() {
        let mut journal = Journal::new(JournalTimes::default(), 7, 0, at(0));
        journal.handle_change(Bytes::from_static(b"a"), at(0));
        journal.handle_change(Bytes::from_static(b"b"), at(10));
        assert_eq!((journal.poll_write(at(39)), journal.poll_timeout()), (None, Some(at(40))));
        let updates = vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")];
        assert_eq!(journal.poll_write(at(40)), Some(Write::Append { first_sequence: 8, updates: updates.clone() }));
        journal.handle_appended(Written::Failed, at(50));
        assert_eq!((journal.poll_write(at(1049)), journal.poll_timeout()), (None, Some(at(1050))));
        assert_eq!(journal.poll_write(at(1050)), Some(Write::Append { first_sequence: 8, updates }), "the same again");
        journal.handle_appended(Written::Stored, at(1060));
        assert_eq!(journal.poll_timeout(), Some(at(2010)), "a snapshot after two seconds of quiet");
        assert_eq!(journal.poll_write(at(2010)), Some(Write::Snapshot { up_to_sequence: 9 }));
        assert!(!journal.is_stored());
        journal.handle_snapshotted(Written::Stored, at(2020));
        assert!(journal.is_stored());
        assert_eq!(journal.poll_timeout(), None);
    }

    #[test]
    fn changes_count_as_stored_from_the_first_on_however_they_were() {
        let times = JournalTimes { unstored_bytes_max: 10, ..JournalTimes::default() };
        let mut journal = Journal::new(times, 7, 0, at(0));
        journal.handle_change(Bytes::from_static(b"one"), at(0));
        assert!(journal.poll_write(at(40)).is_some());
        journal.handle_change(Bytes::from_static(b"two"), at(41));
        assert_eq!((journal.changes(), journal.stored_changes()), (2, 0));
        journal.handle_appended(Written::Stored, at(42));
        assert_eq!((journal.changes(), journal.stored_changes()), (2, 1), "the second was not carried");
        // Given up while the store fails: they are stored with the snapshot that holds them, and not before.
        assert!(journal.poll_write(at(42)).is_some());
        journal.handle_appended(Written::Failed, at(43));
        journal.handle_change(Bytes::from_static(b"a long one"), at(44));
        assert!(journal.unstored.is_empty());
        assert_eq!((journal.changes(), journal.stored_changes()), (3, 1));
        assert_eq!(journal.poll_write(at(44)), Some(Write::Snapshot { up_to_sequence: 10 }));
        journal.handle_change(Bytes::from_static(b"four"), at(45));
        assert_eq!((journal.changes(), journal.stored_changes()), (4, 1));
        journal.handle_snapshotted(Written::Stored, at(46));
        assert_eq!((journal.changes(), journal.stored_changes()), (4, 3));
    }

    #[test]
    fn a_change_that_is_withdrawn_makes_no_later_one_stored() {
        let mut journal = Journal::new(JournalTimes::default(), 0, 0, at(0)).with_writers(Writers::Several);
        for change in [&b"in front"[..], b"one", b"two"] {
            journal.handle_change(Bytes::from_static(change), at(0));
        }
        journal.withdraw(b"in front");
        assert_eq!((journal.changes(), journal.stored_changes()), (3, 1), "there is no first one to be stored");
        journal.withdraw(b"two");
        assert_eq!((journal.changes(), journal.stored_changes()), (3, 1));
        assert!(journal.poll_write(at(40)).is_some());
        journal.handle_appended(Written::Stored, at(41));
        assert_eq!(journal.stored_changes(), 3);
    }

    #[test]
    fn edits_that_go_on_do_not_put_the_snapshot_off() {
        let mut journal = Journal::new(JournalTimes::default(), 0, 0, at(0));
        let mut snapshots = Vec::new();
        for ms in (0..25_000).step_by(500) {
            journal.handle_change(Bytes::from_static(b"x"), at(ms));
            while let Some(write) = journal.poll_write(at(ms)) {
                match write {
                    Write::Append { .. } => journal.handle_appended(Written::Stored, at(ms)),
                    Write::Snapshot { .. } => {
                        snapshots.push(ms);
                        journal.handle_snapshotted(Written::Stored, at(ms));
                    }
                }
            }
        }
        assert_eq!(snapshots, [10_000, 20_500]);
    }

    #[test]
    fn a_store_that_fails_for_long_costs_bounded_memory() {
        let times = JournalTimes { unstored_bytes_max: 1000, ..JournalTimes::default() };
        let mut journal = Journal::new(times, 0, 0, at(0));
        for ms in 0..100_000 {
            journal.handle_change(Bytes::from_static(b"ten bytes."), at(ms));
            while let Some(write) = journal.poll_write(at(ms)) {
                match write {
                    Write::Append { .. } => journal.handle_appended(Written::Failed, at(ms)),
                    Write::Snapshot { .. } => journal.handle_snapshotted(Written::Failed, at(ms)),
                }
            }
            assert!(journal.unstored_bytes <= 1010);
        }
        journal.close();
        assert_eq!(journal.poll_write(at(100_000)), Some(Write::Snapshot { up_to_sequence: 100_000 }));
        journal.handle_snapshotted(Written::Stored, at(100_000));
        assert!(journal.is_stored());
    }

    #[test]
    fn a_burst_above_the_limit_is_appended_at_once_and_nothing_of_it_dropped() {
        let times = JournalTimes { unstored_bytes_max: 1000, ..JournalTimes::default() };
        let mut journal = Journal::new(times, 0, 0, at(0));
        let update = Bytes::from(vec![7; 300]);
        for _ in 0..3 {
            journal.handle_change(update.clone(), at(0));
        }
        assert_eq!(journal.poll_write(at(0)), None, "there is time to group them");
        journal.handle_change(update.clone(), at(1));
        assert_eq!(journal.poll_timeout(), Some(at(1)));
        let Some(Write::Append { first_sequence: 1, updates }) = journal.poll_write(at(1)) else { panic!("no append") };
        assert_eq!(updates.len(), 4);
        // While the store works on these, more than the limit comes again.
        for _ in 0..20 {
            journal.handle_change(update.clone(), at(2));
        }
        assert_eq!(journal.poll_write(at(500)), None);
        journal.handle_appended(Written::Stored, at(500));
        let Some(Write::Append { first_sequence: 5, updates }) = journal.poll_write(at(500)) else {
            panic!("no append")
        };
        assert_eq!(updates.len(), 20);
        journal.handle_appended(Written::Stored, at(501));
        assert!(journal.unstored.capacity() <= 2 * CAPACITY_KEPT && journal.unstored_bytes == 0);
    }

    #[test]
    fn what_a_failing_store_lost_is_in_a_snapshot_before_anything_is_appended_behind_it() {
        let times = JournalTimes { unstored_bytes_max: 10, ..JournalTimes::default() };
        let mut journal = Journal::new(times, 0, 0, at(0));
        let update = Bytes::from_static(b"eight...");
        journal.handle_change(update.clone(), at(0));
        assert!(matches!(journal.poll_write(at(40)), Some(Write::Append { .. })));
        journal.handle_change(update.clone(), at(41));
        assert_eq!(journal.unstored.len(), 2, "nothing is given up while an append is under way");
        journal.handle_appended(Written::Failed, at(50));
        assert_eq!(journal.poll_write(at(50)), Some(Write::Snapshot { up_to_sequence: 2 }), "at once");
        journal.handle_change(update.clone(), at(60));
        assert_eq!(journal.poll_write(at(2000)), None, "an append now would leave a gap in the log");
        journal.handle_snapshotted(Written::Failed, at(2000));
        assert_eq!(journal.poll_write(at(3000)), Some(Write::Snapshot { up_to_sequence: 3 }));
        journal.handle_snapshotted(Written::Stored, at(3000));
        journal.handle_change(update.clone(), at(3000));
        let append = Write::Append { first_sequence: 4, updates: vec![update.clone()] };
        assert_eq!(journal.poll_write(at(3040)), Some(append));
        journal.handle_appended(Written::Stored, at(3041));
        // The store works again: a burst is not given up any more.
        (0..3).for_each(|_| journal.handle_change(update.clone(), at(3050)));
        assert!(
            matches!(journal.poll_write(at(3050)), Some(Write::Append { first_sequence: 5, updates }) if updates.len() == 3)
        );
    }

    fn shared(last: u64) -> Journal {
        Journal::new(JournalTimes::default(), last, 0, at(0)).with_writers(Writers::Several)
    }

    #[test]
    fn of_several_writers_own_changes_move_behind_what_others_were_first_with() {
        let mut journal = shared(7);
        journal.handle_change(Bytes::from_static(b"own"), at(0));
        assert!(matches!(journal.poll_write(at(40)), Some(Write::Append { first_sequence: 8, .. })));
        journal.handle_appended(Written::Behind, at(41));
        assert_eq!((journal.poll_write(at(9000)), journal.is_behind()), (None, true), "first it is read");
        assert_eq!(journal.handle_others(b"another's", at(9000)), Moved::ByOne);
        journal.handle_current(at(9000));
        assert_eq!((journal.logged_sequence(), journal.last_sequence()), (8, 9));
        assert!(matches!(journal.poll_write(at(9000)), Some(Write::Append { first_sequence: 9, .. })));
        // The answer is lost, and what was written is found in the log.
        journal.handle_appended(Written::Failed, at(9001));
        assert_eq!(journal.handle_others(b"own", at(9002)), Moved::No);
        assert_eq!((journal.logged_sequence(), journal.last_sequence()), (9, 9));
    }

    #[test]
    fn of_several_writers_a_snapshot_has_the_log_and_nothing_else() {
        let mut journal = shared(0);
        for ms in 0..30_000 {
            journal.handle_change(Bytes::from_static(b"x"), at(ms));
            match journal.poll_write(at(ms)) {
                Some(Write::Append { .. }) => {
                    // Another change comes before the answer.
                    journal.handle_change(Bytes::from_static(b"y"), at(ms));
                    journal.handle_appended(Written::Stored, at(ms));
                }
                Some(Write::Snapshot { .. }) => panic!("something is not appended"),
                None => {}
            }
        }
        assert!(matches!(journal.poll_write(at(30_040)), Some(Write::Append { .. })));
        journal.handle_appended(Written::Stored, at(30_040));
        let last = journal.last_sequence();
        assert_eq!(journal.poll_write(at(30_040)), Some(Write::Snapshot { up_to_sequence: last }), "it is overdue");
    }

    #[test]
    fn the_writer_of_the_last_entry_stores_the_snapshot() {
        let (mut first, mut last) = (shared(0), shared(0));
        first.handle_change(Bytes::from_static(b"one"), at(0));
        assert!(first.poll_write(at(40)).is_some());
        first.handle_appended(Written::Stored, at(41));
        last.handle_others(b"one", at(42));
        assert!(last.is_stored() && !first.is_stored());
        last.handle_change(Bytes::from_static(b"two"), at(50));
        assert!(matches!(last.poll_write(at(90)), Some(Write::Append { first_sequence: 2, .. })));
        last.handle_appended(Written::Stored, at(91));
        first.handle_others(b"two", at(92));
        assert_eq!(first.poll_write(at(10_000)), None);
        assert_eq!(last.poll_write(at(10_000)), Some(Write::Snapshot { up_to_sequence: 2 }));
        // Should that one be gone, the other does it in the end.
        assert_eq!(first.poll_write(at(30_000)), Some(Write::Snapshot { up_to_sequence: 2 }));
        first.handle_snapshotted(Written::Stored, at(30_000));
        // And hears of it otherwise.
        last.handle_snapshotted(Written::Failed, at(10_001));
        last.handle_others_snapshot(2, at(30_001));
        assert!(last.is_stored());
        assert_eq!(last.poll_timeout(), None);
    }

    #[test]
    fn a_log_that_has_lost_its_end_goes_on_behind_a_snapshot() {
        let mut journal = shared(7);
        journal.handle_change(Bytes::from_static(b"own"), at(0));
        journal.handle_lost(at(1));
        assert_eq!(journal.poll_write(at(1)), Some(Write::Snapshot { up_to_sequence: 8 }));
        assert_eq!(journal.poll_write(at(9000)), None, "no number is given twice");
        journal.handle_snapshotted(Written::Stored, at(9000));
        assert!(journal.is_stored());
        journal.handle_change(Bytes::from_static(b"more"), at(9000));
        assert!(matches!(journal.poll_write(at(9040)), Some(Write::Append { first_sequence: 9, .. })));
    }

    #[test]
    fn a_snapshot_that_fails_is_not_tried_again_for_every_append_that_works() {
        let mut journal = Journal::new(JournalTimes::default(), 0, 0, at(0));
        let mut snapshots = Vec::new();
        for ms in (0..60_000).step_by(50) {
            journal.handle_change(Bytes::from_static(b"x"), at(ms));
            while let Some(write) = journal.poll_write(at(ms)) {
                match write {
                    Write::Append { .. } => journal.handle_appended(Written::Stored, at(ms)),
                    Write::Snapshot { .. } => {
                        snapshots.push(ms);
                        journal.handle_snapshotted(Written::Failed, at(ms));
                    }
                }
            }
            assert!(journal.unstored.len() <= 1, "appends go on");
        }
        assert_eq!(snapshots, [10_000, 11_000, 13_000, 17_000, 25_000, 41_000]);
        journal.close();
        assert!(
            matches!(journal.poll_write(at(60_000)), Some(Write::Snapshot { .. })),
            "at the end it is tried at once"
        );
    }

    proptest! {
        /// A store that works and takes `latency`, a process that may be killed at any moment: what was relayed longer ago
        /// than the promised delay is in the snapshot or in the log behind it, without a gap.
        #[test]
        fn a_crash_loses_only_what_is_younger_than_promised(
            bursts in prop::collection::vec((0u64..60, 1usize..30, 1usize..2000), 1..60),
            latency in 0u64..30,
        ) {
            let times = JournalTimes { unstored_bytes_max: 4096, ..JournalTimes::default() };
            let mut journal = Journal::new(times, 0, 0, at(0));
            let mut relayed: Vec<u64> = Vec::new();
            let (mut snapshot, mut log) = (0, std::collections::BTreeSet::new());
            let mut under_way: Vec<(u64, Write)> = Vec::new();
            let mut bursts = bursts.into_iter();
            let (mut next_burst, mut checked) = (0, 0);
            for ms in 0..4_000 {
                let (done, rest) = under_way.into_iter().partition(|&(until, _)| until <= ms);
                under_way = rest;
                for (_, write) in done {
                    finish(&mut journal, write, true, at(ms), &mut snapshot, &mut log);
                }
                if ms == next_burst && let Some((pause, count, len)) = bursts.next() {
                    for _ in 0..count {
                        relayed.push(ms);
                        journal.handle_change(Bytes::from(vec![0; len]), at(ms));
                    }
                    next_burst = ms + 1 + pause;
                }
                under_way.extend(std::iter::from_fn(|| journal.poll_write(at(ms))).map(|write| (ms + latency, write)));
                // Killed here. An append waits for its time, for the one before it, and for the store.
                let promised = u64::try_from(relayed.partition_point(|&relayed| relayed + 40 + 2 * latency < ms)).unwrap();
                for sequence in checked + 1..=promised {
                    prop_assert!(sequence <= snapshot || log.contains(&sequence), "{sequence} at {ms} ms");
                }
                checked = promised;
            }
        }

        /// After any failures at any time: once the store works, everything is in the snapshot or in the log behind it.
        #[test]
        fn nothing_is_lost(steps in prop::collection::vec((0u8..6, 1u64..3000), 0..200)) {
            let mut journal = Journal::new(JournalTimes::default(), 0, 0, at(0));
            let (mut now, mut changes) = (0, 0u64);
            let (mut snapshot, mut log) = (0u64, std::collections::BTreeSet::new());
            let mut under_way = VecDeque::new();
            for (what, by) in steps {
                now += by;
                match what {
                    0 | 1 => { changes += 1; journal.handle_change(Bytes::from_static(b"u"), at(now)); }
                    2 => journal.close(),
                    3 => journal.reopen(),
                    _ => if let Some(write) = under_way.pop_front() {
                        finish(&mut journal, write, what == 4, at(now), &mut snapshot, &mut log);
                    }
                }
                while let Some(write) = journal.poll_write(at(now)) {
                    under_way.push_back(write);
                    prop_assert!(under_way.len() <= 2);
                }
            }
            journal.close();
            for _ in 0..10 {
                while let Some(write) = under_way.pop_front() {
                    finish(&mut journal, write, true, at(now), &mut snapshot, &mut log);
                }
                now += 100_000;
                under_way.extend(std::iter::from_fn(|| journal.poll_write(at(now))));
            }
            prop_assert!(journal.is_stored());
            prop_assert_eq!(snapshot, changes);
        }
    }

    fn finish(
        journal: &mut Journal,
        write: Write,
        works: bool,
        now: Instant,
        snapshot: &mut u64,
        log: &mut std::collections::BTreeSet<u64>,
    ) {
        let written = if works { Written::Stored } else { Written::Failed };
        match write {
            Write::Append { first_sequence, updates } => {
                if works {
                    log.extend((first_sequence..).take(updates.len()));
                }
                journal.handle_appended(written, now);
            }
            Write::Snapshot { up_to_sequence } => {
                if works {
                    *snapshot = up_to_sequence;
                    log.retain(|sequence| *sequence > up_to_sequence);
                }
                journal.handle_snapshotted(written, now);
            }
        }
    }

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }
}
