//! The polling transport: per session one keep-alive connection that posts an event and fetches its ack, in turn.

use std::io;

use super::echo::{answer_text, question_text};
use super::join::unexpected;
use super::workload::Workload;
use crate::macro_bench::http::{get_request, post_request};
use crate::macro_bench::process::Process;
use crate::macro_bench::subject::ProcessKind;
use crate::macro_bench::swarm::{Inflow, Swarm};
use crate::macro_bench::template::Template;

/// Sessions that poll.
pub(super) struct PollingSessions {
    swarm: Swarm,
    kind: ProcessKind,
    clients: Vec<Client>,
    answer: Template,
}

struct Client {
    get: Vec<u8>,
    post: Template,
    asked: usize,
    fetches: bool,
}

impl PollingSessions {
    pub(super) fn new(process: &Process, sessions: usize) -> io::Result<Self> {
        let mut swarm = Swarm::new(process.address)?;
        for _ in 0..sessions {
            swarm.open_http()?;
        }
        let targets = match process.kind {
            ProcessKind::Server => shake_hands(&mut swarm, process, sessions)?,
            ProcessKind::Bare => vec!["/socket.io/?http".to_owned(); sessions],
        };
        let client = |target: &String| Client {
            get: get_request(process.address, target).into_bytes(),
            post: Template::new(&post_request(process.address, target, &question_text())),
            asked: 0,
            fetches: false,
        };
        let clients = targets.iter().map(client).collect();
        Ok(Self { swarm, kind: process.kind, clients, answer: Template::new(&answer_text()) })
    }
}

impl Workload for PollingSessions {
    fn round(&mut self, requests: usize) -> io::Result<usize> {
        let Self { swarm, kind, clients, answer } = self;
        swarm.begin_round();
        // Whole cycles, the same number for each session.
        let cycles = (requests / 2).div_ceil(clients.len());
        let requests = cycles * 2 * clients.len();
        let until = clients.first().map_or(0, |client| client.asked + cycles);
        for (conn, client) in clients.iter_mut().enumerate() {
            client.asked += 1;
            swarm.send(conn, client.post.at(ProcessKind::Server, client.asked))?;
        }
        let mut answered = 0;
        while answered < requests {
            swarm.turn(|conn, received, reply| {
                let client = &mut clients[conn];
                if client.fetches && received == Inflow::Text(PING) {
                    reply.bytes.extend(&client.get);
                    return Ok(());
                }
                let expected = if client.fetches { answer.at(*kind, client.asked) } else { b"ok" };
                if received != Inflow::Text(expected) {
                    return Err(unexpected(expected, &received));
                }
                answered += 1;
                client.fetches = !client.fetches;
                if client.fetches {
                    reply.bytes.extend(&client.get);
                } else if client.asked < until {
                    client.asked += 1;
                    reply.bytes.extend(client.post.at(ProcessKind::Server, client.asked));
                }
                Ok(())
            })?;
        }
        Ok(answered)
    }
}

/// Opens the sessions and connects them; returns the request target of each.
fn shake_hands(swarm: &mut Swarm, process: &Process, sessions: usize) -> io::Result<Vec<String>> {
    let host = process.address;
    let open = get_request(host, TARGET);
    let opened = exchange(swarm, &vec![open; sessions], b"0{")?;
    let targets =
        opened.iter().map(|body| Ok(format!("{TARGET}&sid={}", sid(body)?))).collect::<io::Result<Vec<_>>>()?;
    let connects: Vec<_> = targets.iter().map(|target| post_request(host, target, "40")).collect();
    exchange(swarm, &connects, b"ok")?;
    let polls: Vec<_> = targets.iter().map(|target| get_request(host, target)).collect();
    exchange(swarm, &polls, b"40{")?;
    Ok(targets)
}

/// One request on each connection, and its answer.
fn exchange(swarm: &mut Swarm, requests: &[String], beginning: &[u8]) -> io::Result<Vec<String>> {
    for (conn, request) in requests.iter().enumerate() {
        swarm.send(conn, request.as_bytes())?;
    }
    let mut bodies = vec![String::new(); requests.len()];
    let mut missing = requests.len();
    while missing > 0 {
        swarm.turn(|conn, received, reply| match received {
            Inflow::Text(PING) => {
                reply.bytes.extend(requests[conn].as_bytes());
                Ok(())
            }
            Inflow::Text(text) => {
                let text = text.strip_prefix(PING_AND_MORE).unwrap_or(text);
                if !text.starts_with(beginning) || !bodies[conn].is_empty() {
                    return Err(unexpected(beginning, &received));
                }
                bodies[conn] = String::from_utf8_lossy(text).into_owned();
                missing -= 1;
                Ok(())
            }
            Inflow::Binary(_) | Inflow::Left => Err(unexpected(beginning, &received)),
        })?;
    }
    Ok(bodies)
}

fn sid(open_packet: &str) -> io::Result<String> {
    let open: serde_json::Value = serde_json::from_str(&open_packet[1..]).map_err(io::Error::other)?;
    let sid = open["sid"].as_str().ok_or_else(|| io::Error::other("an open packet without a sid"))?;
    Ok(sid.to_owned())
}

/// socketioxide pings a polling session with its first answer, alone or ahead of another packet. It needs no pong here.
const PING: &[u8] = b"2";
const PING_AND_MORE: &[u8] = b"2\x1e";
const TARGET: &str = "/socket.io/?EIO=4&transport=polling";
