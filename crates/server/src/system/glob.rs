//! Redis's glob patterns over bytes, as KEYS, SCAN MATCH, CONFIG GET and PSUBSCRIBE use them.
//!
//! The language is that of `stringmatchlen` in Redis's `src/util.c`: `*`, `?`, `[set]`, `[^set]`,
//! `[a-z]` and `\x`. Its corner cases are kept because applications can see them:
//! an empty text is matched by the empty pattern only (not by `*`), a set that is never closed ends
//! where the pattern ends, and an escaped byte inside a set is compared with its case.
//! One deviation: ranges compare unsigned bytes on every platform, where C's answer depends on the
//! signedness of `char`.
//!
//! A pattern of more than [`STARS_MAX`] separate `*` matches nothing, as there.
//!
//! Invariant: time is at most proportional to `pattern.len() * text.len()`. Only the last `*` is ever
//! tried again, which is enough because whatever an earlier `*` could swallow the last one can too.

/// Most `*` that a match may go through; the last one of a pattern that ends with it does not count.
const STARS_MAX: usize = 1000;

/// Whether `pattern` matches the whole of `text`; with `nocase`, ASCII letters match in both cases.
pub fn matches(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut at, mut position) = (0, 0);
    // After the last `*`: where its rest begins in the pattern, and in the text.
    let mut retry: Option<(usize, usize)> = None;
    let mut stars = 0;
    while position < text.len() {
        if at < pattern.len() {
            if pattern[at] == b'*' {
                at += pattern[at..].iter().take_while(|&&byte| byte == b'*').count();
                if at == pattern.len() {
                    return true;
                }
                stars += 1;
                if stars > STARS_MAX {
                    return false;
                }
                retry = Some((at, position));
                continue;
            }
            if let Some(next) = match_one(pattern, at, text[position], nocase) {
                at = next;
                position += 1;
                continue;
            }
        }
        let Some((rest, start)) = retry else {
            return false;
        };
        at = rest;
        position = start + 1;
        retry = Some((rest, position));
    }
    // A longer stretch for the last `*` would leave less text for the same rest: no second try.
    pattern[at..].iter().all(|&byte| byte == b'*')
}

