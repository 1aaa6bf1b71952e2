//! What Redis's own tools, `redis-cli` in its modes and `redis-benchmark`, say of this server: the same as of a real one
//! that has the same data. Times, and the bytes that a server takes for a value, are each server's own.

#[path = "support/corpus.rs"]
mod corpus;
#[path = "support/shapes.rs"]
mod shapes;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use corpus::others;
use shapes::ours;
use swytch_testkit::client::encode;
use swytch_testkit::{Client, Program, Reply, Server};

const FILE: &str = "save \"\"\nenable-debug-command yes\nrepl-diskless-sync-delay 0\nlfu-decay-time 0\n";

/// A program that a server comes with.
fn tool(program: &Program, name: &str) -> PathBuf {
    let name = format!("{}-{name}", program.name);
    let beside = program.path.with_file_name(&name);
    if beside.is_file() { beside } else { name.into() }
}

/// Calls `act` with this server, a real one and the latter's tool, for every real one whose tool there is.
fn beside_each(name: &str, tool_name: &str, act: impl Fn(&str, &mut [Server; 2], &PathBuf)) {
    for (version, program) in others().into_iter().filter(|(version, _)| version.starts_with("redis ")) {
        let tool = tool(&program, tool_name);
        if Command::new(&tool).arg("--version").output().is_err() {
            println!("skipped: there is no {} of {version}", tool.display());
            continue;
        }
        act(&version, &mut [ours().start(name, FILE), program.start(name, FILE)], &tool);
    }
}

/// What the tool says when it is done: standard output, standard error behind it, and how it ended.
#[track_caller]
fn said(tool: &PathBuf, server: &Server, arguments: &[&str], input: &[u8]) -> String {
    let mut command = Command::new(tool);
    command.args(["-p", &server.port.to_string()]).args(arguments).current_dir(&server.directory);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().expect("it was found");
    let mut pipe = running.stdin.take().expect("it is a pipe");
    let output = std::thread::scope(|scope| {
        // Who reads none of it may be gone before all is written.
        scope.spawn(move || pipe.write_all(input));
        running.wait_with_output().expect("it runs")
    });
    let text = [output.stdout, output.stderr].concat();
    format!("{}\n{}", String::from_utf8_lossy(&text), output.status)
}

/// Values of every type in three sizes, which differ so much that they are in one order whoever keeps them; and keys whose
/// names are no plain text.
fn fill(client: &mut Client) {
    for (key, len) in [("one", 1), ("some \"more\"", 30), ("many\n\u{1}", 900)] {
        let elements: Vec<String> =
            (0..len).map(|at| format!("an element that is some bytes long:{at}")).collect();
        let all = elements.concat();
        let numbered =
            elements.iter().enumerate().flat_map(|(at, element)| [at.to_string(), element.clone()]);
        let numbered: Vec<String> = numbered.collect();
        let mut make = |name: &str, data_type: &str, arguments: &[String]| {
            let words = [&[name.to_owned(), format!("{data_type}:{key}")], arguments].concat();
            let reply = client.call(&words);
            assert!(!reply.is_error(), "{name}: {reply}");
        };
        make("SET", "string", &[all]);
        make("RPUSH", "list", &elements);
        make("SADD", "set", &elements);
        make("HSET", "hash", &numbered);
        make("ZADD", "zset", &numbered);
        for (at, element) in elements.iter().enumerate() {
            make("XADD", "stream", &[format!("1-{}", at + 1), "field".to_owned(), element.clone()]);
        }
    }
    client.say("PFADD visitors a b c");
    client.say("GEOADD places 13.361389 38.115556 Palermo");
    client.say("SET expires soon EX 10000");
}

/// The lines behind the one with these words, in order: the first that is found is a matter of the order of keys.
fn behind(text: &str, words: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.replace("\u{1b}[K", "").trim().to_owned());
    let mut lines: Vec<String> =
        lines.skip_while(|line| !line.contains(words)).filter(|line| !line.is_empty()).collect();
    assert!(lines.len() > 1, "there is no {words:?} in:\n{text}");
    lines.sort();
    lines
}

