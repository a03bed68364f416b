// Bytes on a TCP connection: HTTP/1.1 responses and WebSocket frames, read and written without help
// from any library, so that a test can say what no library would.

import { createHash, randomBytes } from "node:crypto";
import { connect } from "node:net";
import { within } from "./harness.mjs";

/** Some tests write 64 MiB. */
const WRITE_MS = 30_000;

/** A TCP connection on which a test writes any bytes. */
export class Line {
  #chunks = [];
  #size = 0;
  #ended = false;
  #wake = () => {};

  static async open(t, url) {
    const { hostname, port } = new URL(url);
    const socket = connect({ host: hostname, port, noDelay: true });
    t.after(() => socket.destroy());
    await within(new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject)), "TCP connection");
    return new Line(socket);
  }

  constructor(socket) {
    this.socket = socket;
    socket.on("data", (bytes) => {
      this.#chunks.push(bytes);
      this.#size += bytes.length;
      this.#wake();
    });
    const end = () => {
      this.#ended = true;
      this.#wake();
    };
    // A reset is as good an end as any other.
    socket.on("error", end).on("end", end).on("close", end);
  }

  /** Resolves when the bytes are with the operating system, or can go nowhere any more. */
  write(bytes) {
    const taken = new Promise((resolve) => this.socket.write(bytes, () => resolve()));
    const done = within(taken, "room for what is written", WRITE_MS);
    // Who does not wait for it waits for an answer instead.
    done.catch(() => {});
    return done;
  }

  get ended() {
    return this.#ended;
  }

  get received() {
    return this.#size;
  }

  /** Exactly `count` bytes. */
  async take(count, what, ms) {
    await this.#until(() => this.#size >= count, what, ms);
    const all = Buffer.concat(this.#chunks);
    this.#replace(all.subarray(count));
    return all.subarray(0, count);
  }

  /** One HTTP response; `body` is text. */
  async response(what = "HTTP response", ms) {
    let end = -1;
    await this.#until(() => (end = this.#peek().indexOf("\r\n\r\n")) >= 0, what, ms);
    const [statusLine, ...lines] = (await this.take(end + 4, what)).toString("latin1").trimEnd().split("\r\n");
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(statusLine)?.[1]);
    const headers = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]));
    return { status, headers, body: await this.#body(status, headers, ms) };
  }

  /** Resolves when the other side has ended the connection; what it sent before is dropped. */
  async closed(ms) {
    await within(this.#end(), "end of the TCP connection", ms);
  }

  async #body(status, headers, ms) {
    if (status < 200 || status === 204 || status === 304) return "";
    if (headers["content-length"]) return (await this.take(Number(headers["content-length"]), "body", ms)).toString();
    if (headers["transfer-encoding"] === "chunked") return this.#chunkedBody(ms);
    await this.closed(ms);
    return this.#peek().toString();
  }

  async #chunkedBody(ms) {
    let body = "";
    for (;;) {
      let end = -1;
      await this.#until(() => (end = this.#peek().indexOf("\r\n")) >= 0, "chunk", ms);
      const size = parseInt((await this.take(end + 2, "chunk")).toString(), 16);
      body += (await this.take(size + 2, "chunk", ms)).toString().slice(0, size);
      if (size === 0) return body;
    }
  }

  #peek() {
    if (this.#chunks.length > 1) this.#replace(Buffer.concat(this.#chunks));
    return this.#chunks[0] ?? Buffer.alloc(0);
  }

  #replace(bytes) {
    this.#chunks = bytes.length ? [bytes] : [];
    this.#size = bytes.length;
  }

  async #end() {
    while (!this.#ended) {
      await this.#news();
      this.#replace(Buffer.alloc(0));
    }
  }

  async #until(ready, what, ms) {
    const wait = async () => {
      while (!ready()) {
        if (this.#ended) throw new Error(`the connection ended before a ${what}`);
        await this.#news();
      }
    };
    await within(wait(), what, ms);
  }

  #news() {
    return new Promise((resolve) => (this.#wake = resolve));
  }
}

