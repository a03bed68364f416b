//! The channels of users, read for many users at once.
//!
//! Owns: whose channels are to be read, by which question, and when again. Must never know: sockets, or rooms.
//!
//! After a restart all clients return at once. So a bounded number of questions is under way, and each names all users
//! that have gathered since.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytestring::ByteString;

use super::query::{Question, StoreError, UserChannels};
use super::settings::Settings;
use roomcast_core::time::Instant;
use roomcast_core::timer::{TimerKey, Timers};

/// The reads of all users.
#[derive(Debug)]
pub(crate) struct ChannelReads {
    retry: Duration,
    settle: Duration,
    users_per_question_max: usize,
    users: BTreeMap<ByteString, UserReads>,
    /// Users for the next question, in the order in which they were wanted.
    wanted: VecDeque<ByteString>,
    flights: BTreeMap<u64, Vec<ByteString>>,
    last_flight: u64,
    timers: Timers<ByteString>,
    questions: VecDeque<(u64, Question)>,
    found: VecDeque<ChannelsFound>,
}

/// What was found for a user.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ChannelsFound {
    pub(crate) user: ByteString,
    pub(crate) channels: Result<UserChannels, StoreError>,
}

impl ChannelReads {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            retry: settings.recheck_retry,
            settle: settings.channels_settle,
            users_per_question_max: settings.limits.users_per_question_max.max(1),
            users: BTreeMap::new(),
            wanted: VecDeque::new(),
            flights: BTreeMap::new(),
            last_flight: 0,
            timers: Timers::new(),
            questions: VecDeque::new(),
            found: VecDeque::new(),
        }
    }

    /// Reads a user's channels. If they are being read, they are read once more: the answer under way may be older than
    /// what happened.
    pub(crate) fn read_again(&mut self, user: &ByteString, now: Instant) {
        self.read(user, now);
        if let Some(read) = self.users.get_mut(user) {
            match read.state {
                State::Asked => read.state = State::Stale,
                State::Idle | State::Wanted | State::Stale => {}
            }
        }
        self.prepare();
    }

    /// Reads a user's channels, unless they are being read. Nothing has happened to them as far as is known.
    pub(crate) fn read(&mut self, user: &ByteString, now: Instant) {
        let read = self.users.entry(user.clone()).or_insert(UserReads { state: State::Idle, timer: None, last: now });
        match read.state {
            State::Idle => {
                read.state = State::Wanted;
                read.last = now;
                if let Some(timer) = read.timer.take() {
                    self.timers.cancel(timer);
                }
                self.wanted.push_back(user.clone());
            }
            State::Wanted | State::Asked | State::Stale => {}
        }
    }

    /// A user's channels have been made or opened, and what makes the user belong to them may be written only after that
    /// is told: reads them now, and once more when it has settled.
    pub(crate) fn handle_created(&mut self, user: &ByteString, now: Instant) {
        self.read_again(user, now);
        self.arm(user, now + self.settle);
    }

    /// There is a sign that a user may belong to a channel that was not found: reads them, unless that was done within the retry interval.
    pub(crate) fn handle_sign(&mut self, user: &ByteString, now: Instant) {
        match self.users.get(user).map(|read| read.last + self.retry) {
            Some(due) if due > now => self.arm(user, due),
            Some(_) | None => self.read(user, now),
        }
        self.prepare();
    }

    /// Asks for all that is wanted.
    pub(crate) fn prepare(&mut self) {
        while self.flights.len() < FLIGHTS_MAX && !self.wanted.is_empty() {
            let count = self.wanted.len().min(self.users_per_question_max);
            let users: Vec<ByteString> = self.wanted.drain(..count).collect();
            for user in &users {
                if let Some(read) = self.users.get_mut(user) {
                    read.state = State::Asked;
                }
            }
            self.last_flight += 1;
            self.questions.push_back((self.last_flight, Question::Channels { users: users.clone() }));
            self.flights.insert(self.last_flight, users);
        }
    }

    /// The store answered the question with this number.
    pub(crate) fn handle_answer(&mut self, flight: u64, result: Result<Vec<UserChannels>, StoreError>, now: Instant) {
        let Some(users) = self.flights.remove(&flight) else { return };
        let results: Vec<Result<UserChannels, StoreError>> = match result {
            Ok(found) if found.len() == users.len() => found.into_iter().map(Ok).collect(),
            Ok(_) => users.iter().map(|_| Err(StoreError::Corrupt)).collect(),
            Err(error) => users.iter().map(|_| Err(error)).collect(),
        };
        for (user, channels) in users.into_iter().zip(results) {
            let Some(read) = self.users.get_mut(&user) else { continue };
            let state = std::mem::replace(&mut read.state, State::Idle);
            match (state, channels) {
                (State::Stale, _) => self.read(&user, now),
                (State::Idle | State::Wanted, _) => read.state = state,
                (State::Asked, channels) => {
                    if channels.is_err() {
                        self.arm(&user, now + self.retry);
                    }
                    self.found.push_back(ChannelsFound { user, channels });
                }
            }
        }
        self.prepare();
    }

    /// Reads what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(user) = self.timers.pop_due(now) {
            if let Some(read) = self.users.get_mut(&user) {
                read.timer = None;
                self.read_again(&user, now);
            }
        }
        self.prepare();
    }

    /// A user's last login ended.
    pub(crate) fn forget(&mut self, user: &ByteString) {
        let Some(read) = self.users.remove(user) else { return };
        if let Some(timer) = read.timer {
            self.timers.cancel(timer);
        }
        match read.state {
            State::Wanted => self.wanted.retain(|wanted| wanted != user),
            State::Idle | State::Asked | State::Stale => {}
        }
    }

    pub(crate) fn poll_question(&mut self) -> Option<(u64, Question)> {
        self.questions.pop_front()
    }

    pub(crate) fn poll_found(&mut self) -> Option<ChannelsFound> {
        self.found.pop_front()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    pub(crate) fn armed(&self) -> usize {
        self.timers.len()
    }

    /// Arms the next read, unless one is due before.
    fn arm(&mut self, user: &ByteString, due: Instant) {
        let Some(read) = self.users.get_mut(user) else { return };
        if read.timer.is_none() {
            read.timer = Some(self.timers.arm(due, user.clone()));
        }
    }
}

