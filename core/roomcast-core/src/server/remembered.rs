//! What is known of a socket that may come back: its names, its data, and when it was in which rooms.
//!
//! Owns: the record, and whether a logged packet reached or would have reached the socket. Must never know: where
//! packets are kept, connections.

use std::collections::BTreeMap;

use bytes::Bytes;
use bytestring::ByteString;

use super::event::{Sid, SocketId};
use super::packet_log::{Dropped, LoggedFor, LoggedPacket};
use super::position::Position;
use crate::time::Instant;

/// A socket that may come back.
#[derive(Debug)]
pub(super) struct Remembered {
    /// The secret by which its client asks for it.
    pub(super) pid: Sid,
    pub(super) sid: Sid,
    pub(super) namespace: ByteString,
    /// The application's.
    pub(super) data: Bytes,
    /// Handles of earlier connections, the last ones: emits to them are meant for this socket.
    pub(super) former: Vec<SocketId>,
    /// When the connection began that is or was its last.
    pub(super) since: Instant,
    /// What its client has, as far as is known: nothing before this concerns it.
    pub(super) base: Position,
    rooms: BTreeMap<ByteString, Stays>,
    /// How many stays have ended, over all rooms.
    ended: usize,
    /// Stays that ended before this are forgotten.
    forgotten: Dropped,
}

/// When a socket was in a room.
#[derive(Debug, Default)]
struct Stays {
    /// It is in the room, since then.
    now: Option<Position>,
    ended: Vec<(Position, Position)>,
}

impl Remembered {
    /// A socket that connects for the first time.
    pub(super) fn new(pid: Sid, sid: Sid, namespace: ByteString, base: Position, now: Instant) -> Self {
        Self {
            pid,
            sid,
            namespace,
            data: Bytes::new(),
            former: Vec::new(),
            since: now,
            base,
            rooms: BTreeMap::new(),
            ended: 0,
            forgotten: Dropped { position: Position::default(), until: now },
        }
    }

    /// It is in a room from a position on.
    pub(super) fn enter(&mut self, room: &ByteString, position: &Position) {
        let stays = self.rooms.entry(room.clone()).or_default();
        stays.now.get_or_insert_with(|| position.clone());
    }

    /// It is not any more. Stays that a log does not reach back to are forgotten in time.
    pub(super) fn leave(&mut self, room: &str, position: &Position, dropped: &Position, now: Instant) {
        let Some(stays) = self.rooms.get_mut(room) else { return };
        let Some(since) = stays.now.take() else { return };
        if since == *position {
            // Nothing was logged meanwhile.
            if stays.ended.is_empty() {
                self.rooms.remove(room);
            }
            return;
        }
        stays.ended.push((since, position.clone()));
        self.ended += 1;
        if self.ended > ENDED_MAX {
            self.forget_ended(|until| dropped.reaches(until));
        }
        if self.ended > ENDED_MAX {
            self.forget_ended(|_| true);
            self.forgotten = Dropped { position: position.clone(), until: now };
        }
    }

    /// The rooms it is in.
    pub(super) fn rooms(&self) -> impl Iterator<Item = &ByteString> {
        self.rooms.iter().filter(|(_, stays)| stays.now.is_some()).map(|(room, _)| room)
    }

    /// Whether a packet was for it, or would have been had it been there.
    pub(super) fn was_meant(&self, logged: &LoggedPacket) -> bool {
        let LoggedFor { rooms, except } = &logged.meant_for;
        let is_in = |room: &ByteString| **room == *self.sid.as_str() || self.was_in(room, logged);
        (rooms.is_empty() || rooms.iter().any(is_in)) && !except.iter().any(is_in)
    }

    /// Stays that nothing is known of any more.
    pub(super) const fn forgotten(&self) -> &Dropped {
        &self.forgotten
    }

    /// Bytes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        let rooms: usize = self.rooms.keys().map(|room| room.len() + ROOM_BYTES).sum();
        size_of::<Self>() + rooms + self.data.len() + self.ended * ROOM_BYTES
    }

    fn was_in(&self, room: &str, logged: &LoggedPacket) -> bool {
        let Some(stays) = self.rooms.get(room) else { return false };
        let is_behind = |position: &Position| !position.has(logged.origin, logged.number);
        stays.now.as_ref().is_some_and(is_behind)
            || stays.ended.iter().any(|(since, until)| is_behind(since) && !is_behind(until))
    }

    fn forget_ended(&mut self, is_over: impl Fn(&Position) -> bool) {
        let mut ended = 0;
        self.rooms.retain(|_, stays| {
            stays.ended.retain(|(_, until)| !is_over(until));
            ended += stays.ended.len();
            stays.now.is_some() || !stays.ended.is_empty()
        });
        self.ended = ended;
    }
}

