//! The releases of Redis whose suites are run: which files, and what our copy of each has otherwise.
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::setup;

/// A change of our copy of a suite: a file, what stands there, and what stands there instead.
type Adaptation = (&'static str, &'static str, &'static str);

/// A release of Redis with its suite.
#[derive(Debug)]
pub(crate) struct Release {
    /// What the command line calls it.
    pub(crate) name: &'static str,
    /// The exact version, in the names of its files and in the document.
    pub(crate) version: &'static str,
    /// The suite of Debian's archive that carries its source.
    pub(crate) archive: &'static str,
    /// Files that must stand at Redis's own figure (but for the listed tests).
    pub(crate) core: &'static [&'static str],
    /// Files that are run for what they can give already.
    pub(super) extra: &'static [&'static str],
    /// Files whose figures of a real Redis are kept for later.
    pub(super) later: &'static [&'static str],
    /// What our copy of the suite has otherwise, whichever server it judges. No change alters a verdict.
    pub(super) adaptations: &'static [Adaptation],
    /// What our copy has otherwise when the server under test is ours.
    pub(super) ours: &'static [Adaptation],
    /// Tags of blocks that ours does not begin, because the server for them does not start.
    pub(super) unserved_tags: &'static str,
    /// A real server of this release.
    pub(super) server: fn() -> Result<PathBuf>,
}

impl Release {
    /// Its unpacked source.
    pub(crate) fn source(&self) -> Result<PathBuf> {
        setup::redis_source(self.version, self.archive)
    }
}

/// All of them, in the order of the document.
pub(crate) static RELEASES: [&Release; 2] = [&REDIS_7_0, &REDIS_8_6];

/// The release of that name.
pub(crate) fn by_name(name: &str) -> Result<&'static Release> {
    match RELEASES.into_iter().find(|release| release.name == name) {
        Some(release) => Ok(release),
        None => bail!("--suite is {}, not {name:?}", RELEASES.map(|release| release.name).join(" or ")),
    }
}

/// A test that fails between MULTI and EXEC would leave its transaction open for the tests behind it, one that has stopped
/// active expiry would leave it so, and one that has selected a database would leave its client there. A client that reads raw replies itself is left alone.
const CLEAN_UP_AFTER_FAILURE: Adaptation = (
    "tests/support/test.tcl",
    "        set assertion [string match \"assertion:*\" $error]\n",
    "        set assertion [string match \"assertion:*\" $error]\n        catch {\n            regexp {\\d+$} [srv 0 client] id\n            \
     if {!$::redis::deferred($id) && !$::redis::readraw($id)} {\n                catch {r discard}\n                r debug set-active-expire 1\n                catch {r select 9}\n            }\n        }\n",
);

/// Who has closed a connection has not left its channels yet where another thread serves it; the next test counts receivers.
const DEPARTED_ARE_GONE: Adaptation = (
    "tests/unit/pubsub.tcl",
    "        $rd2 close\n",
    "        $rd2 close\n        wait_for_condition 50 100 {[llength [r pubsub channels]] + [r pubsub numpat] == 0} else {fail \
     {still subscribed}}\n",
);
const DEPARTED_ARE_GONE_FROM_SHARDS: Adaptation = (
    "tests/unit/pubsubshard.tcl",
    "        $rd2 close\n",
    "        $rd2 close\n        wait_for_condition 50 100 {[r pubsub shardchannels] eq {}} else {fail {still subscribed}}\n",
);

/// Its log is written by a thread of its own: what is looked for may come a moment later.
const LOG_COMES_LATER: Adaptation = (
    "tests/support/util.tcl",
    "proc verify_log_message {srv_idx pattern from_line} {\n    incr from_line\n",
    "proc verify_log_message {srv_idx pattern from_line} {\n    catch {wait_for_log_messages $srv_idx [list $pattern] $from_line 20 10}\n    \
     incr from_line\n",
);

/// It does not start as a follower, which is the end of a file where that is not looked for.
const FOLLOWER_IN_TEST: Adaptation = (
    "tests/integration/aof.tcl",
    "        start_server [list overrides [list dir $server_path appendonly yes replica-read-only yes replicaof",
    "        fail {it does not start as a follower}\n        start_server [list overrides [list dir $server_path appendonly yes \
     replica-read-only yes replicaof",
);

