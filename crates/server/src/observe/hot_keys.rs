//! HOTKEYS: the keys that commands spent most time on, or most bytes.
//!
//! Each worker counts what its own commands do, so that nobody waits for a count of others; who asks adds the counts up.
//! The lightest keys are forgotten where there are too many: what is shown of the heaviest may lack what they had before
//! they were heavy.

use std::collections::HashMap;
use std::ops::AddAssign;

use parking_lot::{Mutex, RwLock};

use crate::system::clock::{Ticks, ticks_to_ns};
use crate::system::process::{self, CpuTime};
use crate::system::{random, slot};

/// Keys counted for each that is to be shown, before the lighter half is forgotten.
const COUNTED_PER_SHOWN: usize = 64;
/// Bytes of their names, likewise.
const NAME_BYTES_MAX: usize = 1 << 20;

/// What is to be counted.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Time.
    pub cpu: bool,
    /// Bytes of requests and replies.
    pub net: bool,
    /// Keys to be shown.
    pub shown: usize,
    /// When it ends by itself.
    pub duration_ms: Option<u64>,
    /// One command of this many is looked at.
    pub sample_ratio: u64,
    /// Slots whose keys alone are looked at, in ascending order.
    pub slots: Option<Box<[u16]>>,
}

/// A period in which keys are counted.
#[derive(Debug)]
pub struct Session {
    /// What is counted.
    pub plan: Plan,
    /// Its beginning, in Unix milliseconds.
    pub began_ms: u64,
    /// Processor time that the process had used by then.
    pub cpu_before: CpuTime,
    ended_ms: Option<u64>,
    by_worker: Box<[Mutex<Counts>]>,
}

/// The last session.
#[derive(Debug, Default)]
pub struct HotKeys {
    session: RwLock<Option<Session>>,
}

/// What was counted.
#[derive(Debug, Default)]
pub struct Counts {
    /// By all commands that have keys.
    pub all: Done,
    /// By those whose keys are in the slots of the plan.
    pub selected: Done,
    /// By those of them that were looked at.
    pub sampled: Done,
    /// What counting itself has taken, in nanoseconds.
    pub own_ns: u64,
    /// Nanoseconds by key, of the commands that were looked at.
    pub by_ns: Weights,
    /// Bytes by key, likewise.
    pub by_bytes: Weights,
}

/// What commands did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    /// Nanoseconds they took.
    pub ns: u64,
    /// Bytes of their requests and replies.
    pub bytes: u64,
}

impl AddAssign for Done {
    fn add_assign(&mut self, other: Done) {
        self.ns += other.ns;
        self.bytes += other.bytes;
    }
}

impl HotKeys {
    /// Begins a session, unless one goes on. `tell` says that commands are to be counted.
    pub fn start(&self, plan: Plan, workers: usize, now_ms: u64, tell: impl FnOnce()) -> bool {
        let mut session = self.session.write();
        if session.as_ref().is_some_and(|session| session.goes_on(now_ms)) {
            return false;
        }
        *session = Some(Session {
            plan,
            began_ms: now_ms,
            cpu_before: process::cpu_time(),
            ended_ms: None,
            by_worker: (0..workers).map(|_| Mutex::default()).collect(),
        });
        tell();
        true
    }

    /// Ends the session; false if none goes on. `tell` says that commands are not to be counted any more.
    pub fn stop(&self, now_ms: u64, tell: impl FnOnce()) -> bool {
        let mut session = self.session.write();
        let Some(session) = session.as_mut().filter(|session| session.goes_on(now_ms)) else { return false };
        session.ended_ms = Some(now_ms);
        tell();
        true
    }

    /// Forgets the session; false if it goes on. `tell` as for the end.
    pub fn reset(&self, now_ms: u64, tell: impl FnOnce()) -> bool {
        let mut session = self.session.write();
        if session.as_ref().is_some_and(|session| session.goes_on(now_ms)) {
            return false;
        }
        *session = None;
        tell();
        true
    }

    /// Shows the session, if there is one.
    pub fn look<R>(&self, look: impl FnOnce(&Session) -> R) -> Option<R> {
        self.session.read().as_ref().map(look)
    }

