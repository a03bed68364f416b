//! Heartbeats: when each session is pinged, and until when its pong must have come.
//!
//! Owns: ping and pong deadlines and their spread. Must never know: what a ping looks like, or the transport it goes by.
//!
//! Engine.IO protocol revision 4, section ["Heartbeat"](https://github.com/socketio/engine.io-protocol#heartbeat); the same
//! rhythm serves bare WebSockets (RFC 6455 section 5.5.2).

use std::collections::VecDeque;
use std::time::Duration;

use super::config::EndpointId;
use super::event::SessionId;
use super::timer_kind::TimerKind;
use crate::rng::Rng;
use crate::time::Instant;
use crate::timer::{Fifo, FifoKey, TimerKey, Timers};

/// The machine of heartbeats.
#[derive(Debug)]
pub(super) struct Heartbeats {
    endpoints: Vec<Rhythm>,
    /// Second pings, which come at a random moment a little early.
    spread: Timers<SessionId>,
    /// By the slot of the session.
    beats: Vec<PingSchedule>,
    due: VecDeque<HeartbeatDue>,
    rng: Rng,
}

/// A heartbeat action that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeartbeatDue {
    /// Send a ping and say so by [`Heartbeats::handle_ping_sent`].
    Ping(SessionId),
    /// No pong came in time. `progress` is the value that was given when the ping was sent.
    Overdue { session: SessionId, progress: u64 },
}

/// The deadlines of one endpoint's sessions.
#[derive(Debug)]
struct Rhythm {
    interval: Duration,
    timeout: Duration,
    ping: Fifo<SessionId>,
    pong: Fifo<SessionId>,
}

/// The next beat of one session.
#[derive(Clone, Copy, Debug)]
struct PingSchedule {
    endpoint: EndpointId,
    /// Whether its pings have a phase of their own.
    is_spread: bool,
    next: NextPing,
}

#[derive(Clone, Copy, Debug)]
enum NextPing {
    Nothing,
    Ping(FifoKey),
    SpreadPing(TimerKey),
    Pong { key: FifoKey, progress: u64 },
}

impl Heartbeats {
    /// A machine for endpoints of these intervals and timeouts.
    pub(super) fn new(endpoints: impl IntoIterator<Item = (Duration, Duration)>, rng: Rng) -> Self {
        let rhythm = |(interval, timeout)| Rhythm { interval, timeout, ping: Fifo::new(), pong: Fifo::new() };
        Self {
            endpoints: endpoints.into_iter().map(rhythm).collect(),
            spread: Timers::new(),
            beats: Vec::new(),
            due: VecDeque::new(),
            rng,
        }
    }

    /// Begins with a session: its first ping is due a full interval from now.
    pub(super) fn start(&mut self, session: SessionId, endpoint: EndpointId, now: Instant) {
        if self.beats.len() <= session.slot() {
            let none = PingSchedule { endpoint, is_spread: false, next: NextPing::Nothing };
            self.beats.resize(session.slot() + 1, none);
        }
        self.stop(session);
        if let Some(beat) = self.beats.get_mut(session.slot()) {
            *beat = PingSchedule { endpoint, is_spread: false, next: NextPing::Nothing };
        }
        self.arm_ping(session, now);
    }

    /// Forgets a session.
    pub(super) fn stop(&mut self, session: SessionId) {
        let Some(beat) = self.beats.get_mut(session.slot()) else { return };
        let rhythm = self.endpoints.get_mut(beat.endpoint.index());
        match (std::mem::replace(&mut beat.next, NextPing::Nothing), rhythm) {
            (NextPing::SpreadPing(key), _) => {
                self.spread.cancel(key);
            }
            (NextPing::Ping(key), Some(rhythm)) => {
                rhythm.ping.cancel(key);
            }
            (NextPing::Pong { key, .. }, Some(rhythm)) => {
                rhythm.pong.cancel(key);
            }
            (NextPing::Nothing, _) | (NextPing::Ping(_) | NextPing::Pong { .. }, None) => {}
        }
    }

