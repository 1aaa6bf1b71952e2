//! DEBUG: what tests of clients and servers ask of a server beyond its service.
//!
//! Allowed as `enable-debug-command` says. All shards are locked while it runs, so DEBUG SLEEP holds up every
//! command on data, as it does in Redis. What would act on a part that does not exist here (the disk, replicas)
//! is an error that says so. Three switches say when Redis rebuilds its own tables, lists and buffers
//! ([`tune`]), which no reply depends on, there or here: they are accepted. What would stop a Redis server by a failed
//! assertion is a panic here, which its client is told of and the server survives.

use std::sync::atomic::Ordering;
use std::time::Duration;

use swytch_resp::{Protocol, Reply};
use swytch_store::{
    Absent, Elements, Encoding, EntryRef, Event, Expiry, Key, KeyspaceMut, List, Side, Value,
};

use crate::acl;
use crate::clients::ClientFlags;
use crate::command::prelude::*;
use crate::command::{Guard, Origin, reply_help};
use crate::config::Config;
use crate::persistence::load::{self, Beside};
use crate::persistence::{payload, replay, replicate, save};
use crate::scripting::libraries::{self, Policy};
use crate::server::Conditions;
use crate::system::digest::Digest;
use crate::system::escape::up_to_zero;
use crate::system::{clock, glob, random};

pub static DEBUG: CommandSpec = CommandSpec {
    name: "debug",
    summary: "Groups the commands that tests use to look inside the server and to provoke events.",
    since: "1.0.0",
    group: Group::Server,
    complexity: "That of the subcommand.",
    arity: -2,
    flags: Flags::ADMIN.union(Flags::NOSCRIPT).union(Flags::LOADING).union(Flags::STALE).union(Flags::SYSTEM),
    guard: Some(Guard { directive: "enable-debug-command", level: Config::enable_debug_command }),
    reply: ReplyShape::Any,
    differs: "The subcommands that DEBUG HELP lists; some are of this server alone.",
    handler: Handler::WriteAll(debug),
    ..CommandSpec::DEFAULT
};

/// What the log's thread sleeps before it writes, at most: the end of the server waits for it.
const LOG_SLEEP_US_MAX: u64 = 60_000_000;

