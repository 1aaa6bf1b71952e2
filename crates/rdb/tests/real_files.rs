//! Files that real servers have written: what is read of them is what the servers say, and no damage goes unnoticed.
//!
//! Judges are the `redis-server` on the path and every peer that `cargo xtask peers` has built.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use swytch_rdb::{Fault, KeyFacts, Kind, Part, Shape, Sink, StreamPart, Unread, Writer, read_file};
use swytch_testkit::{Client, Program, Reply};

/// A file's keys: the value as a list of texts in canonical order, and how it was written.
#[derive(Debug, Default)]
struct Content {
    version: u32,
    keys: BTreeMap<String, (Vec<String>, Shape, KeyFacts)>,
    current: Option<(String, Kind, Shape, KeyFacts)>,
    texts: Vec<String>,
    held: usize,
    /// Values are looked into when they have been read.
    later: bool,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Sink for Content {
    fn head(&mut self, version: u32, _: Writer) {
        self.version = version;
    }

    fn begin(&mut self, key: &[u8], facts: KeyFacts, kind: Kind, shape: Shape) -> Result<(), String> {
        self.current = Some((text(key), kind, shape, facts));
        self.texts.clear();
        Ok(())
    }

    fn wants_parts(&self) -> bool {
        !self.later
    }

    fn unread(&mut self, value: Unread<'_>) -> Result<(), Fault> {
        value.parts(&mut |part| self.part(part))
    }

    fn part(&mut self, part: Part<'_>) -> Result<(), String> {
        match part {
            Part::Text(bytes) | Part::Element(bytes) => self.texts.push(text(bytes)),
            Part::Scored { member, score } => self.texts.push(format!("{} {score}", text(member))),
            Part::Field { field, value, expires_ms } => {
                let expires = if expires_ms.is_some() { " expires" } else { "" };
                self.texts.push(format!("{} {}{expires}", text(field), text(value)));
            }
            Part::Stream(StreamPart::Item { id, fields }) => {
                let fields: Vec<String> = fields.iter().map(|field| text(field)).collect();
                self.texts.push(format!("{}-{} {}", id.ms, id.sequence, fields.join(" ")));
            }
            Part::Stream(StreamPart::Held(_)) => self.held += 1,
            Part::Stream(_) | Part::Module(_) => {}
        }
        Ok(())
    }

    fn end(&mut self, _: u64) -> Result<(), String> {
        let (key, kind, shape, facts) = self.current.take().expect("a key has begun");
        if !matches!(kind, Kind::List | Kind::Stream) {
            self.texts.sort();
        }
        self.keys.insert(key, (std::mem::take(&mut self.texts), shape, facts));
        Ok(())
    }
}

/// Every server that there is.
fn servers() -> Vec<Program> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/peers");
    let built = ["redis", "valkey"].into_iter().flat_map(|name| {
        let folders = fs::read_dir(peers.join(name)).into_iter().flatten().flatten();
        let binaries = folders.map(move |folder| folder.path().join(format!("src/{name}-server")));
        binaries.filter(|path| path.is_file()).map(move |path| Program::at(name, path))
    });
    Program::redis().into_iter().chain(built).collect()
}

/// Fills a server with every type in every way of writing it.
fn fill(client: &mut Client) {
    let mut call = |words: &[&str]| client.call(words);
    let long = "long and repeated ".repeat(100);
    for (key, value) in [("text", "value"), ("number", "-70000"), ("wide", "12345678901"), ("long", &long)] {
        call(&["SET", key, value]);
    }
    call(&["SET", "expiring", "value", "EX", "1000"]);
    let some = |prefix: &str, count: usize| -> Vec<String> {
        (0..count).map(|at| format!("{prefix}{at}")).collect()
    };
    let mut add = |name: &str, key: &str, words: &[String]| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        call(&[&[name, key], words.as_slice()].concat());
    };
    add("RPUSH", "list:small", &["a".into(), "3".into(), "-4".into(), "70000".into(), "-9000000000".into()]);
    add("RPUSH", "list:big", &some("element", 3000));
    add("RPUSH", "list:huge", &[long.repeat(10), "x".into()]);
    add("SADD", "set:numbers", &some("", 100));
    add("SADD", "set:wide", &["1".into(), "9999999999999".into()]);
    add("SADD", "set:small", &some("m", 5));
    add("SADD", "set:big", &some("m", 1000));
    let scored = |count: usize| -> Vec<String> {
        (0..count).flat_map(|at| [format!("{}", at as f64 / 4.0), format!("m{at}")]).collect()
    };
    add("ZADD", "zset:small", &scored(10));
    add("ZADD", "zset:big", &scored(1000));
    add("ZADD", "zset:infinite", &["-inf".into(), "low".into(), "inf".into(), "high".into()]);
    let pairs = |count: usize| -> Vec<String> {
        (0..count).flat_map(|at| [format!("f{at}"), format!("{at}")]).collect()
    };
    add("HSET", "hash:small", &pairs(10));
    add("HSET", "hash:big", &pairs(1000));
    for (key, count) in [("hash:expiring:small", "10"), ("hash:expiring:big", "1000")] {
        add("HSET", key, &pairs(count.parse().expect("a number")));
        // Servers before Redis 7.4 and Valkey 9 have no such command.
        add("HEXPIRE", key, &["1000", "FIELDS", "2", "f1", "f2"].map(str::to_owned));
    }
    for at in 0..250 {
        let id = format!("{}-{}", 1000 + at / 3, 1 + at % 3);
        add("XADD", "stream", &[id, "a".into(), at.to_string(), "b".into(), format!("x{at}")]);
    }
    add("XADD", "stream", &["2000-5", "other", "fields", "here", "1"].map(str::to_owned));
    add("XDEL", "stream", &["1000-2".into()]);
    for words in ["XGROUP CREATE stream group 0", "XREADGROUP GROUP group reader COUNT 7 STREAMS stream >"] {
        call(&words.split(' ').collect::<Vec<_>>());
    }
}

