// The stock client with the stock parser socket.io-msgpack-parser, over each transport.

import assert from "node:assert/strict";
import parser from "socket.io-msgpack-parser";
import { KINDS, Peer, connect } from "./lib/clients.mjs";
import { Polling } from "./lib/engine.mjs";
import { STEADY, check, ownNamespace, serverForFile } from "./lib/harness.mjs";

const { url } = await serverForFile({ ...STEADY, RECOVERY: 60_000 });
const PACKED = { path: "/msgpack", parser };
/** With recovery, events have an offset behind their arguments. */
const withoutOffset = (args) => args.slice(0, -1);

for (const kind of KINDS.filter(({ current }) => current)) {
  const name = (text) => `${text} (${kind.transport})`;
  const open = (t, options) => connect(t, kind, url, { nsp: ownNamespace(), ...PACKED, ...options });

  check(name("auth, acks and values of all kinds go both ways"), async (t) => {
    const peer = await open(t, { auth: { token: "t", nested: [{}] } });
    assert.deepEqual(withoutOffset(await peer.event("auth")), [{ token: "t", nested: [{}] }]);
    const values = ["", "é\u{1f600}\u0000\"", 0, -1, 127, 128, -129, 65_536, 2 ** 40, -(2 ** 40), 1.5, true, null, [], {}, [[{ a: [1] }]]];
    assert.deepEqual(await peer.call("echo", ...values), values);
    assert.deepEqual(await peer.call("echo"), []);
    const long = { text: "word ".repeat(60_000), list: Array.from({ length: 70_000 }, (_, i) => i) };
    assert.deepEqual(await peer.call("echo", long), [long]);
  });

  check(name("bytes stand where they were"), async (t) => {
    const peer = await open(t);
    const bytes = (text) => Buffer.from(text);
    const [first, { inner, empty }, last] = await peer.call("echo", bytes("abc"), { inner: [bytes("x".repeat(70_000))], empty: bytes("") }, 1);
    assert.deepEqual([Buffer.from(first), inner.map((part) => part.length), empty.length, last], [bytes("abc"), [70_000], 0, 1]);
    const [view] = await peer.call("echo", new Uint8Array([1, 255]));
    assert.deepEqual(Buffer.from(view), Buffer.from([1, 255]));
  });

  check(name("rooms, broadcasts and questions of the server"), async (t) => {
    const nsp = ownNamespace();
    const [one, other] = [await open(t, { nsp }), await open(t, { nsp })];
    for (const peer of [one, other]) assert.deepEqual(await peer.call("join", "r"), ["joined", "r"]);
    assert.deepEqual(await one.call("room-cast", "r", { n: 1 }, Buffer.from("z")), ["sent"]);
    for (const peer of [one, other]) {
      const [room, object, bytes] = await peer.event("room-event");
      assert.deepEqual([room, object, Buffer.from(bytes)], ["r", { n: 1 }, Buffer.from("z")]);
    }
    one.socket.on("ask", (question, ack) => ack({ answer: question }));
    one.emit("ask", 42);
    assert.deepEqual(withoutOffset(await one.event("ask-result")), [{ answer: 42 }]);
  });

  check(name("a namespace that refuses says why"), async (t) => {
    const denied = new Peer(t, kind, url, { nsp: "/deny", ...PACKED });
    const error = await denied.refused();
    assert.deepEqual([error.message, error.data], ["not authorized", { code: "E_AUTH" }]);
    const unknown = new Peer(t, kind, url, { nsp: "/nowhere", ...PACKED });
    assert.equal((await unknown.refused()).message, "Invalid namespace");
  });

  check(name("a client that comes back is sent what it missed"), async (t) => {
    const nsp = ownNamespace();
    const reconnection = { reconnection: true, reconnectionDelay: 100, reconnectionDelayMax: 100 };
    const [peer, other] = [await open(t, { nsp, ...reconnection }), await open(t, { nsp })];
    for (const member of [peer, other]) await member.call("join", "r");
    await peer.call("room-cast", "r", 0);
    await peer.event("room-event");
    const before = peer.id;
    peer.engine.close();
    await peer.disconnected();
    for (const i of [1, 2, 3]) await other.call("room-cast", "r", i);
    assert.equal(await peer.connected({ retried: true }), before);
    assert.equal(peer.socket.recovered, true);
    assert.deepEqual((await peer.events("room-event", 3)).map(([, i]) => i), [1, 2, 3]);
  });
}

check("a client without the parser is turned away, and nobody else is held up", async (t) => {
  const peer = await connect(t, KINDS[0], url, { nsp: ownNamespace(), ...PACKED });
  const text = await Polling.open(url, "/msgpack/");
  await text.post("40");
  const { body } = await text.get();
  assert.ok(!body.startsWith("40"), body);
  assert.deepEqual(await peer.call("echo", 1), [1]);
});
