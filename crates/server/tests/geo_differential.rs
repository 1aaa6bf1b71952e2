//! Random commands on positions, given to this server and to a real Redis: the same reply to each and, every so often, the
//! same DEBUG DIGEST. Positions lie all over the earth and at its edges, areas reach from nothing to everything, and sorted
//! sets grow past the limits where they are stored in another form; some were filled with scores that are no positions.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use swytch_testkit::Program;
use swytch_testkit::differential::{self, Explained, Options, Pair, Step};

const STEPS: usize = 10_000;

const FILE: &str = "save \"\"\nenable-debug-command yes\nzset-max-listpack-entries 16\n";

/// Which of equally distant members COUNT takes is nobody's promise, so it is only asked of `a`, whose members are hardly
/// ever equally distant.
const GRAMMAR: &str = "
    key = a|b|zset|absent|string
    any = <key> | d|e
    member = m<number:60> | m<number:60> | Palermo|''
    degrees = <number:1000000>
    longitude = <number:180>.<degrees> | -<number:180>.<degrees> | -<number:4>.<degrees>
    latitude = <number:85>.<degrees> | -<number:85>.<degrees> | <number:4>.<degrees>
    edge = 180 85.05112878 | -180 -85.05112878 | 0 0 | 179.9999999 0 | -180 60 | 0 -85 | 0.0001 0.0001 | 1e-300 -0
    place = <longitude> <latitude> | <longitude> <latitude> | <edge>
    wrong = 180.1 0 | 0 85.06 | x 0 | 0 x | nan 0 | inf 0 | 0 -1e300 | '' 0 | -200.5 -90
    score = 0|1|-1|1.5|-7.25|4503599627370495|4503599627370496|inf|-inf | <number:1000000>
    unit = m|km|ft|mi|M|Km|MI
    noUnit = x|''|meter
    length = <number:1000> | <number:1000> | <number:20000> | <number:30000000> | 0|5.5|1e9|inf|1e300|-0|0x10
    noLength = -1|x|nan|''|-inf
    from = FROMMEMBER <member> | FROMLONLAT <place> | FROMLONLAT <place> | fromlonlat <longitude> <latitude>
    by = BYRADIUS <length> <unit> | BYRADIUS <length> <unit> | BYBOX <length> <length> <unit> | bybox <length> <length> <unit>
    wide = BYRADIUS <number:20000> km|mi | BYBOX <number:40000> <number:40000> km|KM
    with = WITHDIST|WITHCOORD|WITHHASH|withdist
    order = ASC|DESC|asc|desc
    number = 1|2|3|9|50|9223372036854775807|0|-1|x|9223372036854775808
    bad = NOPE | FROMMEMBER | FROMLONLAT 1 | BYRADIUS 1 | BYBOX 1 1 | COUNT | STORE | STOREDIST | <from> | <by>

    6 GEOADD a <longitude> <latitude> <member> [ <longitude> <latitude> <member> ] [ <longitude> <latitude> <member> ]
    4 GEOADD b <place> <member> [ <place> <member> ] [ <place> <member> ] [ <place> <member> ]
    2 GEOADD b|zset|absent|string|d [ NX|XX|nx ] [ CH|ch ] [ XX ] <place> <member> [ <place> <member> ]
    GEOADD b|absent|string [ NX ] <place> <member> <wrong> <member>
    GEOADD b|absent|string <place> [ <member> ] [ GT ]
    GEOADD b NX CH CH
    2 ZADD zset <score> <member> [ <score> <member> ] [ <score> <member> ]
    ZREM <key> <member>*3
    2 GEOPOS <any> <member>*4
    2 GEOHASH <any> <member>*4
    GEOPOS|GEOHASH <any>
    2 GEODIST <any> <member> <member> [ <unit> ]
    GEODIST <any> <member> <member> <noUnit> [ x ]
    6 GEOSEARCH <any> <from> <by> [ <with> ] [ <order> ] [ <with> ] [ <with> ]
    4 GEOSEARCH a|b|zset <wide> <from> [ <with> ] [ <with> ] [ <with> ]
    4 GEOSEARCH a FROMLONLAT <longitude> <latitude> <by> [ <order> ] COUNT <number> [ <with> ]
    4 GEOSEARCH a FROMLONLAT <longitude> <latitude> <wide> COUNT 1|2|3|9|50 [ <order> ] [ <with> ]
    3 GEOSEARCH <any> <from> <wide> COUNT <number> ANY [ <order> ] [ <with> ]
    2 GEOSEARCH <any> [ <from> ] [ <by> ] [ <with> ] <bad> [ <order> ] ANY|WITHHASH
    GEOSEARCH <any> FROMLONLAT <wrong> <by>
    GEOSEARCH <any> <from> BYRADIUS <noLength> <unit>
    GEOSEARCH <any> <from> BYBOX <length> <noLength> <unit>
    GEOSEARCH <any> <from> BYBOX|BYRADIUS <length> <noLength> <noUnit>
    GEOSEARCH <any> <from> BYRADIUS <length> <noUnit>
    4 GEOSEARCHSTORE d|e <any> <from> <by> [ <order> ]
    2 GEOSEARCHSTORE d|e a FROMLONLAT <longitude> <latitude> <wide> COUNT 1|2|3|9|50 [ <order> ]
    GEOSEARCHSTORE d|e <any> <from> <by> [ <with> ] [ NOPE|COUNT|STORE ]
    GEOSEARCHSTORE string <any> <from> <by>
    3 GEORADIUS <any> <place> <length> <unit> [ <with> ] [ <with> ] [ <order> ]
    2 GEORADIUS a <longitude> <latitude> <number:20000> km [ <with> ] COUNT <number> [ <order> ]
    2 GEORADIUS <any> <place> <length> <unit> [ <order> ] STORE d|e [ <with> ]
    GEORADIUS <any> <place> <length> <unit> STORE d STORE e
    GEORADIUS_RO <any> <place> <length> <unit> [ <with> ] [ <order> ] [ STORE d ]
    GEORADIUS|GEORADIUS_RO <any> <wrong> <length> <unit> [ <bad> ]
    GEORADIUS|GEORADIUS_RO <any> <place> <noLength> <unit> [ <bad> ]
    GEORADIUS|GEORADIUS_RO <any> <place> <length> <noUnit> [ <bad> ]
    3 GEORADIUSBYMEMBER <any> <member> <length> <unit> [ <with> ] [ <with> ] [ <order> ]
    2 GEORADIUSBYMEMBER <any> <member> <length> <unit> [ <order> ] STORE d|e [ <with> ]
    GEORADIUSBYMEMBER|GEORADIUSBYMEMBER_RO <any> <member> <noLength> <noUnit> [ <with> ] [ <bad> ]
    GEORADIUSBYMEMBER_RO <any> <member> <length> <unit> [ <with> ] [ <order> ] [ STOREDIST d ]
    2 ZRANGE d|e 0 -1 WITHSCORES
    DEL <any>
    SET string value
