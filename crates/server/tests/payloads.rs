//! DUMP and RESTORE between this server and every other that there is, and payloads that were made to do harm.

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/shapes.rs"]
mod shapes;

use corpus::{fill, others};
use shapes::ours;
use swytch_rdb::{Form, Kind, Part, Payload, Value, WriteOptions, write_payload};
use swytch_testkit::{Client, Random, Reply};

const FILE: &str = "save \"\"\nenable-debug-command yes\n";

#[track_caller]
fn dumped(client: &mut Client, key: &str) -> Vec<u8> {
    match client.call(&["DUMP", key]) {
        Reply::Bulk(payload) => payload,
        other => panic!("DUMP {key} answers {other}"),
    }
}

#[track_caller]
fn restore(client: &mut Client, key: &str, payload: &[u8]) -> Reply {
    client.call::<&[u8]>(&[b"RESTORE", key.as_bytes(), b"0", payload, b"REPLACE"])
}

fn digest(client: &mut Client, key: &str) -> String {
    client.call(&["DEBUG", "DIGEST-VALUE", key]).elements()[0].text()
}

#[test]
fn values_of_other_servers_are_restored_as_they_were() {
    for (name, program) in others() {
        let mut theirs = program.start("payloads-theirs", FILE);
        let mut ours = ours().start("payloads-ours", FILE);
        let here = fill(&mut ours.client);
        fill(&mut theirs.client);
        for compression in ["yes", "no"] {
            theirs.client.call(&["CONFIG", "SET", "rdbcompression", compression]);
            for key in &here {
                let payload = dumped(&mut theirs.client, key);
                assert_eq!(restore(&mut ours.client, "copy", &payload), Reply::ok(), "{name}: {key}");
                let copies = [digest(&mut ours.client, "copy"), digest(&mut ours.client, key)];
                assert_eq!(copies, [(); 2].map(|()| digest(&mut theirs.client, key)), "{name}: {key}");
                let [copy, own] = ["copy", key].map(|key| ours.client.call(&["OBJECT", "ENCODING", key]));
                assert_eq!(copy, own, "{name}: {key}");
            }
        }
    }
}

#[test]
fn values_of_this_server_are_restored_by_others() {
    for (name, program) in others() {
        let mut theirs = program.start("payloads-theirs", FILE);
        let mut ours = ours().start("payloads-ours", FILE);
        let newest = if name.starts_with("redis 7.0") { 10 } else { 11 };
        // What is read is checked to the last byte.
        theirs.client.call(&["CONFIG", "SET", "sanitize-dump-payload", "yes"]);
        let here = fill(&mut ours.client);
        for version in 9..=newest {
            for compression in ["yes", "no"] {
                ours.set("rdb-version", version.to_string());
                ours.set("rdbcompression", compression);
                for key in &here {
                    let payload = dumped(&mut ours.client, key);
                    let context = format!("{name}, version {version}, {key}");
                    assert_eq!(payload[payload.len() - 10], version, "{context}");
                    assert_eq!(restore(&mut theirs.client, "copy", &payload), Reply::ok(), "{context}");
                    assert_eq!(
                        digest(&mut theirs.client, "copy"),
                        digest(&mut ours.client, key),
                        "{context}"
                    );
                }
            }
        }
        // The default is what each of them reads, but for the oldest.
        ours.say("CONFIG SET rdb-version 11");
        let payload = dumped(&mut ours.client, &here[0]);
        assert_eq!(restore(&mut theirs.client, "copy", &payload).is_error(), newest < 11, "{name}");
    }
}

