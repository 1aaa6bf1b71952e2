//! Scopes: how large a modelled cluster is and what may happen in it.

use swytch_cluster::{
    Change, Class, Config, Incarnation, Key, Limits, Minority, Mutant, NodeId, NodeSet, Space, Timers,
};

/// The most nodes of a scope.
pub(super) const NODES_MAX: usize = 5;

/// The most keys of a scope.
pub(super) const KEYS_MAX: usize = 3;

/// What outlasts a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Nothing.
    None,
    /// What it has agreed to.
    Kept,
    /// That, or nothing.
    Uncertain,
}

/// What a run explores.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Printed with the results.
    pub name: &'static str,
    /// Nodes, at most [`NODES_MAX`].
    pub nodes: u8,
    /// Partitions of each node.
    pub parts: u16,
    /// How many nodes are to hold each key.
    pub copies: u8,
    /// Keys that clients use, at most [`KEYS_MAX`].
    pub keys: Vec<Key>,
    /// Keys held by these nodes at the start.
    pub shared: Vec<(Key, NodeSet)>,
    /// Some time has passed since, so that what only one node holds has no record.
    pub settled: bool,
    /// Classes of operations, in the order of preference of the exhaustive search.
    pub classes: Vec<Class>,
    /// Operations on several keys as well: transactions, and reads.
    pub transactions: bool,
    /// X that watch what the last read at their node has shown.
    pub watches: bool,
    /// A third of the writes delete their keys.
    pub deletes: bool,
    /// Bounds on what may happen.
    pub operations: u8,
    /// Databases.
    pub databases: u16,
    /// Changes of these that clients ask for.
    pub changes: Vec<Change>,
    /// Attempts at views chosen freely.
    pub proposals: u8,
    /// Crashes.
    pub crashes: u8,
    /// Restarts.
    pub restarts: u8,
    /// What a node that starts again remembers of what it has agreed to.
    pub memory: Memory,
    /// Evictions.
    pub evictions: u8,
    /// Messages delivered twice.
    pub duplicates: u8,
    /// Steps of time.
    pub advances: u8,
    /// Names in one report.
    pub report_max: usize,
    /// How long logs are kept for expired nodes.
    pub retain_ms: u64,
    /// How long those of new keys are.
    pub return_ms: u64,
    /// What clients may do where most of the base is out of reach.
    pub minority: Minority,
    /// The seeded fault.
    pub mutant: Option<Mutant>,
}

impl Scope {
    /// The tick of modelled nodes; coarse, because time is a choice of the model.
    pub const TICK_MS: u64 = 500;

    /// The configuration of a node.
    pub fn config(&self, id: NodeId, life: u32) -> Config {
        let timers = Timers {
            tick_ms: Self::TICK_MS,
            heartbeat_ms: Self::TICK_MS,
            suspect_ms: 1_500,
            retry_ms: 1_000,
            propose_ms: 2_000,
            op_ms: 20_000,
            write_ms: 40_000,
            abort_ms: 6_000,
            forget_ms: Self::TICK_MS,
            watch_ms: 4 * Self::TICK_MS,
            retain_ms: self.retain_ms,
            return_ms: self.return_ms,
            ..Timers::of_any_clocks()
        };
        let report_max = self.report_max;
        let limits =
            Limits { token_run: 2, fold_min: 2, report_max, walk_max: report_max, ..Limits::default() };
        Config {
            incarnation: Incarnation::of_life(life),
            parts: self.parts,
            databases: self.databases,
            copies: self.copies,
            timers,
            limits,
            minority: self.minority,
            ..Config::new(id)
        }
    }

    /// The same with nodes of several partitions. The keys `a`, `b` and `c` are in two of 2 and in three of 4.
    #[must_use]
    pub fn in_parts(self, parts: u16, name: &'static str) -> Self {
        Self { parts, name, ..self }
    }

    /// The same with keys that their home does not tell from each other.
    #[must_use]
    pub fn of_twins(self, name: &'static str) -> Self {
        let keys: Vec<Key> = (0..self.keys.len() as u16).map(|number| Key::twin('t', number)).collect();
        let index = |key: &Key| self.keys.iter().position(|other| other == key).expect("a key of the scope");
        let shared = self.shared.iter().map(|(key, holders)| (keys[index(key)].clone(), *holders)).collect();
        Self { name, shared, keys, ..self }
    }

