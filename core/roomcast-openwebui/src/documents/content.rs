//! The rendered content of a note: when it is saved, and how it is known again.
//!
//! Owns: debouncing, retries, marks of contents, and the entries of a log that carry them. Must never know: a document
//! or a store.
//!
//! A document and the note that it renders live in two stores, and a crash may come between two writes. So that the
//! note's own content is not taken for a change made elsewhere afterwards, the mark of a content is put into the log
//! before the content is saved, and a snapshot carries the marks of all contents that the note may have by then. It carries
//! those of earlier contents as well: what has read the note before may write one of them back, also behind a restart.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use bytestring::ByteString;
use serde_json::value::RawValue;
use sha1::{Digest, Sha1};

use super::names::MemberKey;
use super::settings::DocumentSettings;
use crate::query::{ContentHash, User};
use roomcast_core::time::Instant;

/// What tells one content from another: the first bytes of its SHA-1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark([u8; Mark::LEN]);

impl Mark {
    const LEN: usize = 4;

    /// The mark of a content, independent of the order of its fields and the blanks between them. `None` if it says
    /// nothing: it is no object, or all of its fields are empty. Stores keep no NUL, so that none counts.
    pub(super) fn of(json: &str) -> Option<Self> {
        if says_nothing(json) {
            return None;
        }
        let mut value: serde_json::Value = serde_json::from_str(json).ok()?;
        value.sort_all_objects();
        let digest = Sha1::digest(value.to_string().replace(NUL, ""));
        digest.first_chunk().copied().map(Self)
    }
}

/// Whether a content is none, or empty in all of its fields.
pub(super) fn says_nothing(json: &str) -> bool {
    let Ok(fields) = serde_json::from_str::<BTreeMap<String, &RawValue>>(json) else { return true };
    fields.values().all(|value| matches!(value.get(), "null" | "\"\"" | "{}" | "[]"))
}

/// An entry of a document's log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LogEntry<'a> {
    /// A Yjs update.
    Update(&'a [u8]),
    /// The note may have this content from here on.
    Content(Mark),
    /// The document begins again from this content, which is not its own: what came before counts no more.
    Reset(Mark),
}

impl<'a> LogEntry<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Self {
        let Some((kind, mark)) = bytes.strip_prefix(&NO_UPDATE).and_then(<[u8]>::split_first) else {
            return Self::Update(bytes);
        };
        match (kind, mark.try_into()) {
            (&CONTENT, Ok(mark)) => Self::Content(Mark(mark)),
            (&RESET, Ok(mark)) => Self::Reset(Mark(mark)),
            _ => Self::Update(bytes),
        }
    }

    pub(super) fn write(&self) -> Bytes {
        let (kind, Mark(mark)) = match self {
            Self::Update(update) => return Bytes::copy_from_slice(update),
            Self::Content(mark) => (CONTENT, mark),
            Self::Reset(mark) => (RESET, mark),
        };
        [&NO_UPDATE[..], &[kind], mark].concat().into()
    }
}

/// Whether an entry of a log is a Yjs update.
pub(super) fn is_update(entry: &[u8]) -> bool {
    match LogEntry::read(entry) {
        LogEntry::Update(_) => true,
        LogEntry::Content(_) | LogEntry::Reset(_) => false,
    }
}

/// The marks that a snapshot carries, the newest first, and back.
pub(super) fn marks_of(hash: &ContentHash) -> Vec<Mark> {
    let marks = hash.0.chunks_exact(Mark::LEN).filter_map(|mark| <[u8; Mark::LEN]>::try_from(mark).ok());
    marks.filter(|mark| *mark != [0; Mark::LEN]).map(Mark).collect()
}

fn hash_of(marks: impl Iterator<Item = Mark>) -> Option<ContentHash> {
    let hash: Vec<u8> = marks.flat_map(|Mark(mark)| mark).collect();
    (!hash.is_empty()).then(|| ContentHash(hash.into()))
}

