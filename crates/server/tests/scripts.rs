//! Scripts and functions: as Redis's are, on any keys, at once, and stopped where they do not end.

#[path = "support/shapes.rs"]
mod shapes;

use std::time::Duration;

use shapes::ours;
use swytch_testkit::{Client, Program, Reply};

const FILE: &str = "save \"\"\nenable-debug-command yes\n";

/// The newest Redis there is, if it has these scripts.
fn redis() -> Option<Program> {
    let newest = Program::peers().into_iter().find(|program| program.name.starts_with("redis"));
    newest.or_else(|| Program::redis_since("8.6"))
}

fn eval(client: &mut Client, script: &str, keys: &[&str], arguments: &[&str]) -> Reply {
    let count = keys.len().to_string();
    let words: Vec<&str> = ["EVAL", script, &count]
        .into_iter()
        .chain(keys.iter().copied())
        .chain(arguments.iter().copied())
        .collect();
    client.call(&words)
}

#[track_caller]
fn fails(reply: &Reply, with: &str) {
    assert!(matches!(reply, Reply::Error(text) if text.contains(with)), "{reply} and not {with}");
}

/// Redis 7.2 and later: what a script or a transaction does, it does at one time.
#[test]
fn time_stands_still_in_a_script_and_in_a_transaction() {
    let server = ours().start("frozen-time", "");
    let mut client = server.connect();
    let script = "local a=redis.call('time') for i=1,2000 do local b=redis.call('time') \
                  if a[1]~=b[1] or a[2]~=b[2] then return 0 end end return 1";
    assert_eq!(client.call(&["EVAL", script, "0"]).to_string(), ":1");
    for line in ["MULTI", "TIME", "EVAL redis.call('time') 0", "TIME"] {
        client.say(line);
    }
    let replies = client.say("EXEC");
    let times = replies.elements();
    assert_eq!(times[0].to_string(), times[2].to_string());
}

#[test]
fn phrases_mean_what_they_mean_to_redis() {
    let Some(redis) = redis() else { return };
    let mut theirs = redis.start("phrases-theirs", FILE);
    let mut ours = ours().start("phrases-ours", FILE);
    for protocol in ["2", "3"] {
        for client in [&mut theirs.client, &mut ours.client] {
            client.call(&["HELLO", protocol]);
            client.call(&["FLUSHALL"]);
        }
        for phrase in include_str!("scripts/phrases.txt").split("\n---\n") {
            let expected = eval(&mut theirs.client, phrase, &[], &[]);
            assert_eq!(eval(&mut ours.client, phrase, &[], &[]), expected, "RESP{protocol}: {phrase}");
        }
        let digests = [&mut theirs.client, &mut ours.client].map(|client| client.say("DEBUG DIGEST"));
        assert_eq!(digests[0], digests[1]);
    }
}

/// Scripts of the corpus with their calls: keys and arguments.
fn calls() -> Vec<(&'static str, String, Vec<&'static str>, Vec<&'static str>)> {
    let text = include_str!("scripts/corpus.txt");
    let mut calls = Vec::new();
    for section in text.split("\n== ").skip(1) {
        let (name, rest) = section.split_once('\n').expect("a section has a name");
        let is_call = |line: &&str| line.starts_with('>');
        let script: String =
            rest.lines().filter(|line| !is_call(line)).map(|line| format!("{line}\n")).collect();
        for call in rest.lines().filter(is_call) {
            let (keys, arguments) = call[1..].split_once('|').expect("a call has keys | arguments");
            let words = |text: &'static str| text.split_whitespace().collect();
            calls.push((name, script.clone(), words(keys), words(arguments)));
        }
    }
    calls
}