    /// Of keys, `1:NAME` is one of database 1.
    fn base(name: &'static str, nodes: u8, keys: &[&str]) -> Self {
        let key = |name: &&str| match name.strip_prefix("1:") {
            Some(name) => Key::new(name.as_bytes()).in_space(Space(1)),
            None => Key::new(name.as_bytes()),
        };
        let keys: Vec<Key> = keys.iter().map(key).collect();
        let all: NodeSet = (0..nodes).map(NodeId).collect();
        Self {
            name,
            nodes,
            parts: 1,
            copies: 1,
            shared: keys.iter().map(|key| (key.clone(), all)).collect(),
            keys,
            settled: false,
            classes: vec![Class::X],
            transactions: false,
            watches: false,
            deletes: false,
            operations: 2,
            databases: 16,
            changes: Vec::new(),
            proposals: 0,
            crashes: 0,
            restarts: 0,
            memory: Memory::None,
            evictions: 0,
            duplicates: 0,
            advances: 0,
            report_max: Limits::default().report_max,
            retain_ms: Timers::default().retain_ms,
            return_ms: Timers::default().return_ms,
            minority: Minority::default(),
            mutant: None,
        }
    }

    /// Two X on one key of three subscribers, and one free attempt at a view.
    pub fn decided_once() -> Self {
        Self { proposals: 1, ..Self::base("X, one free view, 3 nodes", 3, &["k"]) }
    }

    /// An X and a crash and a free view.
    pub fn crash() -> Self {
        Self {
            proposals: 1,
            crashes: 1,
            operations: 1,
            ..Self::base("X, a crash, a free view, 3 nodes", 3, &["k"])
        }
    }

    /// W and X mixed, no view change, a message delivered twice.
    pub fn mixed() -> Self {
        Self {
            classes: vec![Class::W, Class::X],
            duplicates: 1,
            ..Self::base("W and X, a duplicate, 3 nodes", 3, &["k"])
        }
    }

    /// A key that two nodes touch for the first time while a third evicts it.
    pub fn touch() -> Self {
        Self {
            classes: vec![Class::W],
            evictions: 2,
            shared: vec![(Key::new(b"k"), NodeSet::only(NodeId(0)))],
            ..Self::base("touch, join, leave, 3 nodes", 3, &["k"])
        }
    }

    /// A watch on a key whose only copy is deleted, and which is then created anew.
    pub fn watch() -> Self {
        Self {
            classes: vec![Class::W, Class::Read, Class::W, Class::X],
            watches: true,
            operations: 4,
            evictions: 1,
            shared: vec![(Key::new(b"k"), NodeSet::only(NodeId(0)))],
            ..Self::base("watch, eviction, 2 nodes", 2, &["k"])
        }
    }

    /// A key that one node holds without a record, and two free views.
    pub fn solo() -> Self {
        Self {
            settled: true,
            classes: vec![Class::W, Class::X],
            proposals: 2,
            shared: vec![(Key::new(b"k"), NodeSet::only(NodeId(0)))],
            ..Self::base("solo key, free views, 2 nodes", 2, &["k"])
        }
    }

    /// Keys that are held by one node, and by others for a while.
    pub fn solo_in_time() -> Self {
        let scope = Self {
            settled: true,
            classes: vec![Class::W, Class::X, Class::X, Class::Read],
            transactions: true,
            watches: true,
            operations: 16,
            proposals: 4,
            evictions: 5,
            duplicates: 8,
            advances: 24,
            report_max: 1,
            return_ms: 0,
            ..Self::base("solo keys, 3 nodes", 3, &["a", "b"])
        };
        scope.held_by(&[&[0], &[1]])
    }

    /// The same where keys are also deleted, and nodes crash and start again.
    pub fn solo_and_restarts() -> Self {
        Self {
            name: "solo keys and restarts, 3 nodes",
            deletes: true,
            crashes: 2,
            restarts: 2,
            ..Self::solo_in_time()
        }
    }

    /// Creation by two nodes at once, with a free view.
    pub fn create() -> Self {
        Self {
            classes: vec![Class::W, Class::X],
            shared: Vec::new(),
            proposals: 1,
            ..Self::base("creation, a free view, 2 nodes", 2, &["k"])
        }
    }

