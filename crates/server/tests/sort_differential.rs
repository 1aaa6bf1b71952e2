//! Random sorts, given to this server and to a real Redis: the same reply to each and, every so often, the same DEBUG DIGEST.
//! Lists, sets and sorted sets of numbers and of words are sorted by themselves and by other keys, which come and go. Where
//! elements of the same weight may come in any order, they are lists, whose order both keep.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use swytch_testkit::Program;
use swytch_testkit::differential::{self, ENCODING_OF_LISTS, Options, Pair, Step};

const STEPS: usize = 10_000;

const FILE: &str = "save \"\"\nenable-debug-command yes\nlist-max-listpack-size 16\nset-max-intset-entries 16\nzset-max-listpack-entries 16\n";

const GRAMMAR: &str = "
    numbers = l|s|z
    words = wl|ws|wz
    any = <numbers> | <words> | absent|string|d
    element = <number:30> | <number:30> | -<number:9> | <number:9>.5 | 9007199254740993|9223372036854775807|1e3|inf
    word = x|y|z|''|007|10|9 | <letters:3> | <letters:3> | <long:80>
    member = <element> | <word>
    weight = <number:9> | <number:100> | -1.5|inf|-inf|''|9223372036854775807
    index = <number:9> | <number:40> | 0|-1|9223372036854775807|-9223372036854775808
    limit = LIMIT <index> <index> | limit <number:9> <number:9>
    order = ASC|DESC|desc
    by = w_*|h_*->f|h_*->g|*|l_*x|w_*->f|h_*|h_*->
    get = #|w_*|h_*->f|h_*->none|*|constant|l_*|s|z_*->f
    pick = [ GET <get> ] [ GET <get> ] [ GET # ]
    bad = NOPE | LIMIT 1 | LIMIT x 1 | LIMIT 1 9223372036854775808 | BY | GET | STORE | BY w_* GET

    3 RPUSH l <element>*6
    2 LPUSH wl <member>*6
    3 SADD s <number:40>*6
    SADD s <number:30>.5
    2 SADD ws <member>*4
    ZADD z <number:5> <element> <number:5> <element> <number:5> <element>
    ZADD wz <number:5> <member> <number:5> <member>
    3 SET w_<member> <weight>
    SET w_<member> x|1x|nan
    3 HSET h_<member> f <weight> g <weight>
    2 DEL w_<member> h_<member>
    LPOP l [ <number:9> ]
    DEL <any> w_1 w_2
    4 SORT|SORT_RO <numbers> [ <order> ] [ <limit> ] <pick>
    3 SORT|SORT_RO <any> ALPHA [ <order> ] [ <limit> ] <pick>
    2 SORT|SORT_RO <any> [ <order> ]
    6 SORT|SORT_RO <any> BY <by> [ <limit> ] [ <order> ] <pick>
    3 SORT|SORT_RO l|wl BY <by> ALPHA [ <order> ] <pick>
    SORT l|wl BY <by> ALPHA STORE d
    2 SORT|SORT_RO l|wl|z|wz BY nosort [ <order> ] [ <limit> ] <pick>
    SORT s|ws|l|z BY nosort [ <order> ] [ <limit> ] <pick> STORE d
    4 SORT <any> [ ALPHA ] [ <order> ] [ <limit> ] <pick> STORE d
    2 SORT <any> BY <by> [ <order> ] [ <limit> ] <pick> STORE d
    SORT <any> STORE s STORE d
    SORT|SORT_RO l|wl|z|wz|absent|string [ ALPHA ] <bad> [ <order> ]
    SORT_RO <any> STORE d
    SORT <any> BY # ALPHA STORE string
    LRANGE d 0 -1
    TYPE d
    OBJECT ENCODING d
    SET string value
";

#[test]
fn random_sorts_answer_and_leave_what_they_do_in_redis() {
    // Misses are heard in the order in which a set is walked, which is each server's own.
    let options = Options { explained: &[ENCODING_OF_LISTS], steps_per_events: 0, ..Options::default() };
    differential::compare(&ours(), "sorts", FILE, GRAMMAR, STEPS, &options);
}

/// Requests about the order of checks and about patterns that look odd.
const EDGES: &str = "\
CONFIG SET notify-keyspace-events KEA
RPUSH l 3 1 2
MSET w_1 30 w_2 20 w_3 10 1 one 2 two 3 three -> arrow
HSET h_1 f x * star
HSET h_3 f y
SORT string NOPE
SORT string
SORT_RO string BY x
SORT absent STORE l2 NOPE
SORT l BY w_* GET w_* GET #
SORT l BY w_* GET h_*->f GET h_*->* GET h_*->
SORT l BY w_*->f DESC
SORT l BY # DESC
SORT l BY * ALPHA
SORT l GET *
SORT l GET ** GET *->* GET -> GET ->*
SORT l LIMIT 1 1 LIMIT 0 2
SORT l LIMIT -5 2
SORT l LIMIT 5 2
SORT l LIMIT 1 -2
SORT l LIMIT 0 0
SORT l DESC ASC DESC ALPHA ALPHA
RPUSH l x
SORT l
SORT l LIMIT 0 0
SORT l STORE d
SORT l BY nosort
SORT l BY nosort DESC LIMIT 1 2
SORT l BY w_*
SORT l BY w_* LIMIT 0 0
SORT l ALPHA STORE l
LRANGE l 0 -1
SORT l ALPHA GET nothing STORE d
LRANGE d 0 -1
SORT l ALPHA LIMIT 9 9 STORE d
EXISTS d
SORT absent STORE l
EXISTS l
SORT_RO l STORE d
SORT
SORT_RO";

#[test]
fn the_order_of_checks_and_odd_patterns_are_those_of_redis() {
    let Some(redis) = Program::redis() else { return };
    let mut pair = Pair::start(&ours(), &redis, "sort-edges", FILE);
    for protocol in 2..=3 {
        for server in [&mut pair.ours, &mut pair.theirs] {
            for line in ["FLUSHALL", "SET string value", &format!("HELLO {protocol}")] {
                server.say(line);
            }
        }
        for line in EDGES.lines() {
            pair.take(&Step::line(line), &Options::default(), true)
                .unwrap_or_else(|what| panic!("RESP{protocol}, {line}:\n{what}"));
        }
    }
}

/// A sort by keys of other shards sees all of them at one moment: a transaction swaps the weights of two elements, and the
/// order is never one that neither its beginning nor its end has.
#[test]
fn a_sort_by_other_keys_is_of_one_moment() {
    let mut server = ours().start("sort-moment", "threads 4\nsave \"\"\n");
    server.say("RPUSH l a b");
    server.say("MSET w_a 1 w_b 2");
    let (port, rounds) = (server.port, 3_000);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut writer = swytch_testkit::Client::open(port);
            for round in 0..rounds {
                let (a, b) = if round % 2 == 0 { (2, 1) } else { (1, 2) };
                writer.say(&format!("MSET w_a {a} w_b {b}"));
            }
        });
        let mut reader = swytch_testkit::Client::open(port);
        for _ in 0..rounds {
            let reply = reader.say("SORT l BY w_* GET w_*").to_string();
            assert_eq!(reply, "[1, 2]", "weights of two moments");
        }
    });
}
