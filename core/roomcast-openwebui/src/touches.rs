//! When users were last active, written for many users at once.
//!
//! Owns: which users are due, what is under way, and when to try again. Must never know: why a user is active.
//!
//! Every heartbeat of every connection touches a row that others wait for. So there is one write at a time, it names all
//! users that are due, and the next one is asked for when it is done: however many come at once, another writer waits
//! for one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytestring::ByteString;

use super::query::{Question, StoreError, Touch};
use super::settings::Settings;
use roomcast_core::time::Instant;
use roomcast_core::timer::{Fifo, FifoKey};

/// What is written when, and tried again for how long.
#[derive(Debug)]
pub(crate) struct Touches {
    span: Duration,
    retry_first: Duration,
    retry_max: Duration,
    age_max: Duration,
    users_per_question_max: usize,
    users_max: usize,
    users: BTreeMap<ByteString, PendingTouch>,
    /// Users to be written with the next question.
    due: BTreeSet<ByteString>,
    /// Users that were written within the span.
    spans: Fifo<ByteString>,
    flight: Flight,
    flights: u64,
    question: Option<(u64, Question)>,
    failing_since: Option<Instant>,
    failures: u32,
    is_hurried: bool,
    lost: u64,
}

impl Touches {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            span: settings.touch_span,
            retry_first: settings.write_retry_first,
            retry_max: settings.write_retry_max,
            age_max: settings.write_age_max,
            users_per_question_max: settings.limits.users_per_question_max.max(1),
            users_max: settings.limits.writes_max,
            users: BTreeMap::new(),
            due: BTreeSet::new(),
            spans: Fifo::new(),
            flight: Flight::None,
            flights: 0,
            question: None,
            failing_since: None,
            failures: 0,
            is_hurried: false,
            lost: 0,
        }
    }

    /// A user was active. It is written at once if it was not within the span, else when the span is over.
    pub(crate) fn handle_touch(&mut self, user: ByteString, at_secs: u64, now: Instant) {
        if !self.users.contains_key(&user) && self.users.len() >= self.users_max {
            self.lost += 1;
            return;
        }
        let entry = self.users.entry(user.clone()).or_default();
        entry.next = entry.next.max(Some(at_secs));
        if entry.span.is_none() || self.is_hurried {
            self.due.insert(user);
        }
        self.prepare(now);
    }

    /// The store answered the question with this number.
    pub(crate) fn handle_answer(&mut self, asked: u64, result: Result<(), StoreError>, now: Instant) {
        let touches = match std::mem::replace(&mut self.flight, Flight::None) {
            Flight::Asked { number, touches } if number == asked => touches,
            flight @ (Flight::None | Flight::Asked { .. } | Flight::Retry(_)) => {
                self.flight = flight;
                return;
            }
        };
        match result {
            Ok(()) | Err(StoreError::NotFound | StoreError::Corrupt | StoreError::Conflict) => {
                (self.failing_since, self.failures) = (None, 0)
            }
            Err(StoreError::Unavailable) => self.fail(touches, now),
        }
        self.prepare(now);
    }

    /// Does what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(user) = self.spans.pop_due(now) {
            let Some(entry) = self.users.get_mut(&user) else { continue };
            entry.span = None;
            match entry.next {
                Some(_) => {
                    self.due.insert(user);
                }
                None => {
                    self.users.remove(&user);
                }
            }
        }
        if let Flight::Retry(at) = self.flight
            && at <= now
        {
            self.flight = Flight::None;
        }
        self.prepare(now);
    }

    /// Writes what waits for a user's span now.
    pub(crate) fn flush(&mut self, user: &ByteString, now: Instant) {
        if self.users.get(user).is_some_and(|entry| entry.next.is_some()) {
            self.due.insert(user.clone());
            self.prepare(now);
        }
    }

    /// From now on nothing waits for its span, and what failed is tried again at once.
    pub(crate) fn hurry(&mut self, now: Instant) {
        self.is_hurried = true;
        let waiting = self.users.iter().filter(|(_, entry)| entry.next.is_some());
        self.due.extend(waiting.map(|(user, _)| user.clone()));
        if let Flight::Retry(_) = self.flight {
            self.flight = Flight::None;
        }
        self.prepare(now);
    }

    /// Spans count again.
    pub(crate) fn stop_hurrying(&mut self) {
        self.is_hurried = false;
    }

    /// The next question, and its number.
    pub(crate) fn poll_question(&mut self) -> Option<(u64, Question)> {
        self.question.take()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let retry = match self.flight {
            Flight::Retry(at) => Some(at),
            Flight::None | Flight::Asked { .. } => None,
        };
        retry.into_iter().chain(self.spans.next_deadline()).min()
    }

    /// Users that are being written, wait to be, or have been within the span.
    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }

    /// Users whose last activity is not written.
    pub(crate) fn unwritten(&self) -> usize {
        let flying = match &self.flight {
            Flight::Asked { touches, .. } => touches.len(),
            Flight::None | Flight::Retry(_) => 0,
        };
        flying + self.users.values().filter(|entry| entry.next.is_some()).count()
    }

    /// Users given up since startup.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    pub(crate) fn armed(&self) -> usize {
        self.spans.len() + usize::from(matches!(self.flight, Flight::Retry(_)))
    }

    /// Asks for what is due, if nothing is under way.
    fn prepare(&mut self, now: Instant) {
        let Flight::None = self.flight else { return };
        let mut touches = Vec::new();
        while touches.len() < self.users_per_question_max
            && let Some(user) = self.due.pop_first()
        {
            let Some(entry) = self.users.get_mut(&user) else { continue };
            let Some(at_secs) = entry.next.take() else { continue };
            let span = self.spans.arm(now + self.span, user.clone());
            if let Some(earlier) = entry.span.replace(span) {
                self.spans.cancel(earlier);
            }
            touches.push(Touch { user, at_secs });
        }
        if touches.is_empty() {
            return;
        }
        self.flights += 1;
        self.question = Some((self.flights, Question::TouchUsers { touches: touches.clone() }));
        self.flight = Flight::Asked { number: self.flights, touches };
    }

    /// Puts back what may not be written, or gives it up.
    fn fail(&mut self, touches: Vec<Touch>, now: Instant) {
        let since = *self.failing_since.get_or_insert(now);
        if now.saturating_since(since) >= self.age_max {
            self.lost += u64::try_from(touches.len()).unwrap_or(u64::MAX);
            (self.failing_since, self.failures) = (None, 0);
            return;
        }
        for Touch { user, at_secs } in touches {
            let entry = self.users.entry(user.clone()).or_default();
            entry.next = entry.next.max(Some(at_secs));
            self.due.insert(user);
        }
        let after = self.retry_first * 2u32.saturating_pow(self.failures.min(16));
        self.failures += 1;
        self.flight = Flight::Retry(now + after.min(self.retry_max));
    }
}

