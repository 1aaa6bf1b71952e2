//! Commands about scripts and functions.

pub mod eval;
pub mod fcall;
pub mod function;
pub mod script;

use crate::command::{Arg, ArgKind, CommandSpec, KeyFlags, KeySpec};

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[
    &eval::EVAL,
    &eval::EVAL_RO,
    &eval::EVALSHA,
    &eval::EVALSHA_RO,
    &fcall::FCALL,
    &fcall::FCALL_RO,
    &function::FUNCTION,
    &script::SCRIPT,
];

/// Keys of what may write, and of what may not.
const KEYS_WRITTEN: &[KeySpec] = &[KeySpec {
    notes: NOTES,
    ..KeySpec::counted(2, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))
}];
const KEYS_READ: &[KeySpec] =
    &[KeySpec { notes: NOTES, ..KeySpec::counted(2, KeyFlags::RO.union(KeyFlags::ACCESS)) }];
const NOTES: &str = "only the script knows what becomes of its keys";

/// What follows the script or function.
const COUNT: Arg = Arg::integer("numkeys");
const KEYS: Arg = Arg::new("key", ArgKind::Key(0)).optional().multiple();
const ARGUMENTS: Arg = Arg::string("arg").optional().multiple();

/// How what is removed is freed.
const FLUSH_TYPE: Arg =
    Arg::one_of("flush-type", &[Arg::flag("async", "ASYNC"), Arg::flag("sync", "SYNC")]).optional();
