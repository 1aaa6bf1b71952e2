//! The releases of Redis whose suites are run: which files, and what our copy of each has otherwise.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use crate::setup;

/// A change of our copy of a suite: a file, what stands there, and what stands there instead.
pub(super) type Adaptation = (&'static str, &'static str, &'static str);

/// Reasons why files are not run.
const NO_TEST: &str = "has no test";
const CRASHES: &str = "what a signal ends leaves no report with the stacks of all threads";
const MODULES: &str = "modules are not loaded";
const BUS: &str = "several nodes of a Redis Cluster; there is no bus, and slots do not move";
const FOLLOWING: &str = "each of its servers is followed and follows in its turn, which this one does not";
const AS_IN_7_0: &str = "what the file of that name in 7.0 has, again with a connection of its own for the data, and more of how a replica behaves";
const NO_CHANNEL: &str =
    "the data has no connection of its own, which a primary may offer; replicas do without";

/// A release with its suite.
#[derive(Debug)]
pub(crate) struct Release {
    /// What the command line calls it.
    pub(crate) name: &'static str,
    /// Whose it is.
    pub(crate) product: Product,
    /// The exact version, in the names of its files and in the document.
    pub(crate) version: &'static str,
    /// The suite of Debian's archive that carries its source.
    pub(crate) archive: &'static str,
    /// Files that must stand at Redis's own figure (but for the listed tests).
    pub(crate) core: &'static [&'static str],
    /// Files that are held to their figures as well, which takes too long to be done for each change.
    pub(super) extra: &'static [&'static str],
    /// All others, each with a reason; a folder stands for what is in it.
    pub(super) not_run: &'static [(&'static [&'static str], &'static str)],
    /// What our copy of the suite has otherwise, whichever server it judges. No change alters a verdict.
    pub(super) adaptations: &'static [Adaptation],
    /// What our copy has otherwise when the server under test is ours.
    pub(super) ours: &'static [&'static [Adaptation]],
    /// Files in which servers follow others, and which of those that a file starts do (F), in their order and again and again:
    /// these are real ones of the release.
    pub(super) followers: &'static [(&'static str, &'static str)],
    /// A real server of this release.
    pub(super) server: fn() -> Result<PathBuf>,
}

/// Who makes the suite.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Product {
    Redis,
    Valkey,
}

impl Product {
    /// The package of its source, and the beginning of its programs' names.
    pub(super) fn package(self) -> &'static str {
        match self {
            Product::Redis => "redis",
            Product::Valkey => "valkey",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Product::Redis => "Redis",
            Product::Valkey => "Valkey",
        }
    }
}

impl Release {
    /// Its unpacked source.
    pub(crate) fn source(&self) -> Result<PathBuf> {
        setup::suite_source(self.product.package(), self.version, self.archive)
    }

    /// Which servers of a file follow others, if any do.
    pub(super) fn follows(&self, file: &str) -> Option<&'static str> {
        self.followers.iter().find(|(name, _)| *name == file).map(|(_, which)| *which)
    }

    /// What stands above its part of the document.
    pub(super) fn title(&self) -> String {
        format!("{} {}", self.product.title(), self.version)
    }

    /// Sees that each file of the suite is run, or is not for a reason.
    pub(super) fn account_for_all(&self, source: &Path) -> Result<()> {
        let run = self.core.iter().chain(self.extra);
        let named: BTreeSet<&str> =
            run.chain(self.not_run.iter().flat_map(|(files, _)| *files)).copied().collect();
        for folder in ["unit", "unit/type", "unit/cluster", "unit/moduleapi", "integration"] {
            for entry in fs::read_dir(source.join("tests").join(folder))? {
                let path = entry?.path();
                if path.extension().is_none_or(|extension| extension != "tcl") {
                    continue;
                }
                let file = format!("{folder}/{}", path.file_stem().unwrap_or_default().display());
                ensure!(
                    named.contains(format!("{folder}/").as_str()) || named.contains(file.as_str()),
                    "{file} of the suite {} is neither run nor left out for a reason",
                    self.version
                );
            }
        }
        Ok(())
    }
}

/// All of them, in the order of the document.
pub(crate) static RELEASES: [&Release; 3] = [&REDIS_7_0, &REDIS_8_6, &VALKEY_9_1];

