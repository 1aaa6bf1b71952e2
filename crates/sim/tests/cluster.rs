//! Runs of the whole-cluster simulator: replay, a share of the campaign, and each found bug as a named scenario.

use swytch_sim::cluster::run;

#[test]
fn a_seed_replays_bit_for_bit() {
    for seed in 0..12 {
        let (first, second) = (run(seed, None), run(seed, None));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!((first.operations, first.events), (second.operations, second.events), "seed {seed}");
        assert_eq!(first.coverage, second.coverage, "seed {seed}");
        assert_ne!(first.trace, run(seed + 1_000, None).trace, "the trace does not depend on the seed");
    }
}
