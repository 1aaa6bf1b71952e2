//! What was refused to whom: ACL LOG.

use std::collections::VecDeque;

/// Entries that are looked at for one that is about the same.
const LOOKED_AT_MAX: usize = 10;
/// How long ago the same may have happened, in milliseconds, to be counted with what happens now.
const SAME_WITHIN_MS: u64 = 60_000;

/// Why something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The command is not allowed.
    Command,
    /// A key is not allowed.
    Key,
    /// A channel is not allowed.
    Channel,
    /// Nobody may log in so.
    Login,
    /// A certificate names nobody who may log in.
    Certificate,
    /// A database is not allowed.
    Database,
}

impl Reason {
    /// How the log calls it.
    pub fn name(self) -> &'static str {
        match self {
            Reason::Command => "command",
            Reason::Key => "key",
            Reason::Channel => "channel",
            Reason::Login => "auth",
            Reason::Certificate => "tls-cert",
            Reason::Database => "database",
        }
    }
}

/// Where something was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// A client sent it.
    TopLevel,
    /// It belongs to a transaction.
    Transaction,
    /// A script called it.
    Script,
}

impl Context {
    /// How the log calls it.
    pub fn name(self) -> &'static str {
        match self {
            Context::TopLevel => "toplevel",
            Context::Transaction => "multi",
            Context::Script => "lua",
        }
    }
}

/// One entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// How often it happened.
    pub count: u64,
    /// Why.
    pub reason: Reason,
    /// Where.
    pub context: Context,
    /// The command, key or channel.
    pub object: Vec<u8>,
    /// The user.
    pub user: Vec<u8>,
    /// The client's line, as of the last time.
    pub client: Vec<u8>,
    /// Its number, never used twice.
    pub id: u64,
    /// When it first happened, in Unix milliseconds.
    pub created_ms: u64,
    /// When it last happened, in Unix milliseconds.
    pub updated_ms: u64,
}

impl Entry {
    /// What has happened now for the first time.
    pub fn new(
        (reason, context): (Reason, Context),
        object: &[u8],
        user: &[u8],
        client: Vec<u8>,
        now_ms: u64,
    ) -> Entry {
        let (object, user) = (object.to_vec(), user.to_vec());
        Entry {
            count: 1,
            reason,
            context,
            object,
            user,
            client,
            id: 0,
            created_ms: now_ms,
            updated_ms: now_ms,
        }
    }

    fn is_about_the_same(&self, other: &Entry) -> bool {
        self.reason == other.reason
            && self.context == other.context
            && self.updated_ms.abs_diff(other.updated_ms) <= SAME_WITHIN_MS
            && self.object == other.object
            && self.user == other.user
    }
}

/// The entries, the latest first.
#[derive(Debug, Default)]
pub struct Log {
    entries: VecDeque<Entry>,
    next_id: u64,
}

impl Log {
    /// Adds an entry, or counts it with one that is about the same; `len_max` are kept.
    pub fn add(&mut self, entry: Entry, len_max: usize) {
        let known = self.entries.iter().take(LOOKED_AT_MAX).position(|known| known.is_about_the_same(&entry));
        let entry = match known.and_then(|at| self.entries.remove(at)) {
            Some(known) => {
                Entry { count: known.count + 1, client: entry.client, updated_ms: entry.updated_ms, ..known }
            }
            None => {
                self.next_id += 1;
                Entry { id: self.next_id - 1, ..entry }
            }
        };
        self.entries.push_front(entry);
        self.entries.truncate(len_max);
    }

    /// The latest entries, this many at most.
    pub fn latest(&self, count: usize) -> Vec<Entry> {
        self.entries.iter().take(count).cloned().collect()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}
