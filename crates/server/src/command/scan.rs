//! What SCAN, SSCAN and their kin are asked: a cursor, and options.

use swytch_store::{EntryRef, Keyspace, ScanCursor, Type};

use super::{Arg, ArgCursor, ArgKind, Call, CommandError, Origin, ShardSteps};
use crate::system::{glob, slot};

const COUNT_DEFAULT: usize = 10;

/// What SSCAN, HSCAN and ZSCAN are given.
pub const WALK_ARGUMENTS: [Arg; 4] = [
    Arg::key("key"),
    Arg::integer("cursor"),
    Arg::new("pattern", ArgKind::Pattern).token("MATCH").optional(),
    Arg::integer("count").token("COUNT").optional(),
];

/// What a walk in steps is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Walk {
    /// A database.
    Keys,
    /// A database, by the slots of its keys.
    Slots,
    /// A value whose members have nothing that could be left out.
    Members,
    /// A hash.
    Fields,
}

/// The options of a walk in steps.
#[derive(Clone, Copy, Debug)]
pub struct ScanOptions<'a> {
    /// About how many to show.
    pub count: usize,
    /// NOVALUES: show fields only.
    pub no_values: bool,
    /// SLOT: keys of this one only.
    pub slot: Option<u16>,
    pattern: Option<&'a [u8]>,
    type_name: Option<&'a [u8]>,
}

impl<'a> ScanOptions<'a> {
    /// Reads `[MATCH pattern] [COUNT count]`, and `[TYPE type]`, `[SLOT slot]` or `[NOVALUES]` where the walk knows it.
    pub fn parse(mut arguments: ArgCursor<'a>, over: Walk) -> Result<ScanOptions<'a>, CommandError> {
        let mut options = ScanOptions {
            count: COUNT_DEFAULT,
            no_values: false,
            slot: None,
            pattern: None,
            type_name: None,
        };
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
            } else if matches!(over, Walk::Keys | Walk::Slots) && has_value && arguments.word("TYPE") {
                let name = arguments.expect()?;
                if over == Walk::Slots && !Type::ALL.iter().any(|known| is_named(*known, name)) {
                    return Err(CommandError::quoting("ERR unknown type name '", name, "'"));
                }
                options.type_name = Some(name);
            } else if over == Walk::Slots && has_value && arguments.word("SLOT") {
                let numbered = swytch_decimal::parse_i64(arguments.expect()?).and_then(slot::numbered);
                let slot = numbered.ok_or(CommandError::text("ERR Invalid or out of range slot"))?;
                if options.slot.replace(slot).is_some() {
                    return Err(CommandError::text("ERR SLOT option can only be specified once"));
                }
            } else if arguments.word("NOVALUES") {
                options.no_values = over == Walk::Fields;
                if !options.no_values {
                    return Err(CommandError::text("ERR NOVALUES option can only be used in HSCAN"));
                }
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }

    /// True if a name fits the pattern.
    pub fn admits(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name, false))
    }

    /// The slot of all names that fit the pattern, where it says one.
    pub fn slot_of_pattern(&self) -> Option<u16> {
        self.pattern.and_then(slot::of_pattern)
    }

    /// True if keys of a type are wanted.
    pub fn admits_type(&self, data_type: Type) -> bool {
        self.type_name.is_none_or(|name| is_named(data_type, name))
    }
}

fn is_named(data_type: Type, name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(data_type.name().as_bytes())
}

/// Reads a cursor as Redis does: a canonical signed number must not be negative, and whatever else C's
/// `strtoull` takes for a number is one (white space and a sign before it, leading zeros).
pub fn parse_cursor(text: &[u8]) -> Result<u64, CommandError> {
    cursor_of(text).ok_or_else(|| CommandError::text("ERR invalid cursor"))
}

fn cursor_of(text: &[u8]) -> Option<u64> {
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

/// Buckets one call may look at for each entry that COUNT wants. A segment has fewer buckets than this, so a
/// database with fewer keys than COUNT, each perhaps in a shard of its own, is returned whole by one call.
const BUCKETS_PER_COUNT: usize = 64;

/// Buckets looked at before a shard's lock is given to others.
const BUCKETS_PER_LOCK: usize = 1024;

/// One step of a walk through the keys of a database: those found, and where the next step begins.
///
/// It visits shard after shard, holding one lock at a time and for a bounded number of buckets, until COUNT entries were
/// seen. What the table promises carries over (see `swytch_store::table`): a key that is there from the first step to the
/// last is reported at least once, however the table grows or shrinks.
pub fn step_over_keys(
    call: &Call<'_>,
    steps: &mut ShardSteps<'_>,
    mut cursor: Option<ScanCursor>,
    options: &ScanOptions<'_>,
    admits: impl Fn(&[u8]) -> bool,
) -> (Option<ScanCursor>, Vec<Vec<u8>>) {
    let (mut wanted, mut found) = (options.count, Vec::new());
    let mut buckets_left = options.count.saturating_mul(BUCKETS_PER_COUNT);
    while let Some(at) = cursor.filter(|_| wanted > 0 && buckets_left > 0) {
        steps.with_shard(at.shard, &mut |keyspace: &Keyspace<'_>| {
            let allowed = buckets_left.min(BUCKETS_PER_LOCK);
            let mut allowed_left = allowed;
            let admits = |key: &[u8]| options.admits(key) && admits(key);
            keyspace.leaving_strangers(leaves_strangers(call));
            cursor =
                keyspace.scan_shard(call.client.db, at, &mut wanted, &mut allowed_left, admits, |entry| {
                    if options.admits_type(entry.data_type()) {
                        found.push(entry.key().to_vec());
                    }
                });
            buckets_left -= allowed - allowed_left;
        });
    }
    (cursor, found)
}

/// Whether expired keys that a call comes across and does not name stay: `lazyexpire-nested-arbitrary-keys` of Redis, for
/// those who send the log on to a cluster, where all of a transaction has to lie in one slot.
pub fn leaves_strangers(call: &Call<'_>) -> bool {
    matches!(call.origin, Origin::Transaction | Origin::Script)
        && !call.server.config.lazyexpire_nested_arbitrary_keys()
}

/// Entries looked at under one lock by a walk through all.
const ENTRIES_PER_LOCK: usize = 512;

/// Walks through all keys of a database, a shard after the other, while `visit` wants more.
pub fn walk_keys(steps: &mut ShardSteps<'_>, db: u32, mut visit: impl FnMut(&EntryRef<'_>) -> bool) {
    let mut wants_more = true;
    let mut cursor = Some(ScanCursor { shard: 0, position: 0 });
    while let Some(at) = cursor.filter(|_| wants_more) {
        // Where a script keeps the shard, the command is answered so anyway.
        cursor = None;
        steps.with_shard(at.shard, &mut |keyspace| {
            let (mut entries, mut buckets) = (ENTRIES_PER_LOCK, ENTRIES_PER_LOCK);
            cursor = keyspace.scan_shard(
                db,
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

/// Answers with the cursor for the next step, 0 behind the last, and what this one has found.
pub fn reply_step(call: &mut Call<'_>, next: Option<impl ToString>, found: &[Vec<u8>]) {
    call.reply.array(2);
    call.reply.bulk(next.map_or_else(|| String::from("0"), |next| next.to_string()).as_bytes());
    call.reply.array(found.len());
    found.iter().for_each(|part| call.reply.bulk(part));
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
            assert_eq!(cursor_of(text.as_bytes()), number, "{text:?}");
        }
    }
}
