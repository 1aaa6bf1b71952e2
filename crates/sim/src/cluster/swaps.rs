//! The verdict on a run in which two databases are swapped: each key has a double in the other one, and what belongs to one
//! of them is at one of the two.

use std::collections::BTreeSet;

use swytch_cluster::{Class, ClientError};

use super::clients::Ending;
use super::judge::{
    History, LIMITS, Report, Step, counter_step, history_of, last_reply, list_step, of_key, register_step,
    set_step,
};
use super::profile::KeyUse;
use super::values::{Operation, Reply};
use super::world::World;
use crate::check::linearizable::{Model, Verdict, check};
use crate::check::model::{
    Counter, CounterInput, CounterOutput, List, ListInput, ListOutput, Pair, PairInput, Register, Set,
    SetInput, SetOutput,
};

/// Judges all pairs.
pub(super) fn judge(world: &World, calm: bool, report: Report<'_>) {
    let count = world.profile.keys.len() / 2;
    for index in 0..count {
        let pair = [index, index + count];
        let clean = !pair.iter().any(|index| world.tainted.contains(index));
        let lenient = !clean || pair.iter().any(|index| world.lenient.contains(index));
        match world.profile.keys[index].used_as {
            KeyUse::DecidedRegister if clean => {
                linearizable(world, pair, Register, register_step, calm, report)
            }
            KeyUse::Register if clean && calm => {
                linearizable(world, pair, Register, register_step, true, report)
            }
            KeyUse::Counter => {
                counter(world, pair, lenient, report);
                if clean && calm {
                    linearizable(world, pair, Counter, counter_step, true, report);
                }
            }
            KeyUse::GrowingSet => {
                set(world, pair, lenient, report);
                if clean && calm {
                    linearizable(world, pair, Set, set_step, true, report);
                }
            }
            KeyUse::Queue if clean => {
                queue(world, pair, lenient, report);
                if calm {
                    linearizable(world, pair, List, list_step, true, report);
                }
            }
            _ => {}
        }
    }
}

fn linearizable<M: Model>(
    world: &World,
    pair: [usize; 2],
    model: M,
    step: Step<M::Input, M::Output>,
    with_reads: bool,
    report: Report<'_>,
) {
    let mut history: History<PairInput<M::Input>, Option<M::Output>> = Vec::new();
    for (second, index) in [(false, pair[0]), (true, pair[1])] {
        match history_of(world, index, step, with_reads) {
            Ok(of_one) => history
                .extend(of_one.into_iter().map(|one| one.map(|input| PairInput::On(second, input), Some))),
            Err(record) => return report("a key has another type", format!("{record:?}")),
        }
    }
    for record in world.history.iter().filter(|record| record.class == Class::Flush) {
        let (client, input) = (record.client, PairInput::Swap);
        match record.ending {
            Ending::Failed(error) if error.is_clean() => {}
            Ending::Failed(ClientError::InDoubt) | Ending::Open => {
                history.push(crate::check::Operation::indeterminate(client, input, record.invoked));
            }
            _ => history.push(crate::check::Operation::completed(
                client,
                input,
                None,
                record.invoked,
                record.returned,
            )),
        }
    }
    history.sort_by_key(|operation| operation.invoked);
    if let Verdict::Violation { report: detail, .. } = check(&Pair(model), &history, LIMITS) {
        let key = &world.profile.keys[pair[0]].key;
        report("a history with swaps is not linearizable", format!("{key:?}: {detail}"));
    }
}

fn counter(world: &World, pair: [usize; 2], lenient: bool, report: Report<'_>) {
    let (mut sure, mut open, mut value) = (0, 0, 0);
    for index in pair {
        for (record, operation) in of_key(world, index) {
            if let Operation::Counter(CounterInput::Add(delta)) = operation {
                sure += if record.is_ok() { *delta } else { 0 };
                open += if record.is_open() { *delta } else { 0 };
            }
        }
        let Some(Reply::Counter(CounterOutput(found))) = last_reply(world, index) else { return };
        value += found;
    }
    if value > sure + open || value < sure && !lenient {
        report("two counters are wrong", format!("{value}, acknowledged {sure}, open {open}"));
    }
}

fn set(world: &World, pair: [usize; 2], lenient: bool, report: Report<'_>) {
    let mut sure = BTreeSet::new();
    let mut possible = BTreeSet::new();
    let mut found = BTreeSet::new();
    for index in pair {
        for (record, operation) in of_key(world, index) {
            if let Operation::Set(SetInput::Add(item)) = operation {
                if record.is_ok() && !pair.iter().any(|index| world.excused.contains(&(*index, *item))) {
                    sure.insert(*item);
                }
                if record.is_ok() || record.is_open() {
                    possible.insert(*item);
                }
            }
        }
        let Some(Reply::Set(SetOutput::Members(members))) = last_reply(world, index) else { return };
        for item in members {
            if !found.insert(*item) {
                report("a member is in both databases", format!("key {index}: {item}"));
            }
        }
    }
    let lost: Vec<_> = sure.difference(&found).collect();
    if !lost.is_empty() && !lenient {
        report("acknowledged members are lost", format!("keys {pair:?}: {lost:?}"));
    }
    let alien: Vec<_> = found.difference(&possible).collect();
    if !alien.is_empty() {
        report("members of writes that failed cleanly", format!("keys {pair:?}: {alien:?}"));
    }
}

/// What was pushed was popped at most once, and is there or was popped.
fn queue(world: &World, pair: [usize; 2], lenient: bool, report: Report<'_>) {
    let mut pushed = BTreeSet::new();
    let mut gone: BTreeSet<u64> = BTreeSet::new();
    let mut open_pops = 0;
    for index in pair {
        for (record, operation) in of_key(world, index) {
            match (operation, &record.ending) {
                (Operation::List(ListInput::Push(_, values)), Ending::Ok(_)) => pushed.extend(values),
                (Operation::List(ListInput::Pop(_)), Ending::Ok(replies)) => {
                    if let Some(Reply::List(ListOutput::Popped(Some(element)))) = replies.first()
                        && !gone.insert(*element)
                    {
                        report("an element was popped twice", format!("keys {pair:?}: {element}"));
                    }
                }
                (Operation::List(ListInput::Pop(_)), _) if record.is_open() => open_pops += 1,
                _ => {}
            }
        }
    }
    for index in pair {
        let Some(Reply::List(ListOutput::Range(rest))) = last_reply(world, index) else { return };
        for element in rest {
            if !gone.insert(*element) {
                report("an element is there twice, or was popped", format!("keys {pair:?}: {element}"));
            }
        }
    }
    let excused = |element: &&u64| !pair.iter().any(|index| world.excused.contains(&(*index, **element)));
    let lost: Vec<_> = pushed.difference(&gone).filter(excused).collect();
    if lost.len() > open_pops && !lenient {
        report("acknowledged pushes are lost", format!("keys {pair:?}: {lost:?}"));
    }
}
