//! INFO: statistics as text, in Redis's sections and with Redis's field names.
//!
//! A field whose mechanism this server does not have is shown with the value it has in a Redis that does not
//! use the mechanism, because monitoring tools look fields up by name. Each file has the sections it is named after.
//!
//! A section tells its fields to a [`Visitor`]: what INFO answers (`text.rs`) is one, the page of metrics another.

mod clients;
mod commands;
mod keyspace;
mod memory;
mod persistence;
mod replication;
mod server;
mod stats;
mod text;
mod totals;
mod visitor;

use swytch_store::{Lengths, UnixMs};

use crate::command::prelude::*;
use crate::command::scan::walk_keys;
use crate::command::{CommandTable, ShardSteps};
use crate::config::SlotMetrics;
use crate::server::Server;
use crate::system::allocator;
use text::Text;
pub use totals::Totals;
pub use visitor::Visitor;

pub static INFO: CommandSpec = CommandSpec {
    name: "info",
    summary: "Reports on the server in sections of `field:value` lines: memory, clients, counters, keyspace and more.",
    since: "1.0.0",
    group: Group::Server,
    arity: -1,
    flags: Flags::LOADING.union(Flags::STALE),
    categories: Categories::DANGEROUS,
    tips: &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
    history: &[("7.0.0", "Takes several sections.")],
    arguments: &[Arg::string("section").multiple().optional()],
    reply: ReplyShape::Report,
    differs: "Fields of parts that do not exist yet are 0; `swytch_version`, `threads`, `shards` and `shard_lock_waits` are its own.",
    handler: Handler::Steps(info),
    ..CommandSpec::DEFAULT
};

/// What the sections speak of.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The server.
    pub server: &'a Server,
    /// Its commands.
    pub commands: &'a CommandTable,
    /// The time.
    pub now_ms: UnixMs,
    /// Memory used before anything was gathered.
    pub used_bytes: u64,
    /// What is known of all shards, if they could be had.
    pub totals: Option<Totals>,
    /// Of each database, how many collections take so much memory, where that was asked for.
    pub memory: Vec<Lengths>,
}

struct Section {
    name: &'static str,
    /// A bare INFO shows it.
    by_default: bool,
    /// It says something of all shards.
    of_shards: bool,
    tell: fn(&mut dyn Visitor, &Facts<'_>),
}

impl Section {
    const fn new(name: &'static str, tell: fn(&mut dyn Visitor, &Facts<'_>)) -> Section {
        Section { name, by_default: true, of_shards: false, tell }
    }

    const fn on_request(self) -> Section {
        Section { by_default: false, ..self }
    }

    const fn of_shards(self) -> Section {
        Section { of_shards: true, ..self }
    }
}

/// The sections in the order they are shown.
const SECTIONS: &[Section] = &[
    Section::new("server", server::server),
    Section::new("clients", clients::clients).of_shards(),
    Section::new("memory", memory::memory).of_shards(),
    Section::new("persistence", persistence::persistence),
    Section::new("threads", stats::threads),
    Section::new("stats", stats::stats),
    Section::new("replication", replication::replication),
    Section::new("cpu", stats::cpu),
    Section::new("hotkeys", stats::hot_keys),
    Section::new("modules", server::modules),
    Section::new("commandstats", commands::commandstats).on_request(),
    Section::new("errorstats", commands::errorstats),
    Section::new("latencystats", commands::latencystats).on_request(),
    Section::new("cluster", server::cluster),
    Section::new("keyspace", keyspace::keyspace).of_shards(),
    Section::new("keysizes", keyspace::keysizes).of_shards(),
];

/// Tells all sections.
pub fn tell_all(visitor: &mut dyn Visitor, facts: &Facts<'_>) {
    SECTIONS.iter().for_each(|section| (section.tell)(visitor, facts));
}

fn info(call: &mut Call<'_>, steps: &mut ShardSteps<'_>) -> CommandResult {
    let names: Vec<&[u8]> = call.args.from(1).collect();
    let named = |name: &str| names.iter().any(|given| given.eq_ignore_ascii_case(name.as_bytes()));
    let all = named("all") || named("everything");
    let default = names.is_empty() || named("default");
    let wanted = |section: &&Section| all || named(section.name) || (default && section.by_default);
    let sections: Vec<&Section> = SECTIONS.iter().filter(wanted).collect();
    call.client.publish();
    let server = call.server;
    let used_bytes = allocator::settled_bytes();
    let mut totals = Totals::new(server.shards.databases());
    if sections.iter().any(|section| section.of_shards) {
        for shard in 0..server.shards.count() as u16 {
            steps.with_shard(shard, &mut |keyspace| totals.add(keyspace, shard));
        }
    }
    let config = &server.config;
    let of_slots = config.cluster_enabled() && config.cluster_slot_stats_enabled().contains(SlotMetrics::MEM);
    let asks_memory = (all || named("keysizes")) && (config.key_memory_histograms() || of_slots);
    let memory = if asks_memory { memory_of_keys(steps, &totals) } else { Vec::new() };
    let (commands, totals) = (call.commands, Some(totals));
    let facts = Facts { server, commands, now_ms: call.now_ms, used_bytes, totals, memory };
    let mut text = Text::default();
    sections.iter().for_each(|section| (section.tell)(&mut text, &facts));
    call.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// Walks through all keys, and counts what takes how much memory, in each database.
fn memory_of_keys(steps: &mut ShardSteps<'_>, totals: &Totals) -> Vec<Lengths> {
    let mut databases = vec![Lengths::default(); totals.databases.len()];
    for (db, lengths) in databases.iter_mut().enumerate().filter(|(db, _)| totals.databases[*db].keys > 0) {
        walk_keys(steps, db as u32, |entry| {
            lengths.add_one(entry.data_type(), entry.memory_bytes());
            true
        });
    }
    databases
}
