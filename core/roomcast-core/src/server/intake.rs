//! What peers have sent and the application has not dealt with: when to stop reading a peer, and when to go on.
//!
//! Owns: the count of unanswered events per session, the events that are held back from the application while their
//! session does not take what it is sent, and the turns of connections with bytes that were read and not processed.
//! Must never know: transports, packets, or what an event says.

use std::collections::{BTreeMap, VecDeque};

use super::event::{ConnId, Event, SessionId, SocketId};

/// The machine of intake.
#[derive(Debug)]
pub(super) struct Intake {
    /// By the slot of the session.
    sessions: Vec<Reading>,
    held: BTreeMap<SessionId, VecDeque<Event>>,
    /// Connections with bytes that were read and not processed, and those whose turn it is.
    ready: VecDeque<Rest>,
    limits: IntakeLimits,
}

/// When a session is behind.
#[derive(Clone, Copy, Debug)]
pub(super) struct IntakeLimits {
    /// Events that the application has not dealt with.
    pub(super) unanswered_max: u32,
    /// Total size of those events, in bytes.
    pub(super) unanswered_bytes_max: usize,
    /// Bytes that a session has not taken.
    pub(super) queue_soft_bytes: usize,
}

/// Where packets that were read and not taken stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// With a WebSocket.
    Conn(ConnId),
    /// With the POST of a session.
    Post(SessionId),
}

#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    unanswered: u32,
    unanswered_bytes: usize,
    is_behind: bool,
    is_relief_wanted: bool,
}

/// What follows from a shorter queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Relief {
    /// Tell the application, which asked for it.
    pub(super) tell: bool,
    /// Read the peer again.
    pub(super) resume: bool,
}

impl Intake {
    pub(super) const fn new(limits: IntakeLimits) -> Self {
        Self { sessions: Vec::new(), held: BTreeMap::new(), ready: VecDeque::new(), limits }
    }

    /// Begins with a new session.
    pub(super) fn start(&mut self, session: SessionId) {
        if self.sessions.len() <= session.slot() {
            self.sessions.resize(session.slot() + 1, Reading::default());
        }
        self.set(session, Reading::default());
    }

    /// Forgets a session. The events that were held back, in order.
    pub(super) fn stop(&mut self, session: SessionId) -> VecDeque<Event> {
        self.set(session, Reading::default());
        self.forget_rest(Rest::Post(session));
        self.held.remove(&session).unwrap_or_default()
    }

    /// Forgets a rest that is gone.
    pub(super) fn forget_rest(&mut self, rest: Rest) {
        self.ready.retain(|other| *other != rest);
    }

    /// An event of the session is on its way to the application, which will say when it has dealt with it.
    pub(super) fn add(&mut self, session: SessionId, bytes: usize) {
        if let Some(reading) = self.sessions.get_mut(session.slot()) {
            reading.unanswered += 1;
            reading.unanswered_bytes += bytes;
        }
    }

    /// The application has dealt with an event.
    pub(super) fn handle_handled(&mut self, session: SessionId) {
        let Some(reading) = self.sessions.get_mut(session.slot()) else { return };
        // Which of them is not said: the average is given back, and with the last one all.
        let average = reading.unanswered_bytes.checked_div(reading.unanswered as usize);
        reading.unanswered_bytes -= average.unwrap_or(0);
        reading.unanswered = reading.unanswered.saturating_sub(1);
    }

    /// Whether to stop reading a session of whose queue `unread_bytes` are not taken. Once it is behind, it stays so until
    /// a [`relieve`](Self::relieve) finds everything at half.
    pub(super) fn judge(&mut self, session: SessionId, unread_bytes: usize) -> bool {
        let limits = self.limits;
        let Some(reading) = self.sessions.get_mut(session.slot()) else { return false };
        reading.is_behind |= reading.unanswered > limits.unanswered_max
            || reading.unanswered_bytes > limits.unanswered_bytes_max
            || unread_bytes > limits.queue_soft_bytes;
        reading.is_behind
    }

    /// Whether reading the session has stopped.
    pub(super) fn is_behind(&self, session: SessionId) -> bool {
        self.sessions.get(session.slot()).is_some_and(|reading| reading.is_behind)
    }

