//! BITCOUNT

use swytch_store::Keyspace;

use super::range::{BitRange, UNIT, Unit};
use crate::command::KeySpec;
use crate::command::prelude::*;

pub static BITCOUNT: CommandSpec = CommandSpec {
    name: "bitcount",
    summary: "Counts the bits that are set in a string, or in a range of its bytes or bits.",
    since: "2.6.0",
    group: Group::Bitmap,
    complexity: "O(N)",
    arity: -2,
    flags: Flags::READONLY,
    categories: Categories::BITMAP,
    key_specs: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    arguments: &[
        Arg::key("key"),
        Arg::block("range", &[Arg::integer("start"), Arg::integer("end"), UNIT]).optional(),
    ],
    history: &[("7.0.0", "BYTE or BIT says what `start` and `end` count.")],
    reply: ReplyShape::Count,
    handler: Handler::Read(bitcount),
    ..CommandSpec::DEFAULT
};

fn bitcount(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let between = match call.args.len() {
        2 => None,
        4 | 5 => {
            let (start, end) = (call.args.integer(2)?, call.args.integer(3)?);
            Some((start, end, Unit::parse(&mut call.args.cursor(4))?))
        }
        _ => return Err(CommandError::Syntax),
    };
    let count = keyspace.string(&call.key(1))?.map_or(0, |text| {
        let range = match between {
            Some((start, end, unit)) => BitRange::to_count(&text, start, end, unit),
            None => BitRange::all(&text),
        };
        range.map_or(0, |range| range.count_ones(&text))
    });
    call.reply.integer(count as i64);
    Ok(())
}
