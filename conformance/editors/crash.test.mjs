// The program is killed, or shuts down: typed text is kept.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { converge, dice } from "./lib/editor.mjs";
import { editAll, four, newcomers } from "./lib/four.mjs";
import { Program } from "./lib/program.mjs";
import { elapse, until } from "../wait.mjs";

/**
 * Milliseconds after which an edit that the program has received survives kill -9. The program guarantees this time, so
 * tests wait for it. An edit counts as received when another member has got it.
 */
const SURVIVES_AFTER_MS = 100;

for (const stands of ["own", "webui"]) {
  describe(`on the tables of ${stands}`, { concurrency: true }, () => {
    it("kill -9 while all members type", async (t) => {
      const program = await Program.start(t, stands);
      const editors = await four(t, program);
      const typed = [];
      const typeAll = async (rounds) => {
        for (let round = 0; round < rounds; round += 1) {
          for (const [i, editor] of editors.entries()) {
            const word = `<${i}.${typed.length}>`;
            editor.type(word);
            typed.push(word);
          }
          await elapse(2);
        }
      };
      for (let kills = 0; kills < 3; kills += 1) {
        await typeAll(15);
        const before = program.kill();
        await typeAll(5);
        await before;
        await program.run();
        await typeAll(5);
        await until(() => editors.every((editor) => editor.isConnected), "all editors back");
      }
      await converge(editors);
      await converge([...editors, ...(await newcomers(t, program))]);
      const { text } = editors[3];
      assert.deepEqual(typed.filter((word) => text.split(word).length !== 2), [], "each word once");
      assert.equal(text.split("The plan").length, 2, "the note was loaded once");
    });

    it(`edits received ${SURVIVES_AFTER_MS} ms before a kill -9 are kept without any reconnect`, async (t) => {
      const program = await Program.start(t, stands);
      for (let kills = 0; kills < 3; kills += 1) {
        const [ann, bob, cid, dan] = await four(t, program);
        const cameAt = new Map();
        dan.doc.on("update", () => {
          const now = performance.now();
          for (const word of dan.text.match(/<[^>]*>/g) ?? []) if (!cameAt.has(word)) cameAt.set(word, now);
        });
        const isBefore = (time) => ([, at]) => at < time - SURVIVES_AFTER_MS;
        const cameBefore = (time) => [...cameAt].filter(isBefore(time)).map(([word]) => word);
        let typed = 0;
        while (cameBefore(performance.now()).length < 60) {
          for (const editor of [ann, bob, cid]) editor.type(`<${kills}.${(typed += 1)}>`);
          await elapse(5);
        }
        const killedAt = performance.now();
        await program.kill();
        for (const editor of [ann, bob, cid, dan]) editor.destroy();
        await program.run();
        const [newcomer] = await newcomers(t, program);
        await until(() => !newcomer.isEmpty, "state for the newcomer");
        assert.deepEqual(cameBefore(killedAt).filter((word) => !newcomer.text.includes(word)), [], "words that are lost");
        newcomer.destroy();
      }
    });

    it("kill -9 after all members have left", async (t) => {
      const program = await Program.start(t, stands);
      const editors = await four(t, program);
      await editAll(editors, dice(4));
      await converge(editors);
      await elapse(SURVIVES_AFTER_MS);
      for (const editor of editors) editor.pullPlug();
      await program.kill();
      await program.run();
      await converge([...editors, ...(await newcomers(t, program))], "those who are not connected, and newcomers");
    });

    it("an end in good order loses nothing at all", async (t) => {
      const program = await Program.start(t, stands);
      const editors = await four(t, program);
      await editAll(editors, dice(5));
      await converge(editors);
      await program.stop();
      for (const editor of editors) editor.pullPlug();
      assert.equal((await program.content()).md, editors[0].text);
      await program.run();
      await converge([...editors, ...(await newcomers(t, program))], "those who are not connected, and newcomers");
      for (const editor of editors) editor.plugIn();
      await editAll(editors, dice(6));
      await converge(editors);
    });
  });
}