#[test]
fn scripts_of_applications_do_what_they_do_in_redis() {
    let Some(redis) = redis() else { return };
    let mut theirs = redis.start("corpus-theirs", FILE);
    let mut ours = ours().start("corpus-ours", FILE);
    for (name, script, keys, arguments) in calls() {
        let expected = eval(&mut theirs.client, &script, &keys, &arguments);
        assert_eq!(eval(&mut ours.client, &script, &keys, &arguments), expected, "{name}");
        let digests = [&mut theirs.client, &mut ours.client].map(|client| client.say("DEBUG DIGEST"));
        assert_eq!(digests[0], digests[1], "{name}");
    }
}

#[test]
fn errors_of_the_commands_are_those_of_redis() {
    let Some(redis) = redis() else { return };
    let mut theirs = redis.start("script-errors-theirs", FILE);
    let mut ours = ours().start("script-errors-ours", FILE);
    let sha = "a".repeat(40);
    let library = "#!lua name=lib\nredis.register_function{function_name='f', callback=function(keys, args) return \
        {keys, args} end, flags={'no-writes'}}\nredis.register_function('w', function() return redis.call('SET', 'x', \
        'y') end)\nredis.register_function('e', function() error('boom') end)";
    let lines: &[&[&str]] = &[
        &["EVAL"],
        &["EVAL", "return 1"],
        &["EVAL", "return 1", "x"],
        &["EVAL", "return 1", "-1"],
        &["EVAL", "return 1", "1"],
        &["EVAL", "return (", "0"],
        &["EVALSHA", "abc", "0"],
        &["EVALSHA", &sha, "0"],
        &["EVAL_RO", "return redis.call('SET', 'a', 'b')", "0"],
        &["EVAL", "#!lua flags=no-writes\nreturn redis.call('SET', 'a', 'b')", "0"],
        &["EVAL", "#!lua flags=foo\nreturn 1", "0"],
        &["EVAL", "#!lua foo=1\nreturn 1", "0"],
        &["EVAL", "#!other\nreturn 1", "0"],
        &["EVAL", "#!lua", "0"],
        &["EVAL_RO", "#!lua\nreturn 1", "0"],
        &["SCRIPT", "EXISTS", &sha],
        &["SCRIPT", "FLUSH", "x"],
        &["SCRIPT", "LOAD", "return ("],
        &["SCRIPT", "KILL"],
        &["FUNCTION", "KILL"],
        &["FUNCTION", "STATS"],
        &["FUNCTION", "LOAD", "return 1"],
        &["FUNCTION", "LOAD", "#!lua name=a\nreturn 1"],
        &["FUNCTION", "LOAD", "#!lua\nreturn 1"],
        &["FUNCTION", "LOAD", "#!other name=a\nreturn 1"],
        &["FUNCTION", "LOAD", "#!lua name=a-b\nreturn 1"],
        &["FUNCTION", "LOAD", "#!lua name=a\nreturn ("],
        &["FUNCTION", "LOAD", "#!lua name=a\nreturn redis.call('PING')"],
        &["FUNCTION", "LOAD", "#!lua name=a\nx = 1"],
        &["FUNCTION", "LOAD", library],
        &["FUNCTION", "LOAD", library],
        &["FUNCTION", "LOAD", "REPLACE", library],
        &["FUNCTION", "LOAD", "#!lua name=b\nredis.register_function('f', function() end)"],
        &["FCALL", "f", "1", "a", "b"],
        &["FCALL_RO", "f", "1", "a", "b"],
        &["FCALL_RO", "w", "0"],
        &["FCALL", "w", "0"],
        &["FCALL", "e", "0"],
        &["FCALL", "nothing", "0"],
        &["FCALL", "f", "x"],
        &["FCALL", "f", "5"],
        &["FUNCTION", "DELETE", "nothing"],
        &["FUNCTION", "RESTORE", "xx"],
        &["FUNCTION", "RESTORE", "xx", "FOO"],
        &["COMMAND", "GETKEYS", "EVAL", "s", "2", "a", "b", "c"],
        &["COMMAND", "GETKEYS", "FCALL", "f", "0", "a"],
        &["MULTI"],
        &["EVAL", "return redis.call('INCR', KEYS[1])", "1", "n"],
        &["EVAL", "return redis.call('nothing')", "0"],
        &["EVAL", "return redis.call('GET', 'n')", "0"],
        &["EXEC"],
        &["FUNCTION", "FLUSH"],
        &["FUNCTION", "LIST"],
    ];
    for line in lines {
        assert_eq!(ours.client.call(line), theirs.client.call(line), "{line:?}");
    }
}

