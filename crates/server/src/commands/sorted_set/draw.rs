//! ZRANDMEMBER: members by chance.

use swytch_store::{Keyspace, SortedSet};

use super::{SHOWN, show};
use crate::command::KeySpec;
use crate::command::call::{DRAWS_MAX, invertible};
use crate::command::prelude::*;
use crate::system::random::next_u64;

const OPTIONS: &[Arg] = &[Arg::integer("count"), Arg::flag("withscores", "WITHSCORES").optional()];

pub static ZRANDMEMBER: CommandSpec = CommandSpec {
    name: "zrandmember",
    summary: "Returns members of a sorted set, chosen at random; with a negative count the same one may come again.",
    since: "6.2.0",
    group: Group::SortedSet,
    complexity: "O(N*log(M)) for N members returned of a sorted set of M.",
    arity: -2,
    flags: Flags::READONLY,
    categories: Categories::SORTED_SET,
    key_specs: &[KeySpec::one(1, SHOWN)],
    arguments: &[Arg::key("key"), Arg::block("options", OPTIONS).optional()],
    tips: &["nondeterministic_output"],
    reply: ReplyShape::OneOf(&[ReplyShape::Text, ReplyShape::Null, ReplyShape::TEXTS, ReplyShape::SCORED]),
    handler: Handler::Read(zrandmember),
    ..CommandSpec::DEFAULT
};

fn zrandmember(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let mut options = call.args.cursor(2);
    let Some(count) = options.next() else {
        match keyspace.get::<SortedSet>(&call.key(1))? {
            Some(set) => call.reply.bulk(set.random(&mut next_u64).member),
            None => call.reply.null(),
        }
        return Ok(());
    };
    let count = invertible(count)?;
    let with_scores = options.word("WITHSCORES");
    options.end()?;
    let out_of_range = || CommandError::text("ERR value is out of range");
    if with_scores && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(out_of_range());
    }
    let set = keyspace.get::<SortedSet>(&call.key(1))?;
    match (usize::try_from(count), set) {
        (_, None) => call.reply.array(0),
        (Ok(count), Some(set)) => {
            show(&mut call.reply, set.sample(count, &mut next_u64).into_iter(), with_scores);
        }
        (Err(_), Some(set)) => {
            let count = count.unsigned_abs() as usize;
            if count > DRAWS_MAX {
                return Err(out_of_range());
            }
            show(&mut call.reply, (0..count).map(|_| set.random(&mut next_u64)), with_scores);
        }
    }
    Ok(())
}
