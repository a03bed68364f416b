//! Connection state recovery: sockets whose connections were lost, and the packets that they may have missed.
//!
//! Owns: which sockets may come back, for how long, in what memory, and what each has missed. Must never know: packets'
//! contents, sessions, how a connection was lost.
//!
//! Socket.IO 4.6, [Connection state recovery](https://socket.io/docs/v4/connection-state-recovery): a client is told a
//! private id beside its sid, and finds an offset behind the arguments of each event. It comes back with both.
//! What it has missed is what the log has behind its offset and was meant for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use super::config::{Config, EndpointKind};
use super::connection_recovery::ConnectionRecovery;
use super::encoded::Encoded;
use super::event::{Sid, SocketId};
use super::packet_log::{Dropped, LogLimits, LoggedFor, LoggedPacket, PacketLog};
use super::position::Position;
use super::remembered::Remembered;
use crate::cluster::RoomChannel;
use crate::rng::{KeyedMap, Rng};
use crate::time::Instant;
use crate::timer::{TimerKey, Timers};

/// The machine of recovery at one endpoint.
#[derive(Debug)]
pub(super) struct Recovery {
    settings: ConnectionRecovery,
    /// A client that is there has answered a ping that was sent within this time.
    silence_max: Duration,
    log: PacketLog,
    connected: BTreeMap<SocketId, Remembered>,
    /// The connected sockets by their private ids.
    owners: KeyedMap<Sid, SocketId>,
    /// Sockets that are coming back and are not let in yet.
    returning: BTreeMap<SocketId, Lost>,
    lost: KeyedMap<Sid, Lost>,
    expiries: Timers<Sid>,
    lost_bytes: usize,
    /// Handles of connections that were lost, and the sids of their sockets.
    former: BTreeMap<SocketId, Former>,
    /// Given if other nodes are to be heard on behalf of sockets that are away.
    awaited: Option<AwaitedRooms>,
    rng: Rng,
}

/// A socket whose connection was lost.
#[derive(Debug)]
struct Lost {
    socket: Remembered,
    at: Instant,
    timer: TimerKey,
    bytes: usize,
}

/// Rooms that sockets that are away are in, their own ones among them, and by how many.
#[derive(Debug, Default)]
struct AwaitedRooms {
    counts: BTreeMap<RoomChannel, usize>,
    /// Those that none is in any more.
    released: Vec<RoomChannel>,
}

/// A socket that a stale handle was of.
#[derive(Clone, Debug)]
pub(super) struct Former {
    pub(super) namespace: ByteString,
    pub(super) sid: Sid,
}

impl Recovery {
    /// A machine that remembers nothing yet. A client answers a ping within `ping_timeout`, and is sent the next one
    /// within `ping_interval`.
    pub(super) fn new(
        settings: ConnectionRecovery,
        ping_interval: Duration,
        ping_timeout: Duration,
        mut rng: Rng,
    ) -> Self {
        let silence_max = ping_interval + ping_timeout * 2;
        let limits = LogLimits {
            age_max: settings.max_age + silence_max,
            bytes_max: settings.packet_bytes_max,
            packets_max: settings.packets_max,
        };
        let tag = random_sid(&mut rng).as_str().get(..TAG_LEN).unwrap_or_default().into();
        Self {
            settings,
            silence_max,
            log: PacketLog::new(tag, limits),
            connected: BTreeMap::new(),
            owners: KeyedMap::with_hasher(rng.keyed_hash()),
            returning: BTreeMap::new(),
            lost: KeyedMap::with_hasher(rng.keyed_hash()),
            expiries: Timers::new(),
            lost_bytes: 0,
            former: BTreeMap::new(),
            awaited: None,
            rng,
        }
    }

    /// Counts the rooms of sockets that are away from now on.
    fn with_awaited_rooms(mut self) -> Self {
        self.awaited = Some(AwaitedRooms::default());
        self
    }

