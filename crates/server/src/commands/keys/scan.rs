//! SCAN

use swytch_store::ScanCursor;

use crate::command::ShardSteps;
use crate::command::prelude::*;
use crate::command::scan::{ScanOptions, Walk, parse_cursor, reply_step, step_over_keys};

pub static SCAN: CommandSpec = CommandSpec {
    name: "scan",
    summary: "Walks through the keys of the database in steps: each call returns a few keys and the cursor for the next call.",
    since: "2.8.0",
    group: Group::Generic,
    complexity: "O(1) for each call, O(N) for a whole walk over N keys.",
    arity: -2,
    flags: Flags::READONLY,
    categories: Categories::KEYSPACE,
    arguments: &[
        Arg::integer("cursor"),
        Arg::new("pattern", ArgKind::Pattern).token("MATCH").optional(),
        Arg::integer("count").token("COUNT").optional(),
        Arg::string("type").token("TYPE").optional().since("6.0.0"),
    ],
    tips: &["nondeterministic_output", "request_policy:special", "response_policy:special"],
    history: &[("6.0.0", "TYPE leaves keys of other types out.")],
    reply: ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::TEXTS]),
    handler: Handler::Steps(scan),
    ..CommandSpec::DEFAULT
};

fn scan(call: &mut Call<'_>, steps: &mut ShardSteps<'_>) -> CommandResult {
    let number = parse_cursor(call.args.get(1))?;
    let options = ScanOptions::parse(call.args.cursor(2), Walk::Keys)?;
    let cursor = ScanCursor::from_number(number, call.server.shards.count());
    let (next, found) = step_over_keys(call, steps, cursor, &options, |_| true);
    reply_step(call, next.map(ScanCursor::to_number), &found);
    Ok(())
}
