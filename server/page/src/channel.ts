// A channel as one user sees it: messages and who is typing. The messages are the backend's to keep; roomcast tells
// those who are there.

import { signal } from "@preact/signals";

import { say } from "./backend";
import type { Connection } from "./connection";

export interface Message {
  id: string;
  user: { id: string; name: string };
  content: string;
  at: Date;
}

interface ChannelEvent {
  channel_id: string;
  data: { type: string; data?: { id?: string; content?: string; typing?: boolean } };
  user: { id: string; name: string };
}

const MESSAGES_MAX = 100;
/** After this long without a word of it, nobody types any more. */
const TYPING_MS = 4_000;

export class Channel {
  readonly messages = signal<readonly Message[]>([]);
  /** Names of the others who are typing. */
  readonly typing = signal<readonly string[]>([]);
  #timers = new Map<string, ReturnType<typeof setTimeout>>();

  constructor(
    readonly connection: Connection,
    readonly channel: { id: string; name: string },
  ) {
    connection.socket.on("events:channel", (event: ChannelEvent) => event.channel_id === channel.id && this.#hear(event));
  }

  /** Tells of every keystroke, as the front end does; the server passes on two a second. */
  type(isTyping: boolean): void {
    const data = { type: "typing", data: { typing: isTyping } };
    this.connection.socket.volatile.emit("events:channel", { channel_id: this.channel.id, message_id: null, data });
  }

  async say(content: string): Promise<void> {
    this.type(false);
    await say(this.connection.user, this.channel, content);
  }

  #hear({ data: { type, data }, user }: ChannelEvent): void {
    if (type === "typing" && user.id !== this.connection.user.id) this.#setTyping(user.name, data?.typing === true);
    if (type !== "message" || !data?.id) return;
    this.#setTyping(user.name, false);
    const message = { id: data.id, user, content: data.content ?? "", at: new Date() };
    this.messages.value = [...this.messages.value, message].slice(-MESSAGES_MAX);
    const read = { type: "last_read_at" };
    this.connection.socket.emit("events:channel", { channel_id: this.channel.id, message_id: null, data: read });
  }

  #setTyping(name: string, isTyping: boolean): void {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
    if (isTyping) this.#timers.set(name, setTimeout(() => this.#setTyping(name, false), TYPING_MS));
    this.typing.value = [...this.#timers.keys()];
  }
}
