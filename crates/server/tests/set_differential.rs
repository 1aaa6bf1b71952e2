//! Random commands on sets, given to this server and to a real Redis: the same members in every reply and, every so
//! often, the same DEBUG DIGEST. Members are integers and others, short and long, and sets grow past the limits where
//! they are stored in another form. What chance decides is compared where it has no choice.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use swytch_testkit::differential::{self, ENCODING_OF_SETS, Options};

const STEPS: usize = 8_000;

/// Of Redis 7.0, which has no `listpack` for sets, only the first is known.
const FILE: &str = "save \"\"\nenable-debug-command yes\nset-max-intset-entries 16\n";

const GRAMMAR: &str = "
    key = a|b|c|d|absent|string
    count = 0|1|-1|x|100|9223372036854775807|9223372036854775808
    integer = <number:9> | <number:9> | -<number:9> | <number:40> | <number:70000> | 9223372036854775807 | -9223372036854775808
    word = x|y|z|''|007|+1|-0 | <letters:3> | <letters:3> | <long:80> | <long:3000>
    member = <integer> | <integer> | <integer> | <word>

    4 SADD <key> <integer>*12
    2 SADD <key> <member>*12
    SADD a|b <long:7>*12
    SADD c <letters:4>*12
    2 SREM <key> <member>*12
    SREM <key> <integer>*12
    SCARD <key>
    2 SISMEMBER <key> <member>
    SMISMEMBER <key> <member>*6
    2 SMEMBERS <key> ~sorted
    2 SMOVE <key> <key> <member>
    SPOP <key> 1000|0|x|-1 ~sorted
    SPOP nothing|text
    SPOP nothing|text 1 [ 2 ]
    SRANDMEMBER <key> 1000|0|x ~sorted
    SRANDMEMBER <key> [ -3|2 ] ~any
    SRANDMEMBER nothing|text [ <count> ]
    2 SINTER|SUNION|SDIFF <key> [ <key> ] [ <key> ] ~sorted
    2 SINTERSTORE|SUNIONSTORE|SDIFFSTORE <key> <key> [ <key> ] [ <key> ]
    2 SINTERCARD 1|2|3|0|-1|x <key> [ <key> ] [ <key> ] [ LIMIT|limit|NOPE <count> ] [ LIMIT ]
    2 SSCAN <key> 0 COUNT 100000 [ MATCH *|1*|[a-m]*|absent ] ~sorted
    SSCAN <key> 0|x COUNT|TYPE|NOPE 0|x|string
    RENAME|COPY|RENAMENX <key> <key>
    TYPE|EXISTS <key>
    DEL <key>
    2 OBJECT ENCODING <key>
    DEBUG DIGEST-VALUE <key>
    SET string|text value
";

#[test]
fn random_commands_on_sets_answer_and_leave_what_they_do_in_redis() {
    let options = Options { explained: &[ENCODING_OF_SETS], ..Options::default() };
    differential::compare(&ours(), "sets", FILE, GRAMMAR, STEPS, &options);
}

#[test]
fn a_draw_that_nothing_bounds_is_refused() {
    let mut server = ours().start("endless-draw", FILE);
    server.say("SADD s a");
    for count in ["-16777217", "-9223372036854775807"] {
        let answer = server.say(&format!("SRANDMEMBER s {count}"));
        assert_eq!(answer.to_string(), "-ERR value is out of range", "{count}");
    }
    assert_eq!(server.say("SRANDMEMBER s -3").to_string(), "[a, a, a]");
}
