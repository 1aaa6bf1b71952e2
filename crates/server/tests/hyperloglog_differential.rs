//! Random commands on HyperLogLogs, given to this server and to a real Redis: the same estimates and, since their bytes
//! are strings that clients may read, the same bytes, whatever form they have and whoever wrote them.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use swytch_testkit::differential::{self, ENCODING_OF_SHORT_STRINGS, Options};

const STEPS: usize = 5_000;

const FILE: &str = "save \"\"\nenable-debug-command yes\n";

/// The key `broken` has bytes that nobody's commands make; what an error leaves behind there is not compared, so only
/// others are written.
const GRAMMAR: &str = "
    key = a|b|c|d|e|absent
    other = <key> | <key> | <key> | list|text
    element = <number:10> | <number:1000> | <number:1000000> | <number:1000000> | <letters:12> | <bytes:40> | ''

    8 PFADD <key> <element>*30
    PFADD <other> [ <element> ]
    4 PFCOUNT <key>
    2 PFCOUNT <other> <key> [ <key> ] [ <other> ]
    2 PFMERGE <other> [ <key> ] [ <key> ] [ <other> ]
    3 GET <key>
    2 PFDEBUG ENCODING|DECODE|encoding|NOPE <other>
    PFDEBUG GETREG|TODENSE <key>
    COPY <key> broken REPLACE
    2 SETRANGE broken <number:40> <bytes:4>
    APPEND broken <bytes:3>
    PFCOUNT broken [ <key> ]
    PFMERGE f broken <key>
    EXPIREAT <key> 9000000000
    PERSIST <key>
    4 DEL <key>
    COPY|RENAME <key> <key>
    2 CONFIG SET hll-sparse-max-bytes 0|20|100|300|3000|15000
    TYPE|STRLEN <key>
    SET text x
    RPUSH list x
    PFADD|PFCOUNT|PFMERGE|PFDEBUG
";

#[test]
fn random_commands_on_hyperloglogs_leave_the_bytes_that_they_leave_in_redis() {
    let options = Options { explained: &[ENCODING_OF_SHORT_STRINGS], ..Options::default() };
    differential::compare(&ours(), "hyperloglogs", FILE, GRAMMAR, STEPS, &options);
}

#[test]
fn the_self_test_passes() {
    let mut server = ours().start("hyperloglog-self-test", FILE);
    assert_eq!(server.say("PFSELFTEST").to_string(), "OK");
}
