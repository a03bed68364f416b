// An editor over the application protocol that does what Open WebUI 0.6.41's front end does, with its habits:
//
// * it joins a document on every connection, and tells who it is only after that;
// * two zeros among one session make it load the note by itself, two zeros make it send all that it has, as an
//   attachment, and anything else is taken in;
// * what it takes in, apart from a state, it sends back as if it had been typed here, with the content as rendered;
// * of what was typed without a connection it says nothing by itself;
// * its awareness is JSON, and no y-protocols.

import { Editor, schema } from "./editor.mjs";

import { io } from "socket.io-client";
import { prosemirrorJSONToYDoc } from "y-prosemirror";
import * as Y from "yjs";

import { until } from "../../wait.mjs";

export class Browser extends Editor {
  /** Events that came, by name. */
  states = [];
  updates = [];
  errors = [];
  left = [];
  sent = 0;
  #isConnected = false;

  /**
   * `note` is what the page has loaded of the note, a ProseMirror document or nothing. `entry` says when the server
   * learns who it is: with the first packet, or by `user-join` alone, as after a login.
   */
  constructor(t, { url, token, user, id, note = null, entry = "connect", transports = ["websocket"] }) {
    super(`${user} (application protocol)`);
    this.id = id;
    this.token = token;
    this.user = user;
    this.note = note;
    this.awareness = new PlainAwareness(this.doc.clientID);
    this.open(this.awareness);
    this.socket = io(url, {
      path: "/ws/socket.io",
      transports,
      forceNew: true,
      reconnectionDelay: 50,
      reconnectionDelayMax: 200,
      auth: entry === "connect" ? { token } : {},
    });
    this.#listen();
    t.after(() => this.destroy());
  }

  /** The same, once it is in the document. */
  static async open(t, member) {
    const browser = new Browser(t, member);
    await until(() => browser.states.length > 0, () => `state for ${browser.name}; errors: ${browser.errors}`);
    return browser;
  }

  join() {
    this.socket.emit("ydoc:document:join", {
      document_id: this.id,
      user_id: this.user,
      user_name: this.user,
      user_color: "#4ECDC4",
    });
    this.awareness.setLocalStateField("user", { name: this.user, color: "#4ECDC4", id: this.socket.id });
  }

  /** The network goes away, without a word, until `plugIn`. */
  pullPlug() {
    this.socket.io.engine?.transport.ws?.terminate();
    // Nothing of this goes over the wire any more; the client stops trying.
    this.socket.disconnect();
  }

  plugIn() {
    this.socket.connect();
  }

  get isConnected() {
    return this.#isConnected;
  }

  destroy() {
    this.socket.removeAllListeners();
    this.socket.disconnect();
    this.#isConnected = false;
    if (!this.view.isDestroyed) this.close();
  }

  #listen() {
    const { socket, doc } = this;
    const ours = (handle) => (data) => data.document_id === this.id && handle(data);
    socket.on("connect", () => {
      this.#isConnected = true;
      this.join();
      // The page asks for the version of the server in between.
      setImmediate(() => socket.emit("user-join", { auth: { token: this.token } }));
    });
    socket.on("disconnect", () => (this.#isConnected = false));
    socket.on("error", ({ message }) => this.errors.push(message));
    socket.on("ydoc:document:state", ours((data) => this.#hearState(data)));
    socket.on("ydoc:document:update", ours((data) => {
      this.updates.push(data);
      // Without an origin: this is how it comes to be sent back.
      if (data.socket_id !== socket.id) Y.applyUpdate(doc, new Uint8Array(data.update));
    }));
    socket.on("ydoc:awareness:update", ours(({ update }) => this.awareness.hear(new Uint8Array(update))));
    socket.on("ydoc:user:left", ours(({ user_id }) => this.left.push(user_id)));
    doc.on("update", async (update, origin) => {
      if (origin === "server" || !this.#isConnected) return;
      await null;
      this.#send({ update: [...update], data: { content: this.content } });
    });
    this.awareness.on("change", ({ updated }, origin) => {
      if (origin === "server" || !this.#isConnected) return;
      const update = [...this.awareness.encode(updated)];
      socket.emit("ydoc:awareness:update", { document_id: this.id, user_id: socket.id, update });
    });
  }

  #hearState({ state, sessions }) {
    const bytes = new Uint8Array(state);
    this.states.push({ bytes, sessions });
    if (bytes.length > 2) {
      Y.applyUpdate(this.doc, bytes, "server");
    } else if (this.isEmpty) {
      if (this.note && (sessions ?? [""]).length === 1) {
        Y.applyUpdate(this.doc, Y.encodeStateAsUpdate(prosemirrorJSONToYDoc(schema, this.note, "prosemirror")));
      }
    } else if (this.fragment.length > 0) {
      this.#send({ update: Y.encodeStateAsUpdate(this.doc) });
    }
  }

  #send(more) {
    this.sent += 1;
    const { id, user, socket } = this;
    socket.emit("ydoc:document:update", { document_id: id, user_id: user, socket_id: socket.id, ...more });
  }
}

/** The front end's awareness: the states of all, and the changed ones go out as JSON. */
export class PlainAwareness {
  states = new Map();
  #handlers = new Set();

  constructor(clientID) {
    this.clientID = clientID;
    this.states.set(clientID, {});
  }

  on(_event, handler) {
    this.#handlers.add(handler);
  }

  off(_event, handler) {
    this.#handlers.delete(handler);
  }

  getStates() {
    return this.states;
  }

  getLocalState() {
    return this.states.get(this.clientID);
  }

  setLocalStateField(field, value) {
    this.getLocalState()[field] = value;
    this.#tell([this.clientID], "local");
  }

  hear(bytes) {
    const states = Object.entries(JSON.parse(new TextDecoder().decode(bytes)));
    for (const [client, state] of states) this.states.set(Number(client), state);
    this.#tell(states.map(([client]) => Number(client)), "server");
  }

  encode(clients) {
    return new TextEncoder().encode(JSON.stringify(Object.fromEntries(clients.map((id) => [id, this.states.get(id)]))));
  }

  #tell(updated, origin) {
    for (const handler of this.#handlers) handler({ added: [], updated, removed: [] }, origin);
  }
}
