//! What this node does for the session pool that it shares with Open WebUI's processes.
//!
//! Owns: of which chats the presence is being asked for, and when sessions that were left behind are looked for. Must never
//! know: who is in a chat, or where that is stored.

use std::collections::BTreeMap;
use std::time::Duration;

use bytestring::ByteString;

use roomcast_core::time::Instant;

/// What is under way and due.
#[derive(Debug)]
pub(crate) struct PoolDuties {
    interval: Duration,
    presences: BTreeMap<ByteString, PresenceAsked>,
    reap_at: Option<Instant>,
}

/// Whether something has changed since the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PresenceAsked {
    Once,
    /// The answer may be older than the change: it is asked for again.
    Again,
}

/// What follows an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PoolNext {
    Nothing,
    /// It is asked for once more.
    Ask,
}

impl PoolDuties {
    /// `interval`: time between two looks for sessions that were left behind.
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, presences: BTreeMap::new(), reap_at: None }
    }

    /// Who is in a chat may have changed. Whether it is to be asked for now: it is asked for once at a time.
    pub(crate) fn handle_change(&mut self, chat: &ByteString) -> PoolNext {
        match self.presences.get_mut(chat) {
            Some(asked) => {
                *asked = PresenceAsked::Again;
                PoolNext::Nothing
            }
            None => {
                self.presences.insert(chat.clone(), PresenceAsked::Once);
                PoolNext::Ask
            }
        }
    }

    /// It has been told who is in a chat, or could not be found out.
    pub(crate) fn handle_told(&mut self, chat: &ByteString) -> PoolNext {
        match self.presences.remove(chat) {
            Some(PresenceAsked::Again) => self.handle_change(chat),
            Some(PresenceAsked::Once) | None => PoolNext::Nothing,
        }
    }

    /// There is a session of this node: others may have been left behind.
    pub(crate) fn handle_session(&mut self, now: Instant) {
        self.reap_at.get_or_insert(now + self.interval);
    }

    /// Whether to look for them now. `is_needed`: whether this node still has sessions.
    pub(crate) fn handle_timeout(&mut self, is_needed: bool, now: Instant) -> PoolNext {
        if self.reap_at.is_none_or(|at| at > now) {
            return PoolNext::Nothing;
        }
        self.reap_at = is_needed.then_some(now + self.interval);
        if is_needed { PoolNext::Ask } else { PoolNext::Nothing }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.reap_at
    }

    pub(crate) fn len(&self) -> usize {
        self.presences.len()
    }

    pub(crate) fn armed(&self) -> usize {
        usize::from(self.reap_at.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_presence_is_asked_for_once_at_a_time_and_again_if_it_has_changed_meanwhile() {
        let mut duties = PoolDuties::new(Duration::from_secs(30));
        let chat = ByteString::from_static("c");
        assert_eq!(
            [(); 3].map(|()| duties.handle_change(&chat)),
            [PoolNext::Ask, PoolNext::Nothing, PoolNext::Nothing]
        );
        assert_eq!((duties.handle_told(&chat), duties.len()), (PoolNext::Ask, 1));
        assert_eq!((duties.handle_told(&chat), duties.len()), (PoolNext::Nothing, 0));
        assert_eq!(duties.handle_told(&chat), PoolNext::Nothing);
    }

    #[test]
    fn sessions_that_were_left_behind_are_looked_for_while_there_are_any_here() {
        let mut duties = PoolDuties::new(Duration::from_secs(30));
        let at = |secs: u64| Instant::from_nanos(secs * 1_000_000_000);
        assert_eq!((duties.handle_timeout(true, at(99)), duties.next_deadline()), (PoolNext::Nothing, None));
        duties.handle_session(at(0));
        duties.handle_session(at(9));
        assert_eq!((duties.next_deadline(), duties.handle_timeout(true, at(29))), (Some(at(30)), PoolNext::Nothing));
        assert_eq!((duties.handle_timeout(true, at(30)), duties.next_deadline()), (PoolNext::Ask, Some(at(60))));
        assert_eq!((duties.handle_timeout(false, at(60)), duties.armed()), (PoolNext::Nothing, 0));
    }
}