    /// The machines of those endpoints that have one, by endpoint; none if no endpoint has one.
    pub(super) fn of_endpoints(config: &Config, rng: &mut Rng) -> Vec<Option<Box<Self>>> {
        let shared = config.cluster.as_ref().map(|cluster| cluster.endpoint.index());
        let mut machine = |index: usize, kind: &EndpointKind| match kind {
            EndpointKind::SocketIo(engine, socket) => socket.recovery.clone().map(|settings| {
                let machine = Self::new(settings, engine.ping_interval, engine.ping_timeout, rng.fork());
                Box::new(if shared == Some(index) { machine.with_awaited_rooms() } else { machine })
            }),
            EndpointKind::EngineIo(_) | EndpointKind::WebSocket(_) => None,
        };
        let endpoints = config.endpoints.iter().enumerate();
        let machines: Vec<_> = endpoints.map(|(index, endpoint)| machine(index, &endpoint.kind)).collect();
        if machines.iter().any(Option::is_some) { machines } else { Vec::new() }
    }

    /// Its settings.
    pub(super) const fn settings(&self) -> &ConnectionRecovery {
        &self.settings
    }

    /// The connected socket of a private id in a namespace: a client that says the id has lost its connection, though the
    /// server has not noticed.
    pub(super) fn owner(&self, namespace: &str, pid: &str) -> Option<SocketId> {
        let owner = *self.owners.get(&Sid::parse(pid)?)?;
        self.connected.get(&owner).filter(|remembered| remembered.namespace == *namespace).map(|_| owner)
    }

    /// Gives back the socket of a private id to a new connection, once; its sid. `None`: it is not known, too long gone,
    /// of another namespace, or something that it missed is not in the log any more.
    pub(super) fn handle_return(
        &mut self,
        socket: SocketId,
        namespace: &str,
        pid: &str,
        offset: Option<&str>,
        now: Instant,
    ) -> Option<Sid> {
        self.handle_timeout(now);
        let pid = Sid::parse(pid)?;
        if self.lost.get(&pid)?.socket.namespace != *namespace {
            return None;
        }
        let mut lost = self.take(pid)?;
        let position = match offset {
            Some(offset) => self.log.read_offset(offset),
            // It has been sent nothing.
            None => Some(Position::default()),
        };
        let is_whole = position.is_some_and(|position| {
            lost.socket.base.join(&position);
            self.is_kept(&lost, self.log.dropped()) && self.is_kept(&lost, lost.socket.forgotten())
        });
        if !is_whole {
            self.forget(&lost.socket);
            return None;
        }
        lost.socket.base.join(&self.log.dropped().position);
        let sid = lost.socket.sid;
        self.returning.insert(socket, lost);
        Some(sid)
    }

    /// A socket is let in. Gives back what it has missed, in order, if it has come back.
    pub(super) fn handle_connected(
        &mut self,
        socket: SocketId,
        namespace: &ByteString,
        sid: Sid,
        now: Instant,
    ) -> Option<Vec<Arc<Encoded>>> {
        if let Some(Lost { socket: mut remembered, .. }) = self.returning.remove(&socket) {
            let is_meant =
                |logged: &&LoggedPacket| *logged.namespace == *remembered.namespace && remembered.was_meant(logged);
            let missed = self.log.behind(&remembered.base).filter(is_meant);
            let missed = missed.map(|logged| Arc::clone(&logged.packet)).collect();
            // It has all before the first that it missed, until it says more.
            let mut base = remembered.base.clone();
            let others = self.log.behind(&remembered.base).take_while(|logged| !is_meant(logged));
            others.for_each(|logged| base.advance(logged.origin, logged.number));
            remembered.base = base;
            remembered.since = now;
            self.release(&remembered);
            self.owners.insert(remembered.pid, socket);
            self.connected.insert(socket, remembered);
            return Some(missed);
        }
        let (pid, base) = (random_sid(&mut self.rng), self.log.position().clone());
        // The name may be a part of a long message.
        let namespace = ByteString::from(&**namespace);
        self.owners.insert(pid, socket);
        self.connected.insert(socket, Remembered::new(pid, sid, namespace, base, now));
        None
    }

