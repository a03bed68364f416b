//! What should happen: a naive picture of namespaces, rooms and deliveries.
//!
//! Owns: who is where as plain sets, and for each socket what it must be sent, in order. Must never know: transports,
//! queues, or how the server keeps any of this. Of the server it asks only whether a socket is still there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use roomcast_core::engine_io::Packet;
use roomcast_core::server::{AckEnd, AckId, Connect, EmitId, Event, PeerError, Reason, Server, SocketId};
use roomcast_core::socket_io::Args;
use roomcast_testkit::{Observer, Trace};
use serde_json::Value;

use super::coverage::Coverage;
use super::ledger::Ledger;

/// Who is where, and what each must be sent.
#[derive(Debug, Default)]
pub struct Model {
    members: BTreeMap<SocketId, SocketModel>,
    /// Sockets that the application has been asked to let in.
    connecting: BTreeSet<SocketId>,
    /// By Socket.IO id, what its client has sent. Those of sockets that are gone stay: their clients may still send.
    sent: BTreeMap<String, Ledger>,
    /// Why sockets have ended, by Socket.IO id.
    reasons: BTreeMap<String, String>,
    /// The emits whose acks are awaited.
    asks: BTreeMap<EmitId, EmitToAck>,
    next_emit: u64,
    /// By Socket.IO id. Those of sockets that are gone stay: their clients may still be reading.
    due: BTreeMap<String, VecDeque<DuePacket>>,
    next_packet_id: u64,
    /// Packets that have reached their client.
    pub delivered: u64,
    /// The events of the server.
    pub events: Trace,
    /// What this run has met.
    pub coverage: Coverage,
    /// The first event that should not have arrived.
    fault: Option<String>,
}

#[derive(Debug)]
struct SocketModel {
    sid: String,
    /// As it stands in a packet: nothing for `/`.
    prefix: String,
    session: u64,
    rooms: BTreeSet<String>,
}

/// An emit to one socket that asks for an ack.
#[derive(Debug)]
struct EmitToAck {
    sid: String,
    packet_id: u64,
    acks: u32,
}

#[derive(Debug)]
struct DuePacket {
    text: String,
    fate: Fate,
}

/// Whether a packet must arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Certain,
    /// The packet was sent as volatile and may be dropped.
    Optional,
}

impl Model {
    /// A client has been sent this packet (with its attachments, separated by U+001E).
    ///
    /// # Errors
    ///
    /// What it should have been.
    pub fn deliver(&mut self, sid: &str, text: &str) -> Result<(), String> {
        let Some(due) = self.due.get_mut(sid) else { return Err(format!("{sid} names no socket, and got {text}")) };
        while let Some(next) = due.pop_front() {
            if next.text == text {
                self.delivered += 1;
                return Ok(());
            }
            if next.fate == Fate::Certain {
                return Err(format!("{sid} got {text} where {} was due", next.text));
            }
        }
        Err(format!("{sid} got {text} where nothing was due"))
    }

    /// The first packet that a client has still to be sent.
    pub fn missing(&self, sid: &str) -> Option<&str> {
        let due = self.due.get(sid)?;
        due.iter().find(|due| due.fate == Fate::Certain).map(|due| due.text.as_str())
    }

    /// A client sends a packet (with its attachments, separated by U+001E).
    pub fn send(&mut self, sid: &str, prefix: &str, text: &str) {
        self.sent.entry(sid.to_owned()).or_default().send(prefix, text);
    }

    /// Compares the members with those that there should be once all requests are served, and looks for packets that
    /// never reached the application.
    ///
    /// # Errors
    ///
    /// Who is missing or a ghost, or what was lost.
    pub fn check_served(&self, expected: &BTreeSet<&str>) -> Result<(), String> {
        let members: BTreeSet<&str> = self.members.values().map(|member| member.sid.as_str()).collect();
        if let Some(sid) = members.symmetric_difference(expected).next() {
            return Err(format!("{sid} is on one side only"));
        }
        for sid in expected {
            if let Some(missing) = self.sent.get(*sid).and_then(|ledger| ledger.missing(&self.open_asks(sid))) {
                return Err(format!("the server has never reported what {sid} sent: {missing}"));
            }
        }
        Ok(())
    }

