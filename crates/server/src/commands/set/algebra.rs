//! SINTER, SUNION, SDIFF, what stores their results, and SINTERCARD.

use swytch_store::{Elements, Event, Keyspace, KeyspaceMut, Member, Set, SetLimits};

use super::SHOWN;
use crate::command::KeySpec;
use crate::command::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Intersection,
    Union,
    Difference,
}

const COMBINE: CommandSpec = CommandSpec {
    since: "1.0.0",
    group: Group::Set,
    arity: -2,
    flags: Flags::READONLY,
    categories: Categories::SET,
    key_specs: &[KeySpec::range(1, -1, 1, SHOWN)],
    arguments: &[Arg::key("key").multiple()],
    tips: &["nondeterministic_output_order"],
    reply: ReplyShape::Set(&ReplyShape::Text),
    ..CommandSpec::DEFAULT
};

const COMBINE_AND_STORE: CommandSpec = CommandSpec {
    since: "1.0.0",
    group: Group::Set,
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::SET,
    key_specs: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)), KeySpec::range(2, -1, 1, SHOWN)],
    arguments: &[Arg::key("destination"), Arg::new("key", ArgKind::Key(1)).multiple()],
    reply: ReplyShape::Count,
    ..CommandSpec::DEFAULT
};

pub static SINTER: CommandSpec = CommandSpec {
    name: "sinter",
    summary: "Returns the members that all of several sets have; none if one of them is absent.",
    complexity: "O(N*M) for M sets of which the smallest has N members.",
    handler: Handler::Read(|call, keyspace| show(call, keyspace, Operation::Intersection)),
    ..COMBINE
};

pub static SUNION: CommandSpec = CommandSpec {
    name: "sunion",
    summary: "Returns the members that any of several sets has; an absent set has none.",
    complexity: "O(N) for N members of all sets together.",
    handler: Handler::Read(|call, keyspace| show(call, keyspace, Operation::Union)),
    ..COMBINE
};

pub static SDIFF: CommandSpec = CommandSpec {
    name: "sdiff",
    summary: "Returns the members of the first of several sets that no other one has; an absent set has none.",
    complexity: "O(N*M) for M sets of which the first has N members.",
    handler: Handler::Read(|call, keyspace| show(call, keyspace, Operation::Difference)),
    ..COMBINE
};

pub static SINTERSTORE: CommandSpec = CommandSpec {
    name: "sinterstore",
    summary: "Puts what SINTER would return at a key, whatever was there, and returns how many members that is; for none the key is deleted.",
    complexity: "O(N*M) for M sets of which the smallest has N members.",
    handler: Handler::Write(|call, keyspace| store(call, keyspace, Operation::Intersection, "sinterstore")),
    ..COMBINE_AND_STORE
};

pub static SUNIONSTORE: CommandSpec = CommandSpec {
    name: "sunionstore",
    summary: "Puts what SUNION would return at a key, whatever was there, and returns how many members that is; for none the key is deleted.",
    complexity: "O(N) for N members of all sets together.",
    handler: Handler::Write(|call, keyspace| store(call, keyspace, Operation::Union, "sunionstore")),
    ..COMBINE_AND_STORE
};

pub static SDIFFSTORE: CommandSpec = CommandSpec {
    name: "sdiffstore",
    summary: "Puts what SDIFF would return at a key, whatever was there, and returns how many members that is; for none the key is deleted.",
    complexity: "O(N*M) for M sets of which the first has N members.",
    handler: Handler::Write(|call, keyspace| store(call, keyspace, Operation::Difference, "sdiffstore")),
    ..COMBINE_AND_STORE
};

pub static SINTERCARD: CommandSpec = CommandSpec {
    name: "sintercard",
    summary: "Counts the members that all of several sets have, up to a limit if one is given.",
    since: "7.0.0",
    group: Group::Set,
    complexity: "O(N*M) for M sets of which the smallest has N members.",
    arity: -3,
    flags: Flags::READONLY.union(Flags::MOVABLE_KEYS),
    categories: Categories::SET,
    key_specs: &[KeySpec::counted(1, SHOWN)],
    arguments: &[
        Arg::integer("numkeys"),
        Arg::new("key", ArgKind::Key(0)).multiple(),
        Arg::integer("limit").token("LIMIT").optional(),
    ],
    reply: ReplyShape::Count,
    handler: Handler::Read(sintercard),
    ..CommandSpec::DEFAULT
};