#[test]
fn libraries_are_exchanged_with_redis() {
    let Some(redis) = redis() else { return };
    let mut theirs = redis.start("libraries-theirs", FILE);
    let mut ours = ours().start("libraries-ours", FILE);
    let library = |name: &str| {
        format!(
            "#!lua name={name}\nredis.register_function('{name}_f', function(keys) return redis.call('INCR', keys[1]) end)"
        )
    };
    for name in ["one", "two"] {
        theirs.client.call(&["FUNCTION", "LOAD", &library(name)]);
    }
    let Reply::Bulk(payload) = theirs.say("FUNCTION DUMP") else { panic!("FUNCTION DUMP answers a payload") };
    assert_eq!(ours.client.call::<&[u8]>(&[b"FUNCTION", b"RESTORE", &payload]), Reply::ok());
    assert_eq!(ours.say("FCALL one_f 1 n"), Reply::Integer(1));
    fails(&ours.client.call::<&[u8]>(&[b"FUNCTION", b"RESTORE", &payload]), "Library one already exists");
    assert_eq!(ours.client.call::<&[u8]>(&[b"FUNCTION", b"RESTORE", &payload, b"REPLACE"]), Reply::ok());
    let Reply::Bulk(payload) = ours.say("FUNCTION DUMP") else { panic!("FUNCTION DUMP answers a payload") };
    assert_eq!(theirs.client.call::<&[u8]>(&[b"FUNCTION", b"RESTORE", &payload, b"FLUSH"]), Reply::ok());
    assert_eq!(theirs.say("FCALL two_f 1 n"), Reply::Integer(1));
    // Damage is noticed.
    for at in 0..payload.len() {
        let mut damaged = payload.clone();
        damaged[at] ^= 0x40;
        fails(&ours.client.call::<&[u8]>(&[b"FUNCTION", b"RESTORE", &damaged, b"FLUSH"]), "ERR");
    }
    // They are part of the data.
    assert_eq!(ours.say("SAVE"), Reply::ok());
    assert_eq!(ours.say("FUNCTION FLUSH"), Reply::ok());
    assert_eq!(ours.say("DEBUG RELOAD NOSAVE"), Reply::ok());
    assert_eq!(ours.say("FCALL two_f 1 n"), Reply::Integer(2));
    let file = format!("port {}\n{FILE}", ours.port);
    std::fs::write(ours.file(), file).expect("the file is the server's");
    ours.restart();
    ours.client.until("the data is loaded", |client| client.info_number("loading") == 0, |held| *held);
    assert_eq!(ours.say("FCALL two_f 1 n"), Reply::Integer(2));
    assert_eq!(ours.client.info_number("number_of_functions"), 2);
}

/// Names of keys in many shards.
fn accounts() -> Vec<String> {
    (0..20).map(|number| format!("account:{number}")).collect()
}

