// Refusals reach the callback, the SDK does not retry, and valid credentials work afterwards.

import assert from "node:assert/strict";
import { State } from "../sdk_page.mjs";
import { QUIET_MS, assertRefused } from "./expect.mjs";

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
  await page.staysQuiet(QUIET_MS);
  assert.equal(page.attempts.length, 1, "one attempt, and no retry");

  // A page keeps the first app id it is given, so the right one needs a new page.
  const right = await world.open({ appId: world.openApp });
  const { error, user } = await right.connect("alice");
  assert.equal(error, null, "good credentials work afterwards");
  assert.equal(user.id, "alice");
}

async function refused(world, { app, code, connect, good = world.ownToken }) {
  const page = await world.open({ appId: app });
  assertRefused(await connect(page), code);
  await page.reached(State.CLOSED);
  await page.staysQuiet(QUIET_MS);
  assert.equal(page.attempts.length, 1, "one attempt, and no retry");

  const { error, user } = await page.connectWithToken(good.id, good.token);
  assert.equal(error, null, "good credentials work afterwards");
  assert.equal(user.id, good.id);
  assert.equal(await page.state(), State.OPEN);
}
