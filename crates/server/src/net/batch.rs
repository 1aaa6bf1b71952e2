//! A batch: the requests of one connection that have arrived together.
//!
//! All of a batch is parsed first, and with each request the bucket of its key is prefetched. While requests run, the
//! entry of one some places ahead is: close enough not to have more misses under way than a core can, far enough to
//! have arrived.
//!
//! Buckets are looked at without locks, which is an unsafe operation: they hold until the worker's next quiescent
//! point, so a batch that is left unfinished forgets them.

use swytch_resp::query::{bytes_of, keep_from};
use swytch_resp::{ArgRange, Limits, Parsed, Parser, ProtocolError, Query};
use swytch_store::table::PrefetchedBucket;

use crate::clients::{Client, ClientFlags};
use crate::command::{Args, Command, CommandTable, Flags};
use crate::dispatch::{Request, prefetch};
use crate::server::Server;

/// Most requests of a batch: enough to hide memory latency, few enough to stay in the cache.
const REQUESTS_MAX: usize = 32;
/// Arguments for which a batch keeps the room when it begins again.
const RANGES_KEPT_MAX: usize = 8 * 1024;
/// How many requests ahead entries are prefetched.
const AHEAD: usize = 6;
/// So many requests of one key have their members prefetched.
const MEMBERS_MIN: usize = 3;

#[derive(Clone, Copy, Debug)]
struct Pending {
    first: u32,
    len: u32,
    command: Option<&'static Command>,
    key_hash: Option<u64>,
    bucket: PrefetchedBucket,
}

impl Pending {
    /// Asks for the entry of its key.
    ///
    /// # Safety
    /// The worker has passed no quiescent point since its bucket was prefetched.
    #[inline]
    unsafe fn prefetch_entry(&self) {
        if let Some(hash) = self.key_hash {
            // SAFETY: by the contract.
            unsafe { self.bucket.prefetch_entry(hash) };
        }
    }
}

/// Requests parsed and not yet run. Their arguments lie in the connection's query buffer.
#[derive(Debug, Default)]
pub(super) struct Batch {
    ranges: Vec<ArgRange>,
    requests: Vec<Pending>,
    next: usize,
}

impl Batch {
    /// True when every request has been run.
    pub(super) fn is_done(&self) -> bool {
        self.next == self.requests.len()
    }

    /// First byte of the query buffer that the requests left still need.
    pub(super) fn keep_from(&self) -> Option<usize> {
        let pending = self.requests.get(self.next)?;
        keep_from(&self.ranges[pending.first as usize..])
    }

    /// Tells the batch that bytes were removed from the front of the query buffer.
    pub(super) fn rebase(&mut self, removed: usize) {
        let Some(pending) = self.requests.get(self.next) else { return };
        self.ranges[pending.first as usize..].iter_mut().for_each(|range| range.rebase(removed));
    }

