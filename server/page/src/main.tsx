import "./theme";
import "./style.css";

import { render } from "preact";

import { App, start } from "./view/app";

const place = document.querySelector("#app");
await start();
if (place) render(<App />, place);
