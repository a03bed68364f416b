// Four editors on a note, two over each protocol.

import { Browser } from "./browser.mjs";
import { Peer } from "./provider.mjs";
import { NOTE } from "./tables.mjs";
import { elapse, until } from "../../wait.mjs";

/** Opens them; the first one loads the note, and one is known to the server only once it has joined. */
export async function four(t, program) {
  const ann = await Browser.open(t, program.member("ann", "plan", { note: NOTE }));
  await until(() => !ann.isEmpty, "note in the first editor");
  const bob = await Browser.open(t, program.member("bob", "plan", { note: NOTE, entry: "user-join" }));
  return [ann, bob, await Peer.open(t, program.member("cid")), await Peer.open(t, program.member("dan"))];
}

/** A newcomer over each protocol, with nothing of its own. */
export async function newcomers(t, program) {
  const more = { note: NOTE };
  return [await Browser.open(t, program.member("bob", "plan", more)), await Peer.open(t, program.member("cid"))];
}

const WORDS = ["tea ", "milk ", "😀", "né", "<b>&", "\u{1f468}\u{200d}\u{1f469}", "x"];

/** All at once, one edit of each in turn; what comes from the others is let in between. */
export async function editAll(editors, random, rounds = 25) {
  for (let round = 0; round < rounds; round += 1) {
    for (const editor of editors) {
      editor.editAtRandom(random, WORDS[random(WORDS.length)]);
      if (random(3) === 0) await elapse(0);
    }
    await elapse(1);
  }
}
