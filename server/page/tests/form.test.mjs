// What the page looks like to those who use it otherwise: by keyboard, on a phone, with a screen reader, without the
// internet.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { WebSocket } from "ws";

import { until } from "../../../conformance/wait.mjs";
import { launch, open } from "./lib/browser.mjs";
import { Program } from "./lib/program.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

const PHONE = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true };

for (const [name, options] of [
  ["light", { colorScheme: "light" }],
  ["dark", { colorScheme: "dark" }],
  ["a phone", { ...PHONE, colorScheme: "light" }],
]) {
  test(`every part is accessible: ${name}`, async (t) => {
    const program = await Program.start(t);
    const { page, ada, ben, faults } = await open(t, browser, `${program.url}/`, options);
    await ada.isOnline();
    await ben.isOnline();
    await page.evaluate(axe);
    for (const tab of ["Channel", "Note", "Model"]) {
      await page.getByRole("tab", { name: tab }).click();
      if (tab === "Channel") {
        await ada.message.fill("Hello");
        await ada.message.press("Enter");
        await ben.messages.getByText("Hello").waitFor();
      }
      if (tab === "Model") {
        await ada.root.getByRole("button", { name: /How does/ }).click();
        await ada.dialog.waitFor();
      }
      const { violations } = await page.evaluate(() => globalThis.axe.run());
      const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
      assert.deepEqual(found, [], tab);
      const { scrollWidth, clientWidth } = await page.evaluate(() => {
        const { scrollWidth, clientWidth } = document.documentElement;
        return { scrollWidth, clientWidth };
      });
      assert.ok(scrollWidth <= clientWidth, `${tab} is ${scrollWidth} wide in ${clientWidth}`);
    }
    assert.deepEqual(faults, []);
  });
}

test("everything can be reached and used by the keyboard", async (t) => {
  const program = await Program.start(t);
  const { page, ada, ben } = await open(t, browser, `${program.url}/#channel`);
  await ada.isOnline();
  await ben.isOnline();
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent);
  const seen = [];
  for (let i = 0; i < 40 && seen.at(-1) !== "Packets"; i += 1) {
    await page.keyboard.press("Tab");
    seen.push(await focused());
    // What has the focus shows it.
    const outline = await page.evaluate(() => {
      const { outlineStyle, boxShadow } = getComputedStyle(document.activeElement);
      return outlineStyle !== "none" || boxShadow !== "none";
    });
    assert.ok(outline, `focus of ${seen.at(-1)} is not seen`);
  }
  const wanted = ["Channel", "Colours: as the system", "Go offline", "Message of Ada to lobby", "Send", "Message of Ben to lobby", "Pause the timeline", "Packets"];
  assert.deepEqual(wanted.filter((name) => !seen.includes(name)), [], seen.join(" · "));
  await page.getByRole("tab", { name: "Channel" }).focus();
  await page.keyboard.press("ArrowRight");
  assert.equal(await focused(), "Note");
  assert.ok(await ada.note.isVisible());
  assert.equal(new URL(page.url()).hash, "#note");
});

test("light and dark follow the system until one is chosen, which a reload keeps", async (t) => {
  const program = await Program.start(t);
  const { page } = await open(t, browser, `${program.url}/`, { colorScheme: "dark" });
  const light = () => page.evaluate(() => Number(/[\d.]+/.exec(getComputedStyle(document.documentElement).backgroundColor)?.[0]));
  const button = page.getByRole("button", { name: /^Colours/ });
  const dark = await light();
  await page.emulateMedia({ colorScheme: "light" });
  assert.ok((await light()) > dark);
  await button.click();
  await page.getByRole("button", { name: "Colours: dark" }).waitFor();
  assert.equal(await light(), dark);
  await page.reload();
  await page.getByRole("button", { name: "Colours: dark" }).waitFor();
  assert.equal(await light(), dark);
});

test("nothing moves while the page is loaded, and nothing comes from elsewhere", async (t) => {
  const program = await Program.start(t);
  const { page, ada, ben } = await open(t, browser, "about:blank");
  const hosts = new Set();
  page.on("request", (request) => hosts.add(new URL(request.url()).origin));
  await page.addInitScript(() => {
    globalThis.shifts = [];
    new PerformanceObserver((list) => globalThis.shifts.push(...list.getEntries().map(({ value }) => value))).observe({ type: "layout-shift", buffered: true });
  });
  await page.goto(`${program.url}/`);
  await ada.isOnline();
  await ben.isOnline();
  await ada.note.getByText("Two editors, one note").waitFor();
  await until(() => page.evaluate(() => document.querySelectorAll(".packet").length > 0), "packets");
  const moved = await page.evaluate(() => globalThis.shifts.reduce((sum, value) => sum + value, 0));
  assert.ok(moved < 0.02, `layout shift of ${moved}`);
  assert.deepEqual([...hosts], [program.url]);
});

test("in production the page wants the key, and shows figures and people", async (t) => {
  const key = "the-key-of-the-callers";
  const env = { WEBUI_SECRET_KEY: "a-secret-of-a-test", ROOMCAST_API_KEY: key };
  const program = await Program.start(t, { args: ["--store", "own", "--page", "on"], env });
  const { page, faults } = await open(t, browser, `${program.url}/`);
  const field = page.getByLabel("Key of the HTTP API");
  await field.fill("another key");
  await field.press("Enter");
  await page.getByText("That is not the key of this program.").waitFor();
  assert.equal(await page.locator(".figures").count(), 0);
  await field.fill(key);
  await field.press("Enter");
  await page.getByRole("img", { name: "Engine.IO sessions: sessions 0" }).waitFor();
  await page.getByText("No one is logged in.").waitFor();
  const socket = new WebSocket(`${program.url.replace("http", "ws")}/ws/socket.io/?EIO=4&transport=websocket`);
  t.after(() => socket.close());
  socket.onopen = () => socket.send("40");
  await page.getByText("0 connected, 1 not logged in").waitFor();
  assert.equal(await page.locator(".window").count(), 0);
  await page.reload();
  await page.getByRole("img", { name: "Engine.IO sessions: sessions 1" }).waitFor();
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  assert.deepEqual(violations.map(({ id }) => id), []);
  assert.deepEqual(faults, []);
});
