//! Commands on keys of any type.

pub mod copy;
pub mod del;
pub mod dump;
pub mod enumerate;
pub mod expire;
pub mod migrate;
pub mod object;
pub mod rename;
pub mod scan;
pub mod ttl;
pub mod type_of;
pub mod wait;

use crate::command::CommandSpec;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[
    &copy::COPY,
    &copy::MOVE,
    &del::DEL,
    &del::EXISTS,
    &del::UNLINK,
    &dump::DUMP,
    &dump::RESTORE,
    &dump::RESTORE_ASKING,
    &enumerate::KEYS,
    &enumerate::RANDOMKEY,
    &expire::EXPIRE,
    &expire::EXPIREAT,
    &expire::PEXPIRE,
    &expire::PEXPIREAT,
    &migrate::MIGRATE,
    &object::OBJECT,
    &rename::RENAME,
    &rename::RENAMENX,
    &scan::SCAN,
    &ttl::EXPIRETIME,
    &ttl::PERSIST,
    &ttl::PEXPIRETIME,
    &ttl::PTTL,
    &ttl::TTL,
    &type_of::TOUCH,
    &type_of::TYPE,
    &wait::WAIT,
    &wait::WAITAOF,
];
