// Requests on an open connection.

import assert from "node:assert/strict";
import { State } from "../sdk_page.mjs";
import { assertError } from "./expect.mjs";

/** The interval of the SDK's heartbeat, 60 s, plus a margin. */
const HEARTBEAT_MS = 61_000;

/** Users per page; the listed app has more. */
const PAGE = 2;

export async function updates_the_display_name_and_keeps_the_token(world) {
  const { app, id, token } = world.ownToken;
  const page = await world.open({ appId: app });
  await page.connectWithToken(id, token);
  const { error, user } = await page.updateDisplayName("Tess of the Wire");
  assert.equal(error, null);
  assert.equal(user.id, id);
  assert.equal(user.displayName, "Tess of the Wire");
  assert.equal(user.accessToken, token, "the user is replaced, so the token must be there");

  const other = await world.open({ appId: app });
  const again = await other.connectWithToken(id, token);
  assert.equal(again.user.displayName, "Tess of the Wire", "and the name was kept");
}

export async function blocks_lists_and_unblocks_a_user(world) {
  const [own, other] = [`${world.transport} bela`, `${world.transport} berta`];
  const page = await world.open({ appId: world.openApp });
  const otherPage = await world.open({ appId: world.openApp });
  await Promise.all([page.connect(own), otherPage.connect(other)]);

  const nobody = await page.blockUser("nobody at all");
  assertError(nobody.error);
  const blocked = await page.blockUser(other);
  assert.equal(blocked.error, null);
  assert.equal(blocked.user.id, other);
  const listed = await page.listBlockedUsers();
  assert.equal(listed.error, null);
  assert.deepEqual(listed.users.map(({ id }) => id), [other]);

  const unblocked = await page.unblockUser(other);
  assert.equal(unblocked.error, null);
  assert.equal(unblocked.user.id, other);
  assert.deepEqual((await page.listBlockedUsers()).users, []);
}

export async function lists_the_users_page_by_page(world) {
  const [{ app, id, token }] = world.movedUsers;
  const page = await world.open({ appId: app });
  await page.connectWithToken(id, token);
  await page.updateDisplayName("Molly");
  const { error, pages } = await page.listUsers(PAGE);
  assert.equal(error, null);
  const ids = pages.map((users) => users.map((user) => user.id));
  assert.deepEqual(ids, [["molly", "mona"], ["moses"]]);
  assert.equal(pages[0][0].displayName, "Molly");
  assert.deepEqual(pages.flat().filter((user) => user.accessToken), [], "lists hold no token, not even one's own");
}

export async function answers_a_request_of_an_unknown_type(world) {
  const page = await world.open({ appId: world.openApp });
  await page.connect("carol");
  const { error } = await page.createGroupChannel("room");
  assertError(error);
  assert.match(error.message, /group_channels\.create/, "it names the type");
  assert.equal(await page.state(), State.OPEN);
  const { user } = await page.updateDisplayName("Carol");
  assert.equal(user.displayName, "Carol", "the connection is still good");
  assert.equal(page.attempts.length, 1);
}

export async function survives_the_heartbeat(world) {
  const page = await world.open({ appId: world.openApp, fakeClock: true });
  await page.connect("henry");
  await page.page.clock.fastForward(HEARTBEAT_MS);
  const ping = await page.sent.at(0);
  assert.equal(ping.t, "ping");
  assert.equal(ping.d, undefined);
  const { user } = await page.updateDisplayName("Henry");
  assert.equal(user.displayName, "Henry", "the connection is still good");
  assert.deepEqual(await page.changes(), [true]);
  assert.equal(page.attempts.length, 1);
}
