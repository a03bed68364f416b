//! Seeds of the simulator, and that a seed replays.

use roomcast_conformance::sim::{Outcome, run};

#[test]
fn a_seed_replays_to_the_same_trace() {
    let first = run(1);
    assert_eq!(first, run(1));
    assert_ne!(first.map(|outcome| outcome.trace), run(2).map(|outcome| outcome.trace));
}

#[test]
fn committed_seeds_hold() {
    let mut delivered = 0;
    let mut upgrades = 0;
    for seed in 1..=20 {
        match run(seed) {
            Ok(Outcome { delivered: packets, counters, .. }) => {
                delivered += packets;
                upgrades += counters.upgrades;
            }
            Err(fault) => panic!("{fault}"),
        }
    }
    assert!(delivered > 10_000 && upgrades > 50, "{delivered} packets, {upgrades} upgrades: nothing was tested");
}
