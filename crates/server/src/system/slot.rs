//! Slots of Redis Cluster: each key is in one, and so are all keys of one hash tag.
//!
//! Source: <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>

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
    CRC.checksum(tag(key).unwrap_or(key)) % SLOTS
}

/// Whether the slot is that of a tag, and so the same whatever follows.
pub fn has_tag(key: &[u8]) -> bool {
    tag(key).is_some()
}

fn tag(key: &[u8]) -> Option<&[u8]> {
    let open = key.iter().position(|byte| *byte == b'{')?;
    let behind = &key[open + 1..];
    let len = behind.iter().position(|byte| *byte == b'}')?;
    (len > 0).then(|| &behind[..len])
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
