//! Prints how often keys that are wanted have been evicted, by the server's policies and by others.
//!
//! ```text
//! eviction [WORD...]     traces whose name contains a word, or all
//!     --requests N       requests of each (default 1,000,000)
//!     --plot PATH        writes a plot, too
//! ```

use anyhow::{Context, Result};
use swytch_bench::eviction::MissRatios;

const REQUESTS: usize = 1_000_000;

fn main() -> Result<()> {
    let (mut requests, mut plot, mut words) = (REQUESTS, None, Vec::new());
    let mut given = std::env::args().skip(1);
    while let Some(word) = given.next() {
        match word.as_str() {
            "--requests" => requests = given.next().context("--requests needs a number")?.parse()?,
            "--plot" => plot = Some(given.next().context("--plot needs a path")?),
            _ => words.push(word),
        }
    }
    let ratios = MissRatios::measure(requests, &words);
    if let Some(path) = plot {
        std::fs::write(&path, ratios.to_svg()).with_context(|| format!("writing {path}"))?;
    }
    print!("{}", ratios.to_markdown());
    Ok(())
}
