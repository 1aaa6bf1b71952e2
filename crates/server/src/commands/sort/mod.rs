//! SORT, SORT_RO: the elements of a list, a set or a sorted set in the order of numbers or of bytes, by themselves or by
//! values in other keys.
//!
//! Where patterns name other keys, all of them are read under all locks: what is answered is true of one moment. Otherwise
//! only the keys of the request are locked. With LIMIT no more elements are held than are wanted, roughly.

mod pattern;

use std::ops::{ControlFlow, Range};

use swytch_decimal::parse_i64;
use swytch_store::{Elements, Event, Keyspace, KeyspaceMut, List, Member, Set, Side, SortedSet, Text};

use super::string::reply_text;
use crate::command::first::{First, rank_of_number, rank_of_text};
use crate::command::prelude::*;
use crate::command::{BeginSearch, FindKeys, KeySpec, Origin, RequestKeys};
use crate::dispatch::{SlotRule, rights};
use crate::system::escape::up_to_zero;
use crate::system::slot;
use pattern::Pattern;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[&SORT, &SORT_RO];

const SHOWN: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
const STORED: KeyFlags = KeyFlags::OW.union(KeyFlags::UPDATE);

const fn anywhere(flags: KeyFlags, notes: &'static str) -> KeySpec {
    KeySpec { flags, begin: BeginSearch::Unknown, find: FindKeys::Unknown, notes }
}

const KEYS: &[KeySpec] = &[
    KeySpec::one(1, SHOWN),
    anywhere(SHOWN, "what BY and GET lead to, which the elements name"),
    anywhere(STORED, "what STORE names, wherever it stands"),
];

const ARGUMENTS: &[Arg] = &[
    Arg::key("key"),
    Arg::new("by-pattern", ArgKind::KeyPattern(1)).token("BY").display("pattern").optional(),
    Arg::block("limit", &[Arg::integer("offset"), Arg::integer("count")]).token("LIMIT").optional(),
    Arg::new("get-pattern", ArgKind::KeyPattern(1))
        .token("GET")
        .display("pattern")
        .optional()
        .multiple_token(),
    Arg::one_of("order", &[Arg::flag("asc", "ASC"), Arg::flag("desc", "DESC")]).optional(),
    Arg::flag("sorting", "ALPHA").optional(),
    Arg::new("destination", ArgKind::Key(2)).token("STORE").optional(),
];

/// The elements, or what GET finds for each.
const SORTED: ReplyShape = ReplyShape::List(&ReplyShape::TEXT_OR_NULL);

const SPEC: CommandSpec = CommandSpec {
    complexity: "O(N+M*log(M)) for N elements of which M are wanted; O(N) where nothing is sorted.",
    arity: -2,
    categories: Categories::SET
        .union(Categories::SORTED_SET)
        .union(Categories::LIST)
        .union(Categories::DANGEROUS),
    ..CommandSpec::DEFAULT
};

pub static SORT: CommandSpec = CommandSpec {
    name: "sort",
    summary: "Returns the elements of a list, set or sorted set in order, or what is found in the keys that they name, or puts that at a key as a list.",
    flags: Flags::WRITE.union(Flags::DENYOOM),
    key_specs: KEYS,
    keys: Some(|args| keys(args, true)),
    arguments: ARGUMENTS,
    reply: ReplyShape::OneOf(&[SORTED, ReplyShape::Count]),
    handler: Handler::Write(sort),
    ..SPEC
};

pub static SORT_RO: CommandSpec = CommandSpec {
    name: "sort_ro",
    summary: "Returns the elements of a list, set or sorted set in order, or what is found in the keys that they name.",
    since: "7.0.0",
    flags: Flags::READONLY,
    key_specs: KEYS.split_at(2).0,
    keys: Some(|args| keys(args, false)),
    arguments: ARGUMENTS.split_at(6).0,
    reply: SORTED,
    handler: Handler::Read(|call, keyspace| {
        let query = Query::of(call, false)?;
        show(call, keyspace, &query)
    }),
    ..SPEC
};

/// The key to sort and that of the last STORE, which [`Query::parse`] takes for it too.
fn keys(args: &Args<'_>, may_store: bool) -> RequestKeys {
    let (mut stored, mut reaches_any) = (None, false);
    let mut cursor = args.cursor(2);
    while cursor.remaining() > 0 {
        if cursor.word("LIMIT") {
            cursor.next();
            cursor.next();
        } else if cursor.word("BY") || cursor.word("GET") {
            reaches_any |= cursor.next().is_some_and(|text| Pattern::parse(text).names_keys());
        } else if may_store && cursor.remaining() > 1 && cursor.word("STORE") {
            stored = Some((cursor.position(), STORED));
            cursor.next();
        } else {
            cursor.next();
        }
    }
    RequestKeys { named: std::iter::once((1, SHOWN)).chain(stored).collect(), reaches_any }
}

