// Talks to the client as a scripted server, message by message, to test what a real server does only in rare cases.

import assert from "node:assert/strict";
import { assertFailed } from "./expect.mjs";

const USER = { id: "dia" };
const session = (more) => ({ key: "key 1", expires_in: 86_400, heartbeat: 25, ...more });

/** Opens a page whose client talks to `server`: `await server.hears()` returns the next message, `server.says(…)` sends one. */
async function talk(world, options) {
  const page = await world.open({ appId: world.openApp, ...options });
  if (options?.fakeClock) await page.stopClock();
  await page.run(() => {
    const heard = [];
    const waiting = [];
    const server = {
      connections: 0,
      closes: [],
      socket: null,
      hears: () => (heard.length > 0 ? Promise.resolve(heard.shift()) : new Promise((resolve) => waiting.push(resolve))),
      unheard: () => heard.length,
      says: (envelope) => server.socket.onmessage?.({ data: JSON.stringify(envelope) }),
      cuts: () => server.socket.onclose?.({ code: 1006, reason: "" }),
    };
    class Scripted {
      readyState = 0;

      constructor() {
        server.connections += 1;
        server.socket = this;
        queueMicrotask(() => {
          this.readyState = 1;
          this.onopen?.();
        });
      }

      send(text) {
        const envelope = JSON.parse(text);
        if (waiting.length > 0) waiting.shift()(envelope);
        else heard.push(envelope);
      }

      close(code) {
        this.readyState = 3;
        server.closes.push(code);
      }
    }
    const made = new ChatCamp({ appId: "a", transport: "websocket", webSocket: Scripted });
    for (const [type, details] of Object.entries(told)) {
      made.on(type, (detail) => details.push(detail.why ? { ...detail, why: plain(detail.why) } : detail));
    }
    made.on("disconnected", ({ reason }) => (window.ended = plain(reason)));
    Object.assign(window, { server, chat: made });
  });
  const begins = async (sessionSays) => {
    const hello = await page.run(() => server.hears());
    await page.run((ack) => server.says(ack), { t: "users.auth.ack", to: 1, d: { ok: true, user: USER, session: sessionSays } });
    return hello;
  };
  const says = (envelope) => page.run((envelope) => server.says(envelope), envelope);
  const hears = () => page.run(() => server.hears());
  const connects = async () => {
    await page.run(() => void (window.connecting = outcome(chat.connect("dia"))));
    const hello = await begins(session({ fresh: "new" }));
    assert.deepEqual((await page.run(() => window.connecting)).value, USER);
    return hello;
  };
  /** Sends three requests and receives them. */
  const asks = async () => {
    await page.run(() => void (window.asked = [1, 2, 3].map((n) => outcome(chat.request("ask", { n })))));
    for (const n of [1, 2, 3]) assert.deepEqual(await hears(), { t: "ask", d: { n }, r: n });
  };
  return { page, begins, says, hears, connects, asks, asked: () => page.run(() => Promise.all(window.asked)) };
}

export async function a_resumed_session_gets_missed_messages_and_repeats_lost_requests(world) {
  const { page, begins, says, hears, connects, asks, asked } = await talk(world);
  const hello = await connects();
  assert.deepEqual(hello.d.resume, undefined);
  await asks();
  await says({ t: "app.event.pub", d: { ok: true, type: "seen", data: 1 }, s: 1 });
  await says({ t: "ask.ack", to: 1, d: { ok: true, n: 1 }, s: 2 });
  await page.run(() => server.cuts());
  const again = await begins(session({ key: "key 2", resumed: { replayed: 2, received: 2 } }));
  assert.deepEqual(again.d.resume, { key: "key 1", seen: 2, sent: 3 });
  assert.deepEqual(await hears(), { t: "ask", d: { n: 3 }, r: 3 }, "what the server has not got is sent again, and nothing else");
  assert.equal(await page.run(() => server.unheard()), 0);
  await says({ t: "app.event.pub", d: { ok: true, type: "missed", data: 2 }, s: 3 });
  await says({ t: "ask.ack", to: 2, d: { ok: true, n: 2 }, s: 4 });
  await says({ t: "ask.ack", to: 3, d: { ok: true, n: 3 }, s: 5 });
  assert.deepEqual((await asked()).map(({ value }) => value), [{ n: 1 }, { n: 2 }, { n: 3 }]);
  assert.deepEqual((await page.told("event", 2)).map(({ type }) => type), ["seen", "missed"]);
  assert.deepEqual((await page.told("connected", 2))[1].resumed, { replayed: 2, received: 2 });
  await page.run(() => void chat.request("ask", { n: 4 }).catch(() => {}));
  assert.equal((await hears()).r, 4, "the numbers go on");
}

