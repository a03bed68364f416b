// The program behind nginx and behind Caddy, with the lines of docs/openwebui-deploy.md.

import assert from "node:assert/strict";
import { get } from "node:http";
import { describe, test } from "node:test";

import { Browser } from "../editors/lib/browser.mjs";
import { Program, token } from "../editors/lib/program.mjs";
import { Peer } from "../editors/lib/provider.mjs";
import { until, within } from "../wait.mjs";
import { Backend, Caddy, Nginx, ask, lines, read } from "./lib.mjs";

const POLLING = "/ws/socket.io/?EIO=4&transport=polling";

test("the files of deploy/ are the lines of the guide", () => {
  assert.equal(read("deploy/nginx.conf"), lines("nginx"));
  assert.equal(read("deploy/Caddyfile"), lines("caddy"));
});

for (const Proxy of [Nginx, Caddy]) describe(Proxy.name, { concurrency: true }, () => suite(Proxy));

function suite(Proxy) {
  test("polling, upgrade, WebSocket and y-websocket edit one note; nothing else of the program is public", async (t) => {
    const { program, backend, proxy, member } = await start(t, Proxy);
    const [polling, upgraded, websocket] = [
      await Browser.open(t, member("ann", { transports: ["polling"] })),
      await Browser.open(t, member("bob", { transports: ["polling", "websocket"] })),
      await Browser.open(t, member("ann", { transports: ["websocket"] })),
    ];
    const transport = (browser) => browser.socket.io.engine.transport.name;
    await until(() => transport(upgraded) === "websocket", "upgrade");
    assert.deepEqual([transport(polling), transport(websocket)], ["polling", "websocket"]);
    const peer = await Peer.open(t, member("bob"));
    const editors = [polling, upgraded, websocket, peer];
    for (const [index, editor] of editors.entries()) {
      editor.type(`word${index} `);
      await until(() => editors.every(({ text }) => text.includes(`word${index}`)), () => `word of ${editor.name}`);
    }
    for (const path of ["/", "/api/usage", "/metrics", "/health", "/ready", "/api/v1/chats"]) {
      const { body } = await ask(proxy.url + path);
      assert.equal(body, "the backend", path);
    }
    assert(!backend.asked.some((path) => path.startsWith("/ws/")), backend.asked);
    assert.equal((await ask(`${program.url}/health`)).status, 200);
  });

  test("connections outlast the read timeout of the proxy, for the pings", async (t) => {
    // In a fortieth of the time: 3 s instead of 120 s, a ping each second instead of every 25 s (rounded up).
    const { member } = await start(t, Proxy, { env: { WEBSOCKET_SERVER_PING_INTERVAL: "1" }, timeScale: 40 });
    const both = [
      await Browser.open(t, member("ann", { transports: ["polling"] })),
      await Browser.open(t, member("bob", { transports: ["websocket"] })),
    ];
    await Promise.all(both.map(async ({ socket }) => {
      const { id } = socket;
      let pings = 0;
      socket.io.on("ping", () => (pings += 1));
      await until(() => pings === 5, () => `pings: ${pings}`);
      assert.equal(socket.id, id);
    }));
  });

  test("it drains, restarts, and clients come back through the proxy", async (t) => {
    const { program, proxy, member } = await start(t, Proxy, { flags: ["--drain-seconds", "1"] });
    const browser = await Browser.open(t, member("ann"));
    browser.type("before ");
    const { id } = browser.socket;
    program.child.kill("SIGTERM");
    await until(async () => (await ask(`${program.url}/ready`)).status === 503, "drain");
    // Served on meanwhile, also those who come now.
    assert.match((await ask(proxy.url + POLLING)).body, /^0\{/);
    assert.equal(browser.socket.id, id);
    assert.equal(await within(program.ended, "end"), 0, program.log.join("\n"));
    assert.equal((await ask(proxy.url + POLLING)).status, 502);
    await program.run();
    await until(() => browser.isConnected && browser.socket.id !== id, "return");
    const peer = await Peer.open(t, member("bob"));
    await until(() => peer.text.includes("before"), "text from before");
  });

  test("addresses of clients count, and cannot be made up", async (t) => {
    const env = { ROOMCAST_TRUSTED_PROXIES: "127.0.0.1", ROOMCAST_CONNECTIONS_PER_ADDRESS_MAX: "2" };
    const { proxy } = await start(t, Proxy, { env });
    const open = (from, headers) => ask(proxy.url + POLLING, { from, headers });
    let isOver = false;
    t.after(() => (isOver = true));
    const wait = (sid) => {
      const request = get(`${proxy.url}${POLLING}&sid=${sid}`, { localAddress: "127.0.0.2", agent: false }, (answer) => {
        answer.resume();
        // One of the requests below was there first.
        if (answer.statusCode === 429 && !isOver) wait(sid);
      });
      request.on("error", () => {});
      t.after(() => request.destroy());
    };
    // Two polls that wait are two connections of one client.
    for (let waiting = 0; waiting < 2; waiting += 1) {
      wait(/"sid":"([^"]+)"/.exec((await open("127.0.0.2")).body)[1]);
    }
    await until(async () => (await open("127.0.0.2")).status === 429, "refusal");
    assert.equal((await open("127.0.0.2", { "x-forwarded-for": "192.0.2.7" })).status, 429);
    assert.equal((await open("127.0.0.3")).status, 200);
  });

  test("the way back leads every client to the backend", async (t) => {
    const { program, backend, proxy, member } = await start(t, Proxy);
    const [polling, websocket] = [
      await Browser.open(t, member("ann", { transports: ["polling"] })),
      await Browser.open(t, member("bob", { transports: ["websocket"] })),
    ];
    await proxy.goBack();
    await until(async () => (await ask(proxy.url + POLLING)).body === "the backend", "the backend's answer");
    await program.stop();
    for (const transport of ["polling", "websocket"]) {
      const seen = (path) => path.startsWith("/ws/socket.io/") && path.includes(`transport=${transport}`);
      const before = backend.asked.filter(seen).length;
      await until(() => backend.asked.filter(seen).length > before, () => `${transport} at the backend`);
    }
    assert(!polling.isConnected && !websocket.isConnected);
  });
}

async function start(t, Proxy, { flags = [], env = {}, timeScale } = {}) {
  const program = await Program.start(t, "webui", flags, env);
  const backend = await Backend.start(t);
  const proxy = await Proxy.start(t, { roomcast: new URL(program.url).host, backend: backend.address, timeScale });
  const member = (user, more = {}) => ({ url: proxy.url, token: token({ id: user }), user, id: "note:blank", ...more });
  return { program, backend, proxy, member };
}
