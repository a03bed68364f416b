// A page without a display, for editors. Import it before modules that look for a browser when they are loaded.

import { JSDOM } from "jsdom";

const { window } = new JSDOM("<!doctype html><body></body>");
const globals = { window };
for (const name of ["document", "navigator", "Node", "HTMLElement", "MutationObserver"]) globals[name] = window[name];
// Later versions of Node have a navigator of their own, which is not writable.
for (const [name, value] of Object.entries(globals)) {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}

export const { document } = window;
