//! Every command is atomic and isolated as in Redis, at any thread count: histories of many connections to a real
//! server process are judged by the checkers of `swytch-sim`. That each checker notices what it is there for is shown by
//! `cargo xtask mutants`.
//!
//! Every run draws and prints a seed; `SWYTCH_TEST_SEED=n` repeats its requests, though not the threads' timing.

#[path = "linearizability/keyspace.rs"]
mod keyspace;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keyspace::{Input, Keyspace, Output};
use swytch_sim::check::model::{
    Counter, CounterInput, CounterOutput, Keyed, List, ListInput, ListOutput, Register, RegisterInput,
    RegisterOutput, Side,
};
use swytch_sim::check::queue::{self, Outcome, QueueOperation};
use swytch_sim::check::{Limits, Recorder, Verdict, check};
use swytch_testkit::random::{self, Random};
use swytch_testkit::{Client, Reply, Server, ours};

const CLIENTS: u64 = 8;

/// Numbers of worker threads that are tried.
const THREADS: [usize; 2] = [2, 5];

/// A configuration with this many threads.
fn file(threads: usize) -> String {
    format!("threads {threads}\nenable-debug-command yes\nsave \"\"\n")
}

fn start(threads: usize) -> Server {
    ours!().start("linearizability", &file(threads))
}

