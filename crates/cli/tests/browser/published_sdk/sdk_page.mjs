// A page with the published SDK, observed from outside: its callbacks, the messages it sends, and its connection attempts.

import assert from "node:assert/strict";
import { DEADLINE_MS, Log, pause, within } from "../wait.mjs";
import { Proxy } from "../proxy.mjs";
import { CHAT_PATH, ID_HEADER, Traffic } from "./traffic.mjs";

/** The values of `getConnectionState()`. */
export const State = { OPEN: 0, CONNECTING: 1, CLOSING: 2, CLOSED: 3 };

export class SdkPage {
  /** Targets of all WebSockets, opened or not, oldest first. */
  dials = new Log("WebSocket");
  /** Targets of all long-poll connections, one for each id. */
  longPolls = new Log("long poll");
  #traffic = new Traffic();
  #transport;
  #prefix;
  #pollIds = new Set();
  #uncaught = [];
  #strayed = [];

  /**
   * Opens a page whose SDK can reach the server by `world.transport` only.
   *
   * A `hosted` page passes no host and loads `/compat.js`. A page `beside` another is a tab of the same browser, and its
   * traffic is recorded together with the other's.
   */
  static async open(world, { appId, hosted = false, fakeClock = false, beside = null }) {
    const self = new SdkPage();
    self.#transport = world.transport;
    self.#prefix = world.prefix ?? "";
    if (beside) {
      Object.assign(self, { proxy: beside.proxy, context: beside.context });
      self.#traffic = beside.#traffic;
    } else {
      self.proxy = await Proxy.start(world.server, { upgrades: world.transport === "web_socket", prefix: world.prefix });
      self.proxy.onRequest = self.#traffic.note;
      self.comeUp();
      self.context = await world.browser.newContext();
    }
    const [HOST, PORT] = ["127.0.0.1", String(self.proxy.port)];
    const hosts = [new URL(world.pageUrl).host, `${HOST}:${PORT}`];
    self.page = await self.context.newPage();
    self.page.setDefaultTimeout(DEADLINE_MS);
    self.page.on("pageerror", (error) => self.#uncaught.push(error));
    self.page.on("request", (request) => self.#noteRequest(request, hosts));
    self.page.on("websocket", (socket) => self.#noteSocket(socket, hosts));
    if (fakeClock) await self.page.clock.install();
    const url = new URL(world.pageUrl);
    if (hosted) url.searchParams.set("before", `http://${HOST}:${PORT}${self.#prefix}/compat.js`);
    await self.page.goto(url.href);
    await self.page.evaluate(
      ({ APP_ID, ...place }) => {
        const chatcamp = new ChatCamp({ appId: APP_ID });
        const listener = new chatcamp.ConnectionListener();
        window.changes = [];
        listener.onConnectionChanged = (connected) => window.changes.push(connected);
        chatcamp.addConnectionListener("watch", listener);
        Object.assign(window, { APP_ID, ...place, PLACE: Object.values(place) });
      },
      { APP_ID: appId, ...(hosted ? {} : { HOST, PORT }) },
    );
    return self;
  }

  /** Targets of all connection attempts over the transport of this page, oldest first. */
  get attempts() {
    return this.#transport === "web_socket" ? this.dials : this.longPolls;
  }

  get sent() {
    return this.#traffic.sent;
  }

  get received() {
    return this.#traffic.received;
  }

  get polls() {
    return this.#traffic.polls;
  }

  get preflights() {
    return this.#traffic.preflights;
  }

  async close() {
    await this.context.close();
    this.proxy.close();
  }

  /** Runs the snippet of the SDK's documentation with a user id, and returns the arguments of its callback. */
  connect(userId) {
    return this.#call("connect callback", (USER_ID) =>
      new Promise((resolve) => {
        const chatcamp = new ChatCamp({ appId: APP_ID });
        chatcamp.connect(USER_ID, ...PLACE, (error, user) => resolve({ error, user }));
      }), userId);
  }

  /** Runs the snippet of the SDK's documentation with a user id and access token, and returns the arguments of its callback. */
  connectWithToken(userId, token) {
    return this.#call("connect callback", ([USER_ID, ACCESS_TOKEN]) =>
      new Promise((resolve) => {
        const chatcamp = new ChatCamp({ appId: APP_ID });
        chatcamp.connect(USER_ID, ACCESS_TOKEN, ...PLACE, (error, user) => resolve({ error, user }));
      }), [userId, token]);
  }

  /** Runs code in the page and returns the first text that it logs (reports of the browser do not count). */
  async says(code) {
    const said = this.page.waitForEvent("console", (message) => message.type() === "log");
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

  blockUser(userId) {
    return this.#call("block callback", (userId) =>
      new Promise((resolve) => {
        const chatcamp = new ChatCamp({ appId: APP_ID });
        chatcamp.blockUser(userId, (error, user) => resolve({ error, user }));
      }), userId);
  }

  unblockUser(userId) {
    return this.#call("unblock callback", (userId) =>
      new Promise((resolve) => {
        const chatcamp = new ChatCamp({ appId: APP_ID });
        chatcamp.unblockUser(userId, (error, user) => resolve({ error, user }));
      }), userId);
  }

