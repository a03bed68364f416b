// The timeline: lanes with the packets of the last seconds, and below them the packets as a list.

import { useSignal } from "@preact/signals";
import type { VNode } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

import { BACKEND } from "../backend";
import { size } from "../packets";
import { colourOf } from "../setup";
import {
  clear, count, entries, type Entry, hiddenLanes, isPaused, type Lane, lanes, showsControl, shown, toggleLane, wanted,
} from "../timeline";
import { Icon } from "./icon";

export function TimelineView() {
  return (
    <section class="timeline" aria-label="Timeline of packets">
      <header class="side-head">
        <h2>Packets</h2>
        <span class="faint">{count.value.toLocaleString("en")} so far</span>
        <span class="spring" />
        <button
          type="button"
          class="button is-quiet is-small"
          aria-pressed={isPaused.value}
          aria-label="Pause the timeline"
          title={isPaused.value ? "Go on" : "Pause"}
          onClick={() => (isPaused.value = !isPaused.value)}
        >
          <Icon name={isPaused.value ? "play" : "pause"} />
        </button>
        <button type="button" class="button is-quiet is-small" aria-label="Clear the timeline" title="Clear" onClick={clear}>
          <Icon name="clear" />
        </button>
      </header>
      <Lanes />
      <Filters />
      <List />
    </section>
  );
}

const classOf = (lane: string): string => (lane === BACKEND ? "of-backend" : colourOf(lane));

/** An entry never changes: what was made for it stays, and is not compared again with each packet. */
function once(make: (entry: Entry) => VNode): (entry: Entry) => VNode {
  const made = new WeakMap<Entry, VNode>();
  return (entry) => {
    const vnode = made.get(entry) ?? make(entry);
    made.set(entry, vnode);
    return vnode;
  };
}

const nameOf = (lane: string): string => lanes.value.find(({ id }) => id === lane)?.name ?? lane;

/** What the lanes show: seconds, and pixels for each. */
const SECONDS = 15;

function Lanes() {
  return (
    <div class="lanes" aria-hidden="true">
      {lanes.value.map((lane) => (
        <LaneView key={lane.id} lane={lane} />
      ))}
      <div class="scale faint">
        <span>{SECONDS} s ago</span>
        <span>now</span>
      </div>
    </div>
  );
}

/** A strip moves 20 to 30 pixels a second: more frames would show nothing more. */
const FRAME_MS = 32;

/** Marks stand at their time, and the whole strip moves: a frame changes one attribute of a lane. */
function LaneView({ lane }: { lane: Lane }) {
  const strip = useRef<SVGGElement>(null);
  const area = useRef<SVGSVGElement>(null);
  useEffect(() => {
    let frame = 0;
    const everyMs = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1000 : FRAME_MS;
    let drawn = 0;
    const draw = (now: number) => {
      frame = requestAnimationFrame(draw);
      if (isPaused.value || !strip.current?.firstChild || now - drawn < everyMs) return;
      drawn = now;
      const width = area.current?.clientWidth ?? 0;
      const scale = width / SECONDS / 1000;
      strip.current?.setAttribute("transform", `translate(${width - now * scale} 0) scale(${scale} 1)`);
    };
    frame = requestAnimationFrame(draw);
    return () => cancelAnimationFrame(frame);
  }, []);
  // A little older than what is seen: nothing vanishes before its time.
  const since = performance.now() - SECONDS * 1500;
  const marks = entries.value.filter((entry) => entry.lane === lane.id && entry.at > since);
  return (
    <div class={`lane ${classOf(lane.id)}`}>
      <span>{lane.name}</span>
      <svg ref={area} class="strip">
        <line class="axis" x1="0" x2="100%" y1="50%" y2="50%" />
        <g ref={strip}>
          {marks.map(markOf)}
        </g>
      </svg>
    </div>
  );
}

const markOf = once((entry) => (
  <line
    key={entry.key}
    class={entry.isControl ? "mark is-control" : `mark is-${entry.direction}`}
    vector-effect="non-scaling-stroke"
    x1={entry.at}
    x2={entry.at}
    {...span(entry)}
  />
));

/** Upwards to the server, downwards from it; the longer, the larger. */
function span({ direction, bytes }: Entry): { y1: number; y2: number } {
  const [middle, most] = [12, 11];
  if (direction === "life") return { y1: 1, y2: 23 };
  const length = Math.min(most, 3 + 2 * Math.log10(Math.max(1, bytes)));
  return { y1: middle, y2: direction === "out" ? middle - length : middle + length };
}

function Filters() {
  return (
    <div class="filters">
      {lanes.value.map(({ id, name }) => (
        <button
          key={id}
          type="button"
          class={`chip ${classOf(id)}`}
          aria-pressed={!hiddenLanes.value.has(id)}
          onClick={() => toggleLane(id)}
        >
          {name}
        </button>
      ))}
      <button type="button" class="chip" aria-pressed={showsControl.value} onClick={() => (showsControl.value = !showsControl.value)}>
        ping, open, …
      </button>
      <input
        type="search"
        class="field is-small"
        aria-label="Only packets with this text"
        placeholder="Filter"
        onInput={(event) => (wanted.value = event.currentTarget.value)}
      />
    </div>
  );
}

function List() {
  const list = useRef<HTMLOListElement>(null);
  const isAtEnd = useRef(true);
  const all = shown.value;
  useLayoutEffect(() => {
    if (isAtEnd.current) list.current?.scrollTo({ top: list.current.scrollHeight });
  }, [all]);
  return (
    <ol
      class="packets scroll"
      ref={list}
      tabIndex={0}
      aria-label="Packets"
      // Whoever has scrolled up is reading.
      onScroll={({ currentTarget: it }) => (isAtEnd.current = it.scrollHeight - it.scrollTop - it.clientHeight < 24)}
    >
      {all.length === 0 && <li class="empty">Nothing passes at the moment.</li>}
      {all.map(rowOf)}
    </ol>
  );
}

const rowOf = once((entry) => <Row key={entry.key} entry={entry} />);

function Row({ entry }: { entry: Entry }) {
  const isOpen = useSignal(false);
  const row = useRef<HTMLLIElement>(null);
  useLayoutEffect(() => {
    if (isOpen.value) row.current?.scrollIntoView({ block: "nearest" });
  }, [isOpen.value]);
  const { at, lane, direction, type, label, bytes, detail } = entry;
  const ways = { in: "to", out: "from", life: "of" };
  return (
    <li ref={row} class={`packet ${classOf(lane)} is-${direction}`}>
      <button type="button" aria-expanded={isOpen.value} onClick={() => (isOpen.value = !isOpen.value)}>
        <span class="time">{(at / 1000).toFixed(2)}</span>
        <span class="way">
          <Icon name={direction} />
          <span class="hidden">
            {ways[direction]} {nameOf(lane)}
          </span>
        </span>
        <span class="type">{type}</span>
        <span class="label">{label}</span>
        <span class="size">{direction === "life" ? "" : size(bytes)}</span>
      </button>
      {isOpen.value && <pre class="detail">{detail || "nothing in it"}</pre>}
    </li>
  );
}
