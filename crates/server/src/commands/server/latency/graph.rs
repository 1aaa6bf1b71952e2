//! LATENCY GRAPH: a bar for every sample, the oldest first, with its age below.
//!
//! The header and the shape follow Redis, whose users read them; four text rows have three levels each.

use crate::observe::latency::Series;

/// Characters of a line; more samples continue below.
const COLUMNS: usize = 80;
/// Text rows of a bar.
const ROWS: usize = 4;
/// What the top of a bar looks like, by how high it is within its row.
const LEVELS: [char; 3] = ['_', 'o', '#'];

/// Draws the samples of `event`. `now_s` is the Unix time in seconds.
pub(super) fn draw(event: &str, series: &Series, now_s: u64) -> String {
    let latencies = || series.samples.iter().map(|(_, latency_ms)| *latency_ms);
    let (high, low) = (latencies().max().unwrap_or(0), latencies().min().unwrap_or(0));
    let mut text = format!(
        "{event} - high {high} ms, low {low} ms (all time high {} ms)\n{}\n",
        series.max_ms,
        "-".repeat(COLUMNS)
    );
    let steps = (ROWS * LEVELS.len()) as u64;
    let bars: Vec<Bar> = series
        .samples
        .iter()
        .map(|(time_s, latency_ms)| Bar {
            step: ((latency_ms - low) * steps / (high - low).max(1)).min(steps - 1) as usize,
            age: age(now_s.saturating_sub(*time_s)),
        })
        .collect();
    for (index, line) in bars.chunks(COLUMNS).enumerate() {
        if index > 0 {
            text.push('\n');
        }
        draw_line(&mut text, line);
    }
    text
}

/// A sample: the level of its top, counted from below, and its age.
struct Bar {
    step: usize,
    age: String,
}

fn draw_line(text: &mut String, bars: &[Bar]) {
    for row in (0..ROWS).rev() {
        text.extend(bars.iter().map(|bar| match bar.step.checked_sub(row * LEVELS.len()) {
            Some(level) => LEVELS.get(level).copied().unwrap_or('|'),
            None => ' ',
        }));
        text.push('\n');
    }
    text.extend(std::iter::repeat_n(' ', bars.len()));
    text.push('\n');
    let label_rows = bars.iter().map(|bar| bar.age.len()).max().unwrap_or(0);
    for row in 0..label_rows {
        text.extend(bars.iter().map(|bar| bar.age.as_bytes().get(row).map_or(' ', |byte| char::from(*byte))));
        text.push('\n');
    }
}

/// An age in its largest whole unit.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_sample_fills_its_column() {
        let samples = [(100, 10), (130, 16), (190, 22)].into();
        let drawn = draw("command", &Series { samples, max_ms: 30 }, 200);
        let expected = [
            "command - high 22 ms, low 10 ms (all time high 30 ms)",
            &"-".repeat(80),
            "  #",
            " _|",
            " ||",
            "_||",
            "   ",
            "111",
            "mm0",
            "  s",
        ];
        assert_eq!(drawn.lines().collect::<Vec<_>>(), expected);
    }
}