/// Which keys patterns may name.
#[derive(Clone, Copy)]
struct Reach {
    /// Its user may read any.
    has_right: bool,
    /// Those of this slot only.
    slot: Option<u16>,
}

impl Reach {
    #[cfg(test)]
    const ANYWHERE: Reach = Reach { has_right: true, slot: None };

    fn of(call: &mut Call<'_>, rule: SlotRule) -> Reach {
        let slot = (rule == SlotRule::Kept).then(|| slot::of(call.args.get(1)));
        Reach { has_right: rights::reaches_any_key(call), slot }
    }

    fn check_right(self, option: &str) -> CommandResult {
        let text = || format!("ERR {option} option of SORT denied due to insufficient ACL permissions.");
        if self.has_right { Ok(()) } else { Err(CommandError::owned(text())) }
    }

    fn check_slot(self, option: &str, pattern: &Pattern<'_>) -> CommandResult {
        let fits = self.slot.is_none_or(|slot| pattern.keeps_to(slot));
        let text = || {
            format!(
                "ERR {option} option of SORT denied in Cluster mode when keys formed by the pattern may be in different slots."
            )
        };
        if fits { Ok(()) } else { Err(CommandError::owned(text())) }
    }
}

/// What a command is asked for.
#[derive(Debug, Default)]
struct Query<'a> {
    by: Option<Pattern<'a>>,
    /// What is shown of each element instead of itself.
    get: Vec<Pattern<'a>>,
    descending: bool,
    by_bytes: bool,
    /// How many to leave out, and how many to take then.
    limit: Option<(usize, Option<usize>)>,
    /// The argument that is the key to store at.
    store_at: Option<usize>,
}

