// What every suite stands on: the server under test, waits with a deadline, and named deviations.
//
// ROOMCAST_SERVER_CMD    the command that starts a server, for tests that need a profile of their own
// ROOMCAST_URL           a server that already runs with generous heartbeats (else one is started)
// ROOMCAST_DEVIATIONS    a file that lists, by test file and test name, what is known to fail and why

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { basename } from "node:path";
import { createInterface } from "node:readline";
import { after, it } from "node:test";

import { WAIT_MS, elapse, until, within } from "../../../wait.mjs";

export { WAIT_MS, elapse, until, within };

/** Things that arrive, for a test to take one by one without missing any. */
export class Inbox {
  #items = [];
  #takers = [];
  #closed;

  push(item) {
    const taker = this.#takers.shift();
    if (taker) taker.resolve(item);
    else this.#items.push(item);
  }

  /** Nothing more can come: takers fail at once instead of at their deadline. */
  close(reason) {
    this.#closed ??= reason;
    for (const taker of this.#takers.splice(0)) taker.reject(new Error(reason));
  }

  async take(what, ms = WAIT_MS) {
    if (this.#items.length > 0) return this.#items.shift();
    if (this.#closed) throw new Error(`no ${what}: ${this.#closed}`);
    return within(new Promise((resolve, reject) => this.#takers.push({ resolve, reject })), what, ms);
  }

  async takeMany(count, what, ms = WAIT_MS) {
    const items = [];
    const all = async () => {
      while (items.length < count) items.push(await this.take(what, ms));
      return items;
    };
    return within(all(), `${count} of ${what} (${items.length} came)`, ms);
  }

  get size() {
    return this.#items.length;
  }
}

// --- tests and their deviations ---------------------------------------------------------------------

const file = basename(process.argv[1]);
const deviations = new Map(
  process.env.ROOMCAST_DEVIATIONS
    ? Object.entries(JSON.parse(readFileSync(process.env.ROOMCAST_DEVIATIONS, "utf8"))[file] ?? {})
    : [],
);
const seen = new Set();

/** A test. One that is listed as a deviation must fail; the list would be stale otherwise. */
export function check(name, body, { ms = 60_000 } = {}) {
  const reason = deviations.get(name);
  seen.add(name);
  it(name, { timeout: ms }, async (t) => {
    if (!reason) return body(t);
    await assert.rejects(async () => body(t), `passes, although listed as a deviation (${reason})`);
    t.diagnostic(`deviates: ${reason}`);
  });
}

after(() => {
  const unused = [...deviations.keys()].filter((name) => !seen.has(name));
  assert.deepEqual(unused, [], `deviations of ${file} that name no test`);
});

// --- servers ----------------------------------------------------------------------------------------

/** The profile in which heartbeats are short enough to be waited for. */
export const SUITE = { PING_INTERVAL: 300, PING_TIMEOUT: 200, CONNECT_TIMEOUT: 1000, MAX_PAYLOAD: 1_000_000 };
/** The profile for everything else: no heartbeat fails because a busy machine stutters. */
export const STEADY = { PING_INTERVAL: 10_000, PING_TIMEOUT: 10_000, CONNECT_TIMEOUT: 10_000, MAX_PAYLOAD: 1_000_000 };

const children = new Set();
process.once("exit", () => children.forEach((child) => child.kill("SIGKILL")));

/** Starts a server of its own for the caller, who stops it. */
export async function startServer(profile, port) {
  const command = process.env.ROOMCAST_SERVER_CMD;
  assert(command, "ROOMCAST_SERVER_CMD must name the command that starts the server under test");
  const [program, ...args] = command.split(" ");
  const PORT = port ?? (await freePort());
  const child = spawn(program, args, {
    env: { ...process.env, HOST: "127.0.0.1", ...profile, PORT },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = new Inbox();
  createInterface(child.stdout).on("line", (line) => lines.push(line));
  const exited = new Promise((resolve) => child.once("exit", (code, signal) => resolve(code ?? signal)));
  child.once("error", (error) => lines.close(`${command}: ${error.message}`));
  exited.then((status) => lines.close(`${command} ended with ${status}`));
  children.add(child);
  // A test file may end while its servers run; they end with it.
  child.unref();
  child.stdout.unref();
  const ready = await lines.take("line from the server").catch((error) => {
    child.kill("SIGKILL");
    throw error;
  });
  const url = /^listening on (http:\/\/\S+)$/.exec(ready)?.[1];
  assert(url, `the server's first line is not "listening on …": ${ready}`);

  return {
    url,
    port: PORT,
    pid: child.pid,
    profile,
    /** Ends the server without a word. */
    async kill() {
      child.kill("SIGKILL");
      await within(exited, "end of the server after SIGKILL");
    },
    /** Asks the server to end, and demands that it does so in good order. */
    async stop() {
      child.kill("SIGTERM");
      assert.equal(await within(exited, "end of the server after SIGTERM"), 0, "exit status after SIGTERM");
    },
  };
}

/** A server for the tests of this file, stopped when they are through. */
export async function serverForFile(profile) {
  const server = await startServer(profile);
  after(() => server.stop());
  return server;
}

/** The server that ROOMCAST_URL names, or one for this file. */
export async function sharedServer() {
  return process.env.ROOMCAST_URL ? { url: process.env.ROOMCAST_URL, profile: STEADY } : serverForFile(STEADY);
}

export async function freePort() {
  const probe = createServer();
  await new Promise((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

let namespaces = (process.pid % 100_000) * 1_000;
/** A namespace in which no other test of any process is. */
export const ownNamespace = () => `/dyn-${(namespaces += 1)}`;