type Act = fn(&mut Call<'_>, &mut KeyspaceMut<'_, '_>) -> CommandResult;

/// The subcommands: name, fewest and most arguments behind it, what it does.
const ACTS: &[(&str, usize, usize, Act)] = &[
    ("AOF-FLUSH-SLEEP", 1, 1, sleep_before_log),
    ("ASSERT", 0, usize::MAX, |_, _| panic!("DEBUG ASSERT: an assertion that always fails")),
    ("CHANGE-REPL-ID", 0, 0, change_replication_id),
    ("CLIENT-EVICTION", 0, 0, |call, _| {
        Err(not_served(call, "clients are not sorted before some have to go"))
    }),
    ("CONFIG-REWRITE-FORCE-ALL", 0, 0, rewrite_every_directive),
    ("CRASH-AND-RECOVER", 0, 1, restart),
    ("DICT-RESIZING", 1, 1, tune),
    ("DIGEST", 0, 0, digest),
    ("DIGEST-VALUE", 0, usize::MAX, digest_values),
    ("DROP-CLUSTER-PACKET-FILTER", 1, 1, |call, _| Err(not_served(call, NO_CLUSTER))),
    ("ERROR", 1, 1, error),
    ("HELP", 0, 0, help),
    ("HTSTATS", 1, usize::MAX, table_stats),
    ("HTSTATS-KEY", 1, usize::MAX, table_stats_of_key),
    ("JMAP", 0, 0, |call, _| Err(not_served(call, "there is no map of it"))),
    ("LEAK", 1, 1, leak),
    ("LISTPACK", 1, 1, |call, keyspace| show(call, keyspace, Encoding::Listpack, "Listpack")),
    ("LOADAOF", 0, usize::MAX, load_log),
    ("LOG", 1, 1, log),
    ("OBJECT", 1, 1, object),
    ("OOM", 0, usize::MAX, |_, _| panic!("DEBUG OOM: an allocation that cannot succeed")),
    ("PANIC", 0, usize::MAX, panic),
    ("PAUSE-CRON", 1, 1, |call, _| Err(not_served(call, "nothing here depends on one round of work"))),
    ("POPULATE", 1, 3, populate),
    ("PROTOCOL", 1, 1, protocol),
    ("QUICKLIST", 1, 2, |call, keyspace| show(call, keyspace, Encoding::Quicklist, "Quicklist")),
    ("QUICKLIST-PACKED-THRESHOLD", 1, 1, packed_threshold),
    ("RECORD-EFFECTS", 1, 1, record_effects),
    ("RELOAD", 0, usize::MAX, reload),
    ("REPLAY", 1, 1, replay),
    ("REPLICATE", 1, usize::MAX, replicate),
    ("REPLYBUFFER", 2, 2, reply_buffer),
    ("RESTART", 0, 1, restart),
    ("SDSLEN", 1, 1, string_lengths),
    ("SEGFAULT", 0, usize::MAX, segfault),
    ("SET-ACTIVE-EXPIRE", 1, 1, set_active_expire),
    ("SHIFT-CLOCK", 1, 1, shift_clock),
    ("SET-DISABLE-DENY-SCRIPTS", 1, 1, set_disable_deny_scripts),
    ("SET-SKIP-CHECKSUM-VALIDATION", 1, 1, skip_checksums),
    ("SLEEP", 1, 1, sleep),
    ("STRINGMATCH-LEN", 2, 2, string_match),
    ("STRINGMATCH-TEST", 0, 0, string_match_test),
    ("STRUCTSIZE", 0, 0, struct_sizes),
    ("ZIPLIST", 1, 1, |call, keyspace| show(call, keyspace, Encoding::Ziplist, "Ziplist")),
];

const HELP: &[&str] = &[
    "AOF-FLUSH-SLEEP <microseconds>",
    "    Have the append-only log's thread sleep for so long before it writes.",
    "ASSERT",
    "    Fail an assertion; its client is told and the server goes on.",
    "CHANGE-REPL-ID",
    "    Begin a history of another name: replicas that come back are sent everything.",
    "CONFIG-REWRITE-FORCE-ALL",
    "    Like CONFIG REWRITE, with every directive.",
    "DIGEST",
    "    Show a fingerprint of all databases.",
    "DIGEST-VALUE <key> [<key> ...]",
    "    Show a fingerprint of the value of each key.",
    "ERROR <string>",
    "    Answer the error <string>.",
    "HTSTATS <dbid> [full]",
    "    Show statistics of the tables of a database.",
    "HTSTATS-KEY <key> [full]",
    "    Show statistics of the table that is the value of <key>.",
    "LEAK <string>",
    "    Never free a copy of <string>.",
    "LISTPACK <key>",
    "    Check that the value of <key> is a listpack.",
    "LOADAOF",
    "    Force the append-only log to the disk, forget the data and load the log. It has all of it once more from then on.",
    "LOG <message>",
    "    Write <message> to the server's log.",
    "OBJECT <key>",
    "    Show how <key> and its value are stored.",
    "PANIC [<key>]",
    "    Panic, after a push to the list at <key>; its client is told and the server goes on.",
    "POPULATE <count> [<prefix>] [<size>]",
    "    Create <count> keys <prefix>:<number>, 'key' being the usual prefix, with values of <size> bytes.",
    "PROTOCOL <type>",
    "    Answer a value of <type>: string, integer, double, bignum, null, array, set, map, attrib, push,",
    "    verbatim, true, false.",
    "QUICKLIST <key> [<0|1>]",
    "    Check that the value of <key> is a quicklist.",
    "RECORD-EFFECTS <path>|STOP",
    "    Write every change from now on to a new file, as commands; or stop that.",
    "RELOAD [MERGE] [NOFLUSH] [NOSAVE]",
    "    Save the data, forget it and load it again. NOSAVE takes the file as it is, NOFLUSH keeps what is in memory,",
    "    MERGE lets the file's keys take the place of those.",
    "REPLAY <ON|OFF>",
    "    Take the commands of this connection for recorded changes: keys do not expire while they run.",
    "REPLICATE <word> [<word> ...]",
    "    Tell replicas a command that is not run here: they may have other data from then on.",
    "SDSLEN <key>",
    "    Show the lengths of <key> and its string value.",
    "SEGFAULT",
    "    End the process by a segmentation fault.",
    "SET-ACTIVE-EXPIRE <0|1>",
    "    Whether keys expire although nobody asks for them.",
    "SET-SKIP-CHECKSUM-VALIDATION <0|1>",
    "    Whether RESTORE takes payloads with any checksum.",
    "SHIFT-CLOCK <milliseconds>",
    "    Set this server's clock forward, or back by a negative number, as if the system's had been set.",
    "SLEEP <seconds>",
    "    Hold up every command on data. Decimals allowed.",
    "STRINGMATCH-LEN <pattern> <string>",
    "    Tell whether <pattern> matches <string>.",
    "STRINGMATCH-TEST",
    "    Match random patterns with random strings.",
    "STRUCTSIZE",
    "    Show the sizes of structures.",
];

fn debug(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let name = call.args.get(1);
    let given = call.args.len() - 2;
    let act = ACTS.iter().find(|(known, fewest, most, _)| {
        known.as_bytes().eq_ignore_ascii_case(name) && (*fewest..=*most).contains(&given)
    });
    match act {
        Some((.., act)) => act(call, keyspace),
        None => Err(call.subcommand_syntax()),
    }
}

fn help(call: &mut Call<'_>, _: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    reply_help(call, HELP);
    Ok(())
}

fn rewrite_every_directive(call: &mut Call<'_>, _: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    call.server
        .config
        .rewrite(true, &acl::texts(&call.server.users, &call.server.config))
        .map_err(|error| CommandError::owned(error.reply()))?;
    call.reply.ok();
    Ok(())
}

fn accept(call: &mut Call<'_>, _: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    call.reply.ok();
    Ok(())
}

/// When Redis rebuilds something of its own that there is no need to rebuild here; nothing that a client sees depends
/// on it.
fn tune(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    accept(call, keyspace)
}

const NO_CLUSTER: &str = "there is no cluster bus";

fn not_served(call: &Call<'_>, reason: &str) -> CommandError {
    let name = call.args.get(1).to_ascii_uppercase();
    CommandError::quoting("ERR DEBUG ", &name, &format!(" is not served: {reason}"))
}

fn restart(call: &mut Call<'_>, _: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    if call.args.len() == 3 {
        call.args.integer(2)?;
    }
    Err(CommandError::text("ERR failed to restart the server. Check server logs."))
}