/// What a note contains, and what it is to contain.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// As last heard of, for front ends that want it.
    current: Option<ByteString>,
    saved: Option<Mark>,
    /// Of the saves since then of which it is not known whether they were carried out.
    doubtful: Vec<Mark>,
    flying: Option<SaveUnderWay>,
    next: Option<NextSave>,
    /// A long one whose mark is being made elsewhere. It would be the next.
    marking: Option<NextSave>,
    /// What comes behind the next one, where that has waited for too long to be passed over.
    newer: Option<NextSave>,
    retry_at: Option<Instant>,
    failures: u32,
    /// Marks that survive a crash: of the stored snapshot, and of the log behind it.
    snapshot: Vec<Mark>,
    log: Vec<Logged>,
    /// Of contents that the note had before the saved one, as far as this document has seen.
    earlier: VecDeque<Mark>,
    /// Whether something was saved since the note was last looked at.
    verification: Verification,
    /// Of a snapshot under way.
    snapshotting: Vec<Mark>,
    /// The snapshots that may yet take the place of the stored one, or have done so.
    coming: Option<Coming>,
}

/// Whether the note is known to have the content that was saved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Verification {
    #[default]
    Needless,
    Wanted,
    /// A content is saved again. That is done once.
    Repeated,
}

/// What a note has when it is looked at once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ContentFound {
    /// The content that was saved, or none.
    AsSaved,
    /// A content that the note had before that: it will be saved again.
    Earlier,
    /// Another one: the note was changed elsewhere.
    Foreign,
}

/// Snapshots of which it is not known whether they are stored.
#[derive(Debug)]
struct Coming {
    /// The log may be cut up to here.
    up_to: u64,
    /// The marks that all of them carry.
    marks: Vec<Mark>,
}

/// Who rendered a content.
#[derive(Clone, Debug)]
pub(super) struct ContentAuthor {
    pub(super) member: MemberKey,
    /// As it was then; `None` if no rights need to be looked at.
    pub(super) user: Option<User>,
}

#[derive(Debug)]
struct SaveUnderWay {
    json: ByteString,
    mark: Option<Mark>,
    first: Instant,
    author: Option<ContentAuthor>,
}

#[derive(Debug)]
struct NextSave {
    json: ByteString,
    /// Made once it is due.
    mark: Option<Mark>,
    first: Instant,
    due: Instant,
    author: Option<ContentAuthor>,
}

impl NextSave {
    fn is_of(&self, member: MemberKey) -> bool {
        self.author.as_ref().is_some_and(|author| author.member == member)
    }
}

/// A mark in the log.
#[derive(Debug)]
struct Logged {
    sequence: u64,
    mark: Mark,
    stored: bool,
}

/// What is to be done about a content.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DueSave {
    /// Have the mark of this made elsewhere, as it takes long, and tell by [`Content::marked`].
    Mark(ByteString),
    /// Put this mark into the log, and tell by [`Content::logged`].
    Log(Mark),
    /// Save this. Answer by [`Content::saved`] or [`Content::failed`].
    Save(ByteString),
}

impl Content {
    /// What a note contains, and what was stored of its marks, the oldest first.
    pub(super) fn loaded(current: Option<ByteString>, stored: Vec<Mark>) -> Self {
        let saved = current.as_deref().and_then(Mark::of);
        let mut content = Self { current, saved, ..Self::default() };
        stored.iter().filter(|mark| saved != Some(**mark)).for_each(|mark| content.remember(*mark));
        Self { snapshot: stored, ..content }
    }

    pub(super) const fn current(&self) -> Option<&ByteString> {
        self.current.as_ref()
    }

