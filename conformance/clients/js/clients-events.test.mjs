// Events and acknowledgements of real clients: what is said arrives once, whole and in order.

import assert from "node:assert/strict";
import { Peer, connect, eachKind } from "./lib/clients.mjs";
import { check, elapse, ownNamespace, sharedServer, within } from "./lib/harness.mjs";
import { slowWebSockets } from "./lib/proxy.mjs";

const { url, profile } = await sharedServer();
const numbers = (count, from = 0) => Array.from({ length: count }, (_, i) => from + i);

eachKind((kind) => {
  const open = (t, options) => connect(t, kind, url, options);

  check("the auth payload comes back, and {} where there is none", async (t) => {
    const auth = { token: "abc", nested: { list: [1, null, true] } };
    assert.deepEqual(await (await open(t, { auth })).event("auth"), [auth]);
    assert.deepEqual(await (await open(t)).event("auth"), [{}]);
  });

  check("the transport is the one that was asked for", async (t) => {
    const peer = await open(t);
    assert.equal(peer.engine.transport.name, kind.transport === "polling" ? "polling" : "websocket");
  });

  check("an event carries any number of arguments of any JSON type", async (t) => {
    const peer = await open(t);
    const argumentLists = [[], [null], [1, "2", { 3: [true] }], [[], {}, "", 0, -1.5, 1e21, false], [[[[[[]]]]]]];
    for (const args of argumentLists) {
      peer.emit("message", ...args);
      assert.deepEqual(await peer.event("message-back"), args);
    }
  });

  check("the server acks with the arguments it was sent", async (t) => {
    const peer = await open(t);
    assert.deepEqual(await peer.call("message-with-ack", 1, "2", { 3: [false] }), [1, "2", { 3: [false] }]);
    assert.deepEqual(await peer.call("message-with-ack"), []);
    assert.deepEqual(await peer.call("echo", [null]), [[null]]);
  });

  check("acks go to the emit that they answer", async (t) => {
    const peer = await open(t);
    const answers = await Promise.all(numbers(100).map((i) => peer.call("echo", i)));
    assert.deepEqual(answers, numbers(100).map((i) => [i]));
  });

  check("the client acks what the server asks", async (t) => {
    const peer = await open(t);
    peer.emit("ask", "how many?", { of: "what" });
    const [question, details, answer] = await peer.event("ask");
    assert.deepEqual([question, details], ["how many?", { of: "what" }]);
    answer(42, { unit: "things" }, Buffer.from([1, 2]));
    const [count, unit, bytes] = await peer.event("ask-result");
    assert.deepEqual([count, unit], [42, { unit: "things" }]);
    assert.deepEqual(Buffer.from(bytes), Buffer.from([1, 2]));
  });

  check("an unknown event is not acked, and disturbs nothing", async (t) => {
    const peer = await open(t);
    let acked = false;
    peer.socket.emit("no such event", 1, () => (acked = true));
    if (kind.current) {
      const timedOut = new Promise((resolve) => peer.socket.timeout(200).emit("no such event", resolve));
      const error = await within(timedOut, "timeout of the ack");
      assert.match(error.message, /operation has timed out/);
    }
    assert.deepEqual(await peer.call("echo", "next"), ["next"]);
    assert.equal(acked, false);
  });

  check("binary deep in objects goes both ways, with several attachments", async (t) => {
    const peer = await open(t);
    const deep = () => ({
      first: Buffer.from([0, 1, 254, 255]),
      list: ["a", Buffer.alloc(0), { inner: [Buffer.from("ümläut"), null] }],
      large: Buffer.alloc(70_000, 0xa5),
    });
    peer.emit("message", deep(), "between", Buffer.from([9]));
    assert.deepEqual(binaryOf(await peer.event("message-back")), [deep(), "between", Buffer.from([9])]);
    assert.deepEqual(binaryOf(await peer.call("message-with-ack", deep())), [deep()]);
    peer.emit("ask", deep());
    const [question, answer] = await peer.event("ask");
    assert.deepEqual(binaryOf([question]), [deep()]);
    answer([deep()]);
    assert.deepEqual(binaryOf(await peer.event("ask-result")), [[deep()]]);
  });

  check("text and binary events keep their order among each other", async (t) => {
    const peer = await open(t);
    for (const i of numbers(200)) peer.emit("message", i, i % 3 === 0 ? Buffer.from([i]) : "text");
    const back = await peer.events("message-back", 200);
    assert.deepEqual(back.map(([i]) => i), numbers(200));
    assert.ok(back.every(([i, value]) => (i % 3 === 0 ? Buffer.from(value)[0] === i : value === "text")));
  });

  check("every string survives: emoji, lone surrogates, separators, NUL, control characters", async (t) => {
    const peer = await open(t);
    const strings = ["€ 𝄞 👩‍👩‍👧‍👦", "\ud800", "a\udfffb", "\u2028\u2029", "\0", "a\u001eb", '"\\/\b\f\n\r\t', "\u007f\u0080\ufeff\uffff"];
    peer.emit("message", ...strings, Object.fromEntries(strings.map((text) => [text, text])));
    assert.deepEqual(await peer.event("message-back"), [...strings, Object.fromEntries(strings.map((text) => [text, text]))]);
    assert.deepEqual(await peer.call("echo", strings.join("")), [strings.join("")]);
    const [room] = strings;
    assert.deepEqual(await peer.call("join", room), ["joined", room]);
    assert.deepEqual(await peer.call("room-cast", room, strings[1]), ["sent"]);
    assert.deepEqual(await peer.event("room-event"), [room, strings[1]]);
  });

  check("1,000 messages arrive in order, each way", async (t) => {
    const peer = await open(t);
    for (const i of numbers(1000)) peer.emit("message", i);
    peer.emit("burst", 1000);
    assert.deepEqual((await peer.events("message-back", 1000)).flat(), numbers(1000));
    assert.deepEqual((await peer.events("seq", 1000)).flat(), numbers(1000));
    await peer.call("echo", "the end");
    assert.equal(peer.untaken("message-back") + peer.untaken("seq"), 0);
  });

  check("volatile events may be lost, but are neither repeated nor out of order", async (t) => {
    const peer = await open(t);
    peer.emit("volatile", 500);
    assert.deepEqual(await peer.event("vol-done"), [500]);
    const came = (await peer.events("vol", peer.untaken("vol"))).flat();
    assert.ok(came.every((n, i) => Number.isInteger(n) && n < 500 && n > (came[i - 1] ?? -1)), `volatile: ${came}`);
    peer.socket.volatile.emit("message", "a client may be volatile too");
    await peer.call("echo", "next");
  });

  check("what was emitted before the connection stood is sent when it does", async (t) => {
    const peer = new Peer(t, kind, url);
    for (const i of numbers(50)) peer.emit("message", i);
    await peer.ready();
    assert.deepEqual((await peer.events("message-back", 50)).flat(), numbers(50));
  });

  check("a message of exactly MAX_PAYLOAD passes, one byte more ends that connection only", async (t) => {
    const bystander = await open(t, { nsp: ownNamespace() });
    const peer = await open(t);
    // 4 of Engine.IO, 2 of Socket.IO, then ["message","…"].
    const filling = "x".repeat(profile.MAX_PAYLOAD - '42["message",""]'.length);
    peer.emit("message", filling);
    assert.deepEqual(await peer.event("message-back"), [filling]);
    peer.emit("message", `${filling}x`);
    assert.equal(await peer.disconnected(), kind.transport === "polling" ? "transport error" : "transport close");
    assert.deepEqual(await bystander.call("echo", "still here"), ["still here"]);
  });
});

