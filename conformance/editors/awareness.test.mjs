// Who is where: cursors come, and go with their users.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Browser } from "./lib/browser.mjs";
import { converge } from "./lib/editor.mjs";
import { four } from "./lib/four.mjs";
import { Program } from "./lib/program.mjs";
import { Peer } from "./lib/provider.mjs";
import { until } from "../wait.mjs";

/** Much less than the 30 s after which a client itself takes others for gone. */
const SOON_MS = 8000;

describe("awareness", { concurrency: true }, () => {
  it("cursors of y-websocket members are seen by each other, and vanish with an abrupt end", async (t) => {
    const program = await Program.start(t, "own");
    const [, , cid, dan] = await four(t, program);
    const bob = await Peer.open(t, program.member("bob"));
    await converge([cid, dan, bob]);
    for (const [i, peer] of [cid, dan, bob].entries()) peer.select(3 + i, 6 + i);
    await shows(cid, ["bob", "dan"]);
    await shows(dan, ["bob", "cid"]);
    await shows(bob, ["cid", "dan"]);
    // A newcomer is told of those who say nothing now.
    const ann = await Peer.open(t, program.member("ann"));
    await shows(ann, ["bob", "cid", "dan"]);

    dan.pullPlug();
    for (const peer of [ann, cid, bob]) {
      await shows(peer, peer === ann ? ["bob", "cid"] : peer === cid ? ["bob"] : ["cid"]);
      assert(!peer.awareness.getStates().has(dan.doc.clientID));
    }
    // Nor does the next one hear of the one who has gone.
    const late = await Peer.open(t, program.member("ann"));
    await shows(late, ["bob", "cid"]);
    assert(!late.awareness.getStates().has(dan.doc.clientID));
    // Who comes back is seen again once there is something to tell: the provider announces what others have been told
    // the end of, with the same clock.
    dan.plugIn();
    await until(() => dan.provider.synced, "connection");
    dan.select(2);
    for (const peer of [ann, late]) await shows(peer, ["bob", "cid", "dan"]);
  });

  it("cursors of browsers are seen by each other, and the end of one is told", async (t) => {
    const program = await Program.start(t, "own");
    const [ann, bob] = await four(t, program);
    const cid = await Browser.open(t, program.member("cid"));
    await converge([ann, bob, cid]);
    for (const [i, browser] of [ann, bob, cid].entries()) browser.select(2 + i);
    await shows(ann, ["bob", "cid"]);
    await shows(bob, ["ann", "cid"]);
    await shows(cid, ["ann", "bob"]);
    cid.pullPlug();
    for (const browser of [ann, bob]) await until(() => browser.left.includes("cid"), "end of cid", SOON_MS);
    // The front end's awareness has no word for "gone": it takes a state without a cursor, and keeps the id. The built
    // front end of 0.6.41 does the same as this editor; at a state of null its cursor plugin throws, and shows the ghost.
    await shows(ann, ["bob"]);
    await shows(bob, ["ann"]);
    for (const browser of [ann, bob]) assert.deepEqual(browser.awareness.getStates().get(cid.doc.clientID), {});
    // Editing goes on with such an entry among the states, and so do the cursors of those who are there.
    ann.type("still here ", 2);
    await converge([ann, bob]);
    bob.select(4);
    await shows(ann, ["bob"]);
    // After a reload the same user has another id, and no ghost beside it.
    const reloaded = await Browser.open(t, program.member("cid"));
    await converge([ann, bob, reloaded]);
    reloaded.select(3);
    await shows(ann, ["bob", "cid"]);
    await shows(bob, ["ann", "cid"]);
  });

  it("after a kill -9 all members are seen again, and no ghosts", async (t) => {
    const program = await Program.start(t, "own");
    const [, , cid, dan] = await four(t, program);
    const bob = await Peer.open(t, program.member("bob"));
    await converge([cid, dan, bob]);
    for (const [i, peer] of [cid, dan, bob].entries()) peer.select(3 + i);
    await shows(cid, ["bob", "dan"]);
    await program.kill();
    dan.pullPlug();
    await program.run();
    await until(() => cid.provider.synced && bob.provider.synced, "connections");
    for (const peer of [cid, bob]) peer.select(2);
    await shows(cid, ["bob"]);
    await shows(bob, ["cid"]);
    await shows(await Peer.open(t, program.member("ann")), ["bob", "cid"]);
  });

  it("a member cannot set the awareness state of another", async (t) => {
    const program = await Program.start(t, "own");
    const peers = [];
    for (const user of ["cid", "dan", "bob"]) peers.push(await Peer.open(t, program.member(user, "blank")));
    const [spoofer, victim, witness] = peers;
    const { clientID } = victim.doc;
    const nameOf = (peer, client) => peer.awareness.getStates().get(client)?.user.name;
    for (const peer of [spoofer, witness]) await until(() => nameOf(peer, clientID) === "dan", "the victim");

    // Another name for the victim, of a later clock, and then the victim's end.
    const { awareness } = spoofer;
    for (const state of [{ user: { name: "INTRUDER" } }, null]) {
      awareness.states.set(clientID, state);
      awareness.meta.set(clientID, { clock: 1000, lastUpdated: Date.now() });
      // The provider sends every changed state, of any member.
      awareness.emit("update", [{ added: [], updated: [clientID], removed: [] }, "local"]);
    }
    // A later message on the same connection has arrived, so the spoofed ones have been handled.
    awareness.setLocalStateField("user", { name: "spoofer", color: "#000000" });
    await until(() => nameOf(witness, spoofer.doc.clientID) === "spoofer", "what came behind");
    assert.equal(nameOf(witness, clientID), "dan");
    assert.equal(nameOf(await Peer.open(t, program.member("ann", "blank")), clientID), "dan");
  });
});

async function shows(editor, names) {
  const shown = () => editor.cursors.sort().join();
  const what = () => `${editor.name} shows ${shown()} in place of ${names.join()}`;
  await until(() => shown() === names.join(), what, SOON_MS);
}