/// The same errors as Redis 8 in the same order, and the same effects of options.
#[test]
fn restore_answers_what_redis_answers() {
    let Some((name, redis)) = others().into_iter().rfind(|(name, _)| name.starts_with("redis ")) else {
        return;
    };
    // Redis 7.0 takes no payload whose sum is left out, and counts no key that had expired before it came.
    let as_redis_8 = !name.starts_with("redis 7.0");
    let mut theirs = redis.start("restore-theirs", FILE);
    let mut ours = ours().start("restore-ours", FILE);
    theirs.say("SET source value");
    theirs.say("RPUSH list a b c");
    let payload = dumped(&mut theirs.client, "source");
    let list = dumped(&mut theirs.client, "list");
    let mut damaged = payload.clone();
    damaged[1] ^= 1;
    let mut unsummed = payload.clone();
    unsummed.truncate(payload.len() - 8);
    unsummed.extend_from_slice(&[0; 8]);
    let of_unknown_version = [&payload[..payload.len() - 10], &[14, 0], &[0; 8]].concat();
    let of_unknown_type = [&[100], &payload[1..payload.len() - 8], &[0; 8]].concat();
    let empty_list = [&[1, 0, 9, 0][..], &[0; 8]].concat();
    let with_a_rest = [&payload[..payload.len() - 10], b"rest\x09\0", &[0; 8]].concat();
    let payloads: [(&str, &[u8]); 9] = [
        ("GOOD", &payload),
        ("LIST", &list),
        ("DAMAGED", &damaged),
        ("UNSUMMED", &unsummed),
        ("NEWER", &of_unknown_version),
        ("TYPE", &of_unknown_type),
        ("EMPTY", &empty_list),
        ("REST", &with_a_rest),
        ("SHORT", b"123456789"),
    ];
    for line in [
        "RESTORE key 0",
        "RESTORE key 0 GOOD",
        "RESTORE key 0 GOOD",
        "RESTORE key x DAMAGED",
        "RESTORE key 0 GOOD NOPE",
        "RESTORE key 0 GOOD REPLACE absttl",
        "RESTORE key x DAMAGED REPLACE",
        "RESTORE key -1 DAMAGED REPLACE",
        "RESTORE key 1.5 DAMAGED REPLACE",
        "RESTORE key 0 DAMAGED REPLACE",
        "RESTORE key 0 SHORT REPLACE",
        "RESTORE key 0 NEWER REPLACE",
        "RESTORE key 0 TYPE REPLACE",
        "RESTORE key 0 EMPTY REPLACE",
        "GET key",
        "RESTORE key 0 REST REPLACE",
        "RESTORE key 0 UNSUMMED REPLACE",
        "RESTORE key 0 LIST REPLACE",
        "TYPE key",
        "RESTORE key 0 GOOD REPLACE IDLETIME",
        "RESTORE key 0 GOOD REPLACE IDLETIME -1",
        "RESTORE key 0 GOOD REPLACE IDLETIME x",
        "RESTORE key 0 GOOD REPLACE FREQ 256",
        "RESTORE key 0 GOOD REPLACE FREQ -1",
        "RESTORE key 0 GOOD REPLACE FREQ 5 IDLETIME 5",
        "RESTORE key 0 GOOD REPLACE IDLETIME 5 FREQ 5",
        "RESTORE key 0 GOOD REPLACE IDLETIME 5 IDLETIME 1000",
        "OBJECT IDLETIME key",
        "RESTORE key 0 GOOD IDLETIME -1",
        "RESTORE key 0 GOOD FREQ 5 REPLACE",
        "RESTORE key 100000 GOOD REPLACE",
        "EXPIRE key 100000 XX",
        "RESTORE key 0 GOOD REPLACE",
        "TTL key",
        "RESTORE key 9000000000000 GOOD ABSTTL REPLACE",
        "PEXPIRETIME key",
        "RESTORE key 5 GOOD ABSTTL",
        "RESTORE key 5 GOOD ABSTTL REPLACE",
        "EXISTS key",
        "RESTORE key 5 GOOD ABSTTL",
        "EXISTS key",
        "RESTORE-ASKING key 0 GOOD",
        "RESTORE-ASKING key 0 GOOD",
        "GET key",
        "DUMP absent",
        "DUMP",
    ] {
        if !as_redis_8
            && ["NEWER", "TYPE", "EMPTY", "REST", "UNSUMMED"]
                .iter()
                .any(|word| line.contains(&format!("0 {word}")))
        {
            continue;
        }
        let words: Vec<Vec<u8>> = line
            .split(' ')
            .map(|word| {
                payloads
                    .iter()
                    .find(|(name, _)| *name == word)
                    .map_or(word.as_bytes(), |(_, payload)| payload)
            })
            .map(<[u8]>::to_vec)
            .collect();
        assert_eq!(ours.client.call(&words), theirs.client.call(&words), "{line}");
    }
    for mut client in [ours.connect(), theirs.connect()] {
        client.say("CONFIG RESETSTAT");
        client.call::<&[u8]>(&[b"RESTORE", b"gone", b"1", &payload, b"ABSTTL"]);
        assert!(client.info_number("expired_keys") == 1 || !as_redis_8);
    }
}

