//! Random commands made from what the server says of itself: the argument trees of COMMAND DOCS.
//!
//! Nothing about a command is written down here but for the few whose replies cannot be compared, so a new one is
//! judged from the day it has a spec.

use std::collections::BTreeMap;

use crate::client::Client;
use crate::differential::{Compare, Step};
use crate::random::Random;
use crate::reply::Reply;

/// The commands of a server that a peer has as well.
#[derive(Debug)]
pub struct Vocabulary {
    commands: Vec<Command>,
}

#[derive(Debug)]
struct Command {
    words: Vec<String>,
    arguments: Vec<Argument>,
    compare: Compare,
}

#[derive(Debug)]
struct Argument {
    name: String,
    kind: String,
    token: Option<String>,
    is_optional: bool,
    is_multiple: bool,
    is_token_repeated: bool,
    parts: Vec<Argument>,
}

/// Commands that are left out, by the start of their names, each with its reason.
const LEFT_OUT: &[(&str, &str)] = &[
    ("acl", "users are not alike"),
    ("auth", "ends what follows"),
    ("client", "clients have other ids and addresses"),
    ("cluster", "needs a cluster"),
    ("command", "compared as a whole by the server's tests"),
    ("config", "changes the server"),
    ("debug", "looks at the server's own structures"),
    ("exec", "transactions have transcripts of their own"),
    ("function", "changes what commands there are"),
    ("hello", "says which server it is"),
    ("info", "says which server it is"),
    ("lastsave", "is a time"),
    ("latency", "is a time"),
    ("lolwut", "is art"),
    ("memory", "bytes are not alike"),
    ("module", "changes what commands there are"),
    ("monitor", "ends what follows"),
    ("multi", "transactions have transcripts of their own"),
    ("discard", "transactions have transcripts of their own"),
    ("watch", "transactions have transcripts of their own"),
    ("object|help", "is prose"),
    ("object|freq", "is a time"),
    ("object|idletime", "is a time"),
    ("object|refcount", "shared integers are the peer's own"),
    ("psync", "ends what follows"),
    ("script|debug", "there is no debugger"),
    ("script|help", "is prose"),
    ("subscribe", "ends what follows"),
    ("psubscribe", "ends what follows"),
    ("ssubscribe", "ends what follows"),
    ("unsubscribe", "is answered once for each channel"),
    ("punsubscribe", "is answered once for each pattern"),
    ("sunsubscribe", "is answered once for each channel"),
    ("pubsub|help", "is prose"),
    ("quit", "ends what follows"),
    ("replconf", "ends what follows"),
    ("replicaof", "changes the server"),
    ("slaveof", "changes the server"),
    ("failover", "changes the server"),
    ("role", "is about replication"),
    ("save", "writes a file"),
    ("bgsave", "writes a file"),
    ("bgrewriteaof", "writes a file"),
    ("shutdown", "ends what follows"),
    ("slowlog", "is a time"),
    ("hrandfield", "is chance"),
    ("hscan", "shows fields in an order of its own"),
    ("spop", "is chance"),
    ("srandmember", "is chance"),
    ("sscan", "shows members in an order of its own"),
    ("sync", "ends what follows"),
    ("time", "is a time"),
    ("wait", "waits for replicas"),
    ("waitaof", "waits for replicas"),
    ("zincrby", "adds integers whose largest have another digest in Redis 7.0"),
    ("zrandmember", "is chance"),
    ("zscan", "shows members in an order of its own"),
    ("migrate", "needs another server"),
    ("xadd", "gives identifiers by the clock"),
    ("xgroup|help", "is prose"),
    ("xinfo|help", "is prose"),
    ("xread", "may wait for ever"),
    ("xreadgroup", "may wait for ever"),
];

/// Words that commands are not given, by the start of their names, each with its reason.
const WORDS_LEFT_OUT: &[(&str, &str, &str)] = &[
    ("set", "IFDEQ", "with GET and a digest that is none Redis 8.6 answers twice"),
    ("set", "IFDNE", "with GET and a digest that is none Redis 8.6 answers twice"),
    ("geo", "COUNT", "of members at the same distance any may be taken"),
    ("sort", "BY", "elements of the same weight may come in any order"),
];

/// Commands whose replies are compared in another way.
const COMPARED: &[(&str, Compare)] = &[
    ("keys", Compare::Sorted),
    ("randomkey", Compare::Exists),
    ("ttl", Compare::Time { unit_ms: 1000 }),
    ("expiretime", Compare::Time { unit_ms: 1000 }),
    ("pttl", Compare::Time { unit_ms: 1 }),
    ("pexpiretime", Compare::Time { unit_ms: 1 }),
    ("scan", Compare::Scan),
    // Its version may be another; tests/payloads.rs of the server judges what is in it.
    ("dump", Compare::Any),
    ("hgetall", Compare::Sorted),
    ("hkeys", Compare::Sorted),
    ("hvals", Compare::Sorted),
    ("sdiff", Compare::Sorted),
    ("sinter", Compare::Sorted),
    ("smembers", Compare::Sorted),
    ("sunion", Compare::Sorted),
    ("xinfo|consumers", Compare::Times),
    ("xinfo|stream", Compare::Times),
    ("xpending", Compare::Times),
];

