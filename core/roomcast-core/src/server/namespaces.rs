//! Namespaces and the sockets in them.
//!
//! Owns: the namespace table, sockets with their sids, rooms, the deadlines of CONNECTs that are pending, and which
//! sockets a target means. Must never know: packets, sessions beyond their handle, or why a socket comes or goes.
//!
//! Socket.IO protocol revision 5, section
//! ["Connection to a namespace"](https://github.com/socketio/socket.io-protocol#connection-to-a-namespace).

use std::collections::VecDeque;

use bytestring::ByteString;

use super::config::EndpointId;
use super::event::{Scope, Selection, SessionId, Sid, SocketId, Target};
use crate::cluster::RoomChannel;
use crate::id::SlabKey as _;
use crate::rng::{KeyedMap, Rng};
use crate::rooms::{MemberId, OutboundIdx, Rooms, SelectedMember};
use crate::slab::Slab;
use crate::time::Instant;
use crate::timer::{TimerKey, Timers};

crate::slab_key! {
    /// A namespace with at least one socket.
    pub struct NamespaceId;
}

/// The machine of namespaces.
#[derive(Debug)]
pub(super) struct Namespaces {
    namespaces: Slab<NamespaceId, NamespaceState>,
    names: KeyedMap<Scope, NamespaceId>,
    sockets: Slab<SocketId, SocketState>,
    sids: KeyedMap<Sid, SocketId>,
    /// The sockets of each session, by the session's slot.
    of_session: Vec<Vec<SocketId>>,
    /// Sockets that the application must have let in or refused by then.
    connecting: Timers<SocketId>,
    rng: Rng,
    /// Set if it is to be told which rooms of an endpoint begin and cease to have members.
    room_changes: Option<RoomChanges>,
}

/// The rooms of an endpoint that have begun or ceased to have members.
#[derive(Debug)]
struct RoomChanges {
    endpoint: EndpointId,
    changes: VecDeque<(RoomChannel, bool)>,
}

/// A namespace with at least one socket.
#[derive(Debug)]
struct NamespaceState {
    scope: Scope,
    rooms: Rooms<SocketId>,
    /// Sockets, connecting ones too; with the last one the namespace goes.
    sockets: usize,
}

/// A session's presence in a namespace.
#[derive(Debug)]
struct SocketState {
    session: SessionId,
    namespace: NamespaceId,
    sid: Sid,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The application has been asked. Further CONNECT packets for the same namespace wait with their auth payloads.
    Connecting {
        timer: TimerKey,
        waiting: VecDeque<ByteString>,
    },
    Connected(MemberId),
}

/// How far a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketStage {
    Connecting,
    Connected,
}

/// A socket that was removed.
#[derive(Debug)]
pub(super) struct RemovedSocket {
    pub(super) scope: Scope,
    /// The auth payloads of further CONNECT packets that were waiting for this one to be decided.
    pub(super) waiting: VecDeque<ByteString>,
    /// The rooms that it was in by joining.
    pub(super) rooms: Box<[ByteString]>,
}

impl Namespaces {
    /// A machine without sockets. Maps are keyed from `rng`. The rooms of a `watched` endpoint are told of by
    /// [`poll_room_change`](Self::poll_room_change).
    pub(super) fn new(mut rng: Rng, watched: Option<EndpointId>) -> Self {
        Self {
            namespaces: Slab::new(),
            names: KeyedMap::with_hasher(rng.keyed_hash()),
            sockets: Slab::new(),
            sids: KeyedMap::with_hasher(rng.keyed_hash()),
            of_session: Vec::new(),
            connecting: Timers::new(),
            rng,
            room_changes: watched.map(|endpoint| RoomChanges { endpoint, changes: VecDeque::new() }),
        }
    }

    /// A socket that is not connected yet, and must be by `deadline`.
    pub(super) fn open(&mut self, session: SessionId, scope: Scope, sid: Sid, deadline: Instant) -> SocketId {
        let namespace = self.namespace_for(scope);
        let Self { sockets, connecting, .. } = self;
        let socket = sockets.insert_with(|own| {
            let stage = Stage::Connecting { timer: connecting.arm(deadline, own), waiting: VecDeque::new() };
            SocketState { session, namespace, sid, stage }
        });
        self.sids.insert(sid, socket);
        if self.of_session.len() <= session.slot() {
            self.of_session.resize_with(session.slot() + 1, Vec::new);
        }
        if let Some(own) = self.of_session.get_mut(session.slot()) {
            own.push(socket);
        }
        socket
    }