/// The release of that name.
pub(crate) fn by_name(name: &str) -> Result<&'static Release> {
    match RELEASES.into_iter().find(|release| release.name == name) {
        Some(release) => Ok(release),
        None => bail!("--suite is {}, not {name:?}", RELEASES.map(|release| release.name).join(" or ")),
    }
}

/// A test that fails between MULTI and EXEC would leave its transaction open for the tests behind it, one that has stopped
/// active expiry would leave it so, and one that has selected a database would leave its client there, which is the first one in one file. A client that reads raw replies itself is left alone, and a server that is
/// stopped, which would never answer.
const CLEAN_UP_AFTER_FAILURE: Adaptation = (
    "tests/support/test.tcl",
    "        set assertion [string match \"assertion:*\" $error]\n",
    "        set assertion [string match \"assertion:*\" $error]\n        catch {\n            regexp {\\d+$} [srv 0 client] id\n            \
     if {!$::redis::deferred($id) && !$::redis::readraw($id) && ([catch {exec ps -o state= -p [srv 0 pid]} state] || ![string match T* $state])} {\n                catch {r discard}\n                r debug set-active-expire 1\n                catch {r select [expr {$::curfile eq {tests/unit/info-keysizes.tcl} ? 0 : 9}]}\n            }\n        }\n",
);

/// Links are cut as often as ever the file is run, not as chance says.
const CUTS_AS_OFTEN: Adaptation = (
    "tests/integration/psync2-reg.tcl",
    "        if {rand() < .05} {\n",
    "        if {[incr ::chances] in {10 21 30 41 50 61 70 81}} {\n",
);

/// Our line about the start has no more words.
const SERVER_INITIALIZED: Adaptation =
    ("tests/support/server.tcl", " PID: $pid.*Server initialized", " PID: $pid");

/// What the log says of a payload that is refused.
const REFUSED: &str = "*integrity check failed*";

/// What no test is to ask for, and a comment in its place.
const COPIES_REPLIES: (&str, &str) = ("r debug reply-copy-avoidance 0", "# r debug reply-copy-avoidance 0");

/// A node has all slots from its start, and there is no bus.
const ONE_NODE: Adaptation = (
    "tests/support/cluster_util.tcl",
    "    # Have all nodes meet\n",
    "    if {$node_count > 1} {error {it has no bus}}\n    uplevel 1 $code\n    return\n",
);

