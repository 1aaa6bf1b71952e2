// The job queue BullMQ on a running server: its scripts touch keys that they do not declare.
//
// Usage: node bullmq.js HOST PORT

"use strict";

const assert = require("node:assert/strict");
const { FlowProducer, Queue, QueueEvents, Worker } = require("bullmq");
const { host, port, run } = require("./harness");

const connection = { host, port, maxRetriesPerRequest: null };

// What is told before QueueEvents reads for the first time is lost to it: it reads from `$`.
const listening = async (client) => {
  while (!/flags=b.* cmd=xread/.test(await client.client("LIST"))) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

// Runs `body` with a queue, what it tells, and its worker, whose jobs `process` does.
const withQueue = async (process, body, options = {}) => {
  const queue = new Queue("jobs", { connection });
  queue.setMaxListeners(0);
  const events = new QueueEvents("jobs", { connection });
  const worker = new Worker("jobs", process, { connection, drainDelay: 1, ...options });
  worker.on("error", () => {});
  try {
    await listening(await queue.client);
    await body(queue, events, worker);
  } finally {
    await Promise.all([worker.close(true), events.close(), queue.close()]);
  }
};

const square = async (job) => job.data.number ** 2;

const checks = {
  async manyJobsAndTheirResults() {
    await withQueue(square, async (queue, events) => {
      const jobs = await queue.addBulk(Array.from({ length: 200 }, (_, number) => ({ name: "n", data: { number } })));
      const results = await Promise.all(jobs.map((job) => job.waitUntilFinished(events)));
      assert.deepEqual(results, jobs.map((_, number) => number ** 2));
      const counts = await queue.getJobCounts("completed", "failed", "active", "wait");
      assert.deepEqual(counts, { completed: 200, failed: 0, active: 0, wait: 0 });
    }, { concurrency: 8 });
  },

  async delayedAndPrioritisedJobs() {
    const order = [];
    await withQueue(async (job) => order.push(job.name), async (queue, events, worker) => {
      await worker.pause(true);
      const jobs = [
        await queue.add("late", {}, { delay: 50 }),
        await queue.add("low", {}, { priority: 10 }),
        await queue.add("high", {}, { priority: 1 }),
        await queue.add("first", {}),
      ];
      worker.resume();
      await Promise.all(jobs.map((job) => job.waitUntilFinished(events)));
      assert.ok(order.indexOf("high") < order.indexOf("low"), order.join());
      assert.deepEqual([...order].sort(), ["first", "high", "late", "low"]);
    });
  },

  async failuresAreTriedAgain() {
    let attempts = 0;
    const failing = async () => {
      attempts += 1;
      if (attempts < 3) throw new Error("meant");
      return attempts;
    };
    await withQueue(failing, async (queue, events) => {
      const job = await queue.add("stubborn", {}, { attempts: 5, backoff: { type: "fixed", delay: 10 } });
      assert.equal(await job.waitUntilFinished(events), 3);
      const lost = await queue.add("lost", {}, { attempts: 1, removeOnFail: true, jobId: "once" });
      assert.equal((await queue.add("lost", {}, { jobId: "once" })).id, lost.id);
    });
  },

  async flowsOfParentsAndChildren() {
    const process = async (job) => {
      if (job.name === "child") return job.data.number;
      return Object.values(await job.getChildrenValues()).reduce((sum, number) => sum + number, 0);
    };
    await withQueue(process, async (queue, events) => {
      const flow = new FlowProducer({ connection });
      const children = [1, 2, 3, 4].map((number) => ({ name: "child", queueName: "jobs", data: { number } }));
      const { job } = await flow.add({ name: "parent", queueName: "jobs", children });
      assert.equal(await job.waitUntilFinished(events), 10);
      await flow.close();
    });
  },

  async schedulersRepeatJobs() {
    let runs = 0;
    let enough = () => {};
    const done = new Promise((resolve) => (enough = resolve));
    const process = async () => {
      runs += 1;
      if (runs === 3) enough();
    };
    await withQueue(process, async (queue) => {
      await queue.upsertJobScheduler("tick", { every: 50 }, { name: "tick" });
      await done;
      assert.equal((await queue.getJobSchedulers()).length, 1);
      assert.equal(await queue.removeJobScheduler("tick"), true);
    });
  },

  async aRateIsKeptAndAQueueGoesWhole(r) {
    await withQueue(square, async (queue, events, worker) => {
      const jobs = await queue.addBulk([1, 2, 3].map((number) => ({ name: "n", data: { number } })));
      await Promise.all(jobs.map((job) => job.waitUntilFinished(events)));
      await worker.pause();
      await queue.obliterate({ force: true });
    }, { limiter: { max: 1, duration: 20 } });
    const left = (await r.keys("bull:jobs:*")).filter((key) => !/:(meta|events|stalled-check|marker)$/.test(key));
    assert.deepEqual(left, []);
  },
};

run("bullmq", checks);
