//! CPU per operation and operations a second under `redis-benchmark`.
//!
//! Every cell is one command at one pipeline depth over the same keys. The servers take turns, forth and back
//! (A B C C B A), so that a drift of the machine falls on all of them; each turn gives one sample.
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use swytch_testkit::process::pinned;

use crate::client::Client;
use crate::load::{fill, words};
use crate::server::Server;

/// Connections of the load generator.
const CONNECTIONS: &str = "50";
/// A value of 32 bytes.
pub(crate) const VALUE: &str = "0123456789abcdef0123456789abcdef";

/// One command of the comparison.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    /// The name in tables.
    pub(crate) name: &'static str,
    /// What the generator sends; `__rand_int__` becomes a random number of twelve digits.
    command: &'static str,
    /// What must be there before.
    preparation: Preparation,
    /// How much longer one operation takes than a SET, to keep the cells' times alike.
    weight: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Preparation {
    /// String values for all keys.
    Strings,
    /// Integer values for all keys.
    Counters,
    /// An empty list.
    EmptyList,
    /// A list as long as the run pops.
    LongList,
    /// A list of 1000 elements.
    ShortList,
    /// A set that has every key as a member.
    BigSet,
    /// A hash that has every key as a field.
    BigHash,
    /// A hash of 100 fields.
    SmallHash,
    /// A HyperLogLog that has counted every key.
    HyperLogLog,
    /// A sorted set that has every key as a member, with scores up to their number in no order.
    BigSortedSet,
    /// A sorted set with every key as a member somewhere on the earth.
    Positions,
    /// A list of 1000 numbers in no order.
    Numbers,
    /// A stream without entries.
    EmptyStream,
    /// String values for all keys, and this script.
    Script(&'static str),
}

/// The commands compared, in the order of the table.
pub(crate) static WORKLOADS: [Workload; 29] = [
    Workload {
        name: "SET",
        command: "SET key:__rand_int__ VALUE",
        preparation: Preparation::Strings,
        weight: 1,
    },
    Workload { name: "GET", command: "GET key:__rand_int__", preparation: Preparation::Strings, weight: 1 },
    Workload {
        name: "INCR",
        command: "INCR counter:__rand_int__",
        preparation: Preparation::Counters,
        weight: 1,
    },
    Workload { name: "MSET (10 keys)", command: "MSET", preparation: Preparation::Strings, weight: 6 },
    Workload { name: "LPUSH", command: "LPUSH list VALUE", preparation: Preparation::EmptyList, weight: 1 },
    Workload { name: "LPOP", command: "LPOP list", preparation: Preparation::LongList, weight: 1 },
    Workload {
        name: "LRANGE 100",
        command: "LRANGE list 0 99",
        preparation: Preparation::ShortList,
        weight: 12,
    },
    Workload {
        name: "SADD",
        command: "SADD set member:__rand_int__",
        preparation: Preparation::BigSet,
        weight: 1,
    },
    Workload {
        name: "SISMEMBER",
        command: "SISMEMBER set member:__rand_int__",
        preparation: Preparation::BigSet,
        weight: 1,
    },
    Workload { name: "SPOP", command: "SPOP set", preparation: Preparation::BigSet, weight: 2 },
    Workload {
        name: "HSET",
        command: "HSET hash field:__rand_int__ VALUE",
        preparation: Preparation::BigHash,
        weight: 1,
    },
    Workload {
        name: "HGET",
        command: "HGET hash field:__rand_int__",
        preparation: Preparation::BigHash,
        weight: 1,
    },
    Workload {
        name: "HGETALL 100",
        command: "HGETALL hash",
        preparation: Preparation::SmallHash,
        weight: 12,
    },
    Workload {
        name: "ZADD",
        command: "ZADD zset __rand_int__ member:__rand_int__",
        preparation: Preparation::BigSortedSet,
        weight: 3,
    },
    Workload {
        name: "ZINCRBY",
        command: "ZINCRBY zset 1 member:__rand_int__",
        preparation: Preparation::BigSortedSet,
        weight: 3,
    },
    Workload {
        name: "ZSCORE",
        command: "ZSCORE zset member:__rand_int__",
        preparation: Preparation::BigSortedSet,
        weight: 1,
    },
    Workload {
        name: "ZRANK",
        command: "ZRANK zset member:__rand_int__",
        preparation: Preparation::BigSortedSet,
        weight: 2,
    },
    Workload {
        name: "ZRANGE 100",
        command: "ZRANGE zset 0 99",
        preparation: Preparation::BigSortedSet,
        weight: 12,
    },
    Workload {
        name: "ZRANGEBYSCORE 100",
        command: "ZRANGEBYSCORE zset __rand_int__ +inf LIMIT 0 100",
        preparation: Preparation::BigSortedSet,
        weight: 12,
    },
    Workload {
        name: "GEOSEARCH",
        command: "GEOSEARCH positions FROMLONLAT 13.4 52.5 BYRADIUS 100 km",
        preparation: Preparation::Positions,
        weight: 20,
    },
    Workload {
        name: "GEOSEARCH nearest 10",
        command: "GEOSEARCH positions FROMLONLAT 13.4 52.5 BYRADIUS 500 km ASC COUNT 10 WITHDIST",
        preparation: Preparation::Positions,
        weight: 200,
    },
    Workload { name: "SORT 1000", command: "SORT numbers", preparation: Preparation::Numbers, weight: 200 },
    Workload {
        name: "XADD",
        command: "XADD stream * field VALUE",
        preparation: Preparation::EmptyStream,
        weight: 1,
    },
    Workload {
        name: "PFADD",
        command: "PFADD log element:__rand_int__",
        preparation: Preparation::HyperLogLog,
        weight: 1,
    },
    Workload { name: "PFCOUNT", command: "PFCOUNT log", preparation: Preparation::HyperLogLog, weight: 1 },
    Workload {
        name: "EVALSHA return 1",
        command: "EVALSHA SCRIPT 0",
        preparation: Preparation::Script("return 1"),
        weight: 2,
    },
    Workload {
        name: "EVALSHA five lines",
        command: "EVALSHA SCRIPT 1 key:__rand_int__ VALUE",
        preparation: Preparation::Script(FIVE_LINES),
        weight: 5,
    },
    Workload {
        name: "EVALSHA 100 calls",
        command: "EVALSHA SCRIPT 1 key:__rand_int__",
        preparation: Preparation::Script("for i = 1, 100 do redis.call('GET', KEYS[1]) end return 1"),
        weight: 40,
    },
    Workload {
        name: "EVALSHA cjson 1 KB",
        command: "EVALSHA SCRIPT 1 key:__rand_int__ DOCUMENT",
        preparation: Preparation::Script("return #cjson.encode(cjson.decode(ARGV[1]))"),
        weight: 15,
    },
];

/// A script as applications have them.
const FIVE_LINES: &str = "local value = redis.call('GET', KEYS[1])
if value == ARGV[1] then
    redis.call('SET', KEYS[1], ARGV[1])
    redis.call('EXPIRE', KEYS[1], 1000)
end
return value";

/// A document of a kilobyte in JSON.
fn document() -> String {
    let entry =
        |n: u32| format!(r#"{{"id":{n},"name":"entry-{n}","price":{n}.25,"tags":["a","b"],"in":true}}"#);
    format!(r#"{{"entries":[{}]}}"#, (0..16).map(entry).collect::<Vec<_>>().join(","))
}

/// What one turn measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// CPU time of the server per operation, in microseconds.
    pub(crate) cpu_us: f64,
    /// Operations a second as the generator counted them.
    pub(crate) operations_s: f64,
}

/// How the generator runs.
#[derive(Clone, Debug)]
pub(crate) struct Generator<'a> {
    /// `redis-benchmark` or a compatible one.
    pub(crate) path: &'a Path,
    /// The cores it may use; all when none.
    pub(crate) cores: Option<&'a [usize]>,
    /// Its threads.
    pub(crate) threads: u32,
    /// Size of the key space.
    pub(crate) keys: u64,
}

impl Workload {
    /// The workload with this name.
    pub(crate) fn named(name: &str) -> Result<&'static Workload> {
        WORKLOADS.iter().find(|workload| workload.name == name).with_context(|| format!("no command {name}"))
    }

    /// Operations of one turn, given how many a SET gets.
    pub(crate) fn operations(&self, base: u64) -> u64 {
        (base / self.weight).max(1000)
    }

    /// Empties the server and fills in what the command needs.
    pub(crate) fn prepare(&self, server: &Server, keys: u64) -> Result<()> {
        let mut client = server.connect()?;
        client.call(&["FLUSHALL"])?;
        match self.preparation {
            Preparation::Strings | Preparation::Script(_) => {
                fill(&mut client, keys, |n| words(&format!("SET key:{n:012} {VALUE}")))
            }
            Preparation::Counters => fill(&mut client, keys, |n| words(&format!("SET counter:{n:012} {n}"))),
            Preparation::ShortList => fill(&mut client, 1000, |_| words(&format!("RPUSH list {VALUE}"))),
            Preparation::BigSet => fill_set(&mut client, keys),
            Preparation::BigHash => {
                fill(&mut client, keys, |n| words(&format!("HSET hash field:{n:012} {VALUE}")))
            }
            Preparation::SmallHash => {
                fill(&mut client, 100, |n| words(&format!("HSET hash field:{n:012} {VALUE}")))
            }
            Preparation::HyperLogLog => {
                fill(&mut client, keys, |n| words(&format!("PFADD log element:{n:012}")))
            }
            Preparation::BigSortedSet => fill_sorted_set(&mut client, keys),
            Preparation::Positions => fill(&mut client, keys, |n| {
                // Two steps of an even spread, so that every run has the same places.
                let (east, north) =
                    (n.wrapping_mul(754_877_666) % 360_000_000, n.wrapping_mul(569_840_290) % 170_000_000);
                let (longitude, latitude) = (east as f64 / 1e6 - 180.0, north as f64 / 1e6 - 85.0);
                words(&format!("GEOADD positions {longitude} {latitude} member:{n:012}"))
            }),
            Preparation::Numbers => fill(&mut client, 1000, |n| {
                words(&format!("RPUSH numbers {}", n.wrapping_mul(7_919) % 10_007))
            }),
            Preparation::EmptyList | Preparation::LongList | Preparation::EmptyStream => Ok(()),
        }
    }

    /// Restores what a turn consumes or grows, before it.
    fn before_turn(&self, server: &Server, keys: u64, operations: u64) -> Result<()> {
        let mut client = server.connect()?;
        match self.preparation {
            Preparation::EmptyList => client.call(&["DEL", "list"]).map(drop),
            Preparation::EmptyStream => client.call(&["DEL", "stream"]).map(drop),
            Preparation::LongList => {
                client.call(&["DEL", "list"])?;
                let hundred = vec![VALUE; 100].join(" ");
                fill(&mut client, operations.div_ceil(100), |_| words(&format!("RPUSH list {hundred}")))
            }
            Preparation::BigSet => fill_set(&mut client, keys),
            _ => Ok(()),
        }
    }

    /// One turn: `operations` of this command at the given pipeline depth.
    pub(crate) fn turn(
        &self,
        server: &Server,
        generator: &Generator<'_>,
        pipeline: u32,
        operations: u64,
    ) -> Result<Sample> {
        self.before_turn(server, generator.keys, operations)?;
        let mut command = match generator.cores {
            Some(cores) => pinned(cores, generator.path),
            None => Command::new(generator.path),
        };
        command.args(["-h", "127.0.0.1", "-c", CONNECTIONS, "--csv", "-e"]);
        let port = server.tls_port().unwrap_or(server.port());
        command.args(["-p", &port.to_string()]);
        if server.tls_port().is_some() {
            command.args(["--tls", "--insecure"]);
        }
        command.args(["-n", &operations.to_string()]);
        command.args(["-P", &pipeline.to_string()]);
        command.args(["-r", &generator.keys.to_string()]);
        if generator.threads > 1 {
            command.args(["--threads", &generator.threads.to_string()]);
        }
        if self.command == "MSET" {
            command.arg("MSET");
            for _ in 0..10 {
                command.args(["key:__rand_int__", VALUE]);
            }
        } else {
            let text = self.command.replace("VALUE", VALUE).replace("DOCUMENT", &document());
            let text = match self.preparation {
                Preparation::Script(source) => {
                    text.replace("SCRIPT", &server.connect()?.call(&["SCRIPT", "LOAD", source])?.text())
                }
                _ => text,
            };
            command.args(text.split(' '));
        }
        let before = server.cpu_time()?;
        let output = command.output().with_context(|| format!("running {}", generator.path.display()))?;
        let used = server.cpu_time()?.saturating_sub(before);
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        if !output.status.success()
            || text.contains("Error from server")
            || errors.contains("Error from server")
        {
            bail!("{} failed ({}):\n{text}{errors}", generator.path.display(), output.status);
        }
        let operations_s = operations_per_second(&text).with_context(|| format!("no figure in:\n{text}"))?;
        Ok(Sample { cpu_us: used.as_secs_f64() * 1e6 / operations as f64, operations_s })
    }
}

