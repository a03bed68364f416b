//! What the application tells the server to do.
//!
//! Owns: carrying out commands, and that a packet is encoded once for all recipients. Must never know: why something is
//! sent, or how a target is looked up.

use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;

use super::acks::Asker;
use super::encoded::Encoded;
use super::event::{Command, Emit, Event, Extent, Message, Reason, RoomEvents, SessionId, SocketId, Target};
use super::namespaces::Lookup;
use super::state::SessionKind;
use super::{NewPeers, Server};
use crate::engine_io::session::SessionEvent;
use crate::socket_io::{self, OutgoingPacket, Parser};
use crate::time::Instant;

impl Server {
    /// The application wants something.
    pub(super) fn handle_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Accept { socket } => self.accept(socket),
            Command::Refuse { socket, data } => self.refuse(socket, &data, now),
            Command::Emit(emit) => self.emit(&emit, now),
            Command::Ack { socket, ack, args } => self.send_ack(socket, ack, args),
            Command::Send { session, message } => self.send_message(session, &message),
            Command::KeepData { socket, data } => self.keep_data(socket, data),
            Command::Admit { session } => self.unadmitted.stop(session),
            Command::Handled { session } => self.handled(session),
            Command::Join { target, room } => {
                self.publish_join(&target, &room);
                self.join_here(&target, &room, now);
            }
            Command::Leave { target, room } => {
                self.publish_leave(&target, &room);
                let found = self.leave_here(&target, &room);
                self.count_stale(found);
            }
            Command::Disconnect { target, extent } => {
                self.publish_disconnect(&target, extent);
                self.disconnect_here(&target, extent, now);
            }
            Command::Close { session } => self.close_session(session, Reason::ForcedClose, now),
            Command::CloseWith { session, code } => self.close_session(session, Reason::ClosedWith(code), now),
            Command::Shutdown => self.shut_down(now),
            Command::Cluster(command) => self.handle_cluster_command(command, now),
        }
    }

    fn close_session(&mut self, session: SessionId, reason: Reason, now: Instant) {
        if self.sessions.contains(session) {
            self.advance(session, SessionEvent::CloseCommand, reason, now);
        } else {
            self.stale();
        }
    }

    fn emit(&mut self, emit: &Emit, now: Instant) {
        let asker = emit.ack.map(|ack| (Asker::App(ack.emit), ack.timeout));
        if socket_io::is_reserved_event(&emit.name) {
            self.counters.reserved_refused += 1;
            return asker.into_iter().for_each(|(asker, _)| self.end_without_recipients(asker));
        }
        if let Some(sent_on) = self.sent_on(emit) {
            return self.emit(&sent_on, now);
        }
        if self.cluster.is_some()
            && let Some(recipients) = self.recipients_of(&emit.target)
        {
            return self.emit_to_cluster(emit, recipients, now);
        }
        self.emit_here(emit, asker, now);
    }

    /// Sends an event to the sockets of this node that are meant, and collects acks if the emit asks for them.
    pub(super) fn emit_here(&mut self, emit: &Emit, asker: Option<(Asker, Duration)>, now: Instant) {
        if let Some((asker, timeout)) = asker {
            self.emit_asking(emit, asker, timeout, now);
            return;
        }
        if self.emit_recoverable(emit, now) {
            return;
        }
        let Some(scope) = self.namespaces.scope_of_target(&emit.target).cloned() else {
            return match &emit.target {
                Target::Socket(_) => self.stale(),
                // A target in a namespace without sockets: there are no recipients.
                Target::Room { .. } | Target::Select(_) => {}
            };
        };
        let packet = match emit.target {
            // An application tells many sockets the same, one at a time.
            Target::Socket(_) => {
                let Self { config, shared_event, .. } = self;
                let parser = config.parser(scope.endpoint);
                shared_event.of(&scope, emit, || encode(parser, &scope.namespace, emit, None))
            }
            Target::Room { .. } | Target::Select(_) => {
                encode(self.config.parser(scope.endpoint), &scope.namespace, emit, None)
            }
        };
        let Self { namespaces, queues, .. } = self;
        let mut fan = queues.fan(&packet, emit.delivery);
        namespaces.walk_outbounds(&emit.target, |outbound| fan.push(outbound));
        fan.finish();
    }

    /// The same with acks; how many sockets are asked.
    pub(super) fn emit_asking(&mut self, emit: &Emit, asker: Asker, timeout: Duration, now: Instant) -> u32 {
        let asked = self.namespaces.select(&emit.target).unwrap_or_default();
        let scope = self.namespaces.scope_of_target(&emit.target).filter(|_| !asked.is_empty()).cloned();
        let Some(scope) = scope else {
            self.end_without_recipients(asker);
            return 0;
        };
        let count = u32::try_from(asked.len()).unwrap_or(u32::MAX);
        let packet_id = self.acks.next_packet_id();
        let packet = encode(self.config.parser(scope.endpoint), &scope.namespace, emit, Some(packet_id));
        let mut fan = self.queues.fan(&packet, emit.delivery);
        self.namespaces.walk_outbounds(&emit.target, |outbound| fan.push(outbound));
        fan.finish();
        self.acks.ask(packet_id, asker, timeout, asked, now);
        self.forward_acks();
        count
    }

    fn end_without_recipients(&mut self, asker: Asker) {
        self.acks.end_without_recipients(asker);
        self.forward_acks();
    }

    /// An Engine.IO message or a bare one.
    fn send_message(&mut self, session: SessionId, message: &Message) {
        let Some(record) = self.sessions.get(session) else { return self.stale() };
        let packet = match (record.kind, message) {
            (SessionKind::WebSocket, Message::Text(text)) => Encoded::bare_text(text),
            (SessionKind::WebSocket, Message::Binary(bytes)) => self.shared_frame.of(bytes),
            (SessionKind::SocketIo | SessionKind::EngineIo, Message::Text(text)) => Encoded::text_message(text),
            (SessionKind::SocketIo | SessionKind::EngineIo, Message::Binary(bytes)) => Encoded::binary(bytes),
        };
        self.send(session, &packet);
    }

    /// Puts sockets of this node into a room.
    pub(super) fn join_here(&mut self, target: &Target, room: &ByteString, now: Instant) {
        if room.len() > self.config.limits.room_bytes_max {
            return;
        }
        // A name cut out of a larger message would keep all of that in memory as long as the room lives.
        let room = ByteString::from(&**room);
        let outside = self.watched(target, |server, socket| !server.is_in(socket, &room));
        let remembered = self.remembered_of(target);
        let found = self.namespaces.join(target, &room, self.config.limits.rooms_per_socket_max);
        self.count_stale(found);
        self.note_rooms(remembered, &room, now);
        for socket in outside {
            if self.is_in(socket, &room) {
                self.event(Event::RoomJoined { socket, room: room.clone() });
            }
        }
        if self.cluster.is_some() {
            self.await_channel(target, &room, now);
        }
    }

    /// Takes sockets of this node out of a room.
    pub(super) fn leave_here(&mut self, target: &Target, room: &ByteString) -> Lookup {
        let inside = self.watched(target, |server, socket| server.is_in(socket, room));
        let remembered = self.remembered_of(target);
        let found = self.namespaces.leave(target, room);
        self.note_rooms(remembered, room, self.now);
        for socket in inside {
            self.event(Event::RoomLeft { socket, room: room.clone() });
        }
        found
    }

    /// Says who joins and leaves rooms from now on, or no longer does.
    pub fn set_room_events(&mut self, events: RoomEvents) {
        self.room_events = events;
    }

    /// Those of a target that something may have to be said of.
    fn watched(&mut self, target: &Target, counts: impl Fn(&Self, SocketId) -> bool) -> Vec<SocketId> {
        match self.room_events {
            RoomEvents::Off => Vec::new(),
            RoomEvents::On => {
                let mut selected = self.namespaces.select(target).unwrap_or_default();
                selected.retain(|socket| counts(self, *socket));
                selected
            }
        }
    }

    /// Disconnects sockets of this node.
    pub(super) fn disconnect_here(&mut self, target: &Target, extent: Extent, now: Instant) {
        let Some(selected) = self.namespaces.select(target) else { return self.stale() };
        for socket in selected {
            let Some(session) = self.namespaces.session(socket) else { continue };
            match extent {
                Extent::Namespace => {
                    self.send_disconnect(session, socket);
                    self.end_socket(socket, Reason::ServerDisconnect);
                }
                Extent::Connection => {
                    for socket in self.namespaces.of(session).to_vec() {
                        self.send_disconnect(session, socket);
                        self.forget_recovery(socket);
                    }
                    self.advance(session, SessionEvent::CloseCommand, Reason::ForcedClose, now);
                }
            }
        }
    }

    /// Closes every transport in a way that lets clients reconnect, and accepts no new sessions.
    fn shut_down(&mut self, now: Instant) {
        self.running = NewPeers::Ending;
        self.publish_goodbye();
        let sessions: Vec<_> = self.sessions.iter().map(|(session, _)| session).collect();
        for session in sessions {
            self.advance(session, SessionEvent::CloseCommand, Reason::ShuttingDown, now);
        }
        self.recoveries.iter_mut().flatten().for_each(|recovery| recovery.clear());
    }

    fn count_stale(&mut self, found: Lookup) {
        match found {
            Lookup::Any => {}
            Lookup::Stale => self.stale(),
        }
    }
}

fn encode(parser: &Parser, namespace: &str, emit: &Emit, ack_id: Option<u64>) -> Arc<Encoded> {
    let (name, args) = (&*emit.name, &emit.args);
    Encoded::socket_packet(parser, &OutgoingPacket::Event { namespace, ack_id, name, args, offset: None })
}
