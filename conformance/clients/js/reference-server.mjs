// The conformance server on npm socket.io, engine.io and ws: the peer that shows what these tests
// demand of any server. Where it answers otherwise, reference-deviations.json says so by test name.

import { createServer } from "node:http";
import { createHmac, timingSafeEqual } from "node:crypto";
import { Server as EngineServer } from "engine.io";
import { Server as SocketServer } from "socket.io";
import parser from "socket.io-msgpack-parser";
import { WebSocketServer } from "ws";

const env = process.env;
const HOST = env.HOST ?? "127.0.0.1";
const PORT = Number(env.PORT ?? 3000);
/** Two events in the dialect of the load generator. */
const LOAD = env.LOAD === "1";
const SECRET = env.JWT_SECRET ?? "conformance-secret-conformance-secret";
const TOKEN_BYTES_MAX = 16_384;
const MESSAGE_BYTES_MAX = 64 * 1024 * 1024;

const engineOptions = {
  pingInterval: Number(env.PING_INTERVAL ?? 25_000),
  pingTimeout: Number(env.PING_TIMEOUT ?? 20_000),
  maxHttpBufferSize: Number(env.MAX_PAYLOAD ?? 1_000_000),
  httpCompression: false,
  cors: { origin: "*" },
  allowUpgrades: env.UPGRADES !== "0",
  ...(env.COOKIE === "1" && { cookie: true }),
};

const http = createServer((request, response) => {
  if (request.url !== "/debug/audit") return response.writeHead(404).end();
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(audit()));
});

const io = new SocketServer({
  ...engineOptions,
  connectTimeout: Number(env.CONNECT_TIMEOUT ?? 45_000),
  destroyUpgrade: false,
  cleanupEmptyChildNamespaces: true,
  ...(Number(env.RECOVERY) && {
    connectionStateRecovery: { maxDisconnectionDuration: Number(env.RECOVERY), skipMiddlewares: false },
  }),
});
io.attach(http);
let responses = 0;
io.engine.on("initial_headers", (headers, request) => (headers["x-initial"] = request.headers["x-user"] ?? "a guest"));
io.engine.on("headers", (headers) => (headers["x-response"] = String((responses += 1))));

// The same namespaces with another parser.
const packed = new SocketServer({
  ...engineOptions,
  parser,
  path: "/msgpack",
  serveClient: false,
  destroyUpgrade: false,
  ...(Number(env.RECOVERY) && { connectionStateRecovery: { maxDisconnectionDuration: Number(env.RECOVERY) } }),
});
packed.attach(http);

const engine = new EngineServer(engineOptions);
engine.attach(http, { path: "/engine.io", destroyUpgrade: false });
engine.on("connection", (session) => session.on("message", (data) => session.send(data)));

const echo = new WebSocketServer({ noServer: true, maxPayload: MESSAGE_BYTES_MAX, perMessageDeflate: false, maxFragments: 0 });
echo.on("connection", (socket) => {
  socket.on("message", (data, binary) => socket.send(data, { binary }));
  socket.on("error", () => {});
});

