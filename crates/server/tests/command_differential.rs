//! The command table compared with a real Redis: COMMAND INFO, COMMAND DOCS and COMMAND GETKEYS.
//!
//! Every difference must be in `command_differences.txt`, with its reason; one that is listed and not found
//! fails as well. With a version of Redis that the list does not name, the test says so and passes. Prose is the
//! other way round: what is a sentence here must be one that no peer has.

use std::collections::{BTreeMap, BTreeSet};

use swytch::command::{Arg, ArgKind, CommandTable};
use swytch_testkit::{Program, Random, Reply, Server, ours};

/// The differences, one a line: version, command, field, reason.
const LISTED: &str = include_str!("command_differences.txt");
/// Requests made up for each command with keys.
const REQUESTS: usize = 60;

#[test]
fn the_table_is_that_of_redis() {
    let (mut ours, Some(mut redis)) = (ours!().start("table", ""), Server::redis("table-redis", "")) else {
        return;
    };
    let version = redis.minor_version();
    let listed = listed(&version);
    if !LISTED.lines().any(|line| line == format!("# Redis {version}")) {
        println!("skipped: the table was not compared with Redis {version}");
        return;
    }
    let mut found = BTreeSet::new();
    for command in
        CommandTable::new(swytch::commands::SPECS, &[]).expect("names of one command each").iter_all()
    {
        let name = command.full_name.as_str();
        let mut differs = |field: &str| {
            found.insert((name.to_owned(), field.to_owned()));
        };
        let Some(theirs) = info(&mut redis, name) else {
            differs("unknown");
            continue;
        };
        let mine = info(&mut ours, name).expect("the table has it");
        for (field, value) in &mine {
            if theirs.get(field) != Some(value) {
                println!("{name} {field}: {} instead of {}", show(Some(value)), show(theirs.get(field)));
                differs(field);
            }
        }
        let (mine, theirs) = (docs(&mut ours, name), docs(&mut redis, name));
        for field in mine.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
            if mine.get(field) != theirs.get(field) {
                println!("{name} {field}: {} instead of {}", show(mine.get(field)), show(theirs.get(field)));
                differs(field);
            }
        }
    }
    let unlisted: Vec<_> = found.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(unlisted.is_empty(), "not in the list for {version}: {unlisted:#?}");
    assert!(gone.is_empty(), "in the list for {version}, but not found: {gone:#?}");
}

#[test]
fn keys_are_found_as_redis_finds_them() {
    let (mut ours, Some(mut redis)) = (ours!().start("getkeys", ""), Server::redis("getkeys-redis", ""))
    else {
        return;
    };
    let version = redis.minor_version();
    let differing = listed(&version);
    let mut random = Random::from_environment();
    let mut compared = 0;
    for command in
        CommandTable::new(swytch::commands::SPECS, &[]).expect("names of one command each").iter_all()
    {
        let name = command.full_name.as_str();
        // Where the declarations differ, the keys do.
        let differs = |field: &str| differing.contains(&(name.to_owned(), field.to_owned()));
        let skip = ["unknown", "key_specs", "arity", "arguments", "getkeys"].into_iter().any(differs);
        if command.spec.key_specs.is_empty() || skip {
            continue;
        }
        for _ in 0..REQUESTS {
            let mut words: Vec<Vec<u8>> = name.split('|').map(|word| word.as_bytes().to_vec()).collect();
            request(command.spec.arguments, &mut random, &mut words);
            // No name alone: how COMMAND GETKEYS refuses that differs between versions.
            if words.len() < 2 {
                continue;
            }
            if random.once_in(8) && words.len() > 2 {
                words.truncate(2 + random.below(words.len() - 2));
            }
            for subcommand in ["GETKEYS", "GETKEYSANDFLAGS"] {
                let mut call: Vec<&[u8]> = vec![b"COMMAND", subcommand.as_bytes()];
                call.extend(words.iter().map(Vec::as_slice));
                let (mine, theirs) = (ours.call(&call), redis.call(&call));
                let shown: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(word)).collect();
                assert_eq!(mine, theirs, "{subcommand} {}", shown.join(" "));
                compared += 1;
            }
        }
    }
    assert!(compared > 1000, "only {compared} replies were compared");
}

/// Summaries, complexities, remarks and histories are written for this server. What has no words is no prose: a bare
/// formula (`O(1)`, `O(N)`, `O(log(N))`) may be the peer's too, and so may the names of commands and arguments, of
/// which a deprecation's replacement consists.
#[test]
fn no_text_is_a_peer_s() {
    let mut peers = Program::peers();
    peers.extend(Program::redis());
    let mut theirs = BTreeSet::new();
    for peer in &peers {
        let mut server = peer.start("texts", "");
        for line in ["COMMAND DOCS", "COMMAND"] {
            sentences(&server.say(line), &mut theirs);
        }
    }
    assert!(peers.is_empty() || theirs.len() > 400, "only {} sentences of peers were found", theirs.len());
    let table = CommandTable::new(swytch::commands::SPECS, &[]).expect("names of one command each");
    for command in table.iter_all() {
        let spec = command.spec;
        let texts = [spec.summary, spec.complexity]
            .into_iter()
            .chain(spec.history.iter().map(|(_, change)| *change))
            .chain(spec.key_specs.iter().map(|keys| keys.notes));
        for text in texts {
            assert!(!theirs.contains(&plain(text)), "{}: a peer says {text:?} too", command.full_name);
        }
    }
}

