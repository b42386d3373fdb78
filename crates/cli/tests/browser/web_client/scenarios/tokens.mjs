// A token provider is asked when a token is needed, and is told why.

import assert from "node:assert/strict";
import { backend } from "../../backend.mjs";
import { pause } from "../../wait.mjs";
import { QUIET_MS, assertFailed } from "./expect.mjs";

/** After this time the token of the scenario has expired, including the server's tolerance. */
const END_MS = 8_000;

/** Connects with a provider that returns these in turn and repeats the last; it fails for a number. */
function connectWith(page, id, offers) {
  return page.run((id, offers) => {
    window.asked = [];
    return outcome(chat.connect(id, {
      token: async (why, refusal) => {
        window.asked.push([why, refusal && refusal.code]);
        const offer = offers.length > 1 ? offers.shift() : offers[0];
        if (typeof offer === "number") throw new Error("no token now");
        return offer;
      },
    }));
  }, id, offers);
}

const asked = (page) => page.page.evaluate(() => window.asked);

export async function a_provider_is_asked_once_for_many_connections(world) {
  const { app, id, token } = world.issuedToken;
  const page = await world.open({ appId: app });
  const { error, value: user } = await connectWith(page, id, [token]);
  assert.equal(error, null);
  assert.equal(user.id, id);
  await page.loseConnection();
  await page.told("connected", 2);
  assert.deepEqual(await asked(page), [["initial", null]]);
}

export async function a_provider_is_asked_again_after_a_refusal(world) {
  const { app, id, token } = world.ownToken;
  const page = await world.open({ appId: app });
  const { error } = await connectWith(page, id, ["an old token of some length", token]);
  assert.equal(error, null);
  assert.deepEqual(await asked(page), [["initial", null], ["rejected", "ACCESS_TOKEN_INVALID"]]);
}

export async function a_second_refusal_is_final(world) {
  const { app, id } = world.ownToken;
  for (const offers of [["a wrong token, always"], ["a wrong token", "another wrong one", "and a third one"]]) {
    const page = await world.open({ appId: app });
    assertFailed(await connectWith(page, id, offers), "ACCESS_TOKEN_INVALID");
    assert.deepEqual(await asked(page), [["initial", null], ["rejected", "ACCESS_TOKEN_INVALID"]]);
    // The browser may report what the page sent after the page has its answer. A repeated token is not sent again.
    await page.sent.at(Math.min(offers.length, 2) - 1);
    await page.staysQuiet(QUIET_MS);
  }
}

export async function a_provider_that_fails_is_asked_again(world) {
  const { app, id, token } = world.ownToken;
  const page = await world.open({ appId: app });
  const failed = await connectWith(page, id, [500, token]);
  assertFailed(failed, "NO_CREDENTIAL");
  assert.equal(failed.error.retryable, true);
  assert.equal(page.sent.length, 0, "nothing is sent without it");
  const patient = await world.open({ appId: app, options: { keepTrying: true } });
  assert.equal((await connectWith(patient, id, [500, 500, token])).error, null);
}

export async function a_revoked_token_is_replaced_by_the_providers_next(world) {
  const id = `${world.transport} petra`;
  const { access_token: first } = await backend(world, "users.create", { id });
  const page = await world.open({ appId: world.openApp });
  await page.connect(id, first);
  const { access_token: second } = await backend(world, "users.issue_token", { id });
  await page.reached("disconnected");
  assert.equal((await page.told("disconnected"))[0].reason.code, "CREDENTIAL_REVOKED");

  const other = await world.open({ appId: world.openApp });
  const waiting = await world.open({ appId: world.openApp });
  await connectWith(other, id, [second]);
  await waiting.connect(id, second);
  const { access_token: third } = await backend(world, "users.issue_token", { id, grace: 0 });
  await waiting.reached("disconnected");
  await other.reached("disconnected");
  assert.deepEqual(await asked(other), [["initial", null], ["rejected", "CREDENTIAL_REVOKED"]], "the same again is final");
  assert.equal((await connectWith(other, id, [second, third])).error, null);
}

