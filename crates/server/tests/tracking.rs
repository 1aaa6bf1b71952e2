//! Client tracking as transcripts of several connections, the same from swytch and from a real Redis; and that nobody is left
//! with a value that is no longer true, whatever happens at once.

#[path = "support/shapes.rs"]
mod shapes;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use shapes::ours;
use swytch_testkit::random::{self, Random};
use swytch_testkit::transcript::play;
use swytch_testkit::{Client, Reply, Server};

const FILE: &str = "threads 4\nenable-debug-command yes\nsave \"\"\n";
/// The same for a server that knows no threads.
const REDIS_FILE: &str = "enable-debug-command yes\nsave \"\"\n";

/// Plays transcripts to swytch and to Redis.
fn check(transcripts: &[&str]) {
    let servers = [Some(ours().start("tracking", FILE)), Server::redis("tracking-redis", REDIS_FILE)];
    for server in servers.iter().flatten() {
        transcripts.iter().for_each(|transcript| play(server, transcript));
    }
}

/// What HELLO says of the server differs, so it is read and forgotten.
const RESP3: &str = "a> HELLO 3\na< *\n";

#[test]
fn whoever_has_read_a_key_is_told_once_that_it_has_changed() {
    let told = |key: &str| format!(">[invalidate, [{key}]]");
    let k = told("k");
    check(&[
        &format!(
            "{RESP3}b: SET k 1 = OK\na: CLIENT TRACKING ON = OK\na: GET k = 1\nb: SET k 2 = OK\na< {k}
             b: SET k 3 = OK\na silent\na: GET k = 3\nb: DEL k = :1\na< {k}\na: CLIENT GETREDIR = :0"
        ),
        // Of absent keys, wrong types, several keys, and what a read is that is none.
        &format!(
            "{RESP3}a: CLIENT TRACKING ON = OK\na: GET k = null\nb: RPUSH k x = :1\na< {k}
             a: GET k = -WRONGTYPE Operation against a key holding the wrong kind of value\nb: RPUSH k y = :2\na< {k}
             a: MGET x y = [null, null]\nb: MSET x 1 y 2 = OK\na< {}\na< {}\na: KEYS * = *\nb: SET x 2 = OK\na silent
             a: PFCOUNT p = :0\nb: PFADD p x = :1\na< {}",
            told("x"), told("y"), told("p")
        ),
        // Behind the reply of what one has changed oneself, and behind that of a transaction.
        &format!(
            "{RESP3}a: CLIENT TRACKING ON = OK\na: GET k = null\na: SET k 1 = OK\na< {k}
             a: GET k = 1\na: MULTI = OK\na: INCR k = QUEUED\na: GET x = QUEUED\na: EXEC = [:2, null]\na< {k}
             b: SET x 1 = OK\na< {}",
            told("x")
        ),
        // Everything that is a change.
        &format!(
            "{RESP3}a: CLIENT TRACKING ON = OK\nb: SET k 1 = OK\na: GET k = 1\nb: RENAME k l = OK\na< {k}
             a: GET l = 1\nb: COPY k l = :0\na silent\nb: SET k 2 = OK\nb: COPY k l REPLACE = :1\na< {}
             a: GET k = 2\nb: MOVE k 1 = :1\na< {k}\nb: SELECT 1 = OK\nb: DEL k = :1\nb: SELECT 0 = OK
             a: GET k = null\nb: HSET k f v = :1\na< {k}\na: HGET k f = v\nb: HDEL k f = :1\na< {k}
             a: EXISTS k = :0\nb: SET k 1 PX 20 = OK\na< {k}\na: TTL k = *\na< {k}",
            told("l")
        ),
        // A database that is not the reader's is the same name.
        &format!("{RESP3}a: CLIENT TRACKING ON = OK\na: GET k = null\nb: SELECT 3 = OK\nb: SET k 1 = OK\na< {k}"),
        &format!(
            "{RESP3}a: CLIENT TRACKING ON = OK\na: GET k = null\nb: FLUSHDB = OK\na< >[invalidate, null]
             b: SET k 1 = OK\na silent\na: CLIENT TRACKING OFF = OK\na: GET k = 1\nb: SET k 2 = OK\na silent"
        ),
        // Scripts.
        &format!(
            "{RESP3}a: CLIENT TRACKING ON = OK\na> EVAL return(redis.call('get','k')) 1 k\na< null\nb: SET k 1 = OK\na< {k}
             a> EVAL redis.call('set','k',1) 1 k\na< null\nb: SET k 2 = OK\na silent"
        ),
    ]);
}

