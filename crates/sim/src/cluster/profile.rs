//! What one seed plays: the size of the cluster, the network, the faults, the keys.

use swytch_cluster::{Key, Limits, Minority, MultiKey, Space, Timers};

use super::store::StoreKind;
use crate::rng::Rng;

/// One seed in this many plays with bounds so narrow that they are met.
const NARROW_EVERY: u64 = 13;
/// Which one of them.
const NARROW_AT: u64 = 11;

/// One seed in this many has more keys, in a few slots, so that a creation lease covers several of them.
const TAGGED_EVERY: u64 = 3;
/// Which one of them.
const TAGGED_AT: u64 = 2;
/// Slots of such a seed.
const TAGS: usize = 4;

/// One seed in this many sends a host into exile, in a cluster that does not remember it when it comes back.
const EXILE_EVERY: u64 = 25;
/// Which one of them.
const EXILE_AT: u64 = 6;
/// How long the exile takes with all that belongs to it.
const EXILE_MS: u64 = 90_000;

/// What a key is used for, which decides how it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyUse {
    /// A register written and read by operations of class X: linearizable in every situation.
    DecidedRegister,
    /// A list in transactions over several keys, class X: strictly serializable in every situation.
    Transactional,
    /// Pushes of class W, pops of class X, some of them blocking: exactly once.
    Queue,
    /// INCR, class W: no acknowledged increment is lost.
    Counter,
    /// A set that only grows, class W: nothing is lost, sessions do not go backwards.
    GrowingSet,
    /// SET and GET, class W and reads: linearizable while connected, convergent always.
    Register,
    /// A set with a deadline: gone in the end.
    Expiring,
}

/// What a run does with databases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DatabaseUse {
    /// All keys are in one.
    #[default]
    One,
    /// Keys are in two of them.
    Two,
    /// Some are in another one that is flushed now and then.
    Flushed,
    /// The first half of the keys has a double of its name in another one, and the two are swapped now and then.
    Swapped,
}

/// A key of the run.
#[derive(Clone, Debug)]
pub struct PlannedKey {
    /// Its name.
    pub key: Key,
    /// Its use.
    pub used_as: KeyUse,
}

/// Everything a seed decides before the run starts.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The seed.
    pub seed: u64,
    /// Hosts, 2 to 9.
    pub hosts: usize,
    /// Hosts that are there from the start; the others join later.
    pub initial: usize,
    /// The first view is installed in all initial hosts, or they find each other.
    pub formed: bool,
    /// They find each other by their addresses, and have no numbers before.
    pub named: bool,
    /// Clients.
    pub clients: usize,
    /// Operations after which clients stop.
    pub operations_max: u64,
    /// The store of the nodes.
    pub store: StoreKind,
    /// Hosts remember what their nodes have agreed to, so that any number of them may be down at the same time.
    pub remembers: bool,
    /// Partitions of each node.
    pub parts: u16,
    /// How many hosts are to hold each key.
    pub copies: u8,
    /// Hosts crash only when all are there and nothing is left to repair: then nothing that was acknowledged may be lost.
    pub one_by_one: bool,
    /// The keys, as clients name them.
    pub keys: Vec<PlannedKey>,
    /// What is done with databases.
    pub databases: DatabaseUse,
    /// The keys are in this many slots, in turn, and clients mostly use those of their host's; 0: each key has its own. In
    /// half of these seeds the keys of a slot are twins: their home does not tell them from each other.
    pub tags: usize,
    /// Shortest and longest delay of a message, in microseconds.
    pub delay_us: (u64, u64),
    /// Messages lost, of 1000.
    pub loss_permille: u64,
    /// Messages doubled, of 1000.
    pub duplicate_permille: u64,
    /// Messages between two hosts may overtake each other.
    pub reorder: bool,
    /// Length of the disturbed part, in milliseconds.
    pub disturbed_ms: u64,
    /// Kinds of faults.
    pub faults: Faults,
    /// Clock rates differ by up to a factor of 3 (else by a few percent).
    pub drift: bool,
    /// Timers of the nodes.
    pub timers: Timers,
    /// Bounds of the nodes.
    pub limits: Limits,
    /// What clients may do where most of the base is out of reach.
    pub minority: Minority,
    /// How ordinary writes on several keys go; some clients make such where it is for each key by itself.
    pub multi_key: MultiKey,
}

