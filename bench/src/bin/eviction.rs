//! Prints how often keys that are wanted have been evicted, by the server's policies and by others.
//!
//! ```text
//! eviction [WORD...]     traces whose name contains a word, or all
//!     --requests N       requests of each (default 1,000,000), of servers 300,000 at most
//!     --recorded PATH    plays a recorded trace, too: the unpacked source of Ristretto
//!     --ours PATH, --redis PATH, --clock PATH
//!                        plays with these servers, too; the last is the library of Debian's `libfaketime`
//!     --plot PATH        writes a plot, too
//! ```

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use swytch_bench::eviction::{MissRatios, Servers, Traces};
use swytch_testkit::Program;

const REQUESTS: usize = 1_000_000;
/// The most that servers are asked for.
const SERVER_REQUESTS: usize = 300_000;

fn main() -> Result<()> {
    let (mut options, mut words) = (HashMap::new(), Vec::new());
    let mut given = std::env::args().skip(1);
    while let Some(word) = given.next() {
        match word.strip_prefix("--") {
            Some(name) => {
                let value = given.next().with_context(|| format!("{word} needs a value"))?;
                options.insert(name.to_owned(), value);
            }
            None => words.push(word),
        }
    }
    let requests = options.get("requests").map_or(Ok(REQUESTS), |number| number.parse())?;
    let mut traces = Traces::made(requests);
    if let Some(source) = options.get("recorded") {
        traces = traces.with_recorded(Path::new(source))?;
    }
    let servers = match ["ours", "redis", "clock"].map(|name| options.get(name)) {
        [Some(ours), Some(redis), Some(clock)] => Some(Servers {
            ours: Program::at("swytch", ours),
            redis: Program::at("redis", redis),
            clock: clock.into(),
        }),
        _ => None,
    };
    // They take their time.
    let with_servers =
        servers.map(|servers| (servers, Traces::made(requests.min(SERVER_REQUESTS)).named(&words)));
    let with_servers = with_servers.as_ref().map(|(servers, short)| (servers, short));
    let ratios = MissRatios::measure(&traces.named(&words), with_servers)?;
    if let Some(path) = options.get("plot") {
        std::fs::write(path, ratios.to_svg()).with_context(|| format!("writing {path}"))?;
    }
    print!("{}", ratios.to_markdown());
    Ok(())
}
