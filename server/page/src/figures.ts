// The figures of `/metrics` over the last minute: read each second, as a Prometheus would, while the page is in view.

import { signal } from "@preact/signals";

export interface Figure {
  name: string;
  /** What is counted, for those who cannot see the chart. */
  about: string;
  unit: string;
  lines: { name: string; read: Reading }[];
  /** The top of the chart where the values are lower. */
  atLeast: number;
  print: (value: number) => string;
}

/** `null` if nothing happened that could be measured: the value stays what it was. */
type Reading = (now: Sample, before: Sample, seconds: number) => number | null;

/** Sums over all labels, by name. */
export type Sample = ReadonlyMap<string, number>;

export const POINTS = 60;
const EVERY_MS = 1_000;

export const FIGURES: Figure[] = [
  {
    name: "Connections",
    about: "Engine.IO sessions",
    unit: "",
    lines: [{ name: "sessions", read: (now) => now.get("roomcast_server_sessions") ?? NaN }],
    atLeast: 4,
    print: String,
  },
  {
    name: "Packets",
    about: "packets received and sent in a second",
    unit: "/s",
    lines: [
      { name: "in", read: rate("roomcast_packets_received_total") },
      { name: "out", read: rate("roomcast_packets_queued_total") },
    ],
    atLeast: 10,
    print: whole,
  },
  {
    name: "Note updates",
    about: "Yjs updates applied in a second",
    unit: "/s",
    lines: [{ name: "applied", read: rate("roomcast_app_document_updates_applied_total") }],
    atLeast: 5,
    print: whole,
  },
  {
    name: "Driver lag",
    about: "mean time that a request to the event loop takes",
    unit: "ms",
    lines: [{ name: "mean", read: mean("roomcast_driver_lag_seconds") }],
    atLeast: 2,
    print: tenth,
  },
  {
    name: "Store",
    about: "mean latency of the database",
    unit: "ms",
    lines: [{ name: "mean", read: mean("roomcast_store_question_seconds") }],
    atLeast: 2,
    print: tenth,
  },
  {
    name: "Memory",
    about: "resident memory of the program",
    unit: "MB",
    lines: [{ name: "resident", read: (now) => (now.get("process_resident_memory_bytes") ?? NaN) / 1e6 }],
    atLeast: 20,
    print: whole,
  },
];

/** Of each figure and line, oldest first; NaN where nothing was read. */
export const series = signal<readonly (readonly number[])[][]>(FIGURES.map(({ lines }) => lines.map(() => [])));
/** Whether the last reading was answered. */
export const isAnswered = signal(true);

/** Reads figures until the page is closed. */
export async function watchFigures(): Promise<void> {
  let before: { at: number; sample: Sample } | null = null;
  for (;;) {
    if (document.visibilityState === "visible") {
      const sample = await read();
      const at = performance.now();
      isAnswered.value = sample !== null;
      append(sample, before?.sample ?? sample, (at - (before?.at ?? at - EVERY_MS)) / 1000);
      before = sample && { at, sample };
    }
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  }
}

async function read(): Promise<Sample | null> {
  try {
    const response = await fetch("metrics");
    return response.ok ? parse(await response.text()) : null;
  } catch {
    return null;
  }
}

export function parse(text: string): Sample {
  const sums = new Map<string, number>();
  for (const line of text.split("\n")) {
    const [, name, value] = /^([a-z_]+)(?:\{.*\})? (\S+)$/.exec(line) ?? [];
    if (name !== undefined) sums.set(name, (sums.get(name) ?? 0) + Number(value));
  }
  return sums;
}

function append(now: Sample | null, before: Sample | null, seconds: number): void {
  series.value = FIGURES.map(({ lines }, figure) =>
    lines.map(({ read }, line) => {
      const values = series.value[figure]?.[line] ?? [];
      const value = now && before ? (read(now, before, seconds) ?? values.at(-1) ?? NaN) : NaN;
      return [...values, value].slice(-POINTS);
    }),
  );
}

/** Growth of a counter in a second. A program that has started anew counts from zero. */
function rate(name: string): Reading {
  return (now, before, seconds) => Math.max(0, (now.get(name) ?? 0) - (before.get(name) ?? 0)) / seconds;
}

/** Mean of what a histogram has observed since, in milliseconds. */
function mean(name: string): Reading {
  return (now, before) => {
    const grown = (part: string) => (now.get(`${name}_${part}`) ?? 0) - (before.get(`${name}_${part}`) ?? 0);
    return grown("count") > 0 ? (grown("sum") / grown("count")) * 1000 : null;
  };
}

function whole(value: number): string {
  return String(Math.round(value));
}

function tenth(value: number): string {
  return value.toFixed(1);
}