/// What our copy of either suite of Redis has otherwise when the server under test is ours.
const OURS: &[Adaptation] = &[
    // Who has closed a connection has not left its channels yet where another thread serves it; the next test counts receivers.
    (
        "tests/unit/pubsub.tcl",
        "        $rd2 close\n",
        "        $rd2 close\n        wait_for_condition 50 100 {[llength [r pubsub channels]] + [r pubsub numpat] == 0} else {fail \
         {still subscribed}}\n",
    ),
    (
        "tests/unit/pubsubshard.tcl",
        "        $rd2 close\n",
        "        $rd2 close\n        wait_for_condition 50 100 {[r pubsub shardchannels] eq {}} else {fail {still subscribed}}\n",
    ),
    // Two connections may be served by two threads: that a request was sent before another one says nothing.
    (
        "tests/integration/shutdown.tcl",
        "            set info_clients [$master info clients]\n",
        "            wait_for_blocked_clients_count 2 100 10 -1\n            set info_clients [$master info clients]\n",
    ),
    // What is written in the background is no process: its file is taken from it before it is in its place, and there is another
    // process to be killed.
    (
        "tests/support/util.tcl",
        "proc get_child_pid {idx} {\n",
        "proc get_child_pid {idx} {\n    set client [srv $idx client]\n    set delay [lindex [$client config get rdb-key-save-delay] 1]\n    \
         set dir [lindex [$client config get dir] 1]\n    set pattern [file join $dir temp-bg-[srv $idx pid].*]\n    for {set tries 0} {$tries \
         < 100 && [glob -nocomplain $pattern] eq {}} {incr tries} {after 10}\n    foreach file [glob -nocomplain $pattern] {\n        file \
         delete $file\n        $client config set rdb-key-save-delay 0\n        wait_for_condition 500 10 {[string match \
         {*rdb_bgsave_in_progress:0*aof_rewrite_in_progress:0*} [$client info persistence]]} else {fail {it goes on}}\n        $client \
         config set rdb-key-save-delay $delay\n    }\n    return [exec sleep 60 </dev/null >/dev/null 2>/dev/null &]\n",
    ),
    // Nor is it counted as one. What a log that is switched on has written is put aside until the next try, and how long a key takes is
    // looked at for each, so that what is to be stopped would be done.
    ("tests/integration/aof-multi-part.tcl", "[s total_forks]", "[s aof_rewrites]"),
    (
        "tests/integration/aof-multi-part.tcl",
        "Removing the temp incr aof file",
        "Background AOF rewrite failed",
    ),
    (
        "tests/integration/aof-multi-part.tcl",
        "                r config set rdb-key-save-delay 0\n                catch {exec kill -9 [get_child_pid 0]}\n",
        "                catch {exec kill -9 [get_child_pid 0]}\n                r config set rdb-key-save-delay 0\n",
    ),
    // Its log is written by a thread of its own: what is looked for may come a moment later.
    (
        "tests/support/util.tcl",
        "proc verify_log_message {srv_idx pattern from_line} {\n    incr from_line\n",
        "proc verify_log_message {srv_idx pattern from_line} {\n    catch {wait_for_log_messages $srv_idx [list $pattern] $from_line 20 10}\n    \
         incr from_line\n",
    ),
    // What is wrong with a payload is said in other words, and that it is refused in the same for all.
    ("tests/integration/corrupt-dump.tcl", "*Zset ziplist integrity check failed*", REFUSED),
    ("tests/integration/corrupt-dump.tcl", "*Stream listpack integrity check failed*", REFUSED),
    ("tests/integration/corrupt-dump.tcl", "*Zipmap integrity check failed*", REFUSED),
    ("tests/integration/corrupt-dump.tcl", "*Duplicate stream consumer detected*", REFUSED),
    // What comes of sending followers the data is said in other words.
    (
        "tests/integration/replication.tcl",
        "*Diskless rdb transfer, last replica dropped, killing fork child*",
        "*followers could not be sent the data*",
    ),
    (
        "tests/integration/replication.tcl",
        "*Diskless rdb transfer, done reading from pipe, 2 replicas still up*",
        "*followers were sent the data*",
    ),
    (
        "tests/integration/replication.tcl",
        "*Diskless rdb transfer, done reading from pipe, 1 replicas still up*",
        "*followers were sent the data*",
    ),
    (
        "tests/integration/replication.tcl",
        "*Disconnecting timedout replica (full sync)*",
        "*it has taken nothing of the data for repl-timeout*",
    ),
    // It does not start as a follower, which is the end of a file where that is not looked for.
    (
        "tests/integration/aof.tcl",
        "        start_server [list overrides [list dir $server_path appendonly yes replica-read-only yes replicaof",
        "        fail {it does not start as a follower}\n        start_server [list overrides [list dir $server_path appendonly yes \
         replica-read-only yes replicaof",
    ),
    // Keys are agreed on elliptic curves only.
    (
        "tests/support/server.tcl",
        "        dict set config \"tls-dh-params-file\" [format \"%s/tests/tls/redis.dh\" [pwd]]\n",
        "",
    ),
    (
        "utils/gen-test-certs.sh",
        "[ -f tests/tls/redis.dh ] || openssl dhparam -out tests/tls/redis.dh 2048\n",
        "",
    ),
    // What cannot be set, not even to what it is, is not set there.
    (
        "tests/unit/introspection.tcl",
        "            cluster-enabled\n",
        "            cluster-enabled\n            cluster-allow-cross-slot\n            io-threads-do-reads\n",
    ),
    // A server of this test does not start as a follower, and its certificate is of a version before X.509's third.
    (
        "tests/unit/tls.tcl",
        "            start_server [list overrides [list tls-cert-file $redis_crt",
        "            fail {it follows nobody}\n            start_server [list overrides [list tls-cert-file $redis_crt",
    ),
    // Each part of the keyspace begins with a table of some kilobytes.
    ("tests/unit/maxmemory.tcl", "{$used+100*1024}", "{$used+400*1024}"),
    // Each thread has buffers of its own, which the first writes that a follower is told of make as long as they stay.
    (
        "tests/unit/maxmemory.tcl",
        "mem_not_counted_for_evict + 32*1024",
        "mem_not_counted_for_evict + 256*1024",
    ),
    // And it counts up to 32 kB for itself before it tells: half a byte per command is less where these are few.
    ("tests/unit/maxmemory.tcl", "[expr {$cmd_count / 2}]", "[expr {max($cmd_count / 2, 256*1024)}]"),
    // The thread that has a client closes it when it comes to it.
    (
        "tests/unit/maxmemory.tcl",
        "$master client kill type slave\n",
        "$master client kill type slave\n            wait_for_condition 100 10 {[s -1 mem_clients_slaves] == 0} else {fail {still there}}\n",
    ),
    // What Redis has given up of the language is not served at all.
    ("tests/unit/scripting.tcl", " overrides {lua-enable-deprecated-api $enabled}", ""),
    ("tests/unit/scripting.tcl", "overrides {appendonly yes aof-use-rdb-preamble no}", "overrides {}"),
    (
        "tests/unit/scripting.tcl",
        "        # enable AOF to also expose an assertion if the bug would happen\n        r flushall\n        r config set \
         appendonly yes\n",
        "        r flushall\n",
    ),
    // There is no debugger, which is no reason to end the file.
    (
        "tests/unit/scripting.tcl",
        "    r script debug sync\n    r eval {return 'hello'} 0\n    r eval {return 'hello'} 0\n}\n",
        "}\n",
    ),
    // A script that is busy keeps those waiting who need its keys, so it names one, and they do.
    ("tests/unit/scripting.tcl", "catch {r ping} e", "catch {r dbsize} e"),
    ("tests/unit/scripting.tcl", "{while true do end} 0", "{while true do end} 1 x"),
    ("tests/unit/scripting.tcl", "while 1 do pcall(f) end} 0", "while 1 do pcall(f) end} 1 x"),
    (
        "tests/unit/scripting.tcl",
        r"*3\r\n\$4\r\neval\r\n\$33\r\nwhile 1 do redis.call('ping') end\r\n\$1\r\n0",
        r"*4\r\n\$4\r\neval\r\n\$33\r\nwhile 1 do redis.call('ping') end\r\n\$1\r\n1\r\n\$1\r\nx",
    ),
    (
        "tests/unit/scripting.tcl",
        r"*3\r\n\$5\r\nfcall\r\n\$4\r\ntest\r\n\$1\r\n0",
        r"*4\r\n\$5\r\nfcall\r\n\$4\r\ntest\r\n\$1\r\n1\r\n\$1\r\nx",
    ),
    ("tests/unit/functions.tcl", "catch {r ping} e", "catch {r dbsize} e"),
    (
        "tests/unit/functions.tcl",
        "$rd fcall test 0\n        after 200",
        "$rd fcall test 1 x\n        after 200",
    ),
    (
        "tests/unit/functions.tcl",
        "command {fcall test 0} duration_ms",
        "command {fcall test 1 x} duration_ms",
    ),
    (
        "tests/unit/functions.tcl",
        "$rd eval {local a = 1 while true do a = a + 1 end} 0",
        "$rd eval {local a = 1 while true do a = a + 1 end} 1 x",
    ),
    ("tests/unit/multi.tcl", "$rd1 eval {while true do end} 0", "$rd1 eval {while true do end} 1 xx"),
];

