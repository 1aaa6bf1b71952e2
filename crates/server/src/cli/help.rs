//! The help texts, written from the list of directives.

use crate::config::{DIRECTIVES, Directive, Group, Kind, Standing};
use std::fmt::Write;

/// Column at which the summaries begin.
const SUMMARY_COLUMN: usize = 46;
/// A default longer than this is not shown.
const DEFAULT_LENGTH_MAX: usize = 40;
/// Width of a line of running text.
const WIDTH: usize = 100;

/// What the program can be told, and what it does then.
pub(super) const COMMANDS: [(&str, &str); 8] = [
    ("redis [CONFIG-FILE] [--DIRECTIVE VALUE ...]", "run the server"),
    ("redis --help", "list the directives"),
    ("check-rdb FILE", "check an RDB file and say what is in it"),
    ("check-aof PATH [--fix]", "check an append-only log, and cut off its broken end"),
    ("manual", "write the manual page, for man"),
    ("completions bash|fish|zsh", "write what completes the command line in a shell"),
    ("version", "say the version"),
    ("help", "say this"),
];

/// How the server is run.
pub(super) const EXAMPLES: [&str; 5] = [
    "swytch redis",
    "swytch redis /etc/redis/redis.conf --port 6380",
    "swytch redis --port 6380 --maxmemory 4gb --metrics-port 9090",
    "swytch redis --unixsocket /run/swytch.sock --unixsocketperm 700 --bind \"\"",
    "swytch redis --save \"\" --requirepass secret --threads 4",
];

/// What stands in CONFIG-FILE.
pub(super) const ABOUT_FILES: &str = "CONFIG-FILE has the syntax of redis.conf, and so has standard input, which is\n\
     read when the first or the last argument is '-'. What stands later counts.";

/// What memory is given in.
pub(super) const ABOUT_UNITS: &str = "Units of memory: k m g (powers of 1000), kb mb gb (powers of 1024).";

/// `swytch help`.
pub(super) fn overview() -> String {
    let mut text = format!("{}\nA Redis server without a leader.\n\nUsage:\n", super::version());
    for (usage, summary) in COMMANDS {
        let _ = writeln!(text, "  swytch {usage:44}  {summary}");
    }
    text.push_str("\nExamples:\n");
    EXAMPLES[..3].iter().for_each(|example| text.extend(["  ", example, "\n"]));
    text
}

/// `swytch redis --help`.
pub(super) fn redis() -> String {
    let mut text = format!(
        "Usage: swytch redis [CONFIG-FILE] [--DIRECTIVE VALUE ...] [-]\n\n\
         Runs the server. {ABOUT_FILES}\n\nExamples:\n"
    );
    EXAMPLES.iter().for_each(|example| text.extend(["  ", example, "\n"]));
    text.extend(["\n", ABOUT_UNITS, "\n"]);
    for group in Group::ALL {
        let with_meaning: Vec<&Directive> = of_group(*group).collect();
        if with_meaning.is_empty() {
            continue;
        }
        let _ = write!(text, "\n{}:\n", group.title());
        for directive in with_meaning {
            text.push_str(&entry(directive));
        }
    }
    let without_meaning = |refused: bool| {
        let others = DIRECTIVES.iter().filter(|directive| !directive.hidden && !has_meaning(directive));
        let of_a_kind =
            others.filter(move |directive| matches!(directive.standing, Standing::Refused { .. }) == refused);
        wrapped(of_a_kind.map(|directive| directive.name))
    };
    text.push_str(
        "\nAccepted so that a redis.conf works, and without a meaning here (a line in the log each):\n",
    );
    text.push_str(&without_meaning(false));
    text.push_str("\nRefused but at their default, because to ignore them would cost data or safety:\n");
    text.push_str(&without_meaning(true));
    text
}

/// The directives of a group that do something, in their order.
pub(super) fn of_group(group: Group) -> impl Iterator<Item = &'static Directive> {
    DIRECTIVES.iter().filter(move |directive| directive.group == group && has_meaning(directive))
}

fn has_meaning(directive: &Directive) -> bool {
    let means_something = match directive.standing {
        Standing::Honoured => true,
        Standing::Harmless(_) => false,
        Standing::Refused { fine, .. } => !fine.is_empty(),
    };
    !directive.hidden && means_something
}

/// One directive: its option, what it takes, the summary, and the default.
fn entry(directive: &Directive) -> String {
    let mut option = format!("  --{} {}", directive.name, placeholder(directive));
    if option.len() >= SUMMARY_COLUMN {
        option.push('\n');
        option.push_str(&" ".repeat(SUMMARY_COLUMN));
    }
    format!("{option:SUMMARY_COLUMN$}{}{}\n", directive.summary, default(directive))
}

/// What a directive takes.
pub(super) fn placeholder(directive: &Directive) -> String {
    match directive.kind {
        Kind::Flag(_) => "yes|no".to_owned(),
        Kind::Integer(..) => "NUMBER".to_owned(),
        Kind::Octal(..) => "MODE".to_owned(),
        Kind::Memory(..) => "BYTES".to_owned(),
        Kind::MemoryOrShare(..) | Kind::MemoryOrPercent(..) => "BYTES|PERCENT%".to_owned(),
        Kind::Choice(names, _) if names.len() <= 3 => {
            let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
            names.join("|")
        }
        Kind::Choice(..) => "NAME".to_owned(),
        Kind::Text { .. } => "TEXT".to_owned(),
        Kind::Special(_) if directive.several_words => "WORD...".to_owned(),
        Kind::Special(_) => "TEXT".to_owned(),
    }
}

/// The default as the help shows it: ` [6379]`, or nothing.
pub(super) fn default(directive: &Directive) -> String {
    let default = directive.default_text();
    match default.len() {
        0 | DEFAULT_LENGTH_MAX.. => String::new(),
        _ => format!(" [{default}]"),
    }
}

/// The names as running text.
fn wrapped<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    let mut line = String::new();
    for name in names {
        if line.len() + name.len() + 1 > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line.clear();
        }
        line.push_str(if line.is_empty() { "  " } else { " " });
        line.push_str(name);
    }
    text + &line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_visible_directive_is_in_the_help() {
        let help = redis();
        for directive in &DIRECTIVES {
            let option = match has_meaning(directive) {
                true => format!("  --{} ", directive.name),
                false => directive.name.to_owned(),
            };
            let shown = help.contains(&option);
            assert_eq!(shown, !directive.hidden, "{}", directive.name);
        }
    }

    #[test]
    fn lines_fit_a_wide_terminal() {
        for line in redis().lines().chain(overview().lines()) {
            assert!(line.len() <= 160, "{line}");
        }
    }
}