    /// A member that may write rendered this.
    pub(super) fn put(&mut self, json: ByteString, author: ContentAuthor, settings: &DocumentSettings, now: Instant) {
        self.current = Some(json.clone());
        let place = if self.newer.is_some() { &mut self.newer } else { &mut self.next };
        let first = place.as_ref().map_or(now, |next| next.first);
        let due = (now + settings.save_after).min(first + settings.save_after_most);
        *place = Some(NextSave { json, mark: None, first, due, author: Some(author) });
        self.verification = Verification::Wanted;
    }

    /// What a member rendered that has left is saved without delay.
    pub(super) fn author_left(&mut self, author: MemberKey, now: Instant) {
        for next in self.next.iter_mut().chain(&mut self.newer).filter(|next| next.is_of(author)) {
            next.due = next.due.min(now);
        }
    }

    /// Everything is saved without delay.
    pub(super) fn flush(&mut self, now: Instant) {
        for next in self.next.iter_mut().chain(&mut self.newer) {
            next.due = next.due.min(now);
            self.retry_at = None;
        }
    }

    pub(super) fn poll(&mut self, settings: &DocumentSettings, now: Instant) -> Option<DueSave> {
        if self.flying.is_some() || self.timeout(settings)? > now {
            return None;
        }
        let is_long = |next: &mut NextSave| next.mark.is_none() && next.json.len() > settings.quick_json_bytes();
        if let Some(next) = self.next.take_if(is_long) {
            return Some(DueSave::Mark(self.marking.insert(next).json.clone()));
        }
        let next = self.next.as_mut()?;
        if next.mark.is_none() {
            next.mark = Mark::of(&next.json);
        }
        let mark = next.mark;
        let latest = self.latest(self.next.as_ref()?, settings);
        if self.doubtful.is_empty() && mark.is_some() && mark == self.saved {
            self.next = self.newer.take();
            return None;
        }
        if let Some(mark) = mark.filter(|mark| !self.is_durable(*mark)) {
            if !self.is_logged(mark) {
                return Some(DueSave::Log(mark));
            }
            // A store that takes no mark in time is not waited for: without its log, the note is the best there is.
            if now < latest {
                return None;
            }
        }
        let NextSave { json, mark, first, author, .. } = self.next.take()?;
        self.flying = Some(SaveUnderWay { json: json.clone(), mark, first, author });
        Some(DueSave::Save(json))
    }

    /// When [`poll`](Self::poll) has something, unless it waits for an answer.
    pub(super) fn timeout(&self, settings: &DocumentSettings) -> Option<Instant> {
        let next = self.next.as_ref().filter(|_| self.flying.is_none() && self.marking.is_none())?;
        let is_waiting = next.mark.is_some_and(|mark| !self.is_durable(mark) && self.is_logged(mark));
        let due = if is_waiting { next.due.max(self.latest(next, settings)) } else { next.due };
        Some(self.retry_at.map_or(due, |retry| due.max(retry)))
    }

    /// The mark of a long content is made; `None` if it could not be made elsewhere. A newer content takes its place,
    /// unless it has waited for as long as it may.
    pub(super) fn marked(&mut self, mark: Option<Mark>, settings: &DocumentSettings, now: Instant) {
        let Some(old) = self.marking.take() else { return };
        // One that says nothing is not saved.
        let Some(mark) = mark.or_else(|| Mark::of(&old.json)) else { return };
        let is_over = self.latest(&old, settings) <= now;
        match self.next.take() {
            Some(newer) if !is_over => self.next = Some(NextSave { first: old.first, ..newer }),
            newer => (self.next, self.newer) = (Some(NextSave { mark: Some(mark), ..old }), newer),
        }
    }

    /// Until when the log is waited for. What was put off for as long as it may be gives the log its time all the same,
    /// and so does what is tried again: where one store has failed, the other may have.
    fn latest(&self, next: &NextSave, settings: &DocumentSettings) -> Instant {
        let latest = next.first + settings.save_after_most * 2;
        self.retry_at.map_or(latest, |retry| latest.max(retry + settings.save_after_most))
    }

