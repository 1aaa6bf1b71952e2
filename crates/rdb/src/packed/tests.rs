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

/// Redis 8.6 refuses these.
#[test]
fn a_zipmap_has_as_many_fields_as_it_says_and_no_length_in_more_bytes_than_it_needs() {
    for (bytes, is_read) in [
        (&b"\x01\x01k\x04\0val1\xff"[..], true),
        (b"\xfe\x01k\x04\0val1\xff", true),
        (b"\x00\x01k\x04\0val1\xff", false),
        (b"\x02\x01k\x04\0val1\xff", false),
        (b"\x01\xfe\x01\0\0\0k\x04\0val1\xff", false),
        (b"\x01\x01k\xfe\x04\0\0\0\0val1\xff", false),
        (b"\x01\x01k\xfe\xfe\xff\xff\xff\0val1\xff", false),
    ] {
        assert_eq!(read(3, bytes).is_ok(), is_read, "{}", bytes.escape_ascii());
    }
    let long = [b"\x01\x01k\xfe\xfe\0\0\0\0".as_slice(), &[b'v'; 254], b"\xff"].concat();
    assert_eq!(read(3, &long).expect("a long value"), ["k".to_owned(), "v".repeat(254)]);
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

/// Entries at every boundary of the encodings, each beside others, are read as they were written.
#[test]
fn what_is_written_is_read() {
    let lengths = [0, 1, 19, 20, 63, 64, 120, 127, 253, 254, 4095, 4096, 16_383, 16_384, 70_000, 2_097_151];
    let mut all: Vec<String> = lengths.iter().map(|len| "x".repeat(*len)).collect();
    for bits in [0, 3, 4, 6, 7, 11, 12, 13, 15, 16, 23, 24, 31, 32, 62, 63] {
        let power = 1i128 << bits;
        let around = [power - 1, power, power + 1, -power, -power - 1, -power + 1];
        all.extend(around.iter().filter(|number| i64::try_from(**number).is_ok()).map(i128::to_string));
    }
    all.extend(["007", "-0", "+1", "9223372036854775808", " 1"].map(str::to_owned));
    let (mut listpack, mut ziplist) = (ListpackWriter::new(), ZiplistWriter::new());
    assert_eq!(listpack.finish(|bytes| read(0, bytes)).expect("an empty listpack"), [""; 0]);
    for round in 0..3 {
        all.rotate_left(7 * round);
        for text in &all {
            listpack.push(Entry::of_text(text.as_bytes()));
            ziplist.push(Entry::of_text(text.as_bytes()));
        }
        assert!(listpack.finish(|bytes| read(0, bytes)).expect("a listpack") == all);
        assert!(ziplist.finish(|bytes| read(1, bytes)).expect("a ziplist") == all);
    }
    // More than the head can count.
    (0..70_000).for_each(|_| listpack.push(Entry::Bytes(b"x")));
    (0..70_000).for_each(|_| ziplist.push(Entry::Bytes(b"x")));
    for (encoding, bytes) in
        [listpack.finish(<[u8]>::to_vec), ziplist.finish(<[u8]>::to_vec)].iter().enumerate()
    {
        assert_eq!(read(encoding, bytes).expect("a long one").len(), 70_000);
    }
}

#[test]
fn an_intset_is_as_wide_as_its_widest() {
    for (numbers, width) in [
        (vec![3, -32_768, 32_767], 2),
        (vec![1, 32_768], 4),
        (vec![-2_147_483_649, 1], 8),
        (vec![i64::MAX, i64::MIN], 8),
        (vec![], 2),
    ] {
        let bytes = intset::write(&mut numbers.clone());
        assert_eq!(usize::from(bytes[0]), width);
        let mut sorted = numbers;
        sorted.sort_unstable();
        let texts: Vec<String> = sorted.iter().map(i64::to_string).collect();
        assert_eq!(read(2, &bytes).expect("an intset"), texts);
    }
}
