// Runs a watcher: `node run.mjs COMPONENT EVENTS [TRACE]`. Events have the format of `kvwatch run`: one line of JSON for each. The
// result of each event is a line of JSON too. With a trace, the host refuses every call that it can refuse, with this reason.

import { readFile } from 'node:fs/promises';

import { transpile } from '@bytecodealliance/jco-transpile';

import { Host, Trap } from './host.mjs';

/** Transpiles the component. Returns a function that makes a fresh instance of it. */
async function load(path, imports) {
  const { files } = await transpile(path, { name: 'watcher', instantiation: 'sync', emitTypescriptDeclarations: false });
  const modules = new Map();
  for (const [name, bytes] of Object.entries(files)) {
    if (name.endsWith('.wasm')) modules.set(name, await WebAssembly.compile(bytes));
  }
  const source = Buffer.from(files['watcher.js']).toString('base64');
  const { instantiate } = await import(`data:text/javascript;base64,${source}`);
  return () => instantiate((name) => modules.get(name), imports)['wasi:keyvalue/handle-watch'];
}

/** The message of the watcher's trap. Any other exception is a fault of this host. */
function trapOf(error) {
  if (error instanceof Trap || error instanceof WebAssembly.RuntimeError) return error.message;
  throw error;
}

function deliver(watcher, host, { op, key, value, base64 }) {
  switch (op) {
    case 'set': {
      const bytes = value === undefined ? Buffer.from(base64, 'base64') : Buffer.from(value);
      host.store(key, bytes);
      const given = host.beginSet(bytes);
      return watcher.onSet(given.bucket, key, given.payload);
    }
    case 'delete':
      host.remove(key);
      return watcher.onDelete(host.beginDelete(), key);
    default:
      throw new Error(`there is no operation ${op}`);
  }
}

const [component, events, refusal] = process.argv.slice(2);
const host = new Host(1, refusal);
const instantiate = await load(component, host.imports());
let watcher = instantiate();
for (const line of (await readFile(events, 'utf8')).split('\n').filter(Boolean)) {
  let trap = null;
  try {
    deliver(watcher, host, JSON.parse(line));
  } catch (error) {
    trap = trapOf(error);
    watcher = instantiate();
  }
  const { values, changes, violations, calls } = host.end({ trapped: trap !== null });
  const base64 = (bytes) => bytes && bytes.toString('base64');
  console.log(
    JSON.stringify({
      trap,
      values: values.map(base64),
      changes: changes.map(([bucket, key, bytes]) => [bucket, key, base64(bytes)]),
      violations,
      calls,
    }),
  );
}
