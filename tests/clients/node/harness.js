// Runs the checks of a script against the server named by its arguments, HOST and PORT: functions of a fresh connection
// of ioredis to an empty server.
//
// Prints one line per check, `ok NAME` or `FAIL NAME: why`, and ends with status 1 when one failed.

"use strict";

const Redis = require("ioredis");

const [host, port] = [process.argv[2], Number(process.argv[3])];
const checkSecondsMax = 120;
const connect = (options = {}) => new Redis({ host, port, ...options });

const limited = (promise) => {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no end after ${checkSecondsMax} s`)), checkSecondsMax * 1000);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

const run = async (client, checks) => {
  let failed = 0;
  for (const [name, check] of Object.entries(checks)) {
    const r = connect();
    try {
      await limited(r.flushall().then(() => check(r)));
      console.log(`ok ${client} ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAIL ${client} ${name}: ${String(error.message).split("\n").join(" ")}`);
    }
    r.disconnect();
  }
  process.exit(failed ? 1 : 0);
};

module.exports = { host, port, connect, run };