    /// A mark went into the log.
    pub(super) fn logged(&mut self, mark: Mark, sequence: u64) {
        if self.log.len() >= LOGGED_MAX {
            self.log.remove(0);
        }
        self.log.push(Logged { sequence, mark, stored: false });
    }

    /// Another node has put a mark into the log: it saves that content, behind all that was put there before. What waits
    /// here and was put there earlier is not saved any more.
    ///
    /// Or this node has, and did not hear of it.
    pub(super) fn learned(&mut self, mark: Mark, sequence: u64) {
        let own = self.log.iter_mut().find(|logged| logged.mark == mark && !logged.stored);
        if let Some(own) = own {
            (own.sequence, own.stored) = (sequence, true);
            return;
        }
        self.logged(mark, sequence);
        if let Some(logged) = self.log.last_mut() {
            logged.stored = true;
        }
        let is_earlier = |own: Mark| self.log.iter().any(|logged| logged.mark == own && logged.stored && own != mark);
        if self.next.as_ref().and_then(|next| next.mark).is_some_and(is_earlier) {
            (self.next, self.retry_at) = (None, None);
        }
        self.doubt(mark);
        self.verification = Verification::Needless;
    }

    /// Another node has begun the document again from this content.
    pub(super) fn learned_reset(&mut self, mark: Mark) {
        (self.snapshot, self.log) = (vec![mark], Vec::new());
        self.doubt(mark);
    }

    /// Another node has stored a snapshot that carries these marks, and cut the log.
    pub(super) fn learned_snapshot(&mut self, marks: Vec<Mark>, up_to: u64) {
        // The newest come first: what the note has, or may have. Behind them are those that it had before.
        let (may_be, earlier) = marks.split_at(marks.len().min(DOUBTFUL_MAX + 2));
        may_be.iter().for_each(|mark| self.doubt(*mark));
        earlier.iter().rev().for_each(|mark| self.remember(*mark));
        self.snapshot = marks;
        self.log.retain(|logged| logged.sequence > up_to || !logged.stored);
    }

    /// What another node has written stands in front of all that is not stored of the log.
    pub(super) fn renumbered(&mut self) {
        for logged in self.log.iter_mut().filter(|logged| !logged.stored) {
            logged.sequence += 1;
        }
    }

    /// Entries of the log are stored.
    pub(super) fn appended(&mut self, first: u64, end: u64) {
        for logged in self.log.iter_mut().filter(|logged| (first..end).contains(&logged.sequence)) {
            logged.stored = true;
        }
    }

    /// What the snapshot with this number is to carry: every content that the note may have while it is the last one, and
    /// those that may be written back.
    pub(super) fn snapshot(&mut self, up_to: u64) -> Option<ContentHash> {
        let coming = match &self.flying {
            Some(flying) => flying.mark,
            None => self.next.as_ref().and_then(|next| next.mark),
        };
        self.snapshotting.clear();
        let earlier = self.earlier.iter().rev().copied();
        for mark in self.saved.into_iter().chain(self.doubtful.iter().copied()).chain(coming).chain(earlier) {
            if !self.snapshotting.contains(&mark) {
                self.snapshotting.push(mark);
            }
        }
        let marks = &self.snapshotting;
        match &mut self.coming {
            Some(coming) => {
                coming.up_to = up_to;
                coming.marks.retain(|mark| marks.contains(mark));
            }
            None => self.coming = Some(Coming { up_to, marks: marks.clone() }),
        }
        hash_of(self.snapshotting.iter().copied())
    }

    /// A snapshot is stored, and the log cut.
    pub(super) fn snapshotted(&mut self, up_to: u64) {
        self.snapshot = std::mem::take(&mut self.snapshotting);
        self.log.retain(|logged| logged.sequence > up_to);
        self.coming = None;
    }