/// The release that Debian's stable archive has as a program, too.
pub(crate) static REDIS_7_0: Release = Release {
    name: "7.0",
    product: Product::Redis,
    version: "7.0.15",
    archive: "bookworm",
    core: &[
        "unit/acl",
        "unit/acl-v2",
        "unit/protocol",
        "unit/keyspace",
        "unit/scan",
        "unit/info-command",
        "unit/type/string",
        "unit/type/incr",
        "unit/type/list",
        "unit/type/list-2",
        "unit/type/list-3",
        "unit/type/set",
        "unit/type/zset",
        "unit/type/hash",
        "unit/type/stream",
        "unit/type/stream-cgroups",
        "unit/multi",
        "unit/bitops",
        "unit/bitfield",
        "unit/hyperloglog",
        "unit/expire",
        "unit/quit",
        "unit/slowlog",
        "unit/latency-monitor",
        "unit/limits",
        "unit/querybuf",
        "unit/introspection-2",
        "unit/dump",
        "unit/shutdown",
        "unit/pubsub",
        "unit/pubsubshard",
        "unit/geo",
        "unit/sort",
        "unit/scripting",
        "unit/functions",
        "integration/convert-zipmap-hash-on-load",
        "integration/convert-ziplist-hash-on-load",
        "integration/convert-ziplist-zset-on-load",
    ],
    extra: &[
        "integration/aof",
        "integration/aof-multi-part",
        "integration/rdb",
        "integration/corrupt-dump",
        "integration/corrupt-dump-fuzzer",
        "integration/dismiss-mem",
        "integration/redis-benchmark",
        "integration/redis-cli",
        "integration/shutdown",
        "integration/block-repl",
        "integration/psync2-master-restart",
        "integration/psync2-pingoff",
        "integration/psync2-reg",
        "integration/replication",
        "integration/replication-2",
        "integration/replication-3",
        "integration/replication-4",
        "integration/replication-buffer",
        "integration/replication-psync",
        "unit/pendingquerybuf",
        "unit/wait",
        "unit/introspection",
        "unit/info",
        "unit/tracking",
        "unit/auth",
        "unit/other",
        "unit/maxmemory",
        "unit/pause",
        "unit/networking",
        "unit/client-eviction",
        "unit/lazyfree",
        "unit/memefficiency",
        "unit/replybufsize",
        "unit/aofrw",
        "unit/obuf-limits",
        "unit/oom-score-adj",
        "unit/violations",
        "unit/cluster-scripting",
        "unit/tls",
    ],
    not_run: &[
        (&["unit/printver", "unit/type/list-common", "integration/aof-race"], NO_TEST),
        (&["integration/logging"], CRASHES),
        (&["unit/moduleapi/"], MODULES),
        (
            &[
                "unit/cluster",
                "unit/cluster/announced-endpoints",
                "unit/cluster/links",
                "unit/cluster/misc",
                "unit/cluster/packet",
            ],
            BUS,
        ),
        (&["integration/failover", "integration/psync2"], FOLLOWING),
    ],
    adaptations: &[
        // Before each block of tests the functions are emptied; a server without functions has nothing to empty.
        ("tests/support/server.tcl", "    r function flush\n", "    catch {r function flush}\n"),
        CLEAN_UP_AFTER_FAILURE,
        CUTS_AS_OFTEN,
    ],
    // It refuses to start with what it does not serve: the tests that need it fail one by one instead, and the others in
    // the file are judged. And its encodings are those of Redis 8, where small lists and sets are a `listpack` since 7.2.
    ours: &[
        OURS,
        &[
            // Redis 8 says more in a line of the list.
            (
                "tests/support/aofmanifest.tcl",
                "        assert_equal [lindex $lines $i] [lindex $content $i]\n",
                "        assert_equal [regsub { startoffset.*} [lindex $lines $i] {}] [lindex $content $i]\n",
            ),
            // That a client was sent its wish to leave says nothing where another thread reads it; later suites wait for it, too.
            (
                "tests/unit/pubsub.tcl",
                "        unsubscribe $rd1\n        assert_equal 0 [r publish chan1 hello]\n",
                "        unsubscribe $rd1\n        wait_for_condition 100 10 {[regexp {cmd=unsubscribe} [r client list]] eq 1} else {fail {still \
                 subscribed}}\n        assert_equal 0 [r publish chan1 hello]\n",
            ),
            (
                "tests/unit/pubsub.tcl",
                "        punsubscribe $rd1\n        assert_equal 0 [r publish chan1.hi hello]\n",
                "        punsubscribe $rd1\n        wait_for_condition 100 10 {[regexp {cmd=punsubscribe} [r client list]] eq 1} else {fail {still \
                 subscribed}}\n        assert_equal 0 [r publish chan1.hi hello]\n",
            ),
            (
                "tests/unit/pubsubshard.tcl",
                "        sunsubscribe $rd1\n        assert_equal 0 [r SPUBLISH chan1 hello]\n",
                "        sunsubscribe $rd1\n        wait_for_condition 100 10 {[regexp {cmd=sunsubscribe} [r client list]] eq 1} else {fail {still \
                 subscribed}}\n        assert_equal 0 [r SPUBLISH chan1 hello]\n",
            ),
            (
                "tests/support/test.tcl",
                "    set val [r object encoding $key]\n",
                "    set val [r object encoding $key]\n    if {$val eq {listpack} && $enc in {quicklist hashtable}} {return}\n",
            ),
            ("tests/assets/default.conf", "notify-keyspace-events KEA\n", ""),
            // DEBUG DIGEST has scores in their shortest form, as since Redis 7.2: those of 7.0 are the same where they have few digits.
            (
                "tests/support/util.tcl",
                "            set d [expr {rand()}]\n",
                "            set d [expr {int(rand()*8)/8.0}]\n",
            ),
            // Since Redis 7.2 a script has those keys tracked that it reads: this one would wait for others.
            (
                "tests/unit/tracking.tcl",
                "        # If a script calls a read command, track all declared keys\n",
                "        fail {those are tracked that are read}\n",
            ),
            // What two connections send without waiting has no order where they are served by different threads.
            (
                "tests/unit/type/list.tcl",
                "        $rd1 brpoplpush blist{t} target1{t} 0\n",
                "        $rd1 brpoplpush blist{t} target1{t} 0\n        wait_for_blocked_clients_count 1\n",
            ),
            (
                "tests/unit/type/stream-cgroups.tcl",
                "        $rd XREAD BLOCK 0 STREAMS mystream \"$\"\n",
                "        $rd XREAD BLOCK 0 STREAMS mystream \"$\"\n        wait_for_blocked_clients_count 1\n",
            ),
            (
                "tests/unit/type/list.tcl",
                "        # Blocked BLPOPLPUSH may create problems, unblock it.\n        r lpush srclist{t} element\n        set res \
                 [$watching_client read]\n",
                "        set res [$watching_client read]\n        r lpush srclist{t} element\n",
            ),
            // It has all slots from its start.
            ("tests/unit/cluster-scripting.tcl", "    r 0 cluster addslotsrange 0 16383\n", ""),
        ],
    ],
    followers: &[
        ("integration/block-repl", "-F"),
        ("integration/psync2-master-restart", "FF-"),
        ("integration/psync2-pingoff", "F--FFFFFF-"),
        ("integration/psync2-reg", "FF-"),
        ("integration/replication", "F-F--F-FFF-FFF-FFF-FFF-FF-F-F-F-F--FFFFFFFFFF-F-F-F-FFF-FF---FFF--"),
        ("integration/replication-2", "F-"),
        ("integration/replication-3", "F-"),
        ("integration/replication-4", "-F"),
        ("integration/replication-buffer", "FFF-FF-F-F-"),
        ("integration/replication-psync", "-F"),
        ("integration/shutdown", "-F"),
        ("unit/auth", "---F"),
        ("unit/bitfield", "--F"),
        ("unit/expire", "--F"),
        ("unit/functions", "-F----"),
        ("unit/maxmemory", "---F-F----"),
        ("unit/networking", "---F-"),
        ("unit/pause", "-F"),
        ("unit/pendingquerybuf", "-F"),
        ("unit/pubsubshard", "-F-"),
        ("unit/scripting", "----F-F-------F-F-----FF-"),
        ("unit/type/stream-cgroups", "--FF-"),
        ("unit/wait", "-F"),
    ],
    server: setup::redis_server,
};

