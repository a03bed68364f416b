// Four editors on one note, two over each protocol: after any edits, with and without disconnects, they have the same
// document.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Browser } from "./lib/browser.mjs";
import { converge, dice } from "./lib/editor.mjs";
import { editAll, four, newcomers } from "./lib/four.mjs";
import { Program } from "./lib/program.mjs";
import { Peer } from "./lib/provider.mjs";
import { NOTE } from "./lib/tables.mjs";
import { elapse, until } from "../wait.mjs";

/** Characters: above the limit of an unrequested update (256 KiB), and below the limit of a whole document. */
const LONG = 300_000;

for (const stands of ["own", "webui"]) {
  describe(`on the tables of ${stands}`, { concurrency: true }, () => {
    it("typing at once", async (t) => {
      const program = await Program.start(t, stands);
      const editors = await four(t, program);
      editors.push(await Browser.open(t, program.member("bob", "plan", { transports: ["polling"] })));
      await converge(editors, "the note that was loaded");
      assert.deepEqual(editors[3].json, NOTE);
      await editAll(editors, dice(1));
      const json = await converge(editors);
      assert(JSON.stringify(json).length > 200, "something was typed");

      // The note's own table has what the front end rendered last.
      const { md, html } = editors[0].content;
      const saved = await until(async () => {
        const content = await program.content();
        return content?.md === md && content;
      }, "content in the table");
      assert.deepEqual(saved, { md, html, json });
      // A newcomer over either protocol sees the same.
      await converge([...editors, ...(await newcomers(t, program))]);
    });

    it("typing without a connection", async (t) => {
      const program = await Program.start(t, stands);
      const editors = await four(t, program);
      await converge(editors);
      const random = dice(2);
      for (const away of [editors.slice(0, 1), editors.slice(2, 3), editors.slice(1, 4), editors]) {
        const names = away.map((editor) => editor.name).join(", ");
        for (const editor of away) editor.pullPlug();
        await until(() => away.every((editor) => !editor.isConnected), `end of the connections of ${names}`);
        await editAll(editors, random);
        // Those who are left go on meanwhile.
        const others = editors.filter((editor) => !away.includes(editor));
        if (others.length > 1) await converge(others, `the others without ${names}`);
        for (const editor of away) editor.plugIn();
        await converge(editors, `after ${names} came back`);
      }
    });

    it("connections that break while all members type", async (t) => {
      const program = await Program.start(t, stands);
      const editors = await four(t, program);
      await converge(editors);
      const random = dice(3);
      for (let round = 0; round < 8; round += 1) {
        const unlucky = editors[random(editors.length)];
        await editAll(editors, random, 6);
        unlucky.pullPlug();
        await editAll(editors, random, 6);
        unlucky.plugIn();
      }
      await converge(editors);
    });
  });
}

describe("loading", { concurrency: true }, () => {
  it("of many who come at once, one loads the note", async (t) => {
    const program = await Program.start(t, "webui");
    const users = ["ann", "bob", "cid", "dan"];
    const more = (i) => ({ note: NOTE, entry: i % 2 ? "user-join" : "connect" });
    const browsers = users.map((user, i) => new Browser(t, program.member(user, "plan", more(i))));
    const peers = users.map((user) => new Peer(t, program.member(user)));
    await until(() => browsers.every(({ isEmpty }) => !isEmpty), "note in all editors");
    await converge([...browsers, ...peers]);
    assert.deepEqual(browsers[0].json, NOTE);
  });

  it("a provider that comes first does not stand in for the note", async (t) => {
    const program = await Program.start(t, "webui");
    const cid = await Peer.open(t, program.member("cid"));
    const dan = await Peer.open(t, program.member("dan"));
    cid.type("typed by cid", 0);
    dan.type("typed by dan".repeat(LONG / 12), 0);
    await until(() => cid.denied.length > 0 && dan.denied.length > 0, "word that the note is not loaded");
    const ann = await Browser.open(t, program.member("ann", "plan", { note: NOTE }));
    await converge([ann, cid, dan]);
    for (const part of ["The plan\nFirst, tea.", "typed by cid", "typed by dan"]) assert(ann.text.includes(part), part);
    const { md } = ann.content;
    await until(async () => (await program.content())?.md === md, "everything, in the note's table");
  });

  it("a note that was changed elsewhere meanwhile is loaded again", async (t) => {
    const program = await Program.start(t, "webui");
    const editors = await four(t, program);
    await editAll(editors, dice(11));
    await converge(editors);
    const { md } = editors[0].content;
    await until(async () => (await program.content())?.md === md, "what was typed, in the note's table");
    for (const editor of editors) editor.destroy();
    await until(async () => (await program.metric("roomcast_app_documents ")) === 0, "end of the document");

    const paragraph = { type: "paragraph", content: [{ type: "text", text: "From elsewhere." }] };
    const json = { type: "doc", content: [paragraph] };
    const data = { content: { md: "From elsewhere.", html: "<p>From elsewhere.</p>", json } };
    await program.sql("webui.db", "UPDATE note SET data = ? WHERE id = 'plan'", JSON.stringify(data));
    const ann = await Browser.open(t, program.member("ann", "plan", { note: json }));
    await until(() => !ann.isEmpty, "note in the editor");
    await converge([ann, ...(await newcomers(t, program))]);
    assert.deepEqual(ann.json, json);
  });
});

describe("long pastes", { concurrency: true }, () => {
  for (const who of [1, 3]) {
    it(`by number ${who}`, async (t) => {
      const program = await Program.start(t, "own");
      const editors = await four(t, program);
      // Editors that have reconnected have sent all their edits; the server requests no more of them.
      for (const editor of editors) editor.pullPlug();
      for (const editor of editors) editor.type("away");
      for (const editor of editors) editor.plugIn();
      await converge(editors);
      for (const length of [LONG / 4, LONG]) {
        editors[who].type("0123456789".repeat(length / 10));
        await converge(editors, `${length} characters`);
      }
      // To browsers such a state comes as an attachment.
      const [browser, peer] = await newcomers(t, program);
      await converge([...editors, browser, peer]);
      assert(browser.states.some(({ bytes }) => bytes.length > LONG));
      for (const { errors } of [editors[0], browser]) assert.deepEqual(errors, []);
      for (const { closings } of editors.slice(2)) assert(closings.length <= 1, "only the one of before");
    });
  }
});

describe("echoes", () => {
  it("what a browser sends back causes no traffic", async (t) => {
    const program = await Program.start(t, "own");
    const ann = await Browser.open(t, program.member("ann", "blank"));
    const bob = await Browser.open(t, program.member("bob", "blank", { entry: "user-join" }));
    const cid = await Peer.open(t, program.member("cid", "blank"));
    let heard = 0;
    cid.doc.on("update", () => (heard += 1));
    const typed = 30;
    for (let i = 0; i < typed; i += 1) {
      ann.type(`${i} `);
      await elapse(1);
    }
    await converge([ann, bob, cid]);
    // The one who only listens has echoed everything; when its own words are there, the server has seen all echoes.
    assert.equal(bob.sent, bob.updates.length);
    bob.type("bob");
    await converge([ann, bob, cid]);
    assert(bob.updates.length <= typed, `${bob.updates.length} updates`);
    assert.equal(ann.updates.length, 1, "only what bob typed");
    assert.equal(heard, typed + 1);
  });
});