    /// What was under way is saved.
    pub(super) fn saved(&mut self) {
        if let Some(flying) = self.flying.take() {
            let before = std::mem::replace(&mut self.saved, flying.mark);
            self.next = self.next.take().or(self.newer.take());
            (self.failures, self.retry_at) = (0, None);
            let doubtful = std::mem::take(&mut self.doubtful);
            before.into_iter().chain(doubtful).for_each(|mark| self.remember(mark));
            self.verification = match self.verification {
                Verification::Needless | Verification::Wanted => Verification::Wanted,
                Verification::Repeated => Verification::Needless,
            };
        }
    }

    /// Whether a save is under way.
    pub(super) const fn is_flying(&self) -> bool {
        self.flying.is_some()
    }

    /// Whose content is being saved.
    pub(super) fn author(&self) -> Option<User> {
        self.flying.as_ref()?.author.as_ref()?.user.clone()
    }

    /// What was to be saved must not be: its author may not write any more.
    pub(super) fn refused(&mut self) {
        self.flying = None;
        self.next = self.next.take().or(self.newer.take());
    }

    /// The note had this content before the saved one.
    fn remember(&mut self, mark: Mark) {
        self.earlier.retain(|earlier| *earlier != mark);
        if self.earlier.len() >= EARLIER_MAX {
            self.earlier.pop_front();
        }
        self.earlier.push_back(mark);
    }

    /// The note cannot be looked at: what was saved is taken to be there.
    pub(super) const fn give_verification_up(&mut self) -> ContentFound {
        self.verification = Verification::Needless;
        ContentFound::AsSaved
    }

    /// Whether nothing was saved since the note was last looked at.
    pub(super) fn is_verified(&self) -> bool {
        self.verification == Verification::Needless
    }

    /// The note has been read once more, after everything was saved. Where it has an earlier content of its own, the
    /// saved one was written over by a front end that had read the note before: it is saved again.
    pub(super) fn verify(&mut self, found: Option<Mark>, now: Instant) -> ContentFound {
        self.verification = Verification::Needless;
        let (Some(mark), Some(json)) = (found, self.current.clone()) else { return ContentFound::AsSaved };
        if self.saved == Some(mark) {
            return ContentFound::AsSaved;
        }
        if !self.earlier.contains(&mark) {
            return ContentFound::Foreign;
        }
        (self.saved, self.verification) = (Some(mark), Verification::Repeated);
        self.next = Some(NextSave { json, mark: None, first: now, due: now, author: None });
        ContentFound::Earlier
    }

    /// It may be saved or not: it is tried again, unless something newer waits.
    pub(super) fn failed(&mut self, settings: &DocumentSettings, now: Instant) {
        let Some(SaveUnderWay { json, mark, first, author }) = self.flying.take() else { return };
        if let Some(mark) = mark {
            self.doubt(mark);
        }
        let span = settings.save_retry * 2u32.saturating_pow(self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        self.retry_at = Some(now + span.min(settings.save_retry * RETRY_FACTOR_MAX));
        self.next = self.next.take().or(self.newer.take());
        self.next.get_or_insert(NextSave { json, mark, first, due: now, author });
    }

    /// The note may have this content.
    fn doubt(&mut self, mark: Mark) {
        if self.saved == Some(mark) && self.doubtful.is_empty() || self.doubtful.last() == Some(&mark) {
            return;
        }
        self.doubtful.retain(|other| *other != mark);
        if self.doubtful.len() >= DOUBTFUL_MAX {
            // The first ones may have been carried out before the store was lost, the last ones when it came back.
            self.doubtful.remove(1);
        }
        self.doubtful.push(mark);
    }

    /// The note is not there, or cannot be written: nothing is saved any more of what was rendered.
    pub(super) fn give_up(&mut self) {
        (self.flying, self.next, self.retry_at) = (None, None, None);
        (self.marking, self.newer) = (None, None);
        self.doubtful.clear();
    }

    /// Whether everything is saved.
    pub(super) fn is_saved(&self) -> bool {
        self.flying.is_none() && self.next.is_none() && self.marking.is_none()
    }

    /// Whether a mark is found after a crash at any point of the snapshots under way.
    fn is_durable(&self, mark: Mark) -> bool {
        self.is_kept(mark, |logged| logged.stored)
    }

    /// Whether it is, or will be once the log is appended to.
    fn is_logged(&self, mark: Mark) -> bool {
        self.is_kept(mark, |_| true)
    }

    fn is_kept(&self, mark: Mark, counts: impl Fn(&Logged) -> bool) -> bool {
        let in_log =
            |since| self.log.iter().any(|logged| logged.mark == mark && logged.sequence > since && counts(logged));
        let is_kept = self.snapshot.contains(&mark) || in_log(0);
        match &self.coming {
            // Those take the place of the stored one and cut the log.
            Some(coming) => in_log(coming.up_to) || (is_kept && coming.marks.contains(&mark)),
            None => is_kept,
        }
    }
}

/// No update begins so: as a count of clients it would be a number of more than 63 bits.
const NO_UPDATE: [u8; 10] = [0xff; 10];
const CONTENT: u8 = 1;
const RESET: u8 = 2;
const NUL: &str = "\\u0000";
const RETRY_FACTOR_MAX: u32 = 30;
/// Saves of which it is not known whether they were carried out.
const DOUBTFUL_MAX: usize = 3;
/// Marks of earlier contents that are remembered, and stored with a snapshot.
const EARLIER_MAX: usize = 256;
/// Marks that are remembered while a store takes none.
const LOGGED_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use roomcast_core::id::SlabKey;