/// A line without how many bytes something takes in memory.
fn without_bytes(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let is_size = |at: usize| words.get(at + 1) == Some(&"bytes") || at > 0 && words[at - 1] == "size";
    let shown = words.iter().enumerate().map(|(at, word)| if is_size(at) { "_" } else { word });
    shown.collect::<Vec<_>>().join(" ")
}

/// Compares what a mode says of both.
#[track_caller]
fn compare<T: PartialEq + std::fmt::Debug>(
    version: &str,
    servers: &[Server; 2],
    tool: &PathBuf,
    arguments: &[&str],
    heard: impl Fn(&str) -> T,
) {
    let [ours, theirs] = servers.each_ref().map(|server| {
        let text = said(tool, server, arguments, b"");
        assert!(text.ends_with("exit status: 0"), "{arguments:?} of {version}: {text}");
        heard(&text)
    });
    assert_eq!(ours, theirs, "{arguments:?} of {version}");
}

#[test]
fn modes_that_walk_the_keyspace_find_what_they_find_in_redis() {
    beside_each("tools-walk", "cli", |version, servers, tool| {
        servers.iter_mut().for_each(|server| fill(&mut server.client));
        compare(version, servers, tool, &["--bigkeys"], |text| behind(text, "summary"));
        let sizes = |text: &str| {
            let lines = behind(text, "summary");
            assert!(lines.iter().any(|line| line.starts_with("Biggest stream")), "{text}");
            lines.iter().map(|line| without_bytes(line)).collect::<Vec<_>>()
        };
        compare(version, servers, tool, &["--memkeys"], sizes);
        compare(version, servers, tool, &["--memkeys-samples", "0"], sizes);
        let sorted = |text: &str| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        for arguments in
            [&["--scan"][..], &["--scan", "--pattern", "*e*"], &["--scan", "--quoted-pattern", "\"*\\n*\""]]
        {
            compare(version, servers, tool, arguments, sorted);
        }
        if said(tool, &servers[1], &["--help"], b"").contains("--keystats ") {
            compare(version, servers, tool, &["--keystats", "--top", "6"], keystats);
            compare(version, servers, tool, &["--scan", "--count", "3"], sorted);
        }
    });
}

/// What `--keystats` says that is no matter of bytes in memory: the biggest keys, how long they are, their names, types.
fn keystats(text: &str) -> Vec<String> {
    let text = text.replace("\u{1b}[K", "").replace('\r', "");
    let (mut heard, mut section) = (Vec::new(), "");
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (section, &words[..]) {
            (_, []) => section = "",
            ("", ["---", "Top", _, "key", ..]) => section = "biggest",
            ("", ["---", ..]) => section = "longest",
            ("", ["Type", "Total", "keys", ..]) => section = "types",
            ("", ["Key", "name", "length", ..]) => section = "names",
            ("biggest", [_, _, key @ ..]) => heard.push(key.join(" ")),
            ("longest", _) if line.contains(" is ") => {
                heard.extend(line.split(" is ").next().map(str::to_owned))
            }
            ("types", [name, count, share, _, _, length @ ..]) => {
                heard.push(format!("{name} {count} {share} {}", length.join(" ")));
            }
            ("longest" | "names", words) => heard.push(words.join(" ")),
            _ if line.contains("sampled") => heard.push(line.to_owned()),
            _ => {}
        }
    }
    assert!(heard.len() > 25, "{text}");
    heard.sort();
    heard
}

