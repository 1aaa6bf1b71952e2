//! XADD

use swytch_store::types::stream::ENTRY_BYTES_MAX;
use swytch_store::{Absent, Editor, KeyspaceMut, Stream, StreamId};
use twox_hash::XxHash3_128;

use super::id::{Given, Sequence};
use super::trim::{STRATEGY, TrimOptions};
use super::{CONDITION, UPDATED, id, replays, reply_id};
use crate::command::KeySpec;
use crate::command::prelude::*;

pub static XADD: CommandSpec = CommandSpec {
    name: "xadd",
    summary: "Puts an entry at the end of a stream and returns its identifier; an absent stream is created.",
    since: "5.0.0",
    group: Group::Stream,
    complexity: "O(1), and O(N) for N entries that are trimmed.",
    arity: -5,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::STREAM,
    key_specs: &[KeySpec { notes: "it may also trim", ..KeySpec::one(1, UPDATED) }],
    arguments: &[
        Arg::key("key"),
        Arg::flag("nomkstream", "NOMKSTREAM").optional().since("6.2.0"),
        CONDITION.optional(),
        Arg::one_of(
            "idmp",
            &[
                Arg::block(
                    "idmpauto-with-pid",
                    &[Arg::flag("idmpauto-token", "IDMPAUTO"), Arg::string("pid")],
                ),
                Arg::block(
                    "idmp-with-pid-iid",
                    &[Arg::flag("idmp-token", "IDMP"), Arg::string("pid"), Arg::string("iid")],
                ),
            ],
        )
        .optional(),
        Arg::block("trim", &STRATEGY).optional(),
        Arg::one_of("id-selector", &[Arg::flag("auto-id", "*"), Arg::string("id")]),
        Arg::block("data", &[Arg::string("field"), Arg::string("value")]).multiple(),
    ],
    tips: &["nondeterministic_output"],
    history: &[
        ("6.2.0", "NOMKSTREAM, MINID and LIMIT were added."),
        ("7.0.0", "Takes an identifier whose sequence is left to the server."),
        ("8.2.0", "KEEPREF, DELREF and ACKED were added."),
    ],
    reply: ReplyShape::TEXT_OR_NULL,
    handler: Handler::Write(xadd),
    ..CommandSpec::DEFAULT
};

/// What a producer says an entry is, so that it is added once.
struct Produced<'a> {
    producer: &'a [u8],
    /// `None`: what its fields are.
    identifier: Option<&'a [u8]>,
}

struct Request<'a> {
    /// `None`: left to the server.
    id: Option<Given>,
    produced: Option<Produced<'a>>,
    makes_no_stream: bool,
    trim: TrimOptions,
    fields_at: usize,
}

fn parse<'a>(call: &Call<'a>) -> Result<Request<'a>, CommandError> {
    let mut request = Request {
        id: None,
        produced: None,
        makes_no_stream: false,
        trim: TrimOptions::default(),
        fields_at: 0,
    };
    let mut arguments = call.args.cursor(2);
    while let Some(next) = arguments.peek() {
        let (one_more, two_more) = (arguments.remaining() > 1, arguments.remaining() > 2);
        if next == b"*" {
            arguments.next();
            break;
        } else if request.trim.read(&mut arguments)? {
        } else if arguments.word("NOMKSTREAM") {
            request.makes_no_stream = true;
        } else if one_more && arguments.word("IDMPAUTO") {
            let producer = producer(&request, &mut arguments, "IDMPAUTO")?;
            request.produced = Some(Produced { producer, identifier: None });
        } else if two_more && arguments.word("IDMP") {
            let producer = producer(&request, &mut arguments, "IDMP")?;
            let identifier = arguments.expect()?;
            if identifier.is_empty() {
                return Err(CommandError::text("ERR syntax error, IDMP requires a non-empty idempotent ID"));
            }
            request.produced = Some(Produced { producer, identifier: Some(identifier) });
        } else {
            request.id = Some(id::given(next)?);
            // A log says both what was asked and which identifier that became.
            if request.produced.is_some() && !replays(call) {
                return Err(CommandError::text(
                    "ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs",
                ));
            }
            arguments.next();
            break;
        }
    }
    request.fields_at = arguments.position();
    Ok(request)
}

fn producer<'a>(
    request: &Request<'_>,
    arguments: &mut ArgCursor<'a>,
    option: &str,
) -> Result<&'a [u8], CommandError> {
    if request.produced.is_some() {
        return Err(CommandError::text("ERR syntax error, IDMP/IDMPAUTO specified multiple times"));
    }
    let producer = arguments.expect()?;
    if producer.is_empty() {
        return Err(CommandError::owned(format!(
            "ERR syntax error, {option} requires a non-empty producer ID"
        )));
    }
    Ok(producer)
}

