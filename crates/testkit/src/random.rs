//! Random choices that a printed seed repeats.
//!
//! Source: splitmix64, Steele et al., "Fast splittable pseudorandom number generators" (2014).

/// The variable that sets the seed of every randomised test.
pub const SEED_VARIABLE: &str = "SWYTCH_TEST_SEED";

/// A small deterministic generator. Not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The generator whose choices are determined by `seed`.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A generator with the seed of `SWYTCH_TEST_SEED`, or one from the clock.
    pub fn from_environment() -> Random {
        Random(seed())
    }

    /// 64 random bits.
    #[allow(clippy::should_implement_trait, reason = "it never ends, so there is no Option to answer")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    ///
    /// # Panics
    /// When `bound` is not positive.
    pub fn below<N: Number>(&mut self, bound: N) -> N {
        N::from_bits(self.next() % bound.to_bits())
    }

    /// True once in `of` times.
    pub fn once_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    /// One of several.
    ///
    /// # Panics
    /// When there is none.
    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// Another generator, for a thread of its own.
    pub fn fork(&mut self) -> Random {
        Random(self.next())
    }
}

/// The seed of `SWYTCH_TEST_SEED`, or one from the clock; printed, so that a test that fails shows it.
///
/// # Panics
/// When the variable holds no number.
pub fn seed() -> u64 {
    let seed = match std::env::var(SEED_VARIABLE) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{SEED_VARIABLE} is no number: {text:?}")),
        Err(_) => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.map_or(1, |since| since.as_nanos() as u64)
        }
    };
    println!("{SEED_VARIABLE}={seed}");
    seed
}

/// Types that [`Random::below`] answers.
pub trait Number {
    /// A number of this type below the bound that the bits came from.
    fn from_bits(bits: u64) -> Self;
    /// The bound as bits.
    fn to_bits(self) -> u64;
}

macro_rules! number {
    ($($kind:ty),*) => {
        $(impl Number for $kind {
            fn from_bits(bits: u64) -> $kind {
                bits as $kind
            }

            fn to_bits(self) -> u64 {
                u64::try_from(self).expect("a bound is not negative")
            }
        })*
    };
}

number!(i32, u8, u32, u64, usize, i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choices_are_a_function_of_the_seed() {
        let choices = |seed| (0..8).map(|_| Random::new(seed).next()).collect::<Vec<_>>();
        assert_eq!(choices(7), choices(7));
        assert_ne!(choices(7), choices(8));
        // The first number of the reference implementation.
        assert_eq!(Random::new(0).next(), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn numbers_below_a_bound_are_all_reached() {
        let mut random = Random::new(1);
        let mut seen = [0; 5];
        (0..1000).for_each(|_| seen[random.below(5_usize)] += 1);
        assert!(seen.iter().all(|&times| times > 120), "{seen:?}");
    }
}
