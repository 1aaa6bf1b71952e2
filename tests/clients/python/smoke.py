"""redis-py against a running server: every check is a function, run once with RESP2 and once with RESP3.

A check gets a client on an empty server and a way to open another one.
Usage: smoke.py HOST PORT
"""

import threading
import time

import redis
import redis.sentinel

from harness import HOST, PORT, TLS, check, raises, run


@check
def strings(r, another):
    assert r.set("s", "value") is True
    assert r.get("s") == b"value"
    assert r.set("s", "other", nx=True) is None
    assert r.set("s", "new", get=True) == b"value"
    assert r.append("s", "er") == 5
    assert r.getrange("s", 0, 2) == b"new"
    assert r.mset({"a": 1, "b": 2}) is True
    assert r.mget("a", "b", "none") == [b"1", b"2", None]
    assert r.incr("a") == 2 and r.decrby("a", 5) == -3
    assert float(r.incrbyfloat("b", 0.5)) == 2.5
    assert r.setrange("s", 10, "x") == 11
    assert r.strlen("s") == 11
    assert r.getdel("a") == b"-3" and r.exists("a") == 0


@check
def binary_and_big_values(r, another):
    blob = bytes(range(256)) * 4 * 1024 * 8
    assert r.set(b"bin\x00\r\nkey", blob) is True
    assert r.get(b"bin\x00\r\nkey") == blob
    assert r.set("empty", "") is True and r.get("empty") == b""


@check
def bits(r, another):
    assert r.setbit("bit", 7, 1) == 0 and r.getbit("bit", 7) == 1
    assert r.bitcount("bit") == 1 and r.bitpos("bit", 1) == 7
    assert r.bitfield("bf").set("u8", "#1", 200).get("u8", "#1").execute() == [0, 200]


@check
def expiry(r, another):
    r.set("t", "v", px=100_000)
    assert 0 < r.pttl("t") <= 100_000
    r.set("t", "v", px=40)
    time.sleep(0.1)
    assert r.get("t") is None and r.ttl("t") == -2
    r.set("t", "v")
    assert r.ttl("t") == -1
    assert r.expire("t", 100) and r.expire("t", 50, gt=True) is False
    assert r.persist("t") and r.ttl("t") == -1


@check
def keys_and_scan(r, another):
    names = {f"scan:{number}" for number in range(1000)}
    with r.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.set(name, 1)
        assert all(pipe.execute())
    assert {name.decode() for name in r.scan_iter("scan:*", count=37)} == names
    assert len(r.keys("scan:99?")) == 10
    assert r.type("scan:1") == b"string" and r.dbsize() >= 1000
    assert r.rename("scan:1", "moved") is True and r.copy("moved", "copied") is True
    assert r.unlink("moved", "copied", "none") == 2


@check
def lists(r, another):
    assert r.rpush("l", *range(10)) == 10
    assert r.lrange("l", 0, 2) == [b"0", b"1", b"2"]
    assert r.lpop("l") == b"0" and r.rpop("l", 2) == [b"9", b"8"]
    assert r.linsert("l", "before", "3", "x") == 8 and r.lpos("l", "x") == 2
    assert r.lset("l", 0, "first") is True and r.lindex("l", 0) == b"first"
    assert r.ltrim("l", 0, 1) is True and r.llen("l") == 2
    assert r.lmove("l", "l2", "LEFT", "RIGHT") == b"first"
    assert r.lmpop(2, "none", "l", direction="LEFT") == [b"l", [b"2"]]


@check
def blocking_pops(r, another):
    assert r.blpop("nothing", timeout=0.05) is None
    popped = []
    other = another()
    waiter = threading.Thread(target=lambda: popped.append(other.blpop(["b1", "b2"], timeout=50)))
    waiter.start()
    while r.info("clients")["blocked_clients"] == 0:
        time.sleep(0.01)
    r.rpush("b2", "woken")
    waiter.join(50)
    assert [list(pair) for pair in popped] == [[b"b2", b"woken"]], popped
    other.close()
    r.rpush("b1", "x")
    assert r.blmove("b1", "b3", 1, "LEFT", "RIGHT") == b"x"
    assert r.exists("b1", "b2") == 0


@check
def transactions(r, another):
    r.set("counter", 1)
    with r.pipeline() as pipe:
        pipe.incr("counter").rpush("list", "a").get("counter")
        assert pipe.execute() == [2, 1, b"2"]
    with r.pipeline() as pipe:
        pipe.watch("counter")
        r.incr("counter")
        pipe.multi()
        pipe.set("counter", "lost")
        raises(redis.WatchError, pipe.execute)
    assert r.get("counter") == b"3"
    assert r.transaction(lambda pipe: (pipe.multi(), pipe.incr("counter")), "counter") == [4]


@check
def errors(r, another):
    r.set("string", "x")
    assert "wrong kind of value" in raises(redis.ResponseError, lambda: r.lpush("string", 1))
    assert "not an integer" in raises(redis.ResponseError, lambda: r.incr("string"))
    assert "unknown command" in raises(redis.ResponseError, lambda: r.execute_command("NOSUCH", 1))
    assert "wrong number of arguments" in raises(redis.ResponseError, lambda: r.execute_command("GET"))
    with r.pipeline(transaction=False) as pipe:
        pipe.set("ok", 1).incr("string").get("ok")
        replies = pipe.execute(raise_on_error=False)
    assert replies[0] is True and replies[2] == b"1"
    assert isinstance(replies[1], redis.ResponseError)


