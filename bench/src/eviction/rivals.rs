//! What others evict, after the papers and the sources that are named.

use swytch_testkit::Random;

use super::Cache;
use super::order::Queues;

/// Redis's approximated LRU and LFU: of ten keys, and those remembered of former tens, the best goes.
///
/// Source: `src/evict.c`. Its clock of seconds is exact here, which is in its favour.
pub(super) struct Sampled<'t> {
    order: Order,
    room: Room<'t>,
    keys: Vec<u32>,
    /// Where each key is in `keys`.
    places: Vec<Option<u32>>,
    stamps: Vec<Stamp>,
    /// The best last.
    pool: Vec<(u64, u32)>,
    random: Random,
    now: u64,
}

/// What goes first.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Idle,
    Frequency,
}

#[derive(Clone, Copy, Default)]
struct Stamp {
    used_at: u64,
    frequency: u8,
}

/// What is there, and what may be.
struct Room<'t> {
    sizes: &'t [u32],
    limit: u64,
    used: u64,
}

impl<'t> Room<'t> {
    fn new(sizes: &'t [u32], limit: u64) -> Self {
        Room { sizes, limit, used: 0 }
    }

    fn size(&self, key: u32) -> u32 {
        self.sizes[key as usize]
    }
}

const SAMPLES: usize = 10;
const POOL_MAX: usize = 16;

impl<'t> Sampled<'t> {
    pub(super) fn new(order: Order, sizes: &'t [u32], limit: u64) -> Self {
        Sampled {
            order,
            room: Room::new(sizes, limit),
            keys: Vec::new(),
            places: vec![None; sizes.len()],
            stamps: vec![Stamp::default(); sizes.len()],
            pool: Vec::new(),
            random: Random::new(1),
            now: 0,
        }
    }

    /// A counter after it has decayed by one with each minute that has begun since.
    fn decayed(&self, key: u32) -> u8 {
        let stamp = self.stamps[key as usize];
        let minute = |at: u64| at / super::REQUESTS_PER_MINUTE;
        let minutes = minute(self.now) - minute(stamp.used_at);
        stamp.frequency.saturating_sub(u8::try_from(minutes).unwrap_or(u8::MAX))
    }

    fn claim(&self, key: u32) -> u64 {
        match self.order {
            Order::Idle => self.now - self.stamps[key as usize].used_at,
            Order::Frequency => u64::from(u8::MAX - self.decayed(key)),
        }
    }

    fn count(&mut self, key: u32) {
        let mut frequency = self.decayed(key);
        let odds = u64::from(frequency.saturating_sub(5)) * 10 + 1;
        if self.random.once_in(odds) {
            frequency = frequency.saturating_add(1);
        }
        self.stamps[key as usize] = Stamp { used_at: self.now, frequency };
    }

    fn evict(&mut self) {
        for _ in 0..SAMPLES {
            let key = self.keys[self.random.below(self.keys.len())];
            let claim = self.claim(key);
            if self.pool.len() == POOL_MAX && self.pool[0].0 >= claim {
                continue;
            }
            if let Some(known) = self.pool.iter().position(|(_, one)| *one == key) {
                self.pool.remove(known);
            } else if self.pool.len() == POOL_MAX {
                self.pool.remove(0);
            }
            let at = self.pool.partition_point(|(one, _)| *one <= claim);
            self.pool.insert(at, (claim, key));
        }
        while let Some((_, key)) = self.pool.pop() {
            if let Some(place) = self.places[key as usize].take() {
                self.keys.swap_remove(place as usize);
                if let Some(moved) = self.keys.get(place as usize) {
                    self.places[*moved as usize] = Some(place);
                }
                self.room.used -= u64::from(self.room.size(key));
                return;
            }
        }
    }
}

impl Cache for Sampled<'_> {
    fn access(&mut self, key: u32) -> bool {
        self.now += 1;
        if self.places[key as usize].is_some() {
            self.count(key);
            return true;
        }
        let size = u64::from(self.room.size(key));
        while self.room.used + size > self.room.limit && !self.keys.is_empty() {
            self.evict();
        }
        self.stamps[key as usize] = Stamp { used_at: self.now, frequency: 5 };
        self.places[key as usize] = Some(self.keys.len() as u32);
        self.keys.push(key);
        self.room.used += size;
        false
    }
}

/// Yang et al.: FIFO queues are all you need for cache eviction, SOSP 2023.
pub(super) struct S3Fifo<'t> {
    room: Room<'t>,
    queues: Queues<3>,
    uses: Vec<u8>,
}

