// Sessions that the server ends with a reason: the client follows the advice.

import assert from "node:assert/strict";
import { backend } from "../../backend.mjs";
import { QUIET_MS, assertFailed } from "./expect.mjs";

export async function events_of_the_backend_arrive_in_order(world) {
  const id = `${world.transport} eve`;
  const page = await world.open({ appId: world.openApp });
  await page.connect(id);
  for (const n of [1, 2, 3]) {
    const { delivered } = await backend(world, "users.publish", { id, type: "order.shipped", data: { n, text: "Zoë 🦀" } });
    assert.equal(delivered, 1);
  }
  const told = await page.told("event", 3);
  assert.deepEqual(told, [1, 2, 3].map((n) => ({ type: "order.shipped", data: { n, text: "Zoë 🦀" } })));
}

export async function an_exception_in_a_listener_stops_nothing(world) {
  const id = `${world.transport} lena`;
  const page = await world.open({ appId: world.openApp });
  await page.connect(id);
  await page.run(() => {
    window.addEventListener("error", (event) => event.preventDefault());
    chat.on("event", () => {
      throw new Error("the page's own mistake");
    });
  });
  for (const n of [1, 2]) await backend(world, "users.publish", { id, type: "n", data: n });
  await page.told("event", 2);
  page.forgive(/the page's own mistake/);
  assert.equal((await page.request("users.get", {})).error, null);
}

export async function a_client_that_is_asked_to_reconnect_reconnects(world) {
  const id = `${world.transport} bruno`;
  const page = await world.open({ appId: world.openApp });
  await page.connect(id);
  assert.equal((await backend(world, "users.disconnect", { id, come_back: true })).ended, 1);
  await page.told("connected", 2);
  const [{ why }] = await page.told("reconnecting");
  assert.equal(why.code, "RECONNECT");
  assert.equal(page.attempts.length, 2);
}

export async function a_client_whose_session_is_ended_does_not_reconnect(world) {
  const id = `${world.transport} awa`;
  const page = await world.open({ appId: world.openApp });
  await page.connect(id);
  await backend(world, "users.disconnect", { id });
  await staysAway(page, "DISCONNECTED");
}

export async function a_revoked_token_ends_the_live_connection_for_good(world) {
  const id = `${world.transport} rhea`;
  const { access_token: token } = await backend(world, "users.create", { id });
  const page = await world.open({ appId: world.openApp });
  await page.connect(id, token);
  // The browser may report what the page sent after the page has its answer.
  await page.sent.at(0);
  const { length } = page.sent;
  await backend(world, "users.revoke_tokens", { id });
  await staysAway(page, "CREDENTIAL_REVOKED");
  assert.equal(page.sent.length, length, "the page is told without asking");
  assertFailed(await page.connect(id, token), "ACCESS_TOKEN_INVALID");
}

export async function a_suspended_user_does_not_reconnect(world) {
  const id = `${world.transport} susi`;
  const page = await world.open({ appId: world.openApp });
  await page.connect(id);
  await backend(world, "users.update", { id, is_suspended: true });
  await staysAway(page, "USER_SUSPENDED");
  assertFailed(await page.connect(id), "USER_SUSPENDED");
}

async function staysAway(page, code) {
  await page.reached("disconnected");
  const [{ reason }] = await page.told("disconnected");
  assert.equal(reason.code, code);
  assert.match(reason.message, /./, "it says why");
  // The browser may report what the page sent after the page has its answer.
  await page.sent.at(0);
  await page.staysQuiet(QUIET_MS);
  assert.equal(page.attempts.length, 1);
  assert.equal((await page.run(() => outcome(chat.request("users.get")))).error.code, "NOT_CONNECTED");
}
