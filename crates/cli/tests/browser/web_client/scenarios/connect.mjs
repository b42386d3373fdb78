// Connecting and disconnecting, with promises and with callbacks.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { QUIET_MS, assertFailed } from "./expect.mjs";

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
  const { error, value: user } = await page.connect("alice");
  assert.equal(error, null);
  assert.equal(user.id, "alice");
  assert.equal(user.access_token, undefined, "no token was presented, none comes back");
  assert.equal(await page.state(), "connected");
  assert.deepEqual(await page.told("state"), ["connecting", "connected"]);
  const [{ transport, fresh }] = await page.told("connected");
  assert.equal(transport.replace("-", "_").replace("websocket", "web_socket"), world.transport);
  assert.equal(fresh, "new");
  assert.equal(page.attempts.length, 1);
  const [{ v, app_id, user_id, access_token }] = page.hellos();
  assert.deepEqual({ v, app_id, user_id, access_token }, { v: 1, app_id: world.openApp, user_id: "alice", access_token: undefined });
}

export async function runs_the_readmes_snippet(world) {
  const readme = await readFile(new URL("../../../../../../README.md", import.meta.url), "utf8");
  const [, snippet] = readme.match(/```html\n<script type="module">\n(.*?)<\/script>/s);
  const page = await world.open({ appId: world.openApp });
  const code = snippet.replaceAll("http://127.0.0.1:9080", new URL(page.moduleUrl).origin);
  assert.notEqual(code, snippet, "it names a server");
  const said = page.page.waitForEvent("console", (message) => message.type() === "log");
  await page.page.addScriptTag({ type: "module", content: `const APP_ID = ${JSON.stringify(world.openApp)};\n${code}` });
  assert.equal(await (await said).text(), "connected as alice");
}

export async function connects_by_token(world) {
  for (const { app, id, token } of [world.ownToken, world.issuedToken, world.strictUser]) {
    const page = await world.open({ appId: app });
    const { error, value: user } = await page.connect(id, token);
    assert.equal(error, null, `${id} is let in`);
    assert.equal(user.id, id);
    assert.equal(user.access_token, token, "the very token comes back");
    assert.equal(page.attempts.length, 1);
  }
}

export async function calls_the_callback_once_and_resolves_the_promise(world) {
  const page = await world.open({ appId: world.openApp });
  const { id, token } = world.ownToken;
  const called = await page.run((id, token) => {
    const calls = [];
    const call = (name) => (error, value) => calls.push([name, error && error.code, value && value.id]);
    return chat.connect("carla", call("by id"))
      .then(() => chat.disconnect(call("disconnected")))
      .then(() => chat.connect(id, token, call("by token")))
      .then(() => chat.connect(id, "not a token at all", call("refused")))
      .catch(() => new Promise((resolve) => setTimeout(() => resolve(calls))));
  }, id, token);
  assert.deepEqual(called, [
    ["by id", null, "carla"],
    ["disconnected", null, undefined],
    ["by token", null, id],
    ["refused", "ACCESS_TOKEN_INVALID", undefined],
  ]);
}

export async function says_what_is_wrong_with_its_arguments(world) {
  const page = await world.open({ appId: world.openApp });
  const outcomes = await page.run(() => Promise.all([
    outcome(chat.connect("alice", "localhost", "9080", () => {})),
    outcome(chat.connect(5)),
    outcome(chat.connect("alice", 5)),
    outcome(chat.request("users.get")),
  ]));
  const codes = outcomes.map(({ error }) => error.code);
  assert.deepEqual(codes, ["INVALID_ARGUMENT", "INVALID_ARGUMENT", "INVALID_ARGUMENT", "NOT_CONNECTED"]);
  assert.match(outcomes[0].error.message, /url/, "it names the way to name a server");
  const made = await page.run(() => [{}, { appId: "a", transport: "pigeon" }].map((options) => {
    try {
      return new ChatCamp(options);
    } catch (error) {
      return error.code;
    }
  }));
  assert.deepEqual(made, ["INVALID_ARGUMENT", "INVALID_ARGUMENT"]);
  const bundled = await page.run(async (from) => {
    const code = await (await fetch(from)).text();
    const { ChatCamp } = await import(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
    try {
      return new ChatCamp({ appId: "a" });
    } catch (error) {
      return error.code + error.message;
    }
  }, page.moduleUrl);
  assert.match(bundled, /^INVALID_ARGUMENT.*url: "https:/, "a bundle is not the server's module");
  assert.equal(page.sent.length, 0);
}

export async function refuses_a_url_that_is_not_a_servers(world) {
  const page = await world.open({ appId: world.openApp });
  const made = (url) => page.run((url) => {
    try {
      new ChatCamp({ appId: "a", url });
      return null;
    } catch ({ code, message }) {
      return `${code}: ${message}`;
    }
  }, url);
  for (const [url, hint] of [
    ["http://h/?room=1", /query/],
    ["http://h/#top", /fragment/],
    ["http://user:secret@h/", /password/],
    ["ftp://h/", /https/],
    ["http://", /URL/],
    ["http://h/api/2.0", /\/api\/2\.0/],
    ["http://h/api/2.0/", /\/api\/2\.0/],
  ]) {
    const error = await made(url);
    assert.match(error ?? "accepted", /^INVALID_ARGUMENT: /, url);
    assert.match(error, hint);
    assert.ok(!error.includes("secret"), error);
  }
  for (const url of ["http://h", "ws://h/", "https://h/prefix/chat/2.0", "wss://h:1/prefix/"]) {
    assert.equal(await made(url), null, url);
  }
}

export async function keeps_ids_byte_for_byte(world) {
  const page = await world.open({ appId: world.openApp });
  for (const id of AWKWARD_IDS) {
    const { error, value: user } = await page.connect(id);
    assert.equal(error, null, `${JSON.stringify(id)} is let in`);
    assert.deepEqual([...user.id], [...id]);
    const named = await page.request("users.update", { display_name: `named ${id}` });
    assert.equal(named.error, null);
    assert.equal(named.value.user.display_name, `named ${id}`, "no two of these ids are one user");
  }
}

export async function disconnects_and_connects_again(world) {
  const page = await world.open({ appId: world.openApp });
  await page.connect("dora");
  assert.equal((await page.disconnect()).error, null);
  assert.equal(await page.state(), "disconnected");
  await page.sent.at(0);
  await page.staysQuiet(QUIET_MS);
  const [{ reason }] = await page.told("disconnected");
  assert.equal(reason.code, "DISCONNECTED_BY_US");

  const { error, value: user } = await page.connect("dora");
  assert.equal(error, null);
  assert.equal(user.id, "dora");
  assert.deepEqual(page.hellos().map(({ resume }) => resume), [undefined, undefined], "the session was dropped");
  assert.deepEqual(await page.told("state"), ["connecting", "connected", "disconnected", "connecting", "connected"]);
  assert.equal((await page.disconnect()).error, null);
  assert.equal((await page.disconnect()).error, null, "disconnecting is always allowed");
}

export async function connects_another_user_at_once_after_disconnect(world) {
  const page = await world.open({ appId: world.openApp });
  const { id, token } = world.ownToken;
  await page.connect("first");
  const [gone, { error, value: user }] = await page.run((id, token) =>
    Promise.all([outcome(chat.disconnect()), outcome(chat.connect(id, token))]), id, token);
  assert.equal(gone.error, null);
  assert.equal(error, null);
  assert.equal(user.id, id);
  assert.equal(user.access_token, token);
}

export async function another_user_replaces_the_first(world) {
  const page = await world.open({ appId: world.openApp });
  const [first, second] = await page.run(() =>
    Promise.all([outcome(chat.connect("first")), outcome(chat.connect("second"))]));
  assertFailed(first, "SUPERSEDED");
  assert.equal(second.value.id, "second");
  const unanswered = await page.run(() => {
    const asked = outcome(chat.request("users.get"));
    return outcome(chat.connect("third")).then(() => asked);
  });
  assertFailed(unanswered, "UNANSWERED");
  assert.equal(unanswered.error.mayHaveRun, true);
  assert.equal(await page.page.evaluate(() => chat.user.id), "third");
}

export async function joins_an_attempt_in_progress(world) {
  const page = await world.open({ appId: world.openApp });
  const outcomes = await page.run(() => Promise.all([1, 2, 3].map(() => outcome(chat.connect("joan")))));
  assert.deepEqual(outcomes.map(({ value }) => value.id), ["joan", "joan", "joan"]);
  assert.equal((await page.connect("joan")).value.id, "joan", "and who is connected is connected");
  assert.equal(page.attempts.length, 1);
}

export async function a_disconnect_ends_the_attempt_in_progress(world) {
  const page = await world.open({ appId: world.openApp });
  const [connected, gone] = await page.run(() => Promise.all([outcome(chat.connect("hasty")), outcome(chat.disconnect())]));
  assertFailed(connected, "DISCONNECTED_BY_US");
  assert.equal(gone.error, null);
  await page.staysQuiet(QUIET_MS);
  assert.equal(await page.state(), "disconnected");
  assert.deepEqual(page.received.entries, []);
}

export async function keeps_a_19_digit_app_id_quoted_or_as_a_number(world) {
  const [{ app: quoted, id, token }] = world.movedUsers;
  for (const appId of [quoted, Number(quoted)]) {
    const page = await world.open({ appId });
    const { error, value: user } = await page.connect(id, token);
    assert.equal(error, null, `app id ${appId} is known`);
    assert.equal(user.access_token, token, "it is the app of this user");
  }
}

export async function a_server_is_named_by_its_url(world) {
  const page = await world.open({ appId: world.openApp, options: { url: `http://${world.server}/` } });
  const { error } = await page.connect("ursula");
  assert.equal(error, null);
  assert.equal(page.longPolls.length, 0, "nothing goes by way of the proxy");
}
