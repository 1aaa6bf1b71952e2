//! XACK, XACKDEL, XPENDING

use swytch_store::types::stream::PendingEntry;
use swytch_store::{Absent, Keyspace, KeyspaceMut, Stream, StreamId};

use super::remove::{Chosen, IDS, OUTCOMES, Outcome, delete};
use super::{CONDITION, SHOWN, UPDATED, id, no_key_or_group, reply_id};
use crate::command::KeySpec;
use crate::command::prelude::*;

const ACKNOWLEDGE: CommandSpec = CommandSpec {
    group: Group::Stream,
    complexity: "O(N*log(M)) for N given identifiers and M entries pending.",
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::STREAM,
    ..CommandSpec::DEFAULT
};

pub static XACK: CommandSpec = CommandSpec {
    name: "xack",
    summary: "Says that a group is done with entries and returns how many were pending; 0 without a stream or group.",
    since: "5.0.0",
    arity: -4,
    key_specs: &[KeySpec::one(1, UPDATED)],
    arguments: &[Arg::key("key"), Arg::string("group"), Arg::string("id").multiple()],
    reply: ReplyShape::Count,
    handler: Handler::Write(xack),
    ..ACKNOWLEDGE
};

pub static XACKDEL: CommandSpec = CommandSpec {
    name: "xackdel",
    summary: "Says that a group is done with entries, deletes them, and says what became of each.",
    since: "8.2.0",
    arity: -6,
    key_specs: &[KeySpec::one(1, UPDATED.union(KeyFlags::DELETE))],
    arguments: &[Arg::key("key"), Arg::string("group"), CONDITION.optional(), IDS],
    reply: OUTCOMES,
    handler: Handler::Write(xackdel),
    ..ACKNOWLEDGE
};

pub static XPENDING: CommandSpec = CommandSpec {
    name: "xpending",
    summary: "Tells what is pending in a group: how much, up to where and with whom, or entry by entry.",
    since: "5.0.0",
    group: Group::Stream,
    complexity: "O(N) for N consumers, or O(log(N)+M) to look at M of N entries pending.",
    arity: -3,
    flags: Flags::READONLY,
    categories: Categories::STREAM,
    key_specs: &[KeySpec::one(1, SHOWN)],
    arguments: &[
        Arg::key("key"),
        Arg::string("group"),
        Arg::block(
            "filters",
            &[
                Arg::integer("min-idle-time").token("IDLE").optional().since("6.2.0"),
                Arg::string("start"),
                Arg::string("end"),
                Arg::integer("count"),
                Arg::string("consumer").optional(),
            ],
        )
        .optional(),
    ],
    tips: &["nondeterministic_output"],
    history: &[("6.2.0", "IDLE was added, and either end may be excluded.")],
    reply: ReplyShape::OneOf(&[
        ReplyShape::Tuple(&[
            ReplyShape::Count,
            ReplyShape::TEXT_OR_NULL,
            ReplyShape::TEXT_OR_NULL,
            ReplyShape::OneOf(&[
                ReplyShape::List(&ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::Text])),
                ReplyShape::NullArray,
            ]),
        ]),
        ReplyShape::List(&ReplyShape::Tuple(&[
            ReplyShape::Text,
            ReplyShape::Text,
            ReplyShape::Count,
            ReplyShape::Count,
        ])),
    ]),
    handler: Handler::Read(xpending),
    ..CommandSpec::DEFAULT
};

fn xack(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let group = call.args.get(2);
    // A read of the key, whatever comes of it.
    keyspace.find(&call.key(1));
    let acknowledged = keyspace.change::<Stream, _>(&call.key(1), Absent::Leave, |stream| {
        if stream.group(group).is_none() {
            return Ok(0);
        }
        Ok::<_, CommandError>(stream.acknowledge(group, &id::all(call.args.from(3))?))
    })?;
    call.reply.count(acknowledged.transpose()?.unwrap_or(0));
    Ok(())
}