fn xadd(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let Request { id, produced, makes_no_stream, trim, fields_at } = parse(call)?;
    let trim = trim.finish(call, false)?;
    let fields: Vec<&[u8]> = call.args.from(fields_at).collect();
    if fields.is_empty() || fields.len() % 2 == 1 {
        return Err(CommandError::wrong_arity(&call.command.full_name));
    }
    if id.is_some_and(|id| id.ms == 0 && matches!(id.sequence, Sequence::Number(0) | Sequence::Absent)) {
        return Err(CommandError::text("ERR The ID specified in XADD must be greater than 0-0"));
    }
    if fields.iter().map(|word| word.len()).sum::<usize>() > ENTRY_BYTES_MAX {
        return Err(CommandError::text("ERR Elements are too large to be stored"));
    }
    let (key, now_ms, replays) = (call.key(1), call.now_ms, replays(call));
    let settings = Settings::of(call);
    let absent = if makes_no_stream { Absent::Leave } else { Absent::Create };
    let added = keyspace.change::<Stream, _>(&key, absent, |stream| {
        let identifier = match &produced {
            Some(Produced { producer, identifier }) => {
                let identifier = identifier.map_or_else(|| fingerprint(&fields).to_vec(), <[u8]>::to_vec);
                let known = stream.idempotence().get(producer, &identifier);
                // A log is read as it was meant, however old it is: what came again has no identifier in it, and what has
                // one was added, so that an older record of the same had been forgotten by then.
                let forgotten_ms = match replays {
                    true => id.and(known).map(|known| known.ms),
                    false => Some(settings.expired_ms(stream, now_ms)),
                };
                if let Some(known) = known
                    && forgotten_ms.is_none_or(|forgotten_ms| known.ms > forgotten_ms)
                {
                    stream.count_duplicate();
                    return Ok::<_, CommandError>(known);
                }
                if let Some(forgotten_ms) = forgotten_ms {
                    stream.forget(forgotten_ms);
                }
                Some((*producer, identifier))
            }
            None => None,
        };
        let id = next_id(stream, id, now_ms)?;
        stream.append(id, &fields);
        if let Some((producer, identifier)) = identifier {
            stream.record(producer, &identifier, id, settings.size_max(stream));
        }
        if let Some(trim) = trim {
            stream.trim(trim);
        }
        Ok(id)
    })?;
    match added {
        Some(id) => reply_id(call, id?),
        None => call.reply.null(),
    }
    Ok(())
}

/// The identifier of an entry to be added.
fn next_id(stream: &Editor<'_, Stream>, given: Option<Given>, now_ms: u64) -> Result<StreamId, CommandError> {
    let last = stream.marks().last_id;
    if last == StreamId::MAX {
        return Err(CommandError::text(
            "ERR The stream has exhausted the last possible ID, unable to add more items",
        ));
    }
    let id = match given {
        None if now_ms > last.ms => Some(StreamId { ms: now_ms, sequence: 0 }),
        None => last.next(),
        Some(Given { ms, sequence: Sequence::Any }) if ms == last.ms => {
            last.sequence.checked_add(1).map(|sequence| StreamId { ms, sequence })
        }
        Some(Given { ms, sequence: Sequence::Number(sequence) }) => Some(StreamId { ms, sequence }),
        Some(Given { ms, .. }) => Some(StreamId { ms, sequence: 0 }),
    };
    id.filter(|id| *id > last).ok_or_else(|| {
        CommandError::text("ERR The ID specified in XADD is equal or smaller than the target stream top item")
    })
}

/// What fields and values are, in whatever order: the identifier that a producer leaves to the server. It is in files and
/// payloads, so it is what Redis makes of them.
///
/// Each pair is hashed as field, length of the field in eight bytes, value, with XXH3 of 128 bits; the halves of these
/// hashes are summed up and combined bit by bit.
///
/// Source: `createIdempotencyHash` in Redis's `t_stream.c`.
fn fingerprint(fields: &[&[u8]]) -> [u8; 16] {
    let (mut sums, mut differences) = ([0_u64; 2], [0_u64; 2]);
    for pair in fields.chunks_exact(2) {
        let mut hasher = XxHash3_128::new();
        hasher.write(pair[0]);
        hasher.write(&(pair[0].len() as u64).to_le_bytes());
        hasher.write(pair[1]);
        let hash = hasher.finish_128();
        for (at, half) in [hash as u64, (hash >> 64) as u64].into_iter().enumerate() {
            sums[at] = sums[at].wrapping_add(half);
            differences[at] ^= half;
        }
    }
    let [low, high] = [0, 1].map(|at| sums[at] ^ differences[1 - at].rotate_left(1));
    (u128::from(high) << 64 | u128::from(low)).to_le_bytes()
}

/// How long, and how many, identifiers of producers are known where a stream was told nothing else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) duration_s: u32,
    pub(super) size_max: u32,
}

impl Settings {
    /// Those of the server.
    pub(super) fn of(call: &Call<'_>) -> Settings {
        let config = &call.server.config;
        Settings { duration_s: config.stream_idmp_duration(), size_max: config.stream_idmp_maxsize() }
    }

    /// Of a stream: seconds.
    pub(super) fn duration_s(self, stream: &Stream) -> u32 {
        stream.idempotence().duration_s.unwrap_or(self.duration_s)
    }

    /// Of a stream: how many of a producer.
    pub(super) fn size_max(self, stream: &Stream) -> u32 {
        stream.idempotence().size_max.unwrap_or(self.size_max)
    }

    /// What became entries of this time or before is known no longer.
    pub(super) fn expired_ms(self, stream: &Stream, now_ms: u64) -> u64 {
        now_ms.saturating_sub(u64::from(self.duration_s(stream)) * 1000)
    }
}
