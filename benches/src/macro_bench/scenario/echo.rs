//! Acks: each client has one question in flight and asks the next when the answer is there.

use std::io;

use super::join::{JoinedClients, unexpected};
use super::workload::Workload;
use crate::macro_bench::frame::{self, push_masked};
use crate::macro_bench::process::Process;
use crate::macro_bench::subject::ProcessKind;
use crate::macro_bench::swarm::Inflow;
use crate::macro_bench::template::{Template, payload};

/// Clients that ask.
pub(super) struct Echo {
    audience: JoinedClients,
    kind: ProcessKind,
    conns: Vec<usize>,
    question: Template,
    answer: Template,
    /// For each connection the number of its question in flight.
    asked: Vec<usize>,
}

/// What a bare loop answers.
pub(super) fn message() -> String {
    Template::new(&answer_text()).first()
}

pub(super) fn question_text() -> String {
    format!(r#"42########["echo","{}"]"#, payload())
}

pub(super) fn answer_text() -> String {
    format!(r#"43########["{}"]"#, payload())
}

impl Echo {
    pub(super) fn new(process: &Process, clients: usize) -> io::Result<Self> {
        let mut audience = JoinedClients::new(process)?;
        let conns = audience.join(&vec![("e".to_owned(), "echo".to_owned()); clients])?;
        let asked = vec![0; conns.iter().max().map_or(0, |last| last + 1)];
        let (question, answer) = (Template::new(&question_text()), Template::new(&answer_text()));
        Ok(Self { audience, kind: process.kind, conns, question, answer, asked })
    }
}

impl Workload for Echo {
    fn round(&mut self, messages: usize) -> io::Result<usize> {
        let Self { audience: JoinedClients { swarm, .. }, kind, conns, question, answer, asked } = self;
        swarm.begin_round();
        let mut out = Vec::new();
        let mut sent = 0;
        let mut answered = 0;
        for conn in conns.iter().take(messages) {
            out.clear();
            asked[*conn] += 1;
            push_masked(&mut out, frame::TEXT, question.at(ProcessKind::Server, asked[*conn]));
            swarm.send(*conn, &out)?;
            sent += 1;
        }
        while answered < messages {
            swarm.turn(|conn, received, reply| {
                let expected = answer.at(*kind, asked[conn]);
                if received != Inflow::Text(expected) {
                    return Err(unexpected(expected, &received));
                }
                answered += 1;
                if sent < messages {
                    sent += 1;
                    asked[conn] += 1;
                    push_masked(&mut reply.bytes, frame::TEXT, question.at(ProcessKind::Server, asked[conn]));
                }
                Ok(())
            })?;
        }
        Ok(answered)
    }
}
