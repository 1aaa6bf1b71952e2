//! ZSCAN

use swytch_decimal::format_double;
use swytch_store::{Keyspace, SortedSet};

use super::SHOWN;
use crate::command::KeySpec;
use crate::command::prelude::*;
use crate::command::scan::{ScanOptions, Walk, parse_cursor};

pub static ZSCAN: CommandSpec = CommandSpec {
    name: "zscan",
    summary: "Walks through a sorted set in steps: each call returns a few members, each with its score behind it, and the cursor for the next call.",
    since: "2.8.0",
    group: Group::SortedSet,
    complexity: "O(1) for each call, O(N) for a whole walk over N members.",
    arity: -3,
    flags: Flags::READONLY,
    categories: Categories::SORTED_SET,
    key_specs: &[KeySpec::one(1, SHOWN)],
    arguments: &[
        Arg::key("key"),
        Arg::integer("cursor"),
        Arg::new("pattern", ArgKind::Pattern).token("MATCH").optional(),
        Arg::integer("count").token("COUNT").optional(),
    ],
    tips: &["nondeterministic_output"],
    reply: ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::TEXTS]),
    handler: Handler::Read(zscan),
    ..CommandSpec::DEFAULT
};

fn zscan(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let cursor = parse_cursor(call.args.get(2))?;
    let (mut next, mut found) = (None, Vec::new());
    if let Some(set) = keyspace.get::<SortedSet>(&call.key(1))? {
        let options = ScanOptions::parse(call.args.cursor(3), Walk::Members)?;
        next = set.scan(cursor, options.count, |scored| {
            if options.admits(scored.member) {
                found.push((scored.member.to_vec(), scored.score));
            }
        });
    }
    call.reply.array(2);
    call.reply.bulk(next.unwrap_or(0).to_string().as_bytes());
    call.reply.array(2 * found.len());
    for (member, score) in found {
        call.reply.bulk(&member);
        call.reply.bulk(format_double(score).as_bytes());
    }
    Ok(())
}
