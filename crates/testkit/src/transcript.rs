//! Transcripts: what several connections say and hear, line by line, the same for every server.
//!
//! A line is `NAME> command` (send), `NAME< reply` (read and compare), `NAME: command = reply` (both), `NAME silent`
//! (nothing arrives for a while), `NAME closes`, `NAME half-closes`, or `blocked N` (wait until this many clients
//! wait), or `after N ms`. `NAME>> one; two` sends several commands at once, so that no time passes between them.
//! Connections come to be when they are first named; `$NAME` in a command is the connection's CLIENT ID. A reply is
//! written as [`Reply`](crate::Reply) shows itself, or as `*` where it may be any.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::client::Client;
use crate::process::Server;

/// How long a connection must stay silent to count as waiting.
const SILENCE: Duration = Duration::from_millis(60);

struct Stage<'a> {
    server: &'a Server,
    clients: BTreeMap<String, Client>,
    ids: BTreeMap<String, String>,
}

/// Plays a transcript on an empty keyspace, and waits for what is left of it to end.
///
/// # Panics
/// When a reply is another one.
#[track_caller]
pub fn play(server: &Server, transcript: &str) {
    let mut stage = Stage { server, clients: BTreeMap::new(), ids: BTreeMap::new() };
    println!("{} on port {}:\n{transcript}\n", server.program().name, server.port);
    stage.play("observer: FLUSHALL = OK");
    let connected = |observer: &mut Client| observer.info_number("connected_clients");
    let before = connected(stage.client("observer"));
    transcript.lines().map(str::trim).filter(|line| !line.is_empty()).for_each(|line| stage.play(line));
    stage.clients.retain(|name, _| name == "observer");
    stage.play("blocked 0");
    // What they were subscribed to goes with them.
    stage.client("observer").until("others have left", connected, |now| *now <= before);
}

impl Stage<'_> {
    fn client(&mut self, name: &str) -> &mut Client {
        if !self.clients.contains_key(name) {
            let mut client = self.server.connect();
            self.ids.insert(format!("${name}"), client.say("CLIENT ID").text());
            self.clients.insert(name.to_owned(), client);
        }
        self.clients.get_mut(name).expect("it is there now")
    }

    fn send(&mut self, name: &str, command: &str) {
        self.client(name);
        let ids = self.ids.clone();
        let words: Vec<&str> =
            command.split(' ').map(|word| ids.get(word).map_or(word, String::as_str)).collect();
        self.client(name).send(&words);
    }

    fn expect(&mut self, name: &str, reply: &str, line: &str) {
        let heard = self.client(name).receive().unwrap_or_else(|error| panic!("{line}: {error}"));
        // Lines of a transcript end without spaces.
        if reply == "*" {
            return;
        }
        assert_eq!(heard.to_string().trim_end(), reply, "{line} ({})", self.server.program().name);
    }

    fn play(&mut self, line: &str) {
        let named = |sign: &str| line.split_once(sign).filter(|(name, _)| !name.contains(' '));
        if let Some(count) = line.strip_prefix("blocked ") {
            let count = count.parse().expect("a number");
            self.client("observer").await_blocked(count);
        } else if let Some(time) = line.strip_prefix("after ").and_then(|rest| rest.strip_suffix(" ms")) {
            std::thread::sleep(Duration::from_millis(time.parse().expect("a number")));
        } else if let Some((name, rest)) = named(">> ") {
            let commands: Vec<Vec<&str>> = rest.split("; ").map(|one| one.split(' ').collect()).collect();
            self.client(name).send_all(&commands);
        } else if let Some((name, rest)) = named("> ") {
            self.send(name, rest);
        } else if let Some((name, rest)) = named("< ") {
            self.expect(name, rest, line);
        } else if let Some(name) = line.strip_suffix(" silent") {
            assert!(!self.client(name).hears_within(SILENCE), "{line}");
        } else if let Some(name) = line.strip_suffix(" half-closes") {
            self.client(name).shut_down_sending();
        } else if let Some(name) = line.strip_suffix(" closes") {
            self.clients.remove(name);
        } else {
            let (name, rest) = line.split_once(": ").unwrap_or_else(|| panic!("what is {line:?}?"));
            let (command, reply) = rest.split_once(" = ").unwrap_or_else(|| panic!("what is {line:?}?"));
            self.send(name, command);
            self.expect(name, reply, line);
        }
    }
}