/// The release that Debian's stable archive has as a program, too.
pub(crate) static REDIS_7_0: Release = Release {
    name: "7.0",
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
    ],
    later: &[
        "integration/logging",
        "integration/shutdown",
        "unit/aofrw",
        "unit/obuf-limits",
        "unit/wait",
        "unit/pendingquerybuf",
        "unit/violations",
        "unit/cluster-scripting",
    ],
    adaptations: &[
        // Before each block of tests the functions are emptied; a server without functions has nothing to empty.
        ("tests/support/server.tcl", "    r function flush\n", "    catch {r function flush}\n"),
        CLEAN_UP_AFTER_FAILURE,
    ],
    // It refuses to start with what it does not serve: the tests that need it fail one by one instead, and the others in
    // the file are judged. And its encodings are those of Redis 8, where small lists and sets are a `listpack` since 7.2.
    ours: &[
        DEPARTED_ARE_GONE,
        DEPARTED_ARE_GONE_FROM_SHARDS,
        FOLLOWER_IN_TEST,
        LOG_COMES_LATER,
        // Each part of the keyspace begins with a table of some kilobytes.
        ("tests/unit/maxmemory.tcl", "{$used+100*1024}", "{$used+400*1024}"),
        (
            "tests/support/test.tcl",
            "    set val [r object encoding $key]\n",
            "    set val [r object encoding $key]\n    if {$val eq {listpack} && $enc in {quicklist hashtable}} {return}\n",
        ),
        ("tests/assets/default.conf", "notify-keyspace-events KEA\n", ""),
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
    ],
    unserved_tags: "",
    server: setup::redis_server,
};

/// The release whose behaviour is ours where releases differ: what its suite says of data types and keys.
pub(crate) static REDIS_8_6: Release = Release {
    name: "8.6",
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
    ],
    later: &["integration/logging", "integration/shutdown"],
    adaptations: &[
        CLEAN_UP_AFTER_FAILURE,
        // Where what is done with a server fails outside of a test, its parent would be taken for it and ended, too.
        (
            "tests/support/server.tcl",
            "            } else {\n                # Re-raise",
            "                set ::tags [lrange $::tags 0 end-[llength $tags]]\n                return\n            } else {\n                \
             # Re-raise",
        ),
    ],
    ours: &[
        DEPARTED_ARE_GONE,
        DEPARTED_ARE_GONE_FROM_SHARDS,
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
        ("tests/unit/client-eviction.tcl", "$rr get k\n", "$rr eval {return redis.call('get', 'k')} 1 k\n"),
        (
            "tests/unit/client-eviction.tcl",
            "r debug reply-copy-avoidance 0",
            "# r debug reply-copy-avoidance 0",
        ),
        // What clients hold is not counted from time to time.
        ("tests/unit/client-eviction.tcl", "r debug pause-cron ", "# r debug pause-cron "),
        FOLLOWER_IN_TEST,
        LOG_COMES_LATER,
        // Each part of the keyspace begins with a table of some kilobytes.
        ("tests/unit/maxmemory.tcl", "{$used+100*1024}", "{$used+400*1024}"),
        // There are no replicas, and nobody to wait for their process.
        ("tests/unit/maxmemory.tcl", "\ntest_slave_buffers ", "\n# test_slave_buffers "),
        // Replies refer to long values and cannot be made not to.
        ("tests/unit/maxmemory.tcl", "r debug reply-copy-avoidance 0", "# r debug reply-copy-avoidance 0"),
        // Our line about the start has no more words.
        ("tests/support/server.tcl", " PID: $pid.*Server initialized", " PID: $pid"),
        // What is kept in the append-only log is judged by the other suite.
        (
            "tests/unit/type/hash-field-expire.tcl",
            "overrides {appendonly {yes} appendfsync",
            "overrides {appendfsync",
        ),
        ("tests/unit/type/stream.tcl", "overrides {appendonly yes", "overrides {"),
        ("tests/unit/type/stream-cgroups.tcl", "overrides {appendonly yes", "overrides {"),
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
    unserved_tags: " -cluster",
    server: || setup::peer_build("redis"),
};
