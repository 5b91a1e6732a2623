// Runs a program for WebAssembly in Node, with the files of this machine by absolute paths: cargo's runner of the target
// wasm32-wasip1.
import { readFile } from "node:fs/promises";
import { setFlagsFromString } from "node:v8";
import { WASI } from "node:wasi";

// Node 20 has relaxed SIMD behind a flag.
if (Number.parseInt(process.versions.node, 10) < 21) {
    setFlagsFromString("--experimental-wasm-relaxed-simd");
}
const [program, ...args] = process.argv.slice(2);
const wasi = new WASI({ version: "preview1", args: [program, ...args], env: process.env, preopens: { "/": "/" } });
const module = await WebAssembly.compile(await readFile(program));
process.exitCode = wasi.start(await WebAssembly.instantiate(module, wasi.getImportObject()));
