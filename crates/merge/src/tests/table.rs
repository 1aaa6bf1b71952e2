//! The table of merging rules, one example or more for each line.

use super::*;
use Effect::*;

fn push(end: End, elements: &[&str]) -> Vec<Effect> {
    elements.iter().map(|element| ListPush(end, bytes(element))).collect()
}

#[test]
fn string_the_later_set_wins_whatever_the_side() {
    let base = text("base");
    let (mut low, mut high) = (Replica::new(&base, 1), Replica::new(&base, 2));
    low.apply_at(100, &Set(bytes("late"))).expect("the effect fits");
    high.apply_at(50, &Set(bytes("early"))).expect("the effect fits");
    let (state, losses) = merged(&[&low, &high]);
    assert_eq!(state, text("late"));
    assert_eq!(losses.overwritten, 1);
}

#[test]
fn string_appends_stand_winner_first() {
    let (state, _) = fork(
        text("b"),
        &[&[Append(bytes("l1")), Append(bytes("l2"))], &[Append(bytes("w1")), Append(bytes("w2"))]],
    );
    assert_eq!(state, text("bw1w2l1l2"));
}

#[test]
fn counter_deltas_add_on_the_base() {
    assert_eq!(fork(text("10"), &[&[Add(1), Add(2)], &[Add(-5)], &[Add(100)]]).0, text("108"));
    assert_eq!(fork(None, &[&[Add(1)], &[Add(2)]]).0, text("3"));
}

#[test]
fn counter_deltas_add_on_the_winning_set_and_die_with_the_losing_one_they_followed() {
    // The higher side's clock is ahead: its SET wins, so the lower side's SET 50 and the +7 after it are gone; the
    // +1 before the winning SET was overwritten, the +3 after it counts.
    let low: &[Effect] = &[Set(bytes("50")), Add(7)];
    let high: &[Effect] = &[Add(1), Set(bytes("100")), Add(3)];
    assert_eq!(fork(text("10"), &[low, high]).0, text("103"));
    // A third side that only counted on the base still counts.
    assert_eq!(fork(text("10"), &[&[Add(1000)], low, high]).0, text("1103"));
}

#[test]
fn counter_increments_on_what_became_text_are_dropped_and_counted() {
    let (state, losses) = fork(text("1"), &[&[Add(1)], &[Set(bytes("text"))]]);
    assert_eq!(state, text("text"));
    assert_eq!(losses.increments_dropped, 1);
}

#[test]
fn bitmap_each_bit_by_its_last_writer() {
    let base = text("\0");
    let (mut low, mut high) = (Replica::new(&base, 1), Replica::new(&base, 2));
    low.apply_at(100, &SetBit(0, true)).expect("the effect fits");
    low.apply_at(110, &SetBit(1, true)).expect("the effect fits");
    high.apply_at(105, &SetBit(0, false)).expect("the effect fits");
    high.apply_at(106, &SetBit(1, false)).expect("the effect fits");
    high.apply_at(107, &SetBit(7, true)).expect("the effect fits");
    assert_eq!(merged(&[&low, &high]).0, text("\x41"));
}

#[test]
fn hash_each_field_by_its_last_writer_and_update_beats_delete() {
    let base = hash(&[("a", "1"), ("b", "1"), ("n", "5")]);
    let (state, _) = fork(
        base.clone(),
        &[
            &[HashSet(bytes("a"), bytes("low")), HashAdd(bytes("n"), 2), HashSet(bytes("b"), bytes("kept"))],
            &[HashSet(bytes("a"), bytes("high")), HashAdd(bytes("n"), 3), HashDelete(bytes("b"))],
        ],
    );
    assert_eq!(state, hash(&[("a", "high"), ("b", "kept"), ("n", "10")]));
    let (state, _) = fork(base, &[&[HashDelete(bytes("a"))], &[HashDelete(bytes("b"))]]);
    assert_eq!(state, hash(&[("n", "5")]));
}

#[test]
fn set_add_wins_and_a_remove_takes_only_what_it_observed() {
    let base = set(&["x", "y"]);
    let add = |member: &str| SetAdd(bytes(member));
    let remove = |member: &str| SetRemove(bytes(member));
    assert_eq!(fork(base.clone(), &[&[remove("x")], &[add("z")]]).0, set(&["y", "z"]));
    assert_eq!(fork(base.clone(), &[&[remove("x")], &[remove("x"), add("x")]]).0, set(&["x", "y"]));
    // SADD of a member that is there, acknowledged with 0, still wins over a concurrent remove.
    assert_eq!(fork(base, &[&[add("x")], &[remove("x")]]).0, set(&["x", "y"]));
}