#[test]
fn another_connection_is_told_instead_if_it_is_subscribed_or_speaks_resp3() {
    let (k, message) = (">[invalidate, [k]]", "[message, __redis__:invalidate, [k]]");
    check(&[
        &format!(
            "r: SUBSCRIBE __redis__:invalidate = [subscribe, __redis__:invalidate, :1]
             a: CLIENT TRACKING ON REDIRECT $r = OK\na: GET k = null\nb: SET k 1 = OK\nr< {message}
             a: GET k = 1\nb: FLUSHALL = OK\nr< [message, __redis__:invalidate, null]\na silent"
        ),
        &format!(
            "r> HELLO 3\nr< *\na: CLIENT TRACKING ON REDIRECT $r = OK\na: GET k = null\nb: SET k 1 = OK\nr< {k}\na silent"
        ),
        // One that is neither hears nothing, and nothing breaks.
        "r: PING = PONG\na: CLIENT TRACKING ON REDIRECT $r = OK\na: GET k = null\nb: SET k 1 = OK\nr silent\nr: PING = PONG",
        "a: CLIENT TRACKING ON = OK\na: GET k = null\nb: SET k 1 = OK\na silent\na: PING = PONG",
        // Which client has gone is a number that differs.
        &format!(
            "{RESP3}r: SUBSCRIBE c = [subscribe, c, :1]\na: CLIENT TRACKING ON REDIRECT $r = OK\na: GET k = null
             r: QUIT = OK\nr closes\nb: SET k 1 = OK\na< *\na silent"
        ),
    ]);
}

#[test]
fn in_broadcasting_mode_names_with_a_prefix_are_told_of_together() {
    check(&[
        &format!(
            "{RESP3}a: CLIENT TRACKING ON BCAST = OK\nb: MSET x 1 y 2 = OK\na< >[invalidate, [x, y]]
             a: SET z 1 = OK\na< >[invalidate, [z]]\nb: DEL nosuch = :0\na silent"
        ),
        &format!(
            "{RESP3}a: CLIENT TRACKING ON BCAST PREFIX x: PREFIX y: = OK\nb: MULTI = OK\nb: SET x:2 1 = QUEUED
             b: SET y:1 1 = QUEUED\nb: SET x:1 1 = QUEUED\nb: SET z 1 = QUEUED\nb: SET x 1 = QUEUED
             b: EXEC = [OK, OK, OK, OK, OK]\na< >[invalidate, [x:1, x:2]]\na< >[invalidate, [y:1]]\na silent
             a: CLIENT TRACKING ON BCAST PREFIX z = OK\nb: SET z 2 = OK\na< >[invalidate, [z]]"
        ),
        &format!(
            "{RESP3}a: CLIENT TRACKING ON BCAST NOLOOP = OK\na: SET x 1 = OK\na silent\nb: SET x 2 = OK
             a< >[invalidate, [x]]\na: SET y 1 PX 20 = OK\nb: CLIENT ID = *\na< >[invalidate, [y]]"
        ),
        &format!(
            "{RESP3}a: CLIENT TRACKING ON NOLOOP = OK\na: MGET x y = [null, null]\na: SET x 1 = OK\nb: SET y 1 = OK
             a< >[invalidate, [y]]\na silent"
        ),
    ]);
}

#[test]
fn with_optin_and_optout_a_client_says_of_its_next_command_whether_it_counts() {
    let k = ">[invalidate, [k]]";
    check(&[
        &format!(
            "{RESP3}a: CLIENT TRACKING ON OPTIN = OK\na: GET k = null\nb: SET k 1 = OK\na silent
             a: CLIENT CACHING YES = OK\na: CLIENT ID = *\na: GET k = 1\na: GET l = null\nb: SET k 2 = OK\na< {k}
             b: SET l 1 = OK\na silent
             a: CLIENT CACHING YES = OK\na: MULTI = OK\na: GET k = QUEUED\na: EXEC = [2]\nb: SET k 3 = OK\na< {k}
             a: CLIENT CACHING YES = OK\na> nosuch\na< *\na: GET k = 3\nb: SET k 4 = OK\na silent"
        ),
        &format!(
            "{RESP3}a: CLIENT TRACKING ON OPTOUT = OK\na: GET k = null\nb: SET k 1 = OK\na< {k}
             a: CLIENT CACHING NO = OK\na: GET k = 1\nb: SET k 2 = OK\na silent\na: GET k = 2\nb: SET k 3 = OK\na< {k}"
        ),
    ]);
}