#[test]
fn hot_keys_are_those_of_redis() {
    beside_each("tools-hot", "cli", |version, servers, tool| {
        for server in servers.iter_mut() {
            assert_eq!(server.say("CONFIG SET maxmemory-policy allkeys-lfu"), Reply::ok());
            server.say("SET source value");
            let Reply::Bulk(payload) = server.say("DUMP source") else { panic!("it is a payload") };
            for number in 1..=20 {
                let (key, frequency) = (format!("key {number}"), (number * 10).to_string());
                let words: [&[u8]; 6] =
                    [b"RESTORE", key.as_bytes(), b"0", &payload, b"FREQ", frequency.as_bytes()];
                assert_eq!(server.call(&words), Reply::ok());
            }
        }
        compare(version, servers, tool, &["--hotkeys"], |text| {
            let lines = behind(text, "summary");
            assert!(
                lines.iter().any(|line| line == "hot key found with counter: 200\tkeyname: \"key 20\""),
                "{text}"
            );
            lines
        });
    });
}

#[test]
fn what_is_piped_in_is_answered_and_kept_as_in_redis() {
    let mut input = Vec::new();
    for number in 0..5000 {
        let (key, number) = (format!("list:{}", number % 10), number.to_string());
        input.extend(encode(&["RPUSH", &key, &number]));
        input.extend(encode(&["INCRBY", "counter", &number]));
    }
    for words in
        [&["INCR", "list:1"][..], &["NOPE", "argument"], &["SET", "key"], &["SET", "binary", "\r\n$3\r\n"]]
    {
        input.extend(encode(words));
    }
    input.extend(b"SET inline command\r\nGET inline\r\n");
    beside_each("tools-pipe", "cli", |version, servers, tool| {
        let [ours, theirs] = servers.each_mut().map(|server| {
            let text = said(tool, server, &["--pipe"], &input);
            assert!(text.contains("errors: 3, replies: 10006"), "{text}");
            (text, server.say("DEBUG DIGEST"), server.say("DBSIZE"))
        });
        assert_eq!(ours, theirs, "{version}");
    });
}

/// What a mode shows until it has shown this many lines; it would go on for ever.
fn first_lines(tool: &PathBuf, server: &Server, arguments: &[&str], count: usize) -> Vec<String> {
    let mut command = Command::new(tool);
    command.args(["-p", &server.port.to_string()]).args(arguments);
    let mut running = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("it was found");
    let lines = BufReader::new(running.stdout.take().expect("it is a pipe")).lines();
    let lines = lines.map_while(Result::ok).take(count).collect();
    // It ends with the test in any case.
    let _ = running.kill();
    let _ = running.wait();
    lines
}

#[test]
fn modes_that_watch_show_what_they_show_of_redis() {
    beside_each("tools-watch", "cli", |version, servers, tool| {
        let [ours, theirs] = servers.each_mut().map(|server| {
            fill(&mut server.client);
            server.say("SELECT 3");
            server.say("SET other database");
            let mut blocked = server.connect();
            blocked.send(&["BLPOP", "nothing", "0"]);
            server.client.await_blocked(1);
            let one = |client: &mut Client| client.info_number("connected_clients");
            server.client.until("only the blocked one is there besides", one, |count| *count == 2);
            let lines = first_lines(tool, server, &["--stat", "-i", "0.001"], 4);
            // Keys, memory, clients, blocked; requests and connections, of which the test has made some to begin.
            let columns = |line: &String| {
                let words: Vec<&str> = line.split_whitespace().collect();
                [words[0], words[2], words[3]].map(str::to_owned)
            };
            (lines[..2].to_vec(), lines[2..].iter().map(columns).collect::<Vec<_>>())
        });
        assert_eq!(ours, theirs, "--stat of {version}");
        let text = said(tool, &servers[0], &["--latency", "--raw", "-i", "0.05"], b"");
        let numbers: Vec<f64> =
            text.lines().next().unwrap_or_default().split(' ').flat_map(str::parse).collect();
        let [min, max, average, count] = numbers[..] else { panic!("{text}") };
        assert!(min <= average && average <= max && count > 0.0, "{text}");
        let lines = first_lines(tool, &servers[0], &["--latency-history", "--no-raw", "-i", "0.02"], 1);
        assert!(lines[0].contains("samples") && lines[0].contains("seconds range"), "{lines:?}");
    });
}

