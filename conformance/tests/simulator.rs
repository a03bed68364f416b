//! Seeds of the simulator, and that a seed replays.

use roomcast_conformance::sim::{RunOutcome, replay_command, run};

#[test]
fn a_seed_replays_to_the_same_trace() {
    let play = |seed| run(seed).expect("a seed that holds");
    assert_eq!(play(1), play(1));
    assert_ne!(play(1).trace, play(2).trace);
}

#[test]
fn committed_seeds_hold() {
    let mut delivered = 0;
    let mut upgrades = 0;
    for seed in 1..=12 {
        match run(seed) {
            Ok(RunOutcome { delivered: packets, counters, .. }) => {
                delivered += packets;
                upgrades += counters.upgrades;
            }
            Err(fault) => panic!("{fault}\nreplay it: {}", replay_command(seed)),
        }
    }
    assert!(delivered > 10_000 && upgrades > 40, "{delivered} packets, {upgrades} upgrades: nothing was tested");
}

/// Each has shown a fault of the server once. They play other runs whenever the simulator itself changes.
#[test]
fn seeds_that_have_found_a_fault_hold() {
    for seed in [500_461, 3_001_162, 910_000_538, 1_233_357_073] {
        if let Err(fault) = run(seed) {
            panic!("{fault}\nreplay it: {}", replay_command(seed));
        }
    }
}
