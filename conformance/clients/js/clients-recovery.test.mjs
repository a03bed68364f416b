// Connection state recovery with the stock client: the transport breaks, and the same socket comes back.

import assert from "node:assert/strict";
import { KINDS, Peer, connect } from "./lib/clients.mjs";
import { STEADY, check, ownNamespace, serverForFile, startServer, until } from "./lib/harness.mjs";
import { breaking } from "./lib/proxy.mjs";

const PROFILE = { ...STEADY, RECOVERY: 60_000 };
const { url } = await serverForFile(PROFILE);

const RECONNECTING = { reconnection: true, reconnectionDelay: 100, reconnectionDelayMax: 100 };
const numbers = (count) => Array.from({ length: count }, (_, i) => i);
/** The arguments of an event without the offset behind them. */
const withoutOffset = (args) => args.slice(0, -1);

/** A peer that comes back by itself, and another in the same namespace. */
async function pair(t, kind, options) {
  const nsp = ownNamespace();
  const peer = await connect(t, kind, url, { nsp, ...RECONNECTING, ...options });
  await peer.event("auth");
  return [peer, await connect(t, kind, url, { nsp })];
}

/** How many sockets the server has. */
const sockets = async (at) => (await (await fetch(`${at}/debug/audit`, { headers: { connection: "close" } })).json()).sockets;

/** Breaks the transport off. `whileAway` runs before the client tries to come back, and after the server has noticed. */
async function breakOff(peer, whileAway, at = url) {
  const before = await sockets(at);
  peer.manager.reconnection(false);
  peer.engine.close();
  await peer.disconnected();
  await until(async () => (await sockets(at)) < before, "end of the socket");
  await whileAway?.();
  peer.manager.reconnection(true);
  peer.socket.connect();
  return peer.connected();
}

