//! Replies of the commands about connections and the server, compared with a real Redis.
//!
//! The transcript holds what both must answer alike: errors above all, and replies that do not name the server.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::ours;
use swytch_testkit::{Reply, Server};

/// Commands in order, on one connection. A number in front is the first version of Redis that answers alike.
const TRANSCRIPT: &str = "
ping
ping a
ping a b
echo
echo a
echo a b
8.6 nosuch
nosuch a b
get
select 3
select 16
select -1
select abc
select 9999999999
select 99999999999999999999
select 0
hello 1
hello 4
hello abc
hello 2 foo
hello 2 setname
hello 2 auth a
hello 2 auth nobody pw
hello 2 auth default pw setname
hello 2 foo auth default pw
auth
auth pw
auth nobody pw
auth default pw
auth a b c
client
client nosuch
client id extra
client getname
client setname
client setname a b
client setname a\x01b
client setname me
client getname
8.0 client setinfo
8.0 client setinfo lib-foo x
8.0 client setinfo lib-name a\x01b
8.0 client setinfo LIB-NAME driver
8.0 client setinfo lib-ver 1.0
8.0 client no-touch maybe
8.0 client no-touch on
8.0 client no-touch off
client kill
client kill 000.123.321.567:0000
client kill id 0
client kill id abc
client kill id -1
client kill id 99999
client kill id
client kill type nosuch
client kill type master
client kill type pubsub skipme no
client kill addr
client kill skipme maybe
client kill user nobody
client kill nosuch value
client kill id 99999 addr
8.0 client kill maxage 0
8.0 client kill maxage abc
8.0 client kill maxage 100000
client list type nosuch
client list type pubsub
client list type master
client list id
client list id abc
client list id 99999
client list nosuch
client pause
client pause abc
client pause -1
client pause 1 nosuch
client pause 99999999999999999999
client pause 1 write extra
client pause 1 write
client unpause
client unpause extra
client unblock
client unblock abc
client unblock 1 nosuch
client unblock 99999
client unblock 99999 timeout
client unblock 99999 error
client unblock 99999 error extra
client no-evict
client no-evict maybe
client no-evict on
client no-evict off
client reply maybe
client reply on
client getredir
client trackinginfo
client caching yes
client caching maybe
client help extra
command nosuch
command count extra
8.0 command getkeys get
command getkeys nosuch a
command getkeys ping a
command getkeys get a
command getkeys get a b
command getkeys set a
command getkeys mset a 1 b 2
command getkeys client id
command getkeysandflags set a b get
command getkeysandflags set a b
command getkeysandflags bitfield k get u8 0
command getkeysandflags bitfield k incrby u8 0 1
command getkeysandflags rename a b
command list nosuch
command list filterby
command list filterby nosuch a
command list filterby module a
command list filterby aclcat nosuch
command list filterby pattern zzz*
command list filterby pattern strlen
command info nosuch
command info get|nosuch
command docs nosuch
command help extra
slowlog
slowlog nosuch
slowlog reset
slowlog len
slowlog get -1
slowlog get 5
slowlog get -2
slowlog get abc
slowlog get 1 2
slowlog reset extra
8.6 hotkeys
8.6 hotkeys nosuch
8.6 hotkeys get
8.6 hotkeys stop
8.6 hotkeys reset
8.6 hotkeys start
8.6 hotkeys start metrics 0
8.6 hotkeys start metrics 1
8.6 hotkeys start metrics 3 cpu net
8.6 hotkeys start metrics x cpu
8.6 hotkeys start metrics 2 cpu
8.6 hotkeys start metrics 1 cpu net
8.6 hotkeys start metrics 2 cpu cpu
8.6 hotkeys start metrics 2 net net
8.6 hotkeys start metrics 1 gpu
8.6 hotkeys start metrics 1 cpu count 0
8.6 hotkeys start metrics 1 cpu count 65
8.6 hotkeys start metrics 1 cpu count
8.6 hotkeys start metrics 1 cpu duration 0
8.6 hotkeys start metrics 1 cpu duration 1000001
8.6 hotkeys start metrics 1 cpu sample 0
8.6 hotkeys start metrics 1 cpu slots 1 0
8.6 hotkeys start metrics 2 gpu net count 2 sample 1
8.6 hotkeys start metrics 1 net
8.6 hotkeys reset
8.6 hotkeys stop
8.6 hotkeys stop
8.6 hotkeys reset
8.6 hotkeys get
latency
latency nosuch
latency latest
latency latest extra
latency history nosuch
latency history
latency graph nosuch
latency graph
latency reset
latency reset a b
latency histogram nosuch
latency help extra
role
role extra
time extra
lastsave extra
monitor extra
acl whoami
acl whoami extra
acl nosuch
acl cat
acl cat nosuch
acl cat a b
lolwut version abc
shutdown nosuch
shutdown save nosave
shutdown abort now
shutdown abort
function nosuch
function flush
function flush nosuch
function flush a b
function list
function list nosuch
function list libraryname
function list withcode libraryname *
multi
client pause 1 nosuch
monitor
client setname both
exec
client getname
multi
shutdown
exec
multi
slowlog nosuch
exec
reset
client getname
info nosuch
failover
failover abort
failover abort now
failover nosuch
failover timeout
failover timeout 0
failover timeout -5
failover timeout abc
failover timeout 10 timeout 20
failover to localhost
failover to localhost abc
failover to localhost 6379
failover force
failover to localhost 6379 force timeout 100
failover to localhost 6379 timeout 100 force force
";

