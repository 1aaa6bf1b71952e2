//! ZRANGE and the commands that it replaces, and ZRANGESTORE

use std::ops::Range;

use swytch_store::{Event, Keyspace, KeyspaceMut, Scored, SortedSet};

use super::bounds::{Bounds, By};
use super::{SHOWN, show};
use crate::command::KeySpec;
use crate::command::prelude::*;

const RANGE: CommandSpec = CommandSpec {
    group: Group::SortedSet,
    complexity: "O(log(N)+M) for M members returned of a sorted set of N.",
    arity: -4,
    flags: Flags::READONLY,
    categories: Categories::SORTED_SET,
    key_specs: &[KeySpec::one(1, SHOWN)],
    reply: ReplyShape::OneOf(&[ReplyShape::TEXTS, ReplyShape::SCORED]),
    ..CommandSpec::DEFAULT
};

const SORT_BY: &[Arg] = &[Arg::flag("byscore", "BYSCORE"), Arg::flag("bylex", "BYLEX")];
const LIMIT: Arg =
    Arg::block("limit", &[Arg::integer("offset"), Arg::integer("count")]).token("LIMIT").optional();
const WITHSCORES: Arg = Arg::flag("withscores", "WITHSCORES").optional();

pub static ZRANGE: CommandSpec = CommandSpec {
    name: "zrange",
    summary: "Returns the members of a range of places, scores or bytes, from either end.",
    since: "1.2.0",
    arguments: &[
        Arg::key("key"),
        Arg::string("start"),
        Arg::string("stop"),
        Arg::one_of("sortby", SORT_BY).optional().since("6.2.0"),
        Arg::flag("rev", "REV").optional().since("6.2.0"),
        LIMIT.since("6.2.0"),
        WITHSCORES,
    ],
    history: &[("6.2.0", "REV, BYSCORE, BYLEX and LIMIT.")],
    handler: Handler::Read(|call, keyspace| range(call, keyspace, None, None)),
    ..RANGE
};

