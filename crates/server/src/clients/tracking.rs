//! Client tracking: who keeps what it has read, and is told once that is no longer true.
//!
//! A [`Tracker`] is what a client's tracking is to other threads. In the mode of default it is told of names it has read, which
//! the store notes (`swytch_store::readers`); in broadcasting mode of every name with one of its prefixes. What it is told goes
//! into its inbox, or into that of the client that it redirects to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bitflags::bitflags;
use parking_lot::RwLock;

use super::ClientShared;

bitflags! {
    /// How a client tracks.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Modes: u8 {
        /// It is told of every name with one of its prefixes, whether it has read it or not.
        const BROADCAST = 1 << 0;
        /// What it reads is noted only if it says so before.
        const OPT_IN = 1 << 1;
        /// What it reads is noted unless it says so before.
        const OPT_OUT = 1 << 2;
        /// It is not told of what it changes itself.
        const NO_LOOP = 1 << 3;
    }
}

/// Bytes that a prefix takes beside its own, twice: in the tracker's set, and among all prefixes, where it has a tree of
/// trackers with room for eleven.
const PREFIX_BYTES: usize = 2 * size_of::<Box<[u8]>>() + 12 * size_of::<(u64, Arc<Tracker>)>();

/// A client that tracks.
#[derive(Debug)]
pub struct Tracker {
    /// Who.
    pub client: Arc<ClientShared>,
    /// How.
    pub modes: Modes,
    /// Who is told instead.
    pub redirection: Option<Arc<ClientShared>>,
    /// What the names begin with that it is told of in broadcasting mode.
    pub prefixes: BTreeSet<Box<[u8]>>,
    prefix_bytes: usize,
    /// The client that is told instead is gone.
    is_broken: AtomicBool,
}

impl Tracker {
    /// A client's tracking.
    pub fn new(
        client: Arc<ClientShared>,
        modes: Modes,
        redirection: Option<Arc<ClientShared>>,
        prefixes: BTreeSet<Box<[u8]>>,
    ) -> Tracker {
        let prefix_bytes = prefixes.iter().map(|prefix| PREFIX_BYTES + 2 * prefix.len()).sum();
        Tracker { client, modes, redirection, prefixes, prefix_bytes, is_broken: AtomicBool::new(false) }
    }

    /// Bytes that its prefixes take.
    pub fn prefix_bytes(&self) -> usize {
        self.prefix_bytes
    }

    /// Whether what the client reads is noted; `said` is whether it has spoken of its next command (CLIENT CACHING).
    pub fn notes_reads(&self, said: bool) -> bool {
        match self.modes {
            modes if modes.contains(Modes::BROADCAST) => false,
            modes if modes.contains(Modes::OPT_IN) => said,
            modes if modes.contains(Modes::OPT_OUT) => !said,
            _ => true,
        }
    }

    /// Who is told; `None` if that is another client, and it is gone.
    pub fn receiver(&self) -> Option<&Arc<ClientShared>> {
        let receiver = self.redirection.as_ref().unwrap_or(&self.client);
        let is_gone = receiver.killed.load(Ordering::Acquire) || receiver.leaves.load(Ordering::Acquire);
        if self.redirection.is_some() && is_gone {
            self.is_broken.store(true, Ordering::Release);
            return None;
        }
        Some(receiver)
    }

    /// Whether it was to be told something since the client that is told instead is gone.
    pub fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Acquire)
    }

    /// The number of the client that is told instead, or 0.
    pub fn redirection_id(&self) -> u64 {
        self.redirection.as_ref().map_or(0, |client| client.id)
    }
}

type ByClient = HashMap<u64, Arc<Tracker>>;

/// Everybody who tracks.
#[derive(Debug, Default)]
pub struct Trackers {
    by_client: RwLock<ByClient>,
    prefixes: RwLock<Prefixes>,
    /// Names of which it is noted who has read them, and how many readers these have together.
    noted: [AtomicUsize; 2],
}

/// Who is told of the names with which prefix.
#[derive(Debug, Default)]
struct Prefixes {
    trackers: HashMap<Box<[u8]>, BTreeMap<u64, Arc<Tracker>>>,
    /// How many prefixes have which length: only these are looked for.
    lengths: BTreeMap<usize, usize>,
}

