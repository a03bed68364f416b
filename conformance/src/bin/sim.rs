//! Plays seeds of the simulator: `sim [FIRST [COUNT]]`. Prints each outcome, and ends at the first seed that fails.

use std::process::ExitCode;

use roomcast_conformance::sim;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let (first, count) = match (args.next().unwrap_or(Ok(1)), args.next().unwrap_or(Ok(100)), args.next()) {
        (Ok(first), Ok(count), None) => (first, count),
        (Ok(_) | Err(_), Ok(_) | Err(_), _) => {
            eprintln!("usage: sim [FIRST [COUNT]]");
            return ExitCode::from(2);
        }
    };
    for seed in first..first.saturating_add(count) {
        match sim::run(seed) {
            Ok(outcome) => {
                let sim::Outcome { trace, steps, delivered, counters, coverage: _ } = outcome;
                println!(
                    "seed {seed}: trace {trace:016x}, {steps} steps, {delivered} delivered, {} sessions, {} upgrades, \
                     {} too slow, {} without a pong, {} faults, {} stale, {} volatile dropped",
                    counters.sessions_opened,
                    counters.upgrades,
                    counters.too_slow,
                    counters.pings_unanswered,
                    counters.peer_faults,
                    counters.stale_handles,
                    counters.volatile_dropped,
                );
            }
            Err(fault) => {
                println!("{fault}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