impl<'a> Query<'a> {
    fn of(call: &mut Call<'a>, may_store: bool) -> Result<Query<'a>, CommandError> {
        let rule = SlotRule::of(call);
        let query = Query::parse(call.args.cursor(2), may_store, Reach::of(call, rule))?;
        if rule == SlotRule::Counted {
            let slot = slot::of(call.args.get(1));
            let elsewhere = query.by.iter().chain(&query.get).filter(|pattern| !pattern.keeps_to(slot));
            elsewhere.for_each(|_| rule.note(call));
        }
        Ok(query)
    }

    fn parse(mut cursor: ArgCursor<'a>, may_store: bool, reach: Reach) -> Result<Query<'a>, CommandError> {
        let mut query = Query::default();
        while cursor.remaining() > 0 {
            let values = cursor.remaining() - 1;
            if cursor.word("ASC") {
                query.descending = false;
            } else if cursor.word("DESC") {
                query.descending = true;
            } else if cursor.word("ALPHA") {
                query.by_bytes = true;
            } else if values >= 2 && cursor.word("LIMIT") {
                let (offset, count) = (cursor.integer()?, cursor.integer()?);
                query.limit = Some((usize::try_from(offset).unwrap_or(0), usize::try_from(count).ok()));
            } else if may_store && values >= 1 && cursor.word("STORE") {
                query.store_at = Some(cursor.position());
                cursor.next();
            } else if values >= 1 && cursor.word("BY") {
                let by = Pattern::parse(cursor.expect()?);
                reach.check_slot("BY", &by)?;
                if by.names_keys() {
                    reach.check_right("BY")?;
                }
                query.by = Some(by);
            } else if values >= 1 && cursor.word("GET") {
                let shown = Pattern::parse(cursor.expect()?);
                reach.check_slot("GET", &shown)?;
                reach.check_right("GET")?;
                query.get.push(shown);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(query)
    }

    /// The ranks, in the order of the result, of what is wanted of so many elements.
    fn wanted(&self, len: usize) -> Range<usize> {
        let (offset, count) = self.limit.unwrap_or((0, None));
        let start = offset.min(len);
        start..count.map_or(len, |count| start.saturating_add(count).min(len))
    }
}

/// What is sorted.
#[derive(Clone, Copy)]
enum Source<'k> {
    List(&'k List),
    Set(&'k Set),
    SortedSet(&'k SortedSet),
}

impl<'k> Source<'k> {
    fn at(call: &Call<'_>, keyspace: &'k Keyspace<'_>) -> Result<Option<Source<'k>>, CommandError> {
        let Some(entry) = keyspace.find(&call.key(1)) else { return Ok(None) };
        let list = entry.collection().map(Source::List);
        let source = list
            .or_else(|| entry.collection().map(Source::Set))
            .or_else(|| entry.collection().map(Source::SortedSet));
        source.map(Some).ok_or(CommandError::WrongType)
    }

    fn len(self) -> usize {
        match self {
            Source::List(list) => list.len(),
            Source::Set(set) => set.len(),
            Source::SortedSet(set) => set.len(),
        }
    }

    /// Takes all elements, in their own order. They are handed over one by one and not by an iterator of whatever kind, which
    /// would write each to memory first: a fifth of the time of SORT.
    fn each<E>(self, take: impl FnMut(Member<'k>) -> Result<(), E>) -> Result<(), E> {
        match self {
            Source::List(list) => list.iter().map(Member::Bytes).try_for_each(take),
            Source::Set(set) => set.iter().try_for_each(take),
            Source::SortedSet(set) => {
                set.iter().map(|scored| Member::Bytes(scored.member)).try_for_each(take)
            }
        }
    }

    /// The elements of some ranks in their own order, from either end; that of a set has none.
    fn range(self, ranks: Range<usize>, reversed: bool) -> Box<dyn Iterator<Item = Member<'k>> + 'k> {
        let (start, count) = (ranks.start, ranks.len());
        match self {
            Source::Set(set) => Box::new(set.iter().skip(start).take(count)),
            Source::List(list) if reversed => {
                Box::new(list.iter_rev().skip(start).take(count).map(Member::Bytes))
            }
            Source::List(list) => Box::new(list.iter_from(start).take(count).map(Member::Bytes)),
            Source::SortedSet(set) if reversed => {
                let members = set.range(set.len() - ranks.end..set.len() - start).rev();
                Box::new(members.map(|scored| Member::Bytes(scored.member)))
            }
            Source::SortedSet(set) => Box::new(set.range(ranks).map(|scored| Member::Bytes(scored.member))),
        }
    }
}

/// What is sorted by, as a number. As in Redis nothing is 0, what is too big for a double is infinite, and a zero byte ends
/// the text.
fn number(text: &[u8]) -> Option<f64> {
    if let Some(integer) = parse_i64(text) {
        return Some(integer as f64);
    }
    match up_to_zero(text) {
        [] => Some(0.0),
        [b'+', ..] => None,
        text => std::str::from_utf8(text).ok()?.parse().ok().filter(|number: &f64| !number.is_nan()),
    }
}

/// The elements that are wanted, in order.
fn sorted<'k>(
    call: &Call<'_>,
    keyspace: &'k Keyspace<'_>,
    query: &Query<'_>,
) -> Result<Vec<Member<'k>>, CommandError> {
    let Some(source) = Source::at(call, keyspace)? else { return Ok(Vec::new()) };
    let len = source.len();
    let wanted = query.wanted(len);
    let names_nothing = query.by.is_some_and(|by| !by.names_keys());
    // What is stored, or done by a script, must not depend on the order in which a set happens to have its members.
    let is_kept = query.store_at.is_some() || call.origin == Origin::Script;
    let is_arbitrary = matches!(source, Source::Set(_)) && is_kept;
    if names_nothing && !is_arbitrary {
        return Ok(source.range(wanted, query.descending).collect());
    }
    let by = query.by.filter(Pattern::names_keys);
    let by_bytes = query.by_bytes || names_nothing;
    let descending = query.descending;
    let look_up = |by: &Pattern<'_>, element: &Member<'_>| by.look_up(keyspace, call.client.db, element);
    if let Some(by) = by.filter(|_| by_bytes) {
        // Nothing comes first.
        let order = |one: &Option<Text<'_>>, other: &Option<Text<'_>>| one.as_deref().cmp(&other.as_deref());
        let mut first = First::new(wanted.end, descending, |(one, _), (other, _)| order(one, other));
        source.each(|element| {
            let text = look_up(&by, &element);
            first.push(rank_of_text(text.as_deref().unwrap_or_default()), (text, element));
            Ok::<_, CommandError>(())
        })?;
        return Ok(first.sorted().skip(wanted.start).map(|(_, element)| element).collect());
    }
    let mut first = First::new(wanted.end, descending, |one: &Member<'_>, other| one.cmp(other));
    source.each(|element| {
        let rank = match by {
            Some(by) => rank_of_number(look_up(&by, &element).map_or(Ok(0.0), |text| weight(&text))?),
            None if by_bytes => rank_of_text(&element),
            None => rank_of_number(weight(&element)?),
        };
        first.push(rank, element);
        Ok::<_, CommandError>(())
    })?;
    Ok(first.sorted().skip(wanted.start).collect())
}

/// The number that a text is, to sort by.
fn weight(text: &[u8]) -> Result<f64, CommandError> {
    let no_number = || CommandError::text("ERR One or more scores can't be converted into double");
    number(text).ok_or_else(no_number)
}

/// Shows what is wanted of the elements, one after the other, as long as `take` goes on: nothing where GET finds nothing.
fn each(
    db: u32,
    keyspace: &Keyspace<'_>,
    query: &Query<'_>,
    elements: &[Member<'_>],
    mut take: impl FnMut(Option<&Text<'_>>) -> ControlFlow<()>,
) {
    _ = elements.iter().try_for_each(|element| {
        let itself = Text::Borrowed(element);
        if query.get.is_empty() {
            return take(Some(&itself));
        }
        query.get.iter().try_for_each(|pattern| match pattern {
            Pattern::Element => take(Some(&itself)),
            named => take(named.look_up(keyspace, db, element).as_ref()),
        })
    });
}

fn show(call: &mut Call<'_>, keyspace: &Keyspace<'_>, query: &Query<'_>) -> CommandResult {
    let elements = sorted(call, keyspace, query)?;
    call.reply.array(elements.len() * query.get.len().max(1));
    each(call.client.db, keyspace, query, &elements, |text| {
        match text {
            Some(text) => reply_text(call, text, 0..text.len()),
            None => call.reply.null(),
        }
        if call.reply.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    Ok(())
}

fn sort(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let query = Query::of(call, true)?;
    let Some(at) = query.store_at else { return show(call, keyspace, &query) };
    let elements = sorted(call, keyspace, &query)?;
    let (mut list, limit) = (List::new(), keyspace.limits().list_node);
    each(call.client.db, keyspace, &query, &elements, |text| {
        list.push(Side::Tail, Elements::One(text.map_or(&[][..], |text| &text[..])), limit);
        ControlFlow::Continue(())
    });
    call.put(keyspace, at, list, Event::list("sortstore"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::OwnedArgs;

    #[test]
    fn numbers_are_read_as_far_as_redis_reads_them() {
        for (text, expected) in [
            ("12", Some(12.0)),
            ("-0.5", Some(-0.5)),
            ("", Some(0.0)),
            ("7\0x", Some(7.0)),
            ("1e400", Some(f64::INFINITY)),
            ("-inf", Some(f64::NEG_INFINITY)),
            ("9223372036854775807", Some(9_223_372_036_854_775_807.0)),
            ("+5", None),
            (" 5", None),
            ("5 ", None),
            ("nan", None),
            ("0x10", None),
            ("five", None),
        ] {
            assert_eq!(number(text.as_bytes()), expected, "{text:?}");
        }
    }

    /// What the handler uses must be what is locked for it.
    #[test]
    fn the_keys_of_a_request_are_those_that_the_command_uses() {
        for (line, stored, reaches_any) in [
            ("sort k", None, false),
            ("sort k BY nosort GET # GET constant STORE d", Some("d"), false),
            ("sort k by w_* STORE d", Some("d"), true),
            ("sort k GET h_*->f", None, true),
            ("sort k STORE a STORE b", Some("b"), false),
            ("sort k STORE GET STORE x", Some("x"), false),
            ("sort k STORE STORE LIMIT 0 1", Some("STORE"), false),
            ("sort k BY STORE GET STORE", None, false),
            ("sort k LIMIT 0 1 STORE BY", Some("BY"), false),
        ] {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            let args = OwnedArgs::from_words(&words);
            let args = args.as_args();
            let found = keys(&args, true);
            let query = Query::parse(args.cursor(2), true, Reach::ANYWHERE).expect("it can be read");
            assert_eq!(found.reaches_any, reaches_any, "{line}");
            let stored_at = found.named.get(1).map(|(at, _)| *at);
            assert_eq!(stored_at, query.store_at, "{line}");
            assert_eq!(stored_at.map(|at| args.get(at)), stored.map(str::as_bytes), "{line}");
        }
    }
}
