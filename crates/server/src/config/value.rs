//! One value of a directive: reading it from words, and writing it for CONFIG GET and CONFIG REWRITE.
//!
//! Error texts are Redis's, because clients and its test suite compare them. Neighbours: `special.rs`
//! for the directives with a syntax of their own, `rules.rs` for rules beyond the type.

use super::directive::{Bounds, Directive, Kind};
use super::special::{self, OutputBufferLimits, SavePoint};
use super::words;
use crate::system::process;
use std::path::PathBuf;

/// The value of a directive.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Flags, integers, memory sizes, choices and keyspace-event classes.
    Number(i64),
    /// Text; `None` is unset.
    Text(Option<Vec<u8>>),
    Directory(PathBuf),
    Save(Vec<SavePoint>),
    OutputBufferLimits(OutputBufferLimits),
    OomScores([i32; special::OOM_SCORES]),
    Bind(Vec<Vec<u8>>),
    ReplicaOf(Option<(Vec<u8>, u16)>),
    Percentiles(Vec<f64>),
}

/// Why a value was not accepted: the text after the dash in CONFIG SET's error.
pub(super) type Reason = String;

/// The value a directive has when nothing is configured.
pub(super) fn default(directive: &Directive, start_directory: &std::path::Path) -> Value {
    match directive.kind {
        Kind::Flag(default) => Value::Number(i64::from(default)),
        Kind::Integer(_, default)
        | Kind::Octal(_, default)
        | Kind::Memory(_, default)
        | Kind::MemoryOrShare(_, default)
        | Kind::MemoryOrPercent(_, default)
        | Kind::Choice(_, default) => Value::Number(default),
        Kind::Text { default, .. } => Value::Text(default.map(|text| text.as_bytes().to_vec())),
        Kind::Special(kind) => special::default(kind, start_directory),
    }
}

/// Reads a value from the words after the directive's name.
///
/// `current` is the value so far: some directives change only a part of it, and with `accumulate` (in
/// files) `save` adds to it.
pub(super) fn parse(
    directive: &Directive,
    words: &[&[u8]],
    current: &Value,
    accumulate: bool,
) -> Result<Value, Reason> {
    if let Kind::Special(kind) = directive.kind {
        return special::parse(kind, words, current, accumulate);
    }
    if let Kind::Choice(names, _) = directive.kind {
        let chosen = parse_choice(names, words, directive.several_words)?;
        directive.combination.map_or(Ok(()), |rule| rule(chosen))?;
        return Ok(Value::Number(chosen));
    }
    let [word] = words else {
        return Err("wrong number of arguments".to_owned());
    };
    match directive.kind {
        Kind::Flag(_) => parse_flag(word).map(|flag| Value::Number(i64::from(flag))),
        Kind::Integer(bounds, _) => {
            let number = integer(word).ok_or("argument couldn't be parsed into an integer")?;
            check_bounds(number, &bounds, false)?;
            Ok(Value::Number(clamped(number, &bounds)))
        }
        Kind::Octal(bounds, _) => {
            let number = octal(word).ok_or("argument couldn't be parsed as an octal number")?;
            check_bounds(number, &bounds, true)?;
            Ok(Value::Number(number))
        }
        Kind::MemoryOrShare(..) if word.ends_with(b"%") => parse_share(word, process::memory_limit_bytes()),
        Kind::Memory(bounds, _) | Kind::MemoryOrShare(bounds, _) => {
            let bytes = memory(word).ok_or("argument must be a memory value")?;
            check_bounds(bytes as i64, &bounds, false)?;
            Ok(Value::Number(clamped(bytes as i64, &bounds)))
        }
        Kind::MemoryOrPercent(bounds, _) => parse_memory_or_percent(word, &bounds),
        Kind::Text { empty_unsets, check, .. } => {
            if let Some(check) = check {
                check(word)?;
            }
            let unset = empty_unsets && word.is_empty();
            Ok(Value::Text((!unset).then(|| word.to_vec())))
        }
        Kind::Choice(..) | Kind::Special(_) => unreachable!("handled above"),
    }
}

