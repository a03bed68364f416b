// A chat with a model: answers as they stream in, and the dialog that asks before it reads.

import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

import type { Dialog, Exchange } from "../chat";
import { render } from "../editor";
import { Composer } from "./channel";
import { Icon } from "./icon";
import type { UserWindow } from "./window";

const SUGGESTION = "How does your answer reach me?";

export function ChatView({ window: { chat, editor, noteTitle, user, connection } }: { window: UserWindow }) {
  const list = useRef<HTMLDivElement>(null);
  const exchanges = chat.exchanges.value;
  useLayoutEffect(() => list.current?.scrollTo({ top: list.current.scrollHeight }), [exchanges]);
  const isReady = connection.status.value === "online";
  const ask = async (text: string) => {
    if (!isReady) throw new Error("offline");
    await chat.ask(text, { title: noteTitle, text: render(editor.view).md });
  };
  return (
    <>
      <div class="exchanges scroll" ref={list} tabIndex={0} role="log" aria-label={`Chat of ${user.name}`} aria-busy={chat.isBusy.value}>
        {exchanges.length === 0 && (
          <div class="empty">
            <strong>{user.name}’s chat</strong>
            The answer is made up; its way here is not. It comes word by word, with status and sources, and asks before it reads
            your note. It reaches the sockets of {user.name} and no one else’s.
            <button type="button" class="button" disabled={!isReady || chat.isBusy.value} onClick={() => void ask(SUGGESTION).catch(() => {})}>
              {SUGGESTION}
            </button>
          </div>
        )}
        {exchanges.map((exchange) => (
          <ExchangeView key={exchange.id} exchange={exchange} />
        ))}
      </div>
      <Composer
        label={`Question of ${user.name}`}
        placeholder="Ask the model"
        action="Ask"
        isBusy={!isReady || chat.isBusy.value}
        send={ask}
      />
    </>
  );
}

function ExchangeView({ exchange }: { exchange: Exchange }) {
  const { question, status, content, sources, state } = exchange;
  return (
    <article class={`exchange is-${state}`}>
      {question && <p class="question">{question}</p>}
      {status.map(({ description, done }) => (
        <p key={description} class={done ? "step is-done" : "step"}>
          {done ? <Icon name="check" /> : <span class="spinner" aria-hidden="true" />}
          {description}
        </p>
      ))}
      {content && <p class="answer">{withCitations(content, exchange)}</p>}
      {sources.length > 0 && (
        <ol class="sources" aria-label="Sources">
          {sources.map(({ source, document }, index) => (
            <li key={source.name} id={`${exchange.id}-${index + 1}`}>
              <details>
                <summary>
                  <span class="cite">{index + 1}</span> {source.name}
                </summary>
                <blockquote>{document.join("\n")}</blockquote>
              </details>
            </li>
          ))}
        </ol>
      )}
    </article>
  );
}

/** Numbers in brackets become what opens their source. */
function withCitations(content: string, { id, sources }: Exchange) {
  return content.split(/(\[\d+\])/).map((part) => {
    const number = Number(/^\[(\d+)\]$/.exec(part)?.[1]);
    if (!sources[number - 1]) return part;
    const open = () => {
      const details = document.getElementById(`${id}-${number}`)?.querySelector("details");
      if (details) details.open = true;
      details?.querySelector("summary")?.focus();
    };
    return (
      <button type="button" class="cite" onClick={open} aria-label={`Source ${number}: ${sources[number - 1]?.source.name}`}>
        {number}
      </button>
    );
  });
}

/** Belongs to one window: the other one goes on. */
export function DialogView({ dialog: { title, message, reply }, user }: { dialog: Dialog; user: string }) {
  const place = useRef<HTMLDialogElement>(null);
  const before = useRef(document.activeElement as HTMLElement | null);
  useEffect(() => {
    const window = place.current?.closest(".window");
    place.current?.show();
    // Who writes in the other window is not disturbed.
    const isElsewhere = before.current?.closest(".window") && !window?.contains(before.current);
    if (isElsewhere) before.current?.focus();
    else place.current?.querySelector<HTMLElement>("[data-first]")?.focus();
    return () => {
      if (!isElsewhere) before.current?.focus();
    };
  }, []);
  const decline = (event: KeyboardEvent) => event.key === "Escape" && reply(false);
  return (
    <div class="veil">
      <dialog ref={place} class="dialog" aria-label={`${title} (${user})`} onKeyDown={decline}>
        <h3>{title}</h3>
        <p>{message}</p>
        <p class="faint">The process that asked waits for the acknowledgement of this event.</p>
        <div class="row is-end">
          <button type="button" class="button" onClick={() => reply(false)}>
            No
          </button>
          <button type="button" class="button is-main" data-first onClick={() => reply(true)}>
            Allow
          </button>
        </div>
      </dialog>
    </div>
  );
}
