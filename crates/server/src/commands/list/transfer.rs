//! LMOVE, BLMOVE, RPOPLPUSH, BRPOPLPUSH: an element from one list to another.

use swytch_store::{KeyspaceMut, Side, Type};

use super::{ADDED_TO, SIDES, TAKEN_FROM};
use crate::command::KeySpec;
use crate::command::call::parse_side;
use crate::command::prelude::*;

const SOURCE: Arg = Arg::new("source", ArgKind::Key(0));
const DESTINATION: Arg = Arg::new("destination", ArgKind::Key(1));
const WHERE_FROM: Arg = Arg::one_of("wherefrom", SIDES);
const WHERE_TO: Arg = Arg::one_of("whereto", SIDES);

const TRANSFER: CommandSpec = CommandSpec {
    group: Group::List,
    complexity: "O(1)",
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::LIST,
    key_specs: &[KeySpec::one(1, TAKEN_FROM), KeySpec::one(2, ADDED_TO)],
    reply: ReplyShape::TEXT_OR_NULL,
    ..CommandSpec::DEFAULT
};

pub static LMOVE: CommandSpec = CommandSpec {
    name: "lmove",
    summary: "Moves an element from either end of a list to either end of another, or of the same, and returns it.",
    since: "6.2.0",
    arity: 5,
    arguments: &[SOURCE, DESTINATION, WHERE_FROM, WHERE_TO],
    handler: Handler::Write(|call, keyspace| {
        let (from_side, to_side) = sides(call)?;
        transfer(call, keyspace, from_side, to_side)
    }),
    ..TRANSFER
};

pub static RPOPLPUSH: CommandSpec = CommandSpec {
    name: "rpoplpush",
    summary: "Moves the last element of a list to the front of another and returns it.",
    since: "1.2.0",
    arity: 3,
    arguments: &[SOURCE, DESTINATION],
    deprecated: Some(("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments")),
    handler: Handler::Write(|call, keyspace| transfer(call, keyspace, Side::Tail, Side::Head)),
    ..TRANSFER
};

pub static BLMOVE: CommandSpec = CommandSpec {
    name: "blmove",
    summary: "Does what LMOVE does, and waits for an element when the source is empty.",
    since: "6.2.0",
    arity: 6,
    flags: TRANSFER.flags.union(Flags::BLOCKING),
    arguments: &[SOURCE, DESTINATION, WHERE_FROM, WHERE_TO, Arg::double("timeout")],
    reply: ReplyShape::OneOf(&[ReplyShape::Text, ReplyShape::Null, ReplyShape::NullArray]),
    handler: Handler::Write(|call, keyspace| {
        let (from_side, to_side) = sides(call)?;
        transfer_or_wait(call, keyspace, from_side, to_side, 5)
    }),
    ..TRANSFER
};

pub static BRPOPLPUSH: CommandSpec = CommandSpec {
    name: "brpoplpush",
    summary: "Does what RPOPLPUSH does, and waits for an element when the source is empty.",
    since: "2.2.0",
    arity: 4,
    flags: TRANSFER.flags.union(Flags::BLOCKING),
    arguments: &[SOURCE, DESTINATION, Arg::double("timeout")],
    history: &[("6.0.0", "The timeout may have a fraction.")],
    deprecated: Some(("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")),
    reply: ReplyShape::OneOf(&[ReplyShape::Text, ReplyShape::Null, ReplyShape::NullArray]),
    handler: Handler::Write(|call, keyspace| transfer_or_wait(call, keyspace, Side::Tail, Side::Head, 3)),
    ..TRANSFER
};

fn sides(call: &Call<'_>) -> Result<(Side, Side), crate::command::CommandError> {
    Ok((parse_side(call.args.get(3))?, parse_side(call.args.get(4))?))
}

fn transfer(
    call: &mut Call<'_>,
    keyspace: &mut KeyspaceMut<'_, '_>,
    from_side: Side,
    to_side: Side,
) -> CommandResult {
    let moved = keyspace.move_element(&call.key(1), &call.key(2), from_side, to_side)?;
    call.reply.bulk_or_null(moved.as_deref());
    Ok(())
}

fn transfer_or_wait(
    call: &mut Call<'_>,
    keyspace: &mut KeyspaceMut<'_, '_>,
    from_side: Side,
    to_side: Side,
    timeout_at: usize,
) -> CommandResult {
    let deadline = call.deadline(call.args.get(timeout_at))?;
    match keyspace.move_element(&call.key(1), &call.key(2), from_side, to_side)? {
        Some(element) => call.reply.bulk(&element),
        None if call.origin.may_block() => call.wait_for(vec![1], Type::List, deadline),
        None => call.reply.null(),
    }
    Ok(())
}
