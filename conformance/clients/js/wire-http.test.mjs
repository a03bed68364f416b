// HTTP as the server hears it on a bare TCP connection (RFC 9112), and CORS.

import assert from "node:assert/strict";
import { check, elapse, sharedServer } from "./lib/harness.mjs";
import { ask, askAll } from "./lib/engine.mjs";
import { Line, request } from "./lib/raw.mjs";

const { url, profile } = await sharedServer();
const HOST = ["Host", "127.0.0.1"];
const OPEN = "/engine.io/?EIO=4&transport=polling";
const POST = async (path) => `POST ${path}&sid=${await openSid()} HTTP/1.1`;

async function openSid(path = OPEN) {
  return JSON.parse((await ask(url + path)).body.slice(1)).sid;
}

/** The status that these bytes are answered with first. */
async function statusOf(t, bytes) {
  const line = await Line.open(t, url);
  line.write(bytes);
  return (await line.response()).status;
}

/** Refused: a 4xx or 501 and the end of the connection; what follows on it is not read. */
async function assertRefused(t, bytes, ...statuses) {
  const line = await Line.open(t, url);
  line.write(Buffer.concat([bytes, request(`GET ${OPEN} HTTP/1.1`, [HOST])]));
  const { status } = await line.response();
  assert.ok(statuses.includes(status), `answered with ${status}`);
  await line.closed();
}

check("a request with one Host is served", async (t) => {
  assert.equal(await statusOf(t, request(`GET ${OPEN} HTTP/1.1`, [HOST])), 200);
});

check("a request without Host is refused", (t) => assertRefused(t, request(`GET ${OPEN} HTTP/1.1`), 400));

check("a request with two Hosts is refused", async (t) => {
  await assertRefused(t, request(`GET ${OPEN} HTTP/1.1`, [HOST, HOST]), 400);
  await assertRefused(t, request(`GET ${OPEN} HTTP/1.1`, [HOST, ["host", "other"]]), 400);
});

check("unknown paths are 404", async () => {
  for (const path of ["/", "/socket.ioo/", "/engine", "/websockets", "/debug", "/debug/audit/x", "/favicon.ico"]) {
    assert.equal((await ask(url + path)).status, 404, path);
  }
});

check("the audit is JSON", async () => {
  const { status, body } = await ask(`${url}/debug/audit`);
  assert.equal(status, 200);
  assert.equal(typeof JSON.parse(body), "object");
});

check("a connection serves one request after another, also pipelined ones, in order", async (t) => {
  const line = await Line.open(t, url);
  const sid = await openSid();
  const post = request(`POST ${OPEN}&sid=${sid} HTTP/1.1`, [HOST, ["Content-Length", 6]], "4hello");
  const get = request(`GET ${OPEN}&sid=${sid} HTTP/1.1`, [HOST]);
  const other = request("GET /nowhere HTTP/1.1", [HOST]);
  line.write(Buffer.concat([post, get, other]));
  assert.equal((await line.response()).body, "ok");
  assert.equal((await line.response()).body, "4hello");
  assert.equal((await line.response()).status, 404);
});

check("a request may come one byte at a time", async (t) => {
  const line = await Line.open(t, url);
  for (const byte of request(`GET ${OPEN} HTTP/1.1`, [HOST])) await line.write(Buffer.from([byte]));
  assert.equal((await line.response()).status, 200);
});

check("a chunked body is a body", async (t) => {
  const bytes = request(await POST(OPEN), [HOST, ["Transfer-Encoding", "chunked"]], "3\r\n4he\r\n3;ext=1\r\nllo\r\n0\r\n\r\n");
  const line = await Line.open(t, url);
  line.write(bytes);
  assert.equal((await line.response()).body, "ok");
});

check("a body framed twice is refused: Content-Length and Transfer-Encoding", async (t) => {
  const chunks = "6\r\n4hello\r\n0\r\n\r\n";
  const both = [["Content-Length", chunks.length], ["Transfer-Encoding", "chunked"]];
  await assertRefused(t, request(await POST(OPEN), [HOST, ...both], chunks), 400);
  await assertRefused(t, request(await POST(OPEN), [HOST, ...both.toReversed()], chunks), 400);
});

check("a body framed twice is refused: two Content-Lengths that differ", async (t) => {
  await assertRefused(t, request(await POST(OPEN), [HOST, ["Content-Length", 6], ["Content-Length", 7]], "4hello"), 400);
  await assertRefused(t, request(await POST(OPEN), [HOST, ["Content-Length", "6, 7"]], "4hello"), 400);
});

check("a Content-Length that is no number is refused", async (t) => {
  for (const length of ["+6", "-6", "0x6", "6 6", "6a", "", "99999999999999999999999"]) {
    await assertRefused(t, request(await POST(OPEN), [HOST, ["Content-Length", length]], "4hello"), 400, 413);
  }
});

check("a Transfer-Encoding that does not end in chunked is refused", async (t) => {
  for (const coding of ["identity", "gzip", "chunked, identity", "xchunked", "chunked chunked"]) {
    await assertRefused(t, request(await POST(OPEN), [HOST, ["Transfer-Encoding", coding]], "6\r\n4hello\r\n0\r\n\r\n"), 400, 501);
  }
});

check("broken chunks are refused, and nothing behind them is taken for a request", async (t) => {
  for (const chunks of ["g\r\n4hello\r\n0\r\n\r\n", "6\r\n4helloXX0\r\n\r\n", "-6\r\n4hello\r\n0\r\n\r\n", "fffffffffffffffff\r\n"]) {
    const line = await Line.open(t, url);
    const post = request(await POST(OPEN), [HOST, ["Transfer-Encoding", "chunked"]], chunks);
    line.write(Buffer.concat([post, request("GET /nowhere HTTP/1.1", [HOST])]));
    const status = await line.response().then((response) => response.status, () => "closed");
    assert.ok([400, 413, "closed"].includes(status), `${JSON.stringify(chunks)} answered with ${status}`);
    await line.closed();
  }
});

