//! Linearizability by the Wing-Gong search with Lowe's memoisation.
//!
//! The history is a list of call and return events in time order. The search takes out one operation that was called
//! before the first remaining return, applies it to the state, and goes on with the shorter list; a (set of taken
//! operations, state) pair that was seen before is not explored again. An operation without an outcome has a call but
//! no return: it may be taken at any moment after its call, with any result its model allows, or never.
//!
//! Where a model says which key an operation touches, each key is checked by itself (linearizability is local:
//! Herlihy and Wing 1990, section 3.3), which turns one exponential search into many small ones.
//!
//! Sources: Wing and Gong 1993; Lowe, "Testing for linearizability" 2017.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::hash::Hash;

use super::history::Operation;

/// The sequential meaning of a type.
pub trait Model {
    /// The whole state. Compared by value in the memo table, so keep it canonical.
    type State: Clone + Hash + Eq + fmt::Debug;
    /// A request.
    type Input: Clone + fmt::Debug;
    /// A reply.
    type Output: Clone + fmt::Debug;
    /// What the history is divided by; `()` for a model that cannot be divided.
    type Key: Clone + Ord + fmt::Debug;

    /// The state before the first operation.
    fn initial(&self) -> Self::State;

    /// The state after `input` was answered with `output`, or `None` if that reply is impossible here.
    fn step(&self, state: &Self::State, input: &Self::Input, output: &Self::Output) -> Option<Self::State>;

    /// Every state that `input` with an unknown reply may lead to. States equal to `state` may be left out.
    fn step_unknown(&self, state: &Self::State, input: &Self::Input) -> Vec<Self::State>;

    /// The part of the history this operation belongs to. Operations of different keys must not influence each other.
    fn partition(&self, input: &Self::Input) -> Self::Key;
}

/// An operation of a model.
pub type OperationOf<M> = Operation<<M as Model>::Input, <M as Model>::Output>;

/// Where the search stops without an answer.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most operations taken or refused, over one key.
    pub steps_max: u64,
    /// Most (set, state) pairs remembered, over one key.
    pub memo_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps_max: 20_000_000, memo_max: 4_000_000 }
    }
}

/// What the search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// An order exists. `steps` were taken to find it.
    Linearizable {
        /// Operations taken or refused, over all keys.
        steps: u64,
    },
    /// No order exists.
    Violation {
        /// The key whose history has no explanation.
        key: String,
        /// The longest explanation found, and the operations that could not follow it, one a line.
        report: String,
    },
    /// The limits were reached. This is neither a pass nor a failure: shorten the history or raise the limits.
    GaveUp {
        /// The key whose search was too long.
        key: String,
        /// Operations taken or refused for that key.
        steps: u64,
    },
}

impl Verdict {
    /// True only for a proven history.
    pub fn is_ok(&self) -> bool {
        matches!(self, Verdict::Linearizable { .. })
    }

    /// True only for a refuted history.
    pub fn is_violation(&self) -> bool {
        matches!(self, Verdict::Violation { .. })
    }
}

/// Checks a whole history, key by key. A violation on any key wins over a search that gave up on another.
pub fn check<M: Model>(model: &M, history: &[OperationOf<M>], limits: Limits) -> Verdict {
    let mut parts: BTreeMap<M::Key, Vec<&OperationOf<M>>> = BTreeMap::new();
    for operation in history {
        parts.entry(model.partition(&operation.input)).or_default().push(operation);
    }
    let mut total = 0;
    let mut gave_up = None;
    for (key, operations) in &parts {
        match search(model, operations, limits) {
            Found::Order { steps } => total += steps,
            Found::Nothing { report } => return Verdict::Violation { key: format!("{key:?}"), report },
            Found::Limit { steps } => gave_up = Some(Verdict::GaveUp { key: format!("{key:?}"), steps }),
        }
    }
    gave_up.unwrap_or(Verdict::Linearizable { steps: total })
}

enum Found {
    Order { steps: u64 },
    Nothing { report: String },
    Limit { steps: u64 },
}

/// One operation that was taken, and the results not yet tried for it.
struct Frame<S> {
    operation: usize,
    before: S,
    alternatives: Vec<S>,
}

