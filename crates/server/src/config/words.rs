//! Splitting a line into words and quoting a word, as in redis.conf and on the command line.
//!
//! The rules are those of `sdssplitargs` and `sdscatrepr` in Redis's `src/sds.c`: words are separated by
//! white space; `"..."` knows `\n \r \t \b \a \xHH` and `\` before any other byte; `'...'` knows `\'`;
//! a closing quote must be followed by white space. `split(quote(x))` is always `[x]`.

/// Splits `line` into words; `None` when a quote is left open or runs into the next word.
pub fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = skip_spaces(rest);
        if rest.is_empty() {
            return Some(words);
        }
        let mut word = Vec::new();
        rest = take_word(rest, &mut word)?;
        words.push(word);
    }
}

/// Writes `word` in double quotes so that [`split`] reads it back.
pub fn quote(word: &[u8]) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(word.len() + 2);
    quoted.push(b'"');
    for &byte in word {
        match byte {
            b'\\' | b'"' => quoted.extend([b'\\', byte]),
            b'\n' => quoted.extend(b"\\n"),
            b'\r' => quoted.extend(b"\\r"),
            b'\t' => quoted.extend(b"\\t"),
            0x07 => quoted.extend(b"\\a"),
            0x08 => quoted.extend(b"\\b"),
            b' '..=b'~' => quoted.push(byte),
            _ => quoted.extend(format!("\\x{byte:02x}").into_bytes()),
        }
    }
    quoted.push(b'"');
    quoted
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn skip_spaces(line: &[u8]) -> &[u8] {
    let start = line.iter().position(|&byte| !is_space(byte));
    &line[start.unwrap_or(line.len())..]
}

/// Reads one word off the front of `line`; answers what follows it.
fn take_word<'a>(line: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut rest = line;
    while let Some((&first, tail)) = rest.split_first() {
        match first {
            b' ' | b'\n' | b'\r' | b'\t' => return Some(tail),
            b'"' => return take_double_quoted(tail, word),
            b'\'' => return take_single_quoted(tail, word),
            _ => word.push(first),
        }
        rest = tail;
    }
    Some(rest)
}

fn take_double_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return None,
            [b'"', tail @ ..] => return after_quote(tail),
            [b'\\', b'x', high, low, tail @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                word.push(hex(*high) * 16 + hex(*low));
                rest = tail;
            }
            [b'\\', escaped, tail @ ..] => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => *other,
                });
                rest = tail;
            }
            [plain, tail @ ..] => {
                word.push(*plain);
                rest = tail;
            }
        }
    }
}

fn take_single_quoted<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return None,
            [b'\\', b'\'', tail @ ..] => {
                word.push(b'\'');
                rest = tail;
            }
            [b'\'', tail @ ..] => return after_quote(tail),
            [plain, tail @ ..] => {
                word.push(*plain);
                rest = tail;
            }
        }
    }
}

fn after_quote(rest: &[u8]) -> Option<&[u8]> {
    rest.first().is_none_or(|&byte| is_space(byte)).then_some(rest)
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
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
