// An editor on a stock provider of y-websocket.

import { Editor } from "./editor.mjs";

import { WebSocket } from "ws";
import { readAuthMessage } from "y-protocols/auth";
import { WebsocketProvider } from "y-websocket";

import { until } from "../../wait.mjs";

// A provider listens to the end of its process, and these tests have many.
process.setMaxListeners(100);

export class Peer extends Editor {
  /** Reasons for which something was refused. */
  denied = [];
  closings = [];

  constructor(t, { url, token, user, id }) {
    super(`${user} (y-websocket)`);
    this.provider = new WebsocketProvider(`${url.replace("http", "ws")}/ws/yjs`, id, this.doc, {
      WebSocketPolyfill: WebSocket,
      params: { token },
      // Within one process they would hear each other past the server.
      disableBc: true,
      maxBackoffTime: 200,
    });
    const { provider } = this;
    this.awareness = provider.awareness;
    this.awareness.setLocalStateField("user", { name: user, color: "#45b7d1" });
    // As the provider's own, which writes to the console.
    const AUTH = 2;
    provider.messageHandlers[AUTH] = (_encoder, decoder) =>
      readAuthMessage(decoder, this.doc, (_doc, reason) => this.denied.push(reason));
    provider.on("connection-close", (event) => this.closings.push(event?.code ?? null));
    this.open(this.awareness);
    t.after(() => this.destroy());
  }

  /** The same, once it has what the server has. */
  static async open(t, member) {
    const peer = new Peer(t, member);
    await until(() => peer.provider.synced, () => `sync of ${peer.name}; denied: ${peer.denied}`);
    return peer;
  }

  /** The network goes away, without a word, until `plugIn`. */
  pullPlug() {
    this.provider.shouldConnect = false;
    this.provider.ws?.terminate();
  }

  plugIn() {
    this.provider.connect();
  }

  get isConnected() {
    return this.provider.wsconnected;
  }

  destroy() {
    this.provider.destroy();
    if (!this.view.isDestroyed) this.close();
  }
}