fn search<M: Model>(model: &M, operations: &[&OperationOf<M>], limits: Limits) -> Found {
    let mut events = EventList::new(operations);
    let mut taken = Taken::new(operations.len());
    let mut state = model.initial();
    let mut frames: Vec<Frame<M::State>> = Vec::new();
    let mut memo: HashSet<(Box<[u64]>, M::State)> = HashSet::new();
    let mut steps = 0u64;
    let mut best: (usize, Vec<usize>, M::State) = (0, Vec::new(), state.clone());
    let mut cursor = events.first();

    loop {
        if events.returns_left == 0 {
            return Found::Order { steps };
        }
        if steps > limits.steps_max || memo.len() > limits.memo_max {
            return Found::Limit { steps };
        }
        // A call may be taken next as long as no return stands before it.
        if let Some(event) = cursor.filter(|&event| events.is_call(event)) {
            steps += 1;
            let operation = events.operation(event);
            let recorded = operations[operation];
            let mut next_states = match &recorded.output {
                Some(output) => model.step(&state, &recorded.input, output).into_iter().collect::<Vec<_>>(),
                None => model.step_unknown(&state, &recorded.input),
            };
            if recorded.output.is_none() {
                // Taking an open operation that changes nothing explains no more than not taking it.
                next_states.retain(|next| *next != state);
            }
            taken.insert(operation);
            let next = pop_unseen(&mut next_states, &taken, &mut memo);
            let Some(next) = next else {
                taken.remove(operation);
                cursor = events.next(event);
                continue;
            };
            events.lift(operation);
            frames.push(Frame { operation, before: state, alternatives: next_states });
            state = next;
            if frames.len() > best.0 {
                best = (frames.len(), frames.iter().map(|frame| frame.operation).collect(), state.clone());
            }
            cursor = events.first();
            continue;
        }
        // Blocked at a return (or at the end): take the last choice back.
        loop {
            let Some(mut frame) = frames.pop() else {
                return Found::Nothing { report: report::<M>(operations, &best.1, &best.2) };
            };
            if let Some(next) = pop_unseen(&mut frame.alternatives, &taken, &mut memo) {
                frames.push(frame);
                state = next;
                cursor = events.first();
                break;
            }
            events.put_back(frame.operation);
            taken.remove(frame.operation);
            state = frame.before;
            cursor = events.next(events.call_of(frame.operation));
            if cursor.is_some_and(|event| events.is_call(event)) {
                break;
            }
        }
    }
}

fn pop_unseen<S: Clone + Hash + Eq>(
    states: &mut Vec<S>,
    taken: &Taken,
    memo: &mut HashSet<(Box<[u64]>, S)>,
) -> Option<S> {
    while let Some(state) = states.pop() {
        if memo.insert((taken.key(), state.clone())) {
            return Some(state);
        }
    }
    None
}

fn report<M: Model>(operations: &[&OperationOf<M>], order: &[usize], state: &M::State) -> String {
    const LINES_MAX: usize = 12;
    let mut text = format!("{} of {} operations explained\n", order.len(), operations.len());
    let skipped = order.len().saturating_sub(LINES_MAX);
    for &index in &order[skipped..] {
        text += &format!("  explained {}\n", line::<M>(operations[index]));
    }
    text += &format!("  state     {state:?}\n");
    let mut rest: Vec<usize> = (0..operations.len()).filter(|index| !order.contains(index)).collect();
    rest.sort_by_key(|&index| operations[index].invoked);
    for &index in rest.iter().take(LINES_MAX) {
        text += &format!("  refused   {}\n", line::<M>(operations[index]));
    }
    text
}

fn line<M: Model>(operation: &OperationOf<M>) -> String {
    let Operation { client, input, output, invoked, returned } = operation;
    match output {
        Some(output) => format!("client {client} [{invoked}, {returned}] {input:?} -> {output:?}"),
        None => format!("client {client} [{invoked}, open) {input:?}"),
    }
}

/// The set of taken operations.
struct Taken {
    words: Vec<u64>,
}

