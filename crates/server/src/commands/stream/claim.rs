//! XCLAIM, XAUTOCLAIM

use swytch_store::{Absent, Editor, KeyspaceMut, Stream, StreamId};

use super::{DELETED_FROM, ENTRIES, UPDATED, id, no_key_or_group, reply_entry, reply_id};
use crate::command::KeySpec;
use crate::command::prelude::*;

const CLAIM: CommandSpec = CommandSpec {
    group: Group::Stream,
    arity: -6,
    flags: Flags::WRITE.union(Flags::FAST),
    categories: Categories::STREAM,
    tips: &["nondeterministic_output"],
    ..CommandSpec::DEFAULT
};

pub static XCLAIM: CommandSpec = CommandSpec {
    name: "xclaim",
    summary: "Gives entries that are pending to another consumer of the group, and returns them.",
    since: "5.0.0",
    complexity: "O(N*log(M)) for N given identifiers and M entries pending.",
    key_specs: &[KeySpec::one(1, UPDATED)],
    arguments: &[
        Arg::key("key"),
        Arg::string("group"),
        Arg::string("consumer"),
        Arg::string("min-idle-time"),
        Arg::string("id").multiple(),
        Arg::integer("ms").token("IDLE").optional(),
        Arg::new("unix-time-milliseconds", ArgKind::UnixTime).token("TIME").optional(),
        Arg::integer("count").token("RETRYCOUNT").optional(),
        Arg::flag("force", "FORCE").optional(),
        Arg::flag("justid", "JUSTID").optional(),
        Arg::string("lastid").token("LASTID").optional(),
    ],
    reply: ReplyShape::OneOf(&[ENTRIES, ReplyShape::TEXTS]),
    handler: Handler::Write(xclaim),
    ..CLAIM
};

pub static XAUTOCLAIM: CommandSpec = CommandSpec {
    name: "xautoclaim",
    summary: "Gives entries that have been pending for a time to another consumer of the group, some at a time, and returns them.",
    since: "6.2.0",
    complexity: "O(N) for the N entries pending that are looked at, at most ten times COUNT.",
    key_specs: &[KeySpec::one(1, DELETED_FROM)],
    arguments: &[
        Arg::key("key"),
        Arg::string("group"),
        Arg::string("consumer"),
        Arg::string("min-idle-time"),
        Arg::string("start"),
        Arg::integer("count").token("COUNT").optional(),
        Arg::flag("justid", "JUSTID").optional(),
    ],
    history: &[("7.0.0", "The reply has a third part: what was pending of entries that are deleted.")],
    reply: ReplyShape::Tuple(&[
        ReplyShape::Text,
        ReplyShape::OneOf(&[ENTRIES, ReplyShape::TEXTS]),
        ReplyShape::TEXTS,
    ]),
    handler: Handler::Write(xautoclaim),
    ..CLAIM
};

/// For how long what is claimed has to have been pending.
fn idle_min_ms(call: &Call<'_>, command: &str) -> Result<i64, CommandError> {
    let idle_ms = swytch_decimal::parse_i64(call.args.get(4));
    let idle_ms = idle_ms
        .ok_or_else(|| CommandError::owned(format!("ERR Invalid min-idle-time argument for {command}")))?;
    Ok(idle_ms.max(0))
}

/// Changes the stream of a group, both of which must be there.
fn in_group<R>(
    call: &Call<'_>,
    keyspace: &mut KeyspaceMut<'_, '_>,
    act: impl FnOnce(&mut Editor<'_, Stream>, &[u8]) -> Result<R, CommandError>,
) -> Result<R, CommandError> {
    let (key, group) = (call.key(1), call.args.get(2));
    let done = keyspace.change::<Stream, _>(&key, Absent::Leave, |stream| {
        stream.group(group).is_some().then(|| act(stream, group))
    })?;
    done.flatten().unwrap_or_else(|| Err(no_key_or_group(key.bytes, group, "")))
}

/// Answers what was claimed.
fn reply_claimed(call: &mut Call<'_>, stream: Option<&Stream>, ids: &[StreamId], just_ids: bool) {
    call.reply.array(ids.len());
    for id in ids {
        match stream.and_then(|stream| stream.get(*id)).filter(|_| !just_ids) {
            Some(entry) => reply_entry(call, &entry),
            None => reply_id(call, *id),
        }
    }
}

#[derive(Default)]
struct Options {
    delivered_ms: Option<i64>,
    count: Option<u64>,
    force: bool,
    just_ids: bool,
    last_id: StreamId,
}

impl Options {
    fn read(call: &Call<'_>, from: usize) -> Result<Options, CommandError> {
        let mut options = Options::default();
        let mut arguments = call.args.cursor(from);
        while let Some(option) = arguments.peek() {
            let has_value = arguments.remaining() > 1;
            let number = |arguments: &mut ArgCursor<'_>, name: &str| {
                swytch_decimal::parse_i64(arguments.expect()?).ok_or_else(|| {
                    CommandError::owned(format!("ERR Invalid {name} option argument for XCLAIM"))
                })
            };
            if arguments.word("FORCE") {
                options.force = true;
            } else if arguments.word("JUSTID") {
                options.just_ids = true;
            } else if has_value && arguments.word("IDLE") {
                let idle_ms = number(&mut arguments, "IDLE")?;
                options.delivered_ms = Some((call.now_ms as i64).wrapping_sub(idle_ms));
            } else if has_value && arguments.word("TIME") {
                options.delivered_ms = Some(number(&mut arguments, "TIME")?);
            } else if has_value && arguments.word("RETRYCOUNT") {
                options.count = u64::try_from(number(&mut arguments, "RETRYCOUNT")?).ok();
            } else if has_value && arguments.word("LASTID") {
                options.last_id = id::strict(arguments.expect()?)?;
            } else {
                return Err(CommandError::quoting("ERR Unrecognized XCLAIM option '", option, "'"));
            }
        }
        Ok(options)
    }
}

