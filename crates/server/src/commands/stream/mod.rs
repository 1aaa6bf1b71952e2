//! Commands on streams.

pub mod add;
pub mod claim;
pub mod groups;
pub mod id;
pub mod info;
pub mod pending;
pub mod range;
pub mod read;
pub mod remove;
pub mod settings;
pub mod trim;

use swytch_store::StreamId;
use swytch_store::types::stream::Entry;

use crate::command::Origin;
use crate::command::prelude::*;
use crate::system::escape::up_to_zero;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[
    &pending::XACK,
    &pending::XACKDEL,
    &add::XADD,
    &claim::XAUTOCLAIM,
    &settings::XCFGSET,
    &claim::XCLAIM,
    &remove::XDEL,
    &remove::XDELEX,
    &groups::XGROUP,
    &settings::XIDMPRECORD,
    &info::XINFO,
    &range::XLEN,
    &pending::XPENDING,
    &range::XRANGE,
    &read::XREAD,
    &read::XREADGROUP,
    &range::XREVRANGE,
    &settings::XSETID,
    &trim::XTRIM,
];

/// How a command uses a key whose entries it shows.
const SHOWN: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
const UPDATED: KeyFlags = KeyFlags::RW.union(KeyFlags::UPDATE);
const DELETED_FROM: KeyFlags = KeyFlags::RW.union(KeyFlags::DELETE);

/// What becomes of references to entries that go.
const CONDITION: Arg = Arg::one_of(
    "condition",
    &[Arg::flag("keepref", "KEEPREF"), Arg::flag("delref", "DELREF"), Arg::flag("acked", "ACKED")],
);

/// An entry: its identifier and its fields.
const ENTRY: ReplyShape = ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::TEXTS]);
const ENTRIES: ReplyShape = ReplyShape::List(&ENTRY);

/// Whether it comes from a log, within a transaction or not: it says what was so where that was written.
fn replays(call: &Call<'_>) -> bool {
    Origin::of(call.client) == Origin::Replay
}

/// Answers an identifier.
fn reply_id(call: &mut Call<'_>, id: StreamId) {
    let mut buffer = [0; id::TEXT_BYTES];
    call.reply.bulk(id::text(&mut buffer, id));
}

/// Answers an entry without the array around it: its identifier and its fields.
#[inline]
fn reply_content(call: &mut Call<'_>, entry: &Entry<'_>) {
    reply_id(call, entry.id);
    call.reply.array(2 * entry.fields());
    let reply = &mut call.reply;
    entry.for_each(|name, value| {
        reply.bulk(name);
        reply.bulk(value);
    });
}

/// Answers an entry.
#[inline]
fn reply_entry(call: &mut Call<'_>, entry: &Entry<'_>) {
    call.reply.array(2);
    reply_content(call, entry);
}

/// The error that there is no such group, of a command that looks for both at once.
fn no_key_or_group(key: &[u8], group: &[u8], rest: &str) -> CommandError {
    let parts = [
        b"NOGROUP No such key '",
        up_to_zero(key),
        b"' or consumer group '",
        up_to_zero(group),
        b"'",
        rest.as_bytes(),
    ];
    CommandError::owned(parts.concat())
}

/// The error that a stream has no such group.
fn no_group(key: &[u8], group: &[u8]) -> CommandError {
    let parts: [&[u8]; 5] =
        [b"NOGROUP No such consumer group '", up_to_zero(group), b"' for key name '", up_to_zero(key), b"'"];
    CommandError::owned(parts.concat())
}