impl Taken {
    fn new(operations: usize) -> Self {
        Self { words: vec![0; operations.div_ceil(64)] }
    }

    fn insert(&mut self, operation: usize) {
        self.words[operation / 64] |= 1 << (operation % 64);
    }

    fn remove(&mut self, operation: usize) {
        self.words[operation / 64] &= !(1 << (operation % 64));
    }

    /// The set without its full prefix and empty suffix, headed by the length of the prefix: a long history has a
    /// small window of undecided operations, and only that is worth remembering.
    fn key(&self) -> Box<[u64]> {
        let full = self.words.iter().take_while(|&&word| word == u64::MAX).count();
        let end = self.words.iter().rposition(|&word| word != 0).map_or(full, |last| (last + 1).max(full));
        let mut key = Vec::with_capacity(1 + end - full);
        key.push(full as u64);
        key.extend_from_slice(&self.words[full..end]);
        key.into_boxed_slice()
    }
}

const NONE: usize = usize::MAX;

#[derive(Clone, Copy)]
struct Event {
    operation: usize,
    is_call: bool,
    previous: usize,
    next: usize,
}

/// Call and return events in time order, as a doubly linked list, so that an operation can be taken out and put back
/// in the reverse order in constant time.
struct EventList {
    events: Vec<Event>,
    head: usize,
    calls: Vec<usize>,
    returns: Vec<usize>,
    returns_left: usize,
}

impl EventList {
    fn new<I, O>(operations: &[&Operation<I, O>]) -> Self {
        // At equal moments calls come first: then the two operations count as concurrent.
        let mut order: Vec<(u64, bool, usize)> = Vec::with_capacity(operations.len() * 2);
        for (index, operation) in operations.iter().enumerate() {
            order.push((operation.invoked, false, index));
            if operation.output.is_some() {
                order.push((operation.returned, true, index));
            }
        }
        order.sort_unstable();
        let mut calls = vec![NONE; operations.len()];
        let mut returns = vec![NONE; operations.len()];
        let mut events = Vec::with_capacity(order.len());
        let count = order.len();
        for (position, (_, is_return, operation)) in order.into_iter().enumerate() {
            let table = if is_return { &mut returns } else { &mut calls };
            table[operation] = position;
            events.push(Event {
                operation,
                is_call: !is_return,
                previous: position.checked_sub(1).unwrap_or(NONE),
                next: if position + 1 < count { position + 1 } else { NONE },
            });
        }
        let returns_left = returns.iter().filter(|&&position| position != NONE).count();
        let head = if events.is_empty() { NONE } else { 0 };
        Self { events, head, calls, returns, returns_left }
    }

    fn first(&self) -> Option<usize> {
        (self.head != NONE).then_some(self.head)
    }

    fn next(&self, event: usize) -> Option<usize> {
        let next = self.events[event].next;
        (next != NONE).then_some(next)
    }

    fn is_call(&self, event: usize) -> bool {
        self.events[event].is_call
    }

    fn operation(&self, event: usize) -> usize {
        self.events[event].operation
    }

    fn call_of(&self, operation: usize) -> usize {
        self.calls[operation]
    }

    fn lift(&mut self, operation: usize) {
        self.unlink(self.calls[operation]);
        if self.returns[operation] != NONE {
            self.unlink(self.returns[operation]);
            self.returns_left -= 1;
        }
    }

    /// Undoes the latest [`Self::lift`].
    fn put_back(&mut self, operation: usize) {
        if self.returns[operation] != NONE {
            self.link(self.returns[operation]);
            self.returns_left += 1;
        }
        self.link(self.calls[operation]);
    }

    fn unlink(&mut self, event: usize) {
        let Event { previous, next, .. } = self.events[event];
        if previous == NONE {
            self.head = next;
        } else {
            self.events[previous].next = next;
        }
        if next != NONE {
            self.events[next].previous = previous;
        }
    }

    fn link(&mut self, event: usize) {
        let Event { previous, next, .. } = self.events[event];
        if previous == NONE {
            self.head = event;
        } else {
            self.events[previous].next = event;
        }
        if next != NONE {
            self.events[next].previous = event;
        }
    }
}

#[cfg(test)]
mod tests;
