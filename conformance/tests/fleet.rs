//! Seeds of several nodes on a bus.

use roomcast_conformance::fleet::{FleetOutcome, run};

#[test]
fn a_seed_replays_to_the_same_outcome() {
    for seed in [1, 2] {
        assert_eq!(run(seed), run(seed));
    }
}

#[test]
fn committed_seeds_hold() {
    let mut all = FleetOutcome::default();
    for seed in 0..SEEDS {
        match run(seed) {
            Ok(outcome) => {
                all.delivered += outcome.delivered;
                all.lost += outcome.lost;
                all.repeated += outcome.repeated;
                all.asks_ended += outcome.asks_ended;
                all.crashes += outcome.crashes;
                all.subscribed += outcome.subscribed;
            }
            Err(fault) => panic!("{fault}"),
        }
    }
    let met = [all.lost, all.repeated, all.asks_ended, all.crashes, all.subscribed];
    assert!(all.delivered > 100 * SEEDS && met.iter().all(|count| *count > SEEDS / 4), "nothing was tested: {all:?}");
}

/// More by `ROOMCAST_FLEET_SEEDS=from..to`.
#[test]
fn seeds_of_the_environment_hold() {
    let Ok(range) = std::env::var("ROOMCAST_FLEET_SEEDS") else { return };
    let (from, to) = range.split_once("..").expect("a range");
    for seed in from.parse().expect("a number")..to.parse().expect("a number") {
        if let Err(fault) = run(seed) {
            panic!("{fault}");
        }
    }
}

const SEEDS: u64 = 40;