    #[test]
    fn a_mark_is_of_the_value_and_not_of_its_text() {
        let mark = Mark::of(r#"{"md":"é","html":"<p>é</p>","json":{"a":[1,{"x":null}],"b":2}}"#);
        assert!(mark.is_some());
        assert_eq!(
            mark,
            Mark::of("{ \"json\" : {\"b\":2,\"a\":[1,{\"x\":null}]},\"html\":\"<p>\\u00e9</p>\",\"md\":\"\\u00e9\"}")
        );
        assert_ne!(mark, Mark::of(r#"{"md":"é","html":"<p>é</p>","json":{"a":[{"x":null},1],"b":2}}"#));
    }

    #[test]
    fn what_is_empty_says_nothing() {
        for empty in ["null", "{}", "[]", "7", "{", r#"{"md":"","html":"","json":null}"#, r#"{"md":null,"json":{}}"#] {
            assert!(says_nothing(empty) && Mark::of(empty).is_none(), "{empty}");
        }
        // What a user has emptied is something: the editor's empty paragraph.
        assert!(!says_nothing(r#"{"md":"","html":"<p></p>","json":{"type":"doc"}}"#));
    }

    #[test]
    fn a_store_without_nul_keeps_the_mark() {
        let stored = Mark::of(r#"{"md":"ab","html":"a\\u0000"}"#);
        assert_eq!(Mark::of(r#"{"md":"a\u0000b","html":"a\\u0000"}"#), stored);
    }

    /// What was taken back before it was saved is typed again while a snapshot is under way that does not carry its mark.
    #[test]
    fn a_mark_that_a_snapshot_under_way_lacks_goes_into_the_log_again() {
        let settings = DocumentSettings::default();
        let (first, second) = (r#"{"md":"a"}"#, r#"{"md":"ab"}"#);
        let [a, b] = [first, second].map(|json| Mark::of(json).unwrap());
        for stored in [Stored::Before, Stored::Behind, Stored::Unknown] {
            let mut content = Content::loaded(Some(first.into()), vec![a]);
            let at = |secs: u64| Instant::from_millis(secs * 1000);
            let author = || ContentAuthor { member: MemberKey::Socket(SlabKey::from_parts(0, 0)), user: None };
            content.put(second.into(), author(), &settings, at(0));
            assert_eq!(content.poll(&settings, at(1)), Some(DueSave::Log(b)));
            content.logged(b, 7);
            content.put(first.into(), author(), &settings, at(1));
            content.appended(7, 8);
            assert_eq!(content.snapshot(8).map(|hash| marks_of(&hash)), Some(vec![a]));
            content.put(second.into(), author(), &settings, at(2));
            match stored {
                Stored::Before => content.snapshotted(8),
                Stored::Behind | Stored::Unknown => {}
            }
            assert_eq!(content.poll(&settings, at(3)), Some(DueSave::Log(b)));
            content.logged(b, 9);
            assert_eq!((content.poll(&settings, at(3)), content.timeout(&settings)), (None, Some(at(10))));
            match stored {
                Stored::Behind => content.snapshotted(8),
                Stored::Before | Stored::Unknown => {}
            }
            content.appended(9, 10);
            assert_eq!(content.poll(&settings, at(3)), Some(DueSave::Save(second.into())));
            assert_eq!(content.snapshot(9).map(|hash| marks_of(&hash)), Some(vec![a, b]));
            // What each snapshot carries that there may be needs no entry of its own.
            assert_eq!([a, b].map(|mark| content.is_durable(mark)), [true, stored != Stored::Unknown]);
        }
    }

    /// When a snapshot becomes known to be stored: before the mark went into the log, behind that, or never.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Stored {
        Before,
        Behind,
        Unknown,
    }

    #[test]
    fn a_snapshot_carries_so_many_earlier_contents_and_no_more() {
        let settings = DocumentSettings::default();
        let author = || ContentAuthor { member: MemberKey::Socket(SlabKey::from_parts(0, 0)), user: None };
        let json = |n: usize| ByteString::from(format!(r#"{{"md":"{n}"}}"#));
        let mut content = Content::default();
        for n in 0..EARLIER_MAX + 10 {
            let now = Instant::from_millis(10_000 * (n as u64 + 1));
            content.put(json(n), author(), &settings, now);
            content.flush(now);
            let sequence = n as u64 + 1;
            let Some(DueSave::Log(mark)) = content.poll(&settings, now) else { panic!("{n} is new") };
            content.logged(mark, sequence);
            content.appended(sequence, sequence + 1);
            assert_eq!(content.poll(&settings, now), Some(DueSave::Save(json(n))));
            content.saved();
        }
        let marks = content.snapshot(9999).map(|hash| marks_of(&hash)).unwrap();
        let expected = (9..EARLIER_MAX + 10).rev().map(|n| Mark::of(&json(n)).unwrap());
        assert_eq!(marks, expected.collect::<Vec<_>>());
        // And behind a restart, at which the note has one of them.
        let mut again = Content::loaded(Some(json(100)), marks.iter().rev().copied().collect());
        let carried = again.snapshot(10_000).map(|hash| marks_of(&hash)).unwrap();
        let of_note = Mark::of(&json(100)).unwrap();
        let others = marks.into_iter().filter(|mark| *mark != of_note);
        assert_eq!(carried, std::iter::once(of_note).chain(others).collect::<Vec<_>>());
    }

    #[test]
    fn entries_come_back_and_no_update_is_taken_for_one() {
        let mark = Mark([1, 2, 3, 4]);
        for entry in [LogEntry::Content(mark), LogEntry::Reset(mark), LogEntry::Update(&[0, 0])] {
            assert_eq!(LogEntry::read(&entry.write()), entry);
        }
        let marks = [mark, Mark([7; 4]), Mark([8; 4]), Mark([9; 4]), Mark([10; 4])];
        assert_eq!(marks_of(&hash_of(marks.into_iter()).unwrap()), marks);
        assert_eq!(hash_of([].into_iter()), None);
        let mut document = roomcast_yjs::Document::default();
        let verdict = document.apply(&LogEntry::Content(mark).write(), roomcast_yjs::Source::Stored);
        assert!(matches!(verdict, roomcast_yjs::Verdict::Bad(_)));
    }
}
