// Connecting and disconnecting, with the snippets of the SDK's documentation.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { State } from "../sdk_page.mjs";
import { QUIET_MS, SOON_MS, target } from "./expect.mjs";

/** Ids that a layer might encode twice, fold, trim or normalise. */
const AWKWARD_IDS = [
  "alice@example.com",
  "Zoë Ångström 🦀 ١٢٣",
  "caf\u00e9",
  "cafe\u0301",
  "a+b c%20d%2B/e?f=g&h#i;j:k",
  "!'()*~-._",
  " led and trailed ",
  "\"quoted\\back\"<b>",
  "UPPER lower",
];

export async function connects_by_user_id(world) {
  const page = await world.open({ appId: world.openApp });
  const { error, user } = await page.connect("alice");
  assert.equal(error, null);
  assert.equal(user.id, "alice");
  assert.equal(user.accessToken, undefined, "no token was presented, none comes back");
  assert.equal(await page.state(), State.OPEN);
  assert.deepEqual(await page.changes(), [true]);
  assert.deepEqual(page.attempts.entries, [target({ app_id: world.openApp, user_id: "alice" })]);
}

export async function runs_the_readmes_snippet(world) {
  const readme = await readFile(new URL("../../../../../../README.md", import.meta.url), "utf8");
  const [, snippet] = readme.match(/```js\n(.*?)```/s);
  const page = await world.open({ appId: world.openApp });
  assert.equal(await page.says(`var USER_ID = "alice";\n${snippet}`), "connected as alice");
}

export async function connects_by_token(world) {
  for (const { app, id, token } of [world.ownToken, world.issuedToken, world.strictUser]) {
    const page = await world.open({ appId: app });
    const { error, user } = await page.connectWithToken(id, token);
    assert.equal(error, null, `${id} is let in`);
    assert.equal(user.id, id);
    assert.equal(user.accessToken, token, "the very token comes back");
    assert.equal(await page.state(), State.OPEN);
    assert.deepEqual(page.attempts.entries, [target({ app_id: app, user_id: id, access_token: token })]);
  }
}

export async function keeps_ids_byte_for_byte(world) {
  for (const id of AWKWARD_IDS) {
    const page = await world.open({ appId: world.openApp });
    const { error, user } = await page.connect(id);
    assert.equal(error, null, `${JSON.stringify(id)} is let in`);
    assert.deepEqual([...user.id], [...id]);
    const named = await page.updateDisplayName(`named ${id}`);
    assert.equal(named.error, null);
    assert.equal(named.user.displayName, `named ${id}`, "no two of these ids are one user");
    await page.disconnect();
  }
}

export async function disconnects_and_connects_again(world) {
  const page = await world.open({ appId: world.openApp });
  await page.connect("dora");
  await page.idle();
  await page.disconnect();
  await page.reached(State.CLOSED);
  await page.attempts.at(0);
  await page.staysQuiet(QUIET_MS);
  assert.deepEqual(await page.changes(), [true, false]);

  // Chromium's cache may delay a GET while another GET of the same URL is held.
  const { error, user } = await page.connect("dora");
  assert.equal(error, null);
  assert.equal(user.id, "dora");
  const again = target({ app_id: world.openApp, user_id: "dora" });
  assert.deepEqual(page.attempts.entries, [again, again], "the session key was dropped");
  assert.deepEqual(await page.changes(), [true, false, true]);
}

export async function connects_another_user_after_disconnect(world) {
  const page = await world.open({ appId: world.openApp });
  await page.connect("first");
  await page.idle();
  await page.disconnect();
  await page.reached(State.CLOSED);
  await page.pause(SOON_MS);
  const { error, user } = await page.connectWithToken(world.ownToken.id, world.ownToken.token);
  assert.equal(error, null);
  assert.equal(user.id, world.ownToken.id);
  assert.equal(user.accessToken, world.ownToken.token);
}
