// node-redis against a running server, with both protocols.
//
// Usage: node node-redis.js HOST PORT

"use strict";

const assert = require("node:assert/strict");
const { createClient, createSentinel, WatchError } = require("redis");
const { host, port, run } = require("./harness");

const using = (RESP, check) => async () => {
  const client = await createClient({ socket: { host, port }, RESP }).connect();
  try {
    await check(client, RESP);
  } finally {
    client.destroy();
  }
};

const jobs = {
  async values(r) {
    assert.equal(await r.set("s", "x", { expiration: { type: "EX", value: 100 } }), "OK");
    assert.equal(await r.get("s"), "x");
    assert.equal(await r.hSet("h", { name: "Ada", born: "1815" }), 2);
    assert.deepEqual({ ...(await r.hGetAll("h")) }, { name: "Ada", born: "1815" });
    assert.equal(await r.zAdd("z", [{ score: 1, value: "a" }, { score: 2.5, value: "b" }]), 2);
    assert.deepEqual(await r.zRangeWithScores("z", 0, -1), [{ value: "a", score: 1 }, { value: "b", score: 2.5 }]);
    assert.equal(await r.sAdd("set", ["a", "b", "c"]), 3);
    assert.deepEqual((await r.sMembers("set")).sort(), ["a", "b", "c"]);
    await r.geoAdd("g", { longitude: 13.361389, latitude: 38.115556, member: "Palermo" });
    assert.deepEqual(await r.geoSearch("g", { longitude: 13, latitude: 38 }, { radius: 100, unit: "km" }), ["Palermo"]);
    assert.equal(await r.pfAdd("hll", ["a", "b"]), 1);
    assert.equal(await r.pfCount("hll"), 2);
  },

  async streamsWithGroups(r, RESP) {
    await r.xGroupCreate("orders", "workers", "$", { MKSTREAM: true });
    const id = await r.xAdd("orders", "*", { item: "tea" });
    const read = await r.xReadGroup("workers", "one", { key: "orders", id: ">" }, { COUNT: 5 });
    // With RESP3 this library hands the reply on as it came.
    const flat = ({ id, message }) => [id, Object.entries(message).flat()];
    const entries = RESP === 3 ? read.orders : read[0].messages.map(flat);
    assert.deepEqual(entries, [[id, ["item", "tea"]]]);
    assert.equal((await r.xPending("orders", "workers")).pending, 1);
    assert.equal((await r.xAutoClaim("orders", "workers", "two", 0, "0-0")).messages.length, 1);
    assert.equal(await r.xAck("orders", "workers", id), 1);
  },

  async transactions(r) {
    assert.deepEqual(await r.multi().set("t", "1").incr("t").get("t").exec(), ["OK", 2, "2"]);
    const other = await r.duplicate().connect();
    await r.watch("t");
    await other.set("t", "changed");
    await assert.rejects(r.multi().set("t", "lost").exec(), WatchError);
    other.destroy();
  },

  async scanIterators(r) {
    await r.mSet(Array.from({ length: 500 }, (_, i) => [`k:${i}`, String(i)]));
    const seen = new Set();
    for await (const keys of r.scanIterator({ MATCH: "k:*", COUNT: 37 })) keys.forEach((key) => seen.add(key));
    assert.equal(seen.size, 500);
  },

  async messages(r) {
    const listener = await r.duplicate().connect();
    const heard = [];
    await listener.subscribe("news", (text) => heard.push(text));
    await listener.pSubscribe("n*", (text, channel) => heard.push(`${channel}:${text}`));
    assert.equal(await r.publish("news", "a"), 2);
    while (heard.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.deepEqual(heard.sort(), ["a", "news:a"]);
    listener.destroy();
  },

  async scripts(r) {
    assert.deepEqual(await r.eval("return {KEYS[1], ARGV[1]}", { keys: ["k"], arguments: ["v"] }), ["k", "v"]);
    const sha = await r.scriptLoad("return redis.call('INCR', KEYS[1])");
    assert.equal(await r.evalSha(sha, { keys: ["n"] }), 1);
  },
};

const checks = {
  async whoLooksForAPrimary(r) {
    const sentinel = await createSentinel({ name: "mymaster", sentinelRootNodes: [{ host, port }] }).connect();
    assert.equal(await sentinel.set("found", "1"), "OK");
    assert.equal(await r.get("found"), "1");
    await sentinel.close();
  },
};
for (const RESP of [2, 3]) {
  for (const [name, job] of Object.entries(jobs)) checks[`RESP${RESP} ${name}`] = using(RESP, job);
}
run("node-redis", checks);