#[test]
fn options_that_do_not_go_together_are_refused_and_what_holds_is_told() {
    let caching = "-ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled";
    let mode = |what: &str| {
        format!(
            "-ERR You can't switch {what} before disabling tracking for this client, and then re-enabling it with a \
             different mode."
        )
    };
    let overlap = |prefix: &str, what: &str, other: &str| {
        format!(
            "-ERR Prefix '{prefix}' overlaps with {what} prefix '{other}'. Prefixes for a single client must not overlap."
        )
    };
    check(&[
        &format!(
            "a: CLIENT CACHING YES = {caching}\na: CLIENT GETREDIR = :-1
             a: CLIENT TRACKING = -ERR wrong number of arguments for 'client|tracking' command
             a: CLIENT TRACKING maybe = -ERR syntax error\na: CLIENT TRACKING ON what = -ERR syntax error
             a: CLIENT TRACKING ON REDIRECT = -ERR syntax error\na: CLIENT TRACKING maybe REDIRECT x = -ERR value is not an integer or out of range
             a: CLIENT TRACKING ON REDIRECT 99999 = -ERR The client ID you want redirect to does not exist
             a: CLIENT TRACKING ON REDIRECT -1 = -ERR The client ID you want redirect to does not exist
             a: CLIENT TRACKING ON REDIRECT $a REDIRECT $a = -ERR A client can only redirect to a single other client
             a: CLIENT TRACKING ON PREFIX x = -ERR PREFIX option requires BCAST mode to be enabled
             a: CLIENT TRACKING ON BCAST OPTIN = -ERR OPTIN and OPTOUT are not compatible with BCAST
             a: CLIENT TRACKING ON OPTIN OPTOUT = -ERR You can't specify both OPTIN mode and OPTOUT mode
             a: CLIENT TRACKING OFF = OK"
        ),
        &format!(
            "a: CLIENT TRACKING ON OPTIN = OK\na: CLIENT TRACKING ON OPTOUT = {}\na: CLIENT TRACKING ON BCAST = {}
             a: CLIENT CACHING NO = -ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.
             a: CLIENT CACHING maybe = -ERR syntax error\na: CLIENT CACHING YES = OK
             a: CLIENT TRACKINGINFO = [flags, [on, optin, caching-yes], redirect, :0, prefixes, []]
             a: CLIENT TRACKING ON = OK\na: CLIENT CACHING YES = -ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.
             a: CLIENT TRACKINGINFO = [flags, [on], redirect, :0, prefixes, []]
             a: RESET = RESET\na: CLIENT TRACKINGINFO = [flags, [off], redirect, :-1, prefixes, []]",
            mode("OPTIN/OPTOUT mode"), mode("BCAST mode on/off")
        ),
        &format!(
            "a: CLIENT TRACKING ON BCAST PREFIX xy PREFIX x = {}\na: CLIENT TRACKING ON BCAST PREFIX xy PREFIX z NOLOOP = OK
             a: CLIENT TRACKING ON BCAST PREFIX x = {}\na: CLIENT TRACKING ON BCAST PREFIX zz = {}
             a: CLIENT TRACKINGINFO = [flags, [on, bcast, noloop], redirect, :0, prefixes, [xy, z]]
             a: CLIENT TRACKING ON BCAST PREFIX q = OK
             a: CLIENT TRACKINGINFO = [flags, [on, bcast], redirect, :0, prefixes, [q, xy, z]]",
            overlap("xy", "another provided", "x"), overlap("x", "an existing", "xy"), overlap("zz", "an existing", "z")
        ),
    ]);
}

