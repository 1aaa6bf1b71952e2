//! HINCRBY, HINCRBYFLOAT

use swytch_decimal::Extended;
use swytch_store::{Absent, Elements, Event, IncrementError, KeyspaceMut};

use super::change;
use crate::command::KeySpec;
use crate::command::prelude::*;

const INCREMENT: CommandSpec = CommandSpec {
    group: Group::Hash,
    complexity: "O(1)",
    arity: 4,
    flags: Flags::WRITE.union(Flags::DENYOOM).union(Flags::FAST),
    categories: Categories::HASH,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::UPDATE))],
    ..CommandSpec::DEFAULT
};

pub static HINCRBY: CommandSpec = CommandSpec {
    name: "hincrby",
    summary: "Adds a number to the integer in a field and returns the sum; an absent field counts as 0.",
    since: "2.0.0",
    member: Some(2),
    arguments: &[Arg::key("key"), Arg::string("field"), Arg::integer("increment")],
    reply: ReplyShape::Integer,
    handler: Handler::Write(hincrby),
    ..INCREMENT
};

pub static HINCRBYFLOAT: CommandSpec = CommandSpec {
    name: "hincrbyfloat",
    summary: "Adds a decimal number to the one in a field and returns the sum; an absent field counts as 0.",
    since: "2.6.0",
    member: Some(2),
    arguments: &[Arg::key("key"), Arg::string("field"), Arg::double("increment")],
    reply: ReplyShape::Text,
    handler: Handler::Write(hincrbyfloat),
    ..INCREMENT
};

fn hincrby(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let (field, delta) = (call.args.get(2), call.args.integer(3)?);
    let fields = Elements::One(field);
    let sum = change(call, keyspace, Absent::Create, fields, |hash| hash.increment(field, delta))?
        .expect("where there is no hash one is made");
    let sum = sum.map_err(|error| match error {
        IncrementError::NotAnInteger => CommandError::text("ERR hash value is not an integer"),
        other => other.into(),
    })?;
    call.reply.integer(sum);
    Ok(())
}

/// The effect is the sum, as INCRBYFLOAT's is.
fn hincrbyfloat(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let (field, increment) = (call.args.get(2), call.args.get(3));
    let increment = Extended::parse(increment).ok_or(CommandError::NotAFloat)?;
    if !increment.is_finite() {
        return Err(CommandError::text("ERR value is NaN or Infinity"));
    }
    let sum = change(call, keyspace, Absent::Create, Elements::One(field), |hash| {
        let number = match hash.find(field) {
            Some(field) => Extended::parse(field.value)
                .ok_or_else(|| CommandError::text("ERR hash value is not a float"))?,
            None => Extended::ZERO,
        };
        let sum = (number + increment)
            .format()
            .ok_or_else(|| CommandError::text("ERR increment would produce NaN or Infinity"))?;
        hash.set_for(&[[field, sum.as_bytes()]], true, Event::hash("hincrbyfloat"));
        Ok::<_, CommandError>(sum)
    })?;
    let sum = sum.expect("where there is no hash one is made")?;
    call.reply.bulk(sum.as_bytes());
    Ok(())
}
