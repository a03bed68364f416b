// The page in Chromium, before the program: two contexts, which are two browsers, with two users in each.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { until } from "../../../conformance/wait.mjs";
import { launch, open } from "./lib/browser.mjs";
import { Program } from "./lib/program.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

const TITLE = "Two editors, one note";

/** The page in this many contexts, with all users logged in and the note in all editors. */
async function start(t, contexts = 1, options = {}) {
  const program = await Program.start(t);
  const pages = [];
  for (let i = 0; i < contexts; i += 1) pages.push(await ready(await open(t, browser, `${program.url}/`, options)));
  return { program, pages, windows: pages.flatMap(({ ada, ben }) => [ada, ben]) };
}

async function ready(page) {
  for (const user of [page.ada, page.ben]) {
    await user.isOnline();
    await user.note.getByText(TITLE).waitFor({ state: "attached" });
  }
  return page;
}

const show = (pages, name) => Promise.all(pages.map(({ page }) => page.getByRole("tab", { name }).click()));

/** Writes at the end of a paragraph. What is written at one place at once is mixed letter by letter. */
async function write(user, text, paragraph = 0) {
  await user.note.locator("p").nth(paragraph).click();
  await user.root.page().keyboard.press("End");
  await user.root.page().keyboard.type(text);
}

/** The text of the note without the cursors in it. */
const textOf = (user) =>
  user.note.evaluate((note) => {
    const copy = note.cloneNode(true);
    for (const cursor of copy.querySelectorAll(".cursor")) cursor.remove();
    return [...copy.children].map((block) => block.textContent).join("\n");
  });

/** All show the same, and all of this. */
async function converged(windows, ...parts) {
  let texts = [];
  const isSame = async () => {
    texts = await Promise.all(windows.map(textOf));
    return texts.every((text) => text === texts[0] && parts.every((part) => text.includes(part)));
  };
  await until(isSame, () => `the same note: ${texts.join("\n--\n")}`);
}

const noFaults = (pages) => assert.deepEqual(pages.flatMap(({ faults }) => faults), []);

test("typing and messages reach all others of a channel", async (t) => {
  const { pages, windows } = await start(t, 2);
  await show(pages, "Channel");
  const [{ ada }, { ben }] = pages;
  await ada.message.pressSequentially("Hello");
  for (const { ben: other } of pages) await other.typing.getByText("Ada is typing").waitFor();
  // A user is not told of their own typing, in no window.
  for (const { ada: own } of pages) assert.equal((await own.typing.innerText()).trim(), "");
  await ada.message.press("Enter");
  for (const user of windows) await user.messages.getByText("Hello", { exact: true }).waitFor();
  for (const { ben: other } of pages) await until(async () => (await other.typing.innerText()).trim() === "", "end of typing");
  await ben.message.fill("<b>Hi</b> & bye");
  await ben.message.press("Enter");
  for (const user of windows) await user.messages.getByText("<b>Hi</b> & bye", { exact: true }).waitFor();
  noFaults(pages);
});

test("four editors write at once and converge, with cursors", async (t) => {
  const { pages, windows } = await start(t, 2);
  const [one, two] = pages;
  await Promise.all([write(one.ada, " one", 0), write(two.ben, " two", 1)]);
  await Promise.all([write(one.ben, " three", 2), write(two.ada, " four", 3)]);
  await converged(windows, "one", "two", "three", "four");
  // Each window shows the cursors of the three others.
  for (const { cursors } of windows) await until(async () => (await cursors.count()) === 3, "three cursors");
  // Formatting is part of it.
  await two.ada.note.locator("h2").click();
  await two.ada.root.getByRole("button", { name: "Heading" }).click();
  for (const user of windows) await until(async () => (await user.note.locator("h2").count()) === 0, "no heading");
  noFaults(pages);
});

test("an answer streams in with status and sources, to its user alone", async (t) => {
  const { pages } = await start(t, 2);
  await show(pages, "Model");
  const [{ ada, ben }, { ada: elsewhere }] = pages;
  await ada.question.fill("Why?");
  await ada.question.press("Enter");
  // The socket that asked is asked back, and no other one of the user.
  await ada.dialog.getByText("May the model read a note?").waitFor();
  assert.equal(await elsewhere.dialog.count(), 0);
  await elsewhere.root.getByText("Looks for what it may read").waitFor();
  await ada.dialog.getByRole("button", { name: "Allow" }).click();
  for (const own of [ada, elsewhere]) {
    await own.root.getByText("Read “Welcome”").waitFor();
    await own.root.getByText("The timeline beside this shows each of them.").waitFor();
    await own.root.locator(".exchange.is-done").waitFor();
    assert.equal(await own.root.locator(".sources li").count(), 2);
  }
  await ada.root.getByRole("button", { name: "Source 1: Welcome" }).click();
  await ada.root.locator("blockquote").getByText(TITLE).waitFor();
  assert.equal(await ben.root.locator(".exchange").count(), 0);
  noFaults(pages);
});

test("a dialog is declined by the keyboard, and the answer says so", async (t) => {
  const { pages } = await start(t);
  await show(pages, "Model");
  const [{ page, ben }] = pages;
  await ben.question.fill("Why?");
  await page.keyboard.press("Enter");
  await ben.dialog.waitFor();
  await until(() => ben.dialog.getByRole("button", { name: "Allow" }).evaluate((it) => it === document.activeElement), "focus");
  await page.keyboard.press("Escape");
  await ben.root.getByText("You did not allow it").waitFor();
  assert.equal(await ben.dialog.count(), 0);
  assert.ok(await ben.question.evaluate((it) => it === document.activeElement));
  noFaults(pages);
});

