// Engine.IO sessions made by hand: packets as text, over polling by fetch and over WebSocket by ws.

import { WebSocket } from "ws";
import { Inbox, WAIT_MS, within } from "./harness.mjs";

/** What parts the packets of a polling payload. */
export const SEPARATOR = "\u001e";

/** One HTTP request; resolves to its status and text. */
export async function ask(url, options) {
  const { status, body } = await askAll(url, options);
  return { status, body };
}

/** The same with headers. Reads the body: an unread body would keep the connection open, and so this process alive. */
export async function askAll(url, options = {}) {
  const response = await fetch(url, { signal: AbortSignal.timeout(WAIT_MS), ...options });
  return { status: response.status, headers: response.headers, body: await response.text() };
}

/**
 * What was sent before is with the server when this resolves. Connections may overtake each other on
 * a runtime with several threads, though not by that many round trips.
 */
export async function roundTrips(url) {
  for (let i = 0; i < 10; i += 1) await ask(`${url}/debug/audit`);
}

/** A long-polling session. */
export class Polling {
  static async open(url, path = "/engine.io/") {
    const target = `${url}${path}?EIO=4&transport=polling`;
    const { status, body } = await ask(target);
    if (status !== 200) throw new Error(`the handshake was answered with ${status} ${body}`);
    return new Polling(url, path, JSON.parse(body.slice(1)));
  }

  constructor(url, path, handshake) {
    Object.assign(this, { url, path, handshake, sid: handshake.sid });
    this.target = `${url}${path}?EIO=4&transport=polling&sid=${this.sid}`;
  }

  get() {
    return ask(this.target);
  }

  post(...packets) {
    return ask(this.target, { method: "POST", body: packets.join(SEPARATOR) });
  }

  /** Packets of as many polls as it takes to get `count` of them; pings are answered, noops passed over. */
  async packets(count) {
    const packets = [];
    while (packets.length < count) {
      const { status, body } = await this.get();
      if (status !== 200) throw new Error(`a poll was answered with ${status} after ${packets.length} packets`);
      for (const packet of body.split(SEPARATOR)) {
        if (packet === "2") await this.post("3");
        else if (packet !== "6") packets.push(packet);
      }
    }
    return packets;
  }
}

/** A WebSocket that hands over text as strings and binary as Buffers. */
export class Socket {
  #inbox = new Inbox();

  /** Resolves when the WebSocket is open. With `heartbeat`, pings are answered and not handed over. */
  static async open(t, url, path = "/engine.io/", { sid, heartbeat = false } = {}) {
    const target = `${url.replace("http", "ws")}${path}?EIO=4&transport=websocket${sid ? `&sid=${sid}` : ""}`;
    const socket = new Socket(t, target, heartbeat);
    await within(socket.opened, "open WebSocket");
    return socket;
  }

  /** The same past the open packet, which becomes `handshake`. */
  static async session(t, url, path, options) {
    const socket = await Socket.open(t, url, path, options);
    socket.handshake = JSON.parse((await socket.next("open packet")).slice(1));
    return socket;
  }

  constructor(t, target, heartbeat = false) {
    const ws = new WebSocket(target, { perMessageDeflate: false });
    this.ws = ws;
    t.after(() => ws.terminate());
    this.opened = new Promise((resolve, reject) => ws.once("open", resolve).once("error", reject));
    this.opened.catch(() => {});
    ws.on("error", () => {});
    ws.on("message", (data, binary) => {
      const packet = binary ? data : data.toString();
      if (heartbeat && packet === "2") ws.send("3");
      else this.#inbox.push(packet);
    });
    this.ended = new Promise((resolve) =>
      ws.once("close", (code) => {
        this.#inbox.close(`the WebSocket closed with ${code}`);
        resolve(code);
      }),
    );
  }

  send(...packets) {
    for (const packet of packets) this.ws.send(packet);
  }

  next(what = "packet", ms) {
    return this.#inbox.take(what, ms);
  }

  many(count, what = "packets", ms) {
    return this.#inbox.takeMany(count, what, ms);
  }

  /** The close code, once the server has closed. */
  closed(ms) {
    return within(this.ended, "close of the WebSocket", ms);
  }

  get untaken() {
    return this.#inbox.size;
  }
}

/** `count` numbered messages. */
export const messages = (count, from = 0) => Array.from({ length: count }, (_, i) => `4${from + i}`);
