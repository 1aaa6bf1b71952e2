//! What is known of single slots. The keyspace is not divided by slots, so keys of one are counted and found by a walk, which
//! holds the lock of one shard at a time for some entries.

use swytch_store::{EntryRef, ScanCursor};

use super::{CHANGING, SUB, must_be_enabled};
use crate::command::ShardSteps;
use crate::command::prelude::*;
use crate::system::slot::{self, SLOTS};

pub(super) static KEYSLOT: CommandSpec = CommandSpec {
    name: "keyslot",
    summary: "Returns the slot that a key is in, whether or not the key exists.",
    complexity: "O(N) for a key of N bytes.",
    arity: 3,
    arguments: &[Arg::string("key")],
    reply: ReplyShape::Count,
    handler: Handler::Session(keyslot),
    ..SUB
};

pub(super) static COUNTKEYSINSLOT: CommandSpec = CommandSpec {
    name: "countkeysinslot",
    summary: "Counts the keys that are in a slot.",
    complexity: "O(N) for N keys in the database.",
    arity: 3,
    arguments: &[Arg::integer("slot")],
    reply: ReplyShape::Count,
    differs: "Walks the keyspace.",
    handler: Handler::Steps(count_keys_in_slot),
    ..SUB
};

pub(super) static GETKEYSINSLOT: CommandSpec = CommandSpec {
    name: "getkeysinslot",
    summary: "Returns some of the keys that are in a slot.",
    complexity: "O(N) for N keys in the database, until enough are found.",
    arity: 4,
    tips: CHANGING,
    arguments: &[Arg::integer("slot"), Arg::integer("count")],
    reply: ReplyShape::TEXTS,
    differs: "Walks the keyspace.",
    handler: Handler::Steps(get_keys_in_slot),
    ..SUB
};

pub(super) static SLOT_STATS: CommandSpec = CommandSpec {
    name: "slot-stats",
    summary: "Returns how many keys slots have, by their number or ordered by that.",
    since: "8.2.0",
    complexity: "O(N) for N keys in the database.",
    arity: -4,
    flags: Flags::LOADING.union(Flags::STALE),
    tips: &["nondeterministic_output", "request_policy:all_shards"],
    arguments: &[Arg::one_of(
        "filter",
        &[
            Arg::block("slotsrange", &[Arg::integer("start-slot"), Arg::integer("end-slot")])
                .token("SLOTSRANGE"),
            Arg::block(
                "orderby",
                &[
                    Arg::string("metric"),
                    Arg::integer("limit").token("LIMIT").optional(),
                    Arg::one_of("order", &[Arg::flag("asc", "ASC"), Arg::flag("desc", "DESC")]).optional(),
                ],
            )
            .token("ORDERBY"),
        ],
    )],
    reply: ReplyShape::List(&ReplyShape::Tuple(&[
        ReplyShape::Count,
        ReplyShape::Map(&ReplyShape::Text, &ReplyShape::Count),
    ])),
    differs: "Walks the keyspace; of the metrics there is `key-count`.",
    handler: Handler::Steps(slot_stats),
    ..SUB
};

/// Entries looked at under one lock.
const ENTRIES_PER_LOCK: usize = 512;

