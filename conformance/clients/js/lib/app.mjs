// The program `roomcast` on tables of Open WebUI, and its front end's side of the application protocol.
//
// ROOMCAST_PROGRAM    the program

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Peer } from "./clients.mjs";
import { Inbox, freePort, within } from "./harness.mjs";
import { seconds, token } from "./jwt.mjs";

const SECRET = "the-secret-of-the-clients";
const KEY = "the-key-of-the-clients";
const WORLD = new URL("../../../../server/tests/golden/webui.sql", import.meta.url);
const PATH = "/ws/socket.io";

const children = new Set();
process.once("exit", () => children.forEach((child) => child.kill("SIGKILL")));

/** A program with a world of its own: alice (admin), bob, carol, pat (pending). */
export async function startApp(t, ...flags) {
  const folder = mkdtempSync(join(tmpdir(), "roomcast-app-"));
  const app = new App(folder, await freePort(), flags);
  t.after(async () => {
    await app.end();
    rmSync(folder, { recursive: true });
  });
  app.sql(readFileSync(WORLD, "utf8"));
  await app.start();
  return app;
}

class App {
  #child;
  #exited;

  constructor(folder, port, flags) {
    this.url = `http://127.0.0.1:${port}`;
    this.folder = folder;
    this.flags = ["--port", String(port), ...flags];
  }

  async start() {
    const program = process.env.ROOMCAST_PROGRAM;
    assert(program, "ROOMCAST_PROGRAM must name the program");
    const env = {
      WEBUI_SECRET_KEY: SECRET,
      ROOMCAST_API_KEY: KEY,
      DATA_DIR: this.folder,
      ROOMCAST_LOG: "warn",
      DATABASE_URL: `sqlite:///${this.folder}/webui.db`,
    };
    const child = spawn(program, this.flags, { env, cwd: this.folder, stdio: ["ignore", "pipe", "inherit"] });
    const lines = new Inbox();
    createInterface(child.stdout).on("line", (line) => lines.push(line));
    this.#child = child;
    this.#exited = new Promise((resolve) => child.once("exit", (code, signal) => resolve(code ?? signal)));
    this.#exited.then((status) => lines.close(`the program ended with ${status}`));
    children.add(child);
    assert.match(await lines.take("line from the program"), /^roomcast listens on http:/);
  }

  /** Asks the program to end, and demands that it does so in good order. */
  async end() {
    this.#child.kill("SIGTERM");
    assert.equal(await within(this.#exited, "end of the program after SIGTERM"), 0);
  }

  /** What the rest of the application writes. */
  sql(statements) {
    const script = "import sqlite3, sys; sqlite3.connect(sys.argv[1], 60).executescript(sys.stdin.read())";
    const run = spawnSync("python3", ["-c", script, join(this.folder, "webui.db")], { input: statements });
    assert.equal(run.status, 0, String(run.stderr));
  }

  /** What another process asks over HTTP: the status, and the answer. */
  async api(path, body) {
    const headers = { authorization: `Bearer ${KEY}` };
    const response = await within(
      fetch(`${this.url}/api/${path}`, { method: "POST", headers, body: JSON.stringify(body) }),
      `answer to ${path}`,
    );
    return [response.status, await response.json()];
  }

  async emit(to, event, data) {
    assert.deepEqual(await this.api("emit", { to, event, data }), [200, { status: "sent" }]);
  }

  /** Until the store has answered all that it was asked. */
  async settled() {
    await eventually("an idle store", async () => {
      const metrics = await (await fetch(`${this.url}/metrics`)).text();
      return metrics.includes("\nroomcast_app_queries 0\n");
    });
  }

  /** A connected front end: with a token as its user, without one unauthenticated. */
  connect(t, kind, given, options) {
    return new Browser(t, kind, this.url, given, options).ready();
  }

  /** One that has said who it is, as the front end does. */
  async join(t, kind, user, options) {
    const browser = await this.connect(t, kind, tokenOf(user), options);
    const [known] = await browser.call("user-join", { auth: { token: tokenOf(user) } });
    assert.equal(known.id, user);
    return browser;
  }
}

class Browser extends Peer {
  constructor(t, kind, url, given, options) {
    super(t, kind, url, { path: PATH, auth: given && { token: given }, ...options });
  }

  typing(channel, typing) {
    this.emit("events:channel", { channel_id: channel, message_id: null, data: { type: "typing", data: { typing } } });
  }

  /** Awaits the answer to a call without effect: the server has then handled all earlier packets of this socket. */
  async fence() {
    assert.deepEqual(await this.call("events:channel", { channel_id: "-", data: { type: "fence" } }), []);
  }

  /** Fails if an event of this name has arrived and the test has not taken it. */
  async heardNothing(name) {
    await this.fence();
    assert.equal(this.untaken(name), 0, `heard "${name}"`);
  }
}

/** A token as Open WebUI signs it. */
export const tokenOf = (user, claims) => token({ id: user, jti: `of-${user}`, iat: seconds(), ...claims }, { secret: SECRET });

/** Asks again until it is so. */
export async function eventually(what, isSo) {
  let over = false;
  const asking = async () => {
    while (!over) if (await isSo()) return;
  };
  try {
    await within(asking(), what);
  } finally {
    over = true;
  }
}
