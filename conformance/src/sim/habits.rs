//! What clients do, and what faults hit them.
//!
//! Owns: choices by the seed. Must never know: their outcome.

use http::Method;

use super::client::{Provoked, Stage};
use super::model::{ACKS_MAX, AUTH, PACKET_BYTES_MAX};
use super::weather::Weather;
use super::wires::{NetworkEvent, WsPurpose};
use super::world::{UNADMITTED_MESSAGE_BYTES_MAX, UNADMITTED_PINNED_BYTES_MAX, World};
use crate::pair::{Conformance, Via, WALL_MS};

impl World {
    /// A client acts, or a fault hits it.
    pub(super) fn act(&mut self, client: usize) {
        let delay = self.millis(5, 300);
        self.plan(delay, NetworkEvent::Act { client });
        let silent = self.host.now().saturating_since(self.clients[client].last_heard);
        match (self.clients[client].stage, self.weather) {
            (Stage::Away, Weather::Storm | Weather::Fair | Weather::Quiet) => self.open(client),
            (Stage::Away, Weather::Ending) => {}
            // It waits no longer than an official client: for the interval and the timeout.
            (_, _) if silent.as_millis() > 3600 => self.cut(client),
            (_, Weather::Fair) => {
                if self.chance(2) {
                    self.lose_probe(client);
                }
                if self.chance(60) {
                    return self.say_goodbye(client);
                }
                // Several at once are more than the server takes before it pauses reading.
                let wishes = if self.chance(6) { 4 } else { 1 };
                (0..wishes).for_each(|_| self.want(client));
                self.flush(client);
            }
            (_, Weather::Quiet | Weather::Ending) => {}
            (_, Weather::Storm) => {
                match self.rng.below(100) {
                    0..2 => self.cut(client),
                    2..15 => self.lose_probe(client),
                    _ => self.want(client),
                }
                self.flush(client);
            }
        }
    }

    /// A session is open.
    pub(super) fn opened(&mut self, client: usize) {
        let state = &mut self.clients[client];
        state.stage = if state.via == Via::WebSocket { Stage::Streaming } else { Stage::Polling };
        let (via, epoch) = (state.via, state.epoch);
        if self.weather == Weather::Storm && via == Via::WebSocket && self.chance(6) {
            return self.trespass(client);
        }
        self.ask_for(client, "/");
        if via == Via::Upgrade {
            let delay = self.millis(0, 200);
            self.plan(delay, NetworkEvent::Dial { client, epoch, purpose: WsPurpose::Upgrade });
        }
    }

    /// A client that was not let in anywhere sends more than it may, or begins and does not go on.
    fn trespass(&mut self, client: usize) {
        let long = UNADMITTED_MESSAGE_BYTES_MAX;
        let (message_bytes, part_bytes, limit, close) = match self.rng.below(3) {
            0 => (long + 1, usize::MAX, "limit: bytes of a message, not admitted", 1009),
            1 => (long - 1, UNADMITTED_PINNED_BYTES_MAX + 100, "limit: bytes of all that are not admitted", 1008),
            _ => (long - 1, 20, "limit: time of a message, not admitted", 1008),
        };
        self.write_part(client, &"4".repeat(message_bytes), part_bytes);
        self.clients[client].provoked = Some(Provoked { limit, close });
    }

