// A ProseMirror editor on a Yjs document, bound by y-prosemirror: what every member of a document is in these tests,
// over either protocol.

import { document } from "./dom.mjs";

import assert from "node:assert/strict";
import { schema } from "prosemirror-schema-basic";
import { EditorState, TextSelection } from "prosemirror-state";
import { EditorView } from "prosemirror-view";
import * as Y from "yjs";
import { yCursorPlugin, ySyncPlugin, yUndoPlugin } from "y-prosemirror";

import { until } from "../../wait.mjs";

export { schema };

/** The name under which Open WebUI's front end keeps the text of a note. */
const FRAGMENT = "prosemirror";

export class Editor {
  doc = new Y.Doc();
  #focused = false;

  constructor(name) {
    this.name = name;
    this.fragment = this.doc.getXmlFragment(FRAGMENT);
  }

  /** Shows the document, with the cursors that `awareness` knows of. */
  open(awareness, more = []) {
    const plugins = [...more, ySyncPlugin(this.fragment), yUndoPlugin(), yCursorPlugin(awareness)];
    const state = EditorState.create({ schema, plugins });
    this.view = new EditorView(document.body.appendChild(document.createElement("div")), {
      state,
      dispatchTransaction(transaction) {
        // The plugins put some things off, perhaps beyond the end of the view.
        if (!this.isDestroyed) this.updateState(this.state.apply(transaction));
      },
    });
    // A page has one focus, these editors stand for many pages.
    this.view.hasFocus = () => this.#focused;
  }

  close() {
    this.view.destroy();
    this.doc.destroy();
  }

  // --- what a user does -----------------------------------------------------------------------------

  dispatch(edit) {
    const { tr } = this.view.state;
    edit(tr);
    this.view.dispatch(tr);
  }

  /** Writes at the end of the last block, or at `at`. */
  type(text, at = this.view.state.doc.content.size - 1) {
    this.dispatch((tr) => tr.insertText(text, at));
  }

  /** Puts the cursor somewhere, and with it what others see of this user. */
  select(from, to = from) {
    this.#focused = true;
    this.dispatch((tr) => tr.setSelection(TextSelection.create(tr.doc, from, to)));
  }

  /** Something that a user might do in any document: types, deletes, formats, makes blocks. */
  editAtRandom(random, word) {
    const { doc } = this.view.state;
    const places = [];
    doc.descendants((node, at) => {
      // No cursor stands within an emoji: Yjs would make other text of the halves here than elsewhere.
      const text = node.isTextblock ? node.textBetween(0, node.content.size, null, " ") : "";
      const isWithin = (i) => (text.codePointAt(i - 1) ?? 0) > 0xffff;
      for (let i = 0; node.isTextblock && i <= node.content.size; i += 1) if (!isWithin(i)) places.push(at + 1 + i);
    });
    const place = () => places[random(places.length)];
    const [from, to] = [place(), place()].sort((a, b) => a - b);
    const { strong, em, link, code } = schema.marks;
    const kind = random(10);
    this.dispatch((tr) => {
      if (kind < 4) tr.insertText(word, from);
      else if (kind === 4) tr.deleteRange(from, places[Math.min(places.indexOf(from) + 6, places.length - 1)]);
      else if (kind === 5) tr.addMark(from, to, [strong, em, code][random(3)].create());
      else if (kind === 6) tr.removeMark(from, to, [strong, em, code][random(3)]);
      else if (kind === 7) tr.addMark(from, to, link.create({ href: `https://example.org/${random(9)}` }));
      else if (kind === 8) tr.setBlockType(from, to, ...this.#block(random));
      else tr.split(from);
    });
  }

  #block(random) {
    const { paragraph, heading } = schema.nodes;
    return random(2) ? [paragraph] : [heading, { level: 1 + random(3) }];
  }

  // --- what there is --------------------------------------------------------------------------------

  get text() {
    return this.view.state.doc.textBetween(0, this.view.state.doc.content.size, "\n");
  }

  get isEmpty() {
    return this.text.trim() === "";
  }

  get json() {
    // Attributes have no prototype there.
    return JSON.parse(JSON.stringify(this.view.state.doc));
  }

  /** The content as a front end renders it for the note. */
  get content() {
    return { md: this.text, html: html(this.view.state.doc.content), json: this.view.state.doc.toJSON() };
  }

  /** Cursors of others, as they are shown. */
  get cursors() {
    const cursors = [...this.view.dom.querySelectorAll(".ProseMirror-yjs-cursor")];
    return cursors.map((cursor) => cursor.textContent.replaceAll("\u2060", ""));
  }

  /** How much of each client's edits there is. */
  get vector() {
    return [...Y.decodeStateVector(Y.encodeStateVector(this.doc))].sort(([a], [b]) => a - b);
  }

  /** Everything by which two documents can differ. */
  get print() {
    const { doc } = this;
    const deleted = [...Y.snapshot(doc).ds.clients].sort(([a], [b]) => a - b);
    return JSON.stringify({
      vector: this.vector,
      deleted: deleted.map(([client, items]) => [client, items.map(({ clock, len }) => [clock, len])]),
      xml: this.fragment.toString(),
      shown: this.json,
      pending: doc.store.pendingStructs !== null || doc.store.pendingDs !== null,
    });
  }
}

/** HTML as text: a page that is only thrown away again would take most of the time of these tests. */
function html(fragment) {
  const open = ([name, attributes]) => `<${name}${attributes?.href ? ` href="${attributes.href}"` : ""}>`;
  let text = "";
  fragment.forEach((node) => {
    const within = node.isText ? node.text.replaceAll("&", "&amp;").replaceAll("<", "&lt;") : html(node.content);
    const around = [...node.marks].reverse().map((mark) => mark.type.spec.toDOM(mark));
    if (!node.isText) around.push(node.type.spec.toDOM(node));
    text += around.reduce((inner, spec) => `${open(spec)}${inner}</${spec[0]}>`, within);
  });
  return text;
}

/** Waits until all editors have the same content, state vector and deletions, and nothing that waits for something. */
export async function converge(editors, what = "convergence") {
  const vector = (editor) => JSON.stringify(editor.vector);
  await until(() => {
    const [first, ...others] = editors;
    // What costs little is compared first.
    if (others.some((other) => vector(other) !== vector(first))) return false;
    const wanted = first.print;
    return !JSON.parse(wanted).pending && others.every(({ print }) => print === wanted);
  }, () => `${what}\n${differences(editors)}`);
  // What is shown is what is in the document, and not only the same everywhere.
  const [{ doc, json }] = editors;
  const copy = new Y.Doc();
  Y.applyUpdate(copy, Y.encodeStateAsUpdate(doc));
  assert.equal(copy.getXmlFragment(FRAGMENT).toString(), editors[0].fragment.toString());
  copy.destroy();
  return json;
}

/** Where each editor begins to differ from the first. */
function differences([first, ...others]) {
  const wanted = first.print;
  return others.map(({ name, print }) => {
    const at = [...print].findIndex((char, i) => char !== [...wanted][i]);
    const around = (text) => [...text].slice(Math.max(at - 80, 0), at + 80).join("");
    return at < 0 ? `${name}: the same` : `${name}: …${around(print)}…\n  in place of …${around(wanted)}…`;
  }).join("\n");
}

/** Numbers below `n`, the same for the same seed (mulberry32). */
export function dice(seed) {
  let state = seed;
  return (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % n;
  };
}
