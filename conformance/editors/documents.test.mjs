// Documents without Open WebUI: the examples of `Builder::documents` with stock providers of y-websocket.
//
// ROOMCAST_EXAMPLES    where they are built (else target/debug/examples)

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { WebSocket } from "ws";
import { readAuthMessage } from "y-protocols/auth";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";

import { until } from "../wait.mjs";

const EXAMPLES =
  process.env.ROOMCAST_EXAMPLES ?? fileURLToPath(new URL("../../target/debug/examples", import.meta.url));
const AUTH = 2;

const folder = mkdtempSync(join(tmpdir(), "roomcast-documents-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A running example. */
async function start(t, name, ...args) {
  const child = spawn(join(EXAMPLES, name), ["127.0.0.1:0", ...args], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  t.after(() => child.kill("SIGKILL"));
  for await (const line of createInterface({ input: child.stdout })) {
    const [, url] = line.match(/(ws:\S+)/) ?? [];
    if (url) return { url, stop: (signal) => (child.kill(signal), ended) };
  }
  throw new Error(`${name} did not start`);
}

/** A stock provider. */
function open(t, { url }, token, doc = new Y.Doc()) {
  const provider = new WebsocketProvider(url, "plan", doc, {
    WebSocketPolyfill: WebSocket,
    params: token ? { token } : {},
    disableBc: true,
    maxBackoffTime: 200,
  });
  const peer = { provider, doc, text: doc.getText("t"), denied: [], closings: [] };
  provider.messageHandlers[AUTH] = (_encoder, decoder) =>
    readAuthMessage(decoder, doc, (_doc, reason) => peer.denied.push(reason));
  provider.on("connection-close", (event) => peer.closings.push(event?.code));
  t.after(() => {
    provider.destroy();
    // Awareness looks at the clock for as long as its document lives.
    doc.destroy();
  });
  return peer;
}

const synced = ({ provider }) => until(() => provider.synced, () => "sync");
const reads = (peer, text) => until(() => peer.text.toString() === text, () => `${peer.text} in place of ${text}`);

describe("documents for library users", () => {
  for (const [runtime, name] of [["tokio", "documents"], ["smol", "documents_smol"]]) {
    const file = join(folder, `${name}.db`);

    test(`providers share a document on ${runtime}`, async (t) => {
      const server = await start(t, name, file);
      const [one, two] = [open(t, server, "secret"), open(t, server, "secret")];
      await Promise.all([one, two].map(synced));
      one.text.insert(0, "from one");
      await reads(two, "from one");
      two.text.insert(0, "two and ");
      await reads(one, "two and from one");
      // Cursors go with those who leave.
      one.provider.awareness.setLocalStateField("user", { name: "one" });
      const sees = () => two.provider.awareness.getStates().has(one.doc.clientID);
      await until(sees, () => "a cursor");
      one.provider.destroy();
      await until(() => !sees(), () => "the cursor's end");
    });

    test(`readers and strangers on ${runtime}`, async (t) => {
      const server = await start(t, name, join(folder, `${name}-rights.db`));
      const writer = open(t, server, "secret");
      await synced(writer);
      writer.text.insert(0, "readable");
      const guest = open(t, server);
      await synced(guest);
      await reads(guest, "readable");
      guest.text.insert(0, "not ");
      await until(() => guest.denied.includes("read-only"), () => `a refusal; ${guest.denied}`);
      assert.equal(writer.text.toString(), "readable");
      const stranger = open(t, server, "wrong");
      await until(() => stranger.closings.length > 0, () => "a close");
      assert.deepEqual([stranger.closings[0], stranger.doc.getText("t").toString()], [4403, ""]);
      assert(!stranger.provider.shouldConnect, "it stays away");
    });

    test(`what was done offline arrives on ${runtime}`, async (t) => {
      const server = await start(t, name, join(folder, `${name}-offline.db`));
      const [one, two] = [open(t, server, "secret"), open(t, server, "secret")];
      await Promise.all([one, two].map(synced));
      one.provider.disconnect();
      one.text.insert(0, "offline");
      two.text.insert(0, "online ");
      one.provider.connect();
      await until(() => two.text.toString().length === 14, () => two.text.toString());
      await reads(one, two.text.toString());
    });
  }

  test("a document in a file outlives the program", async (t) => {
    const file = join(folder, "restart.db");
    const first = await start(t, "documents", file);
    const writer = open(t, first, "secret");
    await synced(writer);
    writer.text.insert(0, "kept");
    // Behind this answer it is stored, or will be before the program ends.
    const reader = open(t, first);
    await reads(reader, "kept");
    await first.stop("SIGINT");
    writer.provider.destroy();
    const second = await start(t, "documents", file);
    await reads(open(t, second), "kept");
  });
});
