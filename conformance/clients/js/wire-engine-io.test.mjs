// Engine.IO v4 packet by packet, in the profile whose heartbeats can be waited for.

import assert from "node:assert/strict";
import { SUITE, check, elapse, serverForFile, sharedServer, startServer } from "./lib/harness.mjs";
import { Polling, SEPARATOR, Socket, ask, messages, roundTrips } from "./lib/engine.mjs";
import { Line, request } from "./lib/raw.mjs";

const { url } = await sharedServer();
const suite = await serverForFile(SUITE);
const PATHS = ["/engine.io/", "/socket.io/"];
const KEYS = ["maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"];
const SILENCE_MS = 3 * (SUITE.PING_INTERVAL + SUITE.PING_TIMEOUT);

const announced = ({ pingInterval, pingTimeout, maxPayload }) => [pingInterval, pingTimeout, maxPayload];
const assertGone = async (session) => assert.equal((await session.get()).status, 400);

// --- opening ----------------------------------------------------------------------------------------

check("polling opens with exactly the announced keys and the configured numbers", async () => {
  for (const path of PATHS) {
    const { handshake } = await Polling.open(suite.url, path);
    assert.deepEqual(Object.keys(handshake).sort(), KEYS);
    assert.deepEqual(handshake.upgrades, ["websocket"]);
    assert.deepEqual(announced(handshake), [SUITE.PING_INTERVAL, SUITE.PING_TIMEOUT, SUITE.MAX_PAYLOAD]);
    assert.match(handshake.sid, /^[\w-]{16,}$/);
  }
});

check("WebSocket opens with the same keys and no upgrades", async (t) => {
  for (const path of PATHS) {
    const { handshake } = await Socket.session(t, suite.url, path);
    assert.deepEqual(Object.keys(handshake).sort(), KEYS);
    assert.deepEqual(handshake.upgrades, []);
    assert.deepEqual(announced(handshake), [SUITE.PING_INTERVAL, SUITE.PING_TIMEOUT, SUITE.MAX_PAYLOAD]);
  }
});

check("other numbers are announced as they are configured", async () => {
  const server = await startServer({ PING_INTERVAL: 4321, PING_TIMEOUT: 1234, MAX_PAYLOAD: 54_321 });
  const session = await Polling.open(server.url);
  assert.deepEqual(announced(session.handshake), [4321, 1234, 54_321]);
  assert.equal((await session.post(`4${"x".repeat(54_321)}`)).status, 413);
  await server.stop();
});

check("the defaults are announced where nothing is configured", async () => {
  const server = await startServer({});
  assert.deepEqual(announced((await Polling.open(server.url)).handshake), [25_000, 20_000, 1_000_000]);
  await server.stop();
});

check("session ids do not repeat", async () => {
  const sessions = await Promise.all(Array.from({ length: 50 }, () => Polling.open(url)));
  assert.equal(new Set(sessions.map(({ sid }) => sid)).size, 50);
});

const REFUSALS = {
  "EIO absent": ["GET", "transport=polling", 5, "Unsupported protocol version"],
  "EIO not 4": ["GET", "EIO=abc&transport=polling", 5, "Unsupported protocol version"],
  "transport absent": ["GET", "EIO=4", 0, "Transport unknown"],
  "transport unknown": ["GET", "EIO=4&transport=abc", 0, "Transport unknown"],
  "POST without sid": ["POST", "EIO=4&transport=polling", 2, "Bad handshake method"],
  "PUT without sid": ["PUT", "EIO=4&transport=polling", 2, "Bad handshake method"],
  "unknown sid": ["GET", "EIO=4&transport=polling&sid=unknown", 1, "Session ID unknown"],
  "POST to an unknown sid": ["POST", "EIO=4&transport=polling&sid=unknown", 1, "Session ID unknown"],
  "a sid like a property": ["GET", "EIO=4&transport=polling&sid=__proto__", 1, "Session ID unknown"],
};

for (const [name, [method, query, code, message]] of Object.entries(REFUSALS)) {
  check(`400 with a code for: ${name}`, async () => {
    for (const path of PATHS) {
      const { status, body } = await ask(`${url}${path}?${query}`, { method });
      assert.equal(status, 400);
      assert.deepEqual(JSON.parse(body), { code, message });
    }
  });
}