#[test]
fn replies_are_those_of_redis() {
    let file = "slowlog-log-slower-than -1\n";
    let (mut ours, Some(mut redis)) =
        (ours().start("server-diff", file), Server::redis("server-diff-redis", file))
    else {
        return;
    };
    compare(&mut ours, &mut redis, TRANSCRIPT);
}

/// Has both say the lines that a server of the other's version knows, and holds their replies against each other.
fn compare(ours: &mut Server, redis: &mut Server, transcript: &str) {
    let version = redis.minor_version();
    let mut wrong = Vec::new();
    for line in transcript.lines().filter(|line| !line.is_empty()) {
        let line = match line.split_once(' ') {
            Some((from, rest)) if from.starts_with(|first: char| first.is_ascii_digit()) => {
                if version.as_str() < from {
                    continue;
                }
                rest
            }
            _ => line,
        };
        let (mine, theirs) = (ours.say(line).sorted(), redis.say(line).sorted());
        if mine != theirs {
            wrong.push(format!("{line}\n    {mine:?}\n    {theirs:?}"));
        }
    }
    assert!(wrong.is_empty(), "ours, then those of Redis {version}:\n{}", wrong.join("\n"));
}

/// What a node of a cluster that has all slots is asked.
const OF_A_NODE: &str = "
cluster keyslot foo
cluster keyslot a{foo}b
cluster keyslot
cluster nosuch
cluster links
cluster replicas nosuch
cluster slaves nosuch
cluster count-failure-reports nosuch
set {a}1 x
set a 1
mset {a}1 x {a}2 y
mset a 1 b 2
del a b
sintercard 2 a b
zunionstore a 2 b c
bitop and a b c
sort a store b
cluster countkeysinslot 15495
cluster countkeysinslot 0
cluster countkeysinslot 16384
cluster countkeysinslot -1
cluster countkeysinslot x
cluster getkeysinslot 15495 10
cluster getkeysinslot 15495 0
cluster getkeysinslot 15495 -1
cluster getkeysinslot 16384 1
cluster getkeysinslot 0 x
8.2 cluster slot-stats slotsrange 15494 15496
8.2 cluster slot-stats slotsrange 2 1
8.2 cluster slot-stats slotsrange 0 16384
8.2 cluster slot-stats slotsrange x 1
8.2 cluster slot-stats slotsrange 1
8.2 cluster slot-stats orderby key-count limit 2
8.2 cluster slot-stats orderby key-count limit 2 asc
8.2 cluster slot-stats orderby key-count asc limit 1
8.2 cluster slot-stats orderby key-count limit 0
8.2 cluster slot-stats orderby key-count limit x
8.2 cluster slot-stats orderby key-count asc desc
8.2 cluster slot-stats orderby key-count limit 1 limit 2
8.2 cluster slot-stats orderby nosuch
8.2 cluster slot-stats orderby network-bytes-in
8.6 config set cluster-slot-stats-enabled net
8.6 set {a}1 value
8.6 multi
8.6 set {a}2 value
8.6 exists {a}1
8.6 exec
8.6 mget {a}1 {a}2
8.6 ping
8.6 eval \"return 1\" 1 a
8.6 cluster slot-stats slotsrange 15495 15495
8.6 cluster slot-stats orderby network-bytes-out limit 1
8.6 cluster slot-stats orderby cpu-usec
8.6 config resetstat
8.6 cluster slot-stats orderby network-bytes-in limit 1
8.6 config set cluster-slot-stats-enabled no
8.6 config get cluster-slot-stats-enabled
8.2 cluster slot-stats nosuch a
select 0
select 1
select x
swapdb 0 1
move a 1
copy {a}1 {a}3 db 0
8.2 copy {a}1 {a}3 db 1
watch a b
multi
set a 1
set b 1
exec
multi
mset a 1 b 2
exec
multi
exec
ssubscribe a b
spublish a x
readonly
readwrite
asking
readonly x
8.2 config get databases
eval \"redis.call('set','a',1) redis.call('set','b',1) return 1\" 0
eval \"return redis.pcall('mset','a',1,'b',2)['err']\" 0
eval \"#!lua\\nredis.call('set','a',1) return redis.pcall('set','b',1)['err']\" 0
eval \"#!lua flags=allow-cross-slot-keys\\nredis.call('set','a',1) redis.call('set','b',1) return 1\" 0
eval \"#!lua flags=no-cluster\\nreturn 1\" 0
eval \"#!lua\\nreturn redis.pcall('set','b',1)['err']\" 1 a
";

