// Three files with names of their own, which the program embeds. No source map and no name made of a hash: the same
// sources and lock file give the same bytes, which `./test.sh page` holds against what is committed.

import { defineConfig } from "vite";

/** The script draws the page: nothing is shown before it has run, so that nothing moves and no theme flashes. */
const blocking = {
  name: "blocking",
  transformIndexHtml: {
    order: "post",
    handler: (html) => html.replace('type="module" crossorigin', 'type="module" blocking="render"').replace('" crossorigin href', '" href'),
  },
};

export default defineConfig({
  plugins: [blocking],
  base: "./",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "dist",
    target: "es2022",
    // `light-dark()` and `oklch()` stay as they are.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    modulePreload: false,
    assetsInlineLimit: 0,
    rollupOptions: {
      output: {
        entryFileNames: "page/app.js",
        assetFileNames: "page/app[extname]",
        codeSplitting: false,
      },
    },
  },
});
