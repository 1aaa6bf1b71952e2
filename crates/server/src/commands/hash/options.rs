//! What the commands on the expiry of fields are asked: times, conditions, and `FIELDS numfields field ...`.

use swytch_store::FieldValue;

use super::set::pairs;
use crate::command::prelude::*;

/// The latest time at which a field can expire (Redis: `HFE_MAX_ABS_TIME_MSEC`).
const TIME_MAX_MS: i64 = (1 << 46) - 1;

/// The argument `FIELDS numfields field [field ...]`.
pub(super) const FIELDS: Arg =
    Arg::block("fields", &[Arg::integer("numfields"), Arg::string("field").multiple()]).token("FIELDS");

/// How a time is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeUnit {
    /// Seconds instead of milliseconds.
    pub seconds: bool,
    /// From now on instead of since 1970.
    pub relative: bool,
}

impl TimeUnit {
    /// The unit of an option.
    fn named(option: &[u8]) -> Option<TimeUnit> {
        let (seconds, relative) = match option {
            b"EX" => (true, true),
            b"PX" => (false, true),
            b"EXAT" => (true, false),
            b"PXAT" => (false, false),
            _ => return None,
        };
        Some(TimeUnit { seconds, relative })
    }

    /// The time in milliseconds that an argument means.
    pub(super) fn read(self, call: &Call<'_>, argument: &[u8]) -> Result<u64, CommandError> {
        let amount = swytch_decimal::parse_i64(argument).ok_or(CommandError::NotAnInteger)?;
        let invalid = || CommandError::invalid_expire(call.command.spec.name);
        if amount < 0 {
            return Err(CommandError::text("ERR invalid expire time, must be >= 0"));
        }
        let base_ms = if self.relative { call.now_ms as i64 } else { 0 };
        let amount_ms = amount.checked_mul(if self.seconds { 1000 } else { 1 }).ok_or_else(invalid)?;
        if amount_ms > TIME_MAX_MS - base_ms { Err(invalid()) } else { Ok((amount_ms + base_ms) as u64) }
    }
}

/// Reads `FIELDS numfields field ...` where nothing else is behind the key.
pub(super) fn only_fields<'a>(call: &Call<'a>) -> Result<Vec<&'a [u8]>, CommandError> {
    let mut arguments = call.args.cursor(2);
    if !arguments.word("FIELDS") {
        return Err(CommandError::text(
            "ERR Mandatory argument FIELDS is missing or not at the right position",
        ));
    }
    let count = arguments.next().and_then(swytch_decimal::parse_i64).filter(|count| *count > 0);
    let count = count.ok_or_else(|| CommandError::text("ERR Number of fields must be a positive integer"))?;
    if count != arguments.remaining() as i64 {
        let text = "ERR The `numfields` parameter must match the number of arguments";
        return Err(CommandError::text(text));
    }
    Ok(call.args.from(4).collect())
}

/// When a field gets a new expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Whenever it is there.
    Always,
    /// It has none.
    IfNone,
    /// It has one.
    IfSome,
    /// The new one is later; a field that does not expire counts as never.
    IfLater,
    /// The new one is earlier, likewise.
    IfEarlier,
}

impl Condition {
    /// Whether an expiry may take the place of another, or of none.
    pub(super) fn allows(self, before: Option<u64>, at_ms: u64) -> bool {
        match self {
            Condition::Always => true,
            Condition::IfNone => before.is_none(),
            Condition::IfSome => before.is_some(),
            Condition::IfLater => before.is_some_and(|before_ms| at_ms > before_ms),
            Condition::IfEarlier => before.is_none_or(|before_ms| at_ms < before_ms),
        }
    }
}

const FIELDS_TWICE: &str = "ERR FIELDS keyword specified multiple times";
const FIELDS_MISSING: &str = "ERR missing FIELDS argument";
const TOO_FEW: &str = "ERR wrong number of arguments";

fn unknown(word: &[u8]) -> CommandError {
    CommandError::quoting("ERR unknown argument: ", word, "")
}

/// A number of fields, which are few enough for a request.
fn count(argument: &[u8], text: &'static str) -> Result<usize, CommandError> {
    let count = swytch_decimal::parse_i64(argument).and_then(|count| i32::try_from(count).ok());
    count.filter(|count| *count > 0).map(|count| count as usize).ok_or_else(|| CommandError::text(text))
}