    /// Gives a connecting socket the sid that it had before.
    pub(super) fn rename(&mut self, socket: SocketId, sid: Sid) {
        let Some(record) = self.sockets.get_mut(socket) else { return };
        self.sids.remove(&std::mem::replace(&mut record.sid, sid));
        self.sids.insert(sid, socket);
    }

    /// Connects a socket. The auth payloads that waited for it; `None` if it is not connecting.
    pub(super) fn let_in(&mut self, socket: SocketId) -> Option<VecDeque<ByteString>> {
        let Self { sockets, connecting, namespaces, .. } = self;
        let record = sockets.get_mut(socket)?;
        let Stage::Connecting { timer, waiting } = &mut record.stage else { return None };
        connecting.cancel(*timer);
        let waiting = std::mem::take(waiting);
        let outbound = OutboundIdx(record.session.index());
        let namespace = namespaces.get_mut(record.namespace)?;
        record.stage = Stage::Connected(namespace.rooms.enter(socket, outbound));
        if let Some(changes) = &mut self.room_changes {
            changes.note(&namespace.scope, record.sid.as_str(), true);
        }
        Some(waiting)
    }

    /// Lets a further CONNECT packet wait until a connecting socket is decided; `false` if it is connected.
    pub(super) fn wait_for(&mut self, socket: SocketId, auth: ByteString) -> bool {
        match self.sockets.get_mut(socket).map(|record| &mut record.stage) {
            Some(Stage::Connecting { waiting, .. }) => {
                waiting.push_back(auth);
                true
            }
            Some(Stage::Connected(_)) | None => false,
        }
    }

    /// Removes a socket: it leaves its rooms, and its handle is stale.
    pub(super) fn remove(&mut self, socket: SocketId) -> Option<RemovedSocket> {
        let record = self.sockets.remove(socket)?;
        self.sids.remove(&record.sid);
        if let Some(own) = self.of_session.get_mut(record.session.slot()) {
            own.retain(|other| *other != socket);
        }
        let namespace = self.namespaces.get_mut(record.namespace)?;
        let (waiting, rooms) = match record.stage {
            Stage::Connecting { timer, waiting } => {
                self.connecting.cancel(timer);
                (waiting, Box::default())
            }
            Stage::Connected(member) => {
                let left: Box<[_]> = namespace.rooms.of(member).cloned().collect();
                namespace.rooms.exit(member);
                if let Some(changes) = &mut self.room_changes {
                    changes.note(&namespace.scope, record.sid.as_str(), false);
                    let gone = left.iter().filter(|room| namespace.rooms.members(room).next().is_none());
                    gone.for_each(|room| changes.note(&namespace.scope, room, false));
                }
                (VecDeque::new(), left)
            }
        };
        namespace.sockets -= 1;
        let scope = namespace.scope.clone();
        if namespace.sockets == 0 {
            self.namespaces.remove(record.namespace);
            self.names.remove(&scope);
        }
        Some(RemovedSocket { scope, waiting, rooms })
    }

    /// A socket of a session, as long as it has any: for ending all of them.
    pub(super) fn any_of(&self, session: SessionId) -> Option<SocketId> {
        self.of(session).first().copied()
    }

    /// The next socket that the application has neither let in nor refused in time. It is still there.
    pub(super) fn poll_overdue(&mut self, now: Instant) -> Option<SocketId> {
        self.connecting.pop_due(now)
    }