/// Walks the database of cluster mode, while `visit` wants more.
fn walk(call: &Call<'_>, steps: &mut ShardSteps<'_>, mut visit: impl FnMut(&EntryRef<'_>) -> bool) {
    let mut wants_more = true;
    let mut cursor = Some(ScanCursor { shard: 0, position: 0 });
    while let Some(at) = cursor.filter(|_| wants_more) {
        // Where a script keeps the shard, the command is answered so anyway.
        cursor = None;
        steps.with_shard(at.shard, &mut |keyspace| {
            let (mut entries, mut buckets) = (ENTRIES_PER_LOCK, ENTRIES_PER_LOCK);
            cursor = keyspace.scan_shard(
                call.client.db,
                at,
                &mut entries,
                &mut buckets,
                |_| true,
                |entry| {
                    wants_more = wants_more && visit(&entry);
                },
            );
        });
    }
}

fn slot_at(call: &Call<'_>, index: usize) -> Result<u16, CommandError> {
    let slot = swytch_decimal::parse_i64(call.args.get(index)).and_then(slot::numbered);
    slot.ok_or(CommandError::text("ERR Invalid or out of range slot"))
}

fn keyslot(call: &mut Call<'_>) -> CommandResult {
    must_be_enabled(call)?;
    call.reply.integer(i64::from(slot::of(call.args.get(2))));
    Ok(())
}

fn count_keys_in_slot(call: &mut Call<'_>, steps: &mut ShardSteps<'_>) -> CommandResult {
    must_be_enabled(call)?;
    let wanted = slot_argument(call)?;
    let mut count = 0;
    walk(call, steps, |entry| {
        count += usize::from(slot::of(entry.key()) == wanted);
        true
    });
    call.reply.count(count);
    Ok(())
}

/// The slot that COUNTKEYSINSLOT names.
fn slot_argument(call: &Call<'_>) -> Result<u16, CommandError> {
    slot::numbered(call.args.integer(2)?).ok_or(CommandError::text("ERR Invalid slot"))
}

fn get_keys_in_slot(call: &mut Call<'_>, steps: &mut ShardSteps<'_>) -> CommandResult {
    must_be_enabled(call)?;
    let (slot, count) = (call.args.integer(2)?, call.args.integer(3)?);
    let (Some(wanted), Ok(count)) = (slot::numbered(slot), usize::try_from(count)) else {
        return Err(CommandError::text("ERR Invalid slot or number of keys"));
    };
    let mut keys = Vec::new();
    walk(call, steps, |entry| {
        if keys.len() < count && slot::of(entry.key()) == wanted {
            keys.push(entry.key().to_vec());
        }
        keys.len() < count
    });
    call.reply.array(keys.len());
    keys.iter().for_each(|key| call.reply.bulk(key));
    Ok(())
}

/// Which slots SLOT-STATS shows.
enum Filter {
    Range(u16, u16),
    ByKeys { limit: usize, ascending: bool },
}

fn parse_filter(call: &Call<'_>) -> Result<Filter, CommandError> {
    let mut cursor = call.args.cursor(2);
    if call.args.len() == 5 && cursor.word("SLOTSRANGE") {
        let (first, last) = (slot_at(call, 3)?, slot_at(call, 4)?);
        if first > last {
            let text = format!("ERR Start slot number {first} is greater than end slot number {last}");
            return Err(CommandError::owned(text));
        }
        return Ok(Filter::Range(first, last));
    }
    if !cursor.word("ORDERBY") {
        return Err(call.subcommand_syntax());
    }
    if !cursor.word("key-count") {
        let error = "ERR Unrecognized sort metric for ORDERBY.";
        return Err(CommandError::text(error));
    }
    let (mut limit, mut ascending) = (usize::from(SLOTS), false);
    while cursor.remaining() > 0 {
        if cursor.remaining() > 1 && cursor.word("LIMIT") {
            let error = "ERR Limit has to lie in between 1 and 16384 (maximum number of slots).";
            let number =
                swytch_decimal::parse_i64(cursor.expect()?).and_then(|limit| u16::try_from(limit).ok());
            let number =
                number.filter(|limit| (1..=SLOTS).contains(limit)).ok_or(CommandError::text(error))?;
            limit = usize::from(number);
        } else if cursor.word("ASC") {
            ascending = true;
        } else if cursor.word("DESC") {
            ascending = false;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    Ok(Filter::ByKeys { limit, ascending })
}

fn slot_stats(call: &mut Call<'_>, steps: &mut ShardSteps<'_>) -> CommandResult {
    must_be_enabled(call)?;
    let filter = parse_filter(call)?;
    let mut counts = vec![0u64; usize::from(SLOTS)];
    walk(call, steps, |entry| {
        counts[usize::from(slot::of(entry.key()))] += 1;
        true
    });
    let slots: Vec<u16> = match filter {
        Filter::Range(first, last) => (first..=last).collect(),
        Filter::ByKeys { limit, ascending } => {
            let mut slots: Vec<u16> = (0..SLOTS).collect();
            let keys = |slot: &u16| counts[usize::from(*slot)];
            // Slots that are alike stay in the order of their numbers.
            match ascending {
                true => slots.sort_by_key(keys),
                false => slots.sort_by_key(|slot| std::cmp::Reverse(keys(slot))),
            }
            slots.truncate(limit);
            slots
        }
    };
    call.reply.array(slots.len());
    for slot in slots {
        call.reply.array(2);
        call.reply.integer(i64::from(slot));
        call.reply.map(1);
        call.reply.bulk(b"key-count");
        call.reply.integer(counts[usize::from(slot)] as i64);
    }
    Ok(())
}
