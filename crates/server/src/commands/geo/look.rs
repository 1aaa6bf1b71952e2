//! GEODIST, GEOHASH, GEOPOS

use swytch_store::{Keyspace, SortedSet};

use super::area::distance_m;
use super::cell::Point;
use super::{POSITION, SHOWN, UNITS, show_distance, show_point, unit_m};
use crate::command::KeySpec;
use crate::command::prelude::*;

const LOOK: CommandSpec = CommandSpec {
    since: "3.2.0",
    group: Group::Geo,
    arity: -2,
    flags: Flags::READONLY,
    categories: Categories::GEO,
    key_specs: &[KeySpec::one(1, SHOWN)],
    arguments: &[Arg::key("key"), Arg::string("member").multiple().optional()],
    complexity: "O(N) for N given members.",
    ..CommandSpec::DEFAULT
};

pub static GEODIST: CommandSpec = CommandSpec {
    name: "geodist",
    summary: "Returns how far two members are from each other on the earth, in metres unless another unit is given, or null when one is absent.",
    complexity: "O(1)",
    arity: -4,
    arguments: &[Arg::key("key"), Arg::string("member1"), Arg::string("member2"), UNITS.optional()],
    reply: ReplyShape::TEXT_OR_NULL,
    handler: Handler::Read(geodist),
    ..LOOK
};

pub static GEOHASH: CommandSpec = CommandSpec {
    name: "geohash",
    summary: "Returns the positions of members as standard geohashes, with null for each absent one.",
    reply: ReplyShape::List(&ReplyShape::TEXT_OR_NULL),
    handler: Handler::Read(|call, keyspace| {
        each(call, keyspace, |call, point| match point {
            Some(point) => call.reply.bulk(&point.geohash()),
            None => call.reply.null(),
        })
    }),
    ..LOOK
};

pub static GEOPOS: CommandSpec = CommandSpec {
    name: "geopos",
    summary: "Returns the longitudes and latitudes of members, with null for each absent one.",
    reply: ReplyShape::List(&ReplyShape::OneOf(&[POSITION, ReplyShape::NullArray])),
    handler: Handler::Read(|call, keyspace| {
        each(call, keyspace, |call, point| match point {
            Some(point) => show_point(call, point),
            None => call.reply.null_array(),
        })
    }),
    ..LOOK
};

fn geodist(call: &mut Call<'_>, keyspace: &Keyspace<'_>) -> CommandResult {
    let unit_m = match call.args.len() {
        4 => 1.0,
        5 => unit_m(call.args.get(4))?,
        _ => return Err(CommandError::Syntax),
    };
    let set = keyspace.get::<SortedSet>(&call.key(1))?;
    let point = |at: usize| set?.score(call.args.get(at)).map(Point::of_score);
    match point(2).zip(point(3)) {
        Some((one, other)) => show_distance(call, distance_m(one, other) / unit_m),
        None => call.reply.null(),
    }
    Ok(())
}

/// Answers for each of the members that are named.
fn each(
    call: &mut Call<'_>,
    keyspace: &Keyspace<'_>,
    show: impl Fn(&mut Call<'_>, Option<Point>),
) -> CommandResult {
    let set = keyspace.get::<SortedSet>(&call.key(1))?;
    let members = call.args.from(2);
    call.reply.array(members.len());
    for member in members {
        show(call, set.and_then(|set| set.score(member)).map(Point::of_score));
    }
    Ok(())
}
