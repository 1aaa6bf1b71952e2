//! One order of all effects, without a lock that all writers share.
//!
//! The effects of one command, transaction or script are a group. Before the locks of its shards are released a group is
//! given its place, by one atomic addition, and copied to the [`Lane`] of the thread that made it. Groups that touch the same
//! key hold a common lock, so the order of places is the order of changes of every key; a transaction's group lies at one
//! place whatever it touched.
//!
//! Consumers read from behind. [`Order::read`] empties the lanes, all at one moment, into a [`Round`], which tells its groups in the
//! order of places; a round is kept until every consumer has been given it. Nothing of this runs under a shard's lock.
//!
//! Memory is bounded: who reads too slowly makes rounds stay, when too much of them is there no lane is emptied, and when a
//! lane is full the server is told to hold its writers back ([`Order::on_lag`]) until the lanes are empty again. Writers that are
//! past that check add a group each at most.
//!
//! Without a consumer nothing is collected.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use swytch_store::prefetch;

use super::group::{Group, Recorder, Subject, Told};

/// Bytes that wait in one lane before writers are held back.
const LANE_BYTES_MAX: usize = 16 << 20;
/// Bytes of rounds that wait for a consumer before the lanes are left as they are.
const ROUNDS_BYTES_MAX: usize = 64 << 20;

/// Bytes of a lane that are kept for what comes next, and while nothing comes.
const KEPT_BYTES_MAX: usize = 4 << 20;
const IDLE_BYTES_MAX: usize = 64 << 10;
/// Cache lines of the next group that are sent for.
const PREFETCHED_LINES: usize = 3;

/// A group's place in the order; the first one is 0.
pub type Place = u64;

/// Where the groups of one thread wait to be read.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Lane {
    queue: Mutex<LaneQueue>,
    end: AtomicU64,
}

#[derive(Debug, Default)]
struct LaneQueue {
    groups: Groups,
    /// Takes the place of `groups` when these are taken: memory that was in use a moment ago.
    emptied: Groups,
}

impl Lane {
    /// The place behind the last group of this lane, of what its own thread has published.
    #[inline]
    pub fn end(&self) -> Place {
        self.end.load(Ordering::Relaxed)
    }
}

/// Groups of one lane, in order.
#[derive(Debug, Default)]
struct Groups {
    bytes: Vec<u8>,
    runs: Vec<Run>,
    /// What each effect or message of groups that are no single command is about, and where its bytes end.
    effects: Vec<(Subject, usize)>,
}

/// Groups whose places follow one another.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// The first one's place, and behind the last one.
    from: Place,
    until: Place,
    /// Where its bytes begin.
    first_byte: usize,
    kind: RunKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RunKind {
    /// Groups of a command each, which change this database: nearly all there are.
    Single(u32),
    /// One group of this many commands, and where its effects begin.
    Group { commands: u32, first_effect: usize },
}

impl Groups {
    fn memory_bytes(&self) -> usize {
        self.bytes.capacity()
            + self.runs.capacity() * size_of::<Run>()
            + self.effects.capacity() * size_of::<(Subject, usize)>()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.runs.clear();
        self.effects.clear();
    }

    /// Sends for the memory that the next group is written to: every group ends with an instruction that waits for what was
    /// written.
    #[inline]
    fn prefetch(&self) {
        for line in 0..PREFETCHED_LINES {
            prefetch(self.bytes.as_ptr_range().end.wrapping_add(line * 64));
        }
    }

    #[inline]
    fn push(&mut self, place: Place, group: &Recorder) {
        let first_byte = self.bytes.len();
        self.bytes.extend_from_slice(&group.bytes);
        let kind = match group.effects[..] {
            [(Subject::Database(db), _)] if group.commands == 1 => RunKind::Single(db),
            _ => {
                let first_effect = self.effects.len();
                let effects = group.effects.iter().map(|(subject, end)| (*subject, first_byte + end));
                self.effects.extend(effects);
                RunKind::Group { commands: group.commands, first_effect }
            }
        };
        match self.runs.last_mut() {
            Some(last) if last.kind == kind && last.until == place => last.until += 1,
            _ => self.runs.push(Run { from: place, until: place + 1, first_byte, kind }),
        }
    }

    fn told(&self, at: usize) -> Told<'_> {
        let (run, later) = (self.runs[at], &self.runs[at + 1..]);
        match run.kind {
            RunKind::Single(db) => {
                let end = later.first().map_or(self.bytes.len(), |next| next.first_byte);
                Told::Commands { db, bytes: &self.bytes[run.first_byte..end] }
            }
            RunKind::Group { commands, first_effect } => {
                let next = later.iter().find_map(|next| match next.kind {
                    RunKind::Group { first_effect, .. } => Some(first_effect),
                    RunKind::Single(_) => None,
                });
                let effects = &self.effects[first_effect..next.unwrap_or(self.effects.len())];
                Told::Group(Group { commands, first_byte: run.first_byte, bytes: &self.bytes, effects })
            }
        }
    }
}

