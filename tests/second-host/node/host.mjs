// A host of the world `inbound-keyvalue`. It was written from the draft alone, and shares no code with the other two hosts. It behaves
// as badly as the draft allows: each kind of handle is numbered from 0, streams move a random part of the bytes, the end of a stream
// comes without data, and `splice` and `forward` are missing. It accounts for every handle. Behind the draft's outbound interfaces is
// a store in memory.

import { Store } from './store.mjs';

/** The host ends the guest. Any other exception is a fault of this file. */
export class Trap extends Error {}

const STREAM_ERROR = { dummy: 0 };

/** The most bytes that one read returns. */
const MOST_READ = 64n * 1024n;

/** The live handles of one kind. */
class Handles {
  #kind;
  #live = new Map();
  #next = 0;

  constructor(kind) {
    this.#kind = kind;
  }

  add(object, from) {
    this.#live.set(this.#next, { object, from });
    return this.#next++;
  }

  has(handle) {
    return this.#live.has(handle);
  }

  get(handle) {
    return this.#live.get(handle)?.object;
  }

  remove(handle) {
    const object = this.get(handle);
    this.#live.delete(handle);
    return object;
  }

  /** The violation of a call with a handle that is not live. */
  missing(handle, call) {
    const why = handle < this.#next ? 'which is no more' : 'which there never was';
    return `\`${call}\` was called with ${this.#kind} ${handle}, ${why}`;
  }

  leaks() {
    return [...this.#live].map(([handle, { from }]) => `${this.#kind} ${handle} was never dropped (from \`${from}\`)`);
  }
}

/** The error of a call of the draft. jco makes the `err` of the result from the payload. */
class Failed extends Error {
  constructor(payload) {
    super('the call failed');
    this.payload = payload;
  }
}

/** The bucket that events come from. */
const WATCHED = 'watched';

export class Host {
  #refusal;
  #store = new Store();
  #changes = [];
  #random;
  #kinds;
  #values = [];
  #violations = [];
  #calls = 0;

  /**
   * @param {number} the seed of the random sizes
   * @param {string=} refusal the trace of the error with which every call fails that can fail
   */
  constructor(seed, refusal) {
    this.#random = BigInt(seed) | (1n << 63n);
    this.#refusal = refusal;
    this.#forget();
  }

  /** Sets a key of the watched bucket. This causes no event: `beginSet` does. */
  store(key, bytes) {
    this.#store.set(WATCHED, key, bytes);
  }

  /** Deletes a key of the watched bucket, if it is set. */
  remove(key) {
    this.#store.delete(WATCHED, key);
  }

