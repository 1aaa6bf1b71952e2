//! The list of every directive, in groups; everything else is derived from it.
//!
//! Names, types, ranges and defaults are those of Redis 8.0 (`src/config.c`), together with what only
//! Redis 7.0 knows and with this server's own. To add a directive, add it to the file of its group; a
//! typed getter goes to `getters.rs`. The tests below forbid duplicates and incomplete entries.

mod data;
mod followers;
mod inert;
mod server;

use super::directive::Directive;
#[cfg(test)]
use super::value;

const PARTS: [&[Directive]; 4] = [server::LIST, data::LIST, followers::LIST, inert::LIST];

/// How many directives there are.
pub(super) const COUNT: usize = {
    let (mut total, mut part) = (0, 0);
    while part < PARTS.len() {
        total += PARTS[part].len();
        part += 1;
    }
    total
};

/// Every directive. A directive's index here is its slot in [`super::Config`].
pub static DIRECTIVES: [Directive; COUNT] = {
    let mut all = [PARTS[0][0]; COUNT];
    let (mut next, mut part) = (0, 0);
    while part < PARTS.len() {
        let mut index = 0;
        while index < PARTS[part].len() {
            all[next] = PARTS[part][index];
            next += 1;
            index += 1;
        }
        part += 1;
    }
    all
};

/// Names that a file may still hold although the server that knew them has dropped them, with what
/// became of them. They have no value: CONFIG GET does not know them.
pub(super) const RETIRED: &[(&str, &str)] = &[
    ("list-max-ziplist-entries", "list-max-listpack-size took its place in Redis 3.2"),
    ("list-max-ziplist-value", "list-max-listpack-size took its place in Redis 3.2"),
    ("lua-replicate-commands", "effects of scripts are always what is passed on"),
];

/// Directives that exist only in files, beside [`DIRECTIVES`] and [`RETIRED`].
pub const FILE_ONLY: &[&str] = &["include", "rename-command", "user", "loadmodule", "sentinel"];

/// The slot of the directive called `name` (primary name), at compile time.
///
/// A name that does not exist fails the build.
pub(super) const fn slot(name: &str) -> usize {
    let mut index = 0;
    while index < COUNT {
        if equal(DIRECTIVES[index].name.as_bytes(), name.as_bytes()) {
            return index;
        }
        index += 1;
    }
    panic!("no directive has this name");
}

const fn equal(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let mut index = 0;
    while index < left.len() {
        if left[index] != right[index] {
            return false;
        }
        index += 1;
    }
    true
}

/// Finds a directive by its name or alias, in any case; also answers its slot.
pub(super) fn find(name: &[u8]) -> Option<(usize, &'static Directive)> {
    DIRECTIVES.iter().enumerate().find(|(_, directive)| directive.is_called(name))
}

/// The known directive name that looks most like `name`, if one looks like it at all.
pub(super) fn nearest(name: &[u8]) -> Option<&'static str> {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let names = DIRECTIVES
        .iter()
        .filter(|directive| !directive.hidden)
        .flat_map(|directive| std::iter::once(directive.name).chain(directive.alias))
        .chain(FILE_ONLY.iter().copied());
    names
        .map(|known| (edit_distance(&name, known), known))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, known)| *distance <= known.len().max(name.len()) / 3)
        .map(|(_, known)| known)
}

/// Edits (insert, delete, replace, swap of neighbours) between two names: optimal string alignment.
fn edit_distance(left: &str, right: &str) -> usize {
    // A mistyped name is short; beyond this it is not a name, and the table below stays small.
    const LENGTH_MAX: usize = 64;
    if left.len() > LENGTH_MAX {
        return usize::MAX;
    }
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let width = right.len() + 1;
    let mut table = vec![0; (left.len() + 1) * width];
    for row in 0..=left.len() {
        for column in 0..width {
            table[row * width + column] = if row == 0 || column == 0 {
                row + column
            } else {
                let differs = usize::from(left[row - 1] != right[column - 1]);
                let mut best = (table[(row - 1) * width + column] + 1)
                    .min(table[row * width + column - 1] + 1)
                    .min(table[(row - 1) * width + column - 1] + differs);
                let swapped = row > 1
                    && column > 1
                    && left[row - 1] == right[column - 2]
                    && left[row - 2] == right[column - 1];
                if swapped {
                    best = best.min(table[(row - 2) * width + column - 2] + 1);
                }
                best
            };
        }
    }
    table[left.len() * width + right.len()]
}

#[cfg(test)]
mod tests {
    use super::super::directive::{Group, Kind, Standing};
    use super::*;

