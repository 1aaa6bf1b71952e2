//! The state that all threads share.

pub mod background;
pub mod compaction;
pub mod departures;
pub mod ending;
pub mod housekeeping;
pub mod listen_requests;
pub mod mailbox;
pub mod pause;
mod publish;
pub mod reclaim;
pub mod room;
pub mod saves;
pub mod scripts;
pub mod transfers;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use bitflags::bitflags;
use parking_lot::Mutex;
use swytch_store::{
    EncodingLimits, HashSeed, Keyspace, LockScope, NodeLimit, PackedLimit, Picker, SetLimits, Shards,
    StreamNodeLimit,
};

use crate::acl::{Names, Users};
use crate::aof::AppendLog;
use crate::clients::tracking::Trackers;
use crate::clients::{Channels, ClientMemory, Registry};
use crate::config::{Config, SlotMetrics, keyspace_events};
use crate::effects::{Lane, Order};
use crate::observe::command_log::CommandLogs;
use crate::observe::histogram::Snapshot;
use crate::observe::hot_keys::HotKeys;
use crate::observe::slot_stats::SlotStats;
use crate::observe::stats::{ErrorStats, WorkerStats};
use crate::observe::traces::Traces;
use crate::observe::{latency, monitor};
use crate::replication::Replication;
use crate::server::reclaim::{Epoch, Reclaimer};
use crate::system::allocator;
use crate::system::clock::{self, AtomicMonotonicMs, MonotonicMs};
use crate::system::disk::Disk;
use crate::tls::Tls;

pub use listen_requests::ListenRequests;
pub use mailbox::{Mail, Mailbox, WAKE};
pub use publish::{Collecting, Outbox, Woken};
pub use scripts::Libraries;

bitflags! {
    /// Conditions of the whole server that every command looks at, in one load.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Conditions: u32 {
        /// A client watches all commands (MONITOR).
        const MONITORED = 1 << 0;
        /// CLIENT PAUSE is in force.
        const PAUSED = 1 << 1;
        /// Memory is over `maxmemory`, and nothing can be evicted.
        const OUT_OF_MEMORY = 1 << 2;
        /// Somebody reads the order of effects.
        const RECORDING = 1 << 3;
        /// A client was killed and its worker has not closed the connection yet.
        const KILLING = 1 << 4;
        /// The data is being loaded.
        const LOADING = 1 << 5;
        /// A save point's save has failed, and `stop-writes-on-bgsave-error` is set.
        const SAVE_FAILED = 1 << 6;
        /// The data was saved for the last time: nothing may change it any more.
        const STOPPING = 1 << 7;
        /// Keyspace events are published.
        const NOTIFYING = 1 << 8;
        /// A script runs for too long.
        const OVERDUE = 1 << 9;
        /// Effects wait to be read, more of them than there is room for: writers wait.
        const LAGGING = 1 << 10;
        /// Replies wait until what they tell of is in the append-only log and on the disk.
        const HOLDING = 1 << 11;
        /// The append-only log cannot be written.
        const LOG_FAILED = 1 << 12;
        /// Clients are told of all names that are changed (CLIENT TRACKING).
        const BROADCASTING = 1 << 13;
        /// Memory is over `maxmemory`: whoever comes next makes room.
        const OVER_LIMIT = 1 << 14;
        /// The keys of a request must be in one slot.
        const ONE_SLOT = 1 << 15;
        /// Fewer followers keep up than `min-replicas-to-write` says.
        const FEW_FOLLOWERS = 1 << 16;
        /// HOTKEYS counts what commands do to keys.
        const COUNTING_KEYS = 1 << 17;
        /// `cluster-slot-stats-enabled` has it counted what commands do to slots.
        const COUNTING_SLOTS = 1 << 18;
        /// One in so many commands is traced.
        const SAMPLING = 1 << 19;
        /// `cluster-compatibility-sample-ratio` has it counted what could not be served in a cluster.
        const FITTING = 1 << 20;
        /// `import-mode`: keys stay, although invisible, when their time is over.
        const IMPORTING = 1 << 21;
        /// What a command has done is counted for its keys, or traced.
        const COUNTED = Self::COUNTING_KEYS.bits() | Self::COUNTING_SLOTS.bits() | Self::SAMPLING.bits();
        /// What may refuse, delay or show a command: all but who hears of its changes, when its reply leaves and what is
        /// counted of it.
        const REFUSING = !(Self::RECORDING.bits() | Self::HOLDING.bits() | Self::BROADCASTING.bits() | Self::COUNTED.bits());
        /// Somebody hears of changes.
        const LISTENED = Self::RECORDING.bits() | Self::NOTIFYING.bits() | Self::BROADCASTING.bits();
    }
}

