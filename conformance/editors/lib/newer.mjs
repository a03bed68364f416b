// An editor over the application protocol that does what Open WebUI 0.12.4's front end does, with its habits:
//
// * the token goes with CONNECT, and the join follows as soon as that is answered;
// * while it is connected and has not been told the document, its user cannot write;
// * two zeros make it send all that it has, or, if it has nothing and there is a content, make an update of that and send
//   it as the first one: what that is acknowledged with is what counts;
// * what it takes in it does not send back, but half a second later it sends the content as rendered;
// * of what was typed without a connection it says nothing by itself.

import { PlainAwareness } from "./browser.mjs";
import { Editor, schema } from "./editor.mjs";

import { Plugin } from "prosemirror-state";
import { io } from "socket.io-client";
import { prosemirrorJSONToYDoc, ySyncPluginKey } from "y-prosemirror";
import * as Y from "yjs";

import { until } from "../../wait.mjs";

/** Time between an update of another editor and the content as rendered. */
const SNAPSHOT_MS = 500;

export class NewerBrowser extends Editor {
  states = [];
  updates = [];
  errors = [];
  acks = [];
  #isConnected = false;
  #isSynced = false;
  #snapshot = null;

  /** `note` is what the page has loaded of the note, a ProseMirror document or nothing. */
  constructor(t, { url, token, user, id, note = null }) {
    super(`${user} (0.12)`);
    this.id = id;
    this.user = user;
    this.note = note;
    this.awareness = new PlainAwareness(this.doc.clientID);
    const filterTransaction = (tr) =>
      this.#isSynced || !this.#isConnected || !tr.docChanged || Boolean(tr.getMeta(ySyncPluginKey)?.isChangeOrigin);
    this.open(this.awareness, [new Plugin({ filterTransaction })]);
    this.socket = io(url, {
      path: "/ws/socket.io",
      transports: ["websocket"],
      forceNew: true,
      reconnectionDelay: 50,
      reconnectionDelayMax: 200,
      auth: (done) => done({ token }),
    });
    this.#listen();
    t.after(() => this.destroy());
  }

  /** The same, once its user can write. */
  static async open(t, member) {
    const browser = new NewerBrowser(t, member);
    await until(() => browser.#isSynced, () => `state for ${browser.name}; errors: ${browser.errors}`);
    return browser;
  }

  /** The network goes away, without a word, until `plugIn`. */
  pullPlug() {
    this.socket.io.engine?.transport.ws?.terminate();
    this.socket.disconnect();
  }

  plugIn() {
    this.socket.connect();
  }

  get isConnected() {
    return this.#isConnected;
  }

  get isSynced() {
    return this.#isSynced;
  }

  destroy() {
    clearTimeout(this.#snapshot);
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
      const { id, user } = this;
      socket.emit("ydoc:document:join", { document_id: id, user_id: user, user_name: user, user_color: "#4ECDC4" });
      this.awareness.setLocalStateField("user", { name: user, color: "#4ECDC4", id: socket.id });
    });
    socket.on("disconnect", () => {
      this.#isConnected = false;
      this.#isSynced = false;
    });
    socket.on("error", ({ message }) => this.errors.push(message));
    socket.on("ydoc:document:state", ours((data) => this.#hearState(data)));
    socket.on("ydoc:document:update", ours((data) => {
      this.updates.push(data);
      if (data.socket_id === socket.id) return;
      Y.applyUpdate(doc, new Uint8Array(data.update), "server");
      clearTimeout(this.#snapshot);
      this.#snapshot = setTimeout(() => this.#sendSnapshot(), SNAPSHOT_MS);
    }));
    socket.on("ydoc:awareness:update", ours(({ update }) => this.awareness.hear(new Uint8Array(update))));
    doc.on("update", async (update, origin) => {
      if (origin === "server" || !this.#isConnected) return;
      await null;
      this.#send({ user_id: this.user, socket_id: socket.id, update: [...update], data: { content: this.content } });
      clearTimeout(this.#snapshot);
      this.#snapshot = null;
    });
    this.awareness.on("change", ({ updated }, origin) => {
      if (origin === "server" || !this.#isConnected) return;
      const update = [...this.awareness.encode(updated)];
      socket.emit("ydoc:awareness:update", { document_id: this.id, user_id: socket.id, update });
    });
  }

  #hearState({ state, content }) {
    const bytes = new Uint8Array(state);
    this.states.push({ bytes, content });
    if (bytes.length > 2) {
      Y.applyUpdate(this.doc, bytes, "server");
    } else if (this.isEmpty && this.fragment.length === 0) {
      const initial = content?.json ?? this.note;
      if (initial) return this.#initialize(initial);
    } else if (this.fragment.length > 0) {
      this.#send({ user_id: this.user, socket_id: this.socket.id, update: [...Y.encodeStateAsUpdate(this.doc)] });
    }
    this.#isSynced = true;
  }

  #initialize(json) {
    const doc = prosemirrorJSONToYDoc(schema, json, "prosemirror");
    const update = [...Y.encodeStateAsUpdate(doc)];
    doc.destroy();
    this.#send({ update, initialize: true }, (state) => {
      this.acks.push(state);
      if (!state || this.view.isDestroyed) return;
      Y.applyUpdate(this.doc, new Uint8Array(state), "server");
      this.#isSynced = true;
      if (!this.#snapshot) this.#sendSnapshot();
    });
  }

  #sendSnapshot() {
    this.#snapshot = null;
    if (this.#isConnected && !this.view.isDestroyed) this.#send({ data: { content: this.content } });
  }

  #send(more, ...ack) {
    this.socket.emit("ydoc:document:update", { document_id: this.id, ...more }, ...ack);
  }
}
