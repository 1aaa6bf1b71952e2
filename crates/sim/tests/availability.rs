//! What clients wait for when something happens to a node, held to what is promised and to what the documentation says.

use std::path::Path;

use swytch_cluster::ClientError;
use swytch_sim::availability::{Event, Kind, PLAYED, SIZES, play, table};

/// Nobody stands still for longer.
const STANDSTILL_MS: u64 = 2_000;
/// After a crash, what has to be decided once is refused for no longer.
const REFUSED_MS: u64 = 12_000;

#[test]
fn waits_and_errors_stay_within_what_is_promised() {
    for (copies, event) in PLAYED {
        for size in SIZES {
            let met = play(event, size, copies);
            let longest = met.longest_ms.values().max().copied().unwrap_or_default();
            assert!(longest <= STANDSTILL_MS, "{event:?} of {size} with {copies}: {met:?}");
            let refused = |(kind, error): &(Kind, ClientError)| {
                *kind == Kind::X && matches!(error, ClientError::Unreachable | ClientError::Aborted)
            };
            assert!(met.errors.keys().all(refused), "{event:?} of {size} with {copies}: {met:?}");
            let limit_ms = match event {
                Event::Crash | Event::Restart { .. } | Event::Cut { .. } => Some(REFUSED_MS),
                Event::Leave | Event::Join => None,
            };
            let limit_ms = limit_ms.filter(|_| event != Event::Restart { after_ms: 1_000 });
            let until_ms = met.refused_until_ms;
            assert!(until_ms <= limit_ms, "{event:?} of {size} with {copies}: {met:?}");
        }
    }
}

/// `UPDATE=1` writes the table into the page.
#[test]
fn the_documentation_has_the_table() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cluster-availability.md");
    let text = std::fs::read_to_string(&page).expect("the page is there");
    let (before, rest) = text.split_once("| event |").expect("a table");
    let after = rest.split_once("\n\n").map_or("", |(_, after)| after);
    let expected = format!("{before}{}\n{after}", table());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&page, expected).expect("written");
    } else {
        assert!(text == expected, "run UPDATE=1 cargo test -p swytch-sim --test availability");
    }
}
