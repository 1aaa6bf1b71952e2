//! What a connection does to its keys, and what is in them afterwards, worked out without a server: of servers that end in the
//! middle of it (`crash`, `following`).

use std::collections::BTreeMap;
use std::io;

use crate::client::{Client, encode};
use crate::random::Random;
use crate::reply::Reply;

/// A connection's keys behind its own name, and how each is read.
pub(crate) const KEYS: [(&str, &[&str]); 8] = [
    ("count", &["GET"]),
    ("hash", &["HGETALL"]),
    ("list", &["LRANGE", "0", "-1"]),
    ("moved", &["LRANGE", "0", "-1"]),
    ("set", &["SMEMBERS"]),
    ("sorted", &["ZRANGE", "0", "-1", "WITHSCORES"]),
    ("stream", &["XRANGE", "-", "+"]),
    ("text", &["GET"]),
];
/// The list that all connections push to; one's own elements are told by its name.
const SHARED: &str = "shared";
/// Elements that a list or a stream keeps.
const KEPT_MAX: usize = 20;
/// Fields and members that are drawn from.
const FIELDS: u64 = 12;
/// What runs its argument's commands as one.
const SCRIPT: &str =
    "for _, words in ipairs(cjson.decode(ARGV[1])) do redis.call(unpack(words)) end return 1";

type Words = Vec<String>;

/// Commands that are done all or not at all.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    commands: Vec<Words>,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Alone,
    Transaction,
    Script,
}

impl Operation {
    /// The operation with this number of a connection.
    pub(crate) fn any(connection: usize, number: u64, random: &mut Random) -> Operation {
        let (how, count) = match random.below(10) {
            0 | 1 => (How::Transaction, 1 + random.below(4_usize)),
            2 => (How::Script, 1 + random.below(4_usize)),
            _ => (How::Alone, 1),
        };
        let commands = (0..count).map(|at| command(connection, number, at, random)).collect();
        Operation { commands, how }
    }

    /// Appends what a server is sent.
    pub(crate) fn request(&self, out: &mut Vec<u8>) {
        let [before, behind]: [&[&str]; 2] = match self.how {
            How::Alone => [&[], &[]],
            How::Transaction => [&["MULTI"], &["EXEC"]],
            How::Script => {
                // Words have nothing that JSON would write in another way.
                let commands = format!("{:?}", self.commands);
                return out.extend_from_slice(&encode(&["EVAL", SCRIPT, "0", &commands]));
            }
        };
        let commands = self.commands.iter().map(|words| encode(words));
        let around = |words: &[&str]| (!words.is_empty()).then(|| encode(words));
        out.extend(around(before).into_iter().chain(commands).chain(around(behind)).flatten());
    }

    /// Waits until it is acknowledged.
    ///
    /// # Errors
    /// Those of the connection; what else the server has answered.
    pub(crate) fn receive(&self, client: &mut Client) -> io::Result<()> {
        let replies = if self.how == How::Transaction { self.commands.len() + 2 } else { 1 };
        for _ in 0..replies {
            let reply = client.receive()?;
            let nested = if let Reply::Array(elements) = &reply { &elements[..] } else { &[] };
            if let Some(error) = nested.iter().chain([&reply]).find(|reply| reply.is_error()) {
                return Err(io::Error::other(format!("{:?} was answered {error}", self.commands)));
            }
        }
        Ok(())
    }
}

/// A command that alters something, most of the time.
fn command(connection: usize, number: u64, at: usize, random: &mut Random) -> Words {
    let key = |name: &str| format!("c{connection}:{name}");
    let value = format!("{number}.{at}");
    let field = format!("f{}", random.below(FIELDS));
    let words = |words: &[&str]| -> Words { words.iter().map(|word| (*word).to_owned()).collect() };
    match random.below(24) {
        0 => words(&["SET", &key("text"), &value]),
        1 | 2 => words(&["APPEND", &key("text"), &value]),
        3 => words(&["SET", &key("count"), "7"]),
        4 | 5 => words(&["INCRBY", &key("count"), "3"]),
        6 | 7 => words(&["RPUSH", &key("list"), &value]),
        8 => words(&["LPUSH", &key("list"), &value]),
        9 => words(&["LPOP", &key("list")]),
        10 => words(&["LTRIM", &key("list"), "0", &(KEPT_MAX - 1).to_string()]),
        11 => words(&["LMOVE", &key("list"), &key("moved"), "LEFT", "RIGHT"]),
        12 => words(&["COPY", &key("list"), &key("moved"), "REPLACE"]),
        13 | 14 => words(&["HSET", &key("hash"), &field, &value]),
        15 => words(&["HDEL", &key("hash"), &field]),
        16 => words(&["SADD", &key("set"), &value]),
        17 => words(&["SREM", &key("set"), &format!("{}.0", number.saturating_sub(20))]),
        18 => words(&["ZADD", &key("sorted"), &number.to_string(), &field]),
        19 => words(&["ZINCRBY", &key("sorted"), "5", &field]),
        // Identifiers rise, whatever of the stream was lost.
        20 => words(&["XADD", &key("stream"), &format!("{}-{}", number + 1, at + 1), "f", &value]),
        21 => words(&["XTRIM", &key("stream"), "MAXLEN", &KEPT_MAX.to_string()]),
        22 => words(&["RPUSH", SHARED, &own(connection, &value)]),
        _ => match random.below(4) {
            0 => words(&["DEL", &key(KEYS[random.below(KEYS.len())].0)]),
            _ => words(&["LREM", SHARED, "1", &own(connection, &format!("{}.0", number.saturating_sub(30)))]),
        },
    }
}