#[test]
fn a_node_of_a_cluster_answers_as_redis_does() {
    let file = "cluster-enabled yes\n";
    let (mut ours, Some(mut redis)) = (ours().start("node", file), Server::redis("node-redis", file)) else {
        return;
    };
    assert!(!matches!(redis.say("CLUSTER ADDSLOTSRANGE 0 16383"), Reply::Error(_)));
    let mut client = redis.connect();
    client.until(
        "the node is ready",
        |client| client.say("CLUSTER INFO"),
        |info| matches!(info, Reply::Bulk(info) if info.starts_with(b"cluster_state:ok")),
    );
    compare(&mut ours, &mut redis, OF_A_NODE);
    let shown = |server: &mut Server| {
        let flags = |line: String| line.split(' ').find(|word| word.starts_with("flags=")).map(str::to_owned);
        ["READONLY", "PING", "READWRITE"].map(|command| {
            server.say(command);
            flags(server.say("CLIENT INFO").text())
        })
    };
    assert_eq!(shown(&mut ours), shown(&mut redis));
}

/// Commands whose effects on INFO's counters are compared; `!` in front waits, so that what is to expire does.
const COUNTED: &str = "
set a 1
get a
get none
getex none
getdel none
exists none a
type none
ttl a
strlen none
append a 1
setrange none 0 x
lpop none
lpush l 1 2 3
llen l
lrange l 0 -1
lrem l 0 zz
ltrim l 0 -1
linsert l before zz 1
lset l 0 x
lset none2 0 x
lpos l x
lindex l 0
lmove l l left right
rpoplpush l l2
lmpop 1 none2 left
lmpop 2 none2 l left
blpop l2 0
blmpop 0 1 l left
mget a l none a
mset a 1 b 2
msetnx a 1
copy a c
copy none2 d
rename a e
renamenx e c
move e 3
touch e none2 b
object encoding b
bitcount b
setbit bits 7 1
bitop and dst bits none2
bitfield bits get u8 0
bitfield bits set u8 0 1
lcs b c
set a 1 nx
set a 1 nx
set a 1 get
setnx a 1
expire a 100
persist a
persist a
pexpire a -1
getset b 1
memory usage b
scan 0
keys *
dbsize
unlink c none2
incrbyfloat fl 1.5
incr l
set
nosuch
config get x
multi
set a 1
incr l
exec
flushdb
set a 1 px 1
!get a
set a 1 px 1
!set a 2
set a 1 px 1
!append a 2
set x 1 px 1
!exists x
set x 1 px 1
!del x
flushdb
set x 1 px 1
!randomkey
set x 1 px 1
!rename x y
set x 1 px 1
!scan 0
set x 1 px 1
!expire x 100
";