/// Runs `act` on this many connections at once.
fn at_once<T: Send>(
    server: &Server,
    clients: u64,
    seed: u64,
    act: impl Fn(u32, &mut Client, &mut Random) -> T + Sync,
) -> Vec<T> {
    let act = &act;
    let mut connections: Vec<Client> = (0..clients).map(|_| server.connect()).collect();
    std::thread::scope(|scope| {
        let threads: Vec<_> = connections
            .iter_mut()
            .enumerate()
            .map(|(client, connection)| {
                let mut random = Random::new(seed.wrapping_add(client as u64));
                scope.spawn(move || act(client as u32, connection, &mut random))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a client's thread")).collect()
    })
}

/// How commands are sent.
#[derive(Clone, Copy)]
enum Way {
    Commands,
    /// By a script that names no key, and writes to one before it turns to another.
    Scripts,
}

/// Keys that scripts count their runs in.
const TURNS: usize = 5;

impl Way {
    fn call(self, connection: &mut Client, random: &mut Random, words: &[&str]) -> Reply {
        match self {
            Way::Commands => connection.call(words),
            Way::Scripts => {
                let turn = format!("turn:{}", random.below(TURNS));
                let script = "redis.call('INCR', ARGV[1]) return redis.call(unpack(ARGV, 2))";
                connection.call(&[&["EVAL", script, "0", &turn], words].concat())
            }
        }
    }
}

#[test]
fn scripts_that_name_no_keys_are_linearizable() {
    const SCRIPT_CLIENTS: u64 = 50;
    const STEPS: u64 = 8;
    let (seed, mut server) = (random::seed(), start(2));
    for round in 0..6 {
        single_keys(&server, Way::Scripts, SCRIPT_CLIENTS, STEPS, seed ^ round, round);
        // However often one was taken back, it has run once.
        let turns = (0..TURNS).map(|turn| server.client.call(&["GETDEL", &format!("turn:{turn}")]));
        let turns: u64 = turns.filter_map(|reply| reply.number()).sum();
        assert_eq!(turns, SCRIPT_CLIENTS * STEPS);
    }
}

fn side(random: &mut Random) -> (Side, &'static str) {
    if random.below(2) == 0 { (Side::Left, "L") } else { (Side::Right, "R") }
}

#[test]
fn single_keys_are_linearizable() {
    let seed = random::seed();
    for threads in THREADS {
        let server = start(threads);
        for round in 0..8 {
            single_keys(&server, Way::Commands, CLIENTS, 90, seed ^ round, round);
        }
    }
}

fn single_keys(server: &Server, way: Way, clients: u64, steps: u64, seed: u64, round: u64) {
    let (registers, counters, lists) = (Recorder::new(), Recorder::new(), Recorder::new());
    at_once(server, clients, seed, |client, connection, random| {
        for step in 0..steps {
            let unique = u64::from(client) * 1000 + step;
            match random.below(3) {
                0 => on_register(way, &registers, client, connection, random, round, unique),
                1 => on_counter(way, &counters, client, connection, random, round),
                _ => on_list(way, &lists, client, connection, random, round, unique),
            }
        }
    });
    assert_ok(&check(&Keyed(Register), &registers.into_history(), Limits::default()));
    assert_ok(&check(&Keyed(Counter), &counters.into_history(), Limits::default()));
    assert_ok(&check(&Keyed(List), &lists.into_history(), Limits::default()));
}

fn assert_ok(verdict: &Verdict) {
    assert!(verdict.is_ok(), "{verdict:#?}");
}

fn on_register(
    way: Way,
    recorder: &Recorder<(u64, RegisterInput), RegisterOutput>,
    client: u32,
    connection: &mut Client,
    random: &mut Random,
    round: u64,
    value: u64,
) {
    let key = random.below(4);
    let (name, text) = (format!("register-{round}-{key}"), value.to_string());
    let (input, words): (_, Vec<&str>) = match random.below(6) {
        0 => (RegisterInput::Write(value), vec!["SET", &name, &text]),
        1 => (RegisterInput::WriteIfAbsent(value), vec!["SETNX", &name, &text]),
        2 => (RegisterInput::Swap(value), vec!["SET", &name, &text, "GET"]),
        3 => (RegisterInput::Take, vec!["GETDEL", &name]),
        4 => (RegisterInput::Delete, vec!["DEL", &name]),
        _ => (RegisterInput::Read, vec!["GET", &name]),
    };
    let invoked = recorder.invoke();
    let output = match way.call(connection, random, &words) {
        Reply::Simple(_) => RegisterOutput::Written,
        Reply::Integer(done) => RegisterOutput::Done(done == 1),
        other => RegisterOutput::Value(other.number()),
    };
    recorder.complete(client, invoked, (key, input), output);
}

fn on_counter(
    way: Way,
    recorder: &Recorder<(u64, CounterInput), CounterOutput>,
    client: u32,
    connection: &mut Client,
    random: &mut Random,
    round: u64,
) {
    let key = random.below(3);
    let name = format!("counter-{round}-{key}");
    let invoked = recorder.invoke();
    let (input, reply) = match random.below(3) {
        0 => (CounterInput::Read, way.call(connection, random, &["GET", &name])),
        1 => (CounterInput::Add(7), way.call(connection, random, &["INCRBY", &name, "7"])),
        _ => (CounterInput::Add(1), way.call(connection, random, &["INCR", &name])),
    };
    let value = reply.number().unwrap_or(0) as i64;
    recorder.complete(client, invoked, (key, input), CounterOutput(value));
}

fn on_list(
    way: Way,
    recorder: &Recorder<(u64, ListInput), ListOutput>,
    client: u32,
    connection: &mut Client,
    random: &mut Random,
    round: u64,
    value: u64,
) {
    let key = random.below(4);
    let name = format!("list-{round}-{key}");
    let (side, letter) = side(random);
    let choice = random.below(8);
    let invoked = recorder.invoke();
    let (input, output) = match choice {
        0 => {
            let reply = way.call(connection, random, &["LRANGE", &name, "0", "-1"]);
            let elements = reply.elements().iter().filter_map(Reply::number).collect();
            (ListInput::Range, ListOutput::Range(elements))
        }
        1 => {
            let reply = way.call(connection, random, &["LLEN", &name]);
            (ListInput::Length, ListOutput::Length(reply.number().expect("a length")))
        }
        2 | 3 => {
            let reply = way.call(connection, random, &[&format!("{letter}POP"), &name]);
            (ListInput::Pop(side), ListOutput::Popped(reply.number()))
        }
        4 => {
            let element = match way.call(connection, random, &[&format!("B{letter}POP"), &name, "0.002"]) {
                Reply::Array(parts) => parts[1].number(),
                _ => None,
            };
            (ListInput::Pop(side), ListOutput::Popped(element))
        }
        _ => {
            let (first, second) = (value * 2, value * 2 + 1);
            let words = [format!("{letter}PUSH"), name, first.to_string(), second.to_string()];
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let reply = way.call(connection, random, &words);
            let input = ListInput::Push(side, vec![first, second]);
            (input, ListOutput::Length(reply.number().expect("a length")))
        }
    };
    recorder.complete(client, invoked, (key, input), output);
}

#[test]
fn commands_on_several_keys_are_atomic() {
    let seed = random::seed();
    for threads in THREADS {
        let server = start(threads);
        for round in 0..40 {
            assert_ok(&several_keys(&server, seed ^ round, round));
        }
    }
}

/// One short history of commands on several keys.
fn several_keys(server: &Server, seed: u64, round: u64) -> Verdict {
    let recorder = Recorder::new();
    at_once(server, 6, seed, |client, connection, random| {
        for step in 0..18 {
            let value = u64::from(client) * 100 + step;
            let input = several_keys_input(random, value);
            let invoked = recorder.invoke();
            let output = perform(connection, round, &input);
            recorder.complete(client, invoked, input, output);
        }
    });
    check(&Keyspace, &recorder.into_history(), Limits::default())
}

fn several_keys_input(random: &mut Random, value: u64) -> Input {
    let mut key = || random.below(3) as u8;
    let (one, other) = (key(), key());
    let pairs = vec![(one, value), ((one + 1) % 3, value)];
    match random.below(10) {
        0 | 1 => Input::Set(pairs),
        2 => Input::SetIfAbsent(pairs),
        3 | 4 => Input::Get(vec![0, 1, 2]),
        5 => Input::Rename(one, other),
        6 => Input::Copy(one, (one + 1) % 3),
        7 if value.is_multiple_of(2) => Input::Delete(vec![0, 1, 2]),
        7 => Input::Push(one, value),
        8 => Input::Transfer(one, other),
        _ => Input::Ranges(vec![0, 1, 2]),
    }
}

fn perform(connection: &mut Client, round: u64, input: &Input) -> Output {
    let text = |key: &u8| format!("text-{round}-{key}");
    let list = |key: &u8| format!("many-{round}-{key}");
    let with_values = |name: &str, pairs: &[(u8, u64)]| {
        let mut words = vec![name.to_owned()];
        for (key, value) in pairs {
            words.extend([text(key), value.to_string()]);
        }
        words
    };
    let with_keys = |name: &str, keys: &[u8]| {
        std::iter::once(name.to_owned()).chain(keys.iter().map(text)).collect::<Vec<_>>()
    };
    let words = match input {
        Input::Set(pairs) => with_values("MSET", pairs),
        Input::SetIfAbsent(pairs) => with_values("MSETNX", pairs),
        Input::Get(keys) => with_keys("MGET", keys),
        Input::Delete(keys) => with_keys("DEL", keys),
        Input::Rename(from, to) => with_keys("RENAME", &[*from, *to]),
        Input::Copy(from, to) => vec!["COPY".into(), text(from), text(to), "REPLACE".into()],
        Input::Push(key, value) => vec!["RPUSH".into(), list(key), value.to_string()],
        Input::Transfer(from, to) => {
            vec!["LMOVE".into(), list(from), list(to), "LEFT".into(), "RIGHT".into()]
        }
        Input::Ranges(keys) => {
            connection.send(&["MULTI"]);
            keys.iter().for_each(|key| connection.send(&["LRANGE", &list(key), "0", "-1"]));
            connection.send(&["EXEC"]);
            (0..=keys.len()).for_each(|_| {
                connection.receive().expect("OK or QUEUED");
            });
            let replies = connection.receive().expect("the reply of EXEC");
            let elements = |reply: &Reply| reply.elements().iter().filter_map(Reply::number).collect();
            return Output::Lists(replies.elements().iter().map(elements).collect());
        }
    };
    let reply = connection.call(&words.iter().map(String::as_str).collect::<Vec<_>>());
    match input {
        Input::Set(_) => Output::Written,
        Input::Get(_) => Output::Values(reply.elements().iter().map(Reply::number).collect()),
        Input::Delete(_) | Input::Push(..) => Output::Count(reply.number().expect("a count")),
        Input::Transfer(..) => Output::Moved(reply.number()),
        _ => Output::Done(matches!(reply, Reply::Simple(_) | Reply::Integer(1))),
    }
}

#[test]
fn optimistic_transactions_lose_no_update() {
    let seed = random::seed();
    for threads in THREADS {
        let server = start(threads);
        compare_and_set(&server, seed).unwrap_or_else(|verdict| panic!("{verdict:#?}"));
        transfers(&server, seed).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// Counters raised by WATCH, GET, MULTI, SET, EXEC: as histories of reads and compare-and-sets.
fn compare_and_set(server: &Server, seed: u64) -> Result<(), Verdict> {
    let recorder = Recorder::new();
    at_once(server, CLIENTS, seed, |client, connection, random| {
        for _ in 0..60 {
            let key = random.below(3);
            let name = format!("optimistic-{key}");
            connection.call(&["WATCH", &name]);
            let invoked = recorder.invoke();
            let found = connection.call(&["GET", &name]).number();
            recorder.complete(client, invoked, (key, RegisterInput::Read), RegisterOutput::Value(found));
            let next = found.unwrap_or(0) + 1;
            connection.call(&["MULTI"]);
            connection.call(&["SET", &name, &next.to_string()]);
            let invoked = recorder.invoke();
            // An EXEC that is refused says little: the key may have changed before it was read.
            if connection.call(&["EXEC"]) != Reply::NullArray {
                let input = RegisterInput::CompareAndSet(found, next);
                recorder.complete(client, invoked, (key, input), RegisterOutput::Done(true));
            }
        }
    });
    match check(&Keyed(Register), &recorder.into_history(), Limits::default()) {
        verdict if verdict.is_ok() => Ok(()),
        verdict => Err(verdict),
    }
}

const ACCOUNTS: u64 = 6;
const BALANCE: u64 = 1000;

/// Money moves between accounts; whoever looks at all of them at once always finds the same sum.
fn transfers(server: &Server, seed: u64) -> Result<(), String> {
    let mut connection = server.connect();
    for account in 0..ACCOUNTS {
        connection.call(&["SET", &format!("account-{account}"), &BALANCE.to_string()]);
    }
    let sums: Mutex<Vec<u64>> = Mutex::default();
    let committed = AtomicU64::new(0);
    at_once(server, CLIENTS, seed, |_, connection, random| {
        for _ in 0..60 {
            if random.below(4) == 0 {
                sums.lock().expect("no thread panics with it").push(sum(connection));
            } else if transfer(connection, random) {
                committed.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let last = sum(&mut connection);
    let mut sums = sums.into_inner().map_err(|error| error.to_string())?;
    sums.push(last);
    if committed.load(Ordering::Relaxed) == 0 {
        return Err("no transfer ever succeeded".into());
    }
    match sums.iter().find(|sum| **sum != ACCOUNTS * BALANCE) {
        None => Ok(()),
        Some(sum) => Err(format!("somebody saw {sum} instead of {}", ACCOUNTS * BALANCE)),
    }
}

fn sum(connection: &mut Client) -> u64 {
    connection.call(&["MULTI"]);
    for account in 0..ACCOUNTS {
        connection.call(&["GET", &format!("account-{account}")]);
    }
    connection.call(&["EXEC"]).elements().iter().filter_map(Reply::number).sum()
}

fn transfer(connection: &mut Client, random: &mut Random) -> bool {
    let from = random.below(ACCOUNTS);
    let to = (from + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS;
    let (from, to) = (format!("account-{from}"), format!("account-{to}"));
    connection.call(&["WATCH", &from, &to]);
    let mut balance = |name: &str| connection.call(&["GET", name]).number().expect("an account");
    let (from_balance, to_balance) = (balance(&from), balance(&to));
    let amount = random.below(from_balance / 2 + 1);
    connection.call(&["MULTI"]);
    connection.call(&["SET", &from, &(from_balance - amount).to_string()]);
    connection.call(&["SET", &to, &(to_balance + amount).to_string()]);
    connection.call(&["EXEC"]) != Reply::NullArray
}

#[test]
fn blocking_pops_deliver_every_element_once() {
    let seed = random::seed();
    for threads in THREADS {
        exactly_once(&start(threads), seed);
    }
}

/// Half of the clients push, half pop in every blocking way, over a few lists between which elements also move.
fn exactly_once(server: &Server, seed: u64) {
    const PUSHES: u64 = 400;
    let moment = AtomicU64::new(0);
    let pushing = AtomicU64::new(CLIENTS / 2);
    let now = || moment.fetch_add(1, Ordering::SeqCst);
    let histories = at_once(server, CLIENTS, seed, |client, connection, random| {
        let mut history = Vec::new();
        if u64::from(client) < CLIENTS / 2 {
            for step in 0..PUSHES {
                let element = u64::from(client) * PUSHES + step;
                let invoked = now();
                push_somehow(connection, random, element);
                history.push(QueueOperation::Push { element, outcome: Outcome::Acknowledged, invoked });
            }
            pushing.fetch_sub(1, Ordering::SeqCst);
            return history;
        }
        loop {
            // Read before popping: when nobody pushes any more and nothing comes, nothing is left.
            let last = pushing.load(Ordering::SeqCst) == 0;
            let elements = pop_somehow(connection, random);
            if last && elements.is_empty() {
                return history;
            }
            history.push(QueueOperation::Popped { elements, returned: now() });
        }
    });
    let history: Vec<QueueOperation> = histories.into_iter().flatten().collect();
    let mut remaining = Vec::new();
    let mut connection = server.connect();
    for list in LISTS {
        let reply = connection.call(&["LRANGE", list, "0", "-1"]);
        remaining.extend(reply.elements().iter().filter_map(Reply::number));
    }
    if let Err(anomalies) = queue::check(&history, &remaining) {
        panic!("{anomalies:?}");
    }
    connection.await_blocked(0);
}

const LISTS: [&str; 3] = ["queue-a", "queue-b", "queue-c"];

fn push_somehow(connection: &mut Client, random: &mut Random, element: u64) {
    let list = LISTS[random.below(3) as usize];
    let text = element.to_string();
    match random.below(4) {
        0 => {
            // Through a list of its own, renamed into place if there is room, and moved otherwise.
            let own = format!("own-{element}");
            connection.call(&["RPUSH", &own, &text]);
            if connection.call(&["RENAMENX", &own, list]) != Reply::Integer(1) {
                connection.call(&["LMOVE", &own, list, "LEFT", "LEFT"]);
            }
        }
        1 => {
            connection.send(&["MULTI"]);
            connection.send(&["RPUSH", list, &text]);
            connection.send(&["EXEC"]);
            (0..3).for_each(|_| {
                connection.receive().expect("a reply");
            });
        }
        2 => {
            connection.call(&["LPUSH", list, &text]);
        }
        _ => {
            connection.call(&["RPUSH", list, &text]);
        }
    }
}

fn pop_somehow(connection: &mut Client, random: &mut Random) -> Vec<u64> {
    let one = LISTS[random.below(3) as usize];
    let reply = match random.below(5) {
        // A moved element is still in a queue: this is no pop.
        0 => {
            let other = LISTS[random.below(3) as usize];
            connection.call(&["BLMOVE", one, other, "LEFT", "RIGHT", "0.01"]);
            return pop_somehow(connection, random);
        }
        1 => connection.call(&["BRPOP", LISTS[2], LISTS[1], LISTS[0], "0.05"]),
        2 => connection.call(&["BLMPOP", "0.05", "3", LISTS[1], LISTS[0], LISTS[2], "LEFT", "COUNT", "3"]),
        _ => connection.call(&["BLPOP", LISTS[0], LISTS[1], LISTS[2], "0.05"]),
    };
    match reply {
        Reply::Array(parts) => match &parts[1] {
            Reply::Array(elements) => elements.iter().filter_map(Reply::number).collect(),
            single => single.number().into_iter().collect(),
        },
        _ => Vec::new(),
    }
}

#[test]
fn who_waits_longest_is_served_first() {
    for threads in THREADS {
        let server = start(threads);
        arrival_order(&server).unwrap_or_else(|error| panic!("{error}"));
    }
}

/// Clients park one after the other; the elements of one push, and of many, reach them in that order.
fn arrival_order(server: &Server) -> Result<(), String> {
    const WAITERS: usize = 40;
    let mut pusher = server.connect();
    for at_once in [true, false] {
        let mut waiters: Vec<Client> = (0..WAITERS).map(|_| server.connect()).collect();
        for (index, waiter) in waiters.iter_mut().enumerate() {
            match index % 3 {
                0 => waiter.send(&["BLPOP", "line", "0"]),
                1 => waiter.send(&["BLMPOP", "0", "2", "elsewhere", "line", "LEFT"]),
                _ => waiter.send(&["BLMOVE", "line", "done", "LEFT", "RIGHT", "0"]),
            }
            pusher.await_blocked(index + 1);
        }
        let elements: Vec<String> = (0..WAITERS).map(|element| element.to_string()).collect();
        if at_once {
            let mut words = vec!["RPUSH", "line"];
            words.extend(elements.iter().map(String::as_str));
            pusher.call(&words);
        } else {
            elements.iter().for_each(|element| pusher.send(&["RPUSH", "line", element]));
            elements.iter().for_each(|_| {
                pusher.receive().expect("a length");
            });
        }
        for (index, waiter) in waiters.iter_mut().enumerate() {
            let reply = waiter.receive().map_err(|error| format!("waiter {index}: {error}"))?;
            let text = reply.to_string();
            let element = text.trim_start_matches("[line, ").trim_matches(['[', ']']).to_owned();
            if element != index.to_string() {
                return Err(format!("waiter {index} was given {text}"));
            }
        }
    }
    Ok(())
}

/// Whether commands from parallel threads and clients really overlap here; without that, nothing is proven.
#[test]
fn histories_have_concurrency_in_them() {
    let server = start(4);
    let stop = AtomicBool::new(false);
    let overlaps = AtomicU64::new(0);
    let busy = AtomicU64::new(0);
    at_once(&server, 4, 1, |_, connection, _| {
        let until = Instant::now() + Duration::from_secs(60);
        while !stop.load(Ordering::Relaxed) && Instant::now() < until {
            if busy.fetch_add(1, Ordering::SeqCst) > 0 && overlaps.fetch_add(1, Ordering::Relaxed) > 100 {
                stop.store(true, Ordering::Relaxed);
            }
            connection.call(&["INCR", "n"]);
            busy.fetch_sub(1, Ordering::SeqCst);
        }
    });
    assert!(overlaps.load(Ordering::Relaxed) > 100);
}
