// How connections of real clients live and end: reasons, heartbeats, a server that restarts, a
// protocol version that is refused.

import assert from "node:assert/strict";
import { KINDS, Peer, connect, eachKind, refused2 } from "./lib/clients.mjs";
import { ask, roundTrips } from "./lib/engine.mjs";
import { Inbox, SUITE, check, ownNamespace, serverForFile, sharedServer, startServer, within } from "./lib/harness.mjs";

const { url } = await sharedServer();
const suite = await serverForFile(SUITE);

const RECONNECTING = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 100 };

eachKind((kind) => {
  check("the client leaves: io client disconnect, and a new id when it comes back", async (t) => {
    const peer = await connect(t, kind, url);
    const before = peer.id;
    await peer.leave();
    peer.socket.connect();
    assert.notEqual(await peer.connected(), before);
    assert.deepEqual(await peer.call("echo", 1), [1]);
  });

  check("kick false ends one namespace: io server disconnect", async (t) => {
    const main = await connect(t, kind, url, { nsp: ownNamespace() });
    const kicked = await connect(t, kind, url, { nsp: "/custom", beside: main });
    kicked.emit("kick", false);
    assert.equal(await kicked.disconnected(), "io server disconnect");
    assert.deepEqual(await main.call("echo", 1), [1]);
    main.assertNeverDisconnected();
    kicked.socket.connect();
    await kicked.connected();
    assert.deepEqual(await kicked.call("echo", 2), [2]);
  });

  check("kick true ends the connection: transport close everywhere, and clients come back", async (t) => {
    const main = await connect(t, kind, url, { nsp: ownNamespace(), ...RECONNECTING });
    const custom = await connect(t, kind, url, { nsp: "/custom", beside: main });
    custom.emit("kick", true);
    for (const peer of [main, custom]) {
      assert.equal(await peer.disconnected(), "transport close");
      await peer.connected({ retried: true });
      assert.deepEqual(await peer.call("echo", 1), [1]);
    }
  });

  check("a restart: transport close, then the same client at the new process, with what it buffered", async (t) => {
    const first = await startServer({ PING_INTERVAL: 5000, PING_TIMEOUT: 5000 });
    let tokens = 0;
    const auth = (give) => give({ token: (tokens += 1) });
    const peer = await connect(t, kind, first.url, { ...RECONNECTING, auth });
    assert.deepEqual(await peer.event("auth"), [{ token: 1 }]);
    const before = peer.id;

    // What was on its way after this answer, the next poll above all, arrives before the second.
    await peer.call("echo", "last words");
    await roundTrips(first.url);
    await first.stop();
    assert.equal(await peer.disconnected(), "transport close");
    for (let i = 0; i < 20; i += 1) peer.emit("message", i, Buffer.from([i]));
    const acked = peer.call("echo", "buffered");

    const second = await startServer(first.profile, first.port);
    t.after(() => second.stop());
    assert.notEqual(await peer.connected({ retried: true }), before);
    const [{ token }] = await peer.event("auth");
    assert.equal(token, tokens, "the auth payload is made anew");
    assert.deepEqual((await peer.events("message-back", 20)).map(([i]) => i), Array.from({ length: 20 }, (_, i) => i));
    assert.deepEqual(await acked, ["buffered"]);
    peer.socket.disconnect();
  });
});

check("connections stay over several heartbeats, busy or idle", async (t) => {
  const live = async (kind, index) => {
    const peer = await connect(t, kind, suite.url);
    const pings = new Inbox();
    peer.engine.on("packet", ({ type }) => type === "ping" && pings.push());
    const before = peer.id;
    for (let i = 0; i < 5; i += 1) {
      await pings.take("ping from the server");
      if (index % 2) assert.deepEqual(await peer.call("echo", i), [i]);
    }
    peer.assertNeverDisconnected();
    assert.equal(peer.id, before);
  };
  await Promise.all(KINDS.map(live));
});

for (const transport of ["polling", "websocket"]) {
  check(`socket.io-client ${refused2.version} over ${transport} is refused cleanly`, async (t) => {
    const bystander = await connect(t, KINDS[0], url, { nsp: ownNamespace() });
    const old = refused2.io(url, { path: "/socket.io", transports: [transport], reconnection: false, forceNew: true });
    t.after(() => old.close());
    const outcome = new Promise((resolve) => {
      old.on("connect", () => resolve("connected"));
      old.on("connect_error", (error) => resolve(error));
    });
    const error = await within(outcome, "connect_error");
    // Polling gives the status as a number, ws says it in a sentence.
    assert.match(String(error.description?.message ?? error.description), /400/);
    assert.deepEqual(await bystander.call("echo", 1), [1]);
  });
}

check("the refusal of Engine.IO 3 names its code, with and without a version", async () => {
  for (const version of ["EIO=3&", ""]) {
    const { status, body } = await ask(`${url}/socket.io/?${version}transport=polling`);
    assert.equal(status, 400);
    assert.deepEqual(JSON.parse(body), { code: 5, message: "Unsupported protocol version" });
  }
});

check("a client that cannot reach its namespace tries no other", async (t) => {
  const peer = new Peer(t, KINDS[0], url, { nsp: "/deny", ...RECONNECTING });
  assert.equal((await peer.refused()).message, "not authorized");
  assert.equal(peer.socket.active, false, "a refusal by the server is not retried");
});
