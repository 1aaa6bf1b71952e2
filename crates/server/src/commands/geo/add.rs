//! GEOADD

use swytch_store::{Condition, KeyspaceMut, Scored};

use super::point;
use crate::command::KeySpec;
use crate::command::prelude::*;
use crate::commands::sorted_set::add::put_scores;

const CONDITIONS: &[Arg] = &[Arg::flag("nx", "NX"), Arg::flag("xx", "XX")];
const DATA: &[Arg] = &[Arg::double("longitude"), Arg::double("latitude"), Arg::string("member")];

pub static GEOADD: CommandSpec = CommandSpec {
    name: "geoadd",
    summary: "Gives members of a sorted set positions, as scores, and returns how many are new; an absent one is created.",
    since: "3.2.0",
    group: Group::Geo,
    complexity: "O(N*log(M)) for N given members and a sorted set of M.",
    arity: -5,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    categories: Categories::GEO,
    key_specs: &[KeySpec::one(1, KeyFlags::RW.union(KeyFlags::UPDATE))],
    arguments: &[
        Arg::key("key"),
        Arg::one_of("condition", CONDITIONS).optional().since("6.2.0"),
        Arg::flag("change", "CH").optional().since("6.2.0"),
        Arg::block("data", DATA).multiple(),
    ],
    history: &[("6.2.0", "NX, XX and CH.")],
    reply: ReplyShape::Count,
    handler: Handler::Write(geoadd),
    ..CommandSpec::DEFAULT
};

fn geoadd(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let mut cursor = call.args.cursor(2);
    let (mut nx, mut xx, mut counts_changes) = (false, false, false);
    loop {
        if cursor.word("NX") {
            nx = true;
        } else if cursor.word("XX") {
            xx = true;
        } else if cursor.word("CH") {
            counts_changes = true;
        } else {
            break;
        }
    }
    let words = cursor.remaining();
    if words == 0 || !words.is_multiple_of(3) || nx && xx {
        return Err(CommandError::Syntax);
    }
    let members: Vec<Scored<'_>> = (0..words / 3)
        .map(|_| Ok(Scored { score: point(&mut cursor)?.score(), member: cursor.expect()? }))
        .collect::<Result<_, CommandError>>()?;
    let when = Condition { is_new: (nx || xx).then_some(nx), compares: None };
    put_scores(call, keyspace, &members, when, counts_changes)
}
