//! APPEND, SETRANGE, GETRANGE, SUBSTR, STRLEN

use std::ops::Range;

use swytch_store::{Event, Keyspace, KeyspaceMut, range};

use super::reply_text;
use crate::command::KeySpec;
use crate::command::prelude::*;

pub static APPEND: CommandSpec = CommandSpec {
    name: "append",
    summary: "Adds text to the end of a string, creating it when the key is absent, and returns the new length.",
    since: "2.0.0",
    group: Group::String,
    complexity: "O(N) for N bytes of text; the string's memory grows ahead of it, so what it holds is seldom copied.",
    arity: 3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::STRING,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::INSERT))],
    arguments: &[Arg::key("key"), Arg::string("value")],
    reply: ReplyShape::Count,
    handler: Handler::Write(append),
    ..CommandSpec::DEFAULT
};

pub static SETRANGE: CommandSpec = CommandSpec {
    name: "setrange",
    summary: "Writes over part of a string from an offset on; the string grows with zero bytes to reach the offset.",
    since: "2.2.0",
    group: Group::String,
    complexity: "O(N) for N bytes written, zeros up to the offset included.",
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::STRING,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    arguments: &[Arg::key("key"), Arg::integer("offset"), Arg::string("value")],
    reply: ReplyShape::Count,
    handler: Handler::Write(setrange),
    ..CommandSpec::DEFAULT
};

pub static GETRANGE: CommandSpec = CommandSpec {
    name: "getrange",
    summary: "Returns the bytes of a string between two positions; negative ones count from its end.",
    since: "2.4.0",
    group: Group::String,
    complexity: "O(N) for N bytes returned.",
    arity: 4,
    flags: Flags::READONLY,
    categories: Categories::STRING,
    key_specs: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    arguments: &[Arg::key("key"), Arg::integer("start"), Arg::integer("end")],
    reply: ReplyShape::Text,
    handler: Handler::Read(getrange),
    ..CommandSpec::DEFAULT
};

pub static SUBSTR: CommandSpec = CommandSpec {
    name: "substr",
    summary: "Does what GETRANGE does, under its name of before 2.0.",
    since: "1.0.0",
    deprecated: Some(("2.0.0", "`GETRANGE`")),
    ..GETRANGE
};

pub static STRLEN: CommandSpec = CommandSpec {
    name: "strlen",
    summary: "Tells how many bytes a string has; 0 when the key is absent.",
    since: "2.2.0",
    group: Group::String,
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::STRING,
    key_specs: &[KeySpec::one(1, KeyFlags::RO)],
    arguments: &[Arg::key("key")],
    reply: ReplyShape::Count,
    handler: Handler::Read(strlen),
    ..CommandSpec::DEFAULT
};

fn append(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let len = keyspace.append(&call.key(1), call.args.get(2), call.string_bytes_max())?;
    call.reply.count(len);
    Ok(())
}

fn setrange(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let (key, value) = (call.key(1), call.args.get(3));
    let Ok(offset) = u64::try_from(call.args.integer(2)?) else {
        return Err(CommandError::text("ERR offset is out of range"));
    };
    // Nothing written makes no key and no string longer, wherever the offset is.
    let len = if value.is_empty() {
        keyspace.string_len(&key)?.unwrap_or(0)
    } else {
        keyspace.set_range(&key, offset, value, call.string_bytes_max(), Event::string("setrange"))?
    };
    call.reply.count(len);
    Ok(())
}

fn getrange(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let (start, end) = (call.args.integer(2)?, call.args.integer(3)?);
    match keyspace.string(&call.key(1))? {
        Some(text) => reply_text(call, &text, part(text.len(), start, end)),
        None => call.reply.bulk(b""),
    }
    Ok(())
}

fn strlen(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let len = keyspace.string(&call.key(1))?.map_or(0, |text| text.len());
    call.reply.count(len);
    Ok(())
}

/// The bytes from `start` to `end`, both included; negative ones count from the end of the text.
fn part(len: usize, start: i64, end: i64) -> Range<usize> {
    range::of_text(len as u64, start, end).map_or(0..0, |(start, end)| start as usize..end as usize + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_cut_to_the_text() {
        for (start, end, expect) in [
            (0, 3, "This"),
            (0, -1, "This is"),
            (-3, -1, " is"),
            (5, 3, ""),
            (5, 100, "is"),
            (-100, 100, "This is"),
            (-100, -99, "T"),
            (-99, -100, ""),
            (7, 9, ""),
            (i64::MIN, i64::MAX, "This is"),
            (i64::MAX, i64::MIN, ""),
        ] {
            assert_eq!(&"This is"[part(7, start, end)], expect, "{start} {end}");
        }
        assert_eq!(part(0, 0, -1), 0..0);
    }
}
