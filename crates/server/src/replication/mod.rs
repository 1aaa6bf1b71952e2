//! Followers: servers that were told REPLICAOF, and whoever reads as they do.
//!
//! - `stream`: the order of effects as bytes that have positions
//! - `chunks`: bytes that several readers share
//! - `transfer`: the data at one moment on its way
//! - `follower`: one of them, and how far it is; `waits`: what it is that clients wait for
//!
//! The last bytes of the stream are kept (`repl-backlog-size`), and from where the slowest follower is. A follower reads when
//! its connection can take more, straight from what all share: it costs no memory of its own, and one that stays behind by
//! more than `client-output-buffer-limit` is let go.
//!
//! The thread that makes the stream, and who writes the data, are in `persistence/replicate`. While nobody has followed nothing
//! reads the order of effects.

pub mod chunks;
mod follower;
mod stream;
mod transfer;
mod waits;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use swytch_resp::Output;
use swytch_resp::output::CHUNK_BYTES;

use self::chunks::Chunks;
use self::follower::{NOTHING, Reading};
use self::transfer::Found;
use crate::clients::ClientShared;
use crate::clients::introduction::Introduction;
use crate::effects::{Order, Place};
use crate::system::clock::MonotonicMs;

pub use follower::{Follower, Phase};
pub use stream::Reader;
pub use transfer::{Form, Transfer};
pub use waits::Awaited;

/// Bytes that are appended to a follower's output at a time, about.
const FEED_BYTES: usize = 256 * 1024;

/// Bytes of the stream that are forgotten together where few are kept.
const CHUNK_BYTES_MIN: usize = 4096;

/// Places of the order whose positions are remembered: long enough for whoever waits to look.
const REACHED_MAX: usize = 1024;

/// Who follows, and what they read.
#[derive(Debug)]
pub struct Replication {
    state: Mutex<State>,
    /// Who reads the order of effects, while anybody follows or may come back. Whoever holds shards' locks besides has taken them
    /// before.
    pub reader: Mutex<Option<Reader>>,
    /// The place where the data is that is to be sent, and who is to know its position.
    moment: Mutex<Option<(Place, Arc<Transfer>)>>,
    /// Somebody waits for acknowledgements.
    wants_acknowledgements: AtomicBool,
    /// Something is kept of the stream.
    is_kept: AtomicBool,
    /// Nothing is added to the stream but effects: what is saved now tells where it ends.
    pub is_silent: AtomicBool,
    followers: AtomicUsize,
    /// How many of them are online and were heard of within `min-replicas-max-lag`.
    pub good: AtomicUsize,
    /// Times that somebody was sent the data.
    pub full: AtomicU64,
    /// Times that somebody went on with the stream, and that somebody could not.
    pub partial: AtomicU64,
    /// Times that somebody wanted to and could not.
    pub partial_refused: AtomicU64,
}

#[derive(Debug)]
struct State {
    /// The name of the history that the stream tells: 40 hexadecimal digits.
    name: String,
    /// The name that it had before the server was started again, and where it ended then.
    before: Option<(String, u64)>,
    /// What is kept of the stream, while there is one.
    kept: Option<Chunks>,
    /// How many bytes of it are kept at least.
    bytes_min: u64,
    /// Where it has ended, and the place of the order that this was at: behind that groups are counted.
    end: u64,
    ended_at: Place,
    order: Arc<Order>,
    /// Places that it has reached lately, and their positions.
    reached: VecDeque<(Place, u64)>,
    followers: Vec<Arc<Follower>>,
    /// Since when there are none.
    alone_since: MonotonicMs,
}

/// What a follower was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fed {
    /// All that there is at present.
    All,
    /// A part of it.
    Part,
    /// The last that it will be given.
    Last,
}

/// What INFO tells of the stream.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The name of the history.
    pub name: String,
    /// The one that it had before, and until where.
    pub before: Option<(String, u64)>,
    /// Where the stream ends.
    pub end: u64,
    /// The first position that is kept, and how many bytes are, if there is a stream.
    pub kept: Option<(u64, u64)>,
    /// Bytes of memory that this takes.
    pub held_bytes: usize,
    /// Who follows.
    pub followers: Vec<Arc<Follower>>,
}

