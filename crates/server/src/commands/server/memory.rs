//! MEMORY USAGE, STATS, DOCTOR, PURGE, MALLOC-STATS, HELP
//!
//! The figures are those of this server: what its allocator has given out, and what entries and tables take.
//! Sums that exist in Redis alone (a replication backlog) are zero.

use swytch_store::Keyspace;

use crate::command::prelude::*;
use crate::command::{KeySpec, reply_help};
use crate::system::{allocator, process};

pub static MEMORY: CommandSpec = CommandSpec {
    name: "memory",
    summary: "Groups the commands about where memory goes.",
    since: "4.0.0",
    group: Group::Server,
    subcommands: &[&DOCTOR, &HELP, &MALLOC_STATS, &PURGE, &STATS, &USAGE],
    ..CommandSpec::CONTAINER
};

const BASE: CommandSpec =
    CommandSpec { since: "4.0.0", group: Group::Server, arity: 2, ..CommandSpec::DEFAULT };

const REPORT: &[&str] = &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];
const COSTLY: &str = "Grows with the memory in use; may take long.";

static DOCTOR: CommandSpec = CommandSpec {
    name: "doctor",
    summary: "Explains in words what is unusual about the server's use of memory.",
    tips: REPORT,
    reply: ReplyShape::Report,
    differs: "Advice is about this server's memory, in its own words.",
    handler: Handler::Session(doctor),
    ..BASE
};

static HELP: CommandSpec = CommandSpec {
    since: "4.0.0",
    group: Group::Server,
    handler: Handler::Session(help),
    ..CommandSpec::HELP
};

static MALLOC_STATS: CommandSpec = CommandSpec {
    name: "malloc-stats",
    summary: "Returns the allocator's own statistics as text.",
    complexity: COSTLY,
    tips: REPORT,
    reply: ReplyShape::Report,
    differs: "The allocator is mimalloc.",
    handler: Handler::Session(malloc_stats),
    ..BASE
};

static PURGE: CommandSpec = CommandSpec {
    name: "purge",
    summary: "Makes the allocator return unused memory to the system.",
    complexity: COSTLY,
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    reply: ReplyShape::OK,
    handler: Handler::Session(purge),
    ..BASE
};

static STATS: CommandSpec = CommandSpec {
    name: "stats",
    summary: "Breaks the server's memory down by what it is used for.",
    tips: REPORT,
    reply: ReplyShape::Map(&ReplyShape::Text, &ReplyShape::Any),
    differs: "Sizes are those of this server's structures and of its allocator, mimalloc.",
    handler: Handler::ReadAll(stats),
    ..BASE
};

static USAGE: CommandSpec = CommandSpec {
    name: "usage",
    summary: "Tells how many bytes a key takes with its value and what surrounds them.",
    complexity: "O(N) for a value of N allocations.",
    arity: -3,
    flags: Flags::READONLY,
    categories: Categories::empty(),
    key_specs: &[KeySpec::one(2, KeyFlags::RO)],
    arguments: &[Arg::key("key"), Arg::integer("count").token("SAMPLES").optional()],
    reply: ReplyShape::OneOf(&[ReplyShape::Count, ReplyShape::Null]),
    differs: "Exact: SAMPLES is accepted and nothing is estimated.",
    handler: Handler::Read(usage),
    ..BASE
};

/// Bytes of a key's slot in the table.
const SLOT_BYTES: usize = 8;

/// Below this, ratios say nothing (Redis: the same 5 MiB).
const DOCTOR_BYTES_MIN: u64 = 5 << 20;