    /// The connection of a socket is lost: it may come back.
    pub(super) fn handle_lost(&mut self, socket: SocketId, now: Instant) {
        let (mut remembered, at) = match (self.returning.remove(&socket), self.connected.remove(&socket)) {
            // Lost again before it was let in: its time goes on.
            (Some(lost), _) => (lost.socket, lost.at),
            (None, Some(remembered)) => {
                self.owners.remove(&remembered.pid);
                if let Some(awaited) = &mut self.awaited {
                    channels(&remembered).for_each(|channel| *awaited.counts.entry(channel).or_default() += 1);
                }
                (remembered, now)
            }
            (None, None) => return,
        };
        let former = Former { namespace: remembered.namespace.clone(), sid: remembered.sid };
        self.former.insert(socket, former);
        remembered.former.push(socket);
        if remembered.former.len() > FORMER_MAX {
            self.former.remove(&remembered.former.remove(0));
        }
        let (pid, bytes) = (remembered.pid, remembered.bytes());
        let timer = self.expiries.arm(at + self.settings.max_age, pid);
        self.lost_bytes += bytes;
        self.lost.insert(pid, Lost { socket: remembered, at, timer, bytes });
        while (self.lost.len() > self.settings.sessions_max || self.lost_bytes > self.settings.session_bytes_max)
            && let Some(oldest) = self.expiries.pop_due(END_OF_TIME)
        {
            self.forget_lost(oldest);
        }
    }

    /// A socket is gone for good.
    pub(super) fn handle_gone(&mut self, socket: SocketId) {
        if let Some(lost) = self.returning.remove(&socket) {
            self.forget(&lost.socket);
        }
        if let Some(remembered) = self.connected.remove(&socket) {
            self.owners.remove(&remembered.pid);
            self.forget_former(&remembered);
        }
        self.settle();
    }

    /// Whether a socket is in a room, as it has just joined or left.
    pub(super) fn set_room(&mut self, socket: SocketId, room: &ByteString, is_in: bool, now: Instant) {
        let Some(remembered) = self.connected.get_mut(&socket) else { return };
        let position = self.log.position();
        if is_in {
            remembered.enter(room, position);
        } else {
            remembered.leave(room, position, &self.log.dropped().position, now);
        }
    }

    /// Keeps something of the application's with a socket.
    pub(super) fn set_data(&mut self, socket: SocketId, data: Bytes) {
        if let Some(lost) = self.returning.get_mut(&socket) {
            lost.socket.data = data;
        } else if let Some(remembered) = self.connected.get_mut(&socket) {
            remembered.data = data;
        }
    }

    /// Logs a packet, and has it encoded with its offset. Without a socket that could miss it, it is not kept.
    pub(super) fn append(
        &mut self,
        namespace: &str,
        meant_for: LoggedFor,
        now: Instant,
        encode: impl FnOnce(&str) -> Arc<Encoded>,
    ) -> Arc<Encoded> {
        let packet = self.log.append(namespace, meant_for, now, encode);
        self.settle();
        packet
    }

    /// The offset of a packet that is not logged: that of the last one.
    pub(super) fn offset(&self) -> String {
        self.log.offset()
    }

    /// The socket that comes back or is connected.
    pub(super) fn remembered(&self, socket: SocketId) -> Option<&Remembered> {
        self.connected.get(&socket).or_else(|| Some(&self.returning.get(&socket)?.socket))
    }

    /// Whether a socket comes back and is not let in yet.
    pub(super) fn is_returning(&self, socket: SocketId) -> bool {
        self.returning.contains_key(&socket)
    }

