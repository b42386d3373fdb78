// Waits with a deadline for a promise, or for the n-th entry of a growing list.

/** Generous, since it matters only when a scenario fails. */
export const DEADLINE_MS = 30_000;

export async function within(ms, what, promise) {
  let timer;
  const deadline = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A list that only grows; waiting by index cannot miss an entry. */
export class Log {
  entries = [];
  #what;
  #waiting = new Map();

  constructor(what) {
    this.#what = what;
  }

  push(entry) {
    const index = this.entries.push(entry) - 1;
    this.#waiting.get(index)?.forEach((resolve) => resolve(entry));
    this.#waiting.delete(index);
  }

  /** Resolves to the entry at `index` once it exists. */
  async at(index) {
    if (index < this.entries.length) return this.entries[index];
    const arrival = new Promise((resolve) => {
      this.#waiting.set(index, [...(this.#waiting.get(index) ?? []), resolve]);
    });
    return within(DEADLINE_MS, `${this.#what} ${index + 1}`, arrival);
  }

  get length() {
    return this.entries.length;
  }
}