const SMALL: usize = 0;
const MAIN: usize = 1;
const GHOSTS: usize = 2;
const USES_MAX: u8 = 3;

impl<'t> S3Fifo<'t> {
    pub(super) fn new(sizes: &'t [u32], limit: u64) -> Self {
        let keys = sizes.len();
        S3Fifo { room: Room::new(sizes, limit), queues: Queues::new(keys), uses: vec![0; keys] }
    }

    fn shift(&mut self, key: u32, to: usize) {
        let size = self.room.size(key);
        self.queues.leave(key, size);
        self.queues.enter(to, key, size);
    }

    fn evict(&mut self) {
        let is_small_full = self.queues.bytes[SMALL] >= (self.room.limit / 10).max(1);
        let from_small = is_small_full || self.queues.back(MAIN).is_none();
        if !(from_small && self.evict_from_small()) {
            self.evict_from_main();
        }
    }

    /// False when all that was there has gone to the main queue.
    fn evict_from_small(&mut self) -> bool {
        while let Some(key) = self.queues.back(SMALL) {
            if self.uses[key as usize] > 1 {
                self.uses[key as usize] = 0;
                self.shift(key, MAIN);
                continue;
            }
            self.shift(key, GHOSTS);
            while self.queues.bytes[GHOSTS] > self.room.limit * 9 / 10
                && let Some(oldest) = self.queues.back(GHOSTS)
            {
                self.queues.leave(oldest, self.room.size(oldest));
            }
            return true;
        }
        false
    }

    fn evict_from_main(&mut self) {
        while let Some(key) = self.queues.back(MAIN) {
            if self.uses[key as usize] == 0 {
                return self.queues.leave(key, self.room.size(key));
            }
            self.uses[key as usize] -= 1;
            self.shift(key, MAIN);
        }
    }
}

impl Cache for S3Fifo<'_> {
    fn access(&mut self, key: u32) -> bool {
        let uses = &mut self.uses[key as usize];
        let known = self.queues.queue_of(key);
        if matches!(known, Some(SMALL | MAIN)) {
            *uses = (*uses + 1).min(USES_MAX);
            return true;
        }
        *uses = 0;
        let size = self.room.size(key);
        if known.is_some() {
            self.queues.leave(key, size);
        }
        let held = |queues: &Queues<3>| queues.bytes[SMALL] + queues.bytes[MAIN];
        while held(&self.queues) + u64::from(size) > self.room.limit && held(&self.queues) > 0 {
            self.evict();
        }
        self.queues.enter(if known.is_some() { MAIN } else { SMALL }, key, size);
        false
    }
}

/// Zhang et al.: SIEVE is simpler than LRU, NSDI 2024.
pub(super) struct Sieve<'t> {
    room: Room<'t>,
    queue: Queues<1>,
    visited: Vec<bool>,
    hand: Option<u32>,
}

impl<'t> Sieve<'t> {
    pub(super) fn new(sizes: &'t [u32], limit: u64) -> Self {
        let keys = sizes.len();
        Sieve {
            room: Room::new(sizes, limit),
            queue: Queues::new(keys),
            visited: vec![false; keys],
            hand: None,
        }
    }
}

impl Cache for Sieve<'_> {
    fn access(&mut self, key: u32) -> bool {
        if self.queue.queue_of(key).is_some() {
            self.visited[key as usize] = true;
            return true;
        }
        let size = self.room.size(key);
        while self.queue.bytes[0] + u64::from(size) > self.room.limit
            && let Some(mut at) = self.hand.or(self.queue.back(0))
        {
            while std::mem::take(&mut self.visited[at as usize]) {
                at = self.queue.ahead_of(at).or(self.queue.back(0)).unwrap_or(at);
            }
            self.hand = self.queue.ahead_of(at);
            self.queue.leave(at, self.room.size(at));
        }
        self.visited[key as usize] = false;
        self.queue.enter(0, key, size);
        false
    }
}

/// Einziger, Friedman, Manes: TinyLFU, ACM ToS 2017, and Einziger et al.: Adaptive software cache management, Middleware 2018,
/// as Caffeine has them: the window's size climbs towards more hits.
pub(super) struct WTinyLfu<'t> {
    room: Room<'t>,
    queues: Queues<3>,
    sketch: Sketch,
    climber: Climber,
    random: Random,
}

const WINDOW: usize = 0;
const PROBATION: usize = 1;
const PROTECTED: usize = 2;

