//! Fifty editors of one note: one types, the others get each update.
//!
//! Owns: this load in both protocols, and the check that every member has every update. Must never know: how a document is
//! kept.

use std::io;
use std::thread;
use std::time::Duration;

use yrs::updates::decoder::Decode;
use yrs::{Doc, GetString, ReadTxn, Text, Transact, Update, WriteTxn};

use super::line::TableLine;
use super::world::{self, NOTE, World, user_id};
use crate::macro_bench::frame::{self, push_masked};
use crate::macro_bench::process::Process;
use crate::macro_bench::scenario::{Scale, unexpected};
use crate::macro_bench::swarm::{Inflow, Swarm};

/// Both protocols, each with a document of its own program.
pub(super) fn measure(world: &World, scale: Scale) -> io::Result<Vec<TableLine>> {
    let (rounds, updates) = if scale == Scale::Quick { (1, 40) } else { (7, 2000) };
    let mut lines = Vec::new();
    let process = world.start()?;
    let mut typist = Typist::new(1);
    let mut editors = Editors::of_application(&process)?;
    for in_flight in [1, 8] {
        let mut costs = Vec::new();
        for _ in 0..=rounds {
            costs.push(editors.round(&mut typist, updates, in_flight)?);
        }
        // The first warms up.
        costs.remove(0);
        let title =
            format!("an update of a note to one of {MEMBERS} members, `ydoc:*`, {in_flight} in flight, per delivery");
        lines.push(TableLine::of_rounds(title, costs).with_goal("4 µs"));
    }
    let mut providers = Editors::of_providers(&process)?;
    drop(editors);
    let mut costs = Vec::new();
    for _ in 0..=rounds {
        costs.push(providers.round(&mut typist, updates, 1)?);
    }
    costs.remove(0);
    let title = format!("an update of a note to one of {MEMBERS} members, y-protocols, 1 in flight, per delivery");
    lines.push(TableLine::of_rounds(title, costs).with_goal("4 µs"));
    check(&process, &typist)?;
    Ok(lines)
}

/// A writer who types a letter at a time at changing places.
struct Typist {
    doc: Doc,
    place: u32,
    typed: u32,
}

impl Typist {
    fn new(client: u64) -> Self {
        Self { doc: Doc::with_client_id(client), place: 0, typed: 0 }
    }

    fn update(&mut self) -> Vec<u8> {
        let mut txn = self.doc.transact_mut();
        let before = txn.state_vector();
        let text = txn.get_or_insert_text(TEXT);
        let len = text.len(&txn);
        if self.typed.is_multiple_of(40) {
            self.place = self.typed.wrapping_mul(2_654_435_761) % (len + 1);
        }
        text.insert(&mut txn, self.place, "x");
        self.place += 1;
        self.typed += 1;
        txn.encode_diff_v1(&before)
    }

    fn text(&self) -> String {
        let txn = self.doc.transact();
        txn.get_text(TEXT).map_or_else(String::new, |text| text.get_string(&txn))
    }
}

/// Connections to one document; the first one types.
struct Editors<'a> {
    process: &'a Process,
    swarm: Swarm,
    protocol: Protocol,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Application,
    Sync,
}

