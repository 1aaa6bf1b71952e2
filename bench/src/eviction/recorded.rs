//! A trace of a program that ran: Glimpse, which looks for words in files, as the authors of LIRS have recorded it.
//!
//! It is read where the source of the cache Ristretto, which has it for its tests, was unpacked, and is no part of this repository.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::traces::Trace;

const FILE: &str = "sim/gli.lirs.gz";

/// The trace, from the folder of that source.
pub(super) fn glimpse(source: &Path) -> Result<Trace> {
    let path = source.join(FILE);
    let output = Command::new("gzip").arg("-dc").arg(&path).output().context("gzip")?;
    let keys = keys_in(&String::from_utf8_lossy(&output.stdout));
    if !output.status.success() || keys.is_empty() {
        bail!("{} holds no requests: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(Trace::of("Glimpse", keys))
}

/// A number a line is a block that was read; they are called by numbers in the order of their first request. Other lines say
/// something else.
fn keys_in(text: &str) -> Vec<u32> {
    let mut numbers: HashMap<u64, u32> = HashMap::new();
    let blocks = text.lines().filter_map(|line| line.trim().parse().ok());
    blocks
        .map(|block| {
            let next = numbers.len() as u32;
            *numbers.entry(block).or_insert(next)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_become_numbers_in_the_order_they_come() {
        assert_eq!(keys_in("12\n*\n7\n\n7\n12\n"), [0, 1, 1, 0]);
    }
}
