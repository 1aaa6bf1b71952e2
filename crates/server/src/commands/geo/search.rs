//! GEOSEARCH, GEOSEARCHSTORE, and what they replace: GEORADIUS and GEORADIUSBYMEMBER with their forms that only read.

use std::cmp::Ordering;
use swytch_store::{Cut, Event, Keyspace, KeyspaceMut, Scored, SortedSet, Spot};

use super::area::{Area, Extent};
use super::cell::Point;
use super::{POSITION, SHOWN, UNITS, point, show_distance, show_point, unit_m};
use crate::command::first::{First, rank_of_number};
use crate::command::prelude::*;
use crate::command::{BeginSearch, KeySpec, RequestKeys};

const SEARCH: CommandSpec = CommandSpec {
    group: Group::Geo,
    complexity: "O(N+log(M)) for N members about the area and a sorted set of M.",
    flags: Flags::READONLY,
    categories: Categories::GEO,
    key_specs: &[KeySpec::one(1, SHOWN)],
    reply: FOUND,
    ..CommandSpec::DEFAULT
};

const RADIUS: CommandSpec = CommandSpec {
    since: "3.2.0",
    history: &[("6.2.0", "ANY behind COUNT."), ("7.0.0", "Units in upper case.")],
    flags: Flags::WRITE.union(Flags::DENYOOM),
    reply: ReplyShape::OneOf(&[FOUND, ReplyShape::Count]),
    keys: Some(radius_keys),
    ..SEARCH
};

const RADIUS_RO: CommandSpec =
    CommandSpec { since: "3.2.10", flags: SEARCH.flags, reply: FOUND, keys: None, ..RADIUS };

const STORED: KeyFlags = KeyFlags::OW.union(KeyFlags::UPDATE);
const COORDINATES: [Arg; 2] = [Arg::double("longitude"), Arg::double("latitude")];
const RADIUS_ARG: Arg = Arg::double("radius");
const WITH: [Arg; 3] = [
    Arg::flag("withcoord", "WITHCOORD").optional(),
    Arg::flag("withdist", "WITHDIST").optional(),
    Arg::flag("withhash", "WITHHASH").optional(),
];
const COUNT_ARG: Arg = Arg::integer("count").token("COUNT");
const ANY: Arg = Arg::flag("any", "ANY").optional();
const COUNT: Arg = Arg::block("count-block", &[COUNT_ARG, ANY]).optional();
const COUNT_OF_RADIUS: Arg = Arg::block("count-block", &[COUNT_ARG, ANY.since("6.2.0")]).optional();
const ORDER: Arg = Arg::one_of("order", &[Arg::flag("asc", "ASC"), Arg::flag("desc", "DESC")]).optional();
const STORE: Arg = Arg::one_of(
    "store",
    &[
        Arg::new("storekey", ArgKind::Key(1)).token("STORE").display("key"),
        Arg::new("storedistkey", ArgKind::Key(2)).token("STOREDIST").display("key"),
    ],
)
.optional();
const FROM: Arg = Arg::one_of(
    "from",
    &[Arg::string("member").token("FROMMEMBER"), Arg::block("fromlonlat", &COORDINATES).token("FROMLONLAT")],
);
const BY: Arg = Arg::one_of(
    "by",
    &[
        Arg::block("circle", &[RADIUS_ARG.token("BYRADIUS"), UNITS]),
        Arg::block("box", &[Arg::double("width").token("BYBOX"), Arg::double("height"), UNITS]),
    ],
);

/// What is answered of a member: itself, or it with its distance, its score as an integer, and its position.
const FOUND: ReplyShape = ReplyShape::List(&ReplyShape::OneOf(&[
    ReplyShape::Text,
    ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::Text]),
    ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::Integer]),
    ReplyShape::Tuple(&[ReplyShape::Text, POSITION]),
    ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::Text, ReplyShape::Integer]),
    ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::Text, POSITION]),
    ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::Integer, POSITION]),
    ReplyShape::Tuple(&[ReplyShape::Text, ReplyShape::Text, ReplyShape::Integer, POSITION]),
]));

