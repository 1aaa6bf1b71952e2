//! One order of all effects, without a lock that all writers share.
//!
//! The effects of one command, transaction or script are a group. Before the locks of its shards are released a group is
//! given its place, by one atomic addition, and copied to the [`Lane`] of the thread that made it. Groups that touch the same
//! key hold a common lock, so the order of places is the order of changes of every key; a transaction's group lies at one
//! place whatever it touched.
//!
//! Consumers read from behind. [`Order::read`] empties the lanes into a [`Round`], which tells its groups in the order of
//! places; a round is kept until every consumer has been given it. Nothing of this runs under a shard's lock.
//!
//! Memory is bounded: who reads too slowly makes rounds stay, when too much of them is there no lane is emptied, and when a
//! lane is full the server is told to hold its writers back ([`Order::on_lag`]) until the lanes are empty again. Writers that are
//! past that check add a group each at most.
//!
//! Without a consumer nothing is collected.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use swytch_store::prefetch;

use super::group::{Group, Recorder, Subject};

/// Bytes that wait in one lane before writers are held back.
const LANE_BYTES_MAX: usize = 16 << 20;
/// Bytes of rounds that wait for a consumer before the lanes are left as they are.
const ROUNDS_BYTES_MAX: usize = 64 << 20;

/// Bytes of a lane that are kept for what comes next.
const KEPT_BYTES_MAX: usize = 2 << 20;
/// Cache lines of the next group that are sent for.
const PREFETCHED_LINES: usize = 3;

/// A group's place in the order; the first one is 0.
pub type Place = u64;

/// Where the groups of one thread wait to be read.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Lane(Mutex<LaneQueue>);

#[derive(Debug, Default)]
struct LaneQueue {
    groups: Groups,
    /// Takes the place of `groups` when these are taken: memory that was in use a moment ago.
    emptied: Groups,
    /// A recorder that nobody uses, for the memory that it has.
    spare: Option<Box<Recorder>>,
    /// Behind its last group.
    end: Place,
}

impl Lane {
    /// An empty recorder for the next group. It stays where it is until it is given back: to move what was written a moment
    /// ago costs more than to write it.
    #[inline]
    pub fn recorder(&self) -> Box<Recorder> {
        self.0.lock().spare.take().unwrap_or_default()
    }

    /// The place behind the last group of this lane.
    pub fn end(&self) -> Place {
        self.0.lock().end
    }
}

/// Groups of one lane, in order.
#[derive(Debug, Default)]
struct Groups {
    bytes: Vec<u8>,
    /// What each effect or message is about, and where its bytes end.
    effects: Vec<(Subject, usize)>,
    heads: Vec<Head>,
}

/// What is to be known of a group beside its bytes.
#[derive(Clone, Copy, Debug)]
struct Head {
    place: Place,
    commands: usize,
    /// Where its effects and their bytes begin.
    first_effect: usize,
    first_byte: usize,
}

impl Groups {
    fn clear(&mut self) {
        self.bytes.clear();
        self.effects.clear();
        self.heads.clear();
    }

    /// Sends for the memory that the next group is written to: every group ends with an instruction that waits for what was
    /// written.
    #[inline]
    fn prefetch(&self) {
        for line in 0..PREFETCHED_LINES {
            prefetch_end(&self.bytes, line * 64);
        }
        prefetch_end(&self.effects, 0);
        prefetch_end(&self.heads, 0);
    }

    fn push(&mut self, place: Place, group: &Recorder) {
        let first_byte = self.bytes.len();
        let head = Head { place, commands: group.commands, first_effect: self.effects.len(), first_byte };
        self.heads.push(head);
        self.bytes.extend_from_slice(&group.bytes);
        self.effects.extend(group.effects.iter().map(|(subject, end)| (*subject, first_byte + end)));
    }

    /// Appends the groups of another one, which come later.
    fn append(&mut self, other: &Groups) {
        let (bytes, effects) = (self.bytes.len(), self.effects.len());
        self.bytes.extend_from_slice(&other.bytes);
        self.effects.extend(other.effects.iter().map(|(subject, end)| (*subject, bytes + end)));
        self.heads.extend(other.heads.iter().map(|head| Head {
            first_effect: effects + head.first_effect,
            first_byte: bytes + head.first_byte,
            ..*head
        }));
    }

    /// Takes away the groups from a place on.
    fn split_off(&mut self, place: Place) -> Groups {
        let at = self.heads.partition_point(|head| head.place < place);
        let Some(&first) = self.heads.get(at) else { return Groups::default() };
        let moved = |head: &Head| Head {
            first_effect: head.first_effect - first.first_effect,
            first_byte: head.first_byte - first.first_byte,
            ..*head
        };
        let heads = self.heads[at..].iter().map(moved).collect();
        let effects = self.effects[first.first_effect..]
            .iter()
            .map(|(subject, end)| (*subject, end - first.first_byte));
        let later =
            Groups { bytes: self.bytes[first.first_byte..].to_vec(), effects: effects.collect(), heads };
        self.heads.truncate(at);
        self.effects.truncate(first.first_effect);
        self.bytes.truncate(first.first_byte);
        later
    }

