//! ZPOPMIN, ZPOPMAX, ZMPOP

use swytch_store::{Absent, KeyspaceMut, Side, SortedSet};

use super::{TAKEN_FROM, show};
use crate::command::prelude::*;
use crate::command::{KeySpec, PopFromSeveral};

const POP: CommandSpec = CommandSpec {
    since: "5.0.0",
    group: Group::SortedSet,
    complexity: "O(M*log(N)) for M members taken from a sorted set of N.",
    arity: -2,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::SORTED_SET,
    key_specs: &[KeySpec::one(1, TAKEN_FROM)],
    arguments: &[Arg::key("key"), Arg::integer("count").optional()],
    reply: ReplyShape::OneOf(&[
        ReplyShape::SCORED,
        ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::Double]),
    ]),
    ..CommandSpec::DEFAULT
};

pub static ZPOPMIN: CommandSpec = CommandSpec {
    name: "zpopmin",
    summary: "Takes the members with the lowest scores out of a sorted set and returns them; one left empty is deleted.",
    handler: Handler::Write(|call, keyspace| pop(call, keyspace, Side::Head)),
    ..POP
};

pub static ZPOPMAX: CommandSpec = CommandSpec {
    name: "zpopmax",
    summary: "Takes the members with the highest scores out of a sorted set and returns them; one left empty is deleted.",
    handler: Handler::Write(|call, keyspace| pop(call, keyspace, Side::Tail)),
    ..POP
};

const ENDS: &[Arg] = &[Arg::flag("min", "MIN"), Arg::flag("max", "MAX")];

/// The arguments of ZMPOP, and of BZMPOP behind its timeout.
pub(super) const POP_FROM_SEVERAL: [Arg; 4] = [
    Arg::integer("numkeys"),
    Arg::new("key", ArgKind::Key(0)).multiple(),
    Arg::one_of("where", ENDS),
    Arg::integer("count").token("COUNT").optional(),
];

/// What ZMPOP and BZMPOP have in common.
pub(super) const MANY_POP: CommandSpec = CommandSpec {
    since: "7.0.0",
    group: Group::SortedSet,
    complexity: "O(K)+O(M*log(N)) to look at K keys and take M members from a sorted set of N.",
    categories: Categories::SORTED_SET,
    reply: ReplyShape::OneOf(&[
        ReplyShape::Tuple(&[
            ReplyShape::Text,
            ReplyShape::List(&ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::Double])),
        ]),
        ReplyShape::NullArray,
    ]),
    ..CommandSpec::DEFAULT
};

pub static ZMPOP: CommandSpec = CommandSpec {
    name: "zmpop",
    summary: "Takes members from one end of the first of several sorted sets that is not empty, and returns them with its key.",
    arity: -4,
    flags: Flags::WRITE.union(Flags::MOVABLE_KEYS),
    key_specs: &[KeySpec::counted(1, TAKEN_FROM)],
    arguments: &POP_FROM_SEVERAL,
    handler: Handler::Write(zmpop),
    ..MANY_POP
};

/// Reads `MIN` or `MAX`.
pub(super) fn parse_end(word: &[u8]) -> Result<Side, CommandError> {
    if word.eq_ignore_ascii_case(b"MIN") {
        Ok(Side::Head)
    } else if word.eq_ignore_ascii_case(b"MAX") {
        Ok(Side::Tail)
    } else {
        Err(CommandError::Syntax)
    }
}

fn pop(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>, side: Side) -> CommandResult {
    let mut options = call.args.cursor(2);
    let count = match options.next() {
        None => None,
        Some(_) if options.remaining() > 0 => return Err(CommandError::Syntax),
        Some(count) => {
            let count = swytch_decimal::parse_i64(count).and_then(|count| usize::try_from(count).ok());
            Some(count.ok_or_else(|| CommandError::text("ERR value is out of range, must be positive"))?)
        }
    };
    let key = call.key(1);
    let reply = &mut call.reply;
    let popped = keyspace.change::<SortedSet, _>(&key, Absent::Leave, |set| {
        let Some(count) = count else {
            return set.pop(side, 1, |scored| {
                reply.array(2);
                reply.bulk(scored.member);
                reply.double(scored.score);
            });
        };
        let count = count.min(set.len());
        reply.pairs(count);
        set.pop(side, count, |scored| {
            reply.pair();
            reply.bulk(scored.member);
            reply.double(scored.score);
        });
    })?;
    if popped.is_none() {
        show(reply, std::iter::empty(), false);
    }
    Ok(())
}

fn zmpop(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let wanted = PopFromSeveral::parse(call.args.cursor(1), parse_end)?;
    if !pop_from_first(call, keyspace, &wanted)? {
        call.reply.null_array();
    }
    Ok(())
}

/// Takes from the first of the sorted sets that exists and answers with its key and the members; false, with nothing
/// answered, when none exists.
pub(super) fn pop_from_first(
    call: &mut Call<'_>,
    keyspace: &mut KeyspaceMut<'_, '_>,
    wanted: &PopFromSeveral,
) -> Result<bool, CommandError> {
    for at in wanted.keys.clone() {
        let key = call.key(at);
        let reply = &mut call.reply;
        let popped = keyspace.change::<SortedSet, _>(&key, Absent::Leave, |set| {
            let count = set.len().min(wanted.count);
            reply.array(2);
            reply.bulk(key.bytes);
            reply.array(count);
            set.pop(wanted.side, count, |scored| {
                reply.array(2);
                reply.bulk(scored.member);
                reply.double(scored.score);
            });
        })?;
        if popped.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}