fn usage(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let mut arguments = call.args.cursor(3);
    while arguments.remaining() > 0 {
        // The sum is exact, so the number of samples only has to be a valid one.
        if !arguments.word("SAMPLES") || arguments.integer()? < 0 {
            return Err(CommandError::Syntax);
        }
    }
    match keyspace.stored(&call.key(2)) {
        Some(entry) => call.reply.count(entry.memory_bytes() + SLOT_BYTES),
        None => call.reply.null(),
    }
    Ok(())
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn stats(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let (used, peak) = (allocator::used_bytes(), allocator::peak_bytes());
    let resident = process::resident_bytes();
    let databases: Vec<(u32, usize, usize)> = (0..keyspace.databases())
        .map(|db| (db, keyspace.sizes(db).0, keyspace.table_shape(db).0))
        .filter(|(_, keys, _)| *keys > 0)
        .collect();
    let keys: usize = databases.iter().map(|(_, keys, _)| keys).sum();
    let tables: u64 = databases.iter().map(|(_, _, bytes)| *bytes as u64).sum();
    let startup = call.server.startup_bytes;
    let overhead = startup + tables;
    let dataset = used.saturating_sub(overhead);
    let payload = used.saturating_sub(startup);
    let reply = &mut call.reply;
    let mut fields = Fields { reply, count: 0 };
    fields.begin(33 + databases.len());
    fields.integer("peak.allocated", peak);
    fields.integer("total.allocated", used);
    fields.integer("startup.allocated", startup);
    for absent in ["replication.backlog", "replica.fullsync.buffer"] {
        fields.integer(absent, 0);
    }
    let [client_bytes, follower_bytes] = call.server.clients.memory_bytes();
    fields.integer("clients.slaves", follower_bytes);
    fields.integer("clients.normal", client_bytes);
    for absent in ["cluster.links", "aof.buffer"] {
        fields.integer(absent, 0);
    }
    let scripts = &call.server.scripts;
    fields.integer("lua.caches", scripts.figures().1 as u64);
    fields.integer("functions.caches", scripts.libraries().bytes() as u64);
    fields.integer("script.VMs", scripts.interpreter_bytes().iter().sum());
    for (db, _, bytes) in &databases {
        fields.name(&format!("db.{db}"));
        fields.reply.map(2);
        fields.reply.bulk(b"overhead.hashtable.main");
        fields.reply.count(*bytes);
        fields.reply.bulk(b"overhead.hashtable.expires");
        fields.reply.count(0);
    }
    fields.integer("overhead.db.hashtable.lut", tables);
    fields.integer("overhead.db.hashtable.rehashing", 0);
    fields.integer("overhead.total", overhead);
    fields.integer("db.dict.rehashing.count", 0);
    fields.integer("keys.count", keys as u64);
    fields.integer("keys.bytes-per-key", payload.checked_div(keys as u64).unwrap_or(0));
    fields.integer("dataset.bytes", dataset);
    fields.double("dataset.percentage", 100.0 * ratio(dataset, payload));
    fields.double("peak.percentage", 100.0 * ratio(used, peak));
    fields.integer("allocator.allocated", used);
    fields.integer("allocator.active", resident);
    fields.integer("allocator.resident", resident);
    fields.integer("allocator.muzzy", 0);
    let slack = resident.saturating_sub(used);
    fields.double("allocator-fragmentation.ratio", ratio(resident, used));
    fields.integer("allocator-fragmentation.bytes", slack);
    fields.double("allocator-rss.ratio", 1.0);
    fields.integer("allocator-rss.bytes", 0);
    fields.double("rss-overhead.ratio", 1.0);
    fields.integer("rss-overhead.bytes", 0);
    fields.double("fragmentation", ratio(resident, used));
    fields.integer("fragmentation.bytes", slack);
    fields.end();
    Ok(())
}

/// Writes a map and checks that it has as many fields as was said.
struct Fields<'r, 'o> {
    reply: &'r mut swytch_resp::Reply<'o>,
    count: usize,
}

impl Fields<'_, '_> {
    fn begin(&mut self, len: usize) {
        self.reply.map(len);
        self.count = len;
    }

    fn name(&mut self, name: &str) {
        self.reply.bulk(name.as_bytes());
        self.count -= 1;
    }

    fn integer(&mut self, name: &str, value: u64) {
        self.name(name);
        self.reply.integer(value as i64);
    }

    fn double(&mut self, name: &str, value: f64) {
        self.name(name);
        self.reply.double(value);
    }

    fn end(self) {
        assert_eq!(self.count, 0, "the map has the length that was announced");
    }
}

fn doctor(call: &mut Call<'_>) -> CommandResult {
    let (used, peak) = (allocator::used_bytes(), allocator::peak_bytes());
    let resident = process::resident_bytes();
    let mut report = String::new();
    if used < DOCTOR_BYTES_MIN {
        report.push_str("The server holds very little data: there is nothing to examine yet.\n");
    } else {
        if ratio(peak, used) > 1.5 {
            report.push_str(
                " * The peak was more than one and a half times what is in use now. Memory freed since then may \
                 not have gone back to the system; MEMORY PURGE asks for that.\n",
            );
        }
        if ratio(resident, used) > 1.4 && resident - used > 10 << 20 {
            report.push_str(
                " * The process occupies much more memory than its data needs. After a peak that is \
                 harmless; otherwise sizes of values that vary much may have fragmented the memory.\n",
            );
        }
        if report.is_empty() {
            report.push_str("No problem was found.\n");
        }
    }
    call.reply.verbatim("txt", report.as_bytes());
    Ok(())
}

fn malloc_stats(call: &mut Call<'_>) -> CommandResult {
    let report = format!(
        "allocator: mimalloc\nallocated: {}\npeak allocated: {}\nresident: {}\n",
        allocator::used_bytes(),
        allocator::peak_bytes(),
        process::resident_bytes()
    );
    call.reply.verbatim("txt", report.as_bytes());
    Ok(())
}

fn purge(call: &mut Call<'_>) -> CommandResult {
    allocator::purge();
    call.reply.ok();
    Ok(())
}

fn help(call: &mut Call<'_>) -> CommandResult {
    reply_help(
        call,
        &[
            "DOCTOR",
            "    Report problems with memory in words.",
            "MALLOC-STATS",
            "    Report what the allocator counts.",
            "PURGE",
            "    Give unused memory back to the system.",
            "STATS",
            "    List what takes how much memory.",
            "USAGE <key> [SAMPLES <count>]",
            "    Tell how many bytes <key> and its value take. The sum is exact whatever the number of",
            "    samples.",
        ],
    );
    Ok(())
}
