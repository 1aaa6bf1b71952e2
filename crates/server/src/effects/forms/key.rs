//! Ops on values of any type.

use swytch_store::{KeyOp, Part, Text, Type, UnixMs, Value};

use super::Commands;

/// The commands of an op.
pub(super) fn form(commands: &mut Commands<'_>, key: &[u8], op: KeyOp<'_>) {
    match op {
        KeyOp::Delete => commands.push(&[b"DEL", key]),
        KeyOp::ExpireAt { at_ms } => commands.push_number(b"PEXPIREAT", key, at_ms as i64, &[]),
        KeyOp::Persist => commands.push(&[b"PERSIST", key]),
        KeyOp::Replace { value, expire_at_ms } => {
            commands.push(&[b"DEL", key]);
            if let Some(value) = value {
                rebuild(commands, key, value, expire_at_ms);
            }
        }
    }
}

/// The commands that make a key where there is none.
pub(super) fn rebuild(
    commands: &mut Commands<'_>,
    key: &[u8],
    value: Value<'_>,
    expire_at_ms: Option<UnixMs>,
) {
    make_value(commands, key, value);
    if let Some(at_ms) = expire_at_ms {
        commands.push_number(b"PEXPIREAT", key, at_ms as i64, &[]);
    }
}

fn make_value(commands: &mut Commands<'_>, key: &[u8], value: Value<'_>) {
    if let Some(text) = Text::of(value) {
        return commands.push(&[b"SET", key, &text]);
    }
    if let (Type::Stream, Value::Collection(stream)) = (value.data_type(), value)
        && stream.is_empty()
    {
        super::stream::create(commands, key);
    }
    value.content(&mut |part| match part {
        Part::Element(element) => commands.push(&[b"RPUSH", key, element]),
        Part::Member(member) => commands.push(&[b"SADD", key, member]),
        Part::Field { field, value, expire_at_ms } => {
            commands.push(&[b"HSET", key, field, value]);
            if let Some(at_ms) = expire_at_ms {
                let at_ms = at_ms.to_string();
                commands.push(&[b"HPEXPIREAT", key, at_ms.as_bytes(), b"FIELDS", b"1", field]);
            }
        }
        Part::Scored { member, score } => {
            commands.push(&[b"ZADD", key, swytch_decimal::format_double(score).as_bytes(), member]);
        }
        Part::Stream(part) => super::stream::part(commands, key, part),
    });
}