impl<'a> Editors<'a> {
    fn of_application(process: &'a Process) -> io::Result<Self> {
        let mut swarm = Swarm::new(world::address(process))?;
        swarm.begin_round();
        for editor in 0..MEMBERS {
            let conn = swarm.open_websocket(world::SOCKET_IO)?;
            let (token, join) = (World::token(editor), join_event(editor));
            let mut is_in = false;
            while !is_in {
                swarm.turn(|from, received, reply| {
                    let Inflow::Text(text) = received else { return Err(unexpected(b"a text", &received)) };
                    if from != conn {
                        // A member has joined.
                        return Ok(());
                    }
                    if text.starts_with(b"0{") {
                        let connect = format!(r#"40{{"token":"{token}"}}"#);
                        push_masked(&mut reply.bytes, frame::TEXT, connect.as_bytes());
                    } else if text.starts_with(b"40{") {
                        push_masked(&mut reply.bytes, frame::TEXT, join.as_bytes());
                    } else if text.starts_with(br#"42["ydoc:document:state""#) {
                        is_in = true;
                    } else {
                        return Err(unexpected(b"a state", &received));
                    }
                    Ok(())
                })?;
            }
        }
        // What was said to some about the others.
        thread::sleep(SETTLE_SPAN);
        swarm.drain()?;
        Ok(Self { process, swarm, protocol: Protocol::Application })
    }

    fn of_providers(process: &'a Process) -> io::Result<Self> {
        let mut swarm = Swarm::new(world::address(process))?;
        swarm.begin_round();
        for editor in 0..MEMBERS {
            let target = format!("/ws/yjs/note:{NOTE}?token={}", World::token(editor));
            let conn = swarm.open_websocket(&target)?;
            let mut out = Vec::new();
            // It has nothing: the server's whole state comes.
            push_masked(&mut out, frame::BINARY, &[0, 0, 1, 0]);
            swarm.send(conn, &out)?;
            let mut is_in = false;
            while !is_in {
                swarm.turn(|from, received, _| {
                    let Inflow::Binary(message) = received else { return Err(unexpected(b"bytes", &received)) };
                    is_in |= from == conn && message.starts_with(&[0, 1]);
                    Ok(())
                })?;
            }
        }
        thread::sleep(SETTLE_SPAN);
        swarm.drain()?;
        Ok(Self { process, swarm, protocol: Protocol::Sync })
    }

    /// CPU time per delivery, in nanoseconds.
    fn round(&mut self, typist: &mut Typist, updates: usize, in_flight: usize) -> io::Result<f64> {
        let Self { process, swarm, protocol } = self;
        thread::sleep(SETTLE_SPAN);
        let cpu = process.cpu()?;
        swarm.begin_round();
        let mut out = Vec::new();
        let mut sent = 0;
        while sent < updates {
            out.clear();
            let batch = in_flight.min(updates - sent);
            for _ in 0..batch {
                let (opcode, message) = protocol.message(&typist.update());
                push_masked(&mut out, opcode, &message);
            }
            swarm.send(0, &out)?;
            sent += batch;
            let mut missing = batch * (MEMBERS - 1);
            while missing > 0 {
                swarm.turn(|from, received, _| {
                    if from == 0 || !protocol.is_update(&received) {
                        return Err(unexpected(b"an update for another member", &received));
                    }
                    missing -= 1;
                    Ok(())
                })?;
            }
        }
        let cost = process.cpu()?.saturating_sub(cpu);
        Ok(cost.as_nanos() as f64 / (updates * (MEMBERS - 1)) as f64)
    }
}

impl Protocol {
    fn message(self, update: &[u8]) -> (u8, Vec<u8>) {
        match self {
            Self::Application => {
                let numbers: Vec<_> = update.iter().map(u8::to_string).collect();
                let (user, numbers) = (user_id(0), numbers.join(","));
                let event = format!(
                    r#"42["ydoc:document:update",{{"document_id":"note:{NOTE}","user_id":"{user}","update":[{numbers}]}}]"#
                );
                (frame::TEXT, event.into_bytes())
            }
            Self::Sync => {
                let mut message = vec![0, 2];
                push_length(&mut message, update.len());
                message.extend(update);
                (frame::BINARY, message)
            }
        }
    }

    fn is_update(self, received: &Inflow<'_>) -> bool {
        match (self, received) {
            (Self::Application, Inflow::Text(text)) => text.starts_with(br#"42["ydoc:document:update""#),
            (Self::Sync, Inflow::Binary(message)) => message.starts_with(&[0, 2]),
            (Self::Application | Self::Sync, Inflow::Text(_) | Inflow::Binary(_) | Inflow::Left) => false,
        }
    }
}

/// A member who joins last sees what was typed.
fn check(process: &Process, typist: &Typist) -> io::Result<()> {
    let mut swarm = Swarm::new(world::address(process))?;
    swarm.begin_round();
    swarm.open_websocket(&format!("/ws/yjs/note:{NOTE}?token={}", World::token(0)))?;
    let mut out = Vec::new();
    push_masked(&mut out, frame::BINARY, &[0, 0, 1, 0]);
    swarm.send(0, &out)?;
    let mut state = None;
    while state.is_none() {
        swarm.turn(|_, received, _| {
            if let Inflow::Binary([0, 1, rest @ ..]) = received {
                let digits = rest.iter().position(|byte| *byte < 0x80).map_or(0, |last| last + 1);
                state = Some(rest[digits..].to_vec());
            }
            Ok(())
        })?;
    }
    let doc = Doc::new();
    let text = Update::decode_v1(&state.unwrap_or_default()).map_err(io::Error::other).and_then(|update| {
        let mut txn = doc.transact_mut();
        txn.apply_update(update).map_err(io::Error::other)?;
        Ok(txn.get_or_insert_text(TEXT).get_string(&txn))
    })?;
    if text == typist.text() { Ok(()) } else { Err(io::Error::other("who comes last sees another text")) }
}

fn join_event(editor: usize) -> String {
    let user = user_id(editor);
    format!(
        r##"42["ydoc:document:join",{{"document_id":"note:{NOTE}","user_id":"{user}","user_name":"x","user_color":"#000000"}}]"##
    )
}

/// As lib0 writes numbers.
fn push_length(out: &mut Vec<u8>, mut length: usize) {
    while length > 0x7f {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

const MEMBERS: usize = 50;
const TEXT: &str = "text";
const SETTLE_SPAN: Duration = Duration::from_millis(300);