export async function a_token_is_renewed_before_it_expires(world) {
  const id = `${world.transport} renate`;
  // The first token is valid for seconds, so the page is opened before it is issued.
  const page = await world.open({ appId: world.openApp });
  await backend(world, "users.create", { id });
  const { access_token: first } = await backend(world, "users.issue_token", { id, expires_in: 4 });
  const { access_token: second } = await backend(world, "users.issue_token", { id, expires_in: 3600, grace: 60 });
  assert.equal((await connectWith(page, id, [first, second])).error, null);
  const [{ refreshable }] = await page.told("token_expires");
  assert.equal(refreshable, true);
  await page.page.waitForFunction(() => window.asked.length === 2);
  assert.deepEqual((await asked(page))[1], ["expiring", null]);
  const hellos = page.hellos().length;
  const refresh = await page.sent.at(hellos);
  assert.equal(refresh.t, "users.refresh");
  assert.equal(refresh.d.access_token, second);
  await page.page.waitForFunction(() => traced.some((text) => text.includes("users.refresh.ack")));
  assert.equal(page.acks("users.refresh")[0].d.ok, true);
  await pause(END_MS);
  assert.equal((await page.request("users.get", {})).error, null, "the session outlives its first token");
  assert.equal(page.attempts.length, 1);
}

export async function another_token_for_the_same_user_replaces_the_first(world) {
  const { app, id, token } = world.ownToken;
  const page = await world.open({ appId: app });
  await page.connect(id, token);
  assert.equal((await connectWith(page, id, [token])).error, null);
  assert.deepEqual(await asked(page), [["reconnect", null]]);
  assert.equal(page.attempts.length, 2);
}

export async function a_new_function_on_every_call_joins_the_connection(world) {
  // Its own user, since its tokens are revoked and other scenarios run at the same time.
  const id = `${world.transport} nadja`;
  const { access_token: token } = await backend(world, "users.create", { id });
  const page = await world.open({ appId: world.openApp });
  const outcomes = await page.run((id, token) => {
    window.asked = [];
    const render = (n) => outcome(chat.connect(id, { token: async (why) => (window.asked.push([n, why]), token) }));
    return Promise.all([render(1), render(2)]).then((joined) => render(3).then((later) => [...joined, later]));
  }, id, token);
  assert.deepEqual(outcomes.map(({ value }) => value?.id), [id, id, id]);
  assert.equal(page.attempts.length, 1, "one connection for all calls");
  const [[, why]] = await asked(page);
  assert.deepEqual([(await asked(page)).length, why], [1, "initial"]);
  await backend(world, "users.disconnect", { id, come_back: true });
  await page.told("connected", 2);
  await backend(world, "users.revoke_tokens", { id });
  await page.reached("disconnected");
  assert.deepEqual((await asked(page)).at(-1), [3, "rejected"], "the newest function is asked next");
}

export async function white_space_around_a_token_is_not_sent(world) {
  const { app, id, token } = world.issuedToken;
  const around = `\ufeff ${token}\r\n`;
  for (const connect of [(page) => page.connect(id, around), (page) => connectWith(page, id, [around])]) {
    const page = await world.open({ appId: app });
    assert.equal((await connect(page)).error, null);
    assert.deepEqual(page.hellos().map((d) => d.access_token), [token]);
  }
}

export async function a_refused_token_with_white_space_in_it_is_named_as_such(world) {
  const { app, id, token } = world.issuedToken;
  const page = await world.open({ appId: app });
  const outcome = await page.connect(id, `${token.slice(0, 9)} ${token.slice(9)}`);
  assertFailed(outcome, "ACCESS_TOKEN_INVALID");
  assert.match(outcome.error.message, /white space/);
  assert.doesNotMatch((await page.connect(id, `${token}x`)).error.message, /white space/);
}