/// Whether `pattern` holds any of the characters that make it more than a plain name.
///
/// A backslash does not count: Redis asks the same question before CONFIG GET's direct look-up.
pub fn has_wildcard(pattern: &[u8]) -> bool {
    pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['))
}

/// Matches one text byte against the pattern element at `at`; answers where the next element begins.
fn match_one(pattern: &[u8], at: usize, byte: u8, nocase: bool) -> Option<usize> {
    match pattern[at] {
        b'?' => Some(at + 1),
        b'[' => match_set(pattern, at + 1, byte, nocase),
        b'\\' if at + 1 < pattern.len() => same(pattern[at + 1], byte, nocase).then_some(at + 2),
        literal => same(literal, byte, nocase).then_some(at + 1),
    }
}

/// Matches `byte` against the set whose first byte after `[` is at `at`.
fn match_set(pattern: &[u8], mut at: usize, byte: u8, nocase: bool) -> Option<usize> {
    let fold = |b: u8| if nocase { b.to_ascii_lowercase() } else { b };
    let negated = pattern.get(at) == Some(&b'^');
    if negated {
        at += 1;
    }
    let mut found = false;
    loop {
        let rest = &pattern[at..];
        match rest {
            [] => break,
            [b'\\', escaped, ..] => {
                found |= *escaped == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [first, b'-', last, ..] => {
                // Ordered before folding, as Redis does: the two orders differ for ranges such as Z-a.
                let (low, high) = (*first.min(last), *first.max(last));
                found |= (fold(low)..=fold(high)).contains(&fold(byte));
                at += 3;
            }
            [single, ..] => {
                found |= same(*single, byte, nocase);
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

fn same(left: u8, right: u8, nocase: bool) -> bool {
    left == right || (nocase && left.eq_ignore_ascii_case(&right))
}

#[cfg(test)]
mod tests {
    use swytch_testkit::Random;

    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: bool) {
        let answer = matches(pattern.as_bytes(), text.as_bytes(), false);
        assert_eq!(answer, expected, "pattern {pattern:?} on {text:?}");
    }

    #[test]
    fn stars_and_question_marks() {
        check("*", "anything", true);
        check("h?llo", "hello", true);
        check("h?llo", "hllo", false);
        check("h*llo", "heeeello", true);
        check("h*llo", "hllo", true);
        check("*b*", "abc", true);
        check("a*b*c", "aXbYcZc", true);
        check("a*b*c", "aXbYcZ", false);
        check("foo***", "foo", true);
        check("foo*?", "foo", false);
        check("", "a", false);
    }

    #[test]
    fn an_empty_text_matches_only_the_empty_pattern() {
        check("", "", true);
        check("*", "", false);
        check("[", "", false);
    }

    #[test]
    fn sets_ranges_and_negation() {
        check("h[ae]llo", "hallo", true);
        check("h[ae]llo", "hillo", false);
        check("h[^e]llo", "hbllo", true);
        check("h[^e]llo", "hello", false);
        check("h[a-c]llo", "hbllo", true);
        check("h[c-a]llo", "hbllo", true);
        check("h[a-c]llo", "hdllo", false);
        check("[]x", "ax", false);
        check("[^]x", "ax", true);
        check("[a-]x", "bx", false);
    }

    #[test]
    fn an_unclosed_set_ends_with_the_pattern() {
        check("[abc", "b", true);
        check("[abc", "d", false);
        check("[", "a", false);
        check("[^", "a", true);
        check("x[a-", "x-", true);
    }

    #[test]
    fn escapes() {
        check("h\\*llo", "h*llo", true);
        check("h\\*llo", "hello", false);
        check("[\\]]", "]", true);
        check("[\\a-c]", "-", true);
        check("tail\\", "tail\\", true);
    }

    #[test]
    fn case_folding() {
        assert!(matches(b"HeL*", b"hello", true));
        assert!(matches(b"[A-C]x", b"bX", true));
        assert!(matches(b"[B]", b"b", true));
        assert!(!matches(b"[\\B]", b"b", true), "escaped set members keep their case");
        assert!(!matches(b"HeL*", b"hello", false));
    }

    #[test]
    fn high_bytes_are_unsigned() {
        assert!(matches(b"[\x01-\xff]", b"\x80", false));
        assert!(!matches(b"[\x01-\x7f]", b"\x80", false));
    }

    /// Redis's CVE-2022-36021: a pattern of many stars took exponential time.
    #[test]
    fn many_stars_do_not_explode() {
        let pattern = b"a*".repeat(1_000);
        let text = b"a".repeat(20_000);
        assert!(matches(&pattern, &text, false));
        assert!(!matches(&b"a*".repeat(1_002), &text, false), "more stars than Redis goes through");
        let mut failing = pattern;
        failing.push(b'b');
        assert!(!matches(&failing, &text, false));
    }

    /// The definition, without any cleverness: every `*` tries every length.
    fn reference(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|skip| reference(rest, &text[skip..])),
            Some(_) => text.split_first().is_some_and(|(first, tail)| {
                match_one(pattern, 0, *first, false).is_some_and(|next| reference(&pattern[next..], tail))
            }),
        }
    }

    #[test]
    fn agrees_with_the_definition_on_random_patterns() {
        let mut random = Random::from_environment();
        let mut text_of = |letters: &[u8], len_min: usize| -> Vec<u8> {
            let len = len_min + random.below(8_usize);
            (0..len).map(|_| letters[random.below(letters.len())]).collect()
        };
        for round in 0..20_000 {
            let (pattern, text) = (text_of(b"ab*?[]^-\\", 0), text_of(b"ab-]", 1));
            assert_eq!(
                matches(&pattern, &text, false),
                reference(&pattern, &text),
                "round {round}: {:?} on {:?}",
                String::from_utf8_lossy(&pattern),
                String::from_utf8_lossy(&text)
            );
        }
    }
}