/// A user that was touched.
#[derive(Debug, Default)]
struct PendingTouch {
    /// Seconds since the epoch, to be written.
    next: Option<u64>,
    /// Runs for the span after a write was asked for.
    span: Option<FifoKey>,
}

/// The write under way: one at a time.
#[derive(Debug)]
enum Flight {
    None,
    Asked { number: u64, touches: Vec<Touch> },
    Retry(Instant),
}

#[cfg(test)]
mod tests {
    use super::*;
    use roomcast_core::server::EndpointId;

    #[test]
    fn while_one_write_is_under_way_all_others_gather_for_the_next() {
        let mut touches = touches();
        for user in ["a", "c", "b"] {
            touches.handle_touch(user.into(), 7, at(0));
        }
        let first = asked(&mut touches).unwrap();
        assert_eq!(first.1, [("a".into(), 7)]);
        assert_eq!(asked(&mut touches), None);
        touches.handle_answer(first.0, Ok(()), at(1));
        assert_eq!(asked(&mut touches).unwrap().1, [("b".into(), 7), ("c".into(), 7)]);
    }

    #[test]
    fn a_user_is_written_once_in_a_span_with_the_latest_time() {
        let mut touches = touches();
        touches.handle_touch("a".into(), 7, at(0));
        let (first, _) = asked(&mut touches).unwrap();
        touches.handle_answer(first, Ok(()), at(0));
        touches.handle_touch("a".into(), 9, at(1));
        touches.handle_touch("a".into(), 8, at(2));
        assert_eq!((asked(&mut touches), touches.next_deadline()), (None, Some(at(10))));
        touches.handle_timeout(at(10));
        let (second, users) = asked(&mut touches).unwrap();
        assert_eq!(users, [("a".into(), 9)]);
        touches.handle_answer(second, Ok(()), at(10));
        touches.handle_timeout(at(20));
        assert_eq!((touches.len(), touches.armed(), touches.unwritten()), (0, 0, 0));
    }

