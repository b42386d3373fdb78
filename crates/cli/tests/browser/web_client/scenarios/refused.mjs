// Refusals reach the caller with the server's code, the client does not retry, and valid credentials work afterwards.

import assert from "node:assert/strict";
import { backend } from "../../backend.mjs";
import { QUIET_MS, assertFailed } from "./expect.mjs";

export async function refuses_a_wrong_token(world) {
  const { app, id, token } = world.ownToken;
  await refused(world, { app, code: "ACCESS_TOKEN_INVALID", connect: (page) => page.connect(id, `${token}x`) });
}

export async function refuses_a_missing_token(world) {
  const { app, id } = world.issuedToken;
  await refused(world, { app, code: "ACCESS_TOKEN_REQUIRED", connect: (page) => page.connect(id) });
}

export async function refuses_a_token_for_an_unknown_user(world) {
  const connect = (page) => page.connect("nobody", world.ownToken.token);
  await refused(world, { app: world.openApp, code: "ACCESS_TOKEN_INVALID", connect });
}

export async function refuses_an_unknown_user_where_tokens_are_required(world) {
  const connect = (page) => page.connect("nobody");
  await refused(world, { app: world.strictUser.app, code: "CREDENTIAL_REFUSED", connect, good: world.strictUser });
}

export async function refuses_an_invalid_user_id(world) {
  await refused(world, { app: world.openApp, code: "USER_ID_INVALID", connect: (page) => page.connect("a\u0007b") });
}

export async function refuses_an_unknown_app(world) {
  const page = await world.open({ appId: "no-such-app" });
  assertFailed(await page.connect("alice"), "APP_NOT_FOUND");
  // The browser may report what the page sent after the page has its answer.
  await page.sent.at(0);
  await page.staysQuiet(QUIET_MS);
  assert.equal(page.attempts.length, 1, "one attempt, and no retry");
}

export async function a_page_of_another_origin_is_refused_and_stays_quiet(world) {
  const { app, apiKey } = world.shops[world.transport];
  const accept = (...origins) => backend({ server: world.server, apiKey }, "app.update", { origins });
  const page = await world.open({ appId: app });
  const outcome = await page.connect("olga");
  assertFailed(outcome, "ORIGIN_REFUSED");
  assert.deepEqual([outcome.error.retryable, outcome.error.advice], [false, "terminal"]);
  await page.sent.at(0);
  await page.staysQuiet(QUIET_MS);
  assert.equal(page.attempts.length, 1, "one attempt, and no retry");

  await accept("https://shop.example", new URL(world.pageUrl).origin);
  assert.equal((await page.connect("olga")).error, null, "a page whose origin is accepted connects");
  await accept("https://shop.example");
  await page.loseConnection();
  const [{ reason }] = await page.told("disconnected");
  assert.equal(reason.code, "ORIGIN_REFUSED", "the origin is checked again when a session is resumed");
  // The browser may report what the page sent after the page has its answer.
  await page.sent.at(2);
  const attempts = page.attempts.length;
  await page.staysQuiet(QUIET_MS);
  assert.equal(page.attempts.length, attempts);
}

async function refused(world, { app, code, connect, good = world.ownToken }) {
  const page = await world.open({ appId: app });
  const outcome = await connect(page);
  assertFailed(outcome, code);
  assert.equal(outcome.error.retryable, false);
  // The browser may report what the page sent after the page has its answer.
  await page.sent.at(0);
  await page.staysQuiet(QUIET_MS);
  assert.equal(page.attempts.length, 1, "one attempt, and no retry");
  assert.equal(await page.state(), "disconnected");

  const { error, value: user } = await page.connect(good.id, good.token);
  assert.equal(error, null, "good credentials work afterwards");
  assert.equal(user.id, good.id);
}
