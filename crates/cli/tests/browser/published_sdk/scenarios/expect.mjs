// Assertions and times for scenarios.

import assert from "node:assert/strict";

/** Longer than three of the SDK's fastest retries, which come every 1.2 s. */
export const QUIET_MS = 4_000;

/** The time after a close before the SDK accepts a new `connect`. */
export const SOON_MS = 1_300;

/** An outage long enough for a failed attempt over either transport. */
export const OUTAGE_MS = 3_000;

/** Returns the request target that the SDK builds from these parameters; it never encodes the app id. */
export function target(parameters) {
  const query = Object.entries(parameters).map(([name, value]) =>
    `${name}=${name === "app_id" ? value : encodeURIComponent(value)}`);
  return `/chat/2.0?${query.join("&")}`;
}

/** Asserts that a callback received an error with a code and a message for people. */
export function assertError(error) {
  assert.ok(error, "the callback is given an error");
  assert.match(error.code, /./);
  assert.match(error.message, /./);
}

/** Asserts that `error` is the refusal with this code and has a message for people. */
export function assertRefused({ error, user }, code) {
  assertError(error);
  assert.equal(error.code, code);
  assert.ok(!user, "and no user");
}

/** Returns the acknowledgements of `type` in `envelopes`. */
export const acks = (envelopes, type) => envelopes.filter(({ t }) => t === `${type}.ack`);