    /// A pong came, or what counts as one. Ignored while none is awaited.
    pub(super) fn handle_pong(&mut self, session: SessionId, now: Instant) {
        let Some(beat) = self.beats.get_mut(session.slot()) else { return };
        let NextPing::Pong { .. } = beat.next else { return };
        let is_spread = std::mem::replace(&mut beat.is_spread, true);
        self.stop(session);
        if is_spread {
            return self.arm_ping(session, now);
        }
        // Clients that came all at once, after a restart, would beat in step for ever: the second ping comes up to 5 %
        // early, and from then on each keeps the phase it has.
        let Some(interval) = self.rhythm(session).map(|rhythm| rhythm.interval) else { return };
        let early_max = u64::try_from(interval.as_nanos() / 20).unwrap_or(0);
        let early = Duration::from_nanos(self.rng.below(early_max));
        let key = self.spread.arm(now + (interval - early), session);
        self.set(session, NextPing::SpreadPing(key));
    }

    /// The ping of [`HeartbeatDue::Ping`] is on its way; `progress` tells how much the peer had taken by then, in any
    /// measure that grows.
    pub(super) fn handle_ping_sent(&mut self, session: SessionId, progress: u64) {
        if let Some(PingSchedule { next: NextPing::Pong { progress: noted, .. }, .. }) =
            self.beats.get_mut(session.slot())
        {
            *noted = progress;
        }
    }

    /// Forgives a missing pong and makes another ping due now: without one, the client would give up on the server.
    pub(super) fn ping_again(&mut self, session: SessionId, now: Instant) {
        self.ping_due(session, now, now);
    }

