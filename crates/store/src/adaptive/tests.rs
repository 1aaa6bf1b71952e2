//! What is kept of uses, what is forgotten, and which rule wins.

use swytch_testkit::Random;

use super::ghosts::Ghosts;
use super::newcomers::Newcomers;
use super::rule::{ONE, Rule, TICKS_PER_TURN};
use super::trial::{KEYS_MAX, RULES, Trials};

#[test]
fn uses_are_halved_once_in_a_half_life_and_the_clock_may_wrap() {
    let rule = Rule::new(2, true);
    for begin in [0, rule.ticks() * 3, (1 << 14) - rule.ticks()] {
        let mut stamp = rule.first(0, begin);
        (0..7).for_each(|_| stamp = rule.used(stamp, begin));
        for (ticks, left) in [(0, 8), (rule.ticks() - 1, 8), (rule.ticks(), 4), (3 * rule.ticks(), 1)] {
            assert_eq!(rule.uses(stamp, begin + ticks), left * ONE, "{ticks} ticks after {begin}");
        }
        assert_eq!(rule.uses(stamp, begin + 7 * rule.ticks()), 0);
    }
}

#[test]
fn more_uses_are_worth_more_and_of_equals_the_rule_says_which_goes() {
    let (counts, does_not) = (Rule::new(6, true), Rule::new(6, false));
    let older = counts.first(0, 10);
    let newer = counts.first(0, 20);
    assert!(counts.worth(older, 30, 1) < counts.worth(newer, 30, 1));
    assert!(counts.worth(newer, 30, 1) < counts.worth(counts.used(older, 11), 30, 1));
    assert!(counts.worth(newer, 30, 2) < counts.worth(older, 30, 1), "what is heavy is worth less");
    let (older, newer) = (does_not.first(0, 10), does_not.first(0, 20));
    assert!(does_not.worth(older, 30, 1) > does_not.worth(newer, 30, 1));
    // What was remembered counts.
    assert!(does_not.worth(does_not.first(3 * ONE, 20), 30, 1) > does_not.worth(older, 30, 1));
}

#[test]
fn what_has_gone_is_known_again_and_forgotten_with_time() {
    let rule = Rule::new(2, true);
    let mut random = Random::new(1);
    let mut ghosts = Ghosts::default();
    ghosts.fit(4000);
    let hashes: Vec<u64> = (0..1000).map(|_| random.next()).collect();
    hashes.iter().for_each(|hash| ghosts.remember(*hash, 4 * ONE, 1));
    let known = |ghosts: &Ghosts| hashes.iter().filter(|hash| ghosts.uses(**hash) == 4 * ONE).count();
    assert!(known(&ghosts) > 700, "{}", known(&ghosts));
    let strangers = (0..1000).filter(|_| ghosts.uses(random.next()) > 0).count();
    assert!(strangers < 50, "{strangers}");
    // More room, and less again.
    ghosts.fit(8000);
    assert!(known(&ghosts) > 700);
    ghosts.fit(2000);
    assert!(known(&ghosts) > 600, "{}", known(&ghosts));
    ghosts.pass_time(rule, rule.ticks());
    assert_eq!(known(&ghosts), 0);
    let halved = hashes.iter().filter(|hash| ghosts.uses(**hash) == 2 * ONE).count();
    assert!(halved > 600, "{halved}");
    for life in 2..=4 {
        ghosts.pass_time(rule, life * rule.ticks());
    }
    assert!(hashes.iter().all(|hash| ghosts.uses(*hash) == 0));
}

#[test]
fn a_key_that_has_come_is_looked_at_once_when_others_have_come_after_it() {
    let newcomers = Newcomers::default();
    let mut seen = Vec::new();
    for hash in 0..100 {
        newcomers.add((0, hash), 1000);
        seen.extend(newcomers.due().map(|(_, hash)| hash));
    }
    assert_eq!(seen, (0..93).collect::<Vec<_>>());
    // Where nobody looks not many wait.
    (0..100).for_each(|hash| newcomers.add((0, hash), 1000));
    assert_eq!(newcomers.due().count(), 4);
}

/// Which rule is the best for keys that are wanted in this order.
fn best(requests: impl Iterator<Item = u64>) -> Rule {
    let mut trials = Trials::new();
    trials.set_keys(KEYS_MAX);
    for number in requests {
        trials.access(Random::new(number).next());
    }
    RULES[trials.verdict().1]
}

#[test]
fn the_rule_follows_what_is_asked_for() {
    const MANY: u64 = 200 * KEYS_MAX as u64;
    let fit = u64::from(KEYS_MAX);
    let mut random = Random::new(3);
    // A loop that is too long: what has just come is not worth more than what has been there.
    let of_loop = best((0..MANY).map(|at| at % (2 * fit)));
    assert!(of_loop.half_life() >= 8, "{of_loop:?}");
    // Some keys are always wanted more often than others.
    let mut skewed = || {
        (1.0 / ((random.next() >> 11) as f64 / (1u64 << 53) as f64 + 1e-4)) as u64 * 7 + random.below(7u64)
    };
    let steady = best((0..MANY).map(|_| skewed()));
    // All that is wanted is new: only what came of late is wanted again.
    let mut random = Random::new(4);
    let drifting = best((0..MANY).map(|at| at / 8 + random.below(fit / 2)));
    assert!(steady.half_life() >= 16 && drifting.half_life() <= 2, "{steady:?} {drifting:?}");
}

#[test]
fn a_small_cache_keeps_some_of_a_loop_before_it_has_come_again() {
    let mut trials = Trials::new();
    for (keys, newcomers_count) in [(KEYS_MAX, true), (KEYS_MAX / 4, false)] {
        trials.set_keys(keys);
        let newcomer = |rule: Rule| rule.first(0, 0);
        let first = newcomer(RULES[trials.verdict().1]);
        assert_eq!(first == newcomer(Rule::new(0, true)), newcomers_count, "{keys}");
    }
}

#[test]
fn the_clock_ticks_with_uses() {
    let mut trials = Trials::new();
    trials.set_keys(KEYS_MAX);
    (0..2 * u64::from(KEYS_MAX)).for_each(|at| _ = trials.access(at + 1));
    assert_eq!(trials.verdict().0, 2 * TICKS_PER_TURN);
}
