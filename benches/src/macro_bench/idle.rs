//! Memory of idle clients: growth of a process over many WebSocket connections that are in one room and silent.

use std::io;
use std::thread;
use std::time::Duration;

use serde::Serialize;

use super::frame::{self, push_masked};
use super::process::{Cores, MemoryUse, Process};
use super::scenario::{JoinedClients, Scale};
use super::subject::Subject;
use super::swarm::Inflow;
use super::template::{Template, payload};

/// Its name on the command line.
pub(super) const NAME: &str = "idle";
/// Its name in the table.
pub(super) const TITLE: &str = "an idle WebSocket client in one room";
/// What the project wants to reach, in bytes per connection.
pub(super) const GOAL_BYTES: f64 = 2048.0;

/// Memory of one subject.
#[derive(Debug, Serialize)]
pub(super) struct IdleMemory {
    name: String,
    connections: usize,
    before_bytes: u64,
    rss_bytes_per_connection: f64,
    pss_bytes_per_connection: f64,
}

impl IdleMemory {
    /// A cell of the table.
    pub(super) fn cell(&self) -> String {
        let kib = |bytes: f64| bytes / 1024.0;
        format!("{:.1} KiB (Pss {:.1})", kib(self.rss_bytes_per_connection), kib(self.pss_bytes_per_connection))
    }
}

/// 10,000, or as many as the system lets one process open.
pub(super) fn connections(scale: Scale, descriptors_max: u64) -> usize {
    let wanted = match scale {
        Scale::Full => 10_000,
        Scale::Quick => 200,
    };
    let possible = usize::try_from(descriptors_max).unwrap_or(usize::MAX).saturating_sub(DESCRIPTORS_SPARE);
    if possible < wanted {
        eprintln!("macro bench: only {possible} of {wanted} connections, the limit of open files is {descriptors_max}");
    }
    wanted.min(possible)
}

/// Opens the connections in batches of 100 and compares the memory before the first with the memory after the last. At
/// the end one broadcast shows that every one of them is in the room.
pub(super) fn measure(subject: &Subject, connections: usize, cores: &Cores) -> io::Result<IdleMemory> {
    let mut answer = Template::new(&format!(r#"42["msg","{}"]"#, payload()));
    let process = Process::start(subject, &answer.first(), cores)?;
    let (before, after) = grow(&process, connections, answer.first().as_bytes())
        .map_err(|fault| io::Error::new(fault.kind(), format!("{}: {fault}", subject.name)))?;
    let per_connection = |before: u64, after: u64| after.saturating_sub(before) as f64 / connections as f64;
    Ok(IdleMemory {
        name: subject.name.clone(),
        connections,
        before_bytes: before.rss_bytes,
        rss_bytes_per_connection: per_connection(before.rss_bytes, after.rss_bytes),
        pss_bytes_per_connection: per_connection(before.pss_bytes, after.pss_bytes),
    })
}

fn grow(process: &Process, connections: usize, answer: &[u8]) -> io::Result<(MemoryUse, MemoryUse)> {
    let mut audience = JoinedClients::new(process)?;
    thread::sleep(SETTLE_TIME);
    let before = process.memory()?;
    audience.join(&vec![("r".to_owned(), "in=0".to_owned()); connections])?;
    thread::sleep(SETTLE_TIME);
    let after = process.memory()?;
    let sender = audience.join(&[("s".to_owned(), "to=0".to_owned())])?;
    let mut question = Template::new(&format!(r#"42["broadcast","{}"]"#, payload()));
    let mut out = Vec::new();
    push_masked(&mut out, frame::TEXT, question.first().as_bytes());
    audience.swarm.begin_round();
    audience.swarm.send(sender[0], &out)?;
    let mut missing = connections;
    while missing > 0 {
        audience.swarm.turn(|_, received, _| match received {
            Inflow::Text(text) if text == answer && missing > 0 => {
                missing -= 1;
                Ok(())
            }
            Inflow::Text(_) | Inflow::Binary(_) | Inflow::Left => {
                Err(io::Error::other(format!("no broadcast: {received:?}")))
            }
        })?;
    }
    Ok((before, after))
}

const SETTLE_TIME: Duration = Duration::from_secs(1);
/// Epoll, listener, pipes, libraries.
const DESCRIPTORS_SPARE: usize = 200;
