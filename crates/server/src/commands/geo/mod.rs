//! Commands on positions: members of a sorted set whose scores stand for places on the earth.
//!
//! There is no type of its own. `cell` makes scores of positions and positions of scores, `area` says what lies in a
//! circle or a box and in which ranges of scores; the rest is a sorted set's.

pub mod add;
mod area;
mod cell;
pub mod look;
pub mod search;

use cell::Point;

use crate::command::prelude::*;

/// The commands of this group.
pub const SPECS: &[&CommandSpec] = &[
    &add::GEOADD,
    &look::GEODIST,
    &look::GEOHASH,
    &look::GEOPOS,
    &search::GEORADIUS,
    &search::GEORADIUS_RO,
    &search::GEORADIUSBYMEMBER,
    &search::GEORADIUSBYMEMBER_RO,
    &search::GEOSEARCH,
    &search::GEOSEARCHSTORE,
];

/// How a command uses a key whose positions it shows.
const SHOWN: KeyFlags = KeyFlags::RO.union(KeyFlags::ACCESS);

const UNITS: Arg = Arg::one_of(
    "unit",
    &[Arg::flag("m", "M"), Arg::flag("km", "KM"), Arg::flag("ft", "FT"), Arg::flag("mi", "MI")],
);

/// A position as it is answered.
const POSITION: ReplyShape = ReplyShape::Tuple(&[ReplyShape::Double, ReplyShape::Double]);

/// Reads a longitude and a latitude.
fn point(cursor: &mut ArgCursor<'_>) -> Result<Point, CommandError> {
    let mut double = || swytch_decimal::parse_double(cursor.expect()?).ok_or(CommandError::NotAFloat);
    let (longitude, latitude) = (double()?, double()?);
    Point::new(longitude, latitude).ok_or_else(|| {
        CommandError::owned(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}"))
    })
}

/// Reads a unit of length: the metres in one.
fn unit_m(word: &[u8]) -> Result<f64, CommandError> {
    const METRES: [(&str, f64); 4] = [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)];
    let found = METRES.iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
    found
        .map(|(_, metres)| *metres)
        .ok_or_else(|| CommandError::text("ERR unsupported unit provided. please use M, KM, FT, MI"))
}

/// Answers with a distance: a text in both protocols, to a ten-thousandth.
fn show_distance(call: &mut Call<'_>, distance: f64) {
    let parts = (distance * 10_000.0).round_ties_even() as u64;
    call.reply.bulk(format!("{}.{:04}", parts / 10_000, parts % 10_000).as_bytes());
}

/// Answers with a position.
fn show_point(call: &mut Call<'_>, point: Point) {
    call.reply.array(2);
    call.reply.double(point.longitude);
    call.reply.double(point.latitude);
}