/// 40 hexadecimal digits that nobody has had before.
pub fn new_name() -> String {
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes).expect("the system has given random numbers at the start");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Those who wait for the data.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// When the first of them has come.
    pub since: MonotonicMs,
    /// How many they are.
    pub count: usize,
    /// All of them can be sent it while it is written.
    pub all_find_marks: bool,
}

impl Replication {
    /// With nobody, who may come to read this order.
    pub fn new(order: &Arc<Order>) -> Replication {
        Replication {
            state: Mutex::new(State {
                name: new_name(),
                before: None,
                kept: None,
                bytes_min: 0,
                end: 0,
                ended_at: 0,
                order: Arc::clone(order),
                reached: VecDeque::from([(0, 0)]),
                followers: Vec::new(),
                alone_since: MonotonicMs::now(),
            }),
            reader: Mutex::new(None),
            moment: Mutex::new(None),
            wants_acknowledgements: AtomicBool::new(false),
            is_kept: AtomicBool::new(false),
            is_silent: AtomicBool::new(false),
            followers: AtomicUsize::new(0),
            good: AtomicUsize::new(0),
            full: AtomicU64::new(0),
            partial: AtomicU64::new(0),
            partial_refused: AtomicU64::new(0),
        }
    }

    /// True while anybody follows.
    pub fn has_followers(&self) -> bool {
        self.followers.load(Ordering::SeqCst) > 0
    }

