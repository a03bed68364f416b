// A note: the editor with its toolbar, and how many edit it.

import { useSignal } from "@preact/signals";
import type { EditorState } from "prosemirror-state";
import { useEffect, useRef } from "preact/hooks";

import { openEditor, TOOLS } from "../editor";
import type { UserWindow } from "./window";

export function NoteView({ window: { note, noteTitle, editor, user, connection } }: { window: UserWindow }) {
  const place = useRef<HTMLDivElement>(null);
  const state = useSignal<EditorState | null>(null);
  useEffect(() => {
    if (!place.current) return;
    const label = `${noteTitle}, as ${user.name} edits it`;
    const view = openEditor(place.current, note, (now) => (state.value = now), label);
    editor.view = view;
    return () => {
      editor.view = null;
      view.destroy();
    };
  }, []);
  const now = state.value;
  const others = note.members.value - 1;
  const isOnline = connection.status.value === "online" && note.isSynced.value;
  return (
    <>
      <div class="toolbar" role="toolbar" aria-label={`Format of ${user.name}’s text`}>
        {TOOLS.map(({ name, label, keys, command, isOn }) => (
          <button
            key={name}
            type="button"
            class={`tool is-${name.toLowerCase()}`}
            aria-label={name}
            title={keys ? `${name} (${keys.replace("Mod", "Ctrl")})` : name}
            aria-pressed={now ? isOn(now) : false}
            // The editor keeps its selection.
            onMouseDown={(event) => event.preventDefault()}
            onClick={() => {
              const view = editor.view;
              if (!view) return;
              command(view.state, view.dispatch.bind(view), view);
              view.focus();
            }}
          >
            {label}
          </button>
        ))}
        <span class="members faint">
          {isOnline ? (others > 0 ? `with ${others} other${others > 1 ? "s" : ""}` : "alone") : "kept in this window"}
        </span>
      </div>
      <div class="paper" ref={place} onClick={(event) => event.target === place.current && editor.view?.focus()} />
    </>
  );
}