  /** Makes the handles for `on-set`. */
  beginSet(bytes) {
    const bucket = this.beginDelete('on-set');
    return { bucket, payload: this.#kinds.payload.add(bytes, 'on-set') };
  }

  /** Makes the handle for `on-delete`. */
  beginDelete(from = 'on-delete') {
    this.#values = [];
    this.#changes = [];
    this.#violations = [];
    this.#calls = 0;
    return this.#kinds.bucket.add(WATCHED, from);
  }

  /** The results of the event. The handles that a guest has when it traps are no leaks, because no guest code runs after a trap. */
  end({ trapped }) {
    const leaks = trapped ? [] : Object.values(this.#kinds).flatMap((handles) => handles.leaks());
    this.#forget();
    return {
      values: this.#values.map((chunks) => Buffer.concat(chunks)),
      changes: this.#changes,
      violations: [...this.#violations, ...leaks],
      calls: this.#calls,
    };
  }

  /** The imports of the world, by the names that jco gives its functions. */
  imports() {
    const counted = (functions) =>
      Object.fromEntries(
        Object.entries(functions).map(([name, call]) => [
          name,
          (...args) => {
            this.#calls += 1;
            return call(...args);
          },
        ]),
      );
    return {
      'wasi:keyvalue/types': counted(this.#types()),
      'wasi:keyvalue/wasi-io': counted(this.#wasiIo()),
      'wasi:keyvalue/readwrite': counted(this.#readwrite()),
      'wasi:keyvalue/atomic': counted(this.#atomic()),
      'wasi:keyvalue/batch': counted(this.#batch()),
    };
  }

  #readwrite() {
    const payload = (bytes) => this.#kinds.payload.add(bytes, 'get');
    return {
      get: (bucket, key) => payload(this.#ask('get', bucket, (store, name) => store.get(name, key))),
      set: (bucket, key, value) => {
        const bytes = this.#written(value, 'set');
        this.#ask('set', bucket, (store, name) => this.#change(store, name, key, bytes));
      },
      delete: (bucket, key) =>
        this.#ask('delete', bucket, (store, name) => {
          store.get(name, key);
          this.#change(store, name, key, null);
        }),
      exists: (bucket, key) => this.#ask('exists', bucket, (store, name) => store.has(name, key)),
    };
  }

  #atomic() {
    const put = (store, name, key, number) => this.#change(store, name, key, Buffer.from(String(number)));
    return {
      increment: (bucket, key, delta) =>
        this.#ask('increment', bucket, (store, name) => {
          const sum = (store.has(name, key) ? store.number(name, key) : 0n) + delta;
          if (sum >= 1n << 64n) throw new Error(`the number under the key ${key} would be too large`);
          put(store, name, key, sum);
          return sum;
        }),
      compareAndSwap: (bucket, key, old, next) =>
        this.#ask('compare-and-swap', bucket, (store, name) => {
          const same = store.number(name, key) === old;
          if (same) put(store, name, key, next);
          return same;
        }),
    };
  }

  #batch() {
    return {
      getMany: (bucket, keys) => {
        const all = this.#ask('get-many', bucket, (store, name) => keys.map((key) => store.get(name, key)));
        return Uint32Array.from(all.map((bytes) => this.#kinds.payload.add(bytes, 'get-many')));
      },
      // In the draft this call has no error.
      getKeys: (bucket) => this.#store.keys(this.#get('bucket', bucket, 'get-keys')),
      setMany: (bucket, keys, pairs) => {
        const contents = pairs.map(([key, value]) => [key, this.#written(value, 'set-many')]);
        this.#ask('set-many', bucket, (store, name) => {
          if (pairs.length !== keys.length || pairs.some(([key], index) => key !== keys[index])) {
            throw new Error("the keys are not those of the pairs");
          }
          for (const [key, bytes] of contents) this.#change(store, name, key, bytes);
        });
      },
      deleteMany: (bucket, keys) =>
        this.#ask('delete-many', bucket, (store, name) => {
          for (const key of keys) if (store.has(name, key)) this.#change(store, name, key, null);
        }),
    };
  }

  /** Calls the store for a bucket. An exception of the store becomes the draft's error. */
  #ask(call, bucket, ask) {
    const name = this.#get('bucket', bucket, call);
    this.#refuse(call);
    try {
      return ask(this.#store, name);
    } catch (error) {
      throw new Failed(this.#kinds.error.add(error.message, call));
    }
  }

  /** Sets a key, or deletes it if there are no bytes, and notes the change. */
  #change(store, bucket, key, bytes) {
    if (bytes === null) store.delete(bucket, key);
    else store.set(bucket, key, bytes);
    this.#changes.push([bucket, key, bytes]);
  }

  /** The content of a value. The guest keeps the value. */
  #written(handle, call) {
    const { chunks, body } = this.#get('value', handle, call);
    if (this.#kinds['output-stream'].has(body)) {
      this.#violations.push(`\`${call}\` was called with value ${handle} before the stream that writes it was dropped`);
    }
    return Buffer.concat(chunks);
  }

  #types() {
    const kinds = () => this.#kinds;
    const consume = (payload, call) => {
      // The handle is gone, even if this fails.
      const bytes = this.#take('payload', payload, call);
      this.#refuse(call);
      return bytes;
    };
    return {
      dropBucket: (bucket) => void this.#take('bucket', bucket, 'drop-bucket'),
      openBucket: (name) => {
        this.#refuse('open-bucket');
        return kinds().bucket.add(name, 'open-bucket');
      },
      dropError: (error) => void this.#take('error', error, 'drop-error'),
      newError: () => kinds().error.add('', 'new-error'),
      trace: (error) => this.#get('error', error, 'trace'),
      dropValue: (value) => {
        const { body } = this.#take('value', value, 'drop-value');
        if (kinds()['output-stream'].has(body)) {
          this.#violations.push(`value ${value} was dropped before the stream that writes it`);
        }
      },
      newValue: () => {
        const chunks = [];
        this.#values.push(chunks);
        return kinds().value.add({ chunks, body: undefined }, 'new-value');
      },
      valueWriteBody: (handle) => {
        const value = this.#get('value', handle, 'value-write-body');
        if (value.body !== undefined) {
          this.#violations.push(`\`value-write-body\` was called for value ${handle} a second time`);
          throw new Failed(undefined);
        }
        value.body = kinds()['output-stream'].add(value.chunks, 'value-write-body');
        return value.body;
      },
      dropPayload: (payload) => void this.#take('payload', payload, 'drop-payload'),
      payloadConsumeSync: (payload) => consume(payload, 'payload-consume-sync'),
      payloadConsumeAsync: (payload) => {
        const left = consume(payload, 'payload-consume-async');
        return kinds()['input-stream'].add({ left, ended: false }, 'payload-consume-async');
      },
      size: (payload) => BigInt(this.#get('payload', payload, 'size').length),
    };
  }

