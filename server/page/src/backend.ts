// What Open WebUI's own process does, played by this page over roomcast's HTTP API: it tells channels of messages, sends
// the answers of a model, and asks a user something in between.

import { describe } from "./packets";
import { apiKey, type User } from "./setup";
import { record } from "./timeline";

/** Its lane in the timeline. */
export const BACKEND = "backend";

export type To = { user: string } | { room: string } | { session: string; user?: string };

/** What the model says of itself while it works, as the front end shows it. */
export interface StatusEvent {
  description: string;
  done: boolean;
}

/** A source of an answer; the answer names it by its number. */
export interface Source {
  source: { name: string };
  document: string[];
}

async function post<T>(route: string, body: object): Promise<T> {
  const text = JSON.stringify(body);
  const shown = (payload: string) => describe({ type: "message", data: payload });
  record(BACKEND, "out", { ...shown(text), type: "POST", label: `/api/${route}${eventOf(body)}` });
  const { status, answer } = await send(route, text);
  record(BACKEND, "in", { ...shown(answer), type: String(status), label: `/api/${route}` });
  return read(status, answer);
}

/** Asks the HTTP API on behalf of the page itself, which is in no timeline. */
export async function ask<T>(route: string, body: object): Promise<T> {
  const { status, answer } = await send(route, JSON.stringify(body));
  return read(status, answer);
}

async function send(route: string, body: string): Promise<{ status: number; answer: string }> {
  const headers = { authorization: `Bearer ${apiKey.value}` };
  const response = await fetch(`api/${route}`, { method: "POST", headers, body });
  return { status: response.status, answer: await response.text() };
}

function read<T>(status: number, answer: string): T {
  if (status === 200) return JSON.parse(answer) as T;
  throw new Error((JSON.parse(answer) as { error: string }).error);
}

const emit = (to: To, event: string, data: object): Promise<unknown> => post("emit", { to, event, data });

/** Tells everybody in a channel of a message. */
export function say(user: User, channel: { id: string; name: string }, content: string): Promise<unknown> {
  const id = crypto.randomUUID();
  const { id: user_id, name, role } = user;
  return emit({ room: `channel:${channel.id}` }, "events:channel", {
    channel_id: channel.id,
    message_id: id,
    data: { type: "message", data: { id, user_id, content, created_at: Date.now() * 1e6 } },
    user: { id: user_id, name, role },
    channel,
  });
}

/** A question of a user to the model. */
export interface Question {
  user: User;
  /** The socket that asked: it is asked back. */
  session: string;
  chat: string;
  message: string;
  text: string;
  /** The note's text, of which the answer quotes a part. */
  note: { title: string; text: string };
}

/** Answers a question as a model's pipe would, word by word. Resolves when all has been said. */
export async function answer(question: Question): Promise<void> {
  const { user, session, chat, message, note } = question;
  const tell = (type: string, data: object, to: To = { user: user.id }) =>
    emit(to, "events", { chat_id: chat, message_id: message, data: { type, data } });
  const status = (description: string, done: boolean) => tell("status", { description, done } satisfies StatusEvent);

  await status("Looks for what it may read", false);
  const confirmation = { title: "May the model read a note?", message: `It would quote “${note.title}” in its answer.` };
  const { data } = await post<{ data: [boolean] }>("call", {
    to: { session, user: user.id },
    event: "events",
    data: { chat_id: chat, message_id: message, session_id: session, data: { type: "confirmation", data: confirmation } },
    timeout_ms: 120_000,
  });
  const mayRead = data[0] === true;
  await status(mayRead ? `Read “${note.title}”` : "Was not allowed to read the note", true);
  const sources: Source[] = mayRead ? [{ source: { name: note.title }, document: [note.text.slice(0, 240)] }, PROTOCOL] : [PROTOCOL];
  for (const source of sources) await tell("source", source);
  for (const word of words(mayRead ? WITH_NOTE : WITHOUT_NOTE)) {
    await tell("message", { content: word });
    await pause(WORD_MS);
  }
  await tell("chat:completion", { done: true });
}

const PROTOCOL: Source = {
  source: { name: "docs/openwebui-protocol.md" },
  document: ["events · user:{id} · {chat_id, message_id, data:{type, data}}, from the backend or POST /api/emit."],
};

const WITH_NOTE =
  "You allowed it, so I have read the note: two editors hold a copy of it each, and send what changes [1]. This answer " +
  "reaches you in the same way as everything else here. A process posts each word to the HTTP API, and roomcast sends it to " +
  "every socket of yours, and to no one else’s, as one small packet [2]. The timeline beside this shows each of them.";

const WITHOUT_NOTE =
  "You did not allow it, so I have not read the note. Your “no” went back to the process that asked as the " +
  "acknowledgement of one event: it waited for it, at most two minutes. These words reach every socket of yours, and no one " +
  "else’s [1].";

/** Words with the blank behind them. */
const words = (text: string): string[] => text.match(/\S+\s*/g) ?? [];

/** About the pace of a model. */
const WORD_MS = 40;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function eventOf(body: object): string {
  const { event, data } = body as { event?: string; data?: { data?: { type?: string } } };
  return event === undefined ? "" : `  ${event}${data?.data?.type ? ` · ${data.data.type}` : ""}`;
}