/// The value as CONFIG GET answers it.
pub(super) fn format(directive: &Directive, value: &Value) -> Vec<u8> {
    match (directive.kind, value) {
        (Kind::Flag(_), Value::Number(number)) => yes_no(*number).as_bytes().to_vec(),
        (Kind::Choice(names, _), Value::Number(number)) => choice_name(names, *number).into_bytes(),
        (Kind::Octal(..), Value::Number(number)) => format!("{number:o}").into_bytes(),
        (Kind::MemoryOrPercent(..), Value::Number(number)) if *number < 0 => {
            format!("{}%", -number).into_bytes()
        }
        (Kind::Memory(..) | Kind::MemoryOrShare(..), Value::Number(number)) => {
            format!("{}", *number as u64).into_bytes()
        }
        (Kind::Special(kind), value) => special::format(kind, value),
        (_, Value::Number(number)) => number.to_string().into_bytes(),
        (_, Value::Text(text)) => text.clone().unwrap_or_default(),
        (_, other) => unreachable!("{} cannot hold {other:?}", directive.name),
    }
}

/// The lines CONFIG REWRITE writes for a value: none when an absent line says the same.
pub(super) fn rewrite(directive: &Directive, value: &Value) -> Vec<Vec<u8>> {
    let name = directive.name;
    let text = match (directive.kind, value) {
        (Kind::Memory(..) | Kind::MemoryOrShare(..), Value::Number(number)) => {
            memory_with_unit(*number as u64).into_bytes()
        }
        (Kind::MemoryOrPercent(..), Value::Number(number)) if *number >= 0 => {
            memory_with_unit(*number as u64).into_bytes()
        }
        (_, Value::Text(None)) => return Vec::new(),
        (_, Value::Text(Some(text))) => words::quote(text),
        (Kind::Special(kind), value) => return special::rewrite(name, kind, value),
        _ => format(directive, value),
    };
    vec![[name.as_bytes(), b" ", &text].concat()]
}

