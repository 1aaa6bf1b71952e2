//! Clients: each has one operation outstanding on one host, and writes down what it asked and what it was told.

use swytch_cluster::{Answer, Change, Class, ClientError, Input, MultiKey, Request, Watch};

use super::profile::{KeyUse, PlannedKey};
use super::values::{Operation, Payload, Reply};
use super::world::{Event, WALL_START_MS, World};
use crate::check::model::{CounterInput, ListInput, RegisterInput, RegisterOutput, SetInput, Side};

/// A node must answer within this time, whatever its clock does; in microseconds.
const ANSWER_US: u64 = 45_000_000;
/// Clients from this number on make the last reads, one for each key.
const LAST_READERS: u32 = 1_000;
/// Where keys share slots, one operation in this many takes any key, the others one of the client's host's slot.
const LOCAL_OF: u64 = 4;

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Not answered yet, or never.
    Open,
    /// Success.
    Ok(Vec<Reply>),
    /// An error.
    Failed(ClientError),
}

/// One operation in the history.
#[derive(Clone, Debug)]
pub struct Record {
    /// Who.
    pub client: u32,
    /// Which connection of that client.
    pub session: u64,
    /// Where.
    pub host: usize,
    /// Its class; `None` for FLUSHALL.
    pub class: Class,
    /// READMODE local.
    pub local_read: bool,
    /// Requests: (index of a planned key, operation).
    pub requests: Vec<(usize, Operation)>,
    /// Event number of the request: moments in a history are numbers of events.
    pub invoked: u64,
    /// Event number of the reply.
    pub returned: u64,
    /// What became of it.
    pub ending: Ending,
}

impl Record {
    /// Whether it succeeded.
    pub fn is_ok(&self) -> bool {
        matches!(self.ending, Ending::Ok(_))
    }

    /// Whether it may or may not have happened.
    pub fn is_open(&self) -> bool {
        matches!(self.ending, Ending::Open | Ending::Failed(ClientError::InDoubt))
    }
}

/// One client.
#[derive(Clone, Debug)]
pub(super) struct Client {
    number: u32,
    host: Option<usize>,
    session: u64,
    turn: u64,
    waiting: Option<Waiting>,
    /// A WATCH that the next operation uses.
    watched: Option<(usize, Option<u64>, Watch)>,
    last_seen: Option<u64>,
}

#[derive(Clone, Debug)]
struct Waiting {
    ticket: u64,
    record: Option<usize>,
    since_us: u64,
    /// A blocked pop: the key it waits for.
    blocked: Option<usize>,
    watching: bool,
}

impl Client {
    pub(super) fn new(number: u32) -> Self {
        Self { number, host: None, session: 0, turn: 0, waiting: None, watched: None, last_seen: None }
    }

    /// The key this client reads at the end of the run, if that is what it is for.
    fn last_reads(&self) -> Option<usize> {
        self.number.checked_sub(LAST_READERS).map(|index| index as usize)
    }
}

impl World {
    /// A client's next step, or the end of its patience.
    pub(super) fn client_turn(&mut self, client: usize, turn: u64) {
        if self.clients[client].turn != turn {
            return;
        }
        if let Some(waiting) = self.clients[client].waiting.clone() {
            self.give_up(client, &waiting);
        }
        if let Some(index) = self.clients[client].last_reads() {
            return self.last_read(client, index);
        }
        if self.closing || self.history.len() as u64 >= self.profile.operations_max {
            return;
        }
        if self.clients[client].host.is_none_or(|host| !self.is_up(host) || self.hosts[host].leaving) {
            let up: Vec<usize> =
                self.up_hosts().into_iter().filter(|&host| !self.hosts[host].leaving).collect();
            let state = &mut self.clients[client];
            state.session += 1;
            state.watched = None;
            if up.is_empty() {
                state.host = None;
                return self.next_turn(client, 200_000);
            }
            state.host = Some(*self.workload.pick(&up));
        }
        self.ask(client);
    }