    /// Promises a relief to the application.
    pub(super) fn want_relief(&mut self, session: SessionId) {
        if let Some(reading) = self.sessions.get_mut(session.slot()) {
            reading.is_relief_wanted = true;
        }
    }

    /// The session has taken some of its queue, or the application has dealt with something. Of its `queue_bytes` those
    /// are `unread_bytes` for which the peer is not read.
    pub(super) fn relieve(&mut self, session: SessionId, queue_bytes: usize, unread_bytes: usize) -> Relief {
        let IntakeLimits { unanswered_max, unanswered_bytes_max, queue_soft_bytes } = self.limits;
        let Some(reading) = self.sessions.get_mut(session.slot()) else { return Relief::default() };
        let tell = reading.is_relief_wanted && queue_bytes <= queue_soft_bytes;
        let resume = reading.is_behind
            && reading.unanswered <= unanswered_max / 2
            && reading.unanswered_bytes <= unanswered_bytes_max / 2
            && unread_bytes <= queue_soft_bytes / 2;
        reading.is_relief_wanted &= !tell;
        reading.is_behind &= !resume;
        Relief { tell, resume }
    }

    /// Whether something follows once the session's queue is shorter.
    pub(super) fn is_watched(&self, session: SessionId) -> bool {
        let reading = self.sessions.get(session.slot());
        reading.is_some_and(|reading| reading.is_behind || reading.is_relief_wanted) || self.held.contains_key(&session)
    }

    /// Holds an event back until [`release`](Self::release).
    pub(super) fn hold(&mut self, session: SessionId, event: Event) {
        self.held.entry(session).or_default().push_back(event);
    }

    /// Whether events of the session are held back: later ones must wait behind them.
    pub(super) fn holds(&self, session: SessionId) -> bool {
        self.held.contains_key(&session)
    }

    /// The session of whose events one of this socket is held back.
    pub(super) fn holder_of(&self, socket: SocketId) -> Option<SessionId> {
        let is_of = |event: &Event| matches!(event, Event::Received { socket: own, .. } if *own == socket);
        self.held.iter().find(|(_, events)| events.iter().any(is_of)).map(|(session, _)| *session)
    }

    /// The events of a session that were held back, in order.
    pub(super) fn release(&mut self, session: SessionId) -> VecDeque<Event> {
        self.held.remove(&session).unwrap_or_default()
    }

    /// Lets a rest have its turn.
    pub(super) fn push_ready(&mut self, rest: Rest) {
        if !self.ready.contains(&rest) {
            self.ready.push_back(rest);
        }
    }

    /// The next rest whose turn it is.
    pub(super) fn pop_ready(&mut self) -> Option<Rest> {
        self.ready.pop_front()
    }

    /// How many rests wait for their turn.
    pub(super) fn ready_count(&self) -> usize {
        self.ready.len()
    }

    /// How many events are held back.
    pub(super) fn held_count(&self) -> usize {
        self.held.values().map(VecDeque::len).sum()
    }

