//! BITPOS

use swytch_store::Keyspace;

use super::range::{BitRange, UNIT, Unit};
use crate::command::KeySpec;
use crate::command::prelude::*;

pub static BITPOS: CommandSpec = CommandSpec {
    name: "bitpos",
    summary: "Finds the first bit that is set, or the first that is clear, in a string or a range of it.",
    since: "2.8.7",
    group: Group::Bitmap,
    complexity: "O(N)",
    arity: -3,
    flags: Flags::READONLY,
    categories: Categories::BITMAP,
    key_specs: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    arguments: &[
        Arg::key("key"),
        Arg::integer("bit"),
        Arg::block(
            "range",
            &[Arg::integer("start"), Arg::block("end-unit-block", &[Arg::integer("end"), UNIT]).optional()],
        )
        .optional(),
    ],
    history: &[("7.0.0", "BYTE or BIT says what `start` and `end` count.")],
    reply: ReplyShape::Integer,
    handler: Handler::Read(bitpos),
    ..CommandSpec::DEFAULT
};

fn bitpos(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let bit = match call.args.integer(2)? {
        0 => false,
        1 => true,
        _ => return Err(CommandError::text("ERR The bit argument must be 1 or 0.")),
    };
    let options = Options::parse(call)?;
    let position = match keyspace.string(&call.key(1))? {
        // An absent key is an endless row of zeros.
        None => (!bit).then_some(0),
        Some(text) => options.find(&text, bit),
    };
    call.reply.integer(position.map_or(-1, |position| position as i64));
    Ok(())
}

struct Options {
    start: i64,
    end: Option<i64>,
    unit: Unit,
}

impl Options {
    /// In Redis's order, which decides which of several errors is answered: the unit before the end.
    fn parse(call: &Call<'_>) -> Result<Options, CommandError> {
        let count = call.args.len();
        if count > 6 {
            return Err(CommandError::Syntax);
        }
        let start = if count > 3 { call.args.integer(3)? } else { 0 };
        let unit = Unit::parse(&mut call.args.cursor(5))?;
        let end = if count > 4 { Some(call.args.integer(4)?) } else { None };
        Ok(Options { start, end, unit })
    }

    fn find(&self, bytes: &[u8], bit: bool) -> Option<u64> {
        let range = BitRange::to_search(bytes, self.start, self.end.unwrap_or(-1), self.unit)?;
        let found = range.find(bytes, bit);
        // Without an end the string goes on with zeros.
        let behind = (!bit && self.end.is_none()).then_some(bytes.len() as u64 * 8);
        found.or(behind)
    }
}
