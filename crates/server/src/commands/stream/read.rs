//! XREAD, XREADGROUP
//!
//! What a call answers is decided for all of its streams before the first byte of the reply: a group's progress is a
//! change, and how many streams there are in the reply depends on it.

use std::sync::Arc;

use swytch_resp::Protocol;
use swytch_store::types::stream::{Group as ConsumerGroup, PendingEntry};
use swytch_store::{Absent, Editor, Keyspace, KeyspaceMut, Stream, StreamId, Type, Value};

use super::{SHOWN, id, no_key_or_group, reply_content, reply_entry, reply_id};
use crate::command::prelude::*;
use crate::command::{BeginSearch, BlockRequest, FindKeys, KeySpec, Ready, TimeoutReply, When};
use crate::system::clock::{self, MonotonicMs};

/// The first half of what follows STREAMS.
const fn streams(from: i32) -> KeySpec {
    let find = FindKeys::Range { last: -1, step: 1, limit: 2 };
    KeySpec { flags: SHOWN, begin: BeginSearch::Keyword("STREAMS", from), find, notes: "" }
}

const READ: CommandSpec = CommandSpec {
    since: "5.0.0",
    group: Group::Stream,
    complexity: "O(N) for N entries returned, besides finding the first of each stream.",
    categories: Categories::STREAM,
    reply: ReplyShape::OneOf(&[
        ReplyShape::Map(&ReplyShape::Text, &ReplyShape::List(&ReplyShape::Any)),
        ReplyShape::List(&ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::List(&ReplyShape::Any)])),
        ReplyShape::NullArray,
    ]),
    ..CommandSpec::DEFAULT
};

const COUNT: Arg = Arg::integer("count").token("COUNT").optional();
const BLOCK: Arg = Arg::integer("milliseconds").token("BLOCK").optional();
const STREAMS: Arg =
    Arg::block("streams", &[Arg::key("key").multiple(), Arg::string("id").multiple()]).token("STREAMS");

pub static XREAD: CommandSpec = CommandSpec {
    name: "xread",
    summary: "Returns the entries behind an identifier of each of several streams, and waits for one if asked to.",
    arity: -4,
    flags: Flags::READONLY.union(Flags::BLOCKING).union(Flags::MOVABLE_KEYS),
    key_specs: &[streams(1)],
    arguments: &[COUNT, BLOCK, STREAMS],
    handler: Handler::Wait(xread),
    ..READ
};

pub static XREADGROUP: CommandSpec = CommandSpec {
    name: "xreadgroup",
    summary: "Gives a consumer of a group the next entries of each of several streams, and waits for one if asked to.",
    arity: -7,
    flags: Flags::WRITE.union(Flags::BLOCKING).union(Flags::MOVABLE_KEYS),
    key_specs: &[streams(4)],
    arguments: &[
        Arg::block("group-block", &[Arg::string("group"), Arg::string("consumer")]).token("GROUP"),
        COUNT,
        BLOCK,
        Arg::integer("min-idle-time").token("CLAIM").optional(),
        Arg::flag("noack", "NOACK").optional(),
        STREAMS,
    ],
    handler: Handler::Write(xreadgroup),
    ..READ
};

/// The options of either command.
struct Request<'a> {
    count: usize,
    /// When to give up waiting; `None`: not to wait at all.
    deadline: Option<Option<MonotonicMs>>,
    group: Option<(&'a [u8], &'a [u8])>,
    claim_idle_ms: Option<u64>,
    no_acknowledgement: bool,
    /// Where the keys are, and how many.
    keys_at: usize,
    streams: usize,
}

impl<'a> Request<'a> {
    fn key_position(&self, stream: usize) -> usize {
        self.keys_at + stream
    }

    fn id_at(&self, stream: usize) -> usize {
        self.keys_at + self.streams + stream
    }