// Only an upgrade has a time in which both transports carry messages.
eachKind((kind) => {
  if (kind.transport !== "upgrade") return;

  check("messages sent and received during the upgrade arrive once and in order", async (t) => {
    const slowly = await slowWebSockets(t, url);
    await Promise.all(numbers(4).map(() => talkThroughUpgrade(new Peer(t, kind, slowly, { nsp: ownNamespace() }))));
  });
});

async function talkThroughUpgrade(peer) {
  await peer.connected();
  assert.equal(peer.engine.transport.name, "polling", "the upgrade is still ahead");
  peer.emit("burst", 2000);
  let upgraded = false;
  peer.upgraded.then(() => (upgraded = true));
  let sent = 0;
  const pump = async () => {
    // Some more after the upgrade, so that both transports carried a part.
    for (let rest = 50; rest > 0 && sent < 10_000; rest -= upgraded ? 1 : 0) {
      peer.emit("message", sent, sent % 7 === 0 ? Buffer.from([sent % 256]) : null);
      sent += 1;
      await elapse(1);
    }
  };
  await within(pump(), "upgrade");
  const back = await peer.events("message-back", sent);
  assert.deepEqual(back.map(([i]) => i), numbers(sent));
  assert.deepEqual((await peer.events("seq", 2000)).flat(), numbers(2000));
  assert.equal(peer.engine.transport.name, "websocket");
  await peer.call("echo", "the end");
  assert.equal(peer.untaken("message-back") + peer.untaken("seq"), 0);
}

/** The same with every binary as a Buffer: versions differ in what they hand over. */
function binaryOf(value) {
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return Buffer.from(value);
  if (Array.isArray(value)) return value.map(binaryOf);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, binaryOf(inner)]));
}