";

/// A coordinate close to 0 has fewer digits in Redis 7.0 than it takes to read it back.
const COORDINATES: Explained = Explained {
    reason: "Redis 7.0 writes coordinates with 17 digits behind the point",
    versions: "7.0.",
    holds: |_, ours, theirs| {
        differential::agree_but_for_doubles(ours, theirs, |one, other| {
            (one - other).abs() <= 1e-17 || one == other
        })
    },
};

/// Distances as scores, which Redis 7.0 has other digits of in its digests.
const DISTANCES: &str = "
    place = <number:180>.<number:1000000> -<number:85>.<number:1000000> | -<number:180>.<number:1000000> <number:85>.<number:1000000>
    unit = m|km|ft|mi
    length = <number:30000> | <number:30000000>

    4 GEOADD a <place> m<number:60> <place> m<number:60>
    ZADD odd 9007199254740993|1e18|-1e18|1e300|18446744073709551615|9223372036854775807|0.1 m<number:9>
    GEOPOS|GEOHASH odd m<number:9> m<number:9>
    GEORADIUS odd <place> <length> <unit> WITHHASH
    3 GEOSEARCHSTORE d a FROMLONLAT <place> BYRADIUS <length> <unit> STOREDIST
    2 GEOSEARCHSTORE d a STOREDIST FROMLONLAT <place> BYBOX <length> <length> km DESC COUNT 5
    GEORADIUS a <place> <length> <unit> STOREDIST d
    GEORADIUS a <place> <length> <unit> STOREDIST d STORE d
    GEORADIUSBYMEMBER a m<number:60> <length> <unit> STORE d STOREDIST d
    3 ZRANGE d 0 -1 WITHSCORES
";

#[test]
fn random_commands_on_positions_answer_and_leave_what_they_do_in_redis() {
    let options = Options { explained: &[COORDINATES], ..Options::default() };
    differential::compare(&ours(), "positions", FILE, GRAMMAR, STEPS, &options);
}

