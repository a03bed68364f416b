//! Sessions in channels of ten: all connect at once, send heartbeats, and type.
//!
//! Owns: these loads, and the check of every answer. Must never know: how the program is started.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::line::TableLine;
use super::world::{self, CHANNEL_MEMBERS, World, channel_of};
use crate::macro_bench::frame::{self, push_masked};
use crate::macro_bench::process::Process;
use crate::macro_bench::report::micros;
use crate::macro_bench::scenario::{Scale, unexpected};
use crate::macro_bench::swarm::{Inflow, NextSend, Swarm};

/// Runs the loads, one after another, on the same sessions.
pub(super) fn measure(world: &World, scale: Scale) -> io::Result<Vec<TableLine>> {
    let (rounds, writes_span) = if scale == Scale::Quick { (1, Duration::ZERO) } else { (5, WRITES_SPAN) };
    let mut lines = Vec::new();
    let process = world.start()?;
    let crowd = Crowd::storm(&process, world)?;
    let sessions = world.users as f64;
    lines.push(TableLine::new(
        format!("memory of a session ({} of them, in {} channels)", world.users, world.users / CHANNEL_MEMBERS),
        format!("{:.1} KiB", crowd.grown_bytes as f64 / sessions / 1024.0),
    ));
    drop(crowd);
    drop(process);

    let process = world.start()?;
    let mut crowd = Crowd::storm(&process, world)?;
    lines.push(TableLine::new(
        "all come back at once after a restart: open, CONNECT with token, `user-join`, per session",
        format!(
            "{} µs; {:.1} s until the last is in",
            micros(crowd.storm_cpu.as_nanos() as f64 / sessions),
            crowd.storm_span.as_secs_f64()
        ),
    ));
    let mut costs = Vec::new();
    for _ in 0..rounds {
        costs.push(crowd.round(writes_span, 1, |_| br#"420["heartbeat",{}]"#.to_vec(), |_, text| text == b"430[]")?);
    }
    lines
        .push(TableLine::of_rounds("a `heartbeat` of every session, with its ack and its write, per heartbeat", costs));
    let mut costs = Vec::new();
    for round in 0..rounds {
        let typing = if round % 2 == 0 { "true" } else { "false" };
        let event = |user| {
            let channel = channel_of(user);
            let data = format!(r#"{{"type":"typing","data":{{"typing":{typing}}}}}"#);
            format!(r#"42["events:channel",{{"channel_id":"{channel}","message_id":null,"data":{data}}}]"#).into_bytes()
        };
        let wanted = |user, text: &[u8]| {
            let head = format!(r#"42["events:channel",{{"channel_id":"{}","#, channel_of(user));
            text.starts_with(head.as_bytes())
        };
        costs.push(crowd.round(TYPING_SPAN, CHANNEL_MEMBERS, event, wanted)?);
    }
    lines.push(TableLine::of_rounds("typing of every session, to the ten of the channel, per delivery", costs));
    Ok(lines)
}

/// Sessions, one per user; the number of a connection is that of its user.
struct Crowd<'a> {
    process: &'a Process,
    swarm: Swarm,
    users: usize,
    storm_cpu: Duration,
    storm_span: Duration,
    grown_bytes: u64,
}

impl<'a> Crowd<'a> {
    fn storm(process: &'a Process, world: &World) -> io::Result<Self> {
        thread::sleep(SETTLE_SPAN);
        let tokens: Vec<String> = (0..world.users).map(World::token).collect();
        let mut swarm = Swarm::new(world::address(process))?;
        swarm.begin_round();
        let (memory, cpu, at) = (process.memory()?, process.cpu()?, Instant::now());
        let mut joined = 0;
        let mut turn = |swarm: &mut Swarm| {
            swarm.turn(|user, received, reply| {
                joined += usize::from(step_in(&tokens[user], &received, reply)?);
                Ok(())
            })?;
            Ok::<_, io::Error>(joined)
        };
        for opened in 1..=world.users {
            swarm.open_websocket(world::SOCKET_IO)?;
            if opened % OPENED_PER_TURN == 0 {
                turn(&mut swarm)?;
            }
        }
        // The last one cannot be in yet: it has only just been opened.
        while turn(&mut swarm)? < world.users {}
        let storm_span = at.elapsed();
        thread::sleep(SETTLE_SPAN);
        let storm_cpu = process.cpu()?.saturating_sub(cpu);
        let grown_bytes = process.memory()?.rss_bytes.saturating_sub(memory.rss_bytes);
        Ok(Self { process, swarm, users: world.users, storm_cpu, storm_span, grown_bytes })
    }

    /// Every session sends something, and gets so many answers that are as wanted. What the program does for it within `span`
    /// is its cost, in nanoseconds per answer.
    fn round(
        &mut self,
        span: Duration,
        answers: usize,
        event: impl Fn(usize) -> Vec<u8>,
        wanted: impl Fn(usize, &[u8]) -> bool,
    ) -> io::Result<f64> {
        let (cpu, begun) = (self.process.cpu()?, Instant::now());
        let Self { swarm, users, .. } = self;
        swarm.begin_round();
        let mut missing = vec![answers; *users];
        let mut all = answers * *users;
        let mut left = all;
        let mut out = Vec::new();
        let mut turn = |swarm: &mut Swarm| {
            swarm.turn(|user, received, _| match received {
                Inflow::Text(text) if missing[user] > 0 && wanted(user, text) => {
                    missing[user] -= 1;
                    all -= 1;
                    Ok(())
                }
                Inflow::Text(_) | Inflow::Binary(_) | Inflow::Left => Err(unexpected(b"what was wanted", &received)),
            })?;
            Ok::<_, io::Error>(all)
        };
        for user in 0..*users {
            out.clear();
            push_masked(&mut out, frame::TEXT, &event(user));
            swarm.send(user, &out)?;
            if user % SENT_PER_TURN == SENT_PER_TURN - 1 {
                left = turn(swarm)?;
            }
        }
        // One more turn than needed would wait for a message that never comes.
        while left > 0 {
            left = turn(swarm)?;
        }
        thread::sleep(span.saturating_sub(begun.elapsed()));
        let cost = self.process.cpu()?.saturating_sub(cpu);
        Ok(cost.as_nanos() as f64 / (answers * self.users) as f64)
    }
}

/// As the front end does it; `true` once it is in.
fn step_in(token: &str, received: &Inflow<'_>, reply: &mut NextSend) -> io::Result<bool> {
    let text = match received {
        Inflow::Text(text) => *text,
        Inflow::Binary(_) | Inflow::Left => return Err(unexpected(b"a text", received)),
    };
    if text.starts_with(b"0{") {
        let connect = format!(r#"40{{"token":"{token}"}}"#);
        push_masked(&mut reply.bytes, frame::TEXT, connect.as_bytes());
    } else if text.starts_with(b"40{") {
        let join = format!(r#"420["user-join",{{"auth":{{"token":"{token}"}}}}]"#);
        push_masked(&mut reply.bytes, frame::TEXT, join.as_bytes());
    } else if text.starts_with(br#"430[{"id":"#) {
        return Ok(true);
    } else {
        return Err(unexpected(b"0{, 40{ or 430[", received));
    }
    Ok(false)
}

const OPENED_PER_TURN: usize = 100;
const SENT_PER_TURN: usize = 100;
const SETTLE_SPAN: Duration = Duration::from_millis(500);
/// Longer than the program holds back writes of when a user was last active.
const WRITES_SPAN: Duration = Duration::from_secs(12);
/// Longer than a socket must wait before it may type again.
const TYPING_SPAN: Duration = Duration::from_millis(600);