const KEYS: &[&str] = &["a", "b", "c", "list", "list2", "number", "absent", ""];
const INTEGERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "3",
    "-2",
    "7",
    "10",
    "100",
    "-100",
    "x",
    "",
    "1.5",
    "9223372036854775807",
    "-9223372036854775807",
    "9223372036854775808",
];
/// Places in a list. Redis 8 keeps 32 bits of one: it reads and writes another element than it was told (LINDEX, LSET).
const INDEXES: &[&str] =
    &["0", "1", "-1", "2", "-2", "7", "100", "-100", "2147483647", "x", "", "9223372036854775808"];
const DOUBLES: &[&str] = &["0", "1.5", "-2.25", "3", "1e3", "inf", "nan", "x", ""];
const STRINGS: &[&str] = &[
    "x",
    "y",
    "z",
    "7",
    "-1",
    "",
    "3.5",
    "a",
    "list",
    "i8",
    "u4",
    "#1",
    "hello world",
    "AND",
    "9223372036854775807",
];
/// Dates, in seconds or milliseconds.
const DATES: &[&str] = &["0", "-1", "10000", "9000000000", "9000000000123", "x", "9223372036854775807"];
/// Times from now that are refused or over at once.
const TIMES: &[&str] = &["0", "-1", "x", "9223372036854775807"];
const PATTERNS: &[&str] = &["*", "?", "l*", "[a-c]", "nothing", "", "*s*"];
/// Database numbers; those of the system's tests, and some that there are not.
const DATABASES: &[&str] = &["0", "1", "2", "99", "x", "-1"];

impl Vocabulary {
    /// What `ours` documents and `theirs` knows, without arguments that came after the peer's version.
    ///
    /// # Panics
    /// When a server answers COMMAND otherwise than Redis does.
    pub fn of(ours: &mut Client, theirs: &mut Client) -> Vocabulary {
        let version =
            version_of(&crate::client::field_of(&theirs.info("server"), "redis_version").expect("a version"));
        let is_wanted =
            |name: &str| LEFT_OUT.iter().all(|(start, _)| !is_of(name, start)) && is_known(theirs, name);
        Vocabulary::documented(ours, &version, is_wanted)
    }

    /// What a server documents, but for the commands whose names begin so.
    ///
    /// # Panics
    /// When it answers COMMAND otherwise than Redis does.
    pub fn without(server: &mut Client, left_out: &[&str]) -> Vocabulary {
        let is_wanted = |name: &str| left_out.iter().all(|start| !is_of(name, start));
        Vocabulary::documented(server, &[u32::MAX], is_wanted)
    }

    fn documented(
        server: &mut Client,
        version: &[u32],
        mut is_wanted: impl FnMut(&str) -> bool,
    ) -> Vocabulary {
        let docs = server.say("COMMAND DOCS");
        let mut commands = Vec::new();
        for (name, doc) in pairs(docs.elements()) {
            let doc = fields(doc);
            let mut add = |name: &str, doc: &BTreeMap<String, &Reply>| {
                if !is_wanted(name) {
                    return;
                }
                let compared = COMPARED.iter().find(|(command, _)| *command == name);
                commands.push(Command {
                    words: name.split('|').map(str::to_uppercase).collect(),
                    arguments: arguments(name, doc.get("arguments").copied(), version),
                    compare: compared.map_or(Compare::Exact, |(_, compare)| *compare),
                });
            };
            match doc.get("subcommands") {
                Some(subcommands) => {
                    for (name, doc) in pairs(subcommands.elements()) {
                        add(&name.text(), &fields(doc));
                    }
                }
                None => add(&name.text(), &doc),
            }
        }
        assert!(!commands.is_empty(), "no command is documented");
        Vocabulary { commands }
    }

    /// How many commands there are.
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// Whether there is none; there always is.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// A random command.
    pub fn step(&self, random: &mut Random) -> Step {
        let command = &self.commands[random.below(self.commands.len())];
        let mut words: Vec<Vec<u8>> = command.words.iter().map(|word| word.clone().into_bytes()).collect();
        expand(&command.arguments, random, &mut words);
        // Some are cut, some have a word too many.
        match random.below(30) {
            0 if words.len() > command.words.len() => _ = words.pop(),
            1 => words.push(random.pick(STRINGS).as_bytes().to_vec()),
            _ => {}
        }
        Step { words, compare: command.compare }
    }
}

/// Whether a command is one, or is a subcommand of it, or begins so where that is a part of a subcommand's name.
fn is_of(name: &str, start: &str) -> bool {
    name == start || name.starts_with(&format!("{start}|")) || name.starts_with(start) && start.contains('|')
}

