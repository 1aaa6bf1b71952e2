//! `swytch completions SHELL`: what completes the command line in a shell, written from the list of directives.

use std::fmt::Write as _;

use super::{UsageError, help};
use crate::config::{Directive, Group, Kind};

/// A shell that can complete command lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    Bash,
    Fish,
    Zsh,
}

/// Understands the name of a shell.
pub(super) fn parse(words: &[Vec<u8>]) -> Result<Shell, UsageError> {
    match words {
        [name] if name == b"bash" => Ok(Shell::Bash),
        [name] if name == b"fish" => Ok(Shell::Fish),
        [name] if name == b"zsh" => Ok(Shell::Zsh),
        _ => Err(UsageError("completions are written for one of bash, fish and zsh".to_owned())),
    }
}

/// The text to be read by the shell.
pub(super) fn text(shell: Shell) -> String {
    match shell {
        Shell::Bash => bash(),
        Shell::Fish => fish(),
        Shell::Zsh => zsh(),
    }
}

/// The words that can stand first.
fn commands() -> Vec<&'static str> {
    let mut names: Vec<_> = help::COMMANDS.iter().filter_map(|(usage, _)| usage.split(' ').next()).collect();
    names.dedup();
    names
}

fn directives() -> impl Iterator<Item = &'static Directive> {
    Group::ALL.iter().flat_map(|group| help::of_group(*group))
}

/// All that can follow `swytch redis`.
fn options() -> String {
    directives().map(|directive| format!("--{}", directive.name)).collect::<Vec<_>>().join(" ")
}

/// The values of a directive that has few.
fn values(directive: &Directive) -> Option<String> {
    match directive.kind {
        Kind::Flag(_) => Some("yes no".to_owned()),
        Kind::Choice(names, _) => Some(names.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" ")),
        _ => None,
    }
}

fn bash() -> String {
    let mut text = format!(
        "_swytch() {{\n    local word=${{COMP_WORDS[COMP_CWORD]}}\n    \
             if [ \"$COMP_CWORD\" -eq 1 ]; then\n        \
             COMPREPLY=($(compgen -W \"{}\" -- \"$word\"))\n        return\n    fi\n    \
             case ${{COMP_WORDS[1]}}:${{COMP_WORDS[COMP_CWORD - 1]}} in\n    \
             completions:completions) COMPREPLY=($(compgen -W \"bash fish zsh\" -- \"$word\")) ;;\n",
        commands().join(" ")
    );
    for directive in directives() {
        if let Some(values) = values(directive) {
            let name = directive.name;
            let _ =
                writeln!(text, "    redis:--{name}) COMPREPLY=($(compgen -W \"{values}\" -- \"$word\")) ;;");
        }
    }
    let _ = write!(
        text,
        "    redis:*)\n        case $word in\n        -*) COMPREPLY=($(compgen -W \"{}\" -- \"$word\")) ;;\n        \
             *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n        esac ;;\n    \
             *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n    esac\n}}\ncomplete -o filenames -F _swytch swytch\n",
        options()
    );
    text
}

fn fish() -> String {
    let mut text = format!(
        "complete -c swytch -n __fish_use_subcommand -f -a '{}'\n\
         complete -c swytch -n '__fish_seen_subcommand_from completions' -f -a 'bash fish zsh'\n",
        commands().join(" ")
    );
    for directive in directives() {
        let (name, summary) = (directive.name, single_quoted(directive.summary));
        let takes = values(directive).map_or("-r".to_owned(), |values| format!("-x -a '{values}'"));
        let _ = writeln!(
            text,
            "complete -c swytch -n '__fish_seen_subcommand_from redis' -l {name} {takes} -d {summary}"
        );
    }
    text
}

fn zsh() -> String {
    let mut text = format!(
        "#compdef swytch\n_swytch() {{\n    if (( CURRENT == 2 )); then\n        compadd {}\n        return\n    fi\n    \
             case $words[2]:$words[CURRENT-1] in\n    completions:completions) compadd bash fish zsh ;;\n",
        commands().join(" ")
    );
    for directive in directives() {
        if let Some(values) = values(directive) {
            let _ = writeln!(text, "    redis:--{}) compadd {values} ;;", directive.name);
        }
    }
    let _ = write!(
        text,
        "    redis:*) if [[ $words[CURRENT] == -* ]]; then compadd -- {}; else _files; fi ;;\n    \
             *) _files ;;\n    esac\n}}\n\
         if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _swytch \"$@\"; else compdef _swytch swytch; fi\n",
        options()
    );
    text
}

/// A word of the shell, whatever stands in it.
fn single_quoted(words: &str) -> String {
    format!("'{}'", words.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_is_told_of_commands_directives_and_values() {
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            let text = text(shell);
            for word in ["check-rdb", "completions", "maxclients", "everysec always no"] {
                assert!(text.contains(word), "{shell:?}: {word}");
            }
        }
        assert_eq!(
            commands(),
            ["redis", "check-rdb", "check-aof", "manual", "completions", "version", "help"]
        );
        assert_eq!(single_quoted(r"it's a \"), r"'it\'s a \\'");
    }
}