fn segfault(_: &mut Call<'_>, _: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    tracing::error!("DEBUG SEGFAULT: ending the process as a client asked");
    crate::observe::logging::flush();
    let sent = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::SEGV);
    sent.map_err(|error| CommandError::owned(format!("ERR {error}")))
}

fn change_replication_id(call: &mut Call<'_>, _: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    call.server.replication.rename();
    call.reply.ok();
    Ok(())
}

fn replicate(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    replicate::say(call.server, &call.args.from(2).collect::<Vec<_>>());
    accept(call, keyspace)
}

fn digest(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    call.reply.simple(&Digest::of_keyspace(keyspace).to_string());
    Ok(())
}

fn digest_values(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    call.reply.array(call.args.len() - 2);
    for at in 2..call.args.len() {
        let mut digest = Digest::default();
        if let Some(entry) = keyspace.stored(&call.key(at)) {
            digest.mix_value(entry);
        }
        call.reply.simple(&digest.to_string());
    }
    Ok(())
}

fn error(call: &mut Call<'_>, _: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    call.reply.error(up_to_zero(call.args.get(2)));
    Ok(())
}

fn log(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    tracing::warn!("DEBUG LOG: {}", String::from_utf8_lossy(call.args.get(2)));
    accept(call, keyspace)
}

fn leak(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    std::mem::forget(call.args.get(2).to_vec());
    accept(call, keyspace)
}

/// Lets scripts call what they otherwise must not.
fn set_disable_deny_scripts(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let allow = call.args.integer(2)? != 0;
    call.server.scripts.allow_all.store(allow, Ordering::Relaxed);
    accept(call, keyspace)
}