impl Trackers {
    /// The client tracks from now on, in this way and no other. `broadcasting` is told whether anybody is told of all names,
    /// under a lock that keeps what it does in order.
    pub fn begin(&self, tracker: &Arc<Tracker>, broadcasting: impl FnOnce(bool)) {
        let id = tracker.client.id;
        let mut by_client = self.by_client.write();
        let before = by_client.insert(id, Arc::clone(tracker));
        // Whoever was killed meanwhile has left, and does not come back.
        let has_left = tracker.client.killed.load(Ordering::Acquire);
        if has_left {
            by_client.remove(&id);
        }
        let mut prefixes = self.prefixes.write();
        prefixes.leave(before.as_deref());
        if !has_left {
            prefixes.enter(tracker);
        }
        broadcasting(!prefixes.trackers.is_empty());
    }

    /// The client tracks no more.
    pub fn end(&self, client: u64, broadcasting: impl FnOnce(bool)) {
        let mut by_client = self.by_client.write();
        let Some(tracker) = by_client.remove(&client) else { return };
        let mut prefixes = self.prefixes.write();
        prefixes.leave(Some(&tracker));
        broadcasting(!prefixes.trackers.is_empty());
    }

    /// How a client tracks, if it does.
    pub fn get(&self, client: u64) -> Option<Arc<Tracker>> {
        self.by_client.read().get(&client).cloned()
    }

    /// Whether what a client has read is still of use to it.
    pub fn reads_on(&self, client: u64) -> bool {
        self.by_client.read().get(&client).is_some_and(|tracker| !tracker.modes.contains(Modes::BROADCAST))
    }

    /// Everybody.
    pub fn all(&self) -> Vec<Arc<Tracker>> {
        self.by_client.read().values().cloned().collect()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.by_client.read().len()
    }

    /// How many prefixes anybody is told of.
    pub fn prefixes(&self) -> usize {
        self.prefixes.read().trackers.len()
    }

    /// Calls `look` with each prefix of a name that anybody is told of.
    pub fn prefixes_of(&self, name: &[u8], mut look: impl FnMut(&[u8])) {
        let prefixes = self.prefixes.read();
        for (length, _) in prefixes.lengths.range(..=name.len()) {
            if prefixes.trackers.contains_key(&name[..*length]) {
                look(&name[..*length]);
            }
        }
    }

    /// Those who are told of the names with this prefix.
    pub fn trackers_of(&self, prefix: &[u8]) -> Vec<Arc<Tracker>> {
        let prefixes = self.prefixes.read();
        prefixes.trackers.get(prefix).map(|of| of.values().cloned().collect()).unwrap_or_default()
    }

    /// So many names more, or fewer, are noted, with so many readers.
    pub fn note(&self, names: isize, items: isize) {
        for (count, change) in self.noted.iter().zip([names, items]) {
            // Wraps around and back again where it is negative.
            count.fetch_add(change as usize, Ordering::Relaxed);
        }
    }

    /// Names of which it is noted who has read them.
    pub fn names(&self) -> usize {
        self.noted[0].load(Ordering::Relaxed)
    }

    /// How many readers these have together.
    pub fn items(&self) -> usize {
        self.noted[1].load(Ordering::Relaxed)
    }
}

impl Prefixes {
    fn enter(&mut self, tracker: &Arc<Tracker>) {
        for prefix in &tracker.prefixes {
            let of = self.trackers.entry(prefix.clone()).or_default();
            if of.is_empty() {
                *self.lengths.entry(prefix.len()).or_default() += 1;
            }
            of.insert(tracker.client.id, Arc::clone(tracker));
        }
    }

    fn leave(&mut self, tracker: Option<&Tracker>) {
        let Some(tracker) = tracker else { return };
        for prefix in &tracker.prefixes {
            let Some(of) = self.trackers.get_mut(prefix) else { continue };
            of.remove(&tracker.client.id);
            if of.is_empty() {
                self.trackers.remove(prefix);
                let count = self.lengths.get_mut(&prefix.len()).expect("every prefix is counted");
                *count -= 1;
                if *count == 0 {
                    self.lengths.remove(&prefix.len());
                }
            }
        }
    }
}
