// Debian's Chromium, without a display.

import { mkdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

/** Pictures of tests that failed stay here. */
export const PICTURES = fileURLToPath(new URL("../../failures/", import.meta.url));

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** What keeps it from looking for its maker's hosts. */
const ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

export const launch = () => chromium.launch({ executablePath: CHROMIUM, args: ARGS });

/**
 * Opens the page in a context of its own. What goes wrong in it fails the test, at the latest when it ends: errors,
 * and what its policy forbids. If the test fails, a picture of the page is kept.
 */
export async function open(t, browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, ...options });
  context.setDefaultTimeout(20_000);
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => {
    // A server that is away is no fault of the page.
    if (message.type() === "error" && !/Failed to load resource|net::ERR_|WebSocket connection/.test(message.text())) faults.push(message.text());
  });
  t.after(async () => {
    if (!t.passed) {
      mkdirSync(PICTURES, { recursive: true });
      const file = `${PICTURES}${t.name.replaceAll(/\W+/g, "-")}-${(pictures += 1)}.png`;
      await page.screenshot({ path: file }).catch(() => {});
      console.log(`picture of the failure: ${file}`);
    }
    await context.close();
  });
  await page.goto(url);
  return { context, page, faults, ada: userWindow(page, "Ada"), ben: userWindow(page, "Ben") };
}

let pictures = 0;

/** What a test does with one user's window. */
function userWindow(page, name) {
  const root = page.getByRole("region", { name: `${name}’s window` });
  return {
    root,
    note: root.locator(".ProseMirror"),
    cursors: root.locator(".cursor-name"),
    typing: root.locator(".typing"),
    messages: root.getByRole("log", { name: /Messages/ }),
    message: root.getByRole("textbox", { name: /^Message of/ }),
    question: root.getByRole("textbox", { name: /^Question of/ }),
    dialog: root.getByRole("dialog"),
    plug: root.getByRole("button", { name: /^Go o/ }),
    isOnline: () => root.locator(".status.is-online").waitFor(),
  };
}