    /// Two unseen keys of one slot, which is leased to whoever comes first.
    pub fn lease() -> Self {
        Self {
            classes: vec![Class::W],
            shared: Vec::new(),
            operations: 3,
            ..Self::base("creation lease, 2 nodes", 2, &["{t}a", "{t}b"])
        }
    }

    /// A creation lease that a view ends.
    pub fn lease_and_view() -> Self {
        Self {
            classes: vec![Class::W, Class::X],
            shared: Vec::new(),
            operations: 3,
            proposals: 1,
            ..Self::base("creation lease, a free view, 2 nodes", 2, &["{t}a", "{t}b"])
        }
    }

    /// Transactions over two keys with different subscribers.
    pub fn transactions() -> Self {
        let mut scope = Self {
            transactions: true,
            operations: 2,
            ..Self::base("transactions on 2 keys, 3 nodes", 3, &["a", "b"])
        };
        scope.shared[1].1 = NodeSet::only(NodeId(1)).with(NodeId(2));
        scope
    }

    /// Everything at once, time included, for random walks.
    pub fn everything(nodes: u8) -> Self {
        let name = if nodes == 5 { "everything, 5 nodes" } else { "everything, 3 nodes" };
        Self {
            classes: vec![Class::W, Class::X, Class::X, Class::Flush, Class::Read],
            transactions: true,
            watches: true,
            operations: 16,
            proposals: 2,
            crashes: 2,
            restarts: 2,
            evictions: 3,
            duplicates: 4,
            advances: 24,
            shared: vec![(Key::new(b"a"), (0..nodes).map(NodeId).collect())],
            ..Self::base(name, nodes, &["a", "b"])
        }
    }

    /// X that time and views cut short between PREP and COMMIT, or while they are taken back.
    pub fn doubt() -> Self {
        Self { operations: 6, proposals: 5, advances: 14, ..Self::base("X in doubt, 3 nodes", 3, &["a"]) }
    }

    /// Writes that are decided once because of their key, which one node alone may hold.
    pub fn decided_by_key() -> Self {
        Self {
            settled: true,
            classes: vec![Class::X, Class::X, Class::Read],
            operations: 12,
            proposals: 4,
            crashes: 1,
            restarts: 1,
            evictions: 2,
            duplicates: 4,
            advances: 20,
            report_max: 1,
            ..Self::base("keys that are decided once, 3 nodes", 3, &["once", "once more"])
        }
    }

    /// Transactions over two keys that have only one holder in common, which crashes.
    pub fn transactions_in_doubt() -> Self {
        let scope = Self {
            transactions: true,
            operations: 3,
            proposals: 3,
            crashes: 1,
            restarts: 1,
            duplicates: 2,
            ..Self::base("transactions in doubt, 3 nodes", 3, &["a", "b"])
        };
        scope.held_by(&[&[0, 1], &[0, 2]])
    }

    /// Transactions over keys that each two of three nodes hold, with evictions and a restart.
    pub fn overlapping() -> Self {
        let scope = Self {
            classes: vec![Class::X, Class::X, Class::Read],
            transactions: true,
            operations: 6,
            proposals: 3,
            crashes: 1,
            restarts: 1,
            evictions: 1,
            duplicates: 2,
            ..Self::base("overlapping keys, 3 nodes", 3, &["a", "b", "c"])
        };
        scope.held_by(&[&[0, 1], &[1, 2], &[2, 0]])
    }

    /// Transactions over keys held by two and three of four nodes, while time passes and nodes are expired.
    pub fn overlapping_in_time() -> Self {
        let scope = Self {
            classes: vec![Class::X, Class::X, Class::W, Class::Read],
            transactions: true,
            watches: true,
            operations: 10,
            proposals: 3,
            crashes: 1,
            restarts: 1,
            evictions: 2,
            duplicates: 2,
            advances: 14,
            ..Self::base("overlapping keys, time, 4 nodes", 4, &["a", "b", "c"])
        };
        scope.held_by(&[&[0, 1, 2], &[1, 2, 3], &[0, 3]])
    }

    /// The same without time: only views, crashes and evictions.
    pub fn overlapping_four() -> Self {
        let scope = Self {
            classes: vec![Class::X, Class::X, Class::X, Class::Read],
            operations: 6,
            proposals: 4,
            evictions: 2,
            advances: 0,
            ..Self::overlapping_in_time()
        };
        Self { name: "overlapping keys, 4 nodes", ..scope }
    }

