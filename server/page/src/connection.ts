// One user's connection: the stock client of Socket.IO, with its packets told to the timeline, and the login that Open
// WebUI's front end does on every connection.

import { signal } from "@preact/signals";
import { Manager, type Socket } from "socket.io-client";

import { describe, type EnginePacket } from "./packets";
import { type Setup, tokenOf, type User } from "./setup";
import { record, recordLife } from "./timeline";

export type Status = "connecting" | "online" | "offline" | "lost";

/** The front end says every 30 s that its user is there. */
const HEARTBEAT_MS = 30_000;

export class Connection {
  readonly status = signal<Status>("connecting");
  readonly transport = signal("");
  readonly sid = signal("");
  readonly socket: Socket;
  #manager: Manager;
  #ready: (() => void)[] = [];

  constructor(
    readonly user: User,
    setup: Setup,
  ) {
    this.#manager = new Manager({
      path: setup.path,
      autoConnect: false,
      reconnectionDelay: 250,
      reconnectionDelayMax: 2_000,
      transports: ["polling", "websocket"],
    });
    this.socket = this.#manager.socket("/", { auth: (give) => void tokenOf(user.id).then((token) => give({ token }), () => give({})) });
    this.#listen();
    this.goOnline();
    // The stock client closes only every other of its connections by itself.
    addEventListener("offline", () => this.#manager.engine?.close());
    setInterval(() => this.status.value === "online" && this.socket.emit("heartbeat", {}), HEARTBEAT_MS);
  }

  /** Called whenever the user is logged in, again after every reconnect; at once if that is so already. */
  onReady(handle: () => void): void {
    this.#ready.push(handle);
    if (this.status.value === "online") handle();
  }

  /** The network of this user alone goes away, and stays away until `goOnline`. */
  goOffline(): void {
    this.status.value = "offline";
    recordLife(this.user.id, "went offline");
    // Without a word to the server, as when a cable is pulled.
    this.#manager.reconnection(false);
    this.#manager.engine?.close();
    this.socket.disconnect();
  }

  goOnline(): void {
    this.status.value = "connecting";
    this.#manager.reconnection(true);
    this.socket.connect();
    this.#watch();
  }

  #listen(): void {
    const { socket, user } = this;
    const manager = this.#manager;
    manager.on("reconnect_attempt", (attempt) => {
      recordLife(user.id, `tries again, ${ordinal(attempt)} time`);
      // The next engine is made right after this.
      queueMicrotask(() => this.#watch());
    });
    socket.on("connect", async () => {
      this.sid.value = socket.id ?? "";
      const token = await tokenOf(user.id).catch(() => "");
      socket.emit("user-join", { auth: { token } }, () => {
        this.status.value = "online";
        for (const handle of this.#ready) handle();
      });
    });
    socket.on("disconnect", (reason) => {
      this.sid.value = "";
      this.transport.value = "";
      if (this.status.value !== "offline") {
        this.status.value = "lost";
        recordLife(user.id, "lost", reason);
      }
    });
  }

  /** Tells the timeline of every packet of the engine that there is now. */
  #watch(): void {
    const { engine } = this.#manager as unknown as { engine: Engine & { isWatched?: boolean } };
    if (!engine || engine.isWatched) return;
    engine.isWatched = true;
    const { id } = this.user;
    const transport = () => (this.transport.value = engine.transport.name);
    engine.on("packet", (packet) => record(id, "in", describe(packet as EnginePacket)));
    engine.on("packetCreate", (packet) => record(id, "out", describe(packet as EnginePacket)));
    engine.on("open", () => {
      transport();
      recordLife(id, `opened over ${engine.transport.name}`);
    });
    engine.on("upgrade", () => {
      transport();
      recordLife(id, `upgraded to ${engine.transport.name}`);
    });
  }
}

/** What is used of engine.io-client. */
interface Engine {
  transport: { name: string };
  on(event: string, handle: (packet: unknown) => void): void;
}

function ordinal(n: number): string {
  const ending = n % 100 > 10 && n % 100 < 14 ? "th" : (["th", "st", "nd", "rd"][n % 10] ?? "th");
  return `${n}${ending}`;
}
