//! Whole clusters of the sans-IO core on virtual time, under a hostile network, judged by what the clients saw.
//!
//! A run is a function of its seed: the seed picks a [`Profile`] (how many nodes, which faults, which workloads), the
//! [`World`] plays it, [`judge`] decides. A failure prints its seed; a found bug becomes a named scenario in `tests/`.
//!
//! - [`store`]: the store behind the core, abstract ([`values`]) or real
//! - [`world`]: events, hosts, network; [`nemesis`]: faults
//! - [`clients`]: workloads and the history; `scans`: what members hold; `lines`: who waits
//! - [`judge`]: the verdict; `losses`: what is no loss to it; [`coverage`]: what was exercised

pub mod clients;
pub mod coverage;
pub mod judge;
mod lines;
mod losses;
pub mod nemesis;
mod newcomers;
pub mod profile;
mod scans;
pub mod store;
mod swaps;
pub mod values;
pub mod world;

pub use coverage::Coverage;
pub use judge::Violation;
pub use profile::Profile;
pub use store::StoreKind;
pub use world::World;

use swytch_cluster::Mutant;

/// What a run found out.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Broken promises; empty for a good run.
    pub violations: Vec<Violation>,
    /// A digest of every event of the run: two runs of one seed have the same.
    pub trace: u64,
    /// Client operations that were answered with success.
    pub operations: u64,
    /// Events handled.
    pub events: u64,
    /// Messages and rules exercised.
    pub coverage: Coverage,
}

/// Plays and judges one seed.
pub fn run(seed: u64, mutant: Option<Mutant>) -> Outcome {
    run_profile(Profile::of_seed(seed), mutant, None)
}

/// Plays and judges one profile.
///
/// With `watch`, everything that concerns that key (by index) is printed.
pub fn run_profile(profile: Profile, mutant: Option<Mutant>, watch: Option<usize>) -> Outcome {
    let mut world = World::new(profile, mutant);
    world.watch = watch;
    world.play();
    let violations = judge::judge(&world);
    Outcome {
        seed: world.profile.seed,
        violations,
        trace: world.trace(),
        operations: world.history.iter().filter(|record| record.is_ok()).count() as u64,
        events: world.events,
        coverage: world.coverage(),
    }
}

/// Like [`run_profile`], but a panic (a broken assertion of the core) is a violation like any other. A caller that does
/// not want to see it printed sets a panic hook.
pub fn try_run(profile: Profile, mutant: Option<Mutant>) -> Outcome {
    let seed = profile.seed;
    std::panic::catch_unwind(|| run_profile(profile, mutant, None)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default();
        Outcome {
            seed,
            violations: vec![Violation { kind: "an assertion failed", detail: text }],
            trace: 0,
            operations: 0,
            events: 0,
            coverage: Coverage::default(),
        }
    })
}
