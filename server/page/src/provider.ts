// A note over the application protocol: what Open WebUI's editor does with a Yjs document and its cursors
// (docs/openwebui-protocol.md, 2.1, 2.2 and 2.6).

import { signal } from "@preact/signals";
import * as encoding from "lib0/encoding";
import { Awareness, applyAwarenessUpdate, removeAwarenessStates } from "y-protocols/awareness";
import * as Y from "yjs";

import type { Connection } from "./connection";

/** What an editor renders of the note, for its row in the database. */
export interface Content {
  md: string;
  html: string;
  json: unknown;
}

interface DocumentEvent {
  document_id: string;
  state?: number[] | ArrayBuffer;
  update?: number[] | ArrayBuffer;
  sessions?: string[];
}

/** A page has one focus and shows two windows: the one that loses it keeps its cursor. */
class WindowAwareness extends Awareness {
  override setLocalStateField(field: string, value: unknown): void {
    if (field !== "cursor" || value !== null) super.setLocalStateField(field, value);
  }
}

export class NoteProvider {
  readonly doc = new Y.Doc();
  readonly awareness = new WindowAwareness(this.doc);
  /** Members whose cursors are known, this one included. */
  readonly members = signal(1);
  readonly isSynced = signal(false);
  readonly #id: string;

  /** `render` gives the content as it is now; `seed` is put into an empty note. */
  constructor(
    readonly connection: Connection,
    note: string,
    readonly render: () => Content,
    seed: () => Uint8Array,
  ) {
    this.#id = `note:${note}`;
    const { socket, user } = connection;
    const ours = (handle: (data: DocumentEvent) => void) => (data: DocumentEvent) => data.document_id === this.#id && handle(data);
    socket.on("ydoc:document:state", ours((data) => this.#hearState(data, seed)));
    socket.on("ydoc:document:update", ours(({ update }) => update && Y.applyUpdate(this.doc, bytes(update), this)));
    socket.on("ydoc:awareness:update", ours(({ update }) => update && this.#hearAwareness(bytes(update))));
    // A newcomer knows of no cursors yet.
    socket.on("ydoc:user:joined", ours(() => this.#tellAwareness()));
    socket.on("disconnect", () => {
      this.isSynced.value = false;
      const others = [...this.awareness.getStates().keys()].filter((client) => client !== this.doc.clientID);
      removeAwarenessStates(this.awareness, others, this);
    });
    this.doc.on("update", (update: Uint8Array, origin: unknown) => origin !== this && this.#send([...update]));
    this.awareness.on("update", (change: { added: number[]; updated: number[]; removed: number[] }, origin: unknown) => {
      this.members.value = this.awareness.getStates().size;
      const own = this.doc.clientID;
      if (origin !== this && (change.added.includes(own) || change.updated.includes(own))) this.#tellAwareness();
    });
    this.awareness.setLocalStateField("user", { id: user.id, name: user.name });
    connection.onReady(() => {
      socket.emit("ydoc:document:join", { document_id: this.#id, user_id: user.id, user_name: user.name, user_color: user.id });
      this.#tellAwareness();
    });
  }

  #hearState({ state, sessions }: DocumentEvent, seed: () => Uint8Array): void {
    if (!state) return;
    const update = bytes(state);
    if (update.length > 2) {
      Y.applyUpdate(this.doc, update, this);
      this.isSynced.value = true;
    } else if (this.doc.store.clients.size > 0) {
      // Two zeros ask for all that there is here, as after a time offline.
      this.#send(Y.encodeStateAsUpdate(this.doc));
    } else if (sessions?.length === 1) {
      // Alone in an empty note: this member loads it.
      Y.applyUpdate(this.doc, seed());
      this.isSynced.value = true;
    }
  }

  #send(update: number[] | Uint8Array): void {
    if (!this.connection.socket.connected) return;
    const { socket, user } = this.connection;
    // The editor sees the change after this.
    queueMicrotask(() =>
      socket.emit("ydoc:document:update", {
        document_id: this.#id,
        user_id: user.id,
        socket_id: socket.id,
        update,
        data: { content: this.render() },
      }),
    );
  }

  /** The front end's awareness is JSON, states by client. */
  #tellAwareness(): void {
    const { socket, user } = this.connection;
    if (!socket.connected) return;
    const states = { [this.doc.clientID]: this.awareness.getLocalState() };
    const update = [...new TextEncoder().encode(JSON.stringify(states))];
    socket.emit("ydoc:awareness:update", { document_id: this.#id, user_id: user.id, update });
  }

  /** A state that is gone is empty. */
  #hearAwareness(update: Uint8Array): void {
    const states = Object.entries(JSON.parse(new TextDecoder().decode(update)) as Record<string, object>);
    const encoder = encoding.createEncoder();
    encoding.writeVarUint(encoder, states.length);
    for (const [client, state] of states) {
      const clock = (this.awareness.meta.get(Number(client))?.clock ?? 0) + 1;
      encoding.writeVarUint(encoder, Number(client));
      encoding.writeVarUint(encoder, clock);
      encoding.writeVarString(encoder, JSON.stringify(Object.keys(state).length > 0 ? state : null));
    }
    applyAwarenessUpdate(this.awareness, encoding.toUint8Array(encoder), this);
  }
}

const bytes = (data: number[] | ArrayBuffer): Uint8Array => new Uint8Array(data);
