// A way to the server on which WebSockets are slow, so that an upgrade takes a while.

import { connect, createServer } from "node:net";

const DELAY_MS = 15;

/** A URL that leads to `url`. Each piece of a WebSocket is held back; plain HTTP passes at once. */
export async function slowWebSockets(t, url) {
  const { hostname, port } = new URL(url);
  const lines = new Set();
  const proxy = createServer({ noDelay: true }, (inner) => {
    inner.once("data", (head) => {
      const delay = head.includes("transport=websocket") ? DELAY_MS : 0;
      const outer = connect({ host: hostname, port, noDelay: true });
      lines.add(inner).add(outer);
      outer.write(head);
      pass(inner, outer, delay);
      pass(outer, inner, delay);
    });
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
