//! The laws, as properties. An execution is a base, a few sides, and steps: a side writes, or takes in another's log.

use super::*;

/// A write to be, made concrete by the state it meets, so that most of them fit.
#[derive(Clone, Debug)]
pub(super) struct Intent {
    what: u8,
    which: u8,
    value: u8,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Write { replica: usize, intent: Intent, pause_ms: u64 },
    Merge { into: usize, from: usize },
}

fn intent() -> impl Strategy<Value = Intent> {
    (any::<u8>(), 0..4u8, 0..8u8).prop_map(|(what, which, value)| Intent { what, which, value })
}

pub(super) fn step(replicas: usize) -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..replicas, intent(), 1..60u64)
            .prop_map(|(replica, intent, pause_ms)| Step::Write { replica, intent, pause_ms }),
        1 => (0..replicas, 0..replicas).prop_map(|(into, from)| Step::Merge { into, from }),
    ]
}

pub(super) fn base() -> impl Strategy<Value = Option<Object>> {
    let value = prop_oneof![
        Just(Value::String(bytes("7"))),
        Just(Value::String(bytes("text"))),
        Just(Value::Hash(BTreeMap::from([(bytes("0"), bytes("1")), (bytes("1"), bytes("x"))]))),
        Just(Value::Set(BTreeSet::from([bytes("0"), bytes("1")]))),
        Just(Value::SortedSet(BTreeMap::from([
            (bytes("0"), Score::new(1.5)),
            (bytes("2"), Score::new(-4.0))
        ]))),
        (0..5usize)
            .prop_filter("an empty list is absent", |n| *n > 0)
            .prop_map(|n| { Value::List((0..n).map(|i| bytes(&format!("b{i}"))).collect()) }),
        Just(Value::Stream(base_stream())),
        Just(Value::HyperLogLog(BTreeMap::from([(0, 2), (1, 5)]))),
    ];
    let deadline = prop_oneof![Just(None), Just(Some(9999u64))];
    prop_oneof![
        1 => Just(None),
        5 => (value, deadline).prop_map(|(value, deadline_ms)| Some(Object { value, deadline_ms })),
    ]
}

fn base_stream() -> Stream {
    let mut stream = Stream { last_id: stream_id(3), entries_added: 3, ..Stream::default() };
    stream.entries.extend([(stream_id(1), bytes("a")), (stream_id(3), bytes("c"))]);
    let group = Group {
        last_delivered: stream_id(1),
        pending: BTreeMap::from([(stream_id(1), bytes("c"))]),
        backfill: BTreeSet::new(),
    };
    stream.groups.insert(bytes("0"), group);
    stream
}

