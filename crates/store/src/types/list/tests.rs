//! The list against a deque from the standard library.

use std::collections::VecDeque;

use super::*;
use crate::effect::Elements;
use crate::types::tests::{Random, Sample, bytes};

fn element(random: &mut Random) -> Vec<u8> {
    let len = match random.below(40) {
        0 => 5000,
        1 => 300,
        2 => 127 + random.below(3_usize),
        _ => random.below(20),
    };
    vec![b'a' + random.below(4_u8); len]
}

/// Redis's default.
const LIMIT: NodeLimit = NodeLimit { bytes: 8192, elements: u32::MAX };

fn push(list: &mut List, side: Side, element: &[u8]) {
    list.push(side, Elements::One(element), LIMIT);
}

#[test]
fn agrees_with_a_deque() {
    for seed in 0..30 {
        let mut random = Random::new(seed);
        let limit = NodeLimit::of_number([-2, -1, 1, 5, 40][seed as usize % 5]);
        let mut list = List::new();
        let mut model: VecDeque<Vec<u8>> = VecDeque::new();
        for step in 0..1500 {
            let side = if random.once_in(2) { Side::Head } else { Side::Tail };
            let len = model.len();
            match random.below(16) {
                0..=6 => {
                    let element = element(&mut random);
                    list.push(side, Elements::One(&element), limit);
                    if side == Side::Head { model.push_front(element) } else { model.push_back(element) }
                }
                7..=9 => {
                    let expect = if side == Side::Head { model.pop_front() } else { model.pop_back() };
                    assert_eq!(list.peek(side), expect.as_deref());
                    assert_eq!(list.pop(side, limit), expect);
                }
                10 if len > 0 => {
                    let index = random.below(len);
                    let element = element(&mut random);
                    list.set(index, &element, limit);
                    model[index] = element;
                }
                11 | 12 => {
                    let index = random.below(len + 1);
                    let element = element(&mut random);
                    list.insert(index, &element, limit);
                    model.insert(index, element);
                }
                13 if step % 10 == 0 => {
                    let doomed = element(&mut random);
                    let count = 1 + random.below(3);
                    let removed = list.remove_where(side, count, |element| element == doomed, limit);
                    let mut expect = 0;
                    while expect < count {
                        let found = match side {
                            Side::Head => model.iter().position(|element| *element == doomed),
                            Side::Tail => model.iter().rposition(|element| *element == doomed),
                        };
                        let Some(at) = found else { break };
                        model.remove(at);
                        expect += 1;
                    }
                    assert_eq!(removed, expect);
                }
                14 if step % 20 == 0 => {
                    let count = random.below(len + 1);
                    list.drop_from(side, count, limit);
                    for _ in 0..count {
                        if side == Side::Head {
                            model.pop_front()
                        } else {
                            model.pop_back()
                        };
                    }
                }
                _ => {
                    let index = random.below(len + 2);
                    assert_eq!(list.get(index), model.get(index).map(Vec::as_slice));
                    assert!(list.iter_from(index).eq(model.iter().skip(index)), "seed {seed} step {step}");
                }
            }
            assert_eq!(list.len(), model.len());
        }
        assert!(list.iter().eq(model.iter()), "seed {seed}");
        assert!(list.iter_rev().eq(model.iter().rev()), "seed {seed}");
    }
}

#[test]
fn a_million_small_elements_cost_two_bytes_each() {
    let mut list = List::new();
    for number in 0..100_000 {
        push(&mut list, Side::Tail, format!("{number:016}").as_bytes());
    }
    assert!(list.memory_bytes() < 100_000 * 19, "{}", list.memory_bytes());
}

/// Memory follows the content when most of a long list is removed.
#[test]
fn removal_leaves_no_empty_buffers_behind() {
    let mut list = List::new();
    for number in 0..20_000u32 {
        push(&mut list, Side::Tail, if number % 100 == 0 { b"kept-element" } else { b"gone-element" });
    }
    let before = list.memory_bytes();
    assert_eq!(
        list.remove_where(Side::Head, usize::MAX, |element| element == b"gone-element", LIMIT),
        19_800
    );
    assert_eq!((list.len(), list.iter().count(), list.iter_rev().count()), (200, 200, 200));
    assert!(list.iter().all(|element| element == b"kept-element"));
    assert!(list.memory_bytes() < before / 25, "{} of {before} bytes are left", list.memory_bytes());
    push(&mut list, Side::Head, b"first");
    list.insert(100, b"middle", LIMIT);
    assert_eq!((list.get(0), list.get(100)), (Some(&b"first"[..]), Some(&b"middle"[..])));
}

