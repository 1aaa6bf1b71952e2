//! Random numbers for choices that need not be secret: a generator for each thread, seeded by the system.
//!
//! Source: splitmix64, Steele et al., "Fast splittable pseudorandom number generators" (2014).

use std::cell::Cell;

thread_local! {
    static STATE: Cell<u64> = Cell::new(seed());
}

fn seed() -> u64 {
    // Without randomness from the system the threads' places in memory and the time must do.
    getrandom::u64().unwrap_or_else(|_| crate::system::clock::unix_us() ^ std::ptr::from_ref(&STATE) as u64)
}

/// 64 random bits.
pub fn next_u64() -> u64 {
    STATE.with(|state| {
        state.set(state.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut mixed = state.get();
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}