    /// Parses what has arrived, up to a batch, and prefetches its keys in the client's database.
    ///
    /// # Errors
    /// A protocol error behind the requests that were parsed. They are to be run first; filling again finds it again,
    /// unless they have changed the limits.
    #[inline(never)]
    pub(super) fn fill(
        &mut self,
        commands: &CommandTable,
        server: &Server,
        parser: &mut Parser,
        query: &mut Query,
        limits: &Limits,
        client: &mut Client,
    ) -> Result<(), ProtocolError> {
        debug_assert!(self.is_done());
        self.ranges.clear();
        if self.ranges.capacity() > RANGES_KEPT_MAX {
            self.ranges = Vec::new();
        }
        self.requests.clear();
        self.next = 0;
        // A long argument is held until its batch is done: a request with one is alone.
        let requests_max = if parser.holds_long_arguments() {
            1
        } else {
            query.long.clear();
            REQUESTS_MAX
        };
        let result = loop {
            if self.requests.len() == requests_max {
                break Ok(());
            }
            let first = self.ranges.len();
            match parser.next(query, limits, &mut self.ranges) {
                Ok(Parsed::Incomplete) => break Ok(()),
                Err(error) => break Err(error),
                Ok(Parsed::Request) => {
                    let ranges = &self.ranges[first..];
                    if ranges.is_empty() {
                        if self.requests.is_empty() {
                            // To Redis an empty request is one all the same: it is the one that is skipped.
                            client.flags -= ClientFlags::REPLY_SKIP;
                        }
                        continue;
                    }
                    let args = Args::new(query, ranges);
                    let command = commands.find(args.get(0));
                    let key_hash = command
                        .and_then(|command| command.hashed_key(&args))
                        .and_then(|at| args.try_get(at))
                        .map(|bytes| server.shards.hash(bytes));
                    self.requests.push(Pending {
                        first: first as u32,
                        len: ranges.len() as u32,
                        command,
                        key_hash,
                        bucket: key_hash
                            .map_or(PrefetchedBucket::NONE, |hash| prefetch::bucket(server, client.db, hash)),
                    });
                    // A command that may change how requests are read or answered, or whether any more are, ends the
                    // batch. What a container's commands do is not known yet.
                    let may_change = |command: &Command| {
                        command.spec.flags.intersects(Flags::ADMIN | Flags::NO_AUTH)
                            || !command.subcommands.is_empty()
                    };
                    if key_hash.is_none() && command.is_none_or(may_change) {
                        break Ok(());
                    }
                }
            }
        };
        if self.requests.len() > 1 {
            for pending in self.requests.iter().take(AHEAD) {
                // SAFETY: the bucket was prefetched just now.
                unsafe { pending.prefetch_entry() };
            }
            if self.requests[0].command.is_some_and(|command| command.member.is_some()) {
                self.prefetch_members(server, query, client.db);
            }
        }
        result
    }

    /// Sends for the members that the requests from the first on look for in one and the same value, if they are some.
    #[inline(never)]
    fn prefetch_members(&self, server: &Server, query: &Query, db: u32) {
        let args_of = |pending: &Pending| {
            Args::new(query, &self.ranges[pending.first as usize..][..pending.len as usize])
        };
        let first = &self.requests[0];
        let Some(key) = first.command.and_then(|command| args_of(first).try_get(command.single_key?)) else {
            return;
        };
        let of_key = self.requests.iter().take_while(|pending| pending.key_hash == first.key_hash);
        if of_key.clone().count() < MEMBERS_MIN {
            return;
        }
        let mut members = of_key.filter_map(|pending| args_of(pending).try_get(pending.command?.member?));
        prefetch::members(server, db, key, &mut members);
    }

    /// Position of the next request to run.
    pub(super) fn next(&self) -> usize {
        self.next
    }

    /// Tells the batch that the requests before this position have run.
    pub(super) fn go_on_at(&mut self, next: usize) {
        self.next = next;
    }

    /// The request at a position.
    #[inline(always)]
    pub(super) fn request<'a>(&'a self, at: usize, query: &'a Query) -> Option<Request<'a>> {
        let pending = self.requests.get(at)?;
        let ranges = &self.ranges[pending.first as usize..][..pending.len as usize];
        Some(Request { args: Args::new(query, ranges), command: pending.command, key_hash: pending.key_hash })
    }

    /// To be called when the request at position `next` is about to run.
    #[inline(always)]
    pub(super) fn prefetch_ahead(&self, next: usize) {
        if let Some(pending) = self.requests.get(next + AHEAD - 1) {
            // SAFETY: the batch was filled in this turn of the worker, or has forgotten its buckets.
            unsafe { pending.prefetch_entry() };
        }
    }

    /// To be called before requests are run that an earlier turn of the worker has left.
    #[inline]
    pub(super) fn forget_buckets(&mut self) {
        if !self.is_done() {
            self.requests.iter_mut().for_each(|pending| pending.bucket = PrefetchedBucket::NONE);
        }
    }

    /// Bytes that the batch's own lists hold.
    pub(super) fn held_bytes(&self) -> usize {
        self.ranges.capacity() * size_of::<ArgRange>() + self.requests.capacity() * size_of::<Pending>()
    }

    /// Gives back what the lists hold beyond what they need.
    pub(super) fn shrink(&mut self) {
        if self.is_done() {
            *self = Batch::default();
        }
    }

    /// Bytes of arguments of the requests left.
    pub(super) fn argument_bytes(&self, query: &Query) -> usize {
        self.requests
            .get(self.next)
            .map_or(0, |pending| bytes_of(&self.ranges[pending.first as usize..], query))
    }
}
