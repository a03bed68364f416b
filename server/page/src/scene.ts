// What both windows show. It stands in the address, so that a reload and a link show the same.

import { effect, signal } from "@preact/signals";

export const SCENES = ["channel", "note", "model"] as const;
export type Scene = (typeof SCENES)[number];

export const SCENE_NAMES: Record<Scene, string> = { channel: "Channel", note: "Note", model: "Model" };

export const scene = signal<Scene>(SCENES.find((name) => `#${name}` === location.hash) ?? "note");
effect(() => history.replaceState(null, "", `#${scene.value}`));
addEventListener("hashchange", () => (scene.value = SCENES.find((name) => `#${name}` === location.hash) ?? scene.value));
