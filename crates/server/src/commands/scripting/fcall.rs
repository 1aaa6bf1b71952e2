//! FCALL, FCALL_RO

use super::eval::RUNS_SCRIPT;
use super::{ARGUMENTS, COUNT, KEYS, KEYS_READ, KEYS_WRITTEN};
use crate::command::ScriptHandler;
use crate::command::prelude::*;
use crate::scripting::{Access, find_function, flags_of_function, run_function};

pub static FCALL: CommandSpec = CommandSpec {
    name: "fcall",
    summary: "Calls a function of a library as one atomic step and returns its result.",
    since: "7.0.0",
    group: Group::Scripting,
    complexity: "That of the function.",
    arity: -3,
    flags: RUNS_SCRIPT.union(Flags::MAY_REPLICATE),
    categories: Categories::SCRIPTING,
    key_specs: KEYS_WRITTEN,
    arguments: &[Arg::string("function"), COUNT, KEYS, ARGUMENTS],
    reply: ReplyShape::Any,
    differs: "Variables that a library keeps outside of its functions are each thread's own.",
    handler: Handler::Script(&ScriptHandler {
        find: find_function,
        run: |call, keyspace, found| run_function(call, keyspace, found, Access::Write),
        flags: flags_of_function,
    }),
    ..CommandSpec::DEFAULT
};

pub static FCALL_RO: CommandSpec = CommandSpec {
    name: "fcall_ro",
    summary: "Calls a function that does not write and returns its result.",
    flags: RUNS_SCRIPT.union(Flags::READONLY),
    key_specs: KEYS_READ,
    differs: "",
    handler: Handler::Script(&ScriptHandler {
        find: find_function,
        run: |call, keyspace, found| run_function(call, keyspace, found, Access::Read),
        flags: flags_of_function,
    }),
    ..FCALL
};
