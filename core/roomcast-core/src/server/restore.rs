//! Sockets that come back after their connection was lost, and events that are kept for them.
//!
//! Owns: what connects, ends, rooms and emits mean for [`Recovery`]. Must never know: where packets are kept, how a
//! connection is lost.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use super::Server;
use super::config::EndpointId;
use super::connection_recovery::Readmission;
use super::encoded::Encoded;
use super::event::{
    Delivery, Emit, Event, Reason, RecoveredState, RoomEvents, Scope, Selection, SessionId, Sid, SocketId, Target,
};
use super::namespaces::SocketStage;
use super::outbound_of;
use super::packet_log::LoggedFor;
use super::recovery::Recovery;
use crate::engine_io::session::SessionEvent;
use crate::socket_io::{OutgoingPacket, Parser};
use crate::time::Instant;

impl Server {
    /// Whether a client that connects is back: then its socket has its sid again.
    pub(super) fn handle_return(&mut self, socket: SocketId, auth: &str, now: Instant) -> bool {
        let Some(scope) = self.namespaces.scope(socket).cloned() else { return false };
        let Some(recovery) = machine(&mut self.recoveries, scope.endpoint) else { return false };
        // What is no object of these strings is the application's alone.
        let Ok(Back { pid: Some(pid), offset }) = serde_json::from_str(auth) else { return false };
        let offset = match &offset {
            None => None,
            Some(Offset::Text(text)) => Some(text.as_str()),
            Some(Offset::Other(_)) => Some(""),
        };
        let owner = recovery.owner(&scope.namespace, &pid);
        let old = owner.and_then(|owner| self.namespaces.session(owner));
        if let Some(old) = old.filter(|old| Some(*old) != self.namespaces.session(socket)) {
            // The id is a secret of that client: its old connection is over, with all that it had there.
            self.advance(old, SessionEvent::CloseCommand, Reason::ForcedClose, now);
        }
        let Some(recovery) = machine(&mut self.recoveries, scope.endpoint) else { return false };
        let Some(sid) = recovery.handle_return(socket, &scope.namespace, &pid, offset, now) else {
            self.counters.recoveries_failed += 1;
            return false;
        };
        self.namespaces.rename(socket, sid);
        true
    }

    /// Whether those who are back are let in without a question.
    pub(super) fn skips_readmission(&self, endpoint: EndpointId) -> bool {
        let recovery = self.recoveries.get(endpoint.index()).and_then(Option::as_ref);
        recovery.is_some_and(|recovery| recovery.settings().readmission == Readmission::Skip)
    }

    /// A socket has been let in: if it is back, it enters its rooms. What it has missed.
    pub(super) fn restore(&mut self, socket: SocketId) -> Vec<Arc<Encoded>> {
        let Some((sid, scope)) = self.namespaces.sid(socket).zip(self.namespaces.scope(socket)) else {
            return Vec::new();
        };
        let Some(recovery) = machine(&mut self.recoveries, scope.endpoint) else { return Vec::new() };
        let Some(missed) = recovery.handle_connected(socket, &scope.namespace, sid, self.now) else {
            return Vec::new();
        };
        let rooms: Vec<ByteString> =
            recovery.remembered(socket).into_iter().flat_map(|known| known.rooms()).cloned().collect();
        let target = Target::Socket(socket);
        for room in &rooms {
            self.namespaces.join(&target, room, self.config.limits.rooms_per_socket_max);
            if self.cluster.is_some() {
                self.await_channel(&target, room, self.now);
            }
        }
        self.counters.sockets_recovered += 1;
        self.counters.packets_replayed += missed.len() as u64;
        missed
    }

    /// Sends a socket that is back what it has missed: behind the answer to its CONNECT (socket.io 4.8 sends it before, so
    /// that its client hands it out in one piece, before it says that it is connected), before all that is new.
    pub(super) fn send_missed(&mut self, session: SessionId, missed: &[Arc<Encoded>]) {
        for packet in missed {
            self.queues.push(outbound_of(session), packet, Delivery::Reliable);
        }
    }

    /// For logs: the rooms of a socket that is back, once the application knows it.
    pub(super) fn tell_restored_rooms(&mut self, socket: SocketId) {
        if self.room_events == RoomEvents::Off {
            return;
        }
        let rooms: Vec<ByteString> = self.namespaces.rooms(socket).map(ByteString::from).collect();
        rooms.into_iter().for_each(|room| self.event(Event::RoomJoined { socket, room }));
    }