    /// When the next connecting socket is overdue.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.connecting.next_deadline()
    }

    /// Puts the sockets of a target into a room.
    pub(super) fn join(&mut self, target: &Target, room: &ByteString, rooms_max: usize) -> Lookup {
        let found = self.for_each(target, |rooms, member| {
            rooms.join(member, room, rooms_max);
        });
        self.note_room(target, room);
        found
    }

    /// Takes the sockets of a target out of a room.
    pub(super) fn leave(&mut self, target: &Target, room: &str) -> Lookup {
        let found = self.for_each(target, |rooms, member| {
            rooms.leave(member, room);
        });
        self.note_room(target, room);
        found
    }

    /// The next room that has begun (`true`) or ceased (`false`) to have members; some are told of again.
    pub(super) fn poll_room_change(&mut self) -> Option<(RoomChannel, bool)> {
        self.room_changes.as_mut()?.changes.pop_front()
    }

    /// Whether a room has members, or is the own room of a socket.
    pub(super) fn is_occupied(&self, scope: &Scope, room: &str) -> bool {
        let has_members = |namespace: &NamespaceState| namespace.rooms.members(room).next().is_some();
        self.named(scope).is_some_and(has_members) || self.socket(scope, room).is_some()
    }

    /// Whether a namespace has sockets.
    pub(super) fn is_there(&self, scope: &Scope) -> bool {
        self.names.contains_key(scope)
    }

    /// The sockets that a target means, each once.
    pub(super) fn select(&mut self, target: &Target) -> Option<Vec<SocketId>> {
        match target {
            Target::Socket(socket) => self.sockets.contains(*socket).then(|| vec![*socket]),
            Target::Room { .. } | Target::Select(_) => {
                let mut selected = Vec::new();
                self.walk(target, |member| selected.push(member.handle));
                Some(selected)
            }
        }
    }

    /// Where what is sent to a target is queued, each place once. The hot path: for a room one walk over a dense vector.
    #[inline]
    pub(super) fn walk_outbounds(&mut self, target: &Target, mut each: impl FnMut(OutboundIdx)) {
        if let Target::Room { namespace, room } = target
            && self.socket(namespace, room).is_none()
        {
            let namespace = self.names.get(namespace).and_then(|id| self.namespaces.get(*id));
            return namespace.into_iter().flat_map(|namespace| namespace.rooms.outbounds(room)).for_each(each);
        }
        self.walk(target, |member| each(member.outbound));
    }

    /// The namespace of a target, if it has sockets.
    pub(super) fn scope_of_target(&self, target: &Target) -> Option<&Scope> {
        let namespace = match target {
            Target::Socket(socket) => self.member(*socket)?.0,
            Target::Room { namespace, .. } => *self.names.get(namespace)?,
            Target::Select(selection) => *self.names.get(&selection.scope)?,
        };
        Some(&self.namespaces.get(namespace)?.scope)
    }

    /// How far a socket is; `None` for a stale handle.
    pub(super) fn stage(&self, socket: SocketId) -> Option<SocketStage> {
        Some(match self.sockets.get(socket)?.stage {
            Stage::Connecting { .. } => SocketStage::Connecting,
            Stage::Connected(_) => SocketStage::Connected,
        })
    }

    /// A socket's sid.
    pub(super) fn sid(&self, socket: SocketId) -> Option<Sid> {
        self.sockets.get(socket).map(|record| record.sid)
    }

    /// A socket's session.
    pub(super) fn session(&self, socket: SocketId) -> Option<SessionId> {
        self.sockets.get(socket).map(|record| record.session)
    }

    /// A socket's namespace.
    pub(super) fn scope(&self, socket: SocketId) -> Option<&Scope> {
        let namespace = self.sockets.get(socket)?.namespace;
        self.namespaces.get(namespace).map(|namespace| &namespace.scope)
    }

    /// The sockets of a session.
    pub(super) fn of(&self, session: SessionId) -> &[SocketId] {
        self.of_session.get(session.slot()).map_or(&[], Vec::as_slice)
    }

    /// A session's socket in a namespace.
    pub(super) fn socket_of(&self, session: SessionId, namespace: &str) -> Option<SocketId> {
        let is_here = |socket: &&SocketId| self.scope(**socket).is_some_and(|scope| &*scope.namespace == namespace);
        self.of(session).iter().find(is_here).copied()
    }

    /// The connected socket of a sid in a namespace.
    pub(super) fn socket(&self, scope: &Scope, sid: &str) -> Option<SocketId> {
        let socket = *self.sids.get(&Sid::parse(sid)?)?;
        let (namespace, _) = self.member(socket)?;
        (self.namespaces.get(namespace)?.scope == *scope).then_some(socket)
    }

    /// The rooms of a socket.
    pub(super) fn rooms(&self, socket: SocketId) -> impl Iterator<Item = &str> {
        let rooms = self.member(socket).and_then(|(id, member)| Some((&self.namespaces.get(id)?.rooms, member)));
        rooms.into_iter().flat_map(|(rooms, member)| rooms.of(member)).map(|name| &**name)
    }

    /// Whether a socket is in a room.
    pub(super) fn is_in(&self, socket: SocketId, room: &str) -> bool {
        let Some((namespace, member)) = self.member(socket) else { return false };
        self.namespaces.get(namespace).is_some_and(|namespace| namespace.rooms.contains(member, room))
    }

    /// The sockets in a room.
    pub(super) fn members(&self, scope: &Scope, room: &str) -> impl Iterator<Item = SocketId> {
        self.named(scope).into_iter().flat_map(move |namespace| namespace.rooms.members(room))
    }

    /// The sockets in a namespace.
    pub(super) fn everyone(&self, scope: &Scope) -> impl Iterator<Item = SocketId> {
        self.named(scope).into_iter().flat_map(|namespace| namespace.rooms.everyone())
    }

    /// Namespaces, rooms, sockets, sids and deadlines that there are.
    pub(super) fn totals(&self) -> Totals {
        Totals {
            namespaces: self.namespaces.len(),
            rooms: self.namespaces.iter().map(|(_, namespace)| namespace.rooms.room_count()).sum(),
            sockets: self.sockets.len(),
            sids: self.sids.len(),
            armed: self.connecting.len(),
        }
    }

    fn namespace_for(&mut self, scope: Scope) -> NamespaceId {
        let known = self.names.get(&scope).copied();
        let namespace = known.unwrap_or_else(|| {
            let rooms = Rooms::new(self.rng.keyed_hash());
            let namespace = self.namespaces.insert(NamespaceState { scope: scope.clone(), rooms, sockets: 0 });
            self.names.insert(scope, namespace);
            namespace
        });
        if let Some(namespace) = self.namespaces.get_mut(namespace) {
            namespace.sockets += 1;
        }
        namespace
    }

    /// Where a connected socket is a member.
    fn member(&self, socket: SocketId) -> Option<(NamespaceId, MemberId)> {
        let record = self.sockets.get(socket)?;
        match record.stage {
            Stage::Connected(member) => Some((record.namespace, member)),
            Stage::Connecting { .. } => None,
        }
    }

    fn note_room(&mut self, target: &Target, room: &str) {
        let Some(changes) = &mut self.room_changes else { return };
        let id = match target {
            Target::Socket(socket) => self.sockets.get(*socket).map(|record| record.namespace),
            Target::Room { namespace, .. } => self.names.get(namespace).copied(),
            Target::Select(selection) => self.names.get(&selection.scope).copied(),
        };
        if let Some(namespace) = id.and_then(|id| self.namespaces.get(id)) {
            changes.note(&namespace.scope, room, namespace.rooms.members(room).next().is_some());
        }
    }

    fn named(&self, scope: &Scope) -> Option<&NamespaceState> {
        self.names.get(scope).and_then(|id| self.namespaces.get(*id))
    }

    fn for_each(&mut self, target: &Target, mut each: impl FnMut(&mut Rooms<SocketId>, MemberId)) -> Lookup {
        let Some(selected) = self.select(target) else { return Lookup::Stale };
        for socket in selected {
            if let Some((namespace, member)) = self.member(socket)
                && let Some(namespace) = self.namespaces.get_mut(namespace)
            {
                each(&mut namespace.rooms, member);
            }
        }
        Lookup::Any
    }

    /// Each connected socket that a target means, once. A socket's sid is a room of its own.
    fn walk(&mut self, target: &Target, mut each: impl FnMut(SelectedMember<SocketId>)) {
        match target {
            Target::Socket(socket) => {
                if let Some(record) = self.sockets.get(*socket)
                    && let Stage::Connected(_) = record.stage
                {
                    each(SelectedMember { handle: *socket, outbound: OutboundIdx(record.session.index()) });
                }
            }
            Target::Room { namespace, room } => {
                let selection = Selection { rooms: vec![room.clone()], ..Selection::of(namespace.clone()) };
                self.walk_selection(&selection, &mut each);
            }
            Target::Select(selection) => self.walk_selection(selection, &mut each),
        }
    }

    fn walk_selection(&mut self, selection: &Selection, each: &mut impl FnMut(SelectedMember<SocketId>)) {
        let Some(id) = self.names.get(&selection.scope).copied() else { return };
        let by_sid = |rooms: &[ByteString]| -> Vec<SocketId> {
            rooms.iter().filter_map(|room| self.socket(&selection.scope, room)).collect()
        };
        let (meant, except) = (by_sid(&selection.rooms), by_sid(&selection.except_rooms));
        let Self { namespaces, sockets, .. } = self;
        let Some(NamespaceState { rooms, .. }) = namespaces.get_mut(id) else { return };
        let member = |socket: &SocketId| match sockets.get(*socket) {
            Some(SocketState { namespace, stage: Stage::Connected(member), .. }) if *namespace == id => Some(*member),
            Some(_) | None => None,
        };
        rooms.begin_selection();
        selection.except_sockets.iter().chain(&except).filter_map(member).for_each(|member| rooms.except(member));
        selection.except_rooms.iter().for_each(|room| rooms.except_room(room));
        if selection.rooms.is_empty() && selection.sockets.is_empty() {
            return rooms.select_everyone(each);
        }
        selection.rooms.iter().for_each(|room| rooms.select_room(room, each));
        selection.sockets.iter().chain(&meant).filter_map(member).for_each(|member| rooms.select(member, each));
    }
}

