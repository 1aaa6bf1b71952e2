//! Every change of the keyspace is an effect: what many clients do at once, with transactions, blocking pops and
//! keys that expire, is recorded; the recording alone gives another server the same keyspace.

use std::collections::BTreeSet;
use std::path::Path;
use swytch_testkit::{Client, Random, Reply, Server, ours, replay::replay};

const CLIENTS: usize = 6;
const COMMANDS_PER_CLIENT: usize = 2500;
const DATABASES: usize = 3;
const NAMES: [&str; 7] = ["string", "list", "set", "hash", "log", "zset", "stream"];
const KEYS_PER_NAME: usize = 6;

/// Every write command, in forms with placeholders: `{s}` a key that often holds a string, `{l}` one that often
/// holds a list, `{m}` one that often holds a set, `{h}` a hash, `{g}` a HyperLogLog, `{z}` a sorted set, `{n}` a small
/// number, `{ms}` a time to live that may well end during the test, `{at}` such a
/// time since 1970, `{t}` a blocking timeout, `{d}` a database, `{e}` one of LEFT and RIGHT.
const FORMS: &[&str] = &[
    "SET {s} {n}",
    "SET {s} value:{n} PX {ms}",
    "SET {s} {n} KEEPTTL",
    "SET {s} {n} NX GET",
    "SET {s} v PXAT {at}",
    "SET {s} {n} IFNE {n}",
    "SET {s} v IFDNE 0000000000000000 PX {ms}",
    "DELEX {s} IFEQ {n}",
    "DELIFEQ {s} {n}",
    "MSETEX 2 {s} {n} {s} b PX {ms}",
    "SETNX {s} {n}",
    "SETEX {s} 1 {n}",
    "PSETEX {s} {ms} {n}",
    "GETSET {s} {n}",
    "GETDEL {s}",
    "GETEX {s} PX {ms}",
    "GETEX {s} PERSIST",
    "APPEND {s} {n}",
    "SETRANGE {s} {n} xyz",
    "INCR {s}",
    "DECR {s}",
    "INCRBY {s} {n}",
    "DECRBY {s} {n}",
    "INCRBYFLOAT {s} 0.{n}",
    "MSET {s} {n} {s} b",
    "MSETNX {s} {n} {s} b",
    "SETBIT {s} {n} 1",
    "BITFIELD {s} INCRBY u8 {n} 77 SET i5 0 3",
    "BITOP XOR {s} {s} {s}",
    "LPUSH {l} {n} a b",
    "RPUSH {l} {n} c d",
    "RPUSH {l} {n} e f g h",
    "LPUSHX {l} {n}",
    "RPUSHX {l} {n}",
    "LPOP {l}",
    "RPOP {l} {n}",
    "LSET {l} {n} set",
    "LINSERT {l} BEFORE a inserted",
    "LINSERT {l} AFTER c inserted",
    "LREM {l} -{n} a",
    "LREM {l} {n} b",
    "LTRIM {l} {n} -2",
    "LMOVE {l} {l} {e} {e}",
    "RPOPLPUSH {l} {l}",
    "LMPOP 2 {l} {l} {e} COUNT {n}",
    "BLPOP {l} {l} {t}",
    "BRPOP {l} {l} {t}",
    "BLMOVE {l} {l} {e} {e} {t}",
    "BRPOPLPUSH {l} {l} {t}",
    "BLMPOP {t} 2 {l} {l} {e} COUNT {n}",
    "SORT {l} ALPHA STORE {l}",
    "SORT {m} BY nosort GET # GET string:* STORE {l}",
    "PFADD {g} {n} {n} {n}",
    "PFADD {g} {n}{n}{n} {n}x{n}",
    "PFCOUNT {g}",
    "PFMERGE {g} {g} {g}",
    "PFDEBUG TODENSE {g}",
    "SADD {m} {n} {n} {n}",
    "SADD {m} {n} a b c d e f g",
    "SADD {m} {n} {n}{n}{n}{n} x{n} y{n} z{n}",
    "SREM {m} {n} a b {n}",
    "SPOP {m}",
    "SPOP {m} {n}",
    "SMOVE {m} {m} {n}",
    "SINTERSTORE {m} {m} {m}",
    "SUNIONSTORE {m} {m} {m}",
    "SDIFFSTORE {m} {m} {m}",
    "HSET {h} {n} {n}",
    "HSET {h} {n} {n} x{n} value {n}{n} {n}",
    "HMSET {h} {n} v{n} y{n} {n}",
    "HSETNX {h} {n} {n}",
    "HINCRBY {h} {n} {n}",
    "HINCRBYFLOAT {h} {n} 0.{n}",
    "HDEL {h} {n} {n}{n} x{n}",
    "HSETEX {h} PX {ms} FIELDS 2 {n} {n} x{n} y",
    "HSETEX {h} FNX EX 1 FIELDS 1 {n} new",
    "HSETEX {h} FXX KEEPTTL FIELDS 1 {n} old",
    "HSETEX {h} PXAT 1 FIELDS 1 {n} over",
    "HGETEX {h} PX {ms} FIELDS 2 {n} x{n}",
    "HGETEX {h} PERSIST FIELDS 1 {n}",
    "HGETDEL {h} FIELDS 1 {n}",
    "HEXPIRE {h} 1 NX FIELDS 1 {n}",
    "HPEXPIRE {h} {ms} FIELDS 3 {n} x{n} y{n}",
    "HPEXPIREAT {h} {at} GT FIELDS 1 {n}",
    "HEXPIREAT {h} 1 FIELDS 1 {n}",
    "HPERSIST {h} FIELDS 2 {n} x{n}",
    "HINCRBY {h} {n} 1",
    "HGETALL {h}",
    "COPY {h} {h} REPLACE",
    "RENAME {h} {h}",
    "PEXPIRE {h} {ms}",
    "COPY {m} {m} REPLACE",
    "RENAME {m} {m}",
    "XADD {x} * f {n} g {n}",
    "XADD {x} * f {n}",
    "XADD {x} NOMKSTREAM MAXLEN ~ 3 * f {n}",
    "XADD {x} MAXLEN {n} DELREF * f {n}",
    "XADD {x} IDMPAUTO producer * f {n}",
    "XADD {x} IDMP producer {n} * f {n}",
    "XDEL {x} {at}",
    "XTRIM {x} MAXLEN {n}",
    "XTRIM {x} MAXLEN = {n} ACKED",
    "XTRIM {x} MINID {at} DELREF",
    "XSETID {x} {at} ENTRIESADDED 100 MAXDELETEDID {n}",
    "XCFGSET {x} IDMP-DURATION {n} IDMP-MAXSIZE 3",
    "XIDMPRECORD {x} producer {n} {at}",
    "XGROUP CREATE {x} g {n} MKSTREAM",
    "XGROUP CREATE {x} h $ ENTRIESREAD {n}",
    "XGROUP SETID {x} g {n}",
    "XGROUP DESTROY {x} h",
    "XGROUP CREATECONSUMER {x} g c{n}",
    "XGROUP DELCONSUMER {x} g c{n}",
    "XREADGROUP GROUP g c{n} COUNT 3 STREAMS {x} >",
    "XREADGROUP GROUP g c{n} COUNT 3 NOACK STREAMS {x} >",
    "XREADGROUP GROUP g c{n} STREAMS {x} 0",
    "XREADGROUP GROUP h c{n} CLAIM {n} COUNT 3 BLOCK 1{n} STREAMS {x} >",
    "XACK {x} g {at} {at}",
    "XACKDEL {x} g DELREF IDS 2 {at} {at}",
    "XDELEX {x} ACKED IDS 2 {at} {at}",
    "XCLAIM {x} g c{n} 0 {at} FORCE JUSTID",
    "XAUTOCLAIM {x} g c{n} 0 0 COUNT 3",
    "COPY {x} {x} REPLACE",
    "RENAME {x} {x}",
    "PEXPIRE {m} {ms}",
    "ZADD {z} {n} {n} 0.{n} a",
    "ZADD {z} GT CH {n} {n} 3 b",
    "ZADD {z} NX -{n} {n} 1e{n} c",
    "ZADD {z} XX LT {n} {n} {n} a",
    "ZADD {z} XX INCR 0.1 {n}",
    "ZADD {z} {n} {n}{n}{n} {n} x{n}{n} {n} y{n}{n} {n} z{n}{n} {n} w{n}{n}",
    "ZINCRBY {z} 0.{n} {n}",
    "ZREM {z} {n} {n}",
    "ZREMRANGEBYRANK {z} {n} {n}",
    "ZREMRANGEBYSCORE {z} {n} ({n}",
    "ZREMRANGEBYLEX {z} [{n} [{n}",
    "ZPOPMIN {z}",
    "ZPOPMAX {z} {n}",
    "ZMPOP 2 {z} {z} MIN COUNT {n}",
    "BZPOPMIN {z} {z} {t}",
    "BZPOPMAX {z} {t}",
    "BZMPOP {t} 2 {z} {z} MAX COUNT {n}",
    "ZUNIONSTORE {z} 2 {z} {m} WEIGHTS 0.5 {n}",
    "ZINTERSTORE {z} 2 {z} {z} AGGREGATE MAX",
    "ZDIFFSTORE {z} 2 {z} {z}",
    "ZRANGESTORE {z} {z} {n} -1",
    "GEOADD {z} 1{n}.{n} 5{n}.{n} {n} {n} -{n} x{n}",
    "GEOADD {z} XX CH {n} {n} {n}",
    "GEOSEARCHSTORE {z} {z} FROMLONLAT {n} {n} BYRADIUS {n}00 km STOREDIST",
    "GEORADIUS {z} {n} {n} {n}000 km STORE {z}",
    "GEORADIUSBYMEMBER {z} {n} {n}000 km STORE {z}",
    "COPY {z} {z} REPLACE",
    "RENAME {z} {z}",
    "PEXPIRE {z} {ms}",
    "DEL {s} {l}",
    "UNLINK {s}",
    "COPY {s} {s} REPLACE",
    "COPY {l} {l} DB {d}",
    "MOVE {s} {d}",
    "MOVE {l} {d}",
    "RENAME {s} {s}",
    "RENAME {l} {l}",
    "RENAMENX {l} {s}",
    "EXPIRE {l} 1",
    "EXPIRE {s} -1",
    "PEXPIRE {s} {ms}",
    "PEXPIRE {l} {ms} NX",
    "EXPIREAT {l} 1",
    "PEXPIREAT {s} {at} XX",
    "PERSIST {s}",
    "PERSIST {l}",
    "RESTORE {s} 0 {p} REPLACE",
    "RESTORE {l} {ms} {p}",
    "RESTORE {m} {at} {p} REPLACE ABSTTL",
    "RESTORE-ASKING {m} 0 {p}",
    "SELECT {d}",
    "GET {s}",
    "SCAN 0",
    "RANDOMKEY",
];

