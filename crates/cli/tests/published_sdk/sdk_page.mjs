// One page with the published SDK, seen from outside: what it is told, what it sends, how often it dials.

import assert from "node:assert/strict";
import { DEADLINE_MS, Log, pause, within } from "./wait.mjs";
import { Proxy } from "./proxy.mjs";

const CHAT_PATH = "/chat/2.0";

/** What `getConnectionState()` returns (wire document, section 4). */
export const State = { OPEN: 0, CONNECTING: 1, CLOSING: 2, CLOSED: 3 };

export class SdkPage {
  /** Targets of all connection attempts, WebSocket or poll, oldest first. */
  attempts = new Log("connection attempt");
  /** Envelopes by direction, over all WebSockets of the page. */
  sent = new Log("envelope from the SDK");
  received = new Log("envelope from the server");
  #uncaught = [];

  static async open(world, { appId, fakeClock = false }) {
    const self = new SdkPage();
    self.proxy = await Proxy.start(world.server);
    self.context = await world.browser.newContext();
    self.page = await self.context.newPage();
    self.page.setDefaultTimeout(DEADLINE_MS);
    self.page.on("pageerror", (error) => self.#uncaught.push(error));
    self.page.on("request", (request) => self.#note(request.url()));
    self.page.on("websocket", (socket) => {
      self.#note(socket.url());
      socket.on("framesent", ({ payload }) => self.sent.push(JSON.parse(payload)));
      socket.on("framereceived", ({ payload }) => self.received.push(JSON.parse(payload)));
    });
    if (fakeClock) await self.page.clock.install();
    await self.page.goto(world.pageUrl);
    await self.page.evaluate(
      ({ APP_ID, HOST, PORT }) => {
        const chatcamp = new ChatCamp({ appId: APP_ID });
        const listener = new chatcamp.ConnectionListener();
        window.changes = [];
        listener.onConnectionChanged = (connected) => window.changes.push(connected);
        chatcamp.addConnectionListener("watch", listener);
        Object.assign(window, { APP_ID, HOST, PORT });
      },
      { APP_ID: appId, HOST: "127.0.0.1", PORT: String(self.proxy.port) },
    );
    return self;
  }

  async close() {
    await this.context.close();
    this.proxy.close();
  }

  /** The documentation's snippet, by user id; what its callback was given. */
  connect(userId) {
    return this.#call("connect callback", (USER_ID) =>
      new Promise((resolve) => {
        const chatcamp = new ChatCamp({ appId: APP_ID });
        chatcamp.connect(USER_ID, HOST, PORT, (error, user) => resolve({ error, user }));
      }), userId);
  }

  /** The documentation's snippet, by user id and access token; what its callback was given. */
  connectWithToken(userId, token) {
    return this.#call("connect callback", ([USER_ID, ACCESS_TOKEN]) =>
      new Promise((resolve) => {
        const chatcamp = new ChatCamp({ appId: APP_ID });
        chatcamp.connect(USER_ID, ACCESS_TOKEN, HOST, PORT, (error, user) => resolve({ error, user }));
      }), [userId, token]);
  }

  /** Runs a piece of code in the page; the first thing it says on the console. */
  async says(code) {
    const said = this.page.waitForEvent("console");
    await this.page.evaluate(code);
    return (await said).text();
  }

  disconnect() {
    return this.#call("disconnect callback", () =>
      new Promise((resolve) => new ChatCamp({ appId: APP_ID }).disconnect(() => resolve())));
  }

  updateDisplayName(name) {
    return this.#call("update callback", (name) =>
      new Promise((resolve) => {
        const chatcamp = new ChatCamp({ appId: APP_ID });
        chatcamp.updateUserDisplayName(name, (error, user) => resolve({ error, user }));
      }), name);
  }

  createGroupChannel(name) {
    return this.#call("create callback", (name) =>
      new Promise((resolve) => {
        const chatcamp = new ChatCamp({ appId: APP_ID });
        chatcamp.GroupChannel.create(name, ["bob"], false, (error, channel) => resolve({ error, channel }));
      }), name);
  }

  state() {
    return this.page.evaluate(() => new ChatCamp({ appId: APP_ID }).getConnectionState());
  }

  /** What the connection listener was told so far. */
  changes() {
    return this.page.evaluate(() => window.changes);
  }

  /** Waits until the connection listener has been told `count` things, and returns them. */
  async changed(count) {
    await this.page.waitForFunction((count) => window.changes.length >= count, count);
    return this.changes();
  }

  async reached(state) {
    await this.page.waitForFunction(
      (state) => new ChatCamp({ appId: APP_ID }).getConnectionState() === state,
      state,
    );
  }

  /** Measures a quiet period: no attempt and no envelope may leave the page for `ms`. */
  async staysQuiet(ms) {
    const before = { attempts: this.attempts.length, sent: this.sent.length };
    await pause(ms);
    assert.deepEqual({ attempts: this.attempts.length, sent: this.sent.length }, before, "the page stays quiet");
  }

  /** Fails if anything was thrown in the page and not caught there. */
  assertNothingUncaught() {
    assert.deepEqual(this.#uncaught.map(String), [], "no uncaught exception in the page");
  }

  #call(what, body, argument) {
    return within(DEADLINE_MS, what, this.page.evaluate(body, argument));
  }

  #note(url) {
    const { pathname, search } = new URL(url);
    if (pathname === CHAT_PATH) this.attempts.push(pathname + search);
  }
}
