//! One message, many deliveries: one large room fed by an outsider, and many small rooms whose members take turns.

use std::io;

use super::join::{JoinedClients, unexpected};
use super::workload::Workload;
use crate::macro_bench::frame::{self, push_masked};
use crate::macro_bench::process::Process;
use crate::macro_bench::subject::{Order, ProcessKind};
use crate::macro_bench::swarm::Inflow;
use crate::macro_bench::template::{Template, payload};

/// Rooms in which messages are in flight.
pub(super) struct Casts {
    audience: JoinedClients,
    kind: ProcessKind,
    order: Order,
    rooms: Vec<Room>,
    /// For each connection its room and how many messages it has had.
    seats: Vec<Option<Seat>>,
    in_flight_max: usize,
    out: Vec<u8>,
}

struct Room {
    senders: Vec<usize>,
    members: usize,
    question: Template,
    answer: Template,
    sent: usize,
    /// Messages that every member has.
    done: usize,
    /// Per message in flight, from `done` on, how many members have it; a ring.
    arrivals: Vec<usize>,
}

#[derive(Clone, Copy)]
struct Seat {
    room: usize,
    messages: usize,
}

/// A sender outside of one room of `members`.
pub(super) fn fan_out(process: &Process, members: usize, in_flight: usize) -> io::Result<Casts> {
    let mut audience = JoinedClients::new(process)?;
    let sender = audience.join(&[("s".to_owned(), "to=0".to_owned())])?;
    let conns = audience.join(&vec![("r".to_owned(), "in=0".to_owned()); members])?;
    let question = Template::new(&format!(r#"42["broadcast","{}"]"#, payload()));
    let answer = Template::new(&fan_out_text());
    let mut casts = Casts::new(audience, process, in_flight);
    casts.add_room(sender, &conns, question, answer);
    Ok(casts)
}

/// Rooms of ten; each member in its turn sends to its room, itself included, one message in flight per room.
pub(super) fn rooms(process: &Process, members: usize) -> io::Result<Casts> {
    let mut audience = JoinedClients::new(process)?;
    let rooms = members / ROOM_MEMBERS;
    let clients: Vec<_> = (0..rooms * ROOM_MEMBERS)
        .map(|client| client / ROOM_MEMBERS)
        .map(|room| (room_name(room), format!("in={room}&to={room}")))
        .collect();
    let conns = audience.join(&clients)?;
    let mut casts = Casts::new(audience, process, 1);
    for (room, members) in conns.chunks(ROOM_MEMBERS).enumerate() {
        let name = room_name(room);
        let question = Template::new(&format!(r#"42["room-cast","{name}","{}"]"#, payload()));
        let answer = Template::new(&room_text(match process.kind {
            ProcessKind::Server => room,
            ProcessKind::Bare => 0,
        }));
        casts.add_room(members.to_vec(), members, question, answer);
    }
    Ok(casts)
}

/// What a bare loop writes to the members of the large room.
pub(super) fn fan_out_message() -> String {
    Template::new(&fan_out_text()).first()
}

/// What a bare loop writes to the members of every small room.
pub(super) fn room_message() -> String {
    Template::new(&room_text(0)).first()
}

impl Casts {
    fn new(audience: JoinedClients, process: &Process, in_flight_max: usize) -> Self {
        Self {
            audience,
            kind: process.kind,
            order: process.order,
            rooms: Vec::new(),
            seats: Vec::new(),
            in_flight_max,
            out: Vec::new(),
        }
    }

    fn add_room(&mut self, senders: Vec<usize>, members: &[usize], question: Template, answer: Template) {
        let seat = Seat { room: self.rooms.len(), messages: 0 };
        for conn in members {
            if self.seats.len() <= *conn {
                self.seats.resize(conn + 1, None);
            }
            self.seats[*conn] = Some(seat);
        }
        self.rooms.push(Room {
            senders,
            members: members.len(),
            question,
            answer,
            sent: 0,
            done: 0,
            arrivals: vec![0; self.in_flight_max],
        });
    }

    /// Fills up what is in flight, with one write.
    fn send_due(&mut self, room: usize, until: usize) -> io::Result<()> {
        let room = &mut self.rooms[room];
        let due = until.min(room.done + self.in_flight_max);
        if room.sent == due {
            return Ok(());
        }
        let sender = room.senders[room.sent % room.senders.len()];
        self.out.clear();
        while room.sent < due {
            push_masked(&mut self.out, frame::TEXT, room.question.at(ProcessKind::Server, room.sent));
            room.sent += 1;
        }
        self.audience.swarm.send(sender, &self.out)
    }

    fn deliveries(&self) -> usize {
        self.rooms.iter().map(|room| room.done * room.members).sum()
    }

    fn deliver_some(&mut self) -> io::Result<()> {
        let Self { audience, kind, order, rooms, seats, .. } = self;
        audience.swarm.turn(|conn, received, _| {
            let Some(seat) = seats.get_mut(conn).and_then(Option::as_mut) else {
                return Err(unexpected(b"nothing for a sender", &received));
            };
            let room = &mut rooms[seat.room];
            let Inflow::Text(text) = received else { return Err(unexpected(b"a message", &received)) };
            let sampled = (conn + seat.messages).is_multiple_of(SAMPLE);
            if !room.handle_arrival(text, seat.messages, *kind, *order, sampled) {
                return Err(unexpected(room.answer.at(*kind, seat.messages), &received));
            }
            seat.messages += 1;
            Ok(())
        })
    }
}

impl Workload for Casts {
    fn round(&mut self, messages: usize) -> io::Result<usize> {
        self.audience.swarm.begin_round();
        let until = self.rooms[0].done + messages.div_ceil(self.rooms.len());
        let before = self.deliveries();
        while self.rooms.iter().any(|room| room.done < until) {
            for room in 0..self.rooms.len() {
                self.send_due(room, until)?;
            }
            self.deliver_some()?;
        }
        let level = |seat: &Seat| seat.messages == self.rooms[seat.room].done;
        if !self.seats.iter().flatten().all(level) {
            return Err(io::Error::other("some members have a message twice and others miss it"));
        }
        Ok(self.deliveries() - before)
    }
}

impl Room {
    /// Counts the delivery `text`, the `nth` of its member; `false` if it is none that this member can get now. Length and
    /// number are always looked at, the whole text if it is `sampled`.
    fn handle_arrival(&mut self, text: &[u8], nth: usize, kind: ProcessKind, order: Order, sampled: bool) -> bool {
        let sequence = match kind {
            ProcessKind::Server => self.answer.sequence_in(text),
            ProcessKind::Bare => Some(nth).filter(|_| text.len() == self.answer.length()),
        };
        let Some(sequence) = sequence.filter(|sequence| (self.done..self.sent).contains(sequence)) else {
            return false;
        };
        if (order == Order::Kept && sequence != nth) || (sampled && text != self.answer.at(kind, sequence)) {
            return false;
        }
        let ring = self.arrivals.len();
        self.arrivals[sequence % ring] += 1;
        while self.arrivals[self.done % ring] == self.members {
            self.arrivals[self.done % ring] = 0;
            self.done += 1;
        }
        true
    }
}

fn fan_out_text() -> String {
    format!(r#"42["msg","{}"]"#, payload())
}

fn room_text(room: usize) -> String {
    format!(r#"42["room-event","{}","{}"]"#, room_name(room), payload())
}

fn room_name(room: usize) -> String {
    format!("k{room:03}")
}

/// The content of every 16th delivery is compared.
const SAMPLE: usize = 16;
const ROOM_MEMBERS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_done_when_every_member_has_it() {
        let mut room = room(2);
        assert!(arrives(&mut room, 0, 0, Order::Kept));
        assert_eq!(room.done, 0);
        assert!(arrives(&mut room, 0, 0, Order::Kept));
        assert_eq!(room.done, 1);
    }

    #[test]
    fn what_was_not_sent_or_is_done_or_out_of_turn_is_refused() {
        let mut room = room(1);
        assert!(!arrives(&mut room, 3, 3, Order::Kept), "not sent yet");
        assert!(!arrives(&mut room, 1, 0, Order::Kept), "out of turn");
        assert!(arrives(&mut room, 1, 0, Order::Any));
        assert_eq!(room.done, 0);
        assert!(arrives(&mut room, 0, 1, Order::Any));
        assert_eq!(room.done, 2);
        assert!(!arrives(&mut room, 0, 2, Order::Any), "a second time");
    }

    #[test]
    fn a_sampled_delivery_is_compared_to_its_last_byte() {
        let mut room = room(1);
        let mut text = room.answer.at(ProcessKind::Server, 0).to_vec();
        *text.last_mut().unwrap() = b'}';
        assert!(!room.handle_arrival(&text, 0, ProcessKind::Server, Order::Kept, true));
        assert!(!room.handle_arrival(&text[1..], 0, ProcessKind::Server, Order::Kept, false));
        assert!(room.handle_arrival(&text, 0, ProcessKind::Server, Order::Kept, false));
    }

    fn arrives(room: &mut Room, sequence: usize, nth: usize, order: Order) -> bool {
        let text = room.answer.at(ProcessKind::Server, sequence).to_vec();
        room.handle_arrival(&text, nth, ProcessKind::Server, order, true)
    }

    /// Three messages are on their way.
    fn room(members: usize) -> Room {
        Room {
            senders: vec![0],
            members,
            question: Template::new("########"),
            answer: Template::new(&fan_out_text()),
            sent: 3,
            done: 0,
            arrivals: vec![0; 4],
        }
    }
}
