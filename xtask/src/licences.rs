//! `cargo xtask licences`: every dependency's licence is one that deny.toml allows.
//!
//! Reads what `cargo metadata` reports for the workspace and for the fuzz crate, so it needs neither a network
//! nor another tool. The allowed licences stand in deny.toml alone, where cargo-deny finds them as well.
use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace;

/// The platforms we build for; dependencies of others are not fetched and not looked at.
const PLATFORMS: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];

/// Checks all dependencies and gives their number.
///
/// # Errors
/// Names every package whose licence is missing or not allowed.
pub(crate) fn check() -> Result<usize> {
    let allowed = allowed_licences(&fs::read_to_string(workspace::root().join("deny.toml"))?)?;
    let mut checked = BTreeSet::new();
    let mut refused = BTreeSet::new();
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let mut command = workspace::cargo();
        command
            .args(["metadata", "--format-version", "1", "--manifest-path"])
            .arg(workspace::root().join(manifest));
        for platform in PLATFORMS {
            command.args(["--filter-platform", platform]);
        }
        let metadata: Value = serde_json::from_str(&workspace::output_of(&mut command)?)?;
        for package in metadata["packages"].as_array().context("cargo metadata lists no packages")? {
            let name = format!("{} {}", package["name"], package["version"]).replace('"', "");
            let licence = package["license"].as_str().unwrap_or("");
            if !is_allowed(licence, &allowed) {
                refused.insert(format!("{name}: {licence:?}"));
            }
            checked.insert(name);
        }
    }
    if !refused.is_empty() {
        bail!(
            "licences that deny.toml does not allow:\n  {}",
            refused.into_iter().collect::<Vec<_>>().join("\n  ")
        );
    }
    Ok(checked.len())
}

/// The strings of `allow = [...]` in deny.toml.
fn allowed_licences(deny: &str) -> Result<BTreeSet<String>> {
    let (_, list) = deny.split_once("allow = [").context("deny.toml has no list of allowed licences")?;
    let (list, _) = list.split_once(']').context("the list in deny.toml does not end")?;
    Ok(list.split('"').skip(1).step_by(2).map(str::to_owned).collect())
}

/// Whether an SPDX expression can be satisfied with allowed licences alone. `OR` offers a choice, `AND` binds
/// tighter and demands all; a slash is the old spelling of `OR`.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut position = 0;
    let satisfied = any_of(&words, &mut position, allowed);
    satisfied && position == words.len() && !words.is_empty()
}

fn any_of(words: &[&str], position: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut satisfied = all_of(words, position, allowed);
    while words.get(*position) == Some(&"OR") {
        *position += 1;
        satisfied |= all_of(words, position, allowed);
    }
    satisfied
}

fn all_of(words: &[&str], position: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut satisfied = one(words, position, allowed);
    while words.get(*position) == Some(&"AND") {
        *position += 1;
        satisfied &= one(words, position, allowed);
    }
    satisfied
}

fn one(words: &[&str], position: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let Some(&word) = words.get(*position) else { return false };
    *position += 1;
    if word == "(" {
        let satisfied = any_of(words, position, allowed);
        let closed = words.get(*position) == Some(&")");
        *position += 1;
        return satisfied && closed;
    }
    // An exception only grants more than the licence before it.
    if words.get(*position) == Some(&"WITH") {
        *position += 2;
    }
    allowed.contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_has_them() {
        let allowed = allowed_licences("[licenses]\nallow = [\n  \"MIT\", # why\n  \"Zlib\",\n]\n")
            .expect("well-formed");
        for good in
            ["MIT", "MIT OR GPL-3.0", "GPL-3.0/MIT", "(MIT OR GPL-3.0) AND Zlib", "MIT WITH some-exception"]
        {
            assert!(is_allowed(good, &allowed), "{good}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR GPL-3.0) AND GPL-3.0", "(MIT", "MIT MIT"] {
            assert!(!is_allowed(bad, &allowed), "{bad}");
        }
    }
}