/// Turns an intent into an effect that mostly fits the state.
fn concrete(intent: &Intent, state: Option<&Object>, unique: u64, node: u64) -> Effect {
    let Intent { what, which, value } = *intent;
    let name = bytes(&which.to_string());
    match what % 40 {
        0 => return Effect::Delete,
        1 => return Effect::Set(bytes(&value.to_string())),
        2 => return Effect::ExpireAt((value % 2 == 0).then_some(u64::from(value) * 1000)),
        _ => {}
    }
    let kind = match state {
        Some(object) => object.value.kind(),
        None => Kind::ALL[usize::from(what) % Kind::ALL.len()],
    };
    let element = bytes(&format!("e{unique}"));
    match (kind, state.map(|object| &object.value)) {
        (Kind::String, _) => match what % 3 {
            0 => Effect::Add(i64::from(value) - 3),
            1 => Effect::Append(bytes(&value.to_string())),
            _ => Effect::SetBit(u32::from(which * 5), value % 2 == 0),
        },
        (Kind::Hash, _) => match what % 3 {
            0 => Effect::HashSet(name, bytes(&value.to_string())),
            1 => Effect::HashDelete(name),
            _ => Effect::HashAdd(name, i64::from(value) - 3),
        },
        (Kind::Set, _) if what % 2 == 0 => Effect::SetAdd(name),
        (Kind::Set, _) => Effect::SetRemove(name),
        (Kind::SortedSet, _) => match what % 3 {
            0 => Effect::SortedSetPut(name, Score::new(f64::from(value) / 4.0)),
            1 => Effect::SortedSetRemove(name),
            _ => Effect::SortedSetAdd(name, Score::new(f64::from(value) / 4.0 - 1.0)),
        },
        (Kind::List, Some(Value::List(elements))) => {
            let index = usize::from(which) % elements.len();
            match what % 6 {
                0 | 1 => Effect::ListPush(End::Head, element),
                2 | 3 => Effect::ListPush(End::Tail, element),
                4 if value < 3 => Effect::ListSet(index, element),
                4 => Effect::ListInsert(index, element),
                _ => Effect::ListRemove(index),
            }
        }
        (Kind::List, _) => Effect::ListPush(if what % 2 == 0 { End::Head } else { End::Tail }, element),
        (Kind::Stream, stream) => {
            let empty = Stream::default();
            let stream = if let Some(Value::Stream(stream)) = stream { stream } else { &empty };
            let next =
                StreamId { ms: stream.last_id.ms + u64::from(value), sequence: stream.last_id.sequence + 1 };
            let tagged = StreamId { sequence: next.sequence & 0xFFFF_FFFF_FFFF | node << 48, ..next };
            let some = stream.entries.keys().nth(usize::from(which) % stream.entries.len().max(1)).copied();
            let group = bytes(&(which % 2).to_string());
            match (what % 6, some, stream.groups.get(&group)) {
                (0, Some(id), _) => Effect::StreamDelete(id, value % 2 == 0),
                (1, _, None) => {
                    Effect::GroupCreate(group, if value < 4 { stream.last_id } else { stream_id(0) })
                }
                (1, _, Some(_)) if value == 0 => Effect::GroupDestroy(group),
                (2 | 3, _, Some(found)) => {
                    let late = found.backfill.first().copied();
                    let fresh = stream.entries.keys().copied().find(|id| *id > found.last_delivered);
                    match late.or(fresh) {
                        Some(id) => Effect::GroupDeliver(group, id, name),
                        None => Effect::StreamAdd(
                            tagged.max(StreamId { ms: stream.last_id.ms + 1, sequence: node << 48 }),
                            element,
                        ),
                    }
                }
                (4, _, Some(found)) if !found.pending.is_empty() => {
                    let id = *found.pending.keys().next().expect("not empty");
                    Effect::GroupAcknowledge(group, id)
                }
                _ => Effect::StreamAdd(
                    tagged.max(StreamId { ms: stream.last_id.ms + 1, sequence: node << 48 }),
                    element,
                ),
            }
        }
        (Kind::HyperLogLog, _) => Effect::HyperLogLogRaise(u16::from(which), value + 1),
    }
}

/// What a step did.
pub(super) enum Happened {
    Wrote {
        replica: usize,
        effect: Effect,
    },
    Merged {
        into: usize,
        from: usize,
    },
    /// The effect did not fit the state, or a side was to take itself in.
    Nothing,
}

/// The sides of an execution, taken through it step by step.
pub(super) struct Execution {
    pub(super) sides: Vec<Replica>,
    steps: u64,
    views: u64,
}

impl Execution {
    pub(super) fn new(base: &Option<Object>, replicas: usize) -> Self {
        let views = replicas as u64;
        let sides = (1..=views).map(|precedence| Replica::new(base, precedence)).collect();
        Self { sides, steps: 0, views }
    }

    pub(super) fn take(&mut self, step: &Step) -> Happened {
        let unique = self.steps;
        self.steps += 1;
        match *step {
            Step::Write { replica, ref intent, pause_ms } => {
                let side = &mut self.sides[replica];
                let effect = concrete(intent, side.forked.state(), unique, replica as u64);
                match side.apply_at(side.clock_ms + pause_ms, &effect) {
                    Ok(_) => Happened::Wrote { replica, effect },
                    Err(_) => Happened::Nothing,
                }
            }
            Step::Merge { into, from } if into != from => {
                let other = self.sides[from].clone();
                self.views += 1;
                self.sides[into].merge(&other, self.views);
                Happened::Merged { into, from }
            }
            Step::Merge { .. } => Happened::Nothing,
        }
    }
}

/// Runs an execution; after every step the log of each side must render to the state its effects gave.
fn run(base: &Option<Object>, replicas: usize, steps: &[Step]) -> Result<Vec<Replica>, TestCaseError> {
    let mut execution = Execution::new(base, replicas);
    for step in steps {
        if let Happened::Wrote { replica, effect } = execution.take(step) {
            let side = &execution.sides[replica];
            let (rendered, _) = side.forked.log().render(base.as_ref());
            prop_assert_eq!(&rendered, &side.state(), "the log is not faithful: {:?}", effect);
        }
    }
    Ok(execution.sides)
}

