// The page as a whole: two windows beside each other, and beside them what passes between them and the server.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { watchFigures } from "../figures";
import { watchPeople } from "../people";
import { isRefused, keepKey, keyWanted, readSetup, setup } from "../setup";
import { nextTheme, theme } from "../theme";
import { lanes } from "../timeline";
import { BACKEND } from "../backend";
import { FiguresView } from "./figures";
import { Icon } from "./icon";
import { PeopleView } from "./people";
import { scene, SCENE_NAMES, SCENES } from "../scene";
import { createWindow, type UserWindow, WindowView } from "./window";
import { TimelineView } from "./timeline";

const windows = signal<UserWindow[]>([]);
const problem = signal("");

/** Asks the program what to show; before that nothing is drawn, so that nothing has to move. */
export async function start(): Promise<void> {
  try {
    const read = await readSetup();
    problem.value = "";
    const { demonstration } = read;
    if (!demonstration || windows.value.length > 0) return;
    // Two of the users sit at this page.
    const users = demonstration.users.slice(0, 2);
    lanes.value = [...users, { id: BACKEND, name: "Backend" }];
    windows.value = users.map((user) => createWindow(user, read));
  } catch (error) {
    problem.value = error instanceof Error ? error.message : String(error);
  }
}

export function App() {
  useEffect(() => {
    void watchFigures();
    void watchPeople();
  }, []);
  return (
    <div class="page">
      <header class="bar">
        <h1 class="brand">
          <Icon name="roomcast" />
          roomcast
          <small>{setup.value?.version}</small>
        </h1>
        {windows.value.length > 0 && <Scenes />}
        <ThemeButton />
      </header>
      <main class={windows.value.length > 0 ? "stage" : "stage is-bare"}>
        {keyWanted.value && <KeyForm retry={start} />}
        {problem.value && !keyWanted.value && (
          <div class="notice" role="alert">
            <p>{problem.value}</p>
            <button type="button" class="button" onClick={start}>
              Try again
            </button>
          </div>
        )}
        {windows.value.length > 0 && (
          <div class="windows">
            {windows.value.map((window) => (
              <WindowView key={window.user.id} window={window} />
            ))}
          </div>
        )}
        {!keyWanted.value && (
          <aside class="side" aria-label="What passes">
            <FiguresView />
            {windows.value.length > 0 ? <TimelineView /> : setup.value && <PeopleView />}
          </aside>
        )}
      </main>
    </div>
  );
}

/** What both windows show. */
function Scenes() {
  const move = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = SCENES[(SCENES.indexOf(scene.value) + step + SCENES.length) % SCENES.length];
    if (!next) return;
    scene.value = next;
    document.getElementById(`scene-${next}`)?.focus();
  };
  return (
    <div class="scenes" role="tablist" aria-label="What both windows show" onKeyDown={move}>
      {SCENES.map((name) => (
        <button
          key={name}
          type="button"
          role="tab"
          id={`scene-${name}`}
          aria-selected={scene.value === name}
          tabIndex={scene.value === name ? 0 : -1}
          onClick={() => (scene.value = name)}
        >
          {SCENE_NAMES[name]}
        </button>
      ))}
    </div>
  );
}

function ThemeButton() {
  const names = { auto: "as the system", light: "light", dark: "dark" };
  const label = `Colours: ${names[theme.value]}`;
  return (
    <button type="button" class="button is-quiet theme" onClick={nextTheme} aria-label={label} title={label}>
      <Icon name={theme.value} />
    </button>
  );
}

function KeyForm({ retry }: { retry: () => void }) {
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    keepKey(String(new FormData(event.target as HTMLFormElement).get("key")));
    retry();
  };
  return (
    <form class="notice" onSubmit={submit}>
      <label for="key">Key of the HTTP API</label>
      <p class="faint">ROOMCAST_API_KEY of this program. It is kept until this tab is closed.</p>
      <div class="row">
        <input id="key" name="key" type="password" autocomplete="off" required class="field" />
        <button class="button is-main">Open</button>
      </div>
      <p class="refused" role="alert">{isRefused.value && "That is not the key of this program."}</p>
    </form>
  );
}