/// What other threads need of a worker.
#[derive(Debug)]
pub struct WorkerShared {
    /// Its counters.
    pub stats: WorkerStats,
    /// Its mailbox.
    pub mailbox: Arc<Mailbox>,
    /// Where the effects of what it runs wait to be read.
    pub lane: Arc<Lane>,
    /// Its quiescence.
    pub epoch: Arc<Epoch>,
    /// What the system calls its thread; 0 before it runs.
    pub thread_id: AtomicU32,
    /// Connections it has.
    pub connections: AtomicU32,
    /// When its event loop last came round.
    pub turned: AtomicMonotonicMs,
    /// Parked clients that give up at some time.
    pub deadlines: AtomicU64,
    /// The client whose command it runs, or 0.
    pub serving: AtomicU64,
    /// The script that it runs, where that takes long.
    pub script: scripts::Running,
    /// It has replies that wait for the order of effects to be read.
    pub holds: AtomicBool,
    /// Finds keys that it evicts.
    pub picker: Mutex<Picker>,
}

impl WorkerShared {
    /// Of a worker that has not begun, with counters of this many commands.
    ///
    /// # Errors
    /// When the system gives no wake-up channel.
    pub fn new(commands: usize) -> std::io::Result<WorkerShared> {
        Ok(WorkerShared {
            stats: WorkerStats::new(commands),
            mailbox: Arc::new(Mailbox::new()?),
            lane: Arc::default(),
            epoch: Arc::default(),
            thread_id: AtomicU32::new(0),
            connections: AtomicU32::new(0),
            turned: AtomicMonotonicMs::new(MonotonicMs::now()),
            deadlines: AtomicU64::new(0),
            serving: AtomicU64::new(0),
            script: scripts::Running::default(),
            holds: AtomicBool::new(false),
            picker: Mutex::default(),
        })
    }
}

