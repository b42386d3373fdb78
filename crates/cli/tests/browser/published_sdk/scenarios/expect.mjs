// What scenarios compare with.

import assert from "node:assert/strict";

/** Longer than three of the SDK's fastest retries, which come every 1.2 s (wire document, section 4.2). */
export const QUIET_MS = 4_000;

/** After a close, the SDK takes a new `connect` once this has passed (wire document, sections 4.2 and 4.5). */
export const SOON_MS = 1_300;

/** The server holds a poll for 10 s; this is that and a margin. */
export const HOLD_MS = 14_000;

/** An outage long enough for the SDK to try in vain, by either transport (section 4.4). */
export const OUTAGE_MS = 3_000;

/** The request target that the SDK makes of these parameters; the app id is never encoded (section 1.1). */
export function target(parameters) {
  const query = Object.entries(parameters).map(([name, value]) =>
    `${name}=${name === "app_id" ? value : encodeURIComponent(value)}`);
  return `/chat/2.0?${query.join("&")}`;
}

/** Asserts that a callback was given an error, with a code and something for people. */
export function assertError(error) {
  assert.ok(error, "the callback is given an error");
  assert.match(error.code, /./);
  assert.match(error.message, /./);
}

/** Asserts that `error` is the refusal with this code, and says something to people. */
export function assertRefused({ error, user }, code) {
  assertError(error);
  assert.equal(error.code, code);
  assert.ok(!user, "and no user");
}

/** The acknowledgements of `type` among `envelopes`. */
export const acks = (envelopes, type) => envelopes.filter(({ t }) => t === `${type}.ack`);
