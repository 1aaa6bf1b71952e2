//! Commands on HyperLogLogs: how many different elements there were, in at most 12 KiB.

mod debug;
mod estimate;
mod registers;

use std::ops::Range;
use std::sync::Arc;

use registers::{Fault, Form, Union};
use swytch_store::{Event, Expiry, Key, KeyspaceMut, Text};

use crate::command::KeySpec;
use crate::command::prelude::*;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[&PFADD, &PFCOUNT, &debug::PFDEBUG, &PFMERGE, &debug::PFSELFTEST];

/// What the specs of this group have in common.
const HYPERLOGLOG: CommandSpec = CommandSpec {
    since: "2.8.9",
    group: Group::HyperLogLog,
    arity: -2,
    categories: Categories::HYPERLOGLOG,
    ..CommandSpec::DEFAULT
};

static PFADD: CommandSpec = CommandSpec {
    name: "pfadd",
    summary: "Counts elements in a HyperLogLog, which is made if there is none, and tells whether its estimate may have changed.",
    complexity: "O(N) for N elements.",
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
    arguments: &[Arg::key("key"), Arg::string("element").optional().multiple()],
    reply: ReplyShape::Flag,
    handler: Handler::Write(pfadd),
    ..HYPERLOGLOG
};

static PFCOUNT: CommandSpec = CommandSpec {
    name: "pfcount",
    summary: "Estimates how many different elements a HyperLogLog has counted, or several taken together.",
    complexity: "O(1) where nothing was added since the last time; O(N) for N keys, with a large constant.",
    flags: Flags::READONLY.union(Flags::MAY_REPLICATE),
    key_specs: &[KeySpec {
        notes: "RW because the estimate is kept in the value",
        ..KeySpec::range(1, -1, 1, KeyFlags::RW.union(KeyFlags::ACCESS))
    }],
    arguments: &[Arg::key("key").multiple()],
    reply: ReplyShape::Count,
    handler: Handler::Write(pfcount),
    ..HYPERLOGLOG
};

static PFMERGE: CommandSpec = CommandSpec {
    name: "pfmerge",
    summary: "Takes HyperLogLogs together in a key, with what that one has counted before.",
    complexity: "O(N) for N keys, with a large constant.",
    flags: Flags::WRITE.union(Flags::DENYOOM),
    key_specs: &[
        KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::INSERT)),
        KeySpec::range(2, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
    ],
    arguments: &[Arg::key("destkey"), Arg::new("sourcekey", ArgKind::Key(1)).optional().multiple()],
    reply: ReplyShape::OK,
    handler: Handler::Write(pfmerge),
    ..HYPERLOGLOG
};

impl From<Fault> for CommandError {
    fn from(fault: Fault) -> CommandError {
        CommandError::text(match fault {
            Fault::NotOne => "WRONGTYPE Key is not a valid HyperLogLog string value.",
            Fault::Corrupted => "INVALIDOBJ Corrupted HLL object detected",
        })
    }
}

/// The string at a key, which must begin as a HyperLogLog does, and its form.
fn stored<'k>(
    keyspace: &'k KeyspaceMut<'_, '_>,
    key: &Key<'_>,
) -> Result<Option<(Text<'k>, Form)>, CommandError> {
    let Some(entry) = keyspace.peek(key) else { return Ok(None) };
    let text = Text::of(entry.value()).ok_or(CommandError::WrongType)?;
    let form = registers::form_of(&text)?;
    Ok(Some((text, form)))
}

/// Puts a HyperLogLog at a key.
fn put(keyspace: &mut KeyspaceMut<'_, '_>, key: &Key<'_>, bytes: Vec<u8>, event: Event) {
    keyspace.set_long(key, &Arc::new(bytes), Expiry::Keep, event);
}

