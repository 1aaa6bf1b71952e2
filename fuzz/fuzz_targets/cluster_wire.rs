//! Whatever bytes a peer of our version sends, decoding answers, and an accepted message has a wire form that gives it back.
#![no_main]
use libfuzzer_sys::fuzz_target;
use swytch_cluster::wire::{WIRE_VERSION, Wire, decode, encode};
use swytch_cluster::{Envelope, Greeting};

fuzz_target!(|data: &[u8]| {
    let bytes = [&[WIRE_VERSION], data].concat();
    check::<Envelope>(&bytes);
    check::<Greeting>(&bytes);
});

fn check<T: Wire + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(message) = decode::<T>(bytes) else { return };
    let mut written = Vec::new();
    encode(&message, &mut written);
    assert_eq!(decode(&written).as_ref(), Ok(&message));
}
