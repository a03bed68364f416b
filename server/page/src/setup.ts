// What the program tells the page at its start: `/page/setup`. The tokens of a demonstration end with its process, so
// that this is asked again for every connection.

import { signal } from "@preact/signals";

export interface User {
  id: string;
  name: string;
  role: string;
  token: string;
}

export interface Demonstration {
  /** The key of the HTTP API; null if it came from the environment. */
  api_key: string | null;
  users: User[];
  channel: { id: string; name: string };
  note: { id: string; title: string; data: { content: { json: unknown; md: string } } | null };
  chat: { id: string; title: string };
}

export interface Setup {
  version: string;
  /** The path of the Socket.IO endpoint. */
  path: string;
  /** Missing in production. */
  demonstration?: Demonstration;
}

export const setup = signal<Setup | null>(null);

/** The key of the HTTP API, told by the demonstration or typed in. It lives as long as the tab. */
export const apiKey = signal(sessionStorage.getItem("roomcast-key") ?? "");

/** The program wants the key, and which it has got is not it. */
export const keyWanted = signal(false);

/** A key was given, and it is another. */
export const isRefused = signal(false);

export function keepKey(key: string): void {
  sessionStorage.setItem("roomcast-key", key);
  apiKey.value = key;
}

/** Throws if the program does not answer, or does not let the page in. */
export async function readSetup(): Promise<Setup> {
  const headers: HeadersInit = apiKey.value ? { authorization: `Bearer ${apiKey.value}` } : {};
  const response = await fetch("page/setup", { headers });
  if (response.status === 401) {
    isRefused.value = apiKey.value !== "";
    keyWanted.value = true;
    throw new Error("the key of the HTTP API is wanted");
  }
  if (!response.ok) throw new Error(((await response.json()) as { error: string }).error);
  const read = (await response.json()) as Setup;
  keyWanted.value = false;
  if (read.demonstration?.api_key) apiKey.value = read.demonstration.api_key;
  setup.value = read;
  return read;
}

export async function tokenOf(user: string): Promise<string> {
  const { demonstration } = await readSetup();
  return demonstration?.users.find(({ id }) => id === user)?.token ?? "";
}

/** The class that gives a user's colour. Colours are classes, as the page allows no styles outside of its style sheet. */
export function colourOf(user: string): string {
  const place = setup.value?.demonstration?.users.findIndex(({ id }) => id === user) ?? -1;
  return place < 0 ? "of-other" : `of-${place + 1}`;
}