    /// Reads and watches beside writes of all kinds, of keys that come and go.
    pub fn reads() -> Self {
        let scope = Self {
            classes: vec![Class::Read, Class::Read, Class::W, Class::X],
            transactions: true,
            watches: true,
            operations: 12,
            proposals: 2,
            evictions: 3,
            duplicates: 2,
            ..Self::base("reads and watches, 3 nodes", 3, &["a", "b"])
        };
        scope.held_by(&[&[0, 1], &[1, 2]])
    }

    /// Reads on the sides of partitions, and of nodes that come back.
    pub fn reads_in_time() -> Self {
        Self {
            name: "reads in partitions, 3 nodes",
            operations: 14,
            crashes: 1,
            restarts: 1,
            advances: 16,
            ..Self::reads()
        }
    }

    /// Keys that are deleted, forgotten and created anew.
    pub fn deletions() -> Self {
        let scope = Self {
            classes: vec![Class::W, Class::X, Class::X, Class::Read],
            transactions: true,
            watches: true,
            deletes: true,
            operations: 16,
            proposals: 2,
            crashes: 1,
            restarts: 1,
            evictions: 1,
            duplicates: 6,
            advances: 24,
            return_ms: 0,
            ..Self::base("deletions, 3 nodes", 3, &["a", "b"])
        };
        scope.held_by(&[&[0, 1], &[1, 2]])
    }

    /// The same while all links are up, under creation leases.
    pub fn deletions_and_leases() -> Self {
        Self {
            classes: vec![Class::W, Class::W, Class::X, Class::Read],
            deletes: true,
            shared: Vec::new(),
            operations: 20,
            proposals: 2,
            duplicates: 8,
            advances: 20,
            report_max: 1,
            return_ms: 0,
            ..Self::base("deletions and leases, 2 nodes", 2, &["{t}a", "{t}b"])
        }
    }

    /// Nodes that come back with what they have agreed to, however many of them are down.
    pub fn voters(nodes: u8) -> Self {
        let name = if nodes == 5 { "voters come back, 5 nodes" } else { "voters come back, 3 nodes" };
        Self {
            classes: vec![Class::X, Class::X, Class::W],
            operations: 10,
            proposals: 3,
            crashes: 5,
            restarts: 5,
            memory: Memory::Kept,
            advances: 24,
            duplicates: 2,
            return_ms: 0,
            ..Self::base(name, nodes, &["a"])
        }
    }

    /// The same where some have lost it, though not all: then nobody would know of the cluster.
    pub fn forgetful_voters() -> Self {
        let name = "forgetful voters, 3 nodes";
        Self { name, memory: Memory::Uncertain, crashes: 2, restarts: 2, ..Self::voters(3) }
    }

    /// With these holders of each key.
    fn held_by(self, holders: &[&[u8]]) -> Self {
        let holders = holders.iter().map(|nodes| nodes.iter().copied().map(NodeId).collect());
        Self { shared: self.keys.iter().cloned().zip(holders).collect(), ..self }
    }

    /// One holder that the others no longer hear.
    pub fn expiry() -> Self {
        Self {
            operations: 8,
            proposals: 6,
            advances: 16,
            shared: vec![(Key::new(b"a"), NodeSet::only(NodeId(0)))],
            return_ms: 0,
            ..Self::base("expiry, 3 nodes", 3, &["a"])
        }
    }

    /// Forks that come when nobody keeps a log for them any more.
    pub fn late_forks() -> Self {
        Self {
            classes: vec![Class::W, Class::W, Class::X, Class::Read],
            operations: 14,
            proposals: 2,
            duplicates: 2,
            advances: 24,
            retain_ms: Self::TICK_MS,
            return_ms: 0,
            ..Self::base("late forks, 3 nodes", 3, &["a"])
        }
    }

    /// FLUSHALL while a node is away.
    pub fn flushes() -> Self {
        Self {
            classes: vec![Class::W, Class::W, Class::Flush],
            operations: 8,
            proposals: 1,
            advances: 20,
            ..Self::base("FLUSHALL, 3 nodes", 3, &["a"])
        }
    }