/// A payload that says of itself that it has no checksum, of the newest version.
fn sealed(body: &[u8]) -> Vec<u8> {
    [body, &[13, 0], &[0; 8]].concat()
}

/// Payloads that have done harm to other servers, and some of their kin, are refused, and the server goes on.
#[test]
fn payloads_made_to_do_harm_are_refused() {
    let mut ours = ours().start("payloads-harm", FILE);
    let bomb = |len: u8| [&[0, 0xc3, 4, 0x81][..], &[len; 8], &[0, b'a', 0x20, 0]].concat();
    for (what, body) in [
        ("a string of more bytes than there are", b"\x00\x81\x7f\xff\xff\xff\xff\xff\xff\xff".to_vec()),
        ("a string of more bytes than an address", b"\x00\x81\xff\xff\xff\xff\xff\xff\xff\xff".to_vec()),
        ("a compressed string of all memory", bomb(0x7f)),
        ("a compressed string of less than nothing", bomb(0xff)),
        ("a compressed string that copies what is before it", b"\x00\xc3\x03\x20\x20\xff\xff".to_vec()),
        ("a string of no known encoding", b"\x00\xc4".to_vec()),
        ("a list of endless length", b"\x01\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01a".to_vec()),
        ("a set of endless length", b"\x02\x81\x7f\xff\xff\xff\xff\xff\xff\xff\x01a".to_vec()),
        ("a set with a member twice", b"\x02\x02\x01a\x01a".to_vec()),
        ("a set with a number twice", b"\x02\x02\x017\xc0\x07".to_vec()),
        ("an intset that does not ascend", b"\x0b\x0c\x02\0\0\0\x02\0\0\0\x02\0\x01\0".to_vec()),
        ("an intset with a number twice", b"\x0b\x0c\x02\0\0\0\x02\0\0\0\x01\0\x01\0".to_vec()),
        ("an intset longer than its string", b"\x0b\x0a\x02\0\0\0\xff\xff\xff\x7f\x01\0".to_vec()),
        ("an intset of no width", b"\x0b\x08\0\0\0\0\x01\0\0\0".to_vec()),
        ("a quicklist of endless length", b"\x12\x81\xff\xff\xff\xff\xff\xff\xff\xff".to_vec()),
        ("a quicklist's node of no kind", b"\x12\x01\x03\x01a".to_vec()),
        ("a quicklist without elements", b"\x12\x01\x02\x07\x07\0\0\0\0\0\xff".to_vec()),
        ("a listpack with a hole", b"\x12\x01\x02\x0a\x0a\0\0\0\x01\0\x84ab\xff".to_vec()),
        ("a listpack that counts too few", b"\x12\x01\x02\x0b\x0b\0\0\0\x01\0\x01\x01\x01\x01\xff".to_vec()),
        ("a listpack set with a member twice", b"\x14\x0b\x0b\0\0\0\x02\0\x01\x01\x01\x01\xff".to_vec()),
        ("a ziplist whose tail is outside", b"\x0a\x0e\x0e\0\0\0\xff\0\0\0\x01\0\0\x01a\xff".to_vec()),
        ("a module's value", b"\x07\x81\0\0\0\0\0\0\0\0\0".to_vec()),
        ("a module's value of old", b"\x06\x01".to_vec()),
        ("a type that there is not", b"\xc8\x01a".to_vec()),
        ("nothing", Vec::new()),
    ] {
        let before = ours.client.info_number("used_memory");
        let answer = restore(&mut ours.client, "key", &sealed(&body));
        assert_eq!(answer.to_string(), "-ERR Bad data format", "{what}");
        assert!(ours.client.info_number("used_memory") < before + (1 << 20), "{what} takes memory");
        assert_eq!(ours.say("EXISTS key"), Reply::Integer(0), "{what}");
    }
}

/// A short string as a payload has it.
fn text(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len() as u8], bytes].concat()
}

