// Assertions and times for scenarios.

import assert from "node:assert/strict";

/** Longer than the longest first delay before an attempt. */
export const QUIET_MS = 2_000;

/** Asserts that a call failed with this code and has a message for people. */
export function assertFailed({ error, value }, code) {
  assert.ok(error, `it fails, and is not ${JSON.stringify(value)}`);
  assert.equal(error.code, code);
  assert.match(error.message, /./);
}