pub static GEOSEARCH: CommandSpec = CommandSpec {
    name: "geosearch",
    summary: "Returns the members in a circle or a box around a position or a member.",
    since: "6.2.0",
    arity: -7,
    arguments: &[Arg::key("key"), FROM, BY, ORDER, COUNT, WITH[0], WITH[1], WITH[2]],
    history: &[("7.0.0", "Units in upper case.")],
    handler: Handler::Read(|call, keyspace| search(call, keyspace, Form::SEARCH).map(drop)),
    ..SEARCH
};

pub static GEOSEARCHSTORE: CommandSpec = CommandSpec {
    name: "geosearchstore",
    summary: "Puts the members in a circle or a box at a key, whatever was there, with their positions or distances as scores, and returns how many they are; for none the key is deleted.",
    since: "6.2.0",
    complexity: "O(N*log(N)+log(M)) for N members about the area and a sorted set of M.",
    arity: -8,
    flags: Flags::WRITE.union(Flags::DENYOOM),
    key_specs: &[KeySpec::one(1, STORED), KeySpec::one(2, SHOWN)],
    arguments: &[
        Arg::key("destination"),
        Arg::new("source", ArgKind::Key(1)),
        FROM,
        BY,
        ORDER,
        COUNT,
        Arg::flag("storedist", "STOREDIST").optional(),
    ],
    history: GEOSEARCH.history,
    reply: ReplyShape::Count,
    handler: Handler::Write(|call, keyspace| search_or_store(call, keyspace, Form::SEARCH_STORE)),
    ..SEARCH
};

pub static GEORADIUS: CommandSpec = CommandSpec {
    name: "georadius",
    summary: "Returns the members within a distance of a position, or puts them at a key.",
    arity: -6,
    key_specs: &[KeySpec::one(1, SHOWN), stored_behind("STORE", 6), stored_behind("STOREDIST", 6)],
    arguments: &[
        Arg::key("key"),
        COORDINATES[0],
        COORDINATES[1],
        RADIUS_ARG,
        UNITS,
        WITH[0],
        WITH[1],
        WITH[2],
        COUNT_OF_RADIUS,
        ORDER,
        STORE,
    ],
    deprecated: Some(("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` argument")),
    handler: Handler::Write(|call, keyspace| search_or_store(call, keyspace, Form::RADIUS)),
    ..RADIUS
};