/// The sets at the keys of some arguments; all of them are looked up before any is used.
fn sets<'k>(
    call: &Call<'_>,
    keyspace: &'k Keyspace<'_>,
    keys: std::ops::Range<usize>,
) -> Result<Vec<Option<&'k Set>>, CommandError> {
    keys.map(|index| Ok(keyspace.get::<Set>(&call.key(index))?)).collect()
}

/// The members that all sets have.
fn intersection<'s>(sets: &[Option<&'s Set>]) -> impl Iterator<Item = Member<'s>> {
    let all: Option<Vec<&Set>> = sets.iter().copied().collect();
    let mut sets = all.unwrap_or_default();
    sets.sort_by_key(|set| set.len());
    let smallest = sets.first().copied();
    let members = smallest.into_iter().flat_map(Set::iter);
    members.filter(move |member| sets[1..].iter().all(|set| set.contains(member)))
}

/// The members of the first set that no other has.
fn difference<'s>(sets: &[Option<&'s Set>]) -> impl Iterator<Item = Member<'s>> {
    let mut others: Vec<&Set> = sets[1..].iter().flatten().copied().collect();
    // Those that have most are most likely to have a member.
    others.sort_by_key(|set| std::cmp::Reverse(set.len()));
    let members = sets[0].into_iter().flat_map(Set::iter);
    members.filter(move |member| !others.iter().any(|set| set.contains(member)))
}

fn union(sets: &[Option<&Set>], limits: SetLimits) -> Set {
    added(sets.iter().flatten().flat_map(|set| set.iter()), limits)
}

fn added<'s>(members: impl Iterator<Item = Member<'s>>, limits: SetLimits) -> Set {
    let mut set = Set::new();
    members.for_each(|member| _ = set.add(Elements::One(&member), limits));
    set
}

fn show(call: &mut Call<'_>, keyspace: &Keyspace<'_>, operation: Operation) -> CommandResult {
    let sets = sets(call, keyspace, 1..call.args.len())?;
    let union_of_all;
    let members: Vec<Member<'_>> = match operation {
        Operation::Intersection => intersection(&sets).collect(),
        Operation::Difference => difference(&sets).collect(),
        Operation::Union => {
            union_of_all = union(&sets, keyspace.limits().set);
            union_of_all.iter().collect()
        }
    };
    call.reply.set(members.len());
    members.iter().for_each(|member| call.reply.bulk(member));
    Ok(())
}

fn store(
    call: &mut Call<'_>,
    keyspace: &mut KeyspaceMut<'_, '_>,
    operation: Operation,
    event: &'static str,
) -> CommandResult {
    let sets = sets(call, keyspace, 2..call.args.len())?;
    let limits = keyspace.limits().set;
    let result = match operation {
        Operation::Intersection => Set::gathered(intersection(&sets), limits),
        Operation::Difference => added(difference(&sets), limits),
        Operation::Union => union(&sets, limits),
    };
    call.put(keyspace, 1, result, Event::set(event));
    Ok(())
}

fn sintercard(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let numkeys = swytch_decimal::parse_i64(call.args.get(1))
        .filter(|number| *number > 0)
        .ok_or_else(|| CommandError::text("ERR numkeys should be greater than 0"))?;
    if numkeys > call.args.len() as i64 - 2 {
        return Err(CommandError::text("ERR Number of keys can't be greater than number of args"));
    }
    let behind = 2 + numkeys as usize;
    let mut options = call.args.cursor(behind);
    let mut limit = 0;
    while options.remaining() > 0 {
        if options.remaining() < 2 || !options.word("LIMIT") {
            return Err(CommandError::Syntax);
        }
        limit = swytch_decimal::parse_i64(options.expect()?)
            .and_then(|limit| usize::try_from(limit).ok())
            .ok_or_else(|| CommandError::text("ERR LIMIT can't be negative"))?;
    }
    let sets = sets(call, keyspace, 2..behind)?;
    let most = if limit == 0 { usize::MAX } else { limit };
    call.reply.count(intersection(&sets).take(most).count());
    Ok(())
}
