// The real client against `core/roomcast-core/examples/blocking.rs`: the core needs no runtime.
//
//   cargo build -p roomcast-core --example blocking
//   ROOMCAST_BLOCKING_CMD=target/debug/examples/blocking node --test blocking.test.mjs

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { createInterface } from "node:readline";
import { after, describe, it } from "node:test";
import { io } from "socket.io-client";

const root = process.env.CARGO_TARGET_DIR ?? fileURLToPath(new URL("../../../target", import.meta.url));
const command = process.env.ROOMCAST_BLOCKING_CMD ?? `${root}/debug/examples/blocking`;
const server = spawn(command, { env: { ...process.env, PORT: "0" }, stdio: ["ignore", "pipe", "inherit"] });
after(() => server.kill());
const [line] = await once(createInterface(server.stdout), "line");
const url = /^listening on (http:\/\/\S+)$/.exec(line)[1];

const ways = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] };
for (const [way, transports] of Object.entries(ways)) {
  describe(`over ${way}`, { timeout: 60_000 }, () => {
    it("echoes events, with binary and with an ack", async (t) => {
      const socket = await connect(t, transports);
      const back = once(socket, "message");
      const acked = socket.timeout(20_000).emitWithAck("message", 1, "ä", { list: [null, Buffer.from([1, 2, 3])] });
      const [number, text, { list }] = await back;
      assert.deepEqual([number, text, list[0], [...list[1]]], [1, "ä", null, [1, 2, 3]]);
      assert.equal(await acked, 1);
    });

    it("delivers a thousand messages in order each way", async (t) => {
      const socket = await connect(t, transports);
      const received = [];
      const all = new Promise((resolve) => {
        socket.on("n", (n) => received.push(n) === 1000 && resolve());
      });
      for (let n = 0; n < 1000; n += 1) socket.emit("n", n);
      await all;
      assert.deepEqual(received, Array.from({ length: 1000 }, (_, n) => n));
    });

    it("takes messages that no single write or read holds", async (t) => {
      const socket = await connect(t, transports);
      const text = "x".repeat(900_000);
      for (let n = 0; n < 5; n += 1) assert.equal((await echo(socket, text))[0].length, text.length);
    });

    it("casts to a room, and to no other socket", async (t) => {
      const [member, sender, stranger] = await Promise.all([0, 1, 2].map(() => connect(t, transports)));
      stranger.on("room-cast", () => assert.fail("not in the room"));
      const room = `room over ${way}`;
      await member.timeout(20_000).emitWithAck("join", room);
      const cast = once(member, "room-cast");
      sender.emit("room-cast", room, { deep: [true] });
      assert.deepEqual(await cast, [room, { deep: [true] }]);
      assert.deepEqual(await echo(stranger, "still"), ["still"]);
    });

    it("notices who leaves, and takes them back", async (t) => {
      const socket = await connect(t, transports);
      const before = socket.id;
      const gone = once(socket, "disconnect");
      socket.io.engine.close();
      await gone;
      await once(socket, "connect");
      assert.notEqual(socket.id, before);
      assert.deepEqual(await echo(socket, "again"), ["again"]);
    });
  });
}

async function connect(t, transports) {
  const socket = io(url, { transports, forceNew: true, reconnectionDelay: 10 });
  t.after(() => socket.disconnect());
  await once(socket, "connect");
  if (transports.length > 1 && socket.io.engine.transport.name !== "websocket") await once(socket.io.engine, "upgrade");
  return socket;
}

async function echo(socket, ...args) {
  const back = once(socket, "echo");
  socket.emit("echo", ...args);
  return back;
}
