//! What is measured: each scenario drives one process through a [`Workload`], the same way for a server and the bare loop.
//!
//! Owns: which messages are sent when, and the check of every answer. Must never know: clocks and ratios.

mod casts;
mod churn;
mod echo;
mod join;
mod polling;
mod workload;

use std::io;

use super::process::Process;

pub(super) use join::{JoinedClients, unexpected};
pub(super) use workload::Workload;

/// The description of a scenario, and how to start it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scenario {
    /// Its name on the command line.
    pub(super) name: &'static str,
    /// Its name in the table.
    pub(super) title: &'static str,
    /// What the cost is counted by.
    pub(super) unit: &'static str,
    /// What the project wants to reach.
    pub(super) goal: Goal,
    work: ScenarioWork,
    full: Size,
    quick: Size,
}

/// A bound for the result.
#[derive(Debug, Clone, Copy)]
pub(super) enum Goal {
    /// Cost divided by the cost of the bare loop.
    Ratio(f64),
    /// CPU time of a unit in µs.
    Micros(f64),
}

#[derive(Debug, Clone, Copy)]
enum ScenarioWork {
    FanOut { in_flight: usize },
    Echo,
    Rooms,
    Churn,
    Polling,
}

/// How many clients, and how many messages a round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    clients: usize,
    pub(super) messages: usize,
}

/// Whether figures are wanted or only a look whether everything works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    Full,
    Quick,
}

impl Scenario {
    pub(super) fn size(&self, scale: Scale) -> Size {
        match scale {
            Scale::Full => self.full,
            Scale::Quick => self.quick,
        }
    }

    /// The text of the frame that the bare loop writes.
    pub(super) fn bare_message(&self) -> String {
        match self.work {
            ScenarioWork::FanOut { .. } => casts::fan_out_message(),
            ScenarioWork::Rooms => casts::room_message(),
            ScenarioWork::Echo | ScenarioWork::Polling => echo::message(),
            ScenarioWork::Churn => String::new(),
        }
    }

    /// Connects the clients.
    pub(super) fn begin(&self, process: &Process, scale: Scale) -> io::Result<Box<dyn Workload>> {
        let clients = self.size(scale).clients;
        Ok(match self.work {
            ScenarioWork::FanOut { in_flight } => Box::new(casts::fan_out(process, clients, in_flight)?),
            ScenarioWork::Rooms => Box::new(casts::rooms(process, clients)?),
            ScenarioWork::Echo => Box::new(echo::Echo::new(process, clients)?),
            ScenarioWork::Churn => Box::new(churn::Churn::new(process, clients)?),
            ScenarioWork::Polling => Box::new(polling::PollingSessions::new(process, clients)?),
        })
    }
}

/// Every scenario that counts CPU time.
pub(super) const SCENARIOS: [Scenario; 6] = [
    Scenario {
        name: "fan-out-1",
        title: "one message in flight to 1,000 members",
        unit: "delivery",
        goal: Goal::Ratio(1.10),
        work: ScenarioWork::FanOut { in_flight: 1 },
        full: Size { clients: 1000, messages: 200 },
        quick: Size { clients: 50, messages: 20 },
    },
    Scenario {
        name: "fan-out-32",
        title: "32 messages in flight to 1,000 members",
        unit: "delivery",
        goal: Goal::Ratio(1.30),
        work: ScenarioWork::FanOut { in_flight: 32 },
        full: Size { clients: 1000, messages: 960 },
        quick: Size { clients: 50, messages: 96 },
    },
    Scenario {
        name: "ack-echo",
        title: "ack echo, 100 clients",
        unit: "ack",
        goal: Goal::Ratio(1.25),
        work: ScenarioWork::Echo,
        full: Size { clients: 100, messages: 60_000 },
        quick: Size { clients: 10, messages: 100 },
    },
    Scenario {
        name: "rooms-of-ten",
        title: "rooms of ten, 100 rooms",
        unit: "delivery",
        goal: Goal::Ratio(1.20),
        work: ScenarioWork::Rooms,
        full: Size { clients: 1000, messages: 12_000 },
        quick: Size { clients: 50, messages: 100 },
    },
    Scenario {
        name: "churn",
        title: "connect and leave",
        unit: "connection",
        goal: Goal::Ratio(1.40),
        work: ScenarioWork::Churn,
        full: Size { clients: 32, messages: 3000 },
        quick: Size { clients: 8, messages: 40 },
    },
    Scenario {
        name: "polling",
        title: "polling request, 100 sessions",
        unit: "request",
        goal: Goal::Micros(5.0),
        work: ScenarioWork::Polling,
        full: Size { clients: 100, messages: 20_000 },
        quick: Size { clients: 10, messages: 60 },
    },
];
