// Members that say nothing: a stock provider takes a connection for dead on which nothing comes for 30 s, a time that
// cannot be set. So this takes longer than that.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { Browser } from "./lib/browser.mjs";
import { converge } from "./lib/editor.mjs";
import { Program } from "./lib/program.mjs";
import { Peer } from "./lib/provider.mjs";
import { elapse, until } from "../wait.mjs";

/** Its time, and that between two of its looks at the clock. */
const PROVIDER_PATIENCE_MS = 30_000 + 3000;

describe("who says nothing", () => {
  it("stays connected, unless it is a ghost", async (t) => {
    const program = await Program.start(t, "own");
    const ann = await Browser.open(t, program.member("ann", "blank"));
    const peers = {};
    for (const user of ["bob", "rea", "cid"]) peers[user] = await Peer.open(t, program.member(user, "blank"));
    // Its page is frozen: the connection stays, nothing is read and nothing said.
    const ghost = peers.cid;
    const { ws } = ghost.provider;
    const knows = (peer) => peer.awareness.getStates().has(ghost.doc.clientID);
    await until(() => knows(peers.bob) && knows(peers.rea), "the ghost, before it is one");
    ws.pause();
    clearInterval(ghost.awareness._checkInterval);
    clearInterval(ghost.provider._checkInterval);

    await elapse(PROVIDER_PATIENCE_MS + 1000);
    for (const { closings, isConnected, name } of Object.values(peers)) {
      assert.deepEqual([closings, isConnected], [[], true], name);
    }
    assert(ann.isConnected);
    const newcomer = await Peer.open(t, program.member("dan", "blank"));
    const names = () => [...newcomer.awareness.getStates().values()].map(({ user }) => user?.name).sort().join();
    await until(() => names() === "bob,dan,rea", () => `the newcomer knows of ${names()}`);
    for (const peer of [peers.bob, peers.rea]) assert(!knows(peer), `${peer.name} sees the ghost`);

    // They were connections all the time, and the page thaws.
    ws.resume();
    ann.type("hello");
    await converge([ann, newcomer, ...Object.values(peers)]);
  });
});
