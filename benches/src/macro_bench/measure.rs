//! Rounds: every process in turn, around again, and a ratio for each round.

use std::io;
use std::thread;
use std::time::Duration;

use super::process::{Cores, Process};
use super::quiet::QuietWatch;
use super::report::{Costs, Spread, SubjectCosts};
use super::scenario::{Scale, Scenario, Workload};
use super::subject::Subject;

/// How many rounds are wanted, and how often one may be tried until the machine did nothing else meanwhile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rounds {
    pub(super) wanted: usize,
    pub(super) tries_max: usize,
}

/// Runs one scenario on the bare loop and every subject, interleaved.
pub(super) fn measure(
    scenario: &Scenario,
    subjects: &[Subject],
    scale: Scale,
    rounds: Rounds,
    cores: &Cores,
) -> io::Result<Costs> {
    let message = scenario.bare_message();
    let mut lanes = Vec::with_capacity(subjects.len() + 1);
    let bare = Subject::bare("bare loop")?;
    for subject in [&bare].into_iter().chain(subjects) {
        lanes.push(Lane::begin(Process::start(subject, &message, cores)?, scenario, scale)?);
    }
    let (costs, disturbed) = run(&mut lanes, scenario.size(scale).messages, rounds)?;
    let lane_costs = |lane: usize| costs.iter().map(|round| round[lane]).collect::<Vec<f64>>();
    let compared = |(index, lane): (usize, &Lane)| SubjectCosts {
        name: lane.process.name.clone(),
        cost_ns: Spread::of(&lane_costs(index)),
        ratio: Spread::of(&costs.iter().map(|round| round[index] / round[0]).collect::<Vec<_>>()),
    };
    Ok(Costs {
        scenario: scenario.name,
        title: scenario.title,
        unit: scenario.unit,
        goal: scenario.goal,
        rounds: costs.len(),
        rounds_disturbed: disturbed,
        bare_ns: Spread::of(&lane_costs(0)),
        subjects: lanes.iter().enumerate().skip(1).map(compared).collect(),
    })
}

/// One round to warm up, then the others. Returns the costs of each round, by lane, and how many rounds stayed disturbed.
fn run(lanes: &mut [Lane], messages: usize, rounds: Rounds) -> io::Result<(Vec<Vec<f64>>, usize)> {
    let mut disturbed = 0;
    lanes.iter_mut().try_for_each(|lane| lane.round(messages).map(drop))?;
    let mut costs = Vec::with_capacity(rounds.wanted);
    for _ in 0..rounds.wanted {
        let mut round = Vec::with_capacity(lanes.len());
        let mut round_is_quiet = true;
        for lane in &mut *lanes {
            let (cost, quiet) = lane.quiet_round(messages, rounds.tries_max)?;
            round.push(cost);
            round_is_quiet &= quiet;
        }
        disturbed += usize::from(!round_is_quiet);
        costs.push(round);
    }
    Ok((costs, disturbed))
}

/// A process and its clients.
struct Lane {
    session: Box<dyn Workload>,
    process: Process,
}

impl Lane {
    fn begin(process: Process, scenario: &Scenario, scale: Scale) -> io::Result<Self> {
        let session = scenario
            .begin(&process, scale)
            .map_err(|fault| io::Error::new(fault.kind(), format!("{}: {fault}", process.name)))?;
        Ok(Self { session, process })
    }

    /// CPU time per unit, in nanoseconds, and whether the machine did nothing else; tried again while it did.
    fn quiet_round(&mut self, messages: usize, tries_max: usize) -> io::Result<(f64, bool)> {
        let mut tries = 0;
        loop {
            let before = QuietWatch::begin(&self.process)?;
            let cost = self.round(messages)?;
            let quiet = before.is_quiet_until(&QuietWatch::begin(&self.process)?);
            tries += 1;
            if quiet || tries >= tries_max {
                return Ok((cost, quiet));
            }
        }
    }

    /// CPU time per unit, in nanoseconds.
    fn round(&mut self, messages: usize) -> io::Result<f64> {
        thread::sleep(SETTLE_TIME);
        let before = self.process.cpu()?;
        let units = self
            .session
            .round(messages)
            .map_err(|fault| io::Error::new(fault.kind(), format!("{}: {fault}", self.process.name)))?;
        thread::sleep(SETTLE_TIME);
        let cost = self.process.cpu()?.saturating_sub(before);
        Ok(cost.as_nanos() as f64 / units as f64)
    }
}

/// What a process does after its last answer belongs to the round that caused it.
const SETTLE_TIME: Duration = Duration::from_millis(5);