    fn next_turn(&mut self, client: usize, delay_us: u64) {
        self.clients[client].turn += 1;
        let turn = self.clients[client].turn;
        self.after(delay_us, Event::Client { client, turn });
    }

    fn think(&mut self, client: usize) {
        let pace =
            self.profile.disturbed_ms * 1_000 * self.profile.clients as u64 / self.profile.operations_max;
        let pause = self.workload.below(2 * pace + 1) + 500;
        self.next_turn(client, pause);
    }

    fn give_up(&mut self, client: usize, waiting: &Waiting) {
        self.tickets.remove(&waiting.ticket);
        self.clients[client].waiting = None;
        let Some(host) = self.clients[client].host else { return };
        if waiting.blocked.is_some() && waiting.record.is_none() {
            self.input(host, Input::CancelWait { ticket: waiting.ticket });
        } else if self.is_up(host) && self.hosts[host].paused_until_us + ANSWER_US < self.now_us {
            let detail = format!("client {client} at host {host} since {} ms", waiting.since_us / 1_000);
            self.violate("an operation was not answered", detail);
        }
    }

    /// All clients of a host that is gone: what they had outstanding stays open.
    pub(super) fn disconnect(&mut self, host: usize) {
        for client in 0..self.clients.len() {
            if self.clients[client].host == Some(host) {
                if let Some(waiting) = self.clients[client].waiting.take() {
                    self.tickets.remove(&waiting.ticket);
                }
                self.clients[client].host = None;
                self.think(client);
            }
        }
    }

    fn ask(&mut self, client: usize) {
        let index = self.some_key(client);
        let unique = self.history.len() as u64 + 1;
        let seen = self.clients[client].last_seen;
        if let Some((key, value, watch)) = self.clients[client].watched.take() {
            let request = vec![(key, Operation::WatchedWrite(value, unique))];
            return self.submit(client, Class::X, request, false, vec![(key, watch)]);
        }
        let roll = self.workload.below(100);
        let one = |operation| vec![(index, operation)];
        use Class::{Read, W, X};
        let (class, requests, local) = match self.profile.keys[index].used_as {
            KeyUse::DecidedRegister => {
                let input = match roll {
                    0..15 => {
                        return self.submit(
                            client,
                            Read,
                            one(Operation::Register(RegisterInput::Read)),
                            false,
                            vec![],
                        );
                    }
                    15..40 => RegisterInput::Read,
                    40..60 => RegisterInput::Write(unique),
                    60..75 => RegisterInput::CompareAndSet(seen, unique),
                    75..88 => RegisterInput::WriteIfAbsent(unique),
                    88..94 => RegisterInput::Take,
                    _ => RegisterInput::Swap(unique),
                };
                (X, one(Operation::Register(input)), false)
            }
            KeyUse::Transactional => (X, self.transaction(unique), false),
            KeyUse::Queue => match roll {
                0..45 => (W, one(Operation::List(ListInput::Push(Side::Right, vec![unique]))), false),
                45..52 => (W, one(Operation::List(ListInput::Push(Side::Left, vec![unique]))), false),
                52..85 => (X, one(Operation::List(ListInput::Pop(Side::Left))), false),
                _ => return self.block(client, index),
            },
            KeyUse::Counter if roll < 20 && self.profile.multi_key == MultiKey::Each => {
                (W, self.several(index, unique), false)
            }
            KeyUse::Counter if roll < 70 => {
                let delta = self.workload.between(1, 9) as i64;
                (W, one(Operation::Counter(CounterInput::Add(delta))), false)
            }
            KeyUse::Counter => (Read, one(Operation::Counter(CounterInput::Read)), roll > 90),
            KeyUse::GrowingSet if roll < 60 => (W, one(Operation::Set(SetInput::Add(unique))), false),
            KeyUse::GrowingSet => (Read, one(Operation::Set(SetInput::Members)), roll > 85),
            KeyUse::Register if roll < 50 => {
                (W, one(Operation::Register(RegisterInput::Write(unique))), false)
            }
            KeyUse::Register => (Read, one(Operation::Register(RegisterInput::Read)), false),
            KeyUse::Expiring if roll < 60 => (W, one(Operation::Set(SetInput::Add(unique))), false),
            KeyUse::Expiring => {
                let at = WALL_START_MS + self.now_ms() + self.workload.between(500, 8_000);
                (W, one(Operation::ExpireAt(at)), false)
            }
        };
        self.submit(client, class, requests, local, vec![]);
    }

