// The demonstration under test, in a folder of its own.
//
// ROOMCAST_PROGRAM    the program (else target/debug/roomcast)

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { within } from "../../../../conformance/wait.mjs";

const target = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL("../../../../target", import.meta.url));
const PROGRAM = process.env.ROOMCAST_PROGRAM ?? join(target, "debug", "roomcast");

const children = new Set();
const folders = new Set();
process.once("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

export class Program {
  /** Starts it with these flags and variables on top of nothing. */
  static async start(t, { args = [], env = {} } = {}) {
    const folder = mkdtempSync(join(tmpdir(), "roomcast-page-"));
    folders.add(folder);
    const program = new Program(folder, args, env);
    t.after(() => program.child.exitCode === null && program.child.signalCode === null && program.kill());
    await program.run();
    return program;
  }

  constructor(folder, args, env) {
    this.folder = folder;
    this.args = args;
    this.env = env;
    this.port = 0;
    this.log = [];
  }

  /** Starts, at the port and on the files of the time before. */
  async run() {
    const env = { PATH: process.env.PATH, DATA_DIR: this.folder, ...this.env };
    const child = spawn(PROGRAM, ["--port", String(this.port), ...this.args], { env, stdio: ["ignore", "pipe", "pipe"] });
    children.add(child);
    this.child = child;
    createInterface(child.stderr).on("line", (line) => this.log.push(line));
    this.ended = new Promise((resolve) => child.once("exit", (code, signal) => resolve(code ?? signal)));
    const started = new Promise((resolve, reject) => {
      createInterface(child.stdout).once("line", resolve);
      child.once("error", reject);
      this.ended.then((status) => reject(new Error(`it ended with ${status}: ${this.log.join("\n")}`)));
    });
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
}