#[test]
fn scripts_on_keys_that_they_have_not_named_are_atomic() {
    const TRANSFERS: usize = 300;
    let mut server = ours().launch("undeclared").file(FILE).arguments(&["--threads", "4"]).start();
    for account in accounts() {
        server.client.call(&["SET", &account, "1000"]);
    }
    // It writes before it turns to the next key, which others hold: what it has done is taken back and done again.
    let script = "local a, b, c = ARGV[1], ARGV[2], ARGV[3] redis.call('DECRBY', a, 7) redis.call('RPUSH', 'log:' .. a, b) \
        redis.call('INCRBY', b, 5) redis.call('SADD', 'seen:' .. b, a) redis.call('INCRBY', c, 2) redis.call('HINCRBY', \
        'moves', a, 1) return redis.call('MGET', a, b, c)";
    let clients: Vec<_> = (0..6)
        .map(|seed| {
            let mut client = server.connect();
            std::thread::spawn(move || {
                let accounts = accounts();
                let mut random = swytch_testkit::Random::new(seed);
                for _ in 0..TRANSFERS {
                    let mut pick = || accounts[random.below(accounts.len())].as_str();
                    let (a, b, c) = (pick(), pick(), pick());
                    let reply = eval(&mut client, script, &[], &[a, b, c]);
                    assert_eq!(reply.elements().len(), 3, "{reply}");
                }
            })
        })
        .collect();
    // Whoever looks at all of them at once sees what sums up.
    let names = accounts();
    let all: Vec<&str> = std::iter::once("MGET").chain(names.iter().map(String::as_str)).collect();
    while clients.iter().any(|client| !client.is_finished()) {
        let sum: i64 =
            server.client.call(&all).elements().iter().map(|value| value.text().parse().unwrap_or(0)).sum();
        assert_eq!(sum, 20_000);
    }
    for client in clients {
        client.join().expect("every reply was as it should be");
    }
    let count =
        |server: &mut swytch_testkit::Server, line: String| server.say(&line).number().unwrap_or(0) as usize;
    let logged: usize = names.iter().map(|name| count(&mut server, format!("LLEN log:{name}"))).sum();
    assert_eq!(logged, 6 * TRANSFERS);
    let moves: i64 =
        server.say("HVALS moves").elements().iter().map(|value| value.text().parse().unwrap_or(0)).sum();
    assert_eq!(moves as usize, 6 * TRANSFERS);
}

#[test]
fn what_is_taken_back_was_never_there() {
    let mut server = ours().launch("taken-back").file(FILE).arguments(&["--threads", "2"]).start();
    for line in [
        "SET s text EX 1000",
        "RPUSH l a b c",
        "HSET h f v",
        "SADD t 1 2 3",
        "ZADD z 1 a 2 b",
        "XADD x 1-1 f v",
        "SET gone 1",
    ] {
        server.say(line);
    }
    // KEYS needs all locks, so that everything before it is done twice, and once taken back.
    let script = "redis.call('APPEND', 's', '!') redis.call('PERSIST', 's') redis.call('LPOP', 'l') redis.call('RPUSH', 'l', 'd') \
        redis.call('HSET', 'h', 'f', 'w', 'g', 1) redis.call('SREM', 't', 2) redis.call('ZINCRBY', 'z', 5, 'a') \
        redis.call('XADD', 'x', '2-1', 'f', 'w') redis.call('RENAME', 'gone', 'there') redis.call('SET', 'new', 1) \
        redis.call('DEL', 'new') redis.call('INCR', 'n') return #redis.call('KEYS', '*')";
    assert_eq!(eval(&mut server.client, script, &[], &[]), Reply::Integer(8));
    for (line, text) in [
        ("GET s", "text!"),
        ("TTL s", "-1"),
        ("LRANGE l 0 -1", "b c d"),
        ("HMGET h f g", "w 1"),
        ("SCARD t", "2"),
        ("ZSCORE z a", "6"),
        ("XLEN x", "2"),
        ("GET there", "1"),
        ("EXISTS gone new", "0"),
        ("GET n", "1"),
    ] {
        let reply = server.say(line);
        let shown = match &reply {
            Reply::Array(elements) => elements.iter().map(Reply::text).collect::<Vec<_>>().join(" "),
            Reply::Integer(number) => number.to_string(),
            other => other.text(),
        };
        assert_eq!(shown, text, "{line}");
    }
}

const PATIENT: &str = "save \"\"\nenable-debug-command yes\nbusy-reply-threshold 1\n";

/// A server with a script that does not end, on another thread than the server's own client.
fn busy(name: &str, script: &[&str]) -> (swytch_testkit::Server, Client) {
    let server = ours().launch(name).file(PATIENT).arguments(&["--threads", "2"]).start();
    let mut endless = server.connect();
    endless.send(script);
    (server, endless)
}