export async function a_fresh_session_repeats_nothing(world) {
  const { page, begins, hears, connects, asks, asked } = await talk(world);
  await connects();
  await asks();
  await page.run(() => server.cuts());
  await page.run(() => void (window.later = outcome(chat.request("ask", { n: 4 }))));
  await begins(session({ key: "key 2", fresh: "too_late" }));
  for (const outcome of await asked()) {
    assertFailed(outcome, "UNANSWERED");
    assert.equal(outcome.error.mayHaveRun, true);
  }
  assert.deepEqual(await hears(), { t: "ask", d: { n: 4 }, r: 1 }, "what was never sent is sent, and the numbers begin anew");
  assert.equal((await page.told("connected", 2))[1].fresh, "too_late");
}

export async function a_missing_message_is_fetched_by_reconnecting(world) {
  const { page, begins, says, connects } = await talk(world);
  await connects();
  await says({ t: "app.event.pub", d: { ok: true, type: "one", data: 1 }, s: 1 });
  await says({ t: "app.event.pub", d: { ok: true, type: "three", data: 3 }, s: 3 });
  const again = await begins(session({ key: "key 2", resumed: { replayed: 2, received: 0 } }));
  assert.deepEqual(again.d.resume, { key: "key 1", seen: 1, sent: 0 });
  assert.deepEqual(await page.run(() => server.closes), [4008], "1000 would end the session");
  await says({ t: "app.event.pub", d: { ok: true, type: "two", data: 2 }, s: 2 });
  await says({ t: "app.event.pub", d: { ok: true, type: "three", data: 3 }, s: 3 });
  assert.deepEqual((await page.told("event", 3)).map(({ type }) => type), ["one", "two", "three"]);
}

export async function a_requested_delay_is_respected(world) {
  const { page, begins, says, connects } = await talk(world, { fakeClock: true });
  await connects();
  const close = { code: "SHUTTING_DOWN", reason: "the server is shutting down", advice: "retry", retry_after_ms: 30_000 };
  await says({ t: "session.close", d: close });
  const [{ why, afterMs }] = await page.told("reconnecting");
  assert.equal(why.code, "SHUTTING_DOWN");
  assert.ok(afterMs >= 30_000 && afterMs <= 31_000, `${afterMs}`);
  await page.run(() => window.dispatchEvent(new Event("online")));
  await page.page.clock.fastForward(25_000);
  assert.equal(await page.run(() => server.connections), 1, "no sooner");
  await page.page.clock.fastForward(10_000);
  await begins(session({ fresh: "new" }));
  await page.reached("connected");
}

export async function advice_is_followed_whatever_the_code(world) {
  for (const [close, isEnd] of [
    [{ code: "OF_A_NEWER_SERVER", reason: "new", advice: "retry" }, false],
    [{ code: "OF_A_NEWER_SERVER", reason: "new", advice: "terminal" }, true],
    [{ code: "OF_A_NEWER_SERVER", reason: "new", advice: "dance" }, true],
    [{ code: "ACCESS_TOKEN_EXPIRED", reason: "the access token has expired", advice: "credential" }, true],
  ]) {
    const { page, says, connects } = await talk(world);
    await connects();
    await says({ t: "session.close", d: close });
    const { state, ended } = await page.run(() => ({ state: chat.state, ended: window.ended }));
    assert.equal(state, isEnd ? "disconnected" : "reconnecting", JSON.stringify(close));
    if (isEnd) assert.equal(ended.code, close.code);
  }
}

export async function a_close_number_alone_is_understood(world) {
  for (const [number, code, state] of [
    [4508, "CREDENTIAL_REVOKED", "disconnected"],
    [1009, "MESSAGE_TOO_LARGE", "disconnected"],
    [4999, "MALFORMED", "disconnected"],
    [4499, "LOST", "reconnecting"],
    [1001, "LOST", "reconnecting"],
  ]) {
    const { page, connects } = await talk(world);
    await connects();
    await page.run((number) => server.socket.onclose({ code: number, reason: "" }), number);
    const happened = await page.run(() => ({ state: chat.state, code: (window.ended ?? told.reconnecting.at(-1).why).code }));
    assert.deepEqual(happened, { state, code }, `${number}`);
  }
}

