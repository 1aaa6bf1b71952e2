//! ZSCAN

use swytch_decimal::format_double;
use swytch_store::{Keyspace, SortedSet};

use super::SHOWN;
use crate::command::KeySpec;
use crate::command::prelude::*;
use crate::command::scan::{ScanOptions, WALK_ARGUMENTS, Walk, parse_cursor, reply_step};

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
    arguments: &WALK_ARGUMENTS,
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
                found.push(scored.member.to_vec());
                found.push(format_double(scored.score).as_bytes().to_vec());
            }
        });
    }
    reply_step(call, next, &found);
    Ok(())
}
