//! Commands on strings and counters.

pub mod condition;
pub mod delex;
pub mod get;
pub mod incr;
pub mod incrbyfloat;
pub mod lcs;
pub mod mset;
pub mod options;
pub mod range;
pub mod set;

use std::ops::Range;

use swytch_resp::Argument;
use swytch_store::{Event, Expiry, Key, KeyspaceMut, Overwriting, RawString, Text};

use crate::command::{Call, CommandSpec};

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[
    &delex::DELEX,
    &delex::DELIFEQ,
    &delex::DIGEST,
    &get::GET,
    &get::GETDEL,
    &get::GETEX,
    &incr::DECR,
    &incr::DECRBY,
    &incr::INCR,
    &incr::INCRBY,
    &incrbyfloat::INCRBYFLOAT,
    &lcs::LCS,
    &mset::MGET,
    &mset::MSET,
    &mset::MSETEX,
    &mset::MSETNX,
    &range::APPEND,
    &range::GETRANGE,
    &range::SETRANGE,
    &range::STRLEN,
    &range::SUBSTR,
    &set::GETSET,
    &set::PSETEX,
    &set::SET,
    &set::SETEX,
    &set::SETNX,
];

/// What is told of a string that takes the place of whatever was there.
const SET_EVENT: Event = Event::string("set").overwriting(Overwriting::ToldBefore);

/// Puts an argument at a key, whatever was there; a long one without a copy.
#[inline]
fn set_argument(
    call: &Call<'_>,
    keyspace: &mut KeyspaceMut<'_, '_>,
    key: &Key<'_>,
    index: usize,
    expiry: Expiry,
    event: Event,
) {
    match call.args.argument(index) {
        Argument::Short(value) => keyspace.set(key, value, expiry, event),
        Argument::Long(value) => keyspace.set_long(key, value, expiry, event),
    }
}

/// Answers with a string that has an allocation of its own.
fn reply_raw(call: &mut Call<'_>, raw: RawString<'_>) {
    call.reply.bulk_shared(raw.bytes(), 0..raw.bytes().len(), || raw.share());
}

/// Answers with a part of a string.
pub fn reply_text(call: &mut Call<'_>, text: &Text<'_>, part: Range<usize>) {
    match text {
        Text::Raw(raw) => call.reply.bulk_shared(raw.bytes(), part, || raw.share()),
        short => call.reply.bulk(&short[part]),
    }
}