check("a WebSocket with EIO, transport or sid wrong is not opened", async (t) => {
  for (const path of PATHS) {
    for (const query of ["transport=websocket", "EIO=abc&transport=websocket", "EIO=4", "EIO=4&transport=abc", "EIO=4&transport=websocket&sid=unknown"]) {
      const socket = new Socket(t, `${url.replace("http", "ws")}${path}?${query}`);
      await socket.closed();
      await assert.rejects(socket.next(), /closed/, `a packet came for ${query}`);
    }
  }
});

// --- messages by polling ----------------------------------------------------------------------------

check("a POST is answered with ok, and its echo is the next poll", async () => {
  const session = await Polling.open(url);
  assert.deepEqual(await session.post("4hello"), { status: 200, body: "ok" });
  assert.deepEqual(await session.get(), { status: 200, body: "4hello" });
});

check("echoes of one POST come back in one poll, in order, and nothing else with them", async () => {
  const session = await Polling.open(url);
  const packets = ["4test1", "bAQIDBA==", "4", "4€𝄞\u2028", "b", "4test3"];
  await session.post(...packets);
  assert.equal((await session.get()).body, packets.join(SEPARATOR));
});

check("a waiting poll gets what a later POST brings", async () => {
  const session = await Polling.open(url);
  const poll = session.get();
  await session.post("4hello");
  assert.equal((await poll).body, "4hello");
});

check("30 packets in one POST are taken, and no answer carries more than 16", async () => {
  const session = await Polling.open(url);
  assert.equal((await session.post(...messages(30))).status, 200);
  const back = [];
  while (back.length < 30) {
    const packets = (await session.get()).body.split(SEPARATOR);
    assert.ok(packets.length <= 16, `${packets.length} packets in one answer`);
    back.push(...packets);
  }
  assert.deepEqual(back, messages(30));
});

check("several messages of half the limit all come back", async () => {
  const session = await Polling.open(url);
  const { maxPayload } = session.handshake;
  const large = `4${"x".repeat(Math.floor(maxPayload / 2))}`;
  const back = session.packets(4);
  for (let i = 0; i < 4; i += 1) await session.post(large);
  assert.deepEqual(await back, [large, large, large, large]);
});

const MALFORMED = ["abc", "", "9", "4a\u001e", "\u001e4a", "4a\u001e\u001e4b", "b!!!!", "4ok\u001eabc", Buffer.from([0x34, 0xff])];
const malform = (session, body) => ask(session.target, { method: "POST", body });

check("a POST of abc ends its session and no other", async () => {
  const [other, session] = [await Polling.open(url), await Polling.open(url)];
  await malform(session, "abc");
  await assertGone(session);
  await other.post("4hello");
  assert.equal((await other.get()).body, "4hello");
});

check("malformed input ends its session", async () => {
  for (const body of MALFORMED) {
    const session = await Polling.open(url);
    await malform(session, body);
    await assertGone(session);
  }
});

check("a malformed POST is answered with 400", async () => {
  for (const body of MALFORMED) {
    assert.equal((await malform(await Polling.open(url), body)).status, 400, JSON.stringify(body));
  }
});

check("a second poll ends the first with 1, is refused itself, and the session is gone", async (t) => {
  const session = await Polling.open(url);
  const first = await waitingPoll(t, session);
  const second = await session.get();
  const { status, body } = await first.response();
  assert.deepEqual([status, body], [200, "1"]);
  assert.equal(second.status, 400);
  await assertGone(session);
});

check("a POST while another is under way is refused, and the session is gone", async (t) => {
  const session = await Polling.open(url);
  const first = await Line.open(t, url);
  // The server says 100 when it has begun to read the body.
  const headers = [["Host", "127.0.0.1"], ["Content-Length", 6], ["Expect", "100-continue"]];
  first.write(request(`POST ${pathOf(session)} HTTP/1.1`, headers));
  assert.equal((await first.response("100 Continue")).status, 100);
  first.write("4he");
  assert.equal((await session.post("4other")).status, 400);
  await assertGone(session);
});

