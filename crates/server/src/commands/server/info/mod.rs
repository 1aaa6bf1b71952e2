//! INFO: statistics as text, in Redis's sections and with Redis's field names.
//!
//! A field whose mechanism this server does not have is shown with the value it has in a Redis that does not
//! use the mechanism, because monitoring tools look fields up by name. Each file writes the sections it is
//! named after.

mod clients;
mod commands;
mod keyspace;
mod memory;
mod persistence;
mod replication;
mod server;
mod stats;
mod text;

use crate::command::ShardSteps;
use crate::command::prelude::*;
use text::Text;

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

/// What writes a section.
type Write = fn(&mut Text, &Call<'_>, &mut ShardSteps<'_>);

/// The sections in the order they are shown; true for those that a bare INFO shows.
const SECTIONS: &[(&str, bool, Write)] = &[
    ("server", true, server::server),
    ("clients", true, clients::clients),
    ("memory", true, memory::memory),
    ("persistence", true, persistence::persistence),
    ("threads", true, stats::threads),
    ("stats", true, stats::stats),
    ("replication", true, replication::replication),
    ("cpu", true, stats::cpu),
    ("modules", true, server::modules),
    ("commandstats", false, commands::commandstats),
    ("errorstats", true, commands::errorstats),
    ("latencystats", false, commands::latencystats),
    ("cluster", true, server::cluster),
    ("keyspace", true, keyspace::keyspace),
    ("keysizes", true, keyspace::keysizes),
];

fn info(call: &mut Call<'_>, steps: &mut ShardSteps<'_>) -> CommandResult {
    let names: Vec<&[u8]> = call.args.from(1).collect();
    let named = |name: &str| names.iter().any(|given| given.eq_ignore_ascii_case(name.as_bytes()));
    let all = named("all") || named("everything");
    let default = names.is_empty() || named("default");
    call.client.publish();
    let mut text = Text::default();
    for (name, shown_by_default, write) in SECTIONS {
        if all || named(name) || (default && *shown_by_default) {
            write(&mut text, call, steps);
        }
    }
    call.reply.verbatim("txt", text.as_bytes());
    Ok(())
}
