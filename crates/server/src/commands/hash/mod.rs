//! Commands on hashes.

pub mod draw;
pub mod expire;
pub mod fields;
pub mod getex;
pub mod increment;
pub mod scan;
pub mod set;
pub mod setex;
pub mod ttl;
pub mod whole;

mod options;

use swytch_store::{Absent, Editor, Elements, Hash, Keyspace, KeyspaceMut, Live, WrongType};

use crate::command::KeySpec;
use crate::command::prelude::*;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[
    &fields::HDEL,
    &fields::HEXISTS,
    &expire::HEXPIRE,
    &expire::HEXPIREAT,
    &ttl::HEXPIRETIME,
    &fields::HGET,
    &whole::HGETALL,
    &getex::HGETDEL,
    &getex::HGETEX,
    &increment::HINCRBY,
    &increment::HINCRBYFLOAT,
    &whole::HKEYS,
    &fields::HLEN,
    &fields::HMGET,
    &set::HMSET,
    &ttl::HPERSIST,
    &expire::HPEXPIRE,
    &expire::HPEXPIREAT,
    &ttl::HPEXPIRETIME,
    &ttl::HPTTL,
    &draw::HRANDFIELD,
    &scan::HSCAN,
    &set::HSET,
    &setex::HSETEX,
    &set::HSETNX,
    &fields::HSTRLEN,
    &ttl::HTTL,
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

/// The hash at the first key, without the fields whose time is over.
#[inline]
fn live<'k>(call: &Call<'_>, keyspace: &'k Keyspace<'_>) -> Result<Option<Live<'k>>, WrongType> {
    let hash = keyspace.get::<Hash>(&call.key(1))?;
    Ok(hash.map(|hash| hash.live(keyspace.visible_ms())))
}

/// Changes the hash at the first key; those of some fields whose time is over are gone before.
fn change<R>(
    call: &Call<'_>,
    keyspace: &mut KeyspaceMut<'_, '_>,
    absent: Absent,
    fields: Elements<'_>,
    act: impl FnOnce(&mut Editor<'_, Hash>) -> R,
) -> Result<Option<R>, WrongType> {
    let now_ms = keyspace.visible_ms();
    keyspace.change::<Hash, _>(&call.key(1), absent, |hash| {
        hash.forget(fields, now_ms);
        act(hash)
    })
}