check("a poll that the client gives up loses no message of others", async (t) => {
  const [given, other] = [await Polling.open(url), await Polling.open(url)];
  (await waitingPoll(t, given)).socket.destroy();
  await other.post("4hello");
  assert.equal((await other.get()).body, "4hello");
});

// --- messages by WebSocket --------------------------------------------------------------------------

check("text and binary come back by WebSocket, each as it was sent", async (t) => {
  const socket = await Socket.session(t, url);
  const packets = ["4hello", Buffer.from([1, 2, 3, 4]), "4", Buffer.alloc(0), "4€𝄞", "4two\u001elines", Buffer.alloc(70_000, 7)];
  socket.send(...packets);
  assert.deepEqual(await socket.many(packets.length), packets);
});

for (const packet of ["abc", "", "9", "7", " 4hello"]) {
  check(`a WebSocket that sends ${JSON.stringify(packet)} is closed`, async (t) => {
    const socket = await Socket.session(t, url);
    socket.send(packet);
    await socket.closed();
  });
}

check("1,000 messages come back in order by WebSocket", async (t) => {
  const socket = await Socket.session(t, url);
  socket.send(...messages(1000));
  assert.deepEqual(await socket.many(1000), messages(1000));
});

// --- heartbeat --------------------------------------------------------------------------------------

check("by polling, pings are asked for one interval after another", async () => {
  const start = Date.now();
  const session = await Polling.open(suite.url);
  for (let i = 1; i <= 3; i += 1) {
    assert.deepEqual(await session.get(), { status: 200, body: "2" });
    assert.deepEqual(await session.post("3"), { status: 200, body: "ok" });
    if (i === 1) assertFullInterval(start);
  }
});

check("by WebSocket too", async (t) => {
  const start = Date.now();
  const socket = await Socket.session(t, suite.url);
  for (let i = 1; i <= 3; i += 1) {
    assert.equal(await socket.next("ping"), "2");
    socket.send("3");
    if (i === 1) assertFullInterval(start);
  }
});

/** The first ping may be late on a busy machine, but never early. */
function assertFullInterval(start) {
  const passed = Date.now() - start;
  assert.ok(passed >= SUITE.PING_INTERVAL - 1, `the first ping came after ${passed} ms`);
}

check("a session that is never polled is gone", async () => {
  const session = await Polling.open(suite.url);
  await elapse(SILENCE_MS);
  await assertGone(session);
});

check("a session that polls and never answers a ping is gone", async () => {
  const session = await Polling.open(suite.url);
  assert.equal((await session.get()).body, "2");
  // The poll that waits when the time is over may be ended politely; one after it is refused.
  await session.get();
  await assertGone(session);
});

check("a WebSocket that never answers a ping is closed", async (t) => {
  const socket = await Socket.session(t, suite.url);
  assert.equal(await socket.next("ping"), "2");
  await socket.closed(SILENCE_MS + 5000);
});

// --- closing ----------------------------------------------------------------------------------------

check("POST 1 ends a waiting poll with 6, and the session is gone", async (t) => {
  const session = await Polling.open(url);
  const poll = await waitingPoll(t, session);
  assert.deepEqual(await session.post("1"), { status: 200, body: "ok" });
  const { status, body } = await poll.response();
  assert.deepEqual([status, body], [200, "6"]);
  await assertGone(session);
});

check("POST 1 without a waiting poll ends the session too", async () => {
  const session = await Polling.open(url);
  assert.equal((await session.post("1")).status, 200);
  await assertGone(session);
});

check("1 by WebSocket closes it", async (t) => {
  const socket = await Socket.session(t, url);
  socket.send("1");
  await socket.closed();
});

// --- upgrade ----------------------------------------------------------------------------------------

const probe = async (t, session) => {
  const socket = await Socket.open(t, session.url, session.path, { sid: session.sid });
  socket.send("2probe");
  assert.equal(await socket.next("answer to the probe"), "3probe");
  return socket;
};

check("a probe is answered, and a poll that waits or comes ends with 6", async (t) => {
  const waiting = await Polling.open(url);
  const poll = await waitingPoll(t, waiting);
  await probe(t, waiting);
  assert.equal((await poll.response()).body, "6");

  const coming = await Polling.open(url);
  await probe(t, coming);
  assert.deepEqual(await coming.get(), { status: 200, body: "6" });
});