#[test]
fn commands_count_what_they_count_in_redis() {
    const FIELDS: [&str; 6] = [
        "keyspace_hits",
        "keyspace_misses",
        "rdb_changes_since_last_save",
        "expired_keys",
        "total_error_replies",
        "total_commands_processed",
    ];
    let file = "save \"\"\nenable-debug-command yes\n";
    let (mut ours, Some(mut redis)) = (ours().start("counted", file), Server::redis("counted-redis", file))
    else {
        return;
    };
    let counters = |server: &mut Server| {
        let Reply::Bulk(info) = server.say("INFO") else { panic!("INFO answers a text") };
        let info = String::from_utf8_lossy(&info).into_owned();
        let value = |field: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
            line.and_then(|value| value.trim().parse::<i64>().ok()).unwrap_or_else(|| panic!("no {field}"))
        };
        FIELDS.map(value)
    };
    let mut wrong = Vec::new();
    for server in [&mut ours, &mut redis] {
        server.say("DEBUG SET-ACTIVE-EXPIRE 0");
    }
    let mut queued = 0;
    for line in COUNTED.lines().filter(|line| !line.is_empty()) {
        let command = line.trim_start_matches('!');
        if command != line {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        // INFO would be queued.
        queued = if command == "multi" { 3 } else { queued - 1 };
        let differences = [&mut ours, &mut redis].map(|server| {
            if queued >= 0 {
                server.say(command);
                return [0; FIELDS.len()];
            }
            let before = counters(server);
            server.say(command);
            let after = counters(server);
            std::array::from_fn(|at| after[at] - before[at])
        });
        if differences[0] != differences[1] {
            wrong.push(format!("{line}\n    {:?}\n    {:?}", differences[0], differences[1]));
        }
    }
    assert!(wrong.is_empty(), "{FIELDS:?}, ours, then those of Redis:\n{}", wrong.join("\n"));
}

/// INFO's fields of Redis are all there; ours may be more.
#[test]
fn info_has_the_fields_of_redis() {
    let (mut ours, Some(mut redis)) = (ours().start("info-diff", ""), Server::redis("info-diff-redis", ""))
    else {
        return;
    };
    for server in [&mut ours, &mut redis] {
        server.say("set key value");
        server.say("get");
    }
    let fields = |server: &mut Server, sections: &str| -> Vec<String> {
        let Reply::Bulk(text) = server.say(&format!("INFO {sections}")) else {
            panic!("INFO answers a text")
        };
        let text = String::from_utf8(text).expect("INFO is text");
        text.lines()
            .map(|line| line.split(':').next().unwrap_or_default().to_owned())
            .filter(|field| !field.is_empty())
            .collect()
    };
    for sections in [
        "",
        "default",
        "all",
        "everything",
        "server",
        "commandstats errorstats",
        "nosuch",
        "Memory CPU",
        "all cpu",
    ] {
        let (mine, theirs) = (fields(&mut ours, sections.trim()), fields(&mut redis, sections.trim()));
        let missing: Vec<_> = theirs
            .iter()
            .filter(|field| !mine.contains(field) && !ABSENT.iter().any(|absent| field.starts_with(absent)))
            .collect();
        assert!(missing.is_empty(), "INFO {sections}: {missing:?}");
        let titles = |fields: &[String]| -> Vec<String> {
            let titles = fields.iter().filter(|field| field.starts_with('#'));
            titles.filter(|title| !ABSENT.contains(&title.as_str())).cloned().collect()
        };
        let (mine, theirs) = (titles(&mine), titles(&theirs));
        assert!(theirs.iter().all(|title| mine.contains(title)), "INFO {sections}: {mine:?} {theirs:?}");
    }
}

/// Fields of one version of Redis or another that are left out.
const ABSENT: &[&str] = &[
    // The sizes of all values would have to be counted at every change.
    "# Keysizes",
    "db0_distrib",
    // A module that comes with Redis 8.
    "module",
    // Gone since 7.0.
    "io_threaded",
    "used_memory_lua_human",
    // Redis's own malloc statistics of scripts, and of an event loop with one thread.
    "allocator_allocated_lua",
];
