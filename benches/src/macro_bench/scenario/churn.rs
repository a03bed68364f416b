//! Connections that come and go: WebSocket, Engine.IO open, CONNECT, and away again.

use std::io;

use super::join::{unexpected, websocket_target};
use super::workload::Workload;
use crate::macro_bench::frame::{self, push_masked};
use crate::macro_bench::process::Process;
use crate::macro_bench::swarm::{Inflow, Swarm};

/// Visitors, some at a time.
pub(super) struct Churn {
    swarm: Swarm,
    target: String,
    at_a_time: usize,
}

impl Churn {
    pub(super) fn new(process: &Process, at_a_time: usize) -> io::Result<Self> {
        Ok(Self { swarm: Swarm::new(process.address)?, target: websocket_target(process.kind, "visit"), at_a_time })
    }
}

impl Workload for Churn {
    fn round(&mut self, connections: usize) -> io::Result<usize> {
        let Self { swarm, target, at_a_time } = self;
        swarm.begin_round();
        let (mut opened, mut left) = (0, 0);
        while left < connections {
            while opened < connections && opened - left < *at_a_time {
                swarm.open_websocket(target)?;
                opened += 1;
            }
            swarm.turn(|_, received, reply| {
                match received {
                    Inflow::Text(text) if text.starts_with(b"0{") => {
                        push_masked(&mut reply.bytes, frame::TEXT, b"40");
                    }
                    Inflow::Text(text) if text.starts_with(b"40{") => reply.leaves = true,
                    Inflow::Left => left += 1,
                    Inflow::Text(_) | Inflow::Binary(_) => return Err(unexpected(b"0{ or 40{", &received)),
                }
                Ok(())
            })?;
        }
        Ok(left)
    }
}
