//! EVAL, EVAL_RO, EVALSHA, EVALSHA_RO

use super::{ARGUMENTS, COUNT, KEYS, KEYS_READ, KEYS_WRITTEN};
use crate::command::prelude::*;
use crate::command::{KeySpec, ScriptHandler};
use crate::scripting::{Access, Named, find_script, flags_of_script, run_script};

const BY_SOURCE: &[Arg] = &[Arg::string("script"), COUNT, KEYS, ARGUMENTS];
const BY_SHA: &[Arg] = &[Arg::string("sha1"), COUNT, KEYS, ARGUMENTS];

const OF_SOURCE: ScriptHandler = ScriptHandler {
    find: |call| find_script(call, Named::BySource),
    run: |call, keyspace, found| run_script(call, keyspace, found, Access::Write),
    flags: |server, command, args| flags_of_script(server, command, args, Named::BySource),
};
const OF_SHA: ScriptHandler = ScriptHandler {
    find: |call| find_script(call, Named::BySha),
    run: |call, keyspace, found| run_script(call, keyspace, found, Access::Write),
    flags: |server, command, args| flags_of_script(server, command, args, Named::BySha),
};

/// Properties of everything that runs a script.
pub(super) const RUNS_SCRIPT: Flags = Flags::NOSCRIPT
    .union(Flags::SKIP_MONITOR)
    .union(Flags::NO_MANDATORY_KEYS)
    .union(Flags::STALE)
    .union(Flags::MOVABLE_KEYS);

pub static EVAL: CommandSpec = CommandSpec {
    name: "eval",
    summary: "Runs a Lua script as one atomic step and returns its result.",
    since: "2.6.0",
    group: Group::Scripting,
    complexity: "That of the script.",
    arity: -3,
    flags: RUNS_SCRIPT.union(Flags::MAY_REPLICATE),
    categories: Categories::SCRIPTING,
    key_specs: KEYS_WRITTEN,
    arguments: BY_SOURCE,
    reply: ReplyShape::Any,
    differs: "Scripts run on all threads at once where their keys allow it; what follows from that is in [differences.md](differences.md).",
    handler: Handler::Script(&OF_SOURCE),
    ..CommandSpec::DEFAULT
};

pub static EVAL_RO: CommandSpec = CommandSpec {
    name: "eval_ro",
    summary: "Runs a Lua script that does not write and returns its result.",
    since: "7.0.0",
    flags: RUNS_SCRIPT.union(Flags::READONLY),
    key_specs: KEYS_READ,
    differs: "",
    handler: Handler::Script(&ScriptHandler {
        run: |call, keyspace, found| run_script(call, keyspace, found, Access::Read),
        ..OF_SOURCE
    }),
    ..EVAL
};

pub static EVALSHA: CommandSpec = CommandSpec {
    name: "evalsha",
    summary: "Runs the script with this SHA-1, which was loaded or sent before, and returns its result.",
    arguments: BY_SHA,
    key_specs: &[KeySpec { notes: "", ..KEYS_WRITTEN[0] }],
    differs: "",
    handler: Handler::Script(&OF_SHA),
    ..EVAL
};

pub static EVALSHA_RO: CommandSpec = CommandSpec {
    name: "evalsha_ro",
    summary: "Runs the script with this SHA-1, which must not write, and returns its result.",
    since: "7.0.0",
    flags: RUNS_SCRIPT.union(Flags::READONLY),
    key_specs: &[KeySpec { notes: "", ..KEYS_READ[0] }],
    handler: Handler::Script(&ScriptHandler {
        run: |call, keyspace, found| run_script(call, keyspace, found, Access::Read),
        ..OF_SHA
    }),
    ..EVALSHA
};
