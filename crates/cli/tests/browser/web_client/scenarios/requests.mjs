// Requests on an open connection.

import assert from "node:assert/strict";
import { assertFailed } from "./expect.mjs";

/** The time after which a silent client sends a ping, plus a margin. */
const HEARTBEAT_MS = 25_100;
/** The burst of requests that a server takes, and fewer than that, but several times the number that a client sends at once. */
const BURST = 100;
const MANY = 90;
/** The size of a request, chosen so that all together exceed what a server lets wait. */
const LARGE = 2_000;

export async function updates_the_display_name_and_keeps_the_token(world) {
  const { app, id, token } = world.ownToken;
  const page = await world.open({ appId: app });
  const other = await world.open({ appId: app });
  await page.connect(id, token);
  await other.connect(id, token);
  const name = `Tess over ${world.transport}`;
  const { error, value } = await page.request("users.update", { display_name: name });
  assert.equal(error, null);
  assert.equal(value.user.display_name, name);
  assert.equal(value.user.access_token, token);
  assert.equal(await page.page.evaluate(() => chat.user.display_name), name);
  await other.page.waitForFunction((name) => told.user.some((user) => user.display_name === name), name);
}

export async function blocks_lists_and_unblocks_a_user(world) {
  const [own, other] = [`${world.transport} bea`, `${world.transport} bert`];
  const [page, otherPage] = [await world.open({ appId: world.openApp }), await world.open({ appId: world.openApp })];
  await Promise.all([page.connect(own), otherPage.connect(other)]);
  assertFailed(await page.request("users.block", { block_id: "nobody at all" }), "USER_NOT_FOUND");
  const blocked = await page.request("users.block", { block_id: other });
  assert.equal(blocked.value.user.id, other);
  const listed = await page.request("users.block_list", {});
  assert.deepEqual(listed.value.users.map(({ id }) => id), [other]);
  assert.equal((await page.request("users.unblock", { unblock_id: other })).error, null);
  assert.deepEqual((await page.request("users.block_list", {})).value.users, []);
}

export async function lists_the_users_page_by_page(world) {
  const [{ app, id, token }] = world.movedUsers;
  const page = await world.open({ appId: app });
  await page.connect(id, token);
  const first = await page.request("users.list", { limit: 2 });
  assert.deepEqual(first.value.users.map(({ id }) => id), ["molly", "mona"]);
  const second = await page.request("users.list", { limit: 2, reference: first.value.reference });
  assert.deepEqual(second.value.users.map(({ id }) => id), ["moses"]);
  assert.equal(second.value.reference, undefined);
}

export async function iterates_over_the_users_that_match(world) {
  const [{ app, id, token }] = world.movedUsers;
  const page = await world.open({ appId: app });
  await page.connect(id, token);
  const ids = (query) => page.run(async (query) => {
    const found = [];
    for await (const user of chat.users(query ?? undefined)) found.push(user.id);
    return found;
  }, query);
  const lists = () => page.sent.entries.filter(({ t }) => t === "users.list");
  assert.deepEqual(await ids(null), ["molly", "mona", "moses"]);
  assert.deepEqual(lists().map(({ d }) => d), [{ limit: 100 }]);
  assert.deepEqual(await ids({ pageSize: 2 }), ["molly", "mona", "moses"]);
  assert.deepEqual(lists().slice(1).map(({ d }) => d), [{ limit: 2 }, { reference: "mona", limit: 2 }]);
  assert.deepEqual(await ids({ prefix: "MO", after: "molly" }), ["mona", "moses"]);
  assert.deepEqual(await ids({ ids: ["moses", "nobody"] }), ["moses"]);
  assert.deepEqual(await ids({ online: true, ids: [id] }), [id]);
  assert.deepEqual(await ids({ online: false, ids: [id] }), []);

  const sent = lists().length;
  const [first, wrong] = await page.run(async () => {
    chat.users();
    for await (const user of chat.users({ pageSize: 1 })) {
      return [user.id, await outcome(chat.users({ ids: [""] }).next())];
    }
  });
  assert.equal(first, "molly");
  assertFailed(wrong, "INVALID_ARGUMENT");
  assert.equal(lists().length, sent + 1, "only what is read is requested");
}