/// The server.
pub struct Server {
    /// Configuration.
    pub config: Config,
    /// The keyspace.
    pub shards: Shards,
    /// All workers.
    pub workers: Box<[WorkerShared]>,
    /// Who may do what.
    pub users: Users,
    /// All clients.
    pub clients: Registry,
    /// What they hold together.
    pub client_memory: ClientMemory,
    /// What they are subscribed to.
    pub channels: Channels,
    /// Those of them that track.
    pub trackers: Trackers,
    /// Frees memory in the background.
    pub reclaimer: Reclaimer,
    /// How long memory has been over its limit.
    pub excess: room::Excess,
    /// Moves data together.
    pub compaction: compaction::Compaction,
    /// The order of effects.
    pub effects: Arc<Order>,
    /// DEBUG RECORD-EFFECTS.
    pub recording: crate::effects::record::Recording,
    /// Errors by code.
    pub errors: ErrorStats,
    /// Recent rates.
    pub rates: crate::observe::rates::Rates,
    /// SLOWLOG and COMMANDLOG.
    pub command_logs: CommandLogs,
    /// Commands that a cluster of Redis would have refused, as far as that was looked for.
    pub cluster_incompatible: AtomicU64,
    /// Commands that a collector is told of.
    pub traces: Arc<Traces>,
    /// HOTKEYS.
    pub hot_keys: HotKeys,
    /// CLUSTER SLOT-STATS.
    pub slot_stats: SlotStats,
    /// LATENCY.
    pub latency: latency::LatencyMonitor,
    /// MONITOR.
    pub monitors: monitor::Monitors,
    /// CLIENT PAUSE, and what the end of the server waits with.
    pub pause: pause::Pause,
    /// The end, where it is not at once.
    pub ending: ending::Ending,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub active_expire: AtomicBool,
    /// DEBUG SET-SKIP-CHECKSUM-VALIDATION.
    pub skips_checksums: AtomicBool,
    /// Where files are.
    pub disk: Arc<dyn Disk>,
    /// The append-only log.
    pub log: AppendLog,
    /// The data's file.
    pub saves: saves::Saves,
    /// Those who follow.
    pub replication: Replication,
    /// Who writes the data while it goes on changing.
    pub background: background::Background,
    /// Scripts and functions.
    pub scripts: scripts::Scripts,
    /// Those who are still to leave a shard.
    pub departures: departures::Departures,
    /// Values on their way to other servers.
    pub transfers: transfers::Transfers,
    /// 40 hexadecimal digits that name this run.
    pub run_id: String,
    /// Bytes in use when the server had started.
    pub startup_bytes: u64,
    /// Start.
    pub started: Instant,
    /// Start in Unix milliseconds.
    pub started_ms: u64,
    /// How connections to `tls-port` are secured.
    pub tls: Tls,
    /// Orders to the thread that accepts connections.
    pub listen_requests: ListenRequests,
    /// Changes the log's level.
    log_level: OnceLock<crate::observe::logging::LevelHandle>,
    /// Set once: the server is stopping.
    pub stopping: AtomicBool,
    /// Clients that wait in a blocking command.
    pub parked_clients: AtomicUsize,
    conditions: AtomicU32,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("run_id", &self.run_id).finish_non_exhaustive()
    }
}

/// Shards for each worker thread, so that two workers rarely want the same one.
const SHARDS_PER_THREAD: usize = 32;
/// Fewest and most shards.
const SHARDS_MIN: usize = 16;
const SHARDS_MAX: usize = 1024;

impl Server {
    /// A server without connections; `threads` workers are to be run for it, with the commands of these `names`. Its files lie
    /// on `disk`.
    ///
    /// # Errors
    /// When the system gives no random numbers or no wake-up channel for a worker.
    pub fn new(
        config: Config,
        threads: usize,
        names: &'static dyn Names,
        disk: Arc<dyn Disk>,
    ) -> std::io::Result<Arc<Server>> {
        let mut random = [0u8; 24 + 20];
        getrandom::fill(&mut random).map_err(std::io::Error::other)?;
        let lane = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&random[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let seed = HashSeed::new([lane(0), lane(8), lane(16)]);
        let run_id = random[24..].iter().map(|byte| format!("{byte:02x}")).collect();
        let workers = (0..threads)
            .map(|_| WorkerShared::new(names.count()))
            .collect::<std::io::Result<Box<[WorkerShared]>>>()?;
        let shards = (threads * SHARDS_PER_THREAD).next_power_of_two().clamp(SHARDS_MIN, SHARDS_MAX);
        let reclaimer = Reclaimer::start(workers.iter().map(|worker| Arc::clone(&worker.epoch)).collect());
        let effects = Arc::new(Order::new(workers.iter().map(|worker| Arc::clone(&worker.lane)).collect()));
        clock::ns_per_tick();
        let is_bound_to_slots = config.cluster_enabled() && !config.cluster_allow_cross_slot();
        let server = Server {
            shards: Shards::new(shards, config.databases(), seed),
            config,
            workers,
            users: Users::new(names),
            clients: Registry::default(),
            client_memory: ClientMemory::default(),
            channels: Channels::default(),
            trackers: Trackers::default(),
            reclaimer,
            replication: Replication::new(&effects),
            effects,
            recording: Default::default(),
            errors: ErrorStats::default(),
            rates: crate::observe::rates::Rates::default(),
            command_logs: CommandLogs::default(),
            cluster_incompatible: AtomicU64::new(0),
            traces: Arc::default(),
            hot_keys: HotKeys::default(),
            slot_stats: SlotStats::default(),
            latency: latency::LatencyMonitor::default(),
            monitors: monitor::Monitors::default(),
            excess: room::Excess::default(),
            compaction: compaction::Compaction::default(),
            pause: pause::Pause::default(),
            ending: ending::Ending::default(),
            active_expire: AtomicBool::new(true),
            skips_checksums: AtomicBool::new(false),
            disk,
            log: AppendLog::default(),
            saves: saves::Saves::default(),
            background: background::Background::default(),
            scripts: scripts::Scripts::default(),
            departures: departures::Departures::default(),
            transfers: transfers::Transfers::default(),
            run_id,
            startup_bytes: allocator::used_bytes(),
            started: Instant::now(),
            started_ms: clock::unix_ms(),
            tls: Tls::default(),
            listen_requests: ListenRequests::default(),
            log_level: OnceLock::new(),
            stopping: AtomicBool::new(false),
            parked_clients: AtomicUsize::new(0),
            conditions: AtomicU32::new(0),
        };
        server.apply_encoding_limits();
        server.apply_keyspace_events();
        server.apply_slot_stats();
        server.apply_memory_limit();
        let server = Arc::new(server);
        let weak = Arc::downgrade(&server);
        let watcher = Weak::clone(&weak);
        server.transfers.attach(Weak::clone(&weak));
        allocator::on_limit(move || {
            if let Some(server) = watcher.upgrade() {
                server.raise_over_limit();
            }
        });
        server.effects.on_lag(move |lags| {
            if let Some(server) = weak.upgrade() {
                server.hold_writers(lags);
            }
        });
        server.set_conditions(Conditions::ONE_SLOT, is_bound_to_slots);
        server.apply_compatibility_samples();
        server.apply_import_mode();
        Ok(server)
    }

    /// Everything, under all locks, unless a script has one of them for too long.
    pub fn whole_in_time(&self) -> Option<Keyspace<'_>> {
        let locked = self.shards.lock_in_time(LockScope::All)?;
        Some(Keyspace::new(locked, clock::unix_ms()))
    }