  #wasiIo() {
    const missing = (call) => () => {
      throw new Trap(`this host has no \`${call}\``);
    };
    return {
      read: (src, len) => this.#advance(src, len, 'read'),
      skip: (src, len) => {
        const [bytes, end] = this.#advance(src, len, 'skip');
        return [BigInt(bytes.length), end];
      },
      write: (dst, buf) => {
        const chunks = this.#output(dst, BigInt(buf.length), 'write');
        const taken = this.#part(BigInt(buf.length));
        // This is a copy, because jco may pass a view of the guest's memory.
        chunks.push(Uint8Array.from(buf.subarray(0, Number(taken))));
        return taken;
      },
      writeRepeated: (dst, byte, len) => {
        const chunks = this.#output(dst, len, 'write-repeated');
        const taken = this.#part(len < MOST_READ ? len : MOST_READ);
        chunks.push(new Uint8Array(Number(taken)).fill(byte));
        return taken;
      },
      splice: missing('splice'),
      forward: missing('forward'),
      dropInputStream: (stream) => void this.#take('input-stream', stream, 'drop-input-stream'),
      dropOutputStream: (stream) => void this.#take('output-stream', stream, 'drop-output-stream'),
    };
  }

  #advance(src, len, call) {
    const input = this.#get('input-stream', src, call);
    if (len === 0n) {
      this.#violations.push(`\`${call}\` was called with input-stream ${src} for 0 bytes`);
    }
    if (input.ended) {
      this.#violations.push(`\`${call}\` was called with input-stream ${src} after its end`);
    }
    if (input.left.length === 0) {
      input.ended = true;
      return [new Uint8Array(), true];
    }
    const left = BigInt(input.left.length);
    const most = [len, left, MOST_READ].reduce((least, each) => (each < least ? each : least));
    const now = Number(this.#part(most));
    const bytes = input.left.subarray(0, now);
    input.left = input.left.subarray(now);
    return [bytes, false];
  }

  #output(dst, len, call) {
    const chunks = this.#get('output-stream', dst, call);
    if (len === 0n) {
      this.#violations.push(`\`${call}\` was called with output-stream ${dst} for 0 bytes`);
      throw new Failed(STREAM_ERROR);
    }
    return chunks;
  }

  #get(kind, handle, call) {
    this.#expect(kind, handle, call);
    return this.#kinds[kind].get(handle);
  }

  #take(kind, handle, call) {
    this.#expect(kind, handle, call);
    return this.#kinds[kind].remove(handle);
  }

  #expect(kind, handle, call) {
    if (!this.#kinds[kind].has(handle)) {
      const violation = this.#kinds[kind].missing(handle, call);
      this.#violations.push(violation);
      throw new Trap(violation);
    }
  }

  #refuse(call) {
    if (this.#refusal !== undefined) {
      throw new Failed(this.#kinds.error.add(this.#refusal, call));
    }
  }

  /** A random number from 1 to `of`, or 0 if `of` is 0. Most numbers are small, so that a long stream is read in many pieces. */
  #part(of) {
    const most = this.#xorshift() % 4n === 0n || of < 4096n ? of : 4096n;
    return most === 0n ? 0n : (this.#xorshift() % most) + 1n;
  }

  #xorshift() {
    const bits = (number) => BigInt.asUintN(64, number);
    this.#random = bits(this.#random ^ (this.#random << 13n));
    this.#random ^= this.#random >> 7n;
    this.#random = bits(this.#random ^ (this.#random << 17n));
    return this.#random;
  }

  #forget() {
    const kinds = ['bucket', 'error', 'input-stream', 'output-stream', 'payload', 'value'];
    this.#kinds = Object.fromEntries(kinds.map((kind) => [kind, new Handles(kind)]));
  }
}
