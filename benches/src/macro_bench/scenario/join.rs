//! Brings WebSocket clients into their rooms, a batch at a time.

use std::io;

use crate::macro_bench::frame::{self, push_masked};
use crate::macro_bench::process::Process;
use crate::macro_bench::subject::ProcessKind;
use crate::macro_bench::swarm::{Inflow, Swarm};

/// Clients that are in their rooms.
pub(crate) struct JoinedClients {
    pub(crate) swarm: Swarm,
    kind: ProcessKind,
}

impl JoinedClients {
    pub(crate) fn new(process: &Process) -> io::Result<Self> {
        Ok(Self { swarm: Swarm::new(process.address)?, kind: process.kind })
    }

    /// Opens one client per entry: WebSocket, Engine.IO open, CONNECT, then `join` of the room. The second half of an
    /// entry tells a bare loop what the connection is for. Returns the connections in order.
    pub(crate) fn join(&mut self, clients: &[(String, String)]) -> io::Result<Vec<usize>> {
        self.swarm.begin_round();
        let mut conns = Vec::with_capacity(clients.len());
        for batch in clients.chunks(BATCH) {
            let first = conns.len();
            for (_, purpose) in batch {
                conns.push(self.swarm.open_websocket(&websocket_target(self.kind, purpose))?);
            }
            self.expect(batch.len(), b"0{")?;
            for conn in &conns[first..] {
                self.send(*conn, "40")?;
            }
            self.expect(batch.len(), b"40{")?;
            for (conn, (room, _)) in conns[first..].iter().zip(batch) {
                self.send(*conn, &format!(r#"420["join","{room}"]"#))?;
            }
            self.expect(batch.len(), br#"430["ok"]"#)?;
        }
        Ok(conns)
    }

    fn send(&mut self, conn: usize, text: &str) -> io::Result<()> {
        let mut bytes = Vec::new();
        push_masked(&mut bytes, frame::TEXT, text.as_bytes());
        self.swarm.send(conn, &bytes)
    }

    fn expect(&mut self, clients: usize, beginning: &[u8]) -> io::Result<()> {
        let mut missing = clients;
        while missing > 0 {
            self.swarm.turn(|_, received, _| match received {
                Inflow::Text(text) if text.starts_with(beginning) && missing > 0 => {
                    missing -= 1;
                    Ok(())
                }
                Inflow::Text(_) | Inflow::Binary(_) | Inflow::Left => Err(unexpected(beginning, &received)),
            })?;
        }
        Ok(())
    }
}

pub(super) fn websocket_target(kind: ProcessKind, purpose: &str) -> String {
    match kind {
        ProcessKind::Server => "/socket.io/?EIO=4&transport=websocket".to_owned(),
        ProcessKind::Bare => format!("/socket.io/?EIO=4&transport=websocket&{purpose}"),
    }
}

/// The fault of an answer that is not the one which had to come.
pub(crate) fn unexpected(expected: &[u8], received: &Inflow<'_>) -> io::Error {
    let received = match received {
        Inflow::Text(text) | Inflow::Binary(text) => String::from_utf8_lossy(text),
        Inflow::Left => "the end of the connection".into(),
    };
    io::Error::other(format!("expected {}, received {received}", String::from_utf8_lossy(expected)))
}

/// Below every listen queue in use.
const BATCH: usize = 100;
