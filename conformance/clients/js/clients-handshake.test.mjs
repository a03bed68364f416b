// What an endpoint may add to the handshake, with the stock client: a cookie for sticky sessions, no upgrades, headers of the
// program, and the client itself.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { runInNewContext } from "node:vm";
import WebSocket from "ws";
import { KINDS, connect } from "./lib/clients.mjs";
import { STEADY, check, serverForFile, within } from "./lib/harness.mjs";

const { url } = await serverForFile({ ...STEADY, COOKIE: 1, UPGRADES: 0 });
const OPEN = `${url}/socket.io/?EIO=4&transport=polling`;

/** One that would upgrade is there when its polling is. */
const join = (t, kind, options) =>
  kind.transport === "upgrade"
    ? connect(t, { ...kind, transport: "polling" }, url, { ...options, transports: ["polling", "websocket"] })
    : connect(t, kind, url, options);

for (const kind of KINDS.filter(({ current }) => current)) {
  check(`a session keeps the transport that it began with (${kind.transport})`, async (t) => {
    const peer = await join(t, kind);
    await peer.event("auth");
    assert.deepEqual(await peer.call("echo", 1), [1]);
    const expected = kind.transport === "websocket" ? "websocket" : "polling";
    // The client would try as soon as it is open; an answer has come since.
    assert.equal(peer.engine.transport.name, expected);
  });

  check(`the client keeps the cookie with its session (${kind.transport})`, async (t) => {
    const peer = await join(t, kind, { withCredentials: true });
    await peer.event("auth");
    assert.deepEqual(await peer.call("echo", 1), [1]);
    const cookies = Object.fromEntries([...(peer.engine._cookieJar?.cookies ?? [])].map(([name, { value }]) => [name, value]));
    // A WebSocket has no other requests that would have to find the server.
    assert.deepEqual(cookies, kind.transport === "websocket" ? {} : { io: peer.engine.id });
  });
}

check("the cookie is on the opening response alone, with engine.io's attributes", async () => {
  const open = await fetch(OPEN);
  const { sid, upgrades } = JSON.parse((await open.text()).slice(1));
  assert.deepEqual(upgrades, []);
  assert.equal(open.headers.get("set-cookie"), `io=${sid}; Path=/; HttpOnly; SameSite=Lax`);
  const post = await fetch(`${OPEN}&sid=${sid}`, { method: "POST", body: "40" });
  assert.deepEqual([post.status, post.headers.get("set-cookie")], [200, null]);
});

check("headers of the program are on the responses of a session, and the initial ones on the first", async () => {
  const open = await fetch(OPEN, { headers: { "x-user": "ada" } });
  assert.equal(open.headers.get("x-initial"), "ada");
  const { sid } = JSON.parse((await open.text()).slice(1));
  const post = await fetch(`${OPEN}&sid=${sid}`, { method: "POST", body: "40" });
  assert.equal(post.headers.get("x-initial"), null);
  assert(Number(post.headers.get("x-response")) > Number(open.headers.get("x-response")));
  const refused = await fetch(`${OPEN}&sid=none`);
  assert.deepEqual([refused.status, refused.headers.get("x-response")], [400, null]);

  const ws = new WebSocket(`${url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`, { headers: { "x-user": "ben" } });
  const [response] = await within(new Promise((resolve) => ws.once("upgrade", (...args) => resolve(args))), "handshake");
  ws.close();
  assert.deepEqual([response.headers["x-initial"], response.headers["set-cookie"]], ["ben", undefined]);
  assert(Number(response.headers["x-response"]) > Number(post.headers.get("x-response")));
});

check("the stock client is served as its package has it, and works", async () => {
  const folder = createRequire(import.meta.url).resolve("socket.io/package.json").replace("package.json", "client-dist/");
  for (const name of ["socket.io.min.js", "socket.io.esm.min.js"]) {
    const response = await fetch(`${url}/socket.io/${name}`);
    assert.match(response.headers.get("content-type"), /^(text|application)\/javascript/);
    assert.equal(await response.text(), readFileSync(folder + name, "utf8"), name);
    const etag = response.headers.get("etag");
    const again = await fetch(`${url}/socket.io/${name}`, { headers: { "if-none-match": etag } });
    assert.deepEqual([again.status, await again.text()], [304, ""]);
  }
  const page = { module: { exports: {} }, exports: {}, setTimeout, clearTimeout, WebSocket: globalThis.WebSocket ?? WebSocket };
  runInNewContext(await (await fetch(`${url}/socket.io/socket.io.js`)).text(), { ...page, self: {} });
  assert.equal(typeof page.module.exports, "function");
});