/// A listpack as a string: short texts, numbers among them in digits, which nobody writes and everybody reads, and behind a
/// `#` numbers in eight bytes, however small.
fn packed(words: &[&str]) -> Vec<u8> {
    let entries = words.iter().flat_map(|word| match word.strip_prefix('#') {
        Some(number) => {
            let number: i64 = number.parse().expect("a number");
            [&[0xf4], &number.to_le_bytes()[..], &[9]].concat()
        }
        None => [&[0x80 | word.len() as u8], word.as_bytes(), &[word.len() as u8 + 1]].concat(),
    });
    let entries: Vec<u8> = entries.collect();
    let head = [&(entries.len() as u32 + 7).to_le_bytes()[..], &(words.len() as u16).to_le_bytes()].concat();
    let all = [head, entries, vec![0xff]].concat();
    [&[0x40 | (all.len() >> 8) as u8, all.len() as u8], &all[..]].concat()
}

/// A stream of the newest form with one node, and no groups.
fn stream(node: &[&str], producers: &[u8]) -> Vec<u8> {
    let place = [&[0; 7][..], &[1], &[0; 7], &[1]].concat();
    let marks = [1, 1, 1, 1, 1, 0, 0, 1, 0];
    [&[26, 1], &text(&place)[..], &packed(node), &marks, producers].concat()
}

/// Payloads that no server writes, which Redis 8.6 takes or refuses: the same is done with each of them, and where it is
/// taken it is the same value.
#[test]
fn what_nobody_writes_is_taken_or_refused_as_by_redis() {
    const ITEM: [&str; 11] = ["1", "0", "1", "f", "0", "2", "0", "0", "v", "4", ""];
    let item = &ITEM[..10];
    let with = |at: usize, word: &'static str| {
        let mut node = item.to_vec();
        node[at] = word;
        node
    };
    let no_producers: &[u8] = &[100, 100, 0, 0, 0];
    let early = 1_000_u64.to_le_bytes();
    let fields = |words: &[&str]| [&[25][..], &early, &packed(words)].concat();
    let hash = |distance: &[u8]| [&[24][..], &early, &[1], distance, b"\x01f\x01v"].concat();
    let bodies: &[(&str, Vec<u8>)] = &[
        ("a short number of four bytes", b"\x00\xc2\x05\0\0\0".to_vec()),
        ("integers of a set as texts", [&[20], &packed(&["1", "2", "300"])[..]].concat()),
        ("a set without members", [&[20], &packed(&[])[..]].concat()),
        ("a set with a member twice", [&[20], &packed(&["a", "b", "a"])[..]].concat()),
        ("a set with a number twice", b"\x14\x0c\x0c\0\0\0\x02\0\x05\x01\x815\x02\xff".to_vec()),
        ("a wide intset of small numbers", b"\x0b\x10\x04\0\0\0\x02\0\0\0\x01\0\0\0\x02\0\0\0".to_vec()),
        ("an intset without numbers", b"\x0b\x08\x02\0\0\0\0\0\0\0".to_vec()),
        ("a listpack whose lengths behind are marked", b"\x14\x0a\x0a\0\0\0\x01\0\x81a\x82\xff".to_vec()),
        ("a hash of an odd number", [&[16], &packed(&["f", "v", "g"])[..]].concat()),
        ("a hash with a field twice", [&[16], &packed(&["f", "v", "f", "w"])[..]].concat()),
        ("a hash without fields", [&[16], &packed(&[])[..]].concat()),
        (
            "a ziplist hash with a field twice",
            b"\x0d\x17\x17\0\0\0\x13\0\0\0\x04\0\0\x01f\x03\x01v\x03\x01f\x03\x01v\xff".to_vec(),
        ),
        ("a sorted set with a member twice", [&[17], &packed(&["m", "1", "m", "2"])[..]].concat()),
        ("a sorted set out of order", [&[17], &packed(&["m", "2", "n", "1"])[..]].concat()),
        ("a list with a node of nothing", [&[18, 2, 2], &packed(&[])[..], &[2], &packed(&["a"])].concat()),
        ("a list of nothing but such", [&[18, 1, 2], &packed(&[])[..]].concat()),
        ("a list with an element of no bytes by itself", vec![18, 2, 1, 0, 1, 1, b'a']),
        ("a list with an element of one byte by itself", vec![18, 1, 1, 1, b'a']),
        ("a list without nodes", vec![18, 0]),
        (
            "fields that expire",
            fields(&["f", "v", "#9000000000000", "g", "w", "#9000000000001", "h", "x", "#0"]),
        ),
        ("fields in another order", fields(&["f", "v", "#9000000000001", "g", "w", "#9000000000000"])),
        ("fields that do not expire in front", fields(&["f", "v", "#0", "g", "w", "#9000000000000"])),
        ("a field with a negative time", fields(&["f", "v", "#-1"])),
        ("a field whose time is written in digits", fields(&["f", "v", "9000000000000"])),
        ("a field whose time is no number", fields(&["f", "v", "x"])),
        ("a field that expires last", fields(&["f", "v", "#281474976710655"])),
        ("a field that expires behind that", fields(&["f", "v", "#281474976710656"])),
        ("a field by itself that expires last", hash(b"\x81\0\0\xff\xff\xff\xff\xfc\x18")),
        ("a field by itself that expires behind that", hash(b"\x81\0\0\xff\xff\xff\xff\xfc\x19")),
        ("a stream", stream(item, no_producers)),
        ("an item that counts too few entries", stream(&with(9, "3"), no_producers)),
        ("an item that counts too many", stream(&with(9, "5"), no_producers)),
        ("names that do not end", stream(&with(4, "1"), no_producers)),
        ("a node that counts too many items", stream(&with(0, "2"), no_producers)),
        ("a node that counts too many names", stream(&with(2, "2"), no_producers)),
        ("a stream that forgets at once", stream(item, &[0, 100, 0, 0, 0])),
        ("a stream that remembers for too long", stream(item, &[0x80, 0, 1, 0x51, 0x81, 100, 0, 0, 0])),
        ("a stream that remembers nothing", stream(item, &[100, 0, 0, 0, 0])),
        ("a stream that remembers too much", stream(item, &[100, 0x67, 0x11, 0, 0, 0])),
        ("a producer", stream(item, b"\x40\x64\x40\x64\x01\x01p\x01\x01i\x01\x01\x01\0")),
        (
            "a producer twice",
            stream(item, b"\x40\x64\x40\x64\x02\x01p\x01\x01i\x01\x01\x01p\x01\x01j\x01\x01\x02\0"),
        ),
        ("a producer of nothing", stream(item, b"\x40\x64\x40\x64\x01\x01p\0\x01\0")),
    ];
    let redis = others().into_iter().rfind(|(name, _)| name.starts_with("redis 8.6"));
    let file = format!("{FILE}sanitize-dump-payload yes\n");
    let mut theirs = redis.map(|(_, program)| program.start("unwritten-theirs", &file));
    let mut ours = ours().start("unwritten-ours", &file);
    let mut refused = 0;
    for (what, body) in bodies {
        let payload = sealed(body);
        let try_by = |client: &mut Client| {
            client.say("DEL key");
            let reply = restore(client, "key", &payload);
            (reply, client.say("TYPE key"), digest(client, "key"))
        };
        let here = try_by(&mut ours.client);
        refused += usize::from(here.0.is_error());
        if let Some(theirs) = &mut theirs {
            let there = try_by(&mut theirs.client);
            if here != there {
                println!("XX {what}: {here:?} {there:?}");
            }
        }
    }
    assert_eq!((refused, bodies.len()), (30, 42));
}

