//! ZUNION, ZINTER, ZDIFF, what stores their results, and ZINTERCARD: of sorted sets and of sets, whose members all have
//! the score 1.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use swytch_store::{Event, Key, Keyspace, KeyspaceMut, Member, Scored, Set, SortedSet, WrongType};

use super::{SHOWN, show};
use crate::command::KeySpec;
use crate::command::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Intersection,
    Union,
    Difference,
}

const KEYS: [Arg; 2] = [Arg::integer("numkeys"), Arg::new("key", ArgKind::Key(0)).multiple()];
const KEYS_BEHIND: [Arg; 3] =
    [Arg::key("destination"), Arg::integer("numkeys"), Arg::new("key", ArgKind::Key(1)).multiple()];
const WEIGHTS: Arg = Arg::integer("weight").token("WEIGHTS").optional().multiple();
const AGGREGATE: Arg =
    Arg::one_of("aggregate", &[Arg::flag("sum", "SUM"), Arg::flag("min", "MIN"), Arg::flag("max", "MAX")])
        .token("AGGREGATE")
        .optional();
const WITHSCORES: Arg = Arg::flag("withscores", "WITHSCORES").optional();

const COMBINE: CommandSpec = CommandSpec {
    since: "6.2.0",
    group: Group::SortedSet,
    arity: -3,
    flags: Flags::READONLY.union(Flags::MOVABLE_KEYS),
    categories: Categories::SORTED_SET,
    key_specs: &[KeySpec::counted(1, SHOWN)],
    arguments: &[KEYS[0], KEYS[1], WEIGHTS, AGGREGATE, WITHSCORES],
    reply: ReplyShape::OneOf(&[ReplyShape::TEXTS, ReplyShape::SCORED]),
    ..CommandSpec::DEFAULT
};

const COMBINE_AND_STORE: CommandSpec = CommandSpec {
    since: "2.0.0",
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::MOVABLE_KEYS),
    key_specs: &[KeySpec::one(1, KeyFlags::OW.union(KeyFlags::UPDATE)), KeySpec::counted(2, SHOWN)],
    arguments: &[KEYS_BEHIND[0], KEYS_BEHIND[1], KEYS_BEHIND[2], WEIGHTS, AGGREGATE],
    reply: ReplyShape::Count,
    ..COMBINE
};

const OF_UNION: &str = "O(N)+O(M*log(M)) for N members of all together and M in the result.";
const OF_INTERSECTION: &str =
    "O(N*K)+O(M*log(M)) for K sets of which the smallest has N members, and M in the result.";
const OF_DIFFERENCE: &str =
    "O(N*K)+O(M*log(M)) for K sets of which the first has N members, and M in the result.";

pub static ZUNION: CommandSpec = CommandSpec {
    name: "zunion",
    summary: "Returns the members that any of several sorted sets has, with their scores there combined.",
    complexity: OF_UNION,
    handler: Handler::Read(|call, keyspace| answer(call, keyspace, Operation::Union)),
    ..COMBINE
};

pub static ZINTER: CommandSpec = CommandSpec {
    name: "zinter",
    summary: "Returns the members that all of several sorted sets have, with their scores there combined.",
    complexity: OF_INTERSECTION,
    handler: Handler::Read(|call, keyspace| answer(call, keyspace, Operation::Intersection)),
    ..COMBINE
};

pub static ZDIFF: CommandSpec = CommandSpec {
    name: "zdiff",
    summary: "Returns the members of the first of several sorted sets that no other one has.",
    complexity: OF_DIFFERENCE,
    arguments: &[KEYS[0], KEYS[1], WITHSCORES],
    handler: Handler::Read(|call, keyspace| answer(call, keyspace, Operation::Difference)),
    ..COMBINE
};

pub static ZUNIONSTORE: CommandSpec = CommandSpec {
    name: "zunionstore",
    summary: "Puts what ZUNION would return at a key, whatever was there, and returns how many members that is; for none the key is deleted.",
    complexity: OF_UNION,
    handler: Handler::Write(|call, keyspace| store(call, keyspace, Operation::Union)),
    ..COMBINE_AND_STORE
};

pub static ZINTERSTORE: CommandSpec = CommandSpec {
    name: "zinterstore",
    summary: "Puts what ZINTER would return at a key, whatever was there, and returns how many members that is; for none the key is deleted.",
    complexity: OF_INTERSECTION,
    handler: Handler::Write(|call, keyspace| store(call, keyspace, Operation::Intersection)),
    ..COMBINE_AND_STORE
};

