//! What is known of single slots. The keyspace is not divided by slots, so keys of one are counted and found by a walk, which
//! holds the lock of one shard at a time for some entries.

use super::{CHANGING, SUB, must_be_enabled};
use crate::command::ShardSteps;
use crate::command::prelude::*;
use crate::command::scan::walk_keys;
use crate::config::SlotMetrics;
use crate::observe::slot_stats::Taken;
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
    summary: "Returns how many keys slots have and what commands about them take, by their number or ordered by one of that.",
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
    differs: "Walks the keyspace, also for `memory-bytes`, which can be switched on at any time. What is delivered to \
              subscribers and followers is not counted.",
    handler: Handler::Steps(slot_stats),
    ..SUB
};

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
    walk_keys(steps, call.client.db, |entry| {
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
    walk_keys(steps, call.client.db, |entry| {
        if keys.len() < count && slot::of(entry.key()) == wanted {
            keys.push(entry.key().to_vec());
        }
        keys.len() < count
    });
    call.reply.array(keys.len());
    keys.iter().for_each(|key| call.reply.bulk(key));
    Ok(())
}

/// What SLOT-STATS knows of a slot.
#[derive(Clone, Copy, Default)]
struct Figures {
    keys: u64,
    memory_bytes: u64,
    taken: Taken,
}

/// A metric of SLOT-STATS: its name, what must be counted for it, and its value.
type Metric = (&'static str, SlotMetrics, fn(&Figures) -> u64);

/// All of them, in the order in which they are shown.
const METRICS: [Metric; 5] = [
    ("key-count", SlotMetrics::empty(), |figures| figures.keys),
    ("memory-bytes", SlotMetrics::MEM, |figures| figures.memory_bytes),
    ("cpu-usec", SlotMetrics::CPU, |figures| figures.taken.ns / 1000),
    ("network-bytes-in", SlotMetrics::NET, |figures| figures.taken.bytes_in),
    ("network-bytes-out", SlotMetrics::NET, |figures| figures.taken.bytes_out),
];

/// Which slots SLOT-STATS shows.
enum Filter {
    Range(u16, u16),
    By { metric: Metric, limit: usize, ascending: bool },
}

fn parse_filter(call: &Call<'_>, metrics: &[Metric]) -> Result<Filter, CommandError> {
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
    let named = metrics.iter().find(|(name, ..)| cursor.word(name));
    let metric = *named.ok_or(CommandError::text("ERR Unrecognized sort metric for ORDERBY."))?;
    let (mut limit, mut ascending) = (None, None);
    while cursor.remaining() > 0 {
        let given_before = if cursor.remaining() > 1 && cursor.word("LIMIT") {
            let error = "ERR Limit has to lie in between 1 and 16384 (maximum number of slots).";
            let number =
                swytch_decimal::parse_i64(cursor.expect()?).and_then(|limit| u16::try_from(limit).ok());
            let number =
                number.filter(|limit| (1..=SLOTS).contains(limit)).ok_or(CommandError::text(error))?;
            limit.replace(usize::from(number)).is_some()
        } else if cursor.word("ASC") {
            ascending.replace(true).is_some()
        } else if cursor.word("DESC") {
            ascending.replace(false).is_some()
        } else {
            return Err(CommandError::Syntax);
        };
        if given_before {
            return Err(CommandError::text("ERR Multiple filters of the same type are disallowed."));
        }
    }
    let (limit, ascending) = (limit.unwrap_or(usize::from(SLOTS)), ascending.unwrap_or(false));
    Ok(Filter::By { metric, limit, ascending })
}

fn slot_stats(call: &mut Call<'_>, steps: &mut ShardSteps<'_>) -> CommandResult {
    must_be_enabled(call)?;
    let counted = call.server.config.cluster_slot_stats_enabled();
    let metrics: Vec<Metric> =
        METRICS.into_iter().filter(|(_, needed, _)| counted.contains(*needed)).collect();
    let filter = parse_filter(call, &metrics)?;
    let mut slots = vec![Figures::default(); usize::from(SLOTS)];
    walk_keys(steps, call.client.db, |entry| {
        let figures = &mut slots[usize::from(slot::of(entry.key()))];
        figures.keys += 1;
        if counted.contains(SlotMetrics::MEM) {
            figures.memory_bytes += entry.memory_bytes() as u64;
        }
        true
    });
    if counted.intersects(SlotMetrics::CPU | SlotMetrics::NET) {
        for (slot, figures) in (0..SLOTS).zip(&mut slots) {
            figures.taken = call.server.slot_stats.of(slot);
        }
    }
    let figures_of = |slot: &u16| &slots[usize::from(*slot)];
    let shown: Vec<u16> = match filter {
        Filter::Range(first, last) => (first..=last).collect(),
        Filter::By { metric: (_, _, value), limit, ascending } => {
            let mut shown: Vec<u16> = (0..SLOTS).collect();
            // Slots that are alike stay in the order of their numbers.
            match ascending {
                true => shown.sort_by_key(|slot| value(figures_of(slot))),
                false => shown.sort_by_key(|slot| std::cmp::Reverse(value(figures_of(slot)))),
            }
            shown.truncate(limit);
            shown
        }
    };
    call.reply.array(shown.len());
    for slot in shown {
        call.reply.array(2);
        call.reply.integer(i64::from(slot));
        call.reply.map(metrics.len());
        for (name, _, value) in &metrics {
            call.reply.bulk(name.as_bytes());
            call.reply.integer(value(figures_of(&slot)) as i64);
        }
    }
    Ok(())
}