/// Values as DUMP gives them, without a checksum: a string, a list, a set and a hash.
const PAYLOADS: &[&str] = &[
    "\0\x03abc\t\0\0\0\0\0\0\0\0\0",
    "\x01\x03\x01a\x01b\x01a\t\0\0\0\0\0\0\0\0\0",
    "\x02\x03\x01a\x017\x01b\t\0\0\0\0\0\0\0\0\0",
    "\x04\x02\x01a\x017\x01b\x01c\t\0\0\0\0\0\0\0\0\0",
];

/// Those that would leave too little if they came as often as the others.
const RARE_FORMS: &[&str] = &["SWAPDB {d} {d}", "FLUSHDB", "FLUSHALL", "FLUSHDB ASYNC"];
const RARE_ONCE_IN: u64 = 400;

fn fill(form: &str, random: &mut Random) -> Vec<String> {
    let mut words: Vec<String> = form.split(' ').map(str::to_owned).collect();
    for word in &mut words {
        let places = ["{s}", "{l}", "{m}", "{h}", "{g}", "{z}", "{x}"];
        let usual = places.iter().position(|place| word.contains(place)).unwrap_or(0);
        let name = NAMES[if random.once_in(12) { random.below(NAMES.len()) } else { usual }];
        let key = format!("{name}:{}", random.below(KEYS_PER_NAME));
        let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let at_ms = now_ms.as_millis() as usize + random.below(300);
        *word = word
            .replace("{s}", &key)
            .replace("{l}", &key)
            .replace("{g}", &key)
            .replace("{m}", &key)
            .replace("{h}", &key)
            .replace("{p}", random.pick(PAYLOADS))
            .replace("{z}", &key)
            .replace("{x}", &key)
            .replace("{n}", &random.below(9).to_string())
            .replace("{ms}", &(1 + random.below(200)).to_string())
            .replace("{at}", &at_ms.to_string())
            .replace("{t}", &format!("0.0{}", 1 + random.below(4)))
            .replace("{d}", &random.below(DATABASES).to_string())
            .replace("{e}", random.pick(&["LEFT", "RIGHT"]));
    }
    words
}