/// An element of the list of all that is of one connection.
fn own(connection: usize, value: &str) -> String {
    format!("c{connection}={value}")
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Text(String),
    /// Elements of a list, or entries of a stream.
    List(Vec<String>),
    /// Fields with their values, members with their scores, or with nothing.
    Map(BTreeMap<String, String>),
}

/// What the keys of a connection hold, and what of the list of all is its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State(BTreeMap<String, Value>);

impl State {
    /// What a server has of a connection.
    ///
    /// # Errors
    /// Those of the connection, and the server's.
    pub(crate) fn found(client: &mut Client, connection: usize) -> io::Result<State> {
        let mut state = State::default();
        for (name, how) in KEYS {
            let key = format!("c{connection}:{name}");
            let words: Vec<&str> = [&how[..1], &[key.as_str()], &how[1..]].concat();
            let value = match client.ask(&words)? {
                Reply::Bulk(text) => Value::Text(String::from_utf8_lossy(&text).into_owned()),
                Reply::Array(elements) if !elements.is_empty() => match name {
                    "hash" | "sorted" => {
                        Value::Map(elements.chunks(2).map(|pair| (pair[0].text(), pair[1].text())).collect())
                    }
                    "set" => Value::Map(elements.iter().map(|one| (one.text(), String::new())).collect()),
                    _ => Value::List(elements.iter().map(Reply::to_string).collect()),
                },
                _ => continue,
            };
            state.0.insert(key, value);
        }
        let all = client.ask(&["LRANGE", SHARED, "0", "-1"])?;
        let own = own(connection, "");
        let own: Vec<String> =
            all.elements().iter().map(Reply::text).filter(|one| one.starts_with(&own)).collect();
        if !own.is_empty() {
            state.0.insert(SHARED.to_owned(), Value::List(own));
        }
        Ok(state)
    }

    /// For which numbers of these operations the first that many lead from here to `after`, in order.
    pub(crate) fn counts_to<'a>(
        mut self,
        operations: impl Iterator<Item = &'a Operation>,
        after: &State,
    ) -> Vec<usize> {
        let mut counts = Vec::new();
        if self == *after {
            counts.push(0);
        }
        for (index, operation) in operations.enumerate() {
            self.apply(operation);
            if self == *after {
                counts.push(index + 1);
            }
        }
        counts
    }

    /// Does what an operation does.
    pub(crate) fn apply(&mut self, operation: &Operation) {
        for words in &operation.commands {
            self.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }

    fn run(&mut self, words: &[&str]) {
        match *words {
            ["SET", key, value] => _ = self.0.insert(key.to_owned(), Value::Text(value.to_owned())),
            ["APPEND", key, value] => self.text(key).push_str(value),
            ["INCRBY", key, by] => add(self.text(key), by),
            ["RPUSH", key, value] => self.list(key).push(value.to_owned()),
            ["LPUSH", key, value] => self.list(key).insert(0, value.to_owned()),
            ["LPOP", key] => _ = self.pop(key),
            ["LTRIM", key, _, last] => self.list(key).truncate(number(last) as usize + 1),
            ["LREM", key, _, value] => {
                let list = self.list(key);
                if let Some(at) = list.iter().position(|element| element == value) {
                    list.remove(at);
                }
            }
            ["LMOVE", from, to, ..] => {
                if let Some(element) = self.pop(from) {
                    self.list(to).push(element);
                }
            }
            ["COPY", from, to, ..] => {
                if let Some(value) = self.0.get(from).cloned() {
                    self.0.insert(to.to_owned(), value);
                }
            }
            ["HSET", key, field, value] | ["ZADD", key, value, field] => {
                self.map(key).insert(field.to_owned(), value.to_owned());
            }
            ["SADD", key, member] => _ = self.map(key).insert(member.to_owned(), String::new()),
            ["HDEL" | "SREM", key, field] => _ = self.map(key).remove(field),
            ["ZINCRBY", key, by, member] => add(self.map(key).entry(member.to_owned()).or_default(), by),
            ["XADD", key, id, field, value] => self.list(key).push(format!("[{id}, [{field}, {value}]]")),
            ["XTRIM", key, _, len] => {
                let list = self.list(key);
                list.drain(..list.len().saturating_sub(number(len) as usize));
            }
            ["DEL", key] => _ = self.0.remove(key),
            _ => unreachable!("{words:?} is none of the commands above"),
        }
        // What is empty is not there; streams keep some of their entries.
        self.0.retain(|_, value| match value {
            Value::Text(_) => true,
            Value::List(list) => !list.is_empty(),
            Value::Map(map) => !map.is_empty(),
        });
    }

    fn text(&mut self, key: &str) -> &mut String {
        match self.0.entry(key.to_owned()).or_insert_with(|| Value::Text(String::new())) {
            Value::Text(text) => text,
            other => unreachable!("{key} has no text: {other:?}"),
        }
    }

    fn list(&mut self, key: &str) -> &mut Vec<String> {
        match self.0.entry(key.to_owned()).or_insert_with(|| Value::List(Vec::new())) {
            Value::List(list) => list,
            other => unreachable!("{key} has no list: {other:?}"),
        }
    }

    fn map(&mut self, key: &str) -> &mut BTreeMap<String, String> {
        match self.0.entry(key.to_owned()).or_insert_with(|| Value::Map(BTreeMap::new())) {
            Value::Map(map) => map,
            other => unreachable!("{key} has no fields: {other:?}"),
        }
    }

    fn pop(&mut self, key: &str) -> Option<String> {
        let list = self.list(key);
        (!list.is_empty()).then(|| list.remove(0))
    }
}

fn number(text: &str) -> u64 {
    text.parse().expect("numbers are ours")
}

fn add(to: &mut String, by: &str) {
    let before = if to.is_empty() { 0 } else { number(to) };
    *to = (before + number(by)).to_string();
}
