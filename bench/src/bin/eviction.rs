//! Prints how often keys that are wanted have been evicted, by the server's policies and by others.
//!
//! ```text
//! eviction [WORD...]     traces whose name contains a word, or all
//!     --requests N       requests of each (default 1,000,000)
//! ```

use anyhow::{Context, Result};
use swytch_bench::eviction::MissRatios;

const REQUESTS: usize = 1_000_000;

fn main() -> Result<()> {
    let (mut requests, mut words) = (REQUESTS, Vec::new());
    let mut given = std::env::args().skip(1);
    while let Some(word) = given.next() {
        match word.as_str() {
            "--requests" => requests = given.next().context("--requests needs a number")?.parse()?,
            _ => words.push(word),
        }
    }
    print!("{}", MissRatios::measure(requests, &words).to_markdown());
    Ok(())
}
