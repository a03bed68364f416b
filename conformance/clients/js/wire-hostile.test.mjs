// Clients that mean harm or read nothing: the server stays up, bounded, and there for everyone else.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { STEADY, SUITE, check, startServer, within } from "./lib/harness.mjs";
import { Polling, Socket } from "./lib/engine.mjs";
import { Line, frame, nextMessage, openFrames, request } from "./lib/raw.mjs";

const PATH = "/socket.io/";
const bytes = (...values) => Buffer.from(values);

/** A connection in `/` of that server, past its first two packets. */
async function connect(t, url) {
  const socket = await Socket.session(t, url, PATH, { heartbeat: true });
  socket.send("40");
  await socket.many(2, "packets of the connection");
  return socket;
}

/** The same by polling. */
async function poll(url) {
  const session = await Polling.open(url, PATH);
  await session.post("40");
  await session.packets(2);
  return session;
}

async function assertAlive(socket) {
  socket.send('427["echo","alive"]');
  assert.equal(await socket.next("echo for a bystander"), '437["alive"]');
}

// --- packets that may be refused or ignored ---------------------------------------------------------

const PLACEHOLDER = '{"_placeholder":true,"num":0}';
const nested = (open, close, depth) => `${open.repeat(depth)}${close.repeat(depth)}`;
const EITHER = {
  "reserved event names": ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener", "error"].map((name) => `42["${name}",1]`),
  "numeric event names": ["42[1]", "42[0,1]", "42[-1.5]", "42[1e400]"],
  "huge ids": ['4299999999999999999999["echo",1]', `42${"9".repeat(1000)}["echo",1]`, "4399999999999999999999[1]"],
  "huge numbers": ['42["message",1e999,-1e999]', `42["message",${"9".repeat(10_000)}]`, `42["burst",${"9".repeat(30)}]`],
  "deep arrays": [`42["message",${nested("[", "]", 50_000)}]`],
  "deep objects": [`42["message",${nested('{"a":', "", 50_000)}1${"}".repeat(50_000)}]`],
  "deep payload of a connect": [`40/custom,{"a":${nested("[", "]", 50_000)}}`],
  "lone surrogates": ['42["message","\\ud800"]', '42["\\udfff"]', '42["join","\\ud800"]'],
  "CONNECT twice": ["40", "40", "40/custom", "40/custom"],
  "packets for namespaces not joined": ['42/custom,["message"]', "41/custom,", "43/custom,1[]", '42/random,["message"]'],
  "CONNECT_ERROR from a client": ['44{"message":"x"}', '44/custom,{"message":"x"}'],
  "more than 10 attachments": [
    `4520-["message",${Array.from({ length: 20 }, (_, num) => `{"_placeholder":true,"num":${num}}`)}]`,
    ...Array.from({ length: 20 }, (_, i) => bytes(i)),
  ],
  "one attachment in many places": [`451-["message",${Array(1000).fill(PLACEHOLDER)}]`, Buffer.alloc(10_000)],
  "a room name of a megabyte": [`421["join","${"r".repeat(900_000)}"]`],
  "an endless namespace": [`40/${"n".repeat(900_000)},`],
};

for (const [name, packets] of Object.entries(EITHER)) {
  check(`neither hangs nor crashes: ${name}`, async (t) => {
    const server = await startServer(STEADY);
    const bystander = await connect(t, server.url);
    for (const packet of packets) {
      const socket = await connect(t, server.url);
      const rest = typeof packet === "string" && packet.startsWith("45") ? packets.filter((other) => typeof other !== "string") : [];
      socket.send(packet, ...rest, '427["echo","alive"]');
      await settled(socket);
      await assertAlive(bystander);
    }
    await assertAlive(await connect(t, server.url));
    await server.stop();
  });
}

/** Either the connection is closed, or it still answers. */
async function settled(socket) {
  for (;;) {
    const packet = await socket.next("answer or close").catch((error) => {
      if (/closed with/.test(error.message)) return undefined;
      throw error;
    });
    if (packet === undefined || packet === '437["alive"]') return;
  }
}

// --- memory -----------------------------------------------------------------------------------------

const MIB = 1024 * 1024;
/** Bytes that one member may cost, and slack for what all members cost together. */
const COST_MAX = 64 * MIB;
const SLACK = 16 * MIB;

const residentBytes = ({ pid }) => Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) * 1024;

