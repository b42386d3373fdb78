// Sessions that a backend ends: the SDK is told, and does not reconnect.

import assert from "node:assert/strict";
import { backend } from "../../backend.mjs";
import { State } from "../sdk_page.mjs";
import { QUIET_MS, acks, assertRefused } from "./expect.mjs";

export async function a_revoked_token_ends_the_live_connection_for_good(world) {
  const id = `${world.transport} rhea`;
  const { access_token: token } = await backend(world, "users.create", { id });
  const page = await world.open({ appId: world.openApp });
  await page.connectWithToken(id, token);
  await page.idle();
  assert.equal(await page.state(), State.OPEN);

  const { length } = page.sent;
  await backend(world, "users.revoke_tokens", { id });
  assert.deepEqual(await page.changed(2), [true, false]);
  assert.equal(page.sent.length, length, "the page is told without asking");
  await page.reached(State.CLOSED);
  const [, told] = acks(page.received.entries, "users.auth");
  assert.equal(told.d.ok, false);
  assert.equal(told.d.error.code, "NOT_AUTHORIZED");
  assert.equal(told.d.error.reason, "CREDENTIAL_REVOKED");
  // The browser may report an attempt after the page has its answer.
  await page.attempts.at(0);
  await page.staysQuiet(QUIET_MS);
  assert.equal(page.attempts.length, 1, "it does not come back by itself");

  assertRefused(await page.connectWithToken(id, token), "NOT_AUTHORIZED");
  const { access_token: another } = await backend(world, "users.issue_token", { id });
  await page.reached(State.CLOSED);
  await page.attempts.at(1);
  await page.staysQuiet(QUIET_MS);
  const { error, user } = await page.connectWithToken(id, another);
  assert.equal(error, null, "a new token is good");
  assert.equal(user.id, id);
}