    #[test]
    fn a_write_that_fails_is_tried_again_at_growing_intervals_and_given_up_at_last() {
        let mut touches = touches();
        touches.handle_touch("a".into(), 7, at(0));
        let (mut now, mut waits) = (0, Vec::new());
        while let Some((number, users)) = asked(&mut touches) {
            assert_eq!((users, touches.unwritten()), (vec![("a".into(), 7)], 1));
            touches.handle_answer(number, Err(StoreError::Unavailable), at(now));
            touches.handle_answer(number, Err(StoreError::Unavailable), at(now));
            // The user's own span is among the deadlines.
            while let Some(deadline) = touches.next_deadline().filter(|_| touches.question.is_none()) {
                touches.handle_timeout(deadline);
                let secs = deadline.as_nanos() / 1_000_000_000;
                if touches.question.is_some() {
                    waits.push(secs - now);
                    now = secs;
                }
            }
        }
        assert_eq!(waits[..7], [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!((touches.lost(), touches.unwritten()), (1, 0));
        assert!((3600..3660).contains(&now), "{now}");
    }

    #[test]
    fn in_a_hurry_nothing_waits() {
        let mut touches = touches();
        touches.handle_touch("a".into(), 7, at(0));
        let (first, _) = asked(&mut touches).unwrap();
        touches.handle_touch("a".into(), 8, at(1));
        touches.hurry(at(1));
        touches.handle_answer(first, Err(StoreError::Unavailable), at(1));
        assert_eq!(asked(&mut touches), None, "it has only just failed");
        touches.hurry(at(1));
        let (second, users) = asked(&mut touches).unwrap();
        assert_eq!(users, [("a".into(), 8)]);
        touches.handle_answer(second, Ok(()), at(1));
        assert_eq!(touches.unwritten(), 0);
    }

    #[test]
    fn a_question_names_a_bounded_number_of_users() {
        let mut touches = touches();
        for user in 0..200 {
            touches.handle_touch(format!("{user:03}").into(), 7, at(0));
        }
        let mut counts = Vec::new();
        while let Some((number, users)) = asked(&mut touches) {
            counts.push(users.len());
            touches.handle_answer(number, Ok(()), at(0));
        }
        assert_eq!(counts, [1, 64, 64, 64, 7]);
    }

    fn touches() -> Touches {
        Touches::new(&Settings::new(EndpointId::new(0), b"a secret for this test").unwrap())
    }

    fn asked(touches: &mut Touches) -> Option<(u64, Vec<(ByteString, u64)>)> {
        let (number, question) = touches.poll_question()?;
        let Question::TouchUsers { touches } = question else { panic!("{question:?}") };
        Some((number, touches.into_iter().map(|touch| (touch.user, touch.at_secs)).collect()))
    }

    fn at(secs: u64) -> Instant {
        Instant::from_nanos(secs * 1_000_000_000)
    }
}
