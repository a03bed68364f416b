//! Conversations of encrypted channels in memory, for a program that shares them with no other.
//!
//! Owns: that one at a time has a conversation, what is kept of each, and the rations of users. Must never know: what is in
//! a conversation, or who is told of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytestring::ByteString;
use roomcast_openwebui::query::{ConversationChange, StoreError, TalkCharge, TalkRation};

/// The conversations of the shards of one program. Clones are the same conversations. `now` is the time since a moment that
/// is the same for all calls.
#[derive(Clone, Debug, Default)]
pub struct MemoryConversations(Arc<Mutex<TalkTable>>);

#[derive(Debug, Default)]
struct TalkTable {
    talks: BTreeMap<ByteString, KeptTalk>,
    spans: BTreeMap<(ByteString, TalkRation), RationSpan>,
    last_lock: u64,
}

#[derive(Debug, Default)]
struct KeptTalk {
    text: Option<(ByteString, Duration)>,
    lock: Option<(u64, Duration)>,
}

#[derive(Debug)]
struct RationSpan {
    since: Duration,
    calls: u64,
    bytes: u64,
}

impl MemoryConversations {
    /// A program that has just started: nothing is locked or counted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a call; `false`: the user has no more.
    pub fn charge(&self, charge: &TalkCharge, now: Duration) -> bool {
        let mut table = self.table();
        if table.spans.len() >= SPANS_MAX {
            let is_open = |ration: TalkRation, span: &RationSpan| !is_over(ration, span, now);
            table.spans.retain(|(_, ration), span| is_open(*ration, span));
        }
        let (_, calls_max) = charge.ration.calls();
        let new = || RationSpan { since: now, calls: 0, bytes: 0 };
        let span = table.spans.entry((charge.user.clone(), charge.ration)).or_insert_with(new);
        if is_over(charge.ration, span, now) {
            *span = new();
        }
        span.calls += 1;
        span.bytes = span.bytes.saturating_add(charge.bytes);
        span.calls <= calls_max && span.bytes <= charge.ration.bytes_max()
    }

    /// Locks a channel's conversation for 10 s at most; `None` if another has it. The lock, and the conversation as JSON
    /// if there is one.
    pub fn lock(&self, channel: &ByteString, now: Duration) -> Option<(u64, Option<ByteString>)> {
        let mut table = self.table();
        // What has ended by itself is looked for here, where all of it comes by.
        table.talks.retain(|_, talk| {
            talk.text.take_if(|(_, ends)| *ends <= now);
            talk.lock.take_if(|(_, ends)| *ends <= now);
            talk.text.is_some() || talk.lock.is_some()
        });
        table.last_lock += 1;
        let lock = table.last_lock;
        let talk = table.talks.entry(channel.clone()).or_default();
        if talk.lock.is_some() {
            return None;
        }
        talk.lock = Some((lock, now + LOCK_SPAN));
        Some((lock, talk.text.as_ref().map(|(text, _)| text.clone())))
    }

    /// Stores what becomes of a channel's conversation, and gives the lock back.
    ///
    /// # Errors
    ///
    /// The lock has ended meanwhile, and nothing is stored.
    pub fn end(
        &self,
        channel: &ByteString,
        lock: u64,
        change: ConversationChange,
        now: Duration,
    ) -> Result<(), StoreError> {
        let mut table = self.table();
        let talk = table.talks.get_mut(channel);
        let is_held = |talk: &&mut KeptTalk| talk.lock.is_some_and(|(held, ends)| held == lock && ends > now);
        let talk = talk.filter(is_held).ok_or(StoreError::Unavailable)?;
        talk.lock = None;
        match change {
            ConversationChange::None => {}
            ConversationChange::Put(text) => talk.text = Some((text, now + EXPIRY)),
            ConversationChange::Remove => talk.text = None,
        }
        if talk.text.is_none() {
            table.talks.remove(channel);
        }
        Ok(())
    }

    fn table(&self) -> MutexGuard<'_, TalkTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_over(ration: TalkRation, span: &RationSpan, now: Duration) -> bool {
    now.saturating_sub(span.since) >= Duration::from_secs(ration.calls().0)
}

/// As in Open WebUI.
const LOCK_SPAN: Duration = Duration::from_secs(10);
const EXPIRY: Duration = Duration::from_secs(90);
/// Spans that are kept before those that are over are looked for.
const SPANS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_has_a_conversation_and_only_its_owner_stores_it() {
        let talks = MemoryConversations::new();
        let (channel, start) = (ByteString::from_static("c"), Duration::from_secs(1000));
        let put = |text: &'static str| ConversationChange::Put(ByteString::from_static(text));
        let (first, found) = talks.lock(&channel, start).unwrap();
        assert_eq!((found, talks.lock(&channel, start)), (None, None));
        assert!(talks.lock(&"other".into(), start).is_some());
        assert_eq!(talks.end(&channel, first, put("1"), start), Ok(()));
        assert_eq!(talks.end(&channel, first, put("2"), start), Err(StoreError::Unavailable), "given back");
        let (slow, found) = talks.lock(&channel, start).unwrap();
        assert_eq!(found.as_deref(), Some("1"));
        // It takes longer than a lock lasts.
        let later = start + LOCK_SPAN;
        let (second, _) = talks.lock(&channel, later).unwrap();
        assert_eq!(talks.end(&channel, slow, ConversationChange::Remove, later), Err(StoreError::Unavailable));
        assert_eq!(talks.end(&channel, second, ConversationChange::None, later), Ok(()));
        let (third, found) = talks.lock(&channel, later).unwrap();
        assert_eq!(
            (found.as_deref(), talks.end(&channel, third, ConversationChange::Remove, later)),
            (Some("1"), Ok(()))
        );
        assert_eq!(talks.lock(&channel, later).unwrap().1, None);
    }

    #[test]
    fn a_conversation_ends_that_is_not_heard_of() {
        let talks = MemoryConversations::new();
        let (channel, start) = (ByteString::from_static("c"), Duration::from_secs(1000));
        let (lock, _) = talks.lock(&channel, start).unwrap();
        talks.end(&channel, lock, ConversationChange::Put("1".into()), start).unwrap();
        assert!(talks.lock(&channel, start + EXPIRY - Duration::from_millis(1)).unwrap().1.is_some());
        assert_eq!(talks.lock(&channel, start + EXPIRY + LOCK_SPAN).unwrap().1, None);
        // Nothing is left of it but the lock.
        assert_eq!(talks.table().talks.len(), 1);
        assert!(talks.lock(&"other".into(), start + EXPIRY * 2).is_some());
        assert_eq!(talks.table().talks.len(), 1);
    }

    #[test]
    fn calls_are_rationed_by_number_and_by_bytes() {
        let (talks, start) = (MemoryConversations::new(), Duration::from_secs(1000));
        let charge = |user: &str, ration, bytes| TalkCharge { user: user.into(), ration, bytes };
        let admissions = |now| (0..12).filter(|_| talks.charge(&charge("a", TalkRation::Admission, 9), now)).count();
        assert_eq!((admissions(start), admissions(start + Duration::from_secs(59))), (10, 0));
        assert!(talks.charge(&charge("b", TalkRation::Admission, 9), start), "another user's");
        assert!(talks.charge(&charge("a", TalkRation::Traffic, 4 << 20), start), "another ration");
        assert!(!talks.charge(&charge("a", TalkRation::Traffic, 1), start), "too much");
        assert!(talks.charge(&charge("a", TalkRation::Traffic, 1), start + Duration::from_secs(1)));
        assert_eq!(admissions(start + Duration::from_secs(60)), 10);
    }
}