/** Floods room `r` with 200 MB; a bystander is served all the while. */
async function flood(t, server) {
  const [flooder, bystander] = [await connect(t, server.url), await connect(t, server.url)];
  const before = residentBytes(server);
  flooder.send('421["flood","r",20000,10000]');
  let flooded = false;
  const ack = flooder.next("ack of the flood", 30_000).then((packet) => {
    assert.equal(packet, "431[20000]");
    flooded = true;
  });
  const serve = async () => {
    while (!flooded) await assertAlive(bystander);
  };
  await Promise.all([ack, serve()]);
  await assertAlive(bystander);
  return residentBytes(server) - before;
}

check("a WebSocket that never reads costs at most 64 MiB and is closed", async (t) => {
  const server = await startServer(STEADY);
  const line = await openFrames(t, server.url, `${PATH}?EIO=4&transport=websocket`);
  const next = async () => (await nextMessage(line)).payload.toString();
  await next();
  line.write(frame(1, "40"));
  assert.match(await next(), /^40/);
  assert.equal(await next(), '42["auth",{}]');
  line.write(frame(1, '421["join","r"]'));
  assert.equal(await next(), '431["joined","r"]');
  line.socket.pause();
  const cost = await flood(t, server);
  assert.ok(cost <= COST_MAX + SLACK, `it cost ${Math.round(cost / MIB)} MiB`);
  line.socket.resume();
  await line.closed(20_000);
  await server.stop();
});

check("a session that stops polling costs at most 64 MiB and is gone", async (t) => {
  const server = await startServer(STEADY);
  const session = await poll(server.url);
  await session.post('421["join","r"]');
  assert.deepEqual(await session.packets(1), ['431["joined","r"]']);
  const cost = await flood(t, server);
  assert.ok(cost <= COST_MAX + SLACK, `it cost ${Math.round(cost / MIB)} MiB`);
  assert.equal((await session.get()).status, 400);
  await server.stop();
});

check("a member that reads is never closed, however much one handler emits", async (t) => {
  const server = await startServer(STEADY);
  const reader = await connect(t, server.url);
  reader.send('421["join","r"]');
  await reader.next("ack of the join");
  reader.send('422["burst",100000]');
  const seq = await reader.many(100_000, "seq", 30_000);
  seq.forEach((packet, i) => assert.equal(packet, `42["seq",${i}]`));
  reader.send('423["flood","r",5000,10000]');
  const floods = await reader.many(5001, "flood", 30_000);
  assert.equal(floods.pop(), "433[5000]");
  floods.forEach((packet, i) => assert.ok(packet.startsWith(`42["flood",${i},"x`)));
  await assertAlive(reader);
  await server.stop();
});

check("so is one that reads by polling", async () => {
  const server = await startServer(STEADY);
  const session = await poll(server.url);
  await session.post('42["burst",5000]');
  const packets = await within(session.packets(5000), "burst by polling", 30_000);
  packets.forEach((packet, i) => assert.equal(packet, `42["seq",${i}]`));
  await server.stop();
});

check("large messages announced and never sent cost nothing", async (t) => {
  const server = await startServer(STEADY);
  await connect(t, server.url);
  const before = residentBytes(server);
  for (let i = 0; i < 50; i += 1) {
    const line = await openFrames(t, server.url);
    line.write(frame(2, "start", { length: 64 * MIB }));
    const post = await Line.open(t, server.url);
    post.write(request(`POST ${PATH}?EIO=4&transport=polling&sid=unknown HTTP/1.1`, [["Host", "127.0.0.1"], ["Content-Length", 999_999]], "4start"));
  }
  await assertAlive(await connect(t, server.url));
  const cost = residentBytes(server) - before;
  assert.ok(cost <= SLACK, `it cost ${Math.round(cost / MIB)} MiB`);
  await server.stop();
});

// --- silence ----------------------------------------------------------------------------------------

check("connections that come and go in every state leave a server that serves", async (t) => {
  const server = await startServer(SUITE);
  const beginnings = [
    "",
    "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost",
    "POST /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n4",
    "GET /websocket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n",
    "\u0016\u0003\u0001\u0002\u0000\u0001",
  ];
  for (let i = 0; i < 200; i += 1) {
    const line = await Line.open(t, server.url);
    await line.write(beginnings[i % beginnings.length]);
    if (i % 2) line.socket.resetAndDestroy();
    else line.socket.destroy();
    if (i % 10 === 0) {
      const socket = await Socket.open(t, server.url, PATH);
      socket.send("40");
      socket.ws.terminate();
    }
  }
  await assertAlive(await connect(t, server.url));
  await server.stop();
});
