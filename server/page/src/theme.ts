// Light or dark: as the system says, or as was chosen here.

import { effect, signal } from "@preact/signals";

export type Theme = "auto" | "light" | "dark";

const stored = localStorage.getItem("roomcast-theme");
export const theme = signal<Theme>(stored === "light" || stored === "dark" ? stored : "auto");

effect(() => {
  document.documentElement.dataset.theme = theme.value;
  localStorage.setItem("roomcast-theme", theme.value);
});

export function nextTheme(): void {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  // The first step is always one that shows.
  const order: Theme[] = dark ? ["auto", "light", "dark"] : ["auto", "dark", "light"];
  theme.value = order[(order.indexOf(theme.value) + 1) % order.length] ?? "auto";
}