/// Parses a decimal `i64` the way Redis's `string2ll` does: no sign but `-`, no leading zeros.
pub(super) fn integer(word: &[u8]) -> Option<i64> {
    let digits = word.strip_prefix(b"-").unwrap_or(word);
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if !plain || (digits[0] == b'0' && word != b"0") {
        return None;
    }
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// Parses an amount of memory: digits and one of the units b, k, kb, m, mb, g, gb, in any case.
///
/// As in Redis, no digits at all mean 0. Unlike there, what does not fit 64 bits is refused.
pub fn memory(word: &[u8]) -> Option<u64> {
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let unit: u64 = match word[digits..].to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    let number: u64 = match digits {
        0 => 0,
        _ => std::str::from_utf8(&word[..digits]).ok()?.parse().ok()?,
    };
    number.checked_mul(unit)
}

/// Writes bytes with the largest unit that divides them.
pub(super) fn memory_with_unit(bytes: u64) -> String {
    for (shift, unit) in [(30, "gb"), (20, "mb"), (10, "kb")] {
        if bytes != 0 && bytes & ((1 << shift) - 1) == 0 {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

fn parse_flag(word: &[u8]) -> Result<bool, Reason> {
    if word.eq_ignore_ascii_case(b"yes") {
        Ok(true)
    } else if word.eq_ignore_ascii_case(b"no") {
        Ok(false)
    } else {
        Err("argument must be 'yes' or 'no'".to_owned())
    }
}

fn parse_choice(names: &[(&'static str, i64)], words: &[&[u8]], combine: bool) -> Result<i64, Reason> {
    let number_of = |word: &&[u8]| {
        names.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes())).map(|(_, number)| *number)
    };
    let numbers: Option<Vec<i64>> = words.iter().map(number_of).collect();
    match numbers {
        Some(numbers) if numbers.len() == 1 || (combine && !numbers.is_empty()) => {
            Ok(numbers.iter().fold(0, |sum, number| sum | number))
        }
        _ => {
            let known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
            Err(format!("argument(s) must be one of the following: {}", known.join(", ")))
        }
    }
}

/// A percentage of `whole`, as bytes.
fn parse_share(word: &[u8], whole: u64) -> Result<Value, Reason> {
    let percent = word.strip_suffix(b"%").and_then(integer).filter(|percent| (1..=100).contains(percent));
    let percent = percent.ok_or("percentage argument must be between 1 and 100")?;
    if whole == 0 {
        return Err("how much memory there is cannot be found out: give bytes".to_owned());
    }
    Ok(Value::Number((u128::from(whole) * percent as u128 / 100) as i64))
}

fn parse_memory_or_percent(word: &[u8], bounds: &Bounds) -> Result<Value, Reason> {
    if let Some(bytes) = memory(word) {
        // The upper bound keeps bytes apart from percentages, which are the negative numbers.
        check_bounds_signed(i128::from(bytes), 0, bounds.max)?;
        return Ok(Value::Number(bytes as i64));
    }
    let percent = word
        .strip_suffix(b"%")
        .and_then(integer)
        .filter(|percent| *percent >= 0)
        .ok_or("argument must be a memory or percent value")?;
    if i128::from(percent) > -bounds.min {
        return Err(format!("percentage argument must be less or equal to {}", -bounds.min));
    }
    Ok(Value::Number(-percent))
}

fn check_bounds(number: i64, bounds: &Bounds, octal: bool) -> Result<(), Reason> {
    let wide = if bounds.unsigned { i128::from(number as u64) } else { i128::from(number) };
    if octal && (wide < bounds.min || wide > bounds.max) {
        return Err(format!("argument must be between {:o} and {:o} inclusive", bounds.min, bounds.max));
    }
    check_bounds_signed(wide, bounds.min, bounds.max)
}

fn check_bounds_signed(number: i128, min: i128, max: i128) -> Result<(), Reason> {
    if number < min || number > max {
        return Err(format!("argument must be between {min} and {max} inclusive"));
    }
    Ok(())
}

fn clamped(number: i64, bounds: &Bounds) -> i64 {
    bounds.clamp.map_or(number, |(low, high)| number.clamp(low, high))
}

fn octal(word: &[u8]) -> Option<i64> {
    i64::from_str_radix(std::str::from_utf8(word).ok()?, 8).ok()
}

fn yes_no(number: i64) -> &'static str {
    if number == 0 { "no" } else { "yes" }
}

/// The name of `number`, or the names of its bits.
fn choice_name(names: &[(&'static str, i64)], number: i64) -> String {
    if let Some((name, _)) = names.iter().find(|(_, known)| *known == number) {
        return (*name).to_owned();
    }
    let bits: Vec<&str> = names
        .iter()
        .filter(|(_, known)| *known != 0 && number & known == *known)
        .map(|(name, _)| *name)
        .collect();
    bits.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn directive(name: &str) -> &'static Directive {
        super::super::directives::find(name.as_bytes()).unwrap_or_else(|| panic!("no directive {name}")).1
    }

    /// Reads `words` for `name`, and writes the result; errors are answered as they are.
    fn round(name: &str, words: &[&str]) -> String {
        let directive = directive(name);
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        match parse(directive, &words, &default(directive, Path::new("/")), false) {
            Ok(value) => String::from_utf8(format(directive, &value)).expect("ascii in, ascii out"),
            Err(reason) => format!("error: {reason}"),
        }
    }

    /// Directive, word, and how the value is written again.
    const READ: &[(&str, &str, &str)] = &[
        ("appendonly", "YES", "yes"),
        ("appendonly", "no", "no"),
        ("appendonly", "1", "error: argument must be 'yes' or 'no'"),
        ("port", "7000", "7000"),
        ("port", "65536", "error: argument must be between 0 and 65535 inclusive"),
        ("port", "-1", "error: argument must be between 0 and 65535 inclusive"),
        ("port", "007", "error: argument couldn't be parsed into an integer"),
        ("port", "+7", "error: argument couldn't be parsed into an integer"),
        ("port", "", "error: argument couldn't be parsed into an integer"),
        ("maxclients", "-1", "error: argument must be between 1 and 4294967295 inclusive"),
        ("list-max-listpack-size", "-5", "-5"),
        ("hz", "0", "1"),
        ("hz", "1000", "500"),
        ("slowlog-log-slower-than", "9223372036854775807", "9223372036854775807"),
        (
            "slowlog-log-slower-than",
            "9223372036854775808",
            "error: argument couldn't be parsed into an integer",
        ),
        ("unixsocketperm", "700", "700"),
        ("unixsocketperm", "0755", "755"),
        ("unixsocketperm", "1777", "error: argument must be between 0 and 777 inclusive"),
        ("unixsocketperm", "8", "error: argument couldn't be parsed as an octal number"),
        ("maxmemory", "4gb", "4294967296"),
        ("maxmemory", "4G", "4000000000"),
        ("maxmemory", "1Kb", "1024"),
        ("maxmemory", "10b", "10"),
        ("maxmemory", "", "0"),
        ("maxmemory", "18446744073709551615", "18446744073709551615"),
        ("maxmemory", "18446744073709551616", "error: argument must be a memory value"),
        ("maxmemory", "99999999999gb", "error: argument must be a memory value"),
        ("maxmemory", "-1", "error: argument must be a memory value"),
        ("maxmemory", "1tb", "error: argument must be a memory value"),
        ("maxmemory", "0%", "error: percentage argument must be between 1 and 100"),
        ("maxmemory", "101%", "error: percentage argument must be between 1 and 100"),
        ("maxmemory", "%", "error: percentage argument must be between 1 and 100"),
        (
            "proto-max-bulk-len",
            "1",
            "error: argument must be between 1048576 and 9223372036854775807 inclusive",
        ),
        ("maxmemory-clients", "5%", "5%"),
        ("maxmemory-clients", "1mb", "1048576"),
        ("maxmemory-clients", "200%", "error: percentage argument must be less or equal to 100"),
        ("maxmemory-clients", "%", "error: argument must be a memory or percent value"),
        ("maxmemory-clients", "-5%", "error: argument must be a memory or percent value"),
        ("maxmemory-policy", "AllKeys-LRU", "allkeys-lru"),
        ("log-format", "xml", "error: argument(s) must be one of the following: text, json"),
        ("oom-score-adj", "relative", "yes"),
    ];

    #[test]
    fn a_share_is_of_the_memory_there_is() {
        assert_eq!(parse_share(b"50%", 3001), Ok(Value::Number(1500)));
        assert_eq!(parse_share(b"100%", 1 << 40), Ok(Value::Number(1 << 40)));
        assert!(parse_share(b"50%", 0).is_err());
    }

    #[test]
    fn words_are_read_and_written_as_in_redis() {
        for (name, word, expected) in READ {
            assert_eq!(round(name, &[word]), *expected, "{name} {word}");
        }
    }

    #[test]
    fn choices_of_several_words() {
        assert_eq!(round("shutdown-on-sigint", &["nosave", "force", "now"]), "nosave now force");
        assert_eq!(
            round("shutdown-on-sigint", &["save", "nosave"]),
            "error: shutdown options SAVE and NOSAVE can't be used simultaneously"
        );
        assert!(round("shutdown-on-sigint", &[]).starts_with("error: argument(s) must be"));
        for (words, written) in
            [(&["net", "cpu"][..], "cpu net"), (&["cpu", "net", "mem"], "yes"), (&["no"], "no")]
        {
            assert_eq!(round("cluster-slot-stats-enabled", words), written);
        }
    }

    #[test]
    fn every_default_is_accepted_and_rewrites_to_itself() {
        for directive in &super::super::directives::DIRECTIVES {
            let start = std::env::current_dir().expect("a working directory");
            let value = default(directive, &start);
            for line in rewrite(directive, &value) {
                let words = words::split(&line).expect("a rewritten line can be split");
                let arguments: Vec<&[u8]> = words[1..].iter().map(Vec::as_slice).collect();
                let read = parse(directive, &arguments, &value, false);
                if directive.name != "save" && directive.name != "client-output-buffer-limit" {
                    assert_eq!(read.as_ref(), Ok(&value), "{}", directive.name);
                }
                assert!(read.is_ok(), "{}: {read:?}", directive.name);
            }
        }
    }

    #[test]
    fn units_of_rewritten_sizes() {
        for (bytes, expected) in [(0, "0"), (1023, "1023"), (2048, "2kb"), (3 << 30, "3gb")] {
            assert_eq!(memory_with_unit(bytes), expected);
        }
    }
}
