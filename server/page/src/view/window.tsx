// One user's window: the connection, and a channel, a note and a chat over it.

import { useRef } from "preact/hooks";
import type { EditorView } from "prosemirror-view";

import { Channel } from "../channel";
import { Chat } from "../chat";
import { Connection, type Status } from "../connection";
import { render, seed } from "../editor";
import { NoteProvider } from "../provider";
import { scene, SCENES, type Scene } from "../scene";
import { colourOf, type Demonstration, type Setup, type User } from "../setup";
import { ChannelView } from "./channel";
import { ChatView, DialogView } from "./chat";
import { Icon } from "./icon";
import { NoteView } from "./note";

export interface UserWindow {
  user: User;
  connection: Connection;
  channel: Channel;
  note: NoteProvider;
  noteTitle: string;
  /** Set while the note is shown. */
  editor: { view: EditorView | null };
  chat: Chat;
}

export function createWindow(user: User, setup: Setup): UserWindow {
  const { channel, note, chat } = setup.demonstration as Demonstration;
  const connection = new Connection(user, setup);
  const editor: UserWindow["editor"] = { view: null };
  const provider = new NoteProvider(
    connection,
    note.id,
    () => render(editor.view),
    () => seed(note.data?.content.json),
  );
  // The chat in the store is the first user's; the other one has one that only this page knows.
  const chatId = setup.demonstration?.users[0]?.id === user.id ? chat.id : `${chat.id}-${user.id}`;
  return {
    user,
    connection,
    channel: new Channel(connection, channel),
    note: provider,
    noteTitle: note.title,
    editor,
    chat: new Chat(connection, chatId),
  };
}

const STATUS: Record<Status, string> = { connecting: "connecting", online: "online", offline: "offline", lost: "connection lost" };

export function WindowView({ window }: { window: UserWindow }) {
  const { user, connection, chat } = window;
  const status = connection.status.value;
  const isOff = status === "offline";
  const body = useRef<HTMLDivElement>(null);
  const views: Record<Scene, preact.ComponentChild> = {
    channel: <ChannelView window={window} />,
    note: <NoteView window={window} />,
    model: <ChatView window={window} />,
  };
  return (
    <section class={`window ${colourOf(user.id)}`} aria-label={`${user.name}’s window`}>
      <header class="window-head">
        <span class="face" aria-hidden="true">
          {user.name.slice(0, 1)}
        </span>
        <h2>{user.name}</h2>
        <span class={`status is-${status}`} role="status" title={connection.sid.value && `socket ${connection.sid.value}`}>
          {status === "online" ? connection.transport.value : STATUS[status]}
        </span>
        <button
          type="button"
          class="button is-small"
          aria-pressed={isOff}
          onClick={() => (isOff ? connection.goOnline() : connection.goOffline())}
        >
          <Icon name="plug" />
          {isOff ? "Go online" : "Go offline"}
        </button>
      </header>
      <div class="window-body" ref={body} inert={chat.dialog.value !== null}>
        {SCENES.map((name) => (
          <div key={name} class="scene" role="tabpanel" aria-labelledby={`scene-${name}`} hidden={scene.value !== name}>
            {views[name]}
          </div>
        ))}
      </div>
      {chat.dialog.value && <DialogView dialog={chat.dialog.value} user={user.name} />}
    </section>
  );
}