    /// What holds for the server now.
    #[inline]
    pub fn conditions(&self) -> Conditions {
        Conditions::from_bits_retain(self.conditions.load(Ordering::Relaxed))
    }

    /// Sets or clears conditions.
    pub fn set_conditions(&self, conditions: Conditions, on: bool) {
        if on {
            self.conditions.fetch_or(conditions.bits(), Ordering::SeqCst);
        } else {
            self.conditions.fetch_and(!conditions.bits(), Ordering::SeqCst);
        }
    }

    /// Holds writers back, or lets those go on that are.
    fn hold_writers(&self, hold: bool) {
        if hold == self.conditions().contains(Conditions::LAGGING) {
            return;
        }
        self.set_conditions(Conditions::LAGGING, hold);
        if !hold {
            self.workers.iter().for_each(|worker| worker.mailbox.send(Mail::Resume));
        }
    }

    /// Lets workers look again which of the replies that they hold may leave.
    pub fn wake_holders(&self) {
        let holders = self.workers.iter().filter(|worker| worker.holds.swap(false, Ordering::SeqCst));
        holders.for_each(|worker| worker.mailbox.send(Mail::Released));
    }

    /// Compares the followers that keep up with `min-replicas-to-write`.
    pub fn check_followers(&self) {
        let wanted = self.config.min_replicas_to_write();
        let is_asked = wanted > 0 && self.config.min_replicas_max_lag_seconds() > 0;
        if is_asked || self.replication.has_followers() {
            self.replication.count_good(self.config.min_replicas_max_lag_seconds());
        }
        let are_few = is_asked && self.replication.good.load(Ordering::Relaxed) < wanted;
        if are_few != self.conditions().contains(Conditions::FEW_FOLLOWERS) {
            self.set_conditions(Conditions::FEW_FOLLOWERS, are_few);
        }
    }

    /// Ends pauses whose time is over at `now`, and the one with this reason, and wakes the clients that waited.
    pub fn end_pause(&self, now: MonotonicMs, why: Option<pause::Why>) {
        self.pause.end(now, why, |was_last| {
            if was_last {
                self.set_conditions(Conditions::PAUSED, false);
            }
            for worker in &self.workers {
                worker.mailbox.send(Mail::Resume);
            }
        });
    }