/// Of which share the window is, and where it climbs to.
struct Climber {
    window: f64,
    step: f64,
    hits: u64,
    requests: u64,
    /// Requests between two looks.
    period: u64,
    hit_rate: f64,
}

const WINDOW_FIRST: f64 = 0.01;
const STEP_FIRST: f64 = 0.0625;
const STEP_DECAY: f64 = 0.98;
const RESTART_AT: f64 = 0.05;
/// What is protected of what is not in the window.
const PROTECTED_SHARE: f64 = 0.8;

impl Climber {
    fn note(&mut self, is_hit: bool) {
        self.requests += 1;
        self.hits += u64::from(is_hit);
        if self.requests < self.period {
            return;
        }
        let hit_rate = self.hits as f64 / self.requests as f64;
        let change = hit_rate - self.hit_rate;
        let step = if change >= 0.0 { self.step } else { -self.step };
        self.window = (self.window + step).clamp(0.0, 0.8);
        self.step = if change.abs() >= RESTART_AT { STEP_FIRST.copysign(step) } else { step * STEP_DECAY };
        (self.hit_rate, self.hits, self.requests) = (hit_rate, 0, 0);
    }
}

impl<'t> WTinyLfu<'t> {
    pub(super) fn new(sizes: &'t [u32], limit: u64) -> Self {
        let (total, keys) = sizes.iter().fold((0u64, 0u64), |(total, keys), size| {
            (total + u64::from(*size), keys + u64::from(*size > 0))
        });
        // What is known of the number of entries.
        let entries = (limit * keys / total).max(1);
        let climber = Climber {
            window: WINDOW_FIRST,
            step: STEP_FIRST,
            hits: 0,
            requests: 0,
            period: 10 * entries,
            hit_rate: 0.0,
        };
        WTinyLfu {
            room: Room::new(sizes, limit),
            queues: Queues::new(sizes.len()),
            sketch: Sketch::new(entries),
            climber,
            random: Random::new(2),
        }
    }

    fn window_bytes(&self) -> u64 {
        ((self.room.limit as f64 * self.climber.window) as u64).max(1)
    }

    fn shift(&mut self, key: u32, to: usize) {
        let size = self.room.size(key);
        self.queues.leave(key, size);
        self.queues.enter(to, key, size);
    }

    fn use_again(&mut self, key: u32, queue: usize) {
        let to = if queue == WINDOW { WINDOW } else { PROTECTED };
        self.shift(key, to);
        let main = self.room.limit - self.window_bytes();
        while self.queues.bytes[PROTECTED] as f64 > main as f64 * PROTECTED_SHARE
            && let Some(oldest) = self.queues.back(PROTECTED)
        {
            self.shift(oldest, PROBATION);
        }
    }

    /// True if what comes from the window is worth more than what would go for it.
    fn admits(&mut self, candidate: u32, victim: u32) -> bool {
        let (ours, theirs) = (self.sketch.estimate(candidate), self.sketch.estimate(victim));
        ours > theirs || (ours > 5 && self.random.once_in(128))
    }

    fn make_room(&mut self) {
        let mut candidate = None;
        while self.queues.bytes[WINDOW] > self.window_bytes()
            && let Some(oldest) = self.queues.back(WINDOW)
        {
            self.shift(oldest, PROBATION);
            candidate = Some(oldest);
        }
        while self.queues.bytes.iter().sum::<u64>() > self.room.limit {
            let victim = [PROBATION, PROTECTED, WINDOW].into_iter().find_map(|queue| self.queues.back(queue));
            let Some(victim) = victim else { return };
            let goes = match candidate {
                Some(new) if new != victim && !self.admits(new, victim) => {
                    candidate = None;
                    new
                }
                _ => victim,
            };
            self.queues.leave(goes, self.room.size(goes));
        }
    }
}

impl Cache for WTinyLfu<'_> {
    fn access(&mut self, key: u32) -> bool {
        self.sketch.add(key);
        let queue = self.queues.queue_of(key);
        self.climber.note(queue.is_some());
        match queue {
            Some(queue) => self.use_again(key, queue),
            None => self.queues.enter(WINDOW, key, self.room.size(key)),
        }
        self.make_room();
        queue.is_some()
    }
}

/// Counters of four bits, of which each key has four, and its count is the least; all are halved now and then.
struct Sketch {
    counters: Vec<u8>,
    added: u64,
    period: u64,
}

const ROWS: u64 = 4;