/// Values of all kinds with bytes changed, cut out and doubled: the server answers each, and holds only what it can
/// write again.
#[test]
fn any_payload_is_answered() {
    const PAYLOADS: usize = 20_000;
    let mut random = Random::from_environment();
    let mut ours = ours().start("payloads-random", FILE);
    fill(&mut ours.client);
    let mut whole: Vec<Vec<u8>> = Vec::new();
    for version in ["9", "10", "11"] {
        ours.set("rdb-version", version);
        for key in ours.say("KEYS *").elements().iter().map(Reply::text).collect::<Vec<_>>() {
            let payload = dumped(&mut ours.client, &key);
            if payload.len() < 3000 {
                whole.push(payload[..payload.len() - 10].to_vec());
            }
        }
    }
    ours.say("FLUSHALL");
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..PAYLOADS {
        let mut body = whole[random.below(whole.len())].clone();
        for _ in 0..1 + random.below(3_usize) {
            let at = random.below(body.len());
            match random.below(5_usize) {
                0 => body[at] = random.below(256_usize) as u8,
                1 => body[at] ^= 1 << random.below(8_usize),
                2 => body.truncate(at.max(1)),
                3 => drop(body.remove(at)),
                _ => body.insert(at, random.below(256_usize) as u8),
            }
            if body.is_empty() {
                body.push(0);
            }
        }
        match restore(&mut ours.client, "key", &sealed(&body)) {
            Reply::Simple(_) => {
                taken += 1;
                let payload = dumped(&mut ours.client, "key");
                let before = digest(&mut ours.client, "key");
                assert_eq!(restore(&mut ours.client, "again", &payload), Reply::ok());
                assert_eq!(digest(&mut ours.client, "again"), before, "{}", body.escape_ascii());
            }
            Reply::Error(text) => {
                refused += 1;
                assert_eq!(text, "ERR Bad data format", "{}", body.escape_ascii());
            }
            other => panic!("{other} to {}", body.escape_ascii()),
        }
    }
    assert!(taken > PAYLOADS / 50 && refused > PAYLOADS / 10, "{taken} taken, {refused} refused");
}

