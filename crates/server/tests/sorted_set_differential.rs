//! Random commands on sorted sets, given to this server and to a real Redis: the same reply to each and, every so often,
//! the same DEBUG DIGEST. Scores are integers and others, finite or not, members short and long, and sorted sets grow past
//! the limits where they are stored in another form. What chance decides is compared where it has no choice.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use swytch_testkit::differential::{self, DOUBLES, ENCODING_OF_SETS, Options, WITHSCORE};
use swytch_testkit::{Client, Random};

const STEPS: usize = 12_000;

const FILE: &str = "save \"\"\nenable-debug-command yes\nzset-max-listpack-entries 16\n";

const GRAMMAR: &str = "
    key = a|b|c|d|absent|string
    lex = l|m
    any = <key> | <lex> | s|t
    count = 0|1|-1|x|2|100|9223372036854775807|9223372036854775808
    index = <number:9> | <number:9> | -<number:9> | <number:40> | -1 | -1 | 0 | x | 9223372036854775807 | -9223372036854775808
    score = <number:5> | <number:9> | -1<number:9> | <number:300> | <number:70000> | 1.5|-2.25|1e3|+5|.5|5.|1E2|3000000001|-0.125 | inf|-inf|+inf|Infinity
    wrong = x|nan|''|\\s1|1e400|1e-400|1x|(1
    word = x|y|z|''|007|+1 | <letters:3> | <letters:3> | <long:80> | <long:3000>
    member = <number:40> | <number:40> | <number:40> | <word>
    option = NX|XX|GT|LT|CH|ch|nx
    from = <score> | (<score> | -inf | -inf | (-inf | x | ''
    to = <score> | (<score> | inf | inf | +inf | nan
    cut = - | + | [<member> | (<member> | [<letters:2> | (<number:40> | x
    limit = LIMIT|limit
    end = MIN|MAX|max|NOPE
    weight = 1|2|3|0.5|inf|x
    how = SUM|MIN|MAX|NOPE

    6 ZADD <key> <score> <member> [ <score> <member> ] [ <score> <member> ] [ <score> <member> ]
    3 ZADD a|b <score> <member> <score> <member> <score> <member> <score> <member> <score> <member> <score> <member>
    3 ZADD <key> <option> [ <option> ] [ CH ] <score> <member> [ <score> <member> ]
    2 ZADD <key> [ <option> ] [ <option> ] INCR <score> <member> [ <score> <member> ]
    ZADD <key> [ <option> ] <wrong> <member> [ <score> ]
    ZADD <key> <score> <member> <wrong> <member>
    ZADD <key> 0x10|0X1p3|-0x.8 <member>
    4 ZADD <lex> 0 <member> 0 <member> 0 <member> [ 0 <member> ] [ 0 <letters:3> ]
    3 ZINCRBY <key> <score> <member>
    ZINCRBY <key> <wrong>|NX <member>
    2 ZREM <any> <member>*6
    ZCARD <any>
    2 ZSCORE <any> <member>
    ZMSCORE <any> <member>*4
    2 ZRANK|ZREVRANK <any> <member>
    ZRANK|ZREVRANK <any> <member> WITHSCORE|withscore|NOPE [ x ]
    2 ZCOUNT <key> <from> <to>
    ZLEXCOUNT <lex> <cut> <cut>
    3 ZRANGE <any> <index> <index> [ REV ] [ WITHSCORES ] [ <limit> 0 -1|1 ]
    2 ZRANGE <key> <from> <to> BYSCORE [ WITHSCORES ] [ <limit> <index> <index> ] [ NOPE ]
    2 ZRANGE <key> <to> <from> BYSCORE REV [ <limit> <index> <index> ] [ WITHSCORES ]
    2 ZRANGE <lex> <cut> <cut> BYLEX [ REV ] [ <limit> <index> <index> ]
    ZRANGE <lex> <cut> <cut> BYLEX WITHSCORES
    2 ZREVRANGE <any> <index> <index> [ WITHSCORES ] [ REV ]
    2 ZRANGEBYSCORE <key> <from> <to> [ WITHSCORES ] [ <limit> <index> <index> ] [ BYLEX ]
    2 ZREVRANGEBYSCORE <key> <to> <from> [ WITHSCORES ] [ <limit> <index> <index> ]
    2 ZRANGEBYLEX|ZREVRANGEBYLEX <lex> <cut> <cut> [ <limit> <index> <index> ] [ WITHSCORES ]
    2 ZRANGESTORE <key> <any> <index> <index> [ REV ] [ <limit> <index> <index> ]
    ZRANGESTORE <key> <key> <from> <to> BYSCORE [ <limit> <index> <index> ] [ WITHSCORES ]
    ZRANGESTORE <key> <lex> <cut> <cut> BYLEX [ REV ] [ <limit> <index> <index> ]
    ZREMRANGEBYRANK <any> <index> <index>
    ZREMRANGEBYSCORE <key> <from> <score>
    ZREMRANGEBYLEX <lex> <cut> [<letters:2>
    2 ZPOPMIN|ZPOPMAX <any> [ <number:4> ]
    ZPOPMIN|ZPOPMAX <any> 0|-1|x|2 [ 1 ]
    2 ZMPOP 1|2|3|0|-1|x <any> [ <any> ] [ <any> ] <end> [ COUNT <count> ] [ COUNT 1 ]
    BZPOPMIN|BZPOPMAX <any> [ <any> ] 0.001|0.001|x|-1
    BZMPOP 0.001|x 1|2 <any> [ <any> ] <end> [ COUNT <count> ]
    ZUNION|ZINTER 1|2|0|x <any> [ <any> ] [ WEIGHTS <weight> ] [ AGGREGATE <how> ] [ WITHSCORES ]
    2 ZUNION|ZINTER 2 <any> <any> [ WEIGHTS <weight> <weight> ] [ AGGREGATE SUM ] [ WITHSCORES ]
    ZUNION|ZINTER 3 <any> <any> <any> AGGREGATE MIN|MAX [ WITHSCORES ]
    2 ZDIFF 1|2|3|0 <any> [ <any> ] [ <any> ] [ WITHSCORES ] [ WEIGHTS 1 1 ]
    3 ZUNIONSTORE|ZINTERSTORE <key> 2 <any> <any> [ WEIGHTS <weight> <weight> ] [ AGGREGATE <how> ] [ WITHSCORES ]
    ZDIFFSTORE <key> 1|2|3 <any> [ <any> ] [ <any> ] [ WITHSCORES ]
    2 ZINTERCARD 1|2|3|0|x <any> [ <any> ] [ <any> ] [ LIMIT <count> ] [ LIMIT ]
    ZRANDMEMBER <any> 1000|0|x [ WITHSCORES|NOPE ] ~sorted
    ZRANDMEMBER <any> [ -3|2 ] ~any
    ZRANDMEMBER nothing|text [ <count> ] [ WITHSCORES ]
    2 ZSCAN <any> 0 COUNT 100000 [ MATCH *|1*|[a-m]*|absent ] ~sorted
    ZSCAN <any> 0|x COUNT|TYPE|NOPE 0|x|string
    RENAME|COPY|RENAMENX <key> <key>
    TYPE|EXISTS <any>
    DEL <any>
    2 OBJECT ENCODING <any>
    2 DEBUG DIGEST-VALUE <any>
    SET string|text value
    SADD s|t <number:40> <letters:3> x y z
";

/// Scores that Redis 7.0 writes with more digits, in digests too.
const DOUBLES_GRAMMAR: &str = "
    score = 0.1|3000000000|-1e-7|0.0001|0.00012345|1e-5|12345678901234567|123456789.123456789|1e17|1e22|1e300|5e-324 | 0.<number:1000000> | <number:1000000>.<number:1000> | <number:1000000>e<number:30> | <number:1000>e-<number:300>

    2 ZADD a <score> <number:30>
    ZINCRBY a <score> <number:30>
    ZADD a INCR <score> <number:30>
    ZRANGE a 0 -1 WITHSCORES
    ZRANGE a <score> inf BYSCORE
    ZCOUNT a <score> (<score>
    ZSCORE a <number:30>
    ZUNION 2 a a WEIGHTS <score> 2 WITHSCORES
    ZPOPMAX a
";

#[test]
fn random_commands_on_sorted_sets_answer_and_leave_what_they_do_in_redis() {
    let options = Options { explained: &[DOUBLES, ENCODING_OF_SETS, WITHSCORE], ..Options::default() };
    differential::compare(&ours(), "sorted-sets", FILE, GRAMMAR, STEPS, &options);
}

#[test]
fn scores_are_written_as_redis_writes_them() {
    let options = Options { explained: &[DOUBLES], steps_per_digest: 0, ..Options::default() };
    differential::compare(&ours(), "doubles", FILE, DOUBLES_GRAMMAR, 3_000, &options);
}

/// Members that are there from the first step of a walk to the last are shown whatever becomes of their scores meanwhile.
#[test]
fn a_walk_misses_no_member_whose_score_changes() {
    let mut server = ours().start("zscan-walk", FILE);
    let mut random = Random::from_environment();
    let client: &mut Client = &mut server.client;
    for number in 0..2_000 {
        client.say(&format!("ZADD z {number} member:{number}"));
    }
    let (mut cursor, mut seen) = ("0".to_owned(), std::collections::BTreeSet::new());
    loop {
        let reply = client.say(&format!("ZSCAN z {cursor} COUNT 50"));
        cursor = reply.elements()[0].text();
        seen.extend(reply.elements()[1].elements().chunks(2).map(|pair| pair[0].text()));
        for _ in 0..100 {
            client.say(&format!("ZADD z {} member:{}", random.below(2_000), random.below(2_000)));
        }
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 2_000);
}
