//! Resident memory per item, a fresh process for each row.
//!
//! Nothing is subtracted: the figure is the whole process's resident memory divided by the items, and the
//! resident memory of the empty process stands beside it.
use std::time::Duration;

use anyhow::Result;
use swytch_testkit::Program;

use crate::load::{fill, words};
use crate::server::Server;
use crate::throughput::{SCATTERING, VALUE};

/// Elements per command when a list or a set is filled.
const ELEMENTS_PER_COMMAND: u64 = 100;
/// Time for allocators and background threads to give back what they only held for the load.
const SETTLE: Duration = Duration::from_secs(2);

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DataSet {
    /// The name in tables.
    pub(crate) name: &'static str,
    /// The name in plots.
    pub(crate) short_name: &'static str,
    /// Bytes of key, value and expiry of one item, with nothing around them: what no server can go below.
    pub(crate) floor_bytes: u32,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Strings,
    Integers,
    Expiring,
    List,
    Set,
    Hash,
    SmallHashes,
    SortedSet,
    Stream,
}

/// The rows: keys of 12 bytes, values as named.
pub(crate) const DATA_SETS: [DataSet; 9] = [
    DataSet {
        name: "strings, 12 B key + 32 B value",
        short_name: "strings",
        floor_bytes: 12 + 32,
        kind: Kind::Strings,
    },
    DataSet {
        name: "strings, 12 B key + integer value",
        short_name: "integers",
        floor_bytes: 12 + 8,
        kind: Kind::Integers,
    },
    DataSet {
        name: "strings, 12 B key + 32 B value, with TTL",
        short_name: "strings with TTL",
        floor_bytes: 12 + 32 + 8,
        kind: Kind::Expiring,
    },
    DataSet { name: "one list of 16 B elements", short_name: "one list", floor_bytes: 16, kind: Kind::List },
    DataSet { name: "one set of 15 B members", short_name: "one set", floor_bytes: 15, kind: Kind::Set },
    DataSet {
        name: "one hash, 14 B field + 16 B value",
        short_name: "one hash",
        floor_bytes: 14 + 16,
        kind: Kind::Hash,
    },
    DataSet {
        name: "hashes of 8 fields, 6 B field + 11 B value each",
        short_name: "small hashes",
        floor_bytes: 12 + 8 * (6 + 11),
        kind: Kind::SmallHashes,
    },
    DataSet {
        name: "one sorted set of 15 B members",
        short_name: "one sorted set",
        floor_bytes: 15 + 8,
        kind: Kind::SortedSet,
    },
    DataSet {
        name: "one stream, two fields of 4 B and 10 B",
        short_name: "one stream",
        floor_bytes: 4 + 10,
        kind: Kind::Stream,
    },
];

/// What one process came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Footprint {
    /// Resident bytes of the whole filled process divided by the items.
    pub(crate) bytes_per_item: f64,
    /// Resident bytes before the first item.
    pub(crate) empty_bytes: u64,
}

impl DataSet {
    /// Starts the program, fills it with `items` and looks.
    pub(crate) fn measure(&self, program: &Program, directives: &[&str], items: u64) -> Result<Footprint> {
        let server = Server::start(program, directives, None)?;
        let empty_bytes = server.resident_bytes()?;
        let mut client = server.connect()?;
        match self.kind {
            Kind::Strings => fill(&mut client, items, |n| words(&format!("SET k:{n:010} {VALUE}")))?,
            Kind::Integers => fill(&mut client, items, |n| words(&format!("SET k:{n:010} {n}")))?,
            Kind::Expiring => {
                fill(&mut client, items, |n| words(&format!("SET k:{n:010} {VALUE} EX 1000000")))?
            }
            Kind::List => {
                fill(&mut client, items / ELEMENTS_PER_COMMAND, |n| several("RPUSH list", n, "element:"))?;
            }
            Kind::Set => {
                fill(&mut client, items / ELEMENTS_PER_COMMAND, |n| several("SADD set", n, "member:"))?;
            }
            Kind::Hash => {
                fill(&mut client, items, |n| words(&format!("HSET hash field:{n:08} value:{n:010}")))?;
            }
            Kind::SmallHashes => fill(&mut client, items, |n| words(&small_hash(n)))?,
            Kind::Stream => fill(&mut client, items, |n| words(&stream_entry(n)))?,
            Kind::SortedSet => {
                let scattered = |n: u64| n * SCATTERING % items;
                fill(&mut client, items, |n| words(&format!("ZADD zset {} member:{n:08}", scattered(n))))?;
            }
        }
        drop(client);
        std::thread::sleep(SETTLE);
        let filled = server.resident_bytes()?;
        Ok(Footprint { bytes_per_item: filled as f64 / items as f64, empty_bytes })
    }
}

/// The `n`th command that adds elements, which have a name and a number of eight digits.
fn several(command: &str, n: u64, name: &str) -> Vec<String> {
    let first = n * ELEMENTS_PER_COMMAND;
    let elements = (first..first + ELEMENTS_PER_COMMAND).map(|element| format!("{name}{element:08}"));
    words(command).into_iter().chain(elements).collect()
}

/// The command that makes the `n`th hash.
fn small_hash(n: u64) -> String {
    let fields: Vec<String> =
        (0..8).map(|field| format!("field{field} value{:06}", (n + field) % 1_000_000)).collect();
    format!("HSET h:{n:010} {}", fields.join(" "))
}

/// The command that adds the `n`th entry.
fn stream_entry(n: u64) -> String {
    format!("XADD stream {}-0 sensor {} text value{:05}", n + 1, 1000 + n % 9000, n % 100_000)
}
