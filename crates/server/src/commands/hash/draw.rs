//! HRANDFIELD

use swytch_resp::Protocol;
use swytch_store::Keyspace;

use super::{LOOK, live};
use crate::command::call::{DRAWS_MAX, invertible};
use crate::command::prelude::*;
use crate::system::random::next_u64;

pub static HRANDFIELD: CommandSpec = CommandSpec {
    name: "hrandfield",
    summary: "Returns fields of a hash, chosen at random; with a negative count the same one may come again.",
    since: "6.2.0",
    complexity: "O(N) for N fields returned.",
    arity: -2,
    flags: Flags::READONLY,
    arguments: &[
        Arg::key("key"),
        Arg::block("options", &[Arg::integer("count"), Arg::flag("withvalues", "WITHVALUES").optional()])
            .optional(),
    ],
    tips: &["nondeterministic_output"],
    reply: ReplyShape::OneOf(&[
        ReplyShape::Text,
        ReplyShape::Null,
        ReplyShape::TEXTS,
        ReplyShape::List(&ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::Text])),
    ]),
    handler: Handler::Read(hrandfield),
    ..LOOK
};

fn hrandfield(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let out_of_range = || CommandError::text("ERR value is out of range");
    let Some(count) = call.args.try_get(2) else {
        let drawn = live(call, keyspace)?.map(|hash| hash.draw(1, true, &mut next_u64));
        call.reply.bulk_or_null(drawn.unwrap_or_default().first().map(|field| field.name));
        return Ok(());
    };
    let count = invertible(count)?;
    let mut options = call.args.cursor(3);
    let with_values = options.word("WITHVALUES");
    options.end()?;
    if with_values && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(out_of_range());
    }
    let times = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let drawn = match live(call, keyspace)? {
        None => Vec::new(),
        Some(_) if count < 0 && times > DRAWS_MAX => return Err(out_of_range()),
        Some(hash) => hash.draw(times, count < 0, &mut next_u64),
    };
    let is_nested = with_values && call.client.protocol == Protocol::Resp3;
    call.reply.array(if with_values && !is_nested { 2 * drawn.len() } else { drawn.len() });
    for field in drawn {
        if is_nested {
            call.reply.array(2);
        }
        call.reply.bulk(field.name);
        if with_values {
            call.reply.bulk(field.value);
        }
    }
    Ok(())
}
