//! Random commands on hashes, given to this server and to a real Redis: the same fields and values in every reply and,
//! every so often, the same DEBUG DIGEST. Fields and values are short and long, and hashes grow past the limits where they
//! are stored in another form. What chance decides is compared where it has no choice.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use swytch_testkit::differential::{self, Explained, Options};

const STEPS: usize = 8_000;

/// The names of the limits are those that Redis has had since 6.2.
const FILE: &str =
    "save \"\"\nenable-debug-command yes\nhash-max-ziplist-entries 16\nhash-max-ziplist-value 40\n";

const GRAMMAR: &str = "
    key = a|b|c|d|absent|string
    count = 0|1|-1|x|100|4611686018427387904|9223372036854775807|-9223372036854775808|9223372036854775808
    integer = <number:9> | <number:9> | -<number:9> | <number:70000> | 9223372036854775807 | -9223372036854775808
    float = 0.1|-2.5|1e3|3.0e-5|inf|nan|x|\\s1|1.7e4932 | <integer>
    field = f|g|h|''| <letters:2> | <letters:1> | <number:12> | <number:12> | <long:41> | <long:3000>
    value = <integer> | <integer> | x|''|3.25|007| <letters:3> | <long:41> | <long:3000>
    small = <number:30>

    3 HSET <key> <field> <value>
    2 HSET <key> <field> <value> [ <field> <value> ] [ <field> ] [ <value> ]
    HSET a|b <small> <small> <small> <small> <small> <small> <small> <small>
    HMSET <key> <field> <value> [ <field> <value> ] [ <field> ]
    HSETNX <key> <field> <value>
    2 HGET <key> <field>
    HMGET <key> <field>*6
    HEXISTS|HSTRLEN <key> <field>
    HLEN <key>
    2 HDEL <key> <field>*6
    HDEL a|b <small>*12
    2 HGETALL|HKEYS|HVALS <key> ~sorted
    2 HINCRBY <key> <field> <integer>
    HINCRBY <key> <field> <value>
    2 HINCRBYFLOAT <key> f|g|<field> <float>
    HRANDFIELD <key> 1000|0|x ~sorted
    HRANDFIELD <key> 1000 WITHVALUES|NOPE [ x ] ~sorted
    HRANDFIELD <key> [ -3|2 ] ~any
    HRANDFIELD nothing|text [ <count> ] [ WITHVALUES ]
    2 HSCAN <key> 0 COUNT 100000 [ MATCH *|1*|[a-m]*|absent ] [ NOVALUES ] ~sorted
    HSCAN <key> 0|x COUNT|TYPE|NOPE 0|x|string
    RENAME|COPY|RENAMENX <key> <key>
    TYPE|EXISTS <key>
    DEL <key>
    2 OBJECT ENCODING <key>
    DEBUG DIGEST-VALUE <key>
    SET string|text value
    SSCAN a 0 NOVALUES
";

const NO_VALUES: Explained = Explained {
    reason: "NOVALUES came with Redis 7.4",
    versions: "7.0.",
    holds: |step, _, theirs| {
        step.words.iter().any(|word| word == b"NOVALUES") && theirs == b"-ERR syntax error\r\n"
    },
};

#[test]
fn random_commands_on_hashes_answer_and_leave_what_they_do_in_redis() {
    let options = Options { explained: &[NO_VALUES], ..Options::default() };
    differential::compare(&ours(), "hashes", FILE, GRAMMAR, STEPS, &options);
}

#[test]
fn a_draw_that_nothing_bounds_is_refused() {
    let mut server = ours().start("endless-field-draw", FILE);
    server.say("HSET h f v");
    for request in ["HRANDFIELD h -16777217", "HRANDFIELD h -4611686018427387903 WITHVALUES"] {
        assert_eq!(server.say(request).to_string(), "-ERR value is out of range", "{request}");
    }
    assert_eq!(server.say("HRANDFIELD h -3").to_string(), "[f, f, f]");
}
