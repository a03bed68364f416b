//! The macro bench: what a server process costs per delivery, beside a bare loop that does the least there is to do.
//!
//! Owns: starting the servers under test and the bare loop, a load generator for both, and the table. Must never know:
//! anything of the core; it measures a program from outside, as its users meet it.
//!
//! The conformance server (`LOAD=1`), any other server with the same events, and the bare loop, which is this program
//! again, run on one core; the load generator has another one. In each scenario every process has its own clients at the
//! same time, and the rounds go from one to the next and around again, so that a disturbance of the machine meets all.
//! CPU time is the scheduler's own count for the process (`clock_getcpuclockid`): user and system, every thread, in
//! nanoseconds. A ratio is taken per round; the table gives the median and the smallest and largest.
//!
//! Every message is counted and checked; a missing, doubled, wrong or unexpected one ends the run with an error.

#![expect(clippy::disallowed_methods, reason = "it measures: it needs the clock and a thread that reads a pipe")]

mod application;
mod bare;
mod cli;
mod frame;
mod http;
mod idle;
mod measure;
mod process;
mod quiet;
mod report;
mod scenario;
mod subject;
mod swarm;
mod template;

use std::io;

use clap::Parser;

use cli::{ChildProgram, Cli, RunArguments};
use measure::measure;
use process::Cores;
use report::Report;
use scenario::{SCENARIOS, Scale};
use subject::Subject;

/// Reads the command line and runs what it names.
///
/// # Errors
///
/// A process cannot be started or measured, or answers with something unexpected.
pub fn run() -> io::Result<()> {
    let Cli { job, run } = Cli::parse();
    match job {
        Some(ChildProgram::Bare { port, message }) => bare::serve(port, &message),
        Some(ChildProgram::Tether { program, arguments }) => process::become_tethered(&program, &arguments),
        Some(ChildProgram::App { program, quick }) => {
            application::run(program, if quick { Scale::Quick } else { Scale::Full })
        }
        None => bench(&run),
    }
}

fn bench(arguments: &RunArguments) -> io::Result<()> {
    let scale = if arguments.quick { Scale::Quick } else { Scale::Full };
    let rounds = arguments.rounds();
    let subjects = arguments.subjects()?;
    let descriptors_max = process::raise_descriptor_limit()?;
    let cores = Cores::split()?;
    let mut report = Report::new(&subjects);
    for scenario in SCENARIOS.iter().filter(|scenario| arguments.wants(scenario.name)) {
        eprintln!("{}: {} …", scenario.name, scenario.title);
        report.costs.push(measure(scenario, &subjects, scale, rounds, &cores)?);
    }
    if arguments.wants(idle::NAME) {
        eprintln!("{}: {} …", idle::NAME, idle::TITLE);
        let connections = idle::connections(scale, descriptors_max);
        for subject in subjects.iter().chain([&Subject::bare("bare loop")?]) {
            report.idle.push(idle::measure(subject, connections, &cores)?);
        }
    }
    if arguments.json {
        println!("{}", report.json()?);
    } else {
        print!("{}", report.markdown());
    }
    Ok(())
}
