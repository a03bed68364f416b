// Editors of Open WebUI 0.12.4's front end on one note: it is loaded once, and what is typed without a connection reaches
// the others and the note's table as soon as there is one again.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { converge, dice } from "./lib/editor.mjs";
import { editAll } from "./lib/four.mjs";
import { NewerBrowser } from "./lib/newer.mjs";
import { Program } from "./lib/program.mjs";
import { Peer } from "./lib/provider.mjs";
import { NOTE } from "./lib/tables.mjs";
import { until } from "../wait.mjs";

const RELEASE = ["--release", "0.12"];

/** Two editors whose pages know the note, one whose page does not, and a provider of y-websocket. */
async function members(t, program) {
  const member = (user, note) => program.member(user, "plan", { note });
  const editors = [await NewerBrowser.open(t, member("ann", NOTE)), await NewerBrowser.open(t, member("bob", NOTE))];
  return [...editors, await NewerBrowser.open(t, member("cid", null)), await Peer.open(t, program.member("dan"))];
}

async function isSaved(program, editors) {
  const { md, html } = editors[0].content;
  await until(async () => (await program.content())?.md === md, `${md} in the note's table`);
  assert.equal((await program.content()).html, html);
}

describe("with 0.12", { concurrency: true }, () => {
  it("of many who come at once, one loads the note", async (t) => {
    const program = await Program.start(t, "own", RELEASE);
    const users = ["ann", "bob", "cid", "dan"];
    const editors = users.map((user) => new NewerBrowser(t, program.member(user, "plan", { note: NOTE })));
    await until(() => editors.every(({ isSynced }) => isSynced), "the document in all editors");
    assert.deepEqual(await converge(editors), JSON.parse(JSON.stringify(NOTE)));
    // Who hears the first one's content before its own state has nothing to load, and asks for nothing.
    const loads = editors.map(({ acks }) => acks.map(({ length }) => length > 2));
    for (const load of loads) assert.ok(load.length === 0 || (load.length === 1 && load[0]), JSON.stringify(loads));
    assert.ok(loads.some(({ length }) => length === 1), "no editor loaded the note");
  });

  it("typing at once", async (t) => {
    const program = await Program.start(t, "own", RELEASE);
    const editors = await members(t, program);
    await converge(editors, "the note that was loaded");
    await editAll(editors, dice(21));
    await converge(editors);
    await isSaved(program, editors);
    for (const { errors } of editors.slice(0, 3)) assert.deepEqual(errors, []);
  });

  it("typing without a connection", async (t) => {
    const program = await Program.start(t, "own", RELEASE);
    const editors = await members(t, program);
    await converge(editors);
    const random = dice(22);
    for (const away of [editors.slice(0, 1), editors.slice(1, 3), editors.slice(0, 3), editors]) {
      const names = away.map((editor) => editor.name).join(", ");
      for (const editor of away) editor.pullPlug();
      await until(() => away.every((editor) => !editor.isConnected), `end of the connections of ${names}`);
      await editAll(editors, random);
      for (const editor of away) editor.plugIn();
      await converge(editors, `after ${names} came back`);
      await isSaved(program, editors);
    }
  });

  it("connections that break while all type", async (t) => {
    const program = await Program.start(t, "own", RELEASE);
    const editors = await members(t, program);
    await converge(editors);
    const random = dice(23);
    for (let round = 0; round < 8; round += 1) {
      const unlucky = editors[random(editors.length)];
      await editAll(editors, random, 6);
      unlucky.pullPlug();
      await editAll(editors, random, 6);
      unlucky.plugIn();
    }
    await converge(editors);
    await isSaved(program, editors);
  });

  it("what one wrote alone and offline is in the note, and there behind a crash", async (t) => {
    const program = await Program.start(t, "own", RELEASE);
    const ann = await NewerBrowser.open(t, program.member("ann", "plan", { note: NOTE }));
    await converge([ann]);
    ann.pullPlug();
    await until(() => !ann.isConnected, "end of the connection");
    ann.type(" written alone");
    ann.plugIn();
    await isSaved(program, [ann]);
    assert(ann.text.includes("written alone"));
    await program.kill();
    ann.destroy();
    await program.run();
    const bob = await NewerBrowser.open(t, program.member("bob", "plan", { note: NOTE }));
    await until(() => bob.text.includes("written alone"), "what was written");
    assert.equal(bob.text.split("The plan").length, 2, "loaded once");
  });
});
