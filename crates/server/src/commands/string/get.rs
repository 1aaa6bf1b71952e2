//! GET

use swytch_store::{Keyspace, Value};

use crate::commands::{
    Arg, Call, Categories, CommandError, CommandResult, CommandSpec, Flags, Group, Handler, KeyFlags, KeySpec,
};

pub static GET: CommandSpec = CommandSpec {
    name: "get",
    summary: "Returns the string value of a key.",
    since: "1.0.0",
    group: Group::String,
    arity: 2,
    flags: Flags::READONLY.union(Flags::FAST),
    categories: Categories::STRING,
    key_specs: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    arguments: &[Arg::key("key")],
    handler: Handler::Read(get),
    ..CommandSpec::DEFAULT
};

fn get(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    match keyspace.value(&call.key(1)) {
        None => call.reply.null(),
        Some(Value::Bytes(bytes)) => call.reply.bulk(bytes),
        Some(Value::Integer(number)) => call.reply.bulk_integer(number),
        Some(_) => return Err(CommandError::WrongType),
    }
    Ok(())
}
