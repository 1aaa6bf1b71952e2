//! LCS
//!
//! The longest common subsequence by bit vectors (H. Hyyrö, "Bit-parallel LCS-length computation revisited",
//! 2004): one row of the usual table is a vector with a bit per byte of the second string, and a byte of the
//! first string takes a few operations per 64 of them. Bit j of row i says whether the length grows between
//! columns j and j+1, which is all that walking back through the table needs; so a table takes a thirty-second
//! part of the memory that Redis's takes. Inputs are limited where Redis's are, which bounds memory and time.

use swytch_store::Keyspace;

use crate::command::KeySpec;
use crate::command::prelude::*;

pub static LCS: CommandSpec = CommandSpec {
    name: "lcs",
    summary: "Compares two strings and returns their longest common subsequence, its length, or where it matches.",
    since: "7.0.0",
    group: Group::String,
    complexity: "O(N*M) for strings of N and M bytes.",
    arity: -3,
    flags: Flags::READONLY,
    categories: Categories::STRING,
    key_specs: &[KeySpec::range(1, 1, 1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    arguments: &[
        Arg::key("key1"),
        Arg::key("key2"),
        Arg::flag("len", "LEN").optional(),
        Arg::flag("idx", "IDX").optional(),
        Arg::integer("min-match-len").token("MINMATCHLEN").optional(),
        Arg::flag("withmatchlen", "WITHMATCHLEN").optional(),
    ],
    reply: ReplyShape::OneOf(&[
        ReplyShape::Text,
        ReplyShape::Count,
        ReplyShape::Map(&ReplyShape::Text, &ReplyShape::Any),
    ]),
    handler: Handler::Read(lcs),
    ..CommandSpec::DEFAULT
};

/// Bytes of a cell in Redis's table, by which its limit on the inputs is counted.
const REDIS_CELL_BYTES: u64 = 4;

#[derive(Default)]
struct Options {
    len: bool,
    idx: bool,
    match_len_min: u64,
    with_match_len: bool,
}

impl Options {
    fn parse(mut arguments: ArgCursor<'_>) -> Result<Options, CommandError> {
        let mut options = Options::default();
        while arguments.remaining() > 0 {
            if arguments.word("IDX") {
                options.idx = true;
            } else if arguments.word("LEN") {
                options.len = true;
            } else if arguments.word("WITHMATCHLEN") {
                options.with_match_len = true;
            } else if arguments.remaining() > 1 && arguments.word("MINMATCHLEN") {
                options.match_len_min = arguments.integer()?.max(0) as u64;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        if options.len && options.idx {
            return Err(CommandError::text(
                "ERR If you want both the length and indexes, please just use IDX.",
            ));
        }
        Ok(options)
    }
}

fn lcs(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let (first, second) = (keyspace.string(&call.key(1)), keyspace.string(&call.key(2)));
    let (Ok(first), Ok(second)) = (first, second) else {
        return Err(CommandError::text("ERR The specified keys must contain string values"));
    };
    let options = Options::parse(call.args.cursor(3))?;
    let (first, second) = (first.as_deref().unwrap_or_default(), second.as_deref().unwrap_or_default());
    check_size(first.len() as u64, second.len() as u64, call.server.config.proto_max_bulk_len() as u64)?;
    if options.len {
        call.reply.count(Table::compute(first, second, false).len);
        return Ok(());
    }
    let table = Table::compute(first, second, true);
    if options.idx {
        let mut matches = table.matches(first, second);
        matches.retain(|found| found.len as u64 >= options.match_len_min);
        reply_matches(call, &matches, table.len, options.with_match_len);
    } else {
        call.reply.bulk(&table.subsequence(first, second));
    }
    Ok(())
}

fn check_size(first: u64, second: u64, bytes_max: u64) -> CommandResult {
    if first.max(second) >= u64::from(u32::MAX) - 1 {
        return Err(CommandError::text("ERR String too long for LCS"));
    }
    let cells = u128::from(first + 1) * u128::from(second + 1);
    if cells * u128::from(REDIS_CELL_BYTES) > u128::from(bytes_max) {
        return Err(CommandError::text(
            "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
        ));
    }
    Ok(())
}

fn reply_matches(call: &mut Call<'_>, matches: &[Match], len: usize, with_match_len: bool) {
    call.reply.map(2);
    call.reply.bulk(b"matches");
    call.reply.array(matches.len());
    for found in matches {
        call.reply.array(if with_match_len { 3 } else { 2 });
        for start in [found.first, found.second] {
            call.reply.array(2);
            call.reply.count(start);
            call.reply.count(start + found.len - 1);
        }
        if with_match_len {
            call.reply.count(found.len);
        }
    }
    call.reply.bulk(b"len");
    call.reply.count(len);
}

/// Equal bytes in a row: where they begin in either string, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Match {
    first: usize,
    second: usize,
    len: usize,
}

/// Rows of bits: a cleared bit j of row i says that the first i+1 bytes of one string have a longer common
/// subsequence with the first j+1 bytes of the other than with its first j.
struct Table {
    rows: Bits,
    /// Bits of a row.
    columns: usize,
    /// Length of the longest common subsequence.
    len: usize,
}

impl Table {
    /// Fills the table; unless `keep` is set, only its last row.
    fn compute(first: &[u8], second: &[u8], keep: bool) -> Table {
        let columns = second.len();
        let mut table = Table { rows: Bits::default(), columns, len: 0 };
        if first.is_empty() || second.is_empty() {
            return table;
        }
        if keep {
            table.rows = Bits::with_capacity(first.len() * columns);
        }
        let places = Places::of(first, second);
        let mut row = vec![u64::MAX; columns.div_ceil(64)];
        for &byte in first {
            let places = places.of_byte(byte);
            if !places.is_empty() {
                next_row(&mut row, places);
            }
            if keep {
                table.rows.push(&row, columns);
            }
        }
        // Carries run into the bits behind the end of the second string, which mean nothing.
        if !columns.is_multiple_of(64) {
            row[columns / 64] |= u64::MAX << (columns % 64);
        }
        table.len = row.iter().map(|bits| bits.count_zeros() as usize).sum();
        table
    }

    /// True when the length grows at column `column` of row `row`.
    fn grows(&self, row: usize, column: usize) -> bool {
        !self.rows.get(row * self.columns + column)
    }

    /// Walks back from the end and shows each pair of matching positions, the last first. Where both directions
    /// lead to a longest subsequence this takes the one that Redis takes.
    fn walk(&self, first: &[u8], second: &[u8], mut visit: impl FnMut(usize, usize)) {
        let (mut row, mut column) = (first.len(), second.len());
        while row > 0 && column > 0 {
            if first[row - 1] == second[column - 1] {
                (row, column) = (row - 1, column - 1);
                visit(row, column);
            } else if self.grows(row - 1, column - 1) {
                row -= 1;
            } else {
                column -= 1;
            }
        }
    }

    fn subsequence(&self, first: &[u8], second: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len);
        self.walk(first, second, |row, _| bytes.push(first[row]));
        bytes.reverse();
        bytes
    }

    /// The matching parts, the last first.
    fn matches(&self, first: &[u8], second: &[u8]) -> Vec<Match> {
        let mut matches: Vec<Match> = Vec::new();
        self.walk(first, second, |row, column| match matches.last_mut() {
            Some(found) if found.first == row + 1 && found.second == column + 1 => {
                *found = Match { first: row, second: column, len: found.len + 1 };
            }
            _ => matches.push(Match { first: row, second: column, len: 1 }),
        });
        matches
    }
}

/// Makes a row of the table from the row before, given where the row's byte is in the other string.
fn next_row(row: &mut [u64], places: &[u64]) {
    let mut carry = false;
    for (bits, &places) in row.iter_mut().zip(places) {
        let (sum, first_carry) = bits.overflowing_add(*bits & places);
        let (sum, second_carry) = sum.overflowing_add(u64::from(carry));
        carry = first_carry || second_carry;
        *bits = sum | (*bits & !places);
    }
}

/// Rows of any number of bits, packed.
#[derive(Default)]
struct Bits {
    words: Vec<u64>,
    len: usize,
}

impl Bits {
    fn with_capacity(bits: usize) -> Bits {
        Bits { words: vec![0; bits.div_ceil(64)], len: 0 }
    }

    /// Adds the first `count` bits of a row; the capacity holds them.
    fn push(&mut self, row: &[u64], count: usize) {
        for (index, &bits) in row.iter().enumerate() {
            let used = (count - index * 64).min(64);
            let bits = bits & (u64::MAX >> (64 - used));
            let (at, shift) = (self.len / 64, self.len % 64);
            self.words[at] |= bits << shift;
            if shift + used > 64 {
                self.words[at + 1] |= bits >> (64 - shift);
            }
            self.len += used;
        }
    }

    fn get(&self, at: usize) -> bool {
        self.words[at / 64] >> (at % 64) & 1 == 1
    }
}

/// For each byte of one string, the bits of its places in the other.
struct Places(Vec<Vec<u64>>);

impl Places {
    fn of(first: &[u8], second: &[u8]) -> Places {
        let mut wanted = [false; 256];
        // Only bytes that the first string has: then this never takes more than the table does.
        first.iter().for_each(|byte| wanted[usize::from(*byte)] = true);
        let mut of = vec![Vec::new(); 256];
        for (place, byte) in second.iter().enumerate().filter(|(_, byte)| wanted[usize::from(**byte)]) {
            let places = &mut of[usize::from(*byte)];
            places.resize(second.len().div_ceil(64), 0);
            places[place / 64] |= 1_u64 << (place % 64);
        }
        Places(of)
    }

    /// Empty for a byte that the other string has not.
    fn of_byte(&self, byte: u8) -> &[u64] {
        &self.0[usize::from(byte)]
    }
}

#[cfg(test)]
mod tests {
    use swytch_testkit::Random;

    use super::*;

    /// The length by the definition, to check against.
    fn length(first: &[u8], second: &[u8]) -> Vec<Vec<usize>> {
        let mut table = vec![vec![0; second.len() + 1]; first.len() + 1];
        for (row, a) in first.iter().enumerate() {
            for (column, b) in second.iter().enumerate() {
                table[row + 1][column + 1] = if a == b {
                    table[row][column] + 1
                } else {
                    table[row][column + 1].max(table[row + 1][column])
                };
            }
        }
        table
    }

    /// Walks the full table as Redis does.
    fn walked(first: &[u8], second: &[u8]) -> Vec<u8> {
        let table = length(first, second);
        let (mut row, mut column, mut found) = (first.len(), second.len(), Vec::new());
        while row > 0 && column > 0 {
            if first[row - 1] == second[column - 1] {
                (row, column) = (row - 1, column - 1);
                found.push(first[row]);
            } else if table[row - 1][column] > table[row][column - 1] {
                row -= 1;
            } else {
                column -= 1;
            }
        }
        found.reverse();
        found
    }

    #[test]
    fn bits_find_what_the_full_table_finds() {
        let mut random = Random::from_environment();
        for round in 0..300 {
            let letters = 1 + random.below(5_u8);
            let mut text = |len_max: usize| -> Vec<u8> {
                let len = random.below(len_max + 1);
                (0..len).map(|_| b'a' + random.below(letters)).collect()
            };
            let (first, second) = (text(150), text(200));
            let table = Table::compute(&first, &second, true);
            let expect = walked(&first, &second);
            assert_eq!(table.subsequence(&first, &second), expect, "round {round}");
            assert_eq!(table.len, expect.len(), "round {round}");
            assert_eq!(Table::compute(&first, &second, false).len, expect.len(), "round {round}");
        }
    }

    #[test]
    fn matches_are_told_from_the_end() {
        let (first, second) = (b"ohmytext", b"mynewtext");
        let found = Table::compute(first, second, true).matches(first, second);
        let expect = [Match { first: 4, second: 5, len: 4 }, Match { first: 2, second: 0, len: 2 }];
        assert_eq!(found, expect);
    }

    #[test]
    fn the_limit_is_that_of_the_full_table() {
        assert_eq!(check_size(11_583, 11_583, 512 << 20), Ok(()));
        assert!(check_size(11_585, 11_585, 512 << 20).is_err());
        assert!(check_size(u64::from(u32::MAX), 1, u64::MAX).is_err());
    }
}
