// These tests show that the host notices violations. Otherwise, a watcher without violations would prove nothing.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Host, Trap } from './host.mjs';

/** Plays a guest in the event of a set. Returns the violations. */
function violations(guest, refusal) {
  const host = new Host(1, refusal);
  const imports = host.imports();
  const given = host.beginSet(Buffer.from('hello'));
  let trapped = false;
  try {
    guest({ ...imports['wasi:keyvalue/types'], ...imports['wasi:keyvalue/wasi-io'] }, given);
  } catch (error) {
    if (!(error instanceof Trap)) throw error;
    trapped = true;
  }
  return host.end({ trapped }).violations;
}

/** Reads to the end of a stream, and drops it. */
function drain(world, stream) {
  const chunks = [];
  for (let end = false; !end; ) {
    const [bytes, last] = world.read(stream, 3n);
    assert.ok(bytes.length <= 3 && last === (bytes.length === 0), 'short reads, and the end alone');
    chunks.push(bytes);
    end = last;
  }
  world.dropInputStream(stream);
  return Buffer.concat(chunks).toString();
}

test('a guest that keeps the rules has no violation', () => {
  const guest = (world, { bucket, payload }) => {
    world.dropBucket(bucket);
    assert.equal(world.size(payload), 5n);
    assert.equal(drain(world, world.payloadConsumeAsync(payload)), 'hello');
    const value = world.newValue();
    const body = world.valueWriteBody(value);
    assert.ok(world.write(body, Buffer.from('hello')) > 0n);
    world.dropOutputStream(body);
    world.dropValue(value);
  };
  assert.deepEqual(violations(guest), []);
});

test('kinds count apart from 0', () => {
  violations((world, given) => {
    assert.deepEqual(given, { bucket: 0, payload: 0 });
    assert.equal(world.openBucket('other'), 1);
    assert.equal(world.newValue(), 0);
  });
});

test('what is leaked is told with where it came from', () => {
  assert.deepEqual(
    violations((world, { bucket, payload }) => {
      world.payloadConsumeAsync(payload);
      world.dropBucket(bucket);
    }),
    ['input-stream 0 was never dropped (from `payload-consume-async`)'],
  );
});

test('what is held at a trap is not leaked', () => {
  assert.deepEqual(
    violations((world) => world.splice(0, 0, 1n)),
    [],
  );
});

test('a handle that is dropped twice traps', () => {
  assert.deepEqual(
    violations((world, { bucket }) => {
      world.dropBucket(bucket);
      world.dropBucket(bucket);
    }),
    ['`drop-bucket` was called with bucket 0, which is no more'],
  );
});

test('a handle that never was traps', () => {
  assert.deepEqual(
    violations((world) => world.dropPayload(7)),
    ['`drop-payload` was called with payload 7, which there never was'],
  );
});

test('a handle of another kind traps', () => {
  assert.deepEqual(
    violations((world, { bucket }) => world.dropValue(bucket)),
    ['`drop-value` was called with value 0, which there never was'],
  );
});

test('a consumed payload is no more, even if consuming failed', () => {
  const guest = (world, { payload }) => {
    assert.throws(
      () => world.payloadConsumeSync(payload),
      ({ payload: error }) => world.trace(error) === 'shut' && world.dropError(error) === undefined,
    );
    world.dropPayload(payload);
  };
  assert.deepEqual(violations(guest, 'shut'), ['`drop-payload` was called with payload 0, which is no more']);
});

test('the order of streams and values, their ends and empty calls are watched', () => {
  const guest = (world, { bucket, payload }) => {
    world.dropBucket(bucket);
    const stream = world.payloadConsumeAsync(payload);
    world.read(stream, 0n);
    while (!world.skip(stream, 10n)[1]);
    world.read(stream, 1n);
    world.dropInputStream(stream);
    const value = world.newValue();
    const body = world.valueWriteBody(value);
    assert.throws(() => world.valueWriteBody(value), /failed/);
    assert.throws(() => world.write(body, new Uint8Array()), /failed/);
    world.dropValue(value);
    world.dropOutputStream(body);
  };
  assert.deepEqual(violations(guest), [
    '`read` was called with input-stream 0 for 0 bytes',
    '`read` was called with input-stream 0 after its end',
    '`value-write-body` was called for value 0 a second time',
    '`write` was called with output-stream 0 for 0 bytes',
    'value 0 was dropped before the stream that writes it',
  ]);
});

test('the store has what was set, and its errors are those of the draft', () => {
  const host = new Host(1);
  const world = Object.assign({}, ...Object.values(host.imports()));
  host.store('n', Buffer.from('41'));
  const bucket = host.beginDelete();
  assert.equal(world.increment(bucket, 'n', 1n), 42n);
  assert.equal(world.compareAndSwap(bucket, 'n', 41n, 0n), false);
  const value = world.newValue();
  world.setMany(bucket, ['a', 'b'], [['a', value], ['b', value]]);
  world.dropValue(value);
  assert.throws(() => world.get(bucket, 'none'), (error) => (world.dropError(error.payload), true));
  assert.throws(() => world.increment(bucket, 'a', 1n), (error) => (world.dropError(error.payload), true));
  assert.throws(() => world.getMany(bucket, ['n', 'none']), (error) => (world.dropError(error.payload), true));
  const other = world.openBucket('other');
  assert.deepEqual([world.getKeys(bucket), world.getKeys(other)], [['n', 'a', 'b'], []]);
  world.deleteMany(bucket, ['a', 'none']);
  world.dropBucket(other);
  world.dropBucket(bucket);
  const { changes, violations } = host.end({ trapped: false });
  assert.deepEqual(violations, []);
  assert.deepEqual(
    changes.map(([name, key, bytes]) => [name, key, bytes && bytes.toString()]),
    [
      ['watched', 'n', '42'],
      ['watched', 'a', ''],
      ['watched', 'b', ''],
      ['watched', 'a', null],
    ],
  );
});

test('a value that is still being written is told when it is stored', () => {
  const host = new Host(1);
  const world = Object.assign({}, ...Object.values(host.imports()));
  const bucket = host.beginDelete();
  const value = world.newValue();
  const body = world.valueWriteBody(value);
  world.set(bucket, 'k', value);
  world.dropOutputStream(body);
  world.dropValue(value);
  world.dropBucket(bucket);
  assert.deepEqual(host.end({ trapped: false }).violations, [
    '`set` was called with value 0 before the stream that writes it was dropped',
  ]);
});
