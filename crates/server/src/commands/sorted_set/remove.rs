//! ZREM, ZREMRANGEBYRANK, ZREMRANGEBYSCORE, ZREMRANGEBYLEX

use swytch_store::{Absent, Elements, KeyspaceMut, SortedSet};

use super::bounds::{Bounds, By};
use crate::command::KeySpec;
use crate::command::prelude::*;

pub static ZREM: CommandSpec = CommandSpec {
    name: "zrem",
    summary: "Takes members out of a sorted set and returns how many there were; one left empty is deleted.",
    since: "1.2.0",
    group: Group::SortedSet,
    complexity: "O(N*log(M)) for N given members and a sorted set of M.",
    arity: -3,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::SORTED_SET,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    member: Some(2),
    arguments: &[Arg::key("key"), Arg::string("member").multiple()],
    history: &[("2.4.0", "Takes several members.")],
    reply: ReplyShape::Count,
    handler: Handler::Write(|call, keyspace| {
        let members: Vec<&[u8]> = call.args.from(2).collect();
        let removed = keyspace.change::<SortedSet, _>(&call.key(1), Absent::Leave, |set| {
            set.remove(Elements::Many(&members))
        })?;
        call.reply.count(removed.unwrap_or(0));
        Ok(())
    }),
    ..CommandSpec::DEFAULT
};

const REMOVE_RANGE: CommandSpec = CommandSpec {
    group: Group::SortedSet,
    complexity: "O(N*log(M)) for N members removed from a sorted set of M.",
    arity: 4,
    flags: Flags::WRITE,
    categories: Categories::SORTED_SET,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::DELETE))],
    reply: ReplyShape::Count,
    ..CommandSpec::DEFAULT
};

pub static ZREMRANGEBYRANK: CommandSpec = CommandSpec {
    name: "zremrangebyrank",
    summary: "Takes the members of a range of places out of a sorted set and returns how many they were.",
    since: "2.0.0",
    arguments: &[Arg::key("key"), Arg::integer("start"), Arg::integer("stop")],
    handler: Handler::Write(|call, keyspace| remove_range(call, keyspace, By::Rank)),
    ..REMOVE_RANGE
};

pub static ZREMRANGEBYSCORE: CommandSpec = CommandSpec {
    name: "zremrangebyscore",
    summary: "Takes the members whose scores lie in a range out of a sorted set and returns how many they were.",
    since: "1.2.0",
    arguments: &[Arg::key("key"), Arg::double("min"), Arg::double("max")],
    handler: Handler::Write(|call, keyspace| remove_range(call, keyspace, By::Score)),
    ..REMOVE_RANGE
};

pub static ZREMRANGEBYLEX: CommandSpec = CommandSpec {
    name: "zremrangebylex",
    summary: "Takes the members whose bytes lie in a range out of a sorted set, where all have the same score, and returns how many they were.",
    since: "2.8.9",
    arguments: &[Arg::key("key"), Arg::string("min"), Arg::string("max")],
    handler: Handler::Write(|call, keyspace| remove_range(call, keyspace, By::Member)),
    ..REMOVE_RANGE
};

fn remove_range(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>, by: By) -> CommandResult {
    let bounds = Bounds::parse(by, call.args.get(2), call.args.get(3))?;
    let event = call.command.spec.name;
    let removed = keyspace.change::<SortedSet, _>(&call.key(1), Absent::Leave, |set| {
        let ranks = bounds.ranks(set, false);
        set.remove_range(ranks, event)
    })?;
    call.reply.count(removed.unwrap_or(0));
    Ok(())
}
