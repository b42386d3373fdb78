// A lost connection is replaced, with its credential and the requests sent in the meantime.

import assert from "node:assert/strict";
import { backend } from "../../backend.mjs";
import { pause } from "../../wait.mjs";

/** Long enough for a failed attempt. */
const OUTAGE_MS = 2_000;
/** Longer than a silence that ends a connection. */
const SILENCE_MS = 26_000;
/** The most events that a client leaves unacknowledged. */
const UNACKNOWLEDGED = 250;
/** More events than that. */
const CROWD = 300;

export async function a_cut_connection_reconnects(world) {
  const page = await world.open({ appId: world.openApp });
  await page.connect("rita");
  for (const round of [1, 2]) {
    await page.loseConnection();
    const connected = await page.told("connected", 1 + round);
    assert.ok(connected.at(-1).resumed, "the session goes on");
    const { resume } = page.hellos().at(-1);
    const keys = page.acks("users.auth").map(({ d }) => d.session.key);
    assert.equal(resume.key, keys[round - 1], "it offers to go on with the latest session");
    const { error, value } = await page.request("users.update", { display_name: `Rita ${round}` });
    assert.equal(error, null);
    assert.equal(value.user.display_name, `Rita ${round}`);
  }
  assert.equal(page.attempts.length, 3);
  const states = await page.told("state");
  assert.deepEqual(states, ["connecting", "connected", "reconnecting", "connected", "reconnecting", "connected"]);
}

export async function a_cut_connection_keeps_its_token(world) {
  const { app, id, token } = world.issuedToken;
  const page = await world.open({ appId: app });
  await page.connect(id, token);
  await page.loseConnection();
  await page.told("connected", 2);
  assert.deepEqual(page.hellos().map((d) => d.access_token), [token, token]);
}

export async function an_outage_of_some_seconds_ends_by_itself(world) {
  const page = await world.open({ appId: world.openApp });
  await page.connect("otto");
  page.goDown();
  await Promise.all([pause(OUTAGE_MS), page.told("reconnecting", 2)]);
  const asked = page.request("users.update", { display_name: "Otto" });
  assert.equal(await page.state(), "reconnecting");
  page.comeUp();
  await page.reached("connected");
  const { error, value } = await asked;
  assert.equal(error, null, "a request made during the outage is answered");
  assert.equal(value.user.display_name, "Otto");
}

export async function requests_lost_by_a_cut_are_answered_once(world) {
  const page = await world.open({ appId: world.openApp });
  await page.connect(`${world.transport} uma`);
  const watcher = await world.open({ appId: world.openApp });
  await watcher.connect(`${world.transport} uma`);
  const outcomes = page.run(() => Promise.all([1, 2, 3].map((n) => outcome(chat.request("users.update", { data: `${n}` })))));
  await page.loseConnection();
  for (const [index, { error, value }] of (await outcomes).entries()) {
    assert.equal(error, null);
    assert.equal(value.user.data, `${index + 1}`);
  }
  await page.reached("connected");
  await page.request("users.update", { data: "last" });
  const seen = (await watcher.told("user", 4)).map(({ data }) => data);
  assert.deepEqual(seen, ["1", "2", "3", "last"], "each has run once");
}

export async function messages_sent_during_an_outage_arrive_after_it(world) {
  const id = `${world.transport} mia`;
  const page = await world.open({ appId: world.openApp });
  await page.connect(id);
  await backend(world, "users.publish", { id, type: "n", data: 0 });
  await page.told("event");
  page.goDown();
  await page.told("reconnecting");
  for (const data of [1, 2, 3]) {
    const { delivered, queued } = await backend(world, "users.publish", { id, type: "n", data });
    // Over long-poll, the server may not have noticed the outage yet.
    assert.equal(delivered + queued, 1, "it is kept");
  }
  page.comeUp();
  await page.reached("connected");
  assert.deepEqual((await page.told("event", 4)).map(({ data }) => data), [0, 1, 2, 3]);
}

export async function many_events_are_acknowledged_in_time(world) {
  const id = `${world.transport} cleo`;
  const page = await world.open({ appId: world.openApp });
  await page.connect(id);
  for (let n = 0; n < CROWD; n += 1) await backend(world, "users.publish", { id, type: "n", data: n });
  const told = await page.told("event", CROWD);
  assert.deepEqual(told.map(({ data }) => data), told.map((_, index) => index));
  // A heartbeat acknowledges too, if the backend takes long.
  const pings = await page.run(() => traced.map((text) => JSON.parse(text)).filter(({ t }) => t === "ping"));
  assert.ok(pings.length > 0, "the client acknowledges before it has all events");
  const seen = [0, ...pings.map(({ d }) => d.seen), CROWD];
  seen.slice(1).forEach((next, index) => assert.ok(next - seen[index] <= UNACKNOWLEDGED, `acknowledged: ${seen}`));
}

export async function a_silent_server_is_disconnected(world) {
  const page = await world.open({ appId: world.openApp, fakeClock: true });
  await page.connect("stella");
  page.proxy.stall();
  await page.page.clock.runFor(2 * SILENCE_MS);
  const [{ why }] = await page.told("reconnecting");
  assert.equal(why.code, "LOST");
  page.proxy.cut();
  page.proxy.flow();
  await page.page.clock.fastForward(SILENCE_MS);
  await page.reached("connected");
}

export async function a_restored_network_is_used_at_once(world) {
  const page = await world.open({ appId: world.openApp, fakeClock: true });
  await page.connect("nora");
  page.goDown();
  await page.told("reconnecting");
  await page.page.clock.pauseAt(Date.now() + 3_600_000);
  page.comeUp();
  // An attempt may be in progress and about to fail, so the event is repeated until the client reacts.
  await page.page.waitForFunction(() => window.dispatchEvent(new Event("online")) && chat.state === "connected");
}

/** Events that tell a page that it is used again. */
const WAKING = {
  "visibilitychange": () => document.dispatchEvent(new Event("visibilitychange")),
  "focus": () => window.dispatchEvent(new Event("focus")),
  "pageshow": () => window.dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true })),
  "networkChanged": () => chat.networkChanged(),
};

export async function a_page_that_is_used_again_connects_at_once(world) {
  for (const [name, wake] of Object.entries(WAKING)) {
    const page = await world.open({ appId: world.openApp, fakeClock: true });
    await page.connect("tabea");
    page.goDown();
    await page.told("reconnecting");
    await page.page.clock.pauseAt(Date.now() + 3_600_000);
    page.comeUp();
    // An attempt may be in progress and about to fail, so the event is repeated until the client reacts.
    await page.page.waitForFunction(`(${wake})(), chat.state === "connected"`).catch(() => {
      throw new Error(`${name} does not end the wait`);
    });
  }
}

export async function a_dead_connection_is_replaced_within_seconds_of_a_check(world) {
  const page = await world.open({ appId: world.openApp, fakeClock: true });
  await page.connect("dora");
  await page.run(() => chat.networkChanged());
  await page.processed("ping.ack");
  await page.page.clock.runFor(6_000);
  assert.equal(await page.state(), "connected", "a server that answers is kept");
  page.proxy.stall();
  await page.run(() => chat.networkChanged());
  await page.page.clock.runFor(6_000);
  const [{ why }] = await page.told("reconnecting");
  assert.equal(why.code, "LOST");
}
