// Stores that fail: editing goes on, typed text is stored afterwards, and no client receives an empty note.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Browser } from "./lib/browser.mjs";
import { converge, dice } from "./lib/editor.mjs";
import { editAll, four, newcomers } from "./lib/four.mjs";
import { Program } from "./lib/program.mjs";
import { Peer } from "./lib/provider.mjs";
import { NOTE } from "./lib/tables.mjs";
import { elapse, until } from "../wait.mjs";

const REFUSED = "Failed to join document";
/** Failures put the next try off, up to 30 s. */
const BACK_MS = 45_000;

describe("a store that fails", { concurrency: true }, () => {
  it("Open WebUI's tables are locked", async (t) => {
    const program = await Program.start(t, "webui");
    const editors = await four(t, program);
    const [ann] = editors;
    const unlock = await program.lock("webui.db");
    await editAll(editors, dice(7));
    await converge(editors, "while it is locked");
    const wanted = ann.text;

    // Without the store no user can join; a connected user cannot open another note.
    const states = [];
    ann.socket.on("ydoc:document:state", ({ document_id }) => states.push(document_id));
    ann.socket.emit("ydoc:document:join", { document_id: "note:blank" });
    const late = new Peer(t, program.member("bob"));
    await until(() => ann.errors.includes(REFUSED), "refusal of the other note");
    await until(() => late.closings.length > 0, "refusal of the late provider");
    assert.deepEqual(states, []);
    assert(!late.provider.synced && late.isEmpty);
    await program.failure("save_note_data");

    await unlock();
    await until(async () => (await program.content())?.md === wanted, "what was typed, in the note's table", BACK_MS);
    await until(() => late.provider.synced, "sync of the late provider");
    await converge([...editors, late, ...(await newcomers(t, program))]);
  });

  it("Open WebUI's tables are locked for a moment, without effect on clients", async (t) => {
    const program = await Program.start(t, "webui");
    const editors = await four(t, program);
    await converge(editors);
    const unlock = await program.lock("webui.db");
    const browser = new Browser(t, program.member("bob", "plan", { note: NOTE }));
    const peer = new Peer(t, program.member("cid"));
    // A moment is what a store is waited for, which is less than 3 s.
    await elapse(500);
    assert.deepEqual([browser.states, peer.provider.synced], [[], false]);
    await unlock();
    await until(() => peer.provider.synced && browser.states.length > 0, "both newcomers");
    await converge([...editors, browser, peer]);
    assert.deepEqual([browser.errors, peer.closings, await program.metric("store_errors")], [[], [], 0]);
  });

  for (const stands of ["own", "webui"]) {
    it(`roomcast's own file is locked, on the tables of ${stands}`, async (t) => {
      const program = await Program.start(t, stands);
      const editors = await four(t, program);
      const unlock = await program.lock("roomcast.db");
      const failed = await program.failures("append_updates");
      await editAll(editors, dice(8));
      await converge(editors, "while it is locked");
      const fresh = await newcomers(t, program);
      await converge([...editors, ...fresh], "newcomers while it is locked");
      await program.failure("append_updates", failed);
      await editAll(editors, dice(9), 5);
      await converge([...editors, ...fresh], "after a failure");
      const text = editors[0].fragment.toString();
      if (stands === "webui") {
        // The note does not wait for long for a log that cannot be written.
        const { md } = editors[0].content;
        await until(async () => (await program.content())?.md === md, "the note while it is locked", BACK_MS);
      }

      await unlock();
      await until(async () => (await program.storedText()) === text, "what was typed, in the log", BACK_MS);
      // The note follows, and a snapshot at last: before that, a crash may make the note the better of the two.
      const { md } = editors[0].content;
      await until(async () => (await program.content())?.md === md, "what was typed, in the note's table", BACK_MS);
      const log = "SELECT count(*) FROM document_update";
      await until(async () => (await program.sql("roomcast.db", log))[0][0] === 0, "the snapshot", BACK_MS);
      for (const editor of [...editors, ...fresh]) editor.pullPlug();
      await program.kill();
      await program.run();
      await converge([...editors, ...(await newcomers(t, program))], "after kill -9");
    });

    it(`a document that cannot be read, on the tables of ${stands}`, async (t) => {
      const program = await Program.start(t, stands);
      const editors = await four(t, program);
      await editAll(editors, dice(10));
      await converge(editors);
      for (const editor of editors) editor.pullPlug();
      await until(async () => (await program.metric("roomcast_app_documents ")) === 0, "end of the document");

      const failed = await program.failures("load_document");
      await program.sql("roomcast.db", "ALTER TABLE document RENAME TO elsewhere");
      const [browser, peer] = await refused(t, program);
      await program.failure("load_document", failed);
      await program.sql("roomcast.db", "ALTER TABLE elsewhere RENAME TO document");
      browser.join();
      await converge([...editors, browser, peer], "once it can be read again");
    });

    it(`a document that is broken, on the tables of ${stands}`, async (t) => {
      const program = await Program.start(t, stands);
      const editors = await four(t, program);
      await converge(editors);
      for (const editor of editors) editor.pullPlug();
      await until(async () => (await program.metric("roomcast_app_documents ")) === 0, "end of the document");

      const broken = "SELECT hex(snapshot) FROM document WHERE id = 'note:plan'";
      const [[whole]] = await program.sql("roomcast.db", broken);
      await program.sql("roomcast.db", "UPDATE document SET snapshot = x'ff' || snapshot");
      const [browser, peer] = await refused(t, program);
      assert.deepEqual(await program.sql("roomcast.db", broken), [[`FF${whole}`]], "it is not overwritten");
      await program.sql("roomcast.db", `UPDATE document SET snapshot = x'${whole}'`);
      browser.join();
      await converge([...editors, browser, peer], "once it is whole again");
    });
  }
});

/** A newcomer over each protocol that is not let in, and has been told nothing of the note. */
async function refused(t, program) {
  const browser = new Browser(t, program.member("ann", "plan", { note: NOTE }));
  const peer = new Peer(t, program.member("cid"));
  await until(() => browser.errors.includes(REFUSED), "refusal of the browser");
  await until(() => peer.closings.length > 1, "two refusals of the provider");
  // Long enough for a state that came by mistake.
  await elapse(50);
  assert.deepEqual([browser.states, browser.sent, browser.isEmpty], [[], 0, true]);
  assert.deepEqual([peer.provider.synced, peer.isEmpty, peer.denied], [false, true, []]);
  return [browser, peer];
}
