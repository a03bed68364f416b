// Packets as socket.io-msgpack-parser writes and reads them.
//
//   node vectors.mjs PACKAGES          prints vectors.json; PACKAGES is a directory with the node_modules of the real package
//   node vectors.mjs PACKAGES --check  fails if vectors.json is another

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const require = createRequire(resolve(process.argv[2], "package.json"));
const { Encoder, Decoder } = require("socket.io-msgpack-parser");
const { version } = require("socket.io-msgpack-parser/package.json");

const bytes = (text) => Buffer.from(text);
const placeholder = (num) => ({ _placeholder: true, num });
const [CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR] = [0, 1, 2, 3, 4];
const options = { compress: true };

/** What clients write: the object, and the data as JSON with its attachments as roomcast is to understand it. */
const sent = [
  ["connect", { type: CONNECT, data: { token: "t" }, nsp: "/" }],
  ["connect without auth", { type: CONNECT, data: undefined, nsp: "/a" }, ""],
  ["disconnect", { type: DISCONNECT, nsp: "/" }, ""],
  ["event", { type: EVENT, data: ["say", "hi", 1, -1, 1.5, null, true, [], {}], options, nsp: "/" }],
  ["event with ack", { type: EVENT, data: ["ask"], options, id: 0, nsp: "/a" }],
  ["large ack id", { type: EVENT, data: ["ask"], id: 2 ** 40, nsp: "/" }],
  ["ack", { type: ACK, id: 7, data: [{ ok: true }], nsp: "/" }],
  ["empty ack", { type: ACK, id: 300, data: [], nsp: "/" }],
  ["bytes", { type: EVENT, data: ["up", bytes("abc"), { b: bytes("") }], nsp: "/" },
    ["up", placeholder(0), { b: placeholder(1) }], ["616263", ""]],
  ["array buffer", { type: EVENT, data: ["up", new Uint8Array([1, 255]).buffer], nsp: "/" }, ["up", placeholder(0)], ["01ff"]],
  ["typed array", { type: EVENT, data: ["up", new Uint8Array([1, 255])], nsp: "/" }, ["up", placeholder(0)], ["01ff"]],
  ["undefined", { type: EVENT, data: ["e", undefined, { a: undefined }], nsp: "/" }, ["e", null, { a: null }]],
  ["date", { type: EVENT, data: ["e", new Date(Date.UTC(2026, 10, 22))], nsp: "/" }, ["e", "2026-11-22T00:00:00.000Z"]],
  ["no numbers", { type: EVENT, data: ["e", NaN, Infinity], nsp: "/" }, ["e", null, null]],
  ["placeholder that is data", { type: EVENT, data: ["e", placeholder(3)], nsp: "/" }],
  ["long texts", { type: EVENT, data: ["e".repeat(40), "é\u{1f600}\"\n\u0000".repeat(100)], nsp: "/" }],
].map(([name, packet, data = packet.data, attachments = []]) => ({
  name,
  packed: new Encoder().encode(packet)[0].toString("hex"),
  type: packet.type,
  nsp: packet.nsp,
  id: packet.id ?? null,
  data: data === "" ? "" : JSON.stringify(data),
  attachments,
}));

/** What servers write, each read again by the decoder of the client. */
const taken = [
  ["connect", { type: CONNECT, data: { sid: "s", pid: "p" }, nsp: "/" }],
  ["disconnect", { type: DISCONNECT, nsp: "/a" }],
  ["connect error", { type: CONNECT_ERROR, data: { message: "no" }, nsp: "/a" }],
  ["connect error of text", { type: CONNECT_ERROR, data: "no", nsp: "/" }],
  ["event", { type: EVENT, data: ["say", "hi", 1, { a: [null, false, 1.5] }], nsp: "/" }],
  ["event that asks", { type: EVENT, data: ["ask"], id: 256, nsp: "/a" }],
  ["event with offset", { type: EVENT, data: ["say", "hi", "offset"], nsp: "/" }],
  ["event with bytes", { type: EVENT, data: ["down", bytes("abc"), { b: bytes("") }], nsp: "/" }],
  ["ack", { type: ACK, data: [bytes("x"), 65536], id: 3, nsp: "/" }],
].map(([name, packet]) => {
  const packed = new Encoder().encode(packet)[0];
  const decoder = new Decoder();
  decoder.on("decoded", (read) => assert.deepEqual(read, packet));
  decoder.add(packed);
  return { name, packed: packed.toString("hex") };
});

const text = `${JSON.stringify({ version, sent, taken }, null, 1)}\n`;
if (process.argv[3] === "--check") assert.equal(readFileSync(new URL("vectors.json", import.meta.url), "utf8"), text);
else process.stdout.write(text);