fn reload(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let known = |option: &[u8]| {
        ["MERGE", "NOFLUSH", "NOSAVE"].iter().any(|word| word.as_bytes().eq_ignore_ascii_case(option))
    };
    if !call.args.from(2).all(known) {
        return Err(CommandError::text(
            "ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
        ));
    }
    let given = |word: &str| call.args.from(2).any(|option| option.eq_ignore_ascii_case(word.as_bytes()));
    let beside = Beside { keep: given("NOFLUSH"), merge: given("MERGE") };
    if !given("NOSAVE") {
        save::save(call.server, keyspace).map_err(|error| CommandError::owned(format!("ERR {error}")))?;
    }
    let server = call.server;
    let policy = match (beside.keep, beside.merge) {
        (false, _) => Policy::Flush,
        (true, false) => Policy::Append,
        (true, true) => Policy::Replace,
    };
    let mut take = |sources: Vec<Vec<u8>>| libraries::restore(server, &sources, policy);
    load::reload(server, keyspace, beside, &mut take).map_err(|error| {
        tracing::error!(%error, "DEBUG RELOAD: the file was not loaded, and nothing has changed");
        CommandError::text("ERR Error trying to load the RDB dump, check server logs.")
    })?;
    accept(call, keyspace)
}

fn load_log(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let server = call.server;
    let mut take = |sources: Vec<Vec<u8>>| libraries::restore(server, &sources, Policy::Flush);
    replay::load_again(call, keyspace, &mut take).map_err(|error| {
        tracing::error!(%error, "DEBUG LOADAOF: the log was not loaded");
        CommandError::text("ERR Error trying to load the AOF files, check server logs.")
    })?;
    accept(call, keyspace)
}

fn sleep_before_log(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let sleep_us = u64::try_from(leading_integer(call.args.get(2))).unwrap_or(0).min(LOG_SLEEP_US_MAX);
    call.server.log.state.sleep_us.store(sleep_us, std::sync::atomic::Ordering::Relaxed);
    accept(call, keyspace)
}

fn shift_clock(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let by_ms = call.args.integer(2)?;
    tracing::warn!(by_ms, "DEBUG SHIFT-CLOCK: setting this server's clock");
    clock::shift_wall_clock(by_ms);
    accept(call, keyspace)
}

fn set_active_expire(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let on = leading_integer(call.args.get(2)) != 0;
    call.server.active_expire.store(on, std::sync::atomic::Ordering::Relaxed);
    accept(call, keyspace)
}

fn skip_checksums(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let skips = leading_integer(call.args.get(2)) != 0;
    call.server.skips_checksums.store(skips, std::sync::atomic::Ordering::Relaxed);
    accept(call, keyspace)
}