fn xclaim(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    // A read of the key, whatever comes of it.
    keyspace.find(&call.key(1));
    let now_ms = call.now_ms;
    let (ids, just_ids) = in_group(call, keyspace, |stream, group| {
        let idle_min_ms = idle_min_ms(call, "XCLAIM")?;
        let ids: Vec<StreamId> = call.args.from(5).map_while(|text| id::strict(text).ok()).collect();
        let options = Options::read(call, 5 + ids.len())?;
        let consumer = call.args.get(3);
        advance(stream, group, options.last_id);
        // A time to come is none.
        let delivered_ms = options.delivered_ms.and_then(|ms| u64::try_from(ms).ok());
        let delivered_ms = delivered_ms.filter(|ms| *ms <= now_ms).unwrap_or(now_ms);
        stream.see_consumer(group, consumer, now_ms);
        let mut claimed = Vec::new();
        for id in ids {
            let there = stream.group(group).and_then(|group| group.pending_at(id));
            let pending = there.map(|pending| (pending.delivered_ms, pending.count));
            if stream.get(id).is_none() {
                if pending.is_some() {
                    stream.acknowledge(group, &[id]);
                }
                continue;
            }
            let count = match pending {
                Some((before_ms, _)) if is_younger(before_ms, now_ms, idle_min_ms) => continue,
                Some((_, count)) => count,
                None if options.force => 1,
                None => continue,
            };
            let count = options.count.unwrap_or(count + u64::from(!options.just_ids));
            stream.deliver(group, consumer, (Some(now_ms), delivered_ms), &[(id, count)]);
            claimed.push(id);
        }
        Ok((claimed, options.just_ids))
    })?;
    let stream = keyspace.check::<Stream>(&call.key(1))?;
    reply_claimed(call, stream, &ids, just_ids);
    Ok(())
}

/// Moves what a group has read forward.
fn advance(stream: &mut Editor<'_, Stream>, group: &[u8], last_id: StreamId) {
    let there = stream.group(group).map(|group| (group.last_id, group.entries_read));
    if let Some((before, entries_read)) = there
        && last_id > before
    {
        stream.advance_group(group, last_id, entries_read);
    }
}

fn is_younger(delivered_ms: u64, now_ms: u64, idle_min_ms: i64) -> bool {
    idle_min_ms > 0 && (now_ms as i64).wrapping_sub(delivered_ms as i64) < idle_min_ms
}

/// How many entries XAUTOCLAIM looks at for each that it may claim.
const ATTEMPTS_FACTOR: usize = 10;

fn xautoclaim(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    keyspace.find(&call.key(1));
    let idle_min_ms = idle_min_ms(call, "XAUTOCLAIM")?;
    let start = id::interval_start(call.args.get(5))?;
    let (mut count, mut just_ids) = (100_i64, false);
    let mut arguments = call.args.cursor(6);
    while arguments.remaining() > 0 {
        if arguments.remaining() > 1 && arguments.word("COUNT") {
            count = swytch_decimal::parse_i64(arguments.expect()?)
                .filter(|count| (1..=i64::MAX / 16).contains(count))
                .ok_or_else(|| CommandError::text("ERR COUNT must be > 0"))?;
        } else if arguments.word("JUSTID") {
            just_ids = true;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let (now_ms, consumer) = (call.now_ms, call.args.get(3));
    let (next, claimed, deleted) = in_group(call, keyspace, |stream, group| {
        stream.see_consumer(group, consumer, now_ms);
        let (mut left, attempts) = (count as usize, (count as usize).saturating_mul(ATTEMPTS_FACTOR));
        let (mut claimed, mut deleted, mut next) = (Vec::new(), Vec::new(), None);
        let there = stream.group(group);
        for (tried, pending) in there.into_iter().flat_map(|group| group.pending_from(start)).enumerate() {
            if tried == attempts || left == 0 {
                next = Some(pending.id);
                break;
            }
            if stream.get(pending.id).is_none() {
                deleted.push(pending.id);
                left -= 1;
            } else if !is_younger(pending.delivered_ms, now_ms, idle_min_ms) {
                claimed.push((pending.id, pending.count + u64::from(!just_ids)));
                left -= 1;
            }
        }
        if !deleted.is_empty() {
            stream.acknowledge(group, &deleted);
        }
        if !claimed.is_empty() {
            stream.deliver(group, consumer, (Some(now_ms), now_ms), &claimed);
        }
        Ok((next, claimed, deleted))
    })?;
    call.reply.array(3);
    reply_id(call, next.unwrap_or_default());
    let stream = keyspace.check::<Stream>(&call.key(1))?;
    let claimed: Vec<StreamId> = claimed.into_iter().map(|(id, _)| id).collect();
    reply_claimed(call, stream, &claimed, just_ids);
    reply_claimed(call, None, &deleted, true);
    Ok(())
}