/// A node made for one long element kept its buffer when that was replaced by a short one, and took more elements than
/// fit in a node, so that splitting it failed: LINSERT after LSET and pushes was answered with an internal error.
#[test]
fn a_long_element_replaced_by_a_short_one_leaves_a_node_of_the_usual_size() {
    let mut list = List::new();
    push(&mut list, Side::Tail, &[b'l'; 100_000]);
    list.set(0, b"short", LIMIT);
    assert!(list.memory_bytes() < 10_000, "{} bytes for a short element", list.memory_bytes());
    for number in 0..2000 {
        push(&mut list, Side::Tail, format!("element {number}").as_bytes());
    }
    for _ in 0..300 {
        list.insert(1, &[b'i'; 50], LIMIT);
    }
    assert_eq!(list.len(), 2301);
    assert_eq!(list.get(0), Some(&b"short"[..]));
    assert_eq!(list.get(301), Some(&b"element 0"[..]));
}

/// As Redis does: a list is big as soon as it may not be small, and small again at half of that.
#[test]
fn a_list_changes_its_form_at_the_limit_and_back_at_half_of_it() {
    for (number, most) in [(16, 16), (-1, 340), (-2, 682)] {
        let limit = NodeLimit::of_number(number);
        let mut list = List::new();
        let is_small = |list: &List| list.encoding() == Encoding::Listpack;
        let element = Elements::One(b"0123456789");
        (0..most).for_each(|_| list.push(Side::Tail, element, limit));
        assert!(is_small(&list), "{number}");
        (0..3).for_each(|_| list.push(Side::Head, element, limit));
        assert!(!is_small(&list), "{number}");
        while list.len() > most / 2 + 1 {
            list.pop(Side::Head, limit);
            assert!(!is_small(&list), "{number}: {} elements", list.len());
        }
        (0..3).for_each(|_| _ = list.pop(Side::Head, limit));
        assert!(is_small(&list), "{number}: {} elements", list.len());
    }
    let mut list = List::new();
    push(&mut list, Side::Tail, &[b'l'; 8186]);
    assert_eq!(list.encoding(), Encoding::Quicklist);
    list.set(0, b"short", LIMIT);
    assert_eq!(list.encoding(), Encoding::Listpack);
}

/// One element took 232 bytes, and what a thousand had taken stayed until the last was gone.
#[test]
fn memory_follows_the_content_down() {
    let mut list = List::new();
    push(&mut list, Side::Tail, b"0123456789");
    assert_eq!(list.memory_bytes(), 24);
    let thousand = || {
        let mut list = List::new();
        (0..1000).for_each(|_| push(&mut list, Side::Tail, b"0123456789"));
        list
    };
    let mut popped = [thousand(), thousand(), thousand(), thousand()];
    for step in 0..995 {
        popped[0].pop(Side::Head, LIMIT);
        popped[1].pop(Side::Tail, LIMIT);
        popped[2].remove(popped[2].len() / 2, LIMIT);
        popped[3].pop([Side::Head, Side::Tail][step % 2], LIMIT);
    }
    for list in popped {
        assert!(list.memory_bytes() <= 256, "{} bytes: {list:?}", list.memory_bytes());
    }
    let mut trimmed = thousand();
    trimmed.drop_from(Side::Head, 995, LIMIT);
    assert!(trimmed.memory_bytes() <= 140, "{} bytes", trimmed.memory_bytes());
}

/// Insertions before the same element made a node for each of them, and removals from the middle one for each as well.
#[test]
fn changes_in_the_middle_leave_well_filled_nodes() {
    let mut list = List::new();
    (0..2000).for_each(|_| push(&mut list, Side::Tail, b"0123456789"));
    (0..2000).for_each(|_| list.insert(700, b"9876543210", LIMIT));
    assert!(list.allocations() <= 12, "{} nodes for 48 kB", list.allocations());
    (0..2000).for_each(|step| list.remove(step % 1000, LIMIT));
    assert!(list.allocations() <= 12, "{} nodes for 24 kB", list.allocations());
    assert!(list.memory_bytes() <= 2000 * 24, "{} bytes", list.memory_bytes());
}

impl Sample for List {
    const TAGS: &'static [u8] = &op::tag::ALL;

    fn sample(random: &mut Random, len: usize, act: &mut dyn FnMut(ListOp<'_>)) {
        let sides = [Side::Head, Side::Tail];
        let (side, to) = (sides[random.below(2) as usize], sides[random.below(2) as usize]);
        let (element, other) = (bytes(random), bytes(random));
        let several: [&[u8]; 4] = [&element, &other, b"x", b"y"];
        let index = random.below(len as u64 + 2);
        let number = random.below(9) as i64 - 4;
        act(match random.below(14) {
            0..=3 => ListOp::Push { side, elements: Elements::Many(&several) },
            4 => ListOp::Push { side, elements: Elements::One(&element) },
            5 => ListOp::Pop { side, count: 1 + index / 3 },
            6 => ListOp::Rotate { from: side, to },
            7 => ListOp::Set { index, element: &element },
            8 => ListOp::Insert { pivot: b"x", before: number > 0, element: &element },
            9 => ListOp::InsertAt { index, element: &element },
            10 => ListOp::Remove { count: number / 2, element: &other },
            11 => ListOp::RemoveAt { index },
            12 => ListOp::Trim { start: number, stop: index as i64 },
            _ => ListOp::Trim { start: number.min(0), stop: -1 - number.abs() },
        });
    }
}
