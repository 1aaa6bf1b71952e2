//! LOLWUT: a picture, different every time.
//!
//! Rows are generations of an elementary cellular automaton (Wolfram's numbering), grown from a single cell or
//! from noise; two generations share a line of half blocks.

use crate::command::prelude::*;

pub static LOLWUT: CommandSpec = CommandSpec {
    name: "lolwut",
    summary: "Draws a picture out of characters and names the version of the server.",
    since: "5.0.0",
    group: Group::Server,
    complexity: "",
    arity: -1,
    flags: Flags::READONLY.union(Flags::FAST),
    arguments: &[Arg::integer("version").token("VERSION").optional()],
    reply: ReplyShape::Report,
    differs: "The picture is another one.",
    handler: Handler::Session(lolwut),
    ..CommandSpec::DEFAULT
};

/// Automata whose pictures are neither empty nor noise alone.
const RULES: [u8; 8] = [18, 22, 30, 60, 90, 105, 110, 150];
/// Size when none is given, and the largest, in characters.
const COLUMNS_DEFAULT: usize = 64;
const COLUMNS_MAX: usize = 160;
const LINES_DEFAULT: usize = 16;
const LINES_MAX: usize = 80;

/// `LOLWUT [VERSION version] [columns [lines]]`: sizes out of bounds are moved into them, as Redis does.
fn lolwut(call: &mut Call<'_>) -> CommandResult {
    let mut arguments = call.args.cursor(1);
    if arguments.remaining() >= 2 && arguments.word("VERSION") {
        // Redis has a picture for each version; here every version has the same.
        arguments.integer()?;
    }
    let mut size = |default: usize, max: usize| match arguments.remaining() {
        0 => Ok(default),
        _ => arguments.integer().map(|size| size.clamp(1, max as i64) as usize),
    };
    let columns = size(COLUMNS_DEFAULT, COLUMNS_MAX)?;
    let lines = size(LINES_DEFAULT, LINES_MAX)?;
    let mut seed = [0; 8];
    // Without randomness the picture is the same every time, and that is all.
    let _ = getrandom::fill(&mut seed);
    let mut text = picture(u64::from_le_bytes(seed), columns, lines);
    text.push_str(&format!("\nRedis ver. {} (swytch {})\n", crate::REDIS_VERSION, crate::SWYTCH_VERSION));
    call.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn picture(seed: u64, columns: usize, lines: usize) -> String {
    let rule = RULES[(seed % RULES.len() as u64) as usize];
    let noisy = seed >> 8 & 1 == 1;
    let mut bits = seed | 1;
    let mut cells: Vec<bool> = (0..columns)
        .map(|column| {
            // xorshift64: quality does not matter here.
            bits ^= bits << 13;
            bits ^= bits >> 7;
            bits ^= bits << 17;
            if noisy { bits & 1 == 1 } else { column == columns / 2 }
        })
        .collect();
    let mut text = format!("Rule {rule}\n\n");
    for _ in 0..lines {
        let upper = cells.clone();
        cells = next(rule, &cells);
        text.extend(upper.iter().zip(&cells).map(|pair| match pair {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        }));
        text.push('\n');
        cells = next(rule, &cells);
    }
    text
}

/// The next generation; the edges touch.
fn next(rule: u8, cells: &[bool]) -> Vec<bool> {
    let len = cells.len();
    (0..len)
        .map(|at| {
            let neighbours = [cells[(at + len - 1) % len], cells[at], cells[(at + 1) % len]];
            let pattern = neighbours.iter().fold(0, |pattern, cell| pattern << 1 | u8::from(*cell));
            rule >> pattern & 1 == 1
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_90_draws_a_triangle() {
        // Seed 4 chooses the fifth rule and a single cell.
        let drawn = picture(4, 7, 2);
        assert_eq!(drawn, "Rule 90\n\n  ▄▀▄  \n▄▀▄ ▄▀▄\n");
    }

    #[test]
    fn pictures_have_the_size_asked_for() {
        for seed in 0..64u64 {
            let drawn = picture(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15), 9, 3);
            let lines: Vec<&str> = drawn.lines().skip(2).collect();
            assert_eq!(lines.len(), 3);
            assert!(lines.iter().all(|line| line.chars().count() == 9), "{drawn}");
        }
    }
}
