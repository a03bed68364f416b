//! The events of each socket, one after the other.
//!
//! Owns: that a socket's events wait while the turn of one of them is open, and in which order. Must never know: what an
//! event means; a turn keeps that as a step `S`.

use std::collections::VecDeque;

use bytestring::ByteString;

use super::by_socket::BySocket;
use super::query::QueryId;
use roomcast_core::server::{AckId, SocketId};
use roomcast_core::socket_io::Args;

/// An event that waits.
#[derive(Debug)]
pub(crate) struct HeldEvent {
    pub(crate) name: ByteString,
    pub(crate) args: Args,
    pub(crate) ack: Option<AckId>,
}

/// An event that waits for an answer, with all behind it.
#[derive(Debug)]
pub(crate) struct Turn<S> {
    /// The question whose answer it waits for. `None`: it waits for what others have asked as well.
    pub(crate) query: Option<QueryId>,
    /// How far the event is, and what it needs to go on.
    pub(crate) step: S,
    pub(crate) origin: TurnOrigin,
    pub(crate) doubt: Doubt,
}

/// What a turn began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TurnOrigin {
    /// The arrival of the socket.
    Arrival,
    /// An event, to be acknowledged if that was asked for.
    Event(Option<AckId>),
}

/// Whether what the store is being asked has changed meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Not as far as is known.
    No,
    /// The answer may be older than the change: the login is checked again once it is there.
    Yes,
}

/// What becomes of an event that arrived.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// It is its turn.
    Begins(HeldEvent),
    /// It waits behind a turn.
    Waits,
    /// More wait than may.
    TooMany,
    /// The socket is not known here.
    Unknown(HeldEvent),
}

/// The turns of all sockets.
#[derive(Debug)]
pub(crate) struct Turns<S> {
    held_max: usize,
    held: usize,
    sockets: BySocket<SubjectLine<S>>,
}

impl<S> Turns<S> {
    pub(crate) fn new(held_max: usize) -> Self {
        Self { held_max, held: 0, sockets: BySocket::default() }
    }

    /// A socket arrived.
    pub(crate) fn open(&mut self, socket: SocketId) {
        self.sockets.insert(socket, SubjectLine { turn: None, held: VecDeque::new() });
    }

    /// A socket is gone: the question of its turn, and how many events can no longer be handled.
    pub(crate) fn close(&mut self, socket: SocketId) -> (Option<QueryId>, usize) {
        let Some(SubjectLine { turn, held }) = self.sockets.remove(socket) else { return (None, 0) };
        self.held -= held.len();
        let begun = turn.as_ref().is_some_and(|turn| turn.origin != TurnOrigin::Arrival);
        (turn.and_then(|turn| turn.query), held.len() + usize::from(begun))
    }

    pub(crate) fn handle_event(&mut self, socket: SocketId, event: HeldEvent) -> Arrival {
        let Some(line) = self.sockets.get_mut(socket) else { return Arrival::Unknown(event) };
        if line.turn.is_none() && line.held.is_empty() {
            return Arrival::Begins(event);
        }
        if line.held.len() >= self.held_max {
            return Arrival::TooMany;
        }
        line.held.push_back(event);
        self.held += 1;
        Arrival::Waits
    }

    /// An event is the next of its socket, in front of those that wait.
    pub(crate) fn hold_first(&mut self, socket: SocketId, event: HeldEvent) {
        let Some(line) = self.sockets.get_mut(socket) else { return };
        line.held.push_front(event);
        self.held += 1;
    }

    /// Opens a turn: events that arrive wait from now on.
    pub(crate) fn begin(&mut self, socket: SocketId, query: Option<QueryId>, step: S, origin: TurnOrigin) {
        let Some(line) = self.sockets.get_mut(socket) else { return };
        debug_assert!(line.turn.is_none(), "one turn at a time");
        line.turn = Some(Turn { query, step, origin, doubt: Doubt::No });
    }

    /// Ends the turn that waits for this question.
    pub(crate) fn handle_answer(&mut self, socket: SocketId, query: QueryId) -> Option<Turn<S>> {
        self.sockets.get_mut(socket)?.turn.take_if(|turn| turn.query == Some(query))
    }

    /// Ends a socket's turn if it is at such a step and waits for what others have asked.
    pub(crate) fn end_if(&mut self, socket: SocketId, is_at: impl Fn(&S) -> bool) -> Option<Turn<S>> {
        self.sockets.get_mut(socket)?.turn.take_if(|turn| turn.query.is_none() && is_at(&turn.step))
    }

