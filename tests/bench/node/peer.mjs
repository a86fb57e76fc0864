// Does the work of `kvwatch run` in Node: `node peer.mjs COMPONENT EVENTS`. The host has only the functions that the
// watcher needs. It is written for speed, like the bare loop around wasmtime.

import { readFile } from 'node:fs/promises';

import { transpile } from '@bytecodealliance/jco-transpile';

const [component, events] = process.argv.slice(2);
const { files } = await transpile(component, {
  name: 'watcher',
  instantiation: 'sync',
  emitTypescriptDeclarations: false,
});
const modules = new Map();
for (const [name, bytes] of Object.entries(files)) {
  if (name.endsWith('.wasm')) modules.set(name, await WebAssembly.compile(bytes));
}
const source = Buffer.from(files['watcher.js']).toString('base64');
const { instantiate } = await import(`data:text/javascript;base64,${source}`);

let whole;
const unused = () => {
  throw new Error('this host does not have the function');
};
const types = new Proxy(
  { dropBucket() {}, dropPayload() {}, payloadConsumeSync: () => whole },
  { get: (functions, name) => functions[name] ?? unused },
);
const imports = { 'wasi:keyvalue/types': types, 'wasi:keyvalue/wasi-io': new Proxy({}, { get: () => unused }) };
const watcher = instantiate((name) => modules.get(name), imports)['wasi:keyvalue/handle-watch'];

const encoder = new TextEncoder();
for (const line of (await readFile(events, 'utf8')).split('\n')) {
  if (line === '') continue;
  const { key, value } = JSON.parse(line);
  whole = encoder.encode(value);
  watcher.onSet(1, key, 2);
}