    fn some_key(&mut self, client: usize) -> usize {
        let (count, tags) = (self.profile.keys.len(), self.profile.tags);
        let host = self.clients[client].host.unwrap_or_default();
        if tags == 0 || self.workload.chance(1, LOCAL_OF) {
            return self.workload.below(count as u64) as usize;
        }
        let local: Vec<usize> = (host % tags..count).step_by(tags).collect();
        *self.workload.pick(&local)
    }

    fn transaction(&mut self, unique: u64) -> Vec<(usize, Operation)> {
        let keys: Vec<usize> = (0..self.profile.keys.len())
            .filter(|&index| self.profile.keys[index].used_as == KeyUse::Transactional)
            .collect();
        let count = self.workload.between(1, 3);
        (0..count)
            .map(|step| {
                let key = *self.workload.pick(&keys);
                let input = if self.workload.chance(1, 2) {
                    ListInput::Push(Side::Right, vec![unique * 4 + step])
                } else {
                    ListInput::Range
                };
                (key, Operation::List(input))
            })
            .collect()
    }

    /// A write on a counter and other keys whose parts do not depend on each other.
    fn several(&mut self, counter: usize, unique: u64) -> Vec<(usize, Operation)> {
        let delta = self.workload.between(1, 9) as i64;
        let space = self.profile.keys[counter].key.space();
        let add = |(index, planned): (usize, &PlannedKey)| match planned.used_as {
            _ if planned.key.space() != space => None,
            KeyUse::Counter => {
                let delta = if index == counter { delta } else { 1 };
                Some((index, Operation::Counter(CounterInput::Add(delta))))
            }
            KeyUse::GrowingSet => Some((index, Operation::Set(SetInput::Add(unique)))),
            _ => None,
        };
        self.profile.keys.iter().enumerate().filter_map(add).collect()
    }

    fn submit(
        &mut self,
        client: usize,
        class: Class,
        requests: Vec<(usize, Operation)>,
        local_read: bool,
        watches: Vec<(usize, Watch)>,
    ) {
        self.submit_claiming(client, class, requests, (local_read, None), watches);
    }

    fn submit_claiming(
        &mut self,
        client: usize,
        class: Class,
        requests: Vec<(usize, Operation)>,
        (local_read, claims): (bool, Option<u64>),
        watches: Vec<(usize, Watch)>,
    ) {
        let Some(host) = self.clients[client].host else { return };
        let record = self.history.len();
        let ticket = record as u64 * 2 + 1;
        let mut keys: Vec<usize> = requests.iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        keys.dedup();
        let command = requests
            .iter()
            .map(|(key, operation)| {
                (keys.iter().position(|of| of == key).expect("the key is listed"), operation.clone())
            })
            .collect();
        let command = self.payloads.put(Payload::Command(command));
        let watching =
            class == Class::Read && requests.len() == 1 && matches!(requests[0].1, Operation::Register(_));
        // Such a key's writes are decided once by themselves.
        let by_key = |key: &usize| self.profile.keys[*key].used_as == KeyUse::DecidedRegister;
        let asked = if class == Class::X && keys.iter().all(by_key) { Class::W } else { class };
        let request = Request {
            ticket,
            class: asked,
            keys: keys.iter().map(|&key| self.profile.keys[key].key.clone()).collect(),
            command,
            watches: watches
                .iter()
                .map(|(key, watch)| (self.profile.keys[*key].key.clone(), *watch))
                .collect(),
            local_read,
            watch: watching,
            claims,
        };
        let state = &mut self.clients[client];
        state.waiting =
            Some(Waiting { ticket, record: Some(record), since_us: self.now_us, blocked: None, watching });
        self.history.push(Record {
            client: state.number,
            session: state.session,
            host,
            class,
            local_read,
            requests,
            invoked: self.events,
            returned: u64::MAX,
            ending: Ending::Open,
        });
        self.tickets.insert(ticket, client);
        self.next_turn(client, ANSWER_US);
        if self.watch.is_some_and(|index| keys.contains(&index)) {
            let asked = &self.history[record];
            self.tell(|| format!("ask {record} at host {host}: {:?} {:?}", asked.class, asked.requests));
        }
        self.input(host, Input::Client(request));
    }

