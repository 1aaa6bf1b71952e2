//! HSCAN

use swytch_store::Keyspace;

use super::{LOOK, live};
use crate::command::prelude::*;
use crate::command::scan::{ScanOptions, Walk, parse_cursor};

pub static HSCAN: CommandSpec = CommandSpec {
    name: "hscan",
    summary: "Walks through a hash in steps: each call returns a few fields with their values and the cursor for the next call.",
    since: "2.8.0",
    complexity: "O(1) for each call, O(N) for a whole walk over N fields.",
    arity: -3,
    flags: Flags::READONLY,
    arguments: &[
        Arg::key("key"),
        Arg::integer("cursor"),
        Arg::new("pattern", ArgKind::Pattern).token("MATCH").optional(),
        Arg::integer("count").token("COUNT").optional(),
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
    call.reply.array(2);
    call.reply.bulk(next.unwrap_or(0).to_string().as_bytes());
    call.reply.array(found.len());
    found.iter().for_each(|part| call.reply.bulk(part));
    Ok(())
}
