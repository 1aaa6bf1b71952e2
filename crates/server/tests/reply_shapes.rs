//! Reply shapes: the check of them can fail, and each command's first replies pass it in both protocols.

#[path = "support/shapes.rs"]
mod shapes;

use shapes::{fits, ours};
use swytch::command::ReplyShape;
use swytch_testkit::Reply;

#[test]
fn a_reply_of_another_shape_is_noticed() {
    let null_or_texts = ReplyShape::OneOf(&[ReplyShape::NullArray, ReplyShape::TEXTS]);
    let pairs = ReplyShape::Map(&ReplyShape::Text, &ReplyShape::Count);
    let (text, one) = (Reply::bulk("a"), Reply::Integer(1));
    for (shape, protocol, reply, expected) in [
        (ReplyShape::OK, 2, Reply::ok(), true),
        (ReplyShape::OK, 2, Reply::bulk("OK"), false),
        (ReplyShape::OK, 2, Reply::simple("PONG"), false),
        (ReplyShape::Flag, 2, Reply::Integer(2), false),
        (ReplyShape::Count, 3, Reply::Integer(-1), false),
        (ReplyShape::Never, 2, Reply::ok(), false),
        (null_or_texts, 2, Reply::NullArray, true),
        (null_or_texts, 2, Reply::Null, false),
        (null_or_texts, 3, Reply::Null, true),
        (null_or_texts, 2, Reply::Array(vec![text.clone(), text.clone()]), true),
        (null_or_texts, 2, Reply::Array(vec![text.clone(), one.clone()]), false),
        (ReplyShape::Tuple(&[ReplyShape::Text]), 2, Reply::Array(vec![]), false),
        (pairs, 2, Reply::Array(vec![text.clone(), one.clone()]), true),
        (pairs, 3, Reply::Array(vec![text.clone(), one.clone()]), false),
        (pairs, 3, Reply::Map(vec![text.clone(), one.clone()]), true),
        (pairs, 3, Reply::Map(vec![one, text.clone()]), false),
        (ReplyShape::Report, 3, text.clone(), false),
        (ReplyShape::Set(&ReplyShape::Text), 3, Reply::Array(vec![text]), false),
    ] {
        assert_eq!(fits(&shape, protocol, &reply), expected, "{shape:?} {reply} in RESP{protocol}");
    }
}

