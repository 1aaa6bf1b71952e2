//! Commands on lists.

pub mod blocking;
pub mod edit;
pub mod pop;
pub mod position;
pub mod push;
pub mod range;
pub mod transfer;

use crate::command::prelude::*;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[
    &blocking::BLMPOP,
    &blocking::BLPOP,
    &blocking::BRPOP,
    &edit::LINSERT,
    &edit::LREM,
    &edit::LSET,
    &edit::LTRIM,
    &pop::LMPOP,
    &pop::LPOP,
    &pop::RPOP,
    &position::LINDEX,
    &position::LPOS,
    &push::LPUSH,
    &push::LPUSHX,
    &push::RPUSH,
    &push::RPUSHX,
    &range::LLEN,
    &range::LRANGE,
    &transfer::BLMOVE,
    &transfer::BRPOPLPUSH,
    &transfer::LMOVE,
    &transfer::RPOPLPUSH,
];

/// How a command uses a key that it takes elements from.
const TAKEN_FROM: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);
/// How a command uses a key that it adds elements to.
const ADDED_TO: KeyFlags = KeyFlags::RW.union(KeyFlags::INSERT);

const SIDES: &[Arg] = &[Arg::flag("left", "LEFT"), Arg::flag("right", "RIGHT")];

/// The arguments of LMPOP, and of BLMPOP behind its timeout.
const POP_FROM_SEVERAL: [Arg; 4] = [
    Arg::integer("numkeys"),
    Arg::new("key", ArgKind::Key(0)).multiple(),
    Arg::one_of("where", SIDES),
    Arg::integer("count").token("COUNT").optional(),
];