/// What the server says of a key, in the form of [`Content`].
fn asked(client: &mut Client, key: &str) -> Vec<String> {
    let kind = client.call(&["TYPE", key]).text();
    let mut texts: Vec<String> = match kind.as_str() {
        "string" => vec![client.call(&["GET", key]).text()],
        "list" => words(&client.call(&["LRANGE", key, "0", "-1"])),
        "set" => words(&client.call(&["SMEMBERS", key])),
        "zset" => pairs(&words(&client.call(&["ZRANGE", key, "0", "-1", "WITHSCORES"]))),
        "hash" => {
            let fields = words(&client.call(&["HGETALL", key]));
            let mut texts = pairs(&fields);
            for (text, field) in texts.iter_mut().zip(fields.iter().step_by(2)) {
                let left = client.call(&["HTTL", key, "FIELDS", "1", field]);
                if !left.is_error() && left.elements()[0] != Reply::Integer(-1) {
                    text.push_str(" expires");
                }
            }
            texts
        }
        "stream" => {
            let items = client.call(&["XRANGE", key, "-", "+"]);
            let item = |item: &Reply| {
                let [id, fields] = item.elements() else { panic!("an item is {item:?}") };
                format!("{} {}", id.text(), words(fields).join(" "))
            };
            items.elements().iter().map(item).collect()
        }
        other => panic!("{key} is a {other}"),
    };
    if !matches!(kind.as_str(), "list" | "stream") {
        texts.sort();
    }
    texts
}

fn words(reply: &Reply) -> Vec<String> {
    reply.elements().iter().map(Reply::text).collect()
}

fn pairs(words: &[String]) -> Vec<String> {
    words.chunks(2).map(|pair| pair.join(" ")).collect()
}

fn saved(client: &mut Client) -> PathBuf {
    assert_eq!(client.call(&["SAVE"]), Reply::ok());
    let directory = words(&client.call(&["CONFIG", "GET", "dir"]));
    Path::new(&directory[1]).join("dump.rdb")
}

#[test]
fn a_file_holds_what_its_server_says() {
    for program in servers() {
        let version = program.version();
        let mut server = program.start("rdb-content", "save \"\"\n");
        fill(&mut server.client);
        let file = saved(&mut server.client);
        let mut content = Content::default();
        let bytes = fs::read(&file).expect("the file was saved");
        read_file(bytes.as_slice(), &mut content).unwrap_or_else(|fault| panic!("{version}: {fault}"));
        let count = server.client.call(&["DBSIZE"]).number().expect("a number");
        assert_eq!(content.keys.len() as u64, count, "{version}");
        for (key, (texts, shape, facts)) in &content.keys {
            assert_eq!(
                *texts,
                asked(&mut server.client, key),
                "{version}: {key}, written as {}",
                shape.name()
            );
            assert_eq!(facts.expires_ms.is_some(), key == "expiring", "{version}: {key}");
        }
        assert_eq!(content.held, 7, "{version}");
        let mut later = Content { later: true, ..Content::default() };
        read_file(bytes.as_slice(), &mut later).unwrap_or_else(|fault| panic!("{version}: {fault}"));
        assert_eq!(
            (later.keys, later.held),
            (content.keys, content.held),
            "{version}: values looked into later"
        );
    }
}

/// Whatever one byte of a file becomes and wherever it ends, reading it ends, and with a fault: the checksum sees to the
/// rest.
#[test]
fn damage_is_noticed() {
    let Some(program) = Program::redis() else { return };
    let mut server = program.start("rdb-damage", "save \"\"\nlist-max-listpack-size 4\n");
    for line in [
        "SET text value",
        "RPUSH list a b c d e 6 7 8",
        "SADD numbers 1 2 3",
        "ZADD zset 1 a 2 b",
        "HSET hash f v",
        "XADD stream 1-1 a b",
        "XGROUP CREATE stream group 0",
        "XREADGROUP GROUP group reader STREAMS stream >",
        "SET expiring value EX 1000",
    ] {
        assert!(!server.say(line).is_error(), "{line}");
    }
    let whole = fs::read(saved(&mut server.client)).expect("the file was saved");
    read_file(whole.as_slice(), &mut Content::default()).expect("the file is sound");
    for len in 0..whole.len() {
        read_file(&whole[..len], &mut Content::default()).expect_err("the file is cut");
    }
    for at in 0..whole.len() {
        for flip in [1, 0x40, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            // The last eight bytes: with all of them zero nothing would be checked, and one alone cannot do that.
            assert!(read_file(bytes.as_slice(), &mut Content::default()).is_err(), "byte {at} ^ {flip:#x}");
        }
    }
}