pub static GEORADIUS_RO: CommandSpec = CommandSpec {
    name: "georadius_ro",
    summary: "Returns the members within a distance of a position.",
    arity: -6,
    arguments: all_but_last(GEORADIUS.arguments),
    deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` argument")),
    handler: Handler::Read(|call, keyspace| search(call, keyspace, Form::RADIUS_RO).map(drop)),
    ..RADIUS_RO
};

pub static GEORADIUSBYMEMBER: CommandSpec = CommandSpec {
    name: "georadiusbymember",
    summary: "Returns the members within a distance of another one, or puts them at a key.",
    arity: -5,
    key_specs: &[KeySpec::one(1, SHOWN), stored_behind("STORE", 5), stored_behind("STOREDIST", 5)],
    arguments: &[
        Arg::key("key"),
        Arg::string("member"),
        RADIUS_ARG,
        UNITS,
        WITH[0],
        WITH[1],
        WITH[2],
        COUNT,
        ORDER,
        STORE,
    ],
    deprecated: Some((
        "6.2.0",
        "`GEOSEARCH` and `GEOSEARCHSTORE` with the `BYRADIUS` and `FROMMEMBER` arguments",
    )),
    handler: Handler::Write(|call, keyspace| search_or_store(call, keyspace, Form::RADIUS_BY_MEMBER)),
    ..RADIUS
};

pub static GEORADIUSBYMEMBER_RO: CommandSpec = CommandSpec {
    name: "georadiusbymember_ro",
    summary: "Returns the members within a distance of another one.",
    arity: -5,
    arguments: all_but_last(GEORADIUSBYMEMBER.arguments),
    deprecated: Some(("6.2.0", "`GEOSEARCH` with the `BYRADIUS` and `FROMMEMBER` arguments")),
    handler: Handler::Read(|call, keyspace| search(call, keyspace, Form::RADIUS_BY_MEMBER_RO).map(drop)),
    ..RADIUS_RO
};

/// Arguments without the last, which says where to store.
const fn all_but_last(arguments: &'static [Arg]) -> &'static [Arg] {
    match arguments {
        [all @ .., _] => all,
        [] => arguments,
    }
}

const fn stored_behind(word: &'static str, from: i32) -> KeySpec {
    KeySpec { begin: BeginSearch::Keyword(word, from), ..KeySpec::one(0, STORED) }
}

/// The key, and the last one that anything is to be stored at. What is done to them is not told, as in Redis.
fn radius_keys(args: &Args<'_>) -> RequestKeys {
    let mut stored = None;
    let mut cursor = args.cursor(5);
    while cursor.remaining() > 1 {
        if cursor.word("STORE") || cursor.word("STOREDIST") {
            stored = Some(cursor.position());
        }
        cursor.next();
    }
    let named = std::iter::once(1).chain(stored).map(|at| (at, KeyFlags::empty())).collect();
    RequestKeys { named, ..RequestKeys::default() }
}

/// What a command takes.
#[derive(Clone, Copy, Debug)]
struct Form {
    around: Around,
    stores: Stores,
}

/// How the middle of the area is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Around {
    /// A position comes first, and a radius.
    Position,
    /// A member comes first, and a radius.
    Member,
    /// Among the options, as what the area is.
    Options,
}

/// Whether the result is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stores {
    Never,
    /// If options say so.
    Perhaps,
    /// At the first key.
    Always,
}

impl Form {
    const RADIUS: Form = Form { around: Around::Position, stores: Stores::Perhaps };
    const RADIUS_RO: Form = Form { around: Around::Position, stores: Stores::Never };
    const RADIUS_BY_MEMBER: Form = Form { around: Around::Member, stores: Stores::Perhaps };
    const RADIUS_BY_MEMBER_RO: Form = Form { around: Around::Member, stores: Stores::Never };
    const SEARCH: Form = Form { around: Around::Options, stores: Stores::Never };
    const SEARCH_STORE: Form = Form { around: Around::Options, stores: Stores::Always };

    /// The argument that is the key to search.
    fn source(self) -> usize {
        if self.stores == Stores::Always { 2 } else { 1 }
    }
}

/// What a command is asked for.
#[derive(Debug, Default)]
struct Query {
    /// Not known where a member is named and there is no key.
    centre: Option<Point>,
    /// What said where it is.
    around: Option<Around>,
    /// How far the area reaches, and the metres of its unit.
    extent: Option<(Extent, f64)>,
    with_distance: bool,
    with_score: bool,
    with_position: bool,
    /// The nearest first, or last.
    nearest_first: Option<bool>,
    count: Option<usize>,
    /// Any will do, as long as they are enough.
    any: bool,
    /// The argument that is the key to store at.
    store_at: Option<usize>,
    stores_distances: bool,
}

impl Query {
    /// Reads what follows the key. As in Redis a member is looked up as soon as it is named, and does not matter where there
    /// is no key, nor does a radius behind it.
    fn parse(call: &Call<'_>, form: Form, set: Option<&SortedSet>) -> Result<Query, CommandError> {
        let mut query = Query::default();
        let mut cursor = call.args.cursor(form.source() + 1);
        match form.around {
            Around::Position => {
                query.centre = Some(point(&mut cursor)?);
                query.extent = Some(circle(&mut cursor)?);
            }
            Around::Member => {
                query.centre = member(&mut cursor, set)?;
                if set.is_some() {
                    query.extent = Some(circle(&mut cursor)?);
                } else {
                    cursor.expect()?;
                    cursor.expect()?;
                }
            }
            Around::Options => {}
        }
        query.store_at = (form.stores == Stores::Always).then_some(1);
        while cursor.remaining() > 0 {
            if !query.option(&mut cursor, form)? && !query.area(&mut cursor, form, set)? {
                return Err(CommandError::Syntax);
            }
        }
        query.check(call, form)?;
        Ok(query)
    }

    /// Reads an option that says what becomes of the members found; false if it is none.
    fn option(&mut self, cursor: &mut ArgCursor<'_>, form: Form) -> Result<bool, CommandError> {
        let has_value = cursor.remaining() > 1;
        if cursor.word("WITHDIST") {
            self.with_distance = true;
        } else if cursor.word("WITHHASH") {
            self.with_score = true;
        } else if cursor.word("WITHCOORD") {
            self.with_position = true;
        } else if cursor.word("ANY") {
            self.any = true;
        } else if cursor.word("ASC") {
            self.nearest_first = Some(true);
        } else if cursor.word("DESC") {
            self.nearest_first = Some(false);
        } else if has_value && cursor.word("COUNT") {
            let count = usize::try_from(cursor.integer()?).ok().filter(|count| *count > 0);
            self.count = Some(count.ok_or_else(|| CommandError::text("ERR COUNT must be > 0"))?);
        } else if form.stores == Stores::Always && cursor.word("STOREDIST") {
            self.stores_distances = true;
        } else if form.stores == Stores::Perhaps && has_value {
            self.stores_distances = cursor.word("STOREDIST");
            if !self.stores_distances && !cursor.word("STORE") {
                return Ok(false);
            }
            self.store_at = Some(cursor.position());
            cursor.next();
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Reads an option that says where to search, and nothing against another one; false if it is none.
    fn area(
        &mut self,
        cursor: &mut ArgCursor<'_>,
        form: Form,
        set: Option<&SortedSet>,
    ) -> Result<bool, CommandError> {
        let values = cursor.remaining() - 1;
        let is_circle = matches!(self.extent, Some((Extent::Circle { .. }, _)));
        let is_box = matches!(self.extent, Some((Extent::Box { .. }, _)));
        if form.around != Around::Options {
            return Ok(false);
        }
        if values >= 1 && self.around != Some(Around::Position) && cursor.word("FROMMEMBER") {
            (self.centre, self.around) = (member(cursor, set)?, Some(Around::Member));
        } else if values >= 2 && self.around != Some(Around::Member) && cursor.word("FROMLONLAT") {
            (self.centre, self.around) = (Some(point(cursor)?), Some(Around::Position));
        } else if values >= 2 && !is_box && cursor.word("BYRADIUS") {
            self.extent = Some(circle(cursor)?);
        } else if values >= 3 && !is_circle && cursor.word("BYBOX") {
            self.extent = Some(rectangle(cursor)?);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn check(&self, call: &Call<'_>, form: Form) -> CommandResult {
        if self.store_at.is_some() && (self.with_distance || self.with_score || self.with_position) {
            return Err(CommandError::text(match form.around {
                Around::Options => {
                    "ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
                }
                _ => {
                    "ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
                }
            }));
        }
        let missing = |text| Err(CommandError::quoting(text, call.args.get(0), ""));
        if form.around == Around::Options && self.around.is_none() {
            return missing("ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for ");
        }
        if form.around == Around::Options && self.extent.is_none() {
            return missing("ERR exactly one of BYRADIUS and BYBOX can be specified for ");
        }
        if self.any && self.count.is_none() {
            return Err(CommandError::text("ERR the ANY argument requires COUNT argument"));
        }
        Ok(())
    }

    /// Searches the ranges of scores that the cells about the area are.
    fn hits(&self, set: &SortedSet, area: &Area) -> Vec<Hit> {
        let hits = area.cells().into_iter().flat_map(|cell| {
            let (from, below) = cell.scores();
            set.spots(set.with_scores(Cut::Before(from), Cut::Before(below)))
        });
        let hits = hits.filter_map(|spot| {
            let point = Point::of_score(spot.score);
            Some(Hit { spot, point, distance_m: area.distance_within_m(point)? })
        });
        let any = self.count.filter(|_| self.any).unwrap_or(usize::MAX);
        let few = self.count.filter(|_| !self.any);
        // The members that are wanted are the nearest ones, unless something else is said.
        let nearest_first = match self.nearest_first.or_else(|| few.map(|_| true)) {
            None => return hits.take(any).collect(),
            Some(nearest_first) => nearest_first,
        };
        let same_distance = |_: &Hit, _: &Hit| Ordering::Equal;
        let mut first = First::new(few.unwrap_or(usize::MAX), !nearest_first, same_distance);
        hits.take(any).for_each(|hit| first.push(rank_of_number(hit.distance_m), hit));
        first.sorted().collect()
    }

    fn show(&self, call: &mut Call<'_>, member: &[u8], hit: &Hit, distance: f64) {
        let with = [self.with_distance, self.with_score, self.with_position];
        let parts = with.into_iter().filter(|is_wanted| *is_wanted).count();
        if parts > 0 {
            call.reply.array(1 + parts);
        }
        call.reply.bulk(member);
        if self.with_distance {
            show_distance(call, distance);
        }
        if self.with_score {
            call.reply.integer(hit.spot.score as i64);
        }
        if self.with_position {
            show_point(call, hit.point);
        }
    }
}

/// A member that was found.
#[derive(Clone, Copy, Debug)]
struct Hit {
    spot: Spot,
    point: Point,
    /// How far it is from the middle of the area.
    distance_m: f64,
}

/// Reads a member and finds its position, unless there is no key.
fn member(cursor: &mut ArgCursor<'_>, set: Option<&SortedSet>) -> Result<Option<Point>, CommandError> {
    let (member, Some(set)) = (cursor.expect()?, set) else { return Ok(None) };
    match set.score(member) {
        Some(score) => Ok(Some(Point::of_score(score))),
        None => Err(CommandError::text("ERR could not decode requested zset member")),
    }
}

fn length(cursor: &mut ArgCursor<'_>, otherwise: &'static str) -> Result<f64, CommandError> {
    swytch_decimal::parse_double(cursor.expect()?).ok_or_else(|| CommandError::text(otherwise))
}

/// Reads a radius and its unit.
fn circle(cursor: &mut ArgCursor<'_>) -> Result<(Extent, f64), CommandError> {
    let radius = length(cursor, "ERR need numeric radius")?;
    if radius < 0.0 {
        return Err(CommandError::text("ERR radius cannot be negative"));
    }
    Ok((Extent::Circle { radius }, unit_m(cursor.expect()?)?))
}

/// Reads a width, a height and their unit.
fn rectangle(cursor: &mut ArgCursor<'_>) -> Result<(Extent, f64), CommandError> {
    let width = length(cursor, "ERR need numeric width")?;
    let height = length(cursor, "ERR need numeric height")?;
    if width < 0.0 || height < 0.0 {
        return Err(CommandError::text("ERR height or width cannot be negative"));
    }
    Ok((Extent::Box { width, height }, unit_m(cursor.expect()?)?))
}

/// Searches, and answers or makes what is to be stored, with the argument that is its key.
fn search(
    call: &mut Call<'_>,
    keyspace: &Keyspace<'_>,
    form: Form,
) -> Result<Option<(usize, SortedSet)>, CommandError> {
    let set = keyspace.get::<SortedSet>(&call.key(form.source()))?;
    let query = Query::parse(call, form, set)?;
    let area = query.centre.zip(query.extent);
    let area = area.map(|(centre, (extent, unit_m))| Area::new(centre, extent, unit_m));
    let Some((set, area)) = set.zip(area) else {
        if query.store_at.is_none() {
            call.reply.array(0);
        }
        return Ok(query.store_at.map(|at| (at, SortedSet::new())));
    };
    let hits = query.hits(set, &area);
    let distance = |hit: &Hit| hit.distance_m / area.unit_m;
    if let Some(at) = query.store_at {
        let score = |hit: &Hit| if query.stores_distances { distance(hit) } else { hit.spot.score };
        let members = hits.iter().map(|hit| Scored { score: score(hit), member: set.member(hit.spot) });
        let stored = SortedSet::gathered(members.collect(), keyspace.limits().sorted_set);
        return Ok(Some((at, stored)));
    }
    call.reply.array(hits.len());
    for hit in &hits {
        if call.reply.is_full() {
            break;
        }
        query.show(call, set.member(hit.spot), hit, distance(hit));
    }
    Ok(None)
}

fn search_or_store(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>, form: Form) -> CommandResult {
    if let Some((at, stored)) = search(call, keyspace, form)? {
        let event = if form.around == Around::Options { "geosearchstore" } else { "georadiusstore" };
        call.put(keyspace, at, stored, Event::sorted_set(event));
    }
    Ok(())
}
