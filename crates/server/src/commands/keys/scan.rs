//! SCAN
//!
//! One step visits shard after shard, holding one lock at a time and for a bounded number of buckets, until
//! COUNT entries were seen. What the table promises carries over (see `swytch_store::table`): a key that is
//! there from the first step to the last is reported at least once, however the table grows or shrinks.

use swytch_store::{EntryRef, Keyspace, ScanCursor};

use crate::command::ShardSteps;
use crate::command::prelude::*;
use crate::system::glob;

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

const COUNT_DEFAULT: usize = 10;

/// Buckets one call may look at for each entry that COUNT wants. A segment has fewer buckets than this, so a
/// database with fewer keys than COUNT, each perhaps in a shard of its own, is returned whole by one call.
const BUCKETS_PER_COUNT: usize = 64;

/// Buckets looked at before a shard's lock is given to others.
const BUCKETS_PER_LOCK: usize = 1024;

struct Options<'a> {
    count: usize,
    pattern: Option<&'a [u8]>,
    type_name: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(call: &Call<'a>) -> Result<Options<'a>, CommandError> {
        let mut options = Options { count: COUNT_DEFAULT, pattern: None, type_name: None };
        let mut arguments = call.args.cursor(2);
        while arguments.remaining() > 0 {
            let has_value = arguments.remaining() >= 2;
            if has_value && arguments.word("COUNT") {
                let count = arguments.integer()?;
                if count < 1 {
                    return Err(CommandError::Syntax);
                }
                options.count = count as usize;
            } else if has_value && arguments.word("MATCH") {
                options.pattern = Some(arguments.expect()?).filter(|pattern| *pattern != b"*");
            } else if has_value && arguments.word("TYPE") {
                options.type_name = Some(arguments.expect()?);
            } else if arguments.word("NOVALUES") {
                return Err(CommandError::text("ERR NOVALUES option can only be used in HSCAN"));
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }

    fn admits(&self, entry: EntryRef<'_>) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, entry.key(), false))
            && self
                .type_name
                .is_none_or(|name| name.eq_ignore_ascii_case(entry.data_type().name().as_bytes()))
    }
}

fn scan(call: &mut Call<'_>, steps: &mut ShardSteps<'_>) -> CommandResult {
    let number = parse_cursor(call.args.get(1)).ok_or_else(|| CommandError::text("ERR invalid cursor"))?;
    let options = Options::parse(call)?;
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
            cursor = keyspace.scan_shard(db, at, &mut wanted, &mut allowed_left, |entry| {
                if options.admits(entry) {
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

/// Reads a cursor as Redis does: a canonical signed number must not be negative, and whatever else C's
/// `strtoull` takes for a number is one (white space and a sign before it, leading zeros).
fn parse_cursor(text: &[u8]) -> Option<u64> {
    if let Some(number) = swytch_decimal::parse_i64(text) {
        return u64::try_from(number).ok();
    }
    let space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let text = &text[text.iter().take_while(|byte| space(byte)).count()..];
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0u64, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })?;
    Some(if negative { number.wrapping_neg() } else { number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_strtoull_reads_them() {
        for (text, number) in [
            ("0", Some(0)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("9223372036854775808", Some(1 << 63)),
            ("-1", None),
            ("-01", Some(u64::MAX)),
            ("+7", Some(7)),
            (" 7", Some(7)),
            ("007", Some(7)),
            ("7 ", None),
            ("", None),
            (" ", None),
            ("-", None),
            ("1x", None),
            ("x", None),
        ] {
            assert_eq!(parse_cursor(text.as_bytes()), number, "{text:?}");
        }
    }
}