    /// Time has passed.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        for index in 0..self.endpoints.len() {
            while let Some((session, due)) = self.endpoints.get_mut(index).and_then(|rhythm| {
                let due = rhythm.ping.next_deadline()?;
                Some((rhythm.ping.pop_due(now)?, due))
            }) {
                self.ping_due(session, due, now);
            }
            while let Some(session) = self.endpoints.get_mut(index).and_then(|rhythm| rhythm.pong.pop_due(now)) {
                self.pong_overdue(session);
            }
        }
        while let Some(due) = self.spread.next_deadline()
            && let Some(session) = self.spread.pop_due(now)
        {
            self.ping_due(session, due, now);
        }
    }

    /// What is due, in order.
    pub(super) fn poll_due(&mut self) -> Option<HeartbeatDue> {
        self.due.pop_front()
    }

    /// The next deadline.
    pub(super) fn poll_timeout(&self) -> Option<(Instant, TimerKind)> {
        let spread = self.spread.next_deadline().map(|at| (at, TimerKind::Ping));
        let of = |rhythm: &Rhythm| {
            let ping = rhythm.ping.next_deadline().map(|at| (at, TimerKind::Ping));
            let pong = rhythm.pong.next_deadline().map(|at| (at, TimerKind::Pong));
            [ping, pong]
        };
        self.endpoints.iter().flat_map(of).chain([spread]).flatten().min_by_key(|(at, _)| *at)
    }

    /// How many deadlines are armed.
    pub(super) fn armed(&self) -> usize {
        self.endpoints.iter().map(|rhythm| rhythm.ping.len() + rhythm.pong.len()).sum::<usize>() + self.spread.len()
    }

    /// Awaits the pong. `due` is when the ping was to be sent, so that a timer that fires late does not add to the timeout.
    fn ping_due(&mut self, session: SessionId, due: Instant, now: Instant) {
        let Some(rhythm) = self.rhythm(session) else { return };
        // A driver that was held up for long leaves its peers at least half of the time.
        let deadline = (due + rhythm.timeout).max(now + rhythm.timeout / 2);
        let key = rhythm.pong.arm(deadline, session);
        self.set(session, NextPing::Pong { key, progress: 0 });
        self.due.push_back(HeartbeatDue::Ping(session));
    }

    fn pong_overdue(&mut self, session: SessionId) {
        let Some(beat) = self.beats.get_mut(session.slot()) else { return };
        match std::mem::replace(&mut beat.next, NextPing::Nothing) {
            NextPing::Pong { progress, .. } => self.due.push_back(HeartbeatDue::Overdue { session, progress }),
            NextPing::Nothing | NextPing::Ping(_) | NextPing::SpreadPing(_) => {}
        }
    }

    fn arm_ping(&mut self, session: SessionId, now: Instant) {
        let Some(rhythm) = self.rhythm(session) else { return };
        let key = rhythm.ping.arm(now + rhythm.interval, session);
        self.set(session, NextPing::Ping(key));
    }

    fn set(&mut self, session: SessionId, next: NextPing) {
        if let Some(beat) = self.beats.get_mut(session.slot()) {
            beat.next = next;
        }
    }

    fn rhythm(&mut self, session: SessionId) -> Option<&mut Rhythm> {
        let endpoint = self.beats.get(session.slot())?.endpoint;
        self.endpoints.get_mut(endpoint.index())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SlabKey as _;

    #[test]
    fn a_ping_comes_an_interval_after_the_start_and_its_pong_within_the_timeout() {
        let mut beats = heartbeats(100, 40);
        beats.start(session(0), A, at(5));
        assert_eq!(beats.poll_timeout(), Some((at(105), TimerKind::Ping)));
        assert_eq!((due(&mut beats, 104), due(&mut beats, 105)), (vec![], vec![HeartbeatDue::Ping(session(0))]));
        beats.handle_ping_sent(session(0), 7);
        assert_eq!(beats.poll_timeout(), Some((at(145), TimerKind::Pong)));
        let overdue = HeartbeatDue::Overdue { session: session(0), progress: 7 };
        assert_eq!((due(&mut beats, 144), due(&mut beats, 145)), (vec![], vec![overdue]));
        assert_eq!((beats.poll_timeout(), beats.armed()), (None, 0));
    }

    #[test]
    fn a_session_keeps_nothing_of_the_rhythm_of_the_one_before_in_its_place() {
        let millis = Duration::from_millis;
        let rhythms = [(millis(100), millis(40)), (millis(1000), millis(40))];
        let mut beats = Heartbeats::new(rhythms, Rng::from_seed([1; 32]));
        beats.start(session(0), A, at(0));
        due(&mut beats, 100);
        beats.handle_pong(session(0), at(100));
        beats.stop(session(0));
        beats.start(session(0), EndpointId::new(1), at(100));
        assert_eq!(beats.poll_timeout(), Some((at(1100), TimerKind::Ping)));
        due(&mut beats, 1100);
        beats.handle_pong(session(0), at(1100));
        assert!(beats.poll_timeout().is_some_and(|(ping, _)| ping < at(2100)), "its second ping is spread again");
    }

    #[test]
    fn a_pong_counts_only_while_one_is_awaited() {
        let mut beats = heartbeats(100, 40);
        beats.start(session(0), A, at(0));
        beats.handle_pong(session(0), at(50));
        assert_eq!(beats.poll_timeout(), Some((at(100), TimerKind::Ping)), "not put off by a pong out of turn");
        due(&mut beats, 100);
        beats.handle_pong(session(0), at(110));
        let (second, kind) = beats.poll_timeout().unwrap();
        assert!(kind == TimerKind::Ping && at(205) < second && second <= at(210), "up to 5 % early: {second:?}");
        due(&mut beats, 210);
        beats.handle_pong(session(0), at(215));
        assert_eq!(beats.poll_timeout(), Some((at(315), TimerKind::Ping)), "then each keeps its phase");
    }

    #[test]
    fn second_pings_are_spread() {
        let mut beats = heartbeats(100_000, 90_000);
        for slot in 0..200 {
            beats.start(session(slot), A, at(0));
        }
        assert_eq!(due(&mut beats, 100_000).len(), 200);
        for slot in 0..200 {
            beats.handle_pong(session(slot), at(100_000));
        }
        let early = due(&mut beats, 197_500).len();
        assert!((60..=140).contains(&early), "about half within the first half of the spread: {early}");
        assert_eq!(due(&mut beats, 200_000).len(), 200 - early);
    }

    #[test]
    fn pongs_of_a_timeout_longer_than_the_interval_are_each_awaited() {
        let mut beats = heartbeats(10, 100);
        beats.start(session(0), A, at(0));
        beats.start(session(1), A, at(5));
        assert_eq!(due(&mut beats, 10), [HeartbeatDue::Ping(session(0))]);
        assert_eq!(due(&mut beats, 15), [HeartbeatDue::Ping(session(1))]);
        beats.handle_pong(session(1), at(16));
        due(&mut beats, 26);
        beats.handle_pong(session(1), at(27));
        assert_eq!(due(&mut beats, 37), [HeartbeatDue::Ping(session(1))]);
        assert_eq!(due(&mut beats, 110), [HeartbeatDue::Overdue { session: session(0), progress: 0 }]);
        assert_eq!(due(&mut beats, 136), []);
        assert_eq!(due(&mut beats, 137), [HeartbeatDue::Overdue { session: session(1), progress: 0 }]);
    }

    #[test]
    fn a_late_timer_takes_at_most_half_of_the_timeout_from_the_peer() {
        let mut beats = heartbeats(100, 40);
        beats.start(session(0), A, at(0));
        due(&mut beats, 110);
        assert_eq!(beats.poll_timeout(), Some((at(140), TimerKind::Pong)), "not put off by the lateness");
        beats.start(session(0), A, at(200));
        due(&mut beats, 400);
        assert_eq!(beats.poll_timeout(), Some((at(420), TimerKind::Pong)));
    }

    #[test]
    fn another_ping_replaces_a_missing_pong() {
        let mut beats = heartbeats(100, 40);
        beats.start(session(0), A, at(0));
        due(&mut beats, 100);
        due(&mut beats, 140);
        beats.ping_again(session(0), at(140));
        assert_eq!(due(&mut beats, 140), [HeartbeatDue::Ping(session(0))]);
        assert_eq!(beats.poll_timeout(), Some((at(180), TimerKind::Pong)));
    }

    #[test]
    fn a_stopped_session_is_forgotten_in_every_state() {
        let mut beats = heartbeats(100, 40);
        for stop_at in [0, 1, 2] {
            beats.start(session(3), A, at(0));
            if stop_at > 0 {
                due(&mut beats, 100);
            }
            if stop_at > 1 {
                beats.handle_pong(session(3), at(100));
            }
            assert_eq!(beats.armed(), 1);
            beats.stop(session(3));
            assert_eq!((beats.armed(), due(&mut beats, 1000)), (0, vec![]));
        }
        beats.stop(session(99));
    }

    #[test]
    fn each_endpoint_has_its_own_rhythm() {
        let millis = Duration::from_millis;
        let mut beats = Heartbeats::new([(millis(100), millis(40)), (millis(30), millis(5))], Rng::from_seed([1; 32]));
        beats.start(session(0), A, at(0));
        beats.start(session(1), EndpointId::new(1), at(0));
        assert_eq!(due(&mut beats, 30), [HeartbeatDue::Ping(session(1))]);
        assert_eq!(due(&mut beats, 35), [HeartbeatDue::Overdue { session: session(1), progress: 0 }]);
        assert_eq!(due(&mut beats, 100), [HeartbeatDue::Ping(session(0))]);
    }

    const A: EndpointId = EndpointId::new(0);

    fn heartbeats(interval: u64, timeout: u64) -> Heartbeats {
        let millis = Duration::from_millis;
        Heartbeats::new([(millis(interval), millis(timeout))], Rng::from_seed([1; 32]))
    }

    fn due(beats: &mut Heartbeats, millis: u64) -> Vec<HeartbeatDue> {
        beats.handle_timeout(at(millis));
        std::iter::from_fn(|| beats.poll_due()).collect()
    }

    fn session(slot: u32) -> SessionId {
        SessionId::from_parts(slot, 0)
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }
}