    fn group(&self, at: usize) -> Group<'_> {
        let head = &self.heads[at];
        let end = self.heads.get(at + 1).map_or(self.effects.len(), |next| next.first_effect);
        Group {
            commands: head.commands,
            first_byte: head.first_byte,
            bytes: &self.bytes,
            effects: &self.effects[head.first_effect..end],
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
    pub fn each(&self, mut act: impl FnMut(Group<'_>)) {
        let mut next = vec![0; self.lanes.len()];
        let mut lane = 0;
        for place in self.from..self.until {
            let is_next =
                |lane: usize| self.lanes[lane].heads.get(next[lane]).is_some_and(|head| head.place == place);
            if !is_next(lane) {
                lane = (0..self.lanes.len()).find(|lane| is_next(*lane)).expect("each place is in some lane");
            }
            act(self.lanes[lane].group(next[lane]));
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
    /// What was found in each lane of places from `until` on.
    carried: Vec<Groups>,
}

impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Order").field("next", &self.next.0).finish_non_exhaustive()
    }
}

impl Order {
    /// The order of groups from these lanes.
    pub fn new(lanes: Vec<Arc<Lane>>) -> Order {
        let read = Rounds { carried: lanes.iter().map(|_| Groups::default()).collect(), ..Rounds::default() };
        Order { lanes: lanes.into(), read: Mutex::new(read), ..Order::default() }
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

    /// Gives a group its place and takes its recorder back. Called before the locks of the group's command are released.
    pub fn publish(&self, lane: &Lane, mut group: Box<Recorder>) {
        let mut queue = lane.0.lock();
        if !group.is_empty() {
            // Behind the lane's lock, so that a lane's places rise and whoever empties it finds all that were given.
            let place = self.next.0.fetch_add(1, Ordering::SeqCst);
            queue.groups.push(place, &group);
            queue.end = place + 1;
            if queue.groups.bytes.len() > LANE_BYTES_MAX {
                self.lags(true);
            }
        }
        group.clear();
        queue.groups.prefetch();
        queue.spare = Some(group);
        drop(queue);
        if self.asleep.load(Ordering::SeqCst) {
            self.wake();
        }
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
                let emptied = &mut lane.0.lock().emptied;
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
        self.lanes.iter().map(|lane| lane.0.lock().groups.bytes.len()).sum()
    }

    /// Bytes that wait to be read, or are being read.
    pub fn held_bytes(&self) -> usize {
        self.waiting_bytes() + self.read.lock().bytes
    }

    /// Empties the lanes.
    fn collect(&self, read: &mut Rounds) {
        // Who was given a place before this has the lane's lock or has put the group there.
        let until = self.next();
        if until == read.until {
            return;
        }
        let mut lanes = std::mem::take(&mut read.carried);
        for (lane, groups) in self.lanes.iter().zip(&mut lanes) {
            let taken = {
                let LaneQueue { groups, emptied, .. } = &mut *lane.0.lock();
                std::mem::replace(groups, std::mem::take(emptied))
            };
            match groups.heads.is_empty() {
                true => *groups = taken,
                false => groups.append(&taken),
            }
        }
        self.lags(false);
        read.carried = lanes.iter_mut().map(|groups| groups.split_off(until)).collect();
        let from = std::mem::replace(&mut read.until, until);
        if !read.consumers.is_empty() {
            let bytes = lanes.iter().map(|groups| groups.bytes.len()).sum();
            read.bytes += bytes;
            read.rounds.push_back(Arc::new(Round { lanes, from, until, bytes }));
        }
    }
}

#[inline(always)]
fn prefetch_end<T>(items: &[T], offset: usize) {
    prefetch(items.as_ptr_range().end.cast::<u8>().wrapping_add(offset));
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
        let mut group = order.lanes[lane].recorder();
        for _ in 0..count {
            group.changed(&Effect { db: 3, at: At::Key { key, op: Op::Key(KeyOp::Delete) } }, None);
        }
        order.publish(&order.lanes[lane], group);
    }

    fn read(order: &Order, consumer: Consumer) -> Vec<(usize, Vec<u8>)> {
        let mut groups = Vec::new();
        for round in order.read(consumer) {
            round.each(|group| {
                let bytes = group.effects().flat_map(|(_, bytes)| bytes.to_vec()).collect();
                groups.push((group.commands, bytes));
            });
        }
        groups
    }

    #[test]
    fn groups_of_all_lanes_are_read_in_the_order_of_their_places() {
        let order = order(3);
        let consumer = order.join();
        for number in 0..100usize {
            publish(&order, number % 3 * number % 3, format!("{number}").as_bytes(), 1 + number % 2);
        }
        let groups = read(&order, consumer);
        assert_eq!(groups.len(), 100);
        for (number, (commands, bytes)) in groups.iter().enumerate() {
            let digits = number.to_string();
            let one = format!("*2\r\n$3\r\nDEL\r\n${}\r\n{digits}\r\n", digits.len());
            assert_eq!((*commands, bytes), (1 + number % 2, &one.repeat(1 + number % 2).into_bytes()));
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
    fn places_that_are_given_while_lanes_are_emptied_wait_for_the_next_round() {
        let mut groups = Groups::default();
        let mut recorder = Recorder::default();
        for place in [1, 4, 9] {
            recorder.clear();
            let key = format!("key {place}");
            let effect = Effect { db: 0, at: At::Key { key: key.as_bytes(), op: Op::Key(KeyOp::Delete) } };
            recorder.changed(&effect, None);
            groups.push(place, &recorder);
        }
        let later = groups.split_off(4);
        assert_eq!(groups.heads.iter().map(|head| head.place).collect::<Vec<_>>(), [1]);
        assert_eq!(later.heads.iter().map(|head| head.place).collect::<Vec<_>>(), [4, 9]);
        groups.append(&later);
        for (at, name) in ["key 1", "key 4", "key 9"].iter().enumerate() {
            let told: Vec<u8> = groups.group(at).effects().flat_map(|(_, bytes)| bytes.to_vec()).collect();
            assert!(told.ends_with(format!("{name}\r\n").as_bytes()), "{name}");
        }
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