fn xackdel(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let (key, group) = (call.key(1), call.args.get(2));
    keyspace.get::<Stream>(&key)?;
    let chosen = Chosen::read(call, 3)?;
    let outcomes = keyspace.change::<Stream, _>(&key, Absent::Leave, |stream| {
        if stream.group(group).is_none() {
            return Ok(None);
        }
        let ids = chosen.ids()?;
        let outcome = |id: &StreamId| {
            if stream.acknowledge(group, &[*id]) == 0 {
                return Outcome::NotThere;
            }
            // What was pending of an entry that is not there is as good as deleted.
            match delete(stream, &[*id], chosen.references)[0] {
                Outcome::NotThere => Outcome::Gone,
                outcome => outcome,
            }
        };
        Ok::<_, CommandError>(Some(ids.iter().map(outcome).collect()))
    })?;
    chosen.reply(call, outcomes.transpose()?.flatten());
    Ok(())
}

/// Which of the entries pending are asked for.
struct Filter<'a> {
    idle_min_ms: i64,
    from: StreamId,
    to: StreamId,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Filter<'a> {
    fn read(call: &Call<'a>) -> Result<Option<Filter<'a>>, CommandError> {
        let args = &call.args;
        if args.len() == 3 {
            return Ok(None);
        }
        if !(6..=9).contains(&args.len()) {
            return Err(CommandError::Syntax);
        }
        let (mut at, mut idle_min_ms) = (3, 0);
        if args.get(3).eq_ignore_ascii_case(b"IDLE") {
            idle_min_ms = args.integer(4)?;
            if args.len() < 8 {
                return Err(CommandError::Syntax);
            }
            at = 5;
        }
        let count = usize::try_from(args.integer(at + 2)?).unwrap_or(0);
        let (from, to) = (id::interval_start(args.get(at))?, id::interval_end(args.get(at + 1))?);
        Ok(Some(Filter { idle_min_ms, from, to, count, consumer: args.try_get(at + 3) }))
    }
}

fn xpending(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let filter = Filter::read(call)?;
    let (key, name) = (call.key(1), call.args.get(2));
    let group = keyspace.get::<Stream>(&key)?.and_then(|stream| stream.group(name));
    let group = group.ok_or_else(|| no_key_or_group(key.bytes, name, ""))?;
    let Some(Filter { idle_min_ms, from, to, count, consumer }) = filter else {
        call.reply.array(4);
        call.reply.count(group.pending_len());
        let ends = group.pending().next().zip(group.pending().next_back());
        let Some((first, last)) = ends else {
            call.reply.null();
            call.reply.null();
            call.reply.null_array();
            return Ok(());
        };
        reply_id(call, first.id);
        reply_id(call, last.id);
        let consumers: Vec<_> = group.consumers().filter(|consumer| consumer.pending() > 0).collect();
        call.reply.array(consumers.len());
        for consumer in consumers {
            call.reply.array(2);
            call.reply.bulk(consumer.name());
            call.reply.bulk_integer(consumer.pending() as i64);
        }
        return Ok(());
    };
    let now_ms = call.now_ms as i64;
    let idle_ms = |pending: &PendingEntry<'_>| now_ms - pending.delivered_ms as i64;
    let wanted = |pending: &PendingEntry<'_>| idle_min_ms == 0 || idle_ms(pending) >= idle_min_ms;
    let shown: Vec<PendingEntry<'_>> = match consumer {
        Some(consumer) => {
            let all = group.pending_with(consumer, from).take_while(|pending| pending.id <= to);
            all.filter(wanted).take(count).collect()
        }
        None => {
            let all = group.pending_from(from).take_while(|pending| pending.id <= to);
            all.filter(wanted).take(count).collect()
        }
    };
    call.reply.array(shown.len());
    for pending in shown {
        call.reply.array(4);
        reply_id(call, pending.id);
        call.reply.bulk(pending.consumer);
        call.reply.integer(idle_ms(&pending).max(0));
        call.reply.integer(pending.count as i64);
    }
    Ok(())
}
