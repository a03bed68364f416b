// Four editors on one note, two over each protocol: whatever they type, cut off or not, they end up with the same.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Browser } from "./lib/browser.mjs";
import { converge, dice } from "./lib/editor.mjs";
import { editAll, four, newcomers } from "./lib/four.mjs";
import { Program } from "./lib/program.mjs";
import { Peer } from "./lib/provider.mjs";
import { NOTE } from "./lib/tables.mjs";
import { elapse, until } from "./lib/wait.mjs";

for (const stands of ["own", "webui"]) {
  describe(`on the tables of ${stands}`, { concurrency: true }, () => {
    it("typing at once", async (t) => {
      const program = await Program.start(t, stands);
      const editors = await four(t, program);
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

    it("connections that break while everybody types", async (t) => {
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
    assert.equal(heard, ann.sent - 1 + 1);
  });
});