export async function a_server_without_token_refresh_is_supported(world) {
  const { page, says, hears } = await talk(world, { fakeClock: true });
  await page.run(() => {
    window.asked = [];
    const token = async (why) => {
      window.asked.push(why);
      return `token ${window.asked.length}`;
    };
    window.connecting = outcome(chat.connect("dia", { token }));
  });
  const hello = await hears();
  assert.equal(hello.d.access_token, "token 1");
  const d = { ok: true, user: USER, session: session({ fresh: "new" }), token_expires_in: 100 };
  await says({ t: "users.auth.ack", to: 1, d });
  await page.run(() => window.connecting);
  await page.page.clock.fastForward(24_000);
  await page.page.clock.fastForward(62_000);
  let refresh = await hears();
  while (refresh.t === "ping") {
    await says({ t: "ping.ack", to: refresh.r, d: { ok: true }, s: refresh.r });
    refresh = await hears();
  }
  assert.deepEqual([refresh.t, refresh.d], ["users.refresh", { access_token: "token 2" }]);
  const error = { code: "UNKNOWN_TYPE", message: "this server does not know requests of type users.refresh" };
  await says({ t: "users.refresh.ack", to: refresh.r, d: { ok: false, error }, s: refresh.r });
  assert.equal(await page.state(), "connected");
  await page.run(() => server.cuts());
  await page.page.clock.fastForward(1_000);
  assert.equal((await hears()).d.access_token, "token 2", "the newer token is presented next");
  assert.deepEqual(await page.run(() => window.asked), ["initial", "expiring"]);
}

export async function a_page_whose_timers_were_suspended_pings_before_it_disconnects(world) {
  const { page, says, hears, connects } = await talk(world, { fakeClock: true });
  await connects();
  await page.page.clock.runFor(25_100);
  assert.equal((await hears()).t, "ping");
  await page.page.clock.fastForward(47_000);
  assert.equal(await page.state(), "connected", "the answer may have come while the page slept");
  for (const r of [1, 2]) await says({ t: "ping.ack", to: r, d: { ok: true }, s: r });
  await page.page.clock.runFor(10_000);
  assert.equal(await page.state(), "connected");
  assert.equal((await hears()).t, "ping");
}

export async function a_page_whose_timers_are_always_late_notices_a_dead_server(world) {
  const { page, connects } = await talk(world, { fakeClock: true });
  await connects();
  // In a hidden page timers come once a minute.
  for (const _ of [1, 2, 3]) await page.page.clock.fastForward(60_000);
  assert.equal((await page.told("reconnecting"))[0].why.code, "LOST");
}

export async function a_list_of_users_waits_when_the_server_asks_to(world) {
  const { page, says, hears, connects } = await talk(world, { fakeClock: true });
  await connects();
  await page.run(() => {
    window.found = [];
    window.listed = outcome((async () => {
      for await (const { id } of chat.users()) window.found.push(id);
    })());
  });
  const d = { limit: 100 };
  assert.deepEqual(await hears(), { t: "users.list", d, r: 1 });
  const error = { code: "RATE_LIMITED", message: "wait", retry_after_ms: 5_000 };
  await says({ t: "users.list.ack", to: 1, d: { ok: false, error }, s: 1 });
  await page.page.clock.runFor(4_000);
  assert.equal(await page.run(() => server.unheard()), 0, "it waits");
  await page.page.clock.runFor(1_000);
  assert.deepEqual(await hears(), { t: "users.list", d, r: 2 });
  await says({ t: "users.list.ack", to: 2, d: { ok: true, users: [{ id: "a" }], reference: "a" }, s: 2 });
  assert.deepEqual(await hears(), { t: "users.list", d: { reference: "a", limit: 100 }, r: 3 });
  const off = { code: "DIRECTORY_OFF", message: "no list" };
  await says({ t: "users.list.ack", to: 3, d: { ok: false, error: off }, s: 3 });
  assertFailed(await page.run(() => window.listed), "DIRECTORY_OFF");
  assert.deepEqual(await page.run(() => window.found), ["a"], "what came before the error was delivered");
}

export async function an_acknowledgement_for_another_user_is_refused(world) {
  const { page, begins } = await talk(world);
  await page.run(() => void (window.connecting = outcome(chat.connect("eve"))));
  await begins(session({ fresh: "new" }));
  const outcome = await page.run(() => window.connecting);
  assertFailed(outcome, "WRONG_USER");
  assert.equal(outcome.error.retryable, false);
  assert.match(outcome.error.message, /another user/);
  assert.equal(await page.state(), "disconnected");
}