fn is_known(client: &mut Client, name: &str) -> bool {
    let known = |reply: &Reply| {
        !matches!(reply, Reply::Null | Reply::NullArray)
            && !matches!(reply, Reply::Array(parts) if parts.is_empty())
    };
    client.call(&["COMMAND", "INFO", name]).elements().first().is_some_and(known)
}

fn pairs(parts: &[Reply]) -> impl Iterator<Item = (&Reply, &Reply)> {
    parts.chunks_exact(2).map(|pair| (&pair[0], &pair[1]))
}

fn fields(reply: &Reply) -> BTreeMap<String, &Reply> {
    pairs(reply.elements()).map(|(name, value)| (name.text(), value)).collect()
}

fn version_of(text: &str) -> Vec<u32> {
    text.split('.').map(|part| part.parse().unwrap_or(0)).collect()
}

fn arguments(command: &str, reply: Option<&Reply>, version: &[u32]) -> Vec<Argument> {
    let Some(reply) = reply else { return Vec::new() };
    reply.elements().iter().filter_map(|one| argument(command, one, version)).collect()
}

/// One argument; none when the peer does not have it or the command is not given it.
fn argument(command: &str, reply: &Reply, version: &[u32]) -> Option<Argument> {
    let fields = fields(reply);
    let text = |name: &str| fields.get(name).map(|value| value.text());
    if text("since").is_some_and(|since| version_of(&since).as_slice() > version)
        || text("token").is_some_and(|token| is_left_out(command, &token))
    {
        return None;
    }
    let flags: Vec<String> = match fields.get("flags") {
        Some(flags) => flags.elements().iter().map(Reply::text).collect(),
        None => Vec::new(),
    };
    let has = |flag: &str| flags.iter().any(|one| one == flag);
    Some(Argument {
        name: text("name")?,
        kind: text("type")?,
        token: text("token"),
        is_optional: has("optional"),
        is_multiple: has("multiple"),
        is_token_repeated: has("multiple_token"),
        parts: arguments(command, fields.get("arguments").copied(), version),
    })
}

fn is_left_out(command: &str, token: &str) -> bool {
    WORDS_LEFT_OUT.iter().any(|(start, word, _)| command.starts_with(start) && token == *word)
}

fn expand(arguments: &[Argument], random: &mut Random, words: &mut Vec<Vec<u8>>) {
    let mut counted = None;
    for argument in arguments {
        if argument.is_optional && random.once_in(2) {
            continue;
        }
        let times = match counted.take() {
            Some(times) => times,
            None if argument.is_multiple => 1 + random.below(3),
            None => 1,
        };
        for time in 0..times {
            if let Some(token) = &argument.token
                && (time == 0 || argument.is_token_repeated)
            {
                words.push(token.clone().into_bytes());
            }
            match argument.kind.as_str() {
                "pure-token" => {}
                "oneof" => {
                    if let Some(one) = argument.parts.get(random.below(argument.parts.len().max(1))) {
                        expand_one(one, random, words);
                    }
                }
                "block" => expand(&argument.parts, random, words),
                "integer" if argument.name == "numkeys" => {
                    let count = random.below(4);
                    words.push(count.to_string().into_bytes());
                    counted = Some(if random.once_in(8) { random.below(4) } else { count });
                }
                kind => words.push(word(kind, &argument.name, random)),
            }
        }
    }
}

/// An alternative was chosen, so it is there whatever its flags say.
fn expand_one(argument: &Argument, random: &mut Random, words: &mut Vec<Vec<u8>>) {
    let before = words.len();
    for _ in 0..8 {
        expand(std::slice::from_ref(argument), random, words);
        if words.len() > before {
            return;
        }
    }
}

/// A time from now, in seconds or milliseconds, beyond the run's end on the slowest machine. Two of them are hardly ever
/// the same: which is the later would depend on how fast a server is.
fn time(random: &mut Random) -> Vec<u8> {
    (10_000_000 * (1 + random.below(997_u64))).to_string().into_bytes()
}

fn word(kind: &str, name: &str, random: &mut Random) -> Vec<u8> {
    let is_time = ["seconds", "milliseconds"].iter().any(|unit| name.contains(unit));
    if kind == "integer" && is_time && random.once_in(2) {
        return time(random);
    }
    let pool = match kind {
        "key" => KEYS,
        "pattern" => PATTERNS,
        "unix-time" => DATES,
        "integer" if is_time => TIMES,
        "integer" if name.contains("db") || name.contains("index") && name != "index" => DATABASES,
        // Nobody waits for long.
        "double" if name == "timeout" => &["0.001", "0.001", "-1", "x"],
        "integer" if name == "cursor" => &["0", "0", "x"],
        "string" if name == "cursor" => &["0", "0", "x"],
        "integer" if name == "index" => INDEXES,
        "integer" => INTEGERS,
        "double" => DOUBLES,
        _ => STRINGS,
    };
    random.pick(pool).as_bytes().to_vec()
}