/// Groups whose places follow one another.
#[derive(Debug)]
pub struct Round {
    lanes: Vec<Groups>,
    from: Place,
    until: Place,
    bytes: usize,
    /// Counts its memory, whoever has it.
    _held: Held,
}

/// Bytes of memory of what is read of the order, or comes of it, that count for as long as this lives.
#[derive(Debug)]
pub struct Held {
    bytes: usize,
    all: Arc<AtomicUsize>,
}

impl Held {
    /// So many it is from now on.
    pub fn set(&mut self, bytes: usize) {
        self.all.fetch_add(bytes, Ordering::Relaxed);
        self.all.fetch_sub(std::mem::replace(&mut self.bytes, bytes), Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Round {
    /// The place behind its last group.
    pub fn until(&self) -> Place {
        self.until
    }

    /// Bytes of its groups.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Tells its groups in order.
    pub fn each(&self, mut act: impl FnMut(Told<'_>)) {
        let mut next = vec![0; self.lanes.len()];
        let (mut lane, mut place) = (0, self.from);
        while place < self.until {
            let next_of = |lane: usize| self.lanes[lane].runs.get(next[lane]).filter(|run| run.from == place);
            if next_of(lane).is_none() {
                let mut lanes = 0..self.lanes.len();
                lane = lanes.find(|lane| next_of(*lane).is_some()).expect("each place is in some lane");
            }
            place = next_of(lane).map_or(place, |run| run.until);
            act(self.lanes[lane].told(next[lane]));
            next[lane] += 1;
        }
    }
}

/// Who reads, or did.
#[derive(Clone, Copy, Debug)]
pub struct Consumer {
    id: u64,
}

/// The order, and who reads it.
#[derive(Default)]
pub struct Order {
    next: NextPlace,
    lanes: Box<[Arc<Lane>]>,
    read: Mutex<Rounds>,
    /// A consumer sleeps that the next group is to wake.
    asleep: AtomicBool,
    /// How many consumers sleep.
    sleepers: Mutex<usize>,
    published: Condvar,
    rung: Condvar,
    /// Replies that tell of groups before this place may leave.
    released: AtomicU64,
    on_lag: OnceLock<Box<dyn Fn(bool) + Send + Sync>>,
    /// The sum of all [`Held`].
    held: Arc<AtomicUsize>,
}

/// The place of the next group, on a cache line of its own: every writer adds to it.
#[derive(Debug, Default)]
#[repr(align(128))]
struct NextPlace(AtomicU64);

#[derive(Debug, Default)]
struct Rounds {
    /// Those that somebody has not been given yet, and the number of the first.
    rounds: VecDeque<Arc<Round>>,
    first: u64,
    bytes: usize,
    /// The place behind the last round.
    until: Place,
    /// Consumers with the numbers of their next rounds.
    consumers: Vec<(u64, u64)>,
    last_id: u64,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Order").field("next", &self.next.0).finish_non_exhaustive()
    }
}

impl Order {
    /// The order of groups from these lanes.
    pub fn new(lanes: Vec<Arc<Lane>>) -> Order {
        Order { lanes: lanes.into(), ..Order::default() }
    }

    /// Sets what is done when writers are to be held back (true), and when they may go on.
    pub fn on_lag(&self, act: impl Fn(bool) + Send + Sync + 'static) {
        // There is one server, which says it once.
        let _ = self.on_lag.set(Box::new(act));
    }

    fn lags(&self, lags: bool) {
        if let Some(act) = self.on_lag.get() {
            act(lags);
        }
    }

    /// Gives a group its place. Called before the locks of the group's command are released.
    pub fn publish(&self, lane: &Lane, group: Box<Recorder>) {
        if !group.is_empty() {
            let mut queue = lane.queue.lock();
            // Behind the lane's lock: who has those of all lanes knows that every place that was given is in one of them.
            let place = self.next.0.fetch_add(1, Ordering::SeqCst);
            queue.groups.push(place, &group);
            lane.end.store(place + 1, Ordering::Relaxed);
            if queue.groups.bytes.len() > LANE_BYTES_MAX {
                self.lags(true);
            }
            queue.groups.prefetch();
            drop(queue);
            if self.asleep.load(Ordering::SeqCst) {
                self.wake();
            }
        }
        group.give_back();
    }

    /// The place that the next group will have.
    pub fn next(&self) -> Place {
        self.next.0.load(Ordering::SeqCst)
    }

    /// The place of the next group, which is the first of a round. The caller holds all shards' locks, so that no change comes
    /// meanwhile; messages may. Whoever is given what comes behind the place looks later than `mark` was told it.
    pub fn boundary(&self, mark: impl FnOnce(Place)) -> Place {
        let mut read = self.read.lock();
        self.collect(&mut read);
        mark(read.until);
        read.until
    }

    /// Replies that tell of groups before this place may leave.
    #[inline]
    pub fn released(&self) -> Place {
        self.released.load(Ordering::SeqCst)
    }

    /// Lets replies leave that tell of groups before a place.
    pub fn release(&self, until: Place) {
        self.released.fetch_max(until, Ordering::SeqCst);
    }

    /// A new consumer of what comes from now on. The caller holds all shards' locks.
    pub fn join(&self) -> Consumer {
        let mut read = self.read.lock();
        self.collect(&mut read);
        read.last_id += 1;
        let (id, number) = (read.last_id, read.first + read.rounds.len() as u64);
        read.consumers.push((id, number));
        Consumer { id }
    }

    /// The consumer reads no more.
    pub fn leave(&self, consumer: Consumer) {
        let mut read = self.read.lock();
        read.consumers.retain(|(id, _)| *id != consumer.id);
        read.forget();
        if read.consumers.is_empty() {
            self.collect(&mut read);
        }
    }

    /// True while somebody reads.
    pub fn is_read(&self) -> bool {
        !self.read.lock().consumers.is_empty()
    }

    /// What has come since the consumer read last, in order; nothing where nothing has, or where others have to read first.
    pub fn read(&self, consumer: Consumer) -> Vec<Arc<Round>> {
        let mut read = self.read.lock();
        if read.bytes <= ROUNDS_BYTES_MAX {
            self.collect(&mut read);
        }
        let end = read.first + read.rounds.len() as u64;
        let Some(mine) = read.consumers.iter_mut().find(|(id, _)| *id == consumer.id) else {
            return Vec::new();
        };
        let from = std::mem::replace(&mut mine.1, end);
        let skipped = (from - read.first) as usize;
        let rounds = read.rounds.iter().skip(skipped).cloned().collect();
        read.forget();
        rounds
    }

    /// Takes rounds back that were read, for the memory that they have.
    pub fn give_back(&self, rounds: Vec<Arc<Round>>) {
        for round in rounds.into_iter().filter_map(Arc::into_inner) {
            for (lane, mut groups) in self.lanes.iter().zip(round.lanes) {
                groups.clear();
                let emptied = &mut lane.queue.lock().emptied;
                if (emptied.bytes.capacity()..=KEPT_BYTES_MAX).contains(&groups.bytes.capacity()) {
                    *emptied = groups;
                }
            }
        }
    }

    /// Waits until there may be something for a consumer to read, somebody rings, or the time is over.
    pub fn wait(&self, consumer: Consumer, at_most: Duration) {
        let mut sleepers = self.sleepers.lock();
        *sleepers += 1;
        self.asleep.store(true, Ordering::SeqCst);
        // Whoever has published before has not seen that somebody sleeps.
        if !self.has_news(consumer) {
            self.published.wait_for(&mut sleepers, at_most);
        }
        *sleepers -= 1;
        // One that wakes by itself leaves others asleep.
        self.asleep.store(*sleepers > 0, Ordering::SeqCst);
    }

    /// Waits until somebody rings, or the time is over: for whoever does not read at present.
    pub fn wait_for_ring(&self, at_most: Duration) {
        self.rung.wait_for(&mut self.sleepers.lock(), at_most);
    }

    fn has_news(&self, consumer: Consumer) -> bool {
        let read = self.read.lock();
        let end = read.first + read.rounds.len() as u64;
        let is_behind = |(id, number): &(u64, u64)| *id == consumer.id && *number < end;
        self.next() != read.until || read.consumers.iter().any(is_behind)
    }

    /// Wakes everybody who waits.
    pub fn ring(&self) {
        self.wake();
        self.rung.notify_all();
    }

    /// Wakes the consumers.
    #[cold]
    fn wake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
        drop(self.sleepers.lock());
        self.published.notify_all();
    }

    /// Bytes that wait to be read.
    pub fn waiting_bytes(&self) -> usize {
        self.lanes.iter().map(|lane| lane.queue.lock().groups.bytes.len()).sum()
    }

    /// Has memory counted that somebody needs to read the order.
    pub fn hold(&self, bytes: usize) -> Held {
        let mut held = Held { bytes: 0, all: Arc::clone(&self.held) };
        held.set(bytes);
        held
    }

    /// Bytes of memory of what waits to be read, of what is being read and comes of it, and of what is kept for the next.
    pub fn held_bytes(&self) -> usize {
        let of_lane = |lane: &Arc<Lane>| {
            let queue = lane.queue.lock();
            queue.groups.memory_bytes() + queue.emptied.memory_bytes()
        };
        self.lanes.iter().map(of_lane).sum::<usize>() + self.held.load(Ordering::Relaxed)
    }

    /// Nothing comes, so no memory is kept for more.
    fn forget_memory(&self) {
        for lane in &self.lanes {
            let mut queue = lane.queue.lock();
            if queue.emptied.bytes.capacity() > IDLE_BYTES_MAX {
                queue.emptied = Groups::default();
            }
        }
    }

    /// Empties the lanes, as they are at one moment.
    fn collect(&self, read: &mut Rounds) {
        if self.next() == read.until {
            return self.forget_memory();
        }
        let mut queues: Vec<MutexGuard<'_, LaneQueue>> =
            self.lanes.iter().map(|lane| lane.queue.lock()).collect();
        let until = self.next();
        let taken = queues.iter_mut().map(|queue| {
            let LaneQueue { groups, emptied } = &mut **queue;
            std::mem::replace(groups, std::mem::take(emptied))
        });
        let lanes: Vec<Groups> = taken.collect();
        drop(queues);
        self.lags(false);
        let from = std::mem::replace(&mut read.until, until);
        if !read.consumers.is_empty() {
            let bytes = lanes.iter().map(|groups| groups.bytes.len()).sum();
            read.bytes += bytes;
            let held = self.hold(lanes.iter().map(Groups::memory_bytes).sum());
            read.rounds.push_back(Arc::new(Round { lanes, from, until, bytes, _held: held }));
        }
    }
}

impl Rounds {
    /// Lets go of rounds that everybody has been given.
    fn forget(&mut self) {
        let end = self.first + self.rounds.len() as u64;
        let keep_from = self.consumers.iter().map(|(_, number)| *number).min().unwrap_or(end);
        while self.first < keep_from {
            let Some(round) = self.rounds.pop_front() else { return };
            self.bytes -= round.bytes;
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use swytch_store::{At, Effect, KeyOp, Op, Sink};

    use super::*;

    fn order(lanes: usize) -> Order {
        Order::new((0..lanes).map(|_| Arc::default()).collect())
    }

    /// A group of this many deletions of a key.
    fn publish(order: &Order, lane: usize, key: &[u8], count: usize) {
        let mut group = Recorder::of_thread();
        for _ in 0..count {
            group.changed(&Effect { db: 3, at: At::Key { key, op: Op::Key(KeyOp::Delete) } }, None);
        }
        order.publish(&order.lanes[lane], group);
    }

    /// Groups of one such command or several: how many, and their bytes.
    fn read(order: &Order, consumer: Consumer) -> Vec<(u32, Vec<u8>)> {
        let mut groups = Vec::new();
        for round in order.read(consumer) {
            round.each(|told| match told {
                Told::Commands { db, bytes } => {
                    assert_eq!(db, 3);
                    let text = std::str::from_utf8(bytes).expect("it is text");
                    let commands = text.split("*2\r\n").skip(1);
                    groups.extend(commands.map(|command| (1, format!("*2\r\n{command}").into_bytes())));
                }
                Told::Group(group) => {
                    let bytes = group.effects().flat_map(|(_, bytes)| bytes.to_vec()).collect();
                    groups.push((group.commands, bytes));
                }
            });
        }
        groups
    }

    #[test]
    fn groups_of_all_lanes_are_read_in_the_order_of_their_places() {
        let order = order(3);
        let consumer = order.join();
        for number in 0..100usize {
            // Some that follow one another in a lane, and some that do not.
            publish(&order, number / 4 * number % 3, format!("{number}").as_bytes(), 1 + number / 2 % 2);
        }
        let groups = read(&order, consumer);
        assert_eq!(groups.len(), 100);
        for (number, (commands, bytes)) in groups.iter().enumerate() {
            let digits = number.to_string();
            let one = format!("*2\r\n$3\r\nDEL\r\n${}\r\n{digits}\r\n", digits.len());
            let count = 1 + number / 2 % 2;
            assert_eq!((*commands as usize, bytes), (count, &one.repeat(count).into_bytes()));
        }
        assert!(read(&order, consumer).is_empty());
    }

    #[test]
    fn who_joins_later_reads_what_comes_later_and_the_slow_one_misses_nothing() {
        let order = order(2);
        publish(&order, 0, b"before", 1);
        let slow = order.join();
        publish(&order, 1, b"first", 1);
        let late = order.join();
        publish(&order, 0, b"second", 1);
        assert_eq!(read(&order, late).len(), 1);
        publish(&order, 1, b"third", 1);
        assert_eq!(read(&order, late).len(), 1);
        let all = read(&order, slow);
        assert_eq!(all.len(), 3);
        assert!(all[0].1.ends_with(b"first\r\n") && all[2].1.ends_with(b"third\r\n"));
        assert!(order.read.lock().rounds.is_empty(), "nothing is kept that everybody has read");
        order.leave(slow);
        order.leave(late);
        assert!(!order.is_read());
    }

    #[test]
    fn commands_of_one_database_that_follow_one_another_are_told_at_once() {
        let mut groups = Groups::default();
        for (place, db, count) in
            [(1, 0, 1), (2, 0, 1), (4, 0, 1), (5, 7, 1), (6, 7, 2), (7, 7, 2), (8, 7, 1)]
        {
            let mut recorder = Recorder::default();
            let key = format!("key {place}");
            for _ in 0..count {
                let at = At::Key { key: key.as_bytes(), op: Op::Key(KeyOp::Delete) };
                recorder.changed(&Effect { db, at }, None);
            }
            groups.push(place, &recorder);
        }
        let keys = |bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec()).expect("it is text");
            text.matches(char::is_numeric).collect::<String>().replace("235", "")
        };
        let told = (0..groups.runs.len()).map(|at| match groups.told(at) {
            Told::Commands { db, bytes } => format!("{db}: {}", keys(bytes)),
            Told::Group(group) => {
                let bytes: Vec<u8> = group.effects().flat_map(|(_, bytes)| bytes.to_vec()).collect();
                format!("of {}: {}", group.commands, keys(&bytes))
            }
        });
        assert_eq!(told.collect::<Vec<_>>(), ["0: 12", "0: 4", "7: 5", "of 2: 66", "of 2: 77", "7: 8"]);
    }

    #[test]
    fn each_group_of_many_threads_is_read_once_and_those_of_a_thread_in_its_order() {
        const THREADS: usize = 4;
        const GROUPS: usize = 20_000;
        let order = order(THREADS);
        let consumer = order.join();
        let running = AtomicUsize::new(THREADS);
        let mut seen = vec![0usize; THREADS];
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (order, running) = (&order, &running);
                scope.spawn(move || {
                    for number in 0..GROUPS {
                        publish(order, thread, format!("{thread}:{number}").as_bytes(), 1);
                    }
                    running.fetch_sub(1, Ordering::SeqCst);
                });
            }
            loop {
                let done = running.load(Ordering::SeqCst) == 0;
                for (_, bytes) in read(&order, consumer) {
                    let text = String::from_utf8(bytes).expect("it is text");
                    let (thread, number) = text
                        .trim_end()
                        .rsplit('\n')
                        .next()
                        .and_then(|key| key.split_once(':'))
                        .expect("a key");
                    let (thread, number): (usize, usize) =
                        (thread.parse().expect("a number"), number.parse().expect("a number"));
                    assert_eq!(seen[thread], number, "of thread {thread}");
                    seen[thread] += 1;
                }
                if done {
                    break;
                }
                order.wait(consumer, Duration::from_millis(5));
            }
        });
        assert_eq!(seen, [GROUPS; THREADS]);
    }

    #[test]
    fn writers_are_held_back_while_a_lane_is_full() {
        let order = order(1);
        let lags = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&lags);
        order.on_lag(move |now| told.store(now, Ordering::SeqCst));
        let consumer = order.join();
        let key = vec![b'k'; 1 << 20];
        for _ in 0..LANE_BYTES_MAX >> 20 {
            publish(&order, 0, &key, 1);
        }
        assert!(lags.load(Ordering::SeqCst));
        assert_eq!(read(&order, consumer).len(), LANE_BYTES_MAX >> 20);
        assert!(!lags.load(Ordering::SeqCst));
        // Another one that does not read holds everybody back in the end.
        let _lazy = order.join();
        let mut published = 0;
        while !lags.load(Ordering::SeqCst) || !read(&order, consumer).is_empty() {
            publish(&order, 0, &key, 1);
            published += 1;
            assert!(published < 1000, "nobody is held back");
        }
        assert!(published >= (ROUNDS_BYTES_MAX + LANE_BYTES_MAX) >> 20);
    }
}