    /// Hands over the means to change the log's level.
    pub fn set_level_handle(&self, handle: crate::observe::logging::LevelHandle) {
        // Only the first counts; a process has one log.
        let _ = self.log_level.set(handle);
    }

    /// Applies `loglevel` to the log.
    pub fn apply_log_level(&self) {
        if let Some(handle) = self.log_level.get() {
            // Fails only once the log is gone, at exit.
            let _ = handle.modify(|filter| *filter = crate::observe::logging::filter(self.config.loglevel()));
        }
    }

    /// Applies the limits of encodings to what is written from now on.
    pub fn apply_encoding_limits(&self) {
        let list_node = NodeLimit::of_number(self.config.list_max_listpack_size());
        let word = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
        let packed = |members, bytes| PackedLimit { members: word(members), bytes: word(bytes) };
        let config = &self.config;
        let set = SetLimits {
            integers: word(config.set_max_intset_entries()),
            packed: packed(config.set_max_listpack_entries(), config.set_max_listpack_value()),
        };
        let hash = packed(config.hash_max_listpack_entries(), config.hash_max_listpack_value());
        let sorted_set = packed(config.zset_max_listpack_entries(), config.zset_max_listpack_value());
        let stream_node = StreamNodeLimit {
            bytes: word(config.stream_node_max_bytes()),
            entries: u32::try_from(config.stream_node_max_entries()).unwrap_or(u32::MAX),
        };
        self.shards.set_limits(EncodingLimits { list_node, set, hash, sorted_set, stream_node });
    }

    /// Has the events published that `notify-keyspace-events` selects.
    pub fn apply_keyspace_events(&self) {
        let events = self.config.notify_keyspace_events();
        let somewhere = keyspace_events::KEYSPACE | keyspace_events::KEYEVENT;
        let published = events & somewhere != 0 && events & !somewhere != 0;
        self.shards.tell_misses(published && events & keyspace_events::KEY_MISS != 0);
        self.set_conditions(Conditions::NOTIFYING, published);
    }

    /// Has counted of slots what `cluster-slot-stats-enabled` says.
    pub fn apply_slot_stats(&self) {
        let counted = SlotMetrics::CPU | SlotMetrics::NET;
        let counts =
            self.config.cluster_enabled() && self.config.cluster_slot_stats_enabled().intersects(counted);
        self.set_conditions(Conditions::COUNTING_SLOTS, counts);
    }

    /// Counts a command that a cluster of Redis would have refused.
    pub fn note_cluster_incompatible(&self) {
        self.cluster_incompatible.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps keys whose time is over as `import-mode` says.
    pub fn apply_import_mode(&self) {
        self.set_conditions(Conditions::IMPORTING, self.config.import_mode());
    }

    /// Has as many commands looked at for a cluster as `cluster-compatibility-sample-ratio` says.
    pub fn apply_compatibility_samples(&self) {
        let samples = self.config.cluster_compatibility_sample_ratio() > 0 && !self.config.cluster_enabled();
        self.set_conditions(Conditions::FITTING, samples);
    }

    /// Has as many commands traced as `otel-samples-per-million` says.
    pub fn apply_sampling(&self) {
        let samples = self.traces.is_on() && self.config.otel_samples_per_million() > 0;
        self.set_conditions(Conditions::SAMPLING, samples);
    }

    /// Sum of a counter over all workers.
    pub fn total(&self, counter: impl Fn(&WorkerStats) -> u64) -> u64 {
        self.workers.iter().map(|worker| counter(&worker.stats)).sum()
    }

    /// How long the command with this index took, on all workers.
    pub fn latency_of(&self, command: usize) -> Snapshot {
        Snapshot::of(self.workers.iter().map(|worker| &worker.stats.commands[command].latency))
    }

    /// Changes since the last save (INFO rdb_changes_since_last_save).
    pub fn dirty(&self) -> u64 {
        self.total(|stats| stats.dirty.get()).saturating_sub(self.saves.changes())
    }
}
