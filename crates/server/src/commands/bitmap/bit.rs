//! GETBIT, SETBIT

use swytch_store::{Event, Keyspace, KeyspaceMut};

use super::bit_offset;
use crate::command::KeySpec;
use crate::command::prelude::*;

pub static GETBIT: CommandSpec = CommandSpec {
    name: "getbit",
    summary: "Tells whether the bit at an offset of a string is set; bits past its end are 0.",
    since: "2.2.0",
    group: Group::Bitmap,
    arity: 3,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::BITMAP,
    key_specs: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    arguments: &[Arg::key("key"), Arg::integer("offset")],
    reply: ReplyShape::Flag,
    handler: Handler::Read(getbit),
    ..CommandSpec::DEFAULT
};

pub static SETBIT: CommandSpec = CommandSpec {
    name: "setbit",
    summary: "Sets or clears the bit at an offset of a string, which grows with zeros to reach it, and returns the bit it replaced.",
    since: "2.2.0",
    group: Group::Bitmap,
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::BITMAP,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
    arguments: &[Arg::key("key"), Arg::integer("offset"), Arg::integer("value")],
    reply: ReplyShape::Flag,
    handler: Handler::Write(setbit),
    ..CommandSpec::DEFAULT
};

fn getbit(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let offset = bit_offset(call, call.args.get(2), None)?;
    let byte = match keyspace.string(&call.key(1))? {
        Some(text) => text.get((offset >> 3) as usize).copied().unwrap_or(0),
        None => 0,
    };
    call.reply.integer(i64::from(byte >> (7 - (offset & 7)) & 1));
    Ok(())
}

fn setbit(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let offset = bit_offset(call, call.args.get(2), None)?;
    let bit = match call.args.get(3) {
        b"0" => 0,
        b"1" => 1,
        _ => return Err(CommandError::text("ERR bit is not an integer or out of range")),
    };
    let (at, shift) = ((offset >> 3) as usize, 7 - (offset & 7));
    let old = keyspace.edit_string(&call.key(1), at + 1, Event::string("setbit"), |string| {
        let byte = string.bytes()[at];
        string.write(at, &[byte & !(1 << shift) | bit << shift]);
        byte >> shift & 1
    })?;
    call.reply.integer(i64::from(old));
    Ok(())
}
