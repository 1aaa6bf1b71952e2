//! Whatever bytes a peer of our version sends, decoding answers, and an accepted message has a wire form that gives it back.
#![no_main]
use libfuzzer_sys::fuzz_target;
use swytch_cluster::wire::{WIRE_VERSION, decode, encode};

fuzz_target!(|data: &[u8]| {
    let Ok(message) = decode(&[&[WIRE_VERSION], data].concat()) else { return };
    let mut written = Vec::new();
    encode(&message, &mut written);
    assert_eq!(decode(&written).as_ref(), Ok(&message));
});