/// Every text in a reply that has a space.
fn sentences(reply: &Reply, found: &mut BTreeSet<String>) {
    match reply {
        Reply::Array(parts) => parts.iter().for_each(|part| sentences(part, found)),
        Reply::Bulk(text) if text.contains(&b' ') => {
            found.insert(plain(&String::from_utf8_lossy(text)));
        }
        _ => {}
    }
}

/// A text without what does not make it another one: case, quotes, the full stop.
fn plain(text: &str) -> String {
    text.trim_end_matches('.').to_lowercase().replace('`', "")
}

/// The differences listed for a version: command and field. `*` in place of the command's name is not allowed:
/// each line is about one command, so that none hides behind another.
fn listed(version: &str) -> BTreeSet<(String, String)> {
    LISTED
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (for_version, command, fields) = (words.next()?, words.next()?, words.next()?);
            assert!(words.next().is_some(), "no reason is given: {line}");
            (for_version == version).then(|| (command.to_owned(), fields.to_owned()))
        })
        .flat_map(|(command, fields)| {
            fields.split(',').map(|field| (command.clone(), field.to_owned())).collect::<Vec<_>>()
        })
        .collect()
}

/// One entry of COMMAND INFO, sets sorted; subcommands are compared by themselves.
fn info(server: &mut Server, name: &str) -> Option<BTreeMap<String, Reply>> {
    let Reply::Array(entries) = server.call(&[b"COMMAND", b"INFO", name.as_bytes()]) else {
        panic!("COMMAND INFO answers an array");
    };
    let Some(Reply::Array(entry)) = entries.into_iter().next() else { return None };
    // An unknown name is a null, or under RESP2 a null array.
    if entry.is_empty() {
        return None;
    }
    let fields = ["name", "arity", "flags", "first", "last", "step", "categories", "tips", "key_specs"];
    let sorted = |reply: Reply| match reply {
        Reply::Array(mut members) => {
            members.sort();
            Reply::Array(members)
        }
        other => other,
    };
    let values = entry.into_iter().zip(fields).map(|(value, field)| {
        let value = if field == "key_specs" { without("notes", &value) } else { sorted(value) };
        (field.to_owned(), value)
    });
    Some(values.collect())
}

/// COMMAND DOCS of one command, but for the parts that are prose (and ours), and for subcommands. Of the history
/// only the versions count.
fn docs(server: &mut Server, name: &str) -> BTreeMap<String, Reply> {
    let Reply::Array(reply) = server.call(&[b"COMMAND", b"DOCS", name.as_bytes()]) else {
        panic!("COMMAND DOCS answers a map");
    };
    let Some(Reply::Array(parts)) = reply.into_iter().nth(1) else { panic!("{name} is documented") };
    let mut fields = BTreeMap::new();
    for pair in parts.chunks_exact(2) {
        let Reply::Bulk(field) = &pair[0] else { panic!("a field's name is text") };
        let field = String::from_utf8_lossy(field).into_owned();
        let value = match (field.as_str(), &pair[1]) {
            ("summary" | "complexity" | "subcommands", _) => continue,
            ("history", Reply::Array(changes)) => {
                let version = |change: &Reply| match change {
                    Reply::Array(parts) => parts[0].clone(),
                    other => other.clone(),
                };
                Reply::Array(changes.iter().map(version).collect())
            }
            // Redis 7.0 does not have it.
            ("arguments", arguments) => without("display_text", arguments),
            (_, value) => value.clone(),
        };
        fields.insert(field, value);
    }
    fields
}

/// A tree of maps, as arrays, without one field.
fn without(field: &str, reply: &Reply) -> Reply {
    let Reply::Array(parts) = reply else { return reply.clone() };
    let left_out = Reply::bulk(field);
    let mut kept = Vec::new();
    let mut rest = parts.iter();
    while let Some(part) = rest.next() {
        if *part == left_out {
            rest.next();
        } else {
            kept.push(without(field, part));
        }
    }
    Reply::Array(kept)
}

fn show(reply: Option<&Reply>) -> String {
    reply.map_or_else(|| "nothing".to_owned(), ToString::to_string)
}

/// Appends a request along an argument tree.
fn request(arguments: &[Arg], random: &mut Random, words: &mut Vec<Vec<u8>>) {
    let mut keys = None;
    for argument in arguments {
        if argument.optional && random.once_in(2) {
            continue;
        }
        let is_count = argument.name == "numkeys";
        let counted = keys.take();
        let repeats = match counted {
            Some(count) => count,
            None if argument.multiple => 1 + random.below(4),
            None => 1,
        };
        for repeat in 0..repeats {
            if let Some(token) = argument.token
                && (repeat == 0 || argument.multiple_token)
            {
                words.push(token.as_bytes().to_vec());
            }
            match argument.kind {
                ArgKind::PureToken => {}
                ArgKind::OneOf(of) => {
                    let one = of[random.below(of.len())];
                    request(&[Arg { optional: false, ..one }], random, words);
                }
                ArgKind::Block(of) => request(of, random, words),
                ArgKind::Integer if is_count => {
                    let count = random.below(4);
                    // Sometimes the count and the keys disagree.
                    keys = Some(if random.once_in(6) { random.below(4) } else { count });
                    words.push(count.to_string().into_bytes());
                }
                ArgKind::Integer | ArgKind::UnixTime | ArgKind::Double => {
                    words.push(random.below(100).to_string().into_bytes());
                }
                ArgKind::Key(_) => words.push(format!("key{}", random.below(1000)).into_bytes()),
                ArgKind::String | ArgKind::Pattern | ArgKind::KeyPattern(_) => {
                    words.push(format!("word{}", random.below(1000)).into_bytes());
                }
            }
        }
    }
}
