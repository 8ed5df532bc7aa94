// SPDX-License-Identifier: Apache-2.0
// Runs a WebAssembly program under Node: `node run_wasm.mjs FILE`. A program of wasip1 has `_start`,
// and gets the folder that it runs in. Any other exports `program`, which returns how many checks
// have failed, and imports `program_print` at most.
import { readFileSync } from "node:fs";

const module = new WebAssembly.Module(readFileSync(process.argv[2]));
const names = WebAssembly.Module.imports(module);
if (names.some((name) => name.module.startsWith("wasi"))) {
    const { WASI } = await import("node:wasi");
    const wasi = new WASI({ version: "preview1", args: [process.argv[2]], preopens: { ".": "." } });
    const instance = new WebAssembly.Instance(module, { wasi_snapshot_preview1: wasi.wasiImport });
    process.exitCode = wasi.start(instance);
} else {
    const foreign = names.filter((name) => name.name !== "program_print");
    if (foreign.length !== 0)
        throw new Error(`the program wants ${foreign.map((name) => name.name)}`);
    let memory;
    const program_print = (at) => {
        const bytes = new Uint8Array(memory.buffer, at);
        process.stdout.write(new TextDecoder().decode(bytes.slice(0, bytes.indexOf(0))));
    };
    const { exports } = new WebAssembly.Instance(module, { env: { program_print } });
    memory = exports.memory;
    process.exitCode = exports.program() === 0 ? 0 : 1;
}