/// Requests whose replies have many parts, or differ between the protocols; the rest are in the transcripts.
const REQUESTS: &str = "\
PUBLISH none message
SPUBLISH none message
PUBSUB CHANNELS
PUBSUB NUMSUB none
PUBSUB NUMPAT
PUBSUB SHARDCHANNELS
PUBSUB SHARDNUMSUB none other
PUBSUB HELP
RPUSH list a b c
LMPOP 2 none list LEFT
BLMPOP 1 1 list RIGHT COUNT 2
LPOP none
LPOP none 2
SADD set a b 3
SMEMBERS set
SINTER set set
SRANDMEMBER set 2
SRANDMEMBER set -2
SMISMEMBER set a z
SSCAN set 0
SPOP set
SPOP set 1
SPOP none
SPOP none 1
DEL stream
XADD stream 1-1 a b
XADD none-such NOMKSTREAM 1-1 a b
XRANGE stream - +
XRANGE stream - + COUNT 0
XREVRANGE stream + -
XREAD STREAMS stream 0
XREAD STREAMS stream 9
XGROUP CREATE stream group 0
XPENDING stream group
XREADGROUP GROUP group one STREAMS stream >
XREADGROUP GROUP group one STREAMS stream 0
XPENDING stream group
XPENDING stream group - + 9
XCLAIM stream group two 0 1-1
XCLAIM stream group two 0 1-1 JUSTID
XAUTOCLAIM stream group one 0 0
XREADGROUP GROUP group two CLAIM 0 STREAMS stream >
XINFO STREAM stream
XINFO STREAM stream FULL
XINFO GROUPS stream
XINFO CONSUMERS stream group
XINFO HELP
XGROUP HELP
XACKDEL stream group IDS 1 1-1
XDELEX stream IDS 2 1-1 1-2
HSET hash a 1 b 2
HGETALL hash
HKEYS hash
HMGET hash a z
HRANDFIELD hash
HRANDFIELD hash -3
HRANDFIELD hash 2 WITHVALUES
HSCAN hash 0
HSCAN hash 0 NOVALUES
HINCRBYFLOAT hash a 0.5
HEXPIRE hash 100 FIELDS 2 a z
HPTTL hash FIELDS 3 a b z
HGETEX hash PERSIST FIELDS 2 a z
HPERSIST hash FIELDS 1 a
HSETEX hash FXX EX 100 FIELDS 1 z 1
HGETDEL hash FIELDS 2 a z
HEXPIRETIME none FIELDS 1 f
GEOADD places 13.361389 38.115556 Palermo 15.087269 37.502669 Catania
GEOPOS places Palermo none
GEOHASH places Palermo none
GEODIST places Palermo Catania km
GEODIST places Palermo none
GEOSEARCH places FROMLONLAT 15 37 BYRADIUS 200 km
GEOSEARCH places FROMLONLAT 15 37 BYRADIUS 200 km WITHDIST
GEOSEARCH places FROMLONLAT 15 37 BYBOX 400 400 km WITHHASH ASC
GEOSEARCH places FROMMEMBER Palermo BYRADIUS 200 km WITHCOORD COUNT 1
GEOSEARCH places FROMMEMBER Palermo BYRADIUS 200 km WITHDIST WITHHASH WITHCOORD DESC
GEORADIUS places 15 37 200 km WITHDIST WITHCOORD
GEORADIUS places 15 37 200 km STORE near
GEORADIUSBYMEMBER places Palermo 200 km WITHHASH WITHCOORD
GEORADIUSBYMEMBER_RO places Palermo 200 km WITHDIST WITHHASH
GEORADIUS_RO places 15 37 200 km
GEOSEARCHSTORE near places FROMLONLAT 15 37 BYRADIUS 200 km STOREDIST
RPUSH numbers 3 1 2
SORT numbers DESC LIMIT 0 2
SORT numbers BY nosort GET # GET none:*
SORT numbers STORE in-order
SORT_RO numbers ALPHA
ZADD zset 1 a 2.5 b 3 c
ZADD zset INCR 1 a
ZADD zset NX INCR 1 a
ZINCRBY zset 0.5 b
ZSCORE zset a
ZSCORE zset none
ZMSCORE zset a none
ZRANK zset a
ZRANK zset a WITHSCORE
ZRANK zset none
ZRANK zset none WITHSCORE
ZRANGE zset 0 -1 WITHSCORES
ZRANGEBYSCORE zset -inf inf WITHSCORES
ZUNION 2 zset set WITHSCORES
ZINTER 1 zset
ZDIFF 2 zset none WITHSCORES
ZRANDMEMBER zset
ZRANDMEMBER zset -2 WITHSCORES
ZSCAN zset 0
ZPOPMIN zset
ZPOPMAX zset 1
ZPOPMIN none
ZPOPMIN none 1
BZPOPMIN none zset 0
ZMPOP 1 zset MIN
ZADD zset 1 a
ZMPOP 1 zset MIN
BZMPOP 0.001 1 zset MIN
SET text abcd GET
MGET text none
LCS text text
LCS text text IDX WITHMATCHLEN
BITFIELD text GET u8 0 OVERFLOW FAIL INCRBY u2 0 9
BITFIELD_RO text GET u8 0
SCAN 0
TYPE text
OBJECT ENCODING text
OBJECT HELP
MEMORY USAGE text
MEMORY USAGE none
MEMORY STATS
MEMORY DOCTOR
MEMORY MALLOC-STATS
INFO
CLIENT LIST
CLIENT INFO
CLIENT GETNAME
CLIENT TRACKINGINFO
COMMAND
COMMAND DOCS
COMMAND INFO get nonsense client|list
COMMAND GETKEYS MSET a 1 b 2
COMMAND GETKEYSANDFLAGS MSET a 1 b 2
COMMAND LIST
CONFIG GET max*
CONFIG SET slowlog-log-slower-than 0
CONFIG SET latency-monitor-threshold 1
DEBUG SLEEP 0.01
SLOWLOG GET
COMMANDLOG GET -1 slow
COMMANDLOG LEN large-reply
COMMANDLOG RESET large-request
HOTKEYS GET
HOTKEYS STOP
HOTKEYS START METRICS 2 CPU NET
SET a 1
HOTKEYS GET
HOTKEYS STOP
HOTKEYS RESET
LATENCY LATEST
LATENCY HISTORY command
LATENCY HISTOGRAM set
LATENCY GRAPH command
LATENCY DOCTOR
LATENCY RESET
ACL CAT
ACL CAT string
ACL WHOAMI
ROLE
TIME
LASTSAVE
WAIT 0 1
FUNCTION LIST
LOLWUT
WATCH text
MULTI
GET text
LRANGE list 0 -1
EXEC
RESET";

#[test]
fn replies_have_their_shapes_in_both_protocols() {
    let mut server = ours().start("shapes", "enable-debug-command yes");
    for protocol in [2, 3] {
        server.say(&format!("HELLO {protocol}"));
        for request in REQUESTS.lines() {
            let reply = server.say(request);
            assert!(!reply.is_error(), "{request}: {reply}");
        }
    }
}