#[track_caller]
fn until_busy(client: &mut Client, line: &str) {
    client.until(
        "the script is busy",
        |client| client.say(line),
        |reply| matches!(reply, Reply::Error(text) if text.starts_with("BUSY")),
    );
}

#[test]
fn an_endless_script_is_killed_and_keeps_nobody_waiting() {
    let (mut server, mut endless) =
        busy("busy", &["EVAL", "while true do pcall(redis.call, 'PING') end", "1", "held"]);
    until_busy(&mut server.client, "SET held 1");
    // Others have other shards.
    let mut served = 0;
    for number in 0..200 {
        let reply = server.say(&format!("SET other:{number} 1"));
        served += usize::from(reply == Reply::ok());
    }
    assert!(served > 150, "only {served} of 200 were served");
    assert_eq!(server.say("PING"), Reply::simple("PONG"));
    fails(
        &server.say("KEYS *"),
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    );
    fails(&server.say("FUNCTION KILL"), "BUSY");
    fails(&server.say("FUNCTION STATS"), "BUSY");
    assert_eq!(server.say("CONFIG SET slowlog-log-slower-than 10000"), Reply::ok());
    assert_eq!(server.say("SCRIPT KILL"), Reply::ok());
    fails(&endless.reply(), "ERR Script killed by user with SCRIPT KILL...");
    assert_eq!(server.say("SET held 1"), Reply::ok());
    fails(&server.say("SCRIPT KILL"), "NOTBUSY No scripts in execution right now.");
}

#[test]
fn a_script_that_has_written_is_not_killed() {
    let script = ["EVAL", "redis.call('SET', KEYS[1], 'x') while true do end", "1", "held"];
    let (mut server, _endless) = busy("unkillable", &script);
    until_busy(&mut server.client, "GET held");
    fails(
        &server.say("SCRIPT KILL"),
        "UNKILLABLE Sorry the script already executed write commands against the dataset.",
    );
    server.client.send(&["SHUTDOWN", "NOSAVE"]);
    assert_eq!(server.await_end(Duration::from_secs(60)), Some(0));
}

#[test]
fn an_endless_function_is_told_of_and_killed() {
    let (mut server, mut endless) = busy("busy-function", &["PING"]);
    endless.reply();
    let library = "#!lua name=lib\nredis.register_function('endless', function() while true do end end)";
    endless.call(&["FUNCTION", "LOAD", library]);
    endless.send(&["FCALL", "endless", "1", "held", "argument"]);
    until_busy(&mut server.client, "GET held");
    fails(&server.say("SCRIPT KILL"), "You can only call FUNCTION KILL");
    let stats = server.say("FUNCTION STATS");
    assert!(stats.to_string().contains("endless") && stats.to_string().contains("argument"), "{stats}");
    assert_eq!(server.say("FUNCTION KILL"), Reply::ok());
    fails(&endless.reply(), "Script killed by user");
}

