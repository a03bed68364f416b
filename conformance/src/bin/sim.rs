//! Plays seeds of the simulator and ends at the first that fails, with the command that replays it.
//!
//! Owns: which seeds are played and what is printed. Must never know: what a run does.

use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use clap::Parser;
use roomcast_conformance::sim::coverage::Coverage;
use roomcast_conformance::sim::{self, RunOutcome};

/// Plays seeds of the simulator.
#[derive(Debug, Parser)]
struct CommandLine {
    /// The first seed; by default one that the clock chooses.
    #[arg(long)]
    first: Option<u64>,
    /// How many seeds to play.
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    count: u64,
    /// How long to play, in seconds. The seed that is being played then is played to its end.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Print a line for each seed.
    #[arg(long)]
    verbose: bool,
    /// Print how often each thing was met.
    #[arg(long)]
    coverage: bool,
}

#[expect(clippy::disallowed_methods, reason = "how long a soak takes is a matter of the clock on the wall")]
fn main() -> ExitCode {
    let options = CommandLine::parse();
    let started = Instant::now();
    // Seeds of one second never reach those of the next.
    let by_clock = || SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs() * 1_000_000;
    let first = options.first.unwrap_or_else(by_clock);
    let (mut played, mut delivered, mut coverage) = (0, 0, Coverage::default());
    while played < options.count && started.elapsed() < Duration::from_secs(options.seconds) {
        let seed = first.wrapping_add(played);
        match sim::run(seed) {
            Ok(outcome) => {
                if options.verbose {
                    print(seed, &outcome);
                }
                delivered += outcome.delivered;
                coverage.merge(&outcome.coverage);
            }
            Err(fault) => {
                println!("{fault}\nreplay it: {}", sim::replay_command(seed));
                return ExitCode::FAILURE;
            }
        }
        played += 1;
    }
    println!("{played} seeds from {first} hold; {delivered} packets were delivered and compared");
    if options.coverage {
        coverage.iter().for_each(|(name, count)| println!("{count:>10}  {name}"));
    }
    let missing = coverage.missing();
    if played >= sim::coverage::SEEDS && !missing.is_empty() {
        println!("never met: {missing:?}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn print(seed: u64, outcome: &RunOutcome) {
    let RunOutcome { trace, steps, delivered, counters, coverage: _ } = outcome;
    println!(
        "seed {seed}: trace {trace:016x}, {steps} steps, {delivered} delivered, {} sessions, {} upgrades, {} too slow, \
         {} without a pong, {} faults, {} stale, {} volatile dropped",
        counters.sessions_opened,
        counters.upgrades,
        counters.too_slow,
        counters.pings_unanswered,
        counters.peer_faults,
        counters.stale_handles,
        counters.volatile_dropped,
    );
}
