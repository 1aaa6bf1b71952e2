//! ZCARD, ZSCORE, ZMSCORE, ZRANK, ZREVRANK, ZCOUNT, ZLEXCOUNT

use swytch_store::{Keyspace, SortedSet};

use super::SHOWN;
use super::bounds::{Bounds, By};
use crate::command::KeySpec;
use crate::command::prelude::*;

const LOOK: CommandSpec = CommandSpec {
    since: "1.2.0",
    group: Group::SortedSet,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::SORTED_SET,
    key_specs: &[KeySpec::one(1, KeyFlags::RO)],
    ..CommandSpec::DEFAULT
};

pub static ZCARD: CommandSpec = CommandSpec {
    name: "zcard",
    summary: "Returns how many members a sorted set has; 0 for an absent one.",
    arity: 2,
    arguments: &[Arg::key("key")],
    reply: ReplyShape::Count,
    handler: Handler::Read(|call, keyspace| {
        let len = keyspace.get::<SortedSet>(&call.key(1))?.map_or(0, SortedSet::len);
        call.reply.count(len);
        Ok(())
    }),
    ..LOOK
};

pub static ZSCORE: CommandSpec = CommandSpec {
    name: "zscore",
    summary: "Returns the score of a member, or null when there is no such member.",
    arity: 3,
    key_specs: &[KeySpec::one(1, SHOWN)],
    member: Some(2),
    arguments: &[Arg::key("key"), Arg::string("member")],
    reply: ReplyShape::OneOf(&[ReplyShape::Double, ReplyShape::Null]),
    handler: Handler::Read(|call, keyspace| {
        let set = keyspace.get::<SortedSet>(&call.key(1))?;
        score(call, set, 2);
        Ok(())
    }),
    ..LOOK
};

pub static ZMSCORE: CommandSpec = CommandSpec {
    name: "zmscore",
    summary: "Returns the scores of several members, null for each that there is not.",
    since: "6.2.0",
    complexity: "O(N) for N given members.",
    arity: -3,
    key_specs: &[KeySpec::one(1, SHOWN)],
    arguments: &[Arg::key("key"), Arg::string("member").multiple()],
    reply: ReplyShape::List(&ReplyShape::OneOf(&[ReplyShape::Double, ReplyShape::Null])),
    handler: Handler::Read(|call, keyspace| {
        let set = keyspace.get::<SortedSet>(&call.key(1))?;
        call.reply.array(call.args.len() - 2);
        (2..call.args.len()).for_each(|at| score(call, set, at));
        Ok(())
    }),
    ..LOOK
};

fn score(call: &mut Call<'_>, set: Option<&SortedSet>, at: usize) {
    match set.and_then(|set| set.score(call.args.get(at))) {
        Some(score) => call.reply.double(score),
        None => call.reply.null(),
    }
}

const RANK: CommandSpec = CommandSpec {
    since: "2.0.0",
    complexity: "O(log(N)) for a sorted set of N members.",
    arity: -3,
    key_specs: &[KeySpec::one(1, SHOWN)],
    arguments: &[Arg::key("key"), Arg::string("member"), Arg::flag("withscore", "WITHSCORE").optional()],
    history: &[("7.2.0", "WITHSCORE.")],
    reply: ReplyShape::OneOf(&[
        ReplyShape::Count,
        ReplyShape::Null,
        ReplyShape::Tuple(&[ReplyShape::Count, ReplyShape::Double]),
        ReplyShape::NullArray,
    ]),
    ..LOOK
};

pub static ZRANK: CommandSpec = CommandSpec {
    name: "zrank",
    summary: "Returns how many members come before a member, those with lower scores first; null when there is no such member.",
    member: Some(2),
    handler: Handler::Read(|call, keyspace| rank(call, keyspace, false)),
    ..RANK
};

pub static ZREVRANK: CommandSpec = CommandSpec {
    name: "zrevrank",
    summary: "Returns how many members come before a member, those with higher scores first; null when there is no such member.",
    member: Some(2),
    handler: Handler::Read(|call, keyspace| rank(call, keyspace, true)),
    ..RANK
};

fn rank(call: &mut Call<'_>, keyspace: &Keyspace<'_>, reversed: bool) -> CommandResult {
    let mut options = call.args.cursor(3);
    if options.remaining() > 1 {
        return Err(CommandError::wrong_arity(&call.command.full_name));
    }
    let with_score = options.word("WITHSCORE");
    options.end()?;
    let set = keyspace.get::<SortedSet>(&call.key(1))?;
    let ranked = set.and_then(|set| Some((set.len(), set.rank(call.args.get(2))?)));
    match ranked {
        Some((len, (rank, score))) => {
            if with_score {
                call.reply.array(2);
            }
            call.reply.count(if reversed { len - 1 - rank } else { rank });
            if with_score {
                call.reply.double(score);
            }
        }
        None if with_score => call.reply.null_array(),
        None => call.reply.null(),
    }
    Ok(())
}

const COUNT: CommandSpec = CommandSpec {
    complexity: "O(log(N)) for a sorted set of N members.",
    arity: 4,
    key_specs: &[KeySpec::one(1, SHOWN)],
    reply: ReplyShape::Count,
    ..LOOK
};

pub static ZCOUNT: CommandSpec = CommandSpec {
    name: "zcount",
    summary: "Counts the members whose scores lie in a range.",
    since: "2.0.0",
    arguments: &[Arg::key("key"), Arg::double("min"), Arg::double("max")],
    handler: Handler::Read(|call, keyspace| count(call, keyspace, By::Score)),
    ..COUNT
};

pub static ZLEXCOUNT: CommandSpec = CommandSpec {
    name: "zlexcount",
    summary: "Counts the members whose bytes lie in a range, in a sorted set where all have the same score.",
    since: "2.8.9",
    arguments: &[Arg::key("key"), Arg::string("min"), Arg::string("max")],
    handler: Handler::Read(|call, keyspace| count(call, keyspace, By::Member)),
    ..COUNT
};

fn count(call: &mut Call<'_>, keyspace: &Keyspace<'_>, by: By) -> CommandResult {
    let bounds = Bounds::parse(by, call.args.get(2), call.args.get(3))?;
    let set = keyspace.get::<SortedSet>(&call.key(1))?;
    call.reply.count(set.map_or(0, |set| bounds.ranks(set, false).len()));
    Ok(())
}