    fn set(&mut self, session: SessionId, reading: Reading) {
        if let Some(place) = self.sessions.get_mut(session.slot()) {
            *place = reading;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SlabKey as _;
    use crate::server::event::Message;

    #[test]
    fn reading_stops_above_a_limit_and_goes_on_at_half() {
        let mut intake = intake();
        for _ in 0..4 {
            intake.add(a(), 1);
        }
        assert!(!intake.judge(a(), 0));
        intake.add(a(), 1);
        assert!(intake.judge(a(), 0) && intake.is_behind(a()) && intake.is_watched(a()));
        for _ in 0..2 {
            intake.handle_handled(a());
            assert_eq!(intake.relieve(a(), 0, 0), Relief::default());
        }
        assert!(intake.judge(a(), 0), "it stays behind until everything is at half");
        intake.handle_handled(a());
        assert_eq!(intake.relieve(a(), 51, 51), Relief::default(), "the queue is not at half");
        assert_eq!(intake.relieve(a(), 50, 50), Relief { tell: false, resume: true });
        assert!(!intake.judge(a(), 0) && !intake.is_watched(a()));
        assert_eq!(intake.relieve(a(), 0, 0), Relief::default());
    }

    #[test]
    fn bytes_that_are_unanswered_or_unread_count_too() {
        let mut intake = intake();
        intake.add(a(), 1000);
        assert!(!intake.judge(a(), 100));
        intake.add(a(), 1);
        assert!(intake.judge(a(), 100));
        intake.handle_handled(a());
        assert_eq!(intake.relieve(a(), 0, 0), Relief::default(), "an average of 500 each");
        intake.handle_handled(a());
        assert!(intake.relieve(a(), 0, 0).resume);
        assert!(intake.judge(a(), 101));
    }

    #[test]
    fn a_peer_that_reads_and_writes_by_turns_is_read_again_whatever_its_queue() {
        let mut intake = intake();
        (0..5).for_each(|_| intake.add(a(), 1));
        assert!(intake.judge(a(), 0));
        (0..5).for_each(|_| intake.handle_handled(a()));
        assert!(intake.relieve(a(), 1000, 0).resume, "it takes its queue only after its POST is answered");
    }

    #[test]
    fn a_handled_too_many_is_ignored() {
        let mut intake = intake();
        intake.handle_handled(a());
        intake.add(a(), 10);
        intake.handle_handled(a());
        intake.handle_handled(a());
        (0..4).for_each(|_| intake.add(a(), 1));
        assert!(!intake.judge(a(), 0));
    }

    #[test]
    fn relief_is_told_once_to_those_who_asked() {
        let mut intake = intake();
        assert_eq!(intake.relieve(a(), 0, 0), Relief::default());
        intake.want_relief(a());
        assert!(intake.is_watched(a()));
        assert_eq!(intake.relieve(a(), 101, 101), Relief::default());
        assert_eq!(intake.relieve(a(), 100, 100), Relief { tell: true, resume: false });
        assert_eq!(intake.relieve(a(), 0, 0), Relief::default());
    }

    #[test]
    fn held_events_come_back_in_order_and_end_with_their_session() {
        let mut intake = intake();
        for text in ["one", "two"] {
            intake.hold(a(), Event::Message { session: a(), message: Message::Text(text.into()) });
        }
        assert!(intake.holds(a()) && intake.is_watched(a()) && intake.held_count() == 2);
        let texts: Vec<_> = intake.release(a()).into_iter().map(|event| format!("{event:?}")).collect();
        assert!(texts[0].contains("one") && texts[1].contains("two"));
        intake.hold(a(), Event::Relieved { session: a() });
        assert_eq!((intake.stop(a()).len(), intake.held_count(), intake.is_watched(a())), (1, 0, false));
    }

    #[test]
    fn rests_take_turns_and_wait_once_each() {
        let mut intake = intake();
        let (first, second) = (Rest::Post(a()), Rest::Conn(ConnId::from_parts(0, 0)));
        [first, second, first].into_iter().for_each(|rest| intake.push_ready(rest));
        assert_eq!((intake.pop_ready(), intake.pop_ready(), intake.pop_ready()), (Some(first), Some(second), None));
        [first, second].into_iter().for_each(|rest| intake.push_ready(rest));
        intake.stop(a());
        assert_eq!((intake.pop_ready(), intake.ready_count()), (Some(second), 0), "that of a session goes with it");
    }

    fn a() -> SessionId {
        SessionId::from_parts(0, 0)
    }

    #[test]
    fn a_session_is_not_behind_because_the_one_before_it_in_its_place_was() {
        for stops in [true, false] {
            let mut intake = intake();
            (0..5).for_each(|_| intake.add(a(), 1));
            assert!(intake.judge(a(), 0));
            if stops {
                intake.stop(a());
            } else {
                intake.start(a());
            }
            assert!(!intake.is_behind(a()) && !intake.is_watched(a()) && !intake.judge(a(), 0));
        }
    }

    fn intake() -> Intake {
        let limits = IntakeLimits { unanswered_max: 4, unanswered_bytes_max: 1000, queue_soft_bytes: 100 };
        let mut intake = Intake::new(limits);
        intake.start(a());
        intake
    }
}
