//! HSCAN

use swytch_store::Keyspace;

use super::{LOOK, live};
use crate::command::prelude::*;
use crate::command::scan::{ScanOptions, WALK_ARGUMENTS, Walk, parse_cursor, reply_step};

pub static HSCAN: CommandSpec = CommandSpec {
    name: "hscan",
    summary: "Walks through a hash in steps: each call returns a few fields with their values and the cursor for the next call.",
    since: "2.8.0",
    complexity: "O(1) for each call, O(N) for a whole walk over N fields.",
    arity: -3,
    flags: Flags::READONLY,
    arguments: &[
        WALK_ARGUMENTS[0],
        WALK_ARGUMENTS[1],
        WALK_ARGUMENTS[2],
        WALK_ARGUMENTS[3],
        Arg::flag("novalues", "NOVALUES").optional(),
    ],
    tips: &["nondeterministic_output"],
    reply: ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::TEXTS]),
    handler: Handler::Read(hscan),
    ..LOOK
};

fn hscan(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let cursor = parse_cursor(call.args.get(2))?;
    let (mut next, mut found) = (None, Vec::new());
    if let Some(hash) = live(call, keyspace)? {
        let options = ScanOptions::parse(call.args.cursor(3), Walk::Fields)?;
        next = hash.scan(cursor, options.count, |field| {
            if options.admits(field.name) {
                found.push(field.name.to_vec());
                found.extend((!options.no_values).then(|| field.value.to_vec()));
            }
        });
    }
    reply_step(call, next, &found);
    Ok(())
}
