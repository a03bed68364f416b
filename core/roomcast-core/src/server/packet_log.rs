//! Packets that clients may have missed, each once for all of them.
//!
//! Owns: the log, its numbers, and what was dropped of it for age, bytes or count. Must never know: who has missed what,
//! connections.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;

use super::encoded::Encoded;
use super::position::Position;
use crate::time::Instant;

/// The machine of logged packets.
#[derive(Debug)]
pub(super) struct PacketLog {
    packets: VecDeque<LoggedPacket>,
    bytes: usize,
    limits: LogLimits,
    /// The tags of those that number packets; this server's own is the first.
    tags: Vec<Box<str>>,
    /// All that was ever logged.
    position: Position,
    dropped: Dropped,
}

/// What a log keeps at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogLimits {
    pub(super) age_max: Duration,
    pub(super) bytes_max: usize,
    pub(super) packets_max: usize,
}

/// What is not in the log any more.
#[derive(Clone, Debug, Default)]
pub(super) struct Dropped {
    pub(super) position: Position,
    /// When the latest of it was logged.
    pub(super) until: Instant,
}

/// A packet, and which sockets it was for.
#[derive(Debug)]
pub(super) struct LoggedPacket {
    pub(super) origin: usize,
    pub(super) number: u64,
    pub(super) namespace: Arc<str>,
    pub(super) meant_for: LoggedFor,
    pub(super) packet: Arc<Encoded>,
    at: Instant,
}

/// Rooms, less rooms. A socket's sid is a room of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LoggedFor {
    /// None: all of the namespace.
    pub(super) rooms: Box<[ByteString]>,
    pub(super) except: Box<[ByteString]>,
}

impl PacketLog {
    /// An empty log whose own packets are numbered under `tag`.
    pub(super) fn new(tag: Box<str>, limits: LogLimits) -> Self {
        Self {
            packets: VecDeque::new(),
            bytes: 0,
            limits,
            tags: vec![tag],
            position: Position::default(),
            dropped: Dropped::default(),
        }
    }

    /// Logs a packet of this server's own. `encode` is given the offset that goes with it.
    pub(super) fn append(
        &mut self,
        namespace: &str,
        meant_for: LoggedFor,
        now: Instant,
        encode: impl FnOnce(&str) -> Arc<Encoded>,
    ) -> Arc<Encoded> {
        let number = self.position.number(OWN) + 1;
        self.position.advance(OWN, number);
        let packet = encode(&self.offset());
        let last = self.packets.back().filter(|last| *last.namespace == *namespace);
        let namespace = last.map_or_else(|| Arc::from(namespace), |last| Arc::clone(&last.namespace));
        let logged = LoggedPacket { origin: OWN, number, namespace, meant_for, packet: Arc::clone(&packet), at: now };
        self.bytes += logged.bytes();
        self.packets.push_back(logged);
        while self.bytes > self.limits.bytes_max || self.packets.len() > self.limits.packets_max {
            self.drop_first();
        }
        packet
    }

    /// The text of the position after the last packet.
    pub(super) fn offset(&self) -> String {
        let mut text = String::new();
        self.position.write(&self.tags, &mut text);
        if text.is_empty() {
            // Before the first packet.
            self.tags.first().into_iter().for_each(|own| text = format!("{own}.0"));
        }
        text
    }

    /// The position that an offset says; `None` if it was not given out by this log.
    pub(super) fn read_offset(&self, offset: &str) -> Option<Position> {
        Position::read(offset, &self.tags).filter(|position| self.position.reaches(position))
    }

    /// The position after the last packet.
    pub(super) const fn position(&self) -> &Position {
        &self.position
    }

    /// What is not there any more.
    pub(super) const fn dropped(&self) -> &Dropped {
        &self.dropped
    }

    /// The packets behind a position, in order.
    pub(super) fn behind<'a>(&'a self, position: &'a Position) -> impl Iterator<Item = &'a LoggedPacket> {
        self.packets.iter().filter(|logged| !position.has(logged.origin, logged.number))
    }

    /// Drops what is too old.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while self.packets.front().is_some_and(|first| first.at + self.limits.age_max <= now) {
            self.drop_first();
        }
    }

    /// When to drop what is too old: not for each packet, but for an eighth of the time at once.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let age_max = self.limits.age_max;
        self.packets.front().map(|first| first.at + age_max + age_max / 8)
    }

    /// Drops everything: no socket is left that could miss it.
    pub(super) fn clear(&mut self) {
        while !self.packets.is_empty() {
            self.drop_first();
        }
        self.packets = VecDeque::new();
    }

    /// How many packets there are.
    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    /// How many bytes they take.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    fn drop_first(&mut self) {
        let Some(first) = self.packets.pop_front() else { return };
        self.bytes -= first.bytes();
        self.dropped.position.advance(first.origin, first.number);
        self.dropped.until = self.dropped.until.max(first.at);
        if self.packets.capacity() > KEPT_PLACES_MIN && self.packets.len() * 4 < self.packets.capacity() {
            self.packets.shrink_to(self.packets.len() * 2);
        }
    }
}