    /// What the application is told of a socket that is back.
    pub(super) fn recovered_state(&self, socket: SocketId) -> Option<RecoveredState> {
        let endpoint = self.namespaces.scope(socket)?.endpoint;
        let recovery = self.recoveries.get(endpoint.index())?.as_ref()?;
        recovery
            .is_returning(socket)
            .then(|| recovery.remembered(socket))?
            .map(|known| RecoveredState { data: known.data.clone() })
    }

    /// The private id of a socket, by which its client can come back.
    pub(super) fn pid(&self, socket: SocketId) -> Option<Sid> {
        let endpoint = self.namespaces.scope(socket)?.endpoint;
        Some(self.recoveries.get(endpoint.index())?.as_ref()?.remembered(socket)?.pid)
    }

    /// A socket is about to be removed: it may come back if its connection was lost.
    pub(super) fn lose(&mut self, socket: SocketId, reason: Reason) {
        let Some(scope) = self.namespaces.scope(socket) else { return };
        let Some(recovery) = machine(&mut self.recoveries, scope.endpoint) else { return };
        if reason.is_recoverable() {
            recovery.handle_lost(socket, self.now);
        } else {
            recovery.handle_gone(socket);
        }
    }

    /// A socket will not come back.
    pub(super) fn forget_recovery(&mut self, socket: SocketId) {
        let Some(scope) = self.namespaces.scope(socket) else { return };
        if let Some(recovery) = machine(&mut self.recoveries, scope.endpoint) {
            recovery.handle_gone(socket);
        }
    }

    /// The application keeps something with a socket.
    pub(super) fn keep_data(&mut self, socket: SocketId, data: Bytes) {
        let Some(scope) = self.namespaces.scope(socket) else { return self.stale() };
        if let Some(recovery) = machine(&mut self.recoveries, scope.endpoint) {
            recovery.set_data(socket, data);
        }
    }

    /// The connected sockets of a target whose rooms are remembered.
    pub(super) fn remembered_of(&mut self, target: &Target) -> Vec<SocketId> {
        if self.recoveries.is_empty() {
            return Vec::new();
        }
        let mut selected = self.namespaces.select(target).unwrap_or_default();
        selected.retain(|socket| self.namespaces.stage(*socket) == Some(SocketStage::Connected));
        selected
    }

    /// Notes which of them are in a room now.
    pub(super) fn note_rooms(&mut self, sockets: Vec<SocketId>, room: &ByteString, now: Instant) {
        for socket in sockets {
            let is_in = self.namespaces.is_in(socket, room);
            let Some(scope) = self.namespaces.scope(socket) else { continue };
            if let Some(recovery) = machine(&mut self.recoveries, scope.endpoint) {
                recovery.set_room(socket, room, is_in, now);
            }
        }
    }

    /// An emit that names connections that were lost, as one that names their sockets: those are away, or back already.
    pub(super) fn sent_on(&self, emit: &Emit) -> Option<Emit> {
        if self.recoveries.is_empty() {
            return None;
        }
        let is_former = |socket: &SocketId| self.namespaces.session(*socket).is_none();
        let target = match &emit.target {
            Target::Socket(socket) if is_former(socket) => {
                let (namespace, sid) = self.former_socket(*socket)?;
                Target::Room { namespace, room: sid.as_str().into() }
            }
            Target::Select(selection) if selection.sockets.iter().chain(&selection.except_sockets).any(is_former) => {
                let mut selection = selection.clone();
                let name = |sockets: &mut Vec<SocketId>, names: &mut Vec<ByteString>| {
                    let former = sockets.iter().filter_map(|socket| Some((*socket, self.former_socket(*socket)?.1)));
                    let former: Vec<_> = former.collect();
                    sockets.retain(|socket| !former.iter().any(|(known, _)| known == socket));
                    names.extend(former.iter().map(|(_, sid)| ByteString::from(sid.as_str())));
                    !former.is_empty()
                };
                let Selection { rooms, sockets, except_rooms, except_sockets, .. } = &mut *selection;
                if !(name(sockets, rooms) | name(except_sockets, except_rooms)) {
                    return None;
                }
                Target::Select(selection)
            }
            Target::Socket(_) | Target::Room { .. } | Target::Select(_) => return None,
        };
        Some(Emit { target, ..emit.clone() })
    }

