//! One entry of COMMAND INFO: ten fields, as in Redis 7 and 8.

use swytch_resp::Reply;

use crate::command::prelude::*;
use crate::command::{BeginSearch, Command, FindKeys, KeySpec};

/// Properties that the dispatcher obeys and COMMAND INFO does not show.
const HIDDEN: Flags = Flags::MAY_REPLICATE;

/// Writes the entry of a command, with those of its subcommands.
pub(super) fn describe(reply: &mut Reply<'_>, command: &Command) {
    let legacy = LegacyRange::of(command.spec.key_specs);
    let mut flags = command.spec.flags.difference(HIDDEN);
    flags.set(Flags::MOVABLE_KEYS, legacy.movable || flags.contains(Flags::MOVABLE_KEYS));
    reply.array(10);
    reply.bulk(command.full_name.as_bytes());
    reply.integer(i64::from(command.spec.arity));
    names(reply, "", flags, Flags::NAMES);
    reply.integer(legacy.first);
    reply.integer(legacy.last);
    reply.integer(legacy.step);
    names(reply, "@", command.spec.categories(), Categories::NAMES);
    reply.set(command.spec.tips.len());
    command.spec.tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    reply.set(command.spec.key_specs.len());
    command.spec.key_specs.iter().for_each(|spec| key_spec(reply, spec));
    if command.subcommands.is_empty() {
        reply.set(0);
    } else {
        reply.array(command.subcommands.len());
        command.subcommands.iter().for_each(|sub| describe(reply, sub));
    }
}

/// Writes the names of key flags.
pub(super) fn key_flags(reply: &mut Reply<'_>, flags: KeyFlags) {
    names(reply, "", flags, KeyFlags::NAMES);
}

/// Writes a set of simple strings: the names of the flags that are set.
fn names<F: bitflags::Flags + Copy>(
    reply: &mut Reply<'_>,
    prefix: &str,
    flags: F,
    known: &[(F, &'static str)],
) {
    let set = || known.iter().filter(|(flag, _)| flags.contains(*flag));
    reply.set(set().count());
    set().for_each(|(_, name)| reply.simple(&format!("{prefix}{name}")));
}

fn key_spec(reply: &mut Reply<'_>, spec: &KeySpec) {
    reply.map(3 + usize::from(!spec.notes.is_empty()));
    if !spec.notes.is_empty() {
        reply.bulk(b"notes");
        reply.bulk(spec.notes.as_bytes());
    }
    reply.bulk(b"flags");
    key_flags(reply, spec.flags);
    reply.bulk(b"begin_search");
    match spec.begin {
        BeginSearch::Index(index) => typed(reply, "index", &[("index", index as i64)]),
        BeginSearch::Keyword(keyword, start_from) => {
            head(reply, "keyword");
            reply.map(2);
            reply.bulk(b"keyword");
            reply.bulk(keyword.as_bytes());
            reply.bulk(b"startfrom");
            reply.integer(i64::from(start_from));
        }
        BeginSearch::Unknown => typed(reply, "unknown", &[]),
    }
    reply.bulk(b"find_keys");
    match spec.find {
        FindKeys::Range { last, step, limit } => typed(
            reply,
            "range",
            &[("lastkey", i64::from(last)), ("keystep", step as i64), ("limit", limit as i64)],
        ),
        FindKeys::KeyNum { count_at, first, step } => typed(
            reply,
            "keynum",
            &[("keynumidx", count_at as i64), ("firstkey", first as i64), ("keystep", step as i64)],
        ),
        FindKeys::Unknown => typed(reply, "unknown", &[]),
    }
}

fn typed(reply: &mut Reply<'_>, kind: &str, numbers: &[(&str, i64)]) {
    head(reply, kind);
    reply.map(numbers.len());
    for (name, number) in numbers {
        reply.bulk(name.as_bytes());
        reply.integer(*number);
    }
}

fn head(reply: &mut Reply<'_>, kind: &str) {
    reply.map(2);
    reply.bulk(b"type");
    reply.bulk(kind.as_bytes());
    reply.bulk(b"spec");
}

/// Key positions as clients older than key specs know them: first, last, step.
///
/// Source: `populateCommandLegacyRangeSpec` in Redis's `src/server.c`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LegacyRange {
    first: i64,
    last: i64,
    step: i64,
    /// The range does not tell all keys.
    movable: bool,
}

impl LegacyRange {
    fn of(specs: &[KeySpec]) -> LegacyRange {
        let mut merged = LegacyRange::default();
        for spec in specs {
            let (BeginSearch::Index(first), FindKeys::Range { last, step, .. }) = (spec.begin, spec.find)
            else {
                merged.movable = true;
                continue;
            };
            let (first, step) = (first as i64, step as i64);
            let follows = merged.last == 0 || merged.last == first - 1;
            if specs.len() > 1 && (step != 1 || !follows) {
                merged.movable = true;
                continue;
            }
            merged.movable |= spec.flags.contains(KeyFlags::INCOMPLETE);
            if merged.first == 0 {
                merged.first = first;
            }
            merged.step = step;
            let last = if last >= 0 { first + i64::from(last) } else { i64::from(last) };
            // A position counted from the end lies behind every other.
            merged.last =
                if merged.last < 0 || last < 0 { merged.last.min(last) } else { merged.last.max(last) };
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RO: KeyFlags = KeyFlags::RO;

    #[track_caller]
    fn check(specs: &[KeySpec], first: i64, last: i64, step: i64, movable: bool) {
        assert_eq!(LegacyRange::of(specs), LegacyRange { first, last, step, movable });
    }

    #[test]
    fn old_clients_see_one_range() {
        check(&[], 0, 0, 0, false);
        check(&[KeySpec::one(1, RO)], 1, 1, 1, false);
        check(&[KeySpec::range(1, -1, 2, RO)], 1, -1, 2, false);
        check(&[KeySpec::one(1, RO), KeySpec::one(2, RO)], 1, 2, 1, false);
        check(&[KeySpec::one(2, RO), KeySpec::range(3, -1, 1, RO)], 2, -1, 1, false);
        check(&[KeySpec::one(1, RO), KeySpec::one(3, RO)], 1, 1, 1, true);
        check(&[KeySpec::counted(1, RO)], 0, 0, 0, true);
        check(&[KeySpec::one(1, RO), KeySpec::counted(2, RO)], 1, 1, 1, true);
        check(&[KeySpec::one(1, RO.union(KeyFlags::INCOMPLETE))], 1, 1, 1, true);
    }
}
