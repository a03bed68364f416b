// A channel: its messages, who is typing, and a line to write in.

import { useLayoutEffect, useRef } from "preact/hooks";

import { colourOf } from "../setup";
import { Icon } from "./icon";
import type { UserWindow } from "./window";

export function ChannelView({ window: { channel, user } }: { window: UserWindow }) {
  const list = useRef<HTMLDivElement>(null);
  const messages = channel.messages.value;
  useLayoutEffect(() => list.current?.scrollTo({ top: list.current.scrollHeight }), [messages]);
  const names = channel.typing.value;
  return (
    <>
      <div class="messages scroll" ref={list} role="log" aria-label={`Messages in ${channel.channel.name}`} tabIndex={0}>
        {messages.length === 0 && (
          <div class="empty">
            <strong># {channel.channel.name}</strong>
            Write something. While you type, the others see that you do; what you send goes through the HTTP API to the room of
            the channel.
          </div>
        )}
        {messages.map(({ id, user: author, content, at }) => (
          <article key={id} class={`message ${colourOf(author.id)}`}>
            <span class="face" aria-hidden="true">
              {author.name.slice(0, 1)}
            </span>
            <div>
              <span class="author">{author.name}</span>{" "}
              <time class="faint" dateTime={at.toISOString()}>
                {at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}
              </time>
              <p>{content}</p>
            </div>
          </article>
        ))}
      </div>
      <p class="typing faint" role="status">
        {names.length > 0 && (
          <>
            <span class="dots" aria-hidden="true">
              <i />
              <i />
              <i />
            </span>
            {names.join(" and ")} {names.length > 1 ? "are" : "is"} typing
          </>
        )}
      </p>
      <Composer
        label={`Message of ${user.name} to ${channel.channel.name}`}
        placeholder={`Message # ${channel.channel.name}`}
        action="Send"
        isBusy={false}
        typed={() => channel.type(true)}
        send={(text) => channel.say(text)}
      />
    </>
  );
}

interface ComposerProps {
  label: string;
  placeholder: string;
  action: string;
  isBusy: boolean;
  typed?: () => void;
  send: (text: string) => Promise<void>;
}

export function Composer({ label, placeholder, action, isBusy, typed, send }: ComposerProps) {
  const field = useRef<HTMLInputElement>(null);
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const text = field.current?.value.trim();
    if (!text || isBusy || !field.current) return;
    field.current.value = "";
    // What was not sent stands there again.
    send(text).catch(() => field.current && (field.current.value ||= text));
  };
  return (
    <form class="composer" onSubmit={submit}>
      <input ref={field} class="field" aria-label={label} placeholder={placeholder} autocomplete="off" maxLength={500} onInput={typed} />
      <button class="button is-main" aria-label={action} title={action} disabled={isBusy}>
        <Icon name="send" />
      </button>
    </form>
  );
}