/// Which faults may happen, each with its mean interval in milliseconds (0: never).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Cuts: partitions, one-way cuts, isolated hosts, flapping.
    pub cut_every_ms: u64,
    /// Links that only heartbeats pass.
    pub grey_every_ms: u64,
    /// Cuts may last longer than the expiry.
    pub long_cuts: bool,
    /// Crashes at any moment.
    pub crash_every_ms: u64,
    /// Crashes while a message of a chosen kind is sent, in 1000 such messages.
    pub crash_at_message_permille: u64,
    /// Hosts that stand still for a while.
    pub pause_every_ms: u64,
    /// Wall clocks that jump.
    pub clock_jump_every_ms: u64,
    /// Clean departures.
    pub leave_every_ms: u64,
    /// Evictions of copies.
    pub evict_every_ms: u64,
    /// FLUSHALLs.
    pub flush_every_ms: u64,
    /// FLUSHDBs or SWAPDBs.
    pub change_every_ms: u64,
    /// Evictions of copies that are just being written to, in 1000 such messages.
    pub evict_at_write_permille: u64,
    /// A host is expired, comes back, and finds its keys created anew by hosts that know nothing of it.
    pub exile: bool,
}

impl Faults {
    /// Nothing that could change a view.
    pub fn is_calm(&self) -> bool {
        let evict_at_write_permille = self.evict_at_write_permille;
        let Self { evict_every_ms, flush_every_ms, clock_jump_every_ms, long_cuts, .. } = *self;
        let change_every_ms = self.change_every_ms;
        let calm = Self { evict_every_ms, flush_every_ms, clock_jump_every_ms, long_cuts, ..Self::default() };
        let calm = Self { change_every_ms, ..calm };
        *self == Self { evict_at_write_permille, ..calm }
    }
}

impl Profile {
    /// The profile of a seed.
    pub fn of_seed(seed: u64) -> Self {
        let tags = if seed % TAGGED_EVERY == TAGGED_AT { TAGS } else { 0 };
        let remembers = Rng::named(seed, "remembering").chance(1, 3);
        let mut profile =
            Self { remembers, parts: parts(seed), timers: timers(seed), ..Self::with_tags(seed, tags) };
        profile.minority = minority(seed);
        if Rng::named(seed, "several keys").chance(1, 4) {
            profile.multi_key = MultiKey::Each;
        }
        if tags > 0 && Rng::named(seed, "twins").chance(1, 2) {
            for (index, planned) in profile.keys.iter_mut().enumerate() {
                planned.key = Key::twin(char::from(b'0' + (index % tags) as u8), index as u16);
            }
        }
        profile.use_databases();
        profile.named = !profile.formed && Rng::named(seed, "forming").chance(1, 2);
        if !profile.faults.is_calm() {
            profile.faults.grey_every_ms = grey_every_ms(seed);
        }
        if seed % EXILE_EVERY == EXILE_AT { profile.with_exile() } else { profile }
    }

    /// From a stream of its own: one seed in six has keys in two databases, one in twelve flushes one of them, and one in
    /// twelve swaps them.
    fn use_databases(&mut self) {
        let rng = &mut Rng::named(self.seed, "databases");
        let roll = rng.below(12);
        self.databases = match roll {
            0 | 1 => DatabaseUse::Two,
            _ if self.faults.flush_every_ms > 0 => DatabaseUse::One,
            2 => DatabaseUse::Flushed,
            3 => DatabaseUse::Swapped,
            _ => DatabaseUse::One,
        };
        let every_ms = rng.between(3_000, 20_000);
        let of_other = |(index, planned): &(usize, &PlannedKey)| match self.databases {
            DatabaseUse::One | DatabaseUse::Swapped => false,
            DatabaseUse::Two => index % 2 == 1,
            DatabaseUse::Flushed => matches!(planned.used_as, KeyUse::GrowingSet | KeyUse::Expiring),
        };
        let others: Vec<usize> =
            self.keys.iter().enumerate().filter(of_other).map(|(index, _)| index).collect();
        for index in others {
            let planned = &mut self.keys[index];
            planned.key = planned.key.in_space(Space(1));
        }
        if self.databases == DatabaseUse::Swapped {
            self.keys.truncate(self.keys.len() / 2 + 1);
            let double =
                |planned: &PlannedKey| PlannedKey { key: planned.key.in_space(Space(1)), ..*planned };
            self.keys.extend(self.keys.iter().map(double).collect::<Vec<_>>());
        }
        if matches!(self.databases, DatabaseUse::Flushed | DatabaseUse::Swapped) {
            self.faults.change_every_ms = every_ms;
        }
    }