/// Reads conditions and fields of HEXPIRE and its kin.
pub(super) fn condition_and_fields<'a>(call: &Call<'a>) -> Result<(Condition, Vec<&'a [u8]>), CommandError> {
    let (mut conditions, mut fields) = (Vec::new(), None);
    let mut arguments = call.args.cursor(3);
    while let Some(word) = arguments.next() {
        let condition = match word.to_ascii_uppercase().as_slice() {
            b"NX" => Condition::IfNone,
            b"XX" => Condition::IfSome,
            b"GT" => Condition::IfLater,
            b"LT" => Condition::IfEarlier,
            b"FIELDS" => {
                if fields.is_some() {
                    return Err(CommandError::text(FIELDS_TWICE));
                }
                if arguments.remaining() < 2 {
                    let text = "ERR FIELDS requires at least numfields and one field argument";
                    return Err(CommandError::text(text));
                }
                let count = count(arguments.expect()?, "ERR Parameter `numFields` should be greater than 0")?;
                if count > arguments.remaining() {
                    return Err(CommandError::text(TOO_FEW));
                }
                fields = Some((0..count).map(|_| arguments.expect()).collect::<Result<_, _>>()?);
                continue;
            }
            _ => return Err(unknown(word)),
        };
        if !conditions.contains(&condition) {
            conditions.push(condition);
        }
    }
    let fields = fields.ok_or_else(|| CommandError::text(FIELDS_MISSING))?;
    match conditions[..] {
        [] => Ok((Condition::Always, fields)),
        [condition] => Ok((condition, fields)),
        _ => Err(CommandError::text("ERR Multiple condition flags specified")),
    }
}

/// What happens to the expiry of fields that are read or set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NewExpiry {
    /// What the command does without an option.
    Unsaid,
    /// KEEPTTL
    Keep,
    /// PERSIST
    Never,
    /// EX, PX, EXAT, PXAT
    At(u64),
}

/// The options of HGETEX and HSETEX.
#[derive(Debug)]
pub(super) struct ExOptions<'a> {
    pub expiry: NewExpiry,
    /// FXX: only if all fields are there; FNX: only if none is.
    pub all_there: Option<bool>,
    /// Fields, each with its value behind it in HSETEX.
    pub words: Vec<&'a [u8]>,
}

impl<'a> ExOptions<'a> {
    /// Reads what is behind the key, where each field is one word of HGETEX or two of HSETEX.
    pub(super) fn parse(call: &Call<'a>, words_per_field: usize) -> Result<ExOptions<'a>, CommandError> {
        let sets = words_per_field == 2;
        let (mut expiry, mut persist, mut all_there, mut words) = (NewExpiry::Unsaid, false, None, None);
        let mut arguments = call.args.cursor(2);
        while let Some(word) = arguments.next() {
            let upper = word.to_ascii_uppercase();
            if let Some(unit) = TimeUnit::named(&upper) {
                if expiry != NewExpiry::Unsaid || persist {
                    return Err(one_expiry_only(sets));
                }
                let argument =
                    arguments.next().ok_or_else(|| CommandError::text("ERR missing expire time"))?;
                expiry = NewExpiry::At(unit.read(call, argument)?);
                continue;
            }
            match upper.as_slice() {
                b"FIELDS" => {
                    if words.is_some() {
                        return Err(CommandError::text(FIELDS_TWICE));
                    }
                    let name = call.command.spec.name;
                    let number = arguments.next().ok_or_else(|| CommandError::wrong_arity(name))?;
                    let count = count(number, "ERR invalid number of fields")? * words_per_field;
                    if count > arguments.remaining() {
                        return Err(CommandError::text(TOO_FEW));
                    }
                    words = Some((0..count).map(|_| arguments.expect()).collect::<Result<_, _>>()?);
                }
                b"PERSIST" if persist || matches!(expiry, NewExpiry::At(_)) => {
                    return Err(one_expiry_only(sets));
                }
                b"PERSIST" => persist = true,
                b"KEEPTTL" if expiry != NewExpiry::Unsaid => return Err(one_expiry_only(sets)),
                b"KEEPTTL" => expiry = NewExpiry::Keep,
                b"FXX" | b"FNX" if all_there.is_some() => {
                    let text = "ERR Only one of FXX or FNX arguments can be specified";
                    return Err(CommandError::text(text));
                }
                b"FXX" => all_there = Some(true),
                b"FNX" => all_there = Some(false),
                _ => return Err(unknown(word)),
            }
        }
        let words = words.ok_or_else(|| CommandError::text(FIELDS_MISSING))?;
        if sets && persist || !sets && (expiry == NewExpiry::Keep || all_there.is_some()) {
            return Err(CommandError::text("ERR unknown argument"));
        }
        if persist {
            expiry = NewExpiry::Never;
        }
        Ok(ExOptions { expiry, all_there, words })
    }

    /// Fields with their values.
    pub(super) fn pairs(&self) -> Vec<FieldValue<'a>> {
        pairs(self.words.iter().copied())
    }
}

fn one_expiry_only(sets: bool) -> CommandError {
    CommandError::text(if sets {
        "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified"
    } else {
        "ERR Only one of EX, PX, EXAT, PXAT or PERSIST arguments can be specified"
    })
}
