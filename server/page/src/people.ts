// Who is connected, in production: asked of the HTTP API, for those who have its key.

import { signal } from "@preact/signals";

import { ask } from "./backend";
import { setup } from "./setup";

export interface Person {
  id: string;
  name: string;
  role: string;
  sockets: number;
}

interface Member {
  session: string;
  user: { id: string; name: string; role: string } | null;
}

export const people = signal<readonly Person[]>([]);
/** Sockets of no user: opened on the login page. */
export const strangers = signal(0);

const EVERY_MS = 3_000;

/** Asks until the page is closed. */
export async function watchPeople(): Promise<void> {
  for (;;) {
    const isAsked = setup.value && !setup.value.demonstration && document.visibilityState === "visible";
    // What could not be asked is asked again.
    if (isAsked) await ask<{ members: Member[] }>("members", { to: { all: true } }).then(({ members }) => count(members), () => {});
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

function count(members: Member[]): void {
  const found = new Map<string, Person>();
  for (const { user } of members) {
    if (user) found.set(user.id, { ...user, sockets: (found.get(user.id)?.sockets ?? 0) + 1 });
  }
  people.value = [...found.values()].sort((a, b) => b.sockets - a.sockets || a.name.localeCompare(b.name));
  strangers.value = members.filter(({ user }) => user === null).length;
}
