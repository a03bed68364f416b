//! The simulator finds every bug of the standing list, and many seeds meet everything that can be met.
//!
//! `cargo test -p roomcast-conformance --features test-hooks --test planted_bugs`: the core is built with hooks that no
//! release has.

use std::panic::{AssertUnwindSafe, catch_unwind};

use roomcast_conformance::sim::coverage::{Coverage, SEEDS};
use roomcast_conformance::sim::{run, run_with_bug};
use roomcast_core::server::test_hooks::Bug;

#[test]
fn every_planted_bug_is_found() {
    let mut missed = Vec::new();
    for bug in Bug::ALL {
        match (1..=SEEDS_PER_BUG).find_map(|seed| Some((seed, fault(seed, *bug)?))) {
            Some((seed, fault)) => println!("{bug:?}: {fault} ({seed})"),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found within {SEEDS_PER_BUG} seeds: {missed:?}");
}

#[test]
fn many_seeds_meet_every_reachable_cell_reason_and_limit() {
    let mut coverage = Coverage::default();
    for seed in 1..=SEEDS {
        coverage.merge(&run(seed).unwrap().coverage);
    }
    for (name, count) in coverage.iter() {
        println!("{count:>8}  {name}");
    }
    assert_eq!(coverage.missing(), Vec::<&str>::new(), "never met in {SEEDS} seeds");
}

/// What is wrong with a run: the simulator's verdict, or a panic of the server's or of its driver's.
fn fault(seed: u64, bug: Bug) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(|| run_with_bug(seed, bug))) {
        Ok(outcome) => outcome.err(),
        Err(panic) => Some(panic.downcast_ref::<String>().map_or("a panic".to_owned(), Clone::clone)),
    }
}

const SEEDS_PER_BUG: u64 = 30;