impl Sketch {
    fn new(entries: u64) -> Self {
        let per_row = 4 * entries.next_power_of_two().max(8);
        Sketch { counters: vec![0; (ROWS * per_row) as usize], added: 0, period: 10 * entries }
    }

    fn places(&self, key: u32) -> [usize; ROWS as usize] {
        let mut random = Random::new(u64::from(key) << 20);
        let per_row = self.counters.len() as u64 / ROWS;
        std::array::from_fn(|row| (row as u64 * per_row + random.next() % per_row) as usize)
    }

    fn estimate(&self, key: u32) -> u8 {
        self.places(key).map(|place| self.counters[place]).into_iter().min().unwrap_or(0)
    }

    fn add(&mut self, key: u32) {
        let mut grows = false;
        for place in self.places(key) {
            if self.counters[place] < 15 {
                self.counters[place] += 1;
                grows = true;
            }
        }
        self.added += u64::from(grows);
        if self.added >= self.period {
            self.counters.iter_mut().for_each(|counter| *counter /= 2);
            self.added /= 2;
        }
    }
}

/// Belady's optimum: what is wanted again last goes, be it what has just come. With sizes it is none, but still far ahead.
pub(super) struct Belady<'t> {
    room: Room<'t>,
    /// Of each request, when its key is wanted again.
    again: Vec<u32>,
    at: usize,
    held: std::collections::BTreeSet<(u32, u32)>,
    /// When each key that is held is wanted again.
    due: Vec<Option<u32>>,
}

impl<'t> Belady<'t> {
    pub(super) fn new(requests: &[u32], sizes: &'t [u32], limit: u64) -> Self {
        let mut next = vec![u32::MAX; sizes.len()];
        let mut again = vec![u32::MAX; requests.len()];
        for (at, key) in requests.iter().enumerate().rev() {
            again[at] = std::mem::replace(&mut next[*key as usize], at as u32);
        }
        Belady {
            room: Room::new(sizes, limit),
            again,
            at: 0,
            held: Default::default(),
            due: vec![None; sizes.len()],
        }
    }
}

impl Cache for Belady<'_> {
    fn access(&mut self, key: u32) -> bool {
        let due = self.again[self.at];
        self.at += 1;
        let before = self.due[key as usize].replace(due);
        match before {
            Some(before) => {
                self.held.remove(&(before, key));
            }
            None => self.room.used += u64::from(self.room.size(key)),
        }
        self.held.insert((due, key));
        while self.room.used > self.room.limit
            && let Some((_, last)) = self.held.pop_last()
        {
            self.due[last as usize] = None;
            self.room.used -= u64::from(self.room.size(last));
        }
        before.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Misses of a cache for three keys.
    fn misses(mut cache: impl Cache, requests: &[u32]) -> usize {
        requests.iter().filter(|key| !cache.access(**key)).count()
    }

    #[test]
    fn the_optimum_of_a_short_row_is_the_one_of_the_book() {
        // Belady's own example of three frames, which misses seven times.
        let requests = [1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5];
        assert_eq!(misses(Belady::new(&requests, &[1; 6], 3), &requests), 7);
    }

    #[test]
    fn what_was_visited_is_spared_once() {
        // 0 is visited, so that 1 goes for 3, then 2 for 4, then 0 for 5.
        let requests = [0, 1, 2, 0, 3, 4, 0];
        assert_eq!(misses(Sieve::new(&[1; 6], 3), &requests), 5);
        let requests = [0, 1, 2, 0, 3, 4, 1, 2];
        assert_eq!(misses(Sieve::new(&[1; 6], 3), &requests), 7);
    }

    #[test]
    fn what_is_wanted_once_does_not_displace_what_is_wanted_often() {
        let hot = || (0..20u32).cycle();
        let scan = 100..4000u32;
        let requests: Vec<u32> = hot().take(400).chain(scan.clone()).chain(hot().take(20)).collect();
        let sizes = [1; 4000];
        let least = 20 + scan.len();
        assert_eq!(misses(S3Fifo::new(&sizes, 100), &requests), least);
        // The one that was in the window when the scan came is forgotten by the sketch before it is wanted again.
        assert_eq!(misses(WTinyLfu::new(&sizes, 100), &requests), least + 1);
        assert!(misses(Sampled::new(Order::Frequency, &sizes, 100), &requests) < least + 5);
        assert_eq!(misses(Sampled::new(Order::Idle, &sizes, 100), &requests), least + 20);
    }
}