#[test]
fn distances_are_stored_as_redis_stores_them() {
    let options = Options { explained: &[COORDINATES], steps_per_digest: 0, ..Options::default() };
    differential::compare(&ours(), "distances", FILE, DISTANCES, 2_000, &options);
}

/// Requests about the order of checks, and about places where the earth or its grid ends.
const EDGES: &str = "\
CONFIG SET notify-keyspace-events KEA
GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
GEOADD g -180 0 west 180 0 east 0 85.05112878 north 0 -85.05112878 south
GEOADD string 200 0 x
GEOADD g 200 0 x
GEOADD g 1e400 0 x
GEODIST string Palermo Catania yard
GEODIST string Palermo Catania
GEODIST absent a b
GEODIST g Palermo Catania m x
GEODIST g west east
GEODIST g north south ft
GEOHASH g west east north south
GEOPOS g west east north south nobody
GEOPOS absent x
GEOHASH string x
GEOSEARCH g FROMLONLAT 180 0 BYRADIUS 1 km WITHDIST
GEOSEARCH g FROMLONLAT 179.99 0 BYBOX 10 10 km WITHDIST
GEOSEARCH g FROMLONLAT 0 85 BYRADIUS 100 km WITHDIST
GEOSEARCH g FROMLONLAT 0 -85 BYBOX 1 1000 km WITHDIST ASC
GEOSEARCH g FROMLONLAT 0 0 BYRADIUS 20016000 m WITHDIST ASC
GEOSEARCH g FROMLONLAT 0 0 BYRADIUS inf mi ASC
GEOSEARCH g FROMMEMBER Palermo BYRADIUS 0 m
GEOSEARCH g FROMMEMBER Palermo FROMMEMBER Catania BYRADIUS 1 m BYRADIUS 2 km
GEOSEARCH g FROMMEMBER Palermo FROMLONLAT 0 0 BYRADIUS 1 m
GEOSEARCH g FROMLONLAT 0 0 FROMLONLAT 180 0 BYBOX 1 1 m BYBOX 2 2 km
GEOSEARCH g BYRADIUS 1 m ASC DESC ASC
GEOSEARCH g FROMMEMBER Palermo ASC DESC ASC
geosearch g WITHDIST WITHHASH WITHCOORD ASC DESC
GEOSEARCH g FROMMEMBER nobody BYRADIUS x m
GEOSEARCH absent FROMMEMBER nobody BYRADIUS x m
GEOSEARCH absent FROMMEMBER nobody BYRADIUS 1 m ANY
GEOSEARCH string FROMMEMBER nobody NOPE 1 m
GEOSEARCH g FROMMEMBER Palermo BYRADIUS 500 km COUNT 1 ANY COUNT 2
GEOSEARCH g FROMMEMBER Palermo BYRADIUS 500 km ANY
GEOSEARCH g FROMMEMBER Palermo BYRADIUS 500 km STOREDIST
GEOSEARCH g FROMMEMBER Palermo BYRADIUS 500 km STORE d
GEOSEARCHSTORE d g FROMMEMBER Palermo BYRADIUS 500 km WITHDIST
GEOSEARCHSTORE d g FROMMEMBER Palermo BYRADIUS 500 km
GEOSEARCHSTORE d absent FROMMEMBER Palermo BYRADIUS 500 km
EXISTS d
GEOSEARCHSTORE g g FROMMEMBER Palermo BYRADIUS 500 km
GEORADIUS absent 0 0 1 m STORE d WITHDIST
GEORADIUS absent 0 0 x y STORE d
GEORADIUSBYMEMBER absent x y z
GEORADIUSBYMEMBER absent x y z STORE g
GEORADIUSBYMEMBER g nobody y z
GEORADIUSBYMEMBER_RO g Palermo 10 km STORE d
EXISTS g";

#[test]
fn the_order_of_checks_and_the_ends_of_the_earth_are_those_of_redis() {
    let Some(redis) = Program::redis() else { return };
    let mut pair = Pair::start(&ours(), &redis, "positions-edges", FILE);
    let options = Options { explained: &[COORDINATES], ..Options::default() };
    for protocol in 2..=3 {
        for server in [&mut pair.ours, &mut pair.theirs] {
            for line in ["FLUSHALL", "SET string value", &format!("HELLO {protocol}")] {
                server.say(line);
            }
        }
        for line in EDGES.lines() {
            pair.take(&Step::line(line), &options, true)
                .unwrap_or_else(|what| panic!("RESP{protocol}, {line}:\n{what}"));
        }
    }
}