#[test]
fn sorted_set_add_wins_last_score_and_deltas() {
    let base = sorted_set(&[("a", 1.0), ("b", 1.0)]);
    let put = |member: &str, score: f64| SortedSetPut(bytes(member), Score::new(score));
    let add = |member: &str, delta: f64| SortedSetAdd(bytes(member), Score::new(delta));
    let (state, _) = fork(base.clone(), &[&[add("a", 2.0)], &[add("a", 0.5), put("b", 9.0)]]);
    assert_eq!(state, sorted_set(&[("a", 3.5), ("b", 9.0)]));
    let (state, _) = fork(base.clone(), &[&[SortedSetRemove(bytes("a"))], &[add("a", 0.5)]]);
    assert_eq!(state, sorted_set(&[("a", 0.5), ("b", 1.0)]));
    let (state, _) = fork(base, &[&[put("a", 5.0), add("a", 1.0)], &[put("a", 7.0)]]);
    assert_eq!(state, sorted_set(&[("a", 7.0), ("b", 1.0)]));
}

#[test]
fn list_heads_base_tails_each_side_together() {
    let low = [push(End::Head, &["l1", "l2"]), push(End::Tail, &["l3", "l4"])].concat();
    let high = [push(End::Head, &["w1", "w2"]), push(End::Tail, &["w3", "w4"])].concat();
    let (state, _) = fork(list(&["a", "b"]), &[&low, &high]);
    assert_eq!(state, list(&["l2", "l1", "w2", "w1", "a", "b", "w3", "w4", "l3", "l4"]));
}

#[test]
fn list_removals_are_a_union_by_base_position() {
    let base = list(&["x", "x", "x", "y"]);
    // Both take the first x: one x goes. One takes the first, the other the third: two go.
    assert_eq!(fork(base.clone(), &[&[ListRemove(0)], &[ListRemove(0)]]).0, list(&["x", "x", "y"]));
    assert_eq!(fork(base.clone(), &[&[ListRemove(0)], &[ListRemove(2)]]).0, list(&["x", "y"]));
    // Positions are of the base, not of what a side sees after its own pushes and removals.
    let low = [push(End::Head, &["l"]), vec![ListRemove(1), ListRemove(1)]].concat();
    assert_eq!(fork(base, &[&low, &[ListRemove(1)]]).0, list(&["l", "x", "y"]));
}

#[test]
fn list_set_and_insert() {
    let base = list(&["a", "b", "c"]);
    let (state, _) = fork(base.clone(), &[&[ListSet(1, bytes("B"))], &[ListInsert(1, bytes("w"))]]);
    assert_eq!(state, list(&["a", "w", "B", "c"]));
    // A removal beats an LSET.
    assert_eq!(fork(base, &[&[ListRemove(1)], &[ListSet(1, bytes("B"))]]).0, list(&["a", "c"]));
}

fn stream_of(ids: &[u64]) -> Option<Object> {
    let mut stream = Stream::default();
    for &id in ids {
        stream.entries.insert(stream_id(id), bytes("f"));
        stream.last_id = stream_id(id);
        stream.entries_added += 1;
    }
    object(Value::Stream(stream))
}

fn as_stream(state: Option<Object>) -> Stream {
    match state.map(|object| object.value) {
        Some(Value::Stream(stream)) => stream,
        other => panic!("{other:?}"),
    }
}

#[test]
fn stream_union_by_id_and_deletes() {
    let add = |id: u64| StreamAdd(stream_id(id), bytes("f"));
    let (state, _) =
        fork(stream_of(&[1, 2]), &[&[add(5), StreamDelete(stream_id(1), true)], &[add(4), add(6)]]);
    let stream = as_stream(state);
    assert_eq!(stream.entries.keys().map(|id| id.ms).collect::<Vec<_>>(), [2, 4, 5, 6]);
    assert_eq!((stream.last_id, stream.entries_added), (stream_id(6), 5));
}

