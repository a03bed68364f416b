// What must be closed by itself within 105 s under the default heartbeats. All cases wait side by
// side; run.sh leaves this file out unless it is asked for with --slow.

import assert from "node:assert/strict";
import { describe } from "node:test";
import { check, elapse, serverForFile } from "./lib/harness.mjs";
import { Polling, Socket } from "./lib/engine.mjs";
import { Line, OPCODE, closing, frame, handshakeHeaders, openFrames, request } from "./lib/raw.mjs";

const LIMIT_MS = 105_000;
const { url } = await serverForFile({});
const HOST = ["Host", "127.0.0.1"];

describe("closed within 105 s", { concurrency: true }, () => {
  const closes = (name, begin) =>
    check(name, async (t) => (await begin(t)).closed(LIMIT_MS), { ms: LIMIT_MS + 15_000 });

  /** A TCP connection that says this and no more. */
  const stalls = (name, bytes) =>
    closes(name, async (t) => {
      const line = await Line.open(t, url);
      line.write(bytes);
      return line;
    });

  stalls("a silent TCP connection", "");
  stalls("a head that stops", "GET /engine.io/ HTTP/1.1\r\nHos");
  stalls("a body that stops", request("POST /engine.io/?EIO=4&transport=polling&sid=x HTTP/1.1", [HOST, ["Content-Length", 9]], "4"));
  stalls("a handshake that stops", request("GET /websocket HTTP/1.1", handshakeHeaders()).subarray(0, -2));
  stalls("a connection that is kept alive for nothing", request("GET /nowhere HTTP/1.1", [HOST]));

  closes("a head that drips", async (t) => {
    const line = await Line.open(t, url);
    line.write("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nx: ");
    const drip = setInterval(() => line.write("x"), 1000);
    t.after(() => clearInterval(drip));
    return line;
  });

  closes("a WebSocket without CONNECT", (t) => Socket.session(t, url, "/socket.io/", { heartbeat: true }));
  closes("a WebSocket without pong", (t) => Socket.session(t, url));
  closes("a probe that never upgrades", async (t) => {
    const session = await Polling.open(url);
    const socket = await Socket.open(t, url, session.path, { sid: session.sid });
    socket.send("2probe");
    session.packets(1).catch(() => {}); // keeps the session itself alive
    return socket;
  });
  closes("an upgrade that never probes", async (t) => {
    const session = await Polling.open(url);
    session.packets(1).catch(() => {});
    return Socket.open(t, url, session.path, { sid: session.sid });
  });

  for (const path of ["/websocket", "/engine.io/?EIO=4&transport=websocket"]) {
    closes(`a frame that stops on ${path}`, async (t) => {
      const line = await openFrames(t, url, path);
      line.write(frame(OPCODE.binary, "start", { length: 1000 }));
      return line;
    });
    closes(`a fragmented message that stops on ${path}`, async (t) => {
      const line = await openFrames(t, url, path);
      line.write(frame(OPCODE.binary, "start", { fin: false }));
      return line;
    });
  }

  closes("a close that is answered, on a connection that the client keeps open", async (t) => {
    const line = await openFrames(t, url);
    line.write(frame(OPCODE.close, closing(1000)));
    return line;
  });

  check(
    "a session that is never polled",
    async () => {
      const session = await Polling.open(url);
      await elapse(LIMIT_MS);
      assert.equal((await session.get()).status, 400);
    },
    { ms: LIMIT_MS + 15_000 },
  );
});