    /// Counts a command of this worker with these keys.
    pub fn count<'k>(
        &self,
        worker: usize,
        now_ms: u64,
        done: Done,
        keys: impl ExactSizeIterator<Item = &'k [u8]> + Clone,
    ) {
        let began = Ticks::now();
        let session = self.session.read();
        let Some(session) = session.as_ref().filter(|session| session.goes_on(now_ms)) else { return };
        let plan = &session.plan;
        let mut counts = session.by_worker[worker].lock();
        counts.all += done;
        if !plan.selects(keys.clone().next().unwrap_or_default()) {
            return;
        }
        counts.selected += done;
        if plan.sample_ratio > 1 && !random::next_u64().is_multiple_of(plan.sample_ratio) {
            return;
        }
        counts.sampled += done;
        let (keys_max, share) = (plan.shown * COUNTED_PER_SHOWN, keys.len().max(1) as u64);
        for key in keys {
            if plan.cpu {
                counts.by_ns.add(key, done.ns / share, keys_max);
            }
            if plan.net {
                counts.by_bytes.add(key, done.bytes / share, keys_max);
            }
        }
        counts.own_ns += ticks_to_ns(Ticks::now().since(began));
    }
}

impl Plan {
    /// Whether commands with this key are looked at.
    fn selects(&self, key: &[u8]) -> bool {
        self.slots.as_ref().is_none_or(|slots| slots.binary_search(&slot::of(key)).is_ok())
    }
}

impl Session {
    /// Whether it has ended neither by STOP nor by itself.
    pub fn goes_on(&self, now_ms: u64) -> bool {
        self.ended_ms.is_none() && self.duration_ms(now_ms) < self.plan.duration_ms.unwrap_or(u64::MAX)
    }

    /// For how long it has gone on.
    pub fn duration_ms(&self, now_ms: u64) -> u64 {
        let elapsed_ms = self.ended_ms.unwrap_or(now_ms).saturating_sub(self.began_ms);
        elapsed_ms.min(self.plan.duration_ms.unwrap_or(u64::MAX))
    }

    /// The counts of all workers.
    pub fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for counts in &self.by_worker {
            let counts = counts.lock();
            sum.all += counts.all;
            sum.selected += counts.selected;
            sum.sampled += counts.sampled;
            sum.own_ns += counts.own_ns;
            sum.by_ns.merge(&counts.by_ns);
            sum.by_bytes.merge(&counts.by_bytes);
        }
        sum
    }
}

/// What keys weigh.
#[derive(Debug, Default)]
pub struct Weights {
    by_key: HashMap<Box<[u8]>, u64>,
    name_bytes: usize,
    /// Of all keys, the forgotten ones too.
    pub total: u64,
}

impl Weights {
    fn add(&mut self, key: &[u8], weight: u64, keys_max: usize) {
        self.total += weight;
        if let Some(sum) = self.by_key.get_mut(key) {
            *sum += weight;
            return;
        }
        // A name of which there is no room for a few is not worth the others.
        if key.len() > NAME_BYTES_MAX / 4 {
            return;
        }
        if self.by_key.len() >= keys_max || self.name_bytes + key.len() > NAME_BYTES_MAX {
            self.forget_the_lighter_half();
        }
        self.name_bytes += key.len();
        self.by_key.insert(key.into(), weight);
    }

    fn forget_the_lighter_half(&mut self) {
        let mut keys: Vec<(Box<[u8]>, u64)> = self.by_key.drain().collect();
        keys.sort_unstable_by_key(|(_, weight)| std::cmp::Reverse(*weight));
        let mut room = NAME_BYTES_MAX / 2;
        keys.truncate(keys.len() / 2);
        let heaviest = keys.into_iter().take_while(|(key, _)| {
            let fits = key.len() <= room;
            room = room.saturating_sub(key.len());
            fits
        });
        self.by_key = heaviest.collect();
        self.name_bytes = self.by_key.keys().map(|key| key.len()).sum();
    }

    fn merge(&mut self, other: &Weights) {
        self.total += other.total;
        for (key, weight) in &other.by_key {
            *self.by_key.entry(key.clone()).or_default() += weight;
        }
    }