#[test]
fn a_thread_whose_script_does_not_end_serves_its_other_clients() {
    let mut server = ours().launch("one-thread").file(PATIENT).arguments(&["--threads", "1"]).start();
    let (mut endless, mut waits, mut watches) = (server.connect(), server.connect(), server.connect());
    waits.send(&["BLPOP", "held", "0.5"]);
    server.client.until(
        "a client waits",
        |client| client.say("INFO clients"),
        |reply| reply.text().contains("blocked_clients:1"),
    );
    watches.call(&["WATCH", "held"]);
    endless.send(&["EVAL", "while true do pcall(redis.call, 'PING') end", "1", "held"]);
    // What it has to say next waits for its script, and is not forgotten.
    endless.send(&["ECHO", "behind"]);
    until_busy(&mut server.client, "GET held");
    let mut served = 0;
    for number in 0..100 {
        served += usize::from(server.say(&format!("SET other:{number} 1")) == Reply::ok());
    }
    assert!(served > 75, "only {served} of 100 were served");
    let mut late = server.connect();
    assert_eq!(late.call(&["PING"]), Reply::simple("PONG"));
    for line in
        ["EVAL return(1) 0", "WATCH other:1 held", "INFO", "SHUTDOWN", "SCRIPT LOAD return(1)", "KEYS *"]
    {
        fails(&server.say(line), "BUSY Redis is busy running a script.");
    }
    // A transaction that needs the script's key is spoilt when it says so.
    assert_eq!(late.say("MULTI"), Reply::ok());
    fails(&late.say("INCR held"), "BUSY");
    fails(&late.say("EXEC"), "EXECABORT Transaction discarded because of previous errors.");
    assert_eq!(late.say("MULTI"), Reply::ok());
    assert_eq!(late.say("ECHO queued"), Reply::simple("QUEUED"));
    assert_eq!(late.say("EXEC").elements(), [Reply::bulk("queued")]);
    // Those who observe its key leave all the same.
    assert_eq!(waits.reply(), Reply::NullArray);
    assert_eq!(watches.call(&["UNWATCH"]), Reply::ok());
    drop(watches);
    assert_eq!(server.say("SCRIPT KILL"), Reply::ok());
    fails(&endless.reply(), "ERR Script killed by user with SCRIPT KILL...");
    assert_eq!(endless.reply(), Reply::bulk("behind"));
    assert_eq!(server.say("RPUSH held 1"), Reply::Integer(1));
    assert_eq!(server.say("EVAL return(1) 0"), Reply::Integer(1));
}

#[test]
fn nobody_hears_of_a_transaction_before_it_has_its_place_in_the_log() {
    let file = format!("{PATIENT}appendonly yes\nnotify-keyspace-events KA\n");
    for threads in ["1", "2"] {
        let mut server = ours().launch("unheard").file(&file).arguments(&["--threads", threads]).start();
        let (mut endless, mut listens) = (server.connect(), server.connect());
        listens.call(&["HELLO", "3"]);
        listens.call(&["SUBSCRIBE", "news"]);
        listens.call(&["PSUBSCRIBE", "__keyspace*"]);
        for line in ["MULTI", "SET key value", "PUBLISH news told"] {
            endless.say(line);
        }
        endless.call(&["EVAL", "while true do end", "0"]);
        endless.send(&["EXEC"]);
        until_busy(&mut server.client, "GET key");
        // What has been told comes before the reply to what is said now.
        assert_eq!(listens.call(&["PING"]), Reply::simple("PONG"));
        assert_eq!(server.say("SCRIPT KILL"), Reply::ok());
        assert_eq!(listens.reply().to_string(), ">[pmessage, __keyspace*, __keyspace@0__:key, set]");
        assert_eq!(listens.reply().to_string(), ">[message, news, told]");
        assert_eq!(endless.reply().elements()[1], Reply::Integer(1));
    }
}

#[test]
fn a_transaction_is_refused_that_a_script_keeps_from_running() {
    let mut server = ours().launch("kept-transaction").file(PATIENT).arguments(&["--threads", "1"]).start();
    let (mut endless, mut late) = (server.connect(), server.connect());
    assert_eq!(late.say("MULTI"), Reply::ok());
    assert_eq!(late.say("INCR held"), Reply::simple("QUEUED"));
    endless.send(&["EVAL", "while true do end", "1", "held"]);
    until_busy(&mut server.client, "GET held");
    fails(
        &late.say("EXEC"),
        "EXECABORT Transaction discarded because of: BUSY Redis is busy running a script.",
    );
    fails(&late.say("EXEC"), "ERR EXEC without MULTI");
    assert_eq!(server.say("SCRIPT KILL"), Reply::ok());
    assert_eq!(server.say("GET held"), Reply::Null);
    // A script that names no keys keeps nobody from them, but its thread runs no other one meanwhile.
    endless.reply();
    endless.send(&["EVAL", "while true do end", "0"]);
    until_busy(&mut server.client, "EVAL return(1) 0");
    assert_eq!(late.say("INCR held"), Reply::Integer(1));
    server.client.send(&["SHUTDOWN", "NOSAVE"]);
    assert_eq!(server.await_end(Duration::from_secs(60)), Some(0));
}

