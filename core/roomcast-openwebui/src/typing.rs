//! Typing indicators, sent at a bounded rate.
//!
//! Owns: how often typing of one socket in one place is told, and that the last word is told. Must never know: rooms,
//! users, or how typing is told.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytestring::ByteString;

use roomcast_core::server::SocketId;
use roomcast_core::time::Instant;
use roomcast_core::timer::{Fifo, FifoKey};

/// Where a user types. A thread is a place of its own: typing in it does not hold back what is told of the channel.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TypingPlace {
    /// A channel, or the thread of one of its messages.
    Channel { channel: ByteString, thread: Option<ByteString> },
    /// A chat of the user's.
    Chat(ByteString),
}

/// What is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TypingNotice {
    pub(crate) socket: SocketId,
    pub(crate) place: TypingPlace,
    pub(crate) typing: bool,
    pub(crate) since: Since,
}

/// When the event behind a [`TypingNotice`] arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// Just now: the caller has checked that the socket may.
    Now,
    /// A span ago: the socket may have left the place since.
    Earlier,
    /// Before the logout, up to which the socket was there.
    Logout,
}

/// Typing of all sockets. The first event in a place is told at once; of those that follow within the span the last one
/// is told when the span ends.
#[derive(Debug)]
pub(crate) struct Typing {
    span: Duration,
    places_per_socket_max: usize,
    places: BTreeMap<(SocketId, TypingPlace), RecentTyping>,
    spans: Fifo<(SocketId, TypingPlace)>,
    told: VecDeque<TypingNotice>,
}

impl Typing {
    pub(crate) fn new(span: Duration, places_per_socket_max: usize) -> Self {
        let (places, spans, told) = (BTreeMap::new(), Fifo::new(), VecDeque::new());
        Self { span, places_per_socket_max, places, spans, told }
    }

    /// A socket types, or has stopped. In one place too many it is not told.
    pub(crate) fn handle_typing(&mut self, socket: SocketId, place: TypingPlace, typing: bool, now: Instant) {
        let key = (socket, place);
        if let Some(pending) = self.places.get_mut(&key) {
            pending.typing = Some(typing);
        } else if self.places.range(of(socket)).take_while(|(key, _)| key.0 == socket).count()
            < self.places_per_socket_max
        {
            self.tell(key, typing, Since::Now, now);
        }
    }

    /// A login ended: what has not been told is told now.
    pub(crate) fn handle_logout(&mut self, socket: SocketId) {
        while let Some(key) = self.places.range(of(socket)).map(|(key, _)| key.clone()).next()
            && key.0 == socket
            && let Some(pending) = self.places.remove(&key)
        {
            self.spans.cancel(pending.timer);
            if let Some(typing) = pending.typing {
                self.told.push_back(TypingNotice { socket, place: key.1, typing, since: Since::Logout });
            }
        }
    }

    /// Tells what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        while let Some(key) = self.spans.pop_due(now) {
            if let Some(typing) = self.places.remove(&key).and_then(|pending| pending.typing) {
                self.tell(key, typing, Since::Earlier, now);
            }
        }
    }

    pub(crate) fn poll_told(&mut self) -> Option<TypingNotice> {
        self.told.pop_front()
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.spans.next_deadline()
    }

    /// Places where typing was told within the span.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn armed(&self) -> usize {
        self.spans.len()
    }

    fn tell(&mut self, key: (SocketId, TypingPlace), typing: bool, since: Since, now: Instant) {
        let timer = self.spans.arm(now + self.span, key.clone());
        self.told.push_back(TypingNotice { socket: key.0, place: key.1.clone(), typing, since });
        self.places.insert(key, RecentTyping { timer, typing: None });
    }
}

/// A place where typing was told within the span.
#[derive(Debug)]
struct RecentTyping {
    timer: FifoKey,
    /// What arrived since, not yet told.
    typing: Option<bool>,
}

/// The first key that a socket can have, and all behind it.
fn of(socket: SocketId) -> std::ops::RangeFrom<(SocketId, TypingPlace)> {
    (socket, TypingPlace::Channel { channel: ByteString::new(), thread: None })..
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::socket;

    #[test]
    fn of_many_events_in_a_span_the_first_and_the_last_are_told() {
        let mut typing = Typing::new(Duration::from_millis(500), 16);
        for word in [true, true, false] {
            typing.handle_typing(socket(1), channel(None), word, at(0));
        }
        assert_eq!(told(&mut typing), [(true, Since::Now)]);
        assert_eq!(typing.next_deadline(), Some(at(500)));
        typing.handle_timeout(at(499));
        assert_eq!(told(&mut typing), []);
        typing.handle_timeout(at(500));
        assert_eq!(told(&mut typing), [(false, Since::Earlier)]);
        typing.handle_timeout(at(1000));
        assert_eq!((told(&mut typing), typing.len(), typing.armed()), (vec![], 0, 0));
    }

    #[test]
    fn a_thread_is_a_place_of_its_own() {
        let mut typing = Typing::new(Duration::from_millis(500), 16);
        for place in [channel(None), channel(Some("m")), channel(Some("n")), TypingPlace::Chat("c".into())] {
            typing.handle_typing(socket(1), place, true, at(0));
        }
        assert_eq!(told(&mut typing).len(), 4);
    }

    #[test]
    fn a_logout_tells_the_last_word_of_that_socket_alone() {
        let mut typing = Typing::new(Duration::from_millis(500), 16);
        for number in [1, 2] {
            typing.handle_typing(socket(number), channel(None), true, at(0));
            typing.handle_typing(socket(number), channel(None), false, at(1));
            typing.handle_typing(socket(number), TypingPlace::Chat("c".into()), true, at(1));
        }
        while typing.poll_told().is_some() {}
        typing.handle_logout(socket(1));
        assert_eq!(told(&mut typing), [(false, Since::Logout)]);
        assert_eq!((typing.len(), typing.armed()), (2, 2));
    }

    #[test]
    fn a_socket_types_in_a_bounded_number_of_places() {
        let mut typing = Typing::new(Duration::from_millis(500), 2);
        for thread in ["a", "b", "c"] {
            typing.handle_typing(socket(1), channel(Some(thread)), true, at(0));
        }
        assert_eq!(told(&mut typing).len(), 2);
    }

    fn channel(thread: Option<&'static str>) -> TypingPlace {
        TypingPlace::Channel { channel: "c".into(), thread: thread.map(ByteString::from_static) }
    }

    fn told(typing: &mut Typing) -> Vec<(bool, Since)> {
        std::iter::from_fn(|| typing.poll_told()).map(|told| (told.typing, told.since)).collect()
    }

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }
}