    /// The heaviest keys, at most this many, with their weights in this unit; none that weighs less than one.
    pub fn heaviest(&self, shown: usize, unit: u64) -> Vec<(&[u8], u64)> {
        let mut keys: Vec<(&[u8], u64)> = self
            .by_key
            .iter()
            .map(|(key, weight)| (&**key, weight / unit))
            .filter(|(_, weight)| *weight > 0)
            .collect();
        keys.sort_unstable_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(other.0)));
        keys.truncate(shown);
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan =
        Plan { cpu: true, net: true, shown: 2, duration_ms: None, sample_ratio: 1, slots: None };

    fn count(hot_keys: &HotKeys, worker: usize, ns: u64, keys: &[&[u8]]) {
        hot_keys.count(worker, 10, Done { ns, bytes: 10 }, keys.iter().copied());
    }

    #[test]
    fn the_heaviest_keys_of_all_workers_are_shown() {
        let hot_keys = HotKeys::default();
        assert!(hot_keys.start(PLAN, 2, 5, || ()) && !hot_keys.start(PLAN, 2, 6, || ()));
        for cold in 0..100_000u32 {
            count(&hot_keys, 0, 1_000, &[&cold.to_le_bytes()]);
            count(&hot_keys, 1, 3_000, &[b"hot", b"warm"]);
            count(&hot_keys, 0, 2_000, &[b"hot"]);
        }
        hot_keys.look(|session| {
            let counts = session.counts();
            assert_eq!(counts.by_ns.heaviest(2, 1_000), [(&b"hot"[..], 350_000), (&b"warm"[..], 150_000)]);
            assert_eq!(counts.by_bytes.heaviest(9, 1)[0], (&b"hot"[..], 1_500_000));
            assert_eq!((counts.all.ns, counts.by_ns.total), (600_000_000, 600_000_000));
            assert!(counts.by_ns.by_key.len() <= 2 * 2 * COUNTED_PER_SHOWN);
        });
    }

    #[test]
    fn long_names_do_not_fill_the_memory() {
        let mut weights = Weights::default();
        for length in 0..3 * NAME_BYTES_MAX / 1000 {
            weights.add(&vec![b'x'; 1000 + length], 1, usize::MAX);
            assert!(weights.name_bytes <= NAME_BYTES_MAX);
        }
        weights.add(&vec![b'x'; NAME_BYTES_MAX], 100, usize::MAX);
        assert!(weights.by_key.keys().all(|key| key.len() < NAME_BYTES_MAX));
        assert_eq!(weights.name_bytes, weights.by_key.keys().map(|key| key.len()).sum::<usize>());
    }

    #[test]
    fn keys_of_other_slots_are_not_looked_at() {
        let hot_keys = HotKeys::default();
        let slots = Some([slot::of(b"a")].into());
        assert!(hot_keys.start(Plan { slots, ..PLAN }, 1, 5, || ()));
        count(&hot_keys, 0, 1_000, &[b"{a}1", b"{a}2"]);
        count(&hot_keys, 0, 5_000, &[b"b"]);
        hot_keys.look(|session| {
            let counts = session.counts();
            assert_eq!(counts.by_ns.heaviest(2, 1), [(&b"{a}1"[..], 500), (&b"{a}2"[..], 500)]);
            assert_eq!((counts.all.ns, counts.selected.ns, counts.sampled.ns), (6_000, 1_000, 1_000));
        });
    }

    #[test]
    fn a_session_ends_by_itself() {
        let hot_keys = HotKeys::default();
        assert!(hot_keys.start(Plan { duration_ms: Some(10), ..PLAN }, 1, 5, || ()));
        count(&hot_keys, 0, 1_000, &[b"a"]);
        hot_keys.count(0, 15, Done { ns: 1, bytes: 1 }, [&b"late"[..]].into_iter());
        assert_eq!(hot_keys.look(|session| (session.goes_on(14), session.goes_on(15))), Some((true, false)));
        assert_eq!(hot_keys.look(|session| session.counts().all.bytes), Some(10));
        assert!(!hot_keys.stop(20, || ()) && hot_keys.reset(20, || ()) && hot_keys.look(|_| ()).is_none());
    }
}