/// One side deletes the key, the other an entry of it; then a stream is begun anew.
#[test]
fn a_stream_begun_anew_remembers_no_deletion_of_the_former_one() {
    let base = stream_of(&[1]);
    let (mut one, mut other) = (Replica::new(&base, 1), Replica::new(&base, 2));
    one.apply(&Delete).expect("it fits");
    other.apply(&StreamDelete(stream_id(1), true)).expect("it fits");
    one.merge(&other, 3);
    assert_eq!(one.state(), None);
    one.apply(&StreamAdd(stream_id(2), bytes("f"))).expect("it fits");
    assert_eq!(one.forked.log().render(base.as_ref()).0, one.state());
    assert_eq!(as_stream(one.state()).max_deleted, stream_id(0));
}

#[test]
fn stream_two_explicit_ids_collide_and_it_is_counted() {
    let (state, losses) = fork(
        stream_of(&[]),
        &[&[StreamAdd(stream_id(5), bytes("low"))], &[StreamAdd(stream_id(5), bytes("high"))]],
    );
    assert_eq!(as_stream(state).entries[&stream_id(5)], bytes("high"));
    assert_eq!(losses.entries_hidden, 1);
}

#[test]
fn stream_late_entries_are_backfilled_and_acknowledgements_are_a_union() {
    let mut base = stream_of(&[1, 2]);
    GroupCreate(bytes("g"), stream_id(0)).apply(&mut base).expect("the effect fits");
    for id in [1, 2] {
        GroupDeliver(bytes("g"), stream_id(id), bytes("c")).apply(&mut base).expect("the effect fits");
    }
    let (state, _) = fork(
        base,
        &[
            &[StreamAdd(stream_id(5), bytes("late")), GroupAcknowledge(bytes("g"), stream_id(1))],
            &[
                StreamAdd(stream_id(9), bytes("new")),
                GroupDeliver(bytes("g"), stream_id(9), bytes("c")),
                GroupAcknowledge(bytes("g"), stream_id(2)),
            ],
        ],
    );
    let group = &as_stream(state).groups[&bytes("g")];
    assert_eq!(group.pending.keys().map(|id| id.ms).collect::<Vec<_>>(), [9]);
    assert_eq!(group.backfill, BTreeSet::from([stream_id(5)]));
    assert_eq!(group.last_delivered, stream_id(9));
}

#[test]
fn hyperloglog_register_maximum() {
    let base = object(Value::HyperLogLog(BTreeMap::from([(0, 3), (1, 1)])));
    let (state, _) = fork(
        base,
        &[
            &[HyperLogLogRaise(0, 5), HyperLogLogRaise(2, 1)],
            &[HyperLogLogRaise(0, 4), HyperLogLogRaise(1, 9)],
        ],
    );
    assert_eq!(state, object(Value::HyperLogLog(BTreeMap::from([(0, 5), (1, 9), (2, 1)]))));
}

#[test]
fn expiry_by_the_last_writer_and_expiring_is_an_observed_delete() {
    let base = text("v");
    let (mut low, mut high) = (Replica::new(&base, 1), Replica::new(&base, 2));
    low.apply_at(100, &ExpireAt(Some(5000))).expect("the effect fits");
    high.apply_at(50, &ExpireAt(None)).expect("the effect fits");
    assert_eq!(merged(&[&low, &high]).0.and_then(|object| object.deadline_ms), Some(5000));
    // The key expires on one side while the other one writes to it.
    assert_eq!(fork(set(&["a"]), &[&[Delete], &[SetAdd(bytes("b"))]]).0, set(&["b"]));
}

#[test]
fn delete_removes_what_it_observed_and_concurrent_writes_survive() {
    assert_eq!(fork(text("v"), &[&[Delete], &[]]).0, None);
    assert_eq!(fork(text("v"), &[&[Set(bytes("w"))], &[Delete]]).0, text("w"));
    assert_eq!(fork(text("5"), &[&[Add(2)], &[Delete]]).0, text("2"));
    assert_eq!(fork(list(&["a"]), &[&push(End::Tail, &["b"]), &[Delete]]).0, list(&["b"]));
    let fields = [HashSet(bytes("f"), bytes("1"))];
    assert_eq!(fork(hash(&[("g", "1")]), &[&fields, &[Delete]]).0, hash(&[("f", "1")]));
}

