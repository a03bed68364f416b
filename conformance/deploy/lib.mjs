// The lines of the documentation, proxies that run with them, and a stand-in for Open WebUI's backend.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, get } from "node:http";
import { connect, createServer as createTcpServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { until, within } from "../wait.mjs";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const read = (path) => readFileSync(join(ROOT, path), "utf8");
const GUIDE = read("docs/openwebui-deploy.md");

/** The one block of a language in the guide. */
export function lines(language) {
  const blocks = [...GUIDE.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "gms"))].map(([, text]) => text);
  assert.equal(blocks.length, 1, `blocks of ${language}`);
  return blocks[0];
}

/** `text` with one place of it, which has to be there, replaced: addresses are a test's own. */
export function put(text, place, replacement) {
  assert(text.includes(place), `${place} in ${text}`);
  return text.replaceAll(place, replacement);
}

export async function freePort() {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A request from a local address of choice: status and body. */
export function ask(url, { from = "127.0.0.1", headers = {} } = {}) {
  return new Promise((resolve, reject) => {
    const request = get(url, { localAddress: from, agent: false, headers }, (answer) => {
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", () => resolve({ status: answer.statusCode, body: Buffer.concat(parts).toString() }));
      answer.on("error", reject);
    });
    request.on("error", reject);
  });
}

/** Says what it was asked for, and is no Socket.IO server: what matters is who is asked. */
export class Backend {
  asked = [];

  static async start(t) {
    const backend = new Backend();
    backend.server = createServer((request, response) => {
      backend.asked.push(request.url);
      response.writeHead(request.url.startsWith("/ws/") ? 503 : 200).end("the backend");
    });
    // An upgrade is seen as well, and refused.
    backend.server.on("upgrade", (request, socket) => {
      backend.asked.push(request.url);
      socket.end("HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n");
    });
    backend.server.listen(0, "127.0.0.1");
    await new Promise((resolve) => backend.server.once("listening", resolve));
    t.after(() => backend.server.closeAllConnections() ?? backend.server.close());
    return backend;
  }

  get address() {
    return `127.0.0.1:${this.server.address().port}`;
  }
}

/** What both proxies share: a process in a folder of its own. */
class Proxy {
  constructor(t, name) {
    this.folder = mkdtempSync(join(tmpdir(), `roomcast-${name}-`));
    this.log = "";
    t.after(async () => {
      this.child?.kill("SIGTERM");
      await this.ended;
      rmSync(this.folder, { recursive: true, force: true });
    });
  }

  async run(command, args, env = {}) {
    this.child = spawn(command, args, { env: { PATH: process.env.PATH, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    for (const pipe of [this.child.stdout, this.child.stderr]) pipe.on("data", (text) => (this.log += text));
    this.ended = new Promise((resolve) => this.child.once("exit", resolve));
    await until(() => isListening(this.port), () => `${command}: ${this.log}`);
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }
}

export class Nginx extends Proxy {
  static async start(t, { roomcast, backend, timeScale }) {
    const proxy = new Nginx(t, "nginx");
    proxy.port = await freePort();
    let text = put(lines("nginx"), "listen 80;", `listen 127.0.0.1:${proxy.port};`);
    text = put(text, "http://roomcast:8080", `http://${roomcast}`);
    proxy.lines = put(text, "http://open-webui:8080", `http://${backend}`);
    if (timeScale) {
      proxy.lines = proxy.lines.replace(/proxy_read_timeout (\d+)s/g, (_, s) => `proxy_read_timeout ${s / timeScale}s`);
    }
    proxy.#write();
    await proxy.run("nginx", ["-p", proxy.folder, "-c", "nginx.conf"]);
    return proxy;
  }

  /** The way back, as the guide tells it. */
  async goBack() {
    const location = /^    location \/ws\/.*?^    \}\n/gms;
    assert.equal(this.lines.match(location).length, 2);
    this.lines = this.lines.replace(location, "");
    this.#write();
    this.child.kill("SIGHUP");
  }

  #write() {
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
      .map((name) => `${name}_temp_path ${name};`)
      .join(" ");
    writeFileSync(
      join(this.folder, "nginx.conf"),
      `daemon off; pid nginx.pid; error_log stderr notice; worker_processes 1; ${asRoot()}
events { worker_connections 256; }
http { access_log off; ${temporary}
${this.lines}}
`,
    );
  }
}

export class Caddy extends Proxy {
  static async start(t, { roomcast, backend }) {
    const proxy = new Caddy(t, "caddy");
    proxy.port = await freePort();
    proxy.admin = await freePort();
    let text = put(lines("caddy"), "chat.example.org", `http://127.0.0.1:${proxy.port}`);
    text = put(text, "roomcast:8080", roomcast);
    proxy.lines = put(text, "open-webui:8080", backend);
    proxy.#write();
    await proxy.run("caddy", ["run", ...proxy.#config], proxy.#env);
    return proxy;
  }

  async goBack() {
    const handle = /^\thandle @roomcast \{.*?^\t\}\n/ms;
    assert.match(this.lines, handle);
    this.lines = this.lines.replace(handle, "");
    this.#write();
    const { PATH } = process.env;
    execFileSync("caddy", ["reload", ...this.#config], { env: { PATH, ...this.#env }, stdio: "pipe" });
  }

  get #env() {
    return { HOME: this.folder, XDG_CONFIG_HOME: this.folder, XDG_DATA_HOME: this.folder };
  }

  get #config() {
    return ["--adapter", "caddyfile", "--config", join(this.folder, "Caddyfile")];
  }

  #write() {
    mkdirSync(this.folder, { recursive: true });
    const options = `{\n\tadmin 127.0.0.1:${this.admin}\n}\n`;
    writeFileSync(join(this.folder, "Caddyfile"), options + this.lines);
  }
}

/** nginx started by root would run its workers as a user that cannot read the folder. */
function asRoot() {
  return process.getuid() === 0 ? "user root;" : "";
}

async function isListening(port) {
  const socket = connect(port, "127.0.0.1");
  const listening = await within(
    new Promise((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", () => resolve(false));
    }),
    "connection",
  );
  socket.destroy();
  return listening;
}