    /// The same on the real store: keys of types that it does not have yet are of others.
    #[must_use]
    pub fn on_real_store(mut self) -> Self {
        self.store = StoreKind::Real;
        for planned in &mut self.keys {
            planned.used_as = match planned.used_as {
                KeyUse::GrowingSet => KeyUse::Counter,
                KeyUse::Expiring => KeyUse::Register,
                other => other,
            };
        }
        self
    }

    /// What a seed plays where each key is to have two holders: as ever, or, every other seed, crashes one by one.
    pub fn of_two_copies(seed: u64) -> Self {
        let profile = Self { copies: 2, ..Self::of_seed(seed) };
        if seed.is_multiple_of(2) { profile } else { profile.with_crashes_one_by_one() }
    }

    /// The same cluster with crashes and nothing else, not two before the first is repaired.
    fn with_crashes_one_by_one(self) -> Self {
        let rng = &mut Rng::named(self.seed, "crashes one by one");
        let hosts = rng.between(3, 5) as usize;
        Self {
            hosts,
            initial: hosts,
            disturbed_ms: rng.between(60_000, 150_000),
            faults: Faults {
                crash_every_ms: rng.between(3_000, 10_000),
                crash_at_message_permille: if rng.chance(1, 2) { rng.between(5, 50) } else { 0 },
                ..Faults::default()
            },
            drift: false,
            timers: Timers { retain_ms: Timers::default().retain_ms, ..self.timers },
            limits: Limits { fold_min: self.limits.fold_min, ..Limits::default() },
            minority: Minority::default(),
            one_by_one: true,
            ..self
        }
    }

    /// The profile of a seed from before there were creation leases.
    pub fn without_leases(seed: u64) -> Self {
        let profile = Self::with_tags(seed, 0);
        Self { limits: Limits { leases_max: 0, ..profile.limits }, ..profile }
    }

    /// The same cluster with an exile, and copies that are dropped while they are written to. Nothing else happens, so
    /// that all goes as planned.
    fn with_exile(self) -> Self {
        Self {
            hosts: 3,
            initial: 3,
            delay_us: (self.delay_us.0, self.delay_us.1.max(20_000)),
            loss_permille: 0,
            duplicate_permille: 250,
            reorder: true,
            disturbed_ms: EXILE_MS,
            operations_max: 4_000,
            faults: Faults { exile: true, evict_at_write_permille: 60, ..Faults::default() },
            drift: false,
            ..self
        }
    }

    fn with_tags(seed: u64, tags: usize) -> Self {
        let rng = &mut Rng::new(seed);
        let hosts_max = if rng.chance(1, 3) { 9 } else { 5 };
        let hosts = rng.between(2, hosts_max) as usize;
        let initial = if rng.chance(1, 3) { rng.between(1, hosts as u64) as usize } else { hosts };
        let calm = rng.chance(1, 6);
        let drift = !calm && rng.chance(1, 2);
        let mut faults = Faults::default();
        if !calm {
            let every = |rng: &mut Rng, low: u64, high: u64| {
                if rng.chance(1, 2) { rng.between(low, high) } else { 0 }
            };
            faults.cut_every_ms = if rng.chance(4, 5) { rng.between(4_000, 40_000) } else { 0 };
            faults.long_cuts = rng.chance(1, 2);
            faults.crash_every_ms = every(rng, 10_000, 60_000);
            faults.crash_at_message_permille = if rng.chance(1, 3) { rng.between(1, 20) } else { 0 };
            faults.pause_every_ms = if rng.chance(1, 4) { rng.between(8_000, 40_000) } else { 0 };
            faults.leave_every_ms = if rng.chance(1, 6) { rng.between(30_000, 90_000) } else { 0 };
        }
        faults.clock_jump_every_ms = if rng.chance(1, 3) { rng.between(5_000, 30_000) } else { 0 };
        faults.evict_every_ms = if rng.chance(1, 5) { rng.between(500, 5_000) } else { 0 };
        faults.flush_every_ms = if rng.chance(1, 12) { rng.between(15_000, 40_000) } else { 0 };
        let slow = rng.chance(1, 4);
        Self {
            seed,
            hosts,
            initial,
            formed: initial == hosts && rng.chance(1, 2),
            named: false,
            clients: rng.between(3, 12) as usize,
            operations_max: rng.between(200, 1500),
            store: StoreKind::Abstract,
            remembers: false,
            parts: 1,
            copies: 1,
            one_by_one: false,
            keys: keys(rng, tags),
            databases: DatabaseUse::One,
            tags,
            delay_us: (
                rng.between(50, 1_000),
                if slow { rng.between(20_000, 150_000) } else { rng.between(1_000, 20_000) },
            ),
            loss_permille: if rng.chance(1, 2) {
                0
            } else if calm {
                rng.between(1, 10)
            } else {
                rng.between(1, 60)
            },
            duplicate_permille: if rng.chance(1, 2) { 0 } else { rng.between(1, 60) },
            reorder: rng.chance(1, 2),
            disturbed_ms: if calm { 20_000 } else { rng.between(20_000, 120_000) },
            faults,
            drift,
            timers: Timers::of_any_clocks(),
            limits: limits(seed, rng),
            minority: Minority::default(),
            multi_key: MultiKey::Atomic,
        }
    }
}

