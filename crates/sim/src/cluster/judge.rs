//! The verdict on a finished run: every checker on the part of the history that it understands.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use swytch_cluster::{Class, ClientError, Space};
use swytch_merge::{Object, Value};

use super::clients::{Ending, Record};
use super::profile::{DatabaseUse, KeyUse};
use super::swaps;
use super::values::{Operation, Reply};
use super::world::World;
use crate::check::linearizable::{Limits, Model, Verdict, check};
use crate::check::model::{
    Counter, CounterInput, CounterOutput, List, ListInput, ListOutput, Register, RegisterInput,
    RegisterOutput, Set, SetInput, SetOutput,
};
use crate::check::queue::{Outcome as PushOutcome, QueueAnomaly, QueueOperation};
use crate::check::serializable::{Access, Anomaly, Ending as TransactionEnding, Transaction};
use crate::check::session::{SessionEvent, SessionStep};
use crate::check::{convergence, queue, serializable, session};

/// Limits of one linearizability search; a search that gives up is no verdict.
pub(super) const LIMITS: Limits = Limits { steps_max: 3_000_000, memo_max: 600_000 };

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub kind: &'static str,
    /// How it showed.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.detail)
    }
}

/// Judges a run.
pub fn judge(world: &World) -> Vec<Violation> {
    let mut violations = world.observed.clone();
    let mut report = |kind: &'static str, detail: String| violations.push(Violation { kind, detail });
    for index in 0..world.profile.keys.len() {
        if !world.last_reads.contains_key(&index) {
            report("a key cannot be used after all faults are over", describe(world, index));
        }
    }
    for node in world.nodes().filter(|node| node.values().misfits() > 0) {
        report("a change does not fit", format!("{:?}: {}", node.config().id, node.values().misfits()));
    }
    if let Some(detail) = diverging(world) {
        report("replicas differ after all faults are over", detail);
    }
    let flushed = world.history.iter().any(|record| record.class == Class::Flush);
    let only_another = world.profile.databases == DatabaseUse::Flushed;
    let calm = world.profile.faults.is_calm() && !world.disturbed;
    if world.profile.databases == DatabaseUse::Swapped {
        swaps::judge(world, calm, &mut report);
        return violations;
    } else if flushed {
        judge_flush(world, &mut report);
        if !only_another {
            return violations;
        }
    }
    for (index, planned) in world.profile.keys.iter().enumerate() {
        if flushed && planned.key.space() != Space(0) {
            continue;
        }
        let clean = !world.tainted.contains(&index);
        match planned.used_as {
            KeyUse::DecidedRegister if clean => {
                linearizable(world, index, Register, register_step, calm, &mut report)
            }
            KeyUse::Register if clean && calm => {
                linearizable(world, index, Register, register_step, true, &mut report)
            }
            KeyUse::Counter => {
                judge_counter(world, index, clean, &mut report);
                if clean && calm {
                    linearizable(world, index, Counter, counter_step, true, &mut report);
                }
            }
            KeyUse::GrowingSet => {
                judge_set(world, index, clean, &mut report);
                if clean && calm {
                    linearizable(world, index, Set, set_step, true, &mut report);
                }
            }
            KeyUse::Queue if clean => {
                judge_queue(world, index, &mut report);
                if calm {
                    linearizable(world, index, List, list_step, true, &mut report);
                }
            }
            _ => {}
        }
    }
    judge_transactions(world, &mut report);
    violations
}

/// The numbers in a set or list.
pub(super) fn elements(object: &Object) -> BTreeSet<u64> {
    let number = |text: &Vec<u8>| std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    match &object.value {
        Value::Set(members) => members.iter().filter_map(number).collect(),
        Value::List(elements) => elements.iter().filter_map(number).collect(),
        _ => BTreeSet::new(),
    }
}

/// Two hosts that hold different values of one key, if there are any.
pub(super) fn diverging(world: &World) -> Option<String> {
    let replicas: Vec<convergence::Replica> = world
        .hosts
        .iter()
        .enumerate()
        .filter_map(|(host, state)| {
            let node = state.node.as_ref()?;
            let keys = world.profile.keys.iter().enumerate().filter_map(|(index, planned)| {
                let key = node.key_of(&planned.key);
                node.copy_of(&key)?;
                Some((index as u64, convergence::digest(&node.values().object(&key))))
            });
            Some(convergence::Replica { name: format!("host {host}"), keys: keys.collect() })
        })
        .collect();
    convergence::agreeing(&replicas).err()
}