    /// The next event of a socket, unless a turn is open.
    pub(crate) fn next(&mut self, socket: SocketId) -> Option<HeldEvent> {
        let line = self.sockets.get_mut(socket).filter(|line| line.turn.is_none())?;
        let event = line.held.pop_front()?;
        self.held -= 1;
        Some(event)
    }

    /// Whether a socket's turn is open.
    pub(crate) fn is_open(&self, socket: SocketId) -> bool {
        self.sockets.get(socket).is_some_and(|line| line.turn.is_some())
    }

    /// Doubts the answers to turns at such steps. How many there are.
    pub(crate) fn doubt(&mut self, is_at: impl Fn(&S) -> bool) -> usize {
        let turns = self.sockets.iter_mut().filter_map(|(_, line)| line.turn.as_mut());
        turns.filter(|turn| is_at(&turn.step)).map(|turn| turn.doubt = Doubt::Yes).count()
    }

    /// Events that wait.
    pub(crate) fn held(&self) -> usize {
        self.held
    }
}

#[derive(Debug)]
struct SubjectLine<S> {
    turn: Option<Turn<S>>,
    held: VecDeque<HeldEvent>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::socket;

    #[test]
    fn events_wait_for_the_turn_before_them_and_come_in_order() {
        let mut turns = turns();
        assert!(matches!(turns.handle_event(socket(1), event("a")), Arrival::Begins(_)));
        turns.begin(socket(1), Some(QueryId(1)), 'a', TurnOrigin::Event(None));
        for name in ["b", "c"] {
            assert!(matches!(turns.handle_event(socket(1), event(name)), Arrival::Waits));
        }
        turns.hold_first(socket(1), event("first"));
        assert!(turns.next(socket(1)).is_none() && turns.is_open(socket(1)));
        assert!(turns.handle_answer(socket(1), QueryId(2)).is_none());
        assert_eq!(turns.handle_answer(socket(1), QueryId(1)).map(|turn| turn.step), Some('a'));
        // What arrives now is still behind those that wait.
        assert!(matches!(turns.handle_event(socket(1), event("d")), Arrival::Waits));
        let names: Vec<_> = std::iter::from_fn(|| turns.next(socket(1))).map(|event| event.name).collect();
        assert_eq!(
            (names.iter().map(|name| &**name).collect::<Vec<_>>(), turns.held()),
            (vec!["first", "b", "c", "d"], 0)
        );
    }

    #[test]
    fn a_bounded_number_of_events_waits() {
        let mut turns = turns();
        turns.begin(socket(1), None, 'a', TurnOrigin::Arrival);
        for _ in 0..4 {
            assert!(matches!(turns.handle_event(socket(1), event("e")), Arrival::Waits));
        }
        assert!(matches!(turns.handle_event(socket(1), event("e")), Arrival::TooMany));
        assert_eq!(turns.close(socket(1)), (None, 4));
        assert_eq!((turns.held(), turns.close(socket(1))), (0, (None, 0)));
        assert!(matches!(turns.handle_event(socket(1), event("e")), Arrival::Unknown(_)));
    }

    #[test]
    fn a_close_counts_the_event_whose_turn_it_is() {
        let mut turns = turns();
        turns.begin(socket(1), Some(QueryId(7)), 'a', TurnOrigin::Event(None));
        turns.handle_event(socket(1), event("b"));
        assert_eq!(turns.close(socket(1)), (Some(QueryId(7)), 2));
    }

    #[test]
    fn only_turns_at_the_step_end_or_are_doubted() {
        let mut turns = turns();
        turns.open(socket(2));
        turns.begin(socket(1), None, 'a', TurnOrigin::Arrival);
        turns.begin(socket(2), Some(QueryId(1)), 'b', TurnOrigin::Arrival);
        assert_eq!((turns.doubt(|step| *step == 'b'), turns.doubt(|step| *step == 'c')), (1, 0));
        assert!(turns.end_if(socket(1), |step| *step == 'b').is_none());
        assert!(turns.end_if(socket(2), |step| *step == 'b').is_none(), "it waits for a question of its own");
        assert_eq!(turns.end_if(socket(1), |step| *step == 'a').map(|turn| turn.doubt), Some(Doubt::No));
        assert_eq!(turns.handle_answer(socket(2), QueryId(1)).map(|turn| turn.doubt), Some(Doubt::Yes));
    }

    fn turns() -> Turns<char> {
        let mut turns = Turns::new(4);
        turns.open(socket(1));
        turns
    }

    fn event(name: &'static str) -> HeldEvent {
        HeldEvent { name: name.into(), args: Args::empty(), ack: None }
    }
}