for (const kind of KINDS.filter(({ current }) => current)) {
  const name = (text) => `${text} (${kind.transport})`;

  check(name("missed events arrive in order and once, and rooms still work"), async (t) => {
    const [peer, other] = await pair(t, kind);
    for (const member of [peer, other]) await member.call("join", "r");
    const before = peer.id;
    const after = await breakOff(peer, async () => {
      for (const i of numbers(50)) assert.deepEqual(await other.call("room-cast", "r", i), ["sent"]);
      other.emit("typing", "another room", "not for it");
      other.emit("broadcast", { to: "all" });
      await other.call("echo", 1);
    });
    assert.deepEqual([peer.socket.recovered, after], [true, before]);
    assert.deepEqual((await peer.events("room-event", 50)).map(([, i]) => i), numbers(50));
    assert.deepEqual(withoutOffset(await peer.event("broadcast")), [{ to: "all" }]);
    assert.deepEqual(await other.call("room-cast", "r", "again"), ["sent"]);
    assert.deepEqual(withoutOffset(await peer.event("room-event")), ["r", "again"]);
    assert.deepEqual(await peer.call("room-cast", "r", "own"), ["sent"]);
    assert.deepEqual([peer.untaken("typing"), peer.untaken("broadcast")], [0, 0]);
    assert.deepEqual((await other.events("room-event", 52)).length, 52);
  });

  check(name("again and again, with attachments"), async (t) => {
    const [peer, other] = await pair(t, kind);
    await peer.call("join", "r");
    await other.call("join", "r");
    for (const i of numbers(5)) {
      await breakOff(peer, () => other.call("room-cast", "r", Buffer.from([i, 255]), { i }));
      assert.equal(peer.socket.recovered, true);
      const [, bytes, object] = await peer.event("room-event");
      assert.deepEqual([Buffer.from(bytes), object], [Buffer.from([i, 255]), { i }]);
    }
    assert.equal(peer.untaken("room-event"), 0);
  });

  // By polling a server hears of a broken connection when a ping is not answered: until then the client is a stranger.
  if (kind.transport !== "polling") {
    check(name("connections that break in the middle of a burst lose and repeat nothing"), async (t) => {
      const way = await breaking(t, url, 3, 6_000);
      const peer = await connect(t, kind, way, { nsp: ownNamespace(), ...RECONNECTING });
      let breaks = 0;
      peer.socket.on("disconnect", () => (breaks += 1));
      peer.emit("burst", 1000);
      assert.deepEqual((await peer.events("seq", 1000)).map(([i]) => i), numbers(1000));
      assert.deepEqual([breaks > 0, peer.socket.recovered, peer.untaken("seq")], [true, true, 0]);
    });
  }

  check(name("several namespaces of one connection come back, each with its own"), async (t) => {
    const [peer, other] = await pair(t, kind);
    const custom = await connect(t, kind, url, { nsp: "/custom", beside: peer });
    await custom.event("auth");
    await custom.call("join", "r");
    const ids = [peer.id, custom.id];
    await breakOff(peer, async () => {
      other.emit("broadcast", 1);
      await other.call("echo", 1);
    });
    await custom.connected();
    assert.deepEqual([peer.id, custom.id], ids);
    assert.deepEqual([peer.socket.recovered, custom.socket.recovered], [true, true]);
    assert.deepEqual(withoutOffset(await peer.event("broadcast")), [1]);
    assert.deepEqual(await custom.call("room-cast", "r", 2), ["sent"]);
    assert.deepEqual(withoutOffset(await custom.event("room-event")), ["r", 2]);
    assert.equal(custom.untaken("broadcast"), 0);
  });

  check(name("volatile events in between do not make it a stranger"), async (t) => {
    const [peer] = await pair(t, kind);
    peer.emit("message", "text");
    await peer.event("message-back");
    peer.emit("volatile", 3);
    await peer.event("vol-done");
    await breakOff(peer);
    assert.equal(peer.socket.recovered, true);
  });

  check(name("a client that leaves by itself is new when it comes back"), async (t) => {
    const [peer, other] = await pair(t, kind);
    await peer.call("join", "r");
    await other.call("join", "r");
    const before = peer.id;
    await peer.leave();
    await other.call("room-cast", "r", "missed");
    peer.socket.connect();
    assert.notEqual(await peer.connected(), before);
    assert.equal(peer.socket.recovered, false);
    assert.deepEqual(await peer.call("room-cast", "r", "not in the room"), ["denied"]);
    assert.equal(peer.untaken("room-event"), 0);
  });

  check(name("a client that is sent away is new when it comes back"), async (t) => {
    const [peer] = await pair(t, kind);
    const before = peer.id;
    peer.emit("kick", false);
    assert.equal(await peer.disconnected(), "io server disconnect");
    peer.socket.connect();
    assert.notEqual(await peer.connected(), before);
    assert.equal(peer.socket.recovered, false);
  });

  check(name("a client that was not sent anything yet comes back"), async (t) => {
    // The namespace has greeted it: the offset of that is taken away.
    const [peer] = await pair(t, kind);
    delete peer.socket._lastOffset;
    await breakOff(peer);
    assert.equal(peer.socket.recovered, true);
  });

  check(name("without a store a server that was killed knows nobody"), async (t) => {
    const first = await startServer(PROFILE);
    const peer = await connect(t, kind, first.url, RECONNECTING);
    await peer.event("auth");
    const before = peer.id;
    await first.kill();
    await peer.disconnected();
    const second = await startServer(first.profile, first.port);
    t.after(() => second.stop());
    assert.notEqual(await peer.connected({ retried: true }), before);
    assert.equal(peer.socket.recovered, false);
    await peer.event("auth");
    await breakOff(peer, undefined, second.url);
    assert.equal(peer.socket.recovered, true, "from then on it does");
    peer.socket.disconnect();
  });
}

check("a client takes over from its old connection that the server still holds", async (t) => {
  const [kind] = KINDS;
  const peer = await connect(t, kind, url, { nsp: ownNamespace() });
  await peer.event("auth");
  const before = peer.id;
  const auth = { pid: peer.socket._pid, offset: peer.socket._lastOffset };
  const successor = new Peer(t, kind, url, { nsp: peer.socket.nsp, auth });
  assert.equal(await successor.connected(), before);
  assert.equal(successor.socket._pid, auth.pid);
  await peer.disconnected();
  assert.deepEqual(await successor.call("echo", 1), [1]);
});