/// The number that a text begins with, as C's `atoi` reads it.
fn leading_integer(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let sign = usize::from(matches!(text.first(), Some(b'-' | b'+')));
    let digits = text[sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let number = std::str::from_utf8(&text[..sign + digits]).unwrap_or_default();
    number.parse().unwrap_or(0)
}

/// Longest sleep: a year, so that a slip of the finger does not overflow.
const SLEEP_SECONDS_MAX: f64 = 366.0 * 86_400.0;

fn sleep(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let text = std::str::from_utf8(call.args.get(2)).unwrap_or_default();
    let seconds = text.parse::<f64>().ok().filter(|seconds| seconds.is_finite()).unwrap_or(0.0);
    std::thread::sleep(Duration::from_secs_f64(seconds.clamp(0.0, SLEEP_SECONDS_MAX)));
    accept(call, keyspace)
}

fn panic(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    if call.args.len() > 2 {
        let element = Elements::One(b"pushed");
        keyspace.change::<List, _>(&call.key(2), Absent::Create, |list| list.push(Side::Tail, element))?;
    }
    panic!("DEBUG PANIC")
}

fn packed_threshold(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let bytes = crate::config::parse_memory(call.args.get(2));
    if bytes.is_none_or(|bytes| bytes >= 4 << 30) {
        return Err(CommandError::text(
            "ERR argument must be a memory value bigger than 1 and smaller than 4gb",
        ));
    }
    tune(call, keyspace)
}

fn reply_buffer(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let (switch, value) = (call.args.get(2), call.args.get(3));
    let is = |word: &str| value.eq_ignore_ascii_case(word.as_bytes());
    if switch.eq_ignore_ascii_case(b"PEAK-RESET-TIME") {
        if !is("NEVER") && !is("RESET") {
            call.args.integer(3)?;
        }
    } else if !switch.eq_ignore_ascii_case(b"RESIZING") {
        return Err(call.subcommand_syntax());
    }
    tune(call, keyspace)
}

fn record_effects(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let (path, server) = (call.args.get(2), call.server);
    let result = if path.eq_ignore_ascii_case(b"STOP") {
        server.recording.stop(&server.effects)
    } else {
        server.recording.start(&server.effects, &String::from_utf8_lossy(path))
    };
    server.set_conditions(Conditions::RECORDING, server.effects.is_read());
    result.map_err(|error| CommandError::owned(format!("ERR {error}")))?;
    accept(call, keyspace)
}

fn replay(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let on = match call.args.get(2).to_ascii_uppercase().as_slice() {
        b"ON" => true,
        b"OFF" => false,
        _ => return Err(CommandError::Syntax),
    };
    call.client.flags.set(ClientFlags::REPLAYS, on);
    call.origin = Origin::of(call.client);
    accept(call, keyspace)
}

fn find<'k>(call: &Call<'_>, keyspace: &'k KeyspaceMut<'_, '_>) -> Result<EntryRef<'k>, CommandError> {
    keyspace.stored(&call.key(2)).ok_or(CommandError::NoSuchKey)
}

/// Writes what a value is made of to the log, which is standard output unless configured otherwise.
fn show(
    call: &mut Call<'_>,
    keyspace: &mut KeyspaceMut<'_, '_>,
    encoding: Encoding,
    title: &str,
) -> CommandResult {
    if find(call, keyspace)?.encoding() != encoding {
        return Err(CommandError::owned(format!("ERR Not a {} encoded object.", encoding.name())));
    }
    let (nodes, bytes) = match find(call, keyspace)?.value() {
        Value::Collection(face) => (face.allocations(), face.memory_bytes()),
        _ => (1, find(call, keyspace)?.memory_bytes()),
    };
    tracing::info!(nodes, bytes, "{title} {}", String::from_utf8_lossy(call.args.get(2)));
    call.reply.simple(&format!("{title} structure printed on stdout"));
    Ok(())
}

fn object(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let entry = find(call, keyspace)?;
    let mut text = format!(
        "Value at:{:p} refcount:1 encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{}",
        entry.key().as_ptr(),
        entry.encoding().name(),
        payload::value_bytes(entry, &call.server.config),
        entry.clock(),
        swytch_store::idle_seconds(entry.clock(), keyspace.now_ms())
    );
    if let Value::Collection(list) = entry.value()
        && entry.encoding() == Encoding::Quicklist
    {
        let (nodes, bytes) = (list.allocations(), list.memory_bytes());
        let average = list.len() as f64 / nodes.max(1) as f64;
        text.push_str(&format!(
            " ql_nodes:{nodes} ql_avg_node:{average:.2} ql_listpack_max:{} ql_compressed:0 ql_uncompressed_size:{bytes}",
            call.server.config.list_max_listpack_size(),
        ));
    }
    call.reply.simple(&text);
    Ok(())
}

fn string_lengths(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let entry = find(call, keyspace)?;
    let value = match entry.value() {
        Value::Bytes(bytes) => bytes.len(),
        Value::Raw(raw) => raw.bytes().len(),
        _ => return Err(CommandError::text("ERR Not an sds encoded string.")),
    };
    let (key, all) = (entry.key().len(), entry.memory_bytes());
    call.reply.simple(&format!(
        "key_sds_len:{key}, key_sds_avail:0, key_zmalloc: {key}, val_sds_len:{value}, val_sds_avail:{}, \
         val_zmalloc: {}",
        if entry.encoding() == Encoding::Raw { all.saturating_sub(key + value) } else { 0 },
        all - key
    ));
    Ok(())
}

fn positive(call: &Call<'_>, at: usize) -> Result<usize, CommandError> {
    let number = call.args.integer(at).ok().and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| CommandError::text("ERR value is out of range, must be positive"))
}

fn populate(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let count = positive(call, 2)?;
    let prefix = call.args.try_get(3).unwrap_or(b"key");
    let size = if call.args.len() == 5 { positive(call, 4)? } else { 0 };
    if size > call.server.config.proto_max_bulk_len() {
        return Err(CommandError::StringTooLong);
    }
    for number in 0..count {
        let mut name = prefix.to_vec();
        name.extend_from_slice(format!(":{number}").as_bytes());
        let key: Key<'_> = call.server.shards.key(call.client.db, &name);
        if keyspace.live_entry(&key).is_some() {
            continue;
        }
        let mut value = format!("value:{number}").into_bytes();
        if size > 0 {
            value.resize(size, 0);
        }
        keyspace.set(&key, &value, Expiry::Clear, Event::SILENT);
    }
    call.reply.ok();
    Ok(())
}

