//! Commands on hashes.

pub mod draw;
pub mod fields;
pub mod increment;
pub mod scan;
pub mod set;
pub mod whole;

use crate::command::KeySpec;
use crate::command::prelude::*;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[
    &fields::HDEL,
    &fields::HEXISTS,
    &fields::HGET,
    &whole::HGETALL,
    &increment::HINCRBY,
    &increment::HINCRBYFLOAT,
    &whole::HKEYS,
    &fields::HLEN,
    &fields::HMGET,
    &set::HMSET,
    &draw::HRANDFIELD,
    &scan::HSCAN,
    &set::HSET,
    &set::HSETNX,
    &fields::HSTRLEN,
    &whole::HVALS,
];

/// How a command uses a key whose fields or values it shows.
const SHOWN: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);

/// A command that shows something of a hash, for struct update syntax.
const LOOK: CommandSpec = CommandSpec {
    since: "2.0.0",
    group: Group::Hash,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::HASH,
    key_specs: &[KeySpec::one(1, SHOWN)],
    ..CommandSpec::DEFAULT
};
