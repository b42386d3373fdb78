// Refusals reach the callback, the SDK does not retry, and valid credentials work afterwards.

import assert from "node:assert/strict";
import { backend } from "../../backend.mjs";
import { State } from "../sdk_page.mjs";
import { QUIET_MS, acks, assertRefused, target } from "./expect.mjs";

export async function refuses_a_wrong_token(world) {
  const { app, id, token } = world.ownToken;
  await refused(world, { app, code: "NOT_AUTHORIZED", connect: (page) => page.connectWithToken(id, `${token}x`) });
}

export async function refuses_a_missing_token(world) {
  const { app, id } = world.issuedToken;
  await refused(world, { app, code: "NOT_AUTHORIZED", connect: (page) => page.connect(id) });
}

export async function refuses_a_token_for_an_unknown_user(world) {
  const connect = (page) => page.connectWithToken("nobody", world.ownToken.token);
  await refused(world, { app: world.openApp, code: "NOT_AUTHORIZED", connect });
}

export async function refuses_an_unknown_user_where_tokens_are_required(world) {
  await refused(world, {
    app: world.strictUser.app,
    code: "NOT_AUTHORIZED",
    connect: (page) => page.connect("nobody"),
    good: world.strictUser,
  });
}

export async function refuses_an_unknown_app(world) {
  const page = await world.open({ appId: "no-such-app" });
  assertRefused(await page.connect("alice"), "NOT_FOUND");
  await page.reached(State.CLOSED);
  // The browser may report an attempt after the page has its answer.
  await page.attempts.at(0);
  await page.staysQuiet(QUIET_MS);
  assert.equal(page.attempts.length, 1, "one attempt, and no retry");

  // A page keeps the first app id it is given, so the right one needs a new page.
  const right = await world.open({ appId: world.openApp });
  const { error, user } = await right.connect("alice");
  assert.equal(error, null, "good credentials work afterwards");
  assert.equal(user.id, "alice");
}

export async function a_page_of_another_origin_is_refused_and_stays_quiet(world) {
  const { app, apiKey } = world.shops[world.transport];
  const accept = (...origins) => backend({ server: world.server, apiKey }, "app.update", { origins });
  const page = await world.open({ appId: app });
  assertRefused(await page.connect("olga"), "NOT_AUTHORIZED");
  const [{ d }] = acks(page.received.entries, "users.auth");
  assert.equal(d.error.reason, "ORIGIN_REFUSED");
  await page.reached(State.CLOSED);
  // The browser may report an attempt after the page has its answer.
  await page.attempts.at(0);
  await page.staysQuiet(QUIET_MS);
  assert.equal(page.attempts.length, 1, "one attempt, and no retry");

  await accept("https://shop.example", new URL(world.pageUrl).origin);
  assert.equal((await page.connect("olga")).error, null, "a page whose origin is accepted connects");

  // The SDK does not reconnect by itself any more after a refusal, so this needs a new page.
  const other = await world.open({ appId: app });
  assert.equal((await other.connect("olaf")).error, null);
  await other.idle();
  await accept("https://shop.example");
  await other.loseConnection();
  await other.attempts.at(1);
  await other.reached(State.CLOSED);
  await other.staysQuiet(QUIET_MS);
  const [{ d: { session_key } }, last] = acks(other.received.entries, "users.auth");
  assert.deepEqual(other.attempts.entries, [target({ app_id: app, user_id: "olaf" }), target({ session_key })]);
  assert.equal(last.d.error.reason, "ORIGIN_REFUSED", "the origin is checked again when a session is resumed");
}

async function refused(world, { app, code, connect, good = world.ownToken }) {
  const page = await world.open({ appId: app });
  assertRefused(await connect(page), code);
  await page.reached(State.CLOSED);
  // The browser may report an attempt after the page has its answer.
  await page.attempts.at(0);
  await page.staysQuiet(QUIET_MS);
  assert.equal(page.attempts.length, 1, "one attempt, and no retry");

  const { error, user } = await page.connectWithToken(good.id, good.token);
  assert.equal(error, null, "good credentials work afterwards");
  assert.equal(user.id, good.id);
  assert.equal(await page.state(), State.OPEN);
}
