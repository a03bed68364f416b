// Rooms, with real clients of several versions and transports in them together.

import assert from "node:assert/strict";
import { KINDS, connect, eachKind } from "./lib/clients.mjs";
import { check, ownNamespace, sharedServer, within } from "./lib/harness.mjs";

const { url } = await sharedServer();

eachKind((kind) => {
  const openMany = (t, count) => {
    const nsp = ownNamespace();
    return Promise.all(Array.from({ length: count }, () => connect(t, kind, url, { nsp })));
  };

  check("join and leave are acked, and counted once", async (t) => {
    const [peer] = await openMany(t, 1);
    const rooms = async () => (await peer.call("whoami"))[0].rooms;
    const before = await rooms();
    assert.deepEqual(await peer.call("join", "r"), ["joined", "r"]);
    assert.deepEqual(await peer.call("join", "r"), ["joined", "r"]);
    assert.deepEqual(await peer.call("join", ""), ["joined", ""]);
    assert.equal(await rooms(), before + 2);
    assert.deepEqual(await peer.call("leave", "r"), ["left", "r"]);
    assert.deepEqual(await peer.call("leave", "never joined"), ["left", "never joined"]);
    assert.equal(await rooms(), before + 1);
  });

  check("a room must be a string", async (t) => {
    const [peer] = await openMany(t, 1);
    for (const room of [7, null, ["r"], { r: 1 }, Buffer.from("r")]) {
      assert.deepEqual(await peer.call("join", room), ["error"]);
    }
    assert.deepEqual(await peer.call("join"), ["error"]);
  });

  check("a room-cast reaches every member, the sender included, and no other socket", async (t) => {
    const [sender, member, stranger] = await openMany(t, 3);
    for (const peer of [sender, member]) await peer.call("join", "r");
    const args = [1, { deep: [Buffer.from([1, 2, 3])] }, "é"];
    assert.deepEqual(await sender.call("room-cast", "r", ...args), ["sent"]);
    for (const peer of [sender, member]) {
      const [room, one, { deep }, text] = await peer.event("room-event");
      assert.deepEqual([room, one, Buffer.from(deep[0]), text], ["r", 1, Buffer.from([1, 2, 3]), "é"]);
    }
    await stranger.call("echo", 1);
    assert.equal(stranger.untaken("room-event"), 0);
  });

  check("only a member may cast, and after leaving neither casts nor hears", async (t) => {
    const [left, member] = await openMany(t, 2);
    assert.deepEqual(await left.call("room-cast", "r", 1), ["denied"]);
    for (const peer of [left, member]) await peer.call("join", "r");
    await left.call("leave", "r");
    assert.deepEqual(await left.call("room-cast", "r", 1), ["denied"]);
    assert.deepEqual(await member.call("room-cast", "r", 2), ["sent"]);
    assert.deepEqual(await member.event("room-event"), ["r", 2]);
    await left.call("echo", 1);
    assert.equal(left.untaken("room-event"), 0);
  });

  check("typing reaches the room without its sender", async (t) => {
    const [typist, member, stranger] = await openMany(t, 3);
    for (const peer of [typist, member]) await peer.call("join", "r");
    typist.emit("typing", "r", { on: true });
    typist.emit("typing", "r", false);
    assert.deepEqual(await member.events("typing", 2), [[{ on: true }], [false]]);
    for (const peer of [typist, stranger]) {
      await peer.call("echo", 1);
      assert.equal(peer.untaken("typing"), 0);
    }
  });

  check("a broadcast reaches its namespace, the sender included, and no other", async (t) => {
    const [sender, other] = await openMany(t, 2);
    const [elsewhere] = await openMany(t, 1);
    sender.emit("broadcast", { to: "all" });
    for (const peer of [sender, other]) assert.deepEqual(await peer.event("broadcast"), [{ to: "all" }]);
    await elsewhere.call("echo", 1);
    assert.equal(elsewhere.untaken("broadcast"), 0);
  });

  check("nothing waits for a timer: sixty round trips through a room take no time", async (t) => {
    const [sender, member] = await openMany(t, 2);
    for (const peer of [sender, member]) await peer.call("join", "r");
    const talk = async () => {
      for (let i = 0; i < 20; i += 1) {
        assert.deepEqual(await sender.call("room-cast", "r", i), ["sent"]);
        for (const peer of [sender, member]) assert.deepEqual(await peer.event("room-event"), ["r", i]);
        sender.emit("typing", "r", i);
        assert.deepEqual(await member.event("typing"), [i]);
        member.emit("broadcast", i);
        for (const peer of [sender, member]) assert.deepEqual(await peer.event("broadcast"), [i]);
      }
    };
    await within(talk(), "end of sixty round trips", 5000);
  });

  check("who disconnects has left its rooms, and joins none by coming back", async (t) => {
    const [guest, member] = await openMany(t, 2);
    for (const peer of [guest, member]) await peer.call("join", "r");
    await guest.leave();
    guest.socket.connect();
    await guest.connected();
    assert.deepEqual(await guest.call("room-cast", "r", 1), ["denied"]);
    await member.call("room-cast", "r", 2);
    await guest.call("echo", 1);
    assert.equal(guest.untaken("room-event"), 0);
  });
});

check("all versions and transports share a room, and hear the same in the same order", async (t) => {
  const nsp = ownNamespace();
  const peers = await Promise.all(KINDS.map((kind) => connect(t, kind, url, { nsp })));
  await Promise.all(peers.map((peer) => peer.call("join", "all")));
  await Promise.all(
    peers.map(async (peer, from) => {
      for (let i = 0; i < 30; i += 1) peer.emit("room-cast", "all", { from, i, bytes: Buffer.from([from, i]) });
      assert.deepEqual(await peer.call("room-cast", "all", { from, i: 30, bytes: Buffer.from([from, 30]) }), ["sent"]);
    }),
  );
  const heard = await Promise.all(peers.map((peer) => peer.events("room-event", 31 * peers.length)));
  const [first, ...others] = heard.map((events) =>
    events.map(([, { from, i, bytes }]) => [from, i, ...new Uint8Array(Buffer.from(bytes))].join()),
  );
  for (const other of others) assert.deepEqual(other, first);
  for (const from of peers.keys()) {
    const own = first.filter((line) => line.startsWith(`${from},`));
    assert.deepEqual(own, Array.from({ length: 31 }, (_, i) => [from, i, from, i].join()));
  }
});

check("a flood to a room reaches every reader whole and in order", async (t) => {
  const nsp = ownNamespace();
  const peers = await Promise.all(KINDS.map((kind) => connect(t, kind, url, { nsp })));
  await Promise.all(peers.map((peer) => peer.call("join", "flooded")));
  const sender = await connect(t, KINDS[0], url, { nsp });
  assert.deepEqual(await sender.call("flood", "flooded", 200, 10_000), [200]);
  for (const peer of peers) {
    const came = await peer.events("flood", 200, 20_000);
    assert.deepEqual(came.map(([i]) => i), Array.from({ length: 200 }, (_, i) => i));
    assert.ok(came.every(([, filling]) => filling === "x".repeat(10_000)));
    peer.assertNeverDisconnected();
  }
});
