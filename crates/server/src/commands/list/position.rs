//! LINDEX, LPOS

use swytch_store::{Keyspace, List, range};

use crate::command::KeySpec;
use crate::command::call::invertible;
use crate::command::prelude::*;

pub static LINDEX: CommandSpec = CommandSpec {
    name: "lindex",
    summary: "Returns the element at a position of a list; a negative position counts from the end.",
    since: "1.0.0",
    group: Group::List,
    complexity: "O(N) for a position N elements from the nearer end.",
    arity: 3,
    flags: Flags::READONLY,
    categories: Categories::LIST,
    key_specs: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    arguments: &[Arg::key("key"), Arg::integer("index")],
    reply: ReplyShape::TEXT_OR_NULL,
    handler: Handler::Read(lindex),
    ..CommandSpec::DEFAULT
};

pub static LPOS: CommandSpec = CommandSpec {
    name: "lpos",
    summary: "Finds the positions at which a value occurs in a list.",
    since: "6.0.6",
    group: Group::List,
    complexity: "O(N) for a list of N elements; less when it finds enough matches early, or with MAXLEN.",
    arity: -3,
    flags: Flags::READONLY,
    categories: Categories::LIST,
    key_specs: &[KeySpec::one(1, KeyFlags::RO.union(KeyFlags::ACCESS))],
    arguments: &[
        Arg::key("key"),
        Arg::string("element"),
        Arg::integer("rank").token("RANK").optional(),
        Arg::integer("num-matches").token("COUNT").optional(),
        Arg::integer("len").token("MAXLEN").optional(),
    ],
    reply: ReplyShape::OneOf(&[ReplyShape::Count, ReplyShape::Null, ReplyShape::List(&ReplyShape::Count)]),
    handler: Handler::Read(lpos),
    ..CommandSpec::DEFAULT
};

fn lindex(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let element = match keyspace.get::<List>(&call.key(1))? {
        None => None,
        Some(list) => range::index(call.args.integer(2)?, list.len()).and_then(|index| list.get(index)),
    };
    call.reply.bulk_or_null(element);
    Ok(())
}

/// What LPOS is to find.
#[derive(Debug, PartialEq)]
struct Search {
    /// Skip matches before this one, counted from 1.
    rank: u64,
    /// Search from the tail.
    backwards: bool,
    /// Most matches to return, 0 for all; without COUNT a single one, not as an array.
    count: Option<usize>,
    /// Most elements to compare.
    len_max: usize,
}

impl Search {
    fn parse(args: &Args<'_>) -> Result<Search, CommandError> {
        let mut search = Search { rank: 1, backwards: false, count: None, len_max: usize::MAX };
        let mut cursor = args.cursor(3);
        while cursor.remaining() > 1 {
            if cursor.word("RANK") {
                let rank = invertible(cursor.expect()?)?;
                if rank == 0 {
                    return Err(CommandError::text(
                        "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list",
                    ));
                }
                search.rank = rank.unsigned_abs();
                search.backwards = rank < 0;
            } else if cursor.word("COUNT") {
                search.count = Some(not_negative(cursor.expect()?, "ERR COUNT can't be negative")?);
            } else if cursor.word("MAXLEN") {
                let len_max = not_negative(cursor.expect()?, "ERR MAXLEN can't be negative")?;
                search.len_max = if len_max == 0 { usize::MAX } else { len_max };
            } else {
                return Err(CommandError::Syntax);
            }
        }
        cursor.end()?;
        Ok(search)
    }

    /// Positions, from where the search begins, of the elements to return.
    fn matches<'a>(&self, elements: impl Iterator<Item = &'a [u8]>, wanted: &[u8]) -> Vec<usize> {
        let limit = match self.count {
            None => 1,
            Some(0) => usize::MAX,
            Some(count) => count,
        };
        elements
            .take(self.len_max)
            .enumerate()
            .filter(|(_, element)| *element == wanted)
            .map(|(at, _)| at)
            .skip(usize::try_from(self.rank - 1).unwrap_or(usize::MAX))
            .take(limit)
            .collect()
    }
}

fn not_negative(argument: &[u8], otherwise: &'static str) -> Result<usize, CommandError> {
    swytch_decimal::parse_i64(argument)
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| CommandError::text(otherwise))
}

fn lpos(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let search = Search::parse(&call.args)?;
    let wanted = call.args.get(2);
    let mut found = Vec::new();
    if let Some(list) = keyspace.get::<List>(&call.key(1))? {
        if search.backwards {
            found = search.matches(list.iter_rev(), wanted);
            found.iter_mut().for_each(|at| *at = list.len() - 1 - *at);
        } else {
            found = search.matches(list.iter(), wanted);
        }
    }
    if search.count.is_some() {
        call.reply.array(found.len());
        found.iter().for_each(|at| call.reply.count(*at));
    } else {
        match found.first() {
            Some(at) => call.reply.count(*at),
            None => call.reply.null(),
        }
    }
    Ok(())
}