export async function reads_counts_changes_and_blocks_users(world) {
  const [own, other] = [`${world.transport} tina`, `${world.transport} tom`];
  const [page, otherPage] = [await world.open({ appId: world.openApp }), await world.open({ appId: world.openApp })];
  await Promise.all([page.connect(own), otherPage.connect(other)]);
  const updated = await page.run(() => chat.updateUser({ display_name: "Tina", metadata: { a: 1 } }));
  assert.deepEqual([updated.display_name, updated.metadata], ["Tina", { a: 1 }]);
  const fields = ["avatar_url", "display_name", "id", "is_online", "last_seen", "profile_url"];
  for (const id of [own, other]) {
    const user = await page.run((id) => chat.getUser(id), id);
    assert.deepEqual([user.id, user.is_online, Object.keys(user).sort()], [id, true, fields]);
  }
  assert.equal(await page.run(() => chat.getUser("nobody at all")), null);
  const counts = await page.run(() => Promise.all([chat.countUsers(), chat.countOnlineUsers()]));
  assert.ok(counts[0].count >= counts[1].count && counts[1].count >= 2, JSON.stringify(counts));

  const blocked = () => page.run(async () => {
    const found = [];
    for await (const user of chat.blocked()) found.push(user.id);
    return found;
  });
  assert.equal((await page.run((id) => chat.block(id), other)).id, other);
  assert.deepEqual(await blocked(), [other]);
  assert.equal((await page.run((id) => chat.unblock(id), other)).id, other);
  assert.deepEqual(await blocked(), []);
  assertFailed(await page.run(() => outcome(chat.block("nobody at all"))), "USER_NOT_FOUND");
  for (const id of ["", "a\u0007b", "ä".repeat(128), 5]) {
    for (const method of ["getUser", "block", "unblock"]) {
      assertFailed(await page.run((method, id) => outcome(chat[method](id)), method, id), "INVALID_ARGUMENT");
    }
  }
}

export async function answers_a_request_of_an_unknown_type(world) {
  const page = await world.open({ appId: world.openApp });
  await page.connect("carol");
  const outcome = await page.request("group_channels.create", { name: "room" });
  assertFailed(outcome, "UNKNOWN_TYPE");
  assert.match(outcome.error.message, /group_channels\.create/, "it names the type");
  assert.equal((await page.request("users.get", {})).error, null, "the connection is still good");
  assert.equal(page.attempts.length, 1);
}

export async function sends_no_more_than_a_server_takes_at_once(world) {
  const page = await world.open({ appId: world.openApp });
  await page.connect("max");
  const large = { padding: "x".repeat(LARGE) };
  const answers = await page.run((many, large) =>
    Promise.all(Array.from({ length: many }, () => outcome(chat.request("users.get", large)))), MANY, large);
  assert.ok(answers.every(({ error, value }) => !error && value.user.id === "max"), "all are answered");
  assert.equal(page.attempts.length, 1, "on one connection");
  const tooMany = await page.run(() => Promise.all(Array.from({ length: 400 }, () => outcome(chat.request("users.get")))));
  const codes = new Set(tooMany.map(({ error }) => error && error.code).filter((code) => code !== "RATE_LIMITED"));
  assert.deepEqual([...codes], [null, "TOO_MANY_WAITING"]);
}

export async function a_request_that_is_too_fast_says_how_long_to_wait(world) {
  const page = await world.open({ appId: world.openApp });
  await page.connect("fay");
  const refused = [];
  // A slow machine may send so slowly that nothing is too fast.
  for (let attempt = 0; refused.length === 0 && attempt < 10; attempt += 1) {
    const outcomes = await page.run((many) =>
      Promise.all(Array.from({ length: many }, () => outcome(chat.request("users.get")))), 2 * BURST);
    refused.push(...outcomes.filter(({ error }) => error));
  }
  assert.ok(refused.length > 0);
  for (const { error } of refused) {
    assertFailed({ error }, "RATE_LIMITED");
    assert.deepEqual([error.retryable, error.mayHaveRun, error.advice], [true, false, null]);
    assert.ok(error.retryAfterMs > 0 && error.retryAfterMs <= 50, `${error.retryAfterMs} ms`);
  }
  await page.page.waitForTimeout(refused.at(-1).error.retryAfterMs);
  assert.equal((await page.request("users.get", {})).error, null, "after the wait it is carried out");
  assert.equal(page.attempts.length, 1, "on one connection");
}

export async function refuses_to_send_a_message_that_is_too_large(world) {
  const page = await world.open({ appId: world.openApp });
  await page.connect("lars");
  assertFailed(await page.request("users.update", { data: "ä".repeat(33_000) }), "TOO_LARGE");
  assert.equal((await page.request("users.get", {})).error, null, "the connection is still good");
}

export async function survives_the_heartbeat(world) {
  const page = await world.open({ appId: world.openApp, fakeClock: true });
  await page.connect("henry");
  const { length } = page.sent;
  await page.page.clock.fastForward(HEARTBEAT_MS);
  const ping = await page.sent.at(length);
  assert.deepEqual(ping, { t: "ping", d: { seen: 0 }, r: 1 });
  const { value } = await page.request("users.update", { display_name: "Henry" });
  assert.equal(value.user.display_name, "Henry", "the connection is still good");
  assert.equal(page.acks("ping").length, 1);
  assert.equal(page.attempts.length, 1);
}
