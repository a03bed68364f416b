// A chat with a model as one user sees it: answers that stream in, with their status and sources, and dialogs that the
// backend opens by an event that it waits for (an event call).

import { signal } from "@preact/signals";

import { answer, type Source, type StatusEvent } from "./backend";
import type { Connection } from "./connection";

export interface Exchange {
  id: string;
  /** Empty in other windows of the user than the one that asked. */
  question: string;
  status: readonly StatusEvent[];
  content: string;
  sources: readonly Source[];
  state: "streaming" | "done" | "failed";
}

export interface Dialog {
  title: string;
  message: string;
  reply: (isAllowed: boolean) => void;
}

interface ChatEvent {
  chat_id: string;
  message_id: string;
  data: { type: string; data: unknown };
}

/** The model, as `usage` names it. */
const MODEL = "demonstration";
/** The front end says this often that a model writes. */
const USAGE_MS = 1_000;
const EXCHANGES_MAX = 20;

export class Chat {
  readonly exchanges = signal<readonly Exchange[]>([]);
  readonly dialog = signal<Dialog | null>(null);
  readonly isBusy = signal(false);

  constructor(
    readonly connection: Connection,
    readonly id: string,
  ) {
    connection.socket.on("events", (event: ChatEvent, ack?: (answer: unknown) => void) => {
      if (event.chat_id === id) this.#hear(event, ack);
    });
    // Nobody waits for an answer over a connection that is gone.
    connection.socket.on("disconnect", () => (this.dialog.value = null));
  }

  async ask(text: string, note: { title: string; text: string }): Promise<void> {
    const { socket, user } = this.connection;
    const message = crypto.randomUUID();
    this.isBusy.value = true;
    this.#change(message, (exchange) => ({ ...exchange, question: text }));
    const usage = () => socket.emit("usage", { action: "chat", model: MODEL, chat_id: this.id });
    const timer = setInterval(usage, USAGE_MS);
    usage();
    try {
      await answer({ user, session: socket.id ?? "", chat: this.id, message, text, note });
    } catch (error) {
      const description = `Failed: ${error instanceof Error ? error.message : String(error)}`;
      this.#change(message, (it) => ({ ...it, state: "failed", status: [...it.status, { description, done: true }] }));
    } finally {
      clearInterval(timer);
      this.isBusy.value = false;
    }
  }

  #hear({ message_id, data: { type, data } }: ChatEvent, ack?: (answer: unknown) => void): void {
    const change = (how: (exchange: Exchange) => Partial<Exchange>) => this.#change(message_id, (it) => ({ ...it, ...how(it) }));
    switch (type) {
      case "status":
        change(({ status }) => ({ status: [...status.filter(({ done }) => done), data as StatusEvent] }));
        break;
      case "source":
        change(({ sources }) => ({ sources: [...sources, data as Source] }));
        break;
      case "message":
        change(({ content }) => ({ content: content + (data as { content: string }).content }));
        break;
      case "chat:completion":
        change(() => ({ state: "done" }));
        break;
      case "confirmation": {
        const { title, message } = data as { title: string; message: string };
        const reply = (isAllowed: boolean) => {
          this.dialog.value = null;
          ack?.(isAllowed);
        };
        this.dialog.value = { title, message, reply };
      }
    }
  }

  #change(id: string, how: (exchange: Exchange) => Exchange): void {
    const known = this.exchanges.value.some((exchange) => exchange.id === id);
    const fresh: Exchange = { id, question: "", status: [], content: "", sources: [], state: "streaming" };
    const all = known ? this.exchanges.value : [...this.exchanges.value, fresh].slice(-EXCHANGES_MAX);
    this.exchanges.value = all.map((exchange) => (exchange.id === id ? how(exchange) : exchange));
  }
}
