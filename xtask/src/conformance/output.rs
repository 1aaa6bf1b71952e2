//! Reading what the Redis test suite prints.
//!
//! One line per test, its state in brackets: `[ok]: name (3 ms)`, `[err]: name in tests/unit/x.tcl` with details
//! on the lines below, `[ignore]: Tag: slow denied` for a test or a whole block that the tags leave out, and
//! `[exception]: ...` when the file's own script gave up.

/// What one run of one file came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    /// Names of the passed tests, a name as often as it passed.
    pub(crate) ok: Vec<String>,
    /// Failed tests with the first lines of the suite's explanation.
    pub(crate) failed: Vec<Failed>,
    /// Tests or blocks left out by tags or by the suite itself.
    pub(crate) ignored: usize,
    /// Why the file did not run to its end.
    pub(crate) broken_off: Option<String>,
    /// How the recorded effects of the run differ from what it did.
    pub(crate) unfaithful: Option<String>,
}

/// One failed test.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failed {
    /// The test's name, or the suite's message where the failure lies outside a test.
    pub(crate) name: String,
    /// The first line of the explanation.
    pub(crate) detail: String,
}

/// How many lines of an exception's trace are worth keeping.
const TRACE_LINES: usize = 6;

/// Reads a whole run.
pub(crate) fn parse(text: &str) -> Outcome {
    let mut outcome = Outcome::default();
    let lines: Vec<&str> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let Some((state, rest)) = split_state(line) else { continue };
        let following = || lines.get(index + 1).copied().unwrap_or_default().trim().to_owned();
        match state {
            "ok" => outcome.ok.push(without_duration(rest).to_owned()),
            "ignore" | "skip" => outcome.ignored += 1,
            "err" => {
                let (name, detail) = match rest.rsplit_once(" in tests/") {
                    Some((name, _)) => (name.to_owned(), following()),
                    None => (rest.to_owned(), following()),
                };
                outcome.failed.push(Failed { name, detail });
            }
            "exception" => {
                let trace = &lines[index + 1..lines.len().min(index + 1 + TRACE_LINES)];
                outcome.broken_off = Some(format!("{rest} {}", trace.join(" ").trim()));
            }
            "TIMEOUT" | "timeout" => outcome.broken_off = Some("the suite saw no progress".to_owned()),
            _ => {}
        }
    }
    outcome
}

/// `[ok]: rest` is `("ok", "rest")`.
fn split_state(line: &str) -> Option<(&str, &str)> {
    let (state, rest) = line.strip_prefix('[')?.split_once("]:")?;
    Some((state, rest.trim()))
}

/// `name (3 ms)` is `name`.
fn without_duration(text: &str) -> &str {
    let Some((name, duration)) = text.rsplit_once(" (") else { return text };
    let is_duration =
        duration.strip_suffix(" ms)").is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    if is_duration { name } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_told_apart() {
        let outcome = parse(
            "Testing unit/quit\n[ok]: SET (a) and GET (0 ms)\n[ignore]: large memory flag not provided\n\
             [skip]: left out\n[err]: Blocks in time in tests/unit/quit.tcl\nExpected '1' to be equal to '2'\n\
             [ok]: SET (a) and GET (12 ms)\n*** [err]: Blocks in time in tests/unit/quit.tcl\n",
        );
        assert_eq!(outcome.ok, ["SET (a) and GET", "SET (a) and GET"]);
        assert_eq!(outcome.ignored, 2);
        let detail = "Expected '1' to be equal to '2'".to_owned();
        assert_eq!(outcome.failed, [Failed { name: "Blocks in time".to_owned(), detail }]);
        assert_eq!(outcome.broken_off, None);
    }

    #[test]
    fn an_exception_breaks_the_file_off() {
        let outcome =
            parse("[ok]: one (0 ms)\n[exception]: Executing test client: ERR unknown command.\nERR unknown");
        assert_eq!(outcome.ok.len(), 1);
        assert!(outcome.broken_off.expect("an exception was printed").contains("unknown command"));
    }
}
