//! `swytch manual`: the manual page, written from the list of directives in the language of man(7).

use std::fmt::Write as _;

use super::help;
use crate::SWYTCH_VERSION;
use crate::config::Group;

/// The page.
pub(super) fn page() -> String {
    let mut page = format!(".TH SWYTCH 1 \"\" \"swytch {}\" \"User Commands\"\n", text(SWYTCH_VERSION));
    page.push_str(".SH NAME\nswytch \\- a Redis server without a leader\n.SH SYNOPSIS\n");
    for (usage, _) in help::COMMANDS {
        let _ = writeln!(page, ".B swytch\n{}\n.br", text(usage));
    }
    let _ = writeln!(
        page,
        ".SH DESCRIPTION\nServes what talks to Redis, on every core. {}\n.PP\n{}",
        text(help::ABOUT_FILES),
        text(help::ABOUT_UNITS)
    );
    page.push_str(".SH COMMANDS\n");
    for (usage, summary) in help::COMMANDS {
        let _ = writeln!(page, ".TP\n.B {}\n{}", text(usage), text(summary));
    }
    page.push_str(".SH DIRECTIVES\nEach stands in a file as \\fINAME VALUE\\fR, too.\n");
    for group in Group::ALL {
        let mut directives = help::of_group(*group).peekable();
        if directives.peek().is_some() {
            let _ = writeln!(page, ".SS {}", text(group.title()));
        }
        for directive in directives {
            let (takes, default) = (help::placeholder(directive), help::default(directive));
            let _ = writeln!(
                page,
                ".TP\n\\fB{}\\fR \\fI{}\\fR",
                text(&format!("--{}", directive.name)),
                text(&takes)
            );
            let _ = writeln!(page, "{}{}", text(directive.summary), text(&default));
        }
    }
    page.push_str(".SH EXAMPLES\n.nf\n");
    help::EXAMPLES.iter().for_each(|example| page.extend([&text(example), "\n"]));
    page.push_str(
        ".fi\n.SH EXIT STATUS\n0 after a clean stop, 1 when the configuration is wrong or the server failed, 2 when the \
         command line was not understood.\n.SH SEE ALSO\n.BR redis\\-cli (1)\n",
    );
    page
}

/// Running text with the characters escaped that mean something there.
fn text(words: &str) -> String {
    let escaped = words.replace('\\', "\\e").replace('-', "\\-");
    let lines = escaped.lines().map(|line| match line.starts_with(['.', '\'']) {
        true => format!("\\&{line}"),
        false => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_not_taken_for_requests() {
        assert_eq!(text(".SH 'x'\n'y\\ a-b"), "\\&.SH 'x'\n\\&'y\\e a\\-b");
        assert!(page().contains(".TP\n\\fB\\-\\-port\\fR \\fINUMBER\\fR\nTCP port"));
    }
}
