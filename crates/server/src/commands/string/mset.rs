//! MGET, MSET, MSETNX

use swytch_store::{Expiry, Keyspace, KeyspaceMut, Value};

use super::{reply_raw, set_argument};
use crate::command::KeySpec;
use crate::command::prelude::*;

pub static MGET: CommandSpec = CommandSpec {
    name: "mget",
    summary: "Returns the strings in several keys as of one moment; null for each that is absent or holds another type.",
    since: "1.0.0",
    group: Group::String,
    complexity: "O(N) for N keys.",
    arity: -2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::STRING,
    key_specs: &[KeySpec::range(1, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    arguments: &[Arg::key("key").multiple()],
    tips: &["request_policy:multi_shard"],
    reply: ReplyShape::List(&ReplyShape::TEXT_OR_NULL),
    handler: Handler::Read(mget),
    ..CommandSpec::DEFAULT
};

const PAIRS: CommandSpec = CommandSpec {
    since: "1.0.1",
    group: Group::String,
    complexity: "O(N) for N keys.",
    arity: -3,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::STRING,
    arguments: &[Arg::block("data", &[Arg::key("key"), Arg::string("value")]).multiple()],
    ..CommandSpec::DEFAULT
};

pub static MSET: CommandSpec = CommandSpec {
    name: "mset",
    summary: "Sets several keys to strings in one atomic step, whatever they held.",
    key_specs: &[KeySpec::range(1, -1, 2, KeyFlags::OW.union(KeyFlags::UPDATE))],
    tips: &["request_policy:multi_shard", "response_policy:all_succeeded"],
    reply: ReplyShape::OK,
    handler: Handler::Write(mset),
    ..PAIRS
};

pub static MSETNX: CommandSpec = CommandSpec {
    name: "msetnx",
    summary: "Sets several keys to strings, but only if none of them exists; either all are set or none.",
    key_specs: &[KeySpec::range(1, -1, 2, KeyFlags::OW.union(KeyFlags::INSERT))],
    reply: ReplyShape::Flag,
    handler: Handler::Write(msetnx),
    ..PAIRS
};

fn mget(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    call.reply.array(call.args.len() - 1);
    for index in 1..call.args.len() {
        match keyspace.value(&call.key(index)) {
            Some(Value::Bytes(bytes)) => call.reply.bulk(bytes),
            Some(Value::Raw(raw)) => reply_raw(call, raw),
            Some(Value::Integer(number)) => call.reply.bulk_integer(number),
            _ => call.reply.null(),
        }
    }
    Ok(())
}

fn check_pairs(call: &Call<'_>) -> CommandResult {
    if call.args.len().is_multiple_of(2) {
        return Err(CommandError::wrong_arity(&call.command.full_name));
    }
    Ok(())
}

fn set_all(call: &Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) {
    for index in (1..call.args.len()).step_by(2) {
        set_argument(call, keyspace, &call.key(index), index + 1, Expiry::Clear);
    }
}

fn mset(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    check_pairs(call)?;
    set_all(call, keyspace);
    call.reply.ok();
    Ok(())
}

fn msetnx(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    check_pairs(call)?;
    let taken = (1..call.args.len()).step_by(2).any(|index| keyspace.peek(&call.key(index)).is_some());
    if !taken {
        set_all(call, keyspace);
    }
    call.reply.integer(i64::from(!taken));
    Ok(())
}