fn random_command(random: &mut Random) -> Vec<String> {
    let forms = if random.once_in(RARE_ONCE_IN) { RARE_FORMS } else { FORMS };
    let form = random.pick(forms);
    fill(form, random)
}

/// One client's share: commands on their own, and now and then a transaction.
fn disturb(port: u16, mut random: Random) {
    let mut connection = Client::open(port);
    let mut left = COMMANDS_PER_CLIENT;
    while left > 0 {
        let commands = if random.once_in(8) { 1 + random.below(5) } else { 0 };
        if commands > 0 {
            if random.once_in(3) {
                connection.call(&fill("WATCH {s} {l}", &mut random));
            }
            connection.say("MULTI");
            for _ in 0..commands {
                connection.call(&random_command(&mut random));
            }
            check(&connection.say("EXEC"));
        } else {
            check(&connection.call(&random_command(&mut random)));
        }
        left = left.saturating_sub(commands.max(1));
    }
}

#[track_caller]
fn check(reply: &Reply) {
    match reply {
        Reply::Error(text) => assert!(!text.contains("internal error"), "{text}"),
        Reply::Array(parts) => parts.iter().for_each(check),
        _ => {}
    }
}

/// The names of all write commands that the server has.
fn write_commands(server: &mut Server) -> BTreeSet<String> {
    let Reply::Array(commands) = server.say("COMMAND") else { panic!("COMMAND answers an array") };
    let written = |command: &Reply| {
        let Reply::Array(fields) = command else { panic!("{command:?}") };
        let Reply::Array(flags) = &fields[2] else { panic!("{fields:?}") };
        let Reply::Bulk(name) = &fields[0] else { panic!("{fields:?}") };
        flags.contains(&Reply::simple("write")).then(|| String::from_utf8_lossy(name).into_owned())
    };
    commands.iter().filter_map(written).collect()
}

