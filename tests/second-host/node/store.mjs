// Buckets in memory. Failures are exceptions.

export class Store {
  #buckets = new Map();

  #keys(bucket) {
    if (!this.#buckets.has(bucket)) this.#buckets.set(bucket, new Map());
    return this.#buckets.get(bucket);
  }

  get(bucket, key) {
    const bytes = this.#keys(bucket).get(key);
    if (bytes === undefined) throw new Error(`the key ${key} is not set`);
    return bytes;
  }

  set(bucket, key, bytes) {
    this.#keys(bucket).set(key, bytes);
  }

  has(bucket, key) {
    return this.#keys(bucket).has(key);
  }

  delete(bucket, key) {
    this.#keys(bucket).delete(key);
  }

  keys(bucket) {
    return [...this.#keys(bucket).keys()];
  }

  /** The number under a key, in decimal digits. */
  number(bucket, key) {
    const text = this.get(bucket, key).toString();
    const number = /^[0-9]{1,20}$/.test(text) ? BigInt(text) : 1n << 64n;
    if (number >= 1n << 64n) throw new Error(`the content of the key ${key} is not a number`);
    return number;
  }
}