    /// Compares rooms with the server's, after each step.
    ///
    /// # Errors
    ///
    /// Whose rooms the server sees differently, or what the server reported that was never sent.
    pub fn check(&self, server: &Server) -> Result<(), String> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        for (socket, member) in &self.members {
            if server.sid(*socket).is_none() {
                continue;
            }
            let asks = self.open_asks(&member.sid);
            if asks.len() > ACKS_MAX {
                return Err(format!("{} is still to acknowledge {asks:?}", member.sid));
            }
            let mut rooms: Vec<_> = server.rooms(*socket).collect();
            rooms.sort_unstable();
            if !rooms.iter().copied().eq(member.rooms.iter().map(String::as_str)) {
                return Err(format!("{} is in {rooms:?} and ought to be in {:?}", member.sid, member.rooms));
            }
        }
        Ok(())
    }

    /// Whether the socket of this id is connected, as far as the application knows.
    pub fn is_member(&self, sid: &str) -> bool {
        self.members.values().any(|member| member.sid == sid)
    }

    /// Why the socket of this id has ended, if it has.
    pub fn reason(&self, sid: &str) -> Option<&str> {
        self.reasons.get(sid).map(String::as_str)
    }

    /// Whether no member is left.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    fn handle_event(&mut self, event: &Event, server: &Server) {
        match event {
            Event::Connecting(connect) => {
                self.connecting.insert(connect.socket);
            }
            Event::Connected(connect) => self.connected(connect, server),
            Event::Received { socket, name, args, ack, .. } => {
                let text = event_text(self.prefix(*socket), ack.map(|AckId(id)| id), name, args);
                self.compare(*socket, |ledger, open| ledger.receive(&text, open));
                // An event that arrives behind the socket's own end: answers to it have no recipient.
                let alive = server.sid(*socket).is_some();
                self.received(*socket, alive, name, args, *ack);
            }
            Event::Acked { emit, socket, args } => {
                if let Some(asked) = self.asks.get_mut(emit) {
                    asked.acks += 1;
                    let id = asked.packet_id;
                    self.compare(*socket, |ledger, open| ledger.acknowledge(id, args.json(), open));
                } else {
                    self.accuse(format!("{emit:?} is acknowledged and has ended"));
                }
                self.expect(*socket, None, "ask-result", args);
            }
            Event::AcksEnded { emit, end, answered, .. } => {
                self.coverage.meet(format!("acks: {end:?}"));
                let acks = self.asks.remove(emit).map_or(0, |asked| asked.acks);
                if acks != *answered || (*end == AckEnd::Complete && acks == 0) {
                    self.accuse(format!("{emit:?} ends as {end:?} of {answered} acks, of which {acks} were reported"));
                }
            }
            Event::Disconnected { socket, reason, .. } => {
                self.coverage.meet(format!("reason: {}", reason_text(*reason)));
                if *reason == Reason::Fault(PeerError::PayloadTooLarge) {
                    // No client sends a message of that length: it is a packet with its attachments.
                    self.coverage.meet("limit: bytes of a packet");
                }
                if *reason == Reason::ClientDisconnect && !self.connecting.contains(socket) {
                    self.compare(*socket, Ledger::leave);
                }
                if let Some(member) = self.members.remove(socket) {
                    self.reasons.insert(member.sid, reason_text(*reason));
                } else if !self.connecting.remove(socket) {
                    self.accuse(format!("{socket:?} is gone and was never there"));
                }
            }
            Event::Opened { .. } | Event::Message { .. } | Event::Closed { .. } | Event::Relieved { .. } => {}
            Event::Cluster(_) | _ => self.accuse(format!("an event that the model does not know: {event:?}")),
        }
    }

    fn connected(&mut self, connect: &Connect, server: &Server) {
        self.connecting.remove(&connect.socket);
        let sid = connect.sid.as_str().to_owned();
        let prefix = match &*connect.namespace {
            "/" => String::new(),
            other => format!("{other},"),
        };
        let auth = match &*connect.namespace {
            "/jwt" => r#"{"sub":"sim"}"#,
            "/custom" => AUTH,
            _ => "{}",
        };
        let due = [format!(r#"40{prefix}{{"sid":"{sid}"}}"#), format!(r#"42{prefix}["auth",{auth}]"#)];
        let mut due: VecDeque<_> = due.into_iter().map(|text| DuePacket { text, fate: Fate::Certain }).collect();
        if server.sid(connect.socket).is_none() {
            // Kicked by an event that came before it in one read: it hears of that and of nothing else.
            due[1] = DuePacket { text: format!("41{prefix}"), fate: Fate::Optional };
        }
        self.due.insert(sid.clone(), due);
        let session = connect.session.as_u64();
        let member = SocketModel { sid, prefix, session, rooms: BTreeSet::new() };
        if self.members.insert(connect.socket, member).is_some() {
            self.accuse(format!("{:?} is connected twice", connect.socket));
        }
        if self.members.values().filter(|member| member.session == session).count() > NAMESPACES_MAX {
            self.accuse(format!("{:?} is in too many namespaces", connect.session));
        }
    }

    /// Compares an event of a socket with what its client has sent.
    fn compare(&mut self, socket: SocketId, report: impl FnOnce(&mut Ledger, &BTreeSet<u64>) -> Result<(), String>) {
        let Some(sid) = self.members.get(&socket).map(|member| member.sid.clone()) else {
            return self.accuse(format!("an event of {socket:?}, which is not connected"));
        };
        let open = self.open_asks(&sid);
        if let Err(fault) = report(self.sent.entry(sid.clone()).or_default(), &open) {
            self.accuse(format!("{sid}: {fault}"));
        }
    }

    fn open_asks(&self, sid: &str) -> BTreeSet<u64> {
        self.asks.values().filter(|asked| asked.sid == sid).map(|asked| asked.packet_id).collect()
    }

    fn accuse(&mut self, fault: String) {
        self.fault.get_or_insert(fault);
    }

    fn received(&mut self, socket: SocketId, alive: bool, name: &str, args: &Args, ack: Option<AckId>) {
        let room = args.get(0).and_then(|text| serde_json::from_str::<String>(text).ok());
        match (name, room) {
            ("message", _) => self.expect(socket, None, "message-back", args),
            ("echo", _) => self.expect_ack(socket, ack, args),
            ("ask", _) => {
                let emit = EmitId(self.next_emit);
                self.next_emit += 1;
                if let Some(member) = self.members.get(&socket).filter(|_| alive) {
                    let id = self.next_packet_id;
                    self.next_packet_id += 1;
                    if self.asks.values().filter(|asked| asked.sid == member.sid).count() >= ACKS_MAX {
                        self.coverage.meet("limit: acks of a socket");
                    }
                    self.asks.insert(emit, EmitToAck { sid: member.sid.clone(), packet_id: id, acks: 0 });
                    self.expect(socket, Some(id), "ask", args);
                }
            }
            ("join", Some(room)) => {
                if let Some(member) = self.members.get_mut(&socket).filter(|_| alive) {
                    if room.len() > ROOM_BYTES_MAX {
                        self.coverage.meet("limit: name of a room");
                    } else if member.rooms.len() < ROOMS_MAX || member.rooms.contains(&room) {
                        member.rooms.insert(room.clone());
                    } else {
                        self.coverage.meet("limit: rooms of a socket");
                    }
                }
                self.expect_ack(socket, ack, &values(&["joined", &room]));
            }
            ("leave", Some(room)) => {
                if let Some(member) = self.members.get_mut(&socket) {
                    member.rooms.remove(&room);
                }
                self.expect_ack(socket, ack, &values(&["left", &room]));
            }
            ("room-cast" | "flood" | "broadcast" | "typing", room) => {
                self.received_for_many(socket, alive, name, room, args, ack);
            }
            ("burst", _) => {
                for index in 0..number(args) {
                    self.expect(socket, None, "seq", &values(&[index]));
                }
            }
            ("volatile", _) => {
                for index in 0..number(args) {
                    self.push(socket, event_text(self.prefix(socket), None, "vol", &values(&[index])), Fate::Optional);
                }
                self.expect(socket, None, "vol-done", &values(&[number(args)]));
            }
            ("kick", _) if alive => self.kicked(socket, args),
            (_, _) => {}
        }
    }

    /// A socket ends itself, or its whole session.
    fn kicked(&mut self, socket: SocketId, args: &Args) {
        let session = self.members.get(&socket).map(|member| member.session);
        let whole = args.get(0) == Some("true");
        let is_meant =
            |who: SocketId, member: &SocketModel| who == socket || (whole && Some(member.session) == session);
        let meant = self.members.iter().filter(|(who, member)| is_meant(**who, member));
        let kicked: Vec<_> = meant.map(|(who, member)| (*who, member.prefix.clone())).collect();
        for (who, prefix) in kicked {
            self.push(who, format!("41{prefix}"), Fate::Certain);
        }
    }

    /// An event that the application sends on to others.
    fn received_for_many(
        &mut self,
        socket: SocketId,
        alive: bool,
        name: &str,
        room: Option<String>,
        args: &Args,
        ack: Option<AckId>,
    ) {
        match (name, room) {
            ("room-cast", Some(room)) => {
                let joined = alive && self.members.get(&socket).is_some_and(|member| member.rooms.contains(&room));
                if joined {
                    self.expect_all(socket, "room-event", args, |_, member| member.rooms.contains(&room));
                }
                self.expect_ack(socket, ack, &values(&[if joined { "sent" } else { "denied" }]));
            }
            ("flood", Some(room)) => {
                let numbers = |index| args.get(index).and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
                let text = "x".repeat(numbers(2));
                for index in 0..numbers(1) {
                    let flood = values(&[serde_json::json!(index), serde_json::json!(text)]);
                    self.expect_all(socket, "flood", &flood, |_, member| member.rooms.contains(&room));
                }
                self.expect_ack(socket, ack, &values(&[numbers(1)]));
            }
            ("broadcast", _) => self.expect_all(socket, "broadcast", args, |_, _| true),
            ("typing", Some(room)) => {
                let rest = args.slice_from(1);
                self.expect_all(socket, "typing", &rest, |who, member| who != socket && member.rooms.contains(&room));
            }
            (_, _) => {}
        }
    }

    fn expect(&mut self, socket: SocketId, id: Option<u64>, name: &str, args: &Args) {
        self.push(socket, event_text(self.prefix(socket), id, name, args), Fate::Certain);
    }

    fn expect_ack(&mut self, socket: SocketId, ack: Option<AckId>, args: &Args) {
        let Some(AckId(id)) = ack else { return };
        let text = packet_text(["43", "46"], self.prefix(socket), Some(id), &format!("[{}]", args.json()), args);
        self.push(socket, text, Fate::Certain);
    }

    /// To the members of the sender's namespace that `meant` selects.
    fn expect_all(
        &mut self,
        sender: SocketId,
        name: &str,
        args: &Args,
        meant: impl Fn(SocketId, &SocketModel) -> bool,
    ) {
        let Some(prefix) = self.members.get(&sender).map(|member| member.prefix.clone()) else { return };
        let text = event_text(&prefix, None, name, args);
        let meant: Vec<_> = self
            .members
            .iter()
            .filter(|(who, member)| member.prefix == prefix && meant(**who, member))
            .map(|(who, _)| *who)
            .collect();
        for who in meant {
            self.push(who, text.clone(), Fate::Certain);
        }
    }

    fn push(&mut self, socket: SocketId, text: String, fate: Fate) {
        if let Some(due) = self.members.get(&socket).and_then(|member| self.due.get_mut(&member.sid)) {
            due.push_back(DuePacket { text, fate });
        }
    }

    fn prefix(&self, socket: SocketId) -> &str {
        self.members.get(&socket).map_or("", |member| &member.prefix)
    }
}

impl Observer for Model {
    fn observe(&mut self, event: &Event, server: &Server) {
        self.events.observe(event, server);
        self.handle_event(event, server);
    }
}

/// A reason's name; a fault's by its kind.
fn reason_text(reason: Reason) -> String {
    if let Reason::Fault(fault) = reason { format!("{fault:?}") } else { reason.to_string() }
}

fn event_text(prefix: &str, id: Option<u64>, name: &str, args: &Args) -> String {
    let comma = if args.is_empty() { "" } else { "," };
    packet_text(["42", "45"], prefix, id, &format!(r#"["{name}"{comma}{}]"#, args.json()), args)
}

fn packet_text([plain, binary]: [&str; 2], prefix: &str, id: Option<u64>, data: &str, args: &Args) -> String {
    let id = id.map_or_else(String::new, |id| id.to_string());
    let attachments = args.attachments();
    if attachments.is_empty() {
        return format!("{plain}{prefix}{id}{data}");
    }
    let mut text = format!("{binary}{}-{prefix}{id}{data}", attachments.len());
    for attachment in attachments {
        let mut form = Vec::new();
        Packet::Binary(attachment.clone()).encode_text(&mut form);
        text.push('\x1e');
        text.push_str(&String::from_utf8_lossy(&form));
    }
    text
}

fn values<T: serde::Serialize>(values: &[T]) -> Args {
    let json: Vec<String> = values.iter().map(|value| serde_json::to_string(value).unwrap_or_default()).collect();
    match Args::from_json_values(json.join(",")) {
        Ok(args) => args,
        Err(error) => panic!("{error}"),
    }
}

/// Rooms that a socket may be in.
pub(super) const ROOMS_MAX: usize = 3;
/// Length of a room's name.
pub(super) const ROOM_BYTES_MAX: usize = 30;
/// Namespaces that a session may be in.
pub(super) const NAMESPACES_MAX: usize = 3;
/// Emits that a socket may still have to acknowledge.
pub(super) const ACKS_MAX: usize = 2;
/// Bytes of a packet with its attachments.
pub(super) const PACKET_BYTES_MAX: usize = 2000;
/// What clients say when they join `/custom`.
pub(super) const AUTH: &str = r#"{"a":1}"#;

fn number(args: &Args) -> u64 {
    let first = args.get(0).and_then(|text| serde_json::from_str::<Value>(text).ok());
    first.and_then(|value| value.as_u64()).unwrap_or(0)
}