    /// True while there is a stream, for those who follow or may come back.
    pub fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::SeqCst)
    }

    /// Those who follow.
    pub fn followers(&self) -> Vec<Arc<Follower>> {
        self.state.lock().followers.clone()
    }

    /// A client's place among them.
    pub fn follower(&self, client: u64) -> Option<Arc<Follower>> {
        self.state.lock().followers.iter().find(|follower| follower.client.id == client).cloned()
    }

    /// What there is to tell.
    pub fn facts(&self) -> Facts {
        let state = self.state.lock();
        let kept = state.kept.as_ref();
        Facts {
            name: state.name.clone(),
            before: state.before.clone(),
            end: state.end(),
            kept: kept.map(|kept| (kept.start(), kept.end() - kept.start())),
            held_bytes: kept.map_or(0, Chunks::held_bytes),
            followers: state.followers.clone(),
        }
    }

    /// Bytes of memory of what is kept and on its way.
    pub fn held_bytes(&self) -> usize {
        let facts = self.facts();
        let transfer_of = |follower: &Arc<Follower>| match &*follower.reading.lock() {
            Reading::Receives(transfer) => Some(Arc::clone(transfer)),
            _ => None,
        };
        let mut transfers: Vec<Arc<Transfer>> = facts.followers.iter().filter_map(transfer_of).collect();
        // Several are sent the same.
        transfers.sort_unstable_by_key(Arc::as_ptr);
        transfers.dedup_by(|one, other| Arc::ptr_eq(one, other));
        facts.held_bytes + transfers.iter().map(|transfer| transfer.held_bytes()).sum::<usize>()
    }

    /// Bytes of memory of what followers' connections are to send.
    pub fn output_bytes(&self) -> usize {
        let bytes =
            |follower: &Arc<Follower>| follower.client.output_held_bytes.load(Ordering::Relaxed) as usize;
        self.facts().followers.iter().map(bytes).sum()
    }

    /// A client goes on with the stream where it has left it; the name of the history, or nothing where that cannot be.
    pub fn go_on(
        &self,
        client: &Arc<ClientShared>,
        introduction: &Introduction,
        name: &[u8],
        position: u64,
    ) -> Option<String> {
        let mut state = self.state.lock();
        let is_kept = state.kept.as_ref().is_some_and(|kept| (kept.start()..=kept.end()).contains(&position));
        let is_named = |known: &str| known.as_bytes().eq_ignore_ascii_case(name);
        let was_named = |(known, end): &(String, u64)| is_named(known) && position <= *end;
        if !is_kept || !is_named(&state.name) && !state.before.as_ref().is_some_and(was_named) {
            return None;
        }
        let follower = Follower::new(client, introduction.clone(), false, Reading::Streams(position));
        follower.acknowledge(position);
        self.add(&mut state, follower);
        self.partial.fetch_add(1, Ordering::Relaxed);
        Some(state.name.clone())
    }

    /// A client is to be sent the data, and then the stream.
    pub fn begin(&self, client: &Arc<ClientShared>, introduction: &Introduction, is_plain: bool) {
        let mut state = self.state.lock();
        let reading = Reading::Waits(MonotonicMs::now());
        self.add(&mut state, Follower::new(client, introduction.clone(), is_plain, reading));
    }

    fn add(&self, state: &mut State, follower: Follower) {
        state.followers.push(Arc::new(follower));
        self.followers.store(state.followers.len(), Ordering::SeqCst);
    }

    /// A follower follows no more.
    pub fn leave(&self, follower: &Arc<Follower>) {
        let mut reading = follower.reading.lock();
        if let Reading::Receives(transfer) = std::mem::replace(&mut *reading, Reading::Ended) {
            transfer.leave(follower);
        }
        let mut state = self.state.lock();
        state.followers.retain(|other| !Arc::ptr_eq(other, follower));
        self.followers.store(state.followers.len(), Ordering::SeqCst);
        if state.followers.is_empty() {
            state.alone_since = MonotonicMs::now();
        }
        // Nobody comes back for what was kept for it alone.
        state.forget();
    }

    /// Appends what there is for a follower to its output.
    pub fn feed(&self, follower: &Arc<Follower>, out: &mut Output) -> Fed {
        while out.pending() < FEED_BYTES {
            let mut reading = follower.reading.lock();
            let wants_data_only = follower.introduction.data_only;
            match &*reading {
                Reading::Waits(_) => {
                    follower.is_hungry.store(true, Ordering::SeqCst);
                    self.let_wait(follower, out);
                    return Fed::All;
                }
                Reading::Loads(_) => return Fed::All,
                Reading::Ended => return Fed::Last,
                Reading::Receives(transfer) => match transfer.read(follower, FEED_BYTES, out) {
                    Found::Bytes => {}
                    Found::Nothing(has_begun) => {
                        if !has_begun {
                            self.let_wait(follower, out);
                        }
                        return Fed::All;
                    }
                    Found::Broken => return Fed::Last,
                    Found::End(from) => {
                        transfer.leave(follower);
                        let is_marked = transfer.form.is_marked;
                        follower.begin_to_count();
                        // Behind a mark nothing may come that is read together with it.
                        *reading = match (wants_data_only, is_marked) {
                            (true, _) => Reading::Ended,
                            (false, true) => Reading::Loads(from),
                            (false, false) => Reading::Streams(from),
                        };
                    }
                },
                &Reading::Streams(at) => {
                    let state = self.state.lock();
                    let kept = state.kept.as_ref().filter(|kept| kept.start() <= at);
                    let Some(kept) = kept else { return Fed::Last };
                    let next = kept.read(at, FEED_BYTES, out);
                    if next == at {
                        // Whoever appends later than this looks at it.
                        follower.is_hungry.store(true, Ordering::SeqCst);
                        return Fed::All;
                    }
                    follower.needs_from.store(next, Ordering::SeqCst);
                    *reading = Reading::Streams(next);
                }
            }
        }
        Fed::Part
    }

    fn let_wait(&self, follower: &Follower, out: &mut Output) {
        if !follower.is_plain && follower.is_to_wait.swap(false, Ordering::SeqCst) {
            out.extend(b"\n");
        }
    }

    /// Those who wait for the data; nothing where nobody does.
    pub fn waiting(&self) -> Option<Waiting> {
        if !self.has_followers() {
            return None;
        }
        let waits = |follower: &Arc<Follower>| match *follower.reading.lock() {
            Reading::Waits(since) => {
                Some(Waiting { since, count: 1, all_find_marks: follower.introduction.finds_mark })
            }
            _ => None,
        };
        let both = |one: Waiting, other: Waiting| Waiting {
            since: one.since.min(other.since),
            count: one.count + other.count,
            all_find_marks: one.all_find_marks && other.all_find_marks,
        };
        self.followers().iter().filter_map(waits).reduce(both)
    }

    /// Those of the first form among those who wait are to be sent the data as it is now: the order's next place, and how it is
    /// sent, from memory or else from a file; nothing where nobody waits. The caller holds all shards' locks.
    pub(crate) fn mark(&self, order: &Order, from_memory: bool) -> Option<(Place, Arc<Transfer>)> {
        let mut followers = self.followers();
        followers.retain(|follower| matches!(*follower.reading.lock(), Reading::Waits(_)));
        let form = Form::of(&followers.first()?.introduction, from_memory);
        let mut chosen = followers;
        chosen.retain(|follower| Form::of(&follower.introduction, from_memory) == form);
        {
            // Where the stream goes on is not before its end.
            let end = self.state.lock().end();
            chosen.iter().for_each(|follower| follower.needs_from.store(end, Ordering::SeqCst));
        }
        let transfer = Arc::new(Transfer::new(form, &chosen));
        for follower in &chosen {
            let mut reading = follower.reading.lock();
            match *reading {
                Reading::Waits(_) => *reading = Reading::Receives(Arc::clone(&transfer)),
                // It has left meanwhile.
                _ => transfer.leave(follower),
            }
        }
        self.full.fetch_add(chosen.len() as u64, Ordering::Relaxed);
        let place = order.boundary(|place| *self.moment.lock() = Some((place, Arc::clone(&transfer))));
        Some((place, transfer))
    }

    /// Who is to know the position of this place, if anybody is.
    fn take_moment(&self, place: Place) -> Option<Arc<Transfer>> {
        let mut moment = self.moment.lock();
        moment.take_if(|(at, _)| *at == place).map(|(_, transfer)| transfer)
    }

    /// A history begins whose stream is kept from now on; false where there is one.
    pub(crate) fn keep(&self) -> bool {
        let mut state = self.state.lock();
        if state.kept.is_some() {
            return false;
        }
        (state.name, state.before) = (new_name(), None);
        state.kept = Some(Chunks::new(state.end()));
        self.is_kept.store(true, Ordering::SeqCst);
        true
    }

    /// The history goes on that had this name and ended here when the server did: whoever has all of it need not begin again.
    /// The next place of the order is there.
    pub(crate) fn resume(&self, name: String, end: u64, place: Place) {
        let mut state = self.state.lock();
        (state.before, state.end, state.reached) = (Some((name, end)), end, VecDeque::from([(place, end)]));
        (state.kept, state.alone_since) = (Some(Chunks::new(end)), MonotonicMs::now());
        self.is_kept.store(true, Ordering::SeqCst);
    }

    /// Nothing is kept any more; false where somebody follows.
    pub(crate) fn keep_no_more(&self) -> bool {
        let mut state = self.state.lock();
        if !state.followers.is_empty() {
            return false;
        }
        let end = state.end();
        state.end_at(end);
        state.kept = None;
        self.is_kept.store(false, Ordering::SeqCst);
        true
    }

    /// How far the history is.
    pub fn offset(&self) -> u64 {
        self.state.lock().end()
    }

    /// The history has come as far as this when the server starts.
    pub(crate) fn begin_at(&self, offset: u64) {
        self.state.lock().end_at(offset);
    }

    /// For how many bytes of the stream each follower is waited for, of those who need any.
    pub fn behind(&self) -> Vec<(Arc<Follower>, u64)> {
        let state = self.state.lock();
        let end = state.end();
        let behind = |follower: &Arc<Follower>| {
            let from = follower.needs_from.load(Ordering::SeqCst);
            (from != NOTHING).then(|| (Arc::clone(follower), end.saturating_sub(from)))
        };
        state.followers.iter().filter_map(behind).collect()
    }

    /// Counts those who are online and were heard of within this time.
    pub fn count_good(&self, lag_max_s: u64) {
        let now = MonotonicMs::now();
        let is_good = |follower: &&Arc<Follower>| {
            follower.phase() == Some(Phase::Online) && follower.silent_ms(now) / 1000 <= lag_max_s
        };
        self.good.store(self.followers().iter().filter(is_good).count(), Ordering::Relaxed);
    }

    /// Groups before a place are in the stream, which they end now.
    pub(crate) fn reach(&self, place: Place) {
        let mut state = self.state.lock();
        if state.reached.back().is_none_or(|(last, _)| *last < place) {
            let end = state.end();
            state.reached.push_back((place, end));
            if state.reached.len() > REACHED_MAX {
                state.reached.pop_front();
            }
        }
    }

    /// A position of the stream that all groups before a place lie before, if it has come that far: the first that is known.
    fn position_of(&self, place: Place) -> Option<u64> {
        let state = self.state.lock();
        let first = state.reached.partition_point(|(reached, _)| *reached < place);
        state.reached.get(first).map(|(_, position)| *position)
    }

    /// How many followers say that they have the stream up to a position, and how many that it is in their logs.
    fn count_acknowledged(&self, position: u64) -> (usize, usize) {
        let mut followers = self.followers();
        followers.retain(|follower| follower.phase() == Some(Phase::Online));
        let count =
            |has: fn(&Follower, u64) -> bool| followers.iter().filter(|one| has(one, position)).count();
        (count(Follower::has), count(Follower::has_in_log))
    }

    /// Followers are to acknowledge what they have, all that was published until now included.
    pub fn want_acknowledgements(&self) {
        self.wants_acknowledgements.store(true, Ordering::SeqCst);
    }

    /// Since when nobody follows, if something is kept all the same.
    pub(crate) fn alone_since(&self) -> Option<MonotonicMs> {
        let state = self.state.lock();
        (state.followers.is_empty() && state.kept.is_some()).then_some(state.alone_since)
    }

    /// The history has another name from now on: nobody goes on with it.
    pub fn rename(&self) {
        self.state.lock().name = new_name();
    }

    /// Appends to the stream, of which at least `bytes_min` are kept, and tells `wake` of those who have waited for it. The
    /// position behind it.
    pub(crate) fn append(&self, bytes: &[u8], bytes_min: u64, wake: impl Fn(&Follower)) -> u64 {
        let mut state = self.state.lock();
        state.bytes_min = bytes_min;
        let State { kept, followers, .. } = &mut *state;
        let Some(kept) = kept else { return state.end() };
        // No more is kept than is to be by a quarter.
        let chunk_bytes = (bytes_min / 4).clamp(CHUNK_BYTES_MIN as u64, CHUNK_BYTES as u64) as usize;
        kept.append(bytes, chunk_bytes);
        let is_hungry = |follower: &&Arc<Follower>| follower.is_hungry.swap(false, Ordering::SeqCst);
        if !bytes.is_empty() {
            followers.iter().filter(is_hungry).for_each(|follower| wake(follower));
        }
        let end = kept.end();
        state.forget();
        end
    }
}

impl State {
    /// Where the history is: behind the stream or, while there is none, by one further for each group, as Redis counts commands then.
    fn end(&self) -> u64 {
        match &self.kept {
            Some(kept) => kept.end(),
            None => self.end + self.order.next().saturating_sub(self.ended_at),
        }
    }

    fn end_at(&mut self, offset: u64) {
        (self.end, self.ended_at) = (offset, self.order.next());
    }

    /// Forgets what need not be kept and nobody needs.
    fn forget(&mut self) {
        let Some(kept) = &mut self.kept else { return };
        let needed = self.followers.iter().map(|follower| follower.needs_from.load(Ordering::SeqCst)).min();
        kept.forget(kept.end().saturating_sub(self.bytes_min).min(needed.unwrap_or(NOTHING)));
    }
}
