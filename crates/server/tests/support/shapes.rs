//! Our server with its replies checked: each must have the shape that the command's declaration promises.

#![allow(dead_code, unreachable_pub, reason = "each test file includes this and uses another part")]

use std::sync::OnceLock;

use swytch::command::{CommandTable, ReplyShape};
use swytch_testkit::{Program, Reply};

/// Our server, as the tests of its crate have built it.
pub fn ours() -> Program {
    swytch_testkit::ours!().judged(judge)
}

/// What is wrong with a reply to a command.
fn judge(words: &[Vec<u8>], protocol: u8, reply: &Reply) -> Result<(), String> {
    static TABLE: OnceLock<&'static CommandTable> = OnceLock::new();
    let table =
        TABLE.get_or_init(|| CommandTable::new(swytch::commands::SPECS, &[]).expect("names are unique"));
    // A command that was renamed is not in this table.
    let Some(command) = words.first().and_then(|name| table.find(name)) else { return Ok(()) };
    let spec = words.get(1).and_then(|name| command.subcommand(name)).unwrap_or(command).spec;
    if fits(&spec.reply, protocol, reply) {
        return Ok(());
    }
    Err(format!("the shape is {:?}", spec.reply))
}

/// Whether a reply has a shape.
pub fn fits(shape: &ReplyShape, protocol: u8, reply: &Reply) -> bool {
    let all = |shape, parts: &[Reply]| parts.iter().all(|part| fits(shape, protocol, part));
    match (shape, reply) {
        (ReplyShape::Any, _) | (ReplyShape::Line, Reply::Simple(_)) => true,
        (ReplyShape::OneOf(shapes), _) => shapes.iter().any(|shape| fits(shape, protocol, reply)),
        (ReplyShape::Word(words), Reply::Simple(word)) => words.contains(&word.as_str()),
        (ReplyShape::Integer, Reply::Integer(_)) | (ReplyShape::Text, Reply::Bulk(_)) => true,
        (ReplyShape::Count, Reply::Integer(number)) => *number >= 0,
        (ReplyShape::Flag, Reply::Integer(number)) => matches!(number, 0 | 1),
        (ReplyShape::Double, Reply::Bulk(_)) => protocol == 2,
        (ReplyShape::Double, Reply::Double(_)) => protocol == 3,
        (ReplyShape::Report, Reply::Bulk(_)) => protocol == 2,
        (ReplyShape::Report, Reply::Verbatim(_)) => protocol == 3,
        (ReplyShape::Null, Reply::Null) => true,
        (ReplyShape::NullArray, Reply::NullArray) => protocol == 2,
        (ReplyShape::NullArray, Reply::Null) => protocol == 3,
        (ReplyShape::List(shape), Reply::Array(parts)) => all(shape, parts),
        (ReplyShape::Tuple(shapes), Reply::Array(parts)) => {
            shapes.len() == parts.len()
                && shapes.iter().zip(parts).all(|(shape, part)| fits(shape, protocol, part))
        }
        (ReplyShape::Set(shape), Reply::Set(parts)) => protocol == 3 && all(shape, parts),
        (ReplyShape::Set(shape), Reply::Array(parts)) => protocol == 2 && all(shape, parts),
        (ReplyShape::Pairs(one, other), Reply::Array(parts)) if protocol == 3 => {
            let is_pair = |part: &Reply| match part {
                Reply::Array(pair) => {
                    pair.len() == 2 && fits(one, protocol, &pair[0]) && fits(other, protocol, &pair[1])
                }
                _ => false,
            };
            parts.iter().all(is_pair)
        }
        (ReplyShape::Pairs(one, other), Reply::Array(parts)) => {
            parts.len().is_multiple_of(2)
                && parts
                    .chunks(2)
                    .all(|pair| fits(one, protocol, &pair[0]) && fits(other, protocol, &pair[1]))
        }
        (ReplyShape::Map(key, value), Reply::Map(parts) | Reply::Array(parts)) => {
            matches!(reply, Reply::Map(_)) == (protocol == 3)
                && parts.len().is_multiple_of(2)
                && parts
                    .chunks(2)
                    .all(|pair| fits(key, protocol, &pair[0]) && fits(value, protocol, &pair[1]))
        }
        _ => false,
    }
}