/// What every host knows of a key, for reports.
fn describe(world: &World, index: usize) -> String {
    let planned = &world.profile.keys[index];
    let mut text = format!("{:?}", planned.key);
    for (host, state) in world.hosts.iter().enumerate() {
        match &state.node {
            None => text += &format!("\n      host {host}: {}", if state.left { "left" } else { "down" }),
            Some(node) => {
                let view = node.view();
                text += &format!(
                    "\n      host {host}: view {:?} {:?} base {:?} serving {} lease {} unfinished {:?} copy {:?}",
                    view.id,
                    view.members,
                    view.base.members,
                    node.is_serving(),
                    node.has_lease(),
                    node.unfinished(),
                    node.copy_of(&node.key_of(&planned.key))
                );
            }
        }
    }
    let last = world
        .history
        .iter()
        .rev()
        .find(|record| record.requests.first().is_some_and(|(key, _)| *key == index));
    text + &format!("\n      last operation: {last:?}")
}

pub(super) type Step<I, O> = fn(&Operation, Option<&Reply>) -> Option<(I, Option<O>)>;
pub(super) type Report<'a> = &'a mut dyn FnMut(&'static str, String);

pub(super) type History<I, O> = Vec<crate::check::Operation<I, O>>;

/// What was done with a key, for the search of an order; or what does not fit its type.
pub(super) fn history_of<I, O>(
    world: &World,
    index: usize,
    step: Step<I, O>,
    with_reads: bool,
) -> Result<History<I, O>, &Record> {
    let mut history = Vec::new();
    for record in &world.history {
        // A read sees what is committed here; only class X promises more in every situation.
        if record.class == Class::Read && (!with_reads || record.local_read || record.is_open()) {
            continue;
        }
        for (position, (key, operation)) in record.requests.iter().enumerate() {
            if *key != index {
                continue;
            }
            let reply = match &record.ending {
                Ending::Ok(replies) => replies.get(position),
                Ending::Failed(error) if error.is_clean() => continue,
                _ => None,
            };
            let Some((input, output)) = step(operation, reply) else {
                return Err(record);
            };
            history.push(match output {
                Some(output) => crate::check::Operation::completed(
                    record.client,
                    input,
                    output,
                    record.invoked,
                    record.returned,
                ),
                None => crate::check::Operation::indeterminate(record.client, input, record.invoked),
            });
        }
    }
    Ok(history)
}

fn linearizable<M: Model>(
    world: &World,
    index: usize,
    model: M,
    step: Step<M::Input, M::Output>,
    with_reads: bool,
    report: Report<'_>,
) {
    let history = match history_of(world, index, step, with_reads) {
        Ok(history) => history,
        Err(record) => return report("a key has another type", format!("{record:?}")),
    };
    if let Verdict::Violation { report: detail, .. } = check(&model, &history, LIMITS) {
        let key = &world.profile.keys[index].key;
        report("a history is not linearizable", format!("{key:?}, reads included {with_reads}: {detail}"));
    }
}

macro_rules! steps {
    ($($name:ident $variant:ident $input:ty, $output:ty;)*) => {$(
        pub(super) fn $name(operation: &Operation, reply: Option<&Reply>) -> Option<($input, Option<$output>)> {
            match (operation, reply) {
                (Operation::$variant(input), None) => Some((input.clone(), None)),
                (Operation::$variant(input), Some(Reply::$variant(output))) => Some((input.clone(), Some(output.clone()))),
                _ => None,
            }
        }
    )*};
}

pub(super) fn register_step(
    operation: &Operation,
    reply: Option<&Reply>,
) -> Option<(RegisterInput, Option<RegisterOutput>)> {
    let input = match operation {
        Operation::Register(input) => *input,
        // The write is one that compares, because of the watch.
        Operation::WatchedWrite(seen, value) => RegisterInput::CompareAndSet(*seen, *value),
        _ => return None,
    };
    match reply {
        None => Some((input, None)),
        Some(Reply::Register(output)) => Some((input, Some(*output))),
        Some(_) => None,
    }
}

steps! {
    counter_step Counter CounterInput, CounterOutput;
    set_step Set SetInput, SetOutput;
    list_step List ListInput, ListOutput;
}

/// Records with a request for one key, and the first such.
pub(super) fn of_key(world: &World, index: usize) -> impl Iterator<Item = (&Record, &Operation)> {
    world.history.iter().filter_map(move |record| {
        let (_, operation) = record.requests.iter().find(|(key, _)| *key == index)?;
        Some((record, operation))
    })
}

/// What the last read of a key replied.
pub(super) fn last_reply(world: &World, index: usize) -> Option<&Reply> {
    match &world.history[*world.last_reads.get(&index)?].ending {
        Ending::Ok(replies) => replies.first(),
        _ => None,
    }
}

fn judge_counter(world: &World, index: usize, clean: bool, report: Report<'_>) {
    let (mut sure, mut open) = (0, 0);
    for (record, operation) in of_key(world, index) {
        if let Operation::Counter(CounterInput::Add(delta)) = operation {
            if record.is_ok() {
                sure += delta;
            } else if record.is_open() {
                open += delta;
            }
        }
    }
    let Some(Reply::Counter(CounterOutput(value))) = last_reply(world, index) else { return };
    let lenient = !clean || world.lenient.contains(&index);
    if *value > sure + open || (*value < sure && !lenient) {
        report("a counter is wrong", format!("{value}, acknowledged {sure}, open {open}"));
    }
}

fn judge_set(world: &World, index: usize, clean: bool, report: Report<'_>) {
    let mut sure = BTreeSet::new();
    let mut possible = BTreeSet::new();
    let mut steps = Vec::new();
    for (record, operation) in of_key(world, index) {
        // A write that was answered when the copy had gone already is not on this host any more.
        let writes = matches!(operation, Operation::Set(SetInput::Add(_)));
        let until = if writes { record.invoked } else { record.returned };
        let drops = world
            .dropped
            .iter()
            .filter(|(event, host, key)| *event <= until && *host == record.host && *key == index);
        let session = u64::from(record.client) << 48 | record.session << 24 | drops.count() as u64;
        let step = |event| SessionStep { session, key: index as u64, event };
        match (operation, &record.ending) {
            (Operation::Set(SetInput::Add(item)), Ending::Ok(_)) => {
                sure.insert(*item);
                steps.push(step(SessionEvent::Wrote(*item)));
            }
            (Operation::Set(SetInput::Add(item)), _) if record.is_open() => {
                possible.insert(*item);
            }
            (Operation::Set(SetInput::Members), Ending::Ok(replies)) => {
                if let Some(Reply::Set(SetOutput::Members(seen))) = replies.first() {
                    steps.push(step(SessionEvent::Read(seen.clone())));
                }
            }
            _ => {}
        }
    }
    if clean && let Err(anomalies) = session::check(&steps) {
        report("a session guarantee is broken", format!("{anomalies:?}"));
    }
    let Some(Reply::Set(SetOutput::Members(found))) = last_reply(world, index) else { return };
    let lost: Vec<_> = sure
        .iter()
        .filter(|item| !found.contains(item) && !world.excused.contains(&(index, **item)))
        .collect();
    if !lost.is_empty() && !world.lenient.contains(&index) {
        report("acknowledged members are lost", format!("key {index}: {lost:?}"));
    }
    let alien: Vec<_> =
        found.iter().filter(|item| !sure.contains(item) && !possible.contains(item)).collect();
    if !alien.is_empty() {
        report("members of writes that failed cleanly", format!("key {index}: {alien:?}"));
    }
}

fn judge_queue(world: &World, index: usize, report: Report<'_>) {
    let mut history = Vec::new();
    for (record, operation) in of_key(world, index) {
        match operation {
            Operation::List(ListInput::Push(_, values)) => {
                let outcome = match &record.ending {
                    Ending::Ok(_) => PushOutcome::Acknowledged,
                    _ if record.is_open() => PushOutcome::Open,
                    _ => PushOutcome::Failed,
                };
                history.extend(values.iter().map(|element| QueueOperation::Push {
                    element: *element,
                    outcome,
                    invoked: record.invoked,
                }));
            }
            Operation::List(ListInput::Pop(_)) => match &record.ending {
                Ending::Ok(replies) => {
                    if let Some(Reply::List(ListOutput::Popped(popped))) = replies.first() {
                        let elements = popped.iter().copied().collect();
                        history.push(QueueOperation::Popped { elements, returned: record.returned });
                    }
                }
                _ if record.is_open() => history.push(QueueOperation::OpenPop { count_max: 1 }),
                _ => {}
            },
            _ => {}
        }
    }
    let Some(Reply::List(ListOutput::Range(rest))) = last_reply(world, index) else { return };
    let anomalies = queue::check(&history, rest).err().unwrap_or_default();
    for anomaly in anomalies {
        if let QueueAnomaly::Lost { missing, allowance } = &anomaly {
            let blamed =
                missing.iter().filter(|element| !world.excused.contains(&(index, **element))).count();
            if world.lenient.contains(&index) || blamed as u64 <= *allowance {
                continue;
            }
        }
        report("a queue is not exactly once", format!("key {index}: {anomaly:?}"));
    }
}

fn judge_transactions(world: &World, report: Report<'_>) {
    let keys: BTreeSet<usize> = (0..world.profile.keys.len())
        .filter(|&index| world.profile.keys[index].used_as == KeyUse::Transactional)
        .collect();
    if keys.iter().any(|index| world.tainted.contains(index)) {
        return;
    }
    let mut history = Vec::new();
    for record in world
        .history
        .iter()
        .filter(|record| record.requests.first().is_some_and(|(key, _)| keys.contains(key)))
    {
        let replies: &[Reply] = if let Ending::Ok(replies) = &record.ending { replies } else { &[] };
        let accesses = record
            .requests
            .iter()
            .enumerate()
            .filter_map(|(position, (key, operation))| match operation {
                Operation::List(ListInput::Push(_, values)) => {
                    Some(Access::Append { key: *key as u64, element: values[0] })
                }
                Operation::List(ListInput::Range) => {
                    let seen = match replies.get(position) {
                        Some(Reply::List(ListOutput::Range(seen))) => Some(seen.clone()),
                        _ => None,
                    };
                    Some(Access::Read { key: *key as u64, seen })
                }
                _ => None,
            })
            .collect();
        let ending = match &record.ending {
            Ending::Ok(_) => TransactionEnding::Committed { returned: record.returned },
            _ if record.is_open() => TransactionEnding::Open,
            _ => TransactionEnding::Aborted,
        };
        history.push(Transaction { client: record.client, accesses, invoked: record.invoked, ending });
    }
    if let Err(anomalies) = serializable::check(&history) {
        let mut text = String::new();
        for anomaly in anomalies.iter().take(4) {
            text += &format!("\n      {anomaly}");
            if let Anomaly::Cycle { path, .. } = anomaly {
                for (transaction, _) in path {
                    text += &format!("\n        T{transaction} {:?}", history[*transaction]);
                }
            }
        }
        report("transactions are not strictly serializable", text);
    }
}

/// Nothing written before a FLUSHALL was asked for is there after it; what was written after its reply is.
fn judge_flush(world: &World, report: Report<'_>) {
    let flushes: Vec<&Record> =
        world.history.iter().filter(|record| record.class == Class::Flush && record.is_ok()).collect();
    let open: BTreeMap<u64, u64> = world
        .history
        .iter()
        .filter(|record| {
            record.class == Class::Flush
                && !matches!(record.ending, Ending::Failed(error) if error != ClientError::InDoubt)
        })
        // What was answered with -INDOUBT may still come.
        .map(|record| (record.invoked, if record.is_ok() { record.returned } else { u64::MAX }))
        .collect();
    for (index, planned) in world.profile.keys.iter().enumerate() {
        let is_flushed = world.profile.databases != DatabaseUse::Flushed || planned.key.space() != Space(0);
        if planned.used_as != KeyUse::GrowingSet || !is_flushed {
            continue;
        }
        let Some(Reply::Set(SetOutput::Members(found))) = last_reply(world, index) else { continue };
        for (record, operation) in of_key(world, index) {
            let (Operation::Set(SetInput::Add(item)), Ending::Ok(_)) = (operation, &record.ending) else {
                continue;
            };
            let older = flushes.iter().any(|flush| record.returned < flush.invoked);
            let newer = open.values().all(|returned| *returned < record.invoked);
            if older && found.contains(item) {
                report("FLUSHALL left an earlier write", format!("key {index}: {item}"));
            }
            let excused = world.excused.contains(&(index, *item)) || world.lenient.contains(&index);
            if newer && !found.contains(item) && !excused {
                report("FLUSHALL took a later write", format!("key {index}: {item}"));
            }
        }
    }
}
