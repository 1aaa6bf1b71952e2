//! Random commands on lists, given to this server and to a real Redis: the same bytes in every reply and, every so
//! often, the same DEBUG DIGEST. Elements are short, long and numbers, and lists grow past the limits where Redis
//! changes how it stores them.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use swytch_testkit::differential::{self, ENCODING_OF_LISTS, Options};

const STEPS: usize = 8_000;

const FILE: &str = "save \"\"\nenable-debug-command yes\nlist-max-listpack-size 16\n";

/// Without the smallest integer as a count: since 8.0 it is refused, because it has no opposite. Where there is
/// something to take, or something wrong, nobody waits; elsewhere not for long. LSET of Redis 8.6 takes an index beyond 32 bits
/// for another one.
const GRAMMAR: &str = "
    key = a|b|c|d|absent|string
    side = LEFT|RIGHT|left|MIDDLE
    place = 0|1|-1|2|-2|5|17|-17|40|-40|1000|-1000|x|''
    index = <place>|<place>|<place>|<large>
    large = 9223372036854775807|-9223372036854775808|9223372036854775808
    count = 0|1|2|3|10|-1|-2|x|100|9223372036854775807|-9223372036854775807
    short = x|y|z|7|-1|''
    element = <short> | <short> | <short> | <number:100000> | 9223372036854775807 | <long:300> | <long:9000>

    3 LPUSH|RPUSH <key> <element>*25
    LPUSH|RPUSH <key> <short>
    LPUSHX|RPUSHX <key> <element>*6
    2 LPOP|RPOP|LLEN <key>
    LPOP|RPOP <key> <count>
    LINDEX <key> <index>
    2 LSET <key> <place> <element>
    2 LRANGE <key> <index> <index>
    LTRIM <key> <index> <index>
    LTRIM <key> <number:4> -1|-2|-3|-4
    2 LREM <key> <count> <element>
    2 LINSERT <key> BEFORE|AFTER|after|AT <element> <element>
    2 LPOS <key> <element> [ RANK|COUNT|MAXLEN|rank|NOPE <count> ] [ RANK|COUNT|MAXLEN <count> ]
    2 LMOVE <key> <key> <side> <side>
    RPOPLPUSH <key> <key>
    LMPOP 2 <key> <key> <side> COUNT <count>
    LMPOP 2|1|3|0|x <key> <key> <side>
    BLPOP|BRPOP <key> <key> 0.001
    BLMOVE <key> <key> <side> <side> 0.001
    BLMPOP 0.001 2 <key> <key> <side> COUNT <count>
    RENAME|COPY|RENAMENX <key> <key>
    TYPE|DEL|EXISTS <key>
    2 OBJECT ENCODING <key>
    DEBUG DIGEST-VALUE <key>
    SET string value
";

#[test]
fn random_commands_on_lists_answer_and_leave_what_they_do_in_redis() {
    let options = Options { explained: &[ENCODING_OF_LISTS], ..Options::default() };
    differential::compare(&ours(), "lists", FILE, GRAMMAR, STEPS, &options);
}
