// Real socket.io-client versions, each over each transport, behind one small face.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { describe } from "node:test";
import { Inbox, within } from "./harness.mjs";

const require = createRequire(import.meta.url);
const library = (alias) => ({ io: require(alias), version: require(`${alias}/package.json`).version });

const [current, early4, late3] = ["socket.io-client", "socket.io-client-4.0", "socket.io-client-3"].map(library);
/** Speaks Engine.IO 3, which is refused. */
export const refused2 = library("socket.io-client-2");

const TRANSPORTS = {
  websocket: { transports: ["websocket"] },
  polling: { transports: ["polling"] },
  upgrade: { transports: ["polling", "websocket"] },
};

/** Every pairing of version and transport; `short` keeps each version and each transport once. */
export const KINDS =
  process.env.ROOMCAST_MATRIX === "short"
    ? [kind(current, "websocket"), kind(early4, "polling"), kind(late3, "upgrade")]
    : [current, early4, late3].flatMap((version) => Object.keys(TRANSPORTS).map((name) => kind(version, name)));

function kind({ io, version }, transport) {
  return { io, version, transport, current: version === current.version };
}

/** Runs `suite` once per kind of client. */
export function eachKind(suite) {
  for (const kind of KINDS) describe(`socket.io-client ${kind.version} over ${kind.transport}`, () => suite(kind));
}

/** One socket of a real client. All that it receives waits in inboxes, by event name. */
export class Peer {
  #events = new Map();
  #attempts = new Inbox();
  #disconnects = new Inbox();

  /** `options` are those of the library, and `nsp`, or `beside`: a peer whose connection is shared. */
  constructor(t, { io, transport }, url, { nsp = "/", beside, auth, ...options } = {}) {
    this.transport = transport;
    this.manager =
      beside?.manager ??
      new io.Manager(url, { path: "/socket.io", reconnection: false, ...TRANSPORTS[transport], ...options });
    this.upgraded = new Promise((resolve) => this.manager.engine.once("upgrade", resolve));
    this.socket = this.manager.socket(nsp, { auth });
    this.socket.onAny((event, ...args) => this.#inbox(event).push(args));
    this.socket.on("connect", () => this.#attempts.push({ id: this.socket.id }));
    this.socket.on("connect_error", (error) => this.#attempts.push({ error }));
    this.socket.on("disconnect", (reason) => this.#disconnects.push(reason));
    t.after(() => this.socket.disconnect());
  }

  /** Resolves when the namespace is joined and, where one is due, the upgrade is over. */
  async ready() {
    await this.connected();
    if (this.transport === "upgrade" && this.engine.transport.name !== "websocket") {
      await within(this.upgraded, "upgrade to WebSocket");
    }
    return this;
  }

  /** The socket id of the next connection. Attempts that fail before are passed over if `retried`. */
  async connected({ retried = false } = {}) {
    const { id, error } = await this.#attempts.take("connect");
    if (error && retried) return this.connected({ retried });
    if (error) throw error;
    return id;
  }

  /** The error of the next attempt to connect, which must fail. */
  async refused() {
    const { id, error } = await this.#attempts.take("connect_error");
    assert.equal(id, undefined, "connected, although it must be refused");
    return error;
  }

  /** The reason of the next disconnect. */
  disconnected(ms) {
    return this.#disconnects.take("disconnect", ms);
  }

  /** Disconnects, and waits for the end of its connection: early versions lose a connect before that. */
  async leave() {
    const closed = new Promise((resolve) => this.engine.once("close", resolve));
    this.socket.disconnect();
    assert.equal(await this.disconnected(), "io client disconnect");
    await within(closed, "close of the connection");
  }

  /** Fails if this socket was disconnected. */
  assertNeverDisconnected() {
    assert.equal(this.#disconnects.size, 0, "was disconnected");
  }

  /** The arguments of the next event of this name. */
  event(name, ms) {
    return this.#inbox(name).take(`event "${name}"`, ms);
  }

  events(name, count, ms) {
    return this.#inbox(name).takeMany(count, `event "${name}"`, ms);
  }

  /** How many events of this name came and were not taken. */
  untaken(name) {
    return this.#inbox(name).size;
  }

  emit(...args) {
    this.socket.emit(...args);
  }

  /** Emits, and gives the arguments of the acknowledgement. */
  call(event, ...args) {
    const acked = new Promise((resolve) => this.socket.emit(event, ...args, (...answer) => resolve(answer)));
    return within(acked, `ack of "${event}"`);
  }

  get engine() {
    return this.manager.engine;
  }

  get id() {
    return this.socket.id;
  }

  #inbox(name) {
    if (!this.#events.has(name)) this.#events.set(name, new Inbox());
    return this.#events.get(name);
  }
}

/** A peer that is connected. */
export const connect = (t, kind, url, options) => new Peer(t, kind, url, options).ready();
