//! Bytes as Redis writes them, cut and altered at every place.

use super::*;

const LISTPACK: &[u8] =
    b"\x1d\0\0\0\x05\0\x05\x01\x83abc\x04\xdf\xff\x02\xf4\0\0\0\0\0\0\0\x80\x09\x80\x01\xff";
const ZIPLIST: &[u8] = b"\x19\0\0\0\x15\0\0\0\x04\0\0\x03abc\x05\xf3\x02\xc0\xe8\x03\x04\xfe\x9c\xff";
const INTSET: &[u8] = b"\x02\0\0\0\x03\0\0\0\xff\xff\0\0\x07\0";
const ZIPMAP: &[u8] = b"\x01\x03foo\x03\x02bar!!\xff";

fn texts<'a>(entries: impl Iterator<Item = Checked<'a>>) -> Result<Vec<String>, &'static str> {
    let mut digits = Vec::new();
    entries
        .map(|entry| entry.map(|entry| String::from_utf8_lossy(entry.text(&mut digits)).into_owned()))
        .collect()
}

/// Everything that an encoding has, or what is wrong with it.
fn read(encoding: usize, bytes: &[u8]) -> Result<Vec<String>, &'static str> {
    match encoding {
        0 => texts(Listpack::new(bytes)?),
        1 => texts(Ziplist::new(bytes)?),
        2 => texts(IntSet::new(bytes)?),
        _ => texts(Zipmap::new(bytes)?),
    }
}

#[test]
fn entries_come_back() {
    let minimum = i64::MIN.to_string();
    assert_eq!(read(0, LISTPACK).expect("a listpack"), ["5", "abc", "-1", &minimum, ""]);
    assert_eq!(read(1, ZIPLIST).expect("a ziplist"), ["abc", "2", "1000", "-100"]);
    assert_eq!(read(2, INTSET).expect("an intset"), ["-1", "0", "7"]);
    assert_eq!(read(3, ZIPMAP).expect("a zipmap"), ["foo", "bar"]);
}

#[test]
fn a_cut_is_noticed() {
    for (encoding, whole) in [LISTPACK, ZIPLIST, INTSET, ZIPMAP].into_iter().enumerate() {
        for len in 0..whole.len() {
            assert!(read(encoding, &whole[..len]).is_err(), "{encoding}: {len} bytes");
        }
    }
}

/// Whatever one byte becomes, reading ends, and yields no more than the bytes can hold.
#[test]
fn any_byte_may_be_any_other() {
    for (encoding, whole) in [LISTPACK, ZIPLIST, INTSET, ZIPMAP].into_iter().enumerate() {
        for at in 0..whole.len() {
            for value in 0..=u8::MAX {
                let mut bytes = whole.to_vec();
                bytes[at] = value;
                if let Ok(entries) = read(encoding, &bytes) {
                    assert!(entries.len() <= bytes.len());
                }
            }
        }
    }
}