http.on("upgrade", (request, socket, head) => {
  const { pathname } = new URL(request.url, "http://server");
  if (pathname === "/websocket") {
    echo.handleUpgrade(request, socket, head, (ws) => echo.emit("connection", ws, request));
  } else if (!["/socket.io/", "/msgpack/", "/engine.io/"].includes(pathname)) {
    socket.end("HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
  }
});
http.on("connection", (socket) => socket.setNoDelay(true));

for (const namespace of [io, packed].flatMap((server) => [server.of("/"), server.of("/custom"), server.of(/^\/dyn-\d+$/)])) {
  namespace.on("connection", (socket) => {
    socket.emit("auth", socket.handshake.auth);
    handle(socket);
  });
}

for (const server of [io, packed]) {
  server.of("/deny").use((_socket, next) => {
    next(Object.assign(new Error("not authorized"), { data: { code: "E_AUTH" } }));
  });
}

io.of("/jwt")
  .use((socket, next) => {
    socket.data.claims = verify(socket.handshake.auth.token);
    next(socket.data.claims ? undefined : new Error("unauthorized"));
  })
  .on("connection", (socket) => {
    const { sub, exp } = socket.data.claims;
    // Node fires a timer at once when its delay does not fit 31 bits.
    const expiry = setTimeout(() => socket.disconnect(), Math.min(exp * 1000 - Date.now(), 2 ** 31 - 1));
    socket.on("disconnect", () => clearTimeout(expiry));
    socket.emit("auth", { sub });
    handle(socket);
  });

function handle(socket) {
  const on = (event, handler) =>
    socket.on(event, (...args) => {
      const ack = typeof args.at(-1) === "function" ? args.pop() : () => {};
      handler(ack, ...args);
    });

  on("message", (_ack, ...args) => socket.emit("message-back", ...args));
  on("message-with-ack", (ack, ...args) => ack(...args));
  on("echo", (ack, ...args) => ack(...args));
  on("ask", (_ack, ...args) => socket.emit("ask", ...args, (...answer) => socket.emit("ask-result", ...answer)));
  on("join", (ack, room) => {
    if (typeof room !== "string") return ack("error");
    socket.join(room);
    if (LOAD) ack("ok");
    else ack("joined", room);
  });
  on("leave", (ack, room) => {
    socket.leave(room);
    ack("left", room);
  });
  on("room-cast", (ack, room, ...args) => {
    if (!socket.rooms.has(room)) return ack("denied");
    socket.nsp.to(room).emit("room-event", room, ...args);
    ack("sent");
  });
  on("broadcast", (_ack, value) => (LOAD ? socket.nsp.to("r").emit("msg", value) : socket.nsp.emit("broadcast", value)));
  on("typing", (_ack, room, value) => socket.to(room).emit("typing", value));
  on("burst", (_ack, count) => repeat(count, 100_000, (i) => socket.emit("seq", i)));
  on("volatile", (_ack, count) => {
    repeat(count, 100_000, (i) => socket.volatile.emit("vol", i));
    socket.emit("vol-done", count);
  });
  on("flood", (ack, room, count, size) => {
    const filling = "x".repeat(Math.min(size, 200_000));
    repeat(count, 20_000, (i) => socket.nsp.to(room).emit("flood", i, filling));
    ack(count);
  });
  on("kick", (_ack, everything) => (everything ? socket.conn.close() : socket.disconnect()));
  on("whoami", (ack) => ack({ sid: socket.id, rooms: socket.rooms.size, nsp: socket.nsp.name }));
}

function repeat(count, limit, action) {
  for (let i = 0; i < Math.min(count, limit); i += 1) action(i);
}

/** The claims of a good HS256 token, else undefined. */
function verify(token) {
  if (typeof token !== "string" || token.length > TOKEN_BYTES_MAX) return undefined;
  const parts = token.split(".");
  if (parts.length !== 3) return undefined;
  const expected = createHmac("sha256", SECRET).update(`${parts[0]}.${parts[1]}`).digest();
  const given = Buffer.from(parts[2], "base64url");
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  let header, claims;
  try {
    [header, claims] = parts.slice(0, 2).map((part) => JSON.parse(Buffer.from(part, "base64url")));
  } catch {
    return undefined;
  }
  const now = Date.now() / 1000;
  const good =
    header?.alg === "HS256" &&
    header.crit === undefined &&
    typeof claims?.sub === "string" &&
    typeof claims.exp === "number" &&
    claims.exp > now &&
    (claims.nbf === undefined || (typeof claims.nbf === "number" && claims.nbf <= now));
  return good ? claims : undefined;
}

function audit() {
  const namespaces = [io, packed].flatMap((server) => [...server._nsps.values()]);
  return {
    connections: io.engine.clientsCount + packed.engine.clientsCount + engine.clientsCount + echo.clients.size,
    sockets: namespaces.reduce((sum, namespace) => sum + namespace.sockets.size, 0),
    rooms: namespaces.reduce((sum, namespace) => sum + namespace.adapter.rooms.size, 0),
  };
}

process.once("SIGTERM", () => {
  http.close();
  io.engine.close();
  packed.engine.close();
  engine.close();
  for (const socket of echo.clients) socket.close(1001);
  // What was written above leaves in this turn of the loop; idle keep-alive connections go then.
  setTimeout(() => process.exit(0), 50);
});

http.listen(PORT, HOST, () => console.log(`listening on http://${HOST}:${http.address().port}`));
