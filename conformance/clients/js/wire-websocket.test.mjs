// WebSockets frame by frame (RFC 6455) against the bare echo, and the handshake on every path.

import assert from "node:assert/strict";
import { check, sharedServer } from "./lib/harness.mjs";
import { ask } from "./lib/engine.mjs";
import { Line, OPCODE, acceptFor, closeCode, closing, frame, handshakeHeaders, nextFrame, nextMessage, openFrames, request } from "./lib/raw.mjs";

const { url } = await sharedServer();
const MIB = 1024 * 1024;
const { continuation, text, binary, close, ping, pong } = OPCODE;
const PATHS = ["/websocket", "/engine.io/?EIO=4&transport=websocket", "/socket.io/?EIO=4&transport=websocket"];

async function handshake(t, { path = "/websocket", line = `GET ${path} HTTP/1.1`, headers = handshakeHeaders() } = {}) {
  const tcp = await Line.open(t, url);
  tcp.write(request(line, headers));
  return { tcp, ...(await tcp.response("answer to the handshake")) };
}

async function assertHandshakeRefused(t, options, ...statuses) {
  for (const path of PATHS) {
    const { status } = await handshake(t, { ...options, path });
    assert.ok(statuses.includes(status), `${path} answered with ${status}`);
  }
}

/** Sends the pieces, and wants a close with one of these codes and the end of the connection. */
async function assertClosedWith(t, code, ...pieces) {
  const line = await openFrames(t, url);
  line.write(Buffer.concat(pieces));
  assert.equal(await closeCode(line), code);
}

async function assertEchoed(line, opcode, payload) {
  const message = await nextMessage(line);
  assert.equal(message.opcode, opcode);
  assert.ok(message.payload.equals(Buffer.from(payload)), "the payload came back changed");
}

// --- handshake (section 4.2.1) ----------------------------------------------------------------------