fn pfadd(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let key = call.key(1);
    let elements = (2..call.args.len()).map(|index| estimate::register_of(call.args.get(index)));
    let sparse_max = call.server.config.hll_sparse_max_bytes();
    let added = match stored(keyspace, &key)? {
        Some((text, Form::Dense)) => {
            let len = text.len();
            add_in_place(keyspace, &key, len, elements)?
        }
        found => {
            let (is_new, mut bytes) = match found {
                Some((text, _)) => (false, text.to_vec()),
                None => (true, registers::empty()),
            };
            let mut added = is_new;
            for (register, rank) in elements {
                added |= registers::raise(&mut bytes, register, rank, sparse_max)?;
            }
            if added {
                registers::make_stale(&mut bytes);
                put(keyspace, &key, bytes, Event::string("pfadd"));
            }
            added
        }
    };
    call.reply.integer(i64::from(added));
    Ok(())
}

/// Adds to a dense one of `len` bytes: each element changes three bytes at most.
fn add_in_place(
    keyspace: &mut KeyspaceMut<'_, '_>,
    key: &Key<'_>,
    len: usize,
    elements: impl Iterator<Item = (u16, u8)>,
) -> Result<bool, CommandError> {
    let added = keyspace.edit_string(key, len, Event::string("pfadd"), |string| {
        let mut added = false;
        for (register, rank) in elements {
            if let Some((at, piece)) = registers::dense_piece(string.bytes(), register, rank) {
                string.write(at, &piece);
                added = true;
            }
        }
        if added {
            let (at, piece) = registers::stale_piece(string.bytes());
            string.write(at, &piece);
        }
        added
    })?;
    Ok(added)
}

fn pfcount(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let count = if call.args.len() == 2 {
        count_one(keyspace, &call.key(1))?
    } else {
        let (union, _) = union_of(call, keyspace, 1..call.args.len())?;
        union.cardinality()
    };
    call.reply.integer(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(())
}

/// The estimate of one key, which it keeps.
fn count_one(keyspace: &mut KeyspaceMut<'_, '_>, key: &Key<'_>) -> Result<u64, CommandError> {
    // Of one key a read is counted, as of GET.
    let Some(text) = keyspace.string(key)? else { return Ok(0) };
    registers::form_of(&text)?;
    if let Some(estimate) = registers::last_estimate(&text) {
        return Ok(estimate);
    }
    let (len, count) = (text.len(), estimate::cardinality(&registers::histogram(&text)?));
    let (at, piece) = registers::estimate_piece(count);
    keyspace.edit_string(key, len, None, |string| string.write(at, &piece))?;
    Ok(count)
}

/// The HyperLogLogs of some keys taken together, and whether one of them is dense.
fn union_of(
    call: &Call<'_>,
    keyspace: &KeyspaceMut<'_, '_>,
    keys: Range<usize>,
) -> Result<(Union, bool), CommandError> {
    let (mut union, mut dense) = (Union::new(), false);
    for index in keys {
        let key = call.key(index);
        // A read of the key, whatever comes of it.
        keyspace.find(&key);
        if let Some((text, form)) = stored(keyspace, &key)? {
            union.take(&text)?;
            dense |= form == Form::Dense;
        }
    }
    Ok((union, dense))
}

fn pfmerge(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let key = call.key(1);
    let sparse_max = call.server.config.hll_sparse_max_bytes();
    let (union, dense) = union_of(call, keyspace, 1..call.args.len())?;
    let mut bytes = stored(keyspace, &key)?.map_or_else(registers::empty, |(text, _)| text.to_vec());
    if dense {
        bytes = registers::to_dense(&bytes)?;
    }
    for (register, rank) in (0..).zip(union.ranks()) {
        if *rank > 0 {
            registers::raise(&mut bytes, register, *rank, sparse_max)?;
        }
    }
    registers::make_stale(&mut bytes);
    put(keyspace, &key, bytes, Event::string("pfadd"));
    call.reply.ok();
    Ok(())
}
