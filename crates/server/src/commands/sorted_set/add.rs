//! ZADD, ZINCRBY

use std::cmp::Ordering;

use swytch_store::{Condition, KeyspaceMut, NotANumber, Scored, SortedSet};

use crate::command::KeySpec;
use crate::command::prelude::*;

const CONDITIONS: &[Arg] = &[Arg::flag("nx", "NX"), Arg::flag("xx", "XX")];
const COMPARISONS: &[Arg] = &[Arg::flag("gt", "GT"), Arg::flag("lt", "LT")];
const PAIR: &[Arg] = &[Arg::double("score"), Arg::string("member")];

pub static ZADD: CommandSpec = CommandSpec {
    name: "zadd",
    summary: "Gives members of a sorted set scores and returns how many are new; an absent one is created. With INCR the score is added to that of the one member, and the sum returned.",
    since: "1.2.0",
    group: Group::SortedSet,
    complexity: "O(N*log(M)) for N given members and a sorted set of M.",
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::SORTED_SET,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    member: Some(3),
    arguments: &[
        Arg::key("key"),
        Arg::one_of("condition", CONDITIONS).optional().since("3.0.2"),
        Arg::one_of("comparison", COMPARISONS).optional().since("6.2.0"),
        Arg::flag("change", "CH").optional().since("3.0.2"),
        Arg::flag("increment", "INCR").optional().since("3.0.2"),
        Arg::block("data", PAIR).multiple(),
    ],
    history: &[
        ("2.4.0", "Takes several members."),
        ("3.0.2", "XX, NX, CH and INCR."),
        ("6.2.0", "GT and LT."),
    ],
    reply: ReplyShape::OneOf(&[ReplyShape::Count, ReplyShape::Double, ReplyShape::Null]),
    handler: Handler::Write(|call, keyspace| add(call, keyspace, Options::default())),
    ..CommandSpec::DEFAULT
};

pub static ZINCRBY: CommandSpec = CommandSpec {
    name: "zincrby",
    summary: "Adds a number to the score of a member and returns the sum; an absent member has 0 before.",
    since: "1.2.0",
    group: Group::SortedSet,
    complexity: "O(log(N)) for a sorted set of N members.",
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::SORTED_SET,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
    member: Some(3),
    arguments: &[Arg::key("key"), Arg::integer("increment"), Arg::string("member")],
    reply: ReplyShape::Double,
    handler: Handler::Write(|call, keyspace| {
        add(call, keyspace, Options { increments: true, ..Options::default() })
    }),
    ..CommandSpec::DEFAULT
};

#[derive(Clone, Copy, Debug, Default)]
struct Options {
    when: Condition,
    /// The reply counts members that were given another score, too.
    counts_changes: bool,
    increments: bool,
}

impl Options {
    /// Reads options up to the first word that is none.
    fn parse(mut self, cursor: &mut ArgCursor<'_>) -> Result<Options, CommandError> {
        let (mut nx, mut xx, mut gt, mut lt) = (false, false, false, false);
        loop {
            if cursor.word("NX") {
                nx = true;
            } else if cursor.word("XX") {
                xx = true;
            } else if cursor.word("GT") {
                gt = true;
            } else if cursor.word("LT") {
                lt = true;
            } else if cursor.word("CH") {
                self.counts_changes = true;
            } else if cursor.word("INCR") {
                self.increments = true;
            } else {
                break;
            }
        }
        let words = cursor.remaining();
        if words == 0 || !words.is_multiple_of(2) {
            return Err(CommandError::Syntax);
        }
        let error = match () {
            () if nx && xx => "ERR XX and NX options at the same time are not compatible",
            () if nx && (gt || lt) || gt && lt => {
                "ERR GT, LT, and/or NX options at the same time are not compatible"
            }
            () if self.increments && words > 2 => "ERR INCR option supports a single increment-element pair",
            () => {
                self.when.is_new = if nx || xx { Some(nx) } else { None };
                self.when.compares = gt.then_some(Ordering::Greater).or_else(|| lt.then_some(Ordering::Less));
                return Ok(self);
            }
        };
        Err(CommandError::text(error))
    }
}

fn add(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>, options: Options) -> CommandResult {
    let mut cursor = call.args.cursor(2);
    let options = options.parse(&mut cursor)?;
    let first = scored(&mut cursor)?;
    if options.increments {
        let sum = keyspace.change::<SortedSet, _>(&call.key(1), options.when.absent(), |set| {
            set.increment(first.member, first.score, options.when)
        })?;
        let nan = |NotANumber| CommandError::text("ERR resulting score is not a number (NaN)");
        match sum.unwrap_or(Ok(None)).map_err(nan)? {
            Some(score) => call.reply.double(score),
            None => call.reply.null(),
        }
        return Ok(());
    }
    let several: Vec<Scored<'_>>;
    let members = if cursor.remaining() == 0 {
        std::slice::from_ref(&first)
    } else {
        let rest = (0..cursor.remaining() / 2).map(|_| scored(&mut cursor));
        several = std::iter::once(Ok(first)).chain(rest).collect::<Result<_, _>>()?;
        &several
    };
    put_scores(call, keyspace, members, options.when, options.counts_changes)
}

/// Gives members of the sorted set at the first key scores where a condition holds, and answers with how many are new or,
/// if changes count, have another score.
pub fn put_scores(
    call: &mut Call<'_>,
    keyspace: &mut KeyspaceMut<'_, '_>,
    members: &[Scored<'_>],
    when: Condition,
    counts_changes: bool,
) -> CommandResult {
    let added = keyspace.change::<SortedSet, _>(&call.key(1), when.absent(), |set| set.add(members, when))?;
    let added = added.unwrap_or_default();
    call.reply.count(added.new + if counts_changes { added.moved } else { 0 });
    Ok(())
}

/// Reads a score and a member.
fn scored<'a>(cursor: &mut ArgCursor<'a>) -> Result<Scored<'a>, CommandError> {
    let score = swytch_decimal::parse_double(cursor.expect()?).ok_or(CommandError::NotAFloat)?;
    Ok(Scored { score, member: cursor.expect()? })
}
