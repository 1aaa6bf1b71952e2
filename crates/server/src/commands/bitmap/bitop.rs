//! BITOP

use std::ops::Deref;

use swytch_store::{Event, Expiry, KeyspaceMut, Text};

use crate::command::KeySpec;
use crate::command::prelude::*;

pub static BITOP: CommandSpec = CommandSpec {
    name: "bitop",
    summary: "Combines strings bit by bit with AND, OR, XOR, NOT and their relatives, and stores the outcome in a key.",
    since: "2.6.0",
    group: Group::Bitmap,
    complexity: "O(N)",
    arity: -4,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::BITMAP,
    key_specs: &[
        KeySpec::one(2, KeyFlags::OW.union(KeyFlags::UPDATE)),
        KeySpec::range(3, -1, 1, KeyFlags::RO.union(KeyFlags::ACCESS)),
    ],
    arguments: &[
        Arg::one_of(
            "operation",
            &[
                Arg::flag("and", "AND"),
                Arg::flag("or", "OR"),
                Arg::flag("xor", "XOR"),
                Arg::flag("not", "NOT"),
            ],
        ),
        Arg::key("destkey"),
        Arg::new("key", crate::command::ArgKind::Key(1)).multiple(),
    ],
    reply: ReplyShape::Count,
    handler: Handler::Write(bitop),
    ..CommandSpec::DEFAULT
};

/// Bytes of the result that are made at a time, from all sources, so that they stay in the cache.
const BLOCK_BYTES: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

fn bitop(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let mut arguments = call.args.cursor(1);
    let operations =
        [("AND", Operation::And), ("OR", Operation::Or), ("XOR", Operation::Xor), ("NOT", Operation::Not)];
    let (_, operation) =
        operations.into_iter().find(|(word, _)| arguments.word(word)).ok_or(CommandError::Syntax)?;
    if operation == Operation::Not && call.args.len() != 4 {
        return Err(CommandError::text("ERR BITOP NOT must be called with a single source key."));
    }
    let mut sources = Vec::with_capacity(call.args.len() - 3);
    for index in 3..call.args.len() {
        sources.push(keyspace.string(&call.key(index))?);
    }
    let result = combine(operation, &sources);
    let (key, len) = (call.key(2), result.len());
    if len == 0 {
        keyspace.delete(&key);
    } else {
        keyspace.set_long(&key, &result.into(), Expiry::Clear, Event::string("set"));
    }
    call.reply.count(len);
    Ok(())
}

/// The operation on all sources, each followed by zeros up to the longest; an absent one is empty.
fn combine(operation: Operation, sources: &[Option<Text<'_>>]) -> Vec<u8> {
    let sources: Vec<&[u8]> =
        sources.iter().map(|text| text.as_ref().map_or(&[][..], Deref::deref)).collect();
    let len = sources.iter().map(|source| source.len()).max().unwrap_or(0);
    let mut result = Vec::with_capacity(len);
    while result.len() < len {
        let start = result.len();
        let end = len.min(start + BLOCK_BYTES);
        result.extend_from_slice(part(sources[0], start, end));
        result.resize(end, 0);
        let block = &mut result[start..];
        if operation == Operation::Not {
            block.iter_mut().for_each(|byte| *byte = !*byte);
        }
        for source in &sources[1..] {
            apply(operation, block, part(source, start, end));
        }
    }
    result
}

/// The bytes of a source between two positions, as far as it goes.
fn part(source: &[u8], start: usize, end: usize) -> &[u8] {
    &source[start.min(source.len())..end.min(source.len())]
}

fn apply(operation: Operation, block: &mut [u8], source: &[u8]) {
    let (common, rest) = block.split_at_mut(source.len());
    let pairs = common.iter_mut().zip(source);
    // One plain loop each, which the compiler turns into vector instructions.
    match operation {
        Operation::And => {
            pairs.for_each(|(byte, other)| *byte &= other);
            rest.fill(0);
        }
        Operation::Or => pairs.for_each(|(byte, other)| *byte |= other),
        Operation::Xor => pairs.for_each(|(byte, other)| *byte ^= other),
        Operation::Not => {}
    }
}

#[cfg(test)]
mod tests {
    use swytch_testkit::Random;

    use super::*;

    fn bytes(len: usize, seed: u64) -> Vec<u8> {
        let mut random = Random::new(seed);
        (0..len).map(|_| random.next() as u8).collect()
    }

    #[test]
    fn blocks_and_short_sources_agree_with_byte_by_byte() {
        for lens in [[5, 3, 9], [0, 70_000, 20_000], [16_384, 16_385, 32_768], [40_000, 1, 0]] {
            let sources: Vec<Vec<u8>> = lens.iter().zip(1..).map(|(len, seed)| bytes(*len, seed)).collect();
            let texts: Vec<_> = sources.iter().map(|source| Some(Text::Borrowed(source))).collect();
            let byte = |source: &Vec<u8>, at: usize| source.get(at).copied().unwrap_or(0);
            for (operation, apply) in [
                (Operation::And, (|a, b| a & b) as fn(u8, u8) -> u8),
                (Operation::Or, |a, b| a | b),
                (Operation::Xor, |a, b| a ^ b),
            ] {
                let len = lens.into_iter().max().unwrap_or(0);
                let expect: Vec<u8> = (0..len)
                    .map(|at| {
                        apply(apply(byte(&sources[0], at), byte(&sources[1], at)), byte(&sources[2], at))
                    })
                    .collect();
                assert!(combine(operation, &texts) == expect, "{operation:?} {lens:?}");
            }
            let inverted: Vec<u8> = sources[1].iter().map(|byte| !byte).collect();
            assert!(combine(Operation::Not, &texts[1..2]) == inverted, "{lens:?}");
        }
    }
}
