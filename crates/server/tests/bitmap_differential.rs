//! Random commands on bitmaps, given to this server and to a real Redis in both protocols: the same bytes in every
//! reply, the same counts of changes, hits and misses, and every so often the same DEBUG DIGEST.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use swytch_testkit::differential::{self, Explained, Options, Step};

const STEPS: usize = 5_000;

const FILE: &str = "save \"\"\nenable-debug-command yes\n";

/// Without the smallest integer as a value of a field: Redis saturates a signed field at the wrong end for it.
const GRAMMAR: &str = "
    key = a|b|c|d|absent|list
    value = <number:1000> | <bytes:300> | <bits:100> | <letters:40>
    bit = 0|1|0|1|2|x
    position = 0|1|2|3|5|8|17|40|100|-1|-2|-5|-17|-200|x|''|70
    offset = 0|1|7|8|9|63|64|100|#0|#1|#3|#7|-1|#-1|#|x
    range = | <position> | <position> <position> | <position> <position> BIT|byte|Bit|NOPE | 0 1 BIT BIT
    type = i8|u8|i1|u1|i64|u63|i5|u13|i33|u2|u64|i65|i0|x8|I8|u
    number = 0|1|-1|2|7|-3|100|-100|255|-129|-1000000|9223372036854775807|9223372036854775808|abc|4294967295
    odd = GET u8 | SET | NOPE | OVERFLOW | GET i8 0
    write = SET|SET|incrby|incrby <type> <offset> <number>
    field = GET <type> <offset> | <write> | <write> | OVERFLOW WRAP|sat|FAIL|FAIL|NOPE | <odd>
    operands = <key> | <key> b | <key> c d | <key> absent e | <key> list

    3 SET <key> <value>
    SETRANGE <key> <number:100> <value>
    3 SETBIT <key> <offset> 0|1|1|2|x
    GETBIT <key> <offset>
    3 BITCOUNT <key> <range>
    3 BITPOS <key> <bit> <range>
    3 BITOP AND|or|XOR|NOT|NOPE|NOT <key> <operands>
    4 BITFIELD|BITFIELD|BITFIELD|BITFIELD_RO <key> [ <field>*4 ]
    GET|DEL|TYPE <key>
    RPUSH list x
    BITOP AND a
";

/// Differences that are meant.
const EXPLAINED: &[Explained] = &[Explained {
    reason: "Redis 7.0 looks for the key before it reads the range, later ones after",
    versions: "7.0.",
    holds: |step, ours, theirs| {
        (step.is("bitcount") || step.is("bitpos"))
            && ours.starts_with(b"-ERR")
            && (!theirs.starts_with(b"-ERR") || theirs.starts_with(b"-WRONGTYPE"))
    },
}];

/// A string that BITFIELD made longer although each of its writes failed has changed, and followers must hear of it;
/// Redis keeps it to itself.
fn is_counted_alike(step: &Step) -> bool {
    !step.words.iter().any(|word| word == b"FAIL")
}

#[test]
fn random_commands_on_bitmaps_do_what_they_do_in_redis() {
    let options = Options { counted: Some(is_counted_alike), explained: EXPLAINED, ..Options::default() };
    differential::compare(&ours(), "bitmaps", FILE, GRAMMAR, STEPS, &options);
}
