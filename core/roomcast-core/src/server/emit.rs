//! Commands, targets and fan-out.
//!
//! Owns: whom a target means and that a packet is encoded once for all of them. Must never know: why something is sent.

use std::collections::VecDeque;
use std::sync::Arc;

use bytestring::ByteString;

use super::encoded::Encoded;
use super::event::{
    AckEnd, AckRequest, Command, Delivery, Emit, Event, Reason, Scope, Selection, SessionId, SocketId, Target,
};
use super::outbound::{Outbound, Pushed};
use super::state::{AckState, NamespaceId, Pending, Stage};
use super::{Due, Running, Server};
use crate::engine_io::session::SessionEvent;
use crate::rooms::Member;
use crate::socket_io;
use crate::time::Instant;

impl Server {
    /// The application wants something.
    pub(super) fn handle_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Accept { socket } => self.accept(socket, now),
            Command::Refuse { socket, data } => self.refuse(socket, &data, now),
            Command::Emit(emit) => self.emit(emit, now),
            Command::Ack { socket, ack, args } => self.send_ack(socket, ack, &args, now),
            Command::Send { session, message } => self.send_message(session, &message, now),
            Command::Handled { session } => self.handled(session),
            Command::Join { target, room } => self.join(&target, &room),
            Command::Leave { target, room } => self.leave(&target, &room),
            Command::Disconnect { target, extent } => self.disconnect(&target, extent, now),
            Command::Close { session } => self.close_session(session, Reason::ForcedClose, now),
            Command::CloseWith { session, code } => self.close_session(session, Reason::ClosedWith(code), now),
            Command::Shutdown => self.shut_down(now),
        }
    }

    fn close_session(&mut self, session: SessionId, reason: Reason, now: Instant) {
        if self.sessions.contains(session) {
            self.advance(session, SessionEvent::CloseCommand, reason, now);
        } else {
            self.stale();
        }
    }

    /// The rooms a socket is in by joining; its sid, a room of its own, is not among them.
    pub fn rooms(&self, socket: SocketId) -> impl Iterator<Item = &str> {
        let namespace = self.sockets.get(socket).and_then(|record| self.namespaces.get(record.namespace));
        namespace.into_iter().flat_map(move |entry| entry.rooms.of(socket)).map(|name| &**name)
    }

    /// Whether a socket is in a room.
    pub fn is_in(&self, socket: SocketId, room: &str) -> bool {
        let namespace = self.sockets.get(socket).and_then(|record| self.namespaces.get(record.namespace));
        namespace.is_some_and(|entry| entry.rooms.contains(socket, room))
    }

    /// The sockets in a room, in no particular order.
    pub fn members(&self, scope: &Scope, room: &str) -> impl Iterator<Item = SocketId> {
        let namespace = self.namespace_names.get(scope).and_then(|id| self.namespaces.get(*id));
        namespace.into_iter().flat_map(move |entry| entry.rooms.members(room)).map(|member| member.handle)
    }

    /// The sockets in a namespace, in no particular order.
    pub fn everyone(&self, scope: &Scope) -> impl Iterator<Item = SocketId> {
        let namespace = self.namespace_names.get(scope).and_then(|id| self.namespaces.get(*id));
        namespace.into_iter().flat_map(|entry| entry.rooms.everyone()).map(|member| member.handle)
    }

    fn emit(&mut self, emit: Emit, now: Instant) {
        let Some(namespace) = self.namespace_of(&emit.target) else {
            if let Some(ack) = emit.ack {
                self.event(Event::AcksEnded { emit: ack.emit, asked: 0, answered: 0, end: AckEnd::Gone });
            } else {
                self.unmet(&emit.target);
            }
            return;
        };
        match emit.ack {
            Some(ack) => self.emit_with_ack(namespace, &emit, ack, now),
            None => {
                if let Some(packet) = self.encode(namespace, &emit, None) {
                    self.fan_out(namespace, &emit.target, &packet, emit.delivery);
                }
            }
        }
        self.end_too_slow(now);
    }

    /// One packet id for all who are asked, so that they share the packet.
    fn emit_with_ack(&mut self, namespace: NamespaceId, emit: &Emit, ack: AckRequest, now: Instant) {
        let mut asked = self.select(&emit.target);
        asked.sort_unstable();
        let packet_id = self.next_packet_id;
        self.next_packet_id += 1;
        let Some(packet) = self.encode(namespace, emit, Some(packet_id)) else { return };
        let count = u32::try_from(asked.len()).unwrap_or(u32::MAX);
        if count == 0 {
            return self.event(Event::AcksEnded { emit: ack.emit, asked: 0, answered: 0, end: AckEnd::Gone });
        }
        let acks_max = self.config.limits.acks_per_socket_max;
        let mut given_up = Vec::new();
        for socket in &asked {
            let Some(record) = self.sockets.get_mut(*socket) else { continue };
            let session = record.session;
            record.acks.push(packet_id);
            if record.acks.len() > acks_max {
                given_up.push((record.acks.remove(0), *socket));
            }
            self.push(session.slot(), &packet, emit.delivery);
        }
        let timer = self.ack_deadlines.arm(now + ack.timeout, packet_id);
        let asked = asked.into_iter().map(|socket| (socket, AckState::Awaited)).collect();
        self.pending.insert(packet_id, Pending { emit: ack.emit, timer, asked, waiting: count, answered: 0 });
        for (packet_id, socket) in given_up {
            self.give_up_ack(packet_id, socket);
        }
    }

    fn encode(&self, namespace: NamespaceId, emit: &Emit, ack_id: Option<u64>) -> Option<Arc<Encoded>> {
        let name = &self.namespaces.get(namespace)?.scope.namespace;
        let capacity = 1 + socket_io::HEADER_BYTES_MAX + name.len() + emit.name.len() + emit.args.json().len();
        Some(Encoded::packet(
            capacity,
            |out| {
                out.push(b'4');
                socket_io::encode_event(out, name, ack_id, &emit.name, &emit.args);
            },
            emit.args.attachments(),
        ))
    }

    /// The hot path: one walk over a dense vector, a reference count and a push for each.
    fn fan_out(&mut self, namespace: NamespaceId, target: &Target, packet: &Arc<Encoded>, delivery: Delivery) {
        match target {
            Target::Socket(socket) => {
                if let Some(record) = self.sockets.get(*socket) {
                    let outbound = record.session.slot();
                    self.push(outbound, packet, delivery);
                }
            }
            Target::Room { namespace: scope, room } => match self.socket(scope, room) {
                Some(own) => {
                    let selection =
                        Selection { rooms: vec![room.clone()], sockets: vec![own], ..Selection::of(scope.clone()) };
                    self.fan_out_selected(namespace, &selection, packet, delivery);
                }
                None => {
                    let limits = QueueLimits::of(self);
                    let Self { namespaces, outbounds, .. } = self;
                    let Some(entry) = namespaces.get(namespace) else { return };
                    let mut fan = Fan {
                        outbounds,
                        packet,
                        delivery,
                        limits,
                        writable: &mut self.writable,
                        counts: [0; 2],
                        slow: &mut self.slow,
                    };
                    entry.rooms.members(room).iter().for_each(|member| fan.push(*member));
                    let counts = fan.counts;
                    self.after_fan_out(counts);
                }
            },
            Target::Select(selection) => self.fan_out_selected(namespace, selection, packet, delivery),
        }
    }

    fn fan_out_selected(
        &mut self,
        namespace: NamespaceId,
        selection: &Selection,
        packet: &Arc<Encoded>,
        delivery: Delivery,
    ) {
        let sids = self.sids_among(selection);
        let limits = QueueLimits::of(self);
        let Self { namespaces, outbounds, .. } = self;
        let Some(entry) = namespaces.get_mut(namespace) else { return };
        let mut fan = Fan {
            outbounds,
            packet,
            delivery,
            limits,
            writable: &mut self.writable,
            counts: [0; 2],
            slow: &mut self.slow,
        };
        walk(&mut entry.rooms, selection, &sids, &mut |member| fan.push(member));
        let counts = fan.counts;
        self.after_fan_out(counts);
    }

    /// The outbound queues that the walk found too slow, as sessions.
    fn after_fan_out(&mut self, [queued, dropped]: [u64; 2]) {
        self.counters.packets_queued += queued;
        self.counters.volatile_dropped += dropped;
        for outbound in self.slow.drain(..) {
            if let Some(session) = self.sessions.handle_at(outbound) {
                self.too_slow.push(session);
            }
        }
    }

    fn push(&mut self, outbound: usize, packet: &Arc<Encoded>, delivery: Delivery) {
        let limits = QueueLimits::of(self);
        let Some(out) = self.outbounds.get_mut(outbound) else { return };
        let pushed = limits.push(out, packet, delivery);
        if let Some(session) = u32::try_from(outbound).ok().and_then(|outbound| self.sessions.handle_at(outbound)) {
            self.pushed(session, pushed);
        }
    }

    /// The sockets that a target means, each once.
    pub(super) fn select(&mut self, target: &Target) -> Vec<SocketId> {
        let mut selected = Vec::new();
        match target {
            Target::Socket(socket) => {
                if self.sockets.contains(*socket) {
                    selected.push(*socket);
                } else {
                    self.stale();
                }
            }
            Target::Room { namespace, room } => {
                let selection = Selection { rooms: vec![room.clone()], ..Selection::of(namespace.clone()) };
                return self.select(&Target::Select(Box::new(selection)));
            }
            Target::Select(selection) => {
                let sids = self.sids_among(selection);
                let namespace = self.namespace_names.get(&selection.scope).copied();
                if let Some(entry) = namespace.and_then(|id| self.namespaces.get_mut(id)) {
                    walk(&mut entry.rooms, selection, &sids, &mut |member| selected.push(member.handle));
                }
            }
        }
        selected
    }

    /// A socket's sid is a room of its own.
    fn sids_among(&self, selection: &Selection) -> Sids {
        let named = |rooms: &[ByteString]| {
            rooms.iter().filter_map(|room| self.socket(&selection.scope, room)).collect::<Vec<_>>()
        };
        Sids { meant: named(&selection.rooms), excepted: named(&selection.except_rooms) }
    }

    fn namespace_of(&self, target: &Target) -> Option<NamespaceId> {
        match target {
            Target::Socket(socket) => {
                let connected = self.sockets.get(*socket).filter(|record| record.stage == Stage::Connected);
                connected.map(|record| record.namespace)
            }
            Target::Room { namespace, .. } => self.namespace_names.get(namespace).copied(),
            Target::Select(selection) => self.namespace_names.get(&selection.scope).copied(),
        }
    }

    /// A target in a namespace where nobody is: only a stale handle is worth a count.
    fn unmet(&mut self, target: &Target) {
        match target {
            Target::Socket(_) => self.stale(),
            Target::Room { .. } | Target::Select(_) => {}
        }
    }

    fn join(&mut self, target: &Target, room: &ByteString) {
        if room.len() > self.config.limits.room_bytes_max {
            return;
        }
        let rooms_max = self.config.limits.rooms_per_socket_max;
        // A name cut out of a larger message would keep all of that in memory as long as the room lives.
        let room = ByteString::from(&**room);
        for socket in self.select(target) {
            let Some(record) = self.sockets.get(socket) else { continue };
            if let Some(entry) = self.namespaces.get_mut(record.namespace) {
                entry.rooms.join(socket, &room, rooms_max);
            }
        }
    }

    fn leave(&mut self, target: &Target, room: &str) {
        for socket in self.select(target) {
            let Some(record) = self.sockets.get(socket) else { continue };
            if let Some(entry) = self.namespaces.get_mut(record.namespace) {
                entry.rooms.leave(socket, room);
            }
        }
    }

    /// Closes every transport so that clients come back, and takes nobody any more.
    fn shut_down(&mut self, now: Instant) {
        self.running = Running::Ending;
        let sessions: Vec<_> = self.sessions.iter().map(|(session, _)| session).collect();
        for session in sessions {
            self.advance(session, SessionEvent::CloseCommand, Reason::ShuttingDown, now);
        }
    }
}