impl LoggedPacket {
    fn bytes(&self) -> usize {
        let names = self.meant_for.rooms.iter().chain(&self.meant_for.except);
        let names: usize = names.map(|name| name.len() + size_of::<ByteString>()).sum();
        size_of::<Self>() + size_of::<Encoded>() + self.packet.len() + names
    }
}

/// The place of this server among the origins of its log.
const OWN: usize = 0;
/// Places that are kept however few packets there are.
const KEPT_PLACES_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_numbered_and_found_behind_a_position() {
        let mut log = log(1 << 20, 10);
        let start = log.position().clone();
        assert_eq!((log.offset().as_str(), log.read_offset("t.0")), ("t.0", Some(start.clone())));
        let first = append(&mut log, 0);
        let after_first = log.position().clone();
        let second = append(&mut log, 1);
        assert_eq!(log.offset(), "t.2");
        assert_eq!(log.read_offset("t.1"), Some(after_first.clone()));
        assert_eq!((log.read_offset("t.3"), log.read_offset("x")), (None, None), "not given out");
        assert_eq!(found(&log, &start), [Arc::as_ptr(&first), Arc::as_ptr(&second)]);
        assert_eq!(found(&log, &after_first), [Arc::as_ptr(&second)]);
        assert!(found(&log, log.position()).is_empty());
    }

    #[test]
    fn the_oldest_go_first_for_count_for_bytes_and_for_age() {
        let mut few = log(1 << 20, 2);
        (0..5).for_each(|at| drop(append(&mut few, at)));
        assert_eq!((few.len(), few.dropped().until, few.dropped().position.number(OWN)), (2, at(2), 3));
        let one = few.bytes() / 2;
        let mut small = log(one * 3, 100);
        (0..5).for_each(|at| drop(append(&mut small, at)));
        assert_eq!((small.len(), small.bytes()), (3, one * 3));
        small.handle_timeout(at(101));
        assert_eq!(small.len(), 3, "the third was logged at 2");
        small.handle_timeout(at(103));
        assert_eq!((small.len(), small.poll_timeout()), (1, Some(at(4 + 100) + Duration::from_micros(12_500))));
        small.clear();
        assert_eq!((small.len(), small.bytes(), small.poll_timeout()), (0, 0, None));
        assert_eq!(small.dropped().position, *small.position());
    }

    #[test]
    fn each_packet_keeps_its_namespace_and_costs_its_bytes_and_names() {
        let mut log = log(1 << 20, 10);
        let mut costs = Vec::new();
        let rooms = |names: &[&'static str]| names.iter().map(|name| ByteString::from_static(name)).collect();
        for (namespace, text, names, except) in [
            ("/", "", &[][..], &[][..]),
            ("/", "0123456789", &[], &[]),
            ("/a", "", &["abc"], &[]),
            ("/a", "", &["abc"], &["de", "f"]),
            ("/", "", &[], &["abcde"]),
        ] {
            let before = log.bytes();
            let meant_for = LoggedFor { rooms: rooms(names), except: rooms(except) };
            log.append(namespace, meant_for, at(0), |_| Encoded::text(text));
            costs.push(log.bytes() - before);
        }
        let (empty, name) = (costs[0], size_of::<ByteString>());
        assert_eq!(costs, [empty, empty + 10, empty + 3 + name, empty + 6 + 3 * name, empty + 5 + name]);
        let start = Position::default();
        assert!(log.behind(&start).map(|logged| &*logged.namespace).eq(["/", "/", "/a", "/a", "/"]));
    }

    #[test]
    fn the_memory_of_a_burst_is_given_back() {
        let mut log = log(1 << 30, 100_000);
        (0..10_000).for_each(|_| drop(append(&mut log, 0)));
        let burst = log.packets.capacity();
        log.handle_timeout(at(1000));
        assert!(log.packets.capacity() < burst / 8, "{}", log.packets.capacity());
    }

    fn log(bytes_max: usize, packets_max: usize) -> PacketLog {
        PacketLog::new("t".into(), LogLimits { age_max: Duration::from_millis(100), bytes_max, packets_max })
    }

    fn append(log: &mut PacketLog, millis: u64) -> Arc<Encoded> {
        log.append("/", LoggedFor::default(), at(millis), Encoded::text)
    }

    fn found(log: &PacketLog, position: &Position) -> Vec<*const Encoded> {
        log.behind(position).map(|logged| Arc::as_ptr(&logged.packet)).collect()
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }
}