impl RoomChanges {
    fn note(&mut self, scope: &Scope, room: &str, has_members: bool) {
        if scope.endpoint == self.endpoint {
            let channel = RoomChannel { namespace: scope.namespace.clone(), room: room.into() };
            self.changes.push_back((channel, has_members));
        }
    }
}

/// Whether a target could be looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// As many sockets as there are.
    Any,
    /// Its handle is stale.
    Stale,
}

/// How many there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) namespaces: usize,
    pub(super) rooms: usize,
    pub(super) sockets: usize,
    pub(super) sids: usize,
    pub(super) armed: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_a_member_once_it_is_let_in() {
        let mut all = namespaces();
        let socket = open(&mut all, 0, "/", 1);
        let (room, every) = (ByteString::from("r"), Target::everyone(scope("/")));
        assert_eq!(all.stage(socket), Some(SocketStage::Connecting));
        assert_eq!(all.scope_of_target(&Target::Socket(socket)), None);
        all.join(&every, &room, 9);
        assert_eq!((all.is_in(socket, "r"), all.socket(&scope("/"), all.sid(socket).unwrap().as_str())), (false, None));
        assert!(all.let_in(socket).unwrap().is_empty() && all.let_in(socket).is_none());
        assert_eq!(all.stage(socket), Some(SocketStage::Connected));
        assert_eq!(all.join(&every, &room, 9), Lookup::Any);
        assert!(all.is_in(socket, "r") && all.rooms(socket).eq(["r"]));
        assert_eq!(all.socket(&scope("/"), all.sid(socket).unwrap().as_str()), Some(socket));
        assert_eq!(all.socket(&scope("/other"), all.sid(socket).unwrap().as_str()), None);
    }

    #[test]
    fn the_last_socket_takes_its_namespace_with_it() {
        let mut all = namespaces();
        let first = open(&mut all, 0, "/", 1);
        let second = open(&mut all, 1, "/", 2);
        all.let_in(first);
        assert_eq!(all.totals(), Totals { namespaces: 1, rooms: 0, sockets: 2, sids: 2, armed: 1 });
        assert_eq!(all.remove(first).unwrap().scope, scope("/"));
        assert!(all.remove(first).is_none());
        assert_eq!((all.of(session(0)), all.of(session(1))), (&[][..], &[second][..]));
        all.remove(second);
        assert_eq!(all.totals(), Totals::default());
        assert_eq!(all.join(&Target::Socket(first), &"r".into(), 9), Lookup::Stale);
    }

    #[test]
    fn a_connecting_socket_is_overdue_at_its_deadline_and_not_after_it_is_in() {
        let mut all = namespaces();
        let [slow, quick] = [0, 1].map(|slot| open(&mut all, slot, "/", slot + 5));
        all.let_in(quick);
        assert_eq!(all.poll_timeout(), Some(Instant::from_millis(5)));
        assert_eq!(all.poll_overdue(Instant::from_millis(4)), None);
        let overdue = [(); 2].map(|()| all.poll_overdue(Instant::from_millis(100)));
        assert_eq!(overdue, [Some(slow), None]);
        assert_eq!(all.stage(slow), Some(SocketStage::Connecting), "what follows is the caller's");
    }

    #[test]
    fn a_target_means_no_socket_of_another_namespace_and_no_member_in_its_place() {
        let mut all = namespaces();
        let [one, two] = [("/", 0), ("/b", 1)].map(|(namespace, slot)| open(&mut all, slot, namespace, 1));
        assert!(all.let_in(one).is_some() && all.let_in(two).is_some());
        let select = |sockets: &[SocketId], except: &[SocketId]| {
            let all = Selection::of(scope("/"));
            Target::Select(Box::new(Selection { sockets: sockets.into(), except_sockets: except.into(), ..all }))
        };
        assert_eq!(all.select(&select(&[two], &[])), Some(vec![]));
        assert_eq!(all.select(&select(&[one, two], &[])), Some(vec![one]));
        assert_eq!(all.select(&select(&[], &[two])), Some(vec![one]));
    }

    #[test]
    fn further_connects_wait_only_while_the_first_is_decided() {
        let mut all = namespaces();
        let socket = open(&mut all, 0, "/", 1);
        assert!(all.wait_for(socket, "one".into()) && all.wait_for(socket, "two".into()));
        assert_eq!(all.let_in(socket).unwrap(), ["one", "two"]);
        assert!(!all.wait_for(socket, "three".into()));
        let refused = open(&mut all, 1, "/", 1);
        all.wait_for(refused, "one".into());
        assert_eq!(all.remove(refused).unwrap().waiting, ["one"]);
    }

    #[test]
    fn a_selection_is_a_union_less_exceptions_and_a_sid_is_a_room() {
        let mut all = namespaces();
        let sockets = [0, 1, 2, 3].map(|slot| open(&mut all, slot, "/", 1));
        let stranger = open(&mut all, 4, "/other", 1);
        for socket in sockets.into_iter().chain([stranger]) {
            all.let_in(socket);
        }
        let room = ByteString::from("a");
        for socket in &sockets[..3] {
            all.join(&Target::Socket(*socket), &room, 9);
        }
        let sid = |n: usize| ByteString::from(all.sid(sockets[n]).unwrap().as_str());
        let (by_sid, except) = (sid(3), sid(1));
        let selection = Selection {
            rooms: vec![room.clone(), by_sid.clone()],
            sockets: vec![sockets[0], stranger],
            except_rooms: vec![except],
            except_sockets: vec![sockets[2]],
            ..Selection::of(scope("/"))
        };
        let mut selected = all.select(&Target::Select(Box::new(selection))).unwrap();
        selected.sort_unstable();
        assert_eq!(selected, [sockets[0], sockets[3]]);
        for (room, expected) in [(room, &[0, 1, 2][..]), (by_sid, &[3])] {
            let mut outbounds = Vec::new();
            all.walk_outbounds(&Target::Room { namespace: scope("/"), room }, |at| outbounds.push(at.0));
            outbounds.sort_unstable();
            assert_eq!(outbounds, expected);
        }
        assert_eq!(all.everyone(&scope("/")).count(), 4);
    }

    fn namespaces() -> Namespaces {
        Namespaces::new(Rng::from_seed([1; 32]), None)
    }

    /// A connecting socket of the session in this slot, overdue at so many milliseconds.
    fn open(all: &mut Namespaces, slot: u32, namespace: &str, deadline: u32) -> SocketId {
        let mut raw = [0; 15];
        raw[..4].copy_from_slice(&slot.to_be_bytes());
        let deadline = Instant::from_millis(deadline.into());
        all.open(session(slot), scope(namespace), Sid::from_bytes(raw), deadline)
    }

    fn scope(namespace: &str) -> Scope {
        Scope { endpoint: crate::server::EndpointId::new(0), namespace: namespace.into() }
    }

    fn session(slot: u32) -> SessionId {
        SessionId::from_parts(slot, 0)
    }
}
