// A server that ends tells its clients where to go: node-redis as it comes goes on at another server without a failed
// command (CLIENT MAINT_NOTIFICATIONS, MOVING), and outlives a server that knows of no other.
//
// Usage: node move.js HOST PORT SERVER LIBRARY, where HOST is a loopback address, SERVER a program to start there and at the
// next address, and LIBRARY what this release of node-redis is installed as.

"use strict";

const assert = require("node:assert/strict");
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");

const [host, port, server, library] = [process.argv[2], Number(process.argv[3]), process.argv[4], process.argv[5]];
const { createClient } = require(library);
const next = host.replace(/\d+$/, (last) => String(Number(last) + 1));
const clientCount = 4;
const noticeSeconds = 4;
const patienceMs = 60_000;

const pause = () => new Promise((resolve) => setTimeout(resolve, 10));

const until = async (what, condition) => {
  const deadline = Date.now() + patienceMs;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, what);
    await pause();
  }
};

// A client that tells of its troubles where it is used, and nowhere else.
const connect = async (host, options = {}) => {
  const client = createClient({ socket: { host, port }, RESP: 3, ...options });
  client.on("error", () => {});
  return client.connect();
};

const answers = async (host) => {
  try {
    const client = await connect(host, { socket: { host, port, reconnectStrategy: false } });
    client.destroy();
    return true;
  } catch {
    return false;
  }
};

const start = async (folder, host, ...directives) => {
  const words = ["redis", "--bind", host, "--port", String(port), "--dir", folder, "--save", "", ...directives];
  const child = spawn(server, words, { stdio: ["ignore", "ignore", "inherit"] });
  const ended = new Promise((resolve) => child.on("exit", (code) => resolve(code)));
  await until("it serves", () => answers(host));
  return { child, ended };
};

// Counts on as long as nobody says that it is done; the first failure ends it.
const work = async (client, state) => {
  while (!state.done && state.failures.length === 0) {
    try {
      await client.incr("counter");
      state.count += 1;
    } catch (failure) {
      state.failures.push(failure);
    }
  }
};

const checks = {
  async "moves on without a failed command"(folder) {
    const notice = ["--shutdown-notice", String(noticeSeconds), "--shutdown-notice-endpoint", `${next}:${port}`];
    const [old, other] = [await start(folder, host, ...notice), await start(folder, next)];
    const state = { done: false, failures: [], count: 0 };
    const clients = [];
    try {
      const seen = await connect(next, { maintNotifications: "disabled" });
      clients.push(seen);
      for (let i = 0; i < clientCount; i += 1) clients.push(await connect(host));
      const working = clients.slice(1).map((client) => work(client, state));
      await until("all work", () => state.count > 100 * clientCount);
      assert.equal(await seen.get("counter"), null);
      old.child.kill("SIGTERM");
      assert.equal(await old.ended, 0);
      const there = Number(await seen.get("counter"));
      const hasGoneOn = async () => Number(await seen.get("counter")) > there + 100 * clientCount;
      await until("all go on there", async () => state.failures.length > 0 || hasGoneOn());
      state.done = true;
      await Promise.all(working);
      assert.deepEqual(state.failures, []);
    } finally {
      clients.forEach((client) => client.destroy());
      [old, other].forEach((one) => one.child.kill("SIGKILL"));
    }
  },

  // It takes a message without an address for a fault, unless it has asked for none, and that would be the end of its process.
  async "outlives a server that names no other"(folder) {
    const old = await start(folder, host, "--shutdown-notice", String(noticeSeconds));
    const client = await connect(host);
    try {
      assert.equal(await client.incr("counter"), 1);
      old.child.kill("SIGTERM");
      assert.equal(await old.ended, 0);
      const again = await start(folder, host);
      assert.equal(await client.incr("counter"), 1);
      again.child.kill("SIGKILL");
    } finally {
      client.destroy();
      old.child.kill("SIGKILL");
    }
  },

  async "goes when it has asked for no address"(folder) {
    const old = await start(folder, host, "--shutdown-notice", String(noticeSeconds));
    const client = await connect(host, { maintEndpointType: "none" });
    try {
      assert.equal(await client.incr("counter"), 1);
      old.child.kill("SIGTERM");
      assert.equal(await old.ended, 0);
    } finally {
      client.destroy();
      old.child.kill("SIGKILL");
    }
  },
};

const main = async () => {
  let failed = 0;
  for (const [name, check] of Object.entries(checks)) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "swytch-move-"));
    try {
      await check(folder);
      console.log(`ok ${library} ${name}`);
    } catch (failure) {
      failed += 1;
      console.log(`FAIL ${library} ${name}: ${String(failure.message).split("\n").join(" ")}`);
    }
    fs.rmSync(folder, { recursive: true });
  }
  process.exit(failed ? 1 : 0);
};

main();
