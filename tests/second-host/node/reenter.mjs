// Enters an instance that is busy, which no host of components may do: `node reenter.mjs MODULE`. The core module of a watcher runs
// without a component around it, so only the watcher itself can notice this. The script prints the ends of two events. The calls of
// the first event do nothing. The first call of the second event enters the instance again.

import { readFile } from 'node:fs/promises';

const ON_DELETE = 'wasi:keyvalue/handle-watch#on-delete';

const module = await WebAssembly.compile(await readFile(process.argv[2]));

async function deliver({ reenter }) {
  let calls = 0;
  let exports;
  const event = () => exports[ON_DELETE](1, 1, 0);
  const imports = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    imports[from] ??= {};
    imports[from][name] = () => {
      calls += 1;
      if (reenter && calls === 1) event();
    };
  }
  ({ exports } = await WebAssembly.instantiate(module, imports));
  try {
    event();
  } catch (error) {
    return `${calls} calls, then ${error.message}`;
  }
  return `${calls} calls, handled`;
}

console.log(await deliver({ reenter: false }));
console.log(await deliver({ reenter: true }));