#[test]
fn sources_are_kept_as_redis_keeps_them() {
    let mut server = ours().launch("sources").file(FILE).arguments(&["--threads", "2"]).start();
    let mut other = server.connect();
    let loaded = server.client.call(&["SCRIPT", "LOAD", "return 'loaded'"]).text();
    assert_eq!(other.call(&["EVALSHA", &loaded.to_uppercase(), "0"]), Reply::bulk("loaded"));
    // What comes with EVAL makes room for what comes after it.
    for number in 0..600 {
        eval(&mut server.client, &format!("return {number}"), &[], &[]);
    }
    assert_eq!(server.client.info_number("number_of_cached_scripts"), 501);
    assert_eq!(server.client.info_number("evicted_scripts"), 100);
    let sha = |client: &mut Client, source: &str| {
        client.call(&["EVAL", "return redis.sha1hex(ARGV[1])", "0", source]).text()
    };
    let (first, last) = (sha(&mut other, "return 1"), sha(&mut other, "return 599"));
    fails(&server.client.call(&["EVALSHA", &first, "0"]), "NOSCRIPT");
    for client in [&mut server.client, &mut other] {
        assert_eq!(client.call(&["EVALSHA", &last, "0"]), Reply::Integer(599));
        assert_eq!(client.call(&["EVALSHA", &loaded, "0"]), Reply::bulk("loaded"));
    }
    // One that is loaded stays, whatever it came with.
    assert_eq!(server.client.call(&["SCRIPT", "LOAD", "return 599"]).text(), last);
    for number in 600..1200 {
        eval(&mut server.client, &format!("return {number}"), &[], &[]);
    }
    assert_eq!(other.call(&["EVALSHA", &last, "0"]), Reply::Integer(599));
    assert_eq!(server.say("CONFIG RESETSTAT"), Reply::ok());
    assert_eq!(server.client.info_number("evicted_scripts"), 0);
    assert!(server.client.info_number("used_memory_vm_eval") > 10_000);
    assert_eq!(server.say("SCRIPT FLUSH"), Reply::ok());
    for client in [&mut server.client, &mut other] {
        fails(&client.call(&["EVALSHA", &loaded, "0"]), "NOSCRIPT No matching script. Please use EVAL.");
    }
    assert_eq!(server.client.info_number("number_of_cached_scripts"), 0);
    let until = |bytes: &i64| *bytes == 0;
    server.client.until(
        "every thread has given its memory back",
        |client| client.info_number("used_memory_vm_eval"),
        until,
    );
}

#[test]
fn every_thread_runs_the_libraries_that_there_are_now() {
    let mut server = ours().launch("libraries").file(FILE).arguments(&["--threads", "2"]).start();
    let mut clients = [server.connect(), server.connect(), server.connect()];
    let library = |name: &str, functions: &[(&str, u32)]| {
        let registered = |(name, value): &(&str, u32)| {
            format!("redis.register_function('{name}', function() return {value} end)\n")
        };
        format!("#!lua name={name}\n{}", functions.iter().map(registered).collect::<String>())
    };
    let mut answer = |name: &str, expected: Option<i64>| {
        for client in &mut clients {
            let reply = client.call(&["FCALL", name, "0"]);
            match expected {
                Some(value) => assert_eq!(reply, Reply::Integer(value), "{name}"),
                None => fails(&reply, "ERR Function not found"),
            }
        }
    };
    let mut load = |words: &[&str]| server.client.call(words);
    load(&["FUNCTION", "LOAD", &library("one", &[("first", 1), ("second", 2)])]);
    load(&["FUNCTION", "LOAD", &library("two", &[("third", 3)])]);
    answer("FIRST", Some(1));
    answer("third", Some(3));
    // Some of its functions go and others come; one is another library's.
    let replaced = library("one", &[("First", 11), ("fourth", 4)]);
    load(&["FUNCTION", "LOAD", "REPLACE", &replaced]);
    answer("first", Some(11));
    answer("second", None);
    answer("fourth", Some(4));
    fails(&load(&["FUNCTION", "LOAD", &library("three", &[("THIRD", 5)])]), "Function THIRD already exists");
    fails(
        &load(&["FUNCTION", "LOAD", "REPLACE", &library("one", &[("sixth", 6), ("third", 5)])]),
        "Function third already exists",
    );
    answer("first", Some(11));
    load(&["FUNCTION", "DELETE", "two"]);
    answer("third", None);
    load(&["FUNCTION", "LOAD", "REPLACE", &library("one", &[("third", 7)])]);
    answer("third", Some(7));
    answer("fourth", None);
    assert_eq!(load(&["FUNCTION", "FLUSH"]), Reply::ok());
    answer("third", None);
    assert_eq!(server.client.info_number("number_of_functions"), 0);
    assert_eq!(server.client.info_number("used_memory_functions"), 0);
}