/// Ended stays of a socket that are kept: a client that walks through rooms in which nothing is said leaves none.
const ENDED_MAX: usize = 256;
/// What a room costs beside its name.
const ROOM_BYTES: usize = 96;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::encoded::Encoded;
    use super::super::packet_log::{LogLimits, PacketLog};
    use super::*;

    #[test]
    fn what_was_said_in_a_room_was_meant_for_who_was_in_it_then() {
        let mut socket = remembered();
        socket.enter(&"r".into(), &at(1));
        socket.enter(&"r".into(), &at(2));
        socket.leave("r", &at(3), &at(0), NOW);
        socket.leave("r", &at(4), &at(0), NOW);
        socket.enter(&"r".into(), &at(5));
        assert_eq!(meant(&socket, 7), [2, 3, 6, 7]);
        assert!(socket.rooms().eq(["r"]));
        socket.leave("r", &at(6), &at(0), NOW);
        assert_eq!((meant(&socket, 7), socket.rooms().count()), (vec![2, 3, 6], 0));
    }

    #[test]
    fn rooms_in_which_nothing_was_said_and_rooms_that_were_left_cost_what_they_take() {
        let mut socket = remembered();
        let empty = socket.bytes();
        for room in ["r", "blue"] {
            socket.enter(&room.into(), &at(4));
            assert_eq!(socket.bytes(), empty + room.len() + ROOM_BYTES);
            socket.leave(room, &at(4), &at(0), NOW);
            assert_eq!(socket.bytes(), empty, "nothing was said meanwhile");
        }
        for (stays, number) in [(1, 5), (2, 7)] {
            socket.enter(&"r".into(), &at(number));
            socket.leave("r", &at(number + 1), &at(0), NOW);
            assert_eq!(socket.bytes(), empty + 1 + ROOM_BYTES + stays * ROOM_BYTES);
        }
        socket.enter(&"r".into(), &at(9));
        socket.leave("r", &at(9), &at(0), NOW);
        socket.data = Bytes::from_static(b"0123456789");
        assert_eq!(socket.bytes(), empty + 1 + 3 * ROOM_BYTES + 10, "earlier stays are kept");
        assert_eq!(meant(&socket, 9), [6, 8]);
    }

    #[test]
    fn of_many_stays_those_are_forgotten_that_no_log_reaches_back_to_and_otherwise_all() {
        let max = u64::try_from(ENDED_MAX).unwrap();
        let walked = |last_dropped: u64| {
            let mut socket = remembered();
            socket.enter(&"hall".into(), &at(0));
            // In the room for every second packet.
            for stay in 0..=max {
                assert_eq!(socket.forgotten().until, START, "stay {stay}");
                socket.enter(&"r".into(), &at(2 * stay));
                let dropped = if stay == max { last_dropped } else { 0 };
                socket.leave("r", &at(2 * stay + 1), &at(dropped), NOW);
            }
            assert!(socket.rooms().eq(["hall"]));
            socket
        };
        let all = 2 * max + 1;
        let some = walked(101);
        assert_eq!((some.forgotten().until, some.forgotten().position.clone()), (START, Position::default()));
        assert_eq!(meant(&some, all), (103..=all).step_by(2).collect::<Vec<_>>());
        let none = walked(0);
        assert_eq!((none.forgotten().until, none.forgotten().position.clone()), (NOW, at(all)));
        assert!(meant(&none, all).is_empty());
        assert!(none.bytes() < some.bytes());
    }

    fn remembered() -> Remembered {
        let sid = |byte| Sid::from_bytes([byte; 15]);
        Remembered::new(sid(1), sid(2), "/".into(), Position::default(), START)
    }

    /// The numbers of those packets, each for the room `r`, that were meant for a socket.
    fn meant(socket: &Remembered, packets: u64) -> Vec<u64> {
        let limits = LogLimits { age_max: Duration::from_secs(1), bytes_max: 1 << 30, packets_max: 1 << 20 };
        let mut log = PacketLog::new("t".into(), limits);
        for _ in 0..packets {
            let meant_for = LoggedFor { rooms: ["r".into()].into(), except: [].into() };
            log.append("/", meant_for, START, Encoded::text);
        }
        let start = Position::default();
        log.behind(&start).filter(|logged| socket.was_meant(logged)).map(|logged| logged.number).collect()
    }

    fn at(number: u64) -> Position {
        let mut position = Position::default();
        position.advance(0, number);
        position
    }

    const START: Instant = Instant::from_millis(1);
    const NOW: Instant = Instant::from_millis(9);
}
