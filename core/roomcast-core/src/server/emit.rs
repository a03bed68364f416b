//! What the application tells the server to do.
//!
//! Owns: carrying out commands, and that a packet is encoded once for all who get it. Must never know: why something is
//! sent, or how a target is looked up.

use std::sync::Arc;

use bytestring::ByteString;

use super::encoded::Encoded;
use super::event::{AckRequest, Command, Emit, Extent, Message, Reason, SessionId, Target};
use super::namespaces::Found;
use super::state::SessionKind;
use super::{Running, Server};
use crate::engine_io::session::SessionEvent;
use crate::socket_io;
use crate::time::Instant;
use crate::websocket::Opcode;

impl Server {
    /// The application wants something.
    pub(super) fn handle_command(&mut self, command: Command, now: Instant) {
        match command {
            Command::Accept { socket } => self.accept(socket),
            Command::Refuse { socket, data } => self.refuse(socket, &data, now),
            Command::Emit(emit) => self.emit(emit, now),
            Command::Ack { socket, ack, args } => self.send_ack(socket, ack, &args),
            Command::Send { session, message } => self.send_message(session, &message),
            Command::Admit { session } => self.unadmitted.stop(session),
            Command::Handled { session } => self.handled(session),
            Command::Join { target, room } => self.join(&target, &room),
            Command::Leave { target, room } => {
                let found = self.namespaces.leave(&target, &room);
                self.count_stale(found);
            }
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

    fn emit(&mut self, emit: Emit, now: Instant) {
        let is_reserved = socket_io::is_reserved_event(&emit.name);
        self.counters.reserved_refused += u64::from(is_reserved);
        let name = self.namespaces.name_of_target(&emit.target).filter(|_| !is_reserved);
        let Some(namespace) = name.cloned() else {
            return match (emit.ack, &emit.target) {
                (Some(ack), _) => self.end_without_recipients(ack),
                (None, Target::Socket(_)) if !is_reserved => self.stale(),
                // A target in a namespace without sockets: there are no recipients.
                (None, Target::Socket(_) | Target::Room { .. } | Target::Select(_)) => {}
            };
        };
        match emit.ack {
            Some(ack) => self.emit_with_ack(&namespace, &emit, ack, now),
            None => {
                let packet = encode(&namespace, &emit, None);
                let Self { namespaces, queues, .. } = self;
                let mut fan = queues.fan(&packet, emit.delivery);
                namespaces.walk_outbounds(&emit.target, |outbound| fan.push(outbound));
                fan.finish();
            }
        }
    }

    fn emit_with_ack(&mut self, namespace: &str, emit: &Emit, ack: AckRequest, now: Instant) {
        let asked = self.namespaces.select(&emit.target).unwrap_or_default();
        if asked.is_empty() {
            return self.end_without_recipients(ack);
        }
        let packet_id = self.acks.next_packet_id();
        let packet = encode(namespace, emit, Some(packet_id));
        let mut fan = self.queues.fan(&packet, emit.delivery);
        self.namespaces.walk_outbounds(&emit.target, |outbound| fan.push(outbound));
        fan.finish();
        self.acks.ask(packet_id, ack, asked, now);
        self.forward_acks();
    }

    fn end_without_recipients(&mut self, ack: AckRequest) {
        self.acks.end_without_recipients(ack);
        self.forward_acks();
    }

    /// An Engine.IO message or a bare one.
    fn send_message(&mut self, session: SessionId, message: &Message) {
        let Some(record) = self.sessions.get(session) else { return self.stale() };
        let packet = match (record.kind, message) {
            (SessionKind::WebSocket, Message::Text(text)) => Encoded::frame(Opcode::Text, text.as_bytes()),
            (SessionKind::WebSocket, Message::Binary(bytes)) => self.shared_frame.of(bytes),
            (SessionKind::SocketIo | SessionKind::EngineIo, Message::Text(text)) => Encoded::packet(
                1 + text.len(),
                |out| {
                    out.push(b'4');
                    out.extend_from_slice(text.as_bytes());
                },
                &[],
            ),
            (SessionKind::SocketIo | SessionKind::EngineIo, Message::Binary(bytes)) => Encoded::binary(bytes),
        };
        self.send(session, &packet);
    }

    fn join(&mut self, target: &Target, room: &ByteString) {
        if room.len() > self.config.limits.room_bytes_max {
            return;
        }
        // A name cut out of a larger message would keep all of that in memory as long as the room lives.
        let room = ByteString::from(&**room);
        let found = self.namespaces.join(target, &room, self.config.limits.rooms_per_socket_max);
        self.count_stale(found);
    }

    /// The application disconnects sockets.
    fn disconnect(&mut self, target: &Target, extent: Extent, now: Instant) {
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
                    }
                    self.advance(session, SessionEvent::CloseCommand, Reason::ForcedClose, now);
                }
            }
        }
    }

    /// Closes every transport in a way that lets clients reconnect, and accepts no new sessions.
    fn shut_down(&mut self, now: Instant) {
        self.running = Running::Ending;
        let sessions: Vec<_> = self.sessions.iter().map(|(session, _)| session).collect();
        for session in sessions {
            self.advance(session, SessionEvent::CloseCommand, Reason::ShuttingDown, now);
        }
    }

    fn count_stale(&mut self, found: Found) {
        match found {
            Found::Any => {}
            Found::Stale => self.stale(),
        }
    }
}

fn encode(namespace: &str, emit: &Emit, ack_id: Option<u64>) -> Arc<Encoded> {
    let capacity = 1 + socket_io::HEADER_BYTES_MAX + namespace.len() + emit.name.len() + emit.args.json().len();
    Encoded::packet(
        capacity,
        |out| {
            out.push(b'4');
            socket_io::encode_event(out, namespace, ack_id, &emit.name, &emit.args);
        },
        emit.args.attachments(),
    )
}
