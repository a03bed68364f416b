// The program under test, and the databases that it stands on.
//
// ROOMCAST_PROGRAM    the program (else the newest of target/{release,debug}/roomcast)

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import * as Y from "yjs";

import { ROWS, TABLES } from "./tables.mjs";
import { until, within } from "../../wait.mjs";

const SECRET = "editors-secret-editors-secret-editors-secret";
const API_KEY = "the-key-of-the-editors";

const children = new Set();
const folders = new Set();
process.once("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
// As a runner ends a file that takes too long.
process.once("SIGTERM", () => process.exit(1));

export class Program {
  /**
   * Where it stands: `own`, a file of roomcast's own; `webui`, Open WebUI's tables and that file beside them. `variables`
   * stand in its environment besides.
   */
  static async start(t, stands, flags = [], variables = {}) {
    const folder = mkdtempSync(join(tmpdir(), "roomcast-editors-"));
    folders.add(folder);
    const program = new Program(folder, stands, flags, variables);
    t.after(() => program.child && program.kill());
    if (stands === "webui") await program.sql("webui.db", TABLES + ROWS);
    await program.run();
    if (stands === "own") await program.sql("roomcast.db", ROWS);
    return program;
  }

  constructor(folder, stands, flags, variables) {
    this.folder = folder;
    this.flags = flags;
    this.variables = variables;
    /** The file with users and notes. */
    this.rows = stands === "webui" ? "webui.db" : "roomcast.db";
    this.port = 0;
    this.log = [];
  }

  /** Starts, at the port and on the files of the time before. */
  async run() {
    const env = { PATH: process.env.PATH, WEBUI_SECRET_KEY: SECRET, ROOMCAST_API_KEY: API_KEY, DATA_DIR: this.folder, ...this.variables };
    if (this.rows === "roomcast.db") env.ROOMCAST_STORE = "own";
    const args = ["--port", String(this.port), "--log", "info", ...this.flags];
    const child = spawn(executable(), args, { env, stdio: ["ignore", "pipe", "pipe"] });
    children.add(child);
    child.unref();
    const lines = createInterface(child.stdout);
    createInterface(child.stderr).on("line", (line) => this.log.push(line));
    this.ended = new Promise((resolve) => child.once("exit", (code, signal) => resolve(code ?? signal)));
    const started = new Promise((resolve, reject) => {
      lines.once("line", resolve);
      child.once("error", reject);
      this.ended.then((status) => reject(new Error(`it ended with ${status}: ${this.log.join("\n")}`)));
    });
    this.child = child;
    const line = await within(started, "line of the program");
    this.url = /^roomcast listens on (http:\/\/[\d.:]+)/.exec(line)?.[1];
    assert(this.url, line);
    this.port = Number(new URL(this.url).port);
  }

  /** kill -9. */
  async kill() {
    this.child.kill("SIGKILL");
    await within(this.ended, "end of the program");
    children.delete(this.child);
  }

  /** Asks it to end, and demands that it does so in good order. */
  async stop() {
    this.child.kill("SIGTERM");
    assert.equal(await within(this.ended, "end of the program"), 0, this.log.join("\n"));
    children.delete(this.child);
  }

  /** What a member is made of: any user in the rows, on any note in them. */
  member(user, note = "plan", more = {}) {
    return { url: this.url, token: token({ id: user }), user, id: `note:${note}`, ...more };
  }

  /** Asks the HTTP API, as Open WebUI's other processes do. */
  api(route, body) {
    const headers = { authorization: `Bearer ${API_KEY}` };
    return fetch(`${this.url}/api/${route}`, { method: "POST", headers, body: JSON.stringify(body) });
  }

  /** The sum of a metric's lines that contain all of these texts. */
  async metric(...parts) {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const lines = text.split("\n").filter((line) => line[0] !== "#" && parts.every((part) => line.includes(part)));
    return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  }

  /** Waits until the store has failed at a kind of question once more than `before` times. */
  async failure(question, before = 0) {
    const what = `failure of the store: ${question}`;
    await until(async () => (await this.metric("store_errors", `"${question}"`)) > before, what);
  }

  failures(question) {
    return this.metric("store_errors", `"${question}"`);
  }

  /** Runs a statement, and gives its rows; or several, each with a semicolon, which give none. */
  async sql(file, text, ...args) {
    const child = spawn("python3", ["-I", "-c", RUN], { stdio: ["pipe", "pipe", "inherit"] });
    child.stdin.end(JSON.stringify({ path: join(this.folder, file), text, args }));
    const parts = [];
    for await (const part of child.stdout) parts.push(part);
    assert(parts.length > 0, `failed: ${text}`);
    return JSON.parse(Buffer.concat(parts));
  }

  /** Another process takes a file for itself. Gives what lets go of it. */
  async lock(file) {
    const child = spawn("python3", ["-I", "-c", LOCK, join(this.folder, file)], { stdio: ["pipe", "pipe", "inherit"] });
    children.add(child);
    const ended = new Promise((resolve) => child.once("exit", resolve));
    await within(new Promise((resolve) => child.stdout.once("data", resolve)), `lock on ${file}`);
    return async () => {
      child.stdin.end();
      await within(ended, "end of the lock");
      children.delete(child);
    };
  }

  /** The content of a note, as its table has it. */
  async content(note = "plan") {
    const [row] = await this.sql(this.rows, "SELECT data FROM note WHERE id = ?", note);
    return row?.[0] ? JSON.parse(row[0]).content : null;
  }

  /** What a program that starts now would find of a document: snapshot and log, as a Yjs update each. */
  async stored(note = "plan") {
    const rows = await this.sql("roomcast.db", STORED, `note:${note}`);
    const updates = rows.map(([hex]) => Buffer.from(hex, "hex"));
    // Entries of the log that are no updates begin with ten bytes of ones.
    return updates.filter((bytes) => bytes.length > 0 && !bytes.subarray(0, 10).equals(Buffer.alloc(10, 0xff)));
  }

  /** The same as text. */
  async storedText(note = "plan") {
    const doc = new Y.Doc();
    for (const update of await this.stored(note)) Y.applyUpdate(doc, update);
    const text = doc.getXmlFragment("prosemirror").toString();
    doc.destroy();
    return text;
  }
}

export function token(claims, secret = SECRET) {
  const signed = [{ alg: "HS256", typ: "JWT" }, { jti: randomBytes(8).toString("hex"), ...claims }]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

function executable() {
  if (process.env.ROOMCAST_PROGRAM) return process.env.ROOMCAST_PROGRAM;
  const target = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL("../../../target", import.meta.url));
  const found = ["release", "debug"].map((profile) => join(target, profile, "roomcast")).filter(existsSync);
  assert(found.length > 0, `no roomcast in ${target}: cargo build -p roomcast`);
  return found.sort((a, b) => statSync(b).mtimeMs - statSync(a).mtimeMs)[0];
}

/** Snapshot and log of one moment, in order. */
const STORED = `
SELECT bytes FROM (
  SELECT 0 AS sequence, hex(snapshot) AS bytes, id FROM document
  UNION ALL SELECT sequence, hex(data), document FROM document_update
) WHERE id = ? ORDER BY sequence
`;

const RUN = `
import json, sqlite3, sys
asked = json.load(sys.stdin)
db = sqlite3.connect(asked["path"], timeout=10)
rows = []
if ";" in asked["text"]:
    db.executescript(asked["text"])
else:
    rows = db.execute(asked["text"], asked["args"]).fetchall()
db.commit()
print(json.dumps(rows))
`;

const LOCK = `
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=10, isolation_level=None)
db.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
db.execute("ROLLBACK")
`;