pub static ZDIFFSTORE: CommandSpec = CommandSpec {
    name: "zdiffstore",
    summary: "Puts what ZDIFF would return at a key, whatever was there, and returns how many members that is; for none the key is deleted.",
    since: "6.2.0",
    complexity: OF_DIFFERENCE,
    arguments: &KEYS_BEHIND,
    handler: Handler::Write(|call, keyspace| store(call, keyspace, Operation::Difference)),
    ..COMBINE_AND_STORE
};

pub static ZINTERCARD: CommandSpec = CommandSpec {
    name: "zintercard",
    summary: "Counts the members that all of several sorted sets have, up to a limit if one is given.",
    since: "7.0.0",
    complexity: "O(N*K) for K sets of which the smallest has N members.",
    arguments: &[KEYS[0], KEYS[1], Arg::integer("limit").token("LIMIT").optional()],
    reply: ReplyShape::Count,
    handler: Handler::Read(zintercard),
    ..COMBINE
};

/// What becomes of the scores that a member has in several sorted sets.
#[derive(Clone, Copy, Debug)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

/// Two infinities of opposite sign have no sum, and 0 times infinity is nothing; both count as 0.
fn number(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

impl Aggregate {
    fn of(self, one: f64, other: f64) -> f64 {
        match self {
            Aggregate::Sum => number(one + other),
            Aggregate::Min => one.min(other),
            Aggregate::Max => one.max(other),
        }
    }
}

/// What a command is asked for.
#[derive(Debug)]
struct Query<'k> {
    /// What the keys hold, in the order in which they are combined.
    inputs: Vec<Input<'k>>,
    aggregate: Aggregate,
    with_scores: bool,
    /// Most members to count.
    limit: usize,
}

/// The options that a command takes behind its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Weights,
    Limit,
    Nothing,
}

impl<'k> Query<'k> {
    /// Reads the number of keys, at this argument, looks at what they hold, and reads the options behind them.
    fn parse(
        call: &Call<'_>,
        keyspace: &'k Keyspace<'_>,
        at: usize,
        operation: Operation,
        (takes, shows): (Takes, bool),
    ) -> Result<Query<'k>, CommandError> {
        let numkeys = call.args.integer(at)?;
        if numkeys < 1 {
            let name = &call.command.full_name;
            return Err(CommandError::owned(format!(
                "ERR at least 1 input key is needed for '{name}' command"
            )));
        }
        let numkeys = usize::try_from(numkeys).ok().filter(|keys| *keys < call.args.len() - at);
        let numkeys = numkeys.ok_or(CommandError::Syntax)?;
        let keys = at + 1..at + 1 + numkeys;
        let inputs = keys.clone().map(|at| Input::at(&call.key(at), keyspace)).collect::<Result<_, _>>()?;
        let mut query = Query { inputs, aggregate: Aggregate::Sum, with_scores: false, limit: usize::MAX };
        let mut cursor = call.args.cursor(keys.end);
        while cursor.remaining() > 0 {
            if takes == Takes::Weights && cursor.remaining() > numkeys && cursor.word("WEIGHTS") {
                for input in &mut query.inputs {
                    input.weight = swytch_decimal::parse_double(cursor.expect()?)
                        .ok_or_else(|| CommandError::text("ERR weight value is not a float"))?;
                }
            } else if takes == Takes::Weights && cursor.remaining() > 1 && cursor.word("AGGREGATE") {
                query.aggregate = match () {
                    () if cursor.word("SUM") => Aggregate::Sum,
                    () if cursor.word("MIN") => Aggregate::Min,
                    () if cursor.word("MAX") => Aggregate::Max,
                    () => return Err(CommandError::Syntax),
                };
            } else if shows && cursor.word("WITHSCORES") {
                query.with_scores = true;
            } else if takes == Takes::Limit && cursor.remaining() > 1 && cursor.word("LIMIT") {
                let limit = swytch_decimal::parse_i64(cursor.expect()?)
                    .and_then(|limit| usize::try_from(limit).ok())
                    .ok_or_else(|| CommandError::text("ERR LIMIT can't be negative"))?;
                query.limit = if limit == 0 { usize::MAX } else { limit };
            } else {
                return Err(CommandError::Syntax);
            }
        }
        if operation != Operation::Difference {
            query.inputs.sort_by_key(Input::len);
        }
        Ok(query)
    }
}

#[derive(Clone, Copy, Debug)]
enum Held<'k> {
    Nothing,
    SortedSet(&'k SortedSet),
    Set(&'k Set),
}

/// A set, and what its scores are multiplied by.
#[derive(Clone, Copy, Debug)]
struct Input<'k> {
    held: Held<'k>,
    weight: f64,
}

