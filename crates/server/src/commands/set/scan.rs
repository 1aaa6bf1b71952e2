//! SSCAN

use swytch_store::{Keyspace, Set};

use super::SHOWN;
use crate::command::KeySpec;
use crate::command::prelude::*;
use crate::command::scan::{ScanOptions, WALK_ARGUMENTS, Walk, parse_cursor, reply_step};

pub static SSCAN: CommandSpec = CommandSpec {
    name: "sscan",
    summary: "Walks through a set in steps: each call returns a few members and the cursor for the next call.",
    since: "2.8.0",
    group: Group::Set,
    complexity: "O(1) for each call, O(N) for a whole walk over N members.",
    arity: -3,
    flags: Flags::READONLY,
    categories: Categories::SET,
    key_specs: &[KeySpec::one(1, SHOWN)],
    arguments: &WALK_ARGUMENTS,
    tips: &["nondeterministic_output"],
    reply: ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::TEXTS]),
    handler: Handler::Read(sscan),
    ..CommandSpec::DEFAULT
};

fn sscan(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let cursor = parse_cursor(call.args.get(2))?;
    let (mut next, mut found) = (None, Vec::new());
    if let Some(set) = keyspace.get::<Set>(&call.key(1))? {
        let options = ScanOptions::parse(call.args.cursor(3), Walk::Members)?;
        next = set.scan(cursor, options.count, |member| {
            if options.admits(member) {
                found.push(member.to_vec());
            }
        });
    }
    reply_step(call, next, &found);
    Ok(())
}
