// Two users and more at the program `roomcast`, with the library that Open WebUI's front end is built on.

import assert from "node:assert/strict";
import { describe } from "node:test";
import { eventually, startApp, tokenOf } from "./lib/app.mjs";
import { KINDS } from "./lib/clients.mjs";
import { check } from "./lib/harness.mjs";
import { seconds } from "./lib/jwt.mjs";

const TYPING = { type: "typing", data: { typing: true } };
const BOB = { id: "bob", name: "Bob", role: "user" };
const RECONNECTING = { reconnection: true, reconnectionDelay: 20, reconnectionDelayMax: 100 };

for (const kind of KINDS.filter(({ current }) => current)) {
  describe(`socket.io-client ${kind.version} over ${kind.transport}`, () => suite(kind));
}

function suite(kind) {
  check("typing is seen by the other; it comes back with the name of who types, for the front end to leave out", async (t) => {
    const app = await startApp(t);
    const [alice, bob] = [await app.join(t, kind, "alice"), await app.join(t, kind, "bob")];
    bob.typing("town", true);
    const told = { channel_id: "town", message_id: null, data: TYPING, user: BOB };
    assert.deepEqual(await alice.event("events:channel"), [told]);
    assert.deepEqual(await bob.event("events:channel"), [told]);
    // Key by key: the first, and the last when its time has come.
    for (const typing of [true, true, false]) bob.typing("town", typing);
    assert.deepEqual(await alice.event("events:channel"), [
      { ...told, data: { type: "typing", data: { typing: false } } },
    ]);
  });

  check("a channel's messages reach its members, also those of another process", async (t) => {
    const app = await startApp(t);
    const [alice, bob, carol] = await Promise.all(["alice", "bob", "carol"].map((user) => app.join(t, kind, user)));
    const message = (channel) => ({
      channel_id: channel,
      message_id: "m",
      data: { type: "message", data: { id: "m", temp_id: "t", content: "Grüße \u{1f600}", created_at: 1 } },
      user: BOB,
    });
    await app.emit({ room: "channel:pair" }, "events:channel", message("pair"));
    await app.emit({ room: "channel:town" }, "events:channel", message("town"));
    for (const member of [alice, bob]) {
      assert.deepEqual(await member.events("events:channel", 2), [[message("pair")], [message("town")]]);
    }
    assert.deepEqual(await carol.event("events:channel"), [message("town")]);
    // A channel that is made while its user is there.
    app.sql("INSERT INTO channel_member (id, channel_id, user_id, joined_at) VALUES ('9', 'team', 'carol', 1)");
    await app.emit({ user: "carol" }, "events:channel", { data: { type: "channel:created" } });
    await app.settled();
    await app.emit({ room: "channel:team" }, "events:channel", message("team"));
    assert.deepEqual(await carol.events("events:channel", 2), [
      [{ data: { type: "channel:created" } }],
      [message("team")],
    ]);
  });

  check("a call is answered by the acknowledgement, or by why there is none", async (t) => {
    const app = await startApp(t);
    const alice = await app.join(t, kind, "alice");
    let asked = 0;
    const answers = [(answer) => answer(true), (answer) => answer({ a: [1, null] }), () => {}];
    alice.socket.on("events", (_data, answer) => answers[asked++]?.(answer));
    const data = { chat_id: "talk", message_id: "m1", data: { type: "confirmation", data: { title: "Sure?" } } };
    const call = (session, more) => app.api("call", { to: { session, user: "alice" }, event: "events", data, ...more });
    assert.deepEqual(await call(alice.id), [200, { data: [true] }]);
    assert.deepEqual(await call(alice.id), [200, { data: [{ a: [1, null] }] }]);
    assert.equal((await call(alice.id, { timeout_ms: 50 }))[0], 504);
    assert.equal((await call(alice.id, { to: { session: alice.id, user: "bob" } }))[0], 403);
    assert.equal(asked, 3);
    // One that leaves while it is asked ends the call, long before its time.
    alice.socket.once("events", () => alice.socket.disconnect());
    assert.equal((await call(alice.id, { timeout_ms: 60_000 }))[0], 404);
    assert.equal((await call("nobody"))[0], 404);
  });

  check("users without the right neither send nor receive", async (t) => {
    const app = await startApp(t);
    const [alice, bob, carol] = await Promise.all(["alice", "bob", "carol"].map((user) => app.join(t, kind, user)));
    const stranger = await app.connect(t, kind);
    // Carol is no member; the connection `stranger` has no session.
    carol.typing("pair", true);
    stranger.typing("town", true);
    await carol.fence();
    await stranger.fence();
    for (const [browser, note] of [[bob, "diary"], [bob, "minutes"], [carol, "minutes"], [alice, "diary"]]) {
      assert.deepEqual(await browser.call("join-note", { note_id: note, auth: {} }), []);
    }
    // The token of another user grants no rights.
    assert.deepEqual(await carol.call("join-note", { note_id: "minutes", auth: { token: tokenOf("bob") } }), []);
    for (const note of ["diary", "minutes"]) await app.emit({ room: `note:${note}` }, "note-events", { id: note });
    assert.deepEqual(await alice.event("note-events"), [{ id: "diary" }]);
    assert.deepEqual(await bob.event("note-events"), [{ id: "minutes" }]);
    for (const browser of [alice, bob, carol, stranger]) {
      await browser.heardNothing("note-events");
      await browser.heardNothing("events:channel");
    }
  });

  check("revocation ends the session: the socket stays, without a user", async (t) => {
    const app = await startApp(t);
    const [alice, bob] = [await app.join(t, kind, "alice"), await app.join(t, kind, "bob")];
    assert.deepEqual(await app.api("revoke", { jti: "of-bob" }), [200, { sockets: 1 }]);
    await app.settled();
    await app.emit({ user: "bob" }, "events", { n: 1 });
    await app.emit({ room: "channel:town" }, "events:channel", { n: 2 });
    bob.typing("town", true);
    await bob.heardNothing("events");
    await bob.heardNothing("events:channel");
    assert.deepEqual(await alice.event("events:channel"), [{ n: 2 }]);
    await alice.heardNothing("events:channel");
    // The token is good for nothing any more; another is.
    assert.deepEqual(await bob.call("user-join", { auth: { token: tokenOf("bob") } }), []);
    const fresh = tokenOf("bob", { jti: "another" });
    assert.deepEqual(await bob.call("user-join", { auth: { token: fresh } }), [{ id: "bob", name: "Bob" }]);
    bob.assertNeverDisconnected();
    // All of a user's, everywhere.
    assert.deepEqual(await app.api("revoke", { user: "bob" }), [200, { sockets: 1 }]);
    assert.deepEqual(await bob.call("user-join", { auth: { token: fresh } }), []);
    const later = tokenOf("bob", { jti: "another", iat: seconds() + 2 });
    await eventually("a session by a token that was issued later", async () => {
      const [known] = await bob.call("user-join", { auth: { token: later } });
      return known?.id === "bob";
    });
  });

  check("where only sessions are let in, a revoked token and none are refused", async (t) => {
    const app = await startApp(t, "--entry", "authenticated");
    const bob = await app.connect(t, kind, tokenOf("bob"));
    await app.api("revoke", { jti: "of-bob" });
    assert.equal(await bob.disconnected(), "io server disconnect");
    for (const token of [undefined, tokenOf("bob"), tokenOf("pat"), "none"]) {
      await assert.rejects(app.connect(t, kind, token), { message: "Not authenticated" });
    }
  });

  check("a role and a permission that change reach who is there", async (t) => {
    const app = await startApp(t);
    const [alice, bob] = [await app.join(t, kind, "alice"), await app.join(t, kind, "bob")];
    await bob.call("join-note", { note_id: "minutes", auth: {} });
    app.sql(`
      UPDATE note SET access_control = '{}' WHERE id = 'minutes';
      DELETE FROM group_member WHERE user_id = 'bob';
      UPDATE "user" SET name = 'Robert', role = 'admin' WHERE id = 'bob';
    `);
    assert.deepEqual(await app.api("refresh", { user: "bob" }), [200, { sockets: 1 }]);
    await app.settled();
    // No more of the group's channel; but an admin sees every note.
    await app.emit({ room: "channel:deck" }, "events:channel", { n: 1 });
    await app.emit({ room: "note:minutes" }, "note-events", { n: 2 });
    assert.deepEqual(await bob.event("note-events"), [{ n: 2 }]);
    await bob.heardNothing("events:channel");
    assert.deepEqual(await alice.event("events:channel"), [{ n: 1 }]);
    bob.typing("town", true);
    assert.deepEqual((await alice.event("events:channel"))[0].user, { id: "bob", name: "Robert", role: "admin" });
    app.sql(`UPDATE "user" SET role = 'pending' WHERE id = 'bob'`);
    await app.api("refresh", { user: "bob" });
    await app.settled();
    await app.emit({ room: "note:minutes" }, "note-events", { n: 3 });
    await app.emit({ user: "bob" }, "events", { n: 4 });
    await bob.heardNothing("note-events");
    await bob.heardNothing("events");
    bob.assertNeverDisconnected();
  });

  check("a token that ends takes session and rooms along, and the socket stays", async (t) => {
    const app = await startApp(t);
    const bob = await app.connect(t, kind);
    const brief = tokenOf("bob", { exp: seconds() + 2 });
    assert.deepEqual(await bob.call("user-join", { auth: { token: brief } }), [{ id: "bob", name: "Bob" }]);
    await app.emit({ user: "bob" }, "events", { n: 1 });
    assert.deepEqual(await bob.event("events"), [{ n: 1 }]);
    await eventually("the end of the token", async () => {
      await app.emit({ user: "bob" }, "events", {});
      await app.emit({ room: "channel:town" }, "events:channel", {});
      await bob.fence();
      const heard = bob.untaken("events") + bob.untaken("events:channel");
      await bob.events("events", bob.untaken("events"));
      await bob.events("events:channel", bob.untaken("events:channel"));
      return heard === 0;
    });
    bob.assertNeverDisconnected();
    assert.deepEqual(await bob.call("user-join", { auth: { token: brief } }), []);
    const next = tokenOf("bob", { exp: seconds() + 3600 });
    assert.deepEqual(await bob.call("user-join", { auth: { token: next } }), [{ id: "bob", name: "Bob" }]);
    await app.emit({ user: "bob" }, "events", { n: 2 });
    assert.deepEqual(await bob.event("events"), [{ n: 2 }]);
  });

  check("a restart: clients come back by themselves, and are who they were once they say so", async (t) => {
    const app = await startApp(t);
    const [alice, bob] = await Promise.all(["alice", "bob"].map((user) => app.join(t, kind, user, RECONNECTING)));
    const before = [alice.id, bob.id];
    await app.api("revoke", { jti: "of-carol" });
    await app.end();
    await app.start();
    for (const [browser, user] of [[alice, "alice"], [bob, "bob"]]) {
      assert.equal(await browser.disconnected(), "transport close");
      assert(!before.includes(await browser.connected({ retried: true })));
      const [known] = await browser.call("user-join", { auth: { token: tokenOf(user) } });
      assert.equal(known.id, user);
    }
    bob.typing("town", true);
    assert.deepEqual((await alice.event("events:channel"))[0].user, BOB);
    // What was revoked is.
    const carol = await app.connect(t, kind);
    assert.deepEqual(await carol.call("user-join", { auth: { token: tokenOf("carol") } }), []);
  });
}