pub static ZREVRANGE: CommandSpec = CommandSpec {
    name: "zrevrange",
    summary: "Returns the members of a range of places counted from the highest score.",
    since: "1.2.0",
    arguments: &[Arg::key("key"), Arg::integer("start"), Arg::integer("stop"), WITHSCORES],
    deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` argument")),
    handler: Handler::Read(|call, keyspace| range(call, keyspace, Some(By::Rank), Some(true))),
    ..RANGE
};

pub static ZRANGEBYSCORE: CommandSpec = CommandSpec {
    name: "zrangebyscore",
    summary: "Returns the members whose scores lie in a range, the lowest first.",
    since: "1.0.5",
    arguments: &[Arg::key("key"), Arg::double("min"), Arg::double("max"), WITHSCORES.since("2.0.0"), LIMIT],
    history: &[("2.0.0", "WITHSCORES.")],
    deprecated: Some(("6.2.0", "`ZRANGE` with the `BYSCORE` argument")),
    handler: Handler::Read(|call, keyspace| range(call, keyspace, Some(By::Score), Some(false))),
    ..RANGE
};

pub static ZREVRANGEBYSCORE: CommandSpec = CommandSpec {
    name: "zrevrangebyscore",
    summary: "Returns the members whose scores lie in a range, the highest first.",
    since: "2.2.0",
    arguments: &[Arg::key("key"), Arg::double("max"), Arg::double("min"), WITHSCORES, LIMIT],
    history: &[("2.1.6", "The ends may be excluded.")],
    deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments")),
    handler: Handler::Read(|call, keyspace| range(call, keyspace, Some(By::Score), Some(true))),
    ..RANGE
};

pub static ZRANGEBYLEX: CommandSpec = CommandSpec {
    name: "zrangebylex",
    summary: "Returns the members whose bytes lie in a range, in a sorted set where all have the same score.",
    since: "2.8.9",
    arguments: &[Arg::key("key"), Arg::string("min"), Arg::string("max"), LIMIT],
    deprecated: Some(("6.2.0", "`ZRANGE` with the `BYLEX` argument")),
    reply: ReplyShape::TEXTS,
    handler: Handler::Read(|call, keyspace| range(call, keyspace, Some(By::Member), Some(false))),
    ..RANGE
};

pub static ZREVRANGEBYLEX: CommandSpec = CommandSpec {
    name: "zrevrangebylex",
    summary: "Returns the members whose bytes lie in a range, the last first, in a sorted set where all have the same score.",
    since: "2.8.9",
    arguments: &[Arg::key("key"), Arg::string("max"), Arg::string("min"), LIMIT],
    deprecated: Some(("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments")),
    reply: ReplyShape::TEXTS,
    handler: Handler::Read(|call, keyspace| range(call, keyspace, Some(By::Member), Some(true))),
    ..RANGE
};

pub static ZRANGESTORE: CommandSpec = CommandSpec {
    name: "zrangestore",
    summary: "Puts the members of a range of a sorted set, with their scores, at a key, whatever was there, and returns how many they are; for none the key is deleted.",
    since: "6.2.0",
    complexity: "O(log(N)+M*log(M)) for M members stored of a sorted set of N.",
    arity: -5,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    key_specs: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)), KeySpec::one(2, SHOWN)],
    arguments: &[
        Arg::new("dst", ArgKind::Key(0)),
        Arg::new("src", ArgKind::Key(1)),
        Arg::string("min"),
        Arg::string("max"),
        Arg::one_of("sortby", SORT_BY).optional(),
        Arg::flag("rev", "REV").optional(),
        LIMIT,
    ],
    reply: ReplyShape::Count,
    handler: Handler::Write(store),
    ..RANGE
};

/// What a command is asked for.
#[derive(Clone, Copy, Debug)]
struct Query<'a> {
    bounds: Bounds<'a>,
    reversed: bool,
    /// How many to leave out first, and how many to show then; one below zero stands for none, and for all.
    limit: (i64, i64),
    with_scores: bool,
}

impl<'a> Query<'a> {
    /// Reads what follows the key: two ends, and options where the command's name does not say what they would.
    fn parse(
        mut cursor: ArgCursor<'a>,
        by: Option<By>,
        reversed: Option<bool>,
        may_show_scores: bool,
    ) -> Result<Query<'a>, CommandError> {
        let (first, second) = (cursor.expect()?, cursor.expect()?);
        let (mut by, mut reversed) = (by, reversed);
        let (mut limit, mut with_scores) = ((0, -1), false);
        while cursor.remaining() > 0 {
            if may_show_scores && cursor.word("WITHSCORES") {
                with_scores = true;
            } else if cursor.remaining() > 2 && cursor.word("LIMIT") {
                limit = (cursor.integer()?, cursor.integer()?);
            } else if reversed.is_none() && cursor.word("REV") {
                reversed = Some(true);
            } else if by.is_none() && cursor.word("BYLEX") {
                by = Some(By::Member);
            } else if by.is_none() && cursor.word("BYSCORE") {
                by = Some(By::Score);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        let (by, reversed) = (by.unwrap_or(By::Rank), reversed.unwrap_or(false));
        if limit.1 != -1 && by == By::Rank {
            return Err(CommandError::text(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if with_scores && by == By::Member {
            return Err(CommandError::text(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            ));
        }
        let swaps = reversed && by != By::Rank;
        let (min, max) = if swaps { (second, first) } else { (first, second) };
        Ok(Query { bounds: Bounds::parse(by, min, max)?, reversed, limit, with_scores })
    }

    fn ranks(&self, set: &SortedSet) -> Range<usize> {
        let Range { start, end } = self.bounds.ranks(set, self.reversed);
        if matches!(self.bounds, Bounds::Ranks(..)) {
            return start..end;
        }
        let (offset, count) = self.limit;
        let left_out = usize::try_from(offset).unwrap_or(usize::MAX).min(end - start);
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(end - start - left_out);
        if self.reversed {
            end - left_out - count..end - left_out
        } else {
            start + left_out..start + left_out + count
        }
    }
}

fn range(
    call: &mut Call<'_>,
    keyspace: &Keyspace<'_>,
    by: Option<By>,
    reversed: Option<bool>,
) -> CommandResult {
    let query = Query::parse(call.args.cursor(2), by, reversed, true)?;
    let Some(set) = keyspace.get::<SortedSet>(&call.key(1))? else {
        call.reply.array(0);
        return Ok(());
    };
    let members = set.range(query.ranks(set));
    if query.reversed {
        show(&mut call.reply, members.rev(), query.with_scores);
    } else {
        show(&mut call.reply, members, query.with_scores);
    }
    Ok(())
}

fn store(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let query = Query::parse(call.args.cursor(3), None, None, false)?;
    let limits = keyspace.limits().sorted_set;
    let result = keyspace.get::<SortedSet>(&call.key(2))?.map(|set| {
        let members: Vec<Scored<'_>> = set.range(query.ranks(set)).collect();
        SortedSet::gathered(members, limits)
    });
    call.put(keyspace, 1, result.unwrap_or_default(), Event::sorted_set("zrangestore"));
    Ok(())
}