    /// BLPOP: pop; if there is nothing, wait to be woken and pop again.
    fn block(&mut self, client: usize, index: usize) {
        let Some(host) = self.clients[client].host else { return };
        let ticket = (self.events << 20 | client as u64) * 2;
        self.tickets.insert(ticket, client);
        let since_us = self.now_us;
        self.clients[client].waiting =
            Some(Waiting { ticket, record: None, since_us, blocked: Some(index), watching: false });
        let patience = self.workload.between(100_000, 5_000_000);
        self.next_turn(client, patience);
        let key = self.profile.keys[index].key.clone();
        self.input(host, Input::Wait { ticket, key });
    }

    /// The key that a client waits for with this ticket, by index.
    pub(super) fn waits_for(&self, ticket: u64) -> Option<usize> {
        let client = &self.clients[*self.tickets.get(&ticket)?];
        client.waiting.as_ref().filter(|waiting| waiting.ticket == ticket)?.blocked
    }

    /// A blocked client may try.
    pub(super) fn wake(&mut self, ticket: u64) {
        let Some(client) = self.tickets.remove(&ticket) else { return };
        let blocked = self.clients[client].waiting.as_ref().filter(|waiting| waiting.ticket == ticket);
        let Some(index) = blocked.and_then(|waiting| waiting.blocked) else { return };
        self.clients[client].waiting = None;
        let pop = vec![(index, Operation::List(ListInput::Pop(Side::Left)))];
        self.submit_claiming(client, Class::X, pop, (false, Some(ticket)), vec![]);
    }

    /// FLUSHALL, FLUSHDB or SWAPDB by a client that exists for this alone.
    pub(super) fn change(&mut self, change: Change) {
        let up = self.up_hosts();
        if up.is_empty() {
            return;
        }
        let host = *self.workload.pick(&up);
        let record = self.history.len();
        self.history.push(Record {
            client: u32::MAX,
            session: record as u64,
            host,
            class: Class::Flush,
            local_read: false,
            requests: Vec::new(),
            invoked: self.events,
            returned: u64::MAX,
            ending: Ending::Open,
        });
        let ticket = record as u64 * 2 + 1;
        self.tell(|| format!("ask {record} at host {host}: {change:?}"));
        self.input(host, Input::Change { ticket, change });
    }

    /// The last reads of all keys, of class X: they must succeed now that nothing is wrong any more.
    pub(super) fn start_last_reads(&mut self) {
        for index in 0..self.profile.keys.len() {
            self.clients.push(Client::new(LAST_READERS + index as u32));
            let client = self.clients.len() - 1;
            self.last_read(client, index);
        }
    }