#[test]
fn a_key_that_is_evicted_has_changed() {
    check(&[&format!(
        "{RESP3}b: CONFIG SET maxmemory-policy allkeys-random = OK\nb: SET k 1 = OK\na: CLIENT TRACKING ON = OK\na: GET k = 1
         b: CONFIG SET maxmemory 1 = OK\na< >[invalidate, [k]]\na silent\nb: CONFIG SET maxmemory 0 = OK\nb: EXISTS k = :0"
    )]);
}

#[test]
fn all_databases_are_told_of_when_two_change_places() {
    let server = ours().start("tracking", FILE);
    play(
        &server,
        &format!(
            "{RESP3}a: CLIENT TRACKING ON = OK\na: GET k = null\nb: SWAPDB 0 1 = OK\na< >[invalidate, null]"
        ),
    );
}

#[test]
fn nobody_is_told_of_names_that_it_may_not_read() {
    let server = ours().start("tracking", FILE);
    play(
        &server,
        "b: ACL SETUSER u on nopass +@all ~open:* = OK\na> HELLO 3 AUTH u x\na< *\na: CLIENT TRACKING ON BCAST = OK
         b: SET secret 1 = OK\na silent\nb: MSET secret 2 open:1 3 = OK\na< >[invalidate, [open:1]]
         b: ACL DELUSER u = :1",
    );
}

/// What a client keeps of what it has read, until it is told that this is no longer true.
#[derive(Default)]
struct Kept(HashMap<String, Reply>);

impl Kept {
    fn note(&mut self, pushed: &Reply) {
        let parts = pushed.elements();
        assert_eq!(parts[0].text(), "invalidate");
        match &parts[1] {
            Reply::Null => self.0.clear(),
            names => {
                names.elements().iter().for_each(|name| _ = self.0.remove(&name.text()));
            }
        }
    }
}

/// A client that takes what it is told for what it is.
struct Tracking {
    client: Client,
    kept: Kept,
}

impl Tracking {
    /// Sends a request and returns its reply, with all that was told before it noted.
    fn ask(&mut self, act: impl FnOnce(&mut Client)) -> Reply {
        act(&mut self.client);
        loop {
            match self.client.reply() {
                pushed @ Reply::Push(_) => self.kept.note(&pushed),
                reply => return reply,
            }
        }
    }

    fn read(&mut self, key: &str, through: u64) {
        let say = |line: String| move |client: &mut Client| client.send(&line.split(' ').collect::<Vec<_>>());
        let value = match through {
            0 => self.ask(say(format!("GET {key}"))),
            1 => self.ask(say(format!("MGET {key} other"))).elements()[0].clone(),
            2 => {
                self.ask(say("MULTI".to_owned()));
                self.ask(say(format!("GET {key}")));
                self.ask(say("EXEC".to_owned())).elements()[0].clone()
            }
            _ => self.ask(|client| client.send(&["EVAL", "return redis.call('get', KEYS[1])", "1", key])),
        };
        // Told before the reply: it is the reply that counts.
        self.kept.0.insert(key.to_owned(), value);
    }
}

