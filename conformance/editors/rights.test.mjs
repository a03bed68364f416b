// Who may read only, and who may not even that, over either protocol.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as Y from "yjs";

import { Browser } from "./lib/browser.mjs";
import { converge } from "./lib/editor.mjs";
import { four, newcomers } from "./lib/four.mjs";
import { Program, token } from "./lib/program.mjs";
import { Peer } from "./lib/provider.mjs";
import { until } from "../wait.mjs";

const NOT_LET_IN = "Failed to join document";
const NOT_WRITTEN = "Failed to update document";

describe("rights", { concurrency: true }, () => {
  it("a reader over the application protocol sees everything and changes nothing", async (t) => {
    const program = await Program.start(t, "webui");
    const editors = await four(t, program);
    const rea = await Browser.open(t, program.member("rea"));
    await converge([...editors, rea]);
    editors[0].type("for rea");
    await converge([...editors, rea]);
    assert(rea.sent > 0, "it sends back what it gets, as all do");
    assert.deepEqual(rea.errors, []);

    rea.type("INTRUDER");
    await until(() => rea.errors.length > 0, "refusal");
    assert.deepEqual(rea.errors, [NOT_WRITTEN]);
    await unseen(t, program, editors, rea);

    // What it has typed without a connection comes as an attachment, and is refused as well.
    rea.pullPlug();
    rea.type("INTRUDER");
    rea.plugIn();
    await until(() => rea.errors.length > 1, "refusal of what was typed without a connection");
    await unseen(t, program, editors, rea);
  });

  it("a reader over y-websocket sees everything and changes nothing", async (t) => {
    const program = await Program.start(t, "webui");
    const editors = await four(t, program);
    const rea = await Peer.open(t, program.member("rea"));
    await converge([...editors, rea]);
    editors[2].type("for rea");
    await converge([...editors, rea]);
    assert.deepEqual(rea.denied, []);

    rea.type("INTRUDER");
    await until(() => rea.denied.length > 0, "refusal");
    assert.deepEqual(rea.denied, ["read-only"]);
    await unseen(t, program, editors, rea);

    rea.pullPlug();
    rea.type("INTRUDER");
    rea.plugIn();
    await until(() => rea.denied.length > 1, "refusal of what was typed without a connection");
    await unseen(t, program, editors, rea);
    // It is still in, and hears of others.
    editors[0].type("more for rea");
    const { doc } = editors[0];
    const had = () => Y.getState(rea.doc.store, doc.clientID) === Y.getState(doc.store, doc.clientID);
    await until(had, "what others type");
  });

  for (const [who, member] of Object.entries({
    "a user without any grant": (program, more) => program.member("eve", "plan", more),
    "a user who awaits admission": (program, more) => program.member("pat", "plan", more),
    "a user who tries the other name of the document": (program, more) => ({
      ...program.member("eve", "plan", more),
      id: "note_plan",
    }),
    "a user with a token of another secret": (program, more) => ({
      ...program.member("ann", "plan", more),
      token: token({ id: "ann" }, "another-secret-another-secret-another-secret"),
    }),
    "a user with an expired token": (program, more) => ({
      ...program.member("ann", "plan", more),
      token: token({ id: "ann", exp: 1 }),
    }),
    "a user who does not exist": (program, more) => program.member("zoe", "plan", more),
  })) {
    it(`${who} is told nothing`, async (t) => {
      const program = await Program.start(t, "webui");
      const editors = await four(t, program);
      await converge(editors);
      const browser = new Browser(t, member(program, { entry: "user-join" }));
      const peer = new Peer(t, member(program));
      await until(() => peer.denied.length > 0 && peer.closings.length > 0, "refusal over y-websocket");
      await until(() => browser.errors.length > 0, "refusal over the application protocol");
      assert.equal(peer.denied[0], "permission-denied");
      assert.equal(browser.errors[0], NOT_LET_IN);

      // Its messages have no effect.
      browser.type("INTRUDER");
      peer.type("INTRUDER");
      browser.awareness.setLocalStateField("user", { name: "INTRUDER", color: "#000000" });
      await unseen(t, program, editors, browser, peer);
      assert.deepEqual([browser.states, browser.updates, peer.provider.synced], [[], [], false]);
      for (const editor of editors) {
        assert(!editor.awareness.getStates().has(browser.doc.clientID));
      }
    });
  }

  it("a connected user who loses the right to write or to read is told so", async (t) => {
    const program = await Program.start(t, "webui");
    const editors = await four(t, program);
    const [ann, bob, cid, dan] = editors;
    await converge(editors);
    await program.sql("webui.db", "UPDATE note SET access_control = ? WHERE id = 'plan'", JSON.stringify({
      read: { user_ids: ["bob", "cid"] },
      write: { user_ids: ["cid"] },
    }));
    for (const user of ["bob", "dan"]) assert.equal((await program.api("refresh", { user })).status, 200);
    await until(() => dan.denied.length > 0, "end of the membership over y-websocket");
    // The first refusal shows that the right has ended.
    await until(() => {
      bob.type("perhaps");
      return bob.errors.length > 0;
    }, "end of the right to write");
    const before = bob.errors.length;
    bob.type("INTRUDER");
    await until(() => bob.errors.length > before, "refusal");
    cid.type("from cid");
    await converge([ann, cid]);
    assert(!cid.text.includes("INTRUDER"));
    assert(!dan.provider.synced || !dan.text.includes("from cid"));
  });
});

/** Neither members nor newcomers have seen the text of these intruders, and the members still converge. */
async function unseen(t, program, editors, ...intruders) {
  editors[1].type("marker");
  await converge(editors);
  const fresh = await newcomers(t, program);
  await converge([...editors, ...fresh]);
  const { md } = editors[1].content;
  await until(async () => (await program.content())?.md === md, "marker in the note's table");
  for (const { text, doc } of [...editors, ...fresh]) {
    assert(!text.includes("INTRUDER"), text);
    for (const intruder of intruders) assert.equal(Y.getState(doc.store, intruder.doc.clientID), 0);
  }
  assert(!(await program.storedText()).includes("INTRUDER"));
  for (const editor of fresh) editor.destroy();
}
