//! Random commands on lists, given to this server and to a real Redis: the same bytes in every reply and, every so
//! often, the same DEBUG DIGEST. Elements are short, long and numbers, and lists grow past the limits where Redis
//! changes how it stores them.

mod support;

use support::Server;
use support::random::Random;

const STEPS: usize = 8_000;
/// Steps between two comparisons of the whole keyspace.
const STEPS_PER_DIGEST: usize = 40;
/// Steps between two changes of the protocol.
const STEPS_PER_PROTOCOL: usize = 500;

const FILE: &str = "save \"\"\nenable-debug-command yes\nlist-max-listpack-size 16\n";

const KEYS: &[&str] = &["a", "b", "c", "d", "absent", "string"];
const SIDES: &[&str] = &["LEFT", "RIGHT", "left", "MIDDLE"];
const INDEXES: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "-2",
    "5",
    "17",
    "-17",
    "40",
    "-40",
    "1000",
    "-1000",
    "x",
    "",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
];
/// Without the smallest integer: since 8.0 it is refused, because it has no opposite.
const COUNTS: &[&str] =
    &["0", "1", "2", "3", "10", "-1", "-2", "x", "100", "9223372036854775807", "-9223372036854775807"];

fn element(random: &mut Random) -> String {
    match random.below(12) {
        0..=6 => random.pick(&["x", "y", "z", "7", "-1", ""]).to_owned(),
        7 | 8 => random.below(100_000).to_string(),
        9 => "9223372036854775807".to_owned(),
        10 => "long ".repeat(random.below(60)),
        _ => "l".repeat(random.below(9000)),
    }
}

fn random_step(random: &mut Random) -> Vec<String> {
    let (key, other) = (random.pick(KEYS), random.pick(KEYS));
    let (index, end, count) = (random.pick(INDEXES), random.pick(INDEXES), random.pick(COUNTS));
    let (side, other_side) = (random.pick(SIDES), random.pick(SIDES));
    let value = element(random);
    let elements: Vec<String> = (0..1 + random.below(6) * random.below(6)).map(|_| element(random)).collect();
    let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let with = |line: String, rest: &[String]| [words(&line), rest.to_vec()].concat();
    match random.below(32) {
        0..=3 => with(format!("{} {key}", random.pick(&["LPUSH", "RPUSH"])), &elements),
        4 => with(format!("{} {key}", random.pick(&["LPUSHX", "RPUSHX"])), &elements),
        5 | 6 => words(&format!("{} {key}", random.pick(&["LPOP", "RPOP", "LLEN"]))),
        7 => words(&format!("{} {key} {count}", random.pick(&["LPOP", "RPOP"]))),
        8 => words(&format!("LINDEX {key} {index}")),
        9 | 10 => with(format!("LSET {key} {index}"), &[value]),
        11 | 12 => words(&format!("LRANGE {key} {index} {end}")),
        13 => words(&format!("LTRIM {key} {index} {end}")),
        14 => words(&format!("LTRIM {key} {} {}", random.below(4), -(random.below(4) as i64) - 1)),
        15 | 16 => with(format!("LREM {key} {count}"), &[value]),
        17 | 18 => {
            let place = random.pick(&["BEFORE", "AFTER", "after", "AT"]);
            with(format!("LINSERT {key} {place}"), &[value, element(random)])
        }
        19 | 20 => {
            let mut step = with(format!("LPOS {key}"), &[value]);
            for _ in 0..random.below(3) {
                step.push(random.pick(&["RANK", "COUNT", "MAXLEN", "rank", "NOPE"]).to_owned());
                step.push(count.to_owned());
            }
            step
        }
        21 | 22 => words(&format!("LMOVE {key} {other} {side} {other_side}")),
        23 => words(&format!("RPOPLPUSH {key} {other}")),
        24 => words(&format!("LMPOP 2 {key} {other} {side} COUNT {count}")),
        25 => words(&format!("LMPOP {} {key} {other} {side}", random.pick(&["2", "1", "3", "0", "x"]))),
        // Where there is something to take, or something wrong, nobody waits; elsewhere not for long.
        26 => words(&format!("{} {key} {other} 0.001", random.pick(&["BLPOP", "BRPOP"]))),
        27 => words(&format!("BLMOVE {key} {other} {side} {other_side} 0.001")),
        28 => words(&format!("BLMPOP 0.001 2 {key} {other} {side} COUNT {count}")),
        29 => words(&format!("{} {key} {other}", random.pick(&["RENAME", "COPY", "RENAMENX"]))),
        30 => words(&format!("{} {key}", random.pick(&["TYPE", "DEL", "EXISTS", "DEBUG DIGEST-VALUE"]))),
        _ => words("SET string value"),
    }
}

#[test]
fn random_commands_on_lists_answer_and_leave_what_they_do_in_redis() {
    let Some(mut redis) = Server::redis("lists-redis", FILE) else { return };
    let mut ours = Server::swytch("lists-swytch", FILE);
    let mut random = Random::from_environment();
    for count in 0..STEPS {
        if count % STEPS_PER_PROTOCOL == 0 {
            let protocol = format!("HELLO {}", 2 + count / STEPS_PER_PROTOCOL % 2);
            for server in [&mut ours, &mut redis] {
                server.call_exact(&protocol.split(' ').map(str::as_bytes).collect::<Vec<_>>());
            }
        }
        let step = random_step(&mut random);
        let words: Vec<&[u8]> = step.iter().map(String::as_bytes).collect();
        let (one, other) = (ours.call_exact(&words), redis.call_exact(&words));
        assert!(
            one == other,
            "step {count} {step:?}: {}, Redis {}",
            one.escape_ascii(),
            other.escape_ascii()
        );
        if count % STEPS_PER_DIGEST == 0 {
            let digest: [&[u8]; 2] = [b"DEBUG", b"DIGEST"];
            assert_eq!(ours.call_exact(&digest), redis.call_exact(&digest), "after step {count} {step:?}");
        }
    }
}
