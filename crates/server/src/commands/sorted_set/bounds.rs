//! The ends of ranges as clients write them.

use std::ops::Range;

use swytch_store::{Cut, SortedSet, range};

use super::CommandError;

/// What a range is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Places, from either end.
    Rank,
    /// Scores.
    Score,
    /// The bytes of members, all of which have the same score.
    Member,
}

/// A range of a sorted set.
#[derive(Clone, Copy, Debug)]
pub enum Bounds<'a> {
    /// Both places belong to it.
    Ranks(i64, i64),
    /// Between two scores.
    Scores(Cut<f64>, Cut<f64>),
    /// Between two members.
    Members(Cut<&'a [u8]>, Cut<&'a [u8]>),
}

/// An end of a range: its value, and whether that does not belong to it.
type End<T> = (T, bool);

fn from<T>((value, is_exclusive): End<T>) -> Cut<T> {
    if is_exclusive { Cut::After(value) } else { Cut::Before(value) }
}

fn to<T>((value, is_exclusive): End<T>) -> Cut<T> {
    if is_exclusive { Cut::Before(value) } else { Cut::After(value) }
}

impl<'a> Bounds<'a> {
    /// Reads the ends of a range, of which `min` is the lower unless it is by rank.
    pub fn parse(by: By, min: &'a [u8], max: &'a [u8]) -> Result<Bounds<'a>, CommandError> {
        match by {
            By::Rank => {
                let rank = |text| swytch_decimal::parse_i64(text).ok_or(CommandError::NotAnInteger);
                Ok(Bounds::Ranks(rank(min)?, rank(max)?))
            }
            By::Score => {
                let ends = score(min).zip(score(max));
                let (min, max) = ends.ok_or_else(|| CommandError::text("ERR min or max is not a float"))?;
                Ok(Bounds::Scores(from(min), to(max)))
            }
            By::Member => {
                let ends = member(min, from).zip(member(max, to));
                let (min, max) =
                    ends.ok_or_else(|| CommandError::text("ERR min or max not valid string range item"))?;
                Ok(Bounds::Members(min, max))
            }
        }
    }

    /// The ranks that it selects, from the first one or, `reversed`, counted from the last.
    pub fn ranks(&self, set: &SortedSet, reversed: bool) -> Range<usize> {
        match *self {
            Bounds::Scores(from, to) => set.with_scores(from, to),
            Bounds::Members(from, to) => set.with_members(from, to),
            Bounds::Ranks(start, stop) => {
                let len = set.len();
                let ranks = range::inclusive(start, stop, len);
                if reversed { len - ranks.end..len - ranks.start } else { ranks }
            }
        }
    }
}

/// A score, behind a parenthesis where it does not belong to the range. As in Redis nothing stands for 0, and what is too
/// big for infinity.
fn score(text: &[u8]) -> Option<End<f64>> {
    let (text, is_exclusive) = match text {
        [b'(', text @ ..] => (text, true),
        text => (text, false),
    };
    if text.is_empty() {
        return Some((0.0, is_exclusive));
    }
    let score: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!score.is_nan()).then_some((score, is_exclusive))
}

/// A member behind a bracket, or behind a parenthesis where it does not belong to the range; `-` and `+` are the ends of all
/// that there may be.
fn member<'a>(text: &'a [u8], cut: fn(End<&'a [u8]>) -> Cut<&'a [u8]>) -> Option<Cut<&'a [u8]>> {
    match text {
        b"-" => Some(Cut::Start),
        b"+" => Some(Cut::End),
        [b'[', member @ ..] => Some(cut((member, false))),
        [b'(', member @ ..] => Some(cut((member, true))),
        _ => None,
    }
}