/// Sockets named by their sid where a room's name is expected.
struct Sids {
    meant: Vec<SocketId>,
    excepted: Vec<SocketId>,
}

fn walk(
    rooms: &mut crate::rooms::Rooms<SocketId>,
    selection: &Selection,
    sids: &Sids,
    chosen: &mut impl FnMut(Member<SocketId>),
) {
    rooms.begin_selection();
    selection.except_sockets.iter().chain(&sids.excepted).for_each(|socket| rooms.except(*socket));
    selection.except_rooms.iter().for_each(|room| rooms.except_room(room));
    if selection.rooms.is_empty() && selection.sockets.is_empty() {
        return rooms.select_everyone(chosen);
    }
    selection.rooms.iter().for_each(|room| rooms.select_room(room, chosen));
    selection.sockets.iter().chain(&sids.meant).for_each(|socket| rooms.select(*socket, chosen));
}

#[derive(Clone, Copy)]
struct QueueLimits {
    soft: usize,
    hard: usize,
}

impl QueueLimits {
    fn of(server: &Server) -> Self {
        Self { soft: server.config.limits.queue_soft_bytes, hard: server.config.limits.queue_bytes_max }
    }

    #[inline]
    fn push(self, out: &mut Outbound, packet: &Arc<Encoded>, delivery: Delivery) -> Pushed {
        match delivery {
            Delivery::Reliable => out.push(packet, self.hard),
            Delivery::Volatile => out.push_volatile(packet, self.soft),
        }
    }
}

/// A packet on its way to many.
struct Fan<'a> {
    outbounds: &'a mut [Outbound],
    packet: &'a Arc<Encoded>,
    delivery: Delivery,
    limits: QueueLimits,
    writable: &'a mut VecDeque<Due>,
    slow: &'a mut Vec<u32>,
    /// Queued, dropped.
    counts: [u64; 2],
}

impl Fan<'_> {
    #[inline]
    fn push(&mut self, member: Member<SocketId>) {
        let Some(out) = self.outbounds.get_mut(member.outbound as usize) else { return };
        match self.limits.push(out, self.packet, self.delivery) {
            Pushed::Queued => self.counts[0] += 1,
            Pushed::Announce => {
                self.counts[0] += 1;
                self.writable.push_back(Due::Outbound(member.outbound));
            }
            Pushed::Dropped => self.counts[1] += 1,
            Pushed::TooSlow => self.slow.push(member.outbound),
        }
    }
}