#[test]
fn type_clash_the_later_creation_wins_and_is_counted() {
    let (mut low, mut high) = (Replica::new(&None, 1), Replica::new(&None, 2));
    low.apply_at(100, &SetAdd(bytes("member"))).expect("the effect fits");
    high.apply_at(50, &ListPush(End::Tail, bytes("element"))).expect("the effect fits");
    let (state, losses) = merged(&[&low, &high]);
    assert_eq!(state, set(&["member"]));
    assert_eq!(losses.type_clashes, 1);
    // When the winner is emptied, the loser does not come back.
    low.merge(&high, 3);
    low.apply(&SetRemove(bytes("member"))).expect("the effect fits");
    assert_eq!(merged(&[&low, &high]).0, None);
}

#[test]
fn an_overflowed_log_decides_the_key_whole() {
    let base = set(&["x"]);
    let mut bounded = Replica::new(&base, 1);
    bounded.forked = Forked::with_bound(base.clone(), 6);
    for member in ["a", "b", "c", "d"] {
        bounded.apply(&SetAdd(bytes(member))).expect("the effect fits");
    }
    let mut other = Replica::new(&base, 2);
    other.apply_at(20, &SetAdd(bytes("e"))).expect("the effect fits");
    let (state, losses) = merged(&[&bounded, &other]);
    assert_eq!(state, set(&["x", "a", "b", "c", "d"]));
    assert_eq!(losses.whole_key, 1);
    // Whoever writes last: what a fold leaves of the other side does not tell when that was.
    other.apply_at(1000, &SetAdd(bytes("f"))).expect("the effect fits");
    assert_eq!(merged(&[&bounded, &other]).0, set(&["x", "a", "b", "c", "d"]));
}

#[test]
fn what_cannot_be_merged_of_a_stream_decides_the_key_whole() {
    let mark = |rest: &str| Effect::StreamMark(stream_id(5), stream_id(0), 5, bytes(rest));
    let add = StreamAdd(stream_id(9), bytes("f"));
    let (state, losses) = fork(stream_of(&[1]), &[&[mark("groups")], std::slice::from_ref(&add)]);
    assert_eq!((as_stream(state.clone()).rest, losses.whole_key), (bytes("groups"), 1));
    assert_eq!(as_stream(state).entries.len(), 1);
    let (state, _) = fork(stream_of(&[1]), &[&[mark("low")], &[mark("high"), add]]);
    assert_eq!(as_stream(state).rest, bytes("high"));
}

/// The rule "the later SET wins, the loser is forgotten" is not associative: a removal of the winner by someone who
/// never saw the loser must bring the loser back. This is why losers are kept in the log.
#[test]
fn a_losing_set_comes_back_when_the_winner_is_deleted_by_one_who_never_saw_it() {
    let base = None;
    let (mut a, mut b) = (Replica::new(&base, 1), Replica::new(&base, 2));
    a.apply_at(50, &Set(bytes("a"))).expect("the effect fits");
    b.apply_at(60, &Set(bytes("b"))).expect("the effect fits");
    let early = b.clone();
    b.apply_at(70, &Delete).expect("the effect fits");
    // Met before the deletion or after it: the same.
    assert_eq!(merged(&[&a, &early]).0, text("b"));
    assert_eq!(merged(&[&a, &early, &b]).0, text("a"));
    assert_eq!(merged(&[&a, &b]).0, text("a"));
}

/// "Each side contiguous" cannot hold for a side that is itself a merge: the third side's elements stand where their
/// own precedence puts them, or the order in which the sides meet would decide.
#[test]
fn a_third_side_may_stand_between_two_that_had_merged() {
    let base = list(&["x"]);
    let side = |precedence: u64, element: &str| {
        let mut replica = Replica::new(&base, precedence);
        replica.apply(&ListPush(End::Tail, bytes(element))).expect("the effect fits");
        replica
    };
    let (one, two, three) = (side(1, "1"), side(2, "2"), side(3, "3"));
    let mut both = one.clone();
    both.merge(&three, 4);
    both.apply(&ListPush(End::Tail, bytes("after"))).expect("the effect fits");
    assert_eq!(both.state(), list(&["x", "3", "1", "after"]));
    assert_eq!(merged(&[&both, &two]).0, list(&["x", "3", "2", "1", "after"]));
}