/** An HTTP request as bytes. Headers are pairs or lines, so that they may repeat and be wrong. */
export function request(line, headers = [], body = "") {
  const lines = headers.map((header) => (Array.isArray(header) ? header.join(": ") : header));
  return Buffer.concat([Buffer.from([line, ...lines, "", ""].join("\r\n"), "latin1"), Buffer.from(body)]);
}

// --- WebSocket (RFC 6455) ---------------------------------------------------------------------------

export const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 };

/** The headers of a good handshake, as pairs; `changed` replaces, or removes with `undefined`. */
export function handshakeHeaders(changed = {}) {
  const headers = {
    Host: "127.0.0.1",
    Upgrade: "websocket",
    Connection: "Upgrade",
    "Sec-WebSocket-Key": randomBytes(16).toString("base64"),
    "Sec-WebSocket-Version": "13",
    ...changed,
  };
  return Object.entries(headers).filter(([, value]) => value !== undefined);
}

export const acceptFor = (key) =>
  createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");

/** A WebSocket whose frames the test makes itself. */
export async function openFrames(t, url, path = "/websocket") {
  const line = await Line.open(t, url);
  line.write(request(`GET ${path} HTTP/1.1`, handshakeHeaders()));
  const { status } = await line.response("answer to the handshake");
  if (status !== 101) throw new Error(`the handshake was answered with ${status}`);
  return line;
}

/** A client's frame as bytes. Everything can be made wrong. */
export function frame(opcode, payload = "", { fin = true, rsv = 0, masked = true, length, lengthBytes } = {}) {
  const body = Buffer.from(payload);
  const announced = length ?? body.length;
  const width = lengthBytes ?? (announced < 126 ? 0 : announced < 65_536 ? 2 : 8);
  const head = Buffer.alloc(2 + width);
  head[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  head[1] = (masked ? 0x80 : 0) | { 0: announced, 2: 126, 8: 127 }[width];
  if (width === 2) head.writeUInt16BE(announced, 2);
  if (width === 8) head.writeBigUInt64BE(BigInt(announced), 2);
  if (!masked) return Buffer.concat([head, body]);
  const mask = randomBytes(4);
  for (let i = 0; i < body.length; i += 1) body[i] ^= mask[i & 3];
  return Buffer.concat([head, mask, body]);
}

/** A server's next frame. */
export async function nextFrame(line, what = "frame", ms) {
  const [first, second] = await line.take(2, what, ms);
  const short = second & 0x7f;
  let length = short;
  if (short === 126) length = (await line.take(2, what)).readUInt16BE();
  if (short === 127) length = Number((await line.take(8, what)).readBigUInt64BE());
  const payload = await line.take(length, `payload of ${length} bytes`, ms);
  return { fin: first >= 0x80, rsv: (first >> 4) & 7, opcode: first & 0x0f, masked: second >= 0x80, payload };
}

/** A server's next message, put together from its fragments; it may not be anything else. */
export async function nextMessage(line, ms) {
  const parts = [];
  let opcode;
  for (;;) {
    const part = await nextFrame(line, "message", ms);
    opcode ??= part.opcode;
    parts.push(part.payload);
    if (part.opcode >= OPCODE.close) throw new Error(`a control frame ${part.opcode}: ${describeClose(part)}`);
    if (part.fin) return { opcode, payload: Buffer.concat(parts) };
  }
}

/** The server's side of a connection ends behind its close frame; a time limit that ends it is longer. */
const END_MS = 3000;

/** The code of the close frame that must come next, on a connection that the server then ends. */
export async function closeCode(line) {
  const { opcode, payload } = await nextFrame(line, "close frame");
  if (opcode !== OPCODE.close) throw new Error(`frame with opcode ${opcode} in place of a close`);
  await line.closed(END_MS);
  return payload.length ? payload.readUInt16BE() : undefined;
}

/** A close frame's payload. */
export const closing = (code, reason = "") => Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)]);

const describeClose = ({ payload }) => (payload.length >= 2 ? `${payload.readUInt16BE()} ${payload.subarray(2)}` : "empty");
