//! Packed values against a vector from the standard library.

use swytch_testkit::Random;

use super::*;

/// Limits under which nothing is small.
const LIMIT: NodeLimit = NodeLimit { bytes: 8192, elements: u32::MAX };

fn entry(random: &mut Random) -> Vec<u8> {
    let len: usize = match random.below(20_u8) {
        0 => 300 + random.below(300),
        1 => 126 + random.below(4),
        _ => random.below(16),
    };
    vec![b'a' + random.below(3_u8); len]
}

fn all(packed: &Packed) -> Vec<Vec<u8>> {
    packed.iter().map(<[u8]>::to_vec).collect()
}

/// Whatever is done, the entries are those of the model, from either end, and the memory is that of the content.
#[test]
fn agrees_with_a_vector() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let (mut packed, mut model) = (Packed::new(), Vec::<Vec<u8>>::new());
        for step in 0..400 {
            let side = [Side::Head, Side::Tail][random.below(2_usize)];
            let at = random.below(model.len() + 1);
            let entry = entry(&mut random);
            match random.below(10_u8) {
                0..4 => {
                    packed.push(side, &entry, LIMIT);
                    model.insert(if side == Side::Head { 0 } else { model.len() }, entry);
                }
                4..6 => {
                    let popped = packed.pop_with(side, <[u8]>::to_vec);
                    packed.give_back_room();
                    let at = if side == Side::Head { 0 } else { model.len().saturating_sub(1) };
                    assert_eq!(popped, (!model.is_empty()).then(|| model.remove(at)));
                }
                6 => {
                    packed.insert(packed.offset_of(at), &entry, LIMIT);
                    model.insert(at, entry);
                }
                7 if at < model.len() => {
                    packed.replace(packed.offset_of(at), &entry, LIMIT);
                    model[at] = entry;
                }
                8 if at < model.len() => {
                    packed.remove(packed.offset_of(at), LIMIT);
                    model.remove(at);
                }
                9 if random.once_in(20) => {
                    let rest = packed.split_off(packed.offset_of(at));
                    assert_eq!(all(&rest), model[at..]);
                    if !packed.absorb(&rest, LIMIT) {
                        model.truncate(at);
                    }
                }
                _ => {}
            }
            assert_eq!(all(&packed), model, "seed {seed} step {step}");
            assert_eq!(packed.count(), model.len());
            let mut reversed: Vec<_> = packed.iter_rev().map(<[u8]>::to_vec).collect();
            reversed.reverse();
            assert_eq!(reversed, model, "seed {seed} step {step}");
            let bound = if packed.used() < 700 { 32 + USED_PART * packed.used() } else { 16_384 };
            assert!(packed.memory_bytes() <= bound, "{} bytes for {}", packed.memory_bytes(), packed.used());
        }
    }
}

#[test]
fn nothing_takes_nothing_and_one_entry_little_more_than_itself() {
    let mut packed = Packed::new();
    assert_eq!((packed.memory_bytes(), packed.end(Side::Head)), (0, None));
    assert_eq!(packed.pop_with(Side::Tail, |_| ()), None);
    packed.push(Side::Tail, b"0123456789", LIMIT);
    assert_eq!(packed.memory_bytes(), 24);
    assert_eq!(packed.clone().memory_bytes(), 24);
}

/// A handle frees what it leads to, in either form and when the form changes.
#[test]
fn a_handle_owns_its_value() {
    let counted = std::sync::Arc::new(0_u64);
    let mut handle = Handle::<std::sync::Arc<u64>>::default();
    assert!(matches!(handle.form(), Form::Small(packed) if packed.count() == 0));
    handle = Handle::big(std::sync::Arc::clone(&counted));
    assert!(matches!(handle.clone().form_mut(), Form::Big(value) if **value == 0));
    assert_eq!(std::sync::Arc::strong_count(&counted), 2);
    let mut packed = Packed::new();
    packed.push(Side::Tail, b"entry", LIMIT);
    handle = Handle::small(packed);
    assert_eq!(std::sync::Arc::strong_count(&counted), 1);
    assert!(matches!(handle.form(), Form::Small(packed) if packed.end(Side::Tail) == Some(b"entry")));
}

/// There is never more room in front than the header can say, and nothing is lost where there would be.
#[test]
fn long_entries_at_the_head_come_and_go() {
    let limit = NodeLimit { bytes: 1 << 20, elements: u32::MAX };
    let long = vec![b'l'; 100_000];
    let mut packed = Packed::new();
    for _ in 0..3 {
        packed.push(Side::Head, &long, limit);
        packed.push(Side::Head, b"short", limit);
    }
    for _ in 0..3 {
        assert_eq!(packed.pop_with(Side::Head, <[u8]>::to_vec), Some(b"short".to_vec()));
        assert_eq!(packed.pop_with(Side::Head, <[u8]>::to_vec), Some(long.clone()));
    }
    packed.give_back_room();
    assert_eq!((packed.count(), packed.memory_bytes()), (0, 0));
}