fn join(a: &KeyLog, b: &KeyLog) -> KeyLog {
    let mut joined = a.clone();
    joined.join(b);
    joined
}

/// Executions per law; PROPTEST_CASES asks for more.
pub(super) fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(2000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn joining_is_a_semilattice_and_logs_are_faithful(
        base in base(),
        steps in prop::collection::vec(step(4), 1..40),
    ) {
        let all = run(&base, 4, &steps)?;
        let logs: Vec<&KeyLog> = all.iter().map(|replica| replica.forked.log()).collect();
        let (a, b, c) = (logs[0], logs[1], logs[2]);
        prop_assert_eq!(&join(a, a), a, "not idempotent");
        prop_assert_eq!(&join(a, b), &join(b, a), "not commutative");
        prop_assert_eq!(&join(&join(a, b), c), &join(a, &join(b, c)), "not associative");
        prop_assert_eq!(&join(&join(a, c), b), &join(a, &join(b, c)), "not associative");
        let whole = join(&join(a, b), c);
        prop_assert_eq!(&join(&whole, b), &whole, "a log that arrives twice changes something");
        // The state is a function of the log: the same for every side, whoever computes.
        let joined = logs.iter().skip(1).fold(logs[0].clone(), |sum, log| join(&sum, log));
        let reversed = logs.iter().rev().skip(1).fold(logs[3].clone(), |sum, log| join(&sum, log));
        prop_assert_eq!(joined.render(base.as_ref()), reversed.render(base.as_ref()));
    }

    #[test]
    fn nothing_changes_where_only_one_side_wrote(
        base in base(),
        steps in prop::collection::vec(step(1), 1..30),
    ) {
        let all = run(&base, 1, &steps)?;
        let mut other = Forked::new(base.clone());
        other.merge(all[0].forked.log());
        prop_assert_eq!(other.state(), all[0].forked.state());
    }

    #[test]
    fn undo_restores_what_the_effect_overwrote(
        base in base(),
        intents in prop::collection::vec(intent(), 1..20),
    ) {
        let mut state = base;
        let mut history = Vec::new();
        for (unique, intent) in intents.iter().enumerate() {
            let effect = concrete(intent, state.as_ref(), unique as u64, 0);
            let before = state.clone();
            match effect.apply(&mut state) {
                Ok(undo) => {
                    let mut trial = state.clone();
                    undo.clone().restore(&mut trial);
                    prop_assert_eq!(&trial, &before, "{:?}", effect);
                    history.push((undo, before));
                }
                Err(_) => prop_assert_eq!(&state, &before, "{:?} failed and changed something", effect),
            }
        }
        for (undo, before) in history.into_iter().rev() {
            undo.restore(&mut state);
            prop_assert_eq!(&state, &before);
        }
    }

    #[test]
    fn no_acknowledged_increment_is_lost(
        start in -5..5i64,
        deltas in prop::collection::vec((0..4usize, -9..9i64), 0..40),
    ) {
        let sides: Vec<Vec<Effect>> = (0..4)
            .map(|side| deltas.iter().filter(|(of, _)| *of == side).map(|(_, delta)| Effect::Add(*delta)).collect())
            .collect();
        let sides: Vec<&[Effect]> = sides.iter().map(Vec::as_slice).collect();
        let total = start + deltas.iter().map(|(_, delta)| delta).sum::<i64>();
        prop_assert_eq!(fork(text(&start.to_string()), &sides).0, text(&total.to_string()));
    }

    /// Members: added last by some side, or of the base and removed by nobody who did not add it again.
    #[test]
    fn sets_keep_every_add_that_nobody_saw_and_removed(
        writes in prop::collection::vec((0..3usize, any::<bool>(), 0..4u8), 0..30),
    ) {
        let base = set(&["0", "1"]);
        let mut sides: Vec<Vec<Effect>> = vec![Vec::new(); 3];
        let mut last: BTreeMap<(usize, u8), bool> = BTreeMap::new();
        for &(side, add, member) in &writes {
            let name = bytes(&member.to_string());
            sides[side].push(if add { Effect::SetAdd(name) } else { Effect::SetRemove(name) });
            last.insert((side, member), add);
        }
        // A side that emptied its set deleted the key; that removes no more than the members it saw.
        let expected: BTreeSet<Bytes> = (0..4u8)
            .filter(|member| {
                let endings: Vec<bool> = (0..3).filter_map(|side| last.get(&(side, *member)).copied()).collect();
                endings.contains(&true) || (*member < 2 && endings.is_empty())
            })
            .map(|member| bytes(&member.to_string()))
            .collect();
        let sides: Vec<&[Effect]> = sides.iter().map(Vec::as_slice).collect();
        let state = fork(base, &sides).0;
        prop_assert_eq!(state, (!expected.is_empty()).then_some(Object { value: Value::Set(expected), deadline_ms: None }));
    }

    /// Every pushed element that its side did not remove is there once, the base loses what any side removed, and
    /// the order is the one each side saw.
    #[test]
    fn lists_lose_nothing_and_keep_every_order(
        length in 1..6usize,
        intents in prop::collection::vec((0..3usize, 0..6u8, 0..8u8), 0..30),
    ) {
        let names: Vec<String> = (0..length).map(|i| format!("b{i}")).collect();
        let base = list(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let mut all: Vec<Replica> = (0..3).map(|i| Replica::new(&base, i + 1)).collect();
        for (unique, &(side, what, which)) in intents.iter().enumerate() {
            let element = bytes(&format!("s{side}e{unique}"));
            let length = match all[side].forked.state().map(|object| &object.value) {
                Some(Value::List(elements)) => elements.len(),
                _ => 0,
            };
            let index = usize::from(which) % length.max(1);
            let effect = match what {
                0 | 1 => Effect::ListPush(End::Head, element),
                2 | 3 => Effect::ListPush(End::Tail, element),
                4 if length > 0 => Effect::ListInsert(index, element),
                _ if length > 0 => Effect::ListRemove(index),
                _ => continue,
            };
            all[side].apply(&effect).expect("the effect fits");
        }
        let elements = |state: Option<Object>| match state.map(|object| object.value) {
            Some(Value::List(elements)) => elements,
            _ => Vec::new(),
        };
        let result = elements(merged(&all.iter().collect::<Vec<_>>()).0);
        let seen: Vec<Vec<Bytes>> = all.iter().map(|replica| elements(replica.state())).collect();
        let of_base = |element: &Bytes| element[0] == b'b';
        let expected: BTreeSet<&Bytes> = seen
            .iter()
            .flatten()
            .filter(|element| !of_base(element) || seen.iter().all(|side| side.contains(element)))
            .collect();
        prop_assert_eq!(result.iter().collect::<BTreeSet<_>>(), expected.clone());
        prop_assert_eq!(result.len(), expected.len(), "an element is there twice");
        for side in &seen {
            let kept: Vec<&Bytes> = side.iter().filter(|element| result.contains(element)).collect();
            let order: Vec<&Bytes> = result.iter().filter(|element| side.contains(element)).collect();
            prop_assert_eq!(kept, order, "the result contradicts the order a side has seen");
        }
    }

    #[test]
    fn hashes_and_sorted_sets_lose_no_update(
        writes in prop::collection::vec((0..3usize, 0..3u8, 0..3u8, -4..4i64), 0..30),
    ) {
        // Increments only and deletes: a field is base plus all increments that no own delete followed.
        let mut all: Vec<Replica> = (0..3).map(|i| Replica::new(&hash(&[("0", "10")]), i + 1)).collect();
        let mut counts: BTreeMap<(usize, u8), (i64, bool)> = BTreeMap::new();
        let mut deleted_base = BTreeSet::new();
        for &(side, field, what, delta) in &writes {
            let name = bytes(&field.to_string());
            if what == 0 {
                all[side].apply(&Effect::HashDelete(name)).expect("the effect fits");
                counts.remove(&(side, field));
                deleted_base.insert(field);
            } else {
                all[side].apply(&Effect::HashAdd(name, delta)).expect("the effect fits");
                let count = counts.entry((side, field)).or_default();
                *count = (count.0 + delta, true);
            }
        }
        let mut expected = BTreeMap::new();
        for field in 0..3u8 {
            let own: Vec<i64> = (0..3).filter_map(|side| counts.get(&(side, field))).map(|count| count.0).collect();
            let of_base = field == 0 && !deleted_base.contains(&field);
            if of_base || !own.is_empty() {
                let sum = own.iter().sum::<i64>() + if of_base { 10 } else { 0 };
                expected.insert(bytes(&field.to_string()), bytes(&sum.to_string()));
            }
        }
        let state = merged(&all.iter().collect::<Vec<_>>()).0;
        prop_assert_eq!(state, (!expected.is_empty()).then_some(Object { value: Value::Hash(expected), deadline_ms: None }));
    }
}
