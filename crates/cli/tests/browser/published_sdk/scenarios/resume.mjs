// A lost connection is replaced, by session key if the server still knows the key.

import assert from "node:assert/strict";
import { State } from "../sdk_page.mjs";
import { backend } from "../../backend.mjs";
import { pause } from "../../wait.mjs";
import { OUTAGE_MS, acks, target } from "./expect.mjs";

export async function a_cut_connection_reconnects_by_session_key(world) {
  const page = await world.open({ appId: world.openApp });
  await page.connect("rita");
  await assertBackBySessionKey(page, { id: "rita", token: undefined });
}

export async function a_cut_connection_keeps_its_token(world) {
  const { app, id, token } = world.issuedToken;
  const page = await world.open({ appId: app });
  await page.connectWithToken(id, token);
  await assertBackBySessionKey(page, { id, token });
}

export async function an_outage_of_some_seconds_ends_by_itself(world) {
  const page = await world.open({ appId: world.openApp });
  await page.connect("otto");
  const [ack] = acks(page.received.entries, "users.auth");
  page.goDown();
  await Promise.all([pause(OUTAGE_MS), page.changed(3)]);
  assert.deepEqual((await page.changes()).slice(0, 3), [true, false, false], "the SDK tried in vain");

  page.comeUp();
  await page.reached(State.OPEN);
  const bySessionKey = page.attempts.entries.slice(1);
  assert.deepEqual(bySessionKey, bySessionKey.map(() => target({ session_key: ack.d.session_key })));
  const { error, user } = await page.updateDisplayName("Otto");
  assert.equal(error, null);
  assert.equal(user.displayName, "Otto");
  assert.equal((await page.changes()).at(-1), true);
}

export async function messages_sent_during_an_outage_arrive_after_it_once(world) {
  const id = `${world.transport} olga`;
  const page = await world.open({ appId: world.openApp });
  await page.connect(id);
  page.goDown();
  await page.changed(2);
  for (const data of [1, 2, 3]) {
    const { delivered, queued } = await backend(world, "users.publish", { id, type: "n", data });
    // Over long-poll, the server may not have noticed the outage yet.
    assert.equal(delivered + queued, 1, "it is kept");
  }
  await pause(OUTAGE_MS);
  page.comeUp();
  await page.reached(State.OPEN);
  assert.equal((await page.updateDisplayName("Olga")).error, null);
  const events = page.received.entries.filter(({ t }) => t === "app.event.pub");
  assert.deepEqual(events.map(({ d }) => d.data), [1, 2, 3]);
}

export async function an_unknown_session_key_falls_back_to_the_user_id(world) {
  const page = await world.open({ appId: world.openApp });
  await page.connect("ulla");
  spoilSessionKeys(page, () => "unknown");
  await assertFellBack(page, { app_id: world.openApp, user_id: "ulla" });
}

export async function an_unknown_session_key_falls_back_to_the_token(world) {
  const { app, id, token } = world.ownToken;
  const page = await world.open({ appId: app });
  await page.connectWithToken(id, token);
  const middleFlipped = (key) => {
    const middle = Math.floor(key.length / 2);
    return key.slice(0, middle) + (key[middle] === "A" ? "B" : "A") + key.slice(middle + 1);
  };
  spoilSessionKeys(page, middleFlipped);
  await assertFellBack(page, { app_id: app, user_id: id, access_token: token });
}

async function assertBackBySessionKey(page, { id, token }) {
  for (const round of [1, 2]) {
    const [ack] = acks(page.received.entries, "users.auth").slice(-1);
    await page.loseConnection();
    assert.equal(await page.attempts.at(round), target({ session_key: ack.d.session_key }));
    const changes = await page.changed(1 + 2 * round);
    assert.deepEqual(changes.slice(-3), [true, false, true]);

    const [back] = acks(page.received.entries, "users.auth").slice(-1);
    assert.equal(back.d.ok, true);
    assert.equal(back.d.user.id, id);
    assert.equal(back.d.user.access_token, token);
  }
  const { error, user } = await page.updateDisplayName("Back Again");
  assert.equal(error, null);
  assert.equal(user.displayName, "Back Again");
  assert.equal(page.attempts.length, 3);
}

async function assertFellBack(page, credentials) {
  await page.loseConnection();
  const byKey = await page.attempts.at(1);
  assert.match(byKey, /^\/chat\/2\.0\?session_key=[^&]+$/);
  assert.equal(await page.attempts.at(2), target(credentials));
  await page.changed(4);
  assert.deepEqual(await page.changes(), [true, false, false, true]);

  const [, refusal, back] = acks(page.received.entries, "users.auth");
  assert.equal(refusal.d.ok, false);
  assert.equal(refusal.d.error.message, "Session Key Invalid");
  assert.equal(back.d.ok, true);
  assert.equal(back.d.user.id, credentials.user_id);
  assert.equal(back.d.user.access_token, credentials.access_token);
  assert.equal(page.attempts.length, 3);
}

function spoilSessionKeys(page, spoil) {
  page.proxy.rewriteHead = (head) =>
    head.replace(/\?session_key=([^ &]+)/, (_, key) => `?session_key=${spoil(key)}`);
}
