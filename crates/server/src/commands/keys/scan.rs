//! SCAN
//!
//! One step visits shard after shard, holding one lock at a time and for a bounded number of buckets, until
//! COUNT entries were seen. What the table promises carries over (see `swytch_store::table`): a key that is
//! there from the first step to the last is reported at least once, however the table grows or shrinks.

use swytch_store::{Keyspace, ScanCursor};

use crate::command::ShardSteps;
use crate::command::prelude::*;
use crate::command::scan::{ScanOptions, Walk, parse_cursor};

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

/// Buckets one call may look at for each entry that COUNT wants. A segment has fewer buckets than this, so a
/// database with fewer keys than COUNT, each perhaps in a shard of its own, is returned whole by one call.
const BUCKETS_PER_COUNT: usize = 64;

/// Buckets looked at before a shard's lock is given to others.
const BUCKETS_PER_LOCK: usize = 1024;

fn scan(call: &mut Call<'_>, steps: &mut ShardSteps<'_>) -> CommandResult {
    let number = parse_cursor(call.args.get(1))?;
    let options = ScanOptions::parse(call.args.cursor(2), Walk::Keys)?;
    let mut cursor = ScanCursor::from_number(number, call.server.shards.count());
    let mut wanted = options.count;
    let mut buckets_left = options.count.saturating_mul(BUCKETS_PER_COUNT);
    let mut found: Vec<Box<[u8]>> = Vec::new();
    let db = call.client.db;
    while let Some(at) = cursor {
        if wanted == 0 || buckets_left == 0 {
            break;
        }
        steps.with_shard(at.shard, &mut |keyspace: &Keyspace<'_>| {
            let allowed = buckets_left.min(BUCKETS_PER_LOCK);
            let mut allowed_left = allowed;
            let admits = |key: &[u8]| options.admits(key);
            cursor = keyspace.scan_shard(db, at, &mut wanted, &mut allowed_left, admits, |entry| {
                if options.admits_type(entry.data_type()) {
                    found.push(entry.key().into());
                }
            });
            buckets_left -= allowed - allowed_left;
        });
    }
    call.reply.array(2);
    call.reply.bulk(cursor.map_or(0, ScanCursor::to_number).to_string().as_bytes());
    call.reply.array(found.len());
    found.iter().for_each(|key| call.reply.bulk(key));
    Ok(())
}