/// Many write while many read the same keys. Each key has its time, and whatever a reader has been told nothing of stays as it
/// has read it: a message that was lost is not made good by a later one.
#[test]
fn nobody_is_left_with_a_value_that_is_no_longer_true() {
    const KEYS: u64 = 3000;
    /// So many keys have their time together.
    const AT_ONCE: u64 = 3;
    /// Behind this key nobody takes everything away any more, so that something is left.
    const LAST_FLUSH: u64 = KEYS / 2;
    let seed = random::seed();
    let server = ours().start("tracking", FILE);
    let front = AtomicU64::new(0);
    let key_at = |random: &mut Random| format!("k{}", front.load(Ordering::Relaxed) + random.below(AT_ONCE));
    let mut readers: Vec<Tracking> = (0..4)
        .map(|_| {
            let mut client = server.connect();
            client.say("HELLO 3");
            assert_eq!(client.say("CLIENT TRACKING ON"), Reply::ok());
            Tracking { client, kept: Kept::default() }
        })
        .collect();
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (server, front, key_at) = (&server, &front, &key_at);
            scope.spawn(move || {
                let mut random = Random::new(seed.wrapping_add(writer));
                let mut client = server.connect();
                while front.load(Ordering::Relaxed) < KEYS {
                    let (key, number) = (key_at(&mut random), random.below(1_u64 << 40).to_string());
                    let may_flush = front.load(Ordering::Relaxed) < LAST_FLUSH;
                    match random.below(10_000) {
                        0..2 if may_flush => client.say("FLUSHALL"),
                        2..4 if may_flush => client.say("SWAPDB 0 1"),
                        0..1000 => client.call(&["SET", &key, &number, "PX", "1"]),
                        1000..2000 => client.call(&["DEL", &key]),
                        2000..3000 => client.call(&["RENAME", &key, &key_at(&mut random)]),
                        3000..4000 => client.call(&[
                            "EVAL",
                            "redis.call('set', KEYS[1], ARGV[1]) redis.call('set', ARGV[2], ARGV[1])",
                            "1",
                            &key,
                            &number,
                            &key_at(&mut random),
                        ]),
                        _ => client.call(&["SET", &key, &number]),
                    };
                    if random.below(4) == 0 {
                        front.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for (at, reader) in readers.iter_mut().enumerate() {
            let (front, key_at) = (&front, &key_at);
            scope.spawn(move || {
                let mut random = Random::new(seed.wrapping_add(100 + at as u64));
                while front.load(Ordering::Relaxed) < KEYS {
                    reader.read(&key_at(&mut random), random.below(4));
                }
            });
        }
    });
    let mut judge = server.connect();
    // What expires is gone, and told of.
    judge.until(
        "what expires has expired",
        |judge| judge.info_field("db0"),
        |found| found.as_ref().is_none_or(|line| line.contains("expires=0")),
    );
    let mut kept = 0;
    for reader in &mut readers {
        // All that was told before this is noted then.
        reader.ask(|client| client.send(&["PING"]));
        kept += reader.kept.0.len();
        for (key, value) in &reader.kept.0 {
            assert_eq!(&judge.call(&["GET", key]), value, "{key}, seed {seed}");
        }
    }
    assert!(kept > 10, "little was read, or everything was told of; seed {seed}");
}

#[test]
fn no_more_names_are_noted_than_the_limit_allows_and_who_is_forgotten_is_told() {
    let server = ours().start("tracking", FILE);
    let (mut judge, mut client) = (server.connect(), server.connect());
    client.say("HELLO 3");
    client.say("CLIENT TRACKING ON");
    let mut reader = Tracking { client, kept: Kept::default() };
    judge.say("CONFIG SET tracking-table-max-keys 100");
    for key in 0..1000 {
        reader.read(&format!("k{key}"), 0);
        assert!(judge.info_number("tracking_total_keys") <= 100);
    }
    reader.ask(|client| client.send(&["PING"]));
    // The message about what was crowded out by a read may be behind its reply, and is noted by now.
    let noted = judge.info_number("tracking_total_keys");
    assert_eq!(reader.kept.0.len() as i64, noted);
    judge.say("CONFIG SET tracking-table-max-keys 3");
    reader.ask(|client| client.send(&["PING"]));
    assert_eq!((reader.kept.0.len(), judge.info_number("tracking_total_keys")), (3, 3));
    assert_eq!(judge.info_number("tracking_total_items"), 3);
}

#[test]
fn those_who_have_left_do_not_add_up_at_a_key_that_everybody_reads() {
    let server = ours().start("tracking", FILE);
    let mut judge = server.connect();
    for _ in 0..300 {
        let mut client = server.connect();
        client.say("CLIENT TRACKING ON");
        client.say("GET hot");
    }
    judge.until("all have left", |judge| judge.info_number("tracking_clients"), |count| *count == 0);
    let mut client = server.connect();
    client.say("CLIENT TRACKING ON");
    client.say("GET hot");
    assert!(judge.info_number("tracking_total_items") < 200);
    judge.say("SET hot 1");
    assert_eq!(judge.info_number("tracking_total_items"), 0);
}

#[test]
fn a_reader_that_has_waited_is_told_behind_its_reply() {
    let server = ours().start("tracking", FILE);
    for _ in 0..50 {
        play(
            &server,
            "a> HELLO 3\na< *\na: CLIENT TRACKING ON = OK\na> XREAD BLOCK 0 STREAMS s 0\nblocked 1
             b>> XADD s 1-1 f v; XADD s 1-2 f v\nb< 1-1\nb< 1-2\na< *\na< >[invalidate, [s]]\na: PING = PONG",
        );
    }
}
