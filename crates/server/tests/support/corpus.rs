//! Values of every type in every encoding, on both sides of each threshold, and servers to exchange them with.

#![allow(dead_code, unreachable_pub, reason = "each test file includes this and uses another part")]

use swytch_testkit::{Client, Program, Reply};

/// Commands as this server and every peer take them.
pub type Commands = Vec<Vec<Vec<u8>>>;

fn words(line: &[&str]) -> Vec<Vec<u8>> {
    line.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// The values: a key, and the commands that make it.
pub fn values() -> Vec<(String, Commands)> {
    let mut all: Vec<(String, Commands)> = Vec::new();
    let mut add = |key: &str, name: &str, arguments: Vec<Vec<u8>>| {
        // In pieces, so that no request is longer than a client would send.
        let pieces = arguments.chunks(1000).map(|piece| [words(&[name, key]), piece.to_vec()].concat());
        all.push((key.to_owned(), pieces.collect()));
    };
    let text = |text: &str| vec![text.as_bytes().to_vec()];
    let numbers = [
        0,
        1,
        -1,
        127,
        128,
        -128,
        -129,
        32_767,
        32_768,
        -32_769,
        8_388_607,
        -8_388_609,
        2_147_483_647,
        2_147_483_648,
        -2_147_483_649,
        i64::MAX,
        i64::MIN,
    ];
    for number in numbers {
        add(&format!("string:number:{number}"), "SET", text(&number.to_string()));
    }
    for (name, value) in [("empty", ""), ("plus", "+1"), ("zeros", "007"), ("spaced", " 1"), ("minus", "-0")]
    {
        add(&format!("string:{name}"), "SET", text(value));
    }
    for len in [1, 11, 20, 21, 63, 64, 16_383, 16_384, 100_000] {
        add(&format!("string:same:{len}"), "SET", vec![vec![b'x'; len]]);
        let varied = (0..len as u32).map(|at| (at.wrapping_mul(0x9e37_79b1) >> 24) as u8).collect();
        add(&format!("string:varied:{len}"), "SET", vec![varied]);
    }
    let some = |prefix: &str, count: usize| -> Vec<Vec<u8>> {
        (0..count).map(|at| format!("{prefix}{at}").into_bytes()).collect()
    };
    let digits = |numbers: &[i64]| -> Vec<Vec<u8>> {
        numbers.iter().map(|number| number.to_string().into_bytes()).collect()
    };
    let lengths = [0, 1, 62, 63, 64, 65, 253, 254, 4094, 4095, 4096, 8190, 8192, 16_384, 70_000];
    let long: Vec<Vec<u8>> = lengths.iter().map(|len| vec![b'a'; *len]).collect();
    let binary: Vec<Vec<u8>> = (0..=u8::MAX).map(|byte| vec![byte, 0, byte]).collect();
    for (key, elements) in [
        ("one", text("element")),
        ("numbers", digits(&numbers)),
        ("lengths", long.clone()),
        ("binary", binary.clone()),
        ("packed", some("element:", 300)),
        ("nodes", some("element:", 3000)),
        ("huge", vec![vec![b'h'; 1 << 20], b"x".to_vec()]),
    ] {
        add(&format!("list:{key}"), "RPUSH", elements);
    }
    for (key, members) in [
        ("one", text("member")),
        ("number", text("7")),
        ("short", digits(&[1, -2, 300])),
        ("middle", digits(&[1, 70_000])),
        ("wide", digits(&numbers)),
        ("intset:most", some("", 512)),
        ("intset:beyond", some("", 513)),
        ("listpack:most", some("m", 128)),
        ("listpack:beyond", some("m", 129)),
        ("value:most", vec![vec![b'v'; 64], b"x".to_vec()]),
        ("value:beyond", vec![vec![b'v'; 65], b"x".to_vec()]),
        ("lengths", long.clone()),
        ("binary", binary.clone()),
        ("big", some("member:", 5000)),
    ] {
        add(&format!("set:{key}"), "SADD", members);
    }
    let pairs = |fields: Vec<Vec<u8>>| -> Vec<Vec<u8>> {
        fields
            .iter()
            .enumerate()
            .flat_map(|(at, field)| [field.clone(), format!("v{at}").into_bytes()])
            .collect()
    };
    for (key, fields) in [
        ("one", text("field")),
        ("numbers", digits(&numbers)),
        ("listpack:most", some("f", 128)),
        ("listpack:more", some("f", 500)),
        ("listpack:beyond", some("f", 513)),
        ("value:most", vec![vec![b'v'; 64], b"x".to_vec()]),
        ("value:beyond", vec![vec![b'v'; 65], b"x".to_vec()]),
        ("lengths", long.clone()),
        ("binary", binary.clone()),
        ("big", some("field:", 5000)),
    ] {
        add(&format!("hash:{key}"), "HSET", pairs(fields));
    }
    let scored = |members: Vec<Vec<u8>>| -> Vec<Vec<u8>> {
        // Digests of Redis 7.0 have doubles in 17 digits, later ones in the fewest: these scores are the same in both.
        let score = |at: usize| match at % 5 {
            0 => (at as i64 - 40).to_string(),
            1 => format!("{}", at as f64 / 4.0),
            2 => "1125899906842624.5".to_owned(),
            3 => "-0.125".to_owned(),
            _ => format!("{}", at as f64 / 1024.0),
        };
        members.iter().enumerate().flat_map(|(at, member)| [score(at).into_bytes(), member.clone()]).collect()
    };
    for (key, members) in [
        ("one", text("member")),
        ("numbers", digits(&numbers)),
        ("listpack:most", some("m", 128)),
        ("listpack:beyond", some("m", 129)),
        ("value:most", vec![vec![b'v'; 64], b"x".to_vec()]),
        ("value:beyond", vec![vec![b'v'; 65], b"x".to_vec()]),
        ("lengths", long),
        ("binary", binary),
        ("big", some("member:", 5000)),
    ] {
        add(&format!("zset:{key}"), "ZADD", scored(members));
    }
    let infinite =
        ["-inf", "low", "inf", "high", "0", "zero", "-0", "minus"].map(|word| word.as_bytes().to_vec());
    add("zset:infinite", "ZADD", infinite.to_vec());
    all
}

/// Makes the values in a server; the keys of those that it can make. Types that it does not serve are left out.
pub fn fill(client: &mut Client) -> Vec<String> {
    let mut keys = Vec::new();
    for (key, commands) in values() {
        let replies: Vec<Reply> = commands.iter().map(|command| client.call(command)).collect();
        match replies.iter().find(|reply| reply.is_error()) {
            None => keys.push(key),
            Some(error) => assert!(error.text().starts_with("ERR unknown command"), "{key}: {error}"),
        }
    }
    keys
}

/// Every other server that there is, by name and version.
pub fn others() -> Vec<(String, Program)> {
    let programs = Program::redis().into_iter().chain(Program::peers());
    let mut named: Vec<(String, Program)> =
        programs.map(|program| (format!("{} {}", program.name, program.version()), program)).collect();
    named.dedup_by(|one, other| one.0 == other.0);
    named
}