    /// A client begins a message and does not go on.
    fn fall_silent(&mut self, client: usize) {
        if self.clients[client].stage == Stage::Streaming {
            self.write_part(client, r#"42["never"]"#, 5);
            self.clients[client].provoked = Some(Provoked { limit: "limit: time of a message", close: 1008 });
        }
    }

    /// A packet whose attachment is too long for it.
    fn attach_too_much(&mut self, client: usize) {
        let attachment = "AAAA".repeat(PACKET_BYTES_MAX / 3 + 1);
        let packet = [r#"451-["message",{"_placeholder":true,"num":0}]"#.to_owned(), format!("b{attachment}")];
        self.clients[client].outbox.extend(packet);
    }

    /// Every joined socket sends one last event that asks for an ack.
    pub(super) fn last_words(&mut self) {
        for client in 0..self.clients.len() {
            for (name, _) in self.clients[client].joined() {
                self.call_event(client, &name, r#""echo","last words""#);
            }
            self.flush(client);
        }
    }

    /// Half of the clients close their session, the others vanish.
    pub(super) fn clients_leave(&mut self) {
        for client in 0..self.clients.len() {
            if self.chance(2) {
                self.clients[client].outbox.push_back("1".into());
                self.flush(client);
            } else {
                self.cut(client);
            }
        }
    }

    /// A client ends its session, to begin another.
    fn say_goodbye(&mut self, client: usize) {
        self.meet("habit: ends its session");
        self.clients[client].outbox.push_back("1".into());
        self.flush(client);
        self.clients[client].begun = Weather::Storm;
        self.cut(client);
    }

    fn lose_probe(&mut self, client: usize) {
        if matches!(self.clients[client].stage, Stage::Probing | Stage::Pausing)
            && let Some(wire) = self.ties[client].wire
        {
            self.meet("fault: probe lost");
            self.clients[client].probe_lost = true;
            self.cut_wire(wire);
            self.lost_wire(client);
        }
    }

    /// Sends one event of the kinds that the application serves.
    fn want(&mut self, client: usize) {
        let joined = self.clients[client].joined();
        if joined.is_empty() {
            return;
        }
        let (name, _) = joined[self.index_below(joined.len())].clone();
        let room = ROOMS[self.index_below(ROOMS.len())];
        let n = self.rng.below(1000);
        match self.rng.below(40) {
            0..4 => self.event(client, &name, &format!(r#""message",{n},"{}""#, "x".repeat(n as usize % 90))),
            4..7 => self.call_event(client, &name, &format!(r#""echo",{{"n":{n}}}"#)),
            7..13 => self.call_event(client, &name, &format!(r#""join","{room}""#)),
            13..15 => self.call_event(client, &name, &format!(r#""leave","{room}""#)),
            15..22 => self.call_event(client, &name, &format!(r#""room-cast","{room}",{n},"{}""#, "y".repeat(200))),
            22..25 => self.event(client, &name, &format!(r#""broadcast",{n}"#)),
            25..27 => self.event(client, &name, &format!(r#""typing","{room}",{n}"#)),
            27..29 => {
                // Now and then one more than a socket may have open.
                let asks = if n < 250 { ACKS_MAX + 1 } else { 1 };
                (0..asks).for_each(|_| self.event(client, &name, &format!(r#""ask",{n}"#)));
            }
            29..31 => self.binary(client, &name),
            31 => self.event(client, &name, r#""volatile",5"#),
            32 => self.event(client, &name, r#""burst",40"#),
            33 => self.call_event(client, &name, r#""unknown""#),
            34..37 => {
                let other = NAMESPACES[self.index_below(NAMESPACES.len())];
                self.ask_for(client, other);
            }
            mischief @ 37..40 if self.weather == Weather::Storm => self.misbehave(client, &name, mischief, n),
            _ => {}
        }
    }

    /// Actions that may end a socket or a session.
    fn misbehave(&mut self, client: usize, name: &str, mischief: u64, n: u64) {
        match (mischief, n) {
            (37, _) => {
                self.meet("habit: leaves a namespace");
                self.leave_namespace(client, name);
            }
            (38, 0..300) => {
                let whole = n < 60;
                self.meet(if whole { "habit: has its connection ended" } else { "habit: has its socket ended" });
                self.event(client, name, &format!(r#""kick",{whole}"#));
            }
            (38, 300..700) => self.intrude(client),
            (38, 700..800) => self.fall_silent(client),
            (38, 800..900) => self.attach_too_much(client),
            (39, 600..900) => self.overlap(client),
            (39, 0..50) => {
                self.meet("habit: says goodbye and goes on");
                self.clients[client].outbox.push_back("1".into());
            }
            (39, 50..150) => {
                let (nonsense, what) = NONSENSE[self.index_below(NONSENSE.len())];
                self.meet(what);
                self.clients[client].outbox.extend(nonsense.split('\x1e').map(str::to_owned));
            }
            (39, 150..600) => {
                self.meet("habit: floods a room");
                let room = ROOMS[self.index_below(ROOMS.len())];
                self.call_event(client, name, &format!(r#""flood","{room}",{},200"#, n / 10));
            }
            (_, _) => {}
        }
    }

    /// A second WebSocket or a request comes for a session that has a transport already.
    fn intrude(&mut self, client: usize) {
        self.meet("fault: a second transport");
        let epoch = self.clients[client].epoch;
        let delay = self.delay();
        if self.clients[client].stage == Stage::Streaming && self.chance(2) {
            let method = if self.chance(2) { Method::GET } else { Method::POST };
            self.rogue_call(client, method, "6".to_owned());
        } else {
            self.plan(delay, NetworkEvent::Dial { client, epoch, purpose: WsPurpose::Intruder });
        }
    }

    /// A client polls or posts twice at once, which ends its session, and goes away.
    fn overlap(&mut self, client: usize) {
        if self.clients[client].stage == Stage::Polling {
            self.meet("fault: two requests at once");
            let method = if self.chance(2) { Method::GET } else { Method::POST };
            for _ in 0..2 {
                self.rogue_call(client, method.clone(), "6".to_owned());
            }
            self.cut(client);
        }
    }

    fn event(&mut self, client: usize, namespace: &str, data: &str) {
        self.send(client, namespace, format!("42{}[{data}]", prefix(namespace)));
    }

    fn call_event(&mut self, client: usize, namespace: &str, data: &str) {
        let id = self.clients[client].next_ack();
        self.send(client, namespace, format!("42{}{id}[{data}]", prefix(namespace)));
    }

    /// An event with two attachments; with an ack, now and then.
    fn binary(&mut self, client: usize, namespace: &str) {
        let name = if self.chance(2) { "message" } else { "broadcast" };
        let data = format!(r#"["{name}",{{"_placeholder":true,"num":0}},{{"_placeholder":true,"num":1}}]"#);
        self.send(client, namespace, format!("452-{}{data}\x1ebAQIDBA==\x1eb", prefix(namespace)));
    }

    /// Puts a packet of a socket, with its attachments behind U+001E, into its client's outbox and ledger.
    pub(super) fn send(&mut self, client: usize, namespace: &str, packet: String) {
        if let Some(Some(sid)) = self.clients[client].namespaces.get(namespace).cloned() {
            self.model_mut().send(&sid, &prefix(namespace), &packet);
        }
        self.clients[client].outbox.extend(packet.split('\x1e').map(str::to_owned));
    }

    fn ask_for(&mut self, client: usize, namespace: &str) {
        let state = &mut self.clients[client];
        if state.namespaces.contains_key(namespace) || state.left.iter().any(|left| left == namespace) {
            return;
        }
        state.namespaces.insert(namespace.to_owned(), None);
        let auth = match namespace {
            "/jwt" => {
                let exp = WALL_MS / 1000 + 3600;
                format!(r#"{{"token":"{}"}}"#, Conformance::token(&format!(r#"{{"sub":"sim","exp":{exp}}}"#)))
            }
            "/custom" => AUTH.to_owned(),
            _ => String::new(),
        };
        state.outbox.push_back(format!("40{}{auth}", prefix(namespace)));
    }

    fn leave_namespace(&mut self, client: usize, namespace: &str) {
        self.send(client, namespace, format!("41{}", prefix(namespace)));
        let state = &mut self.clients[client];
        state.namespaces.remove(namespace);
        state.left.push(namespace.to_owned());
    }
}

fn prefix(namespace: &str) -> String {
    if namespace == "/" { String::new() } else { format!("{namespace},") }
}

/// What no client may say: each is a fault that ends its session.
const NONSENSE: [(&str, &str); 10] = [
    ("4abc", "nonsense: no packet of Socket.IO"),
    ("0{}", "nonsense: an open packet"),
    ("2", "nonsense: a ping"),
    ("bAQID", "nonsense: an attachment of nothing"),
    ("42[", "nonsense: broken JSON"),
    ("44{}", "nonsense: CONNECT_ERROR"),
    ("43/custom,1{}", "nonsense: an ack without a list"),
    ("451-[\"x\"]\x1e42[\"y\"]", "nonsense: a packet between attachments"),
    ("453-[\"x\"]", "limit: attachments"),
    ("42[[[[[[[[\"x\"]]]]]]]]", "limit: depth of JSON"),
];
/// One more than a socket may be in, and one that is too long.
const ROOMS: [&str; 5] = ["a", "b", "c", "d", "a room with a name that is too long"];
const NAMESPACES: [&str; 3] = ["/custom", "/dyn-7", "/jwt"];