    /// Sends an event without ack and keeps it for those who are away, if the endpoint has recovery.
    pub(super) fn emit_recoverable(&mut self, emit: &Emit, now: Instant) -> bool {
        if self.recoveries.is_empty() {
            return false;
        }
        let Some(scope) = self.scope_of(&emit.target).cloned() else { return false };
        let meant_for = self.logged_for(&emit.target);
        let Some(recovery) = machine(&mut self.recoveries, scope.endpoint) else { return false };
        let Some(meant_for) = meant_for else { return true };
        let parser = self.config.parser(scope.endpoint);
        let encode = |offset: &str| encode_at(parser, &scope.namespace, emit, offset);
        let packet = match emit.delivery {
            Delivery::Reliable => recovery.append(&scope.namespace, meant_for, now, encode),
            Delivery::Volatile => encode(&recovery.offset()),
        };
        let Self { namespaces, queues, .. } = self;
        let mut fan = queues.fan(&packet, emit.delivery);
        namespaces.walk_outbounds(&emit.target, |outbound| fan.push(outbound));
        fan.finish();
        true
    }

    /// Whether a socket that is away is in a room, or, without one, in a namespace, so that other nodes are heard for it.
    pub(super) fn is_awaited(&self, scope: &Scope, room: Option<&str>) -> bool {
        let recovery = self.recoveries.get(scope.endpoint.index()).and_then(Option::as_ref);
        recovery.is_some_and(|recovery| recovery.is_awaited(&scope.namespace, room))
    }

    /// When something that is kept is too old.
    pub(super) fn recovery_timeout(&self) -> Option<Instant> {
        self.recoveries.iter().flatten().filter_map(|recovery| recovery.poll_timeout()).min()
    }

    fn scope_of<'a>(&'a self, target: &'a Target) -> Option<&'a Scope> {
        match target {
            Target::Socket(socket) => self.namespaces.scope(*socket),
            Target::Room { namespace, .. } => Some(namespace),
            Target::Select(selection) => Some(&selection.scope),
        }
    }

    /// A target by names alone; `None` if it means no socket, now or later.
    fn logged_for(&self, target: &Target) -> Option<LoggedFor> {
        // Names cut out of a larger message would keep all of that in memory.
        let copied = |name: &ByteString| ByteString::from(&**name);
        let sid_of = |socket: &SocketId| Some(ByteString::from(self.namespaces.sid(*socket)?.as_str()));
        match target {
            Target::Socket(socket) => {
                Some(LoggedFor { rooms: sid_of(socket).into_iter().collect(), except: Box::default() })
            }
            Target::Room { room, .. } => Some(LoggedFor { rooms: [copied(room)].into(), except: Box::default() }),
            Target::Select(selection) => {
                let rooms = selection.rooms.iter().map(copied);
                let rooms: Box<[_]> = rooms.chain(selection.sockets.iter().filter_map(sid_of)).collect();
                let is_for_all = selection.rooms.is_empty() && selection.sockets.is_empty();
                let except = selection.except_rooms.iter().map(copied);
                let except = except.chain(selection.except_sockets.iter().filter_map(sid_of)).collect();
                (is_for_all || !rooms.is_empty()).then_some(LoggedFor { rooms, except })
            }
        }
    }

    fn former_socket(&self, socket: SocketId) -> Option<(Scope, Sid)> {
        let machines = self.recoveries.iter().enumerate();
        machines.into_iter().find_map(|(index, recovery)| {
            let former = recovery.as_ref()?.former(socket)?;
            let endpoint = EndpointId::new(u16::try_from(index).ok()?);
            Some((Scope { endpoint, namespace: former.namespace.clone() }, former.sid))
        })
    }
}

/// The part of an auth payload that a client adds that wants to come back.
#[derive(serde::Deserialize)]
struct Back {
    #[serde(default)]
    pid: Option<String>,
    #[serde(default)]
    offset: Option<Offset>,
}

/// An offset as a client says it.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Offset {
    Text(String),
    Other(serde::de::IgnoredAny),
}

fn machine(machines: &mut [Option<Box<Recovery>>], endpoint: EndpointId) -> Option<&mut Recovery> {
    machines.get_mut(endpoint.index())?.as_deref_mut()
}

fn encode_at(parser: &Parser, namespace: &str, emit: &Emit, offset: &str) -> Arc<Encoded> {
    let (name, args) = (&emit.name, &emit.args);
    // A volatile event is lost with its connection. But where its last argument is a string, a client takes that for the
    // offset, and could not come back: it is given one.
    let ends_with_text = args.json_pieces().last().is_some_and(|piece| piece.ends_with('"'));
    let has_offset = emit.delivery == Delivery::Reliable || args.is_empty() || ends_with_text;
    let offset = has_offset.then_some(offset);
    Encoded::socket_packet(parser, &OutgoingPacket::Event { namespace, ack_id: None, name, args, offset })
}