check("header lines that a proxy may read otherwise are refused", async (t) => {
  for (const header of ["Content-Length : 6", " folded: 1", "no colon", "a\0b: 1", "bad name: 1", ": nameless", "x: a\0b"]) {
    await assertRefused(t, request(`GET ${OPEN} HTTP/1.1`, [HOST, header]), 400);
  }
});

check("request lines that are none are refused", async (t) => {
  for (const line of ["GET", `GET ${OPEN} HTTX/1.1`, `G(T ${OPEN} HTTP/1.1`, "\u0016\u0003\u0001"]) {
    const tcp = await Line.open(t, url);
    tcp.write(request(line, [HOST]));
    const status = await tcp.response().then((response) => response.status, () => "closed");
    assert.ok([400, 505, "closed"].includes(status), `${JSON.stringify(line)} answered with ${status}`);
    await tcp.closed();
  }
});

check("a version other than HTTP/1.x is refused", async (t) => {
  for (const version of ["HTTP/2.0", "HTTP/0.9", "HTTP/9.1"]) await assertRefused(t, request(`GET ${OPEN} ${version}`, [HOST]), 400, 505);
});

check("a body over the limit is 413 as soon as it is announced, and the connection ends", async (t) => {
  for (const length of [profile.MAX_PAYLOAD + 1, 2 ** 40]) {
    const line = await Line.open(t, url);
    line.write(request(await POST(OPEN), [HOST, ["Content-Length", length]]));
    assert.equal((await line.response("answer to the head alone", 3000)).status, 413);
    await line.closed();
  }
});

check("a body of exactly the limit passes, a chunked one too", async (t) => {
  const body = `4${"x".repeat(profile.MAX_PAYLOAD - 1)}`;
  assert.equal(await statusOf(t, request(await POST(OPEN), [HOST, ["Content-Length", body.length]], body)), 200);
  const chunked = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
  assert.equal(await statusOf(t, request(await POST(OPEN), [HOST, ["Transfer-Encoding", "chunked"]], chunked)), 200);
});

check("a body over the limit is 413, however it is framed", async (t) => {
  const over = profile.MAX_PAYLOAD + 1;
  const whole = await Line.open(t, url);
  whole.write(request(await POST(OPEN), [HOST, ["Content-Length", over]]));
  await writeUntilAnswered(whole, over, 0x10000, (piece) => piece);
  assert.equal((await whole.response()).status, 413);

  const chunked = await Line.open(t, url);
  chunked.write(request(await POST(OPEN), [HOST, ["Transfer-Encoding", "chunked"]]));
  await writeUntilAnswered(chunked, over, 0x10000, (piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`);
  assert.equal((await chunked.response()).status, 413);
});

check("a head over the limit is 431, and the connection ends", async (t) => {
  const line = await Line.open(t, url);
  await line.write(`GET ${OPEN} HTTP/1.1\r\nHost: 127.0.0.1\r\n`);
  await writeUntilAnswered(line, 2_000_000, 8000, (piece) => `x-filling: ${piece}\r\n`);
  assert.equal((await line.response()).status, 431);
  await line.closed();
});

/**
 * Writes `total` bytes piece by piece, and stops at an answer. It goes slowly, because a connection
 * that is reset while a write is under way loses the answer that came before.
 */
async function writeUntilAnswered(line, total, step, framed) {
  for (let sent = 0; sent < total && line.received === 0 && !line.ended; sent += step) {
    await line.write(framed("4".repeat(Math.min(step, total - sent))));
    await elapse(5);
  }
}

check("a sid used on another path than its own is 400, and goes on at its own", async () => {
  const sid = await openSid();
  const elsewhere = `${url}/socket.io/?EIO=4&transport=polling&sid=${sid}`;
  assert.equal((await ask(elsewhere)).status, 400);
  assert.equal((await ask(elsewhere, { method: "POST", body: "4hello" })).status, 400);
  assert.equal((await ask(`${url}${OPEN}&sid=${sid}`, { method: "POST", body: "4hello" })).status, 200);
  assert.equal((await ask(`${url}${OPEN}&sid=${sid}`)).body, "4hello");
});

check("CORS: a preflight allows any origin to GET and POST with a content type", async () => {
  for (const path of ["/engine.io/", "/socket.io/"]) {
    const response = await askAll(`${url}${path}?EIO=4&transport=polling`, {
      method: "OPTIONS",
      headers: {
        origin: "https://app.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
      },
    });
    assert.ok([200, 204].includes(response.status), `answered with ${response.status}`);
    assertOriginAllowed(response);
    assert.match(response.headers.get("access-control-allow-methods"), /POST/);
    assert.match(response.headers.get("access-control-allow-headers"), /content-type|\*/i);
    assert.equal(response.body, "");
  }
});

check("CORS: every answer may be read by any origin, also a refusal", async () => {
  const headers = { origin: "https://app.example" };
  assertOriginAllowed(await askAll(url + OPEN, { headers }));
  assertOriginAllowed(await askAll(`${url}${OPEN}&sid=unknown`, { headers }));
  const post = await askAll(`${url}${OPEN}&sid=${await openSid()}`, { method: "POST", body: "4x", headers });
  assertOriginAllowed(post);
});

function assertOriginAllowed(response) {
  assert.ok(["*", "https://app.example"].includes(response.headers.get("access-control-allow-origin")));
}