/// The release whose behaviour is ours where releases differ: what its suite says of data types and keys.
pub(crate) static REDIS_8_6: Release = Release {
    name: "8.6",
    product: Product::Redis,
    version: "8.6.3",
    archive: "experimental",
    core: &[
        "unit/acl",
        "unit/acl-v2",
        "unit/type/string",
        "unit/type/incr",
        "unit/type/list",
        "unit/type/list-2",
        "unit/type/list-3",
        "unit/type/set",
        "unit/type/zset",
        "unit/type/hash",
        "unit/type/hash-field-expire",
        "unit/type/stream",
        "unit/type/stream-cgroups",
        "unit/dump",
        "unit/sort",
        "unit/geo",
        "unit/hyperloglog",
        "unit/other",
        "unit/scan",
        "unit/keyspace",
        "unit/lazyfree",
        "unit/bitops",
        "unit/bitfield",
        "unit/client-eviction",
    ],
    extra: &[
        "integration/aof",
        "integration/aof-multi-part",
        "integration/rdb",
        "integration/convert-zipmap-hash-on-load",
        "integration/convert-ziplist-hash-on-load",
        "integration/convert-ziplist-zset-on-load",
        "integration/corrupt-dump",
        "integration/corrupt-dump-fuzzer",
        "integration/dismiss-mem",
        "integration/redis-benchmark",
        "integration/redis-cli",
        "integration/shutdown",
        "integration/block-repl",
        "integration/psync2-master-restart",
        "integration/psync2-pingoff",
        "integration/psync2-reg",
        "integration/replication",
        "integration/replication-2",
        "integration/replication-3",
        "integration/replication-4",
        "integration/replication-buffer",
        "integration/replication-iothreads",
        "unit/wait",
        "unit/protocol",
        "unit/info-command",
        "unit/multi",
        "unit/expire",
        "unit/quit",
        "unit/slowlog",
        "unit/latency-monitor",
        "unit/limits",
        "unit/querybuf",
        "unit/introspection",
        "unit/introspection-2",
        "unit/shutdown",
        "unit/pubsub",
        "unit/pubsubshard",
        "unit/scripting",
        "unit/functions",
        "unit/info",
        "unit/info-keysizes",
        "unit/hotkeys",
        "unit/tracking",
        "unit/auth",
        "unit/maxmemory",
        "unit/pause",
        "unit/networking",
        "unit/memefficiency",
        "unit/replybufsize",
        "unit/aofrw",
        "unit/obuf-limits",
        "unit/oom-score-adj",
        "unit/violations",
        "unit/tls",
        "unit/cluster/scripting",
        "unit/cluster/slot-stats",
    ],
    not_run: &[
        (&["unit/printver", "integration/aof-race"], NO_TEST),
        (&["integration/logging"], CRASHES),
        (&["unit/moduleapi/"], MODULES),
        (
            &[
                "unit/cluster/announced-endpoints",
                "unit/cluster/atomic-slot-migration",
                "unit/cluster/cli",
                "unit/cluster/cluster-response-tls",
                "unit/cluster/failure-marking",
                "unit/cluster/hostnames",
                "unit/cluster/human-announced-nodename",
                "unit/cluster/internal-secret",
                "unit/cluster/links",
                "unit/cluster/misc",
                "unit/cluster/multi-slot-operations",
                "unit/cluster/sharded-pubsub",
                "unit/cluster/slot-ownership",
            ],
            BUS,
        ),
        (&["integration/failover", "integration/psync2"], FOLLOWING),
        (&["integration/replication-rdbchannel"], NO_CHANNEL),
        (&["integration/replication-psync"], AS_IN_7_0),
    ],
    adaptations: &[
        CLEAN_UP_AFTER_FAILURE,
        CUTS_AS_OFTEN,
        // Where what is done with a server fails outside of a test, its parent would be taken for it and ended, too.
        (
            "tests/support/server.tcl",
            "            } else {\n                # Re-raise",
            "                set ::tags [lrange $::tags 0 end-[llength $tags]]\n                return\n            } else {\n                \
             # Re-raise",
        ),
    ],
    ours: &[
        OURS,
        &[
            // Where one client is answered before what another one has sent was read, as by several threads, these tests mean nothing.
            ("tests/unit/client-eviction.tcl", "start_server {} {", "start_server {overrides {threads 1}} {"),
            (
                "tests/unit/client-eviction.tcl",
                "            set client_mem [client_field client-$i tot-mem]\n",
                "            wait_for_condition 200 10 {[llength [lmap line [split [r client list] \"\\n\"] {\n                if {![string match \
                 \"*name=client-$i *\" $line] || ![regexp {tot-mem=(\\d+)} $line - held] || $held < $size} continue\n                \
                 set held\n            }]] == $clients_per_size} else {fail {not read}}\n            \
                 set client_mem [client_field client-$i tot-mem]\n",
            ),
            // Requests wait while the peer does not take the replies to earlier ones, unless many come: then the replies grow.
            (
                "tests/unit/client-eviction.tcl",
                "$rr get k\n                $rr flush\n                after 10\n",
                "$rr eval {return redis.call('get', 'k')} 1 k [string repeat x 65536]\n                $rr flush\n                \
                 after 10\n",
            ),
            (
                "tests/unit/client-eviction.tcl",
                "                $rr client no-evict off\n",
                "                $rr client no-evict off\n                $rr echo [string repeat x 1048576]\n                $rr flush\n",
            ),
            // The reply to GET refers to a long value, which is not the client's; that of a script is a copy.
            (
                "tests/unit/client-eviction.tcl",
                "$rr get k\n",
                "$rr eval {return redis.call('get', 'k')} 1 k\n",
            ),
            // What clients hold is not counted from time to time.
            ("tests/unit/client-eviction.tcl", "r debug pause-cron ", "# r debug pause-cron "),
            ONE_NODE,
            // A library that is loaded has the list of all made anew, which takes long where there are tens of thousands.
            (
                "tests/unit/scripting.tcl",
                "        set n 50000\n",
                "        set n [expr {$is_eval ? 50000 : 2000}]\n",
            ),
            // Replies refer to long values and cannot be made not to.
            ("tests/unit/maxmemory.tcl", COPIES_REPLIES.0, COPIES_REPLIES.1),
            ("tests/unit/client-eviction.tcl", COPIES_REPLIES.0, COPIES_REPLIES.1),
            ("tests/unit/info.tcl", COPIES_REPLIES.0, COPIES_REPLIES.1),
            ("tests/unit/obuf-limits.tcl", COPIES_REPLIES.0, COPIES_REPLIES.1),
            ("tests/unit/replybufsize.tcl", COPIES_REPLIES.0, COPIES_REPLIES.1),
            SERVER_INITIALIZED,
            // What is kept in the append-only log is judged by the other suite.
            (
                "tests/unit/type/hash-field-expire.tcl",
                "overrides {appendonly {yes} appendfsync",
                "overrides {appendfsync",
            ),
            ("tests/integration/corrupt-dump.tcl", "*Duplicated consumer PEL entry*", REFUSED),
            // Its log says that it goes in other words.
            ("tests/integration/redis-cli.tcl", "*Redis is now ready to exit*", "*ready to exit*"),
            // Whatever is flushed is freed in the background, and nobody waits for that.
            (
                "tests/unit/lazyfree.tcl",
                "assert_equal [s lazyfreed_objects] $num_keys",
                "wait_for_condition 50 100 {[s lazyfreed_objects] == $num_keys} else {fail {not freed}}",
            ),
            (
                "tests/unit/lazyfree.tcl",
                "assert_equal [s lazyfreed_objects] 2",
                "wait_for_condition 50 100 {[s lazyfreed_objects] == 2} else {fail {not freed}}",
            ),
        ],
    ],
    followers: &[
        ("integration/block-repl", "-F"),
        ("integration/psync2-master-restart", "FF-"),
        ("integration/psync2-pingoff", "F--FFFFFF-"),
        ("integration/psync2-reg", "FF-"),
        (
            "integration/replication",
            "F-F--F-FFF-FFF-FFF-FFF-FFF-FFF-FF-F-F-F-F--FFFFFFFFFF-F-F-F-FFF-FF---FFF---FF-F--FF-F--F-F--F-F-F",
        ),
        ("integration/replication-2", "F-"),
        ("integration/replication-3", "F-"),
        ("integration/replication-4", "-F"),
        ("integration/replication-buffer", "FFF-FFF-FF-FF-F-F-F-F-"),
        ("integration/replication-iothreads", "F-FFF-"),
        ("integration/shutdown", "-F"),
        ("unit/acl", "--F------"),
        ("unit/auth", "---F"),
        ("unit/bitfield", "--F"),
        ("unit/expire", "--F-"),
        ("unit/functions", "-F----"),
        ("unit/maxmemory", "---F-F------"),
        ("unit/pause", "-F"),
        ("unit/pubsubshard", "-F-"),
        ("unit/scripting", "----F-F--------F-F-------FF--"),
        ("unit/type/stream", "-------------F-F-"),
        ("unit/type/stream-cgroups", "--FF----F-"),
        ("unit/wait", "-F-F-F-F-FFF-"),
    ],
    server: || setup::peer_build("redis"),
};

/// The other line of descent, for the rules of its own that are served here, too.
static VALKEY_9_1: Release = Release {
    name: "valkey",
    product: Product::Valkey,
    version: "9.1.2",
    archive: "sid",
    core: &[],
    extra: &["unit/acl-v2"],
    not_run: &[(
        &["unit/", "unit/type/", "unit/cluster/", "unit/moduleapi/", "integration/"],
        "where Redis and Valkey differ, swytch does what Redis does; of Valkey it has the rules of ACL about databases",
    )],
    adaptations: &[],
    ours: &[&[
        SERVER_INITIALIZED,
        ("tests/assets/default.conf", "enable-debug-assert yes\n", ""),
        // Scripts call the server by the name that Redis has given it.
        ("tests/unit/acl-v2.tcl", "server.call(", "redis.call("),
        ("tests/unit/acl-v2.tcl", "server.register_function", "redis.register_function"),
    ]],
    followers: &[],
    server: || setup::peer_build("valkey"),
};
