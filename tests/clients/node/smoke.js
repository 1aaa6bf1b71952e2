// ioredis against a running server: every check is a function of a fresh connection.
//
// Usage: node smoke.js HOST PORT

"use strict";

const assert = require("node:assert/strict");

const Redis = require("ioredis");

const { connect, host, port, run } = require("./harness");

const blocked = async (r, count) => {
  while (!(await r.info("clients")).includes(`blocked_clients:${count}\r`)) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

const checks = {
  async strings(r) {
    assert.equal(await r.set("s", "value"), "OK");
    assert.equal(await r.get("s"), "value");
    assert.equal(await r.set("s", "x", "NX"), null);
    assert.equal(await r.set("s", "x", "EX", 100, "GET"), "value");
    const left = await r.ttl("s");
    assert.ok(left > 0 && left <= 100, `${left} s left`);
    assert.equal(await r.mset("a", "1", "b", "2"), "OK");
    assert.deepEqual(await r.mget("a", "none", "b"), ["1", null, "2"]);
    assert.equal(await r.incrby("a", 41), 42);
    assert.equal(await r.incrbyfloat("a", 0.5), "42.5");
    assert.equal(await r.append("b", "22"), 3);
  },

  async bigBinaryValues(r) {
    const blob = Buffer.alloc(4 * 1024 * 1024);
    for (let i = 0; i < blob.length; i += 1) blob[i] = i & 255;
    await r.set("blob", blob);
    assert.ok(blob.equals(await r.getBuffer("blob")));
  },

  async pipelines(r) {
    const pipeline = r.pipeline();
    for (let i = 0; i < 5000; i += 1) pipeline.set(`p:${i}`, i);
    for (let i = 0; i < 5000; i += 1) pipeline.get(`p:${i}`);
    const replies = await pipeline.exec();
    assert.equal(replies.length, 10000);
    replies.slice(5000).forEach(([error, value], i) => {
      assert.equal(error, null);
      assert.equal(value, String(i));
    });
  },

  async autoPipelining() {
    const r = connect({ enableAutoPipelining: true });
    const values = await Promise.all(Array.from({ length: 500 }, (_, i) => r.incrby("auto", i && 1)));
    assert.equal(Math.max(...values), 499);
    r.disconnect();
  },

  async scanStream(r) {
    const pipeline = r.pipeline();
    for (let i = 0; i < 2000; i += 1) pipeline.set(`scan:${i}`, i);
    await pipeline.exec();
    const seen = new Set();
    for await (const keys of r.scanStream({ match: "scan:*", count: 100 })) keys.forEach((key) => seen.add(key));
    assert.equal(seen.size, 2000);
  },

  async lists(r) {
    assert.equal(await r.rpush("l", "a", "b", "c"), 3);
    assert.deepEqual(await r.lrange("l", 0, -1), ["a", "b", "c"]);
    assert.equal(await r.lmove("l", "m", "LEFT", "RIGHT"), "a");
    assert.deepEqual(await r.lmpop(2, "none", "l", "RIGHT", "COUNT", 5), ["l", ["c", "b"]]);
    assert.equal(await r.exists("l"), 0);
  },

  async blockingPops(r) {
    assert.equal(await r.blpop("nothing", 0.05), null);
    const waiters = [connect(), connect(), connect()];
    await Promise.all(waiters.map((waiter) => waiter.ping()));
    const popped = [];
    for (const waiter of waiters) {
      popped.push(waiter.blpop("first", "second", 100));
      await blocked(r, popped.length);
    }
    await r.rpush("second", "1", "2", "3");
    assert.deepEqual(await Promise.all(popped), [["second", "1"], ["second", "2"], ["second", "3"]]);
    const mover = waiters[0].blmove("from", "to", "LEFT", "LEFT", 100);
    await blocked(r, 1);
    await r.lpush("from", "moved");
    assert.equal(await mover, "moved");
    assert.deepEqual(await r.lrange("to", 0, -1), ["moved"]);
    waiters.forEach((waiter) => waiter.disconnect());
  },

  async transactions(r) {
    assert.deepEqual(await r.multi().set("t", 1).incr("t").get("t").exec(), [[null, "OK"], [null, 2], [null, "2"]]);
    const other = connect();
    await r.watch("t");
    await other.set("t", "changed");
    assert.equal(await r.multi().set("t", "lost").exec(), null);
    assert.equal(await r.get("t"), "changed");
    const replies = await r.multi().set("t", "x").lpush("t", 1).exec();
    assert.match(replies[1][0].message, /^WRONGTYPE/);
    await assert.rejects(r.multi().call("NOSUCH").exec(), /EXECABORT/);
    other.disconnect();
  },

  async scripts(r) {
    r.defineCommand("take", { numberOfKeys: 2, lua: "return redis.call('SMOVE', KEYS[1], KEYS[2], ARGV[1])" });
    await r.sadd("from", "a");
    assert.equal(await r.take("from", "to", "a"), 1);
    await r.script("FLUSH");
    assert.equal(await r.take("from", "to", "a"), 0);
    const pipelined = await r.pipeline().take("to", "from", "a").eval("return {1, 'x', false}", 0).exec();
    assert.deepEqual(pipelined, [[null, 1], [null, [1, "x", null]]]);
  },

  async errors(r) {
    await r.set("s", "x");
    await assert.rejects(r.lpush("s", 1), /WRONGTYPE Operation against a key holding the wrong kind of value/);
    await assert.rejects(r.incr("s"), /ERR value is not an integer or out of range/);
    await assert.rejects(r.call("NOSUCH", "a"), /ERR unknown command 'NOSUCH'/);
    await assert.rejects(r.call("GET"), /ERR wrong number of arguments for 'get' command/);
  },

  async server(r) {
    assert.match(await r.info("server"), /redis_version:\d+\.\d+\.\d+/);
    assert.match(await r.info(), /# Keyspace/);
    const [name] = await r.config("GET", "maxmemory");
    assert.equal(name, "maxmemory");
    await r.client("SETNAME", "smoke");
    assert.match(await r.client("LIST"), /name=smoke/);
    assert.ok((await r.command("COUNT")) > 100);
    assert.ok((await r.command("INFO", "get"))[0].includes("get"));
  },

  async monitor(r) {
    const watching = await connect().monitor();
    const seen = new Promise((resolve) => {
      watching.on("monitor", (time, words) => words[0].toLowerCase() === "echo" && resolve(words));
    });
    await r.echo("watched");
    assert.equal((await seen)[1], "watched");
    watching.disconnect();
  },

  async messages(r) {
    const listener = connect();
    const heard = [];
    let enough = () => {};
    const hear = (...message) => {
      heard.push(message);
      enough();
    };
    listener.on("message", (channel, text) => hear(channel, text));
    listener.on("pmessage", (pattern, channel, text) => hear(pattern, channel, text));
    listener.on("smessage", (channel, text) => hear("shard", channel, text));
    assert.equal(await listener.subscribe("news", "sport"), 2);
    assert.equal(await listener.psubscribe("n*"), 3);
    assert.equal(await listener.ssubscribe("s"), 1);
    await assert.rejects(listener.get("k"), /subscriber mode/);
    assert.equal(await r.publish("news", "a"), 2);
    assert.equal(await r.publish("sport", "b"), 1);
    assert.equal(await r.spublish("s", "c"), 1);
    await new Promise((resolve) => {
      enough = () => heard.length >= 4 && resolve();
      enough();
    });
    assert.deepEqual(heard, [["news", "a"], ["n*", "news", "a"], ["sport", "b"], ["shard", "s", "c"]]);
    assert.deepEqual(await r.pubsub("NUMSUB", "news"), ["news", 1]);
    await listener.unsubscribe("news", "sport");
    await listener.punsubscribe("n*");
    await listener.sunsubscribe("s");
    assert.equal(await listener.get("k"), null);
    listener.disconnect();
  },

  async whoLooksForAPrimary(r) {
    const sentinels = [{ host, port }];
    const found = new Redis({ sentinels, name: "mymaster", updateSentinels: true });
    assert.equal(await found.set("found", "1"), "OK");
    assert.equal(await r.get("found"), "1");
    found.disconnect();
    const lost = new Redis({ sentinels, name: "other", sentinelRetryStrategy: null, retryStrategy: null, lazyConnect: true });
    lost.on("error", () => {});
    await assert.rejects(lost.connect(), /sentinels are unreachable/);
  },

  async reconnect(r) {
    const again = connect({ retryStrategy: () => 20 });
    const identity = await again.client("ID");
    await r.client("KILL", "ID", identity);
    assert.equal(await again.ping(), "PONG");
    assert.notEqual(await again.client("ID"), identity);
    again.disconnect();
  },
};

run("ioredis", checks);