    fn read(call: &Call<'a>, is_of_group: bool) -> Result<Request<'a>, CommandError> {
        let only_of_group = |option: &str| {
            CommandError::owned(format!(
                "ERR The {option} option is only supported by XREADGROUP. You called XREAD instead."
            ))
        };
        let mut request = Request {
            count: usize::MAX,
            deadline: None,
            group: None,
            claim_idle_ms: None,
            no_acknowledgement: false,
            keys_at: 0,
            streams: 0,
        };
        let mut arguments = call.args.cursor(1);
        while arguments.remaining() > 0 {
            let has_value = arguments.remaining() > 1;
            if has_value && arguments.word("CLAIM") {
                if !is_of_group {
                    return Err(only_of_group("CLAIM"));
                }
                let idle_ms = swytch_decimal::parse_i64(arguments.expect()?).ok_or_else(|| {
                    CommandError::text("ERR min-idle-time is not an integer or out of range")
                })?;
                request.claim_idle_ms = Some(
                    u64::try_from(idle_ms)
                        .map_err(|_| CommandError::text("ERR min-idle-time must be a positive integer"))?,
                );
            } else if has_value && arguments.word("BLOCK") {
                request.deadline = Some(deadline(call, arguments.expect()?)?);
            } else if has_value && arguments.word("COUNT") {
                request.count = match usize::try_from(arguments.integer()?) {
                    Ok(0) | Err(_) => usize::MAX,
                    Ok(count) => count,
                };
            } else if has_value && arguments.word("STREAMS") {
                request.keys_at = arguments.position();
                let rest = arguments.remaining();
                if rest % 2 == 1 {
                    let (name, what) = match is_of_group {
                        true => ("xreadgroup", "ID or '>'"),
                        false => ("xread", "ID, '+', or '$'"),
                    };
                    return Err(CommandError::owned(format!(
                        "ERR Unbalanced '{name}' list of streams: for each stream key an {what} must be specified."
                    )));
                }
                request.streams = rest / 2;
                break;
            } else if arguments.remaining() > 2 && arguments.word("GROUP") {
                if !is_of_group {
                    return Err(only_of_group("GROUP"));
                }
                request.group = Some((arguments.expect()?, arguments.expect()?));
            } else if arguments.word("NOACK") {
                if !is_of_group {
                    return Err(only_of_group("NOACK"));
                }
                request.no_acknowledgement = true;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        // Where a name of a group or a consumer is `STREAMS` the search for keys begins too early, and other keys are
        // locked than are meant.
        let positions = call.command.key_positions(&call.args);
        if request.keys_at == 0 || positions.first() != Some(&request.keys_at) {
            return Err(CommandError::Syntax);
        }
        if is_of_group && request.group.is_none() {
            return Err(CommandError::text("ERR Missing GROUP option for XREADGROUP"));
        }
        Ok(request)
    }
}

/// Reads a number of milliseconds; 0 waits forever.
fn deadline(call: &Call<'_>, argument: &[u8]) -> Result<Option<MonotonicMs>, CommandError> {
    let ms = swytch_decimal::parse_i64(argument)
        .ok_or_else(|| CommandError::text("ERR timeout is not an integer or out of range"))?;
    let ms = u64::try_from(ms).map_err(|_| CommandError::TimeoutNegative)?;
    if ms == 0 {
        return Ok(None);
    }
    if i64::try_from(ms.saturating_add(call.now_ms)).is_err() {
        return Err(CommandError::TimeoutOutOfRange);
    }
    Ok(Some(MonotonicMs::now().after(ms)))
}

/// Begins a reply about so many streams.
fn begin(call: &mut Call<'_>, streams: usize) {
    if call.reply.protocol() == Protocol::Resp3 { call.reply.map(streams) } else { call.reply.array(streams) }
}

fn begin_stream(call: &mut Call<'_>, key: &[u8]) {
    if call.reply.protocol() == Protocol::Resp2 {
        call.reply.array(2);
    }
    call.reply.bulk(key);
}

/// Answers that there is nothing, or waits if that was asked for.
fn wait(call: &mut Call<'_>, request: &Request<'_>, ready: Ready, rewritten: Vec<(usize, Vec<u8>)>) {
    let Some(deadline) = request.deadline.filter(|_| call.origin.may_block()) else {
        call.reply.null_array();
        return;
    };
    let keys = (0..request.streams).map(|stream| request.key_position(stream)).collect();
    let (kind, on_timeout, ready) = (Type::Stream, TimeoutReply::NullArray, Some(ready));
    call.block = Some(BlockRequest { keys, kind, deadline, on_timeout, ready, rewritten });
}

fn stream_of(value: Option<Value<'_>>) -> Option<&Stream> {
    match value {
        Some(Value::Collection(face)) => face.as_any().downcast_ref(),
        _ => None,
    }
}

fn xread(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let request = Request::read(call, false)?;
    let (mut behind, mut rewritten) = (Vec::with_capacity(request.streams), Vec::new());
    for stream in 0..request.streams {
        let there = keyspace.get::<Stream>(&call.key(request.key_position(stream)))?;
        let text = call.args.get(request.id_at(stream));
        behind.push(match text {
            b"$" => {
                let id = there.map(|stream| stream.marks().last_id).unwrap_or_default();
                // It would mean another one when the command runs again.
                rewritten.push((request.id_at(stream), id.to_string().into_bytes()));
                id
            }
            b"+" => there.and_then(|stream| stream.top_id().previous()).unwrap_or_default(),
            b">" => {
                return Err(CommandError::text(
                    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> \
                     option.",
                ));
            }
            text => id::strict(text)?,
        });
    }
    let mut served = Vec::new();
    for (stream, id) in behind.iter().enumerate() {
        let key = call.key(request.key_position(stream));
        if let Some(stream) = keyspace.get::<Stream>(&key)?.filter(|stream| stream.top_id() > *id) {
            served.push((key, stream, id.next().unwrap_or(*id)));
        }
    }
    if served.is_empty() {
        let keys = (0..request.streams).map(|stream| call.args.get(request.key_position(stream)).to_vec());
        let behind: Vec<(Vec<u8>, StreamId)> = keys.zip(behind).collect();
        let ready = Ready(Arc::new(move |key, value| {
            let top = stream_of(value).map_or(StreamId::MIN, Stream::top_id);
            When::now_if(behind.iter().any(|(name, id)| name == key && top > *id))
        }));
        wait(call, &request, ready, rewritten);
        return Ok(());
    }
    begin(call, served.len());
    for (key, stream, from) in served {
        begin_stream(call, key.bytes);
        let entries: Vec<_> = stream.range(from, StreamId::MAX).take(request.count).collect();
        call.reply.array(entries.len());
        entries.iter().for_each(|entry| reply_entry(call, entry));
    }
    Ok(())
}

/// Nobody who waits for something to claim looks for it more often, in milliseconds.
const LOOK_MS_MIN: u64 = 10;

/// What has been pending longest in a group that was asked for entries to claim.
fn oldest<'s>(stream: &Stream, group: &'s ConsumerGroup) -> Option<PendingEntry<'s>> {
    group.oldest().find(|pending| stream.get(pending.id).is_some())
}

/// What a consumer asks for of a stream.
#[derive(Clone, Copy)]
enum Wanted {
    /// Entries that nobody has had.
    New,
    /// What is pending with it, behind an identifier.
    History(StreamId),
}

/// What a consumer gets of a stream.
struct Served {
    stream: usize,
    /// What it takes from others, with the time it was idle and how often it was delivered.
    claimed: Vec<(StreamId, u64, u64)>,
    /// The first and the last new entry, and how many they are.
    new: Option<(StreamId, StreamId, usize)>,
    history: Option<Vec<StreamId>>,
    /// Entries are shown with their idle time and how often they were delivered.
    shows_idle: bool,
}

fn xreadgroup(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let mut request = Request::read(call, true)?;
    let (group, consumer) = request.group.unwrap_or_default();
    let mut wanted = Vec::with_capacity(request.streams);
    for stream in 0..request.streams {
        let key = call.key(request.key_position(stream));
        let there = keyspace.get::<Stream>(&key)?.and_then(|stream| stream.group(group));
        if there.is_none() {
            return Err(no_key_or_group(key.bytes, group, " in XREADGROUP with GROUP option"));
        }
        let meaningless = |id: &str| {
            CommandError::owned(format!(
                "ERR The {id} ID is meaningless in the context of XREADGROUP: you want to read the history of this \
                 consumer by specifying a proper ID, or use the > ID to get new messages. The {id} ID would just \
                 return an empty result set."
            ))
        };
        wanted.push(match call.args.get(request.id_at(stream)) {
            b"$" => return Err(meaningless("$")),
            b"+" => return Err(meaningless("+")),
            b">" => Wanted::New,
            text => match id::strict(text)? {
                StreamId::MAX => Wanted::New,
                id => Wanted::History(id),
            },
        });
    }
    let mut served = Vec::new();
    for (stream, wanted) in wanted.iter().enumerate() {
        let key = call.key(request.key_position(stream));
        // Who reads what it has had claims nothing, of this stream and of those behind it.
        if matches!(wanted, Wanted::History(_)) {
            request.claim_idle_ms = None;
        }
        let got = keyspace.change::<Stream, _>(&key, Absent::Leave, |editor| {
            serve(editor, &request, (group, consumer), *wanted, call.now_ms)
        })?;
        served.extend(got.flatten().map(|got| Served { stream, ..got }));
    }
    if served.is_empty() {
        let (name, claim_idle_ms) = (group.to_vec(), request.claim_idle_ms);
        let ready = Ready(Arc::new(move |_, value| {
            let stream = stream_of(value);
            match stream.and_then(|stream| Some((stream, stream.group(&name)?))) {
                Some((stream, group)) if stream.top_id() > group.last_id => When::Now,
                Some((stream, group)) => claim_idle_ms.map_or(When::Later, |idle_ms| {
                    match oldest(stream, group) {
                        Some(pending) => When::At(pending.delivered_ms.saturating_add(idle_ms)),
                        // What is delivered from now on.
                        None => When::NotBefore(clock::unix_ms().saturating_add(idle_ms.max(LOOK_MS_MIN))),
                    }
                }),
                // Who waits for a group that is gone is told so.
                None => When::Now,
            }
        }));
        wait(call, &request, ready, Vec::new());
        return Ok(());
    }
    begin(call, served.len());
    for got in served {
        let key = call.key(request.key_position(got.stream));
        begin_stream(call, key.bytes);
        if let Some(stream) = keyspace.get::<Stream>(&key)? {
            reply_served(call, stream, &got);
        }
    }
    Ok(())
}

/// Gives a consumer what it wants of a stream; `None`: there is nothing.
fn serve(
    stream: &mut Editor<'_, Stream>,
    request: &Request<'_>,
    (name, consumer): (&[u8], &[u8]),
    wanted: Wanted,
    now_ms: u64,
) -> Option<Served> {
    let mut got = Served { stream: 0, claimed: Vec::new(), new: None, history: None, shows_idle: false };
    if let Some(idle_ms) = request.claim_idle_ms {
        stream.order_by_time(name);
        let there = stream.group(name)?;
        let old = there.oldest().map(|pending| (now_ms.saturating_sub(pending.delivered_ms), pending));
        let old = old.take_while(|(idle, _)| *idle >= idle_ms);
        let claimable = old.filter(|(_, pending)| stream.get(pending.id).is_some());
        got.claimed =
            claimable.take(request.count).map(|(idle, pending)| (pending.id, idle, pending.count)).collect();
        got.shows_idle = true;
    }
    stream.see_consumer(name, consumer, now_ms);
    if !got.claimed.is_empty() {
        let entries: Vec<(StreamId, u64)> =
            got.claimed.iter().map(|(id, _, count)| (*id, count + 1)).collect();
        stream.deliver(name, consumer, (Some(now_ms), now_ms), &entries);
    }
    let group = stream.group(name)?;
    match wanted {
        Wanted::History(behind) => {
            let from = behind.next()?;
            let pending = group.pending_with(consumer, from).take(request.count);
            let pending: Vec<(StreamId, u64)> =
                pending.map(|pending| (pending.id, pending.count + 1)).collect();
            let there: Vec<(StreamId, u64)> =
                pending.iter().filter(|(id, _)| stream.get(*id).is_some()).copied().collect();
            if !there.is_empty() {
                stream.deliver(name, consumer, (None, now_ms), &there);
            }
            got.history = Some(pending.into_iter().map(|(id, _)| id).collect());
        }
        Wanted::New if stream.top_id() > group.last_id => {
            let room = request.count - got.claimed.len().min(request.count);
            let from = group.last_id.next()?;
            let ids: Vec<StreamId> =
                stream.range(from, StreamId::MAX).take(room).map(|entry| entry.id).collect();
            if let (Some(first), Some(last)) = (ids.first(), ids.last()) {
                let (last_id, entries_read) = stream.read_until(group, &ids);
                got.new = Some((*first, *last, ids.len()));
                if !request.no_acknowledgement {
                    let entries: Vec<(StreamId, u64)> = ids.iter().map(|id| (*id, 1)).collect();
                    stream.deliver(name, consumer, (Some(now_ms), now_ms), &entries);
                }
                stream.advance_group(name, last_id, entries_read);
            }
        }
        Wanted::New if got.claimed.is_empty() => return None,
        Wanted::New => {}
    }
    Some(got)
}

fn reply_served(call: &mut Call<'_>, stream: &Stream, got: &Served) {
    if let Some(history) = &got.history {
        call.reply.array(history.len());
        for id in history {
            match stream.get(*id) {
                Some(entry) => reply_entry(call, &entry),
                None => {
                    call.reply.array(2);
                    reply_id(call, *id);
                    call.reply.null_array();
                }
            }
        }
        return;
    }
    let new = got.new.map_or(0, |(_, _, count)| count);
    call.reply.array(got.claimed.len() + new);
    for (id, idle_ms, count) in &got.claimed {
        if let Some(entry) = stream.get(*id) {
            call.reply.array(4);
            reply_content(call, &entry);
            call.reply.integer(*idle_ms as i64);
            call.reply.integer(*count as i64);
        }
    }
    let Some((first, last, _)) = got.new else { return };
    for entry in stream.range(first, last) {
        if got.shows_idle {
            call.reply.array(4);
            reply_content(call, &entry);
            call.reply.integer(0);
            call.reply.integer(0);
        } else {
            reply_entry(call, &entry);
        }
    }
}