    /// One of two databases is flushed again and again, so that spaces are given out again, while a node may be away.
    pub fn flushed_databases() -> Self {
        Self {
            classes: vec![Class::W, Class::W, Class::X],
            transactions: true,
            changes: vec![Change::FlushDb(0)],
            databases: 2,
            operations: 14,
            proposals: 2,
            duplicates: 2,
            advances: 24,
            report_max: 1,
            ..Self::base("FLUSHDB, 3 nodes", 3, &["a", "b", "1:a"])
        }
    }

    /// Two databases are swapped again and again.
    pub fn swapped_databases() -> Self {
        Self {
            classes: vec![Class::W, Class::W, Class::X, Class::Read],
            transactions: true,
            watches: true,
            changes: vec![Change::SwapDb(0, 1)],
            databases: 2,
            operations: 14,
            proposals: 3,
            duplicates: 2,
            advances: 20,
            ..Self::base("SWAPDB, 3 nodes", 3, &["a", "1:a"])
        }
    }

    /// Keys of one slot that come and go, so that it is leased again and again.
    pub fn leases() -> Self {
        Self {
            classes: vec![Class::W, Class::W, Class::X, Class::Read],
            shared: Vec::new(),
            operations: 14,
            proposals: 3,
            evictions: 5,
            duplicates: 4,
            advances: 12,
            report_max: 1,
            ..Self::base("creation leases, 3 nodes", 3, &["{t}a", "{t}b", "{t}c"])
        }
    }

    /// The first write of a key that is to have a second holder, a crash and a free view.
    pub fn keep() -> Self {
        Self {
            copies: 2,
            classes: vec![Class::W, Class::X],
            shared: Vec::new(),
            proposals: 1,
            crashes: 1,
            duplicates: 1,
            ..Self::base("two copies, a crash, a free view, 3 nodes", 3, &["k"])
        }
    }

    /// Keys that are to have a second holder, which crashes, is cut off, or wants the memory back.
    pub fn keepers() -> Self {
        Self {
            copies: 2,
            classes: vec![Class::W, Class::W, Class::X, Class::Read],
            transactions: true,
            shared: Vec::new(),
            operations: 14,
            proposals: 3,
            crashes: 1,
            restarts: 1,
            evictions: 5,
            duplicates: 6,
            advances: 16,
            report_max: 1,
            return_ms: 0,
            ..Self::base("two copies, 3 nodes", 3, &["a", "b"])
        }
    }

    /// The same in slots that are leased, where keys come and go.
    pub fn keepers_and_leases() -> Self {
        Self {
            name: "two copies and leases, 3 nodes",
            deletes: true,
            keys: ["{t}a", "{t}b", "{t}c"].iter().map(|name| Key::new(name.as_bytes())).collect(),
            operations: 18,
            crashes: 0,
            restarts: 0,
            proposals: 2,
            ..Self::keepers()
        }
    }

    /// The same where more nodes crash, are expired and come back, one after another.
    pub fn keepers_and_restarts() -> Self {
        Self {
            name: "two copies and restarts, 4 nodes",
            nodes: 4,
            crashes: 3,
            restarts: 3,
            memory: Memory::Kept,
            advances: 24,
            ..Self::keepers()
        }
    }

    /// Creation leases that views end, before or after what was created under them is known to the home.
    pub fn leases_and_views() -> Self {
        Self {
            classes: vec![Class::W, Class::X, Class::Read],
            shared: Vec::new(),
            operations: 14,
            proposals: 6,
            advances: 3,
            report_max: 1,
            ..Self::base("creation leases and views, 2 nodes", 2, &["{t}a", "{t}b"])
        }
    }

    /// Partitions and expiry without crashes or flushes: what the lease and the bases are for.
    pub fn partitions(nodes: u8) -> Self {
        let name = match nodes {
            2 => "partitions, 2 nodes",
            4 => "partitions, 4 nodes",
            5 => "partitions, 5 nodes",
            _ => "partitions, 3 nodes",
        };
        Self {
            classes: vec![Class::X, Class::X, Class::W],
            operations: 10,
            proposals: 2,
            advances: 24,
            duplicates: 2,
            shared: vec![(Key::new(b"a"), NodeSet::only(NodeId(0)))],
            ..Self::base(name, nodes, &["a"])
        }
    }

    /// The same where nobody is served without most of the base.
    pub fn no_minority() -> Self {
        Self {
            name: "no minority, 3 nodes",
            minority: Minority { reads: false, writes: false },
            classes: vec![Class::X, Class::W, Class::W, Class::Read],
            ..Self::partitions(3)
        }
    }
}