#[test]
fn the_forms_above_are_of_every_write_command_there_is() {
    let mut server = ours!().start("effects-forms", "");
    let covered: BTreeSet<String> = FORMS
        .iter()
        .chain(RARE_FORMS)
        .map(|form| form.split(' ').next().unwrap_or_default().to_lowercase())
        .collect();
    let missing: Vec<String> = write_commands(&mut server).difference(&covered).cloned().collect();
    assert!(missing.is_empty(), "give a form of {missing:?}, or their effects go unproved");
}

#[test]
fn the_recorded_effects_of_many_clients_give_the_same_keyspace() {
    let file = "enable-debug-command yes\nthreads 4\n";
    let mut server = ours!().start("effects", file);
    let mut random = Random::from_environment();
    let recording = server.directory.join("effects.resp");
    let path = recording.to_str().expect("a path in UTF-8").to_owned();
    // What was there before is part of the stream only if it is made while recording.
    assert_eq!(server.say(&format!("DEBUG RECORD-EFFECTS {path}")), Reply::ok());
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let random = random.fork();
            let port = server.port;
            scope.spawn(move || disturb(port, random));
        }
    });
    // The last of the commands above may have been a flush.
    server.say("SET string:0 last");
    let (digest, expiries) = stop_recording(&mut server);
    let empty = "0".repeat(40);
    assert_ne!(digest, empty, "a keyspace with something in it");

    let mut other = ours!().start("effects-replayed", file);
    let replayed = replay(Path::new(&path), other.port).expect("the recording can be sent");
    assert_eq!(replayed.errors, Vec::<String>::new());
    assert!(replayed.replies > 1000, "{} replies", replayed.replies);
    assert_eq!(replayed.digest, digest);
    assert_eq!(all_expiries(&mut other), expiries);
}

/// Ends the recording and, before anything can change, tells the digest.
fn stop_recording(server: &mut Server) -> (String, Vec<Reply>) {
    server.say("MULTI");
    server.say("DEBUG RECORD-EFFECTS STOP");
    server.say("DEBUG DIGEST");
    // From here on, keys that have expired stay too, and their expiries can be read.
    server.say("DEBUG SET-ACTIVE-EXPIRE 0");
    let Reply::Array(replies) = server.say("EXEC") else { panic!("EXEC answers an array") };
    let [stopped, digest, _] = &replies[..] else { panic!("{replies:?}") };
    assert_eq!(*stopped, Reply::ok());
    let digest = digest.text();
    (digest, all_expiries(server))
}

/// When each key expires, in every database; those included whose time is over.
fn all_expiries(server: &mut Server) -> Vec<Reply> {
    server.say("DEBUG REPLAY ON");
    let mut expiries = Vec::new();
    for db in 0..DATABASES {
        server.say(&format!("SELECT {db}"));
        for name in NAMES {
            for number in 0..KEYS_PER_NAME {
                expiries.push(server.say(&format!("PEXPIRETIME {name}:{number}")));
            }
        }
    }
    expiries
}

#[test]
fn a_recording_is_begun_once_and_ended_once() {
    let mut server = ours!().start("effects-switch", "enable-debug-command yes\n");
    let path = server.directory.join("effects.resp");
    let start = format!("DEBUG RECORD-EFFECTS {}", path.display());
    let stop = "DEBUG RECORD-EFFECTS STOP";
    assert!(matches!(server.say(stop), Reply::Error(_)));
    assert_eq!(server.say(&start), Reply::ok());
    assert!(matches!(server.say(&start), Reply::Error(_)));
    server.say("SET key value EX 100");
    server.say("GET key");
    assert_eq!(server.say(stop), Reply::ok());
    server.say("SET key unrecorded");
    let recorded = String::from_utf8_lossy(&std::fs::read(&path).expect("it was written")).into_owned();
    assert!(
        recorded.starts_with("*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*5\r\n$3\r\nSET\r\n$3\r\nkey\r\n"),
        "{recorded:?}"
    );
    assert!(!recorded.contains("unrecorded"));
    assert!(matches!(server.say(&start), Reply::Error(_)), "a file that is there is not overwritten");
}
