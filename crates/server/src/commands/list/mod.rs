//! Commands on lists.

pub mod pop;
pub mod push;
pub mod range;

use super::CommandSpec;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[
    &pop::LPOP,
    &pop::RPOP,
    &push::LPUSH,
    &push::LPUSHX,
    &push::RPUSH,
    &push::RPUSHX,
    &range::LLEN,
    &range::LRANGE,
];