    /// The socket that a stale handle was of.
    pub(super) fn former(&self, socket: SocketId) -> Option<&Former> {
        self.former.get(&socket)
    }

    /// Whether a socket that is away is in a room, or, without one, in a namespace. Only where rooms are counted.
    pub(super) fn is_awaited(&self, namespace: &str, room: Option<&str>) -> bool {
        let Some(awaited) = &self.awaited else { return false };
        let first = RoomChannel { namespace: namespace.into(), room: room.unwrap_or_default().into() };
        let found = awaited.counts.range(first..).next();
        found.is_some_and(|(channel, _)| {
            *channel.namespace == *namespace && room.is_none_or(|room| *channel.room == *room)
        })
    }

    /// The next room that no socket that is away is in any more.
    pub(super) fn poll_released(&mut self) -> Option<RoomChannel> {
        self.awaited.as_mut()?.released.pop()
    }

    /// Forgets those who have been gone too long, and packets that no socket can miss any more.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        while let Some(pid) = self.expiries.pop_due(now) {
            self.forget_lost(pid);
        }
        self.log.handle_timeout(now);
        self.settle();
    }

    /// Forgets all sockets that are not connected: the server ends.
    pub(super) fn clear(&mut self) {
        while let Some(pid) = self.expiries.pop_due(END_OF_TIME) {
            self.forget_lost(pid);
        }
        self.settle();
    }

    /// The next deadline.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.expiries.next_deadline(), self.log.poll_timeout()].into_iter().flatten().min()
    }

    /// Sockets and packets that are kept.
    pub(super) fn live(&self) -> usize {
        self.connected.len()
            + self.owners.len().abs_diff(self.connected.len())
            + self.returning.len()
            + self.lost.len()
            + self.former.len()
            + self.log.len()
    }

    /// Bytes that lost sockets and packets take.
    pub(super) const fn bytes(&self) -> usize {
        self.lost_bytes + self.log.bytes()
    }

    /// Whether a client has all that was dropped. What was dropped before its last sign of life, it has received, if it
    /// was connected all the time since.
    fn is_kept(&self, lost: &Lost, dropped: &Dropped) -> bool {
        let is_received = |at: Instant| at + self.silence_max <= lost.at;
        lost.socket.base.reaches(&dropped.position) || is_received(lost.socket.since) && is_received(dropped.until)
    }

    fn take(&mut self, pid: Sid) -> Option<Lost> {
        let lost = self.lost.remove(&pid)?;
        self.expiries.cancel(lost.timer);
        self.lost_bytes -= lost.bytes;
        Some(lost)
    }

    fn forget_lost(&mut self, pid: Sid) {
        if let Some(lost) = self.take(pid) {
            self.forget(&lost.socket);
        }
    }

    /// A socket that was away does not come back.
    fn forget(&mut self, remembered: &Remembered) {
        self.forget_former(remembered);
        self.release(remembered);
    }

    /// A socket is not away any more.
    fn release(&mut self, remembered: &Remembered) {
        if let Some(awaited) = &mut self.awaited {
            channels(remembered).for_each(|channel| awaited.release(channel));
        }
    }

    fn forget_former(&mut self, remembered: &Remembered) {
        for socket in &remembered.former {
            self.former.remove(socket);
        }
    }

    /// Without a socket that could miss it, no packet is kept.
    fn settle(&mut self) {
        if self.connected.is_empty() && self.returning.is_empty() && self.lost.is_empty() && self.log.len() > 0 {
            self.log.clear();
        }
    }
}

impl AwaitedRooms {
    fn release(&mut self, channel: RoomChannel) {
        let Some(count) = self.counts.get_mut(&channel) else { return };
        *count -= 1;
        if *count == 0 {
            self.counts.remove(&channel);
            self.released.push(channel);
        }
    }
}

