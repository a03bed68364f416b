// Namespaces of real clients: who gets in, who is refused with what, and that they are apart.

import assert from "node:assert/strict";
import { KINDS, Peer, connect, eachKind } from "./lib/clients.mjs";
import { check, ownNamespace, sharedServer } from "./lib/harness.mjs";
import { accepted, bad, good, seconds } from "./lib/jwt.mjs";

const { url } = await sharedServer();

eachKind((kind) => {
  const open = (t, options) => connect(t, kind, url, options);
  const refusal = (t, options) => new Peer(t, kind, url, options).refused();

  check("/custom and /dyn-7 are open, and know their own name", async (t) => {
    for (const nsp of ["/custom", "/dyn-7"]) {
      const peer = await open(t, { nsp, auth: { token: "abc" } });
      assert.deepEqual(await peer.event("auth"), [{ token: "abc" }]);
      const [who] = await peer.call("whoami");
      assert.deepEqual([who.nsp, who.sid], [nsp, peer.id]);
    }
  });

  check("an unknown namespace is refused with its message", async (t) => {
    for (const nsp of ["/random", "/dyn-", "/dyn-x", "/dyn-7/", "/custom/"]) {
      assert.equal((await refusal(t, { nsp })).message, "Invalid namespace");
    }
  });

  check("/deny is refused with message and data", async (t) => {
    const error = await refusal(t, { nsp: "/deny" });
    assert.equal(error.message, "not authorized");
    assert.deepEqual(error.data, { code: "E_AUTH" });
  });

  check("a refused namespace leaves the others of its connection alone", async (t) => {
    const peer = await open(t, { nsp: "/custom" });
    for (const nsp of ["/random", "/deny", "/jwt"]) await new Peer(t, kind, url, { nsp, beside: peer }).refused();
    assert.deepEqual(await peer.call("echo", 1), [1]);
    peer.assertNeverDisconnected();
  });

  check("namespaces share a connection, and neither events nor ids nor rooms", async (t) => {
    const main = await open(t);
    const custom = await open(t, { nsp: "/custom", beside: main });
    assert.equal(main.engine, custom.engine);
    assert.equal(new Set([main.id, custom.id, main.engine.id]).size, 3);

    main.emit("message", "for main");
    custom.emit("message", "for custom");
    assert.deepEqual(await main.event("message-back"), ["for main"]);
    assert.deepEqual(await custom.event("message-back"), ["for custom"]);

    const room = `room of ${main.id}`;
    await main.call("join", room);
    assert.deepEqual(await custom.call("room-cast", room, 1), ["denied"]);
    await custom.call("join", room);
    assert.deepEqual(await custom.call("room-cast", room, 1), ["sent"]);
    assert.deepEqual(await custom.event("room-event"), [room, 1]);
    await main.call("echo", 1);
    assert.equal(main.untaken("room-event"), 0);
  });

  check("leaving one namespace leaves the other, and one can come back", async (t) => {
    const main = await open(t);
    const custom = await open(t, { nsp: "/custom", beside: main });
    const before = custom.id;
    custom.socket.disconnect();
    assert.equal(await custom.disconnected(), "io client disconnect");
    assert.deepEqual(await main.call("echo", 1), [1]);
    custom.socket.connect();
    assert.notEqual(await custom.connected(), before);
    assert.deepEqual(await custom.call("echo", 2), [2]);
    main.assertNeverDisconnected();
  });

  check("/jwt lets a good token in and names its subject", async (t) => {
    const peer = await open(t, { nsp: "/jwt", auth: { token: good() } });
    assert.deepEqual(await peer.event("auth"), [{ sub: "ada" }]);
    assert.deepEqual(await peer.call("echo", 1), [1]);
  });

  check("/jwt refuses without a good token", async (t) => {
    const auths = [undefined, {}, { token: bad["another secret"]() }, { token: bad["exp past"]() }];
    for (const auth of auths) {
      const error = await refusal(t, { nsp: "/jwt", auth });
      assert.equal(error.message, "unauthorized");
    }
  });
});

check("when a token ends, its socket leaves /jwt and nothing else", async (t) => {
  const outlive = async (kind) => {
    const main = await connect(t, kind, url, { nsp: ownNamespace() });
    const auth = { token: good({ exp: seconds() + 2 }) };
    const guarded = await connect(t, kind, url, { nsp: "/jwt", beside: main, auth });
    assert.deepEqual(await guarded.call("echo", 1), [1]);
    assert.equal(await guarded.disconnected(), "io server disconnect");
    assert.deepEqual(await main.call("echo", 2), [2]);
    main.assertNeverDisconnected();
  };
  await Promise.all(KINDS.map(outlive));
});

// How a token travels is the same for every client; what it says needs one.
eachKind((kind) => {
  if (!kind.current || kind.transport !== "websocket") return;

  for (const [name, make] of Object.entries(bad)) {
    check(`/jwt refuses: ${name}`, async (t) => {
      const token = make();
      const refused = new Peer(t, kind, url, { nsp: "/jwt", auth: { token }, query: { token: good() } });
      assert.equal((await refused.refused()).message, "unauthorized");
    });
  }

  for (const [name, make] of Object.entries(accepted)) {
    check(`/jwt accepts: ${name}`, async (t) => {
      const peer = await connect(t, kind, url, { nsp: "/jwt", auth: { token: make() } });
      assert.deepEqual(await peer.event("auth"), [{ sub: "ada" }]);
    });
  }

  for (const nsp of ["/jwt/", "/JWT", "//jwt", "/jwt%2f", "/jwt\u0000", "/./jwt"]) {
    check(`a look-alike of /jwt is no namespace: ${JSON.stringify(nsp)}`, async (t) => {
      const refused = new Peer(t, kind, url, { nsp, auth: { token: good() } });
      assert.equal((await refused.refused()).message, "Invalid namespace");
    });
  }
});
