// The server side of `@socket.io/admin-ui` 0.5.1, with a stock client that says what the dashboard says.

import assert from "node:assert/strict";
import { KINDS, connect } from "./lib/clients.mjs";
import { Inbox, STEADY, check, ownNamespace, serverForFile, until, within } from "./lib/harness.mjs";

const PASSWORD = "the-password-of-the-dashboard";
// bcrypt, of four rounds only.
const ADMIN = "$2a$04$ImDh7vLB7s2FLZXD5cx2IuOCe5CXguUzxqTBwgl9L4vY8WquMrXzW";
const { url } = await serverForFile({ ...STEADY, ADMIN });

const [kind] = KINDS.filter(({ current }) => current);
const ALL = ["EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT", "AGGREGATED_EVENTS", "ALL_EVENTS"];

/** A dashboard, with inboxes by event. */
async function dashboard(t, auth) {
  const socket = kind.io.io(`${url}/admin`, { path: "/socket.io", transports: ["websocket"], reconnection: false, forceNew: true, auth });
  t.after(() => socket.disconnect());
  const inboxes = new Map();
  const of = (name) => inboxes.get(name) ?? inboxes.set(name, new Inbox()).get(name);
  socket.onAny((name, ...args) => of(name).push(args));
  await within(new Promise((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("connect_error", reject);
  }), "dashboard");
  /** The next event of a name that has this in it. */
  const next = async (name, has) => {
    for (;;) {
      const args = await of(name).take(name);
      if (JSON.stringify(args).includes(has)) return args;
    }
  };
  return { socket, next, emit: (...args) => socket.emit(...args) };
}

check("only who has the password or a session comes in", async (t) => {
  const known = { username: "ada", password: PASSWORD };
  for (const auth of [{}, { ...known, password: undefined }, { ...known, password: "wrong" }, { ...known, username: "ben" }, { sessionId: "1" }]) {
    await assert.rejects(dashboard(t, auth), /invalid credentials/);
  }
  const first = await dashboard(t, known);
  const [sessionId] = await first.next("session", "");
  const again = await dashboard(t, { sessionId });
  assert.deepEqual(await again.next("config", ""), [{ supportedFeatures: ALL }]);
});

check("it sees sockets and rooms come and go, and makes them", async (t) => {
  const nsp = ownNamespace();
  const early = await connect(t, kind, url, { nsp });
  const admin = await dashboard(t, { username: "ada", password: PASSWORD });
  const [sockets] = await admin.next("all_sockets", "");
  const seen = sockets.find(({ id }) => id === early.id);
  assert.deepEqual([seen.nsp, seen.rooms, seen.transport, seen.data], [nsp, [early.id], early.engine.transport.name, {}]);
  assert.equal(seen.clientId, early.engine.id.slice(0, 12));
  assert.deepEqual([seen.handshake.query.EIO, seen.handshake.address], ["4", "127.0.0.1"]);

  const late = await connect(t, { ...kind, transport: "polling" }, url, { nsp, extraHeaders: { cookie: "a=secret" } });
  const [connected, date] = await admin.next("socket_connected", late.id);
  assert.deepEqual([connected.nsp, connected.transport, connected.handshake.headers.cookie], [nsp, "polling", undefined]);
  assert(Math.abs(Date.now() - Date.parse(date)) < 60_000, date);
  await late.call("join", "hall");
  assert.deepEqual((await admin.next("room_joined", late.id)).slice(0, 3), [nsp, "hall", late.id]);

  // What a dashboard does: to a room, to a socket, to all.
  admin.emit("emit", nsp, "hall", "news", "dinner", { at: 7 });
  assert.deepEqual(await late.event("news"), ["dinner", { at: 7 }]);
  admin.emit("join", nsp, "attic", early.id);
  assert.deepEqual((await admin.next("room_joined", early.id)).slice(0, 3), [nsp, "attic", early.id]);
  admin.emit("emit", nsp, "attic", "news", 1);
  assert.deepEqual(await early.event("news"), [1]);
  admin.emit("emit", nsp, undefined, "news", 2);
  assert.deepEqual([await early.event("news"), await late.event("news")], [[2], [2]]);
  admin.emit("leave", nsp, "attic", undefined);
  assert.deepEqual((await admin.next("room_left", early.id)).slice(0, 3), [nsp, "attic", early.id]);
  const { id } = late;
  admin.emit("_disconnect", nsp, false, id);
  assert.deepEqual((await admin.next("socket_disconnected", id)).slice(0, 2), [nsp, id]);
  assert.equal(late.untaken("news"), 0);

  const stats = await until(async () => {
    const [stats] = await admin.next("server_stats", "");
    return stats.namespaces.some(({ name, socketsCount }) => name === nsp && socketsCount === 1) && stats;
  }, "figures");
  assert(stats.clientsCount >= 2 && stats.pid > 0 && stats.uptime >= 0, JSON.stringify(stats));
  assert(stats.namespaces.some(({ name }) => name === "/admin"));
});