/// What RIOT and RedisShake send: walk by type, ask for time and payload in one pipeline, restore in another.
#[test]
fn a_migration_by_scan_and_dump_moves_everything() {
    for (name, program) in others() {
        let mut theirs = program.start("migration-theirs", FILE);
        let mut ours = ours().start("migration-ours", FILE);
        fill(&mut ours.client);
        for key in ["string:empty", "list:nodes"] {
            assert_eq!(ours.client.call(&["PEXPIREAT", key, "9000000000000"]), Reply::Integer(1));
        }
        if name.starts_with("redis 7.0") {
            ours.say("CONFIG SET rdb-version 10");
        }
        let whole = ours.say("DEBUG DIGEST");
        migrate(&mut ours.client, &mut theirs.client);
        assert_eq!(theirs.say("DEBUG DIGEST"), whole, "{name}: from here");
        ours.say("FLUSHALL");
        migrate(&mut theirs.client, &mut ours.client);
        assert_eq!(ours.say("DEBUG DIGEST"), whole, "{name}: and back");
        assert_eq!(ours.say("PEXPIRETIME list:nodes").number(), Some(9_000_000_000_000));
    }
}

fn migrate(source: &mut Client, target: &mut Client) {
    for data_type in ["string", "list", "set", "hash", "zset"] {
        let mut cursor = "0".to_owned();
        loop {
            let step = source.call(&["SCAN", &cursor, "COUNT", "7", "TYPE", data_type]);
            let [next, keys] = step.elements() else { panic!("SCAN answers {step}") };
            let keys: Vec<String> = keys.elements().iter().map(Reply::text).collect();
            let asked = keys.iter().flat_map(|key| [vec!["PEXPIRETIME", key], vec!["DUMP", key]]);
            source.send_all(&asked.collect::<Vec<_>>());
            let answers: Vec<[Reply; 2]> = keys.iter().map(|_| [source.reply(), source.reply()]).collect();
            let commands = keys.iter().zip(&answers).map(|(key, [at_ms, payload])| {
                let Reply::Bulk(payload) = payload else { panic!("DUMP {key} answers {payload}") };
                let at_ms = at_ms.number().unwrap_or(0).to_string().into_bytes();
                let words: [&[u8]; 6] = [b"RESTORE", key.as_bytes(), &at_ms, payload, b"REPLACE", b"ABSTTL"];
                words.map(<[u8]>::to_vec).to_vec()
            });
            target.send_all(&commands.collect::<Vec<_>>());
            keys.iter().for_each(|key| assert_eq!(target.reply(), Reply::ok(), "{key}"));
            cursor = next.text();
            if cursor == "0" {
                break;
            }
        }
    }
}

/// A payload is what the writer of this repository makes of a value, apart from any server.
#[test]
fn dump_is_the_value_and_nothing_else() {
    let mut ours = ours().start("payloads-plain", FILE);
    ours.say("RPUSH list a 70000 b");
    let elements: [&[u8]; 3] = [b"a", b"70000", b"b"];
    let parts = |visit: &mut dyn FnMut(Part<'_>)| elements.iter().for_each(|text| visit(Part::Element(text)));
    let value = Value {
        kind: Kind::List,
        form: Form::Packed,
        len: 3,
        may_expire: true,
        has_producers: false,
        parts: &parts,
    };
    let payload = dumped(&mut ours.client, "list");
    assert_eq!(payload, write_payload(&value, WriteOptions::default()));
    assert_eq!(Payload::open(&payload).expect("a payload").kind(), Kind::List);
}
