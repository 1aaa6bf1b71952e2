//! Commands on sorted sets.

pub mod add;
pub mod algebra;
pub mod blocking;
pub mod bounds;
pub mod draw;
pub mod look;
pub mod pop;
pub mod range;
pub mod remove;
pub mod scan;

use swytch_resp::Reply;
use swytch_store::Scored;

use crate::command::prelude::*;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[
    &blocking::BZMPOP,
    &blocking::BZPOPMAX,
    &blocking::BZPOPMIN,
    &add::ZADD,
    &look::ZCARD,
    &look::ZCOUNT,
    &algebra::ZDIFF,
    &algebra::ZDIFFSTORE,
    &add::ZINCRBY,
    &algebra::ZINTER,
    &algebra::ZINTERCARD,
    &algebra::ZINTERSTORE,
    &look::ZLEXCOUNT,
    &pop::ZMPOP,
    &look::ZMSCORE,
    &pop::ZPOPMAX,
    &pop::ZPOPMIN,
    &draw::ZRANDMEMBER,
    &range::ZRANGE,
    &range::ZRANGEBYLEX,
    &range::ZRANGEBYSCORE,
    &range::ZRANGESTORE,
    &look::ZRANK,
    &remove::ZREM,
    &remove::ZREMRANGEBYLEX,
    &remove::ZREMRANGEBYRANK,
    &remove::ZREMRANGEBYSCORE,
    &range::ZREVRANGE,
    &range::ZREVRANGEBYLEX,
    &range::ZREVRANGEBYSCORE,
    &look::ZREVRANK,
    &scan::ZSCAN,
    &look::ZSCORE,
    &algebra::ZUNION,
    &algebra::ZUNIONSTORE,
];

/// How a command uses a key whose members it shows.
const SHOWN: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);
/// How a command uses a key that it takes members from.
const TAKEN_FROM: KeyFlags = KeyFlags::RW.union(KeyFlags::ACCESS).union(KeyFlags::DELETE);

/// Answers with members, alone or each with its score.
fn show<'m>(reply: &mut Reply<'_>, members: impl ExactSizeIterator<Item = Scored<'m>>, with_scores: bool) {
    if !with_scores {
        reply.array(members.len());
        return members.for_each(|scored| reply.bulk(scored.member));
    }
    reply.pairs(members.len());
    members.for_each(|scored| {
        reply.pair();
        reply.bulk(scored.member);
        reply.double(scored.score);
    });
}
