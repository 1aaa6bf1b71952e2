//! Splitting a line into words and quoting a word, as in redis.conf and on the command line.
//!
//! The rules are those of `sdssplitargs` and `sdscatrepr` in Redis's `src/sds.c`: words are separated by
//! white space; `"..."` knows `\n \r \t \b \a \xHH` and `\` before any other byte; `'...'` knows `\'`;
//! a closing quote must be followed by white space. `split(quote(x))` is always `[x]`.

/// Splits `line` into words; `None` when a quote is left open or runs into the next word.
pub fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut bytes, mut lengths) = (Vec::new(), Vec::new());
    swytch_resp::parse::split_words(line, &mut bytes, &mut lengths).ok()?;
    let mut rest = bytes.as_slice();
    let words = lengths.into_iter().map(|len| {
        let (word, tail) = rest.split_at(len);
        rest = tail;
        word.to_vec()
    });
    Some(words.collect())
}

/// Writes `word` in double quotes so that [`split`] reads it back.
pub fn quote(word: &[u8]) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(word.len() + 2);
    crate::system::escape::push_quoted(&mut quoted, word);
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<&[&str]>) {
        let words = split(line.as_bytes()).map(|words| {
            words.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect::<Vec<_>>()
        });
        let expected = expected.map(|words| words.iter().map(|word| word.to_string()).collect::<Vec<_>>());
        assert_eq!(words, expected, "{line:?}");
    }

    #[test]
    fn plain_words_and_spaces() {
        check("", Some(&[]));
        check("  \t ", Some(&[]));
        check("save 900 1", Some(&["save", "900", "1"]));
        check(" a\tb\r\nc ", Some(&["a", "b", "c"]));
    }

    #[test]
    fn quotes_and_escapes() {
        check("save \"\"", Some(&["save", ""]));
        check("a \"b c\" 'd e'", Some(&["a", "b c", "d e"]));
        check(r#""\x41\n\"\q""#, Some(&["A\n\"q"]));
        check(r"'it\'s \n'", Some(&["it's \\n"]));
        check("pre\"quoted part\" x", Some(&["prequoted part", "x"]));
        check(r#""\xZZ""#, Some(&["xZZ"]));
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        for line in ["\"open", "'open", "\"a\"b", "'a'b", "\"a\\\"", "a \"", "\"\\"] {
            check(line, None);
        }
    }

    #[test]
    fn quoting_is_undone_by_splitting() {
        let word: Vec<u8> = (0..=255).collect();
        assert_eq!(split(&quote(&word)), Some(vec![word]));
        assert_eq!(quote(b"a\"\x01"), b"\"a\\\"\\x01\"");
    }
}