check("the handshake answers with the accept value of the key, and offers nothing it was not asked", async (t) => {
  for (const path of PATHS) {
    const headers = handshakeHeaders({ "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==" });
    const answer = await handshake(t, { path, headers });
    assert.equal(answer.status, 101);
    assert.equal(answer.headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert.equal(answer.headers.upgrade.toLowerCase(), "websocket");
    assert.equal(answer.headers.connection.toLowerCase(), "upgrade");
    assert.equal(answer.headers["sec-websocket-extensions"], undefined);
    assert.equal(answer.headers["sec-websocket-protocol"], undefined);
  }
});

check("header names, tokens and lists are read as RFC 9110 says", async (t) => {
  const good = [
    { Upgrade: "WebSocket" },
    { Connection: "keep-alive, Upgrade" },
    { Connection: "UPGRADE" },
    { "Sec-WebSocket-Extensions": "x-unknown; with=a_value" },
    { Origin: "https://app.example" },
  ];
  for (const changed of good) {
    const headers = handshakeHeaders(changed).map(([name, value]) => [name.toUpperCase(), value]);
    const key = headers.find(([name]) => name === "SEC-WEBSOCKET-KEY")[1];
    const answer = await handshake(t, { headers });
    assert.equal(answer.status, 101, JSON.stringify(changed));
    assert.equal(answer.headers["sec-websocket-accept"], acceptFor(key));
    assert.equal(answer.headers["sec-websocket-extensions"], undefined);
  }
});

check("a handshake without Host, or with two, is refused", async (t) => {
  await assertHandshakeRefused(t, { headers: handshakeHeaders({ Host: undefined }) }, 400);
  await assertHandshakeRefused(t, { headers: [...handshakeHeaders(), ["Host", "other"]] }, 400);
});

check("a handshake by another method is refused", async (t) => {
  for (const path of PATHS) {
    for (const method of ["POST", "PUT"]) {
      const { status } = await handshake(t, { line: `${method} ${path} HTTP/1.1`, headers: [...handshakeHeaders(), ["Content-Length", 0]] });
      assert.ok([400, 404, 405].includes(status), `${method} ${path} answered with ${status}`);
    }
  }
});

check("a handshake by HTTP/1.0 is refused", async (t) => {
  for (const path of PATHS) {
    const tcp = await Line.open(t, url);
    tcp.write(request(`GET ${path} HTTP/1.0`, handshakeHeaders()));
    const head = (await tcp.take(12, "status line")).toString();
    assert.match(head, /^HTTP\/1\.[01] (400|426|505)/);
  }
});

check("a handshake without Upgrade: websocket is refused", async (t) => {
  for (const Upgrade of [undefined, "h2c", "websocketx", ""]) {
    await assertHandshakeRefused(t, { headers: handshakeHeaders({ Upgrade }) }, 400, 404, 426);
  }
});

check("a handshake without Connection: Upgrade is refused", async (t) => {
  for (const Connection of [undefined, "keep-alive", "Upgraded", ""]) {
    await assertHandshakeRefused(t, { headers: handshakeHeaders({ Connection }) }, 400, 404, 426);
  }
});

check("a handshake needs one key of 16 bytes in base64", async (t) => {
  const keys = [undefined, "", "c2hvcnQ=", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ==x", "!!!!!!!!!!!!!!!!!!!!!!==", "dGhlIHNhbXBsZSBub25jZSBsb25n"];
  for (const key of keys) await assertHandshakeRefused(t, { headers: handshakeHeaders({ "Sec-WebSocket-Key": key }) }, 400);
  const twice = [...handshakeHeaders(), ["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="]];
  await assertHandshakeRefused(t, { headers: twice }, 400);
});

check("a handshake of another version is refused", async (t) => {
  for (const version of [undefined, "", "7", "12", "14", "013", "13, 8"]) {
    await assertHandshakeRefused(t, { headers: handshakeHeaders({ "Sec-WebSocket-Version": version }) }, 400, 426);
  }
});

check("another version is told which one is spoken", async (t) => {
  for (const path of PATHS) {
    const answer = await handshake(t, { path, headers: handshakeHeaders({ "Sec-WebSocket-Version": "12" }) });
    assert.ok([400, 426].includes(answer.status), `${path} answered with ${answer.status}`);
    assert.match(answer.headers["sec-websocket-version"], /\b13\b/);
  }
});

check("a handshake on an unknown path is 404", async (t) => {
  assert.equal((await handshake(t, { path: "/nowhere" })).status, 404);
});

check("a plain GET of /websocket is refused, and the server goes on", async () => {
  assert.ok([400, 404, 426].includes((await ask(`${url}/websocket`)).status));
});

check("frames in the same segment as the handshake are heard", async (t) => {
  const tcp = await Line.open(t, url);
  tcp.write(Buffer.concat([request("GET /websocket HTTP/1.1", handshakeHeaders()), frame(text, "at once")]));
  assert.equal((await tcp.response()).status, 101);
  await assertEchoed(tcp, text, "at once");
});

// --- frames (sections 5.1 to 5.6) -------------------------------------------------------------------

check("messages of every length class come back, text as text and binary as binary", async (t) => {
  const line = await openFrames(t, url);
  for (const length of [0, 1, 125, 126, 127, 128, 65_535, 65_536, 65_537, 131_072]) {
    for (const opcode of [text, binary]) {
      const payload = Buffer.alloc(length, "*");
      line.write(frame(opcode, payload));
      await assertEchoed(line, opcode, payload);
    }
  }
});

check("the server neither masks nor sets reserved bits", async (t) => {
  const line = await openFrames(t, url);
  line.write(frame(text, "hello"));
  const { masked, rsv, fin } = await nextFrame(line);
  assert.deepEqual({ masked, rsv, fin }, { masked: false, rsv: 0, fin: true });
});

check("frames may come in any pieces of bytes", async (t) => {
  const line = await openFrames(t, url);
  const bytes = Buffer.concat([frame(text, "first"), frame(ping, "p"), frame(binary, Buffer.alloc(300, 7))]);
  for (const byte of bytes) await line.write(Buffer.from([byte]));
  await assertEchoed(line, text, "first");
  assert.deepEqual((await nextFrame(line)).opcode, pong);
  await assertEchoed(line, binary, Buffer.alloc(300, 7));
});

check("an unmasked frame closes with 1002", (t) => assertClosedWith(t, 1002, frame(text, "hello", { masked: false })));

for (const rsv of [1, 2, 4, 7]) {
  check(`reserved bits ${rsv} close with 1002`, async (t) => {
    await assertClosedWith(t, 1002, frame(text, "hello", { rsv }));
    await assertClosedWith(t, 1002, frame(ping, "", { rsv }));
  });
}

for (const opcode of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) {
  check(`reserved opcode ${opcode} closes with 1002`, (t) => assertClosedWith(t, 1002, frame(opcode, "x")));
}

check("what was whole before an error is still echoed", async (t) => {
  const line = await openFrames(t, url);
  line.write(Buffer.concat([frame(text, "good"), frame(3, "bad")]));
  await assertEchoed(line, text, "good");
  assert.equal(await closeCode(line), 1002);
});

check("a length whose highest bit is set closes", async (t) => {
  const line = await openFrames(t, url);
  line.write(Buffer.from([0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4]));
  assert.ok([1002, 1009].includes(await closeCode(line)));
});

check("a frame over 64 MiB closes with 1009 as soon as it is announced", async (t) => {
  for (const length of [64 * MIB + 1, 2 ** 40]) {
    await assertClosedWith(t, 1009, frame(binary, "", { length, lengthBytes: 8 }));
  }
});

check("fragments that sum up to more than 64 MiB close with 1009", async (t) => {
  const line = await openFrames(t, url);
  await line.write(frame(binary, Buffer.alloc(32 * MIB), { fin: false }));
  await line.write(frame(continuation, Buffer.alloc(32 * MIB), { fin: false }));
  await line.write(frame(continuation, "x"));
  assert.equal(await closeCode(line), 1009);
});

check("on Engine.IO paths a message over MAX_PAYLOAD closes with 1009", async (t) => {
  const open = async (path) => {
    const line = await openFrames(t, url, path);
    return { line, maxPayload: JSON.parse((await nextMessage(line)).payload.subarray(1)).maxPayload };
  };
  for (const path of PATHS.slice(1)) {
    const { line, maxPayload } = await open(path);
    line.write(frame(text, "", { length: maxPayload + 1 }));
    assert.equal(await closeCode(line), 1009);
  }
  const { line, maxPayload } = await open(PATHS[1]);
  const largest = `4${"x".repeat(maxPayload - 1)}`;
  line.write(frame(text, largest));
  await assertEchoed(line, text, largest);
});

check("on Engine.IO paths frame errors close with their codes too", async (t) => {
  for (const path of PATHS.slice(1)) {
    for (const [code, bytes] of [[1002, frame(text, "x", { rsv: 1 })], [1007, frame(text, Buffer.from([0x34, 0xff]))]]) {
      const line = await openFrames(t, url, path);
      await nextMessage(line);
      line.write(bytes);
      assert.equal(await closeCode(line), code);
    }
  }
});

check("a message of 64 MiB comes back whole", async (t) => {
  const line = await openFrames(t, url);
  const payload = Buffer.alloc(64 * MIB);
  for (let i = 0; i < payload.length; i += 4096) payload.writeUInt32BE(i, i);
  line.write(frame(binary, payload));
  const message = await nextMessage(line, 30_000);
  assert.ok(message.payload.equals(payload));
});

// --- fragments and control frames (5.4, 5.5) --------------------------------------------------------

check("a fragmented message comes back as a whole one, also with empty fragments", async (t) => {
  const line = await openFrames(t, url);
  const parts = ["", "frag", "", "mented", ""];
  line.write(Buffer.concat(parts.map((part, i) => frame(i ? continuation : text, part, { fin: i === parts.length - 1 }))));
  const { opcode, fin, payload } = await nextFrame(line);
  assert.deepEqual([opcode, fin, payload.toString()], [text, true, "fragmented"]);
});

check("100,000 fragments are one message", async (t) => {
  const line = await openFrames(t, url);
  const count = 100_000;
  const fragments = Array.from({ length: count }, (_, i) => frame(i ? continuation : binary, Buffer.from([i % 251]), { fin: i === count - 1 }));
  line.write(Buffer.concat(fragments));
  const { payload } = await nextMessage(line, 30_000);
  assert.equal(payload.length, count);
  assert.ok(payload.every((byte, i) => byte === i % 251));
});

check("pings are answered with their payload, also between fragments", async (t) => {
  const line = await openFrames(t, url);
  line.write(Buffer.concat([frame(text, "a", { fin: false }), frame(ping, "between"), frame(continuation, "b")]));
  const answer = await nextFrame(line);
  assert.deepEqual([answer.opcode, answer.payload.toString()], [pong, "between"]);
  await assertEchoed(line, text, "ab");
  for (const payload of [Buffer.alloc(0), Buffer.alloc(125, 0xfe)]) {
    line.write(frame(ping, payload));
    const { opcode, payload: back } = await nextFrame(line);
    assert.equal(opcode, pong);
    assert.ok(back.equals(payload));
  }
});

check("ten pings at once are answered in order, and unasked pongs ignored", async (t) => {
  const line = await openFrames(t, url);
  const pings = Array.from({ length: 10 }, (_, i) => frame(ping, String(i)));
  line.write(Buffer.concat([frame(pong, "unasked"), ...pings, frame(text, "end")]));
  let last = -1;
  for (;;) {
    const { opcode, payload } = await nextFrame(line);
    if (opcode === text) break;
    // Section 5.5.3 lets a server answer the latest ping only.
    assert.equal(opcode, pong);
    assert.ok(Number(payload) > last);
    last = Number(payload);
  }
  assert.equal(last, 9);
});

check("a control frame over 125 bytes or in fragments closes with 1002", async (t) => {
  for (const opcode of [ping, pong, close]) {
    await assertClosedWith(t, 1002, frame(opcode, Buffer.alloc(126)));
    await assertClosedWith(t, 1002, frame(opcode, "x", { fin: false }));
  }
});

check("a continuation of nothing closes with 1002", async (t) => {
  await assertClosedWith(t, 1002, frame(continuation, "x"));
  await assertClosedWith(t, 1002, frame(continuation, "x", { fin: false }));
});

check("a new message inside a fragmented one closes with 1002", async (t) => {
  for (const opcode of [text, binary]) {
    await assertClosedWith(t, 1002, frame(text, "a", { fin: false }), frame(opcode, "b"));
  }
});

// --- UTF-8 (8.1) ------------------------------------------------------------------------------------

const VALID = {
  "one to four bytes": "aß€𝄞",
  "the borders of each length": "\0\u007f\u0080\u07ff\u0800\uffff\u{10000}\u{10ffff}",
  "around the surrogates": "\ud7ff\ue000",
  "non-characters": "\ufdd0\ufffe\uffff\u{1fffe}",
};
const INVALID = {
  "a lone continuation byte": [0x80],
  "0xfe": [0xfe],
  "0xff": [0xff],
  "an overlong slash of two bytes": [0xc0, 0xaf],
  "an overlong NUL of three bytes": [0xe0, 0x80, 0x80],
  "an overlong code point of four bytes": [0xf0, 0x8f, 0xbf, 0xbf],
  "a surrogate": [0xed, 0xa0, 0x80],
  "a pair of surrogates": [0xed, 0xa0, 0x80, 0xed, 0xb0, 0x80],
  "above U+10FFFF": [0xf4, 0x90, 0x80, 0x80],
  "five bytes": [0xf8, 0x88, 0x80, 0x80, 0x80],
  "a code point cut short": [0x61, 0xe2, 0x82],
  "a code point interrupted": [0xe2, 0x61, 0x82],
};

for (const [name, string] of Object.entries(VALID)) {
  check(`valid UTF-8 comes back, cut anywhere: ${name}`, async (t) => {
    const line = await openFrames(t, url);
    const bytes = Buffer.from(string);
    for (let cut = 0; cut <= bytes.length; cut += 1) {
      line.write(frame(text, bytes.subarray(0, cut), { fin: false }));
      line.write(frame(ping, "between"));
      line.write(frame(continuation, bytes.subarray(cut)));
      assert.equal((await nextFrame(line)).opcode, pong);
      await assertEchoed(line, text, bytes);
    }
  });
}

for (const [name, bytes] of Object.entries(INVALID)) {
  check(`invalid UTF-8 closes with 1007, whole or in fragments: ${name}`, async (t) => {
    await assertClosedWith(t, 1007, frame(text, Buffer.from([0x6f, 0x6b, ...bytes])));
    const last = bytes.length - 1;
    const pieces = bytes.map((byte, i) => frame(i ? continuation : text, Buffer.from([byte]), { fin: i === last }));
    await assertClosedWith(t, 1007, ...pieces);
    const line = await openFrames(t, url);
    line.write(frame(binary, Buffer.from(bytes)));
    await assertEchoed(line, binary, Buffer.from(bytes));
  });
}

// --- closing (5.5.1, 7) -----------------------------------------------------------------------------

check("a close is answered with its code, and the connection ends", async (t) => {
  for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999]) {
    await assertClosedWith(t, code, frame(close, closing(code, "so long")));
  }
  await assertClosedWith(t, 1000, frame(close, closing(1000, "x".repeat(123))));
  await assertClosedWith(t, undefined, frame(close));
});

check("a close with a code that may not be sent is answered with 1002", async (t) => {
  for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535]) {
    await assertClosedWith(t, 1002, frame(close, closing(code)));
  }
});

check("a close with half a code is answered with 1002, with a reason that is no UTF-8 1007", async (t) => {
  await assertClosedWith(t, 1002, frame(close, Buffer.from([3])));
  await assertClosedWith(t, 1007, frame(close, closing(1000, Buffer.from([0xff]))));
});

check("nothing after a close is answered", (t) =>
  assertClosedWith(t, 1000, frame(close, closing(1000)), frame(ping, "late"), frame(text, "late"), frame(close, closing(1001))));