  /** Lists all users in pages of `limit`, until an empty page or an error. */
  listUsers(limit) {
    return this.#call("list callback", (limit) =>
      new Promise((resolve) => {
        const query = new ChatCamp({ appId: APP_ID }).createUserListQuery();
        query.setLimit(limit);
        const pages = [];
        const onPage = (error, users) => {
          if (error || users.length === 0) return resolve({ error, pages });
          pages.push(users);
          query.load(onPage);
        };
        query.load(onPage);
      }), limit);
  }

  listBlockedUsers() {
    return this.#call("list callback", () =>
      new Promise((resolve) => {
        const query = new ChatCamp({ appId: APP_ID }).createBlockedUserListQuery();
        query.load((error, users) => resolve({ error, users }));
      }));
  }

  state() {
    return this.page.evaluate(() => new ChatCamp({ appId: APP_ID }).getConnectionState());
  }

  /** Returns the calls of the connection listener so far. */
  changes() {
    return this.page.evaluate(() => window.changes);
  }

  /** Waits for `count` calls of the connection listener, and returns them. */
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

  /** Cuts the connection until the page has noticed. The browser repeats a cut poll, so the repeated poll is refused too. */
  async loseConnection() {
    const { length } = await this.changes();
    this.#refuseAlso(this.polls.entries.map(({ id }) => id));
    this.proxy.cut();
    await this.changed(length + 1);
  }

  /** Cuts the connection and blocks new ones until `comeUp`. */
  goDown() {
    this.proxy.refuses = () => true;
    this.proxy.cut();
  }

  /** Allows connections over the transport of this page. */
  comeUp() {
    this.#refuseAlso([]);
  }

  /** Returns the poll that the server holds or is about to hold. */
  async heldPoll() {
    for (let index = Math.max(this.polls.length - 1, 0); ; index += 1) {
      const poll = await this.polls.at(index);
      if (!poll.answer) return poll;
    }
  }

  /** Waits until a connected page can receive messages: over long-poll, once its next poll is held. */
  async idle() {
    if (this.#transport === "long_poll") await this.heldPoll();
  }

  /** Waits by a timer of the page: timers of the SDK that are due earlier fire earlier, however slow the machine is. */
  async pause(ms) {
    await this.page.evaluate((ms) => new Promise((resolve) => setTimeout(resolve, ms)), ms);
  }

  /** Asserts that the page makes no attempt and sends no poll or envelope for `ms`. */
  async staysQuiet(ms) {
    const left = () => [this.dials, this.longPolls, this.polls, this.sent].map((log) => log.length);
    const before = left();
    await pause(ms);
    assert.deepEqual(left(), before, "the page stays quiet");
  }

  /** Fails after an error that no callback reports: in the page, in the traffic, or over the wrong transport. */
  assertSound() {
    assert.deepEqual(this.#uncaught.map(String), [], "no uncaught exception in the page");
    assert.deepEqual(this.#traffic.faults, [], "every answer is one the SDK can take");
    assert.deepEqual(this.#strayed, [], "the page speaks to its own hosts only");
    if (this.#transport === "web_socket") return;
    assert.equal(this.#traffic.upgrades, 0, "no WebSocket opened");
    const { entries } = this.longPolls;
    assert.deepEqual(this.dials.entries.slice(0, entries.length), entries, "a WebSocket failed before each long poll");
  }

  /** Describes what has happened so far, for people. */
  story() {
    return {
      dials: this.dials.entries,
      longPolls: this.longPolls.entries,
      polls: this.polls.entries.map(({ id, target, answer }) => ({ id, target, answer })),
      sent: this.sent.entries,
      received: this.received.entries,
    };
  }

  #refuseAlso(pollIds) {
    const pollsPass = this.#transport === "long_poll";
    this.proxy.refuses = ({ headers: { [ID_HEADER]: id } }) => id && (!pollsPass || pollIds.includes(id));
  }

  #call(what, body, argument) {
    return within(DEADLINE_MS, what, this.page.evaluate(body, argument));
  }

  #noteSocket(socket, hosts) {
    const { host, pathname, search } = new URL(socket.url());
    if (!hosts.includes(host)) this.#strayed.push(socket.url());
    if (pathname === this.#prefix + CHAT_PATH) this.dials.push(pathname + search);
    socket.on("framesent", ({ payload }) => this.sent.push(JSON.parse(payload)));
    socket.on("framereceived", ({ payload }) => this.received.push(JSON.parse(payload)));
  }

  #noteRequest(request, hosts) {
    const { protocol, host, pathname, search } = new URL(request.url());
    if (protocol !== "data:" && !hosts.includes(host)) this.#strayed.push(request.url());
    const id = request.headers()[ID_HEADER];
    if (pathname !== this.#prefix + CHAT_PATH || !id || this.#pollIds.has(id)) return;
    this.#pollIds.add(id);
    this.longPolls.push(pathname + search);
  }
}
