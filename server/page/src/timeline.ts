// The packets of all connections of this page, in the order in which they came and went. Bounded; drawn at most once a
// frame, however many there are.

import { computed, signal } from "@preact/signals";

import type { Described } from "./packets";

/** in: from the server; out: to it; life: what became of the connection. */
export type Direction = "in" | "out" | "life";

export interface Entry extends Described {
  key: number;
  /** Milliseconds since the page was opened. */
  at: number;
  lane: string;
  direction: Direction;
}

export interface Lane {
  id: string;
  name: string;
}

export const ENTRIES_MAX = 400;

export const lanes = signal<Lane[]>([]);
export const entries = signal<readonly Entry[]>([]);
export const isPaused = signal(false);
/** How many there were, those that have left the list included. */
export const count = signal(0);

export const hiddenLanes = signal<ReadonlySet<string>>(new Set());
export const showsControl = signal(false);
export const wanted = signal("");

export const shown = computed(() => {
  const text = wanted.value.trim().toLowerCase();
  return entries.value.filter(
    (entry) =>
      !hiddenLanes.value.has(entry.lane) &&
      (showsControl.value || !entry.isControl) &&
      (text === "" || `${entry.type} ${entry.label} ${entry.detail}`.toLowerCase().includes(text)),
  );
});

let waiting: Entry[] = [];
let key = 0;

export function record(lane: string, direction: Direction, described: Described): void {
  key += 1;
  if (waiting.length === 0) requestAnimationFrame(flush);
  waiting.push({ ...described, key, at: performance.now(), lane, direction });
  // A page in the background draws no frames.
  if (waiting.length > ENTRIES_MAX) waiting = waiting.slice(-ENTRIES_MAX);
}

export function recordLife(lane: string, label: string, detail = ""): void {
  record(lane, "life", { type: "connection", label, isControl: false, bytes: 0, detail });
}

export function clear(): void {
  entries.value = [];
}

export function toggleLane(id: string): void {
  const hidden = new Set(hiddenLanes.value);
  if (!hidden.delete(id)) hidden.add(id);
  hiddenLanes.value = hidden;
}

function flush(): void {
  count.value = key;
  if (!isPaused.value) entries.value = [...entries.value, ...waiting].slice(-ENTRIES_MAX);
  waiting = [];
}