fn table_stats(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let db = u32::try_from(call.args.integer(2)?).ok().filter(|db| *db < keyspace.databases());
    let db = db.ok_or_else(|| CommandError::text("ERR Out of range database"))?;
    let full = call.args.try_get(3).is_some_and(|word| word.eq_ignore_ascii_case(b"full"));
    let (keys, expiring) = keyspace.sizes(db);
    let (bytes, segments) = keyspace.table_shape(db);
    let mut text = String::new();
    for (title, elements) in [("Dictionary", keys), ("Expires", expiring)] {
        text.push_str(&format!("[{title} HT]\nHash table 0 stats (main hash table):\n"));
        if elements == 0 {
            text.push_str("No stats available for empty dictionaries\n");
            continue;
        }
        text.push_str(&format!(" table size: {}\n number of elements: {elements}\n", bytes / 8));
        if full {
            text.push_str(&format!(" segments: {segments}\n bytes: {bytes}\n"));
        }
    }
    call.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn table_stats_of_key(call: &mut Call<'_>, keyspace: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    // No value of the types there are is.
    find(call, keyspace)?;
    Err(CommandError::text(
        "ERR The value stored at the specified key is not represented using an hash table",
    ))
}

fn string_match(call: &mut Call<'_>, _: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let matches = glob::matches(call.args.get(2), call.args.get(3), false);
    call.reply.count(usize::from(matches));
    Ok(())
}

/// Pairs that STRINGMATCH-TEST tries.
const MATCH_TESTS: usize = 10_000;

fn string_match_test(call: &mut Call<'_>, _: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let text = || -> Vec<u8> { (0..random::next_u64() % 32).map(|_| random::next_u64() as u8).collect() };
    (0..MATCH_TESTS).for_each(|_| {
        glob::matches(&text(), &text(), false);
    });
    call.reply.simple("Apparently Redis did not crash: test passed");
    Ok(())
}

fn struct_sizes(call: &mut Call<'_>, _: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let text = format!(
        "bits:{} entry:{} list:{} ",
        usize::BITS,
        size_of::<EntryRef<'_>>(),
        size_of::<swytch_store::List>()
    );
    call.reply.bulk(text.as_bytes());
    Ok(())
}

fn protocol(call: &mut Call<'_>, _: &mut KeyspaceMut<'_, '_>) -> CommandResult {
    let numbers = |reply: &mut Reply<'_>| (0..3).for_each(|number| reply.integer(number));
    let reply = &mut call.reply;
    let resp3 = reply.protocol() == Protocol::Resp3;
    match call.args.get(2).to_ascii_lowercase().as_slice() {
        b"string" => reply.bulk(b"Hello World"),
        b"integer" => reply.integer(12345),
        b"double" => reply.double(3141.0 / 1000.0),
        b"bignum" => reply.big_number("1234567999999999999999999999999999999"),
        b"null" => reply.null(),
        b"array" => {
            reply.array(3);
            numbers(reply);
        }
        b"set" => {
            reply.set(3);
            numbers(reply);
        }
        b"map" => {
            reply.map(3);
            for number in 0..3 {
                reply.integer(number);
                reply.boolean(number == 1);
            }
        }
        b"attrib" => {
            if resp3 {
                reply.raw(b"|1\r\n");
                reply.bulk(b"key-popularity");
                reply.array(2);
                reply.bulk(b"key:123");
                reply.integer(90);
            }
            reply.bulk(b"Some real reply following the attribute");
        }
        b"push" => {
            if !resp3 {
                return Err(CommandError::text("ERR RESP2 is not supported by this command"));
            }
            reply.push(2);
            reply.bulk(b"server-cpu-usage");
            reply.integer(42);
            reply.bulk(b"Some real reply following the push reply");
        }
        b"true" => reply.boolean(true),
        b"false" => reply.boolean(false),
        b"verbatim" => reply.verbatim("txt", b"This is a verbatim\nstring"),
        _ => {
            return Err(CommandError::text(
                "ERR Wrong protocol type name. Please use one of the following: string|integer|double|bignum|null|\
                 array|set|map|attrib|push|verbatim|true|false",
            ));
        }
    }
    Ok(())
}
