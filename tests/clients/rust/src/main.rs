//! redis-rs against a running server: every check is a function of a fresh connection.
//!
//! Prints one line per check, `ok NAME` or `FAIL NAME: why`, and ends with status 1 when one failed. Run by
//! `cargo xtask clients` with the host and the port; its twins for other languages lie beside it.
use std::collections::{BTreeSet, HashMap};
use std::process::ExitCode;
use std::time::Duration;

use redis::{Client, Commands, Connection, Direction, ErrorKind, RedisResult, ServerErrorKind, Value};

/// What a failed check says: an error of the library or an expectation that did not hold.
type Outcome = Result<(), Box<dyn std::error::Error>>;
/// One check: the client to open further connections with, and a connection to an empty server.
type Check = fn(&Client, &mut Connection) -> Outcome;

const CHECKS: [(&str, Check); 10] = [
    ("strings", strings),
    ("big_values", big_values),
    ("lists", lists),
    ("blocking_pops", blocking_pops),
    ("pipelines", pipelines),
    ("transactions", transactions),
    ("scan", scan),
    ("errors", errors),
    ("server_commands", server_commands),
    ("reconnect", reconnect),
];

/// Fails the check, naming the expression and both values.
macro_rules! expect_eq {
    ($left:expr, $right:expr) => {{
        let (left, right) = (&$left, &$right);
        if left != right {
            return Err(
                format!("line {}: {} is {left:?}, expected {right:?}", line!(), stringify!($left)).into()
            );
        }
    }};
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(host), Some(port)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: client-smoke HOST PORT");
        return ExitCode::FAILURE;
    };
    let mut failed = 0;
    for (protocol, query) in [("RESP2", ""), ("RESP3", "?protocol=resp3")] {
        for (name, check) in CHECKS {
            match run(&format!("redis://{host}:{port}/{query}"), check) {
                Ok(()) => println!("ok redis-rs {protocol} {name}"),
                Err(why) => {
                    failed += 1;
                    println!("FAIL redis-rs {protocol} {name}: {why}");
                }
            }
        }
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(address: &str, check: Check) -> Outcome {
    let client = Client::open(address)?;
    let mut connection = connect(&client)?;
    redis::cmd("FLUSHALL").exec(&mut connection)?;
    check(&client, &mut connection)
}

fn connect(client: &Client) -> RedisResult<Connection> {
    let connection = client.get_connection_with_timeout(Duration::from_secs(60))?;
    connection.set_read_timeout(Some(Duration::from_secs(60)))?;
    Ok(connection)
}

fn strings(_: &Client, r: &mut Connection) -> Outcome {
    r.set::<_, _, ()>("s", "value")?;
    expect_eq!(r.get::<_, String>("s")?, "value");
    expect_eq!(r.get::<_, Option<String>>("none")?, None);
    expect_eq!(r.set_nx::<_, _, bool>("s", "x")?, false);
    expect_eq!(r.incr::<_, _, i64>("n", 42)?, 42);
    expect_eq!(r.append::<_, _, usize>("s", "!")?, 6);
    r.mset::<_, _, ()>(&[("a", 1), ("b", 2)])?;
    expect_eq!(r.mget::<_, Vec<Option<i64>>>(&["a", "none", "b"])?, [Some(1), None, Some(2)]);
    r.set_ex::<_, _, ()>("t", 1, 100)?;
    let left = r.ttl::<_, i64>("t")?;
    if !(1..=100).contains(&left) {
        return Err(format!("{left} s are left of 100").into());
    }
    expect_eq!(r.del::<_, usize>(&["a", "b", "none"])?, 2);
    Ok(())
}

fn big_values(_: &Client, r: &mut Connection) -> Outcome {
    let blob: Vec<u8> = (0..8 * 1024 * 1024_u32).map(|number| (number % 251) as u8).collect();
    r.set::<_, _, ()>("blob", &blob[..])?;
    if r.get::<_, Vec<u8>>("blob")? != blob {
        return Err("8 MiB came back changed".into());
    }
    Ok(())
}

fn lists(_: &Client, r: &mut Connection) -> Outcome {
    expect_eq!(r.rpush::<_, _, usize>("l", &["a", "b", "c"])?, 3);
    expect_eq!(r.lrange::<_, Vec<String>>("l", 0, -1)?, ["a", "b", "c"]);
    expect_eq!(r.lmove::<_, _, String>("l", "m", Direction::Left, Direction::Right)?, "a");
    expect_eq!(r.lpop::<_, Vec<String>>("l", std::num::NonZeroUsize::new(5))?, ["b", "c"]);
    expect_eq!(r.exists::<_, bool>("l")?, false);
    Ok(())
}

fn blocking_pops(client: &Client, r: &mut Connection) -> Outcome {
    expect_eq!(r.blpop::<_, Option<(String, String)>>("nothing", 0.05)?, None);
    let mut blocked = connect(client)?;
    let waiting =
        std::thread::spawn(move || blocked.blpop::<_, (String, String)>(&["first", "second"], 50.0));
    while !redis::cmd("INFO").arg("clients").query::<String>(r)?.contains("blocked_clients:1\r") {
        std::thread::sleep(Duration::from_millis(5));
    }
    r.rpush::<_, _, ()>("second", "woken")?;
    let popped = waiting.join().map_err(|_| "the waiting thread panicked")??;
    expect_eq!(popped, ("second".to_owned(), "woken".to_owned()));
    expect_eq!(r.exists::<_, bool>("second")?, false);
    Ok(())
}

fn pipelines(_: &Client, r: &mut Connection) -> Outcome {
    let mut pipeline = redis::pipe();
    for number in 0..5000 {
        pipeline.set(format!("p:{number}"), number).ignore().get(format!("p:{number}"));
    }
    expect_eq!(pipeline.query::<Vec<i64>>(r)?, (0..5000).collect::<Vec<i64>>());
    Ok(())
}

fn transactions(client: &Client, r: &mut Connection) -> Outcome {
    let mut atomic = redis::pipe();
    atomic.atomic().set("t", 1).ignore().incr("t", 1);
    expect_eq!(atomic.query::<(i64,)>(r)?, (2,));
    // A watched key that changes makes EXEC answer nothing.
    redis::cmd("WATCH").arg("t").exec(r)?;
    connect(client)?.set::<_, _, ()>("t", "changed")?;
    expect_eq!(atomic.query::<Option<(i64,)>>(r)?, None);
    expect_eq!(r.get::<_, String>("t")?, "changed");
    Ok(())
}

fn scan(_: &Client, r: &mut Connection) -> Outcome {
    let mut pipeline = redis::pipe();
    let names: BTreeSet<String> = (0..2000).map(|number| format!("scan:{number}")).collect();
    for name in &names {
        pipeline.set(name, 1).ignore();
    }
    pipeline.exec(r)?;
    let seen = r.scan_match::<_, String>("scan:*")?.collect::<RedisResult<BTreeSet<String>>>()?;
    expect_eq!(seen, names);
    Ok(())
}

fn errors(_: &Client, r: &mut Connection) -> Outcome {
    r.set::<_, _, ()>("s", "x")?;
    let wrong_type = r.lpush::<_, _, ()>("s", 1).err().ok_or("LPUSH on a string passed")?;
    expect_eq!(wrong_type.code(), Some("WRONGTYPE"));
    let unknown = redis::cmd("NOSUCH").query::<Value>(r).err().ok_or("an unknown command passed")?;
    expect_eq!(unknown.kind(), ErrorKind::Server(ServerErrorKind::ResponseError));
    expect_eq!(unknown.detail().is_some_and(|detail| detail.contains("unknown command")), true);
    expect_eq!(r.get::<_, String>("s")?, "x");
    Ok(())
}

fn server_commands(_: &Client, r: &mut Connection) -> Outcome {
    expect_eq!(redis::cmd("PING").query::<String>(r)?, "PONG");
    let info: redis::InfoDict = redis::cmd("INFO").query(r)?;
    expect_eq!(info.get::<String>("redis_version").is_some(), true);
    let settings: HashMap<String, String> = redis::cmd("CONFIG").arg("GET").arg("maxmemory*").query(r)?;
    expect_eq!(settings.contains_key("maxmemory-policy"), true);
    redis::cmd("CLIENT").arg("SETNAME").arg("smoke").exec(r)?;
    expect_eq!(redis::cmd("CLIENT").arg("GETNAME").query::<String>(r)?, "smoke");
    Ok(())
}

fn reconnect(client: &Client, r: &mut Connection) -> Outcome {
    let mut doomed = connect(client)?;
    let identity: i64 = redis::cmd("CLIENT").arg("ID").query(&mut doomed)?;
    expect_eq!(redis::cmd("CLIENT").arg("KILL").arg("ID").arg(identity).query::<usize>(r)?, 1);
    let lost = redis::cmd("PING").query::<String>(&mut doomed).err().ok_or("a killed connection answered")?;
    expect_eq!(lost.is_connection_dropped() || lost.is_io_error(), true);
    expect_eq!(redis::cmd("PING").query::<String>(&mut connect(client)?)?, "PONG");
    Ok(())
}