impl<'k> Input<'k> {
    fn at(key: &Key<'_>, keyspace: &'k Keyspace<'_>) -> Result<Input<'k>, CommandError> {
        let held = match keyspace.get::<SortedSet>(key) {
            Ok(set) => set.map_or(Held::Nothing, Held::SortedSet),
            Err(WrongType) => keyspace.get::<Set>(key)?.map_or(Held::Nothing, Held::Set),
        };
        Ok(Input { held, weight: 1.0 })
    }

    fn len(&self) -> usize {
        match self.held {
            Held::Nothing => 0,
            Held::SortedSet(set) => set.len(),
            Held::Set(set) => set.len(),
        }
    }

    /// As in Redis, what is no number here makes no number of a sum, which counts as 0.
    fn score(&self, member: &[u8]) -> Option<f64> {
        let score = match self.held {
            Held::Nothing => None,
            Held::SortedSet(set) => set.score(member),
            Held::Set(set) => set.contains(member).then_some(1.0),
        };
        score.map(|score| score * self.weight)
    }

    fn members(&self) -> Vec<(Member<'k>, f64)> {
        let weighted = |score: f64| number(score * self.weight);
        match self.held {
            Held::Nothing => Vec::new(),
            Held::Set(set) => set.iter().map(|member| (member, weighted(1.0))).collect(),
            Held::SortedSet(set) => {
                let one = |scored: Scored<'k>| (Member::Bytes(scored.member), weighted(scored.score));
                set.iter().map(one).collect()
            }
        }
    }
}

/// The members that all have, as long as they are wanted.
fn intersection<'k>(inputs: &[Input<'k>], aggregate: Aggregate, limit: usize) -> Vec<(Member<'k>, f64)> {
    let all = |(member, score): (Member<'k>, f64)| {
        let mut others = inputs[1..].iter().map(|input| input.score(&member));
        let score = others.try_fold(score, |score, other| Some(aggregate.of(score, other?)))?;
        Some((member, score))
    };
    inputs[0].members().into_iter().filter_map(all).take(limit).collect()
}

fn difference<'k>(inputs: &[Input<'k>]) -> Vec<(Member<'k>, f64)> {
    let mut members = inputs[0].members();
    members.retain(|(member, _)| inputs[1..].iter().all(|input| input.score(member).is_none()));
    members
}

/// Combines what the keys hold, in the order of the result, and hands it on.
fn combine<R>(
    Query { inputs, aggregate, limit, .. }: &Query<'_>,
    operation: Operation,
    take: impl FnOnce(Vec<Scored<'_>>) -> R,
) -> R {
    let found: Vec<Vec<(Member<'_>, f64)>> = match operation {
        Operation::Intersection => vec![intersection(inputs, *aggregate, *limit)],
        Operation::Difference => vec![difference(inputs)],
        Operation::Union => inputs.iter().map(Input::members).collect(),
    };
    let mut members: Vec<Scored<'_>> = Vec::new();
    let mut places: HashMap<&[u8], usize> = HashMap::new();
    for (member, score) in found.iter().flatten() {
        if found.len() > 1 {
            match places.entry(member) {
                Entry::Occupied(place) => {
                    let combined: &mut f64 = &mut members[*place.get()].score;
                    *combined = aggregate.of(*combined, *score);
                    continue;
                }
                Entry::Vacant(place) => _ = place.insert(members.len()),
            }
        }
        members.push(Scored { score: *score, member });
    }
    members.sort_unstable_by(Scored::order);
    take(members)
}

fn takes(operation: Operation) -> Takes {
    if operation == Operation::Difference { Takes::Nothing } else { Takes::Weights }
}

fn answer(call: &mut Call<'_>, keyspace: &Keyspace<'_>, operation: Operation) -> CommandResult {
    let query = Query::parse(call, keyspace, 1, operation, (takes(operation), true))?;
    combine(&query, operation, |members| show(&mut call.reply, members.into_iter(), query.with_scores));
    Ok(())
}

fn store(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>, operation: Operation) -> CommandResult {
    let query = Query::parse(call, keyspace, 2, operation, (takes(operation), false))?;
    let limits = keyspace.limits().sorted_set;
    let result = combine(&query, operation, |members| SortedSet::gathered(members, limits));
    call.put(keyspace, 1, result, Event::sorted_set(call.command.spec.name));
    Ok(())
}

fn zintercard(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let query = Query::parse(call, keyspace, 1, Operation::Intersection, (Takes::Limit, false))?;
    call.reply.count(intersection(&query.inputs, query.aggregate, query.limit).len());
    Ok(())
}