/// Partitions, from a stream of their own so that a seed plays the same with any number of them otherwise.
fn parts(seed: u64) -> u16 {
    [1, 1, 2, 4][Rng::named(seed, "partitions").below(4) as usize]
}

/// How long keys without a value are kept, from a stream of its own as well: less than a message takes, or longer than most
/// keys stay without one. And how long logs are kept for expired nodes: those of new keys not at all in one seed of two, and
/// others in one of four so short that most nodes come back late. There nothing is forgotten, because what a late fork
/// brings back of a forgotten key is no promise.
fn timers(seed: u64) -> Timers {
    let forget_ms = [20, 200, 1_000, 10_000][Rng::named(seed, "forgetting").below(4) as usize];
    let return_ms = if Rng::named(seed, "returning").chance(1, 2) { 0 } else { Timers::default().return_ms };
    let timers = Timers { forget_ms, return_ms, ..Timers::of_any_clocks() };
    match Rng::named(seed, "retaining").below(4) {
        0 => Timers { retain_ms: 5_000, forget_ms: 3_600_000, ..timers },
        _ => timers,
    }
}

/// In one seed of eight nobody writes without most of the base, and in one of eight nobody reads either.
fn minority(seed: u64) -> Minority {
    let of_eight = Rng::named(seed, "minority").below(8);
    Minority { reads: of_eight != 0, writes: of_eight > 1 }
}

/// One seed in six has links that only heartbeats pass now and then.
fn grey_every_ms(seed: u64) -> u64 {
    let rng = &mut Rng::named(seed, "grey links");
    if rng.chance(1, 6) { rng.between(8_000, 30_000) } else { 0 }
}

/// Bounds; how early logs are folded differs, so that a run folds often, seldom, or only when a view ends.
fn limits(seed: u64, rng: &mut Rng) -> Limits {
    let limits = if seed % NARROW_EVERY == NARROW_AT { narrow() } else { Limits::default() };
    Limits { fold_min: 1 << rng.below(8), ..limits }
}

/// Bounds that every run meets.
fn narrow() -> Limits {
    Limits {
        ops_max: 32,
        queue_max: 8,
        batch_max: 3,
        log_max: 12,
        covers_max: 4,
        fold_min: 2,
        waiters_max: 2,
        report_max: 2,
        walk_max: 1,
        leases_max: 1,
        unreported_max: 3,
        token_run: 3,
    }
}

fn keys(rng: &mut Rng, tags: usize) -> Vec<PlannedKey> {
    use KeyUse::{Counter, DecidedRegister, Expiring, GrowingSet, Queue, Register, Transactional};
    let mut uses = vec![DecidedRegister, Transactional, Transactional, Queue, Counter, GrowingSet];
    if rng.chance(1, 2) {
        uses.extend([DecidedRegister, Transactional, Register, Expiring]);
    }
    if tags > 0 {
        uses.extend([DecidedRegister, Queue, Counter, GrowingSet].repeat(2));
    }
    uses.into_iter()
        .enumerate()
        .map(|(index, used_as)| {
            let tag = index.checked_rem(tags).map(|tag| format!("{{{tag}}}")).unwrap_or_default();
            let name = format!("{tag}{used_as:?}-{index}-{}", rng.below(1 << 20));
            PlannedKey { key: Key::new(name.as_bytes()), used_as }
        })
        .collect()
}