test("a reload keeps the note", async (t) => {
  const { pages, windows } = await start(t);
  const [{ page, ada }] = pages;
  await write(ada, " and stays");
  await converged(windows, "and stays");
  await page.reload();
  await ready(pages[0]);
  await converged(windows, "and stays");
  // It was not loaded twice.
  assert.equal((await textOf(ada)).split(TITLE).length, 2);
  noFaults(pages);
});

test("what is written offline arrives when the network is back", async (t) => {
  const { pages, windows } = await start(t, 2);
  const [one, two] = pages;
  await one.context.setOffline(true);
  for (const user of [one.ada, one.ben]) await user.root.locator(".status.is-lost").waitFor();
  await write(one.ada, " from the tunnel");
  await write(two.ben, " from outside", 1);
  await converged([two.ada, two.ben], "from outside");
  await one.context.setOffline(false);
  await converged(windows, "from the tunnel", "from outside");
  // One window alone, by its button.
  await two.ada.plug.click();
  await two.ada.root.locator(".status.is-offline").waitFor();
  await write(two.ada, " unplugged");
  await write(one.ben, " aboveground", 2);
  await converged([one.ada, one.ben, two.ben], "aboveground");
  assert.ok(!(await textOf(two.ada)).includes("aboveground"));
  await two.ada.plug.click();
  await converged(windows, "unplugged", "aboveground");
  noFaults(pages);
});

test("a kill -9 loses nothing that a window has", async (t) => {
  const { program, pages, windows } = await start(t, 2);
  const [one, two] = pages;
  await write(one.ada, " before");
  await converged(windows, "before");
  await program.kill();
  for (const user of windows) await user.root.locator(".status.is-lost").waitFor();
  await write(one.ben, " while it was gone");
  await write(two.ada, " likewise", 2);
  await program.run();
  await converged(windows, "before", "while it was gone", "likewise");
  for (const user of windows) await user.isOnline();
  // The tokens and the key are new ones.
  await show(pages, "Channel");
  await one.ada.message.fill("Back");
  await one.ada.message.press("Enter");
  for (const user of windows) await user.messages.getByText("Back", { exact: true }).waitFor();
  noFaults(pages);
});

test("the timeline shows, filters and bounds packets", async (t) => {
  const { program, pages } = await start(t);
  await show(pages, "Channel");
  const [{ page, ada }] = pages;
  const rows = page.locator(".packet");
  await rows.getByText("upgraded to websocket").first().waitFor();
  assert.equal(await rows.locator(".type").getByText(/^(open|ping|pong)$/).count(), 0);
  await page.getByRole("button", { name: "ping, open, …" }).click();
  await rows.locator(".type").getByText("open", { exact: true }).first().waitFor();
  await page.getByRole("searchbox").fill("channel");
  await until(async () => (await rows.count()) === 0, "no row");
  await ada.message.pressSequentially("abc");
  await rows.getByText("events:channel · typing").first().waitFor();
  await rows.getByRole("button").last().click();
  await page.locator(".detail").getByText('"typing": true').waitFor();
  // Ada's are hidden; Ben's stay.
  await page.getByRole("button", { name: "Ada", exact: true }).click();
  await until(async () => (await page.locator(".packet.of-1").count()) === 0 && (await page.locator(".packet.of-2").count()) > 0, "Ben's rows alone");
  await page.getByRole("searchbox").fill("");
  await page.getByRole("button", { name: "Ada", exact: true }).click();
  await page.getByRole("button", { name: "Pause the timeline" }).click();
  const paused = await rows.count();
  await ada.message.pressSequentially("d");
  await until(async () => /^(?!0 ).* so far$/.test(await page.locator(".timeline .side-head .faint").innerText()), "count");
  assert.equal(await rows.count(), paused);
  await page.getByRole("button", { name: "Pause the timeline" }).click();
  const { demonstration } = await (await fetch(`${program.url}/page/setup`)).json();
  const requests = Array.from({ length: 420 }, (_, n) => ({ route: "emit", body: { to: { user: "ada" }, event: "burst", data: n } }));
  const headers = { authorization: `Bearer ${demonstration.api_key}` };
  const sent = await fetch(`${program.url}/api/batch`, { method: "POST", headers, body: JSON.stringify({ requests }) });
  assert.equal(sent.status, 200);
  await rows.getByText("burst").last().waitFor();
  await until(async () => (await rows.count()) === 400, "a full list");
  await page.getByRole("button", { name: "Clear the timeline" }).click();
  await page.getByText("Nothing passes at the moment.").waitFor();
  noFaults(pages);
});

test("the figures are those of /metrics", async (t) => {
  const { pages, program } = await start(t, 2);
  const [{ page }] = pages;
  await page.getByRole("img", { name: "Engine.IO sessions: sessions 4" }).waitFor();
  await pages[1].context.close();
  await page.getByRole("img", { name: "Engine.IO sessions: sessions 2" }).waitFor();
  await program.kill();
  await page.locator(".figures").getByText("no answer").waitFor();
  await program.run();
  await page.locator(".figures").getByText("last minute of /metrics").waitFor();
  noFaults([pages[0]]);
});
