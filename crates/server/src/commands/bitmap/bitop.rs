//! BITOP

use std::ops::Deref;

use swytch_store::{Event, Expiry, KeyspaceMut, Overwriting, Text};

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
                Arg::flag("diff", "DIFF").since("8.2.0"),
                Arg::flag("diff1", "DIFF1").since("8.2.0"),
                Arg::flag("andor", "ANDOR").since("8.2.0"),
                Arg::flag("one", "ONE").since("8.2.0"),
            ],
        ),
        Arg::key("destkey"),
        Arg::new("key", crate::command::ArgKind::Key(1)).multiple(),
    ],
    history: &[("8.2.0", "DIFF, DIFF1, ANDOR and ONE.")],
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
    /// In the first source and in no other.
    Diff,
    /// In another source and not in the first.
    Diff1,
    /// In the first source and in another.
    AndOr,
    /// In one source and no more.
    One,
}

impl Operation {
    const ALL: [(&str, Operation); 8] = [
        ("AND", Operation::And),
        ("OR", Operation::Or),
        ("XOR", Operation::Xor),
        ("NOT", Operation::Not),
        ("DIFF", Operation::Diff),
        ("DIFF1", Operation::Diff1),
        ("ANDOR", Operation::AndOr),
        ("ONE", Operation::One),
    ];

    /// What is wrong with a number of sources.
    fn misuse(self, sources: usize) -> Option<&'static str> {
        match self {
            Operation::Not if sources != 1 => Some("ERR BITOP NOT must be called with a single source key."),
            Operation::Diff if sources < 2 => {
                Some("ERR BITOP DIFF must be called with at least two source keys.")
            }
            Operation::Diff1 if sources < 2 => {
                Some("ERR BITOP DIFF1 must be called with at least two source keys.")
            }
            Operation::AndOr if sources < 2 => {
                Some("ERR BITOP ANDOR must be called with at least two source keys.")
            }
            _ => None,
        }
    }
}

fn bitop(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let mut arguments = call.args.cursor(1);
    let (_, operation) =
        Operation::ALL.into_iter().find(|(word, _)| arguments.word(word)).ok_or(CommandError::Syntax)?;
    if let Some(misuse) = operation.misuse(call.args.len() - 3) {
        return Err(CommandError::text(misuse));
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
        let event = Event::string("set").overwriting(Overwriting::ToldBefore);
        keyspace.set_long(&key, &result.into(), Expiry::Clear, event);
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
    // What a block of the other sources comes to where they are not folded into the first one's.
    let mut aside = Vec::new();
    while result.len() < len {
        let start = result.len();
        let end = len.min(start + BLOCK_BYTES);
        result.extend_from_slice(part(sources[0], start, end));
        result.resize(end, 0);
        let block = &mut result[start..];
        aside.clear();
        aside.resize(block.len(), 0);
        for source in &sources[1..] {
            apply(operation, block, &mut aside, part(source, start, end));
        }
        finish(operation, block, &aside);
    }
    result
}

/// The bytes of a source between two positions, as far as it goes.
fn part(source: &[u8], start: usize, end: usize) -> &[u8] {
    &source[start.min(source.len())..end.min(source.len())]
}

/// Takes another source's block into the first one's, or into what is kept aside: all bits that any other source has
/// (`DIFF`, `DIFF1`, `ANDOR`), or that more than one has (`ONE`).
fn apply(operation: Operation, block: &mut [u8], aside: &mut [u8], source: &[u8]) {
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
        Operation::Diff | Operation::Diff1 | Operation::AndOr => {
            aside.iter_mut().zip(source).for_each(|(byte, other)| *byte |= other);
        }
        Operation::One => pairs.zip(aside).for_each(|((byte, other), more)| {
            *more |= *byte & other;
            *byte |= other;
        }),
        Operation::Not => {}
    }
}

/// The result, from the first source's block with the others taken into it and what was kept aside.
fn finish(operation: Operation, block: &mut [u8], aside: &[u8]) {
    let pairs = block.iter_mut().zip(aside);
    match operation {
        Operation::And | Operation::Or | Operation::Xor => {}
        Operation::Not => block.iter_mut().for_each(|byte| *byte = !*byte),
        Operation::Diff | Operation::One => pairs.for_each(|(byte, aside)| *byte &= !aside),
        Operation::Diff1 => pairs.for_each(|(byte, aside)| *byte = aside & !*byte),
        Operation::AndOr => pairs.for_each(|(byte, aside)| *byte &= aside),
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
            let byte = |source: usize, at: usize| sources[source].get(at).copied().unwrap_or(0);
            type Of = fn(u8, u8, u8) -> u8;
            for (operation, of) in [
                (Operation::And, (|a, b, c| a & b & c) as Of),
                (Operation::Or, |a, b, c| a | b | c),
                (Operation::Xor, |a, b, c| a ^ b ^ c),
                (Operation::Diff, |a, b, c| a & !(b | c)),
                (Operation::Diff1, |a, b, c| !a & (b | c)),
                (Operation::AndOr, |a, b, c| a & (b | c)),
                (Operation::One, |a, b, c| (a & !b & !c) | (!a & b & !c) | (!a & !b & c)),
            ] {
                let len = lens.into_iter().max().unwrap_or(0);
                let expect: Vec<u8> = (0..len).map(|at| of(byte(0, at), byte(1, at), byte(2, at))).collect();
                assert!(combine(operation, &texts) == expect, "{operation:?} {lens:?}");
            }
            let inverted: Vec<u8> = sources[1].iter().map(|byte| !byte).collect();
            assert!(combine(Operation::Not, &texts[1..2]) == inverted, "{lens:?}");
        }
    }
}