    #[test]
    fn names_are_unique_and_lower_case() {
        let mut seen = std::collections::HashSet::new();
        let names = DIRECTIVES
            .iter()
            .flat_map(|directive| std::iter::once(directive.name).chain(directive.alias))
            .chain(FILE_ONLY.iter().copied())
            .chain(RETIRED.iter().map(|(name, _)| *name));
        for name in names {
            assert!(seen.insert(name), "{name} is declared twice");
            assert_eq!(name, name.to_ascii_lowercase());
        }
    }

    #[test]
    fn entries_are_complete() {
        for directive in &DIRECTIVES {
            let name = directive.name;
            assert!(directive.summary.ends_with('.'), "{name}: the summary is a sentence");
            assert!(directive.summary.len() <= 90, "{name}: the summary does not fit a line of --help");
            assert!(Group::ALL.contains(&directive.group));
            match directive.standing {
                Standing::Honoured => {}
                Standing::Harmless(reason) | Standing::Refused { reason, .. } => {
                    assert!(!reason.is_empty() && !reason.ends_with('.'), "{name}: {reason}");
                }
            }
        }
    }

    /// What stands in the table as honoured is read by the server somewhere outside the configuration. What only
    /// CONFIG GET would show again is harmless or refused, each with its reason.
    #[test]
    fn honoured_directives_are_read_by_the_server() {
        let sources = sources_outside_config();
        for directive in DIRECTIVES.iter().filter(|directive| directive.standing == Standing::Honoured) {
            let getter = match directive.name {
                "dir" => "config.resolve(".to_owned(),
                "save" => ".save_points(".to_owned(),
                // Two ways to one effect.
                "oom-score-adj" | "oom-score-adj-values" => ".apply_oom_score(".to_owned(),
                "client-output-buffer-limit" => ".output_buffer_limit(".to_owned(),
                // It is about the configuration itself.
                "enable-protected-configs" => continue,
                "enable-debug-command" => "Config::enable_debug_command".to_owned(),
                name => format!(".{}", name.replace('-', "_")),
            };
            // A unit may follow the name; a command's guard names its getter without a call.
            let units = ["(", "_seconds(", "_path(", " }"];
            let is_read = units.iter().any(|unit| {
                let call = if getter.ends_with('(') { getter.clone() } else { format!("{getter}{unit}") };
                sources.iter().any(|source| source.contains(&call))
            });
            assert!(is_read, "{} is honoured, they say, and nobody reads it", directive.name);
        }
    }

    fn sources_outside_config() -> Vec<String> {
        fn collect(folder: &std::path::Path, sources: &mut Vec<String>) {
            for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable")) {
                let path = entry.path();
                if path.is_dir() && !path.ends_with("config") {
                    collect(&path, sources);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    sources.push(std::fs::read_to_string(&path).expect("a source file"));
                }
            }
        }
        let mut sources = Vec::new();
        collect(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut sources);
        sources
    }

    /// Every value that is fine is one the directive can have.
    #[test]
    fn fine_values_are_values() {
        for directive in &DIRECTIVES {
            let Standing::Refused { fine, .. } = directive.standing else { continue };
            let default = value::default(directive, std::path::Path::new("/"));
            assert_eq!(directive.refusal(&default), None, "{}", directive.name);
            for text in fine {
                let words: Vec<&[u8]> =
                    text.split(' ').filter(|word| !word.is_empty()).map(str::as_bytes).collect();
                let words = if matches!(directive.kind, Kind::Special(_)) && words.is_empty() {
                    vec![&b""[..]]
                } else {
                    words
                };
                let value = value::parse(directive, &words, &default, false);
                let value = value.unwrap_or_else(|error| panic!("{} {text}: {error}", directive.name));
                assert_eq!(directive.refusal(&value), None, "{} {text}", directive.name);
            }
        }
    }

    #[test]
    fn slots_agree_with_the_list() {
        const PORT: usize = slot("port");
        assert_eq!(DIRECTIVES[PORT].name, "port");
        assert_eq!(find(b"PORT").map(|(index, _)| index), Some(PORT));
        assert_eq!(find(b"slaveof").map(|(_, found)| found.name), Some("replicaof"));
        assert!(find(b"no-such-directive").is_none());
    }

    #[test]
    fn the_nearest_name_is_found_only_when_near() {
        for (typed, expected) in [
            ("prot", Some("port")),
            ("maxmemroy", Some("maxmemory")),
            ("max-memory", Some("maxmemory")),
            ("Save-", Some("save")),
            ("hash-max-listpack-entrys", Some("hash-max-listpack-entries")),
            ("inlcude", Some("include")),
            ("completely-different", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed.as_bytes()), expected, "{typed}");
        }
        assert_eq!(nearest(&[b'x'; 100_000]), None);
    }

    #[test]
    fn edit_distances() {
        for (left, right, expected) in
            [("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(edit_distance(left, right), expected, "{left} {right}");
            assert_eq!(edit_distance(right, left), expected, "{right} {left}");
        }
    }
}
