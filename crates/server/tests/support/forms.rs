//! Every write command in random forms, from many clients at once, with transactions, blocking pops and keys that expire.

#![allow(dead_code, unreachable_pub, reason = "each test file includes this and uses another part")]

use swytch_testkit::{Client, Random, Reply};

pub const CLIENTS: usize = 6;
/// Commands of each client.
pub const COMMANDS: usize = 2500;
pub const DATABASES: usize = 3;
pub const NAMES: [&str; 7] = ["string", "list", "set", "hash", "log", "zset", "stream"];
pub const KEYS_PER_NAME: usize = 6;

/// Every write command, in forms with placeholders: `{s}` a key that often holds a string, `{l}` one that often
/// holds a list, `{m}` one that often holds a set, `{h}` a hash, `{g}` a HyperLogLog, `{z}` a sorted set, `{n}` a small
/// number, `{ms}` a time to live that may well end during the test, `{at}` such a
/// time since 1970, `{t}` a blocking timeout, `{d}` a database, `{e}` one of LEFT and RIGHT.
pub const FORMS: &[&str] = &[
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
pub const RARE_FORMS: &[&str] = &[
    "SWAPDB {d} {d}",
    "FLUSHDB",
    "FLUSHALL",
    "FLUSHDB ASYNC",
    // To another database of the same server.
    "MIGRATE 127.0.0.1 {port} {s} {d} 60000 REPLACE",
    "MIGRATE 127.0.0.1 {port} {z} {d} 60000 COPY",
];
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

fn random_command(random: &mut Random, is_meant: fn(&str) -> bool) -> Vec<String> {
    let forms = if random.once_in(RARE_ONCE_IN) { RARE_FORMS } else { FORMS };
    loop {
        let form = random.pick(forms);
        if is_meant(form) {
            return fill(form, random);
        }
    }
}

/// Whether every server knows a form, and its effect does not depend on when it is heard of, as that of expiring fields and of
/// identifiers of producers does.
pub fn is_told_alike(form: &str) -> bool {
    // Redis waits for itself where a key goes to another of its databases.
    let later = [
        "MIGRATE",
        "HSETEX",
        "HGETEX",
        "HGETDEL",
        "EXPIRE {h}",
        "EXPIREAT {h}",
        "HPERSIST",
        "HEXPIRE",
        "HPEXPIRE",
        "XDELEX",
        "XACKDEL",
        "XCFGSET",
        "XIDMP",
        "DELREF",
        "ACKED",
        "IDMP",
        "CLAIM {n}",
    ];
    // Its digest writes fractions and large scores in another way.
    let has_fractions =
        form.contains("{z}") && ["0.", "1e", "STOREDIST"].iter().any(|word| form.contains(word));
    !has_fractions && (!later.iter().any(|word| form.contains(word)) || form == "PEXPIRE {h} {ms}")
}

/// What clients do at once, each this many commands of the forms that are meant.
pub fn disturb(port: u16, random: &mut Random, commands: usize, is_meant: fn(&str) -> bool) {
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let random = random.fork();
            scope.spawn(move || disturb_as_one(port, random, commands, is_meant));
        }
    });
}

/// One client's share: commands on their own, and now and then a transaction.
fn disturb_as_one(port: u16, mut random: Random, commands: usize, is_meant: fn(&str) -> bool) {
    let mut connection = Client::open(port);
    let command = |random: &mut Random| {
        let words = random_command(random, is_meant);
        words.into_iter().map(|word| word.replace("{port}", &port.to_string())).collect::<Vec<_>>()
    };
    let mut left = commands;
    while left > 0 {
        let commands = if random.once_in(8) { 1 + random.below(5) } else { 0 };
        if commands > 0 {
            if random.once_in(3) {
                connection.call(&fill("WATCH {s} {l}", &mut random));
            }
            connection.say("MULTI");
            for _ in 0..commands {
                connection.call(&command(&mut random));
            }
            check(&connection.say("EXEC"));
        } else {
            check(&connection.call(&command(&mut random)));
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
