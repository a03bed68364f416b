// Runs a WebAssembly module that needs nothing from its environment; `node run.mjs FILE`.
import { readFileSync } from "node:fs";

const module = new WebAssembly.Module(readFileSync(process.argv[2]));
const imports = WebAssembly.Module.imports(module);
if (imports.length > 0) {
    console.error("the pure crates import from their environment:");
    for (const { module: from, name, kind } of imports) console.error(`  ${kind} ${from}.${name}`);
    process.exit(1);
}
const { exports } = new WebAssembly.Instance(module, {});
// A panic is a trap, which ends this program with its stack.
const code = exports.main(0, 0);
if (code !== 0) throw new Error(`main returned ${code}`);
console.log(`${WebAssembly.Module.exports(module).length} exports, no imports; the conversation ran to its end`);
