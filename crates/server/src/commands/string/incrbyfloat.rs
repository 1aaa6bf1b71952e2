//! INCRBYFLOAT
//!
//! Redis computes in the 80-bit numbers of x86 processors, so that 0.1 and 0.2 make 0.3; `Extended` is these
//! numbers in software, with the same results on every platform. The effect is the result itself.

use swytch_decimal::Extended;
use swytch_store::{Event, KeyspaceMut, Text};

use crate::command::KeySpec;
use crate::command::prelude::*;

pub static INCRBYFLOAT: CommandSpec = CommandSpec {
    name: "incrbyfloat",
    summary: "Adds a decimal number to the one in a key and returns the sum; an absent key counts as 0.",
    since: "2.6.0",
    group: Group::String,
    arity: 3,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::STRING,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
    arguments: &[Arg::key("key"), Arg::double("increment")],
    reply: ReplyShape::Text,
    handler: Handler::Write(incrbyfloat),
    ..CommandSpec::DEFAULT
};

fn incrbyfloat(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let key = call.key(1);
    let value = match keyspace.live_entry(&key) {
        Some(entry) => {
            let text = Text::of(entry.value()).ok_or(CommandError::WrongType)?;
            Extended::parse(&text).ok_or(CommandError::NotAFloat)?
        }
        None => Extended::ZERO,
    };
    let increment = Extended::parse(call.args.get(2)).ok_or(CommandError::NotAFloat)?;
    let sum = (value + increment)
        .format()
        .ok_or_else(|| CommandError::text("ERR increment would produce NaN or Infinity"))?;
    keyspace.set_text(&key, sum.as_bytes(), Event::string("incrbyfloat"));
    call.reply.bulk(sum.as_bytes());
    Ok(())
}