#[test]
fn a_script_is_one_step_to_those_who_watch_wait_and_listen() {
    let mut server = ours().launch("one-step").file(FILE).arguments(&["--threads", "2"]).start();
    let [mut waiter, mut monitor, mut watcher] = [(); 3].map(|()| server.connect());
    waiter.send(&["BLPOP", "list", "0"]);
    server.client.await_blocked(1);
    // The one who waits is served when the script is done.
    let script = "redis.call('RPUSH', KEYS[1], 'a', 'b') redis.call('LPOP', KEYS[1]) return redis.call('LLEN', KEYS[1])";
    assert_eq!(eval(&mut server.client, script, &["list"], &[]), Reply::Integer(1));
    assert_eq!(waiter.reply().elements()[1], Reply::bulk("b"));
    watcher.say("WATCH watched");
    eval(&mut server.client, "redis.call('SET', 'watched', 1)", &[], &[]);
    watcher.say("MULTI");
    watcher.say("PING");
    assert_eq!(watcher.say("EXEC"), Reply::NullArray);
    assert_eq!(monitor.say("MONITOR"), Reply::ok());
    eval(
        &mut server.client,
        "redis.call('SET', KEYS[1], 'v') redis.call('GET', 'undeclared')",
        &["shown"],
        &[],
    );
    let mut lines = (0..3).map(|_| monitor.reply().text());
    let mut next = |with: &str| {
        let line = lines.next().expect("there are three");
        assert!(line.contains(with), "{line} and not {with}");
    };
    next("] \"EVAL\" \"redis.call('SET'");
    next("lua] \"SET\" \"shown\" \"v\"");
    next("lua] \"GET\" \"undeclared\"");
}

#[test]
fn memory_that_is_used_up_refuses_scripts_as_in_redis() {
    let mut server = ours().start("script-oom", FILE);
    server.set("maxmemory", "1");
    server.client.until("memory is over its limit", |client| client.say("SET a b"), Reply::is_error);
    fails(
        &eval(&mut server.client, "return redis.call('SET', 'x', 1)", &["x"], &[]),
        "OOM command not allowed when used memory > 'maxmemory'.",
    );
    assert_eq!(eval(&mut server.client, "return redis.call('GET', 'x')", &["x"], &[]), Reply::Null);
    // Once it has written it goes on.
    assert_eq!(
        eval(&mut server.client, "redis.call('DEL', 'x') return redis.call('SET', 'x', 1)", &["x"], &[]),
        Reply::ok()
    );
    fails(&eval(&mut server.client, "#!lua\nreturn 1", &[], &[]), "OOM");
    assert_eq!(eval(&mut server.client, "#!lua flags=no-writes\nreturn 1", &[], &[]), Reply::Integer(1));
    assert_eq!(
        eval(&mut server.client, "#!lua flags=allow-oom\nreturn redis.call('SET', 'x', 2)", &[], &[]),
        Reply::ok()
    );
}
