// Ways to the server that are worse than loopback: on one WebSockets are slow, so that an upgrade takes a while, on another
// connections break.

import { connect, createServer } from "node:net";

const DELAY_MS = 15;

/** A URL that leads to `url`. Each piece of a WebSocket is held back; plain HTTP passes at once. */
export function slowWebSockets(t, url) {
  return proxy(t, url, (inner, outer) => {
    inner.once("data", (head) => {
      const delay = head.includes("transport=websocket") ? DELAY_MS : 0;
      outer.write(head);
      pass(inner, outer, delay);
      pass(outer, inner, delay);
    });
  });
}

/** A URL that leads to `url`. So many connections break when the client was sent this many bytes over one. */
export function breaking(t, url, connections, bytes) {
  let left = connections;
  return proxy(t, url, (inner, outer) => {
    let sent = 0;
    pass(inner, outer, 0);
    outer.on("error", () => inner.destroy());
    outer.on("close", () => inner.end());
    outer.on("data", (piece) => {
      if (left > 0 && sent + piece.length > bytes) {
        left -= 1;
        outer.destroy();
        inner.end(piece.subarray(0, bytes - sent), () => inner.destroy());
      } else {
        sent += piece.length;
        inner.write(piece);
      }
    });
  });
}

async function proxy(t, url, join) {
  const { hostname, port } = new URL(url);
  const lines = new Set();
  const proxy = createServer({ noDelay: true }, (inner) => {
    const outer = connect({ host: hostname, port, noDelay: true });
    lines.add(inner).add(outer);
    join(inner, outer);
    inner.on("error", () => {});
  });
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    proxy.close();
    for (const line of lines) line.destroy();
  });
  return `http://127.0.0.1:${proxy.address().port}`;
}

function pass(from, to, delay) {
  const later = (action) => (delay ? setTimeout(action, delay) : action());
  from.on("data", (bytes) => later(() => to.write(bytes)));
  from.on("close", () => later(() => to.end()));
  from.on("error", () => to.destroy());
}