@check
def server_commands(r, another):
    assert r.ping() is True and r.echo("hi") == b"hi"
    r.set("short", "x")
    info = r.info()
    assert info["redis_version"] and info["tcp_port"] and "db0" in info
    assert r.config_get("maxmemory")
    assert r.config_set("slowlog-max-len", 64) is True
    assert r.config_get("slowlog-max-len")["slowlog-max-len"] == "64"
    assert r.client_setname("smoke") is True and r.client_getname() in ("smoke", b"smoke")
    assert any(client["name"] == "smoke" for client in r.client_list())
    assert r.client_id() > 0
    assert len(r.time()) == 2
    assert r.command_count() > 100
    assert r.command_getkeys("MSET", "a", 1, "b", 2) in (["a", "b"], [b"a", b"b"])
    assert r.object("encoding", "short") in ("embstr", b"embstr")
    assert r.slowlog_get() is not None


@check
def messages(r, another):
    listener = r.pubsub()
    listener.subscribe("news", "sport")
    listener.psubscribe("n*")
    listener.ssubscribe("shard")

    def heard(count):
        found = []
        while len(found) < count:
            message = listener.get_message(timeout=60)
            if message is not None:
                found.append((message["type"], message["channel"], message["data"]))
        return found

    told = heard(4)
    assert told[:2] == [("subscribe", b"news", 1), ("subscribe", b"sport", 2)], told
    assert told[2] == ("psubscribe", b"n*", 3) and told[3] == ("ssubscribe", b"shard", 1), told
    assert r.publish("news", "a") == 2 and r.publish("sport", b"\x00\r\n") == 1 and r.spublish("shard", "s") == 1
    assert heard(4) == [
        ("message", b"news", b"a"),
        ("pmessage", b"news", b"a"),
        ("message", b"sport", b"\x00\r\n"),
        ("smessage", b"shard", b"s"),
    ]
    assert sorted(r.pubsub_channels()) == [b"news", b"sport"] and r.pubsub_numpat() == 1
    assert r.pubsub_numsub("news", "none") == [(b"news", 1), (b"none", 0)]
    assert r.pubsub_shardchannels() == [b"shard"]
    listener.unsubscribe()
    listener.punsubscribe()
    listener.sunsubscribe()
    heard(4)
    listener.close()
    assert r.publish("news", "nobody") == 0


@check
def scripts(r, another):
    limit = r.register_script("local n = redis.call('INCR', KEYS[1]) if n > tonumber(ARGV[1]) then return 0 end return n")
    assert [limit(keys=["limit"], args=[2]) for _ in range(3)] == [1, 2, 0]
    r.script_flush()
    assert limit(keys=["limit"], args=[9]) == 4
    assert r.script_exists(limit.sha, "0" * 40) == [True, False]
    assert r.eval("return {KEYS[1], ARGV[1], 3}", 1, "k", "v") == [b"k", b"v", 3]
    assert "WRONGTYPE" in raises(redis.ResponseError, lambda: r.eval("return redis.call('LPUSH', 'limit', 1)", 0))
    with r.lock("lock", timeout=60) as lock:
        assert lock.owned() and r.get("lock") is not None
        assert lock.extend(60) is True and lock.reacquire() is True
        assert another().lock("lock", timeout=60).acquire(blocking=False) is False
    assert r.exists("lock") == 0
    code = "#!lua name=smoke\nredis.register_function('smoke_add', function(keys, args) return redis.call('INCRBY', keys[1], args[1]) end)"
    assert r.function_load(code, replace=True) in ("smoke", b"smoke")
    assert r.fcall("smoke_add", 1, "sum", 5) == 5
    assert r.function_delete("smoke")


@check
def databases(r, another):
    other = another(db=3)
    other.set("only-here", 1)
    assert r.exists("only-here") == 0 and other.exists("only-here") == 1
    assert other.move("only-here", 0) and r.get("only-here") == b"1"
    other.close()


@check
def who_looks_for_a_primary(r, another):
    guide = redis.sentinel.Sentinel([(HOST, PORT)], sentinel_kwargs=TLS, socket_timeout=60, **TLS)
    found = guide.discover_master("mymaster")
    assert found[1] == PORT
    assert guide.discover_slaves("mymaster") == []
    raises(redis.sentinel.MasterNotFoundError, lambda: guide.discover_master("other"))
    primary = guide.master_for("mymaster")
    assert primary.set("found", 1) and r.get("found") == b"1"
    assert guide.slave_for("mymaster").get("found") == b"1"


@check
def reconnect(r, another):
    retrying = another()
    identity = retrying.client_id()
    assert r.client_kill_filter(_id=str(identity)) == 1
    # redis-py notices the closed connection, opens a new one and runs the command there.
    for _ in range(2):
        try:
            assert retrying.ping() is True
            break
        except redis.ConnectionError:
            continue
    else:
        raise AssertionError("no reconnect")
    assert retrying.client_id() != identity
    retrying.close()


run("redis-py", protocols=(2, 3))
