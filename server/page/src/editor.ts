// The editor of a note: ProseMirror on Yjs, with the names that Open WebUI's editor gives to nodes and marks.

import { baseKeymap, chainCommands, setBlockType, toggleMark } from "prosemirror-commands";
import { inputRules, textblockTypeInputRule, wrappingInputRule } from "prosemirror-inputrules";
import { keymap } from "prosemirror-keymap";
import { DOMSerializer, type MarkType, Node, Schema } from "prosemirror-model";
import { marks, nodes } from "prosemirror-schema-basic";
import { bulletList, listItem, liftListItem, sinkListItem, splitListItem, wrapInList } from "prosemirror-schema-list";
import { type Command, EditorState, type Transaction } from "prosemirror-state";
import { type DecorationAttrs, EditorView } from "prosemirror-view";
import { prosemirrorToYDoc, redo, undo, yCursorPlugin, ySyncPlugin, yUndoPlugin } from "y-prosemirror";
import * as Y from "yjs";

import type { Content, NoteProvider } from "./provider";
import { colourOf } from "./setup";

/** The name under which Open WebUI's front end keeps the text of a note. */
const FRAGMENT = "prosemirror";

const schema = new Schema({
  nodes: {
    doc: nodes.doc,
    paragraph: nodes.paragraph,
    heading: nodes.heading,
    bulletList: { ...bulletList, group: "block", content: "listItem+" },
    listItem: { ...listItem, content: "paragraph block*" },
    hardBreak: nodes.hard_break,
    text: nodes.text,
  },
  marks: { bold: marks.strong, italic: marks.em, code: marks.code },
});
const { paragraph, heading, listItem: item, bulletList: list } = schema.nodes;
const { bold, italic, code } = schema.marks;

/** What the toolbar offers. */
export const TOOLS: { name: string; label: string; keys: string; command: Command; isOn: (state: EditorState) => boolean }[] = [
  { name: "Heading", label: "H", keys: "", command: toggleBlock(), isOn: isHeading },
  { name: "Bold", label: "B", keys: "Mod-b", command: toggleMark(bold), isOn: (state) => hasMark(state, bold) },
  { name: "Italic", label: "I", keys: "Mod-i", command: toggleMark(italic), isOn: (state) => hasMark(state, italic) },
  { name: "Code", label: "<>", keys: "Mod-e", command: toggleMark(code), isOn: (state) => hasMark(state, code) },
  { name: "List", label: "•", keys: "", command: toggleList(), isOn: isInList },
];

/** Shows a note in an element. `changed` is told of every new state. */
export function openEditor(place: HTMLElement, provider: NoteProvider, changed: (state: EditorState) => void, label: string): EditorView {
  const shortcuts = Object.fromEntries(TOOLS.filter(({ keys }) => keys).map(({ keys, command }) => [keys, command]));
  const plugins = [
    ySyncPlugin(fragment(provider.doc)),
    yCursorPlugin(provider.awareness, { cursorBuilder, selectionBuilder }),
    yUndoPlugin(),
    inputRules({
      rules: [
        textblockTypeInputRule(/^(#{1,3})\s$/, heading, (match) => ({ level: match[1]?.length ?? 1 })),
        wrappingInputRule(/^\s*([-*])\s$/, list),
      ],
    }),
    keymap({ "Mod-z": undo, "Mod-y": redo, "Mod-Shift-z": redo, ...shortcuts }),
    keymap({ Enter: splitListItem(item), "Mod-]": sinkListItem(item), "Mod-[": liftListItem(item) }),
    keymap(baseKeymap),
  ];
  const view = new EditorView(place, {
    state: EditorState.create({ schema, plugins }),
    attributes: { role: "textbox", "aria-multiline": "true", "aria-label": label, spellcheck: "false" },
    dispatchTransaction(this: EditorView, transaction: Transaction) {
      // The plugins put some things off, perhaps beyond the end of the view.
      if (this.isDestroyed) return;
      this.updateState(this.state.apply(transaction));
      changed(this.state);
    },
  });
  changed(view.state);
  return view;
}

/** The content as the front end renders it for the note's row. */
export function render(view: EditorView | null): Content {
  const doc = view?.state.doc ?? schema.topNodeType.createAndFill();
  if (!doc) return { md: "", html: "", json: null };
  const place = document.createElement("div");
  place.append(DOMSerializer.fromSchema(schema).serializeFragment(doc.content));
  return { md: markdown(doc), html: place.innerHTML, json: doc.toJSON() };
}

/** A note's stored content, as an update of an empty document. */
export function seed(json: unknown): Uint8Array {
  return Y.encodeStateAsUpdate(prosemirrorToYDoc(Node.fromJSON(schema, json as object), FRAGMENT));
}

const fragment = (doc: Y.Doc): Y.XmlFragment => doc.getXmlFragment(FRAGMENT);

function markdown(doc: Node): string {
  const blocks: string[] = [];
  doc.descendants((node, _at, parent) => {
    if (!node.isTextblock) return true;
    const sign = node.type === heading ? `${"#".repeat(Number(node.attrs.level))} ` : parent?.type === item ? "- " : "";
    blocks.push(sign + node.textContent);
    return false;
  });
  return blocks.join("\n\n");
}

interface Member {
  id?: string;
  name?: string;
}

function cursorBuilder(user: Member): HTMLElement {
  const cursor = document.createElement("span");
  cursor.className = `cursor ${colourOf(user.id ?? "")}`;
  const name = document.createElement("span");
  name.className = "cursor-name";
  name.textContent = user.name ?? "?";
  // Without these the caret of the browser may stand on either side of it.
  cursor.append("\u2060", name, "\u2060");
  return cursor;
}

const selectionBuilder = (user: Member): DecorationAttrs => ({ class: `selection ${colourOf(user.id ?? "")}` });

function isHeading(state: EditorState): boolean {
  return state.selection.$from.parent.type === heading;
}

function isInList(state: EditorState): boolean {
  const { $from } = state.selection;
  return Array.from({ length: $from.depth + 1 }, (_, depth) => $from.node(depth).type).includes(item);
}

function hasMark(state: EditorState, mark: MarkType): boolean {
  const { from, to, empty, $from } = state.selection;
  if (empty) return mark.isInSet(state.storedMarks ?? $from.marks()) !== undefined;
  return state.doc.rangeHasMark(from, to, mark);
}

function toggleBlock(): Command {
  return (state, dispatch, view) =>
    (isHeading(state) ? setBlockType(paragraph) : setBlockType(heading, { level: 2 }))(state, dispatch, view);
}

function toggleList(): Command {
  return (state, dispatch, view) => chainCommands(isInList(state) ? liftListItem(item) : wrapInList(list))(state, dispatch, view);
}