/// The reads of one user.
#[derive(Debug)]
struct UserReads {
    state: State,
    /// When to read again.
    timer: Option<TimerKey>,
    /// When they were last wanted.
    last: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not being read.
    Idle,
    /// Gathered for the next question.
    Wanted,
    /// The question is under way.
    Asked,
    /// The question is under way, and something has changed since.
    Stale,
}

/// Questions under way: enough to keep the connections of a store busy.
const FLIGHTS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Permission;
    use roomcast_core::server::EndpointId;

    #[test]
    fn users_who_come_at_once_are_asked_for_together() {
        let mut reads = reads();
        for user in 0..100 {
            reads.read(&ByteString::from(format!("{user:02}")), at(0));
            reads.prepare();
        }
        let first: Vec<_> = std::iter::from_fn(|| asked(&mut reads)).collect();
        assert_eq!(first.iter().map(|(_, users)| users.len()).collect::<Vec<_>>(), [1, 1, 1, 1]);
        reads.handle_answer(first[0].0, Ok(channels(1)), at(0));
        reads.handle_answer(first[1].0, Ok(channels(1)), at(0));
        let more: Vec<_> = std::iter::from_fn(|| asked(&mut reads)).collect();
        assert_eq!(more.iter().map(|(_, users)| users.len()).collect::<Vec<_>>(), [64, 32]);
        reads.handle_answer(more[1].0, Ok(channels(32)), at(0));
        assert_eq!(std::iter::from_fn(|| reads.poll_found()).count(), 34);
    }

    #[test]
    fn what_happens_while_a_read_is_under_way_makes_it_be_asked_again() {
        let mut reads = reads();
        reads.read_again(&"u".into(), at(0));
        let (first, _) = asked(&mut reads).unwrap();
        reads.read(&"u".into(), at(0));
        reads.read_again(&"u".into(), at(0));
        reads.read_again(&"u".into(), at(0));
        assert_eq!(asked(&mut reads), None);
        reads.handle_answer(first, Ok(channels(1)), at(1));
        assert_eq!(reads.poll_found(), None, "it may be old");
        let (second, _) = asked(&mut reads).unwrap();
        reads.handle_answer(first, Ok(channels(1)), at(1));
        reads.handle_answer(second, Ok(channels(1)), at(1));
        assert!(reads.poll_found().is_some() && reads.poll_found().is_none());
        assert_eq!((asked(&mut reads), reads.next_deadline()), (None, None));
    }

    #[test]
    fn a_read_that_fails_is_told_and_tried_again() {
        for answer in [Err(StoreError::Unavailable), Ok(channels(2))] {
            let mut reads = reads();
            reads.read_again(&"u".into(), at(0));
            let (first, _) = asked(&mut reads).unwrap();
            reads.handle_answer(first, answer, at(1));
            assert!(reads.poll_found().is_some_and(|found| found.channels.is_err()));
            assert_eq!((asked(&mut reads), reads.next_deadline()), (None, Some(at(6))));
            reads.handle_timeout(at(6));
            assert!(asked(&mut reads).is_some() && reads.armed() == 0);
        }
    }

    #[test]
    fn a_channel_that_was_made_is_read_now_and_when_it_has_settled() {
        let mut reads = reads();
        reads.handle_created(&"u".into(), at(0));
        let (first, _) = asked(&mut reads).unwrap();
        reads.handle_answer(first, Ok(channels(1)), at(0));
        assert_eq!(reads.next_deadline(), Some(at(1)));
        reads.handle_timeout(at(1));
        assert!(asked(&mut reads).is_some());
    }

    #[test]
    fn signs_make_for_one_read_within_a_while() {
        let mut reads = reads();
        reads.handle_sign(&"u".into(), at(0));
        let (first, _) = asked(&mut reads).unwrap();
        reads.handle_answer(first, Ok(channels(1)), at(0));
        for _ in 0..9 {
            reads.handle_sign(&"u".into(), at(1));
        }
        assert_eq!((asked(&mut reads), reads.next_deadline(), reads.armed()), (None, Some(at(5)), 1));
        reads.handle_timeout(at(5));
        assert!(asked(&mut reads).is_some());
    }

    #[test]
    fn a_user_who_has_left_is_neither_asked_for_nor_told_of() {
        let mut reads = reads();
        for user in ["a", "b", "c", "d", "e", "f"] {
            reads.read_again(&user.into(), at(0));
        }
        let first = asked(&mut reads).unwrap();
        for user in ["a", "e"] {
            reads.forget(&user.into());
        }
        reads.handle_answer(first.0, Ok(channels(1)), at(0));
        assert_eq!(reads.poll_found(), None);
        let last = std::iter::from_fn(|| asked(&mut reads)).last().unwrap();
        assert_eq!(last.1, ["f"]);
    }

    fn reads() -> ChannelReads {
        ChannelReads::new(&Settings::new(EndpointId::new(0), b"a secret for this test").unwrap())
    }

    fn asked(reads: &mut ChannelReads) -> Option<(u64, Vec<ByteString>)> {
        let (number, question) = reads.poll_question()?;
        let Question::Channels { users } = question else { panic!("{question:?}") };
        Some((number, users))
    }

    fn channels(count: usize) -> Vec<UserChannels> {
        (0..count).map(|_| UserChannels { channels: Vec::new(), permission: Permission::Granted }).collect()
    }

    fn at(secs: u64) -> Instant {
        Instant::from_nanos(secs * 1_000_000_000)
    }
}
