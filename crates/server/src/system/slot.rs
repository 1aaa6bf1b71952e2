//! Slots of Redis Cluster: each key is in one, and so are all keys of one hash tag.
//!
//! Source: <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>

use std::ops::Range;
use std::sync::LazyLock;

use crc::{CRC_16_XMODEM, Crc};

/// Slots there are.
pub const SLOTS: u16 = 16_384;

const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// The slot that has this number, if there is one.
pub fn numbered(number: i64) -> Option<u16> {
    u16::try_from(number).ok().filter(|slot| *slot < SLOTS)
}

/// The slot of a key: that of what stands between its first `{` and the next `}`, if anything does.
pub fn of(key: &[u8]) -> u16 {
    CRC.checksum(tag(key).map_or(key, |tag| &key[tag])) % SLOTS
}

/// Whether the slot is that of a tag, and so the same whatever follows.
pub fn has_tag(key: &[u8]) -> bool {
    tag(key).is_some()
}

/// The slot of all keys that a glob-style pattern fits, where it says one: nothing before its tag's end stands for other bytes.
pub fn of_pattern(pattern: &[u8]) -> Option<u16> {
    let end = tag(pattern).map_or(pattern.len(), |tag| tag.end);
    let stands_for_others = pattern[..end].iter().any(|byte| b"*?[\\".contains(byte));
    (!stands_for_others).then(|| of(pattern))
}

/// A hash tag of a slot, without its braces: the shortest of letters and digits, of those the first.
pub fn tag_of(slot: u16) -> &'static str {
    static TAGS: LazyLock<Box<[String]>> = LazyLock::new(|| {
        let letters = || ('0'..='9').chain('a'..='z').chain('A'..='Z');
        let longer = |tag: &String| letters().map(|letter| format!("{tag}{letter}")).collect::<Vec<_>>();
        let mut tags = vec![String::new(); usize::from(SLOTS)];
        let (mut left, mut of_length) = (tags.len(), vec![String::new()]);
        while left > 0 {
            of_length = of_length.iter().flat_map(longer).collect();
            for tag in &of_length {
                let place = &mut tags[usize::from(of(tag.as_bytes()))];
                if place.is_empty() {
                    place.clone_from(tag);
                    left -= 1;
                }
            }
        }
        tags.into()
    });
    &TAGS[usize::from(slot)]
}

/// Where a key has its tag.
fn tag(key: &[u8]) -> Option<Range<usize>> {
    let start = key.iter().position(|byte| *byte == b'{')? + 1;
    let len = key[start..].iter().position(|byte| *byte == b'}')?;
    (len > 0).then_some(start..start + len)
}

/// Whether keys are in several slots.
pub fn are_several<'k>(keys: impl IntoIterator<Item = &'k [u8]>) -> bool {
    let mut keys = keys.into_iter();
    let Some(first) = keys.next() else { return false };
    let mut slot = None;
    keys.any(|key| *slot.get_or_insert_with(|| of(first)) != of(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_slot_has_a_tag() {
        assert_eq!((tag_of(0), tag_of(1), tag_of(2)), ("06S", "Qi", "5L5"));
        assert!((0..SLOTS).all(|slot| of(tag_of(slot).as_bytes()) == slot));
    }

    #[test]
    fn a_pattern_has_a_slot_if_nothing_in_front_of_its_tags_end_varies() {
        for pattern in [&b"{user}*"[..], b"a{user}?[b]", b"{user}", b"user"] {
            assert_eq!(of_pattern(pattern), Some(of(b"user")));
        }
        for pattern in [&b"*{user}"[..], b"{us?r}", b"user*", b"{}user*", b"\\{user}", b"[{]user}"] {
            assert_eq!(of_pattern(pattern), None);
        }
    }

    #[test]
    fn keys_of_a_tag_are_in_its_slot() {
        assert_eq!(of(b"123456789"), 0x31c3);
        assert_eq!((of(b"foo"), of(b"")), (12_182, 0));
        for (key, tag) in
            [(&b"{user}.a"[..], &b"user"[..]), (b"a{user}b{c}", b"user"), (b"a{{user}}b", b"{user")]
        {
            assert_eq!(of(key), of(tag));
        }
        for key in [&b"{}{user}"[..], b"{user", b"user}"] {
            assert_eq!(of(key), CRC.checksum(key) % SLOTS);
        }
        let several = |keys: &[&[u8]]| are_several(keys.iter().copied());
        assert!(!several(&[]) && !several(&[b"a"]) && !several(&[b"{a}1", b"a", b"{a}2"]));
        assert!(several(&[b"{a}1", b"a", b"b"]));
    }
}