    fn last_read(&mut self, client: usize, index: usize) {
        let up = self.up_hosts();
        if up.is_empty() {
            return self.next_turn(client, 1_000_000);
        }
        self.clients[client].host = Some(*self.workload.pick(&up));
        self.clients[client].session += 1;
        let operation = match self.profile.keys[index].used_as {
            KeyUse::DecidedRegister | KeyUse::Register => Operation::Register(RegisterInput::Read),
            KeyUse::Counter => Operation::Counter(CounterInput::Read),
            KeyUse::GrowingSet | KeyUse::Expiring => Operation::Set(SetInput::Members),
            KeyUse::Queue | KeyUse::Transactional => Operation::List(ListInput::Range),
        };
        self.submit(client, Class::X, vec![(index, operation)], false, vec![]);
    }

    /// A node has answered.
    pub(super) fn reply(&mut self, host: usize, ticket: u64, result: Result<Answer, ClientError>) {
        self.note((ticket, result.as_ref().err()));
        let record = (ticket / 2) as usize;
        if result.is_ok() {
            self.may_answer(host, record);
        }
        if ticket % 2 == 1 && self.history[record].class == Class::Flush {
            self.finish(record, result);
            return;
        }
        let Some(client) = self.tickets.remove(&ticket) else { return };
        let Some(waiting) = self.clients[client].waiting.take() else { return };
        let failed = result.as_ref().err().copied();
        let watch = result.as_ref().ok().and_then(|answer| answer.watches.first().map(|(_, watch)| *watch));
        self.finish(record, result);
        let first = match &self.history[record].ending {
            Ending::Ok(replies) => replies.first().cloned(),
            _ => None,
        };
        if let Some(Reply::Register(RegisterOutput::Value(value))) = first {
            self.clients[client].last_seen = value;
            if let (true, Some(watch)) = (waiting.watching && self.workload.chance(1, 2), watch) {
                self.clients[client].watched = Some((self.history[record].requests[0].0, value, watch));
            }
        }
        if let Some(index) = self.clients[client].last_reads() {
            if failed.is_none() {
                self.last_reads.insert(index, record);
                self.clients[client].turn += 1;
            } else {
                self.next_turn(client, 1_000_000);
            }
            return;
        }
        if failed == Some(ClientError::NotServing) {
            // Another node may be in the cluster already.
            self.clients[client].host = None;
            self.next_turn(client, 300_000);
        } else {
            self.think(client);
        }
    }

    /// Nobody is served without most of the base where that is not wanted; what is decided once is decided by all.
    fn may_answer(&mut self, host: usize, record: usize) {
        let may = match self.history[record].class {
            Class::Read => self.profile.minority.reads,
            Class::W => self.profile.minority.writes,
            Class::X | Class::Flush => true,
        };
        let has_most = self.hosts[host].node.as_ref().is_some_and(|node| node.view().has_most());
        if !may && !has_most {
            self.violate("a minority serves nobody if it is told so", format!("operation {record}"));
        }
    }

    fn finish(&mut self, number: usize, result: Result<Answer, ClientError>) {
        let returned = self.events;
        let ending = match result {
            Ok(_) if self.history[number].class == Class::Flush => Ending::Ok(Vec::new()),
            Ok(answer) => Ending::Ok(self.payloads.replies(&answer.reply)),
            Err(error) => Ending::Failed(error),
        };
        let flushed_behind = self.is_flushed_behind(self.history[number].host);
        if matches!(ending, Ending::Ok(_)) {
            let requests = self.history[number].requests.clone();
            self.note_promises(&requests);
        }
        let record = &mut self.history[number];
        record.ending = ending;
        record.returned = returned;
        for (index, operation) in record.requests.iter().filter(|_| flushed_behind) {
            if let Operation::Set(SetInput::Add(item)) = operation {
                // What an expired host writes after a FLUSHALL of the others goes with it.
                self.excused.insert((*index, *item));
            }
        }
        let keys: Vec<usize> = record.requests.iter().map(|(key, _)| *key).collect();
        if self.watch.is_some_and(|index| keys.contains(&index)) {
            let answered = &self.history[number];
            self.tell(|| format!("answer {number}: {:?}", answered.ending));
        }
    }
}