check("after 5, messages go by WebSocket", async (t) => {
  for (const path of PATHS) {
    const session = await Polling.open(url, path);
    const socket = await probe(t, session);
    assert.equal((await session.get()).body, "6");
    socket.send("5");
    socket.send(path === "/engine.io/" ? "4hello" : "40");
    const back = await socket.next();
    assert.ok(back === "4hello" || back.startsWith('40{"sid":'), back);
  }
});

check("2probe and 5 may come back to back, before any poll", async (t) => {
  const session = await Polling.open(url);
  const socket = await Socket.open(t, url, session.path, { sid: session.sid });
  socket.send("2probe", "5", "4hello");
  assert.deepEqual(await socket.many(2), ["3probe", "4hello"]);
  await assertGone(session);
});

check("messages posted around an upgrade come once and in order", async (t) => {
  for (let round = 0; round < 20; round += 1) {
    const session = await Polling.open(url);
    await session.post(...messages(5));
    const socket = await Socket.open(t, url, session.path, { sid: session.sid });
    socket.send("2probe");
    await session.post(...messages(5, 5));
    assert.equal(await socket.next("answer to the probe"), "3probe");
    await session.post(...messages(5, 10));
    const polled = round % 2 ? (await session.get()).body.split(SEPARATOR) : [];
    socket.send("5", ...messages(5, 15));
    const back = polled.filter((packet) => packet !== "6");
    back.push(...(await socket.many(20 - back.length)));
    assert.deepEqual(back, messages(20), `round ${round}`);
  }
});

check("after the upgrade the sid is refused by polling, and a further WebSocket is closed", async (t) => {
  const session = await Polling.open(url);
  const socket = await probe(t, session);
  socket.send("5", "4hello");
  assert.equal(await socket.next(), "4hello");
  assert.equal((await session.get()).status, 400);
  assert.equal((await session.post("4lost")).status, 400);

  const further = new Socket(t, `${url.replace("http", "ws")}${session.path}?EIO=4&transport=websocket&sid=${session.sid}`);
  await further.closed();
  socket.send("4still here");
  assert.equal(await socket.next(), "4still here");
});

check("a sid of one path opens no WebSocket on another", async (t) => {
  const session = await Polling.open(url, "/engine.io/");
  const stray = new Socket(t, `${url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket&sid=${session.sid}`);
  await stray.closed();
  await session.post("4hello");
  assert.equal((await session.get()).body, "4hello");
});

check("a probe that goes away leaves the session to polling", async (t) => {
  const session = await Polling.open(url);
  const socket = await probe(t, session);
  socket.ws.terminate();
  await socket.closed();
  await session.post("4hello");
  assert.deepEqual(await session.packets(1), ["4hello"]);
});

check("heartbeats go on after an upgrade", async (t) => {
  const session = await Polling.open(suite.url);
  const socket = await probe(t, session);
  socket.send("5");
  for (let i = 0; i < 3; i += 1) {
    assert.equal(await socket.next("ping"), "2");
    socket.send("3");
  }
  await socket.closed(SILENCE_MS + 5000);
});

// --- the end of the server --------------------------------------------------------------------------

check("SIGTERM ends polls with 1 and WebSockets with 1001, so that clients come back", async (t) => {
  const server = await startServer({});
  const polls = await Promise.all(PATHS.map(async (path) => waitingPoll(t, await Polling.open(server.url, path))));
  const sockets = await Promise.all(PATHS.map((path) => Socket.session(t, server.url, path)));
  await server.stop();
  for (const poll of polls) assert.equal((await poll.response()).body, "1");
  for (const socket of sockets) assert.equal(await socket.closed(), 1001);
});

// --- helpers ----------------------------------------------------------------------------------------

const pathOf = ({ target }) => target.slice(new URL(target).origin.length);

/** A poll that the server holds, on a connection that has been served before. */
async function waitingPoll(t, session) {
  const line = await Line.open(t, session.url);
  const get = (path) => line.write(request(`GET ${path} HTTP/1.1`, [["Host", "127.0.0.1"]]));
  await get("/debug/audit");
  await line.response();
  await get(pathOf(session));
  await roundTrips(session.url);
  return line;
}