fn fill_set(client: &mut Client, keys: u64) -> Result<()> {
    fill(client, keys, |n| words(&format!("SADD set member:{n:012}")))
}

fn fill_sorted_set(client: &mut Client, keys: u64) -> Result<()> {
    let score = |n: u64| n * SCATTERING % keys;
    fill(client, keys, |n| words(&format!("ZADD zset {} member:{n:012}", score(n))))
}

/// A prime, by which scores are multiplied so that they do not have the order of their members.
pub(crate) const SCATTERING: u64 = 7_919;

/// The second field of the last line: `"test","rps","avg_latency_ms",...`. The first may have in it what separates fields.
fn operations_per_second(csv: &str) -> Option<f64> {
    let mut lines = csv.lines().filter(|line| line.starts_with('"'));
    let columns = lines.next()?.split("\",\"").count();
    let field = lines.next_back()?.rsplitn(columns, "\",\"").nth(columns.checked_sub(2)?)?;
    field.trim_matches('"').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generators_figure_is_found() {
        let csv = "\"test\",\"rps\",\"avg_latency_ms\"\n\"SET key:__rand_int__ x\",\"123456.78\",\"0.2\"\n";
        assert_eq!(operations_per_second(csv), Some(123_456.78));
        assert_eq!(operations_per_second("\"test\",\"rps\"\n"), None);
        let quoted = "\"test\",\"rps\",\"avg_latency_ms\"\n\"EVAL {\"a\",\"b\"}\",\"5.5\",\"0.2\"\n";
        assert_eq!(operations_per_second(quoted), Some(5.5));
    }

    #[test]
    fn values_are_32_bytes() {
        assert_eq!(VALUE.len(), 32);
    }
}