#[test]
fn files_that_are_fetched_are_those_of_the_data() {
    beside_each("tools-files", "cli", |version, servers, tool| {
        for server in servers.iter_mut() {
            fill(&mut server.client);
            let code = "#!lua name=library\nredis.register_function('f', function() return 1 end)";
            server.client.call(&["FUNCTION", "LOAD", code]);
        }
        let digest = servers[0].say("DEBUG DIGEST");
        for mode in ["--rdb", "--functions-rdb"] {
            // Redis 7.0 reads what is written for it.
            servers[0].set("rdb-version", if version.contains(" 7.0") { "10" } else { "11" });
            compare(version, servers, tool, &[mode, "fetched.rdb"], |text| {
                let lines = text.lines().map(|line| {
                    let words =
                        line.split(' ').map(|word| if word.parse::<u64>().is_ok() { "_" } else { word });
                    words.collect::<Vec<_>>().join(" ")
                });
                lines.collect::<Vec<_>>()
            });
            let [ours, theirs] = servers;
            let fetched = ours.directory.join("fetched.rdb");
            std::fs::copy(fetched, theirs.directory.join("dump.rdb")).expect("both are the test's");
            theirs.restart_with(FILE);
            let nothing = "0".repeat(40);
            let expected = if mode == "--rdb" { digest.clone() } else { Reply::simple(&nothing) };
            assert_eq!(theirs.say("DEBUG DIGEST"), expected, "{mode} of {version}");
            assert_eq!(theirs.say("FCALL f 0"), Reply::Integer(1), "{mode} of {version}");
        }
    });
}

/// Calls of each command, and how many were refused or failed. How often a server was asked whether it is there is chance.
fn calls(client: &mut Client) -> BTreeMap<String, String> {
    let text = client.info("commandstats");
    let fields = text.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(':'));
    let counts = |numbers: &str| {
        let counts = numbers.split(',').filter(|field| !field.starts_with("usec"));
        counts.collect::<Vec<_>>().join(",")
    };
    fields
        .filter(|(name, _)| *name != "info")
        .map(|(name, numbers)| (name.to_owned(), counts(numbers)))
        .collect()
}

#[test]
fn a_default_run_of_the_benchmark_does_what_it_does_to_redis() {
    beside_each("tools-benchmark", "benchmark", |version, servers, tool| {
        // With threads each of its tests waits for a timer.
        let runs: [&[&str]; 3] = [
            &["-n", "200", "-c", "5", "--csv"],
            &["-n", "320", "-c", "20", "-P", "16", "-r", "100", "-d", "100", "--csv"],
            &["-n", "320", "-P", "16", "-r", "100", "--threads", "2", "--csv", "-t", "set,lpop"],
        ];
        for (at, arguments) in runs.iter().enumerate() {
            let [ours, theirs] = servers.each_mut().map(|server| {
                server.say("FLUSHALL");
                server.say("CONFIG RESETSTAT");
                let text = said(tool, server, arguments, b"");
                let tests: Vec<String> =
                    text.lines().map(|line| line.split("\",\"").next().unwrap_or(line).to_owned()).collect();
                assert!(tests.len() > 20 || at == 2, "{text}");
                let calls = calls(&mut server.client);
                assert!(
                    calls.values().all(|counts| counts.contains("rejected_calls=0,failed_calls=0")),
                    "{calls:?}"
                );
                let mut keys: Vec<String> = server.say("KEYS *").elements().iter().map(Reply::text).collect();
                keys.sort();
                // Where keys are random they are compared no further, and streams have times.
                let values: Vec<Reply> = keys
                    .iter()
                    .filter(|_| at == 0)
                    .map(|key| match server.client.call(&["TYPE", key]).text().as_str() {
                        "stream" => server.client.call(&["XLEN", key]),
                        _ => server.client.call(&["DEBUG", "DIGEST-VALUE", key]),
                    })
                    .collect();
                if at == 0 { (tests, calls, keys, values) } else { (tests, calls, Vec::new(), values) }
            });
            assert_eq!(ours, theirs, "{arguments:?} of {version}");
        }
    });
}
