//! Glob matching ends soon for every pattern, and a text matches itself when every byte of it is escaped.
//!
//! The first byte says where the pattern ends and the text begins.
#![no_main]
use libfuzzer_sys::fuzz_target;
use swytch::system::glob::{has_wildcard, matches};

fuzz_target!(|data: &[u8]| {
    let Some((&cut, rest)) = data.split_first() else { return };
    let (pattern, text) = rest.split_at(usize::from(cut).min(rest.len()));
    let found = matches(pattern, text, false);
    // In a set Redis lowers the ends of a range and the byte, which can move the byte out of the range.
    if found && !pattern.contains(&b'[') {
        assert!(matches(pattern, text, true), "ignoring case lost a match");
    }
    if !has_wildcard(pattern) && !pattern.contains(&b'\\') {
        assert_eq!(found, pattern == text, "without a wildcard a pattern is a text");
    }
    let escaped: Vec<u8> = text.iter().flat_map(|&byte| [b'\\', byte]).collect();
    assert!(matches(&escaped, text, false));
    // As in Redis, no pattern with a byte in it matches the empty text.
    assert_eq!(matches(b"*", text, false), !text.is_empty());
});
