// permessage-deflate (RFC 7692) between the server and real implementations of it: `ws`, by itself and below
// socket.io-client.

import assert from "node:assert/strict";
import { once } from "node:events";
import { randomBytes } from "node:crypto";
import { describe } from "node:test";
import { io } from "socket.io-client";
import WebSocket from "ws";
import { STEADY, check, serverForFile } from "./lib/harness.mjs";

const { url } = await serverForFile({ ...STEADY, COMPRESSION: 1 });

describe("a bare WebSocket", () => {
  const open = async (t, perMessageDeflate) => {
    const socket = new WebSocket(`${url.replace("http", "ws")}/websocket`, { perMessageDeflate });
    t.after(() => socket.terminate());
    await once(socket, "open");
    return socket;
  };
  const echo = async (socket, message) => {
    socket.send(message);
    const [data, isBinary] = await once(socket, "message");
    assert.equal(isBinary, typeof message !== "string");
    return isBinary ? data : data.toString();
  };

  const text = '{"role":"assistant","content":"some words, and some words again"}\n';
  for (const [name, offer] of Object.entries({
    "all defaults": {},
    "a small window of the server": { serverMaxWindowBits: 9 },
    "a small window of the client": { clientMaxWindowBits: 9 },
    "no context at all": { serverNoContextTakeover: true, clientNoContextTakeover: true },
    "everything compressed": { threshold: 0 },
  })) {
    check(`echoes messages of all lengths with ${name}`, async (t) => {
      const socket = await open(t, offer);
      assert.match(socket.extensions, /permessage-deflate/);
      for (const repeats of [0, 1, 2, 15, 16, 100, 1000, 10_000]) {
        const message = text.repeat(repeats);
        assert.equal(await echo(socket, message), message);
        const bytes = Buffer.concat([Buffer.from(message), randomBytes(repeats)]);
        assert.deepEqual(await echo(socket, bytes), bytes);
      }
    });
  }

  check("sends less than it would without", async (t) => {
    const [compressed, plain] = [await open(t, {}), await open(t, false)];
    const message = text.repeat(1000);
    for (const socket of [compressed, plain]) assert.equal(await echo(socket, message), message);
    assert.equal(plain.extensions, "");
    assert.ok(plain._socket.bytesRead > message.length);
    assert.ok(compressed._socket.bytesRead < message.length / 20, `${compressed._socket.bytesRead} bytes`);
    assert.ok(compressed._socket.bytesWritten < message.length / 20, `${compressed._socket.bytesWritten} bytes`);
  });

  check("echoes fragments of a compressed message", async (t) => {
    const socket = await open(t, { threshold: 0 });
    for (const part of ["first ", "second "]) socket.send(part.repeat(500), { fin: false, compress: true });
    socket.send("last", { fin: true });
    const [data] = await once(socket, "message");
    assert.equal(data.toString(), `${"first ".repeat(500)}${"second ".repeat(500)}last`);
  });

  check("is closed with 1009 for a few bytes that stand for more than it may send", async (t) => {
    const socket = await open(t, {});
    socket.send(Buffer.alloc((64 << 20) + 1));
    const [code] = await once(socket, "close");
    assert.equal(code, 1009);
  });
});

describe("socket.io-client", () => {
  for (const transports of [["websocket"], ["polling", "websocket"]]) {
    check(`carries long and short events over ${transports.join(" and ")}`, async (t) => {
      const socket = io(url, { transports, path: "/socket.io", forceNew: true, perMessageDeflate: { threshold: 512 } });
      t.after(() => socket.close());
      await once(socket, "connect");
      if (socket.io.engine.transport.name !== "websocket") await once(socket.io.engine, "upgrade");
      assert.match(socket.io.engine.transport.ws.extensions, /permessage-deflate/);
      for (const length of [0, 10, 5000, 900_000]) {
        const value = { text: "ä word ".repeat(length / 10), blob: Buffer.alloc(length, "abc") };
        const back = once(socket, "message-back");
        socket.emit("message", value);
        const [{ text, blob }] = await back;
        assert.equal(text, value.text);
        assert.deepEqual(Buffer.from(blob), value.blob);
      }
    });
  }
});