/// The rooms of a socket, its own among them.
fn channels(remembered: &Remembered) -> impl Iterator<Item = RoomChannel> {
    let own = ByteString::from(remembered.sid.as_str());
    let rooms = remembered.rooms().cloned().chain([own]);
    rooms.map(|room| RoomChannel { namespace: remembered.namespace.clone(), room })
}

/// 120 random bits.
fn random_sid(rng: &mut Rng) -> Sid {
    let mut raw = [0; 15];
    rng.fill(&mut raw);
    Sid::from_bytes(raw)
}

/// Every deadline has passed by then.
const END_OF_TIME: Instant = Instant::from_nanos(u64::MAX);
/// Characters of the tag in offsets, 6 bits each: two servers in a row that draw the same would take each other's offsets.
const TAG_LEN: usize = 6;
/// Handles of earlier connections by which a socket is still reached.
const FORMER_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SlabKey as _;

    #[test]
    fn who_returns_is_away_no_more_and_its_time_begins_anew_with_the_next_loss() {
        let mut recovery = recovery(ConnectionRecovery::default());
        let pid = connect(&mut recovery, 0, at(0));
        recovery.handle_lost(socket(0), at(0));
        assert_eq!(recovery.poll_timeout(), Some(at(MAX_AGE)));
        give_back(&mut recovery, pid, 1, at(MAX_AGE - 1)).unwrap();
        assert_eq!(recovery.poll_timeout(), None, "no one is away");
        assert!(recovery.is_returning(socket(1)) && !recovery.is_returning(socket(0)));
        recovery.set_data(socket(1), Bytes::from_static(b"kept"));
        assert!(recovery.handle_connected(socket(1), &"/".into(), sid(), at(MAX_AGE - 1)).is_some());
        assert!(!recovery.is_returning(socket(1)));
        assert_eq!(recovery.remembered(socket(1)).unwrap().data, "kept", "said before it was let in");
        recovery.handle_lost(socket(1), at(MAX_AGE - 1));
        recovery.handle_timeout(at(MAX_AGE));
        assert_eq!(recovery.poll_timeout(), Some(at(2 * MAX_AGE - 1)));
        // Too late, although nothing has told the machine the time since.
        assert_eq!(give_back(&mut recovery, pid, 2, at(2 * MAX_AGE - 1)), None);
        assert_eq!((recovery.live(), recovery.bytes()), (0, 0));
    }

    #[test]
    fn a_socket_is_reached_by_the_handles_of_its_last_losses() {
        let mut recovery = recovery(ConnectionRecovery::default());
        let pid = connect(&mut recovery, 0, at(0));
        let losses = u32::try_from(FORMER_MAX).unwrap() + 3;
        for loss in 0..losses {
            recovery.handle_lost(socket(loss), at(0));
            let reached: Vec<u32> = (0..losses).filter(|slot| recovery.former(socket(*slot)).is_some()).collect();
            let first = (loss + 1).saturating_sub(u32::try_from(FORMER_MAX).unwrap());
            assert_eq!(reached, (first..=loss).collect::<Vec<_>>());
            assert_eq!(recovery.live(), 1 + reached.len());
            give_back(&mut recovery, pid, loss + 1, at(0)).unwrap();
            assert_eq!(recovery.live(), 1 + reached.len(), "on its way back");
            recovery.handle_connected(socket(loss + 1), &"/".into(), sid(), at(0));
        }
        recovery.handle_gone(socket(losses));
        assert_eq!(recovery.live(), 0);
    }

    #[test]
    fn the_longest_away_are_forgotten_for_bytes_above_the_limit_and_not_at_it() {
        let mut one = recovery(ConnectionRecovery::default());
        connect(&mut one, 0, at(0));
        one.handle_lost(socket(0), at(0));
        let bytes = one.bytes();
        for (session_bytes_max, kept) in [(2 * bytes - 1, 1), (2 * bytes, 2), (3 * bytes, 3)] {
            let mut recovery = recovery(ConnectionRecovery { session_bytes_max, ..ConnectionRecovery::default() });
            for slot in 0..3 {
                connect(&mut recovery, slot, at(0));
                recovery.handle_lost(socket(slot), at(slot.into()));
            }
            assert_eq!((recovery.lost.len(), recovery.bytes()), (kept, kept * bytes));
            assert_eq!(recovery.poll_timeout(), Some(at(3 - kept as u64 + MAX_AGE)), "the first are forgotten");
        }
    }

    #[test]
    fn rooms_are_awaited_for_as_long_as_one_who_is_in_them_is_away() {
        let mut recovery = recovery(ConnectionRecovery::default()).with_awaited_rooms();
        for slot in [0, 1] {
            connect(&mut recovery, slot, at(0));
            recovery.set_room(socket(slot), &"m".into(), true, at(0));
        }
        assert!(!recovery.is_awaited("/", Some("m")), "they are there");
        recovery.handle_lost(socket(0), at(0));
        recovery.handle_lost(socket(1), at(1));
        let awaited = |recovery: &Recovery| {
            let rooms = [None, Some("a"), Some("m"), Some("z")];
            (rooms.map(|room| recovery.is_awaited("/", room)), recovery.is_awaited("/a", None))
        };
        assert_eq!(awaited(&recovery), ([true, false, true, false], false));
        recovery.handle_timeout(at(MAX_AGE));
        assert_eq!(awaited(&recovery), ([true, false, true, false], false), "one of them is away still");
        while recovery.poll_released().is_some_and(|channel| channel.room != "m") {}
        recovery.handle_timeout(at(MAX_AGE + 1));
        assert_eq!(awaited(&recovery), ([false; 4], false));
        let released: Vec<_> = std::iter::from_fn(|| recovery.poll_released()).map(|channel| channel.room).collect();
        assert!(released.iter().any(|room| *room == "m"), "{released:?}");
    }

    #[test]
    fn no_packet_is_kept_once_no_socket_could_miss_it() {
        let ends: [fn(&mut Recovery); 3] = [
            |recovery| recovery.handle_gone(socket(0)),
            |recovery| {
                recovery.handle_lost(socket(0), at(0));
                recovery.clear();
            },
            |recovery| {
                recovery.handle_lost(socket(0), at(0));
                recovery.handle_timeout(at(MAX_AGE));
            },
        ];
        for end in ends {
            let mut recovery = recovery(ConnectionRecovery::default());
            connect(&mut recovery, 0, at(0));
            recovery.append("/", LoggedFor::default(), at(0), |_| Encoded::text("x"));
            assert_eq!(recovery.live(), 2, "a socket and a packet");
            end(&mut recovery);
            assert_eq!((recovery.live(), recovery.bytes(), recovery.poll_timeout()), (0, 0, None));
        }
    }

    fn recovery(settings: ConnectionRecovery) -> Recovery {
        let settings = ConnectionRecovery { max_age: Duration::from_millis(MAX_AGE), ..settings };
        let seconds = Duration::from_secs;
        Recovery::new(settings, seconds(25), seconds(20), Rng::from_seed([3; 32]))
    }

    /// A socket connects for the first time; its private id.
    fn connect(recovery: &mut Recovery, slot: u32, now: Instant) -> Sid {
        assert!(recovery.handle_connected(socket(slot), &"/".into(), sid(), now).is_none());
        recovery.remembered(socket(slot)).unwrap().pid
    }

    fn give_back(recovery: &mut Recovery, pid: Sid, slot: u32, now: Instant) -> Option<Sid> {
        recovery.handle_return(socket(slot), "/", pid.as_str(), None, now)
    }

    fn socket(slot: u32) -> SocketId {
        SocketId::from_parts(slot, 0)
    }

    fn sid() -> Sid {
        Sid::from_bytes([7; 15])
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    const MAX_AGE: u64 = 1000;
}
